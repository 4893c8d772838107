//! A kernel's source tree, and what is defined in it. It is read and never written to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pinfold::citations::{Name, Series};
use serde::Serialize;

use super::definition::{Definition, Definitions, option, whole};

/// Where what is no longer in its file is looked for, beside that file's own folder.
const SEARCHED: [&str; 13] = [
    "mm",
    "include/linux",
    "include/rdma",
    "include/uapi",
    "drivers/infiniband",
    "arch/um",
    "arch/x86",
    "include/asm-generic",
    "kernel",
    "fs",
    "lib",
    "drivers/tty",
    "io_uring",
];

/// A kernel's source, as far as it was asked for.
#[derive(Debug)]
pub(crate) struct Tree {
    path: PathBuf,
    /// What its Makefile says.
    pub(crate) version: String,
    /// The series of that version.
    pub(crate) series: Series,
    parsed: BTreeMap<String, Option<File>>,
}

/// Where something is now, and what it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The file, from the root of the tree.
    pub(crate) file: String,
    /// All definitions of it there.
    pub(crate) definitions: Vec<Definition>,
}

/// A tree, as reports name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TreeName {
    /// What its Makefile says, as `6.12.117`.
    pub version: String,
    /// The folder.
    pub path: PathBuf,
}

#[derive(Debug)]
struct File {
    text: String,
    /// Of a C file, once something was looked for in it.
    definitions: Option<Definitions>,
}

impl Tree {
    pub(crate) fn new(path: PathBuf, version: String, series: Series) -> Tree {
        Tree { path, version, series, parsed: BTreeMap::new() }
    }

    pub(crate) fn name(&self) -> TreeName {
        TreeName { version: self.version.clone(), path: self.path.clone() }
    }

    /// What `name`, or the whole file where there is none, is in the first of `files` that has it.
    pub(crate) fn find(&mut self, name: Option<&Name>, files: &[String]) -> Option<Found> {
        files.iter().find_map(|file| {
            let definitions = self.definitions(name, file);
            (!definitions.is_empty()).then(|| Found { file: file.clone(), definitions })
        })
    }

    fn definitions(&mut self, name: Option<&Name>, file: &str) -> Vec<Definition> {
        let path = self.path.join(file);
        let read = || {
            let text = fs::read(&path).ok()?;
            let text = String::from_utf8_lossy(&text).into_owned();
            Some(File { text, definitions: None })
        };
        let Some(content) = self.parsed.entry(file.to_owned()).or_insert_with(read) else {
            return Vec::new();
        };
        let Some(name) = name else { return vec![whole(&content.text)] };
        if let Name::Option(name) = name {
            return option(&content.text, name);
        }
        if is_c(file) {
            let text = &content.text;
            return content.definitions.get_or_insert_with(|| Definitions::of_c(text)).of(name);
        }
        // A document or a makefile: no grammar says where a thing begins and ends.
        let is_named = has_word(&content.text, name.identifier());
        is_named.then(|| whole(&content.text)).into_iter().collect()
    }

    /// Looks for what is in none of `files` any more: first in their folders, then in those that registration is about.
    pub(crate) fn search(&mut self, name: &Name, files: &[String]) -> Option<Found> {
        let folders =
            files.iter().filter_map(|file| file.rsplit_once('/').map(|(folder, _)| folder));
        let folders: Vec<&str> = folders.chain(SEARCHED).collect();
        let mut seen = Vec::new();
        for folder in
            folders.iter().filter(|folder| !seen.contains(*folder)).copied().collect::<Vec<_>>()
        {
            if seen.contains(&folder) {
                continue;
            }
            seen.push(folder);
            let mut candidates = Vec::new();
            files_below(&self.path, folder, &mut candidates);
            candidates.sort();
            for file in candidates {
                let definitions = if self.mentions(&file, name.identifier()) {
                    self.definitions(Some(name), &file)
                } else {
                    Vec::new()
                };
                if !definitions.is_empty() {
                    return Some(Found { file, definitions });
                }
            }
        }
        None
    }

    fn mentions(&self, file: &str, word: &str) -> bool {
        match self.parsed.get(file) {
            Some(content) => content.as_ref().is_some_and(|content| has_word(&content.text, word)),
            None => fs::read(self.path.join(file))
                .is_ok_and(|text| has_word(&String::from_utf8_lossy(&text), word)),
        }
    }
}

fn is_c(file: &str) -> bool {
    file.ends_with(".c") || file.ends_with(".h")
}

fn has_word(text: &str, word: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
    text.match_indices(word).any(|(at, _)| {
        is_edge(text.get(..at).and_then(|before| before.chars().next_back()))
            && is_edge(text.get(at + word.len()..).and_then(|after| after.chars().next()))
    })
}

/// C files below `folder` of `root`. A link is not followed.
fn files_below(root: &Path, folder: &str, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(root, &name, found),
            Ok(kind) if kind.is_file() && is_c(&name) => found.push(name),
            Ok(_) | Err(_) => {}
        }
    }
}
