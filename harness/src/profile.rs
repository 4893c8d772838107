//! What differs between kernels, as data: one field a rule, each with its source.

use pinfold_contract::{Access, Errno};

/// The rules in which kernels differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The series, as in the name of a target: "6.1", "6.12".
    pub series: &'static str,

    /// How `ib_umem_get()` pins for a registration without any write right.
    ///
    /// Source: `ib_umem_get()`, drivers/infiniband/core/umem.c, 6.1 and 6.12.
    pub read_only_pin: ReadOnlyPin,

    /// Access bits that `ib_check_mr_access()` knows; any other is EINVAL.
    ///
    /// Source: `IB_ACCESS_SUPPORTED`, include/rdma/ib_verbs.h, 6.1 and 6.12.
    pub access_known: Access,

    /// The errno for ON_DEMAND on a device without on-demand paging.
    ///
    /// Source: `ib_check_mr_access()`, include/rdma/ib_verbs.h, 6.1 and 6.12.
    pub on_demand_errno: Errno,

    /// Known access bits that rxe refuses with EOPNOTSUPP.
    ///
    /// Source: `rxe_reg_user_mr()`, drivers/infiniband/sw/rxe/rxe_verbs.c, 6.12; 6.1 has no such test.
    pub access_unsupported: Access,

    /// In which order `mmap` tries to merge the new mapping with its neighbours.
    ///
    /// Source: `__mmap_region()`, mm/mmap.c, 6.1; `vma_merge_new_range()`, mm/vma.c, 6.12.
    pub mmap_merge: MmapMerge,

    /// What `mprotect` does with VM_ACCOUNT when it takes the write right from
    /// anonymous memory that was never written.
    ///
    /// Source: `mprotect_fixup()`, mm/mprotect.c, 6.1 and 6.12.
    pub unwritten_account: UnwrittenAccount,
}

/// How a registration without any write right pins its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnlyPin {
    /// FOLL_WRITE | FOLL_FORCE: a write fault on every page, through read-only
    /// private mappings too; refused on read-only shared ones.
    ForcedWrite,
    /// FOLL_LONGTERM alone: a read fault, then unsharing of what is not
    /// exclusive in a private mapping.
    Unsharing,
}

/// In which order `mmap` merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmapMerge {
    /// The next mapping first; the previous one too if it fits the next.
    NextFirst,
    /// The previous mapping first; the next one too if it fits the previous.
    PrevFirst,
}

/// What becomes of VM_ACCOUNT on anonymous memory without an anon_vma that
/// loses its write right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnwrittenAccount {
    /// It stays.
    Kept,
    /// It goes.
    Cleared,
}

impl Profile {
    /// Every profile, the default first.
    pub const ALL: [&'static Profile; 2] = [&LINUX_6_12, &LINUX_6_1];

    /// The profile of a series ("6.1", "6.12").
    pub fn of_series(series: &str) -> Option<&'static Profile> {
        Self::ALL.into_iter().find(|profile| profile.series == series)
    }
}

/// `IB_ACCESS_OPTIONAL`: bits 20 to 29.
const OPTIONAL: Access = Access(0x3ff0_0000);

/// Linux 6.12 (read in 6.12.117).
pub static LINUX_6_12: Profile = Profile {
    series: "6.12",
    read_only_pin: ReadOnlyPin::Unsharing,
    access_known: OPTIONAL.with(Access(0x3ff)),
    on_demand_errno: Errno::EOPNOTSUPP,
    access_unsupported: Access::ZERO_BASED.with(Access::HUGETLB),
    mmap_merge: MmapMerge::PrevFirst,
    unwritten_account: UnwrittenAccount::Cleared,
};

/// Linux 6.1 (read in 6.1.192).
pub static LINUX_6_1: Profile = Profile {
    series: "6.1",
    read_only_pin: ReadOnlyPin::ForcedWrite,
    access_known: OPTIONAL.with(Access(0xff)),
    on_demand_errno: Errno::EINVAL,
    access_unsupported: Access(0),
    mmap_merge: MmapMerge::NextFirst,
    unwritten_account: UnwrittenAccount::Kept,
};
