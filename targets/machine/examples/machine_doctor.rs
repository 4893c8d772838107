//! Prints what a host has for bringing machines up, and with `--executor` builds the executor.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;

use pinfold_machine::{Cache, doctor, executor};

fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::from_environment()?;
    for finding in doctor::examine(&cache, &[]) {
        println!("{:?} {}: {} {}", finding.state, finding.what, finding.detail, finding.way_out);
    }
    if std::env::args().any(|argument| argument == "--executor") {
        let path = executor::provide(&cache, None, &mut |progress| println!("{progress}"))?;
        println!("{}", path.display());
    }
    Ok(())
}
