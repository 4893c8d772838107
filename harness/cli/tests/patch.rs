//! `pinfold patch` of the real binary: what it says to patches that give no kernel. No kernel is built here.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A folder with a tree of a kernel that has one file, in `tree`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("mm")).unwrap();
    let makefile = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\nEXTRAVERSION =\n";
    fs::write(tree.join("Makefile"), makefile).unwrap();
    fs::write(tree.join("Kbuild"), "").unwrap();
    fs::write(tree.join("mm/gup.c"), "one\ntwo\nthree\nfour\n").unwrap();
    folder
}

fn pinfold(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinfold"));
    command.current_dir(folder).env("PINFOLD_CACHE", folder.join("cache"));
    command
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = pinfold(folder);
    command.arg("patch").args(arguments);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn refused(output: &Output) -> String {
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{}\n{err}", text(&output.stdout));
    err
}

/// Says what the patch `content` is refused with, which ends with status 2.
#[track_caller]
fn refusal(content: &str) -> String {
    let folder = folder();
    fs::write(folder.path().join("x.patch"), content).unwrap();
    let output = command(folder.path(), &["x.patch", "--kernel-src", "tree"]).output().unwrap();
    assert!(!folder.path().join("out").exists(), "nothing was run");
    refused(&output)
}

const WRONG_HUNK: &str =
    "--- a/mm/gup.c\n+++ b/mm/gup.c\n@@ -1,3 +1,3 @@\n one\n-TWO\n+2\n three\n";
const RIGHT: &str = "--- a/mm/gup.c\n+++ b/mm/gup.c\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n";

#[test]
fn a_hunk_that_does_not_fit_is_named_with_its_file_and_the_line_that_differs() {
    let err = refusal(WRONG_HUNK);
    assert!(err.contains("x.patch:3: hunk 1 of mm/gup.c does not apply"), "{err}");
    assert!(err.contains("line 2 is `two`, and the patch wants `TWO`"), "{err}");
    assert!(err.contains("linux 6.12.1"), "{err}");
}

#[test]
fn a_kernel_is_not_built_with_a_hunk_that_does_not_fit() {
    let folder = folder();
    fs::write(folder.path().join("x.patch"), WRONG_HUNK).unwrap();
    let mut command = pinfold(folder.path());
    command.args(["kernel", "build", "6.12", "--kernel-src", "tree", "--patch", "x.patch"]);
    let err = refused(&command.output().unwrap());
    assert!(err.contains("x.patch:3: hunk 1 of mm/gup.c does not apply"), "{err}");
}

#[test]
fn a_file_that_the_kernel_does_not_have_is_named_with_a_way_out() {
    let err = refusal(&RIGHT.replace("gup.c", "gap.c"));
    assert!(err.contains("no file mm/gap.c") && err.contains("--kernel-src"), "{err}");
}

#[test]
fn an_input_without_a_diff_is_refused() {
    for content in ["", "Subject: [PATCH 0/2] only words\n\nWords.\n"] {
        let err = refusal(content);
        assert!(err.contains("x.patch:1: there is no diff in it"), "{err}");
    }
}

#[test]
fn a_patch_that_changes_nothing_is_refused() {
    let back = RIGHT.replace("-two\n+2\n", "-2\n+two\n");
    let err = refusal(&format!("{RIGHT}{back}"));
    assert!(err.contains("nothing to compare"), "{err}");
}

#[test]
fn of_a_mailbox_the_mail_that_does_not_fit_is_found() {
    let mail = |number: u32, diff: &str| {
        format!(
            "From {number:040} Mon Sep 17 00:00:00 2001\nSubject: [PATCH {number}/2] x\n\n---\n\
             {diff}-- \n2.39\n\n"
        )
    };
    let second = "--- a/mm/gup.c\n+++ b/mm/gup.c\n@@ -2,2 +2,2 @@\n two\n-three\n+3\n";
    let err = refusal(&(mail(1, RIGHT) + &mail(2, second)));
    assert!(err.contains("x.patch:21: hunk 1 of mm/gup.c"), "{err}");
    assert!(err.contains("line 2 is `2`, and the patch wants `two`"), "{err}");
}

#[test]
fn patches_apply_one_on_the_other_with_the_base_first() {
    let folder = folder();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    write("1.patch", RIGHT);
    write("2.patch", "--- a/mm/gup.c\n+++ b/mm/gup.c\n@@ -1,2 +1,2 @@\n one\n-2\n+two\n");
    write("3.patch", WRONG_HUNK);
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--kernel-src", "tree"]].concat();
        refused(&command(folder.path(), &arguments).output().unwrap())
    };
    assert!(run(&["2.patch"]).contains("2.patch:3: hunk 1"));
    assert!(run(&["1.patch", "2.patch"]).contains("nothing to compare"));
    assert!(run(&["1.patch", "2.patch", "3.patch"]).contains("3.patch:3: hunk 1"));
    assert!(run(&["3.patch", "--base", "2.patch"]).contains("2.patch:3: hunk 1"));
    assert!(run(&["1.patch", "--base", "1.patch"]).contains("applied already"));
}

#[test]
fn a_patch_can_come_from_standard_input() {
    let folder = folder();
    let mut child = command(folder.path(), &["-", "--kernel-src", "tree"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(WRONG_HUNK.as_bytes()).unwrap();
    let err = refused(&child.wait_with_output().unwrap());
    assert!(err.contains("standard input:3: hunk 1 of mm/gup.c"), "{err}");
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let folder = folder();
    fs::write(folder.path().join("x.patch"), RIGHT).unwrap();
    for arguments in [
        &[][..],
        &["missing.patch"],
        &["x.patch", "--base", "missing.patch"],
        &["x.patch", "--target", "model:6.12"],
        &["x.patch", "--target", "uml:./linux"],
        &["x.patch", "--kernel-src", "nowhere"],
        &["x.patch", "--time", "soon"],
        &["--commit", "HEAD"],
        &["x.patch", "--commit", "HEAD", "--kernel-src", "tree"],
        &["--commit", "HEAD", "--kernel-src", "tree"],
    ] {
        let output = command(folder.path(), arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn json_says_why_there_is_no_kernel() {
    let folder = folder();
    fs::write(folder.path().join("x.patch"), WRONG_HUNK).unwrap();
    let arguments = ["x.patch", "--kernel-src", "tree", "--json"];
    let output = command(folder.path(), &arguments).output().unwrap();
    refused(&output);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["schema"], &json["verdict"]), (&1.into(), &"does_not_apply".into()));
    assert!(json["message"].as_str().unwrap().contains("hunk 1 of mm/gup.c"), "{json}");
}
