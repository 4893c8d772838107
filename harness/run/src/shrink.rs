//! Minimizes a sequence on a target: shorter, and still diverging in the same way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pinfold::minimize::minimize;
use pinfold::oracle::Verdict;
use pinfold::signature::Signature;
use pinfold_contract::{Observe, Sequence};

use crate::check::{Checked, check};
use crate::error::{Reach, RunError};
use crate::target::Target;

/// How much minimizing may cost. Past it the shortest sequence found so far is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShrinkLimits {
    /// Most runs on the target.
    pub runs_max: u32,
    /// When to stop.
    pub deadline: Option<Instant>,
}

/// What minimizing gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The sequence; the one that went in if that did not diverge again.
    pub sequence: Sequence,
    /// Runs on the target.
    pub run_count: u32,
    /// Whether a limit or the user ended it before it was done.
    pub ended: Ended,
}

/// Why minimizing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// No op can be removed without losing the divergence.
    Minimal,
    /// A limit was reached, or the user stopped it.
    Early,
}

/// Shortens `sequence` while it diverges with `signature` on `target`.
///
/// A run without a trace counts as one that does not diverge.
///
/// # Errors
///
/// If the target fails for good.
pub fn shrink(
    target: &mut Target,
    sequence: Sequence,
    observe: Observe,
    signature: &Signature,
    limits: ShrinkLimits,
    stop: &AtomicBool,
) -> Result<Shrunk, RunError> {
    let mut run_count = 0;
    let mut ended = Ended::Minimal;
    let mut failure = None;
    let shorter = minimize(sequence, |candidate| {
        let is_late = limits.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if run_count == limits.runs_max || is_late || stop.load(Ordering::Relaxed) {
            ended = Ended::Early;
        }
        if ended == Ended::Early || failure.is_some() {
            return false;
        }
        run_count += 1;
        match diverging_as(target, candidate, observe, signature) {
            Ok(found) => found.is_some(),
            Err(error) => {
                failure = Some(error);
                false
            }
        }
    });
    match failure {
        Some(RunError::Interrupted) => {
            Ok(Shrunk { sequence: shorter, run_count, ended: Ended::Early })
        }
        Some(error) => Err(error),
        None => Ok(Shrunk { sequence: shorter, run_count, ended }),
    }
}

/// What `sequence` does on `target` this time, if it diverges with `signature`.
///
/// # Errors
///
/// If the target fails for good.
pub(crate) fn diverging_as(
    target: &mut Target,
    sequence: &Sequence,
    observe: Observe,
    signature: &Signature,
) -> Result<Option<Checked>, RunError> {
    match check(target, sequence, observe) {
        Ok(checked) => {
            let is_the_same = match &checked.verdict {
                Verdict::Diverges(divergence) => Signature::of(sequence, divergence) == *signature,
                Verdict::Agrees | Verdict::Inconclusive { .. } => false,
            };
            Ok(is_the_same.then_some(checked))
        }
        Err(error) => match error.reach() {
            Reach::Run => Ok(None),
            Reach::Target => Err(error),
        },
    }
}
