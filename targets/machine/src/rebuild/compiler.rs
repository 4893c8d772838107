//! The compiler that a stock kernel was built with: the installed one, or else Debian's packages of it, unpacked.
//!
//! Kernels of newer suites want a newer compiler than a machine has, and bring programs of the build (modpost, objtool)
//! that want a newer C library. Both are started through the loader of that C library, by scripts in their places.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::iter;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::RebuildError;
use super::headers::Headers;
use crate::apt::Apt;
use crate::cache::{self, Cache, CacheError};
use crate::kernel::hex_digest;
use crate::package::{self, Listed, PackageError, Query};
use crate::progress::{Activity, Progress, Watcher};
use crate::run;
use crate::source::Freshness;
use crate::tools;

/// So many unpacked compilers are kept. Each is about 200 MB.
const KEPT_MAX: usize = 3;

/// Where programs are in the packages of a compiler.
const PROGRAM_FOLDERS: [&str; 3] = ["usr/bin", "usr/libexec", "usr/lib/gcc"];

/// Where libraries are in them.
const LIBRARY_FOLDERS: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

const LOADER: &str = "ld-linux-x86-64.so.2";

/// Where a program is while a script has its place.
const MOVED: &str = ".elf";

/// How the programs of the build begin that building a module starts.
const USED: [&str; 4] = ["fixdep", "genksyms", "modpost", "objtool"];

/// What modules are compiled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Compiler {
    /// The installed one, called so.
    Installed(String),
    /// An unpacked one: its name, and the folder that it is below.
    Unpacked(String, PathBuf),
}

impl Compiler {
    /// Its name, as `gcc-14`.
    pub(super) fn name(&self) -> &str {
        match self {
            Compiler::Installed(name) | Compiler::Unpacked(name, _) => name,
        }
    }

    /// For a person.
    pub(super) fn describe(&self) -> String {
        match self {
            Compiler::Installed(name) => name.clone(),
            Compiler::Unpacked(name, _) => format!("{name} (unpacked, not installed)"),
        }
    }

    /// Tells objects of one compiler from those of another.
    pub(super) fn identity(&self) -> String {
        match self {
            Compiler::Installed(name) => name.clone(),
            Compiler::Unpacked(_, root) => {
                root.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
        }
    }

    /// Makes `command` find this compiler and its assembler and linker first.
    pub(super) fn prepare(&self, command: &mut Command) {
        if let Compiler::Unpacked(_, root) = self {
            let path = env::var_os("PATH").unwrap_or_default();
            let folders = iter::once(root.join("usr/bin")).chain(env::split_paths(&path));
            // A folder with a colon in its name is on no search path.
            command.env("PATH", env::join_paths(folders).unwrap_or(path));
        }
    }
}

/// The compiler for `headers`, if it is installed or in the cache.
pub(super) fn find(cache: &Cache, headers: &Headers) -> Option<Compiler> {
    if tools::find(&headers.compiler).is_some() && can_be_loaded(headers) {
        return Some(Compiler::Installed(headers.compiler.clone()));
    }
    let place = place(cache, headers);
    place.is_dir().then(|| Compiler::Unpacked(headers.compiler.clone(), place))
}

/// Finds the compiler for `headers`, or fetches it. Afterwards the programs in the headers can be started, too.
///
/// # Errors
///
/// If it is not installed, and the archive does not have it or it does not start.
pub(super) fn provide(
    cache: &Cache,
    headers: &Headers,
    log: &Path,
    watch: &mut Watcher<'_>,
) -> Result<Compiler, RebuildError> {
    let compiler = match find(cache, headers) {
        Some(compiler) => compiler,
        None => fetch(cache, headers, log, watch)?,
    };
    if let Compiler::Unpacked(_, root) = &compiler {
        for folder in headers.programs() {
            wrap(&folder, &folder, root)?;
        }
    }
    Ok(compiler)
}

fn place(cache: &Cache, headers: &Headers) -> PathBuf {
    let version = headers.compiler_version.as_deref().unwrap_or("newest");
    let needs: Vec<&str> = headers.needs.iter().map(String::as_str).collect();
    let name = format!("{}_{version}_{}", headers.compiler, &hex_digest(&needs)[..8]);
    cache.root().join("compiler").join(name)
}

fn fetch(
    cache: &Cache,
    headers: &Headers,
    log: &Path,
    watch: &mut Watcher<'_>,
) -> Result<Compiler, RebuildError> {
    let name = &headers.compiler;
    let _lock = cache.lock(&format!("compiler-{name}"), || {
        watch(&Progress::of(Activity::WaitingForLock, name, Instant::now()));
    })?;
    if let Some(compiler) = find(cache, headers) {
        return Ok(compiler);
    }
    let scratch = cache.scratch()?;
    let made = scratch.path().join("made");
    unpack(cache, headers, scratch.path(), &made, log, watch).map_err(|source| {
        RebuildError::NoCompiler { compiler: name.clone(), source: Box::new(source) }
    })?;
    let place = place(cache, headers);
    for folder in PROGRAM_FOLDERS.iter().filter(|folder| made.join(folder).is_dir()) {
        wrap(&made.join(folder), &place.join(folder), &place)?;
    }
    cache.publish_folder(&made, &place)?;
    cache::keep_newest(&cache.root().join("compiler"), KEPT_MAX);
    let compiler = Compiler::Unpacked(name.clone(), place);
    let mut start = Command::new(name);
    compiler.prepare(&mut start);
    run::logged(start.arg("--version"), log, &mut |_| {})
        .map_err(|source| RebuildError::BrokenCompiler { compiler: name.clone(), source })?;
    Ok(compiler)
}

/// Unpacks the compiler, and the libraries that it and the programs in the headers need, into `made`.
fn unpack(
    cache: &Cache,
    headers: &Headers,
    scratch: &Path,
    made: &Path,
    log: &Path,
    watch: &mut Watcher<'_>,
) -> Result<(), PackageError> {
    let (name, since) = (&headers.compiler, Instant::now());
    let apt = Apt::open(cache)?;
    let mut report = |_: &str| watch(&Progress::of(Activity::Downloading, name, since));
    let query = Query { prefix: name, is_wanted: &|found| found == name };
    let listed = package::listed(&apt, &query, Freshness::Cached, log, &mut report)?;
    let Some(chosen) = choose(&listed, headers.compiler_version.as_deref()) else {
        let (package, source) = (name.clone(), None);
        return Err(PackageError::Download { package, source });
    };
    let packages = [vec![chosen.exactly()], headers.needs.clone()].concat();
    let archives = scratch.join("archives");
    let suite = &chosen.suite;
    let files = package::download_with_needs(&apt, &packages, suite, &archives, log, &mut report)?;
    let mut report = |_: &str| watch(&Progress::of(Activity::Unpacking, name, since));
    for file in files {
        package::extract(&file, made, log, &mut report)?;
    }
    Ok(())
}

/// The compiler of the version that the kernel was built with, else the newest.
fn choose<'a>(listed: &'a [Listed], version: Option<&str>) -> Option<&'a Listed> {
    let same = listed.iter().find(|listed| Some(listed.version.as_str()) == version);
    same.or_else(|| listed.iter().max_by(|a, b| package::compare(&a.version, &b.version)))
}

/// Whether this machine's loader finds all that the programs in `headers` need.
fn can_be_loaded(headers: &Headers) -> bool {
    headers.programs().iter().all(|folder| can_all_be_loaded(folder))
}

fn can_all_be_loaded(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).all(|path| {
        if path.is_dir() {
            return can_all_be_loaded(&path);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_used = USED.iter().any(|used| name.starts_with(used)) && !name.contains("powerpc");
        match interpreter(&path).filter(|_| is_used) {
            Some(loader) => is_loaded(&loader, &path),
            None => true,
        }
    })
}

/// Source: ld.so(8). A version that a library does not have is told and no failure of `--list`.
fn is_loaded(loader: &Path, program: &Path) -> bool {
    let mut list = Command::new(loader);
    list.arg("--list").arg(program).env("LC_ALL", "C").stdin(Stdio::null());
    list.output().is_ok_and(|output| {
        let words = [output.stdout, output.stderr].concat();
        output.status.success() && !String::from_utf8_lossy(&words).contains("not found")
    })
}

/// Moves each program below `folder` aside, and puts a script in its place that starts it with the libraries below
/// `root`. The scripts are for when the folder is at `at`. What was moved already gets its script anew.
fn wrap(folder: &Path, at: &Path, root: &Path) -> Result<(), CacheError> {
    let moved = folder.join(MOVED);
    for entry in fs::read_dir(folder).map_err(CacheError::io("read", folder))? {
        let entry = entry.map_err(CacheError::io("read", folder))?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().map_err(CacheError::io("read", &path))?;
        if kind.is_dir() && name != MOVED {
            wrap(&path, &at.join(&name), root)?;
        } else if kind.is_file() && tools::is_executable(&path) && interpreter(&path).is_some() {
            fs::create_dir_all(&moved).map_err(CacheError::io("create", &moved))?;
            fs::rename(&path, moved.join(&name)).map_err(CacheError::io("rename", &path))?;
        }
    }
    for entry in fs::read_dir(&moved).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let script = script(root, &at.join(MOVED).join(&name));
        let place = folder.join(&name);
        write_script(&place, &script).map_err(CacheError::io("write", &place))?;
    }
    Ok(())
}

fn write_script(place: &Path, script: &[u8]) -> io::Result<()> {
    if fs::read(place).is_ok_and(|known| known == script) {
        return Ok(());
    }
    fs::write(place, script)?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o755))
}

/// Starts `program` through the loader below `root`. It is told the script's name as its own, since a compiler finds
/// its parts from there.
fn script(root: &Path, program: &Path) -> Vec<u8> {
    let loader = LIBRARY_FOLDERS.map(|folder| quoted(&root.join(folder).join(LOADER)));
    let libraries = LIBRARY_FOLDERS.map(|folder| quoted(&root.join(folder)));
    let program = quoted(program);
    let parts: [&[u8]; 11] = [
        b"#!/bin/sh\nloader=",
        &loader[0],
        b"\n[ -e \"$loader\" ] || loader=",
        &loader[1],
        b"\nexec \"$loader\" --argv0 \"$0\" --library-path ",
        &libraries[0],
        b":",
        &libraries[1],
        b" ",
        &program,
        b" \"$@\"\n",
    ];
    parts.concat()
}

/// `path` as one word of a shell.
fn quoted(path: &Path) -> Vec<u8> {
    let mut word = vec![b'\''];
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\'' => word.extend_from_slice(b"'\\''"),
            byte => word.push(*byte),
        }
    }
    word.push(b'\'');
    word
}

/// The loader that the program `path` asks for; nothing for what is no program, or needs none.
///
/// Source: elf(5).
fn interpreter(path: &Path) -> Option<PathBuf> {
    const PT_INTERP: usize = 3;
    const HEAD_BYTES: u64 = 1 << 14;
    let mut head = Vec::new();
    File::open(path).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let number = |place: usize, length_bytes: usize| -> Option<usize> {
        let bytes = head.get(place..place.checked_add(length_bytes)?)?;
        bytes
            .iter()
            .rev()
            .try_fold(0usize, |sum, &byte| sum.checked_mul(256).map(|sum| sum + usize::from(byte)))
    };
    let (table, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    let header = |index: usize| table.checked_add(index.checked_mul(size)?);
    let is_it = |place: &usize| number(*place, 4) == Some(PT_INTERP);
    let header = (0..count).filter_map(header).find(is_it)?;
    let (place, length_bytes) =
        (number(header.checked_add(8)?, 8)?, number(header.checked_add(32)?, 8)?);
    let name = head.get(place..place.checked_add(length_bytes)?)?;
    let name = name.split(|byte| *byte == 0).next()?;
    Some(PathBuf::from(OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of this machine that needs the C library.
    fn program() -> PathBuf {
        tools::find("dpkg-deb").unwrap().canonicalize().unwrap()
    }

    #[test]
    fn a_program_tells_its_loader_and_a_script_does_not() {
        assert!(interpreter(&program()).unwrap().is_absolute());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        fs::write(&file, "#!/bin/sh\n").unwrap();
        assert_eq!(interpreter(&file), None);
        let whole = fs::read(program()).unwrap();
        for end in [0, 5, 6, 0x30, 0x40, 0x100] {
            fs::write(&file, &whole[..end]).unwrap();
            assert_eq!(interpreter(&file), None, "cut at {end}");
        }
    }

    /// The folder of a C library, with the folder that is to be below `root` pointing to it.
    fn link_libraries(root: &Path) -> bool {
        let host = Path::new("/").join(LIBRARY_FOLDERS[0]);
        let folder = root.join(LIBRARY_FOLDERS[0]);
        fs::create_dir_all(folder.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&host, &folder).unwrap();
        host.join(LOADER).exists()
    }

    #[test]
    fn a_wrapped_program_runs_under_its_own_name_and_is_wrapped_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("it's a root");
        let programs = folder.path().join("programs/deep");
        fs::create_dir_all(&programs).unwrap();
        if !link_libraries(&root) {
            // Another architecture has another loader.
            return;
        }
        let place = programs.join("tool");
        fs::copy(program(), &place).unwrap();
        fs::write(programs.join("text"), "no program").unwrap();
        let top = folder.path().join("programs");
        for _ in 0..2 {
            wrap(&top, &top, &root).unwrap();
            assert!(fs::read(&place).unwrap().starts_with(b"#!/bin/sh\n"));
            assert!(interpreter(&programs.join(MOVED).join("tool")).is_some());
            let output = Command::new(&place).arg("--version").output().unwrap();
            assert!(output.status.success(), "{output:?}");
            assert!(!output.stdout.is_empty());
        }
        assert_eq!(fs::read_to_string(programs.join("text")).unwrap(), "no program");
    }

    #[test]
    fn a_library_that_is_missing_keeps_a_program_from_being_loaded() {
        let program = program();
        let loader = interpreter(&program).unwrap();
        assert!(is_loaded(&loader, &program));
        let whole = fs::read(&program).unwrap();
        let name = b"libc.so.6\0";
        let found = whole.windows(name.len()).position(|window| window == name).unwrap();
        let mut changed = whole;
        changed[found..found + name.len()].copy_from_slice(b"libx.so.6\0");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("modpost");
        fs::write(&file, changed).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!can_all_be_loaded(folder.path()));
        // What no build of a module starts may stay as it is.
        fs::rename(&file, folder.path().join("sign-file")).unwrap();
        assert!(can_all_be_loaded(folder.path()));
    }

    #[test]
    fn the_compiler_of_the_kernel_comes_before_a_newer_one() {
        let listed = |version: &str, suite: &str| Listed {
            name: "gcc-14".to_owned(),
            version: version.to_owned(),
            suite: suite.to_owned(),
        };
        let all = [listed("14.2.0-19", "stable"), listed("14.4.0-3", "sid")];
        assert_eq!(choose(&all, Some("14.2.0-19")).unwrap().suite, "stable");
        assert_eq!(choose(&all, Some("14.3.0-1")).unwrap().suite, "sid");
        assert_eq!(choose(&all, None).unwrap().suite, "sid");
        assert_eq!(choose(&[], None), None);
    }
}
