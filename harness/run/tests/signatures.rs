//! How well a signature stands for a cause, and a minimized sequence for a finding: measured on every planted fault.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pinfold::defects::Defects;
use pinfold::model::Fault;
use pinfold::signature::Signature;
use pinfold_contract::{Observe, Sequence, print};
use pinfold_run::{
    Budget, Ended, FuzzOptions, Looks, Memory, ShrinkLimits, Shrunk, Special, Target,
    TargetOptions, Wanted, check, fuzz, prepare, read_seq, shrink,
};

const SEQUENCES: u64 = 2000;

/// What each fault was found under in [`SEQUENCES`] sequences on both series together, the most frequent first.
///
/// One name a cause would be best. Where there are more, the cause shows at different ops or to different oracles, or
/// as different results of one check. A name that two faults share is one manifestation: with
/// `frames-reg-registrar-extra-writer` a registration that was to be refused brought more pages in before it was, and
/// with the names that end with `-charged` one took less of its memory cgroup than it should have, and fit. With
/// `frames-fork-registrar-own-common` a pinned page was not known to be exclusive when it was forked.
const MEASURED: [(Fault, &[&str]); 48] = [
    (
        Fault::StaleReadOnlyPin,
        &[
            "frames-reg-registrar-own-common-reader",
            "frames-reg-registrar-extra-reader",
            "frames-reg-registrar-extra-charged",
            "outcome-reg-enomem-passed-charged",
            "frames-reg-registrar-common-common-reader",
            "coherence-write-adapter-tag-tag-reader",
            "frames-reg-registrar-kept-moved-writer",
            "coherence-write-adapter-tag-zero-reader",
            "frames-fork-registrar-own-common",
        ],
    ),
    (Fault::ForkSharesPinned, &["frames-fork-registrar-own-common"]),
    (
        Fault::CopyOfSolePage,
        &["frames-write-child-kept-moved", "frames-write-registrar-kept-moved"],
    ),
    (Fault::VmPinKept, &["accounting-dereg-registrar.vm_pin.more"]),
    (Fault::PinLeak, &["accounting-dereg-pins.more"]),
    (Fault::TeardownLeak, &["teardown-end-pins.more"]),
    (
        Fault::LimitIgnored,
        &[
            "outcome-reg-enomem-passed",
            "outcome-reg-eperm-passed",
            "frames-reg-registrar-extra-writer",
        ],
    ),
    (
        Fault::WriteRightIgnored,
        &[
            "protection-write_remote-rem_access_err-ok-right",
            "protection-write_remote-rem_access_err-ok-window-right",
        ],
    ),
    (
        Fault::RangeOffByOne,
        &[
            "protection-read_remote-rem_access_err-value-range",
            "protection-write_remote-rem_access_err-ok-range",
        ],
    ),
    (
        Fault::KeyIgnored,
        &[
            "protection-read_remote-rem_access_err-value-key",
            "protection-write_remote-rem_access_err-ok-key",
            "protection-gather-rem_access_err-ok-key",
            "protection-cas-rem_access_err-value-key",
            "protection-scatter-rem_access_err-ok-key",
        ],
    ),
    (
        Fault::WritableOverReadOnly,
        &[
            "protection-reg-efault-ok-writer",
            "frames-reg-registrar-extra-writer",
            "outcome-reg-efault-einval-writer",
        ],
    ),
    (
        Fault::ShortRemoteWrite,
        &[
            "coherence-write_remote-adapter-tag-zero-writer",
            "coherence-write_remote-adapter-tag-tag-writer",
            "coherence-write_remote-adapter-zero-tag-writer",
        ],
    ),
    (Fault::WarnOnOverlap, &["kernel_log-warning-in-ib_umem_get"]),
    (
        Fault::WindowRightIgnored,
        &[
            "protection-write_remote-rem_access_err-ok-window-right",
            "protection-cas-rem_access_err-value-window-right",
            "protection-fetch_add-rem_access_err-value-window-right",
        ],
    ),
    (
        Fault::WindowQpIgnored,
        &[
            "protection-read_remote-rem_access_err-value-window-pd",
            "protection-write_remote-rem_access_err-ok-window-pd",
        ],
    ),
    (
        Fault::WindowOutlivesItself,
        &["outcome-dereg-ok-einval", "protection-read_remote-rem_access_err-value-window-gone"],
    ),
    (Fault::WindowObjectKept, &["accounting-dealloc_mw-rdma_objects.more"]),
    (
        Fault::KeyOutlivesMr,
        &[
            "protection-read_remote-rem_access_err-value-gone",
            "protection-write_remote-rem_access_err-ok-gone",
            "protection-cas-rem_access_err-value-gone",
            "protection-fetch_add-rem_access_err-value-gone",
            "protection-scatter-rem_access_err-ok-gone",
        ],
    ),
    (Fault::ReaderMadeWriter, &["protection-rereg-eacces-ok-writer"]),
    (
        Fault::SwapWithoutCompare,
        &[
            "coherence-cas-adapter-tag-zero-writer",
            "coherence-cas-adapter-zero-tag-writer",
            "coherence-cas-adapter-tag-tag-writer",
            "coherence-cas-adapter-tag-tag-writer-around",
            "coherence-cas-adapter-alien-tag-writer",
        ],
    ),
    (
        Fault::NarrowFetchAdd,
        &[
            "coherence-fetch_add-adapter-tag-zero-writer",
            "coherence-fetch_add-adapter-alien-tag-writer",
            "coherence-fetch_add-adapter-tag-zero-writer-around",
        ],
    ),
    (
        Fault::ListEntryLost,
        &[
            "coherence-send-adapter-tag-zero-writer",
            "coherence-scatter-adapter-zero-tag-writer",
            "coherence-send-adapter-tag-tag-writer",
            "coherence-send-adapter-tag-zero-writer-around",
        ],
    ),
    (
        Fault::FileWriteLost,
        &[
            "coherence-file_write-registrar-tag-zero",
            "coherence-file_write-adapter-tag-zero-writer",
            "coherence-file_write-adapter-tag-tag-writer",
            "coherence-file_write-child-tag-zero",
        ],
    ),
    (
        Fault::CutTailKept,
        &["coherence-truncate-adapter-zero-tag-reader", "coherence-truncate-registrar-zero-tag"],
    ),
    (
        Fault::PunchedBytesKept,
        &["coherence-punch-adapter-zero-tag-writer", "coherence-punch-adapter-zero-tag-reader"],
    ),
    (Fault::SealOverPins, &["outcome-seal-ebusy-ok"]),
    (
        Fault::ForcedInPlace,
        &[
            "frames-force-registrar-own-common",
            "coherence-force-registrar-zero-tag",
            "frames-force-registrar-extra",
            "coherence-force-adapter-zero-tag-writer",
            "frames-force-child-extra",
            "coherence-force-adapter-zero-tag-reader",
        ],
    ),
    (
        Fault::MergedInPlace,
        &["coherence-write-registrar-tag-tag", "coherence-write-registrar-tag-zero"],
    ),
    (Fault::PinnedMerged, &["frames-chore-registrar-own-common"]),
    (
        Fault::UnmergeForgotten,
        &["frames-chore-registrar-copied-kept", "frames-chore-registrar-own-common"],
    ),
    (Fault::PinnedMoved, &["frames-chore-registrar-kept-moved"]),
    (
        Fault::LockedTwice,
        &[
            "accounting-lock-registrar.vm_lck.more",
            "accounting-lock_all-registrar.vm_lck.more",
            "accounting-lock-child.vm_lck.more",
        ],
    ),
    (Fault::LockedLeak, &["teardown-end-locked_pages.more"]),
    (
        Fault::DontForkIgnored,
        &[
            "outcome-read-sigsegv-passed-dontfork",
            "outcome-advise-enomem-ok",
            "outcome-force-eio-ok",
            "outcome-write-sigsegv-passed-dontfork",
        ],
    ),
    (Fault::WipeOnForkIgnored, &["frames-fork-child-extra"]),
    (
        Fault::MovedPagesLost,
        &[
            "frames-remap-registrar-missing",
            "frames-remap-child-missing",
            "accounting-remap-registrar.vm_swap.less",
        ],
    ),
    (
        Fault::CacheUncharged,
        &[
            "accounting-reg-charged.less",
            "outcome-reg-enomem-passed-charged",
            "frames-reg-registrar-extra-charged",
        ],
    ),
    (Fault::LoggedLimit, &["kernel_log-out-of-memory"]),
    (
        Fault::HugeForkSharesPinned,
        &["frames-fork-registrar-own-common-huge", "outcome-fork-enomem-ok"],
    ),
    (Fault::PinnedSwapped, &["frames-advise-registrar-missing"]),
    (Fault::BindRightIgnored, &["protection-bind-mw_bind_err-ok-right"]),
    (Fault::BindOverReadOnly, &["protection-bind-mw_bind_err-ok"]),
    (Fault::BindRangeOffByOne, &["protection-bind-mw_bind_err-ok-range"]),
    (Fault::GuardsLostInFork, &["accounting-fork-child.guards.less", "frames-fork-child-missing"]),
    (Fault::SwapCompletedAsAdd, &["completion-cas-request-opcode-comp_swap-fetch_add"]),
    (
        Fault::CompletedLengthOfOnePage,
        &[
            "completion-read_remote-request-byte_len.less",
            "completion-scatter-request-byte_len.less",
            "completion-send-receive-byte_len.less",
        ],
    ),
    (Fault::InvalidatedKeyUnnamed, &["completion-send-receive-invalidated_rkey-none"]),
    (Fault::UnpinnedClean, &["frames-advise-registrar-missing"]),
];

/// The names that two faults may share, since they show in one way.
const SHARED: [&str; 7] = [
    "frames-advise-registrar-missing",
    "frames-chore-registrar-own-common",
    "frames-fork-registrar-own-common",
    "frames-reg-registrar-extra-charged",
    "frames-reg-registrar-extra-writer",
    "outcome-reg-enomem-passed-charged",
    "protection-write_remote-rem_access_err-ok-window-right",
];

/// How often the state is looked at. A page that keeps its frame shows only to who has seen that before.
fn looks(fault: Fault) -> Looks {
    if fault == Fault::UnmergeForgotten { Looks::Always(Observe::Each) } else { Looks::Sampled }
}

/// One finding of a run.
struct Found {
    target: String,
    signature: Signature,
    count: u64,
    raw: Sequence,
    minimized: Sequence,
}

/// Fuzzes the model of `series` with `fault` planted: a finding a signature.
fn findings(series: &str, fault: Fault, sequences: u64) -> Vec<Found> {
    let target = format!("model:{series}+{fault}");
    let out = tempfile::tempdir().unwrap();
    let options = FuzzOptions {
        budget: Budget::Sequences(sequences),
        rng_seed: 1,
        jobs: NonZeroUsize::MIN,
        out: out.path().to_owned(),
        observe: looks(fault),
        bundles_max: 1,
        known: Defects::default(),
        special: Special::default(),
    };
    let prepared =
        prepare(&target.parse().unwrap(), &TargetOptions::default(), &mut |_| {}).unwrap();
    let summary = fuzz(&prepared, &options, &Arc::default(), &mut |_| {}).unwrap();
    let read = |dir: &Path, name| read_seq(&dir.join(name)).unwrap().sequence;
    let found = summary.findings.into_iter().map(|found| Found {
        target: target.clone(),
        signature: found.signature,
        count: found.count,
        raw: read(&found.dir, "sequence.seq"),
        minimized: read(&found.dir, "minimized.seq"),
    });
    found.collect()
}

/// The name without the op at which it shows: `protection-rem_access_err-ok-key`. Of bytes that differ, which these are
/// and who looks at them first is chance.
fn without_op(name: &str) -> String {
    if name.starts_with("coherence-") {
        return "coherence".to_owned();
    }
    // A registration that met the limit of its memory cgroup: whether it shows as an outcome or as frames depends on the
    // page that the limit refuses.
    if name.ends_with("-charged") {
        return "charged".to_owned();
    }
    let words: Vec<&str> = name.split('-').collect();
    words
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != 1)
        .map(|(_, word)| *word)
        .collect::<Vec<_>>()
        .join("-")
}

fn open(target: &str) -> Target {
    Target::open(&target.parse().unwrap(), &TargetOptions::default()).unwrap()
}

fn shows(target: &mut Target, sequence: &Sequence, signature: &Signature) -> bool {
    check(target, sequence, Observe::Each).unwrap().showing(sequence, signature).is_some()
}

fn shrunk(found: &Found, sequence: &Sequence, memory: Memory) -> Shrunk {
    let wanted = Wanted { signature: &found.signature, observe: Observe::Each, tries: 1, memory };
    let limits = ShrinkLimits { runs_max: u32::MAX, deadline: None };
    let stop = AtomicBool::new(false);
    shrink(&mut open(&found.target), sequence.clone(), wanted, limits, &stop).unwrap()
}

#[test]
fn a_cause_has_few_signatures_and_two_causes_share_none() {
    let mut faults_by_signature: BTreeMap<String, BTreeSet<Fault>> = BTreeMap::new();
    let (mut others, mut scattered) = (Vec::new(), Vec::new());
    for (fault, measured) in MEASURED {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut consequences = BTreeSet::new();
        for found in ["6.12", "6.1"].into_iter().flat_map(|s| findings(s, fault, SEQUENCES)) {
            let name = found.signature.to_string();
            match name.split_once("-after-") {
                Some((_, first)) => _ = consequences.insert(first.to_owned()),
                None => *counts.entry(name).or_default() += found.count,
            }
        }
        // What a divergence goes on to is called after it.
        assert!(consequences.iter().all(|first| counts.contains_key(first)), "{consequences:?}");
        let mut by_count: Vec<(u64, &String)> = counts.iter().map(|(name, n)| (*n, name)).collect();
        by_count.sort_by_key(|&(count, name)| (std::cmp::Reverse(count), name));
        println!("{fault}: {by_count:?}");
        let names: BTreeSet<&str> = counts.keys().map(String::as_str).collect();
        if names != measured.iter().copied().collect() {
            others.push(format!("{fault}: {by_count:?}"));
        }
        // Everything of a cause but one in a hundred, or two, is found under its first three names, whichever op it
        // shows at.
        let mut elsewhere: BTreeMap<String, u64> = BTreeMap::new();
        for (name, count) in &counts {
            *elsewhere.entry(without_op(name)).or_default() += count;
        }
        let mut by_kind: Vec<u64> = elsewhere.into_values().collect();
        by_kind.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
        let most: u64 = by_kind.iter().take(3).sum();
        let all: u64 = by_kind.iter().sum();
        if all - most > (all / 100).max(2) {
            scattered.push(format!("{fault}: {by_count:?}"));
        }
        for name in counts.into_keys() {
            faults_by_signature.entry(name).or_default().insert(fault);
        }
    }
    assert!(scattered.is_empty(), "under too many names:\n{}", scattered.join("\n"));
    assert!(others.is_empty(), "not as measured:\n{}", others.join("\n"));
    let shared: Vec<&str> = faults_by_signature
        .iter()
        .filter(|(_, faults)| faults.len() > 1)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(shared, SHARED, "{faults_by_signature:?}");
}

#[test]
fn every_fault_is_measured() {
    let measured: BTreeSet<Fault> = MEASURED.iter().map(|(fault, _)| *fault).collect();
    assert_eq!(measured, Fault::ALL.iter().map(|(fault, _)| *fault).collect());
}

#[test]
fn no_op_of_a_minimized_sequence_can_go_and_it_is_short() {
    for (fault, _) in MEASURED {
        for found in findings("6.12", fault, 500) {
            let least = &found.minimized;
            let mut target = open(&found.target);
            assert!(least.ops.len() <= 8, "{fault}: {}", print(least));
            assert!(shows(&mut target, least, &found.signature), "{fault}: {}", print(least));
            for index in 0..least.ops.len() {
                let mut without = least.clone();
                without.ops.remove(index);
                let is_longer = !shows(&mut target, &without, &found.signature);
                assert!(is_longer, "{fault}: {}", print(least));
            }
            // Nor is there an argument that a pass would make simpler.
            let again = shrunk(&found, least, Memory::Off);
            assert_eq!((&again.sequence, again.ended), (least, Ended::Minimal), "{fault}");
        }
    }
}

#[test]
fn twenty_runs_of_the_minimizer_without_memory_give_the_same_bytes() {
    for (fault, _) in MEASURED {
        for found in findings("6.12", fault, 200) {
            for _ in 0..20 {
                let again = shrunk(&found, &found.raw, Memory::Off).sequence;
                assert_eq!(print(&again), print(&found.minimized), "{fault}");
            }
        }
    }
}

#[test]
fn memory_saves_runs_and_a_bound_is_kept() {
    let found = &findings("6.12", Fault::PinLeak, 50)[0];
    let (with, without) =
        (shrunk(found, &found.raw, Memory::Cached), shrunk(found, &found.raw, Memory::Off));
    assert_eq!(with.sequence, without.sequence);
    assert!(with.run_count < without.run_count, "{} and {}", with.run_count, without.run_count);
    let wanted = Wanted {
        signature: &found.signature,
        observe: Observe::Each,
        tries: 1,
        memory: Memory::Cached,
    };
    let runs_max = with.run_count / 2;
    let limits = ShrinkLimits { runs_max, deadline: None };
    let stop = AtomicBool::new(false);
    let bounded =
        shrink(&mut open(&found.target), found.raw.clone(), wanted, limits, &stop).unwrap();
    assert_eq!((bounded.run_count, bounded.ended), (runs_max, Ended::OutOfRuns));
    assert!(bounded.ended.to_string().contains("--runs"));
    assert!(bounded.sequence.ops.len() < found.raw.ops.len());
}
