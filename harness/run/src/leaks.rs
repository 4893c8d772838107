//! Repeats sequences on one machine and says which kernel memory they never give back: `pinfold leaks`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use pinfold::leaks::{Leak, beyond, covering, leaks, says_nothing, waits_for_pins};
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

/// Repetitions that say what may leak: a leak of one object each is there, and so is what comes by chance.
const QUICK_REPETITIONS: u32 = 12;

/// Repetitions that tell the two apart.
const CERTAIN_REPETITIONS: u32 = 40;

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

/// The stored sequences that show most leaks for their time, on a kernel of `profile`.
pub fn leak_sequences(profile: &Profile) -> Vec<Named> {
    chosen(profile, |_| true)
}

/// Few seeds with all that those have which `is_wanted`.
fn chosen(profile: &Profile, is_wanted: impl Fn(&Sequence) -> bool) -> Vec<Named> {
    let seeds: Vec<_> = stored()
        .into_iter()
        .filter(|(name, sequence)| {
            let is_seed = name.starts_with("corpus/seeds/") && says_nothing(sequence).is_none();
            is_seed && is_wanted(sequence)
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
    let (repeated, left_out) = repeatable(target, sequences, None)?;
    let mut search = Search { target, repetitions, stop, deadline: None };
    let together = search.leaks(&ops_of(&repeated))?;
    let found = search.by_sequence(&repeated, together)?;
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

/// The leaks of a patched kernel that its base has not.
pub(crate) struct PatchedLeaks {
    /// The kernel memory that only the patched one never gives back.
    pub(crate) leaks: Vec<FoundLeak>,
    /// Sequences that were not repeated on one of the kernels.
    pub(crate) left_out: usize,
}

/// Kernel memory that `patched` never gives back, and `base` does: in seconds, on both at once. A few repetitions of all
/// sequences say what may leak. Only what does so on `patched` alone is looked for again, with [`CERTAIN_REPETITIONS`],
/// on both. The leaks of one sequence are enough to refuse a patch, and no others are looked for then.
///
/// # Errors
///
/// As [`find_leaks`], of either; [`RunError::Interrupted`] at the deadline.
pub(crate) fn leaks_of_patched(
    base: &mut Target,
    patched: &mut Target,
    stop: &AtomicBool,
    deadline: Option<Instant>,
) -> Result<PatchedLeaks, RunError> {
    let profile = base.profile();
    let sequences = chosen(profile, |sequence| !waits_for_pins(profile, sequence));
    let suspects = |target: &mut Target| {
        let (repeated, left_out) = repeatable(target, sequences.clone(), deadline)?;
        let mut search = Search { target, repetitions: QUICK_REPETITIONS, stop, deadline };
        let together = search.leaks(&ops_of(&repeated))?;
        Ok((repeated, left_out.len(), together))
    };
    let ((_, of_base, base_together), (repeated, of_patched, together)) =
        both(base, patched, &suspects)?;
    let mut found = PatchedLeaks { leaks: Vec::new(), left_out: of_base.max(of_patched) };
    let together = beyond(together, &base_together);
    if together.is_empty() {
        return Ok(found);
    }
    let repetitions = QUICK_REPETITIONS;
    let mut search = Search { target: patched, repetitions, stop, deadline };
    let one = search.one_that_leaks(&repeated, &together)?;
    for shown in [one, &repeated] {
        let sequences = ops_of(shown);
        let certain = |target: &mut Target| {
            let repetitions = CERTAIN_REPETITIONS;
            Search { target, repetitions, stop, deadline }.leaks(&sequences)
        };
        let (of_base, leaks) = both(base, patched, &certain)?;
        let mut leaks = beyond(leaks, &of_base);
        leaks.retain(|leak| together.iter().any(|other| other.what == leak.what));
        if !leaks.is_empty() {
            let sequence = (shown.len() == 1).then(|| shown[0].0.clone());
            let op_count = sequences.iter().map(|sequence| sequence.ops.len()).sum();
            let of_sequence = |leak| FoundLeak { leak, sequence: sequence.clone(), op_count };
            found.leaks = leaks.into_iter().map(of_sequence).collect();
            break;
        }
    }
    // Where none is left it came by chance.
    Ok(found)
}

/// Asks `base` and `patched` the same at once.
fn both<T: Send>(
    base: &mut Target,
    patched: &mut Target,
    ask: &(impl Fn(&mut Target) -> Result<T, RunError> + Sync),
) -> Result<(T, T), RunError> {
    let (base, patched) = thread::scope(|scope| {
        let base = scope.spawn(|| ask(base));
        let patched = ask(patched);
        (base.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), patched)
    });
    Ok((base?, patched?))
}

/// Those of `sequences` that are repeated, the shortest first, and the others.
fn repeatable(
    target: &mut Target,
    sequences: Vec<Named>,
    deadline: Option<Instant>,
) -> Result<(Vec<Named>, Vec<LeftOut>), RunError> {
    if target.kernel_memory()?.is_none() {
        return Err(RunError::CountsNoMemory { target: target.name().to_string() });
    }
    let mut left_out = Vec::new();
    let mut repeated = Vec::new();
    for (name, sequence) in sequences {
        if is_late(deadline) {
            return Err(RunError::Interrupted);
        }
        match why_not(target, &sequence)? {
            None => repeated.push((name, sequence)),
            Some(why) => left_out.push(LeftOut { sequence: name, why }),
        }
    }
    repeated.sort_by_key(|(_, sequence)| sequence.ops.len());
    Ok((repeated, left_out))
}

fn ops_of(named: &[Named]) -> Vec<&Sequence> {
    named.iter().map(|(_, sequence)| sequence).collect()
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
    /// When it is given up, if ever.
    deadline: Option<Instant>,
}

fn is_late(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

impl Search<'_> {
    /// The leaks that were found `together`, each with the first of `repeated` that shows it alone.
    fn by_sequence(
        &mut self,
        repeated: &[Named],
        together: Vec<Leak>,
    ) -> Result<Vec<FoundLeak>, RunError> {
        let mut found: Vec<FoundLeak> = Vec::new();
        for (name, sequence) in repeated {
            if together.iter().all(|leak| is_among(&found, leak)) {
                break;
            }
            for leak in self.leaks(&[sequence])? {
                if !is_among(&found, &leak) {
                    let (sequence, op_count) = (Some(name.clone()), sequence.ops.len());
                    found.push(FoundLeak { leak, sequence, op_count });
                }
            }
        }
        let op_count = repeated.iter().map(|(_, sequence)| sequence.ops.len()).sum();
        for leak in together {
            if !is_among(&found, &leak) {
                found.push(FoundLeak { leak, sequence: None, op_count });
            }
        }
        found.sort_by(|one, other| other.leak.bytes().total_cmp(&one.leak.bytes()));
        Ok(found)
    }

    /// One of `repeated` that shows some of `suspects`, if one does so alone: by halves, so that few are repeated often.
    fn one_that_leaks<'s>(
        &mut self,
        repeated: &'s [Named],
        suspects: &[Leak],
    ) -> Result<&'s [Named], RunError> {
        let mut left = repeated;
        while left.len() > 1 {
            let (first, then) = left.split_at(left.len() / 2);
            let shown = self.leaks(&ops_of(first))?;
            let is_suspect = |leak: &Leak| suspects.iter().any(|other| other.what == leak.what);
            left = if shown.iter().any(is_suspect) { first } else { then };
        }
        Ok(left)
    }

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
                if self.stop.load(Ordering::Relaxed) || is_late(self.deadline) {
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
