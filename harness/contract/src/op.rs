//! One call on the registration path and its arguments.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Access, ByteRange, PageRange, Position};

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

/// A memory file of [`FILE_PAGES`](crate::FILE_PAGES) pages, `memfd0` or `memfd1`. All holes at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct File(u8);

impl TryFrom<u8> for File {
    type Error = NoSuchSlot;

    fn try_from(index: u8) -> Result<File, NoSuchSlot> {
        File::new(index).ok_or(NoSuchSlot)
    }
}

impl File {
    /// File `index`, or nothing from [`FILE_COUNT`](crate::FILE_COUNT) on.
    pub fn new(index: u8) -> Option<File> {
        (index < crate::FILE_COUNT).then_some(File(index))
    }

    /// Its number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What a mapping is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Backing {
    /// Anonymous memory.
    Anon,
    /// A memory file, from `page` on.
    Memfd {
        /// Which file.
        file: File,
        /// Page of the file that the first page of the mapping shows.
        page: u8,
    },
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

/// The key a remote op carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Key {
    /// The rkey of the MR that the op addresses.
    Own,
    /// That rkey with its low byte inverted: the MR is found, the key is wrong.
    Stale,
    /// The rkey of another MR.
    Of(Mr),
}

/// One call on the registration path, as user space makes it.
///
/// Every op is defined in every state: on an empty slot, a taken slot or a
/// process that is not there it is skipped. So removing ops from a sequence
/// always leaves a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// `mmap(MAP_FIXED)`, over whatever is there.
    Map {
        /// Who maps.
        proc: Proc,
        /// Where.
        pages: PageRange,
        /// What.
        backing: Backing,
        /// Private or shared.
        sharing: Sharing,
        /// With which protection.
        prot: Prot,
    },
    /// `munmap`.
    Unmap {
        /// Who unmaps.
        proc: Proc,
        /// What.
        pages: PageRange,
    },
    /// `mprotect`.
    Protect {
        /// Who changes protection.
        proc: Proc,
        /// Where.
        pages: PageRange,
        /// To what.
        prot: Prot,
    },
    /// The CPU stores `tag` into `len_bytes` bytes, ascending.
    Write {
        /// Who writes.
        proc: Proc,
        /// First byte.
        at: Position,
        /// How many bytes.
        len_bytes: u32,
        /// The value of each.
        tag: u8,
    },
    /// The CPU loads `len_bytes` bytes, ascending.
    Read {
        /// Who reads.
        proc: Proc,
        /// First byte.
        at: Position,
        /// How many bytes.
        len_bytes: u32,
    },
    /// `fork`. Skipped if `child` is taken or is `p0`.
    Fork {
        /// The parent.
        proc: Proc,
        /// The slot of the child.
        child: Proc,
    },
    /// `_exit`, and the parent has seen it. Skipped for `p0`.
    Exit {
        /// Who exits.
        proc: Proc,
    },
    /// `setrlimit(RLIMIT_MEMLOCK)` in `p0`: the soft limit, in bytes. `u64::MAX` is
    /// unlimited, and that is what each sequence starts with.
    Limit {
        /// The limit.
        bytes: u64,
    },
    /// `ibv_reg_mr` in `p0`. Skipped if the slot is taken.
    Reg {
        /// The slot.
        mr: Mr,
        /// The memory.
        range: ByteRange,
        /// The rights.
        access: Access,
    },
    /// `ibv_dereg_mr` in `p0`. The slot remembers address and key.
    Dereg {
        /// The slot.
        mr: Mr,
    },
    /// RDMA read into the bounce buffer of `p0`. Skipped if the slot `mr` or that of
    /// `key` never held an MR; a deregistered one is addressed with what it had.
    RemoteRead {
        /// Whose address.
        mr: Mr,
        /// Offset from the first byte of the MR, in bytes.
        offset: i32,
        /// How many bytes, at most the size of the arena.
        len_bytes: u32,
        /// Whose key.
        key: Key,
    },
    /// RDMA write of `tag` from the bounce buffer of `p0`. Skipped as [`Op::RemoteRead`] is.
    RemoteWrite {
        /// Whose address.
        mr: Mr,
        /// Offset from the first byte of the MR, in bytes.
        offset: i32,
        /// How many bytes, at most the size of the arena.
        len_bytes: u32,
        /// The value of each.
        tag: u8,
        /// Whose key.
        key: Key,
    },
}

/// Which op, without its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the op of the same name")]
pub enum OpKind {
    Map,
    Unmap,
    Protect,
    Write,
    Read,
    Fork,
    Exit,
    Limit,
    Reg,
    Dereg,
    RemoteRead,
    RemoteWrite,
}

impl OpKind {
    /// Every kind, in the order in which they were added.
    pub const ALL: [OpKind; 12] = [
        OpKind::Map,
        OpKind::Unmap,
        OpKind::Protect,
        OpKind::Write,
        OpKind::Read,
        OpKind::Fork,
        OpKind::Exit,
        OpKind::Limit,
        OpKind::Reg,
        OpKind::Dereg,
        OpKind::RemoteRead,
        OpKind::RemoteWrite,
    ];

    /// The word that begins its line in the text form.
    pub fn word(self) -> &'static str {
        match self {
            OpKind::Map => "map",
            OpKind::Unmap => "unmap",
            OpKind::Protect => "protect",
            OpKind::Write => "write",
            OpKind::Read => "read",
            OpKind::Fork => "fork",
            OpKind::Exit => "exit",
            OpKind::Limit => "limit",
            OpKind::Reg => "reg",
            OpKind::Dereg => "dereg",
            OpKind::RemoteRead => "read_remote",
            OpKind::RemoteWrite => "write_remote",
        }
    }

    /// The kind whose word is `word`.
    pub fn from_word(word: &str) -> Option<OpKind> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Op {
    /// Which op this is.
    pub fn kind(self) -> OpKind {
        match self {
            Op::Map { .. } => OpKind::Map,
            Op::Unmap { .. } => OpKind::Unmap,
            Op::Protect { .. } => OpKind::Protect,
            Op::Write { .. } => OpKind::Write,
            Op::Read { .. } => OpKind::Read,
            Op::Fork { .. } => OpKind::Fork,
            Op::Exit { .. } => OpKind::Exit,
            Op::Limit { .. } => OpKind::Limit,
            Op::Reg { .. } => OpKind::Reg,
            Op::Dereg { .. } => OpKind::Dereg,
            Op::RemoteRead { .. } => OpKind::RemoteRead,
            Op::RemoteWrite { .. } => OpKind::RemoteWrite,
        }
    }

    /// The process that acts.
    pub fn proc(self) -> Proc {
        match self {
            Op::Map { proc, .. }
            | Op::Unmap { proc, .. }
            | Op::Protect { proc, .. }
            | Op::Write { proc, .. }
            | Op::Read { proc, .. }
            | Op::Fork { proc, .. }
            | Op::Exit { proc } => proc,
            Op::Limit { .. }
            | Op::Reg { .. }
            | Op::Dereg { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. } => Proc::P0,
        }
    }
}
