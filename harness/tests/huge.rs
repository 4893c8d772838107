//! Huge pages: what is written down of them holds on the model of every kernel, on those that have none too.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use pinfold::model::{Fault, Prediction, outcomes, perform, predict};
use pinfold::oracle::{Oracle, Verdict, judge};
use pinfold::profile::{Platform, Profile};
use pinfold_contract::{Checkpoint, HUGE_POOL_PAGES, Observe, Sequence, parse, print_op};

fn sequence(ops: &str) -> Sequence {
    parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence
}

/// The state after each op.
fn states(profile: &Profile, ops: &str) -> Vec<Checkpoint> {
    let steps = predict(profile, &sequence(ops), Observe::Each);
    steps.into_iter().map(|step| step.checkpoint.unwrap()).collect()
}

/// The pool after the last op: free, promised.
fn pool(profile: &Profile, ops: &str) -> (i64, i64) {
    let last = states(profile, ops).pop().unwrap();
    (last.huge.free, last.huge.reserved)
}

fn last(profile: &Profile, ops: &str) -> String {
    outcomes(profile, &sequence(ops)).last().map(Prediction::to_string).unwrap()
}

const POOL: i64 = HUGE_POOL_PAGES as i64;

#[test]
fn every_scenario_holds_on_every_profile() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/scenarios");
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = parse(&fs::read_to_string(&path).unwrap()).unwrap();
        for profile in Platform::ALL.into_iter().flat_map(Profile::all_on) {
            let predictions = outcomes(profile, &file.sequence);
            let (series, platform) = (profile.series, profile.platform.name());
            for ((op, expectation), prediction) in
                file.sequence.ops.iter().zip(&file.expectations).zip(&predictions)
            {
                let expected = expectation.as_ref().and_then(|e| e.on(series, platform));
                let Some(expected) = expected else { continue };
                let at = format!("{}: {} on {platform}:{series}", path.display(), print_op(op));
                assert_eq!(expected, prediction.to_string(), "{at}");
                checked += 1;
            }
        }
    }
    assert!(checked > 300, "only {checked} expectations");
}

#[test]
fn a_mapping_is_promised_all_its_pages_or_is_none() {
    let x86 = Profile::newest().on(Platform::X86);
    assert_eq!(pool(x86, "map h0..h4 huge private rw\n"), (POOL, 4));
    assert_eq!(pool(x86, "map h0..h4 huge private rw\nwrite h1 8 0x11\n"), (POOL - 1, 3));
    assert_eq!(pool(x86, "map h0..h4 huge shared rw\nread h1 8\nunmap h0..h4\n"), (POOL, 0));
    let two = "map h0..h4 huge private rw\nfork p1\np1 map h0..h3 huge private rw\n";
    assert_eq!(last(x86, two), "ENOMEM");
    assert_eq!(pool(x86, two), (POOL, 4));
    assert_eq!(last(Profile::newest(), "map h0..h1 huge private rw\n"), "EINVAL");
    assert_eq!(pool(Profile::newest(), "map h0..h1 huge private rw\n"), (0, 0));
}

#[test]
fn what_the_owner_gives_up_is_promised_again_only_by_new_kernels() {
    let given_up = "map h0..h1 huge private rw\nwrite h0 8 0x11\nadvise h0..h1 dontneed\n";
    assert_eq!(pool(Profile::newest().on(Platform::X86), given_up), (POOL, 1));
    assert_eq!(pool(Profile::of_series("6.1").unwrap().on(Platform::X86), given_up), (POOL, 0));
    let pinned = "map h0..h1 huge private rw\nreg mr0 h0..h0+8 local_write\nunmap h0..h1\n";
    assert_eq!(pool(Profile::newest().on(Platform::X86), pinned), (POOL - 1, -1));
    assert_eq!(pool(Profile::of_series("6.1").unwrap().on(Platform::X86), pinned), (POOL - 1, 0));
    assert_eq!(
        pool(Profile::newest().on(Platform::X86), &format!("{pinned}dereg mr0\n")),
        (POOL, 0)
    );
}

#[test]
fn huge_pages_are_counted_as_such_and_pinned_by_small_ones() {
    let ops = "map h0..h2 huge private rw\nreg mr0 h0+0x1ff000..h1+0x1000 local_write\n";
    let state = states(Profile::newest().on(Platform::X86), ops).pop().unwrap();
    let p0 = &state.procs[0];
    assert_eq!((p0.huge, p0.rss_anon, p0.pss_kib, p0.vm_pin), (2, 0, 0, 2));
    assert_eq!(state.pins, 2);
    assert_eq!(p0.pages.len(), 2);
    assert_eq!(p0.pages[0].bytes.as_ref().unwrap().len_bytes(), 2 << 20);
}

#[test]
fn a_fork_that_shares_a_pinned_huge_page_is_seen() {
    let sequence = sequence(
        "map h0..h1 huge private rw\nreg mr0 h0..h0+0x1000 local_write\nfork p1\nwrite h0 8 0x11\n",
    );
    let predicted = predict(Profile::newest().on(Platform::X86), &sequence, Observe::Each);
    let fault = Some(Fault::HugeForkSharesPinned);
    let trace = perform(Profile::newest().on(Platform::X86), fault, &sequence, Observe::Each);
    let Verdict::Diverges(found) = judge(&sequence, &predicted, &trace) else {
        panic!("it agrees");
    };
    assert_eq!((found.oracle, found.op_index), (Oracle::Frames, 2));
}

#[test]
fn locking_all_brings_huge_pages_in_and_locks_none() {
    for scope in ["current", "both"] {
        let ops =
            format!("map h0..h2 huge private rw\nmap 0..1 anon private rw\nlock_all {scope}\n");
        let state = states(Profile::newest().on(Platform::X86), &ops).pop().unwrap();
        let p0 = &state.procs[0];
        assert_eq!((p0.huge, p0.rss_anon, p0.vm_lck), (2, 0, 1), "{scope}");
    }
}

#[test]
fn sizes_are_not_mixed() {
    for op in ["map 0..1 huge private rw", "map h0..h1 anon private rw", "remap 0..1 h0..h1"] {
        assert_eq!(last(Profile::newest().on(Platform::X86), op), "skipped", "{op}");
    }
}
