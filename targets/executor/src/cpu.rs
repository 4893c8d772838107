//! Loads and stores that survive a fault.
//!
//! Each access is one string instruction. Its fault leaves in RCX how many bytes
//! were not done, so the handler need only step over it.

use std::arch::global_asm;
use std::io;

use pinfold_contract::{Outcome, PAGE_BYTES, Runs, Signal};

use crate::runs;

// Both return the bytes not done in RAX and the signal, if any, in RDX. The
// handler puts the signal there.
global_asm!(
    ".text",
    ".globl pinfold_fill",
    ".globl pinfold_fill_instruction",
    ".globl pinfold_fill_end",
    "pinfold_fill:",
    "mov rcx, rsi",
    "mov eax, edx",
    "xor edx, edx",
    "pinfold_fill_instruction:",
    "rep stosb",
    "pinfold_fill_end:",
    "mov rax, rcx",
    "ret",
    ".globl pinfold_copy",
    ".globl pinfold_copy_instruction",
    ".globl pinfold_copy_end",
    "pinfold_copy:",
    "mov rcx, rdx",
    "xor edx, edx",
    "pinfold_copy_instruction:",
    "rep movsb",
    "pinfold_copy_end:",
    "mov rax, rcx",
    "ret",
);

/// What an access returns, in RAX and RDX.
#[repr(C)]
struct Access {
    left_bytes: u64,
    signal: u64,
}

unsafe extern "C" {
    fn pinfold_fill(address: u64, len_bytes: u64, value: u64) -> Access;
    fn pinfold_copy(to: *mut u8, from: u64, len_bytes: u64) -> Access;
    static pinfold_fill_instruction: u8;
    static pinfold_fill_end: u8;
    static pinfold_copy_instruction: u8;
    static pinfold_copy_end: u8;
}

/// What a faulting access did before the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    signal: Signal,
    done_bytes: u32,
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Outcome {
        Outcome::Fault { signal: fault.signal, done_bytes: fault.done_bytes }
    }
}

/// Catches SIGSEGV and SIGBUS of guarded accesses, in this process and its
/// descendants. Any other fault kills the process, as it would have without.
pub(crate) fn guard() -> io::Result<()> {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: all zeroes is a valid `sigaction`: no flags, nothing blocked.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: `action` outlives the call, and its handler touches nothing but its arguments.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn on_fault(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes the context of the fault, and nobody else has it.
    let registers = unsafe { &mut (*context).uc_mcontext.gregs };
    let at = |label: *const u8| label.addr().cast_signed() as i64;
    let rip = &mut registers[libc::REG_RIP as usize];
    // Only addresses are taken here.
    let end = if *rip == at(&raw const pinfold_fill_instruction) {
        at(&raw const pinfold_fill_end)
    } else if *rip == at(&raw const pinfold_copy_instruction) {
        at(&raw const pinfold_copy_end)
    } else {
        // Not ours: without a handler the instruction faults again and kills.
        // SAFETY: changes only what this signal does.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    };
    *rip = end;
    registers[libc::REG_RDX as usize] = i64::from(signal);
}

fn result(access: &Access, len_bytes: u32) -> Result<(), Fault> {
    let left = u32::try_from(access.left_bytes).expect("not more than were asked for");
    let signal = match i32::try_from(access.signal).expect("a small number") {
        0 => return Ok(()),
        libc::SIGBUS => Signal::Bus,
        _ => Signal::Segv,
    };
    Err(Fault { signal, done_bytes: len_bytes - left })
}

/// Stores `value` into `len_bytes` bytes from `address` on, ascending.
///
/// # Safety
///
/// No Rust object lies in those bytes.
pub(crate) unsafe fn fill(address: u64, len_bytes: u32, value: u8) -> Result<(), Fault> {
    // SAFETY: the caller's promise; a fault in the only store is recovered from.
    let access = unsafe { pinfold_fill(address, u64::from(len_bytes), u64::from(value)) };
    result(&access, len_bytes)
}

/// Loads bytes from `address` on into `buffer`, ascending. After a fault the rest of `buffer` is as it was.
pub(crate) fn load(address: u64, buffer: &mut [u8]) -> Result<(), Fault> {
    let len_bytes = u32::try_from(buffer.len()).expect("buffers are smaller than 4 GiB");
    // SAFETY: `buffer` has room for so many bytes; a fault in the only load is recovered from.
    let access = unsafe { pinfold_copy(buffer.as_mut_ptr(), address, u64::from(len_bytes)) };
    result(&access, len_bytes)
}

/// Loads `len_bytes` bytes from `address` on, ascending, a page's worth at a time through `page`.
pub(crate) fn read(
    address: u64,
    len_bytes: u32,
    page: &mut [u8; PAGE_BYTES as usize],
) -> Result<Runs, Fault> {
    let mut value = Runs::default();
    let mut done = 0;
    while done < len_bytes {
        let part_len = (len_bytes - done).min(PAGE_BYTES);
        let part = &mut page[..part_len as usize];
        load(address + u64::from(done), part)
            .map_err(|fault| Fault { done_bytes: done + fault.done_bytes, ..fault })?;
        runs::append(&mut value, part);
        done += part_len;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    const PAGE: usize = PAGE_BYTES as usize;

    /// Two pages at a place of their own: one that can be used, and one of `prot`.
    fn two_pages(prot: libc::c_int) -> u64 {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let both = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice overlaps nothing.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), 2 * PAGE, both, flags, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        // SAFETY: the second page is ours, and nothing lies in it.
        assert_eq!(unsafe { libc::mprotect(at.byte_add(PAGE), PAGE, prot) }, 0);
        at.expose_provenance() as u64
    }

    /// A shared mapping of two pages of a file of one.
    fn half_a_file() -> u64 {
        let file = crate::sys::memory_file(c"half", u64::from(PAGE_BYTES)).unwrap();
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let (none, fd) = (std::ptr::null_mut(), file.as_raw_fd());
        // SAFETY: a new mapping at a place of the kernel's choice overlaps nothing.
        let at = unsafe { libc::mmap(none, 2 * PAGE, both, libc::MAP_SHARED, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        at.expose_provenance() as u64
    }

    fn write(address: u64, len_bytes: u32, value: u8) -> Result<(), Fault> {
        // SAFETY: the tests pass addresses of their own mappings, or where nothing is.
        unsafe { fill(address, len_bytes, value) }
    }

    #[test]
    fn a_fault_leaves_what_was_done_before_it() {
        guard().unwrap();
        let mut page = [0; PAGE];
        for (base, signal) in
            [(two_pages(libc::PROT_NONE), Signal::Segv), (half_a_file(), Signal::Bus)]
        {
            let at = base + u64::from(PAGE_BYTES) - 5;
            assert_eq!(write(at, 16, 0x77), Err(Fault { signal, done_bytes: 5 }));
            assert_eq!(read(at, 5, &mut page), Ok(Runs::uniform(5, 0x77)));
            assert_eq!(read(at, 16, &mut page), Err(Fault { signal, done_bytes: 5 }));
            let next = base + u64::from(PAGE_BYTES);
            assert_eq!(write(next, 1, 1), Err(Fault { signal, done_bytes: 0 }));
        }
    }

    #[test]
    fn a_read_only_page_can_be_read() {
        guard().unwrap();
        let base = two_pages(libc::PROT_READ);
        let mut page = [0; PAGE];
        assert_eq!(read(base, 2 * PAGE_BYTES, &mut page), Ok(Runs::uniform(2 * PAGE_BYTES, 0)));
        let fault = Fault { signal: Signal::Segv, done_bytes: PAGE_BYTES };
        assert_eq!(write(base, 2 * PAGE_BYTES, 9), Err(fault));
    }

    #[test]
    fn no_bytes_touch_nothing() {
        guard().unwrap();
        let mut page = [0; PAGE];
        assert_eq!(write(0x1000, 0, 1), Ok(()));
        assert_eq!(read(0x1000, 0, &mut page), Ok(Runs::default()));
        let fault = Fault { signal: Signal::Segv, done_bytes: 0 };
        assert_eq!(write(0x10, 1, 1), Err(fault));
    }
}
