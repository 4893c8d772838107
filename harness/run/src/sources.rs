//! The citations of the kernel in Pinfold's own source, held against kernel trees.
//!
//! Reading citations is pure and stands in [`pinfold::citations`]. Here files are read: ours, and the kernel's.

mod compare;
mod definition;
mod difference;
mod text;
mod tree;

pub(crate) use definition::masked;

use std::fs;
use std::path::{Path, PathBuf};

use pinfold::citations::Citations;
use pinfold_contract::Series;
use pinfold_machine::source::{self, Freshness};
use pinfold_machine::{Cache, KernelError, KernelSource, Progress};

pub use compare::{
    Change, Checked, CitedBy, CitedItem, Compared, Comparison, Counts, Listing, Skipped,
    WrongCitation,
};
pub use tree::TreeName;

use crate::error::RunError;
use crate::name::all_series;
use crate::parts::PartsError;
use tree::Tree;

/// Where citations stand, in the order in which a reader of rules wants them.
const FOLDERS: [&str; 5] = ["harness", "targets", "fuzz", "ci", "corpus"];

/// Below these nothing of ours is.
const LEFT_OUT: [&str; 7] = [
    "corpus/found",
    "fuzz/artifacts",
    "fuzz/corpus",
    "fuzz/coverage",
    "fuzz/target",
    "harness/props/__fuzz__",
    "target",
];

/// Files that every checkout of Pinfold has.
const MARKS: [&str; 2] = ["corpus/defects/README.md", "harness/src/citations/mod.rs"];

/// What our own files cite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnCitations {
    citations: Citations,
}

impl OwnCitations {
    /// Reads the checkout of Pinfold that `start` is in: `start` itself or a folder above it.
    ///
    /// # Errors
    ///
    /// If it is in none, or a file of it cannot be read.
    pub fn read(start: &Path) -> Result<OwnCitations, RunError> {
        let root = checkout(start)?;
        let mut citations = Citations::default();
        for folder in FOLDERS {
            add(&mut citations, root, folder)?;
        }
        Ok(OwnCitations { citations })
    }

    /// All of them, by what they name.
    pub fn list(&self) -> Listing {
        compare::list(&self.citations)
    }

    /// What became of all that is cited of `from` in `to`. Each is a series (`6.12`), whose source is fetched if it is
    /// not there, or the path of a tree.
    ///
    /// # Errors
    ///
    /// If there is no such tree.
    pub fn compare(
        &self,
        from: &str,
        to: &str,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<Comparison, RunError> {
        let (mut from, mut to) = (open(from, watch)?, open(to, watch)?);
        Ok(compare::compare(&self.citations, &mut from, &mut to))
    }

    /// Whether all that is cited of the series of `tree`, or of any, is there: `tree` as in [`OwnCitations::compare`].
    ///
    /// # Errors
    ///
    /// If there is no such tree.
    pub fn check(&self, tree: &str, watch: &mut dyn FnMut(&Progress)) -> Result<Checked, RunError> {
        Ok(compare::check(&self.citations, &mut open(tree, watch)?))
    }
}

/// The root of the checkout of Pinfold that `start` is in: `start` itself or a folder above it.
pub(crate) fn checkout(start: &Path) -> Result<&Path, RunError> {
    start
        .ancestors()
        .find(|folder| MARKS.iter().all(|mark| folder.join(mark).is_file()))
        .ok_or_else(|| RunError::NoCheckout { folder: start.to_owned() })
}

/// Adds what the files below `folder` of `root` cite, in the order of their names.
fn add(citations: &mut Citations, root: &Path, folder: &str) -> Result<(), RunError> {
    let path = root.join(folder);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RunError::Read { path, source }
    };
    let entries = fs::read_dir(&path).map_err(failed(&path))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed(&path))?;
        let kind = entry.file_type().map_err(failed(&entry.path()))?;
        names.push((format!("{folder}/{}", entry.file_name().to_string_lossy()), kind));
    }
    names.sort_by(|one, other| one.0.cmp(&other.0));
    for (name, kind) in names {
        if kind.is_dir() && !LEFT_OUT.contains(&name.as_str()) {
            add(citations, root, &name)?;
        }
        if kind.is_file() {
            let path = root.join(&name);
            let text = fs::read(&path).map_err(failed(&path))?;
            // What is not text cites nothing.
            if let Ok(text) = std::str::from_utf8(&text) {
                citations.add(&name, text);
            }
        }
    }
    Ok(())
}

/// Opens the tree that `name` is the path of, or that of the series of this name.
fn open(name: &str, watch: &mut dyn FnMut(&Progress)) -> Result<Tree, RunError> {
    let no_tree = || RunError::NoTree {
        name: name.to_owned(),
        series: all_series().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let failed = |error| PartsError::Kernel(KernelError::Source(error));
    let path = PathBuf::from(name);
    let source = if path.is_dir() {
        source::identify(&path).map_err(failed)?
    } else {
        let series: Series = name.parse().map_err(|_| no_tree())?;
        let cache = Cache::from_environment().map_err(PartsError::Cache)?;
        source::provide(&cache, &KernelSource::Debian(series), Freshness::Cached, watch)
            .map_err(failed)?
    };
    let series = source.version.parse().map_err(|_| no_tree())?;
    Ok(Tree::new(source.path, source.version, series))
}
