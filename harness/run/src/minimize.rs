//! Minimizes a stored sequence: `pinfold minimize`.

use std::sync::atomic::AtomicBool;

use pinfold_contract::{Observe, Sequence};

use crate::annotate::annotate;
use crate::check::{Judgement, check_closely};
use crate::error::RunError;
use crate::known::nothing_known;
use crate::shrink::{Ended, ShrinkLimits, Shrunk, diverging_as, shrink};
use crate::target::Target;

/// A minimized sequence, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimized {
    /// Its text (`.seq`), with what is expected and what is seen.
    pub text: String,
    /// Its ops.
    pub op_count: usize,
    /// What diverges, in one line.
    pub what: String,
    /// Runs on the target.
    pub run_count: u32,
    /// Whether it is as short as can be.
    pub ended: Ended,
}

/// Shortens `sequence` while it diverges on `target` as it does now. `name` says in an error which sequence it is.
///
/// # Errors
///
/// [`RunError::NothingToMinimize`] if it does not diverge; and if the target fails for good.
pub fn minimize_sequence(
    target: &mut Target,
    name: &str,
    sequence: &Sequence,
    observe: Observe,
    limits: ShrinkLimits,
    stop: &AtomicBool,
) -> Result<Minimized, RunError> {
    let first = check_closely(target, sequence, observe)?;
    let judgement =
        Judgement::of(sequence, &first.verdict, nothing_known(), target.kernel_release());
    let Some(signature) = judgement.signature() else {
        return Err(RunError::NothingToMinimize {
            file: name.to_owned(),
            target: target.name().to_string(),
            verdict: judgement.to_string(),
        });
    };
    let observe = first.observe;
    let Shrunk { sequence: shorter, run_count, ended } =
        shrink(target, sequence.clone(), observe, signature, limits, stop)?;
    let (shorter, checked) = match diverging_as(target, &shorter, observe, signature)? {
        Some(checked) => (shorter, checked),
        None => (sequence.clone(), first),
    };
    let heading = format!("{signature}\non {}, linux {}", target.name(), target.kernel_release());
    Ok(Minimized {
        text: annotate(&shorter, &checked, &heading),
        op_count: shorter.ops.len(),
        what: judgement.to_string(),
        run_count,
        ended,
    })
}
