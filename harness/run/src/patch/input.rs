//! Where patches come from.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use crate::error::RunError;

/// The text of one or more patches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchInput {
    /// What it is called: the path as it was given.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Reads the patches in `path`; `-` is standard input.
///
/// # Errors
///
/// If it cannot be read.
pub fn read_patch(path: &Path) -> Result<PatchInput, RunError> {
    let wrong = |source| RunError::Read { path: path.to_owned(), source };
    if path != Path::new("-") {
        let bytes = fs::read(path).map_err(wrong)?;
        return Ok(PatchInput { name: path.display().to_string(), bytes });
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(wrong)?;
    Ok(PatchInput { name: "standard input".to_owned(), bytes })
}
