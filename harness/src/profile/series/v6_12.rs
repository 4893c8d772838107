//! Linux 6.12, read in 6.12.117: what changed since 6.1.

use pinfold_contract::{Access, Errno, Rereg, WcStatus};

use crate::profile::{
    DiskPunch, DiskTail, FailedSend, FutureWriteCheck, HugeZap, KsmSearch, KsmSwap, LastPageTable,
    MmapMerge, OnDemand, Platform, PopulateAtHole, Profile, TrackedWritePin, Umem, Unshare,
    UnwrittenAccount,
};

/// kernel.org keeps it up for years, and Debian 13 has it.
pub(super) const IS_LONG_TERM: bool = true;

/// The rules of 6.12. The sources stand at the fields of [`Profile`].
pub(super) const fn rules(before: &Profile) -> Profile {
    Profile {
        umem: Umem::WriteIfWritable,
        unshare: Unshare::Private,
        access_known: before.access_known.with(Access(0x300)),
        on_demand: OnDemand::Refused(Errno::EOPNOTSUPP),
        access_unsupported: Access::ZERO_BASED.with(Access::HUGETLB),
        mmap_merge: MmapMerge::PrevFirst,
        unwritten_account: UnwrittenAccount::Cleared,
        disk_tail: DiskTail::Zeroed,
        disk_punch: DiskPunch::DropsAll,
        future_write_check: FutureWriteCheck::First,
        populate_at_hole: PopulateAtHole::Stops,
        table_for_last_page: LastPageTable::Missing,
        huge_zap: HugeZap::PromisesAgain,
        ksm_swap: match before.platform {
            Platform::Uml => KsmSwap::FailsOnce,
            Platform::X86 => KsmSwap::Works,
        },
        ksm_search: KsmSearch::OnceItLeft,
        tracked_write_pin: TrackedWritePin::Refused,
        rereg_changes: Rereg(Rereg::PD.0 | Rereg::ACCESS.0),
        window_unsupported: Access(!0x3ff0_037f),
        failed_send: FailedSend::Flushed,
        local_range_status: WcStatus::LOC_QP_OP_ERR,
        ..*before
    }
}
