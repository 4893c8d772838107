//! Builds a User Mode Linux kernel out of tree, once per content, and tells what is built.
//!
//! A kernel from a Debian source is kept by what went into it: source version, configuration fragment, compiler and
//! variant. A kernel from a user's tree is built by `make` each time, in a build folder that is kept, so that a change
//! of one file relinks in seconds; what comes out is kept by the sha256 of the image.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use pinfold_contract::Series;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache::{Cache, CacheError};
use crate::config::{self, Variant};
use crate::diff::ApplyError;
use crate::kconfig;
use crate::progress::{Activity, Progress, Watcher};
use crate::run::{self, RunError};
use crate::source::{self, Freshness, KernelSource, SourceError, SourceTree};
use crate::tools::{self, MissingTools};

/// About how many object files a whole build makes (counted with 6.12.117 and the plain variant).
const OBJECTS_OF_A_WHOLE_BUILD: usize = 930;

/// The variables by which a surrounding make or shell would change what is built.
pub(crate) const DISTURBING_VARIABLES: [&str; 14] = [
    "MAKEFLAGS",
    "MFLAGS",
    "GNUMAKEFLAGS",
    "MAKELEVEL",
    "MAKEFILES",
    "ARCH",
    "SUBARCH",
    "CROSS_COMPILE",
    "CC",
    "LLVM",
    "KBUILD_OUTPUT",
    "KCONFIG_CONFIG",
    "KCONFIG_ALLCONFIG",
    "KCFLAGS",
];

/// Which kernel is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRequest {
    /// What it is built from.
    pub source: KernelSource,
    /// What is switched on.
    pub variant: Variant,
    /// Whether a Debian source already in the cache is good enough.
    pub freshness: Freshness,
    /// Options that are switched on over those of the variant, as `CONFIG_X`.
    pub enable: Vec<String>,
    /// How many compilers run at once; `None` is one for each CPU this process may use.
    pub jobs: Option<usize>,
}

impl KernelRequest {
    /// The kernel of `source` with `variant`, from what the cache has, as fast as this machine can.
    pub fn new(source: KernelSource, variant: Variant) -> KernelRequest {
        let (freshness, enable) = (Freshness::Cached, Vec::new());
        KernelRequest { source, variant, freshness, enable, jobs: None }
    }

    /// The configuration fragment: what goes over `tinyconfig`.
    fn fragment(&self) -> String {
        let mut text = self.variant.fragment();
        text.extend(self.enable.iter().map(|option| format!("{option}=y\n")));
        text
    }
}

/// A kernel that is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The program to run. Never changes once it is there.
    pub image: PathBuf,
    /// What the source's Makefile says, as `6.12.117`.
    pub version: String,
    /// The Debian package version, for a kernel from a package.
    pub package_version: Option<String>,
    /// The series, for a kernel from a package.
    pub series: Option<Series>,
    /// The user's tree, for a kernel from one.
    pub tree: Option<PathBuf>,
    /// What is switched on.
    pub variant: Variant,
    /// sha256 of the image, in hexadecimal: the identity of the kernel.
    pub sha256: String,
    /// Size of the image.
    pub size_bytes: u64,
    /// How long it took to build, without fetching the source. Seconds.
    pub build_seconds: u64,
}

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Programs of the host are missing.
    #[error(transparent)]
    Tools(#[from] MissingTools),
    /// There is no source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The kernel's configuration could not be made.
    #[error("linux {version} cannot be configured: choose a kernel that knows ARCH=um")]
    Configure {
        /// The kernel version.
        version: String,
        /// What make said.
        #[source]
        source: RunError,
    },
    /// The kernel does not have options that we need.
    #[error(
        "linux {version}{variant} drops {}: use a kernel and a compiler that have {}, or another variant",
        options.join(", "), if options.len() == 1 { "it" } else { "them" }
    )]
    LostOptions {
        /// The kernel version.
        version: String,
        /// The variant asked for.
        variant: Variant,
        /// The options, as `CONFIG_X=y`.
        options: Vec<String>,
    },
    /// The kernel does not have options that somebody wants.
    #[error("linux {version} does not take {}", options.join("; "))]
    NotEnabled {
        /// The kernel version.
        version: String,
        /// Each option, with why it is dropped.
        options: Vec<String>,
    },
    /// The kernel does not compile.
    #[error("linux {version} does not compile: correct its source and run again")]
    Compile {
        /// The kernel version.
        version: String,
        /// What make said.
        #[source]
        source: RunError,
    },
    /// What belongs to the variant does not fit the source.
    #[error(
        "{variant} needs a change that does not fit this source: choose a series that is packaged, or leave it out"
    )]
    Unpatched {
        /// The variant.
        variant: Variant,
        /// What does not fit.
        #[source]
        source: Box<ApplyError>,
    },
    /// The compiler does not tell its version.
    #[error("compiler {program} does not answer to --version: reinstall gcc")]
    Compiler {
        /// The program.
        program: &'static str,
    },
}

impl KernelError {
    /// The same, with files below `folder` named from there on.
    pub(crate) fn with_names_below(self, folder: &Path) -> KernelError {
        match self {
            KernelError::Compile { version, source } => {
                KernelError::Compile { version, source: source.with_names_below(folder) }
            }
            KernelError::Configure { version, source } => {
                KernelError::Configure { version, source: source.with_names_below(folder) }
            }
            KernelError::Tools(_)
            | KernelError::Source(_)
            | KernelError::Cache(_)
            | KernelError::LostOptions { .. }
            | KernelError::NotEnabled { .. }
            | KernelError::Unpatched { .. }
            | KernelError::Compiler { .. } => self,
        }
    }
}

/// What is kept beside an image.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    version: String,
    package_version: Option<String>,
    series: Option<String>,
    tree: Option<PathBuf>,
    variant: String,
    fragment_sha256: String,
    compiler: String,
    sha256: String,
    build_seconds: u64,
}

/// Gives the kernel that `request` asks for, building it if need be. Calls `watch` a few times a second.
///
/// # Errors
///
/// If the source, the tools or the cache cannot be had, or the kernel does not build.
pub fn provide(
    cache: &Cache,
    request: &KernelRequest,
    watch: &mut Watcher<'_>,
) -> Result<Kernel, KernelError> {
    if let KernelSource::Debian(series) = request.source
        && request.freshness == Freshness::Cached
        && let Some(kernel) = find_built_with(cache, series, &request.variant, &request.fragment())
    {
        return Ok(kernel);
    }
    let plan = Plan::make(cache, request, watch)?;
    let build = plan.build(cache);
    let _lock = cache
        .lock(&plan.name, || watch(&build.progress(Activity::WaitingForLock, Instant::now())))?;
    match request.source {
        KernelSource::Debian(_) => match read(&cache.root().join("kernel").join(&plan.name)) {
            Some(kernel) => Ok(kernel),
            None => build.run(watch),
        },
        KernelSource::Tree(_) => build.run(watch),
    }
}

/// What is built, of what and with what.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) request: &'a KernelRequest,
    pub(crate) tree: SourceTree,
    pub(crate) fragment: String,
    /// The name of its build folder, its log and its lock: it tells one content from another.
    pub(crate) name: String,
    compiler: Compiler,
}

impl<'a> Plan<'a> {
    /// Looks for all that is needed. Fetches the source if need be, and builds nothing.
    pub(crate) fn make(
        cache: &Cache,
        request: &'a KernelRequest,
        watch: &mut Watcher<'_>,
    ) -> Result<Plan<'a>, KernelError> {
        tools::require(tools::BUILD, &[(tools::LIBC_HEADER, "libc6-dev")])?;
        let compiler = Compiler::detect()?;
        let tree = source::provide(cache, &request.source, request.freshness, watch)?;
        let fragment = request.fragment();
        let origin = match &request.source {
            KernelSource::Debian(series) => {
                (source::package_name(*series), tree.package_version.clone().unwrap_or_default())
            }
            KernelSource::Tree(_) => ("tree".to_owned(), tree.path.display().to_string()),
        };
        let variant = request.variant.to_string();
        let key =
            hex_digest(&["kernel 1", &origin.0, &origin.1, &fragment, &compiler.version, &variant]);
        let name = format!("{}{variant}-{}", origin.0, &key[..16]);
        Ok(Plan { request, tree, fragment, name, compiler })
    }

    /// The build of it, in `cache`.
    pub(crate) fn build<'b>(&'b self, cache: &'b Cache) -> Build<'b> {
        Build {
            cache,
            request: self.request,
            tree: &self.tree,
            compiler: &self.compiler,
            fragment: &self.fragment,
            name: &self.name,
        }
    }
}

/// The newest kernel of `series` and `variant` that is in the cache and was built with today's configuration.
///
/// Asks nobody and builds nothing; needs no compiler and no source.
pub fn find(cache: &Cache, series: Series, variant: &Variant) -> Option<Kernel> {
    find_built_with(cache, series, variant, &variant.fragment())
}

fn find_built_with(
    cache: &Cache,
    series: Series,
    variant: &Variant,
    fragment: &str,
) -> Option<Kernel> {
    let fragment_sha256 = hex_digest(&[fragment]);
    let wanted = |(_, facts, kernel): &(SystemTime, Facts, Kernel)| {
        kernel.series == Some(series)
            && kernel.variant == *variant
            && facts.fragment_sha256 == fragment_sha256
    };
    let newest = read_all(cache).into_iter().filter(wanted).max_by_key(|(built, _, _)| *built);
    newest.map(|(_, _, kernel)| kernel)
}

/// The series of which [`find`] gives a kernel of `variant`, the newest first.
pub fn series_of(cache: &Cache, variant: &Variant) -> Vec<Series> {
    let found: BTreeSet<Series> = list(cache).iter().filter_map(|kernel| kernel.series).collect();
    found.into_iter().rev().filter(|series| find(cache, *series, variant).is_some()).collect()
}

/// Every kernel in the cache, oldest first.
pub fn list(cache: &Cache) -> Vec<Kernel> {
    let mut found = read_all(cache);
    found.sort_by_key(|(built, _, _)| *built);
    found.into_iter().map(|(_, _, kernel)| kernel).collect()
}

fn read_all(cache: &Cache) -> Vec<(SystemTime, Facts, Kernel)> {
    let Ok(folders) = fs::read_dir(cache.root().join("kernel")) else { return Vec::new() };
    folders.filter_map(|folder| read_dated(&folder.ok()?.path())).collect()
}

fn read(folder: &Path) -> Option<Kernel> {
    read_dated(folder).map(|(_, _, kernel)| kernel)
}

/// The kernel in `folder`, when it was published, and what else is known; `None` if `folder` holds none of ours.
fn read_dated(folder: &Path) -> Option<(SystemTime, Facts, Kernel)> {
    let facts_file = folder.join("facts.json");
    let facts: Facts = serde_json::from_slice(&fs::read(&facts_file).ok()?).ok()?;
    let image = folder.join("linux");
    let kernel = Kernel {
        size_bytes: image.metadata().ok()?.len(),
        image,
        version: facts.version.clone(),
        package_version: facts.package_version.clone(),
        series: facts.series.as_ref().and_then(|name| name.parse().ok()),
        tree: facts.tree.clone(),
        variant: facts.variant.parse().ok()?,
        sha256: facts.sha256.clone(),
        build_seconds: facts.build_seconds,
    };
    Some((facts_file.metadata().ok()?.modified().ok()?, facts, kernel))
}

/// The C compiler and the first line it says of itself.
#[derive(Debug)]
struct Compiler {
    program: &'static str,
    version: String,
}

impl Compiler {
    fn detect() -> Result<Compiler, KernelError> {
        let program = tools::compiler();
        let output = Command::new(program).arg("--version").env("LC_ALL", "C").output();
        let text = output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        match text.lines().next() {
            Some(line) => Ok(Compiler { program, version: line.to_owned() }),
            None => Err(KernelError::Compiler { program }),
        }
    }
}

/// One build: everything it needs to know.
pub(crate) struct Build<'a> {
    cache: &'a Cache,
    request: &'a KernelRequest,
    pub(crate) tree: &'a SourceTree,
    compiler: &'a Compiler,
    fragment: &'a str,
    name: &'a str,
}

impl Build<'_> {
    fn run(&self, watch: &mut Watcher<'_>) -> Result<Kernel, KernelError> {
        let since = Instant::now();
        let folder = self.cache.folder(&format!("build/{}", self.name))?;
        let log = self.cache.folder("log")?.join(format!("{}.log", self.name));
        fs::write(&log, "").map_err(CacheError::io("write", &log))?;
        self.configure(&folder, &log, since, watch)?;
        self.compile(&folder, &log, since, watch)?;
        self.publish(&folder.join("linux"), since.elapsed())
    }

    /// Leaves a `.config` in `folder` that has every option of the fragment. A configuration that does not change is
    /// not touched, or every object would be compiled again.
    pub(crate) fn configure(
        &self,
        folder: &Path,
        log: &Path,
        since: Instant,
        watch: &mut Watcher<'_>,
    ) -> Result<(), KernelError> {
        let mut report = |_: &str| watch(&self.progress(Activity::Configuring, since));
        let failed = |source| KernelError::Configure { version: self.tree.version.clone(), source };
        let config = folder.join(".config");
        let fragment_copy = folder.join("pinfold.fragment");
        let is_current = fs::read_to_string(&fragment_copy).is_ok_and(|text| text == self.fragment);
        if !is_current || !config.is_file() {
            run::logged(self.make(folder).arg("tinyconfig"), log, &mut report).map_err(failed)?;
            let mut text = fs::read_to_string(&config).map_err(CacheError::io("read", &config))?;
            text.push_str(&config::kconfig_lines(self.fragment));
            fs::write(&config, text).map_err(CacheError::io("write", &config))?;
        }
        run::logged(self.make(folder).arg("olddefconfig"), log, &mut report).map_err(failed)?;
        let text = fs::read_to_string(&config).map_err(CacheError::io("read", &config))?;
        let options = config::lost_options(self.fragment, &text);
        let is_enabled = |option: &&String| {
            self.request.enable.iter().any(|wanted| option.strip_suffix("=y") == Some(wanted))
        };
        let dropped: Vec<String> = options.iter().filter(is_enabled).cloned().collect();
        if !dropped.is_empty() {
            let why = |option: &String| kconfig::why_dropped(&self.tree.path, option, &text);
            let options = dropped.iter().map(why).collect();
            return Err(KernelError::NotEnabled { version: self.tree.version.clone(), options });
        }
        if !options.is_empty() {
            let (version, variant) = (self.tree.version.clone(), self.request.variant.clone());
            return Err(KernelError::LostOptions { version, variant, options });
        }
        fs::write(&fragment_copy, self.fragment)
            .map_err(CacheError::io("write", &fragment_copy))?;
        Ok(())
    }

    pub(crate) fn compile(
        &self,
        folder: &Path,
        log: &Path,
        since: Instant,
        watch: &mut Watcher<'_>,
    ) -> Result<(), KernelError> {
        let mut progress = self.progress(Activity::Compiling, since);
        progress.object_estimate =
            Some(OBJECTS_OF_A_WHOLE_BUILD).filter(|_| !folder.join("linux").exists());
        let mut report = |news: &str| {
            progress.object_count += compiled_count(news);
            if news.lines().any(begins_to_link) {
                progress.activity = Activity::Linking;
            }
            progress.elapsed = since.elapsed();
            watch(&progress);
        };
        let jobs = self
            .request
            .jobs
            .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let mut make = self.make(folder);
        make.arg(format!("-j{jobs}")).arg("linux");
        run::logged(&mut make, log, &mut report)
            .map_err(|source| KernelError::Compile { version: self.tree.version.clone(), source })
    }

    /// `make` for this tree into `folder`, deaf to the environment, and the same bytes for the same source.
    fn make(&self, folder: &Path) -> Command {
        let mut command = Command::new("make");
        for name in DISTURBING_VARIABLES {
            command.env_remove(name);
        }
        command
            .arg("-C")
            .arg(&self.tree.path)
            .arg(format!("O={}", folder.display()))
            .args(["ARCH=um", "SUBARCH=x86_64"])
            .arg(format!("CC={}", self.compiler.program))
            .arg(format!("HOSTCC={}", self.compiler.program))
            .args(traced_objects(&self.tree.path, self.fragment))
            .env("LC_ALL", "C")
            .env("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970")
            .env("KBUILD_BUILD_USER", "pinfold")
            .env("KBUILD_BUILD_HOST", "pinfold")
            .env("KBUILD_BUILD_VERSION", "1");
        command
    }

    /// Puts the image and what is known of it into the cache, both or neither.
    fn publish(&self, image: &Path, elapsed: Duration) -> Result<Kernel, KernelError> {
        let bytes = fs::read(image).map_err(CacheError::io("read", image))?;
        let sha256 = hex(&Sha256::digest(&bytes));
        let (series, tree, name) = match &self.request.source {
            KernelSource::Debian(series) => (Some(series.to_string()), None, self.name.to_owned()),
            KernelSource::Tree(_) => {
                (None, Some(self.tree.path.clone()), format!("{}-{}", self.name, &sha256[..16]))
            }
        };
        let facts = Facts {
            version: self.tree.version.clone(),
            package_version: self.tree.package_version.clone(),
            series,
            tree,
            variant: self.request.variant.to_string(),
            fragment_sha256: hex_digest(&[self.fragment]),
            compiler: self.compiler.version.clone(),
            sha256,
            build_seconds: elapsed.as_secs(),
        };
        let scratch = self.cache.scratch()?;
        let made = scratch.path().join("made");
        fs::create_dir(&made).map_err(CacheError::io("create", &made))?;
        fs::copy(image, made.join("linux")).map_err(CacheError::io("copy", image))?;
        let text = serde_json::to_vec_pretty(&facts).expect("strings and numbers always serialize");
        fs::write(made.join("facts.json"), text).map_err(CacheError::io("write", &made))?;
        let place = self.cache.folder("kernel")?.join(name);
        self.cache.publish_folder(&made, &place)?;
        read(&place).ok_or_else(|| {
            let unreadable =
                std::io::Error::other("not what was just written; remove it and build again");
            CacheError::io("read", &place)(unreadable).into()
        })
    }

    pub(crate) fn progress(&self, activity: Activity, since: Instant) -> Progress {
        let subject = format!("linux {}{}", self.tree.version, self.request.variant);
        Progress::of(activity, subject, since)
    }
}

/// What tells make which objects note their blocks. Objects have their names alone there, so one of the same name
/// elsewhere does so, too.
///
/// Source: `_c_flags`, scripts/Makefile.lib, 6.1 and 6.12.
fn traced_objects(tree: &Path, fragment: &str) -> Vec<String> {
    let mut variables = Vec::new();
    for name in config::traced(fragment) {
        let path = tree.join(name);
        let names: Vec<PathBuf> = match fs::read_dir(&path) {
            Ok(folder) => folder.filter_map(|entry| Some(entry.ok()?.path())).collect(),
            Err(_) => vec![path],
        };
        let sources = names.iter().filter(|path| path.extension() == Some("c".as_ref()));
        let stems = sources.filter_map(|path| path.file_stem()?.to_str());
        variables.extend(stems.map(|stem| format!("KCOV_INSTRUMENT_{stem}.o=y")));
    }
    if !variables.is_empty() {
        // Blocks are found by their calls, which a program below 2 GiB need not take from registers.
        variables.push("KCFLAGS=-mcmodel=small".to_owned());
    }
    variables.sort();
    variables
}

/// How many object files make's output `text` says it compiled or assembled for the kernel.
pub(crate) fn compiled_count(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("  CC ") || line.starts_with("  AS ")).count()
}

/// Whether make's output says here that all is compiled.
fn begins_to_link(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    matches!(
        (words.next(), words.next()),
        (Some("AR"), Some("vmlinux.a")) | (Some("LD"), Some("vmlinux.o"))
    )
}

/// sha256 over `parts`, each with its length, in hexadecimal.
pub(crate) fn hex_digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// `bytes` in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts a kernel into `cache` as a build would.
    fn publish(cache: &Cache, name: &str, series: &str, fragment: &str) {
        let folder = cache.folder(&format!("kernel/{name}")).unwrap();
        let facts = Facts {
            version: "6.12.117".into(),
            package_version: Some("6.12.117-1".into()),
            series: Some(series.into()),
            tree: None,
            variant: String::new(),
            fragment_sha256: hex_digest(&[fragment]),
            compiler: "gcc".into(),
            sha256: "00".into(),
            build_seconds: 1,
        };
        fs::write(folder.join("linux"), "image").unwrap();
        fs::write(folder.join("facts.json"), serde_json::to_vec(&facts).unwrap()).unwrap();
    }

    #[test]
    fn a_cached_kernel_is_found_by_series_variant_and_configuration() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let plain = Variant::plain();
        publish(&cache, "old", "6.12", "yesterday's fragment");
        assert_eq!(find(&cache, Series::new(6, 12), &plain), None);
        publish(&cache, "new", "6.12", &plain.fragment());
        let found = find(&cache, Series::new(6, 12), &plain).unwrap();
        assert_eq!(found.image, root.path().join("kernel/new/linux"));
        assert_eq!(found.size_bytes, 5);
        assert_eq!(find(&cache, Series::new(6, 1), &plain), None);
        assert_eq!(find(&cache, Series::new(6, 12), &"+kasan".parse().unwrap()), None);
        assert_eq!(list(&cache).len(), 2);
    }

    #[test]
    fn a_cached_kernel_needs_neither_tools_nor_source() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        publish(&cache, "new", "6.1", &Variant::plain().fragment());
        let request = KernelRequest::new(KernelSource::Debian(Series::new(6, 1)), Variant::plain());
        provide(&cache, &request, &mut |progress| panic!("{progress}")).unwrap();
    }

    #[test]
    fn a_folder_without_facts_is_no_kernel() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        cache.folder("kernel/broken").unwrap();
        assert_eq!(list(&cache), []);
    }

    #[test]
    fn digests_tell_where_one_part_ends() {
        assert_ne!(hex_digest(&["ab", "c"]), hex_digest(&["a", "bc"]));
    }

    #[test]
    fn compiled_files_are_counted_from_makes_output() {
        let text = "  CC      mm/a.o\n  HOSTCC  scripts/b.o\n  AS      c.o\n  LD      linux\n";
        assert_eq!(compiled_count(text), 2);
    }

    #[test]
    fn lost_options_are_all_named() {
        let error = KernelError::LostOptions {
            version: "6.12".into(),
            variant: "+kasan".parse().unwrap(),
            options: vec!["CONFIG_KASAN=y".into(), "CONFIG_PCI=y".into()],
        };
        let text = error.to_string();
        assert!(text.contains("6.12+kasan drops CONFIG_KASAN=y, CONFIG_PCI=y: use"), "{text}");
    }
}
