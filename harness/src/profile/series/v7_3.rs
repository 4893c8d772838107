//! Linux 7.3, read in 7.3.4: what changed since 6.12.

use crate::profile::{KsmSwap, Profile};

/// The rules of 7.3. The sources stand at the fields of [`Profile`].
pub(super) const fn rules(before: &Profile) -> Profile {
    Profile { ksm_swap: KsmSwap::Works, ..*before }
}
