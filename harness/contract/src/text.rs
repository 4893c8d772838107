//! The text form of a sequence (`.seq`): one op a line.
//!
//! The first line is the version. `#` begins a comment; a comment behind an op
//! that begins with `=` is an expectation (`# = EFAULT`, or, where kernels
//! differ, `# = <6.2: EFAULT, ok`; behind a `;` the memory bill). The grammar of ops is only ever appended to:
//! what was once a sequence stays that sequence.

mod expectation;
mod line;
mod print;
mod why;
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

/// `text` as a terminal may be given it: a character that would move the cursor, change a colour or turn the writing
/// direction is shown as its number. Line ends and tabs stay.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if turns || c.is_control() && !matches!(c, '\n' | '\t') {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Reads a text strictly.
///
/// # Errors
///
/// The first line that is no op or whose expectation leaves a kernel out, with its place; no version line; more than
/// [`OPS_MAX`] ops.
pub fn parse(text: &str) -> Result<SeqFile, ParseError> {
    let error = |line, message: &str| ParseError { line, column: 1, message: message.to_owned() };
    let first = text.lines().next().unwrap_or_default().trim_end();
    if first != VERSION_LINE {
        let why = if first.starts_with('\u{feff}') {
            ", and not with a byte order mark"
        } else if first.starts_with("# pinfold") {
            ": another version of the text form is not known here"
        } else {
            ""
        };
        return Err(error(1, &format!("a sequence begins with the line `{VERSION_LINE}`{why}")));
    }
    let mut file = SeqFile::default();
    for (index, line) in text.lines().enumerate() {
        let here = |error: ParseError| {
            let message = printable(&error.message);
            ParseError { line: index + 1, message, ..error }
        };
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
