//! Every fault that can be planted in the model is found in generated sequences, whatever the
//! rng seed, by the oracle that is there for it, and shrinks to a few ops that show it still.

use std::collections::{BTreeMap, BTreeSet};

use pinfold::{
    generate::Generator,
    minimize::minimize,
    model::{Fault, PredictedStep, perform, predict},
    oracle::{Inconclusive, Oracle, Verdict, judge},
    profile::{Platform, Profile},
    signature::Signature,
};
use pinfold_contract::{Observe, Sequence, print};

/// The first three of any kind.
const RNG_SEEDS: [u64; 3] = [1, 2, 3];

/// How many sequences may pass before a fault is found by its oracle. `ci/test` runs as many.
const SEQUENCES_MAX: u64 = 5000;

/// How many sequences each fault is shown at least, for the other names it may have.
const SEQUENCES_LEAST: u64 = 100;

type Key = (Oracle, Signature);

fn verdict(fault: Fault, sequence: &Sequence, predicted: &[PredictedStep]) -> Option<Key> {
    let trace = perform(fault.shown_on(Profile::newest()), Some(fault), sequence, Observe::Each);
    match judge(sequence, predicted, &trace) {
        // Bytes that depend on how packets follow each other are not followed: no finding.
        Verdict::Agrees | Verdict::Inconclusive { reason: Inconclusive::NotFollowed } => None,
        Verdict::Diverges(found) => Some((found.oracle, Signature::of(sequence, &found))),
        Verdict::Inconclusive { reason } => panic!("{fault}: {reason}"),
    }
}

fn signature(fault: Fault, sequence: &Sequence) -> Option<Key> {
    verdict(fault, sequence, &predict(fault.shown_on(Profile::newest()), sequence, Observe::Each))
}

/// The oracle that has to find a fault, and those that may where it shows there first.
fn oracles(fault: Fault) -> (Oracle, &'static [Oracle]) {
    match fault {
        // Which frame is pinned shows before anything is written to it, and who makes no copy is charged for none.
        Fault::StaleReadOnlyPin => {
            (Oracle::Frames, &[Oracle::Coherence, Oracle::Accounting, Oracle::Outcome])
        }
        Fault::ForkSharesPinned | Fault::CopyOfSolePage => (Oracle::Frames, &[]),
        Fault::VmPinKept | Fault::PinLeak => (Oracle::Accounting, &[]),
        Fault::TeardownLeak | Fault::LockedLeak => (Oracle::Teardown, &[]),
        // The limit of the memory cgroup may refuse what the other limit did not, some pages later.
        Fault::LimitIgnored => (Oracle::Outcome, &[Oracle::Frames]),
        Fault::WriteRightIgnored
        | Fault::RangeOffByOne
        | Fault::KeyIgnored
        | Fault::KeyOutlivesMr
        | Fault::WindowRightIgnored
        | Fault::WindowQpIgnored
        | Fault::ReaderMadeWriter
        | Fault::BindRightIgnored
        | Fault::BindOverReadOnly
        | Fault::BindRangeOffByOne => (Oracle::Protection, &[]),
        // A range that fails at a later page has faulted the earlier ones in. What is no memory that
        // persists is refused as well, behind the pages.
        Fault::WritableOverReadOnly => (Oracle::Protection, &[Oracle::Frames, Oracle::Outcome]),
        // A window that is still bound keeps its MR.
        Fault::WindowOutlivesItself => (Oracle::Protection, &[Oracle::Outcome]),
        Fault::ShortRemoteWrite
        | Fault::SwapWithoutCompare
        | Fault::NarrowFetchAdd
        | Fault::ListEntryLost
        | Fault::FileWriteLost
        | Fault::CutTailKept
        | Fault::PunchedBytesKept => (Oracle::Coherence, &[]),
        // The last who has a merged page gets a copy all the same.
        Fault::MergedInPlace => (Oracle::Coherence, &[Oracle::Frames]),
        Fault::ForcedInPlace => (Oracle::Frames, &[Oracle::Coherence]),
        Fault::SealOverPins => (Oracle::Outcome, &[]),
        // An op that fails at a later page has brought the first ones in.
        Fault::DontForkIgnored => (Oracle::Outcome, &[Oracle::Frames]),
        Fault::PinnedMerged
        | Fault::UnmergeForgotten
        | Fault::PinnedMoved
        | Fault::PinnedSwapped
        | Fault::WipeOnForkIgnored => (Oracle::Frames, &[]),
        // Those that are swapped out count in VmSwap.
        Fault::MovedPagesLost => (Oracle::Frames, &[Oracle::Accounting]),
        // What the page table shows besides its guards is not copied either.
        Fault::GuardsLostInFork => (Oracle::Accounting, &[Oracle::Frames]),
        Fault::WindowObjectKept | Fault::LockedTwice => (Oracle::Accounting, &[]),
        // What is not charged leaves room for more than the limit.
        Fault::CacheUncharged => (Oracle::Accounting, &[Oracle::Outcome, Oracle::Frames]),
        Fault::HugeForkSharesPinned => (Oracle::Frames, &[Oracle::Outcome]),
        Fault::WarnOnOverlap | Fault::LoggedLimit => (Oracle::KernelLog, &[]),
        Fault::SwapCompletedAsAdd
        | Fault::CompletedLengthOfOnePage
        | Fault::InvalidatedKeyUnnamed => (Oracle::Completion, &[]),
        // The page is gone before anybody reads it.
        Fault::UnpinnedClean => (Oracle::Frames, &[Oracle::Coherence, Oracle::Accounting]),
    }
}

/// What a fault was found under, and in which sequence first.
type Found = BTreeMap<Key, Sequence>;

/// Shows each fault the sequences of `rng_seed` until its oracle has found it.
fn found_by_fault(rng_seed: u64) -> BTreeMap<Fault, Found> {
    let generator = Generator::new(rng_seed);
    let mut by_fault: BTreeMap<Fault, Found> = BTreeMap::new();
    let mut sought: BTreeSet<Fault> = Fault::ALL.into_iter().map(|(fault, _)| fault).collect();
    for index in 0..SEQUENCES_MAX {
        let cases = [Profile::newest(), Profile::newest().on(Platform::X86)].map(|profile| {
            let sequence = generator.sequence_on(profile, index);
            let predicted = predict(profile, &sequence, Observe::Each);
            (sequence, predicted)
        });
        for &fault in &sought {
            let is_huge = fault.shown_on(Profile::newest()).platform == Platform::X86;
            let (sequence, predicted) = &cases[usize::from(is_huge)];
            let Some(key) = verdict(fault, sequence, predicted) else { continue };
            by_fault.entry(fault).or_default().entry(key).or_insert_with(|| sequence.clone());
        }
        sought.retain(|fault| {
            let mut keys = by_fault.get(fault).into_iter().flat_map(BTreeMap::keys);
            let is_found = keys.any(|(oracle, _)| *oracle == oracles(*fault).0);
            !is_found || index + 1 < SEQUENCES_LEAST
        });
        if sought.is_empty() {
            return by_fault;
        }
    }
    panic!(
        "rng seed {rng_seed}: not found by their oracles in {SEQUENCES_MAX} sequences: {sought:?}"
    )
}

#[test]
fn every_planted_fault_is_found_by_its_oracle_and_shrinks() {
    // One sequence a name is enough: shrinking takes longer than finding.
    let mut by_fault: BTreeMap<Fault, Found> = BTreeMap::new();
    for rng_seed in RNG_SEEDS {
        for (fault, found) in found_by_fault(rng_seed) {
            by_fault.entry(fault).or_default().extend(found);
        }
    }
    for (fault, found) in by_fault {
        let (wanted, others) = oracles(fault);
        for ((oracle, name), sequence) in found {
            let same = |s: &Sequence| signature(fault, s).is_some_and(|(_, found)| found == name);
            let least = minimize(sequence, same);
            println!("{fault}: {name}, {} ops", least.ops.len());
            assert!(same(&least), "{fault}: {name} was lost");
            assert!(least.ops.len() <= 8, "{fault}: {name}\n{}", print(&least));
            let expected = oracle == wanted || others.contains(&oracle);
            assert!(expected, "{fault}: {name}\n{}", print(&least));
        }
    }
}

#[test]
fn every_oracle_has_a_fault_that_nobody_else_finds() {
    let alone: BTreeSet<Oracle> = Fault::ALL
        .into_iter()
        .map(|(fault, _)| oracles(fault))
        .filter(|(_, others)| others.is_empty())
        .map(|(wanted, _)| wanted)
        .collect();
    assert_eq!(alone, BTreeSet::from(Oracle::ALL));
}
