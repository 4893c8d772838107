//! Repeats sequences on one machine and says which kernel memory they never give back: `pinfold leaks`.

use std::sync::atomic::{AtomicBool, Ordering};

use pinfold::leaks::{Leak, covering, leaks, says_nothing};
use pinfold::oracle::Verdict;
use pinfold::profile::Profile;
use pinfold_contract::{KernelMemory, Observe, Sequence};
use serde::Serialize;

use crate::check::check;
use crate::error::{Reach, RunError};
use crate::guest::in_full;
use crate::stored::stored;
use crate::target::Target;

/// Repetitions after which a leak of one object each is told from what the kernel keeps for later.
pub const LEAK_REPETITIONS_DEFAULT: u32 = 200;

/// A sequence and its name.
pub type Named = (String, Sequence);

/// What repeating sequences left behind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeakReport {
    /// Version of this form.
    pub schema: u32,
    /// The target.
    pub target: String,
    /// `uname -r` of its kernel.
    pub kernel: String,
    /// How often each sequence was repeated while memory was counted.
    pub repetitions: u32,
    /// The sequences.
    pub sequences: Vec<String>,
    /// Those that were not repeated, and why not.
    pub left_out: Vec<LeftOut>,
    /// The leaks, the most bytes first.
    pub leaks: Vec<FoundLeak>,
}

/// A sequence that was not repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub sequence: String,
    /// Why not.
    pub why: String,
}

/// Kernel memory that is never given back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FoundLeak {
    /// How much each run of the sequence leaves; each run of all, where none shows it alone.
    #[serde(flatten)]
    pub leak: Leak,
    /// The shortest sequence that shows it.
    pub sequence: Option<String>,
    /// Its ops; those of all, where none shows it alone.
    pub op_count: usize,
}

/// In one line.
impl std::fmt::Display for FoundLeak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let FoundLeak { leak, sequence, op_count } = self;
        match sequence {
            Some(name) => write!(f, "each run of {name} ({op_count} ops) leaks {leak}"),
            None => write!(f, "each run of all sequences together leaks {leak}"),
        }
    }
}

impl LeakReport {
    /// The leaks that `other` does not have.
    pub(crate) fn not_in(self, other: &LeakReport) -> Vec<FoundLeak> {
        self.leaks.into_iter().filter(|found| !is_among(&other.leaks, &found.leak)).collect()
    }
}

/// The stored sequences that show most leaks for their time, on a kernel of `profile`.
pub fn leak_sequences(profile: &Profile) -> Vec<Named> {
    let seeds: Vec<_> = stored()
        .into_iter()
        .filter(|(name, sequence)| {
            name.starts_with("corpus/seeds/") && says_nothing(sequence).is_none()
        })
        .collect();
    let sequences: Vec<Sequence> = seeds.iter().map(|(_, sequence)| sequence.clone()).collect();
    let chosen = covering(profile, &sequences);
    chosen.into_iter().map(|index| (seeds[index].0.to_owned(), sequences[index].clone())).collect()
}

/// Repeats `sequences`, all of them `repetitions` times, and names the leaks. Those that diverge, or that the kernel does
/// not survive, are not repeated.
///
/// # Errors
///
/// [`RunError::CountsNoMemory`] if the target does not count the kernel's memory, and if it fails for good.
pub fn find_leaks(
    target: &mut Target,
    sequences: Vec<Named>,
    repetitions: u32,
    stop: &AtomicBool,
) -> Result<LeakReport, RunError> {
    if target.kernel_memory()?.is_none() {
        return Err(RunError::CountsNoMemory { target: target.name().to_string() });
    }
    let mut left_out = Vec::new();
    let mut repeated = Vec::new();
    for (name, sequence) in sequences {
        match why_not(target, &sequence)? {
            None => repeated.push((name, sequence)),
            Some(why) => left_out.push(LeftOut { sequence: name, why }),
        }
    }
    repeated.sort_by_key(|(_, sequence)| sequence.ops.len());
    let mut search = Search { target, repetitions, stop };
    let all: Vec<&Sequence> = repeated.iter().map(|(_, sequence)| sequence).collect();
    let together = search.leaks(&all)?;
    let mut found: Vec<FoundLeak> = Vec::new();
    for (name, sequence) in &repeated {
        if together.iter().all(|leak| is_among(&found, leak)) {
            break;
        }
        for leak in search.leaks(&[sequence])? {
            if !is_among(&found, &leak) {
                let (sequence, op_count) = (Some(name.clone()), sequence.ops.len());
                found.push(FoundLeak { leak, sequence, op_count });
            }
        }
    }
    let op_count = all.iter().map(|sequence| sequence.ops.len()).sum();
    for leak in together {
        if !is_among(&found, &leak) {
            found.push(FoundLeak { leak, sequence: None, op_count });
        }
    }
    found.sort_by(|one, other| other.leak.bytes().total_cmp(&one.leak.bytes()));
    Ok(LeakReport {
        schema: 1,
        target: target.name().to_string(),
        kernel: target.kernel_release().to_owned(),
        repetitions,
        sequences: repeated.into_iter().map(|(name, _)| name).collect(),
        left_out,
        leaks: found,
    })
}

/// Whether the same kind of memory was found to leak.
fn is_among(found: &[FoundLeak], leak: &Leak) -> bool {
    found.iter().any(|other| other.leak.what == leak.what)
}

/// Why `sequence` is not repeated, if there is a reason.
fn why_not(target: &mut Target, sequence: &Sequence) -> Result<Option<String>, RunError> {
    if let Some(why) = says_nothing(sequence) {
        return Ok(Some(why.to_owned()));
    }
    match check(target, sequence, Observe::End) {
        Ok(checked) => Ok(match checked.verdict {
            Verdict::Agrees => None,
            Verdict::Diverges(divergence) => Some(format!("it diverges ({})", divergence.oracle)),
            Verdict::Inconclusive { reason } => Some(format!("it cannot be judged: {reason}")),
        }),
        Err(error) => match error.reach() {
            Reach::Run => Ok(Some(in_full(&error))),
            Reach::Target => Err(error),
        },
    }
}

/// Repeats sequences on one machine.
struct Search<'a> {
    target: &'a mut Target,
    repetitions: u32,
    stop: &'a AtomicBool,
}

impl Search<'_> {
    /// What grows in each of two halves of the repetitions. A few come before, for what is allocated once.
    fn leaks(&mut self, sequences: &[&Sequence]) -> Result<Vec<Leak>, RunError> {
        let half = self.repetitions.div_ceil(2);
        self.repeat(sequences, half.div_ceil(2))?;
        let first = self.count()?;
        self.repeat(sequences, half)?;
        let then = self.count()?;
        self.repeat(sequences, half)?;
        let last = self.count()?;
        if first.0 != last.0 {
            let reason = "the machine did not outlive the repetitions".to_owned();
            return Err(RunError::Executor { reason, console: String::new() });
        }
        Ok(leaks([&first.1, &then.1, &last.1], half))
    }

    fn repeat(&mut self, sequences: &[&Sequence], count: u32) -> Result<(), RunError> {
        for _ in 0..count {
            for sequence in sequences {
                if self.stop.load(Ordering::Relaxed) {
                    return Err(RunError::Interrupted);
                }
                self.target.run(sequence, Observe::End)?;
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(u64, KernelMemory), RunError> {
        let target = self.target.name().to_string();
        self.target.kernel_memory()?.ok_or(RunError::CountsNoMemory { target })
    }
}
