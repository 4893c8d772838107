//! Makes of a sequence one C file that a kernel developer can read and run.
//!
//! The program does with real calls what the sequence says, and checks what the
//! model predicts: each outcome, and at the end of it, or where a divergence is
//! shown, the state. It names nothing of this project and needs libibverbs at
//! most. Exit status 0: the kernel is right; 1: it is wrong; 4: the program
//! cannot tell.

mod body;
mod calls;
mod completion;
mod page;
mod phrase;
mod pieces;
mod state;
mod words;

use pinfold_contract::{Observe, Sequence};

use crate::model;
use crate::oracle::Divergence;
use crate::profile::Profile;

/// What a program is made of.
#[derive(Clone, Debug)]
pub struct Reproduction<'a> {
    /// The ops.
    pub sequence: &'a Sequence,
    /// The rules that the kernel is held to.
    pub profile: &'static Profile,
    /// What it is about, in one line.
    pub title: &'a str,
    /// Kernels on which it was seen, each in a few words.
    pub seen_on: &'a [String],
    /// What to show. Without it every outcome is checked, and all of the final state.
    pub divergence: Option<&'a Divergence>,
}

/// The C file.
pub fn c_program(reproduction: &Reproduction<'_>) -> String {
    let Reproduction { sequence, profile, divergence, .. } = *reproduction;
    let predicted = model::predict(profile, sequence, Observe::Each);
    page::page(reproduction, &body::body(sequence, &predicted, divergence))
}

#[cfg(test)]
mod tests;
