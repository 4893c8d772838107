//! `pinfold minimize`: shortens a sequence that diverges.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use pinfold_run::{Ended, ShrinkLimits, allowed_cpus, minimize_sequence, read_seq};

use crate::args::{ObserveArg, TargetArgs};
use crate::exit::Status;
use crate::output::say;
use crate::signals::Signals;

/// Shorten a sequence (.seq) while it diverges as it does
#[derive(Args, Debug)]
pub(crate) struct Minimize {
    /// The sequence
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    /// Where the shorter one goes
    #[arg(short, long = "out", value_name = "FILE")]
    out: PathBuf,
    /// When the state is looked at
    #[arg(long, value_enum, default_value = "each")]
    observe: ObserveArg,
    /// Most runs on the target
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    runs: u32,
}

impl Minimize {
    /// Ends well when there is a shorter sequence or none can be had; that it diverges is no news.
    pub(crate) fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        let file = read_seq(&self.file)?;
        let prepared = self.target.prepare()?;
        let stop = signals.stop_well();
        let mut target = prepared.open(allowed_cpus().first().copied(), Arc::clone(&stop))?;
        let limits = ShrinkLimits { runs_max: self.runs, deadline: None };
        let name = self.file.display().to_string();
        let sequence = &file.sequence;
        let observe = self.observe.into();
        let minimized = minimize_sequence(&mut target, &name, sequence, observe, limits, &stop)?;
        std::fs::write(&self.out, &minimized.text)
            .with_context(|| format!("cannot write {}", self.out.display()))?;
        let ended = match minimized.ended {
            Ended::Minimal => "",
            Ended::Early => " (not done: stopped before)",
        };
        say(&format!(
            "{}\n{} ops became {} in {} runs{ended}: {}",
            minimized.what,
            sequence.ops.len(),
            minimized.op_count,
            minimized.run_count,
            self.out.display()
        ));
        Ok(Status::Clean)
    }
}
