//! Copies of sources and objects that make takes for the originals: with their times.

use std::fs::{self, File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::cache::CacheError;
use crate::kernel::hex;

/// What make links anew in any case, and is half of a build folder.
const NOT_WORTH_A_COPY: [&str; 4] = ["vmlinux", "vmlinux.o", "linux", "System.map"];

/// Makes `copy` the same as `source`, by hard links where that can be; gives a digest over names, sizes and times.
///
/// Nothing may ever write to a file of `copy`: see [`replace`].
///
/// # Errors
///
/// If one of the two cannot be read or written.
pub(crate) fn source(source: &Path, copy: &Path) -> Result<String, CacheError> {
    let mut digest = Sha256::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let (here, there) = (source.join(&folder), copy.join(&folder));
        fs::create_dir_all(&there).map_err(CacheError::io("create", &there))?;
        let mut names = names(&here)?;
        // What git keeps is no source, and there is a lot of it.
        names.retain(|name| name != Path::new(".git"));
        for gone in self::names(&there)?.into_iter().filter(|name| !names.contains(name)) {
            remove(&there.join(gone))?;
        }
        for name in names {
            let (from, to) = (here.join(&name), there.join(&name));
            let data = from.symlink_metadata().map_err(CacheError::io("read", &from))?;
            if data.is_dir() {
                folders.push(folder.join(&name));
                continue;
            }
            digest.update(folder.join(&name).as_os_str().as_encoded_bytes());
            digest.update(data.len().to_le_bytes());
            digest.update(data.mtime().to_le_bytes());
            digest.update(data.mtime_nsec().to_le_bytes());
            if !to.symlink_metadata().is_ok_and(|copied| is_same(&data, &copied)) {
                restore(&from, &to)?;
            }
        }
    }
    Ok(hex(&digest.finalize()))
}

/// Whether one is the other, or a copy of it.
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    let key = |data: &Metadata| (data.len(), data.mtime(), data.mtime_nsec(), data.file_type());
    key(one) == key(other)
}

/// Makes `copy` the same as `original`, time included; removes it where there is no original.
///
/// # Errors
///
/// If one of the two cannot be read or written.
pub(crate) fn restore(original: &Path, copy: &Path) -> Result<(), CacheError> {
    remove(copy)?;
    match original.symlink_metadata() {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CacheError::io("read", original)(error)),
    }
    if fs::hard_link(original, copy).is_ok() {
        return Ok(());
    }
    copied(original, copy).map_err(CacheError::io("copy", original))
}

/// Puts `content` in the place of the file `copy`, with the time of now; removes it if there is none.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn replace(copy: &Path, content: Option<&[u8]>) -> Result<(), CacheError> {
    let Some(content) = content else { return remove(copy) };
    // Its mode stays: some files are run.
    let mode = copy.metadata().map(|data| data.permissions()).ok();
    remove(copy)?;
    let write = || -> io::Result<()> {
        fs::create_dir_all(copy.parent().unwrap_or(copy))?;
        fs::write(copy, content)?;
        mode.map_or(Ok(()), |mode| fs::set_permissions(copy, mode))
    };
    write().map_err(CacheError::io("write", copy))
}

/// Makes `copy` a build folder like `built`; what is the same in both already stays. With `moved`, where make says that
/// the source is at the first place, it is to find it at the second.
///
/// # Errors
///
/// If one of the two cannot be read or written.
pub(crate) fn objects(
    built: &Path,
    copy: &Path,
    moved: Option<(&Path, &Path)>,
) -> Result<(), CacheError> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let (here, there) = (built.join(&folder), copy.join(&folder));
        fs::create_dir_all(&there).map_err(CacheError::io("create", &there))?;
        let is_top = folder.as_os_str().is_empty();
        let names = names(&here)?;
        for gone in self::names(&there)?.into_iter().filter(|name| !names.contains(name)) {
            remove(&there.join(gone))?;
        }
        for name in names {
            let (from, to) = (here.join(&name), there.join(&name));
            let data = from.symlink_metadata().map_err(CacheError::io("read", &from))?;
            let text = name.to_string_lossy();
            let is_linked_anew =
                NOT_WORTH_A_COPY.contains(&text.as_ref()) || text.starts_with(".tmp_vmlinux");
            if data.is_dir() {
                folders.push(folder.join(&name));
            } else if is_top && is_linked_anew {
                // Left out; and none of another build may pass for one of this.
                remove(&to)?;
            } else if moved.is_none()
                && to.symlink_metadata().is_ok_and(|copied| is_same(&data, &copied))
            {
                // Here already.
            } else if let Some((old, new)) = moved.filter(|_| is_top && text == "source") {
                debug_assert!(old != new, "a copy is another place");
                remove(&to)?;
                symlink(new, &to).map_err(CacheError::io("link", &to))?;
            } else {
                remove(&to)?;
                copied(&from, &to).map_err(CacheError::io("copy", &from))?;
                if let Some(moved) = moved.filter(|_| names_sources(&text, is_top)) {
                    rewrite(&to, moved, &data).map_err(CacheError::io("write", &to))?;
                }
            }
        }
    }
    Ok(())
}

/// Whether a file of a build folder is read by make and names sources.
fn names_sources(name: &str, is_top: bool) -> bool {
    name.ends_with(".cmd") || name.ends_with(".d") || (is_top && name == "Makefile")
}

fn rewrite(file: &Path, (old, new): (&Path, &Path), data: &Metadata) -> io::Result<()> {
    let text = fs::read(file)?;
    // make reads text, and a path that is none would have stopped it before.
    let (Ok(text), Some(old), Some(new)) = (String::from_utf8(text), old.to_str(), new.to_str())
    else {
        return Ok(());
    };
    if text.contains(old) {
        fs::write(file, text.replace(old, new))?;
        set_time(file, data.modified()?)?;
    }
    Ok(())
}

/// Copies a file or a symbolic link, with its mode and its time.
fn copied(from: &Path, to: &Path) -> io::Result<()> {
    let data = from.symlink_metadata()?;
    if data.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    fs::copy(from, to)?;
    set_time(to, data.modified()?)
}

fn set_time(file: &Path, time: SystemTime) -> io::Result<()> {
    File::options().append(true).open(file)?.set_times(FileTimes::new().set_modified(time))
}

/// The names in `folder`.
fn names(folder: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let entries = fs::read_dir(folder).map_err(CacheError::io("read", folder))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(PathBuf::from(entry.map_err(CacheError::io("read", folder))?.file_name()));
    }
    names.sort();
    Ok(names)
}

/// Removes whatever is at `path`.
///
/// # Errors
///
/// If it cannot be removed.
pub(crate) fn remove(path: &Path) -> Result<(), CacheError> {
    let removed = match path.symlink_metadata() {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.map_err(CacheError::io("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("source/mm")).unwrap();
        fs::create_dir_all(folder.path().join("source/.git")).unwrap();
        fs::write(folder.path().join("source/mm/gup.c"), "gup").unwrap();
        fs::write(folder.path().join("source/Makefile"), "all:").unwrap();
        symlink("mm/gup.c", folder.path().join("source/link")).unwrap();
        folder
    }

    fn text(folder: &tempfile::TempDir, name: &str) -> Option<String> {
        fs::read_to_string(folder.path().join(name)).ok()
    }

    #[test]
    fn what_is_done_to_the_copy_never_reaches_the_source() {
        let folder = tree();
        let (from, to) = (folder.path().join("source"), folder.path().join("copy"));
        let before = source(&from, &to).unwrap();
        assert_eq!(text(&folder, "copy/link").as_deref(), Some("gup"));
        assert!(!to.join(".git").exists());
        replace(&to.join("mm/gup.c"), Some(b"patched")).unwrap();
        replace(&to.join("mm/new.c"), Some(b"new")).unwrap();
        replace(&to.join("Makefile"), None).unwrap();
        assert_eq!(text(&folder, "source/mm/gup.c").as_deref(), Some("gup"));
        assert_eq!(text(&folder, "source/Makefile").as_deref(), Some("all:"));
        for name in ["mm/gup.c", "mm/new.c", "Makefile"] {
            restore(&from.join(name), &to.join(name)).unwrap();
        }
        assert_eq!(text(&folder, "copy/mm/gup.c").as_deref(), Some("gup"));
        assert!(!to.join("mm/new.c").exists());
        assert_eq!(source(&from, &to).unwrap(), before);
    }

    #[test]
    fn a_source_that_changed_is_copied_again_and_has_another_name() {
        let folder = tree();
        let (from, to) = (folder.path().join("source"), folder.path().join("copy"));
        let before = source(&from, &to).unwrap();
        fs::remove_file(from.join("mm/gup.c")).unwrap();
        fs::write(from.join("mm/other.c"), "other").unwrap();
        assert_ne!(source(&from, &to).unwrap(), before);
        assert_eq!(text(&folder, "copy/mm/gup.c"), None);
        assert_eq!(text(&folder, "copy/mm/other.c").as_deref(), Some("other"));
    }

    #[test]
    fn copied_objects_have_their_times_and_name_the_copied_source() {
        let folder = tree();
        let built = folder.path().join("built");
        fs::create_dir_all(built.join("mm")).unwrap();
        fs::write(built.join("mm/.gup.o.cmd"), "gcc /old/tree/mm/gup.c").unwrap();
        fs::write(built.join("mm/gup.o"), "/old/tree").unwrap();
        fs::write(built.join("vmlinux"), "large").unwrap();
        symlink("/old/tree", built.join("source")).unwrap();
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000);
        for name in ["mm/.gup.o.cmd", "mm/gup.o"] {
            set_time(&built.join(name), time).unwrap();
        }
        let copy = folder.path().join("copy");
        objects(&built, &copy, Some((Path::new("/old/tree"), Path::new("/new")))).unwrap();
        assert_eq!(text(&folder, "copy/mm/.gup.o.cmd").as_deref(), Some("gcc /new/mm/gup.c"));
        assert_eq!(text(&folder, "copy/mm/gup.o").as_deref(), Some("/old/tree"));
        assert_eq!(fs::read_link(copy.join("source")).unwrap(), Path::new("/new"));
        assert!(!copy.join("vmlinux").exists());
        // What a build left behind is gone the next time, and what it changed is as it was.
        fs::write(copy.join("mm/gup.o"), "/new/tree").unwrap();
        fs::write(copy.join("mm/new.o"), "new").unwrap();
        fs::write(copy.join("vmlinux"), "linked").unwrap();
        objects(&built, &copy, None).unwrap();
        assert_eq!(text(&folder, "copy/mm/gup.o").as_deref(), Some("/old/tree"));
        assert!(!copy.join("mm/new.o").exists() && !copy.join("vmlinux").exists());
        objects(&built, &copy, Some((Path::new("/old/tree"), Path::new("/new")))).unwrap();
        for name in ["mm/.gup.o.cmd", "mm/gup.o"] {
            assert_eq!(copy.join(name).metadata().unwrap().modified().unwrap(), time);
        }
    }
}
