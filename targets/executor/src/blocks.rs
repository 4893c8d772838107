//! Which blocks of the kernel ran: the bitmap of a kernel of the variant `+kcov` (`targets/kernel/kcov.patch`).

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use crate::coverage::bits;
use crate::failure::{Doing, Failure};
use crate::sys;

const DEBUGFS: &str = "/sys/kernel/debug";
const KCOV: &str = "/sys/kernel/debug/kcov";

/// Words of the bitmap: for 16 MiB of kernel text.
const WORDS: usize = 1 << 16;

/// `_IOR('c', 1, unsigned long)` and `_IO('c', 100)`.
///
/// Source: include/uapi/linux/kcov.h, 6.1 and 6.12.
const KCOV_INIT_TRACE: libc::Ioctl = 0x8008_6301_u32 as libc::Ioctl;
const KCOV_ENABLE: libc::Ioctl = 0x6364;

/// The bitmap. Bit `i` stands for the block that ends with a call that returns to `_stext + 4 * i`, or up to three bytes
/// behind that.
#[derive(Debug)]
pub(crate) struct Blocks {
    words: NonNull<u64>,
}

impl Blocks {
    /// That of this kernel, if it has one. The kernel notes blocks from now on.
    pub(crate) fn open() -> Result<Option<Blocks>, Failure> {
        if !fs::exists(DEBUGFS).unwrap_or(false) {
            return Ok(None);
        }
        // Mounted already, or a kernel without it: what counts is whether the file is there.
        let _ = sys::mount(c"debugfs", None, c"/sys/kernel/debug");
        if !fs::exists(KCOV).unwrap_or(false) {
            return Ok(None);
        }
        let file = File::options().read(true).write(true).open(KCOV);
        let blocks = file.and_then(Blocks::of).doing(&format!("collect from {KCOV}"))?;
        // Where kcov is as in any kernel, its first word counts what this process has run by now.
        Ok(Some(blocks).filter(|blocks| blocks.words().next() == Some(0)))
    }

    fn of(file: File) -> io::Result<Blocks> {
        // SAFETY: the request takes a number.
        sys::check(unsafe { libc::ioctl(file.as_raw_fd(), KCOV_INIT_TRACE, WORDS) })?;
        let (both, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        let len = WORDS * size_of::<u64>();
        let none = std::ptr::null_mut();
        // SAFETY: a new mapping at a place of the kernel's choice overlaps nothing.
        let at = unsafe { libc::mmap(none, len, both, libc::MAP_SHARED, fd, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the request takes a number.
        sys::check(unsafe { libc::ioctl(fd, KCOV_ENABLE, 0) })?;
        // Closing it would end the collection.
        std::mem::forget(file);
        Ok(Blocks { words: NonNull::new(at.cast()).expect("a mapping is somewhere") })
    }

    /// Takes the bitmap out of this process: not for `p0` and its children, whose memory is counted.
    ///
    /// `MADV_DONTFORK` would do, were it not for User Mode Linux, which leaves the child what fork left out
    /// (`corpus/known/uml_child_has_what_fork_left_out.md`): what it maps there next would be this bitmap.
    pub(crate) fn leave(&self) -> io::Result<()> {
        let len = WORDS * size_of::<u64>();
        // SAFETY: the mapping is this one's own, and `p0` does not read it.
        sys::check(unsafe { libc::munmap(self.words.as_ptr().cast(), len) }).map(drop)
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        // SAFETY: there are so many words, and the kernel, which changes them meanwhile, is asked for each once.
        (0..WORDS).map(|index| unsafe { self.words.add(index).read_volatile() })
    }

    /// Forgets what ran.
    pub(crate) fn clear(&self) {
        // SAFETY: there are so many words, and any value will do for the kernel.
        unsafe { self.words.write_bytes(0, WORDS) };
    }

    /// The bits of what ran since, ascending.
    pub(crate) fn seen(&self) -> Vec<u32> {
        bits(self.words())
    }
}
