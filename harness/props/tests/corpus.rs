//! The corpus is what it says: each seed has an idea, does on the model what it expects, and together they use every op.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pinfold::defects::{Defects, FOLDER, ShownBy};
use pinfold::model::{Fault, outcomes};
use pinfold::profile::{Platform, Profile};
use pinfold::signature::Signature;
use pinfold_contract::{Observe, OpKind, SeqFile};
use pinfold_props::{model_agrees, model_disagrees};
use pinfold_run::{
    Account, ReplayConclusion, ReplayOptions, Target, TargetOptions, embedded_defects,
    outdated_lists, read_seq, replay,
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

/// What was written by hand: seeds, scenarios and litmus tests.
fn seeds() -> Vec<(PathBuf, SeqFile)> {
    let mut all = Vec::new();
    for (folder, least) in [("seeds", 20), ("scenarios", 7), ("litmus", 7)] {
        let found = sequences(&root().join("corpus").join(folder));
        assert!(found.len() >= least, "only {} sequences in {folder}", found.len());
        all.extend(found);
    }
    all
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
    let (known, mut expectation_count) = (Defects::default(), 0);
    for profile in Profile::all() {
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

/// Targets called `model:` are of User Mode Linux; here the model answers for PCs, too.
#[test]
fn every_expectation_holds_on_the_model_of_every_series_and_platform() {
    let found = sequences(&root().join("corpus"));
    for profile in Platform::ALL.into_iter().flat_map(Profile::all_on) {
        let (series, platform) = (profile.series, profile.platform.name());
        let mut checked = 0;
        for (path, file) in &found {
            let predictions = outcomes(profile, &file.sequence);
            for (index, (expectation, prediction)) in
                file.expectations.iter().zip(&predictions).enumerate()
            {
                let Some(expected) = expectation.as_ref().and_then(|e| e.on(series, platform))
                else {
                    continue;
                };
                let found = prediction.to_string();
                let is_met =
                    found.split(" or ").any(|one| expected.split(" or ").any(|e| e == one));
                let at = format!("{} on {platform}:{series}, op {index}", path.display());
                assert!(is_met, "{at}: expected {expected}, found {found}");
                checked += 1;
            }
        }
        assert!(checked >= 900, "only {checked} expectations on {platform}:{series}");
    }
}

/// What it is on a kernel is up to `ci/test`. Here it must be read, have a verdict, and be large enough to be worth the name.
#[test]
fn what_was_distilled_is_right_on_the_model_and_has_every_op() {
    let options = ReplayOptions { repeat: 1, observe: Observe::Each, account: Account::Skip };
    let (known, found) = (Defects::default(), sequences(&root().join("corpus/distilled")));
    assert!(found.len() >= 50, "only {} sequences", found.len());
    for profile in Profile::all() {
        let name = format!("model:{}", profile.series).parse().unwrap();
        let mut target = Target::open(&name, &TargetOptions::default()).unwrap();
        let mut unsure = 0;
        for (path, file) in &found {
            let replayed = replay(&mut target, file, &options, &known).unwrap();
            match replayed.conclusion() {
                ReplayConclusion::Clean | ReplayConclusion::Lacking => {}
                ReplayConclusion::Unsure => unsure += 1,
                ReplayConclusion::Diverged => panic!("{} on {name}", path.display()),
            }
        }
        assert!(unsure * 20 <= found.len(), "{unsure} of {} on {name}", found.len());
    }
    let kinds: BTreeSet<OpKind> =
        found.iter().flat_map(|(_, file)| file.sequence.ops.iter().map(|op| op.kind())).collect();
    assert_eq!(kinds.len(), OpKind::ALL.len(), "{kinds:?}");
}

#[test]
fn every_op_has_a_seed() {
    let used: BTreeSet<OpKind> =
        seeds().iter().flat_map(|(_, file)| file.sequence.ops.iter().map(|op| op.kind())).collect();
    let unused: Vec<OpKind> = OpKind::ALL.into_iter().filter(|kind| !used.contains(kind)).collect();
    assert!(unused.is_empty(), "no seed has {unused:?}");
}

#[test]
fn every_known_divergence_has_its_sequence_or_its_program() {
    for entry in embedded_defects().unwrap().entries() {
        let path = root().join(entry.path());
        assert!(path.is_file(), "{}: no {}", entry.title, path.display());
        match &entry.shown_by {
            ShownBy::Sequence(_) => {
                read_seq(&path).unwrap_or_else(|error| panic!("{error}"));
            }
            ShownBy::Program(_) => {
                assert!(path.extension().is_some_and(|extension| extension == "c"));
            }
        }
    }
}

/// A report for the maintainers of the kernel.
#[test]
fn every_defect_has_its_report_and_names_every_sequence_in_its_folder() {
    let defects = embedded_defects().unwrap();
    for defect in defects.all() {
        let folder = root().join(FOLDER).join(&defect.slug);
        assert!(folder.join("README.md").is_file(), "{}: no report", defect.slug);
        let named: BTreeSet<&str> =
            defect.shows.iter().map(|entry| entry.shown_by.file()).collect();
        for entry in fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let shows = file.ends_with(".seq") || file.ends_with(".c");
            assert!(!shows || named.contains(&*file), "{}: what shows {file}?", defect.slug);
        }
    }
}

/// What to do if this fails: `pinfold defects --markdown`.
#[test]
fn the_lists_of_defects_are_what_the_folders_say() {
    let outdated: Vec<PathBuf> =
        outdated_lists(&root()).unwrap().into_iter().map(|(path, _)| path).collect();
    assert_eq!(outdated, Vec::<PathBuf>::new(), "run pinfold defects --markdown");
}

/// What every `entry.toml` says, and what it may say.
const ENTRY_KEYS: [&str; 7] =
    ["title", "cause", "target", "found_on", "oracle", "predicted", "seen"];
const ENTRY_KEYS_MORE: [&str; 2] = ["known", "presumed"];

/// A folder of `corpus/regress`.
struct Regression {
    signature: Signature,
    entry: toml::Table,
    file: SeqFile,
}

impl Regression {
    fn says(&self, key: &str) -> &str {
        self.entry[key].as_str().unwrap()
    }
}

fn regressions() -> Vec<Regression> {
    let read = |path: PathBuf| {
        let mut files: Vec<_> =
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["entry.toml", "sequence.seq"], "{}", path.display());
        Regression {
            signature: path.file_name().unwrap().to_str().unwrap().parse().unwrap(),
            entry: fs::read_to_string(path.join("entry.toml")).unwrap().parse().unwrap(),
            file: read_seq(&path.join("sequence.seq")).unwrap_or_else(|error| panic!("{error}")),
        }
    };
    let entries = fs::read_dir(root().join("corpus/regress")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut found: Vec<Regression> = paths.map(read).collect();
    found.sort_by(|one, other| one.signature.cmp(&other.signature));
    assert!(found.len() >= 20, "only {} regressions", found.len());
    found
}

#[test]
fn every_regression_says_where_it_comes_from() {
    for regression in regressions() {
        let Regression { signature, entry, .. } = &regression;
        for key in ENTRY_KEYS {
            assert!(!regression.says(key).is_empty(), "{signature}: no {key}");
        }
        let known = |key: &&String| {
            ENTRY_KEYS.contains(&key.as_str()) || ENTRY_KEYS_MORE.contains(&key.as_str())
        };
        assert!(entry.keys().all(|key| known(&key)), "{signature}: {entry:?}");
        let oracle = format!("{}-", regression.says("oracle"));
        assert!(signature.as_str().starts_with(&oracle), "{signature}: {oracle}");
    }
}

#[test]
fn every_regression_is_right_on_the_model_and_does_what_it_expects() {
    let options = ReplayOptions { repeat: 1, observe: Observe::Each, account: Account::Skip };
    let (known, mut expectation_count) = (Defects::default(), 0);
    for profile in Profile::all() {
        let name = format!("model:{}", profile.series).parse().unwrap();
        let mut target = Target::open(&name, &TargetOptions::default()).unwrap();
        for Regression { signature, file, .. } in regressions() {
            let replayed = replay(&mut target, &file, &options, &known).unwrap();
            let unmet: Vec<String> = replayed.unmet.iter().map(ToString::to_string).collect();
            assert!(unmet.is_empty(), "{signature} on {name}: {}", unmet.join("; "));
            assert_eq!(replayed.conclusion(), ReplayConclusion::Clean, "{signature}");
            let unexpected = file.expectations.iter().filter(|e| e.is_none()).count();
            assert_eq!(unexpected, 0, "{signature}: an op without an expectation");
            expectation_count += file.expectations.len();
        }
    }
    assert!(expectation_count >= 100, "only {expectation_count} expectations");
}

#[test]
fn a_regression_of_a_planted_fault_still_shows_it_under_its_name() {
    let options = ReplayOptions { repeat: 1, observe: Observe::Each, account: Account::Skip };
    let known = Defects::default();
    let mut faults = BTreeSet::new();
    for regression in regressions() {
        let Some((_, fault)) = regression.says("target").split_once('+') else { continue };
        let Some(fault) = Fault::from_name(fault) else { continue };
        let name = regression.says("target").parse().unwrap();
        let mut target = Target::open(&name, &TargetOptions::default()).unwrap();
        let replayed = replay(&mut target, &regression.file, &options, &known).unwrap();
        let signature = replayed.judgements[0].signature();
        assert_eq!(signature, Some(&regression.signature), "on {name}");
        faults.insert(fault);
    }
    assert_eq!(faults.len(), Fault::ALL.len(), "no regression of some fault: only {faults:?}");
}

/// `model_agrees` compares the model with itself: that it would notice is shown here, by what it says when one side has a bug.
#[test]
fn the_property_that_the_model_agrees_with_itself_fails_with_every_planted_fault() {
    let mut noticed = BTreeSet::new();
    for Regression { signature, entry, file } in regressions() {
        let target = entry["target"].as_str().unwrap();
        let Some((_, name)) = target.split_once('+') else { continue };
        let Some(fault) = Fault::from_name(name) else { continue };
        assert!(model_disagrees(fault, &file.sequence), "{signature}: not noticed on {target}");
        model_agrees(&file.sequence);
        noticed.insert(fault);
    }
    assert_eq!(noticed.len(), Fault::ALL.len(), "no regression of some fault: only {noticed:?}");
}
