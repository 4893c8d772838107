//! Sequences in files that a command line names.

use std::path::{Path, PathBuf};

use pinfold::capability::lacking;
use pinfold_contract::SeqFile;
use pinfold_run::{ReadError, TargetName, profile_of, read_counted};

use crate::exit;
use crate::output::say;

/// What is in `paths`. A file that gives no sequence is told of and left out: the others are run all the same, and whoever
/// calls sees that there are fewer.
pub(crate) fn read_all(paths: &[PathBuf]) -> Vec<(&Path, SeqFile)> {
    let mut read_files = Vec::new();
    for path in paths {
        match read(path) {
            Ok(file) => read_files.push((path.as_path(), file)),
            Err(error) => say(&exit::message(&error.into())),
        }
    }
    read_files
}

/// The sequence in `path`. Says how many lines of what libFuzzer left are no op: its fuzz targets left them out as well.
pub(crate) fn read(path: &Path) -> Result<SeqFile, ReadError> {
    let (file, count) = read_counted(path)?;
    if count > 0 {
        let lines = if count == 1 { "line is" } else { "lines are" };
        say(&format!("{}: {count} {lines} no op, and left out", path.display()));
    }
    Ok(file)
}

/// Says what `file` asks for and the target called `name` lacks, as far as its name tells; and whether that is anything.
pub(crate) fn say_what_is_lacking(path: &Path, file: &SeqFile, name: &TargetName) -> bool {
    let lacks = lacking(profile_of(name), file);
    lacks.iter().for_each(|lack| say(&format!("{}: {lack}", path.display())));
    !lacks.is_empty()
}
