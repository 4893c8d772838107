//! The universe of `pinfold fuzz --exhaustive`: two pages, one child, two MRs, few rights.
//!
//! Of sequences that are the same but for names one is enough. MRs are named in the order in which they come, and what
//! leaves page 0 alone is the same one page lower. To exchange the two pages is no such renaming: a kernel goes through
//! pages from the lower to the higher one, and stops where something is wrong.

use std::collections::BTreeSet;

use pinfold_contract::{Mr, Op, Outcome, Sequence};

use super::{Course, Universe, explore};
use crate::model::Steps;
use crate::profile::Profile;

const UNIVERSE: Universe = Universe {
    firsts: &[
        "map 0..1 anon private rw",
        "map 1..2 anon private rw",
        "map 0..2 anon private rw",
        "map 0..2 anon private r",
        "map 0..2 anon shared rw",
        "map 0..2 memfd0 private rw",
        "map 0..2 memfd0 shared rw",
        "map 0..2 lib0 private r",
    ],
    acts: &[
        "map 0..1 anon private rw",
        "map 1..2 anon private rw",
        "unmap 0..1",
        "unmap 1..2",
        "protect 0..1 r",
        "protect 0..2 r",
        "protect 0..2 rw",
        "advise 0..1 dontneed",
        "advise 0..2 dontfork",
        "read 0 8",
        "write 0 8 TAG",
        "write 1 8 TAG",
        "fork p1",
        "p1 exit",
        "p1 read 0 8",
        "p1 write 0 8 TAG",
        "p1 unmap 0..1",
        "reg mr0 0..1 remote_read",
        "reg mr0 0..2 remote_read",
        "reg mr0 0..2 local_write|remote_write",
        "reg mr1 0..1 remote_read",
        "reg mr1 0..2 remote_read",
        "reg mr1 0..2 local_write|remote_write",
        "dereg mr0",
        "dereg mr1",
        "read_remote mr0+0 8",
        "write_remote mr0+0 8 TAG",
        "write_remote mr1+4096 8 TAG",
    ],
};

/// How much there is of the universe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Sequences of one op, of two, and so on.
    pub sequences: Vec<u64>,
    /// Different states of the model after them, but for the names of frames and the values of bytes.
    pub states: usize,
    /// Sequences that are left out because they are the same as another one but for names. What begins with one is not
    /// counted where it cannot be another.
    pub renamed: u64,
    /// Sequences that are left out because their last op is skipped: without it they are shorter ones.
    pub skipping: u64,
}

impl Scope {
    /// All sequences.
    pub fn sequence_count(&self) -> u64 {
        self.sequences.iter().sum()
    }
}

/// Calls `visit` with every sequence of at most `ops_most` ops, by the rules of `profile`.
pub fn every_sequence(
    profile: &Profile,
    ops_most: usize,
    visit: &mut impl FnMut(Sequence),
) -> Scope {
    let mut scope = Scope { sequences: vec![0; ops_most], ..Scope::default() };
    let mut states = BTreeSet::new();
    explore(&UNIVERSE, ops_most, &Steps::new(profile), &mut |steps, ops| {
        let Some((op, before)) = ops.split_last() else { return Course::Back };
        if !names_mrs_in_order(before, op) {
            scope.renamed += 1;
            return Course::Back;
        }
        if steps.step(op) == Outcome::Skipped {
            scope.skipping += 1;
            return Course::Back;
        }
        if !ops.iter().flat_map(Op::pages).any(|page| page == 0) {
            // With an op on page 0 to come, it is no other one.
            scope.renamed += 1;
            return Course::On;
        }
        scope.sequences[ops.len() - 1] += 1;
        states.insert(steps.fingerprint());
        visit(Sequence { ops: ops.to_vec() });
        Course::On
    });
    Scope { states: states.len(), ..scope }
}

/// Whether `op` names no MR above one that has not come yet, if the ops before it do not either.
fn names_mrs_in_order(before: &[Op], op: &Op) -> bool {
    let named: BTreeSet<Mr> = before.iter().flat_map(Op::mrs).collect();
    op.mrs().iter().all(|mr| mr.index() <= named.len())
}

#[cfg(test)]
mod tests {
    use pinfold_contract::print;

    use super::*;
    use crate::profile::Profile;

    fn all(profile: &Profile, ops_most: usize) -> (Vec<String>, Scope) {
        let mut texts = Vec::new();
        let scope = every_sequence(profile, ops_most, &mut |sequence| {
            texts.push(print(&sequence).lines().skip(1).collect::<Vec<_>>().join("; "));
        });
        (texts, scope)
    }

    #[test]
    fn every_sequence_comes_once_and_is_counted() {
        for profile in Profile::all() {
            let (texts, scope) = all(profile, 3);
            let distinct: BTreeSet<&String> = texts.iter().collect();
            assert_eq!(distinct.len(), texts.len());
            assert_eq!(scope.sequence_count(), texts.len() as u64);
            let firsts = UNIVERSE.firsts.len() as u64;
            assert_eq!(scope.sequences[0], firsts - 1, "one of them leaves page 0 alone");
            assert!(scope.sequences.is_sorted_by(|short, long| short * 10 < *long), "{scope:?}");
            assert!((50..texts.len()).contains(&scope.states), "{scope:?}");
        }
    }

    #[test]
    fn what_is_the_same_but_for_names_is_left_out_and_nothing_else() {
        let (texts, _) = all(Profile::newest(), 3);
        let has = |text: &str| texts.iter().any(|other| other == text);
        let (map, high) = ("map 0..2 anon private rw", "map 1..2 anon private rw");
        let (reg0, reg1) = ("reg mr0 0..1 remote_read", "reg mr1 0..1 remote_read");
        assert!(has(&format!("{map}; {reg0}; {reg1}")));
        assert!(!has(&format!("{map}; {reg1}; {reg0}")));
        assert!(!has(&format!("{map}; {reg1}")));
        assert!(!has(&format!("{high}; write 1 8 0x22")));
        assert!(has(&format!("{high}; write 1 8 0x22; read 0 8")));
        assert!(!has(&format!("{map}; p1 exit")), "there is no p1: it is skipped");
        assert!(has(&format!("{map}; fork p1; p1 exit")));
    }

    #[test]
    fn a_state_is_the_same_whatever_its_frames_are_called() {
        let after = |lines: &[&str]| {
            let mut steps = Steps::new(Profile::newest());
            for (place, line) in lines.iter().enumerate() {
                steps.step(&super::super::op(line, place));
            }
            steps.fingerprint()
        };
        let (map, low, high) = ("map 0..2 anon private rw", "write 0 8 TAG", "write 1 8 TAG");
        assert_eq!(after(&[map, low, high]), after(&[map, high, low]));
        assert_eq!(after(&[map, "read 0 8", low]), after(&[map, low, "read 0 8"]));
        assert_ne!(after(&[map, low]), after(&[map, high]));
        assert_ne!(after(&[map, low]), after(&[map, "read 0 8"]));
        assert_ne!(after(&[map, low]), after(&[map, low, "fork p1"]));
        assert_ne!(
            after(&[map, low, "reg mr0 0..1 remote_read"]),
            after(&[map, low, "reg mr0 0..2 remote_read"])
        );
    }
}
