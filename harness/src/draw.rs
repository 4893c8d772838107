//! Random choices, frozen for good: of the generator, and of what changes sequences.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A stream of choices that belongs to one rng seed and one index.
pub(crate) struct Draw {
    rng: ChaCha8Rng,
}

impl Draw {
    /// The two numbers stand side by side in the key, so no two pairs share a stream.
    pub(crate) fn new(rng_seed: u64, index: u64) -> Draw {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&rng_seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        Draw { rng: ChaCha8Rng::from_seed(key) }
    }

    pub(crate) fn any_u32(&mut self) -> u32 {
        self.rng.next_u32()
    }

    pub(crate) fn any_u64(&mut self) -> u64 {
        u64::from(self.any_u32()) << 32 | u64::from(self.any_u32())
    }

    /// One of these.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A number below `end`; 0 if that is 0. The bias of the modulo does not matter here.
    pub(crate) fn below_u32(&mut self, end: u32) -> u32 {
        self.any_u32() % end.max(1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u32::try_from(end).expect("choices are few");
        self.below_u32(end) as usize
    }

    /// A number from `first` to `last`, both included.
    pub(crate) fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// A page or another small number below `end`.
    pub(crate) fn page(&mut self, end: u8) -> u8 {
        u8::try_from(self.below_u32(u32::from(end))).expect("below a u8")
    }

    pub(crate) fn one_in(&mut self, count: u32) -> bool {
        self.below_u32(count) == 0
    }

    /// One in eight: refusals deserve coverage, but most ops must get past them.
    pub(crate) fn rarely(&mut self) -> bool {
        self.one_in(8)
    }

    /// An index, each as often as its weight says. The weights are not all zero.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut at = self.below_u32(weights.iter().sum());
        for (index, &weight) in weights.iter().enumerate() {
            match at.checked_sub(weight) {
                Some(rest) => at = rest,
                None => return index,
            }
        }
        unreachable!("the choice lies below the sum of the weights")
    }
}
