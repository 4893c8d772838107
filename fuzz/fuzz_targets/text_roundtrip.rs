//! Every sequence survives being printed and read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinfold_contract::decode;

fuzz_target!(|bytes: &[u8]| pinfold_props::text_roundtrip(&decode(bytes).sequence));
