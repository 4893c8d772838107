//! Two sequences become one.

use pinfold_contract::{Op, Sequence};

use super::{STREAM, within_limit};
use crate::draw::Draw;

/// The beginning of `one` and the end of `other`, a run of `other` inside of `one`, or both in turns. Each keeps its
/// order.
pub fn cross(one: &Sequence, other: &Sequence, rng_seed: u64) -> Sequence {
    let mut draw = Draw::new(rng_seed, STREAM);
    let (one, other) = (&one.ops, &other.ops);
    within_limit(match draw.below(3) {
        0 => one_then_other(one, other, &mut draw),
        1 => one_with_a_run_of_other(one, other, &mut draw),
        _ => in_turns(one, other, &mut draw),
    })
}

fn one_then_other(one: &[Op], other: &[Op], draw: &mut Draw) -> Vec<Op> {
    let (end, start) = (draw.below(one.len() + 1), draw.below(other.len() + 1));
    [&one[..end], &other[start..]].concat()
}

fn one_with_a_run_of_other(one: &[Op], other: &[Op], draw: &mut Draw) -> Vec<Op> {
    let at = draw.below(one.len() + 1);
    let edges = [draw.below(other.len() + 1), draw.below(other.len() + 1)];
    let run = &other[edges[0].min(edges[1])..edges[0].max(edges[1])];
    [&one[..at], run, &one[at..]].concat()
}

fn in_turns(one: &[Op], other: &[Op], draw: &mut Draw) -> Vec<Op> {
    let (mut one, mut other) = (one.iter(), other.iter());
    let mut both = Vec::new();
    while one.len() + other.len() > 0 {
        let next =
            if draw.below(one.len() + other.len()) < one.len() { &mut one } else { &mut other };
        both.extend(next.next());
    }
    both
}
