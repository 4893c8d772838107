//! Access flags of a registration.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bits;

/// Access flags as `ibv_reg_mr()` takes them. Any bit may be set, also
/// undefined ones: what the kernel says to them is part of what is tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Access(pub u32);

impl Access {
    /// The adapter may write on behalf of local work requests.
    pub const LOCAL_WRITE: Access = Access(1);
    /// Peers may write.
    pub const REMOTE_WRITE: Access = Access(1 << 1);
    /// Peers may read.
    pub const REMOTE_READ: Access = Access(1 << 2);
    /// Peers may do atomics.
    pub const REMOTE_ATOMIC: Access = Access(1 << 3);
    /// Memory windows may be bound.
    pub const MW_BIND: Access = Access(1 << 4);
    /// Addresses count from zero.
    pub const ZERO_BASED: Access = Access(1 << 5);
    /// Pages are not pinned but faulted in on demand.
    pub const ON_DEMAND: Access = Access(1 << 6);
    /// Backed by huge pages.
    pub const HUGETLB: Access = Access(1 << 7);
    /// Peers may flush to global visibility.
    pub const FLUSH_GLOBAL: Access = Access(1 << 8);
    /// Peers may flush to persistence.
    pub const FLUSH_PERSISTENT: Access = Access(1 << 9);
    /// PCIe relaxed ordering is fine (an optional flag).
    pub const RELAXED_ORDERING: Access = Access(1 << 20);
    /// What the CPU writes after the registration need not be seen: a flag that was proposed in 2013 and that only
    /// `targets/kernel/designs/non-coherent*.patch` know. It is the last of the optional bits (20 to 29, of which Linux
    /// gives away the lowest first), because it is a permission: who does not know it may ignore it.
    pub const NON_COHERENT: Access = Access(1 << 29);

    const NAMES: [(u32, &'static str); 12] = [
        (Access::LOCAL_WRITE.0, "local_write"),
        (Access::REMOTE_WRITE.0, "remote_write"),
        (Access::REMOTE_READ.0, "remote_read"),
        (Access::REMOTE_ATOMIC.0, "remote_atomic"),
        (Access::MW_BIND.0, "mw_bind"),
        (Access::ZERO_BASED.0, "zero_based"),
        (Access::ON_DEMAND.0, "on_demand"),
        (Access::HUGETLB.0, "hugetlb"),
        (Access::FLUSH_GLOBAL.0, "flush_global"),
        (Access::FLUSH_PERSISTENT.0, "flush_persistent"),
        (Access::RELAXED_ORDERING.0, "relaxed_ordering"),
        (Access::NON_COHERENT.0, "non_coherent"),
    ];

    /// Whether every flag of `flags` is set.
    pub fn has(self, flags: Access) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether some flag of `flags` is set.
    pub fn has_any(self, flags: Access) -> bool {
        self.0 & flags.0 != 0
    }

    /// These flags and `flags`.
    #[must_use]
    pub const fn with(self, flags: Access) -> Access {
        Access(self.0 | flags.0)
    }

    /// These flags without `flags`.
    #[must_use]
    pub const fn without(self, flags: Access) -> Access {
        Access(self.0 & !flags.0)
    }

    /// Reads flags as [`Display`](fmt::Display) writes them: names or `bitN`
    /// joined by `|`, or `none`.
    pub fn from_text(text: &str) -> Option<Access> {
        bits::read(text, &Self::NAMES).map(Access)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bits::write(f, self.0, &Self::NAMES)
    }
}
