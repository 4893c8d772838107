//! A folder of kernel modules, as `make modules_install` and Debian's packages lay it out, and what is taken out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache::CacheError;
use crate::modules::{self, ModuleInfo, OrderError, Place, Wanted};
use crate::tools::{self, MissingTools, Tool};

/// Where modules are below the folder; a later one comes before an earlier one, as `depmod` has it.
const FOLDERS: [&str; 3] = ["kernel", "extra", "updates"];

/// How the end of a file's name tells what unpacks it.
const PACKERS: [(&str, Tool); 3] = [
    ("xz", Tool { program: "xz", package: "xz-utils" }),
    ("zst", Tool { program: "zstd", package: "zstd" }),
    ("gz", Tool { program: "gzip", package: "gzip" }),
];

/// Why modules cannot be taken out of a folder.
#[derive(Debug, thiserror::Error)]
pub enum ModuleTreeError {
    /// A folder that holds no modules.
    #[error(
        "{path} is no module tree (no modules.builtin): name the folder lib/modules/RELEASE that `make modules_install` \
         makes"
    )]
    NotATree {
        /// The folder.
        path: PathBuf,
    },
    /// A module is missing.
    #[error(
        "{path} has no module {name}, which {needed_by} needs: configure it as a module or built in, and install the \
         modules again"
    )]
    Missing {
        /// The folder.
        path: PathBuf,
        /// The module.
        name: String,
        /// Who needs it.
        needed_by: String,
    },
    /// A file that is called a module and is none.
    #[error("{path} is damaged: install the modules again")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A module that the kernel would refuse.
    #[error("{path} is for the kernel {theirs}, not for {ours}: name the modules of this kernel")]
    OtherKernel {
        /// The file.
        path: PathBuf,
        /// The kernel it is for.
        theirs: String,
        /// The kernel it is wanted for.
        ours: String,
    },
    /// The program that unpacks modules is missing.
    #[error(transparent)]
    Tools(#[from] MissingTools),
    /// A file cannot be read or written.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// A module taken out: its name, and its unpacked content.
pub(crate) type Taken = (String, Vec<u8>);

/// The modules of one kernel.
#[derive(Debug)]
pub(crate) struct ModuleTree {
    path: PathBuf,
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

impl ModuleTree {
    /// Looks at which modules are in `path`, a folder lib/modules/RELEASE.
    ///
    /// # Errors
    ///
    /// If it is no such folder.
    pub(crate) fn read(path: &Path) -> Result<ModuleTree, ModuleTreeError> {
        let list = path.join("modules.builtin");
        let text = fs::read_to_string(&list)
            .map_err(|_| ModuleTreeError::NotATree { path: path.to_owned() })?;
        let mut files = BTreeMap::new();
        for folder in FOLDERS {
            collect(&path.join(folder), &mut files)?;
        }
        Ok(ModuleTree { path: path.to_owned(), files, built_in: modules::built_in(&text) })
    }

    /// The modules that the kernel `release` loads to have all of `wanted`, unpacked, in the order of loading.
    ///
    /// # Errors
    ///
    /// If one is missing, damaged or another kernel's.
    pub(crate) fn take(
        &self,
        wanted: &[Wanted],
        release: &str,
    ) -> Result<Vec<Taken>, ModuleTreeError> {
        let mut read: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut ask = |name: &str| -> Result<Place, ModuleTreeError> {
            let Some(path) = self.files.get(name) else {
                let is_there = self.built_in.contains(name);
                return Ok(if is_there { Place::BuiltIn } else { Place::Absent });
            };
            if !read.contains_key(name) {
                read.insert(name.to_owned(), unpacked(path)?);
            }
            Ok(Place::File(checked(path, &read[name], release)?))
        };
        let order = modules::load_order(wanted, &mut ask).map_err(|error| match error {
            OrderError::Missing { name, needed_by } => {
                ModuleTreeError::Missing { path: self.path.clone(), name, needed_by }
            }
            OrderError::Asking(error) => error,
        })?;
        let content = |name: String| read.remove(&name).map(|content| (name, content));
        Ok(order.into_iter().filter_map(content).collect())
    }
}

/// What the module of `path` says of itself, if `release` takes it.
fn checked(path: &Path, object: &[u8], release: &str) -> Result<ModuleInfo, ModuleTreeError> {
    let info =
        modules::info(object).ok_or_else(|| ModuleTreeError::Damaged { path: path.to_owned() })?;
    match &info.release {
        Some(theirs) if theirs != release => Err(ModuleTreeError::OtherKernel {
            path: path.to_owned(),
            theirs: theirs.clone(),
            ours: release.to_owned(),
        }),
        _ => Ok(info),
    }
}

/// Adds each module below `folder` to `files`; it need not be there.
fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<(), CacheError> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(CacheError::io("read", folder))? {
        let path = entry.map_err(CacheError::io("read", folder))?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if let Some(name) = modules::file_module(&path.to_string_lossy()) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// The content of the module file `path`, unpacked by the program that its name asks for.
fn unpacked(path: &Path) -> Result<Vec<u8>, ModuleTreeError> {
    let end = path.extension().unwrap_or_default().to_string_lossy();
    let Some((_, packer)) = PACKERS.iter().find(|(known, _)| *known == end) else {
        return Ok(fs::read(path).map_err(CacheError::io("read", path))?);
    };
    tools::require(&[*packer], &[])?;
    let output = Command::new(packer.program)
        .args(["--decompress", "--stdout"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(CacheError::io("unpack", path))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(ModuleTreeError::Damaged { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: &str = "6.12.117-test";

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("kernel/net")).unwrap();
        fs::write(folder.path().join("modules.builtin"), "kernel/lib/base.ko\n").unwrap();
        folder
    }

    fn want(name: &'static str) -> [Wanted; 1] {
        [Wanted { name, reason: "a test", may_be_absent: false }]
    }

    fn take(folder: &tempfile::TempDir, name: &'static str) -> Result<Vec<Taken>, ModuleTreeError> {
        ModuleTree::read(folder.path())?.take(&want(name), RELEASE)
    }

    fn module(release: &str, needs: &str) -> Vec<u8> {
        modules::tests::object(format!("depends={needs}\0vermagic={release} SMP\0").as_bytes())
    }

    #[test]
    fn a_packed_module_is_unpacked_and_what_is_built_in_is_not_looked_for() {
        let folder = tree();
        let content = module(RELEASE, "base");
        let file = folder.path().join("kernel/net/top.ko");
        fs::write(&file, &content).unwrap();
        assert_eq!(take(&folder, "top").unwrap(), [("top".to_owned(), content.clone())]);
        assert!(Command::new("xz").arg(&file).status().unwrap().success());
        assert!(!file.exists());
        assert_eq!(take(&folder, "top").unwrap(), [("top".to_owned(), content)]);
    }

    #[test]
    fn an_updated_module_comes_before_the_one_it_updates() {
        let folder = tree();
        fs::create_dir(folder.path().join("updates")).unwrap();
        fs::write(folder.path().join("kernel/net/top.ko"), module(RELEASE, "")).unwrap();
        fs::write(folder.path().join("updates/top.ko"), module(RELEASE, "base")).unwrap();
        assert_eq!(take(&folder, "top").unwrap()[0].1, module(RELEASE, "base"));
    }

    #[test]
    fn what_cannot_be_loaded_is_refused_with_its_name_and_a_way_out() {
        let folder = tree();
        fs::write(folder.path().join("kernel/net/other.ko"), module("5.10.0", "")).unwrap();
        fs::write(folder.path().join("kernel/net/needy.ko"), module(RELEASE, "gone")).unwrap();
        fs::write(folder.path().join("kernel/net/broken.ko"), "text").unwrap();
        fs::write(folder.path().join("kernel/net/cut.ko.xz"), "text").unwrap();
        for (name, words) in [
            ("other", "for the kernel 5.10.0, not for 6.12.117-test"),
            ("needy", "no module gone, which needy needs"),
            ("nowhere", "no module nowhere, which a test needs"),
            ("broken", "broken.ko is damaged"),
            ("cut", "cut.ko.xz is damaged"),
        ] {
            let error = take(&folder, name).unwrap_err().to_string();
            assert!(error.contains(words), "{name}: {error}");
        }
        let error = ModuleTree::read(&folder.path().join("kernel")).unwrap_err().to_string();
        assert!(error.contains("modules_install"), "{error}");
    }
}
