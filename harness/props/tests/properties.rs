//! The properties under bolero: `cargo test` draws a bounded number of cases, `cargo +nightly bolero test` searches.
//!
//! Where a property is about one sequence, an input is what it is for cargo-fuzz: bytes, of which `decode` makes a sequence.
//! So a file that one engine leaves is an input of the other, and of `pinfold fuzz --artifact`.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pinfold_contract::{Sequence, decode};
use pinfold_props::{self as props, Input};
use pinfold_run::Judgement;

/// Longest input that is drawn, in bytes. Bolero needs a bound: without one it draws nothing, and the test passes.
const LEN_BYTES_MAX: usize = 4096;

/// One in how many sequences may be left without a verdict by a real kernel.
const INCONCLUSIVE_ONE_IN: usize = 10;

/// How many times as many cases are drawn: what `PINFOLD_PROPERTY_TIMES` says, for a night.
fn times() -> usize {
    let times = std::env::var("PINFOLD_PROPERTY_TIMES").unwrap_or_else(|_| "1".to_owned());
    times.parse().expect("PINFOLD_PROPERTY_TIMES is a whole number")
}

/// Draws `$count` values, or a multiple of it, and calls `$property` with each; fails when it was called less often. A
/// sequence is made of bytes as for cargo-fuzz.
macro_rules! check {
    ($count:expr, |$sequence:ident : Sequence| $property:expr) => {
        check!($count, |input: Input| {
            let $sequence = &input.0;
            $property
        })
    };
    ($count:expr, |$value:ident : $type:ty| $property:expr) => {{
        let (count, calls) = ($count * times(), AtomicUsize::new(0));
        bolero::check!()
            .with_iterations(count)
            .with_max_len(LEN_BYTES_MAX)
            .with_arbitrary::<$type>()
            .for_each(|$value: &$type| {
                calls.fetch_add(1, Relaxed);
                $property
            });
        let calls = calls.into_inner();
        assert!(calls >= count, "bolero called the property {calls} times, not {count}");
    }};
}

#[test]
fn text_roundtrip() {
    let op_count = AtomicUsize::new(0);
    check!(1000, |sequence: Sequence| {
        op_count.fetch_add(sequence.ops.len(), Relaxed);
        props::text_roundtrip(sequence);
    });
    let op_count = op_count.into_inner();
    assert!(op_count > 5000, "1000 sequences had {op_count} ops in all");
}

#[test]
fn text_roundtrip_of_bytes_that_begin_like_text() {
    check!(1000, |bytes: Vec<u8>| {
        let text = [b"# pinfold 1\nmap 0..4 anon private rw\n", bytes.as_slice()].concat();
        props::text_roundtrip(&decode(&text).sequence);
    });
}

#[test]
fn generated_text_roundtrip() {
    check!(1000, |number: (u64, u64)| props::generated_text_roundtrip(number.0, number.1));
}

#[test]
fn mutated_text_roundtrip() {
    check!(1000, |case: (Sequence, Sequence, u64)| {
        props::mutated_text_roundtrip(&case.0, &case.1, case.2);
    });
}

#[test]
fn wire_is_robust() {
    check!(2000, |bytes: Vec<u8>| props::wire_is_robust(bytes));
}

#[test]
fn model_agrees() {
    check!(500, |sequence: Sequence| props::model_agrees(sequence));
}

#[test]
fn minimize_keeps_what_is_wrong() {
    let (cases, minimized) = (AtomicUsize::new(0), AtomicUsize::new(0));
    check!(300, |sequence: Sequence| {
        cases.fetch_add(1, Relaxed);
        let is_minimized = props::minimize_keeps_what_is_wrong(sequence);
        minimized.fetch_add(usize::from(is_minimized), Relaxed);
    });
    let (cases, minimized) = (cases.into_inner(), minimized.into_inner());
    assert!(minimized * 2 >= cases, "only {minimized} of {cases} sequences had anything wrong");
}

/// Needs a kernel: without one it is skipped, aloud, and fails where `PINFOLD_REQUIRE_VM=1` says that there is one.
#[test]
fn rxe_agrees() {
    if !props::rxe_kernel_is_built() {
        let is_required = std::env::var_os("PINFOLD_REQUIRE_VM").is_some_and(|value| value == "1");
        assert!(!is_required, "no kernel is built: run `ci/setup 6.12`");
        eprintln!("SKIP rxe_agrees: no kernel is built (`ci/setup 6.12` builds it)");
        return;
    }
    let (cases, unsure) = (AtomicUsize::new(0), AtomicUsize::new(0));
    check!(100, |sequence: Sequence| {
        cases.fetch_add(1, Relaxed);
        match props::rxe_agrees(sequence) {
            Judgement::Inconclusive { .. } => _ = unsure.fetch_add(1, Relaxed),
            Judgement::Agrees | Judgement::Known { .. } | Judgement::Diverges { .. } => {}
        }
    });
    let (cases, unsure) = (cases.into_inner(), unsure.into_inner());
    eprintln!("rxe_agrees: {unsure} of {cases} sequences could not be judged");
    assert!(
        unsure * INCONCLUSIVE_ONE_IN <= cases,
        "{unsure} of {cases} sequences could not be judged"
    );
}
