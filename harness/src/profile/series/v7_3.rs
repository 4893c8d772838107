//! Linux 7.3, read in 7.3.4: what changed since 7.2.

use crate::profile::{AnonOffset, Profile};

/// The rules of 7.3. The sources stand at the fields of [`Profile`].
pub(super) const fn rules(before: &Profile) -> Profile {
    Profile { anon_offset: AnonOffset::OwnForFiles, ..*before }
}
