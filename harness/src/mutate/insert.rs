//! New ops, as the generator draws them of what there is at that place.

use pinfold_contract::Op;

use crate::draw::Draw;
use crate::generate::ops_after;

pub(super) fn insert(ops: &mut Vec<Op>, draw: &mut Draw) {
    let at = draw.below(ops.len() + 1);
    let new = ops_after(&ops[..at], Draw::new(draw.any_u64(), 0));
    ops.splice(at..at, new);
}
