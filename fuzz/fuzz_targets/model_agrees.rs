//! The oracles find nothing wrong with the model, for every sequence.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinfold_contract::decode;

fuzz_target!(|bytes: &[u8]| pinfold_props::model_agrees(&decode(bytes).sequence));
