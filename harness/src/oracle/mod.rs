//! Decides from what was predicted and what was seen whether a target is right.

mod accounting;
mod coherence;
mod completion;
mod consequence;
mod frames;
mod kernel_log;
mod outcome;
mod remade;
mod state;
mod teardown;
mod uninherited;

pub(crate) use completion::parts as completion_parts;
pub use consequence::consequence;
pub use kernel_log::{platform_failure, title as kernel_log_title};
pub(crate) use outcome::name as outcome_name;

use std::collections::BTreeSet;
use std::fmt;

use pinfold_contract::{Checkpoint, Chore, End, Mr, Op, Proc, Sequence, Step, Trace};
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
    /// What kind of difference it is, with the state that matters and without any value that another instance of
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
    /// What the completion of a work request contains beside its status.
    Completion,
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
    pub const ALL: [Oracle; 8] = [
        Oracle::KernelLog,
        Oracle::Protection,
        Oracle::Outcome,
        Oracle::Completion,
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
            Oracle::Completion => "completion",
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
    /// The trace has more ops than the sequence.
    TraceIsLong,
    /// The target did what the model allows but does not go on from.
    NotFollowed,
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
            Inconclusive::TraceIsLong => "trace is long",
            Inconclusive::NotFollowed => "allowed, but not followed",
            Inconclusive::NotLookedAt => "state not looked at",
            Inconclusive::TargetFailed { .. } => "target failed",
        }
    }
}

impl fmt::Display for Inconclusive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Inconclusive::TraceIsShort
            | Inconclusive::TraceIsLong
            | Inconclusive::NotFollowed
            | Inconclusive::NotLookedAt => f.write_str(self.name()),
            Inconclusive::TargetFailed { reason } => write!(f, "{}: {reason}", self.name()),
        }
    }
}

/// What one oracle found, before it is said where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    predicted: String,
    seen: String,
    class: String,
    detail: String,
    /// The MR that it is about, where it is about one that the op does not name.
    mr: Option<Mr>,
}

impl Finding {
    fn at(self, op_index: usize, oracle: Oracle) -> Divergence {
        let Finding { predicted, seen, class, detail, mr: _ } = self;
        let class = slug(&class);
        Divergence { op_index, oracle, predicted, seen, class, detail }
    }
}

/// Compares what was predicted of `sequence` with what a target did.
///
/// Goes op by op and stops at the first divergence: later ops ran in a state
/// that the model no longer describes. Within one op the oracles are asked in
/// the order of [`Oracle::ALL`].
///
/// A status that is wrong and nothing else (`Prediction::outlives`), of an op or
/// of a look at an MR, leaves the state that the model describes, and so does what
/// a completion says beside its status. What is found behind it goes first.
///
/// # Panics
///
/// If `predicted` is not one step an op.
pub fn judge(sequence: &Sequence, predicted: &[PredictedStep], trace: &Trace) -> Verdict {
    assert_eq!(sequence.ops.len(), predicted.len(), "the prediction of another sequence");
    let all = predicted;
    let mut frames = frames::Correspondence::default();
    let mut outlived = None;
    for (op_index, (step, predicted)) in trace.steps.iter().zip(all).enumerate() {
        let case = Case { sequence, op_index, predicted, step, trace };
        let prediction = &predicted.prediction;
        let is_open = prediction.allows(&step.outcome) && !prediction.follows(&step.outcome);
        for oracle in Oracle::ALL {
            // What is allowed but not followed has left a state that the model does not know.
            if is_open && oracle == Oracle::Coherence {
                break;
            }
            if let Some(finding) = case.ask(oracle, &mut frames) {
                let outlives = case.outlives(oracle, &finding);
                let found = Verdict::Diverges(case.divergence(all, oracle, finding));
                if !outlives {
                    return found;
                }
                outlived.get_or_insert(found);
            }
        }
        if !prediction.follows(&step.outcome) {
            let reason = Inconclusive::NotFollowed;
            return outlived.unwrap_or(Verdict::Inconclusive { reason });
        }
    }
    match (judge_end(all, trace), outlived) {
        (Verdict::Agrees | Verdict::Inconclusive { .. }, Some(outlived)) => outlived,
        (verdict, _) => verdict,
    }
}

/// What is said after the last op that came to its end.
fn judge_end(predicted: &[PredictedStep], trace: &Trace) -> Verdict {
    let op_index = trace.steps.len().min(predicted.len());
    let (log, unfinished) = match &trace.end {
        End::Finished { kernel_log, .. } => (kernel_log, None),
        End::Hung { kernel_log } => {
            let prediction = predicted.get(op_index).map(|step| &step.prediction);
            (kernel_log, Some((Oracle::Outcome, outcome::hung(prediction))))
        }
        End::Died { kernel_log } => {
            (kernel_log, Some((Oracle::KernelLog, kernel_log::died(kernel_log))))
        }
    };
    if let Some(finding) = kernel_log::check(log, "").or_else(|| kernel_log::check_memory(log)) {
        return Verdict::Diverges(finding.at(op_index, Oracle::KernelLog));
    }
    if let Some((oracle, finding)) = unfinished {
        return Verdict::Diverges(finding.at(op_index, oracle));
    }
    if let Some(reason) = not_compared(predicted, trace) {
        return Verdict::Inconclusive { reason };
    }
    match &trace.end {
        End::Finished { teardown, .. } => match teardown::check(*teardown) {
            Some(finding) => Verdict::Diverges(finding.at(op_index, Oracle::Teardown)),
            None => Verdict::Agrees,
        },
        End::Hung { .. } | End::Died { .. } => unreachable!("returned above"),
    }
}

/// What of a finished trace could not be compared.
fn not_compared(predicted: &[PredictedStep], trace: &Trace) -> Option<Inconclusive> {
    let lengths = (trace.steps.len(), predicted.len());
    let mut pairs = predicted.iter().zip(&trace.steps);
    if lengths.0 < lengths.1 {
        Some(Inconclusive::TraceIsShort)
    } else if lengths.0 > lengths.1 {
        Some(Inconclusive::TraceIsLong)
    } else if pairs.any(|(a, b)| a.checkpoint.is_some() != b.checkpoint.is_some()) {
        Some(Inconclusive::NotLookedAt)
    } else {
        None
    }
}

/// One op, with what was predicted and what was seen of it.
struct Case<'a> {
    sequence: &'a Sequence,
    op_index: usize,
    predicted: &'a PredictedStep,
    step: &'a Step,
    trace: &'a Trace,
}

impl Case<'_> {
    fn ask(&self, oracle: Oracle, frames: &mut frames::Correspondence) -> Option<Finding> {
        let prediction = &self.predicted.prediction;
        let seen = &self.step.outcome;
        match oracle {
            Oracle::KernelLog => {
                let log = &self.step.kernel_log;
                let memory = (!self.predicted.limit_reached).then(|| kernel_log::check_memory(log));
                kernel_log::check(log, &self.log_after()).or(memory.flatten())
            }
            Oracle::Protection => outcome::check_protection(self.op(), prediction, seen),
            Oracle::Outcome => outcome::check(self.op(), prediction, seen),
            Oracle::Completion => completion::check(self.op(), seen, &self.step.completions),
            Oracle::Coherence => {
                let tags = coherence::Tags::up_to(self.sequence, self.op_index);
                coherence::check_value(self.op(), prediction, seen, &tags).or_else(|| {
                    let (a, b) = self.checkpoints()?;
                    coherence::check_state(a, b, &self.predicted.write_only, &tags)
                })
            }
            Oracle::Frames => {
                let (a, b) = self.checkpoints()?;
                let held = self.predicted.held.iter().flat_map(|held| &held.frames);
                let held: BTreeSet<u64> = held.map(|held| held.frame).collect();
                let moves = matches!(self.op(), Op::Chore { chore: Chore::Compact });
                let kept = frames.check_copies(a, b, &self.predicted.copies);
                let differs = frames.check(a, b, |frame| {
                    !self.predicted.copied_perhaps.contains(&frame)
                        && (!moves || held.contains(&frame))
                });
                differs.or(kept)
            }
            Oracle::Accounting => {
                let (a, b) = self.checkpoints()?;
                accounting::check(a, b)
            }
            Oracle::Teardown => None,
        }
    }

    /// What `oracle` found here, with the words for the state it happened in. `all` is what was predicted of all ops.
    fn divergence(
        &self,
        all: &[PredictedStep],
        oracle: Oracle,
        mut finding: Finding,
    ) -> Divergence {
        let words = state::that_matters(self, all, oracle, &finding);
        finding.class = state::class(oracle, self.op(), finding.class, &words);
        finding.at(self.op_index, oracle)
    }

    /// Whether the state is the predicted one in spite of `finding`.
    fn outlives(&self, oracle: Oracle, finding: &Finding) -> bool {
        match oracle {
            Oracle::Outcome => self.predicted.prediction.outlives(&self.step.outcome),
            Oracle::Completion => true,
            Oracle::Coherence => finding
                .mr
                .zip(self.checkpoints())
                .is_some_and(|(mr, (a, b))| coherence::is_flushed(a, b, mr)),
            Oracle::KernelLog
            | Oracle::Protection
            | Oracle::Frames
            | Oracle::Accounting
            | Oracle::Teardown => false,
        }
    }

    fn op(&self) -> Op {
        self.sequence.ops[self.op_index]
    }

    fn checkpoints(&self) -> Option<(&Checkpoint, &Checkpoint)> {
        Some((self.predicted.checkpoint.as_ref()?, self.step.checkpoint.as_ref()?))
    }

    /// What was logged after this op: a report may be cut in two by the end of its op.
    fn log_after(&self) -> String {
        if self.step.kernel_log.is_empty() {
            return String::new();
        }
        let later = self.trace.steps.iter().skip(self.op_index + 1);
        let mut logs: Vec<&str> = later.map(|step| step.kernel_log.as_str()).collect();
        logs.push(match &self.trace.end {
            End::Finished { kernel_log, .. }
            | End::Hung { kernel_log }
            | End::Died { kernel_log } => kernel_log,
        });
        logs.join("\n")
    }
}

/// What a process is to the registrations: `registrar` or `child`.
fn who(proc: Proc) -> &'static str {
    if proc == Proc::P0 { "registrar" } else { CHILD }
}

/// The name of every process but the one that registers.
const CHILD: &str = "child";

/// `text` in lower case, everything but letters, digits, `.` and `_` as single dashes.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '_' {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests;
