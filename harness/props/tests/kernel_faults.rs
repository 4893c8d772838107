//! The headers of the patches that put faults into real kernels: what `ci/faults` and people read of them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What a fault says of itself, in this order, before its diff.
const FIELDS: [&str; 5] = ["SPDX-License-Identifier", "Fault", "Oracle", "Targets", "Upstream"];

/// The oracles, as findings name them.
const ORACLES: [&str; 7] =
    ["outcome", "protection", "coherence", "frames", "accounting", "teardown", "kernel_log"];

/// Where a fault can be seen: `ci/faults` measures those of User Mode Linux.
const TARGETS: [&str; 2] = ["uml", "qemu"];

/// The series there are faults for, and how many there must be at least.
const SERIES: [(&str, usize); 2] = [("6.12", 25), ("6.1", 15)];

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

/// Name without `.patch`, and text, of each patch in `targets/kernel/faults`.
fn patches() -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder("targets/kernel/faults")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "patch"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// Fields and values of a header, in their order; a line without a field is one without a name.
fn header(text: &str) -> Vec<(&str, &str)> {
    let (header, _) = text.split_once("\n--- a/").unwrap_or((text, ""));
    header.trim_end().lines().map(|line| line.split_once(": ").unwrap_or(("", line))).collect()
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Complains of every patch of which `is_wrong` says something.
#[track_caller]
fn check(is_wrong: impl Fn(&str, &str) -> Option<String>) {
    let complaints: Vec<String> = patches()
        .iter()
        .filter_map(|(name, text)| Some(format!("{name}: {}", is_wrong(name, text)?)))
        .collect();
    assert_none(&complaints);
}

#[test]
fn each_fault_has_the_whole_header() {
    check(|_, text| {
        let fields: Vec<&str> = header(text).iter().map(|(field, _)| *field).collect();
        (fields != FIELDS).then(|| format!("has {fields:?} instead of {FIELDS:?}"))
    });
}

#[test]
fn each_fault_is_free_software_and_says_something_in_one_line() {
    check(|_, text| {
        let fields: BTreeMap<&str, &str> = header(text).into_iter().collect();
        let is_good = fields.get("SPDX-License-Identifier") == Some(&"GPL-2.0-only")
            && fields.get("Targets").is_some_and(|target| TARGETS.contains(target))
            && fields.values().all(|value| (3..=120).contains(&value.len()));
        (!is_good).then(|| format!("{fields:?}"))
    });
}

#[test]
fn each_fault_names_oracles_that_exist() {
    check(|_, text| {
        let header: BTreeMap<&str, &str> = header(text).into_iter().collect();
        let mut named = header.get("Oracle")?.split(", ");
        named.find(|oracle| !ORACLES.contains(oracle)).map(|oracle| format!("no oracle `{oracle}`"))
    });
}

#[test]
fn each_fault_is_of_a_series_and_small() {
    check(|name, text| {
        let is_of_a_series = SERIES
            .iter()
            .any(|(series, _)| name.strip_suffix(series).is_some_and(|slug| slug.ends_with('-')));
        let changed = text.lines().skip_while(|line| !line.starts_with("--- a/"));
        let changed = changed.filter(|line| {
            (line.starts_with('+') && !line.starts_with("+++ "))
                || (line.starts_with('-') && !line.starts_with("--- "))
        });
        let count = changed.count();
        let is_good = is_of_a_series && (1..=20).contains(&count);
        (!is_good).then(|| format!("{count} lines changed, or a name without a series"))
    });
}

#[test]
fn there_are_enough_faults_and_no_two_are_the_same() {
    let patches = patches();
    for (series, at_least) in SERIES {
        let count = patches.keys().filter(|name| name.ends_with(&format!("-{series}"))).count();
        assert!(count >= at_least, "{count} faults for {series}, {at_least} wanted");
    }
    // One bug may be put into both series by the same lines.
    let diffs: BTreeSet<(&str, &str)> = patches
        .iter()
        .map(|(name, text)| {
            (name.rsplit_once('-').unwrap().1, text.split_once("\n--- a/").unwrap().1)
        })
        .collect();
    assert_eq!(diffs.len(), patches.len());
}

/// A row is the name and the series of a patch, here or in the designs.
#[test]
fn every_row_of_the_results_is_of_a_fault_that_is_there() {
    let Ok(results) = fs::read_to_string(folder("targets/kernel/faults/RESULTS.md")) else {
        return;
    };
    let rows = results.lines().filter(|line| line.starts_with("| ")).skip(1);
    let complaints: Vec<String> = rows
        .filter_map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let file = format!("{}-{}.patch", cells[1], cells[2]);
            let is_there = ["faults", "designs"]
                .iter()
                .any(|place| folder("targets/kernel").join(place).join(&file).exists());
            (!is_there).then(|| format!("the results have a row of {file}"))
        })
        .collect();
    assert_none(&complaints);
}
