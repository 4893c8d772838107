//! The reference model: what a right kernel does with a sequence.

mod planted;
mod prediction;

pub use planted::Fault;
pub use prediction::{PredictedStep, Prediction};

use pinfold_contract::{Observe, Sequence, Trace};

use crate::profile::Profile;

/// Predicts what `sequence` does on a kernel of `profile`, op by op.
pub fn predict(_profile: &Profile, _sequence: &Sequence, _observe: Observe) -> Vec<PredictedStep> {
    unimplemented!()
}

/// Runs `sequence` on the model as if it were a target, with a fault planted or none.
pub fn perform(
    _profile: &Profile,
    _fault: Option<Fault>,
    _sequence: &Sequence,
    _observe: Observe,
) -> Trace {
    unimplemented!()
}
