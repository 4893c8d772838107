//! Linux 7.2, read in 7.2.13: what changed since 6.12.

use crate::profile::{AbsentAnonVma, KsmSwap, Profile, RemapOrder, SwapExclusive};

/// The rules of 7.2. The sources stand at the fields of [`Profile`].
pub(super) const fn rules(before: &Profile) -> Profile {
    Profile {
        absent_anon_vma: AbsentAnonVma::OfEither,
        remap_order: RemapOrder::ChecksFirst,
        ksm_swap: KsmSwap::Works,
        // `do_swap_page()`, mm/memory.c, 7.2, also asks for a page that nobody else refers to; the
        // swap cache always does, and every page comes back through it.
        swap_exclusive: SwapExclusive::Marked,
        ..*before
    }
}
