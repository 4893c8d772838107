//! Defects by kernels: as a table for a terminal, and as the list of a document.

use std::fmt::{self, Write as _};

use pinfold_contract::Series;
use serde::Serialize;

use super::{Defect, Defects};
use crate::profile::{Platform, Profile};

/// Whether kernels of a series have a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was seen on one.
    Verified,
    /// It is expected there.
    Presumed,
    /// They do not have it.
    NotAffected,
}

/// What is known of the fix for a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FixState {
    /// Every case of the defect was seen to agree once a kernel had it.
    Cured,
    /// There is one, and not every case was tried with it.
    Untried,
    /// There is none.
    None,
}

/// A defect on kernels of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Whether they have it.
    pub state: State,
    /// What is known of its fix.
    pub fix: FixState,
}

/// A defect, and its state on each kernel that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The name of its folder.
    pub slug: String,
    /// What it is.
    pub title: String,
    /// Why there is no fix, where that is known.
    pub no_fix: Option<String>,
    /// The kernels that have it.
    pub kernels: Vec<OnKernel>,
}

/// A defect on one kernel, for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OnKernel {
    /// The series.
    pub series: String,
    /// `uml` or `x86`.
    pub platform: &'static str,
    /// Whether it is there.
    pub state: State,
    /// What is known of its fix.
    pub fix: FixState,
}

/// Every defect on every series, by platform. Printed for a person, serialized for a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The defects; those of the newest series first.
    pub defects: Vec<Row>,
}

impl Defect {
    /// Its state on kernels of `series` on `platform`.
    pub fn on(&self, series: Series, platform: Platform) -> Cell {
        let of_here = || self.shows.iter().filter(|entry| entry.is_of(series, platform));
        let is_seen =
            of_here().any(|entry| entry.verified.iter().any(|it| it.is_of(series, platform)));
        let state = match (of_here().next(), is_seen) {
            (None, _) => State::NotAffected,
            (Some(_), true) => State::Verified,
            (Some(_), false) => State::Presumed,
        };
        let is_cured = state != State::NotAffected
            && of_here().all(|entry| entry.cured.iter().any(|it| it.is_of(series, platform)));
        let fix = match (is_cured, self.fixes.iter().any(|fix| fix.range.has_series(series))) {
            (true, _) => FixState::Cured,
            (false, true) => FixState::Untried,
            (false, false) => FixState::None,
        };
        Cell { state, fix }
    }

    /// How it stands on the newest series, then on the one before: what a list is ordered by.
    fn standing(&self) -> Vec<State> {
        let best = |profile: &Profile| {
            Platform::ALL.into_iter().map(|platform| self.on(profile.series, platform).state).min()
        };
        Profile::all().iter().filter_map(best).collect()
    }
}

impl Defects {
    /// Those of the newest series first.
    fn newest_first(&self) -> Vec<&Defect> {
        let mut all: Vec<&Defect> = self.defects.iter().collect();
        all.sort_by_cached_key(|defect| (defect.standing(), defect.slug.clone()));
        all
    }

    /// The table of all of them.
    pub fn table(&self) -> Table {
        let row = |defect: &Defect| Row {
            slug: defect.slug.clone(),
            title: defect.title.clone(),
            no_fix: defect.no_fix.clone(),
            kernels: on_kernels(defect),
        };
        Table { defects: self.newest_first().into_iter().map(row).collect() }
    }
}

fn on_kernels(defect: &Defect) -> Vec<OnKernel> {
    let kernels = Platform::ALL
        .into_iter()
        .flat_map(|platform| Profile::all().iter().map(move |profile| (profile.series, platform)));
    kernels
        .map(|(series, platform)| {
            let Cell { state, fix } = defect.on(series, platform);
            OnKernel { series: series.to_string(), platform: platform.name(), state, fix }
        })
        .filter(|on| on.state != State::NotAffected)
        .collect()
}

impl fmt::Display for OnKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Verified => "verified",
            State::Presumed => "presumed",
            State::NotAffected => "not affected",
        })?;
        f.write_str(match self.fix {
            FixState::Cured => ", cured",
            FixState::Untried => "",
            FixState::None => ", no fix",
        })
    }
}

/// One block a platform, one line a defect, one column a series.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for platform in Platform::ALL {
            block(f, platform, &self.defects)?;
        }
        writeln!(
            f,
            "verified: seen on a release of the series; presumed: in the range, and not seen there yet; -: not affected;\n\
             cured: seen to agree with its fix; no fix: the folder has none for the series"
        )
    }
}

fn block(f: &mut fmt::Formatter<'_>, platform: Platform, rows: &[Row]) -> fmt::Result {
    let series: Vec<String> =
        Profile::all().iter().map(|profile| profile.series.to_string()).collect();
    let rows: Vec<(&Row, Vec<String>)> = rows
        .iter()
        .map(|row| (row, series.iter().map(|one| text_on(row, one, platform)).collect()))
        .filter(|(_, cells): &(_, Vec<String>)| cells.iter().any(|cell| cell != "-"))
        .collect();
    let first = rows.iter().map(|(row, _)| row.slug.len()).chain([platform.name().len()]).max();
    let first = first.unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|(_, cells)| cells.get(column)).map(String::len);
        cells.chain(series.get(column).map(String::len)).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..series.len()).map(width).collect();
    let mut line = |name: &str, cells: &[String]| {
        let mut text = format!("{name:first$}");
        for (cell, width) in cells.iter().zip(&widths) {
            write!(text, "  {cell:width$}")?;
        }
        writeln!(f, "{}", text.trim_end())
    };
    line(platform.name(), &series)?;
    for (row, cells) in &rows {
        line(&row.slug, cells)?;
    }
    writeln!(f)
}

fn text_on(row: &Row, series: &str, platform: Platform) -> String {
    let is_here = |on: &&OnKernel| on.series == series && on.platform == platform.name();
    row.kernels.iter().find(is_here).map_or("-".to_owned(), ToString::to_string)
}

/// The list of `defects` in a document. `to_folders` is what stands before a slug in a link.
pub fn markdown(defects: &Defects, to_folders: &str) -> String {
    let mut text = "| defect | seen on | presumed on | fix |\n|---|---|---|---|\n".to_owned();
    for defect in defects.newest_first() {
        let kernels = on_kernels(defect);
        let of = |wanted: &dyn Fn(&OnKernel) -> bool| series_with_platforms(&kernels, wanted);
        let seen = of(&|on| on.state == State::Verified);
        let presumed = of(&|on| on.state == State::Presumed);
        let cured = of(&|on| on.fix == FixState::Cured);
        let lacks_one = of(&|on| on.fix == FixState::None);
        let fix = match (defect.fixes.is_empty(), &defect.no_fix) {
            (true, Some(why)) => format!("none: {why}"),
            (true, None) => "none".to_owned(),
            (false, _) if cured.is_empty() => "yes, untried".to_owned(),
            (false, _) => format!("cures {cured}"),
        };
        let fix = match defect.fixes.is_empty() || lacks_one.is_empty() {
            true => fix,
            false => format!("{fix}; none for {lacks_one}"),
        };
        let Defect { slug, title, .. } = defect;
        text.push_str(&format!(
            "| [{title}]({to_folders}{slug}) | {seen} | {presumed} | {fix} |\n"
        ));
    }
    text
}

/// The series of those `kernels` that are `wanted`, the newest first: `7.3 (uml), 6.12`. A platform is named where kernels
/// of the other one have the defect, too, and are not wanted.
fn series_with_platforms(kernels: &[OnKernel], wanted: &dyn Fn(&OnKernel) -> bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    for profile in Profile::all() {
        let series = profile.series.to_string();
        let here: Vec<&OnKernel> = kernels.iter().filter(|on| on.series == series).collect();
        let found: Vec<&str> = here.iter().filter(|on| wanted(on)).map(|on| on.platform).collect();
        match found.len() {
            0 => {}
            count if count == here.len() => parts.push(series),
            _ => parts.push(format!("{series} ({})", found.join(", "))),
        }
    }
    parts.join(", ")
}

/// What a document has before the list, and behind it.
const MARKS: [&str; 2] =
    ["<!-- pinfold defects --markdown writes from here -->\n", "<!-- to here -->\n"];

/// `document` with `list` between its marks; none if it has no such marks.
pub fn with_list(document: &str, list: &str) -> Option<String> {
    let [begin, end] = MARKS;
    let (before, rest) = document.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{list}\n{end}{after}"))
}
