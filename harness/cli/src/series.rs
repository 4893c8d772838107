//! `pinfold series`: the kernel series that Pinfold has rules for.

use clap::Args;
use pinfold_run::all_series;

use crate::exit::Status;
use crate::output;

/// List the kernel series that have rules, the newest first
#[derive(Args, Debug)]
pub(crate) struct Series {}

impl Series {
    pub(crate) fn run(&self) -> anyhow::Result<Status> {
        let lines: String = all_series().iter().map(|series| format!("{series}\n")).collect();
        output::result(&lines)?;
        Ok(Status::Clean)
    }
}
