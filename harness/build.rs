//! Makes the registry of `src/profile/series.rs` from the files in `src/profile/series`, so that a new series edits no list.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// A series, and the file with its rules.
type Entry = ((u16, u16), PathBuf);

/// A file that has this constant says whether its series is a long-term one. Without it, it is none.
const LONG_TERM: &str = "const IS_LONG_TERM: bool";

fn main() {
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")).join("src/profile/series");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut entries: Vec<Entry> = files(&folder).into_iter().map(entry).collect();
    entries.sort();
    let place = Path::new(&variable("OUT_DIR")).join("series.rs");
    fs::write(&place, registry(&entries))
        .unwrap_or_else(|error| panic!("{}: {error}", place.display()));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name}: {error}"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let found =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    found
        .map(|file| file.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path())
        .collect()
}

/// `v7_3.rs` has the rules of 7.3.
fn entry(path: PathBuf) -> Entry {
    let numbers = path.file_name().and_then(|name| name.to_str()).and_then(|name| {
        let (major, minor) = name.strip_prefix('v')?.strip_suffix(".rs")?.split_once('_')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    let numbers =
        numbers.unwrap_or_else(|| panic!("{}: a series is vMAJOR_MINOR.rs", path.display()));
    (numbers, path)
}

/// The modules, and a function that applies one after the other. Oldest first in `entries`, newest first in what it gives.
fn registry(entries: &[Entry]) -> String {
    let mut text = String::new();
    let mut say = |line: String| writeln!(text, "{line}").unwrap_or_else(|error| panic!("{error}"));
    for ((major, minor), path) in entries {
        say(format!("#[path = {path:?}]\nmod v{major}_{minor};"));
    }
    say("/// How many series have rules.".to_owned());
    say(format!("pub(super) const COUNT: usize = {};", entries.len()));
    say("/// The rules of every series on `platform`, the newest first.".to_owned());
    say("const fn on(platform: Platform) -> [Profile; COUNT] {".to_owned());
    for (index, ((major, minor), _)) in entries.iter().enumerate() {
        let rules = match index.checked_sub(1) {
            None => format!("platform.apply(&v{major}_{minor}::RULES)"),
            Some(before) => format!("v{major}_{minor}::rules(&rules_{before})"),
        };
        say(format!(
            "    let rules_{index} = Profile {{ series: Series::new({major}, {minor}), ..{rules} }};"
        ));
    }
    let newest_first: Vec<String> =
        (0..entries.len()).rev().map(|index| format!("rules_{index}")).collect();
    say(format!("    [{}]\n}}", newest_first.join(", ")));
    say("/// Whether each series is kept up for years, the newest first.".to_owned());
    let facts: Vec<String> = entries.iter().rev().map(is_long_term).collect();
    say(format!("pub(super) static IS_LONG_TERM: [bool; COUNT] = [{}];", facts.join(", ")));
    text
}

fn is_long_term(((major, minor), path): &Entry) -> String {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    match text.contains(LONG_TERM) {
        true => format!("v{major}_{minor}::IS_LONG_TERM"),
        false => "false".to_owned(),
    }
}
