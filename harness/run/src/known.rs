//! Where the list of known divergences comes from.

use std::fs;
use std::path::{Path, PathBuf};

use pinfold::known::Known;

use crate::error::RunError;

const EMBEDDED: &str = include_str!("../../../corpus/known.toml");

/// The list that belongs to this version of Pinfold: `corpus/known.toml`.
///
/// # Errors
///
/// If the list is wrong, which a test of this crate excludes.
pub fn embedded_known() -> Result<Known, RunError> {
    Known::parse(EMBEDDED)
        .map_err(|source| RunError::Known { path: PathBuf::from("corpus/known.toml"), source })
}

/// The list in a file.
///
/// # Errors
///
/// If the file cannot be read or is no such list.
pub fn read_known(path: &Path) -> Result<Known, RunError> {
    let text = fs::read_to_string(path)
        .map_err(|source| RunError::Read { path: path.to_owned(), source })?;
    Known::parse(&text).map_err(|source| RunError::Known { path: path.to_owned(), source })
}

/// The empty list.
pub(crate) fn nothing_known() -> &'static Known {
    static NOTHING: std::sync::OnceLock<Known> = std::sync::OnceLock::new();
    NOTHING.get_or_init(Known::default)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_embedded_list_can_be_read() {
        super::embedded_known().unwrap();
    }
}
