//! Which features one sequence has.

use pinfold_contract::OpKind;

use super::draw::Draw;

/// What is switched on.
pub(super) struct Swarm {
    off: Vec<OpKind>,
    pub(super) memfd: bool,
    pub(super) shared: bool,
    pub(super) odd_access: bool,
    pub(super) odd_prots: bool,
    pub(super) wrong_keys: bool,
}

/// Kinds that can be switched off, each in one sequence of how many. The others
/// are what every sequence is made of.
const OPTIONAL: [(OpKind, u32); 9] = [
    (OpKind::Unmap, 3),
    (OpKind::Protect, 3),
    (OpKind::Read, 3),
    (OpKind::Fork, 3),
    (OpKind::Exit, 4),
    (OpKind::Limit, 2),
    (OpKind::Dereg, 4),
    (OpKind::RemoteRead, 6),
    (OpKind::RemoteWrite, 4),
];

impl Swarm {
    pub(super) fn draw(draw: &mut Draw) -> Swarm {
        let off = OPTIONAL.iter().filter(|(_, count)| draw.one_in(*count));
        Swarm {
            off: off.map(|(kind, _)| *kind).collect(),
            memfd: !draw.one_in(3),
            shared: !draw.one_in(3),
            odd_access: draw.one_in(3),
            odd_prots: draw.one_in(3),
            wrong_keys: draw.one_in(2),
        }
    }

    pub(super) fn has(&self, kind: OpKind) -> bool {
        !self.off.contains(&kind)
    }
}
