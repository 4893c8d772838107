//! Puts diffs into a tree: exactly, or not at all. Lines may have moved, and that is said; a guess at the context is never
//! made.

use std::collections::BTreeMap;
use std::fmt;

use super::{Deed, FileDiff, Hunk, Patch};

/// Files that differ from those of a tree; `None` for one that is not there any more.
pub type Overlay = BTreeMap<String, Option<Vec<u8>>>;

/// What applying patches gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The files that differ from the tree's.
    pub overlay: Overlay,
    /// Hunks that were found at another line than they say.
    pub offsets: Vec<Offset>,
}

/// A hunk that was found elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    /// What the input is called.
    pub input: String,
    /// Which hunk of the file, from 1.
    pub hunk: usize,
    /// The file.
    pub file: String,
    /// How many lines further down.
    pub lines: isize,
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Offset { input, hunk, file, lines } = self;
        let plural = if lines.unsigned_abs() == 1 { "" } else { "s" };
        let place = if *lines < 0 { "further up" } else { "further down" };
        write!(f, "{input}: hunk {hunk} of {file} is {} line{plural} {place}", lines.unsigned_abs())
    }
}

/// A diff that does not fit the tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input}:{line}: {reason}")]
pub struct ApplyError {
    /// What the input is called.
    pub input: String,
    /// Which line of it, from 1.
    pub line: usize,
    /// What does not fit.
    pub reason: ApplyReason,
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyReason {
    /// The file to change is not there.
    #[error("there is no file {file} in this kernel{hint}")]
    NoFile {
        /// The file.
        file: String,
        /// What may be the reason, with `: ` before it; or nothing.
        hint: &'static str,
    },
    /// The file to make is there.
    #[error("{file} is to be made, and is there already: is the patch applied already?")]
    Exists {
        /// The file.
        file: String,
    },
    /// A hunk has no place.
    #[error("hunk {hunk} of {file} does not apply: {why}")]
    NoPlace {
        /// Which hunk of the file, from 1.
        hunk: usize,
        /// The file.
        file: String,
        /// What was found instead.
        why: String,
    },
}

/// Applies `patches` in order to the tree whose files `read` gives.
///
/// # Errors
///
/// At the first diff that does not fit exactly.
pub fn apply(
    patches: &[Patch],
    read: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    for patch in patches {
        for file in &patch.files {
            apply_file(patch, file, read, &mut applied).map_err(|(line, reason)| ApplyError {
                input: patch.input.clone(),
                line,
                reason,
            })?;
        }
    }
    // A patch and its revert make nothing.
    applied.overlay.retain(|name, content| *content != read(name));
    Ok(applied)
}

type Misfit = (usize, ApplyReason);

fn apply_file(
    patch: &Patch,
    file: &FileDiff,
    read: &dyn Fn(&str) -> Option<Vec<u8>>,
    applied: &mut Applied,
) -> Result<(), Misfit> {
    let now = |name: &str| match applied.overlay.get(name) {
        Some(content) => content.clone(),
        None => read(name),
    };
    // Without git, a file before and after often has two names, of which one is real.
    let old = match (&file.old, &file.new) {
        (Some(old), Some(new)) if file.deed == Deed::Change && now(old).is_none() => Some(new),
        (old, _) => old.as_ref(),
    };
    let content = match old {
        None => Vec::new(),
        Some(old) => now(old).ok_or_else(|| {
            let hint = hint(file, &now);
            (file.line, ApplyReason::NoFile { file: old.clone(), hint })
        })?,
    };
    let target = match (&file.new, file.deed) {
        (Some(_), Deed::Change) if old.is_some() => old,
        (new, _) => new.as_ref(),
    };
    if let (None, Some(new)) = (old, target)
        && now(new).is_some_and(|content| !content.is_empty())
    {
        return Err((file.line, ApplyReason::Exists { file: new.clone() }));
    }
    let name = file.name().to_owned();
    let (changed, offsets) = apply_hunks(&content, &file.hunks).map_err(|(index, why)| {
        let line = file.hunks[index].line;
        (line, ApplyReason::NoPlace { hunk: index + 1, file: name.clone(), why })
    })?;
    let told = |(index, lines): (usize, isize)| Offset {
        input: patch.input.clone(),
        hunk: index + 1,
        file: name.clone(),
        lines,
    };
    applied.offsets.extend(offsets.into_iter().map(told));
    if let Some(old) = old
        && file.deed != Deed::Copy
    {
        applied.overlay.insert(old.clone(), None);
    }
    if let Some(target) = target {
        applied.overlay.insert(target.clone(), Some(changed));
    }
    Ok(())
}

/// Why a file may be missing.
fn hint(file: &FileDiff, now: &dyn Fn(&str) -> Option<Vec<u8>>) -> &'static str {
    let name = file.name();
    // Of a patch without a/ and b/ the first folder was taken away.
    let folders =
        ["drivers", "include", "kernel", "mm", "fs", "net", "lib", "arch", "block", "io_uring"];
    let is_bare = folders.iter().any(|folder| now(&format!("{folder}/{name}")).is_some());
    if is_bare {
        ": the patch has no a/ and b/ before its names, make it again without --no-prefix"
    } else {
        ": make the patch for this version, or name the tree it is for with --kernel-src"
    }
}

/// The content of a file after its hunks, and how far each hunk that was found elsewhere is from its place, by index.
type Changed = (Vec<u8>, Vec<(usize, isize)>);

/// The content after `hunks`. Or the first hunk that has no place, and why.
fn apply_hunks(content: &[u8], hunks: &[Hunk]) -> Result<Changed, (usize, String)> {
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let mut out: Vec<u8> = Vec::with_capacity(content.len());
    let mut offsets = Vec::new();
    let (mut done, mut drift) = (0, 0);
    for (index, hunk) in hunks.iter().enumerate() {
        let old = hunk.before();
        let stated = if old.is_empty() { hunk.old_start } else { hunk.old_start.saturating_sub(1) };
        let expected = stated.saturating_add_signed(drift);
        let place = place(&lines, &old, done, expected);
        let Some(place) = place else { return Err((index, why(&lines, hunk, expected))) };
        let moved = place.cast_signed() - stated.cast_signed();
        if moved != 0 {
            offsets.push((index, moved));
        }
        drift = moved;
        out.extend(lines[done..place].concat());
        out.extend(hunk.after().concat());
        done = place + old.len();
    }
    out.extend(lines[done..].concat());
    Ok((out, offsets))
}

/// Where `old` stands in `lines`, from line `first` on: the place next to `expected`. New lines alone have but one place.
fn place(lines: &[&[u8]], old: &[&[u8]], first: usize, expected: usize) -> Option<usize> {
    if old.is_empty() {
        return (first..=lines.len()).contains(&expected).then_some(expected);
    }
    let last = lines.len().checked_sub(old.len())?;
    let stands_at = |place: &usize| lines[*place..*place + old.len()] == *old;
    (first..=last).filter(stands_at).min_by_key(|place| (place.abs_diff(expected), *place))
}

/// Of so many lines at either end of a hunk `patch` would not care by itself.
const FUZZ: usize = 2;

/// What a person needs to know of a hunk without a place.
fn why(lines: &[&[u8]], hunk: &Hunk, expected: usize) -> String {
    let (old, new) = (hunk.before(), hunk.after());
    if !new.is_empty() && new != old && place(lines, &new, 0, expected).is_some() {
        return "its lines are there as they should be afterwards: is it applied already?"
            .to_owned();
    }
    let show = |line: &[u8]| format!("`{}`", String::from_utf8_lossy(line).trim());
    let matching = |at: &usize| {
        old.iter().zip(lines.get(*at..).unwrap_or_default()).filter(|(a, b)| a == b).count()
    };
    // Where most of it stands; near the place that it names, if there are several.
    let best = (0..lines.len()).max_by_key(|at| (matching(at), usize::MAX - at.abs_diff(expected)));
    let at = best.filter(|at| matching(at) > 0).unwrap_or(expected);
    let differs = (0..old.len()).find(|index| lines.get(at + index) != old.get(*index));
    let Some(index) = differs else { return "its place is before that of another hunk".to_owned() };
    let found = lines.get(at + index).map_or("the end of the file".to_owned(), |line| show(line));
    let fuzzy = (1..=FUZZ).any(|fuzz| {
        old.len() > 2 * fuzz && place(lines, &old[fuzz..old.len() - fuzz], 0, expected).is_some()
    });
    let fuzzy = if fuzzy {
        "; only without its outermost lines it would, and that is a guess that is not made"
    } else {
        ""
    };
    format!("line {} is {found}, and the patch wants {}{fuzzy}", at + index + 1, show(old[index]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff;

    const FILE: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n";

    fn applied(tree: &[(&str, &str)], text: &str) -> Result<Applied, ApplyError> {
        let patch = diff::read("x.patch", text.as_bytes()).unwrap();
        let read = |name: &str| {
            let (_, content) = tree.iter().find(|(known, _)| *known == name)?;
            Some(content.as_bytes().to_vec())
        };
        apply(&[patch], &read)
    }

    fn content(applied: &Applied, name: &str) -> String {
        String::from_utf8(applied.overlay[name].clone().unwrap()).unwrap()
    }

    fn refused(text: &str) -> String {
        applied(&[("f", FILE)], text).unwrap_err().to_string()
    }

    const CHANGE: &str = "--- a/f\n+++ b/f\n@@ -2,3 +2,4 @@\n two\n-three\n+THREE\n+3\n four\n";

    #[test]
    fn a_hunk_that_fits_is_put_in() {
        let applied = applied(&[("f", FILE)], CHANGE).unwrap();
        assert_eq!(content(&applied, "f"), FILE.replace("three\n", "THREE\n3\n"));
        assert_eq!(applied.offsets, []);
    }

    #[test]
    fn a_hunk_that_has_moved_is_found_and_that_is_said() {
        let moved = format!("zero\n{FILE}");
        let text = format!("{CHANGE}@@ -7,2 +8,2 @@\n seven\n-eight\n+8\n");
        let applied = applied(&[("f", &moved)], &text).unwrap();
        assert!(content(&applied, "f").ends_with("seven\n8\n"));
        let told: Vec<String> = applied.offsets.iter().map(ToString::to_string).collect();
        assert_eq!(told[0], "x.patch: hunk 1 of f is 1 line further down");
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn of_two_places_the_nearer_one_is_taken() {
        let twice = "a\nb\n".repeat(4);
        let text = "--- a/f\n+++ b/f\n@@ -5,2 +5,2 @@\n a\n-b\n+B\n";
        let applied = applied(&[("f", &twice)], text).unwrap();
        assert_eq!(content(&applied, "f"), "a\nb\na\nb\na\nB\na\nb\n");
    }

    #[test]
    fn fuzz_is_never_accepted_and_the_line_that_differs_is_shown() {
        let text = "--- a/f\n+++ b/f\n@@ -1,5 +1,5 @@\n ONE\n two\n-three\n+3\n four\n five\n";
        let error = refused(text);
        assert!(
            error.starts_with("x.patch:3: hunk 1 of f does not apply: line 1 is `one`"),
            "{error}"
        );
        assert!(error.contains("wants `ONE`") && error.contains("guess"), "{error}");
    }

    #[test]
    fn the_hunk_that_does_not_fit_is_named() {
        let text = format!("{CHANGE}@@ -7,2 +8,2 @@\n seven\n-EIGHT\n+8\n");
        let error = refused(&text);
        assert!(
            error.contains("x.patch:9: hunk 2 of f") && error.contains("line 8 is `eight`"),
            "{error}"
        );
    }

    #[test]
    fn what_is_applied_already_is_told_so() {
        let done = FILE.replace("three\n", "THREE\n3\n");
        let error = applied(&[("f", &done)], CHANGE).unwrap_err().to_string();
        assert!(error.contains("applied already"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_comes_with_a_way_out() {
        let error = refused(&CHANGE.replace("/f", "/g"));
        assert!(error.contains("no file g") && error.contains("--kernel-src"), "{error}");
        let bare = "--- mm/gup.c\n+++ mm/gup.c\n@@ -1 +1 @@\n-one\n+1\n";
        let error = applied(&[("mm/gup.c", FILE)], bare).unwrap_err().to_string();
        assert!(error.contains("no-prefix"), "{error}");
    }

    #[test]
    fn files_appear_go_and_move() {
        let text = "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n\
            diff --git a/g b/g\ndeleted file mode 100644\n--- a/g\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n\
            diff --git a/f b/h\nsimilarity index 90%\nrename from f\nrename to h\n--- a/f\n+++ b/h\n\
            @@ -1,2 +1,2 @@\n-one\n+1\n two\n";
        let applied = applied(&[("f", FILE), ("g", "gone\n")], text).unwrap();
        assert_eq!(content(&applied, "n"), "x\n");
        assert_eq!((&applied.overlay["g"], &applied.overlay["f"]), (&None, &None));
        assert!(content(&applied, "h").starts_with("1\ntwo\n"));
        let error = refused("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n");
        assert!(error.contains("there already"), "{error}");
    }

    #[test]
    fn patches_apply_one_on_the_other_and_a_revert_leaves_nothing() {
        let there = diff::read("1", CHANGE.as_bytes()).unwrap();
        let text = "--- a/f\n+++ b/f\n@@ -2,4 +2,3 @@\n two\n-THREE\n-3\n+three\n four\n";
        let back = diff::read("2", text.as_bytes()).unwrap();
        let read = |_: &str| Some(FILE.as_bytes().to_vec());
        assert_eq!(apply(&[there, back], &read).unwrap().overlay, Overlay::new());
    }

    #[test]
    fn a_last_line_without_an_end_is_matched_as_one() {
        let text = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n";
        assert_eq!(content(&applied(&[("f", "a")], text).unwrap(), "f"), "b\n");
        assert!(applied(&[("f", "a\n")], text).is_err());
    }
}
