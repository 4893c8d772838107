//! `pinfold adopt`: a kernel that has no rules yet.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use pinfold_run::{AdoptOptions, ReplayConclusion, adopt};

use crate::args::DefectsArgs;
use crate::exit::Status;
use crate::output::{self, say};
use crate::progress::BuildMeter;
use crate::signals::Signals;

/// Find the rules of a kernel that has none yet, and write the draft of its series file
///
/// Builds the kernel, probes it, replays the corpus on it, looks for each known divergence, and compares what Pinfold
/// cites of the series before. For those who work on Pinfold: it reads the source of Pinfold, and of kernels. Exit
/// status 1 if something is left to be explained.
#[derive(Args, Debug)]
pub(crate) struct Adopt {
    /// A series of which Debian has the source, or the path of a kernel tree
    #[arg(value_name = "KERNEL")]
    kernel: String,
    /// Write the draft and the reports here [default: out/adopt-SERIES]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A checkout of Pinfold [default: the one that the current folder is in]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(flatten)]
    known: DefectsArgs,
}

impl Adopt {
    pub(crate) fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        let start = match &self.root {
            Some(root) => root.clone(),
            None => std::env::current_dir().context("there is no current folder")?,
        };
        let options = AdoptOptions { kernel: self.kernel.clone(), start, out: self.out.clone() };
        let known = self.known.read()?;
        let mut meter = BuildMeter::default();
        let stop = signals.stop_well();
        let adopted = adopt(&options, &known, stop, &mut |progress| meter.show(progress), &mut say);
        meter.finish();
        let adoption = adopted?;
        output::result(&adoption.to_string())?;
        Ok(match adoption.conclusion() {
            ReplayConclusion::Clean | ReplayConclusion::Lacking => Status::Clean,
            ReplayConclusion::Diverged => Status::Diverged,
            ReplayConclusion::Unsure => Status::Environment,
        })
    }
}
