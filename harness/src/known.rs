//! Divergences that are known and explained (`corpus/known.toml`).
//!
//! An entry matches one signature on a range of kernels and nothing else, so
//! that it cannot hide a second bug. What it matches is still counted and shown.
//! A range may reach to kernels on which nobody saw the divergence yet: there it
//! is presumed, and every place that shows it says so.

mod range;
mod stored;

use std::fmt;

use pinfold_contract::Series;

use crate::profile::Platform;
use crate::signature::Signature;
use range::{Range, Version};
use stored::{Stored, error_at};

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
    /// The kernels that have it, as written: "6.1", "6.1.150..6.1.192", "6.1.." or "..6.12", both ends included.
    pub kernels: String,
    /// The platform on which these kernels have it; `None` is any.
    pub platform: Option<Platform>,
    /// The releases on which it was seen.
    pub verified: Vec<Verified>,
    /// What it is, in a few words.
    pub title: String,
    /// Where in the kernel it comes from, `file:function`.
    pub source: String,
    /// Why it happens.
    pub explanation: String,
    /// How it is shown.
    pub shown_by: ShownBy,
    range: Range,
}

/// A release on which a divergence was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its three numbers, as written: "6.12.117".
    pub release: String,
    /// The platform on which it was seen there; `None` is every platform that the entry is about.
    pub platform: Option<Platform>,
    series: Series,
}

/// What shows a divergence: a path from the root of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownBy {
    /// A minimized sequence.
    Sequence(String),
    /// A C program, for what no sequence can show.
    Program(String),
}

impl ShownBy {
    /// The path.
    pub fn path(&self) -> &str {
        match self {
            ShownBy::Sequence(path) | ShownBy::Program(path) => path,
        }
    }
}

/// A kernel that runs, as far as entries tell kernels apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running<'a> {
    /// Its `uname -r`. Only the first three numbers count.
    pub release: &'a str,
    /// What it runs on.
    pub platform: Platform,
}

/// An entry, and how far it is known to hold for a kernel in its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explained<'k> {
    /// The entry.
    pub entry: &'k Entry,
    /// How far it holds.
    pub standing: Standing,
}

/// Whether a divergence was seen on a series of kernels, or is only expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was seen on a release of the series, on that platform.
    Verified,
    /// The range holds the kernel, but the divergence was seen on other series alone.
    Presumed {
        /// The series of the kernel.
        series: Series,
        /// What the kernel runs on.
        platform: Platform,
    },
}

impl Standing {
    /// Why it is only presumed, in a few words: "not yet verified on 7.3, x86". None of what was verified.
    pub fn presumed(self) -> Option<String> {
        match self {
            Standing::Verified => None,
            Standing::Presumed { series, platform } => {
                Some(format!("not yet verified on {series}, {}", platform.name()))
            }
        }
    }
}

/// `known`, or `known (presumed: not yet verified on 7.3, x86)`. `presumed` is what [`Standing::presumed`] gave.
pub fn known_word(presumed: Option<&str>) -> String {
    match presumed {
        None => "known".to_owned(),
        Some(why) => format!("known (presumed: {why})"),
    }
}

/// `3 known`, or `3 known (1 presumed)`.
pub fn known_counts(known: impl fmt::Display, presumed: u64) -> String {
    match presumed {
        0 => format!("{known} known"),
        _ => format!("{known} known ({presumed} presumed)"),
    }
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
    /// Reads the text of `known.toml` strictly: `[[known]]` tables with every field of [`Entry`], of which `platform`
    /// may be missing, and either `sequence` or `program`.
    ///
    /// # Errors
    ///
    /// What is not TOML, a field too many or missing or empty, a range that is
    /// none, a verified release outside of it, one signature on one kernel twice.
    pub fn parse(text: &str) -> Result<Known, KnownError> {
        let file: Stored = toml::from_str(text).map_err(|e| {
            error_at(text, e.span().map_or(0, |span| span.start), e.message().to_owned())
        })?;
        let mut known = Known::default();
        for stored in file.known {
            let place = stored.span().start;
            let entry = stored
                .into_inner()
                .read()
                .map_err(|(at, message)| error_at(text, at.unwrap_or(place), message))?;
            if let Some(other) = known.entries.iter().find(|other| other.overlaps(&entry)) {
                let message = format!(
                    "`{}` is known already on kernels {}, which {} overlaps; one entry has to go",
                    entry.signature, other.kernels, entry.kernels
                );
                return Err(error_at(text, place, message));
            }
            known.entries.push(entry);
        }
        Ok(known)
    }

    /// The entries, in the order of the text.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries that hold for `kernel`. A release that does not begin with a number has none.
    pub fn on<'k>(&'k self, kernel: Running<'_>) -> impl Iterator<Item = Explained<'k>> {
        let place = Version::of_release(kernel.release).zip(Series::of_release(kernel.release));
        self.entries.iter().filter_map(move |entry| {
            let (version, series) = place?;
            let standing = entry.standing(version, series, kernel.platform)?;
            Some(Explained { entry, standing })
        })
    }

    /// The entry that explains `signature` on `kernel`.
    pub fn matching(&self, signature: &Signature, kernel: Running<'_>) -> Option<Explained<'_>> {
        self.on(kernel).find(|explained| explained.entry.signature == *signature)
    }
}

impl Entry {
    /// How far it holds for a kernel; none if it is about others.
    fn standing(&self, version: Version, series: Series, platform: Platform) -> Option<Standing> {
        let is_of = |of: Option<Platform>| of.is_none_or(|of| of == platform);
        if !self.range.contains(version) || !is_of(self.platform) {
            return None;
        }
        let was_seen = |seen: &Verified| seen.series == series && is_of(seen.platform);
        Some(match self.verified.iter().any(was_seen) {
            true => Standing::Verified,
            false => Standing::Presumed { series, platform },
        })
    }

    fn overlaps(&self, other: &Entry) -> bool {
        let same_platform =
            self.platform.is_none() || other.platform.is_none() || self.platform == other.platform;
        self.signature == other.signature && same_platform && self.range.overlaps(other.range)
    }
}

#[cfg(test)]
mod tests;
