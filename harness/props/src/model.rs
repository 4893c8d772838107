//! The model as its own target.

use pinfold::model;
use pinfold::oracle::{self, Verdict};
use pinfold::profile::Profile;
use pinfold_contract::{Observe, Sequence, print};

/// The oracles find nothing wrong with the model, whichever kernel it plays and however often the state is looked at.
pub fn model_agrees(sequence: &Sequence) {
    for profile in Profile::ALL {
        for observe in [Observe::Each, Observe::End] {
            let predicted = model::predict(profile, sequence, observe);
            let trace = model::perform(profile, None, sequence, observe);
            let verdict = oracle::judge(sequence, &predicted, &trace);
            assert_eq!(
                verdict,
                Verdict::Agrees,
                "model:{} of\n{}",
                profile.series,
                print(sequence)
            );
        }
    }
}
