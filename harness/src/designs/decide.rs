//! What becomes of a design: every short sequence, then random ones.

use std::collections::BTreeSet;

use pinfold_contract::{Access, Observe, Op, Outcome, Sequence, parse};

use super::universe::{OPS_MOST, UNIVERSE};
use super::{Design, Pair};
use crate::explain::{Cost, bills};
use crate::generate::Generator;
use crate::minimize::minimize;
use crate::model::{Walk, Watched, Wrong, perform, predict};
use crate::profile::{NonCoherent, Profile};
use crate::scope::{Course, explore};

/// The host that sends the pages of a guest, row 9 of the thread.
const LIVE_MIGRATION: &str =
    include_str!("../../../corpus/scenarios/thread_row_09_live_migration_of_shared_pages.seq");

/// What was found out of one pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which.
    pub pair: Pair,
    /// A shortest sequence in which adapter and CPU see different things, if there is one.
    pub incoherent: Option<Counterexample>,
    /// A shortest sequence in which memory is written that may not be, if there is one.
    pub unprotected: Option<Counterexample>,
    /// What became of pages that were shared when they were registered for reading alone.
    pub kept: Kept,
    /// What registering for reading costs the host that sends the pages of a guest.
    pub bill: Option<Bill>,
    /// What was run.
    pub explored: Explored,
}

/// A sequence that shows what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The sequence. In its last op it goes wrong.
    pub sequence: Sequence,
    /// What goes wrong.
    pub wrong: Wrong,
}

/// Shared pages of private mappings that were registered for reading, in all sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many there were.
    pub shared: u64,
    /// How many were copied.
    pub copied: u64,
}

/// The cost of the live migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bill {
    /// What registering the guest's pages cost.
    pub cost: Cost,
    /// Whether NON_COHERENT was given.
    pub flagged: bool,
}

/// How much was run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Sequences of the universe, up to the longest. Those with an op that is skipped are left out: without it they
    /// are shorter ones.
    pub sequences: u64,
    /// Random ones.
    pub random: u64,
    /// How many of these were incoherent.
    pub random_incoherent: u64,
    /// How many of these wrote what may not be written.
    pub random_unprotected: u64,
}

/// Runs every sequence of the universe with at most `ops_most` ops, then `random` sequences of `rng_seed`, on the rules of `pair`.
pub fn decide(pair: Pair, ops_most: usize, rng_seed: u64, random: u64) -> Decision {
    let profile = pair.profile();
    let mut search = Search::new(pair, &profile, ops_most.min(OPS_MOST));
    search.explore();
    search.draw(rng_seed, random);
    search.found.bill = bill(pair, &profile);
    search.found
}

/// Which of the two promises was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Coherent,
    Protected,
}

fn promise(wrong: Wrong) -> Promise {
    match wrong {
        Wrong::Incoherent(..) => Promise::Coherent,
        Wrong::WritesReadOnly(..) | Wrong::ChangesOthers(..) => Promise::Protected,
    }
}

struct Search<'p> {
    profile: &'p Profile,
    ops_most: usize,
    found: Decision,
}

impl<'p> Search<'p> {
    fn new(pair: Pair, profile: &'p Profile, ops_most: usize) -> Search<'p> {
        let found = Decision {
            pair,
            incoherent: None,
            unprotected: None,
            kept: Kept::default(),
            bill: None,
            explored: Explored::default(),
        };
        Search { profile, ops_most, found }
    }

    /// Every sequence of the universe.
    fn explore(&mut self) {
        let start = Walk::new(self.profile);
        explore(&UNIVERSE, self.ops_most, &start, &mut |walk, ops| self.visit(walk, ops));
    }

    /// Goes on with the last of `ops` from `walk`, where the others led.
    fn visit(&mut self, walk: &mut Walk<'p>, ops: &[Op]) -> Course {
        let Some(&op) = ops.last() else { return Course::Back };
        let watched = walk.step(&op);
        if watched.outcome == Outcome::Skipped {
            return Course::Back;
        }
        self.found.explored.sequences += 1;
        self.note_copies(op, &watched);
        self.note(&watched.wrong, ops);
        Course::On
    }

    /// With a design that has a flag, only registrations that give it count.
    fn note_copies(&mut self, op: Op, watched: &Watched) {
        let asks = |op: Op| {
            matches!(op, Op::Reg { access, .. } if access.has(Access::NON_COHERENT))
                || self.found.pair.design != Design::NonCoherent
        };
        if asks(op) {
            self.found.kept.shared += u64::from(watched.shared_pages);
            self.found.kept.copied += u64::from(watched.copied_pages);
        }
    }

    /// Keeps what is shorter than all before.
    fn note(&mut self, wrong: &BTreeSet<Wrong>, ops: &[Op]) {
        for &wrong in wrong {
            let best = self.best(promise(wrong));
            if best.as_ref().is_none_or(|best| ops.len() < best.sequence.ops.len()) {
                *best = Some(Counterexample { sequence: Sequence { ops: ops.to_vec() }, wrong });
            }
        }
    }

    fn best(&mut self, promise: Promise) -> &mut Option<Counterexample> {
        match promise {
            Promise::Coherent => &mut self.found.incoherent,
            Promise::Protected => &mut self.found.unprotected,
        }
    }

    /// Random sequences. What none of the universe shows is minimized.
    fn draw(&mut self, rng_seed: u64, count: u64) {
        let generator = Generator::new(rng_seed);
        for index in 0..count {
            let sequence = asked_of(self.profile, index, generator.sequence(index));
            self.found.explored.random += 1;
            for wanted in [Promise::Coherent, Promise::Protected] {
                if first_wrong(self.profile, &sequence, wanted).is_none() {
                    continue;
                }
                let counts = &mut self.found.explored;
                match wanted {
                    Promise::Coherent => counts.random_incoherent += 1,
                    Promise::Protected => counts.random_unprotected += 1,
                }
                if self.best(wanted).is_none() {
                    let shortest = shorten(self.profile, sequence.clone(), wanted);
                    self.note(&shortest.1, &shortest.0.ops);
                }
            }
        }
    }
}

/// What is wrong first, and in which op.
fn first_wrong(
    profile: &Profile,
    sequence: &Sequence,
    wanted: Promise,
) -> Option<(usize, BTreeSet<Wrong>)> {
    let mut walk = Walk::new(profile);
    sequence.ops.iter().enumerate().find_map(|(index, op)| {
        let mut wrong = walk.step(op).wrong;
        wrong.retain(|wrong| promise(*wrong) == wanted);
        (!wrong.is_empty()).then_some((index, wrong))
    })
}

/// The sequence up to where it is wrong, without what that does not need.
fn shorten(profile: &Profile, sequence: Sequence, wanted: Promise) -> (Sequence, BTreeSet<Wrong>) {
    let is_wrong = |sequence: &Sequence| first_wrong(profile, sequence, wanted).is_some();
    let mut shortest = minimize(sequence, is_wrong);
    let (index, wrong) =
        first_wrong(profile, &shortest, wanted).expect("the minimizer keeps what is wrong");
    shortest.ops.truncate(index + 1);
    (shortest, wrong)
}

/// A random sequence as it is run on a kernel of `profile`: where NON_COHERENT means something, every second one gives
/// it, because random rights seldom have it.
pub fn asked_of(profile: &Profile, index: u64, sequence: Sequence) -> Sequence {
    match profile.non_coherent {
        NonCoherent::KeepsPages if index % 2 == 1 => flagged(sequence, Access::NON_COHERENT),
        NonCoherent::KeepsPages | NonCoherent::Ignored => sequence,
    }
}

/// `sequence` with `flag` on every registration that gives no right but to read.
fn flagged(mut sequence: Sequence, flag: Access) -> Sequence {
    for op in &mut sequence.ops {
        if let Op::Reg { access, .. } = op
            && access.without(Access::REMOTE_READ).0 == 0
        {
            *access = access.with(flag);
        }
    }
    sequence
}

/// What the read-only registration of the live migration costs.
fn bill(pair: Pair, profile: &Profile) -> Option<Bill> {
    let written = parse(LIVE_MIGRATION).ok()?.sequence;
    let is_flagged = pair.design == Design::NonCoherent;
    let flag = if is_flagged { Access::NON_COHERENT } else { Access(0) };
    let sequence = flagged(written, flag);
    let predicted = predict(profile, &sequence, Observe::Each);
    let trace = perform(profile, None, &sequence, Observe::Each);
    let of_guest =
        |op: &Op| matches!(op, Op::Reg { access, .. } if !access.has(Access::LOCAL_WRITE));
    let bills = bills(&sequence, &predicted, &trace);
    let bill = bills.iter().find(|bill| of_guest(&sequence.ops[bill.op_index]))?;
    Some(Bill { cost: bill.model?, flagged: is_flagged })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::designs::Gup;
    use crate::profile::linux;

    fn short(design: Design, gup: Gup) -> Decision {
        decide(Pair { design, gup }, 4, 1, 0)
    }

    #[test]
    fn the_counterexample_of_the_thread_is_found_unaided() {
        let found = short(Design::AsCorrected, Gup::Gup2013).incoherent.unwrap();
        assert_eq!(found.sequence.ops.len(), 3);
        assert!(matches!(found.wrong, Wrong::Incoherent(_, 0)));
        assert_eq!(short(Design::AsCorrected, Gup::Linux(linux("6.12").series)).incoherent, None);
    }

    #[test]
    fn following_the_process_is_wrong_of_memory_that_becomes_writable_later() {
        for design in [Design::FollFollow, Design::VmaPermission] {
            let found = short(design, Gup::Gup2013).incoherent.unwrap();
            let kinds = found.sequence.ops.iter().map(|op| op.kind().to_string());
            assert_eq!(kinds.collect::<Vec<_>>(), ["map", "reg", "protect", "write"]);
        }
    }

    #[test]
    fn a_flag_permits_incoherence_only_where_it_is_given() {
        for gup in Gup::all() {
            let found = short(Design::NonCoherent, gup);
            assert_eq!((found.incoherent, found.unprotected), (None, None), "{}", gup.name());
            assert_eq!(found.kept.copied, 0);
            assert_eq!(found.bill.unwrap().cost.frames_allocated, 0);
        }
    }

    #[test]
    fn random_sequences_find_it_too_and_it_is_minimized() {
        let pair = Pair { design: Design::AsCorrected, gup: Gup::Gup2013 };
        let found = decide(pair, 1, 1, 200);
        assert!(found.explored.random_incoherent > 0);
        assert!(found.incoherent.unwrap().sequence.ops.len() <= 5);
    }
}
