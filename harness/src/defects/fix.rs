//! A fix: the patch that mends a defect, and the kernels that it is for.

use super::range::{Forms, Range};
use super::stored::{DefectsError, Place};

/// A patch of a defect's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Its file: `fix.patch`, or `fix@6.1.patch` where the kernels need several.
    pub file: String,
    /// Which kernels it is for, as its header says: "6.12..".
    pub series: String,
    /// The patch.
    pub text: String,
    pub(super) range: Range,
}

/// The field of the header that says which kernels a fix is for.
const SERIES: &str = "Series: ";

/// Whether `name` is that of a fix.
pub(super) fn is_fix(name: &str) -> bool {
    name.starts_with("fix") && name.ends_with(".patch")
}

/// Reads `text`, which is the content of `place.file`.
pub(super) fn read(name: &str, place: Place<'_>, text: &str) -> Result<Fix, DefectsError> {
    let header = text.lines().take_while(|line| !line.starts_with("--- "));
    let found =
        header.enumerate().find_map(|(index, line)| Some((index, line.strip_prefix(SERIES)?)));
    let Some((line, series)) = found else {
        let message = format!(
            "its header has no line `{SERIES}RANGE`: write one above the diff that says which kernels it is for ({Forms})"
        );
        return Err(place.error_on(1, message));
    };
    let line = line + 1;
    let Some(range) = Range::parse(series) else {
        return Err(
            place.error_on(line, format!("`{series}` is no range of kernels: write {Forms}"))
        );
    };
    let called = name.strip_prefix("fix").and_then(|rest| rest.strip_suffix(".patch"));
    let is_called_so =
        called.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('@') == Some(series));
    if !is_called_so {
        let message = format!("it is for {series}: call it fix.patch or fix@{series}.patch");
        return Err(place.error_on(line, message));
    }
    Ok(Fix { file: name.to_owned(), series: series.to_owned(), text: text.to_owned(), range })
}
