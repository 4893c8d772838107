//! Every fault that can be planted in the model is found in generated sequences,
//! by the oracle that is there for it, and shrinks to a few ops that show it still.

use std::collections::BTreeMap;

use pinfold::{
    generate::Generator,
    minimize::minimize,
    model::{Fault, perform, predict},
    oracle::{Inconclusive, Oracle, Verdict, judge},
    profile::{LINUX_6_12, Profile},
    signature::Signature,
};
use pinfold_contract::{Observe, Sequence, print};

const SEQUENCES: u64 = 400;

fn signature(profile: &Profile, fault: Fault, sequence: &Sequence) -> Option<(Oracle, Signature)> {
    let predicted = predict(profile, sequence, Observe::Each);
    let trace = perform(profile, Some(fault), sequence, Observe::Each);
    match judge(sequence, &predicted, &trace) {
        // Bytes that depend on how packets follow each other are not followed: no finding.
        Verdict::Agrees | Verdict::Inconclusive { reason: Inconclusive::NotFollowed } => None,
        Verdict::Diverges(found) => Some((found.oracle, Signature::of(sequence, &found))),
        Verdict::Inconclusive { reason } => panic!("{fault}: {reason}"),
    }
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
        Fault::TeardownLeak => (Oracle::Teardown, &[]),
        // The limit of the memory cgroup may refuse what the other limit did not, some pages later.
        Fault::LimitIgnored => (Oracle::Outcome, &[Oracle::Frames]),
        Fault::WriteRightIgnored | Fault::RangeOffByOne | Fault::KeyIgnored => {
            (Oracle::Protection, &[])
        }
        // A range that fails at a later page has faulted the earlier ones in.
        Fault::WritableOverReadOnly => (Oracle::Protection, &[Oracle::Frames]),
        Fault::ShortRemoteWrite => (Oracle::Coherence, &[]),
        Fault::WarnOnOverlap => (Oracle::KernelLog, &[]),
    }
}

#[test]
fn every_planted_fault_is_found_and_shrinks() {
    let generator = Generator::new(1);
    for (fault, name) in Fault::ALL {
        let mut found: BTreeMap<(Oracle, Signature), (u64, Sequence)> = BTreeMap::new();
        for index in 0..SEQUENCES {
            let sequence = generator.sequence(index);
            if let Some(key) = signature(&LINUX_6_12, fault, &sequence) {
                found.entry(key).or_insert((0, sequence)).0 += 1;
            }
        }
        let (wanted, others) = oracles(fault);
        let by_wanted = found.keys().any(|(oracle, _)| *oracle == wanted);
        assert!(by_wanted, "{name} is not found by {wanted} in {SEQUENCES} sequences");
        for ((oracle, key), (count, sequence)) in &found {
            let same = |s: &Sequence| {
                signature(&LINUX_6_12, fault, s).is_some_and(|(_, found)| found == *key)
            };
            let least = minimize(sequence.clone(), same);
            println!("{name}: {key} in {count}, {} ops", least.ops.len());
            assert!(same(&least), "{name}: {key} was lost");
            assert!(least.ops.len() <= 8, "{name}: {key}\n{}", print(&least));
            let expected = *oracle == wanted || others.contains(oracle);
            assert!(expected, "{name}: {key}\n{}", print(&least));
        }
    }
}
