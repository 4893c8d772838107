//! Compiles a reproducer as its reader would, or statically, for a guest that has nothing else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::RunError;

/// How a program finds its libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linking {
    /// When it is started: the build line in the file's heading.
    Dynamic,
    /// Inside it, the provider of rxe too.
    Static,
}

/// What a reproducer must compile with and without a word.
const FLAGS: [&str; 5] = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread"];

/// Compiles the C file `source` to `program`.
///
/// # Errors
///
/// If there is no compiler or no library, or the compiler has something to say.
pub fn compile_c(source: &Path, program: &Path, linking: Linking) -> Result<(), RunError> {
    let failed = |reason: String| RunError::Compile { source_file: source.to_owned(), reason };
    let mut command = Command::new("cc");
    command.args(FLAGS).arg("-o").arg(program).arg(source);
    match linking {
        Linking::Dynamic => command.arg("-libverbs"),
        Linking::Static => {
            let provider = rxe_provider().ok_or_else(|| {
                failed("there is no static librxe-rdmav*.a: install libibverbs-dev".to_owned())
            })?;
            // Each of them needs others: the linker goes round until all is found.
            command.args(["-static", "-DRDMA_STATIC_PROVIDERS=rxe", "-Wl,--start-group"]);
            command.arg(provider).args(["-libverbs", "-lnl-route-3", "-lnl-3", "-Wl,--end-group"])
        }
    };
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()))
    }
}

/// The static provider of rxe, whose name has the number of its interface in it.
fn rxe_provider() -> Option<PathBuf> {
    let library = Command::new("cc").arg("-print-file-name=libibverbs.a").output().ok()?.stdout;
    let library = PathBuf::from(String::from_utf8(library).ok()?.trim_end());
    let entries = std::fs::read_dir(library.parent()?).ok()?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("librxe-rdmav") && name.ends_with(".a")
        })
        .collect();
    found.sort();
    found.pop()
}
