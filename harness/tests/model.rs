//! The model is total, and as a target of its own does what it predicts.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use arbitrary::{Arbitrary, Unstructured};
use pinfold::model::{Fault, PredictedStep, perform, predict};
use pinfold::profile::Profile;
use pinfold_contract::{End, Observe, Sequence, Teardown, Trace};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const SEQUENCES: u64 = 3000;

fn sequence(rng_seed: u64) -> Sequence {
    let mut bytes = [0; 600];
    ChaCha8Rng::seed_from_u64(rng_seed).fill_bytes(&mut bytes);
    Sequence::arbitrary(&mut Unstructured::new(&bytes)).unwrap()
}

/// Whether a target that made `trace` did what was predicted and left nothing: by plain comparison, no oracle is asked.
fn is_kept(predicted: &[PredictedStep], trace: &Trace) -> bool {
    let quiet = End::Finished { teardown: Teardown::default(), kernel_log: String::new() };
    assert_eq!(predicted.len(), trace.steps.len());
    trace.end == quiet
        && predicted.iter().zip(&trace.steps).all(|(prediction, step)| {
            prediction.prediction.allows(&step.outcome)
                && prediction.checkpoint == step.checkpoint
                && step.kernel_log.is_empty()
        })
}

/// Both sides come from the same rules: this says that the model is total, that it gives the same answer twice and that its
/// trace holds what it predicted, and nothing of whether a rule is right. The next test shows that it can fail.
#[test]
fn every_sequence_has_a_prediction_and_the_model_keeps_it() {
    for profile in Profile::all() {
        for rng_seed in 0..SEQUENCES {
            let sequence = sequence(rng_seed);
            let predicted = predict(profile, &sequence, Observe::Each);
            assert_eq!(predicted, predict(profile, &sequence, Observe::Each));
            assert_eq!(predicted.len(), sequence.ops.len());
            assert!(is_kept(&predicted, &perform(profile, None, &sequence, Observe::Each)));
        }
    }
}

#[test]
fn a_model_with_a_planted_fault_does_not_keep_what_was_predicted() {
    // One of each kind: what an op answers, what is in the state, what is logged, what is left behind.
    for fault in [
        Fault::WriteRightIgnored,
        Fault::StaleReadOnlyPin,
        Fault::VmPinKept,
        Fault::WarnOnOverlap,
        Fault::TeardownLeak,
    ] {
        let profile = fault.shown_on(Profile::newest());
        let is_kept = |rng_seed| {
            let sequence = sequence(rng_seed);
            let predicted = predict(profile, &sequence, Observe::Each);
            is_kept(&predicted, &perform(profile, Some(fault), &sequence, Observe::Each))
        };
        assert!(
            !(0..SEQUENCES).all(is_kept),
            "{fault} makes no difference to {SEQUENCES} sequences"
        );
    }
}
