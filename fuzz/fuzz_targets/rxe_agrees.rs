//! A real kernel does what the model allows, for every sequence.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinfold_contract::decode;

fuzz_target!(|bytes: &[u8]| {
    pinfold_props::rxe_agrees(&decode(bytes).sequence);
});
