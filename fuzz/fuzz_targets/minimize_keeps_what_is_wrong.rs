//! The minimizer keeps what is wrong with a sequence, and nothing else.
#![no_main]

pinfold_fuzz::sequence_target!(pinfold_props::minimize_keeps_what_is_wrong);
