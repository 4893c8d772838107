//! Some bugs need the absence of something: a swarm switches kinds of op off, and they go.

use pinfold_contract::Op;

use crate::draw::Draw;
use crate::generate::swarm_kinds;

pub(super) fn mask(ops: &mut Vec<Op>, draw: &mut Draw) {
    let kept = swarm_kinds(draw);
    ops.retain(|op| kept.contains(&op.kind()));
}
