//! Divergences that are known and explained (`corpus/known.toml`).

use crate::signature::Signature;

/// The list of known divergences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    entries: Vec<Entry>,
}

/// One known divergence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its signature.
    pub signature: Signature,
    /// The kernels that have it, as written: "6.1", or "6.1.150..6.1.192", both ends included.
    pub kernels: String,
    /// What it is, in a few words.
    pub title: String,
    /// Where in the kernel it comes from, `file:function`.
    pub source: String,
    /// Why it happens.
    pub explanation: String,
    /// The minimized sequence that shows it, a path from the root of the repository.
    pub sequence: String,
}

/// Why a text is no list of known divergences, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct KnownError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Known {
    /// Reads the text of `known.toml` strictly.
    ///
    /// # Errors
    ///
    /// What is not TOML, a field too many or missing, a range that is none, the same thing twice.
    pub fn parse(_text: &str) -> Result<Known, KnownError> {
        unimplemented!()
    }

    /// The entries, in the order of the text.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that explains `signature` on a kernel whose `uname -r` is `kernel_release`.
    pub fn matching(&self, _signature: &Signature, _kernel_release: &str) -> Option<&Entry> {
        unimplemented!()
    }
}
