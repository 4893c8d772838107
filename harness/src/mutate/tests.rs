//! What the mutations do to generated sequences.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{Access, OpKind, PageRange, Proc, parse, print};

use super::*;
use crate::generate::{Generator, OPS_MOST};
use crate::profile::Profile;

/// Many sequences, with an rng seed for each.
fn many() -> impl Iterator<Item = (Sequence, u64)> {
    let generator = Generator::new(7);
    (0..400).map(move |index| (generator.sequence_on(Profile::newest(), index), index * 31))
}

fn counted(ops: &[Op]) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    ops.iter().for_each(|op| *count.entry(format!("{op:?}")).or_default() += 1);
    count
}

/// Whether `part` is what is left of `whole` when ops are taken out of it.
fn is_within(part: &[Op], whole: &[Op]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|op| rest.any(|other| other == op))
}

/// Holds `claim` against what `mutation` does, which must be something in nearly all cases.
fn check(mutation: Mutation, claim: impl Fn(&[Op], &[Op]) -> bool) {
    let mut changed_count = 0;
    for (sequence, rng_seed) in many() {
        let mutated = mutation.apply(&sequence, rng_seed);
        let (before, after) = (print(&sequence), print(&mutated));
        assert_eq!(parse(&after).map(|file| file.sequence), Ok(mutated.clone()), "{after}");
        if mutated != sequence {
            changed_count += 1;
            assert!(claim(&sequence.ops, &mutated.ops), "{mutation:?} of\n{before}is\n{after}");
        }
    }
    assert!(changed_count > 300, "{mutation:?} changed {changed_count} of 400 sequences");
}

#[test]
fn an_insertion_leaves_all_that_was_there() {
    check(Mutation::Insert, |before, after| before.len() < after.len() && is_within(before, after));
}

#[test]
fn a_deletion_takes_a_few_ops_and_no_more() {
    check(Mutation::Delete, |before, after| {
        is_within(after, before) && (before.len() - 8..before.len()).contains(&after.len())
    });
}

#[test]
fn a_duplication_has_nothing_new() {
    check(Mutation::Duplicate, |before, after| {
        let known = counted(before);
        is_within(before, after) && counted(after).keys().all(|op| known.contains_key(op))
    });
}

#[test]
fn a_move_only_changes_the_order() {
    check(Mutation::Move, |before, after| counted(before) == counted(after));
}

#[test]
fn an_argument_is_changed_in_one_op_that_stays_of_its_kind() {
    check(Mutation::Argument, |before, after| {
        let pairs = before.iter().zip(after);
        before.len() == after.len()
            && pairs.clone().filter(|(one, other)| one != other).count() == 1
            && pairs.clone().all(|(one, other)| one.kind() == other.kind())
    });
}

#[test]
fn a_mask_takes_whole_kinds() {
    let kinds = |ops: &[Op]| ops.iter().map(Op::kind).collect::<BTreeSet<OpKind>>();
    check(Mutation::Mask, |before, after| {
        let left = kinds(after);
        let kept: Vec<Op> = before.iter().copied().filter(|op| left.contains(&op.kind())).collect();
        kept == after
    });
}

#[test]
fn what_is_made_anew_is_as_the_generator_draws_it() {
    check(Mutation::Anew, |_, after| (12..=OPS_MOST).contains(&after.len()));
    let nothing = Sequence::default();
    let made: BTreeSet<String> =
        (0..50).map(|seed| print(&Mutation::Anew.apply(&nothing, seed))).collect();
    assert_eq!(made.len(), 50);
}

#[test]
fn a_cross_has_ops_of_both_in_their_order() {
    let generator = Generator::new(8);
    let mut of_both = 0;
    for (one, rng_seed) in many() {
        let other = generator.sequence(rng_seed);
        let both = cross(&one, &other, rng_seed);
        assert_eq!(both, cross(&one, &other, rng_seed));
        let known = counted(&[one.ops.clone(), other.ops.clone()].concat());
        for (op, count) in counted(&both.ops) {
            assert!(known.get(&op).is_some_and(|most| count <= *most), "{op}");
        }
        let has_some = |of: &Sequence| both.ops.iter().any(|op| of.ops.contains(op));
        of_both += usize::from(has_some(&one) && has_some(&other));
    }
    assert!(of_both > 350, "{of_both} of 400 are of both");
}

/// The name of an argument, and its value as text.
fn args(op: &Op) -> Vec<(String, String)> {
    let mut op = *op;
    let texts = op.args_mut().into_iter().map(|arg| format!("{arg:?}")).collect::<Vec<_>>();
    texts
        .into_iter()
        .map(|text| (text.split('(').next().unwrap_or_default().to_owned(), text))
        .collect()
}

#[test]
fn every_argument_of_every_op_is_changed_sooner_or_later() {
    let (mut there, mut changed) = (BTreeSet::new(), BTreeSet::new());
    for (sequence, rng_seed) in many() {
        for op in &sequence.ops {
            there.extend(args(op).into_iter().map(|(name, _)| (op.kind(), name)));
        }
        for again in 0..20 {
            let mutated = Mutation::Argument.apply(&sequence, rng_seed * 100 + again);
            for (before, after) in sequence.ops.iter().zip(&mutated.ops) {
                let pairs = args(before).into_iter().zip(args(after));
                let other = pairs.filter(|(old, new)| old.1 != new.1);
                changed.extend(other.map(|((name, _), _)| (before.kind(), name)));
            }
        }
    }
    assert_eq!(
        there.iter().map(|(kind, _)| kind).collect::<BTreeSet<_>>().len(),
        OpKind::ALL.len()
    );
    let missed: Vec<_> = there.difference(&changed).collect();
    assert!(missed.is_empty(), "never changed: {missed:?}");
}

#[test]
fn rights_go_one_flag_away_and_pages_to_the_edges_of_others() {
    let text = "# pinfold 1\nmap 7..9 anon private rw\nreg mr0 20..24 remote_read\n";
    let sequence = parse(text).map(|file| file.sequence).unwrap_or_default();
    let (mut flags_away, mut edges) = (BTreeSet::new(), BTreeSet::new());
    for rng_seed in 0..4000 {
        for op in Mutation::Argument.apply(&sequence, rng_seed).ops {
            if let Op::Reg { access, .. } = op {
                flags_away.insert((access.0 ^ Access::REMOTE_READ.0).count_ones());
            }
            if let Op::Map { pages, .. } = op {
                edges.extend([pages.first(), pages.end()]);
            }
        }
    }
    assert_eq!(flags_away, BTreeSet::from([0, 1]));
    for wanted in [0, 6, 7, 8, 9, 10, 19, 20, 21, 23, 24, 25, 63, 64] {
        assert!(edges.contains(&wanted), "{wanted} is not among {edges:?}");
    }
}

#[test]
fn a_mutation_changes_something_and_the_same_number_changes_the_same() {
    let mut unchanged = 0;
    for (sequence, rng_seed) in many() {
        let mutated = mutate(&sequence, rng_seed);
        assert_eq!(mutated, mutate(&sequence, rng_seed));
        unchanged += usize::from(mutated == sequence);
    }
    assert!(unchanged < 8, "{unchanged} of 400 stayed as they were");
}

#[test]
fn something_comes_of_nothing() {
    let nothing = Sequence::default();
    let grown = (0..50).filter(|rng_seed| mutate(&nothing, *rng_seed) != nothing).count();
    // What came may go again by a second mutation.
    assert!(grown >= 45, "{grown} of 50");
    assert_eq!(cross(&nothing, &nothing, 1), nothing);
}

#[test]
fn no_sequence_grows_beyond_the_limit() {
    let pages = PageRange::new(0, 1).expect("a page");
    let full = Sequence { ops: vec![Op::Unmap { proc: Proc::P0, pages }; OPS_MAX] };
    for rng_seed in 0..100 {
        assert!(mutate(&full, rng_seed).ops.len() <= OPS_MAX);
        assert!(cross(&full, &full, rng_seed).ops.len() <= OPS_MAX);
    }
}
