//! Linux 7.2, read in 7.2.13: what changed since 6.12.

use crate::profile::{
    AbsentAnonVma, GuardRegions, HugeAdvice, HugeDofork, HugeForced, KsmSwap, LazyfreePinned,
    OnDemand, Platform, Profile, RemapOrder, SwapExclusive,
};

/// The rules of 7.2. The sources stand at the fields of [`Profile`].
pub(super) const fn rules(before: &Profile) -> Profile {
    let rules = Profile {
        absent_anon_vma: AbsentAnonVma::OfEither,
        remap_order: RemapOrder::ChecksFirst,
        guard_regions: GuardRegions::Known,
        ksm_swap: KsmSwap::Works,
        // `do_swap_page()`, mm/memory.c, 7.2, also asks for a page that nobody else refers to; the
        // swap cache always does, and every page comes back through it.
        swap_exclusive: SwapExclusive::Marked,
        lazyfree_pinned: LazyfreePinned::StaysGivenUp,
        ..*before
    };
    match before.platform {
        // Built without CONFIG_INFINIBAND_ON_DEMAND_PAGING, and it has no huge pages.
        Platform::Uml => rules,
        Platform::X86 => Profile {
            on_demand: OnDemand::NotModelled,
            huge_advice: HugeAdvice::OnlyNoted,
            huge_dofork: HugeDofork::Refused,
            huge_forced: HugeForced::Works,
            ..rules
        },
    }
}
