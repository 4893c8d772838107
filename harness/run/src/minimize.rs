//! Minimizes a stored sequence: `pinfold minimize`.

use std::sync::atomic::AtomicBool;

use pinfold::defects::Defects;
use pinfold_contract::{Observe, Sequence};

use crate::annotate::annotate;
use crate::bundle::Reliability;
use crate::check::{Checked, Judgement, check_closely};
use crate::defects::no_defects;
use crate::error::RunError;
use crate::regress::Entry;
use crate::shrink::{Memory, ShrinkLimits, Shrunk, Wanted, diverging_once, reliability, shrink};
use crate::target::Target;

/// How a sequence is minimized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinimizeOptions {
    /// When the state is looked at.
    pub observe: Observe,
    /// How often it is run before, for how reliably it diverges. At least one.
    pub repeat: u32,
    /// Whether answers are remembered.
    pub memory: Memory,
    /// What it may cost.
    pub limits: ShrinkLimits,
}

/// A minimized sequence, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimized {
    /// Its text (`.seq`), with what is expected and what is seen.
    pub text: String,
    /// Its ops.
    pub op_count: usize,
    /// What diverges, in one line.
    pub what: String,
    /// How often it diverged in this way before it was minimized.
    pub reliability: Reliability,
    /// What minimizing cost, and why it ended.
    pub shrunk: Shrunk,
    /// What would be said of it in `corpus/regress`.
    pub entry: Entry,
}

/// Simplifies `sequence` while it diverges on `target` as it does now. `name` says in an error which sequence it is.
///
/// # Errors
///
/// [`RunError::NothingToMinimize`] if it does not diverge; and if the target fails for good.
pub fn minimize_sequence(
    target: &mut Target,
    name: &str,
    sequence: &Sequence,
    options: &MinimizeOptions,
    known: &Defects,
    stop: &AtomicBool,
) -> Result<Minimized, RunError> {
    let (first, missed) = first_divergence(target, sequence, options)?;
    let judgement = Judgement::of(sequence, &first.verdict, no_defects(), target.running());
    let Judgement::Diverges { divergence, signature, .. } = &judgement else {
        return Err(RunError::NothingToMinimize {
            file: name.to_owned(),
            target: target.name().to_string(),
            verdict: judgement.to_string(),
        });
    };
    let observe = first.observe;
    let left = options.repeat.saturating_sub(missed + 1);
    let later = reliability(target, sequence, observe, signature, (left, None))?;
    let reliability = Reliability { again: later.again + 1, of: later.of + missed + 1 };
    let wanted = Wanted { signature, observe, tries: reliability.tries(), memory: options.memory };
    let shrunk = shrink(target, sequence.clone(), wanted, options.limits, stop)?;
    let (shorter, checked) = match diverging_once(target, &shrunk.sequence, wanted)? {
        Some(checked) => (shrunk.sequence.clone(), checked),
        None => (sequence.clone(), first.clone()),
    };
    let release = target.kernel_release();
    let Reliability { again, of } = reliability;
    let heading =
        format!("{signature}\non {}, linux {release}; came in {again} of {of} runs", target.name());
    let what = judgement.to_string();
    let explained = known.matching(signature, target.running());
    let entry = Entry {
        signature: signature.clone(),
        target: target.name().to_string(),
        found_on: release.to_owned(),
        oracle: divergence.oracle,
        predicted: divergence.predicted.clone(),
        seen: divergence.seen.clone(),
        known: explained.map(|explained| explained.entry.title.clone()),
        presumed: explained.and_then(|explained| explained.standing.presumed()),
    };
    Ok(Minimized {
        text: annotate(&shorter, &checked, &heading),
        op_count: shorter.ops.len(),
        what,
        reliability,
        shrunk,
        entry: entry.seen_in(&checked),
    })
}

/// The first run that diverges, and how many did not before it; the last one if none does.
fn first_divergence(
    target: &mut Target,
    sequence: &Sequence,
    options: &MinimizeOptions,
) -> Result<(Checked, u32), RunError> {
    let mut missed = 0;
    loop {
        let checked = check_closely(target, sequence, options.observe)?;
        let diverges = matches!(checked.verdict, pinfold::oracle::Verdict::Diverges(_));
        if diverges || missed + 1 >= options.repeat {
            return Ok((checked, missed));
        }
        missed += 1;
    }
}
