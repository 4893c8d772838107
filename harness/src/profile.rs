//! What differs between kernels, as data.

/// The rules of one kernel, each with its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The series: "6.1" or "6.12".
    pub series: &'static str,
}

impl Profile {
    /// Every profile.
    pub const ALL: [&'static Profile; 2] = [&LINUX_6_12_UML, &LINUX_6_1_UML];

    /// The profile of a series ("6.1", "6.12").
    pub fn of_series(series: &str) -> Option<&'static Profile> {
        Self::ALL.into_iter().find(|profile| profile.series == series)
    }
}

/// Linux 6.12 on User Mode Linux.
pub static LINUX_6_12_UML: Profile = Profile { series: "6.12" };

/// Linux 6.1 on User Mode Linux.
pub static LINUX_6_1_UML: Profile = Profile { series: "6.1" };
