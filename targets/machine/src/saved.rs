//! Machines that were saved when they had come up, so that the next one like it need not.
//!
//! A saved machine is a folder of the cache, called by [`identity`](crate::qemu::identity), with the file that QEMU
//! wrote and its checksum: QEMU notices a file that ends too early, and not one whose bytes have changed.
//!
//! What is the same in all machines that begin with one saved one: all that the guest drew at random before, such as the
//! state of its generator, and with it the keys of its first MRs.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use crate::cache::{self, Cache};
use crate::machine::Machine;
use crate::qemu::{self, QemuOptions};

/// So many are kept. Each is as large as the memory that its guest has touched.
const SAVED_MAX: usize = 6;

/// How long QEMU may take to write one. Past it there is none, and machines are booted.
const SAVE_LIMIT: Duration = Duration::from_secs(20);

/// The place of one saved machine in the cache, where it is or may be.
#[derive(Clone, Debug)]
pub struct Place {
    cache: Cache,
    name: String,
    /// Whether the file was found to be whole, which is looked at once.
    is_checked: bool,
}

/// What stands beside the file.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    len_bytes: u64,
    crc32: u32,
}

impl Place {
    /// The place of machines that `options` make.
    ///
    /// # Errors
    ///
    /// If a file that they name cannot be read.
    pub fn of(cache: &Cache, options: &QemuOptions) -> io::Result<Place> {
        let name = qemu::identity(options)?[..16].to_owned();
        Ok(Place { cache: cache.clone(), name, is_checked: false })
    }

    /// The file to begin with, if there is one that is whole. One that is not is removed.
    pub fn find(&mut self) -> Option<PathBuf> {
        let file = self.folder().ok()?.join("machine");
        if !file.is_file() {
            return None;
        }
        if !self.is_checked && !self.is_whole() {
            self.forget();
            return None;
        }
        self.is_checked = true;
        Some(file)
    }

    /// Saves `machine`, which came up and on whose wire nothing is on its way, unless another one is there. It goes on.
    ///
    /// # Errors
    ///
    /// If there is no room for it, or QEMU fails.
    pub fn save(&self, machine: &mut Machine) -> io::Result<()> {
        let folder = self.folder()?;
        if folder.exists() {
            return Ok(());
        }
        let scratch = self.cache.scratch().map_err(io::Error::other)?;
        let made = scratch.path().join("made");
        fs::create_dir(&made)?;
        let file = made.join("machine");
        machine.save(&file, SAVE_LIMIT)?;
        let facts = serde_json::to_vec(&facts(&fs::read(&file)?)).map_err(io::Error::other)?;
        fs::write(made.join("facts.json"), facts)?;
        self.cache.publish_folder(&made, &folder).map_err(io::Error::other)?;
        let all = self.cache.folder("saved").map_err(io::Error::other)?;
        cache::keep_newest(&all, SAVED_MAX);
        Ok(())
    }

    /// Removes what is there: a machine that began with it did not come up.
    pub fn forget(&self) {
        if let Ok(folder) = self.folder() {
            let _ = fs::remove_dir_all(folder);
        }
    }

    fn folder(&self) -> io::Result<PathBuf> {
        Ok(self.cache.folder("saved").map_err(io::Error::other)?.join(&self.name))
    }

    fn is_whole(&self) -> bool {
        let read = || -> io::Result<bool> {
            let folder = self.folder()?;
            let wanted: Facts = serde_json::from_slice(&fs::read(folder.join("facts.json"))?)?;
            let found = facts(&fs::read(folder.join("machine"))?);
            Ok((wanted.len_bytes, wanted.crc32) == (found.len_bytes, found.crc32))
        };
        read().unwrap_or(false)
    }
}

fn facts(content: &[u8]) -> Facts {
    let mut hasher = Hasher::new();
    hasher.update(content);
    Facts { len_bytes: content.len() as u64, crc32: hasher.finalize() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn place_with(content: &[u8]) -> (tempfile::TempDir, Place, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let place = Place { cache, name: "0123".to_owned(), is_checked: false };
        let saved = place.folder().unwrap();
        fs::create_dir(&saved).unwrap();
        let file = saved.join("machine");
        fs::write(&file, content).unwrap();
        let facts = serde_json::to_vec(&facts(content)).unwrap();
        fs::write(saved.join("facts.json"), facts).unwrap();
        (folder, place, file)
    }

    #[test]
    fn a_saved_machine_whose_bytes_have_changed_is_removed() {
        let (_folder, mut place, file) = place_with(b"all of a machine");
        assert_eq!(place.clone().find().as_ref(), Some(&file));
        fs::write(&file, b"all of a maShine").unwrap();
        assert_eq!(place.find(), None);
        assert!(!file.exists());
    }

    #[test]
    fn a_saved_machine_without_its_checksum_is_removed() {
        let (_folder, mut place, file) = place_with(b"all of a machine");
        fs::remove_file(file.with_file_name("facts.json")).unwrap();
        assert_eq!(place.find(), None);
        assert!(!file.exists());
    }
}
