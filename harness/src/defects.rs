//! Defects of kernels that are explained: a folder of `corpus/defects` each, with what shows it and, where there is one,
//! its fix.
//!
//! A case of a defect matches one signature on a range of kernels and nothing else, so that it cannot hide a second
//! bug. What it matches is known; it is still counted and shown. A range may reach to kernels on which nobody saw the
//! divergence yet: there it is presumed, and every place that shows it says so. On a kernel that has the fix of a defect
//! nothing of that defect is known. Begin with [`Defects::parse`] and [`Defects::matching`].

mod fix;
mod range;
mod stored;
mod table;

use std::fmt;

use pinfold_contract::Series;

use crate::profile::Platform;
use crate::signature::Signature;
pub use fix::Fix;
use range::{Range, Version};
pub use stored::{DESCRIPTION, DefectFolder, DefectsError};
pub use table::{Cell, FixState, OnKernel, Row, State, Table, markdown, with_list};

/// Defects, by slug.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    defects: Vec<Defect>,
}

/// One cause, and all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// The name of its folder.
    pub slug: String,
    /// What it is, in a few words.
    pub title: String,
    /// Where in the kernel it comes from, `file:function`.
    pub source: String,
    /// What shows it, case by case.
    pub shows: Vec<Entry>,
    /// What mends it, each for other kernels.
    pub fixes: Vec<Fix>,
    /// Why nothing does, where that is known.
    pub no_fix: Option<String>,
}

/// One case of a defect: a divergence, and how it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The defect.
    pub slug: String,
    /// Which case of it, from 0.
    pub index: usize,
    /// Its signature.
    pub signature: Signature,
    /// The kernels that have it, as written: "6.1", "6.1.150..6.1.192", "6.1.." or "..6.12", both ends included.
    pub affected: String,
    /// The platform on which these kernels have it; `None` is any.
    pub platform: Option<Platform>,
    /// The releases on which it was seen.
    pub verified: Vec<Verified>,
    /// The releases that were seen to agree once they had the fix.
    pub cured: Vec<Verified>,
    /// Whether a divergence with this signature is known. Not where the signature is that of other bugs, too.
    pub explains: bool,
    /// The title of the defect.
    pub title: String,
    /// The source of the defect.
    pub source: String,
    /// How it is shown.
    pub shown_by: ShownBy,
    range: Range,
}

/// A release on which something was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its three numbers, as written: "6.12.117".
    pub release: String,
    /// The platform on which it was seen there; `None` is every platform that the case is about.
    pub platform: Option<Platform>,
    series: Series,
}

impl Verified {
    fn is_of(&self, series: Series, platform: Platform) -> bool {
        self.series == series && self.platform.is_none_or(|own| own == platform)
    }
}

/// What shows a divergence: the name of a file in the folder of the defect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownBy {
    /// A minimized sequence.
    Sequence(String),
    /// A C program, for what no sequence can show.
    Program(String),
}

impl ShownBy {
    /// The file.
    pub fn file(&self) -> &str {
        match self {
            ShownBy::Sequence(file) | ShownBy::Program(file) => file,
        }
    }
}

/// A kernel that runs, as far as defects tell kernels apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running<'a> {
    /// Its `uname -r`. Only the first three numbers count.
    pub release: &'a str,
    /// What it runs on.
    pub platform: Platform,
    /// Slugs of the defects whose fix is in it.
    pub fixed: &'a [String],
}

/// A case, and how far it is known to hold for a kernel in its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explained<'k> {
    /// The case.
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

impl Defects {
    /// Reads folders strictly: their `defect.toml`, and the names and headers of their fixes.
    ///
    /// # Errors
    ///
    /// What is not TOML, a field too many or missing or empty, a range that is none, a verified release outside of it,
    /// one signature on one kernel twice, a fix without a range or two for one kernel.
    pub fn parse<'a>(
        folders: impl IntoIterator<Item = DefectFolder<'a>>,
    ) -> Result<Defects, DefectsError> {
        let mut defects = Defects::default();
        for folder in folders {
            let defect = folder.read(&defects)?;
            defects.defects.push(defect);
        }
        defects.defects.sort_by(|one, other| one.slug.cmp(&other.slug));
        Ok(defects)
    }

    /// All of them, by slug.
    pub fn all(&self) -> &[Defect] {
        &self.defects
    }

    /// Their cases.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.defects.iter().flat_map(|defect| &defect.shows)
    }

    /// The cases that hold for `kernel`. A release that does not begin with a number has none.
    pub fn on<'k>(&'k self, kernel: Running<'_>) -> impl Iterator<Item = Explained<'k>> {
        self.of(kernel).filter(move |it| !kernel.fixed.contains(&it.entry.slug))
    }

    /// The cases that would hold for `kernel` if it had no fix.
    pub fn of<'k>(&'k self, kernel: Running<'_>) -> impl Iterator<Item = Explained<'k>> {
        let place = Version::of_release(kernel.release).zip(Series::of_release(kernel.release));
        let platform = kernel.platform;
        self.entries().filter_map(move |entry| {
            let (version, series) = place?;
            let standing = entry.standing(version, series, platform)?;
            Some(Explained { entry, standing })
        })
    }

    /// The case that explains `signature` on `kernel`.
    pub fn matching(&self, signature: &Signature, kernel: Running<'_>) -> Option<Explained<'_>> {
        self.on(kernel).find(|it| it.entry.matches(signature))
    }

    /// The defect whose fix is in `kernel` and that would explain `signature` without it.
    pub fn not_cured(&self, signature: &Signature, kernel: Running<'_>) -> Option<&str> {
        let is_fixed = |it: &Explained<'_>| kernel.fixed.contains(&it.entry.slug);
        let it = self.of(kernel).find(|it| is_fixed(it) && it.entry.matches(signature))?;
        Some(&it.entry.slug)
    }
}

impl Defect {
    /// What mends kernels of `release`.
    pub fn fix_for(&self, release: &str) -> Option<&Fix> {
        let version = Version::of_release(release)?;
        self.fixes.iter().find(|fix| fix.range.contains(version))
    }
}

impl Entry {
    /// What shows it, as a path from the root of the repository.
    pub fn path(&self) -> String {
        format!("{FOLDER}/{}/{}", self.slug, self.shown_by.file())
    }

    /// The page that explains it, likewise.
    pub fn report(&self) -> String {
        format!("{FOLDER}/{}/README.md", self.slug)
    }

    fn matches(&self, signature: &Signature) -> bool {
        self.explains && self.signature == *signature
    }

    /// How far it holds for a kernel; none if it is about others.
    fn standing(&self, version: Version, series: Series, platform: Platform) -> Option<Standing> {
        if !self.range.contains(version) || self.platform.is_some_and(|own| own != platform) {
            return None;
        }
        Some(match self.verified.iter().any(|seen| seen.is_of(series, platform)) {
            true => Standing::Verified,
            false => Standing::Presumed { series, platform },
        })
    }

    /// Whether it affects kernels of `series` on `platform`.
    fn is_of(&self, series: Series, platform: Platform) -> bool {
        self.range.has_series(series) && self.platform.is_none_or(|own| own == platform)
    }

    fn overlaps(&self, other: &Entry) -> bool {
        let same_platform =
            self.platform.is_none() || other.platform.is_none() || self.platform == other.platform;
        self.explains
            && other.explains
            && self.signature == other.signature
            && same_platform
            && self.range.overlaps(other.range)
    }
}

/// Where the folders are, from the root of the repository.
pub const FOLDER: &str = "corpus/defects";

#[cfg(test)]
mod tests;
