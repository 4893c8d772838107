//! What the fuzz targets share: each is a property of `pinfold-props` over inputs that are text.
#![cfg(feature = "sequences")]

pub mod choice;
pub mod feedback;

use libfuzzer_sys::fuzzer_mutate;
use pinfold::features::About;
use pinfold::profile::Profile;
use pinfold_contract::Sequence;
use pinfold_props::{cross_inputs_to, edit_input, mutate_input_to};

/// A target that runs `$property` on the sequence of each input, with a mutator and a cross-over that know sequences. Where
/// the property runs a kernel, `$edges` gives which way that went for the last one, and `$profile` its rules.
#[macro_export]
macro_rules! sequence_target {
    ($property:path) => {
        pinfold_fuzz::sequence_target!(@ $property, pinfold_fuzz::feedback::note, Choice::Any);
    };
    ($property:path, $edges:path, $profile:path) => {
        pinfold_fuzz::sequence_target!(
            @ $property,
            |sequence| pinfold_fuzz::feedback::note_run($profile(), sequence, &$edges()),
            Choice::BestFor($profile)
        );
    };
    (@ $property:path, $note:expr, $choice:expr) => {
        use pinfold_fuzz::Choice;

        libfuzzer_sys::fuzz_target!(|input: pinfold_props::Input| {
            _ = $property(&input.0);
            $note(&input.0);
        });
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], len: usize, len_max: usize, seed: u32| {
            pinfold_fuzz::mutate(data, len, len_max, seed, $choice)
        });
        libfuzzer_sys::fuzz_crossover!(|one: &[u8], other: &[u8], out: &mut [u8], seed: u32| {
            pinfold_fuzz::cross(one, other, out, seed, $choice)
        });
    };
}

/// What goes to a target of all that could be made of an input.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    /// What is drawn: the target takes no longer than a choice would.
    Any,
    /// The best of many for the kernel with these rules, where features of the model count: see [`choice`].
    BestFor(fn() -> &'static Profile),
}

/// One in so many mutations is libFuzzer's own, so that the words of `-dict` and of its table of comparisons have a
/// part. It changes the text; lines that are no op after it go.
const ENGINE_EVERY: u32 = 16;

/// So many changes are tried on the model.
const TRIES: u32 = 64;

/// Changes the input in the first `len_bytes` bytes of `data`. Gives its length, at most `len_bytes_max`.
pub fn mutate(
    data: &mut [u8],
    len_bytes: usize,
    len_bytes_max: usize,
    rng_seed: u32,
    choice: Choice,
) -> usize {
    if rng_seed.is_multiple_of(ENGINE_EVERY) {
        return edit_input(data, len_bytes, len_bytes_max, fuzzer_mutate);
    }
    let change = |sequence: &Sequence| {
        chosen(choice, rng_seed, |rng_seed| pinfold::mutate::mutate(sequence, rng_seed))
    };
    mutate_input_to(data, len_bytes, len_bytes_max, change)
}

/// Crosses the inputs `one` and `other` into `out`, or changes the first of them. Gives its length.
pub fn cross(one: &[u8], other: &[u8], out: &mut [u8], rng_seed: u32, choice: Choice) -> usize {
    let join = |one: &Sequence, other: &Sequence| {
        chosen(choice, rng_seed, |rng_seed| match rng_seed % 3 {
            0 => pinfold::mutate::cross(one, other, rng_seed),
            _ => pinfold::mutate::mutate(one, rng_seed),
        })
    };
    cross_inputs_to(one, other, out, join)
}

/// One of what `make` makes, where `rng_seed` is what the engine drew. Another thing is looked for each time.
fn chosen(choice: Choice, rng_seed: u32, make: impl Fn(u64) -> Sequence) -> Sequence {
    let profile = match choice {
        Choice::BestFor(profile) if feedback::is_of_the_model() => profile(),
        Choice::BestFor(_) | Choice::Any => return make(rng_seed.into()),
    };
    // Numbers far from each other give changes that have nothing in common.
    let tried = (0..TRIES).map(|again| rng_seed.wrapping_add(again.wrapping_mul(0x9e37_79b9)));
    let about = About::ALL[(rng_seed / ENGINE_EVERY) as usize % About::ALL.len()];
    choice::best(profile, tried.map(|rng_seed| make(rng_seed.into())), about).unwrap_or_default()
}
