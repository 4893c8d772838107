//! Changes a sequence a little, or crosses two: for fuzzing engines that keep what is interesting and go on from there.
//!
//! What comes out is a sequence like any other, with at most [`OPS_MAX`] ops. A mutation knows kinds of argument, not
//! kinds of op: whole ops are drawn as the [generator](crate::generate) draws them, and values of arguments come from
//! what the sequence itself names. The same rng seed gives the same change.

mod argument;
mod arrange;
mod cross;
mod insert;
mod mask;
mod places;
mod values;
mod verbs;

pub use cross::cross;

use pinfold_contract::{OPS_MAX, Op, Sequence};

use crate::draw::Draw;
use crate::generate::Generator;

/// A way to change a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Ops that the generator would draw here come in somewhere.
    Insert,
    /// A run of ops goes.
    Delete,
    /// A run of ops comes a second time.
    Duplicate,
    /// A run of ops goes to another place.
    Move,
    /// One argument of one op has another value.
    Argument,
    /// Every op of the kinds that a swarm switches off goes.
    Mask,
    /// All goes, and what the generator draws comes: a search that begins with nothing has the shallow part at once, and
    /// none is blinder than plain generation.
    Anew,
}

impl Mutation {
    /// Every mutation, and how often it is drawn.
    pub const ALL: [(Mutation, u32); 7] = [
        (Mutation::Insert, 8),
        (Mutation::Delete, 4),
        (Mutation::Duplicate, 2),
        (Mutation::Move, 3),
        (Mutation::Argument, 12),
        (Mutation::Mask, 1),
        (Mutation::Anew, 60),
    ];

    /// `sequence`, changed so. It may stay as it is: nothing can be taken out of nothing.
    pub fn apply(self, sequence: &Sequence, rng_seed: u64) -> Sequence {
        self.draw(sequence, &mut Draw::new(rng_seed, STREAM))
    }

    fn draw(self, sequence: &Sequence, draw: &mut Draw) -> Sequence {
        let mut ops = sequence.ops.clone();
        match self {
            Mutation::Insert => insert::insert(&mut ops, draw),
            Mutation::Delete => arrange::delete(&mut ops, draw),
            Mutation::Duplicate => arrange::duplicate(&mut ops, draw),
            Mutation::Move => arrange::shift(&mut ops, draw),
            Mutation::Argument => argument::change_one(&mut ops, draw),
            Mutation::Mask => mask::mask(&mut ops, draw),
            Mutation::Anew => ops = Generator::new(draw.any_u64()).sequence(0).ops,
        }
        within_limit(ops)
    }
}

/// The stream of choices of this module, beside those of the generator, which are numbered from 0.
const STREAM: u64 = u64::MAX;

/// How often a mutation is drawn anew that changes nothing.
const TRIES: u32 = 16;

/// `sequence` with one mutation, and sometimes with a few.
pub fn mutate(sequence: &Sequence, rng_seed: u64) -> Sequence {
    let mut draw = Draw::new(rng_seed, STREAM);
    let mut mutated = changed(sequence, &mut draw);
    while draw.one_in(4) {
        mutated = changed(&mutated, &mut draw);
    }
    mutated
}

/// `sequence` with the first mutation that changes it.
fn changed(sequence: &Sequence, draw: &mut Draw) -> Sequence {
    let weights = Mutation::ALL.map(|(_, weight)| weight);
    for _ in 0..TRIES {
        let (mutation, _) = Mutation::ALL[draw.weighted(&weights)];
        let mutated = mutation.draw(sequence, draw);
        if mutated != *sequence {
            return mutated;
        }
    }
    sequence.clone()
}

fn within_limit(mut ops: Vec<Op>) -> Sequence {
    ops.truncate(OPS_MAX);
    Sequence { ops }
}

#[cfg(test)]
mod tests;
