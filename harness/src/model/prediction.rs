//! What the model says of one op.

use std::fmt;

use pinfold_contract::{Checkpoint, Outcome};

/// The outcomes that a right kernel may give, the likeliest first. Never empty.
///
/// All of them leave the same state behind: which of two bad arguments is
/// complained of first is not a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    expected: Outcome,
    others: Vec<Outcome>,
}

impl Prediction {
    /// Only `outcome` is right.
    pub fn only(outcome: Outcome) -> Prediction {
        Prediction { expected: outcome, others: Vec::new() }
    }

    /// `expected` is right and so is each of `others`.
    pub fn any_of(expected: Outcome, others: Vec<Outcome>) -> Prediction {
        Prediction { expected, others }
    }

    /// Whether a right kernel may give `outcome`.
    pub fn allows(&self, outcome: &Outcome) -> bool {
        self.expected == *outcome || self.others.contains(outcome)
    }

    /// The likeliest.
    pub fn expected(&self) -> &Outcome {
        &self.expected
    }
}

/// `EFAULT`, or `EFAULT or EINVAL`.
impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expected)?;
        self.others.iter().try_for_each(|other| write!(f, " or {other}"))
    }
}

/// What the model says of one op and of the state after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictedStep {
    /// What it may do.
    pub prediction: Prediction,
    /// The state after it, where it is looked at. Frames have the model's names.
    pub checkpoint: Option<Checkpoint>,
}
