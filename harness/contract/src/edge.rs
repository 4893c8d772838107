//! Where a kernel was: each step from one place in its code to the next.

use serde::{Deserialize, Serialize};

/// A step of a kernel that notes them. Of one of the variant `+kcov` both ends are blocks, counted in units of 4 bytes from
/// `_stext` on, and `from` is 0 where a system call, a fault or a piece of work begins. Of others `to` alone counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Where it comes from.
    pub from: u32,
    /// Where it goes to.
    pub to: u32,
}

/// An edge on the wire: how much further than the one before it begins, and from there how far it goes. Most of both are
/// small, and so few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedEdge(u32, i32);

impl PackedEdge {
    /// `edges` for the wire, which are ascending.
    pub fn pack(edges: &[Edge]) -> Vec<PackedEdge> {
        let mut last = 0_u32;
        let pack = |edge: &Edge| {
            let further = edge.from.wrapping_sub(last);
            last = edge.from;
            PackedEdge(further, edge.to.wrapping_sub(edge.from).cast_signed())
        };
        edges.iter().map(pack).collect()
    }

    /// What [`PackedEdge::pack`] was given. Anything that comes is edges of some kind.
    pub fn unpack(packed: &[PackedEdge]) -> Vec<Edge> {
        let mut from = 0_u32;
        let unpack = |PackedEdge(further, far): &PackedEdge| {
            from = from.wrapping_add(*further);
            Edge { from, to: from.wrapping_add_signed(*far) }
        };
        packed.iter().map(unpack).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_come_back_from_the_wire_as_they_were() {
        let ends = [(0, 7), (0, u32::MAX), (7, 3), (7, 9), (u32::MAX, 0), (u32::MAX, u32::MAX)];
        let edges = ends.map(|(from, to)| Edge { from, to });
        assert_eq!(PackedEdge::unpack(&PackedEdge::pack(&edges)), edges);
    }

    #[test]
    fn what_lies_close_takes_few_bytes() {
        let edges = [(1000, 1003), (1003, 998), (1003, 1010)].map(|(from, to)| Edge { from, to });
        let bytes = postcard::to_stdvec(&PackedEdge::pack(&edges)).unwrap_or_default();
        assert_eq!(bytes.len(), 8, "a length, two bytes for the first end, and one for each other");
    }
}
