//! Which of the cited functions are another thing in another tree, and which citations are wrong.

use std::collections::BTreeMap;

use pinfold::citations::{Citation, Citations, Claim, Elsewhere, Name, Place, Unread};
use serde::Serialize;

use super::difference::{is_same, unified};
use super::tree::{Found, Tree, TreeName};

/// One thing that is cited, and all that cite it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CitedItem {
    /// Its name; none is the whole file.
    pub name: Option<Name>,
    /// The files it is said to be in; where there are several it is in one of them.
    pub files: Vec<String>,
    /// Who cites it, and of which versions.
    pub cited_by: Vec<CitedBy>,
}

/// One place that cites something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CitedBy {
    /// The place.
    pub place: Place,
    /// The versions, as claimed.
    pub versions: Claim,
}

/// All citations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// What is cited, in the order of our files.
    pub items: Vec<CitedItem>,
    /// Sources that are not the kernel's.
    pub elsewhere: Vec<Elsewhere>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// What became of something that is cited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Change {
    /// It is the same, but for blanks.
    Unchanged,
    /// It is another.
    Changed {
        /// Where it is.
        file: String,
        /// Its unified difference.
        diff: String,
    },
    /// It is in another file.
    Moved {
        /// That file.
        file: String,
        /// Its unified difference; empty if it only moved.
        diff: String,
    },
    /// Nothing of this name was found.
    Gone,
}

/// Something that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// What it is.
    #[serde(flatten)]
    pub item: CitedItem,
    /// What became of it.
    pub change: Change,
}

/// Something that was not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// What it is.
    #[serde(flatten)]
    pub item: CitedItem,
    /// Why not.
    pub why: String,
}

/// How many there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Citations of the kernel.
    pub citations: usize,
    /// What they cite.
    pub items: usize,
    /// Unchanged ones.
    pub unchanged: usize,
    /// Changed ones.
    pub changed: usize,
    /// Those in another file.
    pub moved: usize,
    /// Those that are no more.
    pub gone: usize,
    /// Those that were not compared.
    pub not_checked: usize,
    /// Sources that are not the kernel's.
    pub elsewhere: usize,
    /// Citations that could not be read.
    pub unread: usize,
}

/// Two trees, in what is cited of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The tree that is cited.
    pub from: TreeName,
    /// The other one.
    pub to: TreeName,
    /// What is cited of the first tree, in the order of our files, and what became of it.
    pub items: Vec<Compared>,
    /// What was not compared.
    pub not_checked: Vec<Skipped>,
    /// Sources that are not the kernel's.
    pub elsewhere: Vec<Elsewhere>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// How many there are of each.
    pub counts: Counts,
}

/// A citation of something that is not where it is said to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrongCitation {
    /// What it says.
    #[serde(flatten)]
    pub item: CitedItem,
    /// The file that it is in; none if it was not found anywhere.
    pub found_in: Option<String>,
}

/// Citations held against the tree that they speak of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The tree.
    pub tree: TreeName,
    /// What is cited and is there.
    pub right: usize,
    /// What is cited and is not there.
    pub wrong: Vec<WrongCitation>,
    /// What is only cited of other versions.
    pub of_other_versions: usize,
    /// Sources that are not the kernel's.
    pub elsewhere: Vec<Elsewhere>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// What is cited, in the order in which it is first cited.
fn items(citations: &[Citation]) -> Vec<CitedItem> {
    let mut places: BTreeMap<(&Option<Name>, &[String]), usize> = BTreeMap::new();
    let mut items: Vec<CitedItem> = Vec::new();
    for citation in citations {
        let index = *places.entry((&citation.name, &citation.files)).or_insert(items.len());
        if index == items.len() {
            items.push(CitedItem {
                name: citation.name.clone(),
                files: citation.files.clone(),
                cited_by: Vec::new(),
            });
        }
        if let Some(item) = items.get_mut(index) {
            let (place, versions) = (citation.place.clone(), citation.claim.clone());
            item.cited_by.push(CitedBy { place, versions });
        }
    }
    items
}

impl CitedItem {
    /// Itself with those who cite it of the series of `tree`, if there are such.
    fn of(&self, tree: &Tree) -> Option<CitedItem> {
        let speaks = |by: &&CitedBy| by.versions.covers(tree.series);
        let cited_by: Vec<CitedBy> = self.cited_by.iter().filter(speaks).cloned().collect();
        (!cited_by.is_empty()).then(|| CitedItem { cited_by, ..self.clone() })
    }
}

pub(super) fn list(citations: &Citations) -> Listing {
    Listing {
        items: items(&citations.found),
        elsewhere: citations.elsewhere.clone(),
        unread: citations.unread.clone(),
    }
}

pub(super) fn compare(citations: &Citations, from: &mut Tree, to: &mut Tree) -> Comparison {
    let all = items(&citations.found);
    let mut counts = Counts {
        citations: citations.found.len(),
        items: all.len(),
        elsewhere: citations.elsewhere.len(),
        unread: citations.unread.len(),
        ..Counts::default()
    };
    let (mut items, mut not_checked) = (Vec::new(), Vec::new());
    for item in all {
        let Some(cited) = item.of(from) else {
            let why = format!("it is not cited of {}", from.series);
            not_checked.push(Skipped { item, why });
            continue;
        };
        let Some(before) = from.find(cited.name.as_ref(), &cited.files) else {
            let why = format!("it is not there in {}: the citation is wrong", from.version);
            not_checked.push(Skipped { item: cited, why });
            continue;
        };
        let change = change(&cited, &before, to);
        let count = match change {
            Change::Unchanged => &mut counts.unchanged,
            Change::Changed { .. } => &mut counts.changed,
            Change::Moved { .. } => &mut counts.moved,
            Change::Gone => &mut counts.gone,
        };
        *count += 1;
        items.push(Compared { item: cited, change });
    }
    counts.not_checked = not_checked.len();
    Comparison {
        from: from.name(),
        to: to.name(),
        items,
        not_checked,
        elsewhere: citations.elsewhere.clone(),
        unread: citations.unread.clone(),
        counts,
    }
}

fn change(item: &CitedItem, before: &Found, to: &mut Tree) -> Change {
    let name = item.name.as_ref();
    if let Some(after) = to.find(name, &item.files) {
        let diff = difference(before, &after);
        return match diff {
            None => Change::Unchanged,
            Some(diff) => Change::Changed { file: after.file, diff },
        };
    }
    match name.and_then(|name| to.search(name, &item.files)) {
        Some(after) => {
            let diff = difference(before, &after).unwrap_or_default();
            Change::Moved { file: after.file, diff }
        }
        None => Change::Gone,
    }
}

/// How the definitions of one name differ: in pairs, in their order, and then those that only one tree has.
fn difference(before: &Found, after: &Found) -> Option<String> {
    let count = before.definitions.len().max(after.definitions.len());
    let mut text = String::new();
    for index in 0..count {
        let of = |found: &Found| {
            let one = found.definitions.get(index);
            one.map_or((String::new(), 1), |one| (one.text.clone(), one.line))
        };
        let ((from, from_line), (to, to_line)) = (of(before), of(after));
        if !is_same(&from, &to) {
            text.push_str(&unified(&from, &to, from_line, to_line));
        }
    }
    (!text.is_empty()).then_some(text)
}

pub(super) fn check(citations: &Citations, tree: &mut Tree) -> Checked {
    let (mut right, mut of_other_versions, mut wrong) = (0, 0, Vec::new());
    for item in items(&citations.found) {
        let Some(item) = item.of(tree) else {
            of_other_versions += 1;
            continue;
        };
        if tree.find(item.name.as_ref(), &item.files).is_some() {
            right += 1;
            continue;
        }
        let found = item.name.as_ref().and_then(|name| tree.search(name, &item.files));
        wrong.push(WrongCitation { item, found_in: found.map(|found| found.file) });
    }
    Checked {
        tree: tree.name(),
        right,
        wrong,
        of_other_versions,
        elsewhere: citations.elsewhere.clone(),
        unread: citations.unread.clone(),
    }
}
