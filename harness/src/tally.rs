//! What a run did, in numbers.

use pinfold_contract::{OpKind, Sequence, Trace};
use serde::{Deserialize, Serialize};

use crate::{oracle::Verdict, signature::Signature};

/// Counts of one run. Adding two gives the counts of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Sequences judged.
    pub sequences: u64,
    /// Ops that came to an end.
    pub ops: u64,
    /// Sequences in which the target agreed.
    pub agrees: u64,
    /// Sequences with a divergence that nothing explains.
    pub diverges: u64,
    /// Sequences that could not be judged.
    pub inconclusive: u64,
}

impl Tally {
    /// Counts one sequence. `known` is its signature if the known list explains the divergence.
    pub fn record(
        &mut self,
        _sequence: &Sequence,
        _trace: &Trace,
        _verdict: &Verdict,
        _known: Option<&Signature>,
    ) {
        unimplemented!()
    }

    /// Counts a sequence that gave no trace.
    pub fn record_inconclusive(&mut self, _reason: &crate::oracle::Inconclusive) {
        unimplemented!()
    }

    /// Adds what another run counted.
    pub fn add(&mut self, _other: &Tally) {
        unimplemented!()
    }

    /// Kinds of op that never once worked.
    pub fn never_done(&self) -> Vec<OpKind> {
        unimplemented!()
    }

    /// Median of the ops a sequence that were not skipped.
    pub fn executed_ops_median(&self) -> u64 {
        unimplemented!()
    }

    /// The vacuity table, aligned for a terminal.
    pub fn to_text(&self) -> String {
        unimplemented!()
    }

    /// The vacuity table in Markdown.
    pub fn to_markdown(&self) -> String {
        unimplemented!()
    }
}
