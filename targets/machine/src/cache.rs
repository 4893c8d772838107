//! The cache folder: what was built once and is used again.
//!
//! Nothing half made is ever seen in it: files and folders are made beside their place and renamed into it, and a lock
//! keeps two processes from making the same thing at once.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, ffi::OsString};

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Neither variable names a folder.
    #[error("no folder for the cache: set PINFOLD_CACHE, XDG_CACHE_HOME or HOME")]
    NoFolder,
    /// A file or folder below the cache cannot be read or written.
    #[error("cannot {action} {path}: make it accessible, or set PINFOLD_CACHE to another folder")]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// What it was attempted on.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl CacheError {
    /// For `map_err`: the error of doing `action` to `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
        let path = path.to_owned();
        move |source| CacheError::Io { action, path, source }
    }
}

/// The folder that holds everything built once: sources, build folders, kernels, initramfs images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

/// Held while something is made; released on drop, or by the system when the process ends in any way.
#[derive(Debug)]
pub struct CacheLock {
    _file: File,
}

impl Cache {
    /// The cache below `root`, which is created when something is put in.
    pub fn at(root: impl Into<PathBuf>) -> Cache {
        Cache { root: root.into() }
    }

    /// The cache the environment names: `$PINFOLD_CACHE`, else `$XDG_CACHE_HOME/pinfold`, else `~/.cache/pinfold`.
    ///
    /// # Errors
    ///
    /// [`CacheError::NoFolder`] if none of the variables is set.
    pub fn from_environment() -> Result<Cache, CacheError> {
        Cache::from_variables(|name| env::var_os(name))
    }

    fn from_variables(get: impl Fn(&str) -> Option<OsString>) -> Result<Cache, CacheError> {
        let folder = |name: &str| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        folder("PINFOLD_CACHE")
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("pinfold")))
            .or_else(|| Some(folder("HOME")?.join(".cache/pinfold")))
            .map(Cache::at)
            .ok_or(CacheError::NoFolder)
    }

    /// The folder itself; it need not exist yet.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder `name` of the cache, created if need be.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn folder(&self, name: &str) -> Result<PathBuf, CacheError> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).map_err(CacheError::io("create", &path))?;
        Ok(path)
    }

    /// Takes the lock `name`, waiting for whoever has it; calls `waiting` once, before it waits.
    ///
    /// # Errors
    ///
    /// If the lock file cannot be created or locked.
    pub fn lock(&self, name: &str, waiting: impl FnOnce()) -> Result<CacheLock, CacheError> {
        let path = self.folder("lock")?.join(name);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(CacheError::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(CacheError::io("lock", &path))?;
            }
            Err(TryLockError::Error(error)) => return Err(CacheError::io("lock", &path)(error)),
        }
        Ok(CacheLock { _file: file })
    }

    /// An empty folder on the cache's own file system, removed on drop: what is made in it can be renamed into place.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn scratch(&self) -> Result<tempfile::TempDir, CacheError> {
        let folder = self.folder("scratch")?;
        sweep(&folder);
        tempfile::tempdir_in(&folder).map_err(CacheError::io("create a folder in", &folder))
    }

    /// Moves the finished folder `made` to `place`. If `place` exists already it stays, and `made` is left alone.
    ///
    /// # Errors
    ///
    /// If the move fails for another reason than that `place` is there.
    pub fn publish_folder(&self, made: &Path, place: &Path) -> Result<(), CacheError> {
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(CacheError::io("create", parent))?;
        }
        match fs::rename(made, place) {
            Err(_) if place.is_dir() => Ok(()),
            result => result.map_err(CacheError::io("rename a finished folder to", place)),
        }
    }

    /// Writes the file `place` whole or not at all.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn publish_file(&self, place: &Path, content: &[u8]) -> Result<(), CacheError> {
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(CacheError::io("create", parent))?;
        }
        let scratch = self.folder("scratch")?;
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&scratch)?;
            file.write_all(content)?;
            file.persist(place)?;
            Ok(())
        };
        write().map_err(CacheError::io("write", place))
    }
}

/// Removes all but the `count` newest of the folders in `folder`, as far as possible: it is only room, and may be another
/// user's.
pub(crate) fn keep_newest(folder: &Path, count: usize) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let dated = |entry: fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
    let mut kept: Vec<(SystemTime, PathBuf)> = entries.filter_map(dated).collect();
    kept.sort();
    for (_, folder) in kept.iter().rev().skip(count) {
        let _ = fs::remove_dir_all(folder);
    }
}

/// After so long, what a killed process left in the scratch folder is removed. Nothing takes a tenth of it.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Removes what was abandoned in the scratch folder, as far as possible: it may be another user's.
fn sweep(scratch: &Path) {
    let is_old = |path: &Path| {
        let modified = path.metadata().and_then(|data| data.modified());
        modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED_AFTER))
    };
    for entry in fs::read_dir(scratch).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if is_old(&path) {
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    fn from(variables: &[(&str, &str)]) -> Result<Cache, CacheError> {
        Cache::from_variables(|name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some(OsString::from(value))
        })
    }

    #[test]
    fn pinfolds_own_variable_comes_before_the_desktops_and_home() {
        let all = [("PINFOLD_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(from(&all).unwrap().root(), Path::new("/a"));
        assert_eq!(from(&all[1..]).unwrap().root(), Path::new("/b/pinfold"));
        assert_eq!(from(&all[2..]).unwrap().root(), Path::new("/c/.cache/pinfold"));
    }

    #[test]
    fn an_empty_variable_is_as_good_as_none() {
        let error = from(&[("PINFOLD_CACHE", ""), ("HOME", "")]).unwrap_err();
        assert!(error.to_string().contains("set PINFOLD_CACHE"), "{error}");
    }

    #[test]
    fn a_folder_published_twice_keeps_its_first_content() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let place = root.path().join("kernel/one");
        for content in ["first", "second"] {
            let scratch = cache.scratch().unwrap();
            let made = scratch.path().join("made");
            fs::create_dir(&made).unwrap();
            fs::write(made.join("file"), content).unwrap();
            cache.publish_folder(&made, &place).unwrap();
        }
        assert_eq!(fs::read_to_string(place.join("file")).unwrap(), "first");
    }

    #[test]
    fn of_many_folders_the_newest_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        for (name, hours) in [("b", 3), ("a", 2), ("c", 1)] {
            let path = cache.folder(&format!("all/{name}")).unwrap();
            let time = SystemTime::now() - Duration::from_secs(hours * 3600);
            File::open(&path).unwrap().set_modified(time).unwrap();
        }
        keep_newest(&root.path().join("all"), 2);
        let is_there = |name: &str| root.path().join("all").join(name).is_dir();
        assert_eq!(["a", "b", "c"].map(is_there), [true, false, true]);
    }

    #[test]
    fn a_published_file_leaves_nothing_in_the_scratch_folder() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        cache.publish_file(&root.path().join("deep/er/file"), b"bytes").unwrap();
        assert_eq!(fs::read(root.path().join("deep/er/file")).unwrap(), b"bytes");
        assert_eq!(fs::read_dir(root.path().join("scratch")).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_away_after_a_day_and_not_before() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let scratch = cache.folder("scratch").unwrap();
        for (name, hours) in [("old", 25), ("new", 23)] {
            let path = scratch.join(name);
            fs::write(&path, "").unwrap();
            let time = std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        drop(cache.scratch().unwrap());
        assert!(!scratch.join("old").exists());
        assert!(scratch.join("new").exists());
    }

    #[test]
    fn a_lock_is_waited_for_and_the_wait_is_announced() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let held = cache.lock("name", || panic!("nobody has it")).unwrap();
        let (announce, announced) = mpsc::channel();
        let waiter =
            thread::spawn(move || cache.lock("name", || announce.send(()).unwrap()).map(drop));
        announced.recv().unwrap();
        drop(held);
        waiter.join().unwrap().unwrap();
    }

    #[test]
    fn an_unwritable_cache_says_which_folder_and_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Cache::at(&file).folder("kernel").unwrap_err().to_string();
        assert!(error.contains("file/kernel") && error.contains("PINFOLD_CACHE"), "{error}");
    }
}
