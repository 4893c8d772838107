//! Shows a person what happened, op by op, model beside kernel.

use pinfold_contract::{Sequence, Trace};

use crate::{model::PredictedStep, oracle::Verdict};

/// Plain text of at most 100 columns, a block an op.
pub fn explain(
    _sequence: &Sequence,
    _predicted: &[PredictedStep],
    _trace: &Trace,
    _verdict: &Verdict,
) -> String {
    unimplemented!()
}
