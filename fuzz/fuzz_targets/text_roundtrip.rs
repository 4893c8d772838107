//! Every sequence survives being printed and read.
#![no_main]

pinfold_fuzz::sequence_target!(pinfold_props::text_roundtrip);
