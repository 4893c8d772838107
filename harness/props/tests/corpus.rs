//! The corpus is what it says: each seed has an idea, does on the model what it expects, and together they use every op.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pinfold::known::Known;
use pinfold::profile::Profile;
use pinfold_contract::{Observe, OpKind, SeqFile};
use pinfold_run::{
    Account, ReplayOptions, Target, TargetOptions, embedded_known, read_seq, replay,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The sequences below `folder`, by path.
fn sequences(folder: &Path) -> Vec<(PathBuf, SeqFile)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sequences(&path));
        } else if path.extension().is_some_and(|extension| extension == "seq") {
            let file = read_seq(&path).unwrap_or_else(|error| panic!("{error}"));
            found.push((path, file));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

fn seeds() -> Vec<(PathBuf, SeqFile)> {
    let seeds = sequences(&root().join("corpus/seeds"));
    assert!(seeds.len() >= 10, "only {} seeds", seeds.len());
    seeds
}

#[test]
fn every_seed_says_its_idea_below_the_version() {
    for (path, _) in seeds() {
        let text = fs::read_to_string(&path).unwrap();
        let second = text.lines().nth(1).unwrap_or_default();
        let words = second.strip_prefix("# ").unwrap_or_default().split_whitespace().count();
        assert!(words >= 3, "{}: the second line has no idea: {second:?}", path.display());
    }
}

#[test]
fn every_seed_does_on_the_model_what_it_expects() {
    let options = ReplayOptions { repeat: 1, observe: Observe::Each, account: Account::Skip };
    let (known, mut expectation_count) = (Known::default(), 0);
    for profile in Profile::ALL {
        let name = format!("model:{}", profile.series).parse().unwrap();
        let mut target = Target::open(&name, &TargetOptions::default()).unwrap();
        for (path, file) in seeds() {
            let replayed = replay(&mut target, &file, &options, &known).unwrap();
            let unmet: Vec<String> = replayed.unmet.iter().map(ToString::to_string).collect();
            assert!(unmet.is_empty(), "{} on {name}: {}", path.display(), unmet.join("; "));
            expectation_count += file.expectations.iter().flatten().count();
        }
    }
    assert!(expectation_count >= 40, "only {expectation_count} expectations");
}

#[test]
fn every_op_has_a_seed() {
    let used: BTreeSet<OpKind> =
        seeds().iter().flat_map(|(_, file)| file.sequence.ops.iter().map(|op| op.kind())).collect();
    let unused: Vec<OpKind> = OpKind::ALL.into_iter().filter(|kind| !used.contains(kind)).collect();
    assert!(unused.is_empty(), "no seed has {unused:?}");
}

#[test]
fn every_known_divergence_has_its_sequence() {
    for entry in embedded_known().unwrap().entries() {
        let path = root().join(&entry.sequence);
        assert!(path.is_file(), "{}: no {}", entry.title, entry.sequence);
        read_seq(&path).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn every_regression_can_be_read() {
    sequences(&root().join("corpus/regress"));
}
