//! Answers that are remembered, by the content of the sequence.

use std::collections::BTreeMap;

use pinfold_contract::{Sequence, print};

/// Asks `question` once of each sequence, and answers from memory after that.
///
/// For targets that answer alike whenever they are asked. Passes ask the same again and again on their last round,
/// where nothing goes any more.
pub fn cached(mut question: impl FnMut(&Sequence) -> bool) -> impl FnMut(&Sequence) -> bool {
    let mut answers = BTreeMap::new();
    move |sequence| *answers.entry(print(sequence)).or_insert_with(|| question(sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Generator;

    #[test]
    fn each_sequence_is_asked_about_once() {
        let sequences = [0, 1, 0, 1, 0].map(|index| Generator::new(5).sequence(index));
        let mut asked = 0;
        let mut is_even = cached(|sequence| {
            asked += 1;
            sequence.ops.len().is_multiple_of(2)
        });
        for sequence in &sequences {
            assert_eq!(is_even(sequence), sequence.ops.len().is_multiple_of(2));
        }
        drop(is_even);
        assert_eq!(asked, 2);
    }
}
