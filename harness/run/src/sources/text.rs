//! Listings, comparisons and checks of citations, for people.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use pinfold::citations::{Elsewhere, Unread};

use super::compare::{Change, Checked, CitedItem, Compared, Comparison, Counts, Listing, Skipped};

impl Display for CitedItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let files = self.files.join(" or ");
        match &self.name {
            Some(name) => write!(f, "{name}, {files}"),
            None => write!(f, "all of {files}"),
        }
    }
}

/// Who cites `item`, a line each.
fn cited_by(f: &mut Formatter<'_>, item: &CitedItem) -> fmt::Result {
    for by in &item.cited_by {
        let versions =
            if by.versions.is_empty() { "no version".to_owned() } else { by.versions.to_string() };
        writeln!(f, "    {} ({versions})", by.place)?;
    }
    Ok(())
}

/// What was not the kernel's, and what could not be read.
fn rest(f: &mut Formatter<'_>, elsewhere: &[Elsewhere], unread: &[Unread]) -> fmt::Result {
    if !unread.is_empty() {
        writeln!(f, "Not read:")?;
    }
    for unread in unread {
        writeln!(f, "    {}: {:?}: {}", unread.place, unread.text, unread.why)?;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    elsewhere.iter().for_each(|other| *counts.entry(other.what).or_default() += 1);
    let counts: Vec<String> =
        counts.iter().map(|(what, count)| format!("{count} of {what}")).collect();
    let of = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
    writeln!(
        f,
        "{} citations of other sources than the kernel{of}; {} could not be read",
        elsewhere.len(),
        unread.len()
    )
}

impl Display for Listing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            writeln!(f, "{item}")?;
            cited_by(f, item)?;
        }
        rest(f, &self.elsewhere, &self.unread)?;
        let citations: usize = self.items.iter().map(|item| item.cited_by.len()).sum();
        writeln!(f, "{citations} citations of {} functions", self.items.len())
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Counts { items, unchanged, changed, moved, gone, not_checked, .. } = self;
        write!(
            f,
            "{items} functions: {unchanged} unchanged, {changed} changed, {moved} moved, {gone} gone, {not_checked} not checked"
        )
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for Compared { item, change } in &self.items {
            let (told, diff) = match change {
                Change::Unchanged => continue,
                Change::Changed { diff, .. } => ("changed".to_owned(), diff.as_str()),
                Change::Moved { file, diff } if diff.is_empty() => {
                    (format!("moved to {file}, and is the same"), "")
                }
                Change::Moved { file, diff } => {
                    (format!("moved to {file}, and changed"), diff.as_str())
                }
                Change::Gone => ("gone: nothing of this name was found".to_owned(), ""),
            };
            writeln!(f, "{item}: {told}")?;
            cited_by(f, item)?;
            writeln!(f, "{diff}")?;
        }
        if !self.not_checked.is_empty() {
            writeln!(f, "Not checked:")?;
        }
        for Skipped { item, why } in &self.not_checked {
            let place = item.cited_by.first().map(|by| format!("{}: ", by.place));
            writeln!(f, "    {}{item}: {why}", place.unwrap_or_default())?;
        }
        rest(f, &self.elsewhere, &self.unread)?;
        let counts = self.counts;
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        self.not_checked.iter().for_each(|skipped| *reasons.entry(&skipped.why).or_default() += 1);
        let reasons: Vec<String> =
            reasons.iter().map(|(why, count)| format!("{count}: {why}")).collect();
        let why =
            if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
        writeln!(
            f,
            "linux {} to {}: {} citations of {counts}{why}",
            self.from.version, self.to.version, counts.citations
        )
    }
}

impl Display for Checked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for wrong in &self.wrong {
            let found = match &wrong.found_in {
                Some(file) => format!("it is in {file}"),
                None => "nothing of this name was found".to_owned(),
            };
            writeln!(f, "{}: not there in linux {}: {found}", wrong.item, self.tree.version)?;
            cited_by(f, &wrong.item)?;
        }
        rest(f, &self.elsewhere, &self.unread)?;
        writeln!(
            f,
            "linux {}: {} functions are where they are cited, {} are not, {} are cited of other versions",
            self.tree.version,
            self.right,
            self.wrong.len(),
            self.of_other_versions
        )
    }
}
