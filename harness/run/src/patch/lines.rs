//! What became of the lines that a patch changes: which hold code, which of those are in the kernel, and which of those ran.
//!
//! Pure: a [`LineTable`] says what is in the kernel, and a set of blocks what ran.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use pinfold_machine::diff::Overlay;
use serde::Serialize;

use super::changed::{ChangedLine, Holds, changed_lines, marked, uses};
use crate::blocks::LineTable;

/// A changed line that holds code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) file: String,
    pub(super) line: u32,
    /// Where its code is: the line itself, or the lines that use a macro.
    spots: Vec<Spot>,
    is_macro: bool,
}

/// A line, with those of its statement and of the function around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) statement: RangeInclusive<u32>,
    pub(super) function: RangeInclusive<u32>,
}

/// The changed lines of all files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) wanted: Vec<Wanted>,
    /// How many hold no code.
    pub(super) no_code: usize,
}

/// Which lines were looked for, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Changed lines that hold no code: comments, braces, declarations, and what is no C.
    pub no_code: usize,
    /// Changed lines that are not in the kernel.
    pub not_built: Vec<NotBuilt>,
    /// Changed lines that ran, as `drivers/infiniband/core/umem.c:210`.
    pub ran: Vec<String>,
    /// Changed lines that are in the kernel and did not run.
    pub not_run: Vec<String>,
    /// Sequences that were run to find out.
    pub sequences: u64,
    /// Of these, sequences made of those that came nearest to what did not run.
    pub near: u64,
    /// Why it is not known which lines ran, if so.
    pub unknown: Option<String>,
}

/// A changed line that is not in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotBuilt {
    /// The line, as `drivers/infiniband/core/umem.c:210`.
    pub place: String,
    /// Why.
    pub why: &'static str,
}

const NOT_COMPILED: &str = "the file is not compiled";
const NOT_USED: &str = "nothing that is compiled uses it";
const COMPILED_OUT: &str = "compiled out by #ifdef, or optimised away";

/// What a patch says of the code that it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// There is none.
    NoCode,
    /// None of it is in the kernel.
    NotBuilt,
    /// None of it ran.
    NothingRan,
    /// Some of it ran.
    SomeRan,
    /// Nobody knows.
    Unknown,
}

impl Reach {
    /// It is not known which lines ran, because of `why`.
    pub(super) fn unknown(why: String) -> Reach {
        Reach { unknown: Some(why), ..Reach::default() }
    }

    /// Whether each of `files` has a changed line and is not compiled.
    pub(super) fn has_compiled_none_of(&self, files: &[String]) -> bool {
        let is_left_out = |file: &String| {
            let of_file = |line: &&NotBuilt| {
                line.place.rsplit_once(':').is_some_and(|(name, _)| name == file)
            };
            self.not_built.iter().filter(of_file).any(|line| line.why == NOT_COMPILED)
        };
        files.iter().all(is_left_out)
    }

    pub(super) fn extent(&self) -> Extent {
        let [ran, not_run, not_built] =
            [self.ran.is_empty(), self.not_run.is_empty(), self.not_built.is_empty()];
        match (&self.unknown, ran) {
            (Some(_), _) => Extent::Unknown,
            (None, false) => Extent::SomeRan,
            (None, true) if !not_run => Extent::NothingRan,
            (None, true) if !not_built => Extent::NotBuilt,
            (None, true) => Extent::NoCode,
        }
    }
}

/// The lines in which the files of `after` differ from those of `before`; what is in neither is as `read` gives it.
pub(super) fn lines(
    before: &Overlay,
    after: &Overlay,
    read: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Lines {
    let text = |overlay: &Overlay, name: &str| {
        let bytes = overlay.get(name).cloned().unwrap_or_else(|| read(name));
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    let mut lines = Lines::default();
    for file in after.keys().chain(before.keys()).collect::<BTreeSet<_>>() {
        let (old, new) = (text(before, file), text(after, file));
        let is_c = file.ends_with(".c") || file.ends_with(".h");
        for changed in changed_lines(&old, &new) {
            match wanted(file, changed).filter(|_| is_c) {
                Some(wanted) => lines.wanted.push(wanted),
                None => lines.no_code += 1,
            }
        }
    }
    lines
}

/// `changed` as a line that is looked for, if it holds code. A macro has its spots later, see [`Lines::find_uses`].
fn wanted(file: &str, changed: ChangedLine) -> Option<Wanted> {
    let ChangedLine { line, holds } = changed;
    let (spots, is_macro) = match holds {
        Holds::NoCode => return None,
        Holds::Code { statement, function } => {
            (vec![Spot { file: file.to_owned(), line, statement, function }], false)
        }
        Holds::Macro(name) => (vec![Spot::of_macro(name)], true),
    };
    Some(Wanted { file: file.to_owned(), line, spots, is_macro })
}

impl Spot {
    /// The name of a macro stands in the place of a file until its uses are found.
    fn of_macro(name: String) -> Spot {
        Spot { file: name, line: 0, statement: 0..=0, function: 0..=0 }
    }
}

impl Wanted {
    /// As `drivers/infiniband/core/umem.c:210`.
    fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    pub(super) fn spots(&self) -> &[Spot] {
        &self.spots
    }

    /// The blocks that run its code; `None` if it is not in the kernel.
    fn blocks(&self, table: &LineTable) -> Option<BTreeSet<u32>> {
        let found: Vec<BTreeSet<u32>> =
            self.spots.iter().filter_map(|spot| spot.blocks(table)).collect();
        if found.is_empty() { None } else { Some(found.into_iter().flatten().collect()) }
    }

    fn why_not_built(&self, table: &LineTable) -> &'static str {
        let is_source = self.file.ends_with(".c");
        if is_source && table.of(&self.file).is_none() {
            NOT_COMPILED
        } else if self.is_macro || (!is_source && table.of(&self.file).is_none()) {
            NOT_USED
        } else {
            COMPILED_OUT
        }
    }
}

impl Spot {
    /// Those of the line itself, else of the other lines of its statement.
    fn blocks(&self, table: &LineTable) -> Option<BTreeSet<u32>> {
        let lines = table.of(&self.file)?;
        let all = || lines.range(self.statement.clone()).flat_map(|(_, blocks)| blocks).copied();
        match lines.get(&self.line) {
            Some(blocks) => Some(blocks.clone()),
            None if lines.range(self.statement.clone()).next().is_some() => Some(all().collect()),
            None => None,
        }
    }

    /// The blocks of the function around.
    fn around(&self, table: &LineTable) -> BTreeSet<u32> {
        let lines = table.of(&self.file).into_iter();
        lines
            .flat_map(|lines| lines.range(self.function.clone()))
            .flat_map(|(_, b)| b)
            .copied()
            .collect()
    }
}

impl Lines {
    /// Finds in `sources` where the macros are used that are among the changed lines.
    pub(super) fn find_uses(
        &mut self,
        sources: &BTreeSet<String>,
        read: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) {
        let mut files: BTreeSet<&str> = sources.iter().map(String::as_str).collect();
        let own: Vec<String> = self.wanted.iter().map(|line| line.file.clone()).collect();
        files.extend(own.iter().map(String::as_str));
        let mut known: BTreeMap<String, Vec<Spot>> = BTreeMap::new();
        for line in self.wanted.iter_mut().filter(|line| line.is_macro) {
            let Some(name) = line.spots.first().map(|spot| spot.file.clone()) else { continue };
            let find = || spots_of(&name, &files, read);
            line.spots = known.entry(name.clone()).or_insert_with(find).clone();
        }
    }

    /// The files of the changed lines as `read` gives them, with marks before their statements.
    pub(super) fn marked(&self, read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Overlay {
        let mut files: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for line in &self.wanted {
            files.entry(&line.file).or_default().insert(line.line);
        }
        let mark = |(file, lines): (&str, BTreeSet<u32>)| {
            let text = String::from_utf8(read(file)?).ok()?;
            Some((file.to_owned(), Some(marked(&text, &lines).into_bytes())))
        };
        files.into_iter().filter_map(mark).collect()
    }

    /// Every file whose lines are to be known.
    pub(super) fn files(&self) -> BTreeSet<String> {
        let spots = self.wanted.iter().flat_map(|line| &line.spots);
        spots
            .map(|spot| spot.file.clone())
            .chain(self.wanted.iter().map(|l| l.file.clone()))
            .collect()
    }

    /// The blocks of each line that is in the kernel.
    pub(super) fn blocks(&self, table: &LineTable) -> Vec<BTreeSet<u32>> {
        self.wanted.iter().filter_map(|line| line.blocks(table)).collect()
    }

    /// The blocks of the functions around the lines that none of `ran` runs.
    pub(super) fn around_missed(&self, table: &LineTable, ran: &BTreeSet<u32>) -> BTreeSet<u32> {
        let is_missed = |line: &&Wanted| line.blocks(table).is_some_and(|b| b.is_disjoint(ran));
        let missed = self.wanted.iter().filter(is_missed);
        missed.flat_map(|line| &line.spots).flat_map(|spot| spot.around(table)).collect()
    }

    /// What became of each line, where `ran` are the blocks that ran.
    pub(super) fn reach(&self, table: &LineTable, ran: &BTreeSet<u32>) -> Reach {
        let mut reach = Reach { no_code: self.no_code, ..Reach::default() };
        for line in &self.wanted {
            let place = line.place();
            match line.blocks(table) {
                None => reach.not_built.push(NotBuilt { place, why: line.why_not_built(table) }),
                Some(blocks) if blocks.is_disjoint(ran) => reach.not_run.push(place),
                Some(_) => reach.ran.push(place),
            }
        }
        reach
    }
}

/// The lines that use the macro `name` in `files`.
fn spots_of(
    name: &str,
    files: &BTreeSet<&str>,
    read: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Vec<Spot> {
    let names = BTreeSet::from([name.to_owned()]);
    let mut spots = Vec::new();
    for file in files {
        let Some(bytes) = read(file) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        if !text.contains(name) {
            continue;
        }
        spots.extend(uses(&text, &names).into_iter().filter_map(|used| {
            let Holds::Code { statement, function } = used.holds else { return None };
            Some(Spot { file: (*file).to_owned(), line: used.line, statement, function })
        }));
    }
    spots
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "int f(int a)\n{\n\treturn a;\n}\n\nint g(int a)\n{\n\treturn f(a);\n}\n";
    const NEW: &str = "#define ONE 1\n/* More. */\nint f(int a)\n{\n\tif (a > ONE)\n\t\treturn f(a -\n\t\t\t 1);\n\
        \treturn a;\n}\n\nint g(int a)\n{\n\treturn f(a) + 1;\n}\n";

    fn overlay(text: &str) -> Overlay {
        Overlay::from([("mm/f.c".to_owned(), Some(text.as_bytes().to_vec()))])
    }

    fn changed() -> Lines {
        let mut lines = lines(&overlay(OLD), &overlay(NEW), &|_| None);
        lines.find_uses(&BTreeSet::new(), &|_| Some(NEW.as_bytes().to_vec()));
        lines
    }

    fn places(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| format!("mm/f.c:{line}")).collect()
    }

    #[test]
    fn a_line_ran_if_a_block_of_it_did_and_one_without_blocks_goes_with_its_statement() {
        let table =
            LineTable::from_rows(&[("mm/f.c", 5, &[1]), ("mm/f.c", 6, &[2]), ("mm/f.c", 13, &[3])]);
        let reach = changed().reach(&table, &BTreeSet::from([1, 2]));
        assert_eq!(reach.ran, places(&["1", "5", "6", "7"]));
        assert_eq!(reach.not_run, places(&["13"]));
        assert_eq!((reach.no_code, &reach.not_built), (1, &vec![]));
        assert_eq!(reach.extent(), Extent::SomeRan);
        let none = changed().reach(&table, &BTreeSet::from([9]));
        assert_eq!(none.extent(), Extent::NothingRan);
    }

    #[test]
    fn what_is_not_in_the_kernel_says_why() {
        let table = LineTable::from_rows(&[("mm/f.c", 13, &[3])]);
        let reach = changed().reach(&table, &BTreeSet::from([3]));
        let why: Vec<&str> = reach.not_built.iter().map(|line| line.why).collect();
        assert_eq!(why, [NOT_USED, COMPILED_OUT, COMPILED_OUT, COMPILED_OUT]);
        assert_eq!(reach.extent(), Extent::SomeRan);
        let reach = changed().reach(&LineTable::default(), &BTreeSet::new());
        assert!(reach.not_built.iter().all(|line| line.why == NOT_COMPILED), "{reach:?}");
        assert_eq!(reach.extent(), Extent::NotBuilt);
    }

    #[test]
    fn a_patch_without_code_has_nothing_to_reach() {
        let new = OLD.replace("int g", "/* Again. */\nint g");
        let found = lines(&overlay(OLD), &overlay(&new), &|_| None);
        let reach = found.reach(&LineTable::default(), &BTreeSet::new());
        assert_eq!((reach.extent(), reach.no_code), (Extent::NoCode, 1));
        let makefile = |text: &str| Overlay::from([("mm/Makefile".to_owned(), Some(text.into()))]);
        let found = lines(&makefile(""), &makefile("int f(void) { return 1; }\n"), &|_| None);
        assert_eq!((found.wanted.len(), found.no_code), (0, 1));
    }

    #[test]
    fn what_is_around_a_missed_line_is_its_function() {
        let table =
            LineTable::from_rows(&[("mm/f.c", 5, &[1]), ("mm/f.c", 8, &[2]), ("mm/f.c", 13, &[3])]);
        let around = changed().around_missed(&table, &BTreeSet::from([3]));
        assert_eq!(around, BTreeSet::from([1, 2]));
    }
}
