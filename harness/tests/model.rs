//! The model is total, and agrees with itself.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use arbitrary::{Arbitrary, Unstructured};
use pinfold::model::{perform, predict};
use pinfold::profile::Profile;
use pinfold_contract::{End, Observe, Sequence, Teardown};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

#[test]
fn every_sequence_has_a_prediction_and_the_model_keeps_it() {
    for profile in Profile::all() {
        for rng_seed in 0..3000 {
            let mut bytes = [0; 600];
            ChaCha8Rng::seed_from_u64(rng_seed).fill_bytes(&mut bytes);
            let sequence = Sequence::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
            let predicted = predict(profile, &sequence, Observe::Each);
            let trace = perform(profile, None, &sequence, Observe::Each);
            assert_eq!(predicted.len(), sequence.ops.len());
            for (prediction, step) in predicted.iter().zip(&trace.steps) {
                assert!(prediction.prediction.allows(&step.outcome));
                assert_eq!(prediction.checkpoint, step.checkpoint);
            }
            let quiet = End::Finished { teardown: Teardown::default(), kernel_log: String::new() };
            assert_eq!(trace.end, quiet);
        }
    }
}
