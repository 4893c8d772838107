//! Where defects come from: those that belong to this version of Pinfold, or those of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pinfold::defects::{DESCRIPTION, DefectFolder, Defects, FOLDER};

use crate::error::RunError;

/// The folders of `corpus/defects`: slug, and names and texts of the files that [`Defects::parse`] reads.
const EMBEDDED: &[(&str, &[(&str, &str)])] = &include!(concat!(env!("OUT_DIR"), "/defects.rs"));

/// The defects that belong to this version of Pinfold: `corpus/defects`.
///
/// # Errors
///
/// If one is wrong, which a test of this crate excludes.
pub fn embedded_defects() -> Result<Defects, RunError> {
    let folders = EMBEDDED.iter().map(|(slug, files)| DefectFolder { slug, files: files.to_vec() });
    Defects::parse(folders).map_err(|wrong| RunError::Defects { folder: FOLDER.into(), wrong })
}

/// The defects of a folder: each folder in it is one.
///
/// # Errors
///
/// If it cannot be read, or one of them is wrong.
pub fn read_defects(folder: &Path) -> Result<Defects, RunError> {
    let mut read: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let files = read.entry(name(&path)).or_default();
        for file in entries(&path)?.into_iter().filter(|file| is_read(&name(file))) {
            let text = fs::read_to_string(&file)
                .map_err(|source| RunError::Read { path: file.clone(), source })?;
            files.insert(name(&file), text);
        }
    }
    let folders = read.iter().map(|(slug, files)| DefectFolder {
        slug,
        files: files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect(),
    });
    Defects::parse(folders).map_err(|wrong| RunError::Defects { folder: folder.to_owned(), wrong })
}

/// Whether [`Defects::parse`] looks at a file of this name; `build.rs` asks the same.
fn is_read(name: &str) -> bool {
    name == DESCRIPTION || name.ends_with(".patch")
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    let failed = |source| RunError::Read { path: folder.to_owned(), source };
    let found = fs::read_dir(folder).map_err(failed)?;
    found.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// No defects.
pub(crate) fn no_defects() -> &'static Defects {
    static NONE: std::sync::OnceLock<Defects> = std::sync::OnceLock::new();
    NONE.get_or_init(Defects::default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FOLDER)
    }

    #[test]
    fn what_is_embedded_is_what_is_in_the_folder() {
        assert_eq!(embedded_defects().unwrap(), read_defects(&corpus()).unwrap());
    }

    #[test]
    fn a_wrong_folder_is_named_with_file_line_and_column() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("lost-write");
        fs::create_dir(&folder).unwrap();
        let error = read_defects(root.path()).unwrap_err().to_string();
        assert!(error.contains("lost-write/defect.toml:1:1: there is no such file"), "{error}");
        fs::write(folder.join(DESCRIPTION), "title = \"t\"\nsource = 3\n").unwrap();
        let error = read_defects(root.path()).unwrap_err().to_string();
        let place = folder.join("defect.toml:2:10: ").display().to_string();
        assert!(error.starts_with(&place), "{error}");
    }
}
