//! Words for a person, on the console. The host's messages go over the wire.

use std::io::Write;

/// Prints one line.
pub(crate) fn say(line: &str) {
    // A console that cannot be written to leaves nobody to tell.
    let _ = std::io::stderr().write_all(format!("pinfold-executor: {line}\n").as_bytes());
}
