//! Runs what diverged again: on another kernel, or beside a shorter sequence that may have the same cause.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pinfold::oracle::Verdict;
use pinfold::patch::without_cause;
use pinfold::signature::Signature;
use pinfold_contract::{Observe, Sequence};

use crate::check::{SHORT_OPS_MAX, check_closely};
use crate::error::{Reach, RunError};
use crate::replay::read_seq;
use crate::summary::FoundSignature;
use crate::target::Target;

/// How often a kernel is asked.
const TRIES: u32 = 3;

/// What a kernel does with a sequence that diverges on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrossCheck {
    /// It diverges in the same way.
    Reproduces,
    /// It does what the model allows, each time.
    Agrees,
    /// Neither: it diverges in another way, or cannot be judged.
    Other,
    /// It was not asked, because the user wants to end, or it takes too long.
    NotAsked,
}

/// Runs the sequence of `found`, which diverges on the other kernel, on `target`, until `deadline` at most.
///
/// # Errors
///
/// If the target fails for good.
pub(crate) fn cross_check(
    target: &mut Target,
    found: &FoundSignature,
    stop: &AtomicBool,
    deadline: Option<Instant>,
) -> Result<CrossCheck, RunError> {
    let Some(sequence) = sequence_of(found) else { return Ok(CrossCheck::Other) };
    let mut agrees = true;
    for _ in 0..TRIES {
        if stop.load(Ordering::Relaxed)
            || deadline.is_some_and(|deadline| Instant::now() >= deadline)
        {
            return Ok(CrossCheck::NotAsked);
        }
        match once(target, &sequence, &found.signature) {
            Ok(CrossCheck::Agrees) => {}
            Ok(CrossCheck::Other) => agrees = false,
            Ok(answer @ (CrossCheck::Reproduces | CrossCheck::NotAsked)) => return Ok(answer),
            Err(RunError::Interrupted) => return Ok(CrossCheck::NotAsked),
            Err(error) => match error.reach() {
                Reach::Run => agrees = false,
                Reach::Target => return Err(error),
            },
        }
    }
    Ok(if agrees { CrossCheck::Agrees } else { CrossCheck::Other })
}

/// Of findings with a minimal sequence, each its bundle and its signature, the first that has probably the cause of `long`, which
/// was not minimized. None at `is_over`.
///
/// # Errors
///
/// If the target fails for good.
pub(crate) fn cause_among<'a>(
    target: &mut Target,
    minimal: impl IntoIterator<Item = (&'a Path, &'a Signature)>,
    long: (&Path, &Signature),
    stop: &AtomicBool,
    is_over: impl Fn() -> bool,
) -> Result<Option<Signature>, RunError> {
    for (short, signature) in minimal {
        if is_over() {
            break;
        }
        if has_the_cause_of(target, short, long, stop)? {
            return Ok(Some(signature.clone()));
        }
    }
    Ok(None)
}

/// Whether `long`, a bundle and its signature, diverges on `target` by the cause of the bundle `short`: as it is it diverges with
/// that signature, and without the op that makes `short` diverge it does not, each time.
fn has_the_cause_of(
    target: &mut Target,
    short: &Path,
    (long, signature): (&Path, &Signature),
    stop: &AtomicBool,
) -> Result<bool, RunError> {
    let sequences = (stored_in(short), stored_in(long));
    let (Some(shorter), Some(sequence)) = sequences else { return Ok(false) };
    let Some(without) = without_cause(&sequence, &shorter) else { return Ok(false) };
    let mut shows = |sequence: &Sequence| -> Result<bool, RunError> {
        for _ in 0..TRIES {
            if stop.load(Ordering::Relaxed) {
                return Err(RunError::Interrupted);
            }
            if once(target, sequence, signature)? == CrossCheck::Reproduces {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let asked = shows(&sequence).and_then(|shown| Ok(shown && !shows(&without)?));
    match asked {
        Ok(answer) => Ok(answer),
        // Nothing is known of it then, and it is listed by itself.
        Err(error) => match (&error, error.reach()) {
            (RunError::Interrupted, _) | (_, Reach::Run) => Ok(false),
            (_, Reach::Target) => Err(error),
        },
    }
}

fn once(
    target: &mut Target,
    sequence: &Sequence,
    signature: &Signature,
) -> Result<CrossCheck, RunError> {
    // A divergence that was seen at the end alone is seen there again; one that was seen earlier is looked for earlier.
    let is_long = sequence.ops.len() > SHORT_OPS_MAX;
    for observe in [Observe::Each, Observe::End].into_iter().skip(usize::from(is_long)) {
        let checked = check_closely(target, sequence, observe)?;
        if checked.verdict != Verdict::Agrees {
            let is_it = checked.showing(sequence, signature).is_some();
            return Ok(if is_it { CrossCheck::Reproduces } else { CrossCheck::Other });
        }
    }
    Ok(CrossCheck::Agrees)
}

/// The shortest sequence that its bundle has.
fn sequence_of(found: &FoundSignature) -> Option<Sequence> {
    stored_in(&found.dir)
}

/// The shortest sequence in a bundle.
fn stored_in(dir: &Path) -> Option<Sequence> {
    let names = ["minimized.seq", "sequence.seq"];
    let mut files = names.iter().filter_map(|name| read_seq(&dir.join(name)).ok());
    files.next().map(|file| file.sequence)
}
