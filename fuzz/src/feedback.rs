//! What libFuzzer is told of an input beside the code that ran: features of the model's state after each op.
//!
//! `PINFOLD_FEEDBACK` says what: `none`, or `model`, which is also what nothing said means.

use std::sync::LazyLock;

use pinfold::features::features;
use pinfold::profile::LINUX_6_12;
use pinfold_contract::Sequence;

/// How many counters there are. libFuzzer clears all of them before each input, and looks at all of them after it.
const COUNTERS: usize = 1 << 16;

/// A byte that is not zero is a feature of the input.
///
/// Source: `ClearExtraCounters()`, lib/fuzzer/FuzzerExtraCounters.cpp of compiler-rt, which finds them by their section.
#[used]
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static mut EXTRA_COUNTERS: [u8; COUNTERS] = [0; COUNTERS];

static IS_ON: LazyLock<bool> = LazyLock::new(|| match std::env::var("PINFOLD_FEEDBACK") {
    Ok(word) if word == "none" => false,
    Ok(word) if word != "model" => panic!("PINFOLD_FEEDBACK is none or model, not {word}"),
    Ok(_) | Err(_) => true,
});

/// Counts the features of `sequence`, if that is wanted.
pub fn note(sequence: &Sequence) {
    if *IS_ON {
        features(&LINUX_6_12, sequence).for_each(count);
    }
}

fn count(feature: u32) {
    // The multiplier of Fibonacci hashing spreads what is alike; the upper half of the product is the slot.
    let slot = feature.wrapping_mul(0x9e37_79b9) >> 16;
    let counters = (&raw mut EXTRA_COUNTERS).cast::<u8>();
    // SAFETY: the slot is one of 65536 counters. libFuzzer runs one input at a time, on one thread, and reads the
    // counters on that same thread, so nobody else has them at hand.
    unsafe {
        let counter = counters.add(slot as usize);
        *counter = (*counter).saturating_add(1);
    }
}
