//! Shortens a sequence while it keeps what is wrong with it.

use pinfold_contract::Sequence;

/// Returns a sequence that has it and from which no single op can be removed without losing it.
///
/// The same predicate gives the same sequence. Returns `sequence` as it is if
/// `still_has_it` is false of that already.
pub fn minimize(sequence: Sequence, mut still_has_it: impl FnMut(&Sequence) -> bool) -> Sequence {
    if !still_has_it(&sequence) {
        return sequence;
    }
    unimplemented!()
}
