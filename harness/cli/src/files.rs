//! Sequences in files that a command line names.

use std::path::{Path, PathBuf};

use pinfold::capability::lacking;
use pinfold_contract::SeqFile;
use pinfold_run::{TargetName, left_out_lines, profile_of, read_seq};

use crate::exit;
use crate::output::say;

/// What is in `paths`. A file that gives no sequence is told of and left out: the others are run all the same, and whoever
/// calls sees that there are fewer.
pub(crate) fn read_all(paths: &[PathBuf]) -> Vec<(&Path, SeqFile)> {
    let mut read = Vec::new();
    for path in paths {
        match read_seq(path) {
            Ok(file) => {
                say_what_is_left_out(path);
                read.push((path.as_path(), file));
            }
            Err(error) => say(&exit::message(&error.into())),
        }
    }
    read
}

/// Says how many lines of what libFuzzer left are no op: its fuzz targets left them out as well.
fn say_what_is_left_out(path: &Path) {
    let count = left_out_lines(path);
    if count > 0 {
        let lines = if count == 1 { "line is" } else { "lines are" };
        say(&format!("{}: {count} {lines} no op, and left out", path.display()));
    }
}

/// Says what `file` asks for and the target called `name` lacks, as far as its name tells; and whether that is anything.
pub(crate) fn say_what_is_lacking(path: &Path, file: &SeqFile, name: &TargetName) -> bool {
    let lacks = lacking(profile_of(name), file);
    lacks.iter().for_each(|lack| say(&format!("{}: {lack}", path.display())));
    !lacks.is_empty()
}
