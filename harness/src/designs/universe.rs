//! The small universe in which every sequence is run: one page, one child, two MRs.
//!
//! A sequence is one line of [`MAPS`] and then up to `OPS_MOST - 1` lines of [`ACTS`], in any order and as often as one
//! likes. What is written differs from op to op: `TAG` stands for a value of its own.

use crate::scope::Universe;

/// Most ops of a sequence that is certainly run.
pub const OPS_MOST: usize = 6;

/// The first op of a sequence: memory of each kind. `lib0` is open for reading only.
pub const MAPS: [&str; 11] = [
    "map 0..1 anon private rw",
    "map 0..1 anon private r",
    "map 0..1 anon shared rw",
    "map 0..1 anon shared r",
    "map 0..1 memfd0 private rw",
    "map 0..1 memfd0 private r",
    "map 0..1 memfd0 shared rw",
    "map 0..1 memfd0 shared r",
    "map 0..1 lib0 private rw",
    "map 0..1 lib0 private r",
    "map 0..1 lib0 shared r",
];

/// Any other op.
pub const ACTS: [&str; 17] = [
    "read 0 8",
    "write 0 8 TAG",
    "p1 write 0 8 TAG",
    "file_write memfd0 0 8 TAG",
    "protect 0..1 r",
    "protect 0..1 rw",
    "fork p1",
    "p1 exit",
    "reg mr0 0..1 remote_read",
    "reg mr0 0..1 local_write|remote_write",
    "reg mr0 0..1 remote_read|non_coherent",
    "reg mr1 0..1 remote_read",
    "dereg mr0",
    "rereg mr0 access 0..1 remote_read",
    "rereg mr0 access 0..1 local_write|remote_write",
    "write_remote mr0+0 8 TAG",
    "unmap 0..1",
];

/// The two as the universe that is explored.
pub(super) const UNIVERSE: Universe = Universe { firsts: &MAPS, acts: &ACTS };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::op;

    #[test]
    fn every_line_is_an_op_and_every_tag_its_own() {
        for index in 0..OPS_MOST {
            for line in MAPS.iter().chain(&ACTS) {
                let printed = pinfold_contract::print_op(&op(line, index));
                assert!(!printed.is_empty(), "{line}");
            }
        }
        assert_ne!(op("write 0 8 TAG", 1), op("write 0 8 TAG", 2));
    }
}
