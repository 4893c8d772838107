//! The invariants of ARCHITECTURE.md that a machine can check, and what keeps documents and lists from drifting.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pinfold::model::Fault;
use pinfold::profile::Profile;
use pinfold_contract::{Access, Advice, Chore, File, OpKind};
use pinfold_machine::{executor, tools};
use toml::{Table, Value};

/// Each crate, its folder, and the crates of ours it may name. Whoever is not here may not exist.
const CRATES: [(&str, &str, &[&str]); 8] = [
    ("pinfold-contract", "harness/contract", &[]),
    ("pinfold", "harness", &["pinfold-contract"]),
    ("pinfold-executor", "targets/executor", &["pinfold-contract"]),
    ("pinfold-machine", "targets/machine", &["pinfold-contract"]),
    ("pinfold-run", "harness/run", &["pinfold-contract", "pinfold", "pinfold-machine"]),
    (
        "pinfold-cli",
        "harness/cli",
        &["pinfold-contract", "pinfold", "pinfold-machine", "pinfold-run"],
    ),
    (
        "pinfold-props",
        "harness/props",
        &["pinfold-contract", "pinfold", "pinfold-machine", "pinfold-run"],
    ),
    ("pinfold-fuzz", "fuzz", &["pinfold-contract", "pinfold", "pinfold-props"]),
];

/// Where `unsafe` may stand: a folder ends with `/`.
const UNSAFE_PLACES: [&str; 3] =
    ["targets/executor/src/", "targets/machine/src/keeper.rs", "fuzz/src/feedback.rs"];

/// Crates whose sources are values in, values out.
const PURE_PLACES: [&str; 2] = ["harness/src/", "harness/contract/src/"];

/// What reaches out of a pure crate, or makes two runs differ.
const IMPURE: [&str; 22] = [
    "std::fs",
    "std::env",
    "std::time",
    "std::net",
    "std::process",
    "std::thread",
    "std::os",
    "std::io",
    "std::sync",
    "fs::",
    "env::var",
    "Instant::",
    "SystemTime",
    "HashMap",
    "HashSet",
    "thread_local!",
    "static mut",
    "thread_rng",
    "from_os_rng",
    "println!",
    "eprintln!",
    "dbg!",
];

/// What stands for work that is not done, or hides that a test does not pass.
const UNDONE: [&str; 4] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
    concat!("#[should_", "panic"),
];

/// Places that exist on one machine only.
const PRIVATE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

const TOP_LEVEL: [&str; 7] = ["harness", "targets", "fuzz", "corpus", "ci", ".ci", ".config"];

const DOCUMENTS: [&str; 8] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "corpus/README.md",
    "corpus/defects/README.md",
    "corpus/designs/README.md",
    "harness/contract/README.md",
];

/// Where kernel series may be named: their own files, and tests, which are claims about single ones.
const SERIES_PLACES: [&str; 3] = ["harness/src/profile/series/", "/tests/", "/tests.rs"];

/// What tools make and git ignores.
const LEFT_OUT: [&str; 9] = [
    "target",
    "out",
    ".git",
    "__fuzz__",
    "corpus/found",
    "fuzz/target",
    "fuzz/corpus",
    "fuzz/artifacts",
    "fuzz/coverage",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of the project, relative to its root: not what git ignores, nor what tools keep.
fn files() -> Vec<String> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if LEFT_OUT.contains(&name.as_str()) || name.ends_with("/__fuzz__") {
                continue;
            }
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &root(), &mut found);
    found.sort();
    assert!(found.len() > 50, "only {} files: this looks at the wrong folder", found.len());
    found
}

fn files_ending(end: &str) -> Vec<String> {
    files().into_iter().filter(|file| file.ends_with(end)).collect()
}

fn manifest(folder: &str) -> Table {
    let path = format!("{folder}/Cargo.toml");
    read(&path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names of the crates that `manifest` depends on, for building, testing or running.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let mut tables = vec![manifest];
    let targets = manifest.get("target").and_then(Value::as_table);
    tables.extend(targets.into_iter().flatten().filter_map(|(_, value)| value.as_table()));
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    tables
        .iter()
        .flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()))
        .flat_map(|table| table.iter())
        .map(|(name, value)| {
            value.get("package").and_then(Value::as_str).unwrap_or(name.as_str()).to_owned()
        })
        .collect()
}

/// The code of `source`, with comments and the insides of strings left out, line by line.
fn code_lines(source: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    lines_without_comments(source, Strings::LeftOut)
}

/// Whether the insides of strings count as code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strings {
    LeftOut,
    Kept,
}

fn lines_without_comments(
    source: &str,
    strings: Strings,
) -> impl Iterator<Item = (usize, String)> + '_ {
    source.lines().enumerate().map(move |(index, line)| {
        let (mut code, mut is_in_string, mut previous) = (String::new(), false, ' ');
        for c in line.chars() {
            if c == '"' && previous != '\\' && previous != '\'' {
                is_in_string = !is_in_string;
            } else if c == '/' && previous == '/' && !is_in_string {
                code.pop();
                break;
            } else if !is_in_string || strings == Strings::Kept {
                code.push(c);
            }
            previous = if c == '\\' && previous == '\\' { ' ' } else { c };
        }
        (index + 1, code)
    })
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

/// Fails with all of `complaints` at once.
fn assert_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn imports_go_one_way() {
    let mut complaints = Vec::new();
    for (name, folder, allowed) in CRATES {
        let manifest = manifest(folder);
        assert_eq!(manifest["package"]["name"].as_str(), Some(name), "{folder}");
        for dependency in dependencies(&manifest) {
            let is_ours = dependency.starts_with("pinfold");
            if is_ours && !allowed.contains(&dependency.as_str()) {
                complaints.push(format!("{name} must not know {dependency}"));
            }
            if dependency.starts_with("rdma") && name != "pinfold-executor" {
                complaints
                    .push(format!("{name} must build without rdma-core, and names {dependency}"));
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn every_crate_has_its_place_in_the_table() {
    let manifests: BTreeSet<String> = files_ending("/Cargo.toml").into_iter().collect();
    let expected = CRATES.iter().map(|(_, folder, _)| format!("{folder}/Cargo.toml")).collect();
    assert_eq!(manifests, expected);
}

/// bolero and libfuzzer-sys each bring a libFuzzer; a fuzz target links what its libraries link.
#[test]
fn the_properties_bring_no_fuzzing_engine() {
    let manifest = manifest("harness/props");
    let normal = manifest["dependencies"].as_table().unwrap();
    assert!(!normal.contains_key("bolero") && !normal.contains_key("libfuzzer-sys"));
}

/// A crate that cannot inherit the lints because it has `unsafe` repeats all others.
#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    let workspace: Table = read("Cargo.toml").parse().unwrap();
    let wanted = workspace["workspace"]["lints"].as_table().unwrap();
    let mut complaints = Vec::new();
    for (name, folder, _) in CRATES.iter().filter(|(name, ..)| *name != "pinfold-fuzz") {
        let manifest = manifest(folder);
        let Some(lints) = manifest.get("lints").and_then(Value::as_table) else {
            complaints.push(format!("{name} has no lints"));
            continue;
        };
        if lints.get("workspace").and_then(Value::as_bool) == Some(true) {
            continue;
        }
        for (tool, rules) in wanted {
            for (rule, level) in rules.as_table().unwrap() {
                let own = lints.get(tool).and_then(|rules| rules.get(rule));
                if rule != "unsafe_code" && own != Some(level) {
                    complaints.push(format!("{name} lacks {tool}::{rule}"));
                }
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn unsafe_stands_only_where_it_may() {
    let mut complaints = Vec::new();
    for file in files_ending(".rs") {
        if UNSAFE_PLACES.iter().any(|place| file.starts_with(place)) {
            continue;
        }
        for (number, line) in code_lines(&read(&file)) {
            if has_word(&line, "unsafe") {
                complaints.push(format!("{file}:{number}: unsafe"));
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn pure_crates_reach_for_nothing() {
    let mut complaints = Vec::new();
    for file in files_ending(".rs") {
        if !PURE_PLACES.iter().any(|place| file.starts_with(place)) {
            continue;
        }
        for (number, line) in code_lines(&read(&file)) {
            complaints.extend(
                IMPURE
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{file}:{number}: {word}")),
            );
        }
    }
    assert_none(complaints);
}

/// Whatever in `text` names a kernel series that Pinfold has rules for, or may have one day: `6.12`, `6_12`, `V612`, but
/// no part of a longer number or version.
fn series_in(text: &str) -> Vec<String> {
    let majors: BTreeSet<u8> =
        Profile::all().iter().map(|profile| profile.series.to_string().as_bytes()[0]).collect();
    let bytes = text.as_bytes();
    let is_part = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at)).is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.')
    };
    let mut found = Vec::new();
    for (at, major) in bytes.iter().enumerate() {
        if !majors.contains(major) || is_part(at.checked_sub(1)) {
            continue;
        }
        let has_gap = matches!(bytes.get(at + 1), Some(b'.' | b'_'));
        let minor = at + 1 + usize::from(has_gap);
        let digits = bytes[minor.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit());
        let end = minor + digits.count();
        let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let before = bytes[..at].iter().rev().take_while(|byte| is_of_word(byte)).last();
        let is_literal = before.is_some_and(u8::is_ascii_digit);
        // Without a gap only a minor number of two digits is told from any other number, behind a name.
        let is_named = before.is_some() && !is_literal;
        let is_minor = if has_gap { (1..=2).contains(&(end - minor)) } else { end - minor == 2 };
        let goes_on = is_part(Some(end)) && is_part(Some(end + 1));
        if is_minor && !is_literal && (has_gap || is_named) && !goes_on {
            found.push(text[at..end].to_owned());
        }
    }
    found
}

/// The lines of `source` without tests, comments left out, but for those that are a help text.
fn lines_that_run(file: &str, source: &str) -> Vec<(usize, String)> {
    let is_help = |line: &str| file.starts_with("harness/cli/") && line.starts_with("/// ");
    let without_comments = lines_without_comments(source, Strings::Kept);
    let mut lines = Vec::new();
    // How deep the braces are of a test that is passed over; none before its first one.
    let mut test: Option<Option<usize>> = None;
    for ((number, code), line) in without_comments.zip(source.lines().map(str::trim)) {
        if line == "#[cfg(test)]" {
            test = Some(None);
        }
        let Some(depth) = test else {
            let text = if is_help(line) { line.to_owned() } else { code };
            lines.push((number, text));
            continue;
        };
        let count = |brace: char| code.matches(brace).count();
        let now = (depth.unwrap_or(0) + count('{')).saturating_sub(count('}'));
        let has_begun = depth.is_some() || code.contains('{');
        test = match (has_begun, now) {
            (true, 0) => None,
            (true, now) => Some(Some(now)),
            (false, _) if code.trim_end().ends_with(';') => None,
            (false, _) => Some(None),
        };
    }
    lines
}

/// Text of a script or workflow without comments, line by line.
fn script_lines(source: &str) -> Vec<(usize, String)> {
    let code = |line: &str| match line.trim_start().starts_with('#') {
        true => String::new(),
        false => line.split(" # ").next().unwrap_or_default().to_owned(),
    };
    source.lines().enumerate().map(|(index, line)| (index + 1, code(line))).collect()
}

/// Every text in a manifest that is no version of a crate.
fn texts_of_a_manifest(value: &Value, key: &str, texts: &mut Vec<String>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                let is_version = matches!(name.as_str(), "version" | "rust-version")
                    || (key.ends_with("dependencies") && value.is_str());
                if !is_version {
                    texts.push(name.clone());
                    texts_of_a_manifest(value, name, texts);
                }
            }
        }
        Value::Array(array) => array.iter().for_each(|v| texts_of_a_manifest(v, key, texts)),
        Value::String(text) => texts.push(text.clone()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

/// A new series is a file; nothing else has to be edited for it, and nothing else goes stale.
#[test]
fn no_series_is_named_outside_its_place() {
    let mut complaints = Vec::new();
    for file in files() {
        if SERIES_PLACES.iter().any(|place| file.contains(place)) {
            continue;
        }
        let is_script = [".ci/", "ci/", ".github/", ".config/"].iter().any(|f| file.starts_with(f));
        let lines = if file.ends_with(".rs") {
            lines_that_run(&file, &read(&file))
        } else if file.ends_with("Cargo.toml") {
            let mut texts = Vec::new();
            let manifest: Table = read(&file).parse().unwrap();
            texts_of_a_manifest(&Value::Table(manifest), "", &mut texts);
            texts.into_iter().map(|text| (0, text)).collect()
        } else if is_script {
            script_lines(&read(&file))
        } else {
            continue;
        };
        for (number, line) in lines {
            complaints
                .extend(series_in(&line).iter().map(|name| format!("{file}:{number}: {name}")));
        }
    }
    assert_none(complaints);
}

#[test]
fn a_series_is_told_from_other_numbers() {
    let none: &[&str] = &[];
    assert_eq!(series_in("uml:6.12+kasan"), ["6.12"]);
    assert_eq!(
        series_in("fn v6_1() V7_3 LINUX612 (6.12 6.1)"),
        ["6_1", "7_3", "612", "6.12", "6.1"]
    );
    assert_eq!(series_in("since 7.2. It"), ["7.2"]);
    for other in [
        "4.6.7",
        "16.12",
        "6.12.117",
        "0x6_1000",
        "612",
        "2026.1",
        "76",
        "1_610_612",
        "6.125",
        "0o755",
        "0o612",
    ] {
        assert_eq!(series_in(other), none, "{other}");
    }
    let source =
        "let a = \"6.1\"; // 6.2\n#[cfg(test)]\nmod tests {\n    fn a() {}\n    6.3\n}\n6.4\n";
    let found: Vec<String> =
        lines_that_run("x.rs", source).iter().flat_map(|(_, line)| series_in(line)).collect();
    assert_eq!(found, ["6.1", "6.4"]);
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent = files_ending(".rs").into_iter().filter(|file| !read(file).starts_with("//! "));
    assert_none(silent.map(|file| format!("{file} does not open with `//!`")).collect());
}

#[test]
fn nothing_is_left_undone_and_nothing_names_a_private_place() {
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| !file.contains("LICENSE")) {
        let text = read(file);
        let is_source = file.ends_with(".rs");
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
            let undone = UNDONE.iter().filter(|word| is_source && line.contains(**word));
            let private = PRIVATE_PATHS.iter().filter(|path| line.contains(**path));
            complaints.extend(undone.chain(private).map(|word| format!("{file}:{number}: {word}")));
        }
    }
    assert_none(complaints);
}

#[test]
fn a_fuzz_target_is_under_ten_lines() {
    let manifest = manifest("fuzz");
    let listed: BTreeSet<String> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bin| format!("fuzz/{}", bin["path"].as_str().unwrap()))
        .collect();
    let there: BTreeSet<String> =
        files_ending(".rs").into_iter().filter(|f| f.starts_with("fuzz/fuzz_targets/")).collect();
    assert_eq!(listed, there);
    let long = there.into_iter().filter(|file| read(file).lines().count() >= 10);
    assert_none(long.map(|file| format!("{file} is not under ten lines")).collect());
}

#[test]
fn ci_runs_every_fuzz_target_and_finds_every_planted_fault() {
    let script = read("ci/test") + &read("ci/steps.sh");
    let array = |name: &str| -> BTreeSet<String> {
        let (_, rest) = script.split_once(&format!("\n{name}=(")).unwrap();
        rest.split_once(')').unwrap().0.split_whitespace().map(str::to_owned).collect()
    };
    let faults: BTreeSet<String> = Fault::ALL.iter().map(|(_, name)| (*name).to_owned()).collect();
    assert_eq!(array("MODEL_FAULTS"), faults);
    let manifest = manifest("fuzz");
    let bins = manifest["bin"].as_array().unwrap().iter();
    let targets: BTreeSet<String> =
        bins.map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(array("FUZZ_TARGETS"), targets);
}

/// What `-dict` gives libFuzzer to put into text.
#[test]
fn the_dictionary_has_every_word() {
    let dictionary = read("fuzz/seq.dict");
    let words = OpKind::ALL.map(OpKind::word).into_iter();
    let words = words.chain(Advice::ALL.map(|(_, name, _)| name));
    let words = words.chain(Chore::ALL.map(|(_, name)| name)).chain(File::all().map(File::name));
    let flags = (0..10).map(|bit| Access(1 << bit).to_string());
    let missing = words.map(str::to_owned).chain(flags).filter(|word| {
        let line = format!("\"{word}\"");
        !dictionary.lines().any(|other| other == line)
    });
    assert_none(missing.map(|word| format!("fuzz/seq.dict lacks {word}")).collect());
}

#[test]
fn set_up_installs_what_the_tools_ask_for() {
    let script = read("ci/setup");
    let installed: BTreeSet<&str> = script
        .lines()
        .filter(|line| line.starts_with("PACKAGES") || line.starts_with("TEST_PACKAGES"))
        .flat_map(|line| line.split(['(', ')', ' ']))
        .collect();
    let tools = [tools::BUILD, tools::SOURCE, tools::QEMU, tools::MODULES, tools::GIT].concat();
    let tools = tools.into_iter().map(|tool| tool.package);
    let files = executor::PREREQUISITES.into_iter().map(|(_, package)| package);
    let missing = tools.chain(files).filter(|package| !installed.contains(package));
    assert_none(missing.map(|package| format!("ci/setup does not install {package}")).collect());
}

#[test]
fn every_script_stops_at_the_first_mistake() {
    let (mut complaints, mut script_count) = (Vec::new(), 0);
    for file in files().iter().filter(|file| file.starts_with("ci/") || file.starts_with(".ci/")) {
        let text = read(file);
        if !text.starts_with("#!") {
            continue;
        }
        script_count += 1;
        if !text.starts_with("#!/usr/bin/env bash\n") || !text.contains("\nset -euo pipefail\n") {
            complaints.push(format!("{file} is not bash with `set -euo pipefail`"));
        }
        if root().join(file).metadata().unwrap().permissions().mode() & 0o111 == 0 {
            complaints.push(format!("{file} cannot be executed"));
        }
    }
    assert!(script_count >= 5, "only {script_count} scripts");
    assert_none(complaints);
}

#[test]
fn every_patch_says_what_it_is_and_under_which_licence() {
    let mut complaints = Vec::new();
    let patches = files_ending(".patch");
    assert!(patches.len() >= 100, "only {} patches", patches.len());
    for file in patches {
        let text = read(&file);
        let header = text.split("\ndiff --git ").next().unwrap().split("\n--- a/").next().unwrap();
        if header.trim().len() < 40 {
            complaints.push(format!("{file} does not say what it is"));
        }
        let is_fix = file.starts_with("corpus/defects/");
        if !file.starts_with("targets/kernel/") && !is_fix {
            complaints.push(format!(
                "{file}: kernel patches (GPL-2.0-only) live in targets/kernel, and fixes in corpus/defects"
            ));
        }
        if is_fix && !header.lines().any(|line| line == "SPDX-License-Identifier: GPL-2.0-only") {
            complaints.push(format!("{file} does not say that it is GPL-2.0-only"));
        }
    }
    assert_none(complaints);
}

/// Links, and paths in backticks that begin with a folder of ours. What is planned has no path yet.
#[test]
fn documents_name_only_what_exists() {
    let mut complaints = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let folder = root().join(document).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains(':')) {
            if !folder.join(link).exists() {
                complaints.push(format!("{document} links {link}"));
            }
        }
        for path in text.split('`').skip(1).step_by(2) {
            let path = path.split_whitespace().next().unwrap_or_default();
            let is_ours = path.split_once('/').is_some_and(|(top, _)| TOP_LEVEL.contains(&top));
            let is_no_path = path.contains(['*', '<', '{', '$', ':']) || path.contains("...");
            if is_ours && !is_no_path && !LEFT_OUT.contains(&path) && !root().join(path).exists() {
                complaints.push(format!("{document} names {path}"));
            }
        }
    }
    assert_none(complaints);
}

/// The tests that ARCHITECTURE.md says enforce it exist.
#[test]
fn the_architecture_names_tests_that_exist() {
    let sources: Vec<String> = files_ending(".rs").iter().map(|file| read(file)).collect();
    let text = read("ARCHITECTURE.md");
    let named: Vec<&str> = text
        .split("*Enforced by")
        .skip(1)
        .filter_map(|rest| rest.split_once(".*"))
        .flat_map(|(names, _)| names.split('`').skip(1).step_by(2))
        .filter(|name| !name.contains(['/', ':', ' ']))
        .collect();
    assert!(named.len() >= 5, "only {} tests are named", named.len());
    let is_missing =
        |name: &&&str| !sources.iter().any(|source| source.contains(&format!("fn {name}(")));
    assert_none(named.iter().filter(is_missing).map(|name| format!("no test {name}")).collect());
}
