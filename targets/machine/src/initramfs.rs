//! The initramfs: a cpio archive with the executor as `/init` and little else, the same bytes for the same executor.
//!
//! Not compressed: unpacking would be a third of the time that a guest takes to boot.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cache::{Cache, CacheError};
use crate::disk::{self, DiskError};
use crate::kernel::{hex, hex_digest};

use sha2::{Digest, Sha256};

/// The name, in the root folder, of a program that comes with the executor.
pub const PROGRAM_NAME: &str = "reproducer";

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
    Folder(&'static str),
    Program(&'static str, &'a [u8]),
    Data(&'static str, &'a [u8]),
    /// A character device: name, major and minor number.
    Device(&'static str, u32, u32),
}

/// Gives the initramfs that runs `executor` as `/init`, made once for each content of it.
///
/// # Errors
///
/// If the executor cannot be read or is not static, or the cache cannot be written.
pub fn provide(cache: &Cache, executor: &Path) -> Result<PathBuf, InitramfsError> {
    let program = read_static(executor)?;
    let disk = disk::provide(cache)?;
    let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    let key = hex_digest(&["initramfs 3", &digest(&program), &digest(&disk)]);
    let place = cache.root().join("initramfs").join(format!("{}.cpio", &key[..16]));
    if !place.is_file() {
        let bytes = archive(&program, &disk, None)
            .ok_or_else(|| InitramfsError::TooLarge { executor: executor.to_owned() })?;
        cache.publish_file(&place, &bytes)?;
    }
    Ok(place)
}

/// Writes to `place` an initramfs that has `program` as `/`[`PROGRAM_NAME`] beside `executor` as `/init`.
///
/// # Errors
///
/// If one of the two cannot be read or is not static, there is no disk, or `place` cannot be written.
pub fn write_with_program(
    cache: &Cache,
    executor: &Path,
    program: &Path,
    place: &Path,
) -> Result<(), InitramfsError> {
    let (init, extra) = (read_static(executor)?, read_static(program)?);
    let too_large = || InitramfsError::TooLarge { executor: program.to_owned() };
    let bytes = archive(&init, &disk::provide(cache)?, Some(&extra)).ok_or_else(too_large)?;
    fs::write(place, bytes).map_err(CacheError::io("write", place))?;
    Ok(())
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

/// The archive; `None` if it does not fit.
fn archive(init: &[u8], disk: &[u8], extra: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut entries = vec![
        Entry::Folder("dev"),
        Entry::Device("dev/console", 5, 1),
        Entry::Device("dev/null", 1, 3),
        Entry::Folder("mnt"),
        Entry::Folder("proc"),
        Entry::Folder("sys"),
        Entry::Folder("tmp"),
        Entry::Program("init", init),
        Entry::Data(disk::IMAGE_NAME, disk),
    ];
    entries.extend(extra.map(|program| Entry::Program(PROGRAM_NAME, program)));
    let mut archive = Vec::new();
    for (index, entry) in (1_u32..).zip(&entries) {
        archive.extend(encode(index, entry)?);
    }
    archive.extend(record("TRAILER!!!", 0, 0, (0, 0), &[])?);
    Some(archive)
}

fn encode(inode: u32, entry: &Entry<'_>) -> Option<Vec<u8>> {
    match entry {
        Entry::Folder(name) => record(name, inode, 0o040_755, (0, 0), &[]),
        Entry::Program(name, content) => record(name, inode, 0o100_755, (0, 0), content),
        Entry::Data(name, content) => record(name, inode, 0o100_644, (0, 0), content),
        Entry::Device(name, major, minor) => record(name, inode, 0o020_600, (*major, *minor), &[]),
    }
}

/// One record in the "new ASCII" format (Documentation/driver-api/early-userspace/buffer-format.rst): a header of
/// hexadecimal fields, name and content, each padded to four bytes. Owned by root, of time 0.
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

    fn build(program: &[u8]) -> Option<Vec<u8>> {
        archive(program, b"disk", None)
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
        write_with_program(&cache, &path("executor"), &path("program"), &path("cpio")).unwrap();
        let text = String::from_utf8_lossy(&fs::read(path("cpio")).unwrap()).into_owned();
        assert!(text.contains("init\0") && text.contains("reproducer\0"), "{text:?}");
        let shell = Path::new("/bin/sh");
        let error = write_with_program(&cache, &path("executor"), shell, &path("cpio"));
        assert!(error.unwrap_err().to_string().contains("/bin/sh"));
    }

    #[test]
    fn a_dynamic_program_is_refused_with_the_flag_that_helps() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let error = provide(&cache, Path::new("/bin/sh")).unwrap_err().to_string();
        assert!(error.contains("/bin/sh") && error.contains("crt-static"), "{error}");
    }

    #[test]
    fn an_initramfs_is_made_once_for_a_content() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let executor = root.path().join("executor");
        fs::write(&executor, "one").unwrap();
        let first = provide(&cache, &executor).unwrap();
        assert_eq!(provide(&cache, &executor).unwrap(), first);
        fs::write(&executor, "two").unwrap();
        assert_ne!(provide(&cache, &executor).unwrap(), first);
    }
}
