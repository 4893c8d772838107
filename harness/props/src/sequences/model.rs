//! The model as its own target.

use pinfold::model::{self, Fault};
use pinfold::oracle::{self, Inconclusive, Verdict};
use pinfold::profile::Profile;
use pinfold_contract::{Observe, Sequence, print};

/// The oracles find nothing wrong with the model, whichever kernel it plays and however often the state is looked at.
///
/// A sequence is inconclusive where the model itself does not know what an op leaves, and nowhere else.
///
/// Prediction and trace come from the same rules: **this says nothing of whether a rule is right**, which only kernels can. It
/// proves that no sequence makes the model panic, that the oracles raise no false alarm on a target that does what was
/// predicted, that nothing is dropped between rules and trace, and that the model gives the same answer twice. That it can fail is
/// shown by [`model_disagrees`], the same question with a bug planted on one side.
pub fn model_agrees(sequence: &Sequence) {
    for profile in Profile::all() {
        for observe in [Observe::Each, Observe::End] {
            let (verdict, wanted) = judged_by_itself(profile, None, sequence, observe);
            assert_eq!(verdict, wanted, "model:{} of\n{}", profile.series, print(sequence));
        }
    }
}

/// Whether [`model_agrees`] would fail for `sequence` if the target's side had `fault`, on some kernel and whether the state
/// is looked at after each op or at the end.
pub fn model_disagrees(fault: Fault, sequence: &Sequence) -> bool {
    Profile::all().iter().map(|profile| fault.shown_on(profile)).any(|profile| {
        [Observe::Each, Observe::End].into_iter().any(|observe| {
            let (verdict, wanted) = judged_by_itself(profile, Some(fault), sequence, observe);
            verdict != wanted
        })
    })
}

/// What the oracles say of the model with `fault` as a target, and what they have to say if it does what was predicted.
fn judged_by_itself(
    profile: &Profile,
    fault: Option<Fault>,
    sequence: &Sequence,
    observe: Observe,
) -> (Verdict, Verdict) {
    let predicted = model::predict(profile, sequence, observe);
    let trace = model::perform(profile, fault, sequence, observe);
    let verdict = oracle::judge(sequence, &predicted, &trace);
    let followed = predicted.iter().all(|step| step.prediction.follows(step.prediction.expected()));
    let wanted = if followed {
        Verdict::Agrees
    } else {
        Verdict::Inconclusive { reason: Inconclusive::NotFollowed }
    };
    (verdict, wanted)
}
