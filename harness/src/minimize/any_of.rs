//! Answers of a target that does not always answer alike.

use pinfold_contract::Sequence;

/// Asks `question` up to `tries` times, and takes the first yes.
///
/// For a divergence that comes in some runs only: one no would make the minimizer keep an op that is not needed, and a
/// first no would make it give up at once.
pub fn any_of(
    tries: u32,
    mut question: impl FnMut(&Sequence) -> bool,
) -> impl FnMut(&Sequence) -> bool {
    move |sequence| (0..tries).any(|_| question(sequence))
}

#[cfg(test)]
mod tests {
    use pinfold_contract::OpKind;

    use super::*;
    use crate::generate::Generator;
    use crate::minimize::minimize;

    /// Has a registration, and shows it in one run of three.
    fn flaky() -> impl FnMut(&Sequence) -> bool {
        let mut drawn = 1u32;
        move |sequence| {
            drawn = drawn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            sequence.ops.iter().any(|op| op.kind() == OpKind::Reg)
                && (drawn >> 16).is_multiple_of(3)
        }
    }

    #[test]
    fn what_shows_in_one_run_of_three_is_not_lost() {
        let sequence = Generator::new(3).sequence(0);
        assert!(sequence.ops.len() > 10);
        let least = minimize(sequence, any_of(20, flaky()));
        assert_eq!(least.ops.iter().map(|op| op.kind()).collect::<Vec<_>>(), [OpKind::Reg]);
    }

    #[test]
    fn a_yes_ends_the_asking() {
        let mut asked = 0;
        let mut question = any_of(5, |_| {
            asked += 1;
            asked == 2
        });
        assert!(question(&Sequence::default()));
        drop(question);
        assert_eq!(asked, 2);
    }
}
