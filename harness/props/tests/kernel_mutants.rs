//! The patches of `targets/kernel`, and the fixes of `corpus/defects`: what `ci/mutants`, `ci/designs` and people read of
//! their names and headers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinfold::defects::{Defect, FOLDER, FixState, State};
use pinfold::profile::{Platform, Profile};
use pinfold_run::embedded_defects;

/// What a mutant says of itself, in this order, before its diff.
const FIELDS: [&str; 6] =
    ["SPDX-License-Identifier", "Series", "Mutant", "Oracle", "Targets", "Upstream"];

/// The oracles, as findings name them, and `leaks` for what `pinfold leaks` alone sees.
const ORACLES: [&str; 9] = [
    "outcome",
    "protection",
    "completion",
    "coherence",
    "frames",
    "accounting",
    "teardown",
    "kernel_log",
    "leaks",
];

/// Where a mutant can be seen: `ci/mutants` measures those of User Mode Linux.
const TARGETS: [&str; 2] = ["uml", "qemu"];

/// The folders with one patch for many series.
const FOLDERS: [&str; 3] = ["mutants", "designs", "trials"];

/// How many mutants each series that has a profile must have at least.
const MUTANTS_LEAST: usize = 40;

/// How many patches each folder of [`FOLDERS`] has at least.
const PATCHES_LEAST: usize = 5;

/// How many rows the table of what was found of them has at least.
const ROWS_LEAST: usize = 80;

/// How many folders of defects there are at least.
const DEFECTS_LEAST: usize = 15;

/// A kernel series, its two numbers: ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series(u16, u16);

impl Series {
    fn read(text: &str) -> Option<Series> {
        let (major, minor) = text.split_once('.')?;
        let series = Series(major.parse().ok()?, minor.parse().ok()?);
        (series.to_string() == text).then_some(series)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// What the field `Series` says: `6.1`, `6.1..6.12`, or `7.2..` for 7.2 and newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    oldest: Series,
    newest: Option<Series>,
}

impl Range {
    fn read(text: &str) -> Option<Range> {
        let Some((oldest, newest)) = text.split_once("..") else {
            let only = Series::read(text)?;
            return Some(Range { oldest: only, newest: Some(only) });
        };
        let oldest = Series::read(oldest)?;
        if newest.is_empty() {
            return Some(Range { oldest, newest: None });
        }
        let newest = Some(Series::read(newest)?).filter(|newest| oldest < *newest)?;
        Some(Range { oldest, newest: Some(newest) })
    }

    fn contains(self, series: Series) -> bool {
        self.oldest <= series && self.newest.is_none_or(|newest| series <= newest)
    }
}

/// A file of `targets/kernel`.
struct Patch {
    /// `mutants/fork-shares-pinned@6.1..6.12`.
    name: String,
    text: String,
}

impl Patch {
    fn folder(&self) -> &str {
        self.name.split_once('/').unwrap().0
    }

    fn slug(&self) -> &str {
        let (_, file) = self.name.split_once('/').unwrap();
        file.split_once('@').map_or(file, |(slug, _)| slug)
    }

    /// Fields and values of the header, in their order; a line without a field is one without a name.
    fn header(&self) -> Vec<(&str, &str)> {
        let (header, _) = self.text.split_once("\n--- a/").unwrap_or((&self.text, ""));
        header.trim_end().lines().map(|line| line.split_once(": ").unwrap_or(("", line))).collect()
    }

    fn field(&self, wanted: &str) -> Option<&str> {
        self.header().into_iter().find(|(field, _)| *field == wanted).map(|(_, value)| value)
    }

    fn range(&self) -> Option<Range> {
        Range::read(self.field("Series")?)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The patches of a folder of `targets/kernel`, by name.
fn patches_in(folder: &str) -> Vec<Patch> {
    let entries = fs::read_dir(root().join("targets/kernel").join(folder)).unwrap();
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let patches = paths.iter().filter(|path| path.extension().is_some_and(|end| end == "patch"));
    let found: Vec<Patch> = patches
        .map(|path| {
            let name = format!("{folder}/{}", path.file_stem().unwrap().to_str().unwrap());
            Patch { name, text: fs::read_to_string(path).unwrap() }
        })
        .collect();
    assert!(found.len() >= PATCHES_LEAST, "only {} patches in {folder}", found.len());
    found
}

fn patches() -> Vec<Patch> {
    FOLDERS.into_iter().flat_map(patches_in).collect()
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Complains of every patch of which `is_wrong` says something.
#[track_caller]
fn check(patches: &[Patch], is_wrong: impl Fn(&Patch) -> Option<String>) {
    let complaints: Vec<String> = patches
        .iter()
        .filter_map(|patch| Some(format!("{}: {}", patch.name, is_wrong(patch)?)))
        .collect();
    assert_none(&complaints);
}

#[test]
fn each_mutant_has_the_whole_header() {
    check(&patches_in("mutants"), |patch| {
        let fields: Vec<&str> = patch.header().iter().map(|(field, _)| *field).collect();
        (fields != FIELDS).then(|| format!("has {fields:?} instead of {FIELDS:?}"))
    });
}

#[test]
fn each_patch_is_free_software() {
    check(&patches(), |patch| {
        let licence = patch.field("SPDX-License-Identifier");
        (licence != Some("GPL-2.0-only")).then(|| format!("{licence:?}"))
    });
}

#[test]
fn each_mutant_says_something_in_one_line() {
    check(&patches_in("mutants"), |patch| {
        let is_good = patch.field("Targets").is_some_and(|target| TARGETS.contains(&target))
            && patch.header().iter().all(|(_, value)| (3..=120).contains(&value.len()));
        (!is_good).then(|| format!("{:?}", patch.header()))
    });
}

#[test]
fn each_mutant_names_oracles_that_exist() {
    check(&patches_in("mutants"), |patch| {
        let mut named = patch.field("Oracle")?.split(", ");
        named.find(|oracle| !ORACLES.contains(oracle)).map(|oracle| format!("no oracle `{oracle}`"))
    });
}

#[test]
fn each_mutant_is_small() {
    check(&patches_in("mutants"), |patch| {
        let changed = patch.text.lines().skip_while(|line| !line.starts_with("--- a/"));
        let changed = changed.filter(|line| {
            (line.starts_with('+') && !line.starts_with("+++ "))
                || (line.starts_with('-') && !line.starts_with("--- "))
        });
        let count = changed.count();
        (!(1..=20).contains(&count)).then(|| format!("{count} lines changed"))
    });
}

/// A reader sees in a list of files which series a patch is for: without `@`, its oldest and everything newer.
#[test]
fn each_patch_has_a_range_and_is_called_by_it() {
    check(&patches(), |patch| {
        let said = patch.field("Series").unwrap_or("nothing");
        let Some(range) = patch.range() else { return Some(format!("no range: {said}")) };
        let at = if range.newest.is_none() { String::new() } else { format!("@{said}") };
        let name = format!("{}/{}{at}", patch.folder(), patch.slug());
        (name != patch.name).then(|| format!("is for {said}, and then called {name}"))
    });
}

/// Slugs are looked up in all folders at once.
#[test]
fn no_two_patches_are_for_the_same_slug_and_series() {
    let patches = patches();
    let mut by_slug: BTreeMap<&str, Vec<(Range, &str)>> = BTreeMap::new();
    for patch in &patches {
        by_slug.entry(patch.slug()).or_default().push((patch.range().unwrap(), &patch.name));
    }
    let mut complaints = Vec::new();
    for of_slug in by_slug.values_mut() {
        of_slug.sort_unstable();
        for pair in of_slug.windows(2) {
            let [(older, its_name), (newer, name)] = pair else { unreachable!() };
            if older.contains(newer.oldest) {
                complaints.push(format!("{its_name} and {name} are both for {}", newer.oldest));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_series_has_enough_mutants_and_no_two_are_the_same() {
    let mutants = patches_in("mutants");
    let diff = |mutant: &Patch| mutant.text.split_once("\n--- a/").unwrap().1.to_owned();
    let diffs: BTreeSet<String> = mutants.iter().map(diff).collect();
    assert_eq!(diffs.len(), mutants.len());
    for profile in Profile::all() {
        let series = Series::read(&profile.series.to_string()).unwrap();
        let count =
            mutants.iter().filter(|mutant| mutant.range().unwrap().contains(series)).count();
        assert!(count >= MUTANTS_LEAST, "{count} mutants for {series}, {MUTANTS_LEAST} wanted");
    }
}

/// `patch_of` of `ci/lib.sh`, asked for both ends of each range, and for a series that is not there yet.
#[test]
fn the_scripts_find_each_patch_by_its_slug_and_series() {
    let far = Series(99, 0);
    let patches = patches();
    let asked: Vec<(&Patch, Series)> = patches
        .iter()
        .flat_map(|patch| {
            let range = patch.range().unwrap();
            [range.oldest, range.newest.unwrap_or(far)].map(|series| (patch, series))
        })
        .collect();
    let mut arguments = vec!["-c".to_owned(), LOOK_UP.to_owned(), "bash".to_owned()];
    for (patch, series) in &asked {
        arguments.extend([patch.slug().to_owned(), series.to_string()]);
    }
    let run = Command::new("bash").args(arguments).current_dir(root()).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    let found = String::from_utf8(run.stdout).unwrap();
    let wanted: Vec<String> =
        asked.iter().map(|(patch, _)| format!("targets/kernel/{}.patch", patch.name)).collect();
    assert_eq!(found.lines().collect::<Vec<_>>(), wanted);
}

/// Prints the file of each slug and series that it is given in turn.
const LOOK_UP: &str =
    "source ci/lib.sh; while (($# > 0)); do patch_of \"$1\" \"$2\" || exit 1; shift 2; done";

/// A row is the slug and the series of a patch, here or in the designs.
#[test]
fn every_row_of_the_results_is_of_a_mutant_that_is_there() {
    let results = fs::read_to_string(root().join("targets/kernel/mutants/RESULTS.md")).unwrap();
    let patches = patches();
    let rows: Vec<&str> = results.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= ROWS_LEAST, "only {} rows", rows.len());
    let complaints: Vec<String> = rows
        .into_iter()
        .filter_map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let series = Series::read(cells[2]).unwrap();
            let is_there = patches
                .iter()
                .any(|patch| patch.slug() == cells[1] && patch.range().unwrap().contains(series));
            (!is_there).then(|| format!("no patch is for {} on {series}", cells[1]))
        })
        .collect();
    assert_none(&complaints);
}

/// The series that have rules and the defect, on either platform.
fn affected_series(defect: &Defect) -> Vec<pinfold_contract::Series> {
    let is_affected = |series: &pinfold_contract::Series| {
        let on = |platform| defect.on(*series, platform).state;
        Platform::ALL.into_iter().any(|platform| on(platform) != State::NotAffected)
    };
    Profile::all().iter().map(|profile| profile.series).filter(is_affected).collect()
}

fn has_fix(defect: &Defect, series: pinfold_contract::Series) -> bool {
    defect.on(series, Platform::X86).fix != FixState::None
}

/// Who cannot mend a defect says why in `no_fix`.
#[test]
fn every_defect_has_a_fix_for_each_series_it_affects_or_says_why_not() {
    let defects = embedded_defects().unwrap();
    assert!(defects.all().len() >= DEFECTS_LEAST, "only {} defects", defects.all().len());
    let mut complaints = Vec::new();
    for defect in defects.all() {
        let affected = affected_series(defect);
        if affected.is_empty() {
            complaints.push(format!("{}: affects no series that has rules", defect.slug));
        }
        match (&defect.no_fix, &defect.fixes[..]) {
            (Some(_), []) => {}
            (Some(_), _) => {
                complaints.push(format!("{}: a fix, and why there is none", defect.slug))
            }
            (None, []) => complaints.push(format!("{}: neither a fix nor no_fix", defect.slug)),
            (None, _) => complaints.extend(
                affected
                    .iter()
                    .filter(|series| !has_fix(defect, **series))
                    .map(|series| format!("{}: no fix for {series}", defect.slug)),
            ),
        }
    }
    assert_none(&complaints);
}

/// A patch under any other name is in no kernel.
#[test]
fn every_patch_of_a_defect_is_read_as_a_fix_and_is_for_what_the_defect_affects() {
    let defects = embedded_defects().unwrap();
    let mut complaints = Vec::new();
    for defect in defects.all() {
        let read: BTreeSet<String> = defect.fixes.iter().map(|fix| fix.file.clone()).collect();
        let entries = fs::read_dir(root().join(FOLDER).join(&defect.slug)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let there: BTreeSet<String> = names.filter(|name| name.ends_with(".patch")).collect();
        if there != read {
            complaints.push(format!("{}: has {there:?}, read are {read:?}", defect.slug));
        }
        let affected = affected_series(defect);
        for fix in &defect.fixes {
            let is_for = |series: &pinfold_contract::Series| {
                let fix_for = defect.fix_for(&series.to_string());
                fix_for.is_some_and(|other| other.file == fix.file)
            };
            if !affected.iter().any(is_for) {
                let place = format!("{}/{}", defect.slug, fix.file);
                complaints.push(format!("{place}: is for {}, which is not affected", fix.series));
            }
        }
    }
    assert_none(&complaints);
}
