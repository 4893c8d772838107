//! The name under which divergences of one cause are one.
//!
//! A signature says which oracle, in which kind of op, what kind of
//! difference, and the state that matters (`oracle/state.rs`); a report of the
//! kernel is named by its title alone, whatever op was running. Nothing in it
//! counts or addresses anything: two sequences that show one cause on other
//! pages, in other slots or with other values have one signature.
//!
//! There is one signature, not a coarse one before and a fine one after
//! minimizing: a sequence is minimized while its signature stays, so what it was
//! found under is what it is kept under, and what `corpus/defects` says of it holds
//! for both.

use std::{fmt, str::FromStr};

use pinfold_contract::{Sequence, Trace};
use serde::{Deserialize, Serialize};

use crate::model::PredictedStep;
use crate::oracle::{Divergence, Oracle, Verdict, consequence, judge, slug};

/// A short stable name: lower case letters, digits, `.`, `_` and `-`, a letter
/// first, so that it can name a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature(String);

/// Longest signature, in bytes. File systems take 255.
const LEN_BYTES_MAX: usize = 160;

/// Why a text is no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no signature: that is a letter and up to 159 more of a-z, 0-9, `.`, `_` and `-`"
)]
pub struct SignatureError {
    /// The text.
    pub text: String,
}

impl Signature {
    /// The signature of `divergence`, which was seen in `sequence`.
    ///
    /// The kind of op is `end` when it was seen after the last op.
    pub fn of(sequence: &Sequence, divergence: &Divergence) -> Signature {
        let Divergence { op_index, oracle, class, .. } = divergence;
        let kind = sequence.ops.get(*op_index).map_or("end", |op| op.kind().word());
        let text = match oracle {
            Oracle::KernelLog => format!("{oracle}-{class}"),
            Oracle::Protection
            | Oracle::Outcome
            | Oracle::Completion
            | Oracle::Coherence
            | Oracle::Frames
            | Oracle::Accounting
            | Oracle::Teardown => format!("{oracle}-{kind}-{class}"),
        };
        Signature::cut(&text)
    }

    /// The signature of `then`, to which `first` goes on: one for each `first`, whichever op brings it to light and
    /// whatever is read then.
    pub fn of_consequence(sequence: &Sequence, first: &Divergence, then: &Divergence) -> Signature {
        let text = format!("{}-after-{}", then.oracle, Signature::of(sequence, first));
        Signature::cut(&text)
    }

    fn cut(text: &str) -> Signature {
        let mut text = slug(text);
        text.truncate(LEN_BYTES_MAX);
        Signature(text)
    }

    /// As [`judge`], of a trace that is known to show what has this name: where the first divergence is another one
    /// and goes on to it, it is the one that is told.
    ///
    /// # Panics
    ///
    /// If `predicted` is not one step an op.
    pub fn judge(
        &self,
        sequence: &Sequence,
        predicted: &[PredictedStep],
        trace: &Trace,
    ) -> Verdict {
        let verdict = judge(sequence, predicted, trace);
        let Verdict::Diverges(first) = &verdict else { return verdict };
        self.find(sequence, predicted, trace, first).map_or(verdict, Verdict::Diverges)
    }

    /// What has this name in `trace`, of which `first` is the first divergence: that one, or what it goes on to.
    ///
    /// # Panics
    ///
    /// If `predicted` is not one step an op.
    pub fn find(
        &self,
        sequence: &Sequence,
        predicted: &[PredictedStep],
        trace: &Trace,
        first: &Divergence,
    ) -> Option<Divergence> {
        if Signature::of(sequence, first) == *self {
            return Some(first.clone());
        }
        let then = consequence(sequence, predicted, trace, first)?;
        (Signature::of_consequence(sequence, first, &then) == *self).then_some(then)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Signature {
    type Error = SignatureError;

    fn try_from(text: String) -> Result<Signature, SignatureError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let right = text.len() <= LEN_BYTES_MAX
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(fits);
        if right { Ok(Signature(text)) } else { Err(SignatureError { text }) }
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> String {
        signature.0
    }
}

impl FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Signature, SignatureError> {
        Signature::try_from(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::parse;

    use super::*;

    fn divergence(op_index: usize, oracle: Oracle, class: &str) -> Divergence {
        Divergence {
            op_index,
            oracle,
            predicted: "0x22".to_owned(),
            seen: "0x00".to_owned(),
            class: class.to_owned(),
            detail: String::new(),
        }
    }

    fn check(op_index: usize, oracle: Oracle, class: &str, want: &str) {
        let sequence = parse("# pinfold 1\nmap 0..1 anon private rw\nread_remote mr7 8\n");
        let found =
            Signature::of(&sequence.unwrap().sequence, &divergence(op_index, oracle, class));
        assert_eq!(found.as_str(), want);
        assert_eq!(want.parse::<Signature>(), Ok(found));
    }

    #[test]
    fn oracle_op_and_class_make_a_signature() {
        let class = "adapter-tag-zero";
        check(1, Oracle::Coherence, class, "coherence-read_remote-adapter-tag-zero");
        check(
            0,
            Oracle::Accounting,
            "registrar.vm_pin.more",
            "accounting-map-registrar.vm_pin.more",
        );
        check(2, Oracle::Teardown, "pins.more", "teardown-end-pins.more");
    }

    #[test]
    fn a_report_of_the_kernel_is_one_whatever_op_was_running() {
        let class = "warning-in-try_get_folio";
        check(0, Oracle::KernelLog, class, "kernel_log-warning-in-try_get_folio");
        check(1, Oracle::KernelLog, class, "kernel_log-warning-in-try_get_folio");
    }

    #[test]
    fn a_signature_can_name_a_folder_however_long_its_class() {
        let long = divergence(0, Oracle::Frames, &"Ab/c ".repeat(100));
        let signature = Signature::of(&Sequence::default(), &long);
        assert_eq!(signature.as_str().len(), LEN_BYTES_MAX);
        assert_eq!(signature.as_str().parse(), Ok(signature));
    }

    #[test]
    fn what_cannot_name_a_folder_is_no_signature() {
        for text in ["", "..", ".hidden", "a/b", "A", "a b", "-a"] {
            assert!(text.parse::<Signature>().is_err(), "{text}");
        }
    }

    #[test]
    fn it_is_stored_as_its_text() {
        let signature: Signature = "outcome-reg-ok-efault".parse().unwrap();
        let json = serde_json::to_string(&signature).unwrap();
        assert_eq!(json, "\"outcome-reg-ok-efault\"");
        assert_eq!(serde_json::from_str::<Signature>(&json).unwrap(), signature);
        assert!(serde_json::from_str::<Signature>("\"../x\"").is_err());
    }
}
