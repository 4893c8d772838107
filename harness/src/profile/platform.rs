//! What a kernel runs on, and the adapter it drives.

use super::{GupFast, HugeAdvice, HugePages, HugeZap, Profile, WriteOnlyLoad};

/// What a kernel runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// User Mode Linux, in the configuration of targets/kernel/uml.config.
    Uml,
    /// A PC with more than one processor, in the configuration of a distribution.
    X86,
}

impl Platform {
    /// All of them.
    pub const ALL: [Platform; 2] = [Platform::Uml, Platform::X86];

    /// As in expectations and in `defect.toml`: `uml` or `x86`.
    pub fn name(self) -> &'static str {
        match self {
            Platform::Uml => "uml",
            Platform::X86 => "x86",
        }
    }

    /// The one that is called `name`.
    pub fn from_name(name: &str) -> Option<Platform> {
        Platform::ALL.into_iter().find(|platform| platform.name() == name)
    }

    /// The same rules on this platform. What a platform changes in one series only stands with the series.
    pub(super) const fn apply(self, rules: &Profile) -> Profile {
        match self {
            Platform::Uml => Profile {
                platform: Platform::Uml,
                huge_advice: HugeAdvice::Unknown,
                huge_pages: HugePages::None,
                // Without huge pages every series is alike.
                huge_zap: HugeZap::PromisesAgain,
                write_only_load: WriteOnlyLoad::WithoutFault,
                gup_fast: GupFast::Absent,
                ..*rules
            },
            Platform::X86 => Profile {
                platform: Platform::X86,
                huge_advice: HugeAdvice::Noted,
                huge_pages: HugePages::Pool,
                write_only_load: WriteOnlyLoad::Works,
                gup_fast: GupFast::First,
                ..*rules
            },
        }
    }
}

/// The device whose rules a profile has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapter {
    /// Soft-RoCE, drivers/infiniband/sw/rxe.
    Rxe,
}
