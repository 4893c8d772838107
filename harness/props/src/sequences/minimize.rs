//! The minimizer keeps what it is told to keep, and nothing else.

use pinfold::minimize::minimize;
use pinfold_contract::{OpKind, Sequence, print};

/// What is left of `sequence` still has what was wrong with it, loses it with any single op, and comes out the same
/// when it is minimized again. Gives whether there was anything to minimize: a sequence of fewer than two ops has nothing
/// wrong with it, and proves nothing.
pub fn minimize_keeps_what_is_wrong(sequence: &Sequence) -> bool {
    let Some(wrong) = Wrong::of(sequence) else { return false };
    let is_wrong = |candidate: &Sequence| wrong.is_in(candidate);
    assert!(is_wrong(sequence), "the property itself is wrong about\n{}", print(sequence));

    let shorter = minimize(sequence.clone(), is_wrong);
    assert!(is_wrong(&shorter), "lost it:\n{}", print(&shorter));
    assert!(shorter.ops.len() <= sequence.ops.len(), "longer:\n{}", print(&shorter));
    for index in 0..shorter.ops.len() {
        let mut without = shorter.clone();
        without.ops.remove(index);
        assert!(!is_wrong(&without), "op {index} is not needed:\n{}", print(&shorter));
    }
    assert_eq!(minimize(shorter.clone(), is_wrong), shorter, "not settled");
    true
}

/// Something that can be wrong with a sequence and takes several ops: half of its ops of one kind, and before the last
/// of them one of another kind.
struct Wrong {
    first: OpKind,
    then: OpKind,
    count: usize,
}

impl Wrong {
    fn of(sequence: &Sequence) -> Option<Wrong> {
        let (first, then) = (sequence.ops.first()?.kind(), sequence.ops.last()?.kind());
        if sequence.ops.len() < 2 {
            return None;
        }
        let count = sequence.ops.iter().filter(|op| op.kind() == then).count().div_ceil(2);
        Some(Wrong { first, then, count })
    }

    fn is_in(&self, sequence: &Sequence) -> bool {
        let is_then = |op: &pinfold_contract::Op| op.kind() == self.then;
        let Some(last) = sequence.ops.iter().rposition(is_then) else { return false };
        sequence.ops.iter().filter(|op| is_then(op)).count() >= self.count
            && sequence.ops[..last].iter().any(|op| op.kind() == self.first)
    }
}
