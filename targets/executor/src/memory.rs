//! Mappings: those of the arena, and the executor's own.

use std::io;

use pinfold_contract::{Advice, LockScope, PAGE_BYTES, PageRange, Prot, Sharing};

/// What a new mapping shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// A file, from an offset in bytes on; nothing for anonymous memory.
    pub(crate) file: Option<(libc::c_int, i64)>,
    /// With `MAP_HUGETLB`.
    pub(crate) huge: bool,
    /// Private or shared.
    pub(crate) sharing: Sharing,
    /// With which protection.
    pub(crate) prot: Prot,
    /// With `MAP_POPULATE`.
    pub(crate) populate: bool,
}

/// Maps pages of the arena anew, over whatever is there.
pub(crate) fn map(pages: PageRange, shown: Shown) -> io::Result<()> {
    let sharing = match shown.sharing {
        Sharing::Private => libc::MAP_PRIVATE,
        Sharing::Shared => libc::MAP_SHARED,
    };
    let populate = if shown.populate { libc::MAP_POPULATE } else { 0 };
    let (kind, fd, offset) = match shown.file {
        None => (libc::MAP_ANONYMOUS, -1, 0),
        Some((fd, offset)) => (0, fd, offset),
    };
    let huge = if shown.huge { libc::MAP_HUGETLB | libc::MAP_HUGE_2MB } else { 0 };
    let flags = sharing | kind | populate | huge | libc::MAP_FIXED;
    let (at, len) = place(pages);
    // SAFETY: no Rust object lies in the arena, so nothing is mapped over that matters.
    let got = unsafe { libc::mmap(at, len, i32::from(shown.prot.bits()), flags, fd, offset) };
    if got == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Moves or resizes a mapping: in place if `to` begins where `from` does.
pub(crate) fn remap(from: PageRange, to: PageRange) -> io::Result<()> {
    let ((at, len), (new_at, new_len)) = (place(from), place(to));
    let flags =
        if from.first() == to.first() { 0 } else { libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED };
    // SAFETY: no Rust object lies in the arena, where both ranges are.
    let got = unsafe { libc::mremap(at, len, new_len, flags, new_at) };
    if got == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives the kernel an advice on pages of the arena.
pub(crate) fn advise(pages: PageRange, advice: Advice) -> io::Result<()> {
    let (at, len) = place(pages);
    // SAFETY: no Rust object lies in the arena.
    done(unsafe { libc::madvise(at, len, advice.number()) })
}

/// Locks pages of the arena.
pub(crate) fn lock(pages: PageRange, onfault: bool) -> io::Result<()> {
    /// `MLOCK_ONFAULT` of linux/mman.h.
    const ONFAULT: libc::c_uint = 1;
    let (at, len) = place(pages);
    let flags = if onfault { ONFAULT } else { 0 };
    // SAFETY: changes no byte of memory.
    let result = unsafe { libc::syscall(libc::SYS_mlock2, at, len, flags) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Unlocks pages of the arena.
pub(crate) fn unlock(pages: PageRange) -> io::Result<()> {
    let (at, len) = place(pages);
    // SAFETY: changes no byte of memory.
    done(unsafe { libc::munlock(at, len) })
}

/// Locks all mappings of this process, those to come, or unlocks them.
pub(crate) fn lock_all(scope: LockScope) -> io::Result<()> {
    let flags = match scope {
        // SAFETY: changes no byte of memory.
        LockScope::None => return done(unsafe { libc::munlockall() }),
        LockScope::Current => libc::MCL_CURRENT | libc::MCL_ONFAULT,
        LockScope::Future => libc::MCL_FUTURE,
        LockScope::Both => libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT,
    };
    // SAFETY: changes no byte of memory.
    done(unsafe { libc::mlockall(flags) })
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

    /// Keeps it in memory, whoever else has it.
    pub(crate) fn lock(&self) -> io::Result<()> {
        // SAFETY: changes no byte of memory.
        done(unsafe { libc::mlock(self.start.cast(), self.len_bytes) })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(first: u8, end: u8) -> PageRange {
        PageRange::new(first, end).unwrap()
    }

    fn anonymous(prot: Prot, populate: bool) -> Shown {
        Shown { file: None, huge: false, sharing: Sharing::Private, prot, populate }
    }

    fn errno(result: io::Result<()>) -> Option<i32> {
        result.unwrap_err().raw_os_error()
    }

    #[test]
    fn mappings_move_and_are_locked_and_advised() {
        map(pages(0, 2), anonymous(Prot::RW, true)).unwrap();
        remap(pages(0, 2), pages(4, 7)).unwrap();
        assert_eq!(errno(advise(pages(0, 1), Advice::DontNeed)), Some(libc::ENOMEM));
        remap(pages(4, 7), pages(4, 5)).unwrap();
        advise(pages(4, 5), Advice::WipeOnFork).unwrap();
        assert_eq!(errno(remap(pages(4, 6), pages(5, 7))), Some(libc::EINVAL));
        lock(pages(4, 5), true).unwrap();
        unlock(pages(4, 5)).unwrap();
        protect(pages(4, 5), Prot::NONE).unwrap();
        assert_eq!(errno(protect(pages(6, 7), Prot::R)), Some(libc::ENOMEM));
        unmap(pages(0, 8)).unwrap();
    }
}
