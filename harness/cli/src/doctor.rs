//! `pinfold doctor`: what this host has and lacks.

use std::fmt::Write as _;

use clap::Args;
use pinfold::model::Fault;
use pinfold_run::{HostState, examine_host};

use crate::exit::Status;
use crate::output;

/// Say what this host has and lacks, and which faults can be planted
#[derive(Args, Debug)]
pub(crate) struct Doctor {}

impl Doctor {
    /// Ends with status 3 if something is missing.
    pub(crate) fn run(&self) -> anyhow::Result<Status> {
        let mut text = String::new();
        let mut status = Status::Clean;
        for finding in examine_host()? {
            let state = match finding.state {
                HostState::Ok => "ok",
                HostState::Note => "note",
                HostState::Missing => {
                    status = Status::Environment;
                    "missing"
                }
            };
            writeln!(text, "{state:8} {}: {}", finding.what, finding.detail)?;
            if !finding.way_out.is_empty() {
                writeln!(text, "         {}", finding.way_out)?;
            }
        }
        writeln!(text, "\nfaults that can be planted (--target model:SERIES+FAULT):")?;
        for (_, name) in Fault::ALL {
            writeln!(text, "    {name}")?;
        }
        output::result(&text)?;
        Ok(status)
    }
}
