//! Unified diffs, as they come from `git diff`, `git format-patch`, `diff -u` and mailboxes. Pure: reads bytes, no files.
//!
//! Names are taken without their first folder, as `patch -p1` does. Whatever stands around the diffs is skipped.

mod apply;
mod name;
mod read;

pub use apply::{Applied, ApplyError, ApplyReason, Offset, Overlay, apply};
pub use read::{DiffError, DiffReason, read};

/// All diffs of one input, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// What the input is called.
    pub input: String,
    /// Its diffs.
    pub files: Vec<FileDiff>,
}

/// What is done to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiff {
    /// The file before; `None` if it is new.
    pub old: Option<String>,
    /// The file after; `None` if it is removed.
    pub new: Option<String>,
    /// What git says is done to the whole file.
    pub deed: Deed,
    /// Line of the input where this begins, from 1.
    pub line: usize,
    /// What changes in it.
    pub hunks: Vec<Hunk>,
}

/// What is done to a file as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It changes, appears or goes.
    Change,
    /// It goes to another place.
    Rename,
    /// It stays, and is copied to another place.
    Copy,
}

/// Lines that are next to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// Line of the input where it begins, from 1.
    pub line: usize,
    /// Where its old lines begin, from 1; with no old lines, the line after which the new ones come.
    pub old_start: usize,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// One line of a hunk, with its end of line if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Stays.
    Context(Vec<u8>),
    /// Goes.
    Removed(Vec<u8>),
    /// Comes.
    Added(Vec<u8>),
}

impl Hunk {
    /// The lines that must be there.
    pub fn before(&self) -> Vec<&[u8]> {
        let old = |line: &'_ Line| matches!(line, Line::Context(_) | Line::Removed(_));
        self.lines.iter().filter(|line| old(line)).map(Line::text).collect()
    }

    /// The lines that are there afterwards.
    pub fn after(&self) -> Vec<&[u8]> {
        let new = |line: &'_ Line| matches!(line, Line::Context(_) | Line::Added(_));
        self.lines.iter().filter(|line| new(line)).map(Line::text).collect()
    }
}

impl Line {
    /// What it says.
    pub fn text(&self) -> &[u8] {
        match self {
            Line::Context(text) | Line::Removed(text) | Line::Added(text) => text,
        }
    }
}

impl FileDiff {
    /// The file, as a person would call it.
    pub fn name(&self) -> &str {
        self.new.as_deref().or(self.old.as_deref()).unwrap_or_default()
    }
}

impl Patch {
    /// The files it touches, each once.
    pub fn file_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.files.iter().map(FileDiff::name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// How many hunks it has.
    pub fn hunk_count(&self) -> usize {
        self.files.iter().map(|file| file.hunks.len()).sum()
    }
}
