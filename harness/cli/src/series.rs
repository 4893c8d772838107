//! `pinfold series`: the kernel series that Pinfold has rules for.

use clap::Args;
use pinfold_run::{all_series, long_term_series};

use crate::exit::Status;
use crate::output;

/// List the kernel series that have rules, the newest first
#[derive(Args, Debug)]
pub(crate) struct Series {
    /// Only those that kernel.org keeps up for years
    #[arg(long)]
    long_term: bool,
}

impl Series {
    pub(crate) fn run(&self) -> anyhow::Result<Status> {
        let series = if self.long_term { long_term_series() } else { all_series() };
        let lines: String = series.iter().map(|series| format!("{series}\n")).collect();
        output::result(&lines)?;
        Ok(Status::Clean)
    }
}
