//! Keeps a minimized divergence for good: a folder of `corpus/regress`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pinfold::oracle::{Divergence, Oracle, Verdict};
use pinfold::signature::Signature;

use crate::bundle::replace;
use crate::check::Checked;
use crate::error::RunError;

/// What `entry.toml` says of a divergence, beside what its finder says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, and that of its folder.
    pub signature: Signature,
    /// The target it was found on.
    pub target: String,
    /// `uname -r` of its kernel.
    pub found_on: String,
    /// Which oracle saw it.
    pub oracle: Oracle,
    /// What the model said.
    pub predicted: String,
    /// What the target did.
    pub seen: String,
    /// Title of the entry of the known list that explains it.
    pub known: Option<String>,
    /// Why that entry is only presumed to hold for this kernel; none if it was verified.
    pub presumed: Option<String>,
}

impl Entry {
    /// With what was predicted and seen in `checked`, the run of the minimized sequence.
    pub(crate) fn seen_in(self, checked: &Checked) -> Entry {
        match &checked.verdict {
            Verdict::Diverges(Divergence { predicted, seen, .. }) => {
                Entry { predicted: predicted.clone(), seen: seen.clone(), ..self }
            }
            Verdict::Agrees | Verdict::Inconclusive { .. } => self,
        }
    }

    /// Its text. `title` says what it is in a few words, `cause` what is wrong with the kernel: a fault, a patch.
    pub fn text(&self, title: &str, cause: &str) -> String {
        let mut text = String::new();
        let oracle = self.oracle.name();
        let mut push = |key: &str, value: &str| {
            writeln!(text, "{key} = {}", quoted(value)).expect("a string takes everything");
        };
        push("title", title);
        push("cause", cause);
        push("target", &self.target);
        push("found_on", &self.found_on);
        push("oracle", oracle);
        push("predicted", &self.predicted);
        push("seen", &self.seen);
        if let Some(known) = &self.known {
            push("known", known);
        }
        if let Some(presumed) = &self.presumed {
            push("presumed", presumed);
        }
        text
    }

    /// Writes the sequence `seq` and this into a folder of `regress` that is named for the signature, in the place of
    /// what was there. Gives the folder.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn keep(
        &self,
        regress: &Path,
        seq: &str,
        title: &str,
        cause: &str,
    ) -> Result<PathBuf, RunError> {
        let folder = regress.join(self.signature.as_str());
        replace(&folder.join("sequence.seq"), seq.as_bytes())?;
        replace(&folder.join("entry.toml"), self.text(title, cause).as_bytes())?;
        Ok(folder)
    }
}

/// A basic string of TOML. What JSON escapes, TOML escapes in the same way.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serializes")
}
