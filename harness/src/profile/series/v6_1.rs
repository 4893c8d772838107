//! Linux 6.1, read in 6.1.192.

use pinfold_contract::{Access, Errno, Rereg, Series, WcStatus};

use crate::profile::{
    AbsentAnonVma, Adapter, AnonOffset, DiskPunch, DiskTail, FailedSend, FutureWriteCheck,
    GuardRegions, GupFast, HugeAdvice, HugeDofork, HugeForced, HugePages, HugeZap, KsmSearch,
    KsmSwap, LastPageTable, LazyfreePinned, MmapMerge, NonCoherent, OnDemand, Platform,
    PopulateAtHole, Profile, RemapOrder, SwapExclusive, SwapSpace, TrackedWritePin, Umem, Unshare,
    UnwrittenAccount, WriteOnlyLoad,
};

/// `IB_ACCESS_OPTIONAL`: bits 20 to 29.
const OPTIONAL: Access = Access(0x3ff0_0000);

/// kernel.org keeps it up for years, and Debian 12 has it.
pub(super) const IS_LONG_TERM: bool = true;

/// Every rule, on User Mode Linux. The sources stand at the fields of [`Profile`].
pub(super) const RULES: Profile = Profile {
    series: Series::new(6, 1),
    platform: Platform::Uml,
    adapter: Adapter::Rxe,
    swap_space: SwapSpace::RamDisk,
    umem: Umem::AlwaysWrite,
    unshare: Unshare::Anonymous,
    non_coherent: NonCoherent::Ignored,
    access_known: OPTIONAL.with(Access(0xff)),
    on_demand: OnDemand::Refused(Errno::EINVAL),
    access_unsupported: Access(0),
    mmap_merge: MmapMerge::NextFirst,
    absent_anon_vma: AbsentAnonVma::OfTheNewcomer,
    anon_offset: AnonOffset::OfTheFile,
    remap_order: RemapOrder::UnmapsFirst,
    unwritten_account: UnwrittenAccount::Kept,
    disk_tail: DiskTail::Kept,
    disk_punch: DiskPunch::WritesFirst,
    future_write_check: FutureWriteCheck::Last,
    populate_at_hole: PopulateAtHole::Continues,
    table_for_last_page: LastPageTable::Made,
    huge_advice: HugeAdvice::Unknown,
    guard_regions: GuardRegions::Unknown,
    huge_pages: HugePages::None,
    huge_dofork: HugeDofork::Works,
    huge_forced: HugeForced::Refused,
    huge_zap: HugeZap::UsesUp,
    write_only_load: WriteOnlyLoad::WithoutFault,
    gup_fast: GupFast::Absent,
    ksm_swap: KsmSwap::Works,
    ksm_search: KsmSearch::BeforeItLeaves,
    swap_exclusive: SwapExclusive::LastEntry,
    lazyfree_pinned: LazyfreePinned::Kept,
    tracked_write_pin: TrackedWritePin::Allowed,
    rereg_changes: Rereg(0),
    window_unsupported: Access(0),
    failed_send: FailedSend::Reported,
    local_range_status: WcStatus::LOC_PROT_ERR,
};
