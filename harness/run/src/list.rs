//! The list of defects in documents: written from their folders, so that it never differs from them.

use std::fs;
use std::path::{Path, PathBuf};

use pinfold::defects::{FOLDER, markdown, with_list};

use crate::bundle::replace;
use crate::defects::read_defects;
use crate::error::RunError;
use crate::sources::checkout;

/// The documents, and what stands before a slug in their links.
const DOCUMENTS: [(&str, &str); 2] =
    [("README.md", "corpus/defects/"), ("corpus/defects/README.md", "")];

/// The documents of the checkout that `start` is in whose list is not what the folders say, each with what it has to be.
///
/// # Errors
///
/// If there is no checkout, something in it cannot be read, or a document has no place for the list.
pub fn outdated_lists(start: &Path) -> Result<Vec<(PathBuf, String)>, RunError> {
    let root = checkout(start)?;
    let defects = read_defects(&root.join(FOLDER))?;
    let mut outdated = Vec::new();
    for (name, to_folders) in DOCUMENTS {
        let path = root.join(name);
        let text = fs::read_to_string(&path)
            .map_err(|source| RunError::Read { path: path.clone(), source })?;
        let wanted = with_list(&text, &markdown(&defects, to_folders))
            .ok_or_else(|| RunError::NoList { file: path.clone() })?;
        if wanted != text {
            outdated.push((path, wanted));
        }
    }
    Ok(outdated)
}

/// Brings the documents of the checkout that `start` is in up to date; gives those that were not.
///
/// # Errors
///
/// As [`outdated_lists`], or if one cannot be written.
pub fn write_lists(start: &Path) -> Result<Vec<PathBuf>, RunError> {
    let outdated = outdated_lists(start)?;
    for (path, text) in &outdated {
        replace(path, text.as_bytes())?;
    }
    Ok(outdated.into_iter().map(|(path, _)| path).collect())
}

/// The folder of all defects in the checkout that `start` is in.
///
/// # Errors
///
/// If it is in none.
pub fn defects_folder(start: &Path) -> Result<PathBuf, RunError> {
    Ok(checkout(start)?.join(FOLDER))
}
