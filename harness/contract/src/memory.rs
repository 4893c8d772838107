//! The words of ops on memory: backings, protections, advices, seals, locks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::File;

/// What a mapping is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Backing {
    /// Anonymous memory.
    Anon,
    /// A file, from `page` on.
    File {
        /// Which file.
        file: File,
        /// Page of the file that the first page of the mapping shows.
        page: u8,
    },
    /// `/dev/zero`, from `page` on: anonymous memory that has a file and an offset.
    DevZero {
        /// The offset of the first page of the mapping, in pages.
        page: u8,
    },
    /// Huge pages of the machine's pool (`MAP_ANONYMOUS | MAP_HUGETLB`). The only memory that huge pages
    /// of the arena can show, and that small ones cannot.
    Huge,
}

/// `MAP_PRIVATE` or `MAP_SHARED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sharing {
    /// `MAP_PRIVATE`.
    Private,
    /// `MAP_SHARED`.
    Shared,
}

/// Protection of a mapping: any set of `PROT_READ`, `PROT_WRITE` and `PROT_EXEC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u8")]
pub struct Prot(u8);

impl From<u8> for Prot {
    fn from(bits: u8) -> Prot {
        Prot::from_bits(bits)
    }
}

impl Prot {
    /// No access.
    pub const NONE: Prot = Prot(0);
    /// Read only.
    pub const R: Prot = Prot(1);
    /// Read and write.
    pub const RW: Prot = Prot(3);

    /// From the bits of `PROT_READ` (1), `PROT_WRITE` (2) and `PROT_EXEC` (4); other bits are dropped.
    pub fn from_bits(bits: u8) -> Prot {
        Prot(bits & 7)
    }

    /// `PROT_READ` (1), `PROT_WRITE` (2) and `PROT_EXEC` (4).
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether `PROT_READ` is in it.
    pub fn read(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether `PROT_WRITE` is in it.
    pub fn write(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether `PROT_EXEC` is in it.
    pub fn exec(self) -> bool {
        self.0 & 4 != 0
    }

    pub(crate) const NAMES: [&'static str; 8] = ["none", "r", "w", "rw", "x", "rx", "wx", "rwx"];
}

impl fmt::Display for Prot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[usize::from(self.0)])
    }
}

/// What `madvise` is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the MADV_ constant of that name")]
pub enum Advice {
    DontNeed,
    Free,
    DontFork,
    DoFork,
    WipeOnFork,
    KeepOnFork,
    Mergeable,
    Unmergeable,
    PopulateRead,
    PopulateWrite,
    Remove,
    HugePage,
    NoHugePage,
    Collapse,
    PageOut,
    Cold,
    GuardInstall,
    GuardRemove,
}

impl Advice {
    /// Every advice, with the name it has in the text form and its number in Linux.
    ///
    /// Source: include/uapi/asm-generic/mman-common.h, 6.1, 6.12 and 7.3.
    pub const ALL: [(Advice, &'static str, i32); 18] = [
        (Advice::DontNeed, "dontneed", 4),
        (Advice::Free, "free", 8),
        (Advice::DontFork, "dontfork", 10),
        (Advice::DoFork, "dofork", 11),
        (Advice::WipeOnFork, "wipeonfork", 18),
        (Advice::KeepOnFork, "keeponfork", 19),
        (Advice::Mergeable, "mergeable", 12),
        (Advice::Unmergeable, "unmergeable", 13),
        (Advice::PopulateRead, "populate_read", 22),
        (Advice::PopulateWrite, "populate_write", 23),
        (Advice::Remove, "remove", 9),
        (Advice::HugePage, "hugepage", 14),
        (Advice::NoHugePage, "nohugepage", 15),
        (Advice::Collapse, "collapse", 25),
        (Advice::PageOut, "pageout", 21),
        (Advice::Cold, "cold", 20),
        (Advice::GuardInstall, "guard_install", 102),
        (Advice::GuardRemove, "guard_remove", 103),
    ];

    /// The advice of this name.
    pub fn from_name(name: &str) -> Option<Advice> {
        Self::ALL.into_iter().find(|(_, n, _)| *n == name).map(|(advice, ..)| advice)
    }

    /// Its number in Linux.
    pub fn number(self) -> i32 {
        self.entry().2
    }

    fn entry(self) -> (Advice, &'static str, i32) {
        let entry = Self::ALL.into_iter().find(|(advice, ..)| *advice == self);
        entry.expect("the table has every advice")
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry().1)
    }
}

/// Which mappings `mlockall` or `munlockall` is about.
///
/// Mappings that are there are locked with `MCL_ONFAULT`: without it the
/// executor's own memory would be populated too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LockScope {
    /// `munlockall`: unlocks what is there and no longer locks what comes.
    None,
    /// `MCL_CURRENT | MCL_ONFAULT`.
    Current,
    /// `MCL_FUTURE`.
    Future,
    /// `MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT`.
    Both,
}

impl LockScope {
    /// Every scope, with the name it has in the text form.
    pub const ALL: [(LockScope, &'static str); 4] = [
        (LockScope::None, "none"),
        (LockScope::Current, "current"),
        (LockScope::Future, "future"),
        (LockScope::Both, "both"),
    ];

    /// The scope of this name.
    pub fn from_name(name: &str) -> Option<LockScope> {
        Self::ALL.into_iter().find(|(_, n)| *n == name).map(|(scope, _)| scope)
    }
}

impl fmt::Display for LockScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LockScope::None => "none",
            LockScope::Current => "current",
            LockScope::Future => "future",
            LockScope::Both => "both",
        })
    }
}

/// Seals of a file: any set of the `F_SEAL_` bits from `F_SEAL_SEAL` (1) to `F_SEAL_FUTURE_WRITE` (16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u8")]
pub struct Seals(u8);

impl From<u8> for Seals {
    fn from(bits: u8) -> Seals {
        Seals::from_bits(bits)
    }
}

impl Seals {
    /// No further seals.
    pub const SEAL: Seals = Seals(1);
    /// The file cannot shrink.
    pub const SHRINK: Seals = Seals(2);
    /// The file cannot grow.
    pub const GROW: Seals = Seals(4);
    /// Nobody can write to the file.
    pub const WRITE: Seals = Seals(8);
    /// Nobody can write to the file but through what is mapped already.
    pub const FUTURE_WRITE: Seals = Seals(16);

    const NAMES: [(Seals, &'static str); 5] = [
        (Seals::SEAL, "seal"),
        (Seals::SHRINK, "shrink"),
        (Seals::GROW, "grow"),
        (Seals::WRITE, "write"),
        (Seals::FUTURE_WRITE, "future_write"),
    ];

    /// From the bits of the `F_SEAL_` constants; other bits are dropped.
    pub fn from_bits(bits: u8) -> Seals {
        Seals(bits & 31)
    }

    /// The bits of the `F_SEAL_` constants.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether every seal of `seals` is in it.
    pub fn has(self, seals: Seals) -> bool {
        self.0 & seals.0 == seals.0
    }

    /// Whether some seal of `seals` is in it.
    pub fn has_any(self, seals: Seals) -> bool {
        self.0 & seals.0 != 0
    }

    /// These seals and `seals`.
    #[must_use]
    pub const fn with(self, seals: Seals) -> Seals {
        Seals(self.0 | seals.0)
    }

    /// These seals without `seals`.
    #[must_use]
    pub const fn without(self, seals: Seals) -> Seals {
        Seals(self.0 & !seals.0)
    }

    /// Reads seals as [`Display`](fmt::Display) writes them: names joined by `|`, or `none`.
    pub fn from_text(text: &str) -> Option<Seals> {
        if text == "none" {
            return Some(Seals(0));
        }
        text.split('|').try_fold(Seals(0), |seals, word| {
            let seal = Self::NAMES.iter().find(|(_, name)| *name == word)?;
            Some(seals.with(seal.0))
        })
    }
}

impl fmt::Display for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("none");
        }
        let names = Self::NAMES.iter().filter(|(seal, _)| self.has(*seal)).map(|(_, name)| *name);
        f.write_str(&names.collect::<Vec<_>>().join("|"))
    }
}

/// What the whole machine is told to do, and is waited for until it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Chore {
    /// KSM merges all that can be merged, and stops.
    KsmMerge,
    /// KSM gives every merged page its copies back.
    KsmUnmerge,
    /// `/proc/sys/vm/compact_memory`.
    Compact,
    /// Reclaims what can be reclaimed from the processes of the sequence.
    Reclaim,
    /// `/proc/sys/vm/drop_caches`, with 3.
    DropCaches,
}

impl Chore {
    /// Every chore, with the name it has in the text form.
    pub const ALL: [(Chore, &'static str); 5] = [
        (Chore::KsmMerge, "ksm_merge"),
        (Chore::KsmUnmerge, "ksm_unmerge"),
        (Chore::Compact, "compact"),
        (Chore::Reclaim, "reclaim"),
        (Chore::DropCaches, "drop_caches"),
    ];

    /// The chore of this name.
    pub fn from_name(name: &str) -> Option<Chore> {
        Self::ALL.into_iter().find(|(_, n)| *n == name).map(|(chore, _)| chore)
    }
}

impl fmt::Display for Chore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = Self::ALL.iter().find(|(chore, _)| chore == self);
        f.write_str(entry.expect("the table has every chore").1)
    }
}
