//! The command line of Pinfold: one file a subcommand, no logic.

mod adopt;
mod args;
mod campaign;
mod completions;
mod defects;
mod designs;
mod doctor;
mod exit;
mod files;
mod fuzz;
mod given;
mod kernel;
mod leaks;
mod minimize;
mod output;
mod patch;
mod progress;
mod replay;
mod report;
mod reproduce;
mod series;
mod signals;
mod sources;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::Status;
use signals::Signals;

/// Finds bugs in the paths by which Linux registers memory for RDMA.
///
/// Exit status: 0 nothing unexplained diverged; 1 a divergence, or an expectation that is not met; 2 the command line or an
/// input file is wrong; 3 the machinery or the environment failed; 4 the target lacks what was asked for, on the command line
/// or in a sequence; 130 and 143 after SIGINT and SIGTERM. Of several files all that can be read are run; where more than one
/// status holds, the lowest of 1 to 4 does.
#[derive(Parser, Debug)]
#[command(version, name = "pinfold", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Fuzz(fuzz::Fuzz),
    Campaign(campaign::Campaign),
    Patch(patch::Patch),
    Replay(replay::Replay),
    Minimize(minimize::Minimize),
    Leaks(leaks::Leaks),
    Report(report::Report),
    Designs(designs::Designs),
    Defects(defects::Defects),
    Reproduce(reproduce::Reproduce),
    Kernel(kernel::Kernel),
    Adopt(adopt::Adopt),
    Series(series::Series),
    Sources(sources::Sources),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            output::say(&format!("error: cannot listen to signals: {error}"));
            return Status::Environment.into();
        }
    };
    let result = match &cli.command {
        Command::Fuzz(fuzz) => fuzz.run(&signals),
        Command::Campaign(campaign) => campaign.run(&signals),
        Command::Patch(patch) => patch.run(&signals),
        Command::Replay(replay) => replay.run(&signals),
        Command::Minimize(minimize) => minimize.run(&signals),
        Command::Leaks(leaks) => leaks.run(&signals),
        Command::Report(report) => report.run(),
        Command::Designs(designs) => designs.run(),
        Command::Defects(defects) => defects.run(&signals),
        Command::Reproduce(reproduce) => reproduce.run(&signals),
        Command::Kernel(kernel) => kernel.run(),
        Command::Adopt(adopt) => adopt.run(&signals),
        Command::Series(series) => series.run(),
        Command::Sources(sources) => sources.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Completions(completions) => completions.run(),
    };
    let status = result.unwrap_or_else(|error| {
        output::say(&exit::message(&error));
        exit::status_of(&error)
    });
    signals.received().map_or(status, Status::Signal).into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
