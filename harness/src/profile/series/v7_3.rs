//! Linux 7.3, read in 7.3.4: what changed since 6.12.

use crate::profile::{AbsentAnonVma, AnonOffset, KsmSwap, Profile, RemapOrder, SwapExclusive};

/// The rules of 7.3. The sources stand at the fields of [`Profile`].
pub(super) const fn rules(before: &Profile) -> Profile {
    Profile {
        absent_anon_vma: AbsentAnonVma::OfEither,
        anon_offset: AnonOffset::OwnForFiles,
        remap_order: RemapOrder::ChecksFirst,
        ksm_swap: KsmSwap::Works,
        swap_exclusive: SwapExclusive::Marked,
        ..*before
    }
}
