//! Whole runs with the model in the place of the target.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pinfold::defects::Defects;
use pinfold::model::Fault;
use pinfold::oracle::Oracle;
use pinfold::signature::Signature;
use pinfold_contract::Observe;
use pinfold_run::{
    Account, BUNDLES_MAX_DEFAULT, Budget, Conclusion, Event, Finding, FuzzOptions, Judgement,
    Looks, ReplayConclusion, ReplayOptions, Special, Summary, Target, TargetOptions, assert_agrees,
    fuzz, prepare, read_seq, replay,
};

fn options(out: &Path, budget: Budget) -> FuzzOptions {
    FuzzOptions {
        budget,
        rng_seed: 1,
        jobs: NonZeroUsize::new(2).unwrap(),
        out: out.to_owned(),
        observe: Looks::Sampled,
        bundles_max: BUNDLES_MAX_DEFAULT,
        known: Defects::default(),
        special: Special::default(),
    }
}

fn run(target: &str, options: &FuzzOptions) -> Summary {
    let prepared =
        prepare(&target.parse().unwrap(), &TargetOptions::default(), &mut |_| {}).unwrap();
    fuzz(&prepared, options, &Arc::default(), &mut |_| {}).unwrap()
}

/// Fuzzes for so long that `target` is found to be wrong, and no longer than `ci/test` would.
fn run_until_found(target: &str, out: &Path) -> Summary {
    let mut runs = [1500, 5000].map(|count| (count, out.join(count.to_string()))).into_iter();
    loop {
        let (count, out) = runs.next().unwrap();
        let options = FuzzOptions { bundles_max: 3, ..options(&out, Budget::Sequences(count)) };
        let summary = run(target, &options);
        if summary.diverges > 0 || runs.len() == 0 {
            return summary;
        }
    }
}

#[test]
fn every_planted_fault_is_found_kept_and_repeated() {
    for (fault, name) in Fault::ALL {
        let out = tempfile::tempdir().unwrap();
        let target = format!("model:6.12+{name}");
        let summary = run_until_found(&target, out.path());
        assert_eq!(summary.conclusion(), Conclusion::Diverged, "{fault} is not found");
        for found in &summary.findings {
            assert!(found.op_count <= 8, "{fault}: {found:?}");
            assert_eq!(found.reliability.map(|r| (r.again, r.of)), Some((3, 3)), "{fault}");
            let file = read_seq(&found.dir.join("minimized.seq")).unwrap();
            let mut target =
                Target::open(&target.parse().unwrap(), &TargetOptions::default()).unwrap();
            let options = ReplayOptions {
                repeat: 1,
                observe: Observe::Each,
                account: pinfold_run::Account::Skip,
            };
            let known = Defects::default();
            let replayed = replay(&mut target, &file, &options, &known).unwrap();
            let first = replayed.judgements[0].signature();
            let then = replayed.consequence.as_ref().map(|(signature, _)| signature);
            assert!(
                [first, then].contains(&Some(&found.signature)),
                "{fault}: {first:?}, {then:?}"
            );
            assert_eq!(replayed.conclusion(), ReplayConclusion::Diverged);
        }
    }
}

/// Of a bug that leaves a page shared people want to know whether the adapter reads stale bytes then.
#[test]
fn what_a_divergence_goes_on_to_is_minimized_and_repeated_by_itself() {
    let out = tempfile::tempdir().unwrap();
    let target = "model:6.12+stale_read_only_pin";
    let summary = run(target, &options(out.path(), Budget::Sequences(300)));
    let name = "coherence-after-frames-reg-registrar-own-common-reader";
    let found = summary.findings.iter().find(|found| found.signature.as_str() == name).unwrap();
    assert_eq!((found.oracle, found.op_count), (Oracle::Coherence, 3));
    assert_eq!(found.reliability.map(|r| (r.again, r.of)), Some((3, 3)));

    let text = fs::read_to_string(found.dir.join("finding.json")).unwrap();
    let stored: Finding = serde_json::from_str(&text).unwrap();
    let first = "frames-reg-registrar-own-common-reader";
    assert_eq!(stored.follows.as_ref().map(Signature::as_str), Some(first));
    // The account is of the bytes, and not of the frame.
    let account = fs::read_to_string(found.dir.join("explain.txt")).unwrap();
    assert!(account.contains("coherence diverges: adapter-tag-zero-reader"), "{account}");

    let file = read_seq(&found.dir.join("minimized.seq")).unwrap();
    let mut target = Target::open(&target.parse().unwrap(), &TargetOptions::default()).unwrap();
    let how = ReplayOptions { repeat: 1, observe: Observe::Each, account: Account::Skip };
    let known = Defects::default();
    let replayed = replay(&mut target, &file, &how, &known).unwrap();
    let judged = replayed.judgements[0].signature().map(Signature::as_str);
    assert_eq!(judged, Some(first), "the first thing that is seen stays the first");
    let (signature, divergence) = replayed.consequence.unwrap();
    assert_eq!((signature.as_str(), divergence.op_index), (name, 2));
}

#[test]
fn a_right_target_agrees_and_nothing_is_vacuous() {
    for series in ["6.12", "6.1"] {
        let out = tempfile::tempdir().unwrap();
        let summary =
            run(&format!("model:{series}"), &options(out.path(), Budget::Sequences(2000)));
        // Where a right kernel may leave different bytes, the rest of a sequence is not compared.
        let open = summary.inconclusive;
        assert_eq!((summary.sequences, summary.agrees + open), (2000, 2000), "{summary:?}");
        assert!(open * 100 <= summary.sequences, "{open} of {}", summary.sequences);
        assert_eq!(summary.conclusion(), Conclusion::Clean);
        assert!(summary.coverage.never_done.is_empty(), "{:?}", summary.coverage);
        assert!(!out.path().join("findings").exists());
    }
}

#[test]
fn what_is_found_does_not_depend_on_the_number_of_jobs() {
    let counts = [1, 3].map(|jobs| {
        let out = tempfile::tempdir().unwrap();
        let options = FuzzOptions {
            jobs: NonZeroUsize::new(jobs).unwrap(),
            ..options(out.path(), Budget::Sequences(300))
        };
        let summary = run("model:6.1+stale_read_only_pin", &options);
        let found = summary.findings.into_iter().map(|found| (found.signature, found.count));
        (summary.tally, found.collect::<Vec<_>>())
    });
    assert!(counts[0].0.diverges > 0);
    assert_eq!(counts[0], counts[1]);
}

#[test]
fn bundles_are_whole_and_capped_over_several_runs() {
    let out = tempfile::tempdir().unwrap();
    for rng_seed in [1, 2] {
        let options =
            FuzzOptions { rng_seed, bundles_max: 3, ..options(out.path(), Budget::Sequences(200)) };
        run("model:6.12+vm_pin_kept", &options);
    }
    let signatures = fs::read_dir(out.path().join("findings")).unwrap();
    for signature in signatures.map(|entry| entry.unwrap().path()) {
        let bundles: Vec<_> =
            fs::read_dir(&signature).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(bundles.len(), 3, "{bundles:?}");
        for bundle in bundles {
            for file in [
                "sequence.seq",
                "minimized.seq",
                "finding.json",
                "console.txt",
                "explain.txt",
                "trace.json",
            ] {
                assert!(bundle.join(file).is_file(), "{} has no {file}", bundle.display());
            }
            read_seq(&bundle.join("sequence.seq")).unwrap();
        }
    }
    assert!(out.path().join("summary.json").is_file());
}

#[test]
fn a_stopped_run_has_its_findings_on_disk_and_a_summary() {
    let out = tempfile::tempdir().unwrap();
    let name = "model:6.12+pin_leak".parse().unwrap();
    let prepared = prepare(&name, &TargetOptions::default(), &mut |_| {}).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let since = Instant::now();
    let options = options(out.path(), Budget::Time(Duration::from_secs(600)));
    let summary = fuzz(&prepared, &options, &stop, &mut |event| match event {
        Event::Found(_) => stop.store(true, Ordering::Relaxed),
        Event::Up { .. } | Event::Progress(_) | Event::Inconclusive { .. } => {}
    })
    .unwrap();
    assert!(since.elapsed() < Duration::from_secs(60));
    assert!(summary.diverges > 0);
    assert!(summary.findings[0].dir.join("sequence.seq").is_file());
    assert!(out.path().join("summary.json").is_file());
}

#[test]
fn a_time_is_kept() {
    let out = tempfile::tempdir().unwrap();
    let since = Instant::now();
    let summary = run("model:6.12", &options(out.path(), Budget::Time(Duration::from_millis(400))));
    assert!(summary.sequences > 0);
    assert!(since.elapsed() >= Duration::from_millis(400));
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}

#[test]
fn an_assertion_fails_with_a_way_to_repeat_it() {
    let file = "# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 remote_read\ndereg mr0\n";
    let sequence = pinfold_contract::parse(file).unwrap().sequence;
    let known = Defects::default();
    let open =
        |name: &str| Target::open(&name.parse().unwrap(), &TargetOptions::default()).unwrap();
    let judgement = assert_agrees(&mut open("model:6.12"), &sequence, Observe::End, &known);
    assert_eq!(judgement, Judgement::Agrees);
    let panic = std::panic::catch_unwind(|| {
        assert_agrees(
            &mut open("model:6.12+vm_pin_kept"),
            &sequence,
            Observe::End,
            &Defects::default(),
        );
    })
    .unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    for word in ["vm_pin", "pinfold replay repeat.seq --target model:6.12+vm_pin_kept", "dereg mr0"]
    {
        assert!(text.contains(word), "no {word} in: {text}");
    }
}
