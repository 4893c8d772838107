//! Finds out which of the changed lines run: stored and random sequences on a kernel whose changed code says so, and then
//! more of those that came nearest. It ends as soon as every line ran.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use pinfold::generate::Generator;
use pinfold::mutate::Mutation;
use pinfold_contract::{Observe, Sequence};
use tempfile::TempDir;

use super::is_stopped;
use super::lines::{Lines, Reach};
use crate::blocks::LineTable;
use crate::check::check;
use crate::error;
use crate::fuzz::Budget;
use crate::stored::stored;
use crate::target::{Prepared, Target};

/// How long random sequences are tried, and as long again sequences near to what did not run: as long as the comparison
/// ran them, and no longer than this.
const SEARCH_FOR_MOST: Duration = Duration::from_secs(10);

/// So many sequences that came near are changed, in turn.
const NEAR_MOST: usize = 64;

/// How they are changed.
const CHANGES: [Mutation; 4] =
    [Mutation::Argument, Mutation::Insert, Mutation::Argument, Mutation::Duplicate];

/// A kernel whose changed code says what of it ran.
pub(super) struct TracedKernel {
    pub(super) prepared: Prepared,
    pub(super) lines: Lines,
    /// Where the code of its lines is.
    pub(super) table: LineTable,
    /// The folder of its initramfs, if it has one of its own.
    pub(super) _folder: Option<TempDir>,
}

impl TracedKernel {
    /// Which of the changed lines are in the kernel, of which none ran yet.
    pub(super) fn built(&self) -> Reach {
        self.lines.reach(&self.table, &BTreeSet::new())
    }
}

/// Which sequences are run on it.
pub(super) struct Search<'a> {
    pub(super) budget: Budget,
    pub(super) rng_seed: u64,
    pub(super) cpu: Option<usize>,
    pub(super) stop: &'a Arc<AtomicBool>,
}

/// Which of the changed lines are in the kernel, and which run.
pub(super) fn reach(kernel: &TracedKernel, search: &Search<'_>) -> Reach {
    let table = &kernel.table;
    let blocks = kernel.lines.blocks(table);
    if blocks.is_empty() {
        return kernel.built();
    }
    let target = match kernel.prepared.open(search.cpu, Arc::clone(search.stop)) {
        Ok(target) => target,
        Err(error) => return Reach::unknown(error.to_string()),
    };
    let mut pass = Pass {
        kernel,
        search,
        blocks,
        target,
        ran: BTreeSet::new(),
        near: Vec::new(),
        closest: Vec::new(),
        sequences: 0,
        is_lost: false,
    };
    let near = pass.run();
    Reach { sequences: pass.sequences, near, ..kernel.lines.reach(table, &pass.ran) }
}

struct Pass<'a> {
    kernel: &'a TracedKernel,
    search: &'a Search<'a>,
    /// The blocks of each line that is in the kernel.
    blocks: Vec<BTreeSet<u32>>,
    target: Target,
    ran: BTreeSet<u32>,
    /// Sequences that reached something in the files that changed.
    near: Vec<Sequence>,
    /// Those that reached the function of a line that did not run when they were run.
    closest: Vec<Sequence>,
    sequences: u64,
    /// Whether it runs nothing any more.
    is_lost: bool,
}

impl Pass<'_> {
    /// How many sequences were run that were made of those that came near.
    fn run(&mut self) -> u64 {
        let since = Instant::now();
        for (_, sequence) in stored() {
            if self.is_done() {
                return 0;
            }
            if since.elapsed() >= SEARCH_FOR_MOST {
                break;
            }
            self.note(sequence);
        }
        let generator = Generator::new(self.search.rng_seed);
        let profile = self.target.profile();
        self.search_with(|index| generator.sequence_on(profile, index));
        let kept = if self.closest.is_empty() { &self.near } else { &self.closest };
        let kept: Vec<Sequence> = kept.clone();
        if kept.is_empty() {
            return 0;
        }
        let rng_seed = self.search.rng_seed;
        self.search_with(|index| changed(&kept, rng_seed, index))
    }

    /// Whether every line ran, or nothing more will.
    fn is_done(&self) -> bool {
        self.is_lost
            || is_stopped(self.search.stop)
            || self.blocks.iter().all(|line| !line.is_disjoint(&self.ran))
    }

    /// Runs sequences for the time or in the number that the search has; tells how many.
    fn search_with(&mut self, sequence: impl Fn(u64) -> Sequence) -> u64 {
        let (since, mut count) = (Instant::now(), 0);
        while !self.is_done() {
            let is_over = match self.search.budget {
                Budget::Time(time) => since.elapsed() >= time.min(SEARCH_FOR_MOST),
                Budget::Sequences(most) => count >= most || since.elapsed() >= SEARCH_FOR_MOST,
            };
            if is_over {
                break;
            }
            self.note(sequence(count));
            count += 1;
        }
        count
    }

    /// Runs `sequence`. One that cannot be judged may have run something all the same.
    fn note(&mut self, sequence: Sequence) {
        self.sequences += 1;
        if let Err(error) = check(&mut self.target, &sequence, Observe::End) {
            self.is_lost = error.reach() == error::Reach::Target;
            return;
        }
        let blocks: BTreeSet<u32> = self.target.edges().iter().map(|edge| edge.to).collect();
        if blocks.is_empty() {
            return;
        }
        self.ran.extend(&blocks);
        let around = self.kernel.lines.around_missed(&self.kernel.table, &self.ran);
        let is_closest = !around.is_disjoint(&blocks);
        let kept = if is_closest { &mut self.closest } else { &mut self.near };
        if kept.len() < NEAR_MOST {
            kept.push(sequence);
        }
    }
}

/// One of `kept`, with one change to three.
fn changed(kept: &[Sequence], rng_seed: u64, index: u64) -> Sequence {
    let place = |number: u64, len: usize| usize::try_from(number).unwrap_or(0) % len;
    let mut sequence = kept[place(index, kept.len())].clone();
    for change in 0..=index % 3 {
        let seed = rng_seed.wrapping_add(index * 3 + change);
        sequence = CHANGES[place(seed, CHANGES.len())].apply(&sequence, seed);
    }
    sequence
}
