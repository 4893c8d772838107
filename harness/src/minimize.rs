//! Shortens a sequence while it keeps what is wrong with it.
//!
//! Passes are small functions from a sequence to simpler guesses, tried in
//! order: first those that drop much at once, then single ops from the back,
//! then those that make arguments simpler, and all of them again until nothing
//! goes any more. What "it" is only the caller knows; it should be *the same*
//! divergence, not any.

mod any_of;
mod arguments;
mod cached;
mod rank;
mod renumber;

use std::collections::BTreeSet;

pub use any_of::any_of;
pub use cached::cached;
use rank::Rank;

use pinfold_contract::{Mr, Mw, Op, OpKind, Proc, Sequence};

/// Returns a sequence that has it and is minimal: without any single op it is lost, and so it is with any single
/// argument made simpler by one of the passes.
///
/// Keeps the order of ops. The same predicate gives the same sequence, and that sequence gives itself. Calls
/// `still_has_it` once before everything else, and returns `sequence` as it is if that says no.
pub fn minimize(sequence: Sequence, still_has_it: impl FnMut(&Sequence) -> bool) -> Sequence {
    let mut case = Case { best: sequence, still_has_it };
    if !(case.still_has_it)(&case.best) {
        return case.best;
    }
    loop {
        let before = case.best.clone();
        drop_tail(&mut case);
        drop_unrelated(&mut case);
        drop_chunks(&mut case);
        while drop_single_ops(&mut case) {}
        while renumber(&mut case) | simplify_arguments(&mut case) {}
        // What is simpler may be shorter, too.
        if case.best == before {
            return case.best;
        }
    }
}

/// The simplest sequence so far that has it.
struct Case<P> {
    best: Sequence,
    still_has_it: P,
}

impl<P: FnMut(&Sequence) -> bool> Case<P> {
    /// Keeps the ops for which `keep` says so, if that has it still. Whether it became shorter.
    fn try_keeping(&mut self, mut keep: impl FnMut(usize, Op) -> bool) -> bool {
        let ops = self.best.ops.iter().enumerate();
        let kept: Vec<Op> =
            ops.filter(|&(index, &op)| keep(index, op)).map(|(_, &op)| op).collect();
        if kept.len() == self.best.ops.len() {
            return false;
        }
        self.try_guess(Sequence { ops: kept })
    }

    /// Takes `guess` if it is simpler and has it. Whether it was taken.
    ///
    /// Nothing is ever taken that is not simpler, so every pass comes to an end.
    fn try_guess(&mut self, guess: Sequence) -> bool {
        let taken = Rank::of(&guess) < Rank::of(&self.best) && (self.still_has_it)(&guess);
        if taken {
            self.best = guess;
        }
        taken
    }

    fn op_count(&self) -> usize {
        self.best.ops.len()
    }
}

/// Drops what comes after the op that matters last, by halving.
///
/// Sound for any predicate; quick for one that looks at no later op.
fn drop_tail<P: FnMut(&Sequence) -> bool>(case: &mut Case<P>) {
    let mut lost_at = 0;
    while lost_at + 1 < case.op_count() {
        let middle = lost_at + (case.op_count() - lost_at) / 2;
        if !case.try_keeping(|index, _| index < middle) {
            lost_at = middle;
        }
    }
}

/// Drops ops that share no slot, page or process with the last one, directly or
/// through others; then those of one process, of one MR and of one window.
fn drop_unrelated<P: FnMut(&Sequence) -> bool>(case: &mut Case<P>) {
    let related = related_to_last(&case.best.ops);
    case.try_keeping(|index, _| related.contains(&index));
    for proc in Proc::all().skip(1) {
        case.try_keeping(|_, op| !procs_of(&op).contains(&proc));
    }
    let mrs: BTreeSet<Mr> = case.best.ops.iter().flat_map(Op::mrs).collect();
    for mr in mrs {
        case.try_keeping(|_, op| !op.mrs().contains(&mr));
    }
    let mws: BTreeSet<Mw> = case.best.ops.iter().flat_map(Op::mws).collect();
    for mw in mws {
        case.try_keeping(|_, op| !op.mws().contains(&mw));
    }
}

/// Drops runs of ops, from the back, halving their length from half of all ops to two.
fn drop_chunks<P: FnMut(&Sequence) -> bool>(case: &mut Case<P>) {
    let mut len = case.op_count() / 2;
    while len >= 2 {
        let mut end = case.op_count();
        while end > 0 {
            let start = end.saturating_sub(len);
            case.try_keeping(|index, _| index < start || index >= end);
            end = start;
        }
        len /= 2;
    }
}

/// Drops each op alone, from the back. Whether one went.
fn drop_single_ops<P: FnMut(&Sequence) -> bool>(case: &mut Case<P>) -> bool {
    let mut went = false;
    for dropped in (0..case.op_count()).rev() {
        went |= case.try_keeping(|index, _| index != dropped);
    }
    went
}

/// Gives what several ops share simpler names in all of them. Whether something became simpler.
fn renumber<P: FnMut(&Sequence) -> bool>(case: &mut Case<P>) -> bool {
    let mut went = false;
    for (_, pass) in renumber::PASSES {
        // The guesses are of the sequence as it was: after one is taken, they are made anew.
        while pass(&case.best).into_iter().any(|guess| case.try_guess(guess)) {
            went = true;
        }
    }
    went
}

/// Makes the arguments of single ops simpler. Whether something became simpler.
fn simplify_arguments<P: FnMut(&Sequence) -> bool>(case: &mut Case<P>) -> bool {
    let mut went = false;
    for (_, pass) in arguments::PASSES {
        for index in 0..case.op_count() {
            while with_simpler(&case.best, index, pass).any(|guess| case.try_guess(guess)) {
                went = true;
            }
        }
    }
    went
}

/// `sequence` with its op at `index` as `pass` would have it, the simplest first.
fn with_simpler(
    sequence: &Sequence,
    index: usize,
    pass: fn(Op) -> Vec<Op>,
) -> impl Iterator<Item = Sequence> + use<> {
    let sequence = sequence.clone();
    arguments::simpler(sequence.ops[index], pass).into_iter().map(move |op| {
        let mut guess = sequence.clone();
        guess.ops[index] = op;
        guess
    })
}

/// The indices of ops that have to do with the last one.
fn related_to_last(ops: &[Op]) -> BTreeSet<usize> {
    let mut related: BTreeSet<usize> = ops.len().checked_sub(1).into_iter().collect();
    let mut mrs = BTreeSet::new();
    let mut mws = BTreeSet::new();
    let mut pages = BTreeSet::new();
    let mut procs = BTreeSet::from([Proc::P0]);
    // Each round takes in what has to do with something taken in before.
    loop {
        let before = related.len();
        for (index, op) in ops.iter().enumerate().rev() {
            let acts = procs.contains(&op.proc());
            let meets = related.contains(&index)
                || op.mrs().iter().any(|mr| mrs.contains(mr))
                || op.mws().iter().any(|mw| mws.contains(mw))
                || (acts && op.pages().iter().any(|page| pages.contains(page)))
                || (acts && is_for_all(op))
                || op.child().is_some_and(|child| procs.contains(&child));
            if meets {
                related.insert(index);
                mrs.extend(op.mrs());
                mws.extend(op.mws());
                pages.extend(op.pages());
                procs.extend(procs_of(op));
            }
        }
        if related.len() == before {
            return related;
        }
    }
}

/// The acting process, and behind it the child of a fork.
fn procs_of(op: &Op) -> Vec<Proc> {
    [op.proc()].into_iter().chain(op.child()).collect()
}

/// Whether `op` names nothing that it could have in common with another: a limit, a chore, a write to a file.
fn is_for_all(op: &Op) -> bool {
    let names_nothing = op.mrs().is_empty() && op.mws().is_empty() && op.pages().is_empty();
    names_nothing && op.child().is_none() && op.kind() != OpKind::Exit
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{parse, print};

    use super::*;
    use crate::generate::Generator;

    /// Minimizes and checks that nothing more can go.
    fn check(sequence: &Sequence, has_it: impl Fn(&Sequence) -> bool) -> Sequence {
        let least = minimize(sequence.clone(), &has_it);
        assert!(has_it(&least), "it was lost");
        for index in 0..least.ops.len() {
            let mut less = least.clone();
            less.ops.remove(index);
            assert!(!has_it(&less), "op {index} can go from\n{}", print(&least));
            for (name, pass) in arguments::PASSES {
                let simpler = with_simpler(&least, index, pass).find(|guess| has_it(guess));
                assert_eq!(simpler, None, "{name}: op {index} of\n{}", print(&least));
            }
        }
        for (name, pass) in renumber::PASSES {
            let simpler = |guess: &Sequence| Rank::of(guess) < Rank::of(&least) && has_it(guess);
            assert!(!pass(&least).iter().any(simpler), "{name}:\n{}", print(&least));
        }
        assert_eq!(least, minimize(least.clone(), &has_it), "not settled");
        let remembered = minimize(sequence.clone(), cached(&has_it));
        assert_eq!(least, remembered, "memory changes the result");
        assert_eq!(least, minimize(sequence.clone(), &has_it), "not the same twice");
        least
    }

    fn count(sequence: &Sequence, kind: OpKind) -> usize {
        sequence.ops.iter().filter(|op| op.kind() == kind).count()
    }

    #[test]
    fn two_ops_that_matter_are_all_that_is_left() {
        let generator = Generator::new(3);
        let has_it = |s: &Sequence| {
            let at = |kind| s.ops.iter().position(|op| op.kind() == kind);
            matches!((at(OpKind::Map), at(OpKind::Reg)), (Some(map), Some(reg)) if map < reg)
        };
        let sequences: Vec<Sequence> =
            (0..50).map(|index| generator.sequence(index)).filter(has_it).collect();
        assert!(sequences.len() > 20, "too few to say anything");
        for sequence in sequences {
            assert_eq!(check(&sequence, has_it).ops.len(), 2);
        }
    }

    #[test]
    fn counts_and_parities_are_minimal_too() {
        let generator = Generator::new(4);
        for index in 0..30 {
            let sequence = generator.sequence(index);
            let writes = count(&sequence, OpKind::Write).min(3);
            check(&sequence, |s| count(s, OpKind::Write) >= writes);
            let odd = sequence.ops.len() % 2;
            check(&sequence, |s| s.ops.len() % 2 == odd);
        }
    }

    #[test]
    fn an_op_that_can_go_only_after_another_has_gone_goes() {
        let text = "# pinfold 1\nmap 0..1 anon private rw\nfork p1\np1 exit\nwrite 0 8 0x22\n";
        let sequence = parse(text).unwrap().sequence;
        // An exit needs its fork; a fork alone does not matter.
        let least = check(&sequence, |s| {
            count(s, OpKind::Write) == 1 && count(s, OpKind::Exit) <= count(s, OpKind::Fork)
        });
        assert_eq!(least.ops.len(), 1);
    }

    #[test]
    fn ops_that_have_to_do_with_nothing_are_dropped_at_once() {
        let text = "# pinfold 1\nmap 0..1 anon private rw\nmap 9..10 anon private rw\n\
                    reg mr3 9..10 remote_read\nreg mr0 0..1 remote_read\nread_remote mr0+0 8\n";
        let sequence = parse(text).unwrap().sequence;
        assert_eq!(related_to_last(&sequence.ops), BTreeSet::from([0, 3, 4]));
    }

    #[test]
    fn every_argument_of_an_op_becomes_as_simple_as_it_can() {
        use pinfold_contract::{
            Access, Handle, Key, Mr, MwKind, PageRange, Pd, Position, RegCall, Seals, Sge, Sges,
            Span, Target,
        };
        let mw = Mw::new(5).unwrap();
        let (mr, pd) = (Mr(7), Pd::new(1).unwrap());
        let key = Key::Of(Handle::OldMw(mw));
        let target = Target { mr, offset: 17, key, qp: pd };
        let sge = |offset| Sge { mr, offset, len_bytes: 100 };
        let list = Sges::new(&[sge(0), sge(-3), sge(5000)]).unwrap();
        let span = Span { start: Position(5 * 4096 + 3), len_bytes: u64::MAX - 5 };
        let call = RegCall::Raw { iova: Some(0xffff_0000_1234_5678) };
        let file = pinfold_contract::File::new(4).unwrap();
        let pages = |first, end| PageRange::new(first, end).unwrap();
        let ops = vec![
            Op::Remap { proc: Proc::P0, from: pages(9, 13), to: pages(20, 22) },
            Op::Seal { file, seals: Seals::from_bits(31) },
            Op::Reg { mr, span, access: Access(u32::MAX), pd, call },
            Op::AllocMw { mw, kind: MwKind::Type2, pd },
            Op::CompareSwap { target, expect: u64::MAX, swap: 0x1234_5678_9abc },
            Op::Send { from: list, to: list, invalidate: Some(Handle::Mw(mw)), qp: pd },
            Op::MemLimit { pages: Some(77) },
        ];
        let sequence = Sequence { ops };
        let kinds: Vec<OpKind> = sequence.ops.iter().map(Op::kind).collect();
        let least = check(&sequence, |s| kinds.iter().all(|&kind| count(s, kind) > 0));
        let plain = Target::of(Mr(0));
        let first = Pd::FIRST;
        let (mr, mw) = (Mr(0), Mw::new(0).unwrap());
        let none = Sges::default();
        let page = Span { start: Position(0), len_bytes: 4096 };
        let wanted = [
            Op::Remap { proc: Proc::P0, from: pages(0, 1), to: pages(0, 1) },
            Op::Seal { file: pinfold_contract::File::new(0).unwrap(), seals: Seals::default() },
            Op::Reg { mr, span: page, access: Access(0), pd: first, call: RegCall::default() },
            Op::AllocMw { mw, kind: MwKind::Type1, pd: first },
            Op::CompareSwap { target: plain, expect: 0, swap: 0 },
            Op::Send { from: none, to: none, invalidate: None, qp: first },
            Op::MemLimit { pages: None },
        ];
        assert_eq!(least.ops, wanted, "{}", print(&least));
    }

    #[test]
    fn an_unused_page_goes_from_both_places_of_what_is_moved() {
        use pinfold_contract::PageRange;
        let pages = |first, end| PageRange::new(first, end).unwrap();
        let remap = Op::Remap { proc: Proc::P0, from: pages(3, 6), to: pages(10, 13) };
        let sequence = Sequence { ops: vec![remap] };
        let least = check(&sequence, |s| match s.ops[..] {
            [Op::Remap { from, to, .. }] => {
                from.page_count() == to.page_count() && from.end() <= to.first()
            }
            _ => false,
        });
        let wanted = Op::Remap { proc: Proc::P0, from: pages(0, 1), to: pages(1, 2) };
        assert_eq!(least.ops, [wanted]);
    }

    #[test]
    fn a_sequence_that_does_not_have_it_is_left_alone() {
        let sequence = Generator::new(1).sequence(0);
        let mut calls = 0;
        let same = minimize(sequence.clone(), |_| {
            calls += 1;
            false
        });
        assert_eq!((same, calls), (sequence, 1));
    }

    #[test]
    fn it_can_be_found_in_nothing() {
        assert!(minimize(Generator::new(1).sequence(0), |_| true).ops.is_empty());
    }

    #[test]
    fn a_long_sequence_takes_few_questions() {
        let ops = (0..16).flat_map(|index| Generator::new(13).sequence(index).ops).collect();
        let sequence = Sequence { ops };
        let wanted = sequence.ops[sequence.ops.len() / 2];
        let mut calls = 0;
        let least = minimize(sequence, |s| {
            calls += 1;
            s.ops.contains(&wanted)
        });
        assert_eq!(least.ops, [wanted]);
        assert!(calls < 80, "{calls} calls");
    }
}
