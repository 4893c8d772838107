//! What a mutation makes of a sequence is a sequence.

use pinfold::mutate::{cross, mutate};
use pinfold_contract::{OPS_MAX, Sequence};

use crate::text_roundtrip;

/// What `one` becomes by the mutations and the crossing with `other` that `rng_seed` gives can be stored, keeps to the
/// limit, and comes out the same again.
pub fn mutated_text_roundtrip(one: &Sequence, other: &Sequence, rng_seed: u64) {
    let make = || [mutate(one, rng_seed), cross(one, other, rng_seed)];
    for made in make() {
        assert!(made.ops.len() <= OPS_MAX, "{} ops", made.ops.len());
        text_roundtrip(&made);
    }
    assert_eq!(make(), make(), "rng seed {rng_seed}");
}
