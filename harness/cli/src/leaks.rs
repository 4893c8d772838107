//! `pinfold leaks`: kernel memory that is never given back.

use std::path::PathBuf;

use clap::Args;
use pinfold_run::{LEAK_REPETITIONS_DEFAULT, LeakReport, allowed_cpus, find_leaks, leak_sequences};

use crate::args::TargetArgs;
use crate::exit::Status;
use crate::files::read_all;
use crate::output::{self, say};
use crate::signals::Signals;

/// Repeat stored sequences (.seq) on one machine and say which kernel memory they never give back
///
/// Counts the objects of each slab cache, and pages of page tables, stacks, vmalloc and those that no counter of the
/// kernel knows. A leak grows by an object or more with each run, in both halves of the repetitions.
#[derive(Args, Debug)]
pub(crate) struct Leaks {
    /// The sequences [default: a few of the corpus with every kind of op and every outcome]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    /// Run each so often while memory is counted
    #[arg(long, value_name = "N", default_value_t = LEAK_REPETITIONS_DEFAULT, value_parser = clap::value_parser!(u32).range(2..))]
    repeat: u32,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

impl Leaks {
    pub(crate) fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        let read = read_all(&self.files);
        if read.len() < self.files.len() {
            return Ok(Status::Input);
        }
        let prepared = self.target.prepare(None)?;
        let stop = signals.stop_well();
        let mut target = prepared.open(allowed_cpus().first().copied(), stop.clone())?;
        let sequences = if read.is_empty() {
            leak_sequences(target.profile())
        } else {
            let named = read.into_iter();
            named.map(|(path, file)| (path.display().to_string(), file.sequence)).collect()
        };
        let report = find_leaks(&mut target, sequences, self.repeat, &stop)?;
        if self.json {
            output::result(&(serde_json::to_string_pretty(&report)? + "\n"))?;
        } else {
            output::result(&text(&report))?;
        }
        for left_out in &report.left_out {
            say(&format!("{} was not repeated: {}", left_out.sequence, left_out.why));
        }
        Ok(match (report.leaks.is_empty(), report.sequences.is_empty()) {
            (false, _) => Status::Diverged,
            (true, true) => Status::Environment,
            (true, false) => Status::Clean,
        })
    }
}

fn text(report: &LeakReport) -> String {
    let LeakReport { target, kernel, repetitions, sequences, leaks, .. } = report;
    let mut lines: Vec<String> = leaks.iter().map(ToString::to_string).collect();
    let count = leaks.len();
    let (count, plural) = if count == 0 {
        ("no".to_owned(), "s")
    } else {
        (count.to_string(), if count == 1 { "" } else { "s" })
    };
    lines.push(format!(
        "linux {kernel} ({target}): {count} leak{plural} in {repetitions} runs of each of {} sequences",
        sequences.len()
    ));
    lines.join("\n") + "\n"
}
