//! The real binary: what it prints, and the status it ends with.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn pinfold(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinfold"));
    // Nothing here may look at, or fill, the cache of whoever runs the tests.
    command.args(arguments).current_dir(folder).env("PINFOLD_CACHE", folder.join("cache"));
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    pinfold(folder, arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs and checks the exit status; gives standard output and standard error.
fn check(folder: &Path, arguments: &[&str], status: i32) -> (String, String) {
    let output = run(folder, arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{out}\n{err}");
    (out, err)
}

fn write(folder: &Path, name: &str, ops: &str) {
    fs::write(folder.join(name), format!("# pinfold 1\n{ops}")).unwrap();
}

const LEAKS: &str = "map 0..2 anon private rw # = ok\nwrite 1 8 0x33\nreg mr0 0..1 remote_read\n\
                     dereg mr0\nread 1 8 # = 0x33\n";

#[test]
fn json_is_one_object_with_every_documented_key() {
    let folder = tempfile::tempdir().unwrap();
    let target = "model:6.12+vm_pin_kept";
    let (out, err) = check(
        folder.path(),
        &["fuzz", "--target", target, "--sequences", "50", "--rng-seed", "0x2a", "--json"],
        1,
    );
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    for key in [
        "schema",
        "target",
        "kernel",
        "sequences",
        "ops",
        "agrees",
        "diverges",
        "inconclusive",
        "known",
        "presumed",
        "rules",
        "seconds",
        "rng_seed",
        "coverage",
        "findings",
    ] {
        assert!(keys.contains(&key), "no {key} in {keys:?}");
    }
    assert_eq!(keys.len(), 15, "{keys:?}");
    assert_eq!((&json["schema"], &json["rng_seed"]), (&1.into(), &42.into()));
    let sum =
        ["agrees", "diverges", "known", "inconclusive"].map(|key| json[key].as_u64().unwrap());
    assert_eq!(sum.iter().sum::<u64>(), 50);
    let finding = &json["findings"][0];
    for key in ["signature", "oracle", "op_count", "dir"] {
        assert!(!finding[key].is_null(), "no {key} in {finding}");
    }
    let bundle = folder.path().join(finding["dir"].as_str().unwrap());
    assert!(bundle.join("minimized.seq").is_file());
    assert!(err.contains("0x2a"), "{err}");
    let stored = fs::read_to_string(folder.path().join("out/summary.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&stored).unwrap(), json);
}

#[test]
fn a_clean_run_ends_with_0_and_shows_what_the_ops_did() {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) =
        check(folder.path(), &["fuzz", "--target", "model:6.1", "--sequences", "60"], 0);
    // Whichever these are: one of them may do what the model allows and does not follow.
    assert!(out.contains("60 sequences of") && out.contains(" 0 diverge, 0 known"), "{out}");
    assert!(out.contains("write_remote"), "{out}");
    assert!(err.contains("rng seed 0x"), "a random rng seed is printed too: {err}");
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["fuzz", "--target", "uml:5.10"][..],
        &["fuzz", "--target", "model:6.12+nothing"],
        &["fuzz", "--target", "model:6.12", "--kernel-src", "/usr/src"],
        &["fuzz", "--time", "soon"],
        &["fuzz", "--time", "1s", "--sequences", "1"],
        &["fuzz", "--jobs", "0"],
        &["fuzz", "--exhaustive", "0"],
        &["fuzz", "--exhaustive", "2", "--sequences", "9"],
        &["fuzz", "--artifact"],
        &["fuzz", "--artifact", "missing"],
        &["fuzz", "--rng-seed", "x"],
        &["fuzz", "--target", "model:6.12", "--defects", "missing"],
        &["defects", "verify", "--target", "model:6.12"],
        &["defects", "--json", "--markdown"],
        &["replay", "missing.seq"],
        &["replay"],
        &["kernel", "path", "5.10"],
        &["frobnicate"],
    ] {
        check(folder.path(), arguments, 2);
    }
}

#[test]
fn defects_are_a_table_or_json_of_a_folder_and_the_old_flag_still_reads_one() {
    let folder = tempfile::tempdir().unwrap();
    let text = "title = \"pins stay\"\nsource = \"a.c:f\"\naffected = \"6.1\"\n[[shows]]\n\
                signature = \"a-b\"\nsequence = \"x.seq\"\nverified = [\"uml:6.1.192\"]\n";
    fs::create_dir_all(folder.path().join("mine/pins-stay")).unwrap();
    write(folder.path(), "mine/pins-stay/defect.toml", text);
    let (out, err) = check(folder.path(), &["defects", "--defects", "mine"], 0);
    assert!(
        out.lines().any(|line| line.starts_with("pins-stay") && line.ends_with("verified, no fix"))
    );
    assert!(err.is_empty(), "{err}");
    let (out, err) = check(folder.path(), &["defects", "--json", "--known", "mine"], 0);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["defects"][0]["kernels"][0]["state"], "verified", "{out}");
    assert!(err.contains("--known is called --defects now"), "{err}");
    let (out, _) = check(folder.path(), &["defects"], 0);
    assert!(out.contains("window-bounds"), "{out}");
    // No release is the model's, so it has none of them.
    let verify = ["defects", "verify", "--target", "model:6.1", "--defects", "mine"];
    let (out, err) = check(folder.path(), &verify, 0);
    assert!(out.ends_with(": 0 seen, 0 not seen, 0 not judged\n"), "{out}");
    assert!(err.contains("nothing is kept in defect.toml"), "{err}");
}

#[test]
fn a_machine_without_the_rdma_device_ends_with_4_and_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let local = ["--target", "local:no_such_device", "--yes-run-on-this-kernel"];
    let (_, err) = check(folder.path(), &[&["fuzz"], &local[..]].concat(), 4);
    assert!(err.contains("rdma link add") || err.contains("choose one of them"), "{err}");
}

#[test]
fn lines_of_a_kernel_that_notes_none_end_with_4_and_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.seq", LEAKS);
    let arguments = ["replay", "a.seq", "--lcov", "a.lcov", "--target", "model:6.12"];
    let (_, err) = check(folder.path(), &arguments, 4);
    assert!(err.contains("uml:SERIES+kcov"), "{err}");
    assert!(!folder.path().join("a.lcov").exists());
}

#[test]
fn an_environment_that_fails_ends_with_3() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), &["kernel", "path", "6.12"], 3);
    fs::write(folder.path().join("file"), "").unwrap();
    let target = ["--target", "model:6.12", "--sequences", "1"];
    let arguments = [&["fuzz", "--out", "file/out"][..], &target].concat();
    let (_, err) = check(folder.path(), &arguments, 3);
    assert!(err.contains("file/out") && err.contains("--out"), "{err}");
}

#[test]
fn a_malformed_sequence_ends_with_2_and_a_caret_below_the_place() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "bad.seq", "map 0..4 anon private rw\n  reg mr0 0..1 remote_reed\n");
    let (out, err) = check(folder.path(), &["replay", "bad.seq", "--target", "model:6.12"], 2);
    assert_eq!(out, "");
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines[0].starts_with("bad.seq:3:16: `remote_reed` is not"), "{err}");
    assert_eq!(lines[1], "      reg mr0 0..1 remote_reed");
    assert_eq!(lines[2].find('^'), lines[1].find("remote_reed"), "{err}");
}

#[test]
fn a_replay_tells_agreement_from_divergence_and_holds_expectations() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.seq", LEAKS);
    let replay = |target: &str, status| {
        check(folder.path(), &["replay", "a.seq", "--repeat", "3", "--target", target], status).0
    };
    assert_eq!(replay("model:6.12", 0), "a.seq: agrees (3 of 3 runs)\n");
    let out = replay("model:6.12+vm_pin_kept", 1);
    assert!(out.contains("diverges at op 3 (accounting)") && out.contains("vm_pin"), "{out}");

    write(folder.path(), "b.seq", "map 0..1 anon private rw # = <6.12: ENOMEM, ok\n");
    check(folder.path(), &["replay", "b.seq", "--target", "model:6.12"], 0);
    let (out, _) = check(folder.path(), &["replay", "b.seq", "--target", "model:6.1"], 1);
    assert!(out.contains("op 0: expected ENOMEM, but the model says ok"), "{out}");
    assert!(out.contains("op 0: expected ENOMEM, but the target did ok"), "{out}");
}

#[test]
fn an_explanation_shows_every_op() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.seq", LEAKS);
    let arguments = ["replay", "a.seq", "--explain", "--target", "model:6.12+vm_pin_kept"];
    let (out, _) = check(folder.path(), &arguments, 1);
    assert!(out.contains("reg mr0 0..1 remote_read") && out.contains("dereg mr0"), "{out}");
}

#[test]
fn bisect_speaks_as_git_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.seq", LEAKS);
    let bisect = |target: &str, status| {
        check(folder.path(), &["replay", "--bisect", "a.seq", "--target", target], status)
    };
    bisect("model:6.12", 0);
    bisect("model:6.12+vm_pin_kept", 1);
    bisect("uml:./missing", 125);
}

#[test]
fn minimize_writes_a_shorter_sequence_that_replays() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.seq", LEAKS);
    let target = "model:6.12+vm_pin_kept";
    let (out, err) =
        check(folder.path(), &["minimize", "a.seq", "--target", target, "-o", "b.seq"], 0);
    assert_eq!(out, "");
    assert!(err.contains("5 ops became 3"), "{err}");
    check(folder.path(), &["replay", "b.seq", "--target", target], 1);
    check(folder.path(), &["replay", "b.seq", "--target", "model:6.12"], 0);
    let agrees = ["minimize", "a.seq", "--target", "model:6.12", "-o", "c.seq"];
    let (_, err) = check(folder.path(), &agrees, 2);
    assert!(err.contains("nothing to minimize"), "{err}");
    assert!(!folder.path().join("c.seq").exists());
}

#[test]
fn a_signal_ends_a_run_well_with_its_findings_on_disk() {
    for (signal, status) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["fuzz", "--target", "model:6.12+pin_leak", "--time", "10m", "--json"];
        let mut child = pinfold(folder.path(), &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        lines.find(|line| line.as_ref().unwrap().starts_with("found ")).unwrap().unwrap();
        let pid = child.id().to_string();
        let killed = Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap();
        assert!(killed.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{:?}", output.status);
        assert_eq!(output.status.signal(), None);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(json["diverges"].as_u64().unwrap() > 0);
        let bundle = folder.path().join(json["findings"][0]["dir"].as_str().unwrap());
        assert!(bundle.join("sequence.seq").is_file());
        assert!(folder.path().join("out/summary.json").is_file());
    }
}

/// Every folder in `findings` that is not a draft.
fn bundles(findings: &Path) -> Vec<std::path::PathBuf> {
    let entries = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.collect::<Vec<_>>()
    };
    let is_draft = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with(".draft-");
    let signatures = entries(findings);
    signatures.iter().flat_map(|folder| entries(folder)).filter(|path| !is_draft(path)).collect()
}

#[test]
fn a_run_that_is_killed_leaves_only_whole_bundles() {
    let mut bundle_count = 0;
    for rng_seed in ["1", "2", "3", "4", "5"] {
        let folder = tempfile::tempdir().unwrap();
        let target = "model:6.12+stale_read_only_pin";
        let mut arguments = vec!["fuzz", "--target", target, "--time", "10m"];
        arguments.extend(["--keep-per-signature", "1000", "--rng-seed", rng_seed]);
        let mut child = pinfold(folder.path(), &arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        lines.find(|line| line.as_ref().unwrap().starts_with("found ")).unwrap().unwrap();
        // SIGKILL, in the middle of the next ones.
        child.kill().unwrap();
        child.wait().unwrap();
        let bundles = bundles(&folder.path().join("out/findings"));
        assert!(!bundles.is_empty());
        bundle_count += bundles.len();
        for bundle in bundles {
            let read = |name: &str| fs::read_to_string(bundle.join(name)).unwrap();
            pinfold_contract::parse(&read("sequence.seq")).unwrap();
            let finding: serde_json::Value = serde_json::from_str(&read("finding.json")).unwrap();
            assert!(read("explain.txt").ends_with('\n') && bundle.join("console.txt").is_file());
            // What is minimal in finding.json is there.
            let minimized = bundle.join("minimized.seq");
            assert!(finding["minimal"].is_null() || minimized.is_file(), "{}", bundle.display());
            if minimized.is_file() {
                pinfold_contract::parse(&read("minimized.seq")).unwrap();
            }
        }
    }
    assert!(bundle_count > 5, "{bundle_count} bundles: nothing was being written");
}

#[test]
fn minimize_keeps_a_regression_in_a_folder_named_for_its_signature() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.seq", LEAKS);
    let target = "model:6.12+vm_pin_kept";
    let keep = ["minimize", "a.seq", "--target", target, "--keep", "regress"];
    // Nothing is kept that nobody can say a word about.
    check(folder.path(), &keep, 2);
    let words = ["--title", "VmPin \"stays\"", "--cause", "planted"];
    let (out, err) = check(folder.path(), &[&keep[..], &words].concat(), 0);
    assert_eq!(out, "");
    assert!(err.contains("3 of 3 runs") && err.contains("minimal"), "{err}");
    let kept = folder.path().join("regress/accounting-dereg-registrar.vm_pin.more");
    let entry = fs::read_to_string(kept.join("entry.toml")).unwrap();
    assert!(entry.starts_with("title = \"VmPin \\\"stays\\\"\"\ncause = \"planted\"\n"), "{entry}");
    let sequence = kept.join("sequence.seq");
    check(folder.path(), &["replay", sequence.to_str().unwrap(), "--target", "model:6.1"], 0);
    // Without a place to go to, it is the output; and too few runs are said.
    let arguments = ["minimize", "a.seq", "--target", target, "--no-cache", "--runs", "2"];
    let (out, err) = check(folder.path(), &arguments, 0);
    assert!(out.starts_with("# pinfold 1\n"), "{out}");
    assert!(err.contains("not minimal") && err.contains("--runs"), "{err}");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = pinfold(folder.path(), &["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn doctor_names_every_fault() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["doctor"]);
    let out = String::from_utf8(output.stdout).unwrap();
    for (_, name) in pinfold::model::Fault::ALL {
        assert!(out.contains(name), "no {name} in: {out}");
    }
}

#[test]
fn a_program_in_c_is_made_of_a_sequence() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.seq", "map 0..1 anon private r\nreg mr0 0..1 local_write\n");
    let (out, _) = check(folder.path(), &["reproduce", "a.seq"], 0);
    assert!(out.starts_with("// SPDX-License-Identifier: ") && out.contains("strerror(EFAULT)"));
    let (out, _) = check(folder.path(), &["reproduce", "a.seq", "--lang", "c", "-o", "a.c"], 0);
    assert_eq!(out, "");
    assert!(fs::read_to_string(folder.path().join("a.c")).unwrap().contains("int main("));
    let (out, _) = check(folder.path(), &["reproduce", "a.seq", "--lang", "seq"], 0);
    assert!(out.contains("reg mr0 0..1 local_write  # = EFAULT"), "{out}");
    let (_, err) = check(folder.path(), &["reproduce", "none.seq"], 2);
    assert!(err.contains("none.seq"), "{err}");
    check(folder.path(), &["reproduce", "a.seq", "--target", "nonsense"], 2);
}

#[test]
fn a_finding_comes_with_a_program_that_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let target = "model:6.12+writable_over_read_only";
    check(
        folder.path(),
        &["fuzz", "--target", target, "--sequences", "200", "--rng-seed", "1", "--out", "out"],
        1,
    );
    let bundle = folder.path().join("out/findings/protection-reg-efault-ok-writer/1");
    let kept = fs::read_to_string(bundle.join("reproducer.c")).unwrap();
    assert!(kept.contains("Actual:   ok") && kept.contains("strerror(EFAULT)"), "{kept}");
    let minimized = bundle.join("minimized.seq");
    let (again, _) = check(folder.path(), &["reproduce", minimized.to_str().unwrap()], 0);
    assert_eq!(again, kept);
}

#[test]
fn every_short_sequence_is_run_once_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["fuzz", "--exhaustive", "3", "--target", "model:6.12"];
    let (out, err) = check(folder.path(), &arguments, 0);
    let counted = err.lines().find(|line| line.contains(" different states ")).unwrap();
    let count = counted.split(' ').next().unwrap();
    assert!(count.parse::<u32>().unwrap() > 1000, "{counted}");
    assert!(out.contains(&format!("{count} of all {count} sequences of at most 3 ops")), "{out}");
    assert!(out.contains(&format!("{count} agree, 0 diverge, 0 known")), "{out}");
    // A fault that few ops show is found for certain.
    let arguments = ["fuzz", "--exhaustive", "3", "--target", "model:6.12+stale_read_only_pin"];
    let (out, _) = check(folder.path(), &arguments, 1);
    assert!(out.contains("coherence-") || out.contains("frames-"), "{out}");
    // As far as the time goes.
    let arguments = ["fuzz", "--exhaustive", "4", "--time", "1ms", "--target", "model:6.12"];
    let (out, _) = check(folder.path(), &arguments, 0);
    assert!(!out.contains(", 0 agree") && out.contains(" sequences of at most 4 ops"), "{out}");
}

#[test]
fn what_libfuzzer_left_becomes_a_finding_with_a_report() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "crash-0a1b2c", LEAKS);
    // Any bytes are a sequence to a fuzz target.
    fs::write(folder.path().join("timeout-ff"), [0, 0, 0, 0, 255, 14, 3]).unwrap();
    let target = "model:6.12+vm_pin_kept";
    let arguments = ["fuzz", "--artifact", "crash-0a1b2c", "timeout-ff", "--target", target];
    let (out, err) = check(folder.path(), &arguments, 1);
    assert!(out.contains("2 of 2 files") && out.contains("1 diverge"), "{out}");
    assert!(err.contains("out/report.html"), "{err}");
    let bundle = folder.path().join("out/findings/accounting-dereg-registrar.vm_pin.more/1");
    for file in ["sequence.seq", "minimized.seq", "reproducer.c", "finding.json", "explain.txt"] {
        assert!(bundle.join(file).is_file(), "no {file}");
    }
    let report = fs::read_to_string(folder.path().join("out/report.md")).unwrap();
    assert!(report.contains("accounting-dereg-registrar.vm_pin.more"), "{report}");
    // And each step alone.
    for status_of in [("crash-0a1b2c", 1), ("timeout-ff", 0)] {
        check(folder.path(), &["replay", status_of.0, "--target", target], status_of.1);
    }
    let arguments = ["minimize", "crash-0a1b2c", "--target", target, "-o", "short.seq"];
    check(folder.path(), &arguments, 0);
    check(folder.path(), &["reproduce", "timeout-ff", "-o", "timeout.c"], 0);
}

#[test]
fn lines_of_an_artifact_that_are_no_op_are_counted_aloud() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "crash-0a1b2c", &format!("{LEAKS}no op\nnor this\n"));
    let (_, err) = check(folder.path(), &["replay", "crash-0a1b2c", "--target", PIN_STAYS], 1);
    assert!(err.contains("crash-0a1b2c: 2 lines are no op, and left out"), "{err}");
    let (_, err) = check(folder.path(), &["minimize", "crash-0a1b2c", "--target", PIN_STAYS], 0);
    assert!(err.contains("crash-0a1b2c: 2 lines are no op, and left out"), "{err}");
}

const PIN_STAYS: &str = "model:6.12+vm_pin_kept";

#[test]
fn a_verdict_does_not_depend_on_how_often_the_state_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.seq", &format!("{LEAKS}fork p1\n"));
    let replay = |observe| {
        let arguments = ["replay", "a.seq", "--observe", observe, "--target", PIN_STAYS];
        check(folder.path(), &arguments, 1).0
    };
    assert_eq!(replay("end"), replay("each"));
    assert!(replay("end").contains("[accounting-dereg-registrar.vm_pin.more]"));
    let minimize = |observe| {
        let arguments = ["minimize", "a.seq", "--observe", observe, "--target", PIN_STAYS];
        check(folder.path(), &arguments, 0).0
    };
    assert_eq!(minimize("end"), minimize("each"));
    for observe in ["each", "end"] {
        let place = ["--artifact", "a.seq", "--out", observe];
        let arguments =
            [&["fuzz", "--observe", observe, "--target", PIN_STAYS], &place[..]].concat();
        check(folder.path(), &arguments, 1);
        let found = folder.path().join(observe).join("findings");
        let names: Vec<_> =
            fs::read_dir(found).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, ["accounting-dereg-registrar.vm_pin.more"]);
    }
}

#[test]
fn a_bill_is_drawn_up_however_often_the_state_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let map = "map 0..1 anon private rw\n";
    let reg = "reg mr0 0..1 remote_read # = ; bill frames=1 cow=0 pin=4 rss=4\ndereg mr0\n";
    write(folder.path(), "a.seq", &format!("{map}{reg}"));
    write(folder.path(), "b.seq", &format!("{map}{}", reg.replace("pin=4", "pin=8")));
    for observe in ["each", "end"] {
        let replay = |file, status| {
            let arguments = ["replay", file, "--observe", observe, "--target", "model:6.12"];
            check(folder.path(), &arguments, status).0
        };
        replay("a.seq", 0);
        assert!(replay("b.seq", 1).contains("pin=8") && !replay("b.seq", 1).contains("no bill"));
    }
}

#[test]
fn a_sequence_that_needs_what_the_target_lacks_ends_with_4_and_says_what() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "huge.seq", "map h0..h1 huge private rw\nreg mr0 h0..h1 remote_read\n");
    write(folder.path(), "told.seq", "map h0..h1 huge private rw # = x86: ok, EINVAL\n");
    write(folder.path(), "a.seq", LEAKS);
    let replay = |files: &[&str], target, status| {
        check(folder.path(), &[&["replay", "--target", target], files].concat(), status).0
    };
    let lack = "huge.seq: op 0 asks for huge pages, which the target lacks\n";
    assert!(replay(&["huge.seq"], "model:7.3", 4).contains(lack));
    // Also as one of many, and after something worse.
    assert!(replay(&["a.seq", "huge.seq", "told.seq"], "model:7.3", 4).contains(lack));
    assert!(replay(&["a.seq", "huge.seq"], PIN_STAYS, 1).contains(lack));
    assert_eq!(replay(&["told.seq"], "model:7.3", 0), "told.seq: agrees\n");
    replay(&["--bisect", "huge.seq"], "model:7.3", 125);
    let arguments = ["fuzz", "--target", "model:7.3", "--artifact", "huge.seq"];
    let (_, err) = check(folder.path(), &arguments, 4);
    assert!(err.contains(lack), "{err}");
}

#[test]
fn a_sequence_of_which_most_is_skipped_says_how_much() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "most.seq", "read_remote mr0 8\ndereg mr0\nmap 0..1 anon private rw\n");
    write(folder.path(), "half.seq", "dereg mr0\nmap 0..1 anon private rw\n");
    let arguments = ["replay", "most.seq", "half.seq", "--target", "model:6.12"];
    let (out, _) = check(folder.path(), &arguments, 0);
    assert_eq!(
        out,
        "most.seq: agrees\nmost.seq: 2 of 3 ops are skipped, since they have nothing to work on\n\
         half.seq: agrees\n"
    );
}

#[test]
fn a_file_that_cannot_be_read_does_not_keep_others_from_running() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.seq", LEAKS);
    write(folder.path(), "bad.seq", "map 0..4 anon\n");
    let files = ["bad.seq", "a.seq", "missing.seq"];
    let replay = |flags: &[&str], target, status| {
        let arguments = [&["replay", "--target", target], flags, &files].concat();
        check(folder.path(), &arguments, status)
    };
    let (out, err) = replay(&[], "model:6.12", 2);
    assert_eq!(out, "a.seq: agrees\n");
    assert!(err.contains("bad.seq:2:14: ") && err.contains("missing.seq"), "{err}");
    assert!(err.contains("2 of 3 files could not be read"), "{err}");
    assert!(replay(&[], PIN_STAYS, 1).0.starts_with("a.seq: diverges"));
    // What was not run is neither good nor bad.
    assert_eq!(replay(&["--bisect"], PIN_STAYS, 125).0, "");
    let fuzz = |target, status| {
        let arguments = [&["fuzz", "--target", target, "--artifact"], &files[..]].concat();
        check(folder.path(), &arguments, status)
    };
    let (out, err) = fuzz("model:6.12", 2);
    assert!(
        out.contains("1 of 1 files") && err.contains("2 of 3 files could not be read"),
        "{err}"
    );
    fuzz(PIN_STAYS, 1);
}

#[test]
fn a_failed_expectation_does_not_stand_below_agrees() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.seq", "map 0..1 anon private rw # = ENOMEM\n");
    let arguments = ["replay", "a.seq", "--repeat", "2", "--target", "model:6.12"];
    let (out, _) = check(folder.path(), &arguments, 1);
    let first =
        "a.seq: model and target agree, and the file expects something else (2 of 2 runs)\n";
    assert!(out.starts_with(first) && !out.contains("agrees"), "{out}");
    assert!(out.contains("a.seq: op 0: expected ENOMEM, but the target did ok\n"), "{out}");
}

#[test]
fn bytes_of_a_file_that_is_no_text_do_not_reach_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let raw = b"# pinfold 1\n\tmap\x1b[2J \xff\xfe 0..4\n";
    for name in ["a.seq", "known.toml", "plan.toml"] {
        fs::write(folder.path().join(name), raw).unwrap();
    }
    fs::write(folder.path().join("long.seq"), [b'\x07'; 100_000]).unwrap();
    write(folder.path(), "good.seq", LEAKS);
    let target = ["--target", "model:6.12"];
    for (arguments, status) in [
        (&["replay", "a.seq"][..], 2),
        (&["replay", "long.seq"], 2),
        (&["minimize", "a.seq"], 2),
        (&["reproduce", "a.seq"], 2),
        (&["fuzz", "--artifact", "a.seq"], 2),
        (&["replay", "good.seq", "--known", "known.toml"], 2),
    ] {
        let (_, err) = check(folder.path(), &[arguments, &target].concat(), status);
        assert!(!err.chars().any(|c| c.is_control() && !"\n\t".contains(c)), "{err:?}");
        assert!(err.len() < 5000, "{} bytes", err.len());
    }
    let (_, err) = check(folder.path(), &[&["replay", "a.seq"], &target[..]].concat(), 2);
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines[1].ends_with("\tmap\\u{1b}[2J \\xff\\xfe 0..4"), "{err}");
    assert_eq!(lines[2].find('^'), lines[1].find("map"), "{err}");
}
