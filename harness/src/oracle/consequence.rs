//! What a divergence goes on to.
//!
//! A page that is shared where it should be the process's own is the first thing that is seen of many a bug, and says
//! little: whether the adapter then reads stale bytes is what people ask. So the comparison goes on behind a divergence
//! that leaves every process and every object in its place: one of frames or of accounting.
//!
//! Asked is the oracle of coherence alone, and only as long as each op gives what the model says: behind another result
//! the two sides do not have the same things any more. What is let through behind it would be another bug, or the same
//! one in another registration.

use pinfold_contract::{Outcome, Sequence, Trace};

use super::{Case, Divergence, Oracle, frames};
use crate::model::{PredictedStep, Prediction};

/// The first bytes behind `first` that the adapter or a process sees wrongly.
///
/// `first` is what [`judge`](super::judge) found. None if it is of another oracle than frames or accounting.
///
/// # Panics
///
/// If `predicted` is not one step an op.
pub fn consequence(
    sequence: &Sequence,
    predicted: &[PredictedStep],
    trace: &Trace,
    first: &Divergence,
) -> Option<Divergence> {
    assert_eq!(sequence.ops.len(), predicted.len(), "the prediction of another sequence");
    match first.oracle {
        Oracle::Frames | Oracle::Accounting => {}
        Oracle::KernelLog
        | Oracle::Protection
        | Oracle::Outcome
        | Oracle::Completion
        | Oracle::Coherence
        | Oracle::Teardown => return None,
    }
    let later = trace.steps.iter().zip(predicted).enumerate().skip(first.op_index + 1);
    for (op_index, (step, of_model)) in later {
        let case = Case { sequence, op_index, predicted: of_model, step, trace };
        if !is_comparable(&of_model.prediction, &step.outcome) {
            return None;
        }
        if let Some(found) = case.wrong_bytes(predicted) {
            return Some(found);
        }
        if !of_model.prediction.follows(&step.outcome) {
            return None;
        }
    }
    None
}

/// Whether both sides did the same, so that what they have now can be compared. What was read may differ.
fn is_comparable(prediction: &Prediction, seen: &Outcome) -> bool {
    let both_read = matches!((prediction.expected(), seen), (Outcome::Value(_), Outcome::Value(_)));
    both_read || prediction.outlives(seen) || prediction.allows(seen) && prediction.follows(seen)
}

impl Case<'_> {
    /// Bytes that are wrong, unless the comparison goes on behind them anyway. `all` is what was predicted of all ops.
    fn wrong_bytes(&self, all: &[PredictedStep]) -> Option<Divergence> {
        let oracle = Oracle::Coherence;
        let finding = self.ask(oracle, &mut frames::Correspondence::default())?;
        let is_wrong = !self.outlives(oracle, &finding);
        is_wrong.then(|| self.divergence(all, oracle, finding))
    }
}
