//! What a sequence names: processes, MRs, windows, protection domains, files.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many processes a sequence can have: `p0`, which owns the queue pairs and
/// the registrations, and its descendants.
pub const PROC_SLOTS: u8 = 4;

/// How many MRs a sequence can hold at once.
pub const MR_SLOTS: usize = 256;

/// A slot beyond the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such slot")]
pub struct NoSuchSlot;

/// A process of a sequence, `p0` to `p3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct Proc(u8);

impl TryFrom<u8> for Proc {
    type Error = NoSuchSlot;

    fn try_from(index: u8) -> Result<Proc, NoSuchSlot> {
        Proc::new(index).ok_or(NoSuchSlot)
    }
}

impl Proc {
    /// The process that owns the queue pairs and is there from the start.
    pub const P0: Proc = Proc(0);

    /// Process `index`, or nothing from [`PROC_SLOTS`] on.
    pub fn new(index: u8) -> Option<Proc> {
        (index < PROC_SLOTS).then_some(Proc(index))
    }

    /// Every process slot, in order.
    pub fn all() -> impl Iterator<Item = Proc> {
        (0..PROC_SLOTS).map(Proc)
    }

    /// Its number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Proc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// A slot for an MR, `mr0` to `mr255`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mr(pub u8);

impl Mr {
    /// Its number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Mr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mr{}", self.0)
    }
}

/// How many memory windows a sequence can hold at once.
pub const MW_SLOTS: u8 = 16;

/// A slot for a memory window, `mw0` to `mw15`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct Mw(u8);

impl TryFrom<u8> for Mw {
    type Error = NoSuchSlot;

    fn try_from(index: u8) -> Result<Mw, NoSuchSlot> {
        Mw::new(index).ok_or(NoSuchSlot)
    }
}

impl Mw {
    /// Window `index`, or nothing from [`MW_SLOTS`] on.
    pub fn new(index: u8) -> Option<Mw> {
        (index < MW_SLOTS).then_some(Mw(index))
    }

    /// Its number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Mw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mw{}", self.0)
    }
}

/// How many protection domains there are, each with a pair of connected queue pairs.
pub const PD_COUNT: u8 = 2;

/// A protection domain and its queue pairs, `0` or `1`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u8")]
pub struct Pd(u8);

impl TryFrom<u8> for Pd {
    type Error = NoSuchSlot;

    fn try_from(index: u8) -> Result<Pd, NoSuchSlot> {
        Pd::new(index).ok_or(NoSuchSlot)
    }
}

impl Pd {
    /// The one that an op means if it says nothing.
    pub const FIRST: Pd = Pd(0);

    /// Protection domain `index`, or nothing from [`PD_COUNT`] on.
    pub fn new(index: u8) -> Option<Pd> {
        (index < PD_COUNT).then_some(Pd(index))
    }

    /// Its number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A file of [`FILE_PAGES`](crate::FILE_PAGES) pages, open in every process of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct File(u8);

impl TryFrom<u8> for File {
    type Error = NoSuchSlot;

    fn try_from(index: u8) -> Result<File, NoSuchSlot> {
        File::new(index).ok_or(NoSuchSlot)
    }
}

/// What kind of file a [`File`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `memfd_create(MFD_ALLOW_SEALING)`. All holes at the start.
    Memfd,
    /// A file on a tmpfs, open for reading and writing. All holes at the start.
    Tmpfs,
    /// A file on a tmpfs that is open for reading only, as a shared library is
    /// when it is mapped. Page `n` of it holds bytes of value [`LIBRARY_TAG`]` + n`.
    Library,
    /// A file on a disk with ext4, open for reading and writing. All of it was
    /// read before the first op, and holds zeroes.
    Disk,
}

/// The value of the bytes of page 0 of a [`FileKind::Library`]; one more for each page after it.
pub const LIBRARY_TAG: u8 = 0xc0;

impl File {
    /// File `index`, or nothing from [`FILE_COUNT`](crate::FILE_COUNT) on.
    pub fn new(index: u8) -> Option<File> {
        (index < crate::FILE_COUNT).then_some(File(index))
    }

    /// Every file, in order.
    pub fn all() -> impl Iterator<Item = File> {
        (0..crate::FILE_COUNT).map(File)
    }

    /// Its number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// What kind of file it is.
    pub fn kind(self) -> FileKind {
        Self::TABLE[self.index()].1
    }

    /// Its name in the text form.
    pub fn name(self) -> &'static str {
        Self::TABLE[self.index()].0
    }

    /// The file of this name.
    pub fn from_name(name: &str) -> Option<File> {
        Self::all().find(|file| file.name() == name)
    }

    // Append; never reorder.
    const TABLE: [(&'static str, FileKind); crate::FILE_COUNT as usize] = [
        ("memfd0", FileKind::Memfd),
        ("memfd1", FileKind::Memfd),
        ("tmpfs0", FileKind::Tmpfs),
        ("lib0", FileKind::Library),
        ("disk0", FileKind::Disk),
    ];
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
