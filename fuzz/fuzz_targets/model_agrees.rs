//! The oracles find nothing wrong with the model, for every sequence.
#![no_main]

pinfold_fuzz::sequence_target!(pinfold_props::model_agrees);
