//! The text form of a sequence (`.seq`): one op a line.
//!
//! The first line is the version. `#` begins a comment; a comment behind an op
//! that begins with `=` is an expectation (`# = EFAULT`, or, where kernels
//! differ, `# = 6.1: EFAULT, 6.12: ok`; behind a `;` the memory bill). The grammar is only ever appended to:
//! what was once a sequence stays that sequence.

mod line;
mod print;
mod word;
mod words;

use crate::{Decoded, OPS_MAX, Sequence};
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

/// What an op is expected to do and, if it registers, to cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The outcome as text.
    pub outcome: Cases,
    /// The memory bill as text (`frames=1 cow=0 pin=4 rss=4`, the last two in KiB).
    pub bill: Cases,
}

impl Expectation {
    /// The outcome expected on `kernel` ("6.1"), if anything is said about it.
    pub fn on(&self, kernel: &str) -> Option<&str> {
        self.outcome.on(kernel)
    }
}

/// What is expected, for all kernels or kernel by kernel: `(kernel, text)`, where no kernel means every kernel not named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cases(Vec<(Option<String>, String)>);

impl Cases {
    /// What is expected on `kernel` ("6.1"), if anything is said about it.
    pub fn on(&self, kernel: &str) -> Option<&str> {
        let named = self.0.iter().find(|(name, _)| name.as_deref() == Some(kernel));
        let fallback = || self.0.iter().find(|(name, _)| name.is_none());
        named.or_else(fallback).map(|(_, text)| text.as_str())
    }

    /// What is expected on a kernel that `names` are names of: what is said of the first of them of which anything is.
    pub fn on_any(&self, names: &[&str]) -> Option<&str> {
        let is_named =
            |wanted: &&&str| self.0.iter().any(|(name, _)| name.as_deref() == Some(**wanted));
        self.on(names.iter().find(is_named).unwrap_or(&""))
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn read(text: &str) -> Cases {
        let cases = text.split(',').map(|case| match case.split_once(':') {
            Some((kernel, text)) => (Some(kernel.trim().to_owned()), text.trim().to_owned()),
            None => (None, case.trim().to_owned()),
        });
        Cases(cases.filter(|(_, text)| !text.is_empty()).collect())
    }
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
/// The first line that is no op, with its place; no version line; more than [`OPS_MAX`] ops.
pub fn parse(text: &str) -> Result<SeqFile, ParseError> {
    let error = |line, message: &str| ParseError { line, column: 1, message: message.to_owned() };
    if text.lines().next().map(str::trim_end) != Some(VERSION_LINE) {
        return Err(error(1, "a sequence begins with the line `# pinfold 1`"));
    }
    let mut file = SeqFile::default();
    for (index, line) in text.lines().enumerate() {
        let Some(op) = parse_line(line).map_err(|e| ParseError { line: index + 1, ..e })? else {
            continue;
        };
        if file.sequence.ops.len() == OPS_MAX {
            return Err(error(index + 1, "a sequence has at most 4096 ops; split it"));
        }
        file.sequence.ops.push(op);
        file.expectations.push(expectation(line));
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

/// The expectation in a comment: `= OUTCOME`, `= OUTCOME; bill BILL` or `=; bill BILL`.
fn expectation(line: &str) -> Option<Expectation> {
    let (_, comment) = line.split_once('#')?;
    let text = comment.trim().strip_prefix('=')?;
    let (outcome, bill) = text.split_once(';').unwrap_or((text, ""));
    let bill = bill.trim().strip_prefix("bill ").unwrap_or_default();
    Some(Expectation { outcome: Cases::read(outcome), bill: Cases::read(bill) })
}
