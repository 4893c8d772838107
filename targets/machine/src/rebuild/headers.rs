//! What modules of a stock kernel are built against: Debian's packages of headers, unpacked and never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::RebuildError;
use crate::apt::Apt;
use crate::cache::{Cache, CacheError};
use crate::package::{self, PackageError};
use crate::progress::{Activity, Progress, Watcher};
use crate::stock::StockKernel;

/// The headers of one kernel.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    /// The folder that make is started in.
    pub(super) path: PathBuf,
    /// The compiler that the kernel was built with, as `gcc-12`.
    pub(super) compiler: String,
    /// Its package version, where the configuration tells it.
    pub(super) compiler_version: Option<String>,
    /// The packages of the libraries that the programs of the build need.
    pub(super) needs: Vec<String>,
}

impl Headers {
    /// The folders with the programs of the build.
    pub(super) fn programs(&self) -> Vec<PathBuf> {
        // They are links to where the package of these programs has them.
        let folders = ["scripts", "tools"].map(|name| self.path.join(name).canonicalize());
        folders.into_iter().filter_map(Result::ok).collect()
    }
}

/// Beside the packages' own folders: what the programs of the build depend on.
const NEEDS: &str = "needs";

/// Finds or fetches the headers of `stock`, whose package has the version `version`.
///
/// # Errors
///
/// If a package cannot be had or unpacked, or is not what such packages are.
pub(super) fn provide(
    cache: &Cache,
    stock: &StockKernel,
    version: &str,
    log: &Path,
    watch: &mut Watcher<'_>,
) -> Result<Headers, RebuildError> {
    if let Some(headers) = find(cache, stock, version)? {
        return Ok(headers);
    }
    let name = name(stock);
    cache.folder("headers")?;
    let place = place(cache, stock, version);
    let scratch = cache.scratch()?;
    let made = scratch.path().join("made");
    let apt = Apt::open(cache).map_err(PackageError::Apt)?;
    let depends = fetch(&apt, &name, version, scratch.path(), &made, log, watch)?;
    let mut needs = String::new();
    for part in parts(&depends) {
        let depends = fetch(&apt, &part, version, scratch.path(), &made, log, watch)?;
        if part.starts_with(KBUILD) {
            needs = libraries(&depends).join("\n");
        }
    }
    let list = made.join(NEEDS);
    fs::write(&list, needs).map_err(CacheError::io("write", &list))?;
    relocate(&made.join("usr/src").join(&name))?;
    cache.publish_folder(&made, &place)?;
    find(cache, stock, version)?.ok_or_else(|| lacks(&place, "headers"))
}

fn name(stock: &StockKernel) -> String {
    format!("linux-headers-{}", stock.release)
}

fn place(cache: &Cache, stock: &StockKernel, version: &str) -> PathBuf {
    cache.root().join("headers").join(format!("{}_{version}", name(stock)))
}

/// The headers of `stock` in the cache, if they are there. Asks nobody.
///
/// # Errors
///
/// If they are not what such packages hold.
pub(super) fn find(
    cache: &Cache,
    stock: &StockKernel,
    version: &str,
) -> Result<Option<Headers>, RebuildError> {
    let place = place(cache, stock, version);
    if !place.is_dir() {
        return Ok(None);
    }
    let path = place.join("usr/src").join(name(stock));
    let variables = read(&path.join(".kernelvariables"))?;
    let compiler = compiler(&variables).ok_or_else(|| lacks(&path, "a compiler's name"))?;
    let configuration = read(&path.join(".config"))?;
    let compiler_version = compiler_version(&configuration).map(str::to_owned);
    // Headers that were unpacked before this was kept are of kernels whose programs run here.
    let needs = fs::read_to_string(place.join(NEEDS)).unwrap_or_default();
    let needs = needs.lines().map(str::to_owned).collect();
    Ok(Some(Headers { path, compiler, compiler_version, needs }))
}

fn lacks(path: &Path, wanted: &str) -> RebuildError {
    RebuildError::Headers { path: path.to_owned(), wanted: wanted.to_owned() }
}

fn read(path: &Path) -> Result<String, RebuildError> {
    fs::read_to_string(path).map_err(|_| lacks(path, "text"))
}

/// Unpacks the package `name` into `made`, and gives what it depends on.
fn fetch(
    apt: &Apt<'_>,
    name: &str,
    version: &str,
    scratch: &Path,
    made: &Path,
    log: &Path,
    watch: &mut Watcher<'_>,
) -> Result<String, RebuildError> {
    let since = Instant::now();
    let mut report = |_: &str| {
        watch(&Progress::of(Activity::Downloading, name, since));
    };
    let folder = scratch.join(name);
    fs::create_dir(&folder).map_err(CacheError::io("create", &folder))?;
    let file = package::download(apt, &format!("{name}={version}"), &folder, log, &mut report)?;
    package::extract(&file, made, log, &mut report)?;
    Ok(package::field(&file, "Depends", log)?)
}

/// Of the packages in `depends`, those that hold files to build with: the headers that all flavours share, and the
/// programs of the build.
fn parts(depends: &str) -> Vec<String> {
    let holds_files = |name: &String| {
        (name.starts_with("linux-headers-") && name.ends_with("-common"))
            || name.starts_with(KBUILD)
    };
    package::needs(depends).into_iter().map(|need| need.name).filter(holds_files).collect()
}

/// How the packages of the programs of the build begin.
const KBUILD: &str = "linux-kbuild-";

/// Of what the programs of the build depend on, all but pahole: it makes debug information, which is left out here.
fn libraries(depends: &str) -> Vec<String> {
    let names = package::needs(depends).into_iter().map(|need| need.name);
    names.filter(|name| name != "pahole").collect()
}

/// Makes the Makefile of `headers` find the shared ones beside it, and not where they would be installed.
fn relocate(headers: &Path) -> Result<(), RebuildError> {
    let makefile = headers.join("Makefile");
    let mut text = read(&makefile)?.replace("include /usr/src/", "include ../");
    // Kernels since 6.13 or so name the folder itself, too.
    let name = headers.file_name().unwrap_or_default().to_string_lossy();
    text = text.replace(&format!("KBUILD_OUTPUT=/usr/src/{name}\n"), "KBUILD_OUTPUT=$(CURDIR)\n");
    fs::write(&makefile, text).map_err(CacheError::io("write", &makefile))?;
    Ok(())
}

/// The last word of `CC = ...` that is a gcc: `$(CROSS_COMPILE)gcc-12` is gcc-12.
fn compiler(variables: &str) -> Option<String> {
    let line = variables.lines().find(|line| line.starts_with("CC ="))?;
    let word = line.split_whitespace().next_back()?;
    let name = word.rsplit(')').next()?;
    name.starts_with("gcc").then(|| name.to_owned())
}

/// The version in `CONFIG_CC_VERSION_TEXT="x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0"`.
fn compiler_version(configuration: &str) -> Option<&str> {
    let mut lines = configuration.lines();
    let text = lines.find_map(|line| line.strip_prefix("CONFIG_CC_VERSION_TEXT="))?;
    Some(text.split_once("(Debian ")?.1.split_once(')')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_shared_headers_and_the_programs_of_the_build() {
        let depends = "linux-base (>= 4.12~), linux-headers-6.12.1+deb12-common (= 6.12.1-1), \
            linux-image-6.12.1+deb12-amd64 (= 6.12.1-1) | linux-image-6.12.1+deb12-amd64-unsigned (= 6.12.1-1), \
            linux-kbuild-6.12.1+deb12, gcc-12";
        let found = ["linux-headers-6.12.1+deb12-common", "linux-kbuild-6.12.1+deb12"];
        assert_eq!(parts(depends), found);
        let depends =
            "linux-headers-6.1.0-56-common (= 6.1.192-2), linux-kbuild-6.1 (>= 6.1.192-2), x";
        assert_eq!(parts(depends), ["linux-headers-6.1.0-56-common", "linux-kbuild-6.1"]);
    }

    #[test]
    fn the_compiler_is_the_one_that_built_the_kernel() {
        let text = "override ARCH = x86\nCCACHE = ccache\n\
            CC = $(if $(DEBIAN_KERNEL_USE_CCACHE),$(CCACHE)) $(CROSS_COMPILE)gcc-12\n";
        assert_eq!(compiler(text).as_deref(), Some("gcc-12"));
        assert_eq!(compiler("CC = clang\n"), None);
    }

    #[test]
    fn unpacked_headers_do_not_look_for_installed_ones() {
        let folder = tempfile::tempdir().unwrap();
        let makefile = folder.path().join("Makefile");
        fs::write(&makefile, "include /usr/src/linux-headers-6.1.0-56-common/Makefile\n").unwrap();
        relocate(folder.path()).unwrap();
        let text = fs::read_to_string(&makefile).unwrap();
        assert_eq!(text, "include ../linux-headers-6.1.0-56-common/Makefile\n");
        let name = folder.path().file_name().unwrap().to_string_lossy();
        fs::write(&makefile, format!("KBUILD_OUTPUT=/usr/src/{name}\ninclude /usr/src/x\n"))
            .unwrap();
        relocate(folder.path()).unwrap();
        let text = fs::read_to_string(&makefile).unwrap();
        assert_eq!(text, "KBUILD_OUTPUT=$(CURDIR)\ninclude ../x\n");
    }

    #[test]
    fn the_libraries_are_all_that_the_programs_of_the_build_need_but_pahole() {
        let depends =
            "pahole, libc6 (>= 2.38), libelf1t64 (>= 0.144), zlib1g (>= 1:1.2.3.4) | x, libssl3t64";
        assert_eq!(libraries(depends), ["libc6", "libelf1t64", "zlib1g", "libssl3t64"]);
    }

    #[test]
    fn the_configuration_tells_the_version_of_the_compiler() {
        let text =
            "CONFIG_A=y\nCONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0\"\n";
        assert_eq!(compiler_version(text), Some("12.2.0-14+deb12u1"));
        assert_eq!(compiler_version("CONFIG_CC_VERSION_TEXT=\"clang 17\"\n"), None);
    }
}
