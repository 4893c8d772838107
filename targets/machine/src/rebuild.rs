//! Builds modules of a stock kernel with a patch in them, each in seconds: the kernel stays the one that users run.
//!
//! A module can be built anew where the kernel's headers and the source of the very same package version are there. What
//! is built in cannot: a patch that touches it is refused ([`touches`]).
//!
//! The modules are built without a patch once. A build with one begins with those objects, so that only what the patch
//! changes is compiled.

mod compiler;
mod headers;
mod lines;
mod touch;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use pinfold_contract::Series;
use sha2::{Digest, Sha256};

use crate::cache::{self, Cache, CacheError};
use crate::diff::Overlay;
use crate::kernel::{DISTURBING_VARIABLES, compiled_count, hex, hex_digest};
use crate::package::PackageError;
use crate::progress::{Activity, Progress, Watcher};
use crate::run::{self, RunError};
use crate::source::{self, Freshness, SourceError, SourceTree};
use crate::stock::{self, StockError, StockKernel};
use crate::tools::{self, MissingTools};
use crate::workshop::copy;
use compiler::Compiler;
use headers::Headers;
pub use touch::{BuiltIn, StockModule, Tree, shared_headers, touches};
use touch::{CORE, RXE};

/// So many builds of one kernel are kept. Each is below 2 MB.
const BUILDS_MAX: usize = 24;

/// What make reads first in the folder of all modules. The files of the patch come before those of the headers package.
const KBUILD: &str = "NOSTDINC_FLAGS += -I$(M)/include -I$(M)/include/uapi -I$(M)/include/trace\n\
    obj-m := drivers/infiniband/core/ drivers/infiniband/sw/rxe/\n";

/// What it reads before the Makefile of drivers/infiniband/core, whose other modules nobody loads.
fn kbuild_of_core(modules: &[StockModule]) -> String {
    let in_core = modules.iter().filter(|module| module.folder() == CORE);
    let objects: Vec<String> = in_core.map(|module| format!("{}.o", module.name())).collect();
    format!("include $(dir $(lastword $(MAKEFILE_LIST)))Makefile\nobj-m := {}\n", objects.join(" "))
}

/// Why there are no modules.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Programs of the host are missing.
    #[error(transparent)]
    Tools(#[from] MissingTools),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The stock kernel cannot be had.
    #[error(transparent)]
    Stock(#[from] StockError),
    /// The headers cannot be had.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The source of the very kernel cannot be had.
    #[error(
        "linux {release} cannot be had in source ({version}): remove it from the folder `stock` of the cache, so that the \
         newest one is fetched"
    )]
    Source {
        /// The kernel.
        release: String,
        /// Its package version.
        version: String,
        /// Why it cannot be had.
        #[source]
        source: Box<SourceError>,
    },
    /// The compiler is not installed, and cannot be had.
    #[error(
        "{compiler}, which the kernel was built with, is not here with a C library that its build runs on, and cannot be \
         unpacked: install it on a Debian that has it, or take a target that builds the whole kernel, as uml"
    )]
    NoCompiler {
        /// Its name.
        compiler: String,
        /// Why it cannot be had.
        #[source]
        source: Box<PackageError>,
    },
    /// The compiler was unpacked and does not run.
    #[error(
        "{compiler} was unpacked and does not run here: install it, or take a target that builds the whole kernel, as uml"
    )]
    BrokenCompiler {
        /// Its name.
        compiler: String,
        /// What it said.
        #[source]
        source: RunError,
    },
    /// The patch is not for modules.
    #[error(transparent)]
    BuiltIn(#[from] BuiltIn),
    /// The headers package does not hold what such packages hold.
    #[error("{path} has no {wanted}: remove the folder `headers` of the cache, and run again")]
    Headers {
        /// The file.
        path: PathBuf,
        /// What was looked for in it.
        wanted: String,
    },
    /// The files that other code includes cannot be listed.
    #[error("cannot search the kernel source")]
    Search(#[source] RunError),
    /// The modules do not compile.
    #[error("the modules of linux {release} do not compile: correct the patch and run again")]
    Compile {
        /// The kernel.
        release: String,
        /// What make said.
        #[source]
        source: RunError,
    },
}

/// Where modules of one stock kernel are built.
#[derive(Debug)]
pub struct ModuleWorkshop<'a> {
    cache: &'a Cache,
    stock: StockKernel,
    tree: SourceTree,
    headers: Headers,
    compiler: Compiler,
    modules: Vec<StockModule>,
    folder: PathBuf,
    log: PathBuf,
}

/// A stock kernel with modules of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The kernel with the modules in their places.
    pub kernel: StockKernel,
    /// What was built anew, in the order of loading.
    pub modules: Vec<StockModule>,
    /// How long it took; nothing for what was built before.
    pub time: Duration,
}

impl<'a> ModuleWorkshop<'a> {
    /// The workshop for Debian's kernel of `series`. Fetches image, headers and source if need be, and builds nothing.
    ///
    /// # Errors
    ///
    /// If one of them cannot be had, or tools are missing.
    pub fn of(
        cache: &'a Cache,
        series: Series,
        watch: &mut Watcher<'_>,
    ) -> Result<ModuleWorkshop<'a>, RebuildError> {
        tools::require(tools::MODULES, &[])?;
        let stock = stock::provide(cache, series, Freshness::Cached, watch)?;
        let version = stock.package_version.clone().unwrap_or_default();
        let tree = source::provide_version(cache, series, &version, watch).map_err(|source| {
            RebuildError::Source {
                release: stock.release.clone(),
                version: version.clone(),
                source: Box::new(source),
            }
        })?;
        let log = cache.folder("log")?.join(format!("modules-{}.log", stock.release));
        let _lock = cache.lock(&format!("headers-{}", stock.release), || {})?;
        let headers = headers::provide(cache, &stock, &version, &log, watch)?;
        let compiler = compiler::provide(cache, &headers, &log, watch)?;
        let folder = cache.folder(&format!("rebuild/{}_{version}", stock.release))?;
        let makefile = tree.path.join(CORE).join("Makefile");
        let text = fs::read_to_string(&makefile).map_err(CacheError::io("read", &makefile))?;
        let modules = StockModule::all_of(&text);
        Ok(ModuleWorkshop { cache, stock, tree, headers, compiler, modules, folder, log })
    }

    /// The kernel as Debian built it.
    pub fn stock(&self) -> &StockKernel {
        &self.stock
    }

    /// The modules of it that can be built anew, in the order of loading.
    pub fn modules(&self) -> &[StockModule] {
        &self.modules
    }

    /// The source of it, which patches are applied to.
    pub fn source(&self) -> &Path {
        &self.tree.path
    }

    /// The modules that have to be built anew for `overlay`, in the order of loading.
    ///
    /// # Errors
    ///
    /// [`RebuildError::BuiltIn`] if the kernel has to be, too.
    pub fn touched(&self, overlay: &Overlay) -> Result<Vec<StockModule>, RebuildError> {
        let makefile_name = format!("{CORE}/Makefile");
        let makefile = match overlay.get(&makefile_name) {
            Some(content) => content.clone().unwrap_or_default(),
            None => {
                let path = self.tree.path.join(&makefile_name);
                fs::read(&path).map_err(CacheError::io("read", &path))?
            }
        };
        let makefile = String::from_utf8_lossy(&makefile);
        let shared_headers = if overlay.keys().any(|name| name.starts_with("include/")) {
            self.shared_headers()?
        } else {
            BTreeSet::new()
        };
        let tree = Tree { core_makefile: &makefile, shared_headers: &shared_headers };
        Ok(touches(overlay.keys().map(String::as_str), &tree)?)
    }

    /// The kernel with those modules in which the files of `overlay` are as they are there. The same content is built
    /// once.
    ///
    /// # Errors
    ///
    /// If more than modules is touched, or they do not build: what the compiler says names files as the patch does.
    pub fn patched(
        &self,
        overlay: &Overlay,
        watch: &mut Watcher<'_>,
    ) -> Result<Rebuilt, RebuildError> {
        let modules = self.touched(overlay)?;
        self.built(overlay, modules, watch)
    }

    /// The kernel with all of these modules built here and no patch in them: what a patched one is to be compared with.
    ///
    /// # Errors
    ///
    /// If they do not build.
    pub fn plain(&self, watch: &mut Watcher<'_>) -> Result<Rebuilt, RebuildError> {
        self.built(&Overlay::new(), self.modules.clone(), watch)
    }

    fn built(
        &self,
        overlay: &Overlay,
        modules: Vec<StockModule>,
        watch: &mut Watcher<'_>,
    ) -> Result<Rebuilt, RebuildError> {
        let since = Instant::now();
        let place = self.folder.join("built").join(&self.key(overlay, &modules)[..16]);
        let file = |module: &StockModule| place.join(format!("{}.ko", module.name()));
        let files: Vec<PathBuf> = modules.iter().map(file).collect();
        let _lock = self.cache.lock(&format!("modules-{}", self.stock.release), || {
            watch(&self.progress(Activity::WaitingForLock, since));
        })?;
        let is_there = files.iter().all(|file| file.is_file());
        if !is_there {
            self.build(overlay, &modules, &place, watch)?;
        }
        let time = if is_there { Duration::ZERO } else { since.elapsed() };
        Ok(Rebuilt { kernel: self.stock.with_modules(&files), modules, time })
    }

    /// Names what is built of `overlay`.
    fn key(&self, overlay: &Overlay, modules: &[StockModule]) -> String {
        let mut parts: Vec<String> = vec![KBUILD.to_owned(), kbuild_of_core(&self.modules)];
        parts.push(self.compiler.identity());
        parts.extend(modules.iter().map(|module| module.name().to_owned()));
        for (name, content) in overlay {
            let digest = content.as_ref().map(|content| hex(&Sha256::digest(content)));
            parts.extend([name.clone(), digest.unwrap_or_else(|| "gone".to_owned())]);
        }
        hex_digest(&parts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Builds `modules` with `overlay` and keeps them in `place`.
    fn build(
        &self,
        overlay: &Overlay,
        modules: &[StockModule],
        place: &Path,
        watch: &mut Watcher<'_>,
    ) -> Result<(), RebuildError> {
        let work = self.make_with(overlay, watch)?;
        self.keep(&work, modules, place)
    }

    /// The folder of the modules without a patch. They are built in the folder `work`, as all others: the names of files
    /// are part of what make compares.
    fn base(&self, watch: &mut Watcher<'_>) -> Result<PathBuf, RebuildError> {
        let (base, work) = (self.folder.join("base"), self.folder.join("work"));
        let done = self.folder.join("base.whole");
        let state = self.key(&Overlay::new(), &self.modules);
        if fs::read_to_string(&done).is_ok_and(|text| text == state) {
            return Ok(base);
        }
        copy::remove(&done)?;
        copy::remove(&work)?;
        for folder in [CORE, RXE] {
            copy::objects(&self.tree.path.join(folder), &work.join(folder), None)?;
        }
        copy::replace(&work.join("Kbuild"), Some(KBUILD.as_bytes()))?;
        copy::replace(
            &work.join(CORE).join("Kbuild"),
            Some(kbuild_of_core(&self.modules).as_bytes()),
        )?;
        let includes = work.join("include/trace");
        fs::create_dir_all(&includes).map_err(CacheError::io("create", &includes))?;
        self.make(&work, watch)?;
        copy::objects(&work, &base, None)?;
        self.cache.publish_file(&done, state.as_bytes())?;
        Ok(base)
    }

    fn make(&self, work: &Path, watch: &mut Watcher<'_>) -> Result<(), RebuildError> {
        let since = Instant::now();
        let mut progress = self.progress(Activity::Compiling, since);
        let mut report = |news: &str| {
            progress.object_count += compiled_count(news);
            progress.elapsed = since.elapsed();
            watch(&progress);
        };
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        let mut command = Command::new("make");
        for name in DISTURBING_VARIABLES {
            command.env_remove(name);
        }
        command.arg("-C").arg(&self.headers.path).arg(format!("M={}", work.display()));
        self.compiler.prepare(&mut command);
        command.arg(format!("CC={}", self.compiler.name())).arg(format!("-j{jobs}"));
        // BTF needs the vmlinux with its debug information, and nobody looks at that of the modules.
        command.args(["CONFIG_DEBUG_INFO_BTF_MODULES=", "CONFIG_DEBUG_INFO=", "modules"]);
        command.env("LC_ALL", "C");
        run::logged(&mut command, &self.log, &mut report).map_err(|source| RebuildError::Compile {
            release: self.stock.release.clone(),
            source: source.with_names_below(work),
        })
    }

    /// Keeps `modules` of `work` in `place`, whole or not at all, and of all builds the newest.
    fn keep(&self, work: &Path, modules: &[StockModule], place: &Path) -> Result<(), RebuildError> {
        self.keep_in(place, &self.folder.join("built"), |made| {
            for module in modules {
                let name = format!("{}.ko", module.name());
                let mut strip = Command::new("strip");
                self.compiler.prepare(&mut strip);
                strip.arg("--strip-debug").arg(work.join(module.folder()).join(&name));
                strip.arg("-o").arg(made.join(&name));
                run::logged(&mut strip, &self.log, &mut |_| {}).map_err(|source| {
                    RebuildError::Compile { release: self.stock.release.clone(), source }
                })?;
            }
            Ok(())
        })
    }

    /// Keeps what `make` puts into a folder as `place`, and of all builds in `folder` the newest.
    fn keep_in(
        &self,
        place: &Path,
        folder: &Path,
        make: impl FnOnce(&Path) -> Result<(), RebuildError>,
    ) -> Result<(), RebuildError> {
        let scratch = self.cache.scratch()?;
        let made = scratch.path().join("made");
        fs::create_dir(&made).map_err(CacheError::io("create", &made))?;
        make(&made)?;
        copy::remove(place)?;
        self.cache.publish_folder(&made, place)?;
        cache::keep_newest(folder, BUILDS_MAX);
        Ok(())
    }

    /// The headers of RDMA that other code includes. The source is searched once.
    fn shared_headers(&self) -> Result<BTreeSet<String>, RebuildError> {
        let list = self.folder.join("shared-headers");
        if let Ok(text) = fs::read_to_string(&list) {
            return Ok(text.lines().map(str::to_owned).collect());
        }
        let mut found = String::new();
        let mut search = Command::new("grep");
        search
            .args(["--recursive", "--extended-regexp", "--include=*.[chS]", "--exclude-dir=.git"])
            .arg("^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"](uapi/)?rdma/")
            .current_dir(&self.tree.path)
            .env("LC_ALL", "C");
        run::logged(&mut search, &self.log, &mut |news| found.push_str(news))
            .map_err(RebuildError::Search)?;
        let shared = shared_headers(&found);
        let text: Vec<&str> = shared.iter().map(String::as_str).collect();
        self.cache.publish_file(&list, text.join("\n").as_bytes())?;
        Ok(shared)
    }

    fn progress(&self, activity: Activity, since: Instant) -> Progress {
        Progress::of(activity, format!("modules of linux {}", self.stock.release), since)
    }
}

/// What building modules of Debian's kernel of `series` begins with: what is in the cache, and what the first use
/// fetches. Asks nobody.
///
/// # Errors
///
/// If a program is missing, or what is in the cache is not whole.
pub fn examine(cache: &Cache, series: Series) -> Result<String, RebuildError> {
    let Some(stock) = stock::find(cache, series) else {
        return Ok("the first use fetches image, source, headers and perhaps a compiler".to_owned());
    };
    tools::require(tools::MODULES, &[])?;
    let version = stock.package_version.clone().unwrap_or_default();
    let mut absent = Vec::new();
    if source::unpacked_version(cache, series, &version).is_none() {
        absent.push("source".to_owned());
    }
    let mut here = String::new();
    match headers::find(cache, &stock, &version)? {
        None => absent.push("headers and perhaps a compiler".to_owned()),
        Some(headers) => match compiler::find(cache, &headers) {
            None => absent.push(headers.compiler),
            Some(compiler) => here = format!(", {}", compiler.describe()),
        },
    }
    if absent.is_empty() {
        return Ok(format!("source and headers of {version}{here}"));
    }
    Ok(format!("image of {version}{here}; the first use fetches {}", absent.join(", ")))
}

/// Removes what make knows of how objects below `folder` were made, so that it makes all of them.
fn remove_commands(folder: &Path) -> Result<(), CacheError> {
    for entry in fs::read_dir(folder).map_err(CacheError::io("read", folder))? {
        let path = entry.map_err(CacheError::io("read", folder))?.path();
        if path.is_dir() {
            remove_commands(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "cmd") {
            copy::remove(&path)?;
        }
    }
    Ok(())
}
