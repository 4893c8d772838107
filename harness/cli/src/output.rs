//! Writing to people and programs, none of which has to be there any more.

use std::io::{self, Write as _};

/// Writes a result to standard output. A reader that went away is no error: the exit status still tells.
pub(crate) fn result(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| anyhow::anyhow!("cannot write the result: {error}")),
    }
}

/// Writes a line to standard error. There is nobody to tell if that fails.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
