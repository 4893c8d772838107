//! What libFuzzer is told of an input beside the code that ran: features of the model's state after each op, and blocks of
//! the kernel that ran.
//!
//! `PINFOLD_FEEDBACK` says what: `none`, `model`, `kernel`, or `both`, which is also what nothing said means. Blocks come
//! from a kernel of the variant `+kcov` alone.

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use pinfold::features::features;
use pinfold::profile::LINUX_6_12;
use pinfold_contract::{Sequence, decode};

/// How many counters there are for either. libFuzzer clears all of them before each input, and looks at all of them after
/// it.
const COUNTERS: usize = 1 << 16;

/// A byte that is not zero is a feature of the input.
///
/// Source: `ClearExtraCounters()`, lib/fuzzer/FuzzerExtraCounters.cpp of compiler-rt, which finds them by their section.
#[used]
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static mut EXTRA_COUNTERS: [u8; 2 * COUNTERS] = [0; 2 * COUNTERS];

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wanted {
    model: bool,
    kernel: bool,
}

static WANTED: LazyLock<Wanted> = LazyLock::new(|| {
    let word = std::env::var("PINFOLD_FEEDBACK").unwrap_or_else(|_| "both".to_owned());
    let (model, kernel) = match word.as_str() {
        "none" => (false, false),
        "model" => (true, false),
        "kernel" => (false, true),
        "both" => (true, true),
        _ => panic!("PINFOLD_FEEDBACK is none, model, kernel or both, not {word}"),
    };
    Wanted { model, kernel }
});

/// The features that some input had.
static SEEN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Counts the features of `sequence`, if that is wanted.
pub fn note(sequence: &Sequence) {
    if WANTED.model {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        for feature in features(&LINUX_6_12, sequence) {
            count(feature, 0);
            seen.insert(feature);
        }
    }
}

/// Whether features of the model are wanted.
pub fn is_of_the_model() -> bool {
    WANTED.model
}

/// So many ops take a kernel as long as what it does for any sequence.
const OPS_OF_A_RUN: usize = 16;

/// How much of an input is new for the time that a kernel takes for it: how many features it has that no input had
/// before, for 1,000 ops.
pub fn worth(input: &[u8]) -> usize {
    let sequence = decode(input).sequence;
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let new: BTreeSet<u32> =
        features(&LINUX_6_12, &sequence).filter(|feature| !seen.contains(feature)).collect();
    1000 * new.len() / (OPS_OF_A_RUN + sequence.ops.len())
}

/// Counts `blocks` of a kernel, if that is wanted.
pub fn note_blocks(blocks: &[u32]) {
    if WANTED.kernel {
        blocks.iter().for_each(|block| count(*block, COUNTERS));
    }
}

/// Counts `feature` among the counters from `first` on.
fn count(feature: u32, first: usize) {
    // The multiplier of Fibonacci hashing spreads what is alike; the upper half of the product is the slot.
    let slot = first + (feature.wrapping_mul(0x9e37_79b9) >> 16) as usize;
    let counters = (&raw mut EXTRA_COUNTERS).cast::<u8>();
    // SAFETY: the slot is one of 65536 counters from the first or from the middle one on. libFuzzer runs one input at a
    // time, on one thread, and reads the counters on that same thread, so nobody else has them at hand.
    unsafe {
        let counter = counters.add(slot);
        *counter = (*counter).saturating_add(1);
    }
}
