//! Keeps the executor's own memory constant while a sequence runs, so that every
//! page that a process gains or loses is the sequence's.
//!
//! Everything writable (data, heap, stack) is written to before the sequence
//! begins, so it is present and anonymous in the first process, and `fork` gives
//! each descendant the same number of pages: `copy_page_range()`
//! (mm/memory.c, 6.1 and 6.12) copies the entries of every mapping that has an
//! `anon_vma`. Writes after that replace pages and add none. The heap is made
//! large enough beforehand, never shrinks, and its end is watched.

use std::arch::asm;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use pinfold_contract::PAGE_BYTES;

use crate::failure::{Doing, Failure};
use crate::pagemap::{ENTRY_BYTES, Entry};

const PAGE: usize = PAGE_BYTES as usize;

/// Deepest that the stack may grow after the start, in bytes.
const STACK_BYTES: usize = 64 << 10;

/// Settles where the heap lies and how deep the stack reaches. To be called once, near the bottom of the stack.
pub(crate) fn settle() {
    // SAFETY: these set numbers inside the allocator: everything comes from one
    // heap that ends where it is needed and is never given back.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 0);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
    grow_stack();
}

#[inline(never)]
fn grow_stack() {
    let mut deep = [0u8; STACK_BYTES];
    std::hint::black_box(&mut deep);
}

/// Sees to it that the heap has `bytes` bytes in one piece that nobody uses.
pub(crate) fn reserve_heap(bytes: usize) {
    // Freed at once; the allocator keeps it.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes)));
}

/// Address of the end of the heap.
pub(crate) fn heap_end() -> usize {
    // SAFETY: an increment of zero changes nothing.
    unsafe { libc::sbrk(0) }.addr()
}

/// The writable memory of this program.
#[derive(Debug)]
pub(crate) struct OwnMemory {
    regions: Vec<Region>,
}

/// A private writable mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Region {
    addresses: Range<usize>,
    /// Whether it ends where the heap ends, which moves.
    is_heap: bool,
}

impl OwnMemory {
    /// What is mapped now. The heap is followed when it grows, other mappings are not.
    pub(crate) fn new() -> Result<OwnMemory, Failure> {
        let maps = fs::read_to_string("/proc/self/maps").doing("read /proc/self/maps")?;
        Ok(OwnMemory { regions: maps.lines().filter_map(writable_region).collect() })
    }

    /// Writes to each page that is not yet present and anonymous.
    pub(crate) fn touch_absent(&mut self) -> Result<(), Failure> {
        let pagemap = File::open("/proc/self/pagemap").doing("open /proc/self/pagemap")?;
        let heap_end = heap_end();
        let mut entries = [0u8; 64 * ENTRY_BYTES];
        for region in &self.regions {
            let end = if region.is_heap { heap_end } else { region.addresses.end };
            let mut page = region.addresses.start / PAGE;
            while page < end / PAGE {
                let count = (end / PAGE - page).min(64);
                let part = &mut entries[..count * ENTRY_BYTES];
                pagemap
                    .read_exact_at(part, (page * ENTRY_BYTES) as u64)
                    .doing("read /proc/self/pagemap")?;
                for (index, &bytes) in part.as_chunks::<ENTRY_BYTES>().0.iter().enumerate() {
                    let entry = Entry::from_bytes(bytes);
                    if !entry.present() || entry.file_or_shared() {
                        touch((page + index) * PAGE);
                    }
                }
                page += count;
            }
        }
        Ok(())
    }
}

/// The private writable mapping that a line of `/proc/PID/maps` describes, if it is one.
fn writable_region(line: &str) -> Option<Region> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let rights = words.next()?;
    // On User Mode Linux what is writable is executable too.
    if !rights.starts_with("rw") || !rights.ends_with('p') {
        return None;
    }
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    Some(Region { addresses: address(start)?..address(end)?, is_heap: line.ends_with("[heap]") })
}

/// Writes to the page at `address` and leaves its bytes as they are.
fn touch(address: usize) {
    // SAFETY: the page is writable memory of this program. Nothing is added to
    // one byte of it in one indivisible step, so no value changes.
    unsafe { asm!("lock add byte ptr [{}], 0", in(reg) address, options(nostack)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writable_private_mappings_are_found() {
        let line = "7f0000001000-7f0000003000 rw-p 00000000 00:00 0    [stack]";
        let addresses = 0x7f00_0000_1000..0x7f00_0000_3000;
        assert_eq!(writable_region(line), Some(Region { addresses, is_heap: false }));
        let heap = "1000-2000 rw-p 00000000 00:00 0    [heap]";
        assert!(writable_region(heap).unwrap().is_heap);
        assert!(writable_region("1000-2000 rwxp 00000000 00:00 0").is_some());
        assert_eq!(writable_region("1000-2000 r--p 00000000 00:00 0"), None);
        assert_eq!(writable_region("1000-2000 rw-s 00000000 00:00 0"), None);
    }
}
