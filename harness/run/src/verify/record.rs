//! Keeps what was seen in `defect.toml`: adds releases, and leaves all else in the file as it is.

use std::fs;
use std::path::{Path, PathBuf};

use pinfold::defects::{DESCRIPTION, Defects, Entry};
use pinfold::profile::Platform;
use toml_edit::{Array, Document, Item, Value};

use super::{Case, Expected, Seen, Verification};
use crate::bundle::replace;
use crate::error::RunError;

/// A release that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The file.
    pub file: PathBuf,
    /// `verified` or `cured`.
    pub field: &'static str,
    /// Which case, from 0.
    pub index: usize,
    /// As it is written there.
    pub release: String,
}

/// Adds to the files of `folder`, which `defects` were read from, what `verification` saw on a kernel of `platform`. Of a
/// kernel with fixes only cures are kept: it is not the one that others have.
///
/// # Errors
///
/// If a file cannot be read or written, or is not what it was when it was read.
pub fn record(
    verification: &Verification,
    defects: &Defects,
    folder: &Path,
    platform: Platform,
) -> Result<Vec<Recorded>, RunError> {
    let is_fixed = verification.cases.iter().any(|case| case.expected == Expected::Cured);
    let mut recorded = Vec::new();
    for defect in defects.all() {
        let cases = verification.cases.iter().filter(|case| case.slug == defect.slug);
        let news: Vec<(&Case, &'static str)> =
            cases.filter_map(|case| Some((case, field(case, is_fixed)?))).collect();
        if news.is_empty() {
            continue;
        }
        let file = folder.join(&defect.slug).join(DESCRIPTION);
        let text = fs::read_to_string(&file)
            .map_err(|source| RunError::Read { path: file.clone(), source })?;
        let changed = || RunError::DefectChanged { file: file.clone() };
        let mut document: Document = text.parse().map_err(|_| changed())?;
        let before = recorded.len();
        for (case, field) in news {
            let (entry, table) = defect
                .shows
                .get(case.index)
                .zip(
                    document
                        .get_mut("shows")
                        .and_then(|shows| shows.as_array_of_tables_mut()?.get_mut(case.index)),
                )
                .ok_or_else(changed)?;
            let list = table.entry(field).or_insert(Item::Value(Value::Array(Array::new())));
            let list = list.as_array_mut().ok_or_else(changed)?;
            if let Some(release) = add(list, entry, &verification.version, platform) {
                let (file, index) = (file.clone(), case.index);
                recorded.push(Recorded { file, field, index, release });
            }
        }
        if recorded.len() > before {
            replace(&file, document.to_string().as_bytes())?;
        }
    }
    Ok(recorded)
}

/// Where what was seen of `case` is kept, if it is.
fn field(case: &Case, is_fixed: bool) -> Option<&'static str> {
    match (case.expected, &case.seen) {
        (Expected::Verified | Expected::Presumed, Seen::Shown) => (!is_fixed).then_some("verified"),
        (Expected::Cured, Seen::Agrees) => Some("cured"),
        (Expected::Verified | Expected::Presumed, Seen::Agrees | Seen::Other(_))
        | (Expected::Cured, Seen::Shown | Seen::Other(_))
        | (_, Seen::NotJudged(_)) => None,
    }
}

/// Adds `version` on `platform` to `list`, if it is not there; gives what was written. A release that is there for the
/// other platform becomes one for both.
fn add(list: &mut Array, entry: &Entry, version: &str, platform: Platform) -> Option<String> {
    let on = |platform: Platform| format!("{}:{version}", platform.name());
    let position =
        |list: &Array, wanted: &str| list.iter().position(|value| value.as_str() == Some(wanted));
    if position(list, version).is_some() || position(list, &on(platform)).is_some() {
        return None;
    }
    let others = Platform::ALL.into_iter().filter(|other| *other != platform);
    let other = others.filter_map(|other| position(list, &on(other))).next();
    if let Some(place) = other {
        list.replace(place, version);
        return Some(version.to_owned());
    }
    let release = if entry.platform.is_some() { version.to_owned() } else { on(platform) };
    list.push(release.as_str());
    Some(release)
}
