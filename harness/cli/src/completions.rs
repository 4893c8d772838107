//! `pinfold completions`: what a shell needs to complete our command line.

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::exit::Status;
use crate::output;

/// Print the completions for a shell
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> anyhow::Result<Status> {
        let mut text = Vec::new();
        generate(self.shell, &mut crate::Cli::command(), "pinfold", &mut text);
        output::result(&String::from_utf8(text)?)?;
        Ok(Status::Clean)
    }
}
