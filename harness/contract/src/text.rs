//! The text form of a sequence (`.seq`): one op a line.
//!
//! The first line is the version. `#` begins a comment; a comment behind an op
//! that begins with `=` is an expectation (`# = EFAULT`, or, where kernels
//! differ, `# = <6.2: EFAULT, ok`; behind a `;` the memory bill). The grammar of ops is only ever appended to:
//! what was once a sequence stays that sequence.

mod expectation;
mod line;
mod print;
mod word;
mod words;

use crate::{Decoded, OPS_MAX, Sequence};
pub use expectation::{Cases, Condition, Expectation, PLATFORMS, SeriesRange};
use line::parse_line;
pub use print::print_op;

/// The line that every `.seq` text begins with.
pub const VERSION_LINE: &str = "# pinfold 1";

/// Why a text is no sequence, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

/// A parsed text: the sequence, and the expectation beside each op.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeqFile {
    /// The sequence.
    pub sequence: Sequence,
    /// As many as ops.
    pub expectations: Vec<Option<Expectation>>,
}

/// Reads a text strictly.
///
/// # Errors
///
/// The first line that is no op or whose expectation leaves a kernel out, with its place; no version line; more than
/// [`OPS_MAX`] ops.
pub fn parse(text: &str) -> Result<SeqFile, ParseError> {
    let error = |line, message: &str| ParseError { line, column: 1, message: message.to_owned() };
    if text.lines().next().map(str::trim_end) != Some(VERSION_LINE) {
        return Err(error(1, "a sequence begins with the line `# pinfold 1`"));
    }
    let mut file = SeqFile::default();
    for (index, line) in text.lines().enumerate() {
        let here = |error| ParseError { line: index + 1, ..error };
        let Some(op) = parse_line(line).map_err(here)? else {
            continue;
        };
        if file.sequence.ops.len() == OPS_MAX {
            return Err(error(index + 1, "a sequence has at most 4096 ops; split it"));
        }
        file.sequence.ops.push(op);
        file.expectations.push(expectation::read(line).map_err(here)?);
    }
    Ok(file)
}

/// Reads a text, leaving out and counting what is no op.
pub(crate) fn parse_leniently(text: &str) -> Decoded {
    let mut decoded = Decoded { sequence: Sequence::default(), skipped_line_count: 0 };
    for line in text.lines() {
        match parse_line(line) {
            Ok(Some(op)) if decoded.sequence.ops.len() < OPS_MAX => decoded.sequence.ops.push(op),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => decoded.skipped_line_count += 1,
        }
    }
    decoded
}

/// Writes a sequence so that [`parse`] reads the same one.
pub fn print(sequence: &Sequence) -> String {
    let mut text = format!("{VERSION_LINE}\n");
    for op in &sequence.ops {
        text.push_str(&print_op(op));
        text.push('\n');
    }
    text
}
