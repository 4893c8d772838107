//! Which way the kernel went, block by block: the table of a kernel of the variant `+kcov` (`targets/kernel/kcov.patch`).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use pinfold_contract::Edge;

use crate::failure::{Doing, Failure};
use crate::sys;

const KCOV: &str = "/sys/kernel/debug/kcov";

/// Slots of the table: a sequence fills a tenth of them. The first one counts what found none.
const SLOTS: usize = 1 << 16;

/// `_IOR('c', 1, unsigned long)` and `_IO('c', 100)`.
///
/// Source: include/uapi/linux/kcov.h, 6.1 and 6.12.
const KCOV_INIT_TRACE: libc::Ioctl = 0x8008_6301_u32 as libc::Ioctl;
const KCOV_ENABLE: libc::Ioctl = 0x6364;

/// The table. Block `i` is the one that begins with a call that returns to `_stext + 4 * i`, or up to three bytes behind that.
#[derive(Debug)]
pub(crate) struct Edges {
    slots: NonNull<u64>,
}

impl Edges {
    /// That of this kernel, if it has one. The kernel fills it from now on.
    pub(crate) fn open() -> Result<Option<Edges>, Failure> {
        if !sys::has_debug_file(KCOV) {
            return Ok(None);
        }
        let file = File::options().read(true).write(true).open(KCOV);
        let edges = file.and_then(Edges::of).doing(&format!("collect from {KCOV}"))?;
        // Where kcov is as in any kernel, its first word counts what this process has run by now.
        Ok(Some(edges).filter(|edges| edges.slots().next() == Some(0)))
    }

    fn of(file: File) -> io::Result<Edges> {
        // SAFETY: the request takes a number.
        sys::check(unsafe { libc::ioctl(file.as_raw_fd(), KCOV_INIT_TRACE, SLOTS) })?;
        let (both, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        let len = SLOTS * size_of::<u64>();
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
        Ok(Edges { slots: NonNull::new(at.cast()).expect("a mapping is somewhere") })
    }

    /// Takes the table out of this process: not for `p0` and its children, whose memory is counted.
    ///
    /// `MADV_DONTFORK` would do, were it not for User Mode Linux, which leaves the child what fork left out
    /// (`corpus/defects/uml-child-has-what-fork-left-out/README.md`): what it maps there next would be this table.
    pub(crate) fn leave(&self) -> io::Result<()> {
        let len = SLOTS * size_of::<u64>();
        // SAFETY: the mapping is this one's own, and `p0` does not read it.
        sys::check(unsafe { libc::munmap(self.slots.as_ptr().cast(), len) }).map(drop)
    }

    fn slots(&self) -> impl Iterator<Item = u64> {
        // SAFETY: there are so many slots, and the kernel, which changes them meanwhile, is asked for each once.
        (0..SLOTS).map(|index| unsafe { self.slots.add(index).read_volatile() })
    }

    /// Forgets what ran.
    pub(crate) fn clear(&self) {
        // SAFETY: there are so many slots, and an empty one will do for the kernel.
        unsafe { self.slots.write_bytes(0, SLOTS) };
    }

    /// Which way it went since, ascending.
    pub(crate) fn seen(&self) -> Result<Vec<Edge>, Failure> {
        let mut slots = self.slots();
        match slots.next() {
            None | Some(0) => {}
            Some(lost) => {
                return Err(Failure::State(format!(
                    "{SLOTS} slots are too few: {lost} edges found none"
                )));
            }
        }
        let mut edges: Vec<Edge> = slots.filter(|slot| *slot != 0).map(edge).collect();
        edges.sort_unstable();
        Ok(edges)
    }
}

/// What stands in a slot: the block it comes from above, where it goes to below.
fn edge(slot: u64) -> Edge {
    let [from, to] = [slot >> 32, slot & u64::from(u32::MAX)];
    let half = |half: u64| u32::try_from(half).expect("half of 64 bits");
    Edge { from: half(from), to: half(to) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_both_ends_of_an_edge() {
        assert_eq!(edge(0x12_0000_0034), Edge { from: 0x12, to: 0x34 });
        assert_eq!(edge(u64::MAX), Edge { from: u32::MAX, to: u32::MAX });
    }
}
