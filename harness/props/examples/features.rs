//! Counts what the inputs in some folders show of the model, whatever they were found with:
//! `cargo run --release -p pinfold-props --example features -- fuzz/corpus/model_agrees`.
#![allow(clippy::print_stdout, reason = "it is for a person at a terminal")]

use std::collections::BTreeSet;
use std::{env, fs, io};

use pinfold::features::features;
use pinfold::profile::Profile;
use pinfold_contract::decode;

fn main() -> io::Result<()> {
    for folder in env::args().skip(1) {
        let (mut files, mut distinct) = (0, BTreeSet::new());
        for entry in fs::read_dir(&folder)? {
            let bytes = fs::read(entry?.path())?;
            distinct.extend(features(Profile::newest(), &decode(&bytes).sequence));
            files += 1;
        }
        println!("{folder}: {files} inputs, {} features", distinct.len());
    }
    Ok(())
}
