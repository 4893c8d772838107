//! What is there already, in another number or order.

use std::ops::Range;

use pinfold_contract::Op;

use crate::draw::Draw;

/// Longest run of ops that is handled at once.
const RUN_MAX: usize = 8;

/// One op, or in every third draw a run of a few.
fn run(op_count: usize, draw: &mut Draw) -> Range<usize> {
    let len = if draw.one_in(3) { draw.between(1, RUN_MAX) } else { 1 };
    let start = draw.below(op_count);
    start..(start + len).min(op_count)
}

pub(super) fn delete(ops: &mut Vec<Op>, draw: &mut Draw) {
    ops.drain(run(ops.len(), draw));
}

/// The copy comes right behind, or anywhere.
pub(super) fn duplicate(ops: &mut Vec<Op>, draw: &mut Draw) {
    let run = run(ops.len(), draw);
    let copy = ops[run.clone()].to_vec();
    let at = if draw.one_in(2) { run.end } else { draw.below(ops.len() + 1) };
    ops.splice(at..at, copy);
}

pub(super) fn shift(ops: &mut Vec<Op>, draw: &mut Draw) {
    let moved: Vec<Op> = ops.drain(run(ops.len(), draw)).collect();
    let at = draw.below(ops.len() + 1);
    ops.splice(at..at, moved);
}
