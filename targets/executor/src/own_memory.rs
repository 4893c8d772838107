//! Keeps the executor's own memory constant while a sequence runs, so that every
//! page that a process gains or loses is the sequence's.
//!
//! Everything writable (data, heap, stack) is written to before the sequence
//! begins, so it is present and anonymous in the first process, and `fork` gives
//! each descendant the same number of pages: `copy_page_range()`
//! (mm/memory.c, 6.1 and 6.12) copies the entries of every mapping that has an
//! `anon_vma`. Writes after that replace pages and add none. The heap is made
//! large enough beforehand and never shrinks, and what lies beyond it and below
//! the stack is watched.

use std::arch::asm;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use pinfold_contract::PAGE_BYTES;

use crate::failure::{Doing, Failure};
use crate::pagemap::{ENTRY_BYTES, Entry};

const PAGE: usize = PAGE_BYTES as usize;

/// Deepest that the stack may reach below its bottom, in bytes.
const STACK_BYTES: usize = 48 << 10;

/// Address space of the heap, in bytes. Taken at once, before other mappings settle behind it.
const HEAP_BYTES: usize = 8 << 20;

/// How far beyond the reserved heap is looked for pages that should not be there.
const WATCHED_PAGES: usize = 64;

/// Settles where the heap lies. To be called before anything else is mapped.
pub(crate) fn settle() {
    // SAFETY: these set numbers inside the allocator: everything comes from one
    // heap that is never given back.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 0);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
    // Freed at once; the allocator keeps the address space, of which next to nothing was touched.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(HEAP_BYTES)));
}

/// First address of the heap beyond all that is in use.
fn heap_top() -> usize {
    // SAFETY: an increment of zero changes nothing.
    let end = unsafe { libc::sbrk(0) }.addr();
    // SAFETY: only reads the allocator's numbers. `keepcost` is the piece at the end that nobody uses.
    end - unsafe { libc::mallinfo2() }.keepcost
}

/// The writable memory of this program.
#[derive(Clone, Debug)]
pub(crate) struct OwnMemory {
    regions: Vec<Region>,
    heap_limit: usize,
    /// The pages that the kernel maps with the code of quick system calls; none where there is no such code.
    vdso: Range<usize>,
    /// The pages of data that this code reads. Some of them may have nothing behind them.
    vvar: Range<usize>,
}

/// A private writable mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Region {
    addresses: Range<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Heap,
    Stack,
    Other,
}

impl OwnMemory {
    /// What is mapped now.
    pub(crate) fn new() -> Result<OwnMemory, Failure> {
        let maps = fs::read_to_string("/proc/self/maps").doing("read /proc/self/maps")?;
        Ok(OwnMemory {
            regions: maps.lines().filter_map(writable_region).collect(),
            heap_limit: 0,
            vdso: maps.lines().find_map(|line| named(line, "[vdso]")).unwrap_or_default(),
            vvar: maps.lines().find_map(|line| named(line, "[vvar]")).unwrap_or_default(),
        })
    }

    /// Writes to each page that is not yet present and anonymous, and to as much
    /// of the heap beyond what is in use as `heap_bytes` says.
    pub(crate) fn touch_absent(&mut self, heap_bytes: usize) -> Result<(), Failure> {
        self.heap_limit = (heap_top() + heap_bytes).next_multiple_of(PAGE);
        let pagemap = File::open("/proc/self/pagemap").doing("open /proc/self/pagemap")?;
        for region in &self.regions {
            for_each_page(&pagemap, self.used(region), |address, entry| {
                if !entry.present() || entry.file_or_shared() {
                    touch(address);
                }
            })?;
        }
        Ok(())
    }

    /// Writes to each page, so that none is shared with another process any more. Right
    /// after [`OwnMemory::touch_absent`] in a process without descendants it changes nothing.
    pub(crate) fn unshare(&self) {
        for region in &self.regions {
            self.used(region).step_by(PAGE).for_each(touch);
        }
    }

    /// Brings the pages of the vDSO in, and those of its data: `fork` does not copy their entries, and each process
    /// would gain them at the first calls that go through them, or at `mlockall`. Up to 6.12 those of the data have no
    /// frame that is counted (VM_PFNMAP, arch/x86/entry/vdso/vma.c); in 7.3 they do (`vvar_fault()`, lib/vdso/datastore.c).
    pub(crate) fn bring_in_vdso(&self) {
        for address in self.vvar.clone().step_by(PAGE) {
            let at = std::ptr::with_exposed_provenance_mut(address);
            // SAFETY: only brings a page in, if there is one.
            unsafe { libc::madvise(at, PAGE, libc::MADV_POPULATE_READ) };
        }
        for address in self.vdso.clone().step_by(PAGE) {
            let at = std::ptr::with_exposed_provenance::<u8>(address);
            // SAFETY: the page is mapped for reading in every process as long as it lives.
            unsafe { at.read_volatile() };
        }
    }

    /// The addresses of `region` that may be written to.
    fn used(&self, region: &Region) -> Range<usize> {
        let Range { start, end } = region.addresses;
        match region.kind {
            Kind::Heap => start..self.heap_limit,
            Kind::Stack => end - STACK_BYTES..end,
            Kind::Other => start..end,
        }
    }

    /// Fails if this program has grown since [`OwnMemory::touch_absent`]: the sequence would be charged for it.
    /// `pagemap` is that of this process.
    pub(crate) fn check(&self, pagemap: &File) -> Result<(), Failure> {
        let mut grown = 0;
        for region in &self.regions {
            let Range { start, end } = region.addresses;
            let outside = match region.kind {
                Kind::Heap => self.heap_limit..self.heap_limit + WATCHED_PAGES * PAGE,
                Kind::Stack => {
                    start.max(end - STACK_BYTES - WATCHED_PAGES * PAGE)..end - STACK_BYTES
                }
                Kind::Other => continue,
            };
            for_each_page(pagemap, outside, |_, entry| grown += u32::from(entry.present()))?;
        }
        if grown > 0 {
            return Err(Failure::State(format!("the executor itself has grown by {grown} pages")));
        }
        Ok(())
    }
}

/// Brings all of the program's text in, and has `fork` copy its page table
/// entries: a process then starts with them instead of a fault for every few pages.
///
/// `fork` leaves the entries of a file mapping to later faults unless the mapping
/// has an `anon_vma` (`vma_needs_copy()`, mm/memory.c, 6.1 and 6.12). A mapping gets
/// one when one of its pages is written to.
pub(crate) fn inherit_text() -> Result<(), Failure> {
    let maps = fs::read_to_string("/proc/self/maps").doing("read /proc/self/maps")?;
    maps.lines()
        .filter_map(text_region)
        .try_for_each(|(addresses, prot)| inherit(addresses, prot).doing("prepare the text"))
}

fn inherit(addresses: Range<usize>, prot: libc::c_int) -> io::Result<()> {
    let at = std::ptr::with_exposed_provenance_mut(addresses.start);
    let len = addresses.len();
    let check = |result| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: what could be read and executed still can.
    check(unsafe { libc::mprotect(at, len, prot | libc::PROT_WRITE) })?;
    touch(addresses.start);
    // SAFETY: the protection is what it was before.
    check(unsafe { libc::mprotect(at, len, prot) })?;
    // SAFETY: only brings pages in. A kernel that does not know how leaves it to faults.
    unsafe { libc::madvise(at, len, libc::MADV_POPULATE_READ) };
    Ok(())
}

/// The mapping of text or constants, and its protection, that a line of
/// `/proc/PID/maps` describes, if it is one.
fn text_region(line: &str) -> Option<(Range<usize>, libc::c_int)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let prot = match words.next()? {
        "r--p" => libc::PROT_READ,
        "r-xp" => libc::PROT_READ | libc::PROT_EXEC,
        _ => return None,
    };
    words.nth(2).filter(|&inode| inode != "0")?;
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    Some((address(start)?..address(end)?, prot))
}

/// The addresses of the mapping `name` on its line of `/proc/PID/maps`. The vDSO has one page on User Mode Linux
/// (`init_vdso()`, arch/x86/um/vdso/vma.c, 6.1 and 6.12), and as many as its code needs elsewhere
/// (`map_vdso()`, arch/x86/entry/vdso/vma.c, 6.1 and 6.12).
fn named(line: &str, name: &str) -> Option<Range<usize>> {
    let (start, end) = line.strip_suffix(name)?.split_ascii_whitespace().next()?.split_once('-')?;
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    Some(address(start)?..address(end)?)
}

/// Calls `visit` with address and pagemap entry of each page.
fn for_each_page(
    pagemap: &File,
    addresses: Range<usize>,
    mut visit: impl FnMut(usize, Entry),
) -> Result<(), Failure> {
    let mut entries = [0u8; 64 * ENTRY_BYTES];
    let mut page = addresses.start / PAGE;
    let end = addresses.end / PAGE;
    while page < end {
        let part = &mut entries[..(end - page).min(64) * ENTRY_BYTES];
        pagemap
            .read_exact_at(part, (page * ENTRY_BYTES) as u64)
            .doing("read /proc/self/pagemap")?;
        for &bytes in part.as_chunks::<ENTRY_BYTES>().0 {
            visit(page * PAGE, Entry::from_bytes(bytes));
            page += 1;
        }
    }
    Ok(())
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
    let kind = match words.nth(3) {
        Some("[heap]") => Kind::Heap,
        Some("[stack]") => Kind::Stack,
        _ => Kind::Other,
    };
    Some(Region { addresses: address(start)?..address(end)?, kind })
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
    fn text_is_what_is_of_a_file_and_not_writable() {
        let text = "1000-3000 r-xp 00001000 00:02 19      /init";
        assert_eq!(text_region(text), Some((0x1000..0x3000, libc::PROT_READ | libc::PROT_EXEC)));
        assert_eq!(text_region("1000-2000 r-xp 00000000 00:00 0    [vdso]"), None);
        assert_eq!(text_region("1000-2000 rw-p 00000000 00:02 19   /init"), None);
    }

    #[test]
    fn the_vdso_is_found_by_its_name() {
        assert_eq!(
            named("3000-5000 r-xp 00000000 00:00 0      [vdso]", "[vdso]"),
            Some(0x3000..0x5000)
        );
        assert_eq!(named("3000-4000 r-xp 00000000 00:02 19     /init", "[vdso]"), None);
    }

    fn kind(line: &str) -> Option<Kind> {
        writable_region(line).map(|region| region.kind)
    }

    #[test]
    fn writable_private_mappings_are_found() {
        let line = "7f0000001000-7f0000003000 rw-p 00000000 00:00 0";
        let addresses = 0x7f00_0000_1000..0x7f00_0000_3000;
        assert_eq!(writable_region(line), Some(Region { addresses, kind: Kind::Other }));
        assert_eq!(kind("1000-2000 rwxp 00000000 00:00 0    [heap]"), Some(Kind::Heap));
        assert_eq!(kind("1000-2000 rw-p 00000000 00:00 0    [stack]"), Some(Kind::Stack));
        assert_eq!(kind("1000-2000 rw-p 00000000 00:01 7    /init"), Some(Kind::Other));
        assert_eq!(kind("1000-2000 r--p 00000000 00:00 0"), None);
        assert_eq!(kind("1000-2000 rw-s 00000000 00:00 0"), None);
    }
}
