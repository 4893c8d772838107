//! Minimizes a sequence on a target: simpler, and still diverging in the same way.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pinfold::minimize::{any_of, cached, minimize};
use pinfold::signature::Signature;
use pinfold_contract::{Observe, Sequence};

use crate::bundle::Reliability;
use crate::check::{Checked, check_closely};
use crate::error::{Reach, RunError};
use crate::target::Target;

/// How much minimizing may cost. Past it the simplest sequence found so far is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShrinkLimits {
    /// Most runs on the target.
    pub runs_max: u32,
    /// When to stop.
    pub deadline: Option<Instant>,
}

/// Whether an answer of the target is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Each sequence is run once.
    Cached,
    /// Each sequence is run as often as it is asked about.
    Off,
}

/// What has to come again, and how it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The divergence.
    pub signature: &'a Signature,
    /// When the state is looked at.
    pub observe: Observe,
    /// How often a sequence is run before it counts as one that does not diverge so.
    pub tries: u32,
    /// Whether answers are remembered.
    pub memory: Memory,
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
    /// No op can be removed and no argument made simpler without losing the divergence.
    Minimal,
    /// The most runs were done.
    OutOfRuns,
    /// The deadline was reached.
    Late,
    /// The user stopped it.
    Stopped,
}

/// For a person, as the end of a sentence.
impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ended::Minimal => "minimal",
            Ended::OutOfRuns => {
                "not minimal: the most runs were done, more are to be had with --runs"
            }
            Ended::Late => "not minimal: the time was up",
            Ended::Stopped => "not minimal: stopped",
        })
    }
}

/// A divergence that comes so often is missed in one of a hundred questions at most.
const MISSED_MAX: f64 = 0.01;

/// Most tries, for what hardly ever comes again.
const TRIES_MAX: u32 = 20;

impl Reliability {
    /// How often a sequence has to be run before it may count as one that does not diverge: once where the divergence
    /// always came again, more often the rarer it came.
    pub fn tries(self) -> u32 {
        if self.again == self.of {
            return 1;
        }
        // What did not come again at all may come half a time more.
        let missed = 1.0 - f64::from(self.again).max(0.5) / f64::from(self.of.max(1));
        let wanted = (1..TRIES_MAX).find(|&tries| missed.powi(tries.cast_signed()) <= MISSED_MAX);
        wanted.unwrap_or(TRIES_MAX)
    }
}

/// Simplifies `sequence` while it diverges as `wanted` on `target`.
///
/// A run without a trace counts as one that does not diverge. The same answers of the target give the same sequence.
///
/// # Errors
///
/// If the target fails for good.
pub fn shrink(
    target: &mut Target,
    sequence: Sequence,
    wanted: Wanted<'_>,
    limits: ShrinkLimits,
    stop: &AtomicBool,
) -> Result<Shrunk, RunError> {
    let mut run_count = 0;
    let mut ended = Ended::Minimal;
    let mut failure = None;
    let question = any_of(wanted.tries.max(1), |candidate| {
        if ended == Ended::Minimal {
            ended = why_to_end(run_count, limits, stop);
        }
        if ended != Ended::Minimal || failure.is_some() {
            return false;
        }
        run_count += 1;
        match diverging_as(target, candidate, wanted.observe, wanted.signature) {
            Ok(found) => found.is_some(),
            Err(error) => {
                failure = Some(error);
                false
            }
        }
    });
    let sequence = match wanted.memory {
        Memory::Cached => minimize(sequence, cached(question)),
        Memory::Off => minimize(sequence, question),
    };
    match failure {
        Some(RunError::Interrupted) => Ok(Shrunk { sequence, run_count, ended: Ended::Stopped }),
        Some(error) => Err(error),
        None => Ok(Shrunk { sequence, run_count, ended }),
    }
}

fn why_to_end(run_count: u32, limits: ShrinkLimits, stop: &AtomicBool) -> Ended {
    if stop.load(Ordering::Relaxed) {
        Ended::Stopped
    } else if run_count >= limits.runs_max {
        Ended::OutOfRuns
    } else if limits.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        Ended::Late
    } else {
        Ended::Minimal
    }
}

/// What `sequence` does on `target` when it diverges with `signature`, in the first of `tries` runs in which it does.
///
/// # Errors
///
/// If the target fails for good.
pub(crate) fn diverging_once(
    target: &mut Target,
    sequence: &Sequence,
    wanted: Wanted<'_>,
) -> Result<Option<Checked>, RunError> {
    for _ in 0..wanted.tries.max(1) {
        let found = diverging_as(target, sequence, wanted.observe, wanted.signature)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// How often `sequence` diverges with `signature` in `count` runs; in fewer, but one, where `deadline` comes first.
///
/// # Errors
///
/// If the target fails for good.
pub(crate) fn reliability(
    target: &mut Target,
    sequence: &Sequence,
    observe: Observe,
    signature: &Signature,
    (count, deadline): (u32, Option<Instant>),
) -> Result<Reliability, RunError> {
    let (mut again, mut of) = (0, 0);
    while of < count && (of == 0 || deadline.is_none_or(|deadline| Instant::now() < deadline)) {
        again += u32::from(diverging_as(target, sequence, observe, signature)?.is_some());
        of += 1;
    }
    Ok(Reliability { again, of })
}

/// What `sequence` does on `target` this time, if it diverges with `signature`, by the verdict that any other command gives
/// of it.
fn diverging_as(
    target: &mut Target,
    sequence: &Sequence,
    observe: Observe,
    signature: &Signature,
) -> Result<Option<Checked>, RunError> {
    match check_closely(target, sequence, observe) {
        Ok(checked) => Ok(checked.showing(sequence, signature)),
        Err(error) => match error.reach() {
            Reach::Run => Ok(None),
            Reach::Target => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarer_a_divergence_the_more_tries() {
        let tries = |again, of| Reliability { again, of }.tries();
        assert_eq!(tries(3, 3), 1);
        assert_eq!(tries(2, 3), 5);
        assert_eq!(tries(1, 3), 12);
        assert_eq!((tries(0, 3), tries(1, 100)), (TRIES_MAX, TRIES_MAX));
    }
}
