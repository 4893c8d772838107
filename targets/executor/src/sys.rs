//! System calls that the standard library does not have, each as a safe function.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::LazyLock;

/// Identifier of a process.
pub(crate) type Pid = libc::pid_t;

/// Which side of a `fork` this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The old one, which learns who the new one is.
    Parent(Pid),
}

/// The result of a system call, or its error.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `fork`. No thread of the executor but the calling one is at work or holds a lock, so the
/// child may do all that the parent may.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: there are no locks of another thread that the child could inherit.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// `_exit`: nothing is flushed, no destructor runs.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: ends the process; takes no pointers.
    unsafe { libc::_exit(status) }
}

/// The first argument of this program behind its name.
pub(crate) fn second_argument(
    argument_count: libc::c_int,
    arguments: *const *const libc::c_char,
) -> Option<&'static str> {
    if argument_count < 2 {
        return None;
    }
    // SAFETY: the C library gives as many strings, each with a zero byte at its end, that stay as they are.
    unsafe { CStr::from_ptr(*arguments.add(1)) }.to_str().ok()
}

/// Closes a descriptor that is nobody's.
pub(crate) fn close(fd: libc::c_int) {
    // SAFETY: takes no pointers; a descriptor that is closed already gives an error.
    unsafe { libc::close(fd) };
}

/// Keeps transparent huge pages from this process and its descendants.
pub(crate) fn have_no_huge_pages() -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) }).map(drop)
}

/// Gives this process and its descendants mounts of their own, of which others see nothing.
pub(crate) fn leave_mounts_of_others() -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let (nothing, flags) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
    // SAFETY: the path ends with a zero byte; nothing else is read for these flags.
    check(unsafe { libc::mount(nothing, c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null()) })
        .map(drop)
}

/// Ends the machine, and the process if the machine will not.
pub(crate) fn power_off() -> ! {
    // SAFETY: neither call takes pointers.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    exit_now(1)
}

/// Writes what is dirty in the page cache to the disks, and waits for it.
pub(crate) fn write_files_back() {
    // SAFETY: takes no pointers and cannot fail.
    unsafe { libc::sync() };
}

/// The identifier of this process.
pub(crate) fn own_pid() -> Pid {
    // SAFETY: cannot fail and takes no pointers.
    unsafe { libc::getpid() }
}

/// Waits for the child `pid` to end and returns its wait status.
pub(crate) fn wait(pid: Pid) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        match check(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }) {
            Ok(_) => return Ok(status),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reaps every child that has ended. Does not wait. Says whether any child is left.
pub(crate) fn reap_ended() -> bool {
    loop {
        // SAFETY: a null status pointer asks for none.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) } {
            0 => return true,
            result if result < 0 => return false,
            _ => {}
        }
    }
}

/// What a wait status says, for a person.
pub(crate) fn describe_status(status: i32) -> String {
    if libc::WIFSIGNALED(status) {
        format!("was killed by signal {}", libc::WTERMSIG(status))
    } else {
        format!("exited with status {}", libc::WEXITSTATUS(status))
    }
}

/// A file descriptor that becomes readable when the process ends.
pub(crate) fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = check(i32::try_from(fd).expect("a system call that returns an int"))?;
    // SAFETY: the call has just made this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends SIGKILL to a process, or with a negative number to a process group.
pub(crate) fn kill(pid: Pid) {
    // SAFETY: takes no pointers. A process that is gone already is what is wanted.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Makes this process the leader of a new process group.
pub(crate) fn lead_group() -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::setpgid(0, 0) }).map(drop)
}

/// Orphans among the descendants of this process become its children.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: this option takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Waits until one of `fds` can be read or is at its end, at most `timeout_ms`
/// milliseconds, or for ever if that is negative. Says which can be read.
pub(crate) fn wait_readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    timeout_ms: i32,
) -> io::Result<[bool; N]> {
    let mut polled =
        fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let count = libc::nfds_t::try_from(N).expect("a handful");
    loop {
        // SAFETY: `polled` is an array of `count` entries and outlives the call.
        match check(unsafe { libc::poll(polled.as_mut_ptr(), count, timeout_ms) }) {
            Ok(_) => return Ok(polled.map(|entry| entry.revents != 0)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sets RLIMIT_MEMLOCK to `soft` bytes; `u64::MAX` is no limit. The hard limit is none.
pub(crate) fn limit_locked_memory(soft: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) }).map(drop)
}

/// Gives up the right to lock memory beyond RLIMIT_MEMLOCK.
pub(crate) fn drop_ipc_lock() -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h.
    const VERSION_3: u32 = 0x2008_0522;
    const CAP_IPC_LOCK: u32 = 14;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Sets {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: version 3 reads and writes one header and two sets, which outlive the call.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    check(i32::try_from(got).expect("a system call that returns an int"))?;
    sets[0].effective &= !(1 << CAP_IPC_LOCK);
    sets[0].permitted &= !(1 << CAP_IPC_LOCK);
    // SAFETY: as above.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) };
    check(i32::try_from(set).expect("a system call that returns an int")).map(drop)
}

/// Release and version of the running kernel.
pub(crate) fn kernel() -> (String, String) {
    // SAFETY: all zeroes is a valid `utsname`.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `name` outlives the call.
    unsafe { libc::uname(&raw mut name) };
    let text = |field: &[libc::c_char]| {
        field.iter().take_while(|&&c| c != 0).map(|&c| char::from(c.cast_unsigned())).collect()
    };
    (text(&name.release), text(&name.version))
}

/// An anonymous file of `bytes` bytes, all holes.
pub(crate) fn memory_file(name: &CStr, bytes: u64) -> io::Result<std::fs::File> {
    // SAFETY: `name` ends with a zero byte and outlives the call.
    let fd = check(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_ALLOW_SEALING) })?;
    // SAFETY: the call has just made this descriptor, and nobody else owns it.
    let file = unsafe { std::fs::File::from_raw_fd(fd) };
    file.set_len(bytes)?;
    Ok(file)
}

/// Lets the kernel swap to `device`.
pub(crate) fn swap_on(device: &CStr) -> io::Result<()> {
    // SAFETY: the string outlives the call, which only reads it.
    check(unsafe { libc::swapon(device.as_ptr(), 0) }).map(drop)
}

/// Mounts a file system of `kind`, which is on `device` or needs none, at `place`.
pub(crate) fn mount(kind: &CStr, device: Option<&CStr>, place: &CStr) -> io::Result<()> {
    let (source, kind) = (device.unwrap_or(kind).as_ptr(), kind.as_ptr());
    let flags = libc::MS_NOATIME;
    // SAFETY: all strings end with a zero byte and outlive the call; no data is passed.
    check(unsafe { libc::mount(source, place.as_ptr(), kind, flags, std::ptr::null()) }).map(drop)
}

/// Whether the kernel has `path`, a file of debugfs. Mounts that first, where the kernel has it.
pub(crate) fn has_debug_file(path: &str) -> bool {
    // It may be mounted already, or not be there at all: the file tells.
    let _ = mount(c"debugfs", None, c"/sys/kernel/debug");
    std::fs::exists(path).unwrap_or(false)
}

/// Loads the kernel module in `file`, which is told `parameters`.
pub(crate) fn load_module(file: &std::fs::File, parameters: &CStr) -> io::Result<()> {
    // SAFETY: `parameters` ends with a zero byte and outlives the call.
    let loaded =
        unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), 0) };
    check(i32::try_from(loaded).expect("a system call that returns an int")).map(drop)
}

/// Has the kernel finish what it has put off for single pages: those that wait to be put on
/// a list of reclaim, or to be counted as unlocked.
///
/// Populating ends with that (`faultin_page_range()`, mm/gup.c, 6.12 and 7.3; `faultin_vma_page_range()`, ditto, 6.1): here
/// of a page of the stack, which is there. `munmap` begins with it up to 6.12 alone. Other processors have lists of their
/// own, and no process of a sequence runs there: see [`drain_page_lists_everywhere`].
pub(crate) fn drain_page_lists() -> io::Result<()> {
    const PAGE: usize = 4096;
    let on_the_stack = 0_u8;
    let at = (&raw const on_the_stack).map_addr(|address| address & !(PAGE - 1)).cast_mut();
    // SAFETY: a page that is there only stays there.
    check(unsafe { libc::madvise(at.cast(), PAGE, libc::MADV_POPULATE_READ) }).map(drop)
}

/// Source: include/uapi/linux/membarrier.h, 6.1 and 6.12.
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// Waits for a grace period of RCU: what was to be freed after one, when this is called, is about to be freed.
///
/// Source: `SYSCALL_DEFINE3(membarrier)`, kernel/sched/membarrier.c, 6.1 and 6.12, which calls `synchronize_rcu()` where
/// there is more than one processor.
pub(crate) fn wait_for_rcu() -> io::Result<()> {
    // SAFETY: takes no pointers.
    let waited = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if waited == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Source: include/uapi/linux/mempolicy.h, 6.1 and 6.12.
const MPOL_MF_MOVE: libc::c_int = 1 << 1;

/// The same on every processor: kernel threads such as ksmd run wherever they like. Does nothing where there is one.
///
/// To move pages, and be it none, begins with that.
///
/// Source: `do_pages_move()`, mm/migrate.c, and `lru_cache_disable()`, mm/swap.c, 6.1 and 6.12.
pub(crate) fn drain_page_lists_everywhere() -> io::Result<()> {
    if processor_count() == 1 {
        return Ok(());
    }
    let (nothing, node) = (std::ptr::null::<libc::c_void>(), 0_i32);
    // SAFETY: there are no pages to move, so nothing is read and nothing written.
    let moved = unsafe {
        libc::syscall(libc::SYS_move_pages, 0, 0, nothing, &raw const node, nothing, MPOL_MF_MOVE)
    };
    if moved == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Keeps this process and its descendants on the first processor.
pub(crate) fn stay_on_first_processor() -> io::Result<()> {
    go_to_processor(0)
}

/// Keeps this thread, and what it starts from now on, on one processor.
fn go_to_processor(index: usize) -> io::Result<()> {
    // SAFETY: all zeroes is a valid `cpu_set_t`: no processor.
    let mut processors: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: changes only `processors`, which has room for many.
    unsafe { libc::CPU_SET(index, &mut processors) };
    // SAFETY: `processors` has that size and outlives the call.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&processors), &raw const processors) })
        .map(drop)
}

/// A page of zeroes at a place of the kernel's choice, for reading only.
pub(crate) fn map_zeroes() -> io::Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at a place of the kernel's choice overlaps nothing.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(at.expose_provenance())
    }
}

/// Reads the page at `address`, which [`map_zeroes`] has made, and lets go of it.
pub(crate) fn touch_and_drop(address: usize) {
    /// `MADV_DONTNEED_LOCKED` of asm-generic/mman-common.h: a sequence may have locked all there is.
    const DONTNEED_LOCKED: libc::c_int = 24;
    let at = std::ptr::with_exposed_provenance_mut::<u8>(address);
    // SAFETY: the page is mapped for reading as long as this program lives.
    unsafe { at.read_volatile() };
    // SAFETY: nobody keeps anything in that page, and without its entry it is zeroes again.
    unsafe { libc::madvise(at.cast(), 4096, DONTNEED_LOCKED) };
}

/// Turns a terminal into a transparent line of 8-bit bytes. Does nothing to what is no terminal.
pub(crate) fn make_raw(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all zeroes is a valid `termios`.
    let mut modes: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: `modes` outlives the call.
    if unsafe { libc::tcgetattr(fd.as_raw_fd(), &raw mut modes) } < 0 {
        return Ok(());
    }
    // SAFETY: changes only `modes`.
    unsafe { libc::cfmakeraw(&raw mut modes) };
    modes.c_iflag &= !(libc::IXON | libc::IXOFF | libc::IXANY | libc::INPCK);
    modes.c_cflag &= !(libc::CRTSCTS | libc::HUPCL);
    modes.c_cflag |= libc::CREAD | libc::CLOCAL;
    modes.c_cc[libc::VMIN] = 1;
    modes.c_cc[libc::VTIME] = 0;
    // SAFETY: `modes` outlives the call.
    check(unsafe { libc::tcsetattr(fd.as_raw_fd(), libc::TCSAFLUSH, &raw const modes) }).map(drop)
}

/// Waits until all that was written to a terminal has left.
pub(crate) fn drain(fd: BorrowedFd<'_>) {
    // SAFETY: takes no pointers. What is no terminal has nothing to drain.
    unsafe { libc::tcdrain(fd.as_raw_fd()) };
}

/// How long one turn is left to the other processors.
const TURN_NS: libc::c_long = 10_000;

/// Lets other work run for a turn. On a machine with one processor that work waits for it. On one with several the work
/// is on another, and to be in a loop here takes what that one runs on: QEMU translates for all its processors in one
/// thread, and gives each of them up to 100 ms at a time.
///
/// Source: `TCG_KICK_PERIOD`, accel/tcg/tcg-accel-ops-rr.c of QEMU 7.2.
pub(crate) fn give_way() {
    if processor_count() > 1 {
        let turn = libc::timespec { tv_sec: 0, tv_nsec: TURN_NS };
        // SAFETY: `turn` outlives the call, and nothing is wanted back.
        unsafe { libc::nanosleep(&raw const turn, std::ptr::null_mut()) };
    } else {
        yield_processor();
    }
}

/// Lets what waits for a processor have it `turns` times, on each of them.
pub(crate) fn give_way_everywhere(turns: u32) -> io::Result<()> {
    for processor in (0..processor_count()).rev() {
        if processor_count() > 1 {
            // The first one is the last, and the one to stay on.
            go_to_processor(processor)?;
        }
        (0..turns).for_each(|_| yield_processor());
    }
    Ok(())
}

fn yield_processor() {
    // SAFETY: takes no pointers.
    unsafe { libc::sched_yield() };
}

/// How many processors run.
pub(crate) fn processor_count() -> usize {
    static COUNT: LazyLock<usize> = LazyLock::new(|| {
        // SAFETY: takes no pointers.
        usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1)
    });
    *COUNT
}
