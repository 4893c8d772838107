//! No bytes on the wire make its reader panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_props::wire_is_robust(bytes));
