//! The model as its own target.

use pinfold::model;
use pinfold::oracle::{self, Inconclusive, Verdict};
use pinfold::profile::Profile;
use pinfold_contract::{Observe, Sequence, print};

/// The oracles find nothing wrong with the model, whichever kernel it plays and however often the state is looked at.
///
/// A sequence is inconclusive where the model itself does not know what an op leaves, and nowhere else.
pub fn model_agrees(sequence: &Sequence) {
    for profile in Profile::all() {
        for observe in [Observe::Each, Observe::End] {
            let predicted = model::predict(profile, sequence, observe);
            let trace = model::perform(profile, None, sequence, observe);
            let verdict = oracle::judge(sequence, &predicted, &trace);
            let followed =
                predicted.iter().all(|step| step.prediction.follows(step.prediction.expected()));
            let wanted = if followed {
                Verdict::Agrees
            } else {
                Verdict::Inconclusive { reason: Inconclusive::NotFollowed }
            };
            assert_eq!(verdict, wanted, "model:{} of\n{}", profile.series, print(sequence));
        }
    }
}
