//! The program that runs inside the system under test: one that is given, or one built from this workspace.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::cache::{Cache, CacheError};
use crate::progress::{Activity, Progress, Watcher};
use crate::run::{self, RunError};
use crate::tools;

const PACKAGE: &str = "pinfold-executor";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where libclang 14 is on Debian 12; the bindings of rdma-core are generated with it.
const LIBCLANG_FOLDER: &str = "/usr/lib/llvm-14/lib";

/// What building the executor needs that cargo does not bring: a file that is there if it is, and its package.
pub const PREREQUISITES: [(&str, &str); 6] = [
    ("/usr/include/infiniband/verbs.h", "libibverbs-dev"),
    ("/usr/include/rdma/rdma_cma.h", "librdmacm-dev"),
    ("/usr/include/libnl3/netlink/netlink.h", "libnl-3-dev"),
    ("/usr/lib/x86_64-linux-gnu/libnl-route-3.a", "libnl-route-3-dev"),
    ("/usr/lib/llvm-14/lib/libclang.so", "libclang-14-dev"),
    ("/usr/bin/pkg-config", "pkg-config"),
];

/// Why there is no executor.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The program that was named is not one.
    #[error("{path} is not an executable file: name another executor, or none to have it built")]
    NotAProgram {
        /// The path given.
        path: PathBuf,
    },
    /// The workspace that this crate was built in is not here any more.
    #[error("no source of the executor in {folder}: name a built executor")]
    NoSource {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// There is no cargo.
    #[error("cargo is missing: install Rust (rustup.rs), or name a built executor")]
    NoCargo,
    /// It does not build.
    #[error(
        "the executor does not build: run `apt-get install libibverbs-dev librdmacm-dev libnl-3-dev \
         libnl-route-3-dev libclang-14-dev pkg-config` and `rustup target add {TARGET}`, or name a built executor"
    )]
    Build {
        /// What cargo said.
        #[source]
        source: RunError,
    },
    /// cargo ended well, and yet it is not there.
    #[error(
        "cargo built no {path}: look whether the package {PACKAGE} still has a program of that name"
    )]
    NotBuilt {
        /// Where it should be.
        path: PathBuf,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Gives the executor: `named` if it is given, else the one that is built from the workspace of this crate.
///
/// cargo is asked each time, and does nothing if nothing changed.
///
/// # Errors
///
/// If the named one is no program, or there is nothing to build from or with, or it does not build.
pub fn provide(
    cache: &Cache,
    named: Option<&Path>,
    watch: &mut Watcher<'_>,
) -> Result<PathBuf, ExecutorError> {
    match named {
        Some(path) if tools::is_executable(path) => Ok(path.to_owned()),
        Some(path) => Err(ExecutorError::NotAProgram { path: path.to_owned() }),
        None => build(cache, &workspace(), watch),
    }
}

/// The workspace that this crate was built in.
fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

fn build(
    cache: &Cache,
    workspace: &Path,
    watch: &mut Watcher<'_>,
) -> Result<PathBuf, ExecutorError> {
    let source = workspace.join("targets/executor");
    if !source.join("Cargo.toml").is_file() {
        return Err(ExecutorError::NoSource { folder: source });
    }
    let mut cargo = cargo().ok_or(ExecutorError::NoCargo)?;
    let since = Instant::now();
    let mut report = |activity| {
        watch(&Progress::of(activity, "the executor", since));
    };
    let target_folder = workspace.join("target/executor");
    let lock_name =
        format!("executor-{}", crate::kernel::hex_digest(&[&workspace.to_string_lossy()]));
    let _lock = cache.lock(&lock_name, || report(Activity::WaitingForLock))?;
    let log = cache.folder("log")?.join("executor.log");
    std::fs::write(&log, "").map_err(CacheError::io("write", &log))?;
    cargo
        .args(["build", "--release", "--locked", "--target", TARGET, "-p", PACKAGE, "--target-dir"])
        .arg(&target_folder)
        .current_dir(workspace);
    // cargo takes a while to find that there is nothing to do, and says nothing then.
    let mut compiles = false;
    let mut tell = |news: &str| {
        compiles |= has_begun(news);
        if compiles {
            report(Activity::Compiling);
        }
    };
    run::logged(&mut cargo, &log, &mut tell).map_err(|source| ExecutorError::Build { source })?;
    let path = target_folder.join(TARGET).join("release").join(PACKAGE);
    if tools::is_executable(&path) { Ok(path) } else { Err(ExecutorError::NotBuilt { path }) }
}

/// Whether cargo says in `news` that it compiles something.
fn has_begun(news: &str) -> bool {
    news.lines().any(|line| line.trim_start().starts_with("Compiling "))
}

/// A stable cargo that knows nothing of a cargo around it.
///
/// Under cargo-fuzz this process runs with a nightly toolchain and with flags for sanitizers, none of which the
/// executor may be built with.
fn cargo() -> Option<Command> {
    let folder = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let in_home = |program: &str| {
        let path = folder.as_ref()?.join("bin").join(program);
        tools::is_executable(&path).then_some(path)
    };
    // The proxy of rustup understands `+stable`; the cargo of a toolchain, which rustup puts first on the search path of
    // what it runs, does not.
    let proxy = in_home("cargo").filter(|_| in_home("rustup").is_some());
    let is_proxy = proxy.is_some();
    let mut command = Command::new(proxy.or_else(|| tools::find("cargo"))?);
    for (name, _) in env::vars_os().filter(|(name, _)| disturbs(name)) {
        command.env_remove(name);
    }
    if is_proxy {
        command.arg("+stable");
    }
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    if env::var_os("LIBCLANG_PATH").is_none() && Path::new(LIBCLANG_FOLDER).is_dir() {
        command.env("LIBCLANG_PATH", LIBCLANG_FOLDER);
    }
    Some(command)
}

/// Whether the variable `name` tells a cargo or compiler around us how to build something else.
fn disturbs(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    let kept = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
    ];
    let dropped = [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUST_RECURSION_COUNT",
        "LD_LIBRARY_PATH",
        "MAKEFLAGS",
        "MFLAGS",
        "ASAN_OPTIONS",
    ];
    !kept.iter().any(|prefix| name.starts_with(prefix))
        && dropped.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_executor_is_used_or_refused_but_never_built_over() {
        let cache = Cache::at("/nonexistent");
        let shell = Path::new("/bin/sh");
        assert_eq!(provide(&cache, Some(shell), &mut |_| {}).unwrap(), shell);
        let error = provide(&cache, Some(Path::new("/etc/passwd")), &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("/etc/passwd"), "{error}");
    }

    #[test]
    fn an_executor_that_is_up_to_date_is_not_announced_as_compiled() {
        assert!(!has_begun("    Blocking waiting for file lock on build directory\n"));
        assert!(!has_begun("    Finished `release` profile [optimized] target(s) in 0.12s\n"));
        assert!(has_begun("   Compiling libc v0.2.1\n   Compiling pinfold-executor v0.1.0\n"));
    }

    #[test]
    fn without_its_source_the_executor_must_be_named() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let error = build(&cache, folder.path(), &mut |_| {}).unwrap_err().to_string();
        assert!(
            error.contains("targets/executor") && error.contains("name a built executor"),
            "{error}"
        );
    }

    #[test]
    fn an_outer_cargo_is_forgotten_but_not_where_crates_come_from() {
        for name in [
            "CARGO",
            "CARGO_MANIFEST_DIR",
            "RUSTC_WRAPPER",
            "RUSTUP_TOOLCHAIN",
            "CARGO_ENCODED_RUSTFLAGS",
        ] {
            assert!(disturbs(&name.into()), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_X_INDEX",
            "RUSTUP_HOME",
            "PATH",
            "HOME",
        ] {
            assert!(!disturbs(&name.into()), "{name}");
        }
    }

    #[test]
    fn a_failed_build_names_every_package_it_may_lack() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let source = run::logged(&mut Command::new("false"), &log, &mut |_| {}).unwrap_err();
        let text = ExecutorError::Build { source }.to_string();
        assert!(PREREQUISITES.iter().all(|(_, package)| text.contains(package)), "{text}");
    }
}
