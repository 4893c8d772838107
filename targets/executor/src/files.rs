//! The files of a sequence, and what `p0` does to them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use pinfold_contract::{
    Arg, Backing, ByteRange, FILE_COUNT, FILE_PAGES, File as Name, FileKind, LIBRARY_TAG,
    PAGE_BYTES, Position, Seals, Sequence,
};

use crate::failure::{Doing, Failure};
use crate::{setup, sys};

/// Size of each file at the start, in bytes.
const BYTES: u64 = FILE_PAGES as u64 * PAGE_BYTES as u64;

/// The file on the disk, for one sequence after another.
const DISK_FILE: &str = "/disk/disk0";

/// Room for what is written at once.
pub(crate) type Page = [u8; PAGE_BYTES as usize];

/// The files that a sequence names. The others are not made: none can be seen without being named.
#[derive(Debug)]
pub(crate) struct Files {
    named: [Option<File>; FILE_COUNT as usize],
    zero: Option<File>,
}

impl Files {
    /// As each is at the start of `sequence`.
    pub(crate) fn new(sequence: &Sequence) -> Result<Files, Failure> {
        let wanted = Wanted::of(sequence);
        let mut named = [const { None }; FILE_COUNT as usize];
        for name in Name::all().filter(|name| wanted.named[name.index()]) {
            named[name.index()] = Some(open(name).doing(&format!("prepare the file {name}"))?);
        }
        let zero = wanted.zero.then(|| File::options().read(true).write(true).open("/dev/zero"));
        Ok(Files { named, zero: zero.transpose().doing("open /dev/zero")? })
    }

    /// Descriptor and offset in bytes of what is mapped; nothing for anonymous memory.
    pub(crate) fn mapped(&self, backing: Backing) -> Result<Option<(libc::c_int, i64)>, Failure> {
        let (file, page) = match backing {
            Backing::Anon | Backing::Huge => return Ok(None),
            Backing::File { file, page } => (self.get(file)?, page),
            Backing::DevZero { page } => (self.zero.as_ref().ok_or_else(not_open)?, page),
        };
        Ok(Some((file.as_raw_fd(), i64::from(page) * i64::from(PAGE_BYTES))))
    }

    /// Writes `tag` into `len_bytes` bytes of `file` from `at` on, a page's worth at a time out of `page`.
    ///
    /// Makes one call even for no bytes: what cannot be written to is refused all the same.
    pub(crate) fn write(
        &self,
        file: Name,
        at: Position,
        (len_bytes, tag): (u32, u8),
        page: &mut Page,
    ) -> Result<io::Result<()>, Failure> {
        Ok(write_at(self.get(file)?, u64::from(at.0), (len_bytes, tag), page))
    }

    /// Gives `file` the length `end`.
    pub(crate) fn truncate(&self, file: Name, end: Position) -> Result<io::Result<()>, Failure> {
        Ok(self.get(file)?.set_len(u64::from(end.0)))
    }

    /// Makes a hole of bytes of `file`.
    pub(crate) fn punch(&self, file: Name, range: ByteRange) -> Result<io::Result<()>, Failure> {
        let fd = self.get(file)?.as_raw_fd();
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let (start, len) = (i64::from(range.start().0), i64::from(range.len_bytes()));
        // SAFETY: takes no pointers.
        Ok(sys::check(unsafe { libc::fallocate(fd, mode, start, len) }).map(drop))
    }

    /// Adds seals to `file`.
    pub(crate) fn seal(&self, file: Name, seals: Seals) -> Result<io::Result<()>, Failure> {
        let fd = self.get(file)?.as_raw_fd();
        let seals = libc::c_int::from(seals.bits());
        // SAFETY: takes no pointers.
        Ok(sys::check(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) }).map(drop))
    }

    fn get(&self, file: Name) -> Result<&File, Failure> {
        self.named[file.index()].as_ref().ok_or_else(not_open)
    }
}

fn not_open() -> Failure {
    Failure::State("a file that the sequence does not name".to_owned())
}

/// Writes `tag` into `len_bytes` bytes of `file` from `at` on, until all are written or a call fails.
pub(crate) fn write_at(
    file: &File,
    at: u64,
    (len_bytes, tag): (u32, u8),
    page: &mut Page,
) -> io::Result<()> {
    page.fill(tag);
    let mut done = 0;
    loop {
        let part = &page[..(len_bytes - done).min(PAGE_BYTES) as usize];
        let count = match file.write_at(part, at + u64::from(done)) {
            Ok(0) if !part.is_empty() => return Err(io::Error::from_raw_os_error(libc::EIO)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        done += u32::try_from(count).expect("not more than was asked for");
        if done == len_bytes {
            return Ok(());
        }
    }
}

/// Which files a sequence names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    named: [bool; FILE_COUNT as usize],
    zero: bool,
}

impl Wanted {
    fn of(sequence: &Sequence) -> Wanted {
        let mut wanted = Wanted::default();
        for mut op in sequence.ops.iter().copied() {
            for arg in op.args_mut() {
                if let Arg::File(file) | Arg::Backing(Backing::File { file, .. }) = arg {
                    wanted.named[file.index()] = true;
                } else if let Arg::Backing(Backing::DevZero { .. }) = arg {
                    wanted.zero = true;
                }
            }
        }
        wanted
    }
}

fn open(name: Name) -> io::Result<File> {
    match name.kind() {
        FileKind::Memfd => sys::memory_file(c"memfd", BYTES),
        FileKind::Tmpfs => nameless(),
        FileKind::Library => library(),
        FileKind::Disk => disk(),
    }
}

/// A new file on the tmpfs, all holes.
fn nameless() -> io::Result<File> {
    let mut options = File::options();
    let file = options.read(true).write(true).custom_flags(libc::O_TMPFILE).open(setup::TMPFS)?;
    file.set_len(BYTES)?;
    Ok(file)
}

/// A new file on the tmpfs with its bytes, open for reading only.
fn library() -> io::Result<File> {
    let written = nameless()?;
    let mut page = [0; PAGE_BYTES as usize];
    for index in 0..FILE_PAGES {
        let at = u64::from(index) * u64::from(PAGE_BYTES);
        write_at(&written, at, (PAGE_BYTES, LIBRARY_TAG.wrapping_add(index)), &mut page)?;
    }
    File::open(format!("/proc/self/fd/{}", written.as_raw_fd()))
}

/// The file on the disk, all zeroes, in the page cache and clean.
///
/// The length 0 in between drops every page of it, and what was written stays in the page cache.
fn disk() -> io::Result<File> {
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(true).open(DISK_FILE)?;
    let mut page = [0; PAGE_BYTES as usize];
    write_at(&file, 0, (u32::try_from(BYTES).expect("a few pages"), 0), &mut page)?;
    file.sync_all()?;
    Ok(file)
}

/// Takes all pages of the file on the disk out of the page cache: an earlier sequence may have
/// left some that are charged to the limited control group.
pub(crate) fn empty_disk() -> Result<(), Failure> {
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(true).open(DISK_FILE);
    file.doing("empty the file on the disk").map(drop)
}

/// Writes `tag` through `/proc/self/mem`, past protections.
pub(crate) fn force(
    address: u64,
    (len_bytes, tag): (u32, u8),
    page: &mut Page,
) -> Result<io::Result<()>, Failure> {
    if len_bytes == 0 {
        return Ok(Ok(()));
    }
    let memory = fs::File::options().write(true).open("/proc/self/mem");
    Ok(write_at(&memory.doing("open /proc/self/mem")?, address, (len_bytes, tag), page))
}

#[cfg(test)]
mod tests {
    use super::*;

    use pinfold_contract::{Op, Proc};

    fn memfd0() -> Name {
        Name::from_name("memfd0").unwrap()
    }

    fn sequence(ops: &[Op]) -> Sequence {
        Sequence { ops: ops.to_vec() }
    }

    fn errno(result: Result<io::Result<()>, Failure>) -> Option<i32> {
        result.unwrap().unwrap_err().raw_os_error()
    }

    #[test]
    fn only_what_is_named_is_made() {
        let seal = Op::Seal { file: memfd0(), seals: Seals::SEAL };
        let wanted = Wanted::of(&sequence(&[seal]));
        assert!(wanted.named[0] && !wanted.zero);
        assert_eq!(wanted.named.iter().filter(|&&named| named).count(), 1);
        assert_eq!(Wanted::of(&sequence(&[Op::Exit { proc: Proc::P0 }])), Wanted::default());
        let files = Files::new(&sequence(&[])).unwrap();
        assert!(files.truncate(memfd0(), Position(0)).is_err());
    }

    #[test]
    fn a_memory_file_is_written_cut_and_sealed() {
        let mut page = [0; PAGE_BYTES as usize];
        let seal = Op::Seal { file: memfd0(), seals: Seals::SEAL };
        let files = Files::new(&sequence(&[seal])).unwrap();
        files.write(memfd0(), Position(4095), (8194, 7), &mut page).unwrap().unwrap();
        let file = files.get(memfd0()).unwrap();
        let mut read = [1; 3 * PAGE_BYTES as usize + 2];
        file.read_exact_at(&mut read, 0).unwrap();
        let want = |at| if (4095..4095 + 8194).contains(&at) { 7 } else { 0 };
        assert!(read.iter().enumerate().all(|(at, &byte)| byte == want(at)));
        let range = ByteRange::new(Position(0), Position(0)).unwrap();
        assert_eq!(errno(files.punch(memfd0(), range)), Some(libc::EINVAL));
        let range = ByteRange::new(Position(4096), Position(8192)).unwrap();
        files.punch(memfd0(), range).unwrap().unwrap();
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!((read[4095], read[4096], read[8192]), (7, 0, 7));
        files.seal(memfd0(), Seals::GROW).unwrap().unwrap();
        assert_eq!(errno(files.truncate(memfd0(), Position(1 << 20))), Some(libc::EPERM));
        files.truncate(memfd0(), Position(5000)).unwrap().unwrap();
        // What fits is written, and then the call fails.
        let result = files.write(memfd0(), Position(4000), (4000, 9), &mut page);
        assert_eq!(errno(result), Some(libc::EPERM));
    }

    #[test]
    fn a_forced_write_passes_a_protection_but_not_a_hole() {
        let mut page = [0; PAGE_BYTES as usize];
        let len = 2 * PAGE_BYTES as usize;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let none = std::ptr::null_mut();
        // SAFETY: a new mapping at a place of the kernel's choice overlaps nothing.
        let at = unsafe { libc::mmap(none, len, libc::PROT_READ, flags, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        // SAFETY: the second page is ours, and nothing lies in it.
        assert_eq!(unsafe { libc::munmap(at.byte_add(len / 2), len / 2) }, 0);
        let address = at.expose_provenance() as u64;
        force(address + 4000, (96, 5), &mut page).unwrap().unwrap();
        // SAFETY: the first page can be read as long as the process lives.
        assert_eq!(unsafe { at.cast::<u8>().byte_add(4095).read_volatile() }, 5);
        // A hole could be filled by another test's mapping meanwhile, so an address without any is asked.
        assert_eq!(errno(force(0x1000, (1, 5), &mut page)), Some(libc::EIO));
        force(0x1000, (0, 5), &mut page).unwrap().unwrap();
    }
}
