//! A real kernel does what the model allows, for every sequence.
#![no_main]

pinfold_fuzz::sequence_target!(pinfold_props::rxe_agrees, pinfold_props::rxe_edges);
