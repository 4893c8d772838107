//! The disk that a guest gets: a small ext4 file system without a journal, the same bytes each time.
//!
//! It travels in the initramfs. The guest copies it to a RAM disk and mounts that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{Cache, CacheError};
use crate::tools::{self, MissingTools, Tool};

/// Its name in the root folder of the guest.
pub const IMAGE_NAME: &str = "disk.img";

/// Size of the disk, in bytes. Not more than the RAM disk has (`CONFIG_BLK_DEV_RAM_SIZE`).
const DISK_BYTES: u64 = 1 << 20;

/// A file system has a name and a seed for its hashes, which are random where nobody says what they are.
const IDENTITY: &str = "6f6c6470-696e-4f6c-8461-64697363726d";

/// What makes file systems.
const MAKER: Tool = Tool { program: "mke2fs", package: "e2fsprogs" };

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The host lacks the program that makes file systems.
    #[error(transparent)]
    Missing(#[from] MissingTools),
    /// The program failed.
    #[error("mke2fs makes no file system of {place}: {reason}")]
    Failed {
        /// Where the file system was to be.
        place: PathBuf,
        /// What the program said.
        reason: String,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The bytes of the disk, made once.
///
/// # Errors
///
/// If the program is not there or fails, or the cache cannot be written.
pub fn provide(cache: &Cache) -> Result<Vec<u8>, DiskError> {
    let place = cache.root().join("initramfs").join("disk-2.img");
    if !place.is_file() {
        let image = make(cache.scratch()?.path())?;
        cache.publish_file(&place, &image)?;
    }
    Ok(fs::read(&place).map_err(CacheError::io("read", &place))?)
}

fn make(scratch: &Path) -> Result<Vec<u8>, DiskError> {
    let place = scratch.join("disk.img");
    let failed = |reason: String| DiskError::Failed { place: place.clone(), reason };
    let io = |error: io::Error| failed(error.to_string());
    fs::File::create(&place).and_then(|file| file.set_len(DISK_BYTES)).map_err(io)?;
    let output = Command::new(maker()?)
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-N", "16"])
        // Where files may be encrypted ext4 has no large folios, so that each page is dirty, read and given up by itself:
        // `ext4_check_large_folio()`, fs/ext4/super.c, 7.3. None is.
        .args(["-O", "^has_journal,^resize_inode,encrypt", "-U", IDENTITY])
        .args(["-E", &format!("hash_seed={IDENTITY},lazy_itable_init=0,nodiscard")])
        .arg(&place)
        // Otherwise the hour of its making is in the file system.
        .env("E2FSPROGS_FAKE_TIME", "1")
        .output()
        .map_err(io)?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    fs::read(&place).map_err(io)
}

/// Where `mke2fs` is: in a folder that is on the search path of root alone, often.
fn maker() -> Result<PathBuf, MissingTools> {
    let usual = ["/usr/sbin/mke2fs", "/sbin/mke2fs"].map(PathBuf::from);
    let found = tools::find(MAKER.program);
    found
        .or_else(|| usual.into_iter().find(|path| tools::is_executable(path)))
        .map_or_else(|| tools::require(&[MAKER], &[]).map(|()| PathBuf::from(MAKER.program)), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_disks_are_the_same_ext4() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let image = make(one.path()).unwrap();
        assert_eq!(image.len() as u64, DISK_BYTES);
        assert_eq!(&image[1024 + 56..1024 + 58], [0x53, 0xef], "the magic number of ext2 to ext4");
        assert!(image == make(other.path()).unwrap(), "they differ");
    }
}
