//! The one decoder: any bytes are a sequence.

use arbitrary::{Arbitrary, Unstructured};

use crate::{Sequence, text};

/// What [`decode`] made of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The sequence.
    pub sequence: Sequence,
    /// Lines of text that are no op and were left out.
    pub skipped_line_count: usize,
}

/// Makes a sequence of any bytes: of text when they begin with the version
/// line, a bad line being left out and counted; else through [`Sequence::arbitrary`].
///
/// The strict reading, with an error for a bad line, is [`parse`](crate::parse).
pub fn decode(bytes: &[u8]) -> Decoded {
    if bytes.starts_with(text::VERSION_LINE.as_bytes()) {
        return text::parse_leniently(&String::from_utf8_lossy(bytes));
    }
    let sequence = Sequence::arbitrary(&mut Unstructured::new(bytes)).unwrap_or_default();
    Decoded { sequence, skipped_line_count: 0 }
}
