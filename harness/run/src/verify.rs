//! Runs what shows each defect on a kernel, says what was seen, and keeps it in `defect.toml`.
//!
//! Begin with [`verify`]. What is written is in `verify/record.rs`; nothing is ever taken out of a file there, and no range
//! is narrowed: that takes somebody who has read the source.

mod record;
mod text;

use std::path::Path;

use pinfold::defects::{Defects, Entry, Explained, Running, ShownBy};
use pinfold::oracle::Verdict;
use pinfold::signature::Signature;
use pinfold_contract::{Observe, Sequence};
use serde::Serialize;

use crate::check::check_closely;
use crate::error::{Reach, RunError};
use crate::guest::in_full;
use crate::replay::{ReadError, read_seq};
use crate::target::Target;

pub use record::{Recorded, record};

/// How often a sequence is run. On several processors some end in a race: which of two completions is told first.
const TRIES: usize = 8;

/// What was seen of each defect on a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The target.
    pub target: String,
    /// The version of its kernel: three numbers.
    pub version: String,
    /// Every case that its kernel is affected by.
    pub cases: Vec<Case>,
}

/// What was seen of one case of a defect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Case {
    /// The defect.
    pub slug: String,
    /// Which case of it, from 0.
    pub index: usize,
    /// Its signature.
    pub signature: Signature,
    /// What shows it: a file of the folder.
    pub shown_by: String,
    /// What was to be seen.
    pub expected: Expected,
    /// What was seen.
    pub seen: Seen,
}

/// What was to be seen of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// The divergence: it was seen on this series before.
    Verified,
    /// The divergence: the range holds this kernel.
    Presumed,
    /// That all agrees: the fix is in this kernel.
    Cured,
}

/// What was seen of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// The divergence.
    Shown,
    /// That all agrees, each time.
    Agrees,
    /// Something else, at least once: signatures, and `agrees`.
    Other(Vec<String>),
    /// It cannot be said, and why.
    NotJudged(String),
}

impl Case {
    /// Whether this contradicts what `corpus/defects` says.
    pub fn is_wrong(&self) -> bool {
        match (self.expected, &self.seen) {
            (Expected::Verified, Seen::Agrees | Seen::Other(_)) => true,
            (Expected::Cured, Seen::Shown | Seen::Other(_)) => true,
            (Expected::Verified | Expected::Presumed, Seen::Shown)
            | (Expected::Presumed, Seen::Agrees | Seen::Other(_))
            | (Expected::Cured, Seen::Agrees)
            | (_, Seen::NotJudged(_)) => false,
        }
    }
}

impl Verification {
    /// Whether something contradicts what `corpus/defects` says.
    pub fn is_wrong(&self) -> bool {
        self.cases.iter().any(Case::is_wrong)
    }
}

/// Runs each case of `defects` that affects `target`, several times where need be, and looks after each op. The sequences
/// are in `folder`. Calls `tell` with each case as soon as it is judged.
///
/// # Errors
///
/// If a sequence cannot be read, or the target fails for good.
pub fn verify(
    target: &mut Target,
    defects: &Defects,
    folder: &Path,
    tell: &mut dyn FnMut(&Case),
) -> Result<Verification, ReadError> {
    let Running { release, platform, fixed } = target.running();
    let (version, fixed) = (release.to_owned(), fixed.to_vec());
    let kernel = Running { release: &version, platform, fixed: &fixed };
    let cases = look(target, kernel, defects, folder, tell)?;
    Ok(Verification { target: target.name().to_string(), version, cases })
}

/// The same, of `target` as if it ran `kernel`.
fn look(
    target: &mut Target,
    kernel: Running<'_>,
    defects: &Defects,
    folder: &Path,
    tell: &mut dyn FnMut(&Case),
) -> Result<Vec<Case>, ReadError> {
    let mut cases = Vec::new();
    for Explained { entry, standing } in defects.of(kernel) {
        let expected = match standing.presumed() {
            _ if kernel.fixed.contains(&entry.slug) => Expected::Cured,
            None => Expected::Verified,
            Some(_) => Expected::Presumed,
        };
        let case = Case {
            slug: entry.slug.clone(),
            index: entry.index,
            signature: entry.signature.clone(),
            shown_by: entry.shown_by.file().to_owned(),
            expected,
            seen: seen(target, entry, expected, folder)?,
        };
        tell(&case);
        cases.push(case);
    }
    Ok(cases)
}

fn seen(
    target: &mut Target,
    entry: &Entry,
    expected: Expected,
    folder: &Path,
) -> Result<Seen, ReadError> {
    let file = match &entry.shown_by {
        ShownBy::Sequence(file) => file,
        ShownBy::Program(_) => {
            return Ok(Seen::NotJudged(
                "a C program shows it: compile it and run it there".to_owned(),
            ));
        }
    };
    let sequence = read_seq(&folder.join(&entry.slug).join(file))?.sequence;
    let (mut others, mut has_agreed, mut unsure) = (Vec::new(), false, None);
    for _ in 0..TRIES {
        match run_once(target, &sequence)? {
            Once::Agrees => has_agreed = true,
            Once::Unsure(why) => unsure = Some(why),
            Once::Diverges(signature) if signature == entry.signature => return Ok(Seen::Shown),
            Once::Diverges(signature) => {
                let signature = signature.to_string();
                if !others.contains(&signature) {
                    others.push(signature);
                }
            }
        }
    }
    Ok(match (others.is_empty(), has_agreed, unsure) {
        (true, false, Some(why)) => Seen::NotJudged(why),
        // One that could not be judged may have been the one that shows it.
        (true, true, Some(why)) if expected == Expected::Cured => Seen::NotJudged(why),
        (true, _, _) => Seen::Agrees,
        (false, has_agreed, _) => {
            others.extend(has_agreed.then(|| "agrees".to_owned()));
            Seen::Other(others)
        }
    })
}

/// What one run showed.
enum Once {
    Agrees,
    Diverges(Signature),
    Unsure(String),
}

fn run_once(target: &mut Target, sequence: &Sequence) -> Result<Once, RunError> {
    Ok(match check_closely(target, sequence, Observe::Each) {
        Ok(checked) => match checked.verdict {
            Verdict::Agrees => Once::Agrees,
            Verdict::Inconclusive { reason } => Once::Unsure(reason.to_string()),
            Verdict::Diverges(divergence) => Once::Diverges(Signature::of(sequence, &divergence)),
        },
        Err(error) => match error.reach() {
            Reach::Run => Once::Unsure(in_full(&error)),
            Reach::Target => return Err(error),
        },
    })
}

#[cfg(test)]
mod tests;
