//! What the kernel says of where it was while a sequence ran.

use crate::blocks::Blocks;
use crate::calls::Calls;
use crate::failure::{Doing, Failure};

/// Who says it.
#[derive(Debug)]
pub(crate) enum Coverage {
    /// A kernel that notes its blocks.
    Blocks(Blocks),
    /// ftrace.
    Calls(Calls),
}

impl Coverage {
    /// What this kernel has, if anything, and if it is wanted.
    pub(crate) fn open() -> Result<Option<Coverage>, Failure> {
        if let Some(blocks) = Blocks::open()? {
            return Ok(Some(Coverage::Blocks(blocks)));
        }
        Ok(Calls::open()?.map(Coverage::Calls))
    }

    /// Forgets what was.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        match self {
            Coverage::Blocks(blocks) => {
                blocks.clear();
                Ok(())
            }
            Coverage::Calls(calls) => calls.clear().doing("clear the trace"),
        }
    }

    /// The numbers of what was since, each as its distance from the one before.
    pub(crate) fn seen(&mut self) -> Result<Vec<u32>, Failure> {
        match self {
            Coverage::Blocks(blocks) => Ok(distances(blocks.seen())),
            Coverage::Calls(calls) => Ok(distances(calls.seen().doing("read the trace")?)),
        }
    }

    /// Leaves it to the parent: for `p0` and its children, whose memory is counted.
    pub(crate) fn leave(&self) -> Result<(), Failure> {
        match self {
            Coverage::Blocks(blocks) => blocks.leave().doing("unmap the blocks"),
            Coverage::Calls(_) => Ok(()),
        }
    }
}

/// The numbers of the bits that are set, ascending.
pub(crate) fn bits(words: impl IntoIterator<Item = u64>) -> Vec<u32> {
    let mut found = Vec::new();
    for (first, mut word) in (0..).step_by(64).zip(words) {
        while word != 0 {
            found.push(first + word.trailing_zeros());
            word &= word - 1;
        }
    }
    found
}

fn distances(mut ascending: Vec<u32>) -> Vec<u32> {
    let mut last = 0;
    ascending.iter_mut().for_each(|number| {
        let distance = *number - last;
        last = std::mem::replace(number, distance);
    });
    ascending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_lowest_of_the_first_word() {
        assert_eq!(bits([0b1001, 0, 1 << 63]), [0, 3, 191]);
        assert_eq!(bits([0, 0]), []);
    }

    #[test]
    fn numbers_are_told_by_their_distances() {
        assert_eq!(distances(vec![0, 3, 191]), [0, 3, 188]);
        assert_eq!(distances(Vec::new()), []);
    }
}
