//! Mappings: those of the arena, and the executor's own.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use pinfold_contract::{Backing, FILE_COUNT, FILE_PAGES, PAGE_BYTES, PageRange, Prot, Sharing};

use crate::failure::{Doing, Failure};
use crate::sys;

/// Maps pages of the arena anew, over whatever is there.
pub(crate) fn map(
    pages: PageRange,
    backing: Backing,
    sharing: Sharing,
    prot: Prot,
    files: &Files,
) -> io::Result<()> {
    let sharing = match sharing {
        Sharing::Private => libc::MAP_PRIVATE,
        Sharing::Shared => libc::MAP_SHARED,
    };
    let (kind, fd, first_page) = match backing {
        Backing::Anon => (libc::MAP_ANONYMOUS, -1, 0),
        Backing::Memfd { file, page } => (0, files.0[file.index()].as_raw_fd(), page),
    };
    let flags = sharing | kind | libc::MAP_FIXED;
    let offset = i64::from(first_page) * i64::from(PAGE_BYTES);
    let (at, len) = place(pages);
    // SAFETY: no Rust object lies in the arena, so nothing is mapped over that matters.
    let got = unsafe { libc::mmap(at, len, i32::from(prot.bits()), flags, fd, offset) };
    if got == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes pages of the arena away.
pub(crate) fn unmap(pages: PageRange) -> io::Result<()> {
    let (at, len) = place(pages);
    // SAFETY: no Rust object lies in the arena.
    done(unsafe { libc::munmap(at, len) })
}

/// Changes the protection of pages of the arena.
pub(crate) fn protect(pages: PageRange, prot: Prot) -> io::Result<()> {
    let (at, len) = place(pages);
    // SAFETY: no Rust object lies in the arena.
    done(unsafe { libc::mprotect(at, len, i32::from(prot.bits())) })
}

fn place(pages: PageRange) -> (*mut libc::c_void, usize) {
    let address = usize::try_from(pages.address()).expect("64-bit addresses");
    let len = usize::try_from(pages.len_bytes()).expect("64-bit lengths");
    (std::ptr::with_exposed_provenance_mut(address), len)
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The memory files of a sequence.
#[derive(Debug)]
pub(crate) struct Files([File; FILE_COUNT as usize]);

impl Files {
    /// New files, all holes.
    pub(crate) fn new() -> Result<Files, Failure> {
        let bytes = u64::from(FILE_PAGES) * u64::from(PAGE_BYTES);
        let file = |name| sys::memory_file(name, bytes).doing("make a memory file");
        Ok(Files([file(c"memfd0")?, file(c"memfd1")?]))
    }
}

/// Memory of the executor itself that `fork` neither copies nor counts as
/// anonymous: shared, and every page of it present.
#[derive(Debug)]
pub(crate) struct Buffer {
    start: *mut u8,
    len_bytes: usize,
}

impl Buffer {
    /// A buffer of `page_count` pages.
    pub(crate) fn new(page_count: u64) -> io::Result<Buffer> {
        let len_bytes = usize::try_from(page_count * u64::from(PAGE_BYTES)).expect("a few pages");
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: a new mapping at a place of the kernel's choice overlaps nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len_bytes, prot, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Buffer { start: start.cast(), len_bytes })
    }

    /// Address of the first byte.
    pub(crate) fn address(&self) -> u64 {
        self.start.expose_provenance() as u64
    }

    /// Its bytes. The adapter writes them too, but only while a work request is under way.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as the process, and bytes are always valid.
        unsafe { std::slice::from_raw_parts(self.start, self.len_bytes) }
    }

    /// Its bytes, to change. As for [`Buffer::bytes`].
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the exclusive borrow keeps other views away.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len_bytes) }
    }
}
