//! What libFuzzer is told of an input beside the code that ran: features of the model's state after each op, and which way
//! the kernel went.
//!
//! `PINFOLD_FEEDBACK` says what: `none`, `model`, `kernel`, or `both`, which is also what nothing said means. The way comes
//! from a kernel of the variant `+kcov`, from block to block, or from calls that ftrace saw.
//!
//! A target that runs a kernel is guided by what is said so, and by nothing else unless that is nothing: of code that runs in
//! its own process, the model's and the oracles', nearly every sequence shows something new that matters to no kernel.

use std::sync::LazyLock;

use pinfold::features::features;
use pinfold::profile::Profile;
use pinfold_contract::{Edge, Sequence};

use crate::choice;

/// How many counters there are for either. libFuzzer clears all of them before each input, and looks at all of them after
/// it.
const COUNTERS: usize = 1 << COUNTER_BITS;
const COUNTER_BITS: u32 = 17;

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

/// Counts the features of `sequence` by the newest rules, if that is wanted: for what runs no kernel.
pub fn note(sequence: &Sequence) {
    if WANTED.model {
        features(Profile::newest(), sequence).for_each(|feature| count(feature, 0));
    }
}

/// The same by the rules `profile` of the kernel that ran it, with the broken rules that it shows, and with the `edges` that
/// the kernel took. That is all that is told then.
pub fn note_run(profile: &Profile, sequence: &Sequence, edges: &[Edge]) {
    if WANTED.model {
        let (features, faults) = choice::note(profile, sequence);
        features.into_iter().for_each(|feature| count(feature, 0));
        faults.into_iter().for_each(|fault| count(u32::MAX - fault as u32, 0));
    }
    if WANTED.kernel {
        // One end is turned, so that there and back are two.
        edges.iter().for_each(|edge| count(edge.from.rotate_left(16) ^ edge.to, COUNTERS));
    }
    if WANTED.model || WANTED.kernel {
        forget_own_code();
    }
}

/// Whether features of the model are wanted.
pub fn is_of_the_model() -> bool {
    WANTED.model
}

/// Forgets which code of this process ran.
fn forget_own_code() {
    unsafe extern "C" {
        #[link_name = "__start___sancov_cntrs"]
        static mut FIRST: u8;
        #[link_name = "__stop___sancov_cntrs"]
        static mut END: u8;
    }
    let (first, end) = (&raw mut FIRST, &raw mut END);
    // SAFETY: the linker puts all counters of the compiler's between the two, as bytes, and this one thread counts in them.
    unsafe { first.write_bytes(0, end.addr() - first.addr()) };
}

/// Counts `feature` among the counters from `first` on.
fn count(feature: u32, first: usize) {
    // The multiplier of Fibonacci hashing spreads what is alike; the upper bits of the product are the slot.
    let slot = first + (feature.wrapping_mul(0x9e37_79b9) >> (u32::BITS - COUNTER_BITS)) as usize;
    let counters = (&raw mut EXTRA_COUNTERS).cast::<u8>();
    // SAFETY: the slot is one of so many counters from the first or from the middle one on. libFuzzer runs one input at a
    // time, on one thread, and reads the counters on that same thread, so nobody else has them at hand.
    unsafe { *counters.add(slot) = 1 };
}
