//! `pinfold minimize`: shortens a sequence that diverges.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use pinfold_run::{
    Memory, MinimizeOptions, Minimized, Reliability, ShrinkLimits, allowed_cpus, minimize_sequence,
};

use crate::args::{DefectsArgs, ObserveArg, TargetArgs};
use crate::exit::Status;
use crate::files::{read, say_what_is_lacking};
use crate::output::{self, say};
use crate::signals::Signals;

/// Shorten a sequence (.seq) and simplify it while it diverges as it does
#[derive(Args, Debug)]
pub(crate) struct Minimize {
    /// The sequence
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    /// Where the simpler one goes [default: standard output, unless it is kept]
    #[arg(short, long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep it as a regression: DIR/SIGNATURE/sequence.seq and entry.toml
    #[arg(long, value_name = "DIR", requires_all = ["title", "cause"])]
    keep: Option<PathBuf>,
    /// What it is, in a few words, for entry.toml
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// What is wrong with the kernel (a commit, a patch, a fault), for entry.toml
    #[arg(long, value_name = "TEXT")]
    cause: Option<String>,
    /// When the state is looked at
    #[arg(long, value_enum, default_value = "each")]
    observe: ObserveArg,
    /// Most runs on the target
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    runs: u32,
    /// How often it is run before, for how reliably it diverges
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeat: u32,
    /// Run each sequence as often as it comes up, and not only once
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    known: DefectsArgs,
}

impl Minimize {
    /// Ends well when there is a shorter sequence or none can be had; that it diverges is no news.
    pub(crate) fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        let file = read(&self.file)?;
        let known = self.known.read()?;
        let prepared = self.target.prepare(self.known.folder())?;
        say_what_is_lacking(&self.file, &file, prepared.name());
        let stop = signals.stop_well();
        let mut target = prepared.open(allowed_cpus().first().copied(), Arc::clone(&stop))?;
        let options = MinimizeOptions {
            observe: self.observe.into(),
            repeat: self.repeat,
            memory: if self.no_cache { Memory::Off } else { Memory::Cached },
            limits: ShrinkLimits { runs_max: self.runs, deadline: None },
        };
        let name = self.file.display().to_string();
        let sequence = &file.sequence;
        let minimized = minimize_sequence(&mut target, &name, sequence, &options, &known, &stop)?;
        let places = self.store(&minimized)?;
        let Reliability { again, of } = minimized.reliability;
        say(&format!(
            "{}\ndiverges so in {again} of {of} runs; {} ops became {} in {} runs, {}{places}",
            minimized.what,
            sequence.ops.len(),
            minimized.op_count,
            minimized.shrunk.run_count,
            minimized.shrunk.ended,
        ));
        Ok(Status::Clean)
    }

    /// Puts it wherever it is wanted; says where.
    fn store(&self, minimized: &Minimized) -> anyhow::Result<String> {
        let mut places = String::new();
        if let Some(out) = &self.out {
            std::fs::write(out, &minimized.text)
                .with_context(|| format!("cannot write {}", out.display()))?;
            places.push_str(&format!(": {}", out.display()));
        }
        if let (Some(regress), Some(title), Some(cause)) = (&self.keep, &self.title, &self.cause) {
            let folder = minimized.entry.keep(regress, &minimized.text, title, cause)?;
            places.push_str(&format!("\nkept in {}", folder.display()));
        }
        if places.is_empty() {
            output::result(&minimized.text)?;
        }
        Ok(places)
    }
}
