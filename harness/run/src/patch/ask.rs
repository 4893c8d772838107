//! Asks the other kernel whether it does the same.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use pinfold::oracle::Verdict;
use pinfold::patch::without_cause;
use pinfold::signature::Signature;
use pinfold_contract::{Observe, Sequence};

use super::is_stopped;
use crate::check::check_closely;
use crate::error::{Reach, RunError};
use crate::fuzz::SHORT_OPS_MAX;
use crate::replay::read_seq;
use crate::summary::FoundSignature;
use crate::target::Target;

/// How often a kernel is asked.
const TRIES: u32 = 3;

/// What a kernel does with a sequence that diverges on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It diverges in the same way.
    Same,
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
pub(super) fn ask(
    target: &mut Target,
    found: &FoundSignature,
    stop: &AtomicBool,
    deadline: Option<Instant>,
) -> Result<Answer, RunError> {
    let Some(sequence) = sequence_of(found) else { return Ok(Answer::Other) };
    let mut agrees = true;
    for _ in 0..TRIES {
        if is_stopped(stop) || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(Answer::NotAsked);
        }
        match once(target, &sequence, &found.signature) {
            Ok(Answer::Agrees) => {}
            Ok(Answer::Other) => agrees = false,
            Ok(answer @ (Answer::Same | Answer::NotAsked)) => return Ok(answer),
            Err(RunError::Interrupted) => return Ok(Answer::NotAsked),
            Err(error) => match error.reach() {
                Reach::Run => agrees = false,
                Reach::Target => return Err(error),
            },
        }
    }
    Ok(if agrees { Answer::Agrees } else { Answer::Other })
}

/// Whether the sequence in the bundle `long`, which was not minimized, diverges on `target` by the cause of that in `short`,
/// which was: as it is it diverges with `signature`,
/// and without the op that makes `short` diverge it does not, each time.
///
/// # Errors
///
/// If the target fails for good.
pub(crate) fn has_the_cause_of(
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
            if is_stopped(stop) {
                return Err(RunError::Interrupted);
            }
            if once(target, sequence, signature)? == Answer::Same {
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
) -> Result<Answer, RunError> {
    // A divergence that was seen at the end alone is seen there again; one that was seen earlier is looked for earlier.
    let is_long = sequence.ops.len() > SHORT_OPS_MAX;
    for observe in [Observe::Each, Observe::End].into_iter().skip(usize::from(is_long)) {
        let checked = check_closely(target, sequence, observe)?;
        if checked.verdict != Verdict::Agrees {
            let is_it = checked.showing(sequence, signature).is_some();
            return Ok(if is_it { Answer::Same } else { Answer::Other });
        }
    }
    Ok(Answer::Agrees)
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
