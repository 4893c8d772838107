//! What a target may lack, and which sequences ask for it.
//!
//! A sequence that asks for huge pages where there are none is refused them, as it should be, and agrees; what it is about
//! was not tried. So a replay says what is lacking. An op that says what it expects is about the refusal, and asks for
//! nothing.
//!
//! What an older series refuses (guard regions, reregistration) is no lack: that it does is one of its rules.

use std::fmt;

use pinfold_contract::{Access, Backing, Op, Outcome, SeqFile};

use crate::model::{Prediction, outcomes, refuses_rights};
use crate::profile::{HugePages, OnDemand, Profile, SwapSpace};

/// Something that a target has or lacks, whatever its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// A pool of huge pages.
    HugePages,
    /// Something that pages can be swapped to.
    SwapSpace,
    /// Registrations that pin nothing.
    OnDemandPaging,
}

impl Capability {
    const ALL: [Capability; 3] =
        [Capability::HugePages, Capability::SwapSpace, Capability::OnDemandPaging];

    /// Whether a target with these rules has it.
    fn is_there(self, profile: &Profile) -> bool {
        match self {
            Capability::HugePages => profile.huge_pages == HugePages::Pool,
            Capability::SwapSpace => profile.swap_space == SwapSpace::RamDisk,
            // Where the model has no rules for it the verdict is inconclusive, which says so.
            Capability::OnDemandPaging => profile.on_demand == OnDemand::NotModelled,
        }
    }

    /// Whether `op` would be done with it, and is not without: then it does what `predicted` says.
    fn is_asked_for(self, profile: &Profile, op: &Op, predicted: &Prediction) -> bool {
        let is_done = *predicted.expected() != Outcome::Skipped;
        match self {
            Capability::HugePages => {
                is_done && matches!(op, Op::Map { backing: Backing::Huge, .. })
            }
            // Where there is none it is skipped.
            Capability::SwapSpace => matches!(op, Op::Swap { on: true }),
            Capability::OnDemandPaging => {
                let Op::Reg { access, .. } = op else { return false };
                is_done
                    && access.has(Access::ON_DEMAND)
                    && !refuses_rights(profile, access.without(Access::ON_DEMAND))
            }
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Capability::HugePages => "huge pages",
            Capability::SwapSpace => "swap space",
            Capability::OnDemandPaging => "on-demand paging",
        })
    }
}

/// What a sequence asks for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The first op that does, from 0.
    pub op_index: usize,
    /// What for.
    pub capability: Capability,
}

/// `op 2 asks for huge pages, which the target lacks`
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lack { op_index, capability } = self;
        write!(f, "op {op_index} asks for {capability}, which the target lacks")
    }
}

/// What `file` asks for and a target with the rules of `profile` lacks; each once.
pub fn lacking(profile: &Profile, file: &SeqFile) -> Vec<Lack> {
    let is_silent = |op_index: usize| {
        file.expectations.get(op_index).is_none_or(|expectation| {
            let (series, platform) = (profile.series, profile.platform.name());
            expectation.as_ref().and_then(|e| e.on(series, platform)).is_none()
        })
    };
    let predictions = outcomes(profile, &file.sequence);
    let lack = |capability: Capability| {
        let mut ops = file.sequence.ops.iter().zip(&predictions).enumerate();
        let (op_index, _) = ops.find(|(index, (op, predicted))| {
            is_silent(*index) && capability.is_asked_for(profile, op, predicted)
        })?;
        Some(Lack { op_index, capability })
    };
    Capability::ALL.into_iter().filter(|it| !it.is_there(profile)).filter_map(lack).collect()
}

#[cfg(test)]
mod tests {
    use pinfold_contract::parse;

    use super::*;
    use crate::profile::{Platform, linux};

    fn lacks(profile: &Profile, ops: &str) -> Vec<String> {
        let file = parse(&format!("# pinfold 1\n{ops}")).unwrap();
        lacking(profile, &file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_target_lacks_is_told_by_its_rules() {
        let ops = "map h0..h1 huge private rw\nmap 0..1 anon private rw\nswap off\nswap on\n\
                   reg mr0 0..1 remote_read|on_demand\n";
        let uml = linux("7.3");
        let (huge, on_demand) = (
            "op 0 asks for huge pages, which the target lacks",
            "op 4 asks for on-demand paging, which the target lacks",
        );
        assert_eq!(lacks(uml, ops), [huge, on_demand]);
        assert_eq!(lacks(linux("6.12").on(Platform::X86), ops), [on_demand]);
        assert_eq!(lacks(uml.on(Platform::X86), ops), [""; 0]);
        let without_swap = Profile { swap_space: SwapSpace::None, ..*uml.on(Platform::X86) };
        assert_eq!(lacks(&without_swap, ops), ["op 3 asks for swap space, which the target lacks"]);
    }

    #[test]
    fn an_op_that_expects_its_refusal_or_has_another_one_asks_for_nothing() {
        let uml = linux("7.3");
        assert_eq!(lacks(uml, "map h0..h1 huge private rw # = x86: ok, EINVAL\n"), [""; 0]);
        assert_eq!(lacks(uml, "map 0..1 huge private rw\n"), [""; 0]);
        assert_eq!(lacks(uml, "p1 map h0..h1 huge private rw\n"), [""; 0]);
        assert_eq!(lacks(uml, "reg mr0 0..1 remote_write|on_demand\n"), [""; 0]);
        assert_eq!(lacks(uml, "advise 0..1 guard_install\nmap 0..1 disk0 shared rw\n"), [""; 0]);
    }
}
