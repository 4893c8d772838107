//! Decides from what was predicted and what was seen whether a target is right.

use std::fmt;

use pinfold_contract::{Sequence, Trace};
use serde::{Deserialize, Serialize};

use crate::model::PredictedStep;

/// What the oracles say of one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The target did what the model allows, and everything was compared.
    Agrees,
    /// The target did what the model forbids.
    Diverges(Divergence),
    /// This cannot be judged.
    Inconclusive {
        /// Why not.
        reason: Inconclusive,
    },
}

/// The first place where the target did what the model forbids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// The op it happened in. As many as there are ops when it was seen after the last one.
    pub op_index: usize,
    /// The oracle that saw it.
    pub oracle: Oracle,
    /// What the model said.
    pub predicted: String,
    /// What the target did.
    pub seen: String,
    /// What kind of difference it is, without any value that another instance of
    /// the same cause would have differently: a part of the signature.
    pub class: String,
    /// Everything a person wants to know, in one line or more.
    pub detail: String,
}

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oracle {
    /// The kernel complains of itself, or dies.
    KernelLog,
    /// A key or a mapping let through what it does not permit.
    Protection,
    /// A result that the model does not allow.
    Outcome,
    /// Bytes that the adapter or a process sees.
    Coherence,
    /// Which pages share a frame.
    Frames,
    /// What memory is charged for.
    Accounting,
    /// What is left when everything is gone.
    Teardown,
}

impl Oracle {
    /// Every oracle, in the order in which they are asked about one op.
    ///
    /// A complaint of the kernel explains whatever follows, and a wrong result
    /// explains a wrong state.
    pub const ALL: [Oracle; 7] = [
        Oracle::KernelLog,
        Oracle::Protection,
        Oracle::Outcome,
        Oracle::Coherence,
        Oracle::Frames,
        Oracle::Accounting,
        Oracle::Teardown,
    ];

    /// Its name, as in a signature.
    pub fn name(self) -> &'static str {
        match self {
            Oracle::KernelLog => "kernel_log",
            Oracle::Protection => "protection",
            Oracle::Outcome => "outcome",
            Oracle::Coherence => "coherence",
            Oracle::Frames => "frames",
            Oracle::Accounting => "accounting",
            Oracle::Teardown => "teardown",
        }
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a sequence cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inconclusive {
    /// The trace says that it ended well, and does not have every op.
    TraceIsShort,
    /// One side looked at the state after an op and the other did not.
    NotLookedAt,
    /// The target failed without giving a trace. Never said by [`judge`].
    TargetFailed {
        /// In which way, for a person.
        reason: String,
    },
}

impl Inconclusive {
    /// A name to count it under.
    pub fn name(&self) -> &'static str {
        match self {
            Inconclusive::TraceIsShort => "trace is short",
            Inconclusive::NotLookedAt => "state not looked at",
            Inconclusive::TargetFailed { .. } => "target failed",
        }
    }
}

impl fmt::Display for Inconclusive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Inconclusive::TraceIsShort | Inconclusive::NotLookedAt => f.write_str(self.name()),
            Inconclusive::TargetFailed { reason } => write!(f, "{}: {reason}", self.name()),
        }
    }
}

/// Compares what was predicted of `sequence` with what a target did.
///
/// # Panics
///
/// If `predicted` is not one step an op.
pub fn judge(sequence: &Sequence, predicted: &[PredictedStep], _trace: &Trace) -> Verdict {
    assert_eq!(sequence.ops.len(), predicted.len(), "the prediction of another sequence");
    unimplemented!()
}
