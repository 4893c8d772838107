//! A real kernel does what the model allows, for every sequence.
#![no_main]

use pinfold_props::{rxe_agrees, rxe_edges, rxe_profile};

pinfold_fuzz::sequence_target!(rxe_agrees, rxe_edges, rxe_profile);
