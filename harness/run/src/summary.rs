//! What a run of `pinfold fuzz` found, as numbers and as the JSON object of the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pinfold::model::Refusal;
use pinfold::oracle::Oracle;
use pinfold::patch::Ledger;
use pinfold::signature::Signature;
use pinfold::tally::{KindTally, Tally};
use pinfold_contract::OpKind;
use serde::{Deserialize, Serialize};

use crate::blocks::BlockCount;
use crate::bundle::Reliability;

/// So many sequences without one op of a kind ever working mean that the harness is broken, not that the run was short.
pub const VACUITY_SEQUENCES_MIN: u64 = 10_000;

/// The final object: what `--json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this form.
    pub schema: u32,
    /// The target.
    pub target: String,
    /// `uname -r` of its kernel.
    pub kernel: String,
    /// Whose rules it was held to.
    #[serde(default)]
    pub rules: String,
    /// Sequences run.
    pub sequences: u64,
    /// Ops that came to an end.
    pub ops: u64,
    /// Sequences in which the target did what the model allows.
    pub agrees: u64,
    /// Sequences with a divergence that nothing explains.
    pub diverges: u64,
    /// Sequences that could not be judged.
    pub inconclusive: u64,
    /// Sequences with a divergence that the known list explains.
    pub known: u64,
    /// Those of them whose entry is only presumed to hold for this kernel.
    #[serde(default)]
    pub presumed: u64,
    /// Time spent fuzzing, without build and boot.
    pub seconds: f64,
    /// Repeats the run.
    pub rng_seed: u64,
    /// What the ops did: a run in which nothing works finds nothing.
    pub coverage: Coverage,
    /// One a signature, by name.
    pub findings: Vec<FoundSignature>,
    /// All counts, of which the above are the gist.
    #[serde(skip)]
    pub tally: Tally,
    /// What each registration cost, if that was to be kept.
    #[serde(skip)]
    pub ledger: Ledger,
    /// Time spent on findings, of all jobs together.
    #[serde(skip)]
    pub pursued: Duration,
}

/// What the ops of a run did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// What became of each kind of op.
    pub ops: BTreeMap<OpKind, KindTally>,
    /// Kinds of op that never once worked.
    pub never_done: Vec<OpKind>,
    /// What became of each variety of op: each advice, file, kind of key.
    #[serde(default)]
    pub varieties: BTreeMap<String, KindTally>,
    /// Varieties of op that never once worked.
    #[serde(default)]
    pub varieties_never_done: Vec<String>,
    /// How many of the refusals that the model knows were seen.
    #[serde(default)]
    pub refusals_seen: usize,
    /// Refusals that the model knows and that never came.
    #[serde(default)]
    pub refusals_never_seen: Vec<NeverSeen>,
    /// Blocks of the kernel that ran, of one that notes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<BlockCount>,
    /// Ops of a sequence that were not skipped, in the median.
    pub executed_ops_median: u64,
    /// Sequences that could not be judged, by reason.
    pub inconclusive: BTreeMap<String, u64>,
}

impl Coverage {
    /// The coverage of a run with these counts.
    pub(crate) fn of(tally: &Tally) -> Coverage {
        Coverage {
            ops: tally.kinds.clone(),
            never_done: tally.never_done(),
            varieties: tally.varieties.clone(),
            varieties_never_done: tally.varieties_never_done(),
            refusals_seen: tally.seen_count(),
            refusals_never_seen: tally.never_seen().into_iter().map(NeverSeen::from).collect(),
            kernel: None,
            executed_ops_median: tally.executed_ops_median(),
            inconclusive: tally.inconclusive.clone(),
        }
    }
}

/// A refusal that the model knows and no op of a run was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeverSeen {
    /// The op.
    pub op: OpKind,
    /// What it was not refused with.
    pub name: String,
    /// Why it cannot be seen on such a target, if there is a reason.
    pub why: Option<String>,
    /// The first target that may show it, if there is a reason.
    pub first_target: Option<String>,
}

impl From<Refusal> for NeverSeen {
    fn from(refusal: Refusal) -> NeverSeen {
        NeverSeen {
            op: refusal.kind,
            name: refusal.name.to_owned(),
            why: refusal.unseen.map(|unseen| unseen.why().to_owned()),
            first_target: refusal.unseen.map(|unseen| unseen.first_target().to_owned()),
        }
    }
}

/// All findings of one signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundSignature {
    /// The signature.
    pub signature: Signature,
    /// Which oracle saw it.
    pub oracle: Oracle,
    /// Ops of the shortest sequence that shows it.
    pub op_count: usize,
    /// The bundle of that sequence.
    pub dir: PathBuf,
    /// Sequences that showed it.
    pub count: u64,
    /// How often that sequence diverged again when it was repeated.
    pub reliability: Option<Reliability>,
    /// Title of the entry of the known list that explains it.
    pub known: Option<String>,
    /// Why that entry is only presumed to hold for this kernel; none if it was verified.
    #[serde(default)]
    pub presumed: Option<String>,
    /// Whether the sequence is as short as can be; none if nobody minimized it.
    #[serde(default)]
    pub minimal: Option<bool>,
    /// A finding that has probably the same cause, and a minimal sequence.
    #[serde(default)]
    pub same_cause_as: Option<Signature>,
}

impl FoundSignature {
    /// Its place in a list: minimal sequences come first, and of these the shortest.
    pub fn rank(&self) -> (bool, usize) {
        (self.minimal != Some(true), self.op_count)
    }
}

/// What follows from a summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Nothing unexplained diverged.
    Clean,
    /// Something unexplained diverged.
    Diverged,
    /// More than half of the sequences could not be judged.
    MostlyInconclusive,
    /// These ops never once worked, in a run long enough for all.
    Vacuous {
        /// The ops.
        never_done: Vec<OpKind>,
    },
}

impl Summary {
    /// What follows from it. A divergence is one, however bad the rest is.
    pub fn conclusion(&self) -> Conclusion {
        if self.diverges > 0 {
            return Conclusion::Diverged;
        }
        if self.inconclusive * 2 > self.sequences {
            return Conclusion::MostlyInconclusive;
        }
        let never_done = self.coverage.never_done.clone();
        if self.sequences >= VACUITY_SEQUENCES_MIN && !never_done.is_empty() {
            return Conclusion::Vacuous { never_done };
        }
        Conclusion::Clean
    }
}
