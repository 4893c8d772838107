//! The words of ops on verbs: keys, remote places, scatter/gather lists, ways to register.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{BadRange, Mr, Mw, Pd, bits};

/// Something that has a key: an MR or a memory window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Handle {
    /// The key of an MR, live or not.
    Mr(Mr),
    /// The newest key of a window, live or not, bound or not.
    Mw(Mw),
    /// The key that the window had before its newest one.
    OldMw(Mw),
}

/// `mr0`, `mw0`, `old_mw0`.
impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Handle::Mr(mr) => write!(f, "{mr}"),
            Handle::Mw(mw) => write!(f, "{mw}"),
            Handle::OldMw(mw) => write!(f, "old_{mw}"),
        }
    }
}

/// The key a remote op carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Key {
    /// The rkey of the MR that the op addresses.
    #[default]
    Own,
    /// That rkey with its low byte inverted: the MR is found, the key is wrong.
    Stale,
    /// The key of something else.
    Of(Handle),
}

/// Where a remote op goes and what it shows there.
///
/// An op with a target is skipped if the slot `mr` or that of `key` never held
/// anything; what is dead is addressed with what it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Whose address: its iova.
    pub mr: Mr,
    /// Offset from that, in bytes.
    pub offset: i32,
    /// Whose key.
    pub key: Key,
    /// Over the queue pairs of which protection domain.
    pub qp: Pd,
}

impl Target {
    /// The first byte of `mr`, with its own key, over the first queue pairs.
    pub fn of(mr: Mr) -> Target {
        Target { mr, offset: 0, key: Key::Own, qp: Pd::FIRST }
    }
}

/// One entry of a scatter/gather list: bytes of an MR, by its local key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sge {
    /// Whose iova and lkey. A dead one keeps both.
    pub mr: Mr,
    /// Offset from the first byte of the MR, in bytes.
    pub offset: i32,
    /// How many bytes.
    pub len_bytes: u32,
}

/// `mr0+8:16`.
impl fmt::Display for Sge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:+}:{}", self.mr, self.offset, self.len_bytes)
    }
}

/// Most entries of a scatter/gather list.
pub const SGES_MAX: usize = 3;

/// A scatter/gather list of none to [`SGES_MAX`] entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "[Option<Sge>; SGES_MAX]", into = "[Option<Sge>; SGES_MAX]")]
pub struct Sges([Option<Sge>; SGES_MAX]);

impl TryFrom<[Option<Sge>; SGES_MAX]> for Sges {
    type Error = BadRange;

    fn try_from(entries: [Option<Sge>; SGES_MAX]) -> Result<Sges, BadRange> {
        let ends = entries.iter().skip_while(|entry| entry.is_some());
        if ends.clone().all(Option::is_none) { Ok(Sges(entries)) } else { Err(BadRange) }
    }
}

impl From<Sges> for [Option<Sge>; SGES_MAX] {
    fn from(sges: Sges) -> [Option<Sge>; SGES_MAX] {
        sges.0
    }
}

impl Sges {
    /// A list of these, or nothing if they are more than [`SGES_MAX`].
    pub fn new(entries: &[Sge]) -> Option<Sges> {
        let mut sges = Sges::default();
        if entries.len() > SGES_MAX {
            return None;
        }
        for (to, &from) in sges.0.iter_mut().zip(entries) {
            *to = Some(from);
        }
        Some(sges)
    }

    /// Each entry in turn.
    pub fn iter(&self) -> impl Iterator<Item = Sge> + '_ {
        self.0.iter().flatten().copied()
    }

    /// Each entry in turn, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Sge> + '_ {
        self.0.iter_mut().flatten()
    }

    /// Bytes of all entries together.
    pub fn len_bytes(&self) -> u64 {
        self.iter().map(|sge| u64::from(sge.len_bytes)).sum()
    }
}

/// `mr0+0:8,mr1+4:16`, or `-` for none.
impl fmt::Display for Sges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.iter().map(|sge| sge.to_string()).collect();
        f.write_str(if words.is_empty() { "-" } else { "" })?;
        f.write_str(&words.join(","))
    }
}

/// The way a registration takes through the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RegCall {
    /// The symbol `ibv_reg_mr` of libibverbs. Peers use the virtual address.
    Legacy,
    /// `ibv_reg_mr_iova2`, as C's macro `ibv_reg_mr` calls it.
    Iova2 {
        /// What peers use as the address of the first byte; nothing means the virtual address.
        iova: Option<u64>,
    },
    /// The command `REG_MR` of uverbs, without the library.
    Raw {
        /// What peers use as the address of the first byte; nothing means the virtual address.
        iova: Option<u64>,
    },
}

impl Default for RegCall {
    fn default() -> RegCall {
        RegCall::Iova2 { iova: None }
    }
}

impl RegCall {
    /// The iova that the call asks for, if it is not the virtual address.
    pub fn iova(self) -> Option<u64> {
        match self {
            RegCall::Legacy => None,
            RegCall::Iova2 { iova } | RegCall::Raw { iova } => iova,
        }
    }
}

/// What a reregistration changes: any bits of `IB_MR_REREG_`, also undefined ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rereg(pub u32);

impl Rereg {
    /// The memory (`IB_MR_REREG_TRANS`).
    pub const TRANS: Rereg = Rereg(1);
    /// The protection domain (`IB_MR_REREG_PD`).
    pub const PD: Rereg = Rereg(2);
    /// The rights (`IB_MR_REREG_ACCESS`).
    pub const ACCESS: Rereg = Rereg(4);

    const NAMES: [(u32, &'static str); 3] =
        [(Rereg::TRANS.0, "trans"), (Rereg::PD.0, "pd"), (Rereg::ACCESS.0, "access")];

    /// Whether every bit of `bits` is set.
    pub fn has(self, bits: Rereg) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// These bits without `bits`.
    #[must_use]
    pub const fn without(self, bits: Rereg) -> Rereg {
        Rereg(self.0 & !bits.0)
    }

    /// Reads bits as [`Display`](fmt::Display) writes them: names or `bitN` joined by `|`, or `none`.
    pub fn from_text(text: &str) -> Option<Rereg> {
        bits::read(text, &Self::NAMES).map(Rereg)
    }
}

impl fmt::Display for Rereg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bits::write(f, self.0, &Self::NAMES)
    }
}

/// The two types of memory windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MwKind {
    /// Bound with `ibv_bind_mw`; any queue pair of its protection domain may use it.
    Type1,
    /// Bound by a work request with a key that the process chose; belongs to the
    /// queue pair it was bound on (type 2B).
    Type2,
}

impl fmt::Display for MwKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MwKind::Type1 => "type1",
            MwKind::Type2 => "type2",
        })
    }
}
