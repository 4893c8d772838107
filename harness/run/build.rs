//! Lists the stored sequences and the defects, so that a program that is somewhere else has them with it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders of the corpus, in the order in which they are replayed.
const FOLDERS: [&str; 5] = ["seeds", "scenarios", "litmus", "regress", "defects"];

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../corpus");
    let mut text = String::from("[\n");
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={}", corpus.join(folder).display());
        for file in sequences(&corpus.join(folder))? {
            let name = Path::new("corpus").join(file.strip_prefix(&corpus)?);
            writeln!(text, "({:?}, {}),", name.display().to_string(), include(&file)?)?;
        }
    }
    text.push(']');
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("stored.rs"), text)?;
    fs::write(out.join("defects.rs"), defects(&corpus.join("defects"))?)?;
    Ok(())
}

/// Slug, and description and patches, of each folder: those are read when a program begins.
fn defects(folder: &Path) -> Result<String, Box<dyn Error>> {
    let mut text = String::from("[\n");
    for folder in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        writeln!(text, "({:?}, &[", folder.file_name().unwrap_or_default().display().to_string())?;
        for file in entries(&folder)? {
            let name = file.file_name().unwrap_or_default().display().to_string();
            if name == "defect.toml" || name.ends_with(".patch") {
                writeln!(text, "({name:?}, {}),", include(&file)?)?;
            }
        }
        text.push_str("] as &[(&str, &str)]),\n");
    }
    text.push(']');
    Ok(text)
}

fn include(file: &Path) -> Result<String, Box<dyn Error>> {
    Ok(format!("include_str!({:?})", file.canonicalize()?))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.push(entry?.path());
    }
    found.sort();
    Ok(found)
}

fn sequences(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            found.extend(sequences(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "seq") {
            found.push(path);
        }
    }
    Ok(found)
}
