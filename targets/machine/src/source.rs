//! Kernel source: Debian's packages, unpacked once into the cache, or any tree the user names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime};

use pinfold_contract::Series;

use crate::apt::Apt;
use crate::cache::{Cache, CacheError};
use crate::package::{self, PackageError, Query};
use crate::progress::{Activity, Progress, Watcher};
use crate::run::{self, RunError};

/// Where a kernel is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelSource {
    /// Debian's package of a series.
    Debian(Series),
    /// A tree of the user's, which is never written to.
    Tree(PathBuf),
}

/// Whether a source that is in the cache already is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Use what is in the cache; ask the package archive only if there is nothing.
    Cached,
    /// Ask the package archive for its newest version.
    Newest,
}

/// A kernel tree ready to be built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTree {
    /// The folder that holds the kernel's top Makefile.
    pub path: PathBuf,
    /// What the Makefile says, as `6.12.117`.
    pub version: String,
    /// The Debian package version, for a tree that comes from one.
    pub package_version: Option<String>,
}

/// Why there is no kernel source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Debian's archive did not give the package.
    #[error(
        "no kernel source from Debian: mend what follows, or name a kernel tree with --kernel-src DIR"
    )]
    Archive(#[from] PackageError),
    /// The source in the package could not be unpacked.
    #[error("cannot unpack {tarball}: check the free space of the cache folder")]
    Unpack {
        /// The archive of the tree.
        tarball: PathBuf,
        /// What unpacking said.
        #[source]
        source: RunError,
    },
    /// The package does not hold what such packages hold.
    #[error(
        "package {package} holds no {wanted}: name a kernel tree with --kernel-src DIR instead"
    )]
    Package {
        /// The package.
        package: String,
        /// What was looked for in it.
        wanted: String,
    },
    /// A folder that is not a kernel tree.
    #[error(
        "{path} is not a Linux source tree ({why}): name the folder that holds the kernel's top Makefile"
    )]
    NotATree {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A tree that was configured or built in.
    #[error(
        "source tree {path} is not clean, and a kernel can only be built beside a clean one: save your .config, then \
         run `make -C {path} ARCH=um mrproper` (and `ARCH=x86_64 mrproper`)"
    )]
    NotClean {
        /// The tree.
        path: PathBuf,
    },
}

/// The name of Debian's package of the source of `series`.
pub fn package_name(series: Series) -> String {
    format!("linux-source-{series}")
}

/// Finds or fetches the tree that `source` names.
///
/// A Debian source is downloaded and unpacked once; after that no package archive is asked, unless `freshness` wants it.
///
/// # Errors
///
/// If a package cannot be had or unpacked, or the user's tree is not a clean kernel tree.
pub fn provide(
    cache: &Cache,
    source: &KernelSource,
    freshness: Freshness,
    watch: &mut Watcher<'_>,
) -> Result<SourceTree, SourceError> {
    match source {
        KernelSource::Tree(path) => inspect(path),
        KernelSource::Debian(series) => {
            let _lock = cache.lock(&package_name(*series), || {
                watch(&step(Activity::WaitingForLock, *series, Instant::now()));
            })?;
            match unpacked(cache, *series) {
                Some(tree) if freshness == Freshness::Cached => Ok(tree),
                _ => fetch_newest(cache, *series, freshness, watch),
            }
        }
    }
}

/// Finds or fetches the tree of `series` in the package version `version`.
///
/// # Errors
///
/// If the archive does not have that version, or not any more.
pub fn provide_version(
    cache: &Cache,
    series: Series,
    version: &str,
    watch: &mut Watcher<'_>,
) -> Result<SourceTree, SourceError> {
    let _lock = cache.lock(&package_name(series), || {
        watch(&step(Activity::WaitingForLock, series, Instant::now()));
    })?;
    match unpacked_version(cache, series, version) {
        Some(tree) => Ok(tree),
        None => fetch(cache, &Apt::open(cache).map_err(PackageError::Apt)?, series, version, watch),
    }
}

/// The series whose source the archive of this machine's apt has, the oldest first. Where no lists were fetched so far,
/// that is done.
///
/// # Errors
///
/// If the lists cannot be had.
pub fn available(cache: &Cache, watch: &mut Watcher<'_>) -> Result<Vec<Series>, PackageError> {
    let since = Instant::now();
    let log = cache.folder("log")?.join("apt.log");
    let mut report = |_: &str| watch(&Progress::of(Activity::Downloading, "package lists", since));
    package::series(&Apt::open(cache)?, &log, &mut report)
}

/// The tree of `series` in the package version `version`, if it is in the cache.
pub fn unpacked_version(cache: &Cache, series: Series, version: &str) -> Option<SourceTree> {
    let tree = inspect(&place(cache, series, version).join("tree")).ok()?;
    Some(SourceTree { package_version: Some(version.to_owned()), ..tree })
}

fn place(cache: &Cache, series: Series, version: &str) -> PathBuf {
    cache.root().join("source").join(format!("{}_{version}", package_name(series)))
}

/// The newest tree of `series` in the cache, if there is one.
pub fn unpacked(cache: &Cache, series: Series) -> Option<SourceTree> {
    let prefix = format!("{}_", package_name(series));
    let folders = fs::read_dir(cache.root().join("source")).ok()?.filter_map(Result::ok);
    let mut found: Vec<(SystemTime, SourceTree)> = Vec::new();
    for folder in folders {
        let name = folder.file_name().to_string_lossy().into_owned();
        let Some(package_version) = name.strip_prefix(&prefix) else { continue };
        let (Ok(data), Ok(tree)) = (folder.metadata(), inspect(&folder.path().join("tree"))) else {
            continue;
        };
        let Ok(modified) = data.modified() else { continue };
        found.push((
            modified,
            SourceTree { package_version: Some(package_version.to_owned()), ..tree },
        ));
    }
    found.into_iter().max_by_key(|(modified, _)| *modified).map(|(_, tree)| tree)
}

/// Reads what tree `path` is, and that it can be built from without being written to.
///
/// # Errors
///
/// [`SourceError::NotATree`] and [`SourceError::NotClean`].
pub fn inspect(path: &Path) -> Result<SourceTree, SourceError> {
    let tree = identify(path)?;
    // The conditions of `outputmakefile` in the kernel's top Makefile, Linux 6.1 to 6.12.
    let is_configured = [".config", "include/config", "arch/um/include/generated"]
        .iter()
        .any(|trace| tree.path.join(trace).exists());
    if is_configured {
        return Err(SourceError::NotClean { path: tree.path });
    }
    Ok(tree)
}

/// Reads what tree `path` is. It may be one that was built in.
///
/// # Errors
///
/// [`SourceError::NotATree`].
pub fn identify(path: &Path) -> Result<SourceTree, SourceError> {
    let not_a_tree = |why: String| SourceError::NotATree { path: path.to_owned(), why };
    let path_absolute = path.canonicalize().map_err(|error| not_a_tree(error.to_string()))?;
    let makefile = fs::read_to_string(path_absolute.join("Makefile"))
        .map_err(|error| not_a_tree(format!("no readable Makefile, {error}")))?;
    if !path_absolute.join("Kbuild").is_file() {
        return Err(not_a_tree("no file Kbuild".to_owned()));
    }
    let version =
        version(&makefile).ok_or_else(|| not_a_tree("no VERSION in its Makefile".to_owned()))?;
    Ok(SourceTree { path: path_absolute, version, package_version: None })
}

fn version(makefile: &str) -> Option<String> {
    let field = |name: &str| {
        let mut assignments = makefile.lines().take(20).filter_map(|line| line.split_once('='));
        assignments.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let number = |name: &str| field(name).filter(|value| value.parse::<u32>().is_ok());
    let extra = field("EXTRAVERSION").unwrap_or_default();
    Some(format!("{}.{}.{}{extra}", number("VERSION")?, number("PATCHLEVEL")?, number("SUBLEVEL")?))
}

fn fetch_newest(
    cache: &Cache,
    series: Series,
    freshness: Freshness,
    watch: &mut Watcher<'_>,
) -> Result<SourceTree, SourceError> {
    let apt = Apt::open(cache).map_err(PackageError::Apt)?;
    let since = Instant::now();
    let mut report = |_: &str| watch(&step(Activity::Downloading, series, since));
    let name = package_name(series);
    let query = Query { prefix: &name, is_wanted: &|found| found == name };
    let listed = package::newest(&apt, &query, freshness, &log(cache, series)?, &mut report)?;
    match unpacked_version(cache, series, &listed.version) {
        Some(tree) => Ok(tree),
        None => fetch(cache, &apt, series, &listed.version, watch),
    }
}

fn log(cache: &Cache, series: Series) -> Result<PathBuf, CacheError> {
    Ok(cache.folder("log")?.join(format!("{}.log", package_name(series))))
}

fn fetch(
    cache: &Cache,
    apt: &Apt<'_>,
    series: Series,
    version: &str,
    watch: &mut Watcher<'_>,
) -> Result<SourceTree, SourceError> {
    let scratch = cache.scratch()?;
    let log = log(cache, series)?;
    let since = Instant::now();
    let mut report = |_: &str| watch(&step(Activity::Downloading, series, since));
    let package = format!("{}={version}", package_name(series));
    let package = package::download(apt, &package, scratch.path(), &log, &mut report)?;
    let tree = unpack(series, &package, scratch.path(), &log, watch)?;

    let made = scratch.path().join("made");
    let place = place(cache, series, version);
    fs::create_dir(&made).map_err(CacheError::io("create", &made))?;
    fs::rename(&tree, made.join("tree")).map_err(CacheError::io("rename", &tree))?;
    cache.publish_folder(&made, &place)?;
    let tree = inspect(&place.join("tree"))?;
    Ok(SourceTree { package_version: Some(version.to_owned()), ..tree })
}

fn step(activity: Activity, series: Series, since: Instant) -> Progress {
    Progress::of(activity, package_name(series), since)
}

/// Unpacks `package` below `folder`; gives the kernel tree.
fn unpack(
    series: Series,
    package: &Path,
    folder: &Path,
    log: &Path,
    watch: &mut Watcher<'_>,
) -> Result<PathBuf, SourceError> {
    let since = Instant::now();
    let mut report = |_: &str| watch(&step(Activity::Unpacking, series, since));
    let files = folder.join("files");
    package::extract(package, &files, log, &mut report)?;

    let tarball = files.join(format!("usr/src/{}.tar.xz", package_name(series)));
    if !tarball.is_file() {
        return Err(SourceError::Package {
            package: package_name(series),
            wanted: tarball.display().to_string(),
        });
    }
    let tree = folder.join("tree");
    fs::create_dir(&tree).map_err(CacheError::io("create", &tree))?;
    let mut untar = Command::new("tar");
    untar.args(["--extract", "--xz", "--no-same-owner", "--strip-components=1", "--file"]);
    untar.arg(&tarball).arg("--directory").arg(&tree);
    run::logged(&mut untar, log, &mut report)
        .map_err(|source| SourceError::Unpack { tarball, source })?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKEFILE: &str =
        "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION = -rc1\nNAME = x\n";

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Makefile"), MAKEFILE).unwrap();
        fs::write(folder.path().join("Kbuild"), "").unwrap();
        folder
    }

    #[test]
    fn a_tree_tells_its_version() {
        let folder = tree();
        let found = inspect(folder.path()).unwrap();
        assert_eq!(found.version, "6.12.117-rc1");
        assert_eq!(found.package_version, None);
    }

    #[test]
    fn a_folder_that_is_no_kernel_tree_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let check = |word: &str| {
            let error = inspect(folder.path()).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("top Makefile"), "{error}");
        };
        check("no readable Makefile");
        fs::write(folder.path().join("Makefile"), "all:\n").unwrap();
        check("no file Kbuild");
        fs::write(folder.path().join("Kbuild"), "").unwrap();
        check("no VERSION");
    }

    #[test]
    fn a_tree_that_was_built_in_is_refused_before_make_complains() {
        let folder = tree();
        fs::create_dir_all(folder.path().join("include/config")).unwrap();
        let error = inspect(folder.path()).unwrap_err().to_string();
        assert!(error.contains("not clean") && error.contains("mrproper"), "{error}");
    }

    #[test]
    fn an_unpacked_source_is_used_without_asking_anyone() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        assert_eq!(unpacked(&cache, Series::new(6, 12)), None);
        let place = root.path().join("source/linux-source-6.12_6.12.117-1");
        fs::create_dir_all(&place).unwrap();
        fs::rename(tree().keep(), place.join("tree")).unwrap();
        let source = KernelSource::Debian(Series::new(6, 12));
        let found = provide(&cache, &source, Freshness::Cached, &mut |_| {}).unwrap();
        assert_eq!(found.package_version.as_deref(), Some("6.12.117-1"));
        assert_eq!(unpacked(&cache, Series::new(6, 1)), None, "6.12 is not taken for 6.1");
        let version =
            provide_version(&cache, Series::new(6, 12), "6.12.117-1", &mut |_| {}).unwrap();
        assert_eq!(version, found);
        assert_eq!(unpacked_version(&cache, Series::new(6, 12), "6.12.117-1~deb12u1"), None);
    }
}
