//! What a patch changes, in the light of what both kernels did wrong.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::oracle::Oracle;
use crate::signature::Signature;

/// One of the two kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Without the patch.
    Base,
    /// With it.
    Patched,
}

/// Signatures by where they were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// On the base alone.
    pub base_only: Vec<Signature>,
    /// On the patched kernel alone.
    pub patched_only: Vec<Signature>,
    /// On both.
    pub both: Vec<Signature>,
}

/// Sorts what was seen on the two kernels. Whether the other kernel never does it, or just did not happen to, has then to
/// be asked of it.
pub fn sort(base: &BTreeSet<Signature>, patched: &BTreeSet<Signature>) -> Sorted {
    Sorted {
        base_only: base.difference(patched).cloned().collect(),
        patched_only: patched.difference(base).cloned().collect(),
        both: base.intersection(patched).cloned().collect(),
    }
}

/// What somebody who wrote a patch wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Whether adapter and CPU see the same bytes.
    Coherent,
    /// Whether nobody reads or writes what he may not.
    Protected,
    /// Whether what is allocated and charged is right, and given back.
    Accounted,
    /// Whether calls answer as they should, and the kernel does not complain.
    Working,
}

impl Question {
    /// All of them, in the order in which they are answered.
    pub const ALL: [Question; 4] =
        [Question::Coherent, Question::Protected, Question::Accounted, Question::Working];

    /// The question that a divergence answers with no.
    pub fn of(oracle: Oracle) -> Question {
        match oracle {
            Oracle::Coherence => Question::Coherent,
            Oracle::Protection => Question::Protected,
            // Which pages share a frame is what memory costs.
            Oracle::Frames | Oracle::Accounting | Oracle::Teardown => Question::Accounted,
            Oracle::KernelLog | Oracle::Outcome | Oracle::Completion => Question::Working,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Question::Coherent => "coherent",
            Question::Protected => "protected",
            Question::Accounted => "accounted",
            Question::Working => "working",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_oracle_answers_a_question_and_every_question_has_an_oracle() {
        let asked: BTreeSet<Question> = Oracle::ALL.into_iter().map(Question::of).collect();
        assert_eq!(asked, Question::ALL.into_iter().collect());
    }

    #[test]
    fn what_only_one_of_two_does_is_told_from_what_both_do() {
        let set = |names: &[&str]| -> BTreeSet<Signature> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        let sorted = sort(&set(&["a", "b"]), &set(&["b", "c"]));
        let names = |list: &[Signature]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&sorted.base_only), ["a"]);
        assert_eq!(names(&sorted.patched_only), ["c"]);
        assert_eq!(names(&sorted.both), ["b"]);
    }
}
