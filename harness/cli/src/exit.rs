//! Exit statuses, and which error has which.

use std::process::ExitCode;

use pinfold_contract::printable;
use pinfold_run::{Blame, ReadError, RunError};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nothing unexplained diverged.
    Clean,
    /// A divergence.
    Diverged,
    /// The command line or an input file is wrong.
    Input,
    /// Our machinery or the environment failed.
    Environment,
    /// The target lacks what was asked for.
    Capability,
    /// `--bisect` cannot tell good from bad.
    CannotTell,
    /// This signal ended it.
    Signal(u8),
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(match status {
            Status::Clean => 0,
            Status::Diverged => 1,
            Status::Input => 2,
            Status::Environment => 3,
            Status::Capability => 4,
            Status::CannotTell => 125,
            Status::Signal(signal) => 128 + signal,
        })
    }
}

/// The status that `error` ends a command with.
pub(crate) fn status_of(error: &anyhow::Error) -> Status {
    let of_run = |error: &RunError| match error.blame() {
        Blame::Input => Status::Input,
        Blame::Environment | Blame::User => Status::Environment,
        Blame::Capability => Status::Capability,
    };
    match (error.downcast_ref::<RunError>(), error.downcast_ref::<ReadError>()) {
        (Some(error), _) | (None, Some(ReadError::Run(error))) => of_run(error),
        (None, Some(ReadError::Seq(_))) => Status::Input,
        (None, None) => Status::Environment,
    }
}

/// What a person is told of `error`. It may repeat what a file has, and that may be anything.
pub(crate) fn message(error: &anyhow::Error) -> String {
    printable(&full_message(error))
}

fn full_message(error: &anyhow::Error) -> String {
    match error.downcast_ref::<ReadError>() {
        // It begins with the place, as editors like it.
        Some(ReadError::Seq(error)) => error.to_string(),
        Some(ReadError::Run(_)) | None => format!("error: {error:#}"),
    }
}
