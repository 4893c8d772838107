//! Lists the stored sequences, so that a program that is somewhere else has them with it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders of the corpus, in the order in which they are replayed.
const FOLDERS: [&str; 5] = ["seeds", "scenarios", "litmus", "regress", "known"];

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../corpus");
    let mut text = String::from("[\n");
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={}", corpus.join(folder).display());
        for file in sequences(&corpus.join(folder))? {
            let name = Path::new("corpus").join(file.strip_prefix(&corpus)?);
            writeln!(
                text,
                "({:?}, include_str!({:?})),",
                name.display().to_string(),
                file.canonicalize()?
            )?;
        }
    }
    text.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("stored.rs"), text)?;
    Ok(())
}

fn sequences(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sequences(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "seq") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
