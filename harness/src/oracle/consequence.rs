//! What a divergence goes on to.
//!
//! A page that is shared where it should be the process's own is the first thing that is seen of many a bug, and says
//! little: whether the adapter then reads stale bytes is what people ask. So the comparison goes on behind a divergence
//! that leaves every process and every object in its place: one of frames or of accounting.
//!
//! Asked are the oracles of protection and of coherence alone, and only as long as each op gives what the model says:
//! behind another result the two sides do not have the same things any more.

use pinfold_contract::{Sequence, Trace};

use super::{Case, Divergence, Oracle, Verdict, frames, state};
use crate::model::PredictedStep;

/// The first thing behind `first` that the adapter or a process sees wrongly, or that a key wrongly lets through.
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
        | Oracle::Coherence
        | Oracle::Teardown => return None,
    }
    let later = trace.steps.iter().zip(predicted).enumerate().skip(first.op_index + 1);
    for (op_index, (step, of_model)) in later {
        let case = Case { sequence, op_index, predicted: of_model, step, trace };
        let mut frames = frames::Correspondence::default();
        for oracle in [Oracle::Protection, Oracle::Coherence] {
            let Some(mut finding) = case.ask(oracle, &mut frames) else { continue };
            if case.outlives(oracle, &finding) {
                continue;
            }
            let words = state::that_matters(&case, predicted, oracle, &finding);
            finding.class = state::class(oracle, case.op(), finding.class, &words);
            return match finding.at(op_index, oracle) {
                Verdict::Diverges(found) => Some(found),
                Verdict::Agrees | Verdict::Inconclusive { .. } => None,
            };
        }
        let (prediction, outcome) = (&of_model.prediction, &step.outcome);
        let is_right = prediction.allows(outcome) || prediction.outlives(outcome);
        if !is_right || !prediction.follows(outcome) {
            return None;
        }
    }
    None
}
