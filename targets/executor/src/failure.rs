//! Why the executor cannot go on.

use std::error::Error;
use std::io;

use pinfold_contract::WireError;

/// A fault of the executor or of the machine around it. What the system under
/// test answers to an op is never one: that is an `Outcome`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A call failed that always works on a sound machine.
    #[error("cannot {doing}")]
    Call {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The stream from the other end cannot be read on.
    #[error("the wire is broken")]
    Wire(#[from] WireError),
    /// Something is not as it must be.
    #[error("{0}")]
    State(String),
}

impl Failure {
    /// The failure and its causes, in one line.
    pub(crate) fn reason(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line = format!("{line}: {error}");
            cause = error.source();
        }
        line
    }
}

/// Says what was tried when a call fails.
pub(crate) trait Doing<T> {
    /// The value, or a [`Failure::Call`] of `doing`.
    fn doing(self, doing: &str) -> Result<T, Failure>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &str) -> Result<T, Failure> {
        self.map_err(|source| Failure::Call { doing: doing.to_owned(), source })
    }
}
