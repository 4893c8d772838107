//! The initramfs: a cpio archive with the executor as `/init`, the modules that it loads, and little else. The same bytes
//! for the same executor and modules.
//!
//! Not compressed: unpacking would be a third of the time that a guest takes to boot.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cache::{Cache, CacheError};
use crate::disk::{self, DiskError};
use crate::kernel::{hex, hex_digest};

use sha2::{Digest, Sha256};

/// The name, in the root folder, of a program that comes with the executor.
pub const PROGRAM_NAME: &str = "reproducer";

/// The folder, below the root, of kernel modules. The executor loads them in the order of their names.
pub const MODULE_FOLDER: &str = "modules";

/// Why there is no initramfs.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// The executor cannot be read.
    #[error("cannot read the executor {executor}: build it, or name another")]
    Executor {
        /// The path given.
        executor: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The executor needs a dynamic linker, which the guest does not have.
    #[error(
        "{executor} is not a static program: build it with RUSTFLAGS=-Ctarget-feature=+crt-static"
    )]
    NotStatic {
        /// The path given.
        executor: PathBuf,
    },
    /// A module cannot be read.
    #[error("cannot read the kernel module {module}: install the modules again")]
    Module {
        /// The path given.
        module: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The archive would be larger than the format allows.
    #[error("{executor} is larger than 4 GiB: strip it")]
    TooLarge {
        /// The path given.
        executor: PathBuf,
    },
    /// There is no disk to put into it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// One thing in the archive.
enum Entry<'a> {
    Folder(&'a str),
    Program(&'a str, &'a [u8]),
    Data(String, &'a [u8]),
    /// A character device: name, major and minor number.
    Device(&'static str, u32, u32),
}

/// Gives the initramfs that runs `executor` as `/init`, made once for each content of it. The files of `modules` are in
/// [`MODULE_FOLDER`], under names that sort as they stand here.
///
/// # Errors
///
/// If a file cannot be read, the executor is not static, or the cache cannot be written.
pub fn provide(
    cache: &Cache,
    executor: &Path,
    modules: &[PathBuf],
) -> Result<PathBuf, InitramfsError> {
    let content = Content::read(cache, executor, modules)?;
    let place = cache.root().join("initramfs").join(format!("{}.cpio", &content.identity()[..16]));
    if !place.is_file() {
        cache.publish_file(&place, &content.archive(executor)?)?;
    }
    Ok(place)
}

/// Writes to `place` an initramfs as [`provide`] gives it, that has `program` as `/`[`PROGRAM_NAME`] as well.
///
/// # Errors
///
/// As [`provide`], or if `program` is not static or `place` cannot be written.
pub fn write_with_program(
    cache: &Cache,
    executor: &Path,
    modules: &[PathBuf],
    program: &Path,
    place: &Path,
) -> Result<(), InitramfsError> {
    let files = vec![(PROGRAM_NAME.to_owned(), read_static(program)?)];
    write_with_files(cache, (executor, modules), files, place)
}

/// Writes to `place` an initramfs as [`provide`] gives it of an executor and modules, that has `files` as well: path
/// below the root, in at most one folder, and content. All of them are executable.
///
/// # Errors
///
/// As [`provide`], or if `place` cannot be written.
pub fn write_with_files(
    cache: &Cache,
    (executor, modules): (&Path, &[PathBuf]),
    files: Vec<(String, Vec<u8>)>,
    place: &Path,
) -> Result<(), InitramfsError> {
    let content = Content { files, ..Content::read(cache, executor, modules)? };
    fs::write(place, content.archive(executor)?).map_err(CacheError::io("write", place))?;
    Ok(())
}

/// What differs between one archive and another.
struct Content {
    init: Vec<u8>,
    disk: Vec<u8>,
    /// Name and bytes of each file in the folder.
    modules: Vec<(String, Vec<u8>)>,
    /// Path and bytes of each further file.
    files: Vec<(String, Vec<u8>)>,
}

impl Content {
    fn read(
        cache: &Cache,
        executor: &Path,
        modules: &[PathBuf],
    ) -> Result<Content, InitramfsError> {
        let module = |(place, path): (usize, &PathBuf)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let bytes = fs::read(path)
                .map_err(|source| InitramfsError::Module { module: path.clone(), source })?;
            Ok((format!("{MODULE_FOLDER}/{place:03}-{name}"), bytes))
        };
        Ok(Content {
            init: read_static(executor)?,
            disk: disk::provide(cache)?,
            modules: modules
                .iter()
                .enumerate()
                .map(module)
                .collect::<Result<_, InitramfsError>>()?,
            files: Vec::new(),
        })
    }

    fn identity(&self) -> String {
        let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
        let mut parts = vec!["initramfs 3".to_owned(), digest(&self.init), digest(&self.disk)];
        parts.extend(self.modules.iter().flat_map(|(name, bytes)| [name.clone(), digest(bytes)]));
        hex_digest(&parts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The archive; `largest` is named if it does not fit.
    fn archive(&self, largest: &Path) -> Result<Vec<u8>, InitramfsError> {
        self.encode().ok_or_else(|| InitramfsError::TooLarge { executor: largest.to_owned() })
    }

    fn encode(&self) -> Option<Vec<u8>> {
        let mut entries = vec![
            Entry::Folder("dev"),
            Entry::Device("dev/console", 5, 1),
            Entry::Device("dev/null", 1, 3),
            Entry::Folder("mnt"),
            Entry::Folder("proc"),
            Entry::Folder("sys"),
            Entry::Folder("tmp"),
            Entry::Program("init", &self.init),
            Entry::Data(disk::IMAGE_NAME.to_owned(), &self.disk),
        ];
        if !self.modules.is_empty() {
            entries.push(Entry::Folder(MODULE_FOLDER));
        }
        entries.extend(self.modules.iter().map(|(name, bytes)| Entry::Data(name.clone(), bytes)));
        let folders = self.files.iter().filter_map(|(path, _)| path.rsplit_once('/'));
        let folders: BTreeSet<&str> = folders.map(|(folder, _)| folder).collect();
        entries.extend(folders.into_iter().map(Entry::Folder));
        entries.extend(self.files.iter().map(|(path, bytes)| Entry::Program(path, bytes)));
        let mut archive = Vec::new();
        for (index, entry) in (1_u32..).zip(&entries) {
            archive.extend(encode(index, entry)?);
        }
        archive.extend(record("TRAILER!!!", 0, 0, (0, 0), &[])?);
        Some(archive)
    }
}

fn read_static(path: &Path) -> Result<Vec<u8>, InitramfsError> {
    let program = fs::read(path)
        .map_err(|source| InitramfsError::Executor { executor: path.to_owned(), source })?;
    if needs_linker(&program) {
        return Err(InitramfsError::NotStatic { executor: path.to_owned() });
    }
    Ok(program)
}

/// Whether the ELF program asks for a dynamic linker (has a PT_INTERP segment).
fn needs_linker(program: &[u8]) -> bool {
    let field = |at: usize, size: usize| -> Option<u64> {
        let bytes = program.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    const PT_INTERP: u64 = 3;
    let header = || Some((usize::try_from(field(32, 8)?).ok()?, field(54, 2)?, field(56, 2)?));
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return false;
    }
    let Some((start, size, count)) = header() else { return false };
    (0..count).any(|index| {
        let at = usize::try_from(index * size).ok().and_then(|offset| start.checked_add(offset));
        at.and_then(|at| field(at, 4)) == Some(PT_INTERP)
    })
}

fn encode(inode: u32, entry: &Entry<'_>) -> Option<Vec<u8>> {
    match entry {
        Entry::Folder(name) => record(name, inode, 0o040_755, (0, 0), &[]),
        Entry::Program(name, content) => record(name, inode, 0o100_755, (0, 0), content),
        Entry::Data(name, content) => record(name, inode, 0o100_644, (0, 0), content),
        Entry::Device(name, major, minor) => record(name, inode, 0o020_600, (*major, *minor), &[]),
    }
}

/// One record in the "new ASCII" format: a header of hexadecimal fields, name and content, each padded to four
/// bytes. Owned by root, of time 0.
///
/// Source: Documentation/driver-api/early-userspace/buffer-format.rst.
fn record(
    name: &str,
    inode: u32,
    mode: u32,
    device: (u32, u32),
    content: &[u8],
) -> Option<Vec<u8>> {
    let size = u32::try_from(content.len()).ok()?;
    let name_size = u32::try_from(name.len() + 1).ok()?;
    let (owner, group, link_count, time, check) = (0, 0, 1, 0, 0);
    let fields = [
        inode, mode, owner, group, link_count, time, size, 0, 0, device.0, device.1, name_size,
        check,
    ];
    let mut bytes = b"070701".to_vec();
    for field in fields {
        bytes.extend(format!("{field:08X}").bytes());
    }
    bytes.extend(name.bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(program: &[u8]) -> Content {
        let (init, disk) = (program.to_vec(), b"disk".to_vec());
        Content { init, disk, modules: Vec::new(), files: Vec::new() }
    }

    fn build(program: &[u8]) -> Option<Vec<u8>> {
        content(program).encode()
    }

    #[test]
    fn the_same_program_gives_the_same_bytes() {
        assert_eq!(build(b"program"), build(b"program"));
        assert_ne!(build(b"program"), build(b"another"));
    }

    #[test]
    fn every_record_begins_at_a_multiple_of_four_and_the_trailer_ends_it() {
        let bytes = build(b"12345").unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let starts: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(starts.len(), 10);
        assert!(starts.iter().all(|at| at % 4 == 0), "{starts:?}");
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"));
    }

    #[test]
    fn the_console_is_character_device_5_1() {
        let text = String::from_utf8_lossy(&build(b"").unwrap()).into_owned();
        let name = text.find("dev/console").unwrap();
        let header = &text[name - 110..name];
        assert_eq!(&header[14..22], "00002180", "a character device, mode 600");
        assert_eq!(&header[78..94], "0000000500000001");
        assert_eq!(&header[46..54], "00000000", "of time 0");
    }

    #[test]
    fn a_program_can_come_with_the_executor() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::write(path("executor"), "one").unwrap();
        fs::write(path("program"), "two").unwrap();
        let cache = Cache::at(root.path());
        let (executor, place) = (path("executor"), path("cpio"));
        write_with_program(&cache, &executor, &[], &path("program"), &place).unwrap();
        let text = String::from_utf8_lossy(&fs::read(path("cpio")).unwrap()).into_owned();
        assert!(text.contains("init\0") && text.contains("reproducer\0"), "{text:?}");
        let shell = Path::new("/bin/sh");
        let error = write_with_program(&cache, &executor, &[], shell, &place);
        assert!(error.unwrap_err().to_string().contains("/bin/sh"));
    }

    #[test]
    fn a_dynamic_program_is_refused_with_the_flag_that_helps() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let error = provide(&cache, Path::new("/bin/sh"), &[]).unwrap_err().to_string();
        assert!(error.contains("/bin/sh") && error.contains("crt-static"), "{error}");
    }

    #[test]
    fn an_initramfs_is_made_once_for_a_content() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let executor = root.path().join("executor");
        fs::write(&executor, "one").unwrap();
        let first = provide(&cache, &executor, &[]).unwrap();
        assert_eq!(provide(&cache, &executor, &[]).unwrap(), first);
        fs::write(&executor, "two").unwrap();
        assert_ne!(provide(&cache, &executor, &[]).unwrap(), first);
    }
    #[test]
    fn modules_are_named_so_that_they_sort_in_their_order() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let path = |name: &str| root.path().join(name);
        for name in ["executor", "rxe.ko", "core.ko"] {
            fs::write(path(name), name).unwrap();
        }
        let modules = [path("rxe.ko"), path("core.ko")];
        let place = provide(&cache, &path("executor"), &modules).unwrap();
        let text = String::from_utf8_lossy(&fs::read(&place).unwrap()).into_owned();
        assert!(text.contains("modules/000-rxe.ko\0") && text.contains("modules/001-core.ko\0"));
        assert_ne!(provide(&cache, &path("executor"), &modules[..1]).unwrap(), place);
        fs::remove_file(path("core.ko")).unwrap();
        let error = provide(&cache, &path("executor"), &modules).unwrap_err().to_string();
        assert!(error.contains("core.ko"), "{error}");
    }
}
