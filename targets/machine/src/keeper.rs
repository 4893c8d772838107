//! The keeper: a small process that stands between us and a machine, so that the machine never outlives us.
//!
//! User Mode Linux is a tree of host processes. Its main process traces one process for each address space of the
//! guest, and where the main process dies alone, those of Linux 6.1 are let go: they would run on with the guest's code
//! and the host's system calls. A death signal from our parent would reach the main process only, and is bound to the
//! thread that spawned it. So the main process is the child of a keeper, which waits for the first of two things, the
//! main process ending or the lifeline breaking, and then kills the whole process group in one go, reaps every process
//! of it, and ends as the main process did.
//!
//! The lifeline is a pipe whose other end we hold: it breaks when we drop it and when we die in whatever way. The
//! keeper is in a session of its own, so that an interrupt key reaches neither it nor the machine.
//!
//! What remains: when the main process is killed alone (by the system's out of memory killer, say), its traced
//! processes may run for the moment until the keeper is scheduled.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getpid, getppid,
    kill_process_group, pidfd_open, set_child_subreaper, set_parent_process_death_signal, setpgid,
    setrlimit, setsid, wait,
};
use rustix::thread::{CpuSet, sched_setaffinity};

/// What the keeper and its machine are told before they are on their own.
#[derive(Debug)]
pub(crate) struct Orders {
    /// The end of the lifeline that becomes readable when we are gone.
    pub(crate) lifeline: OwnedFd,
    /// Further descriptors that the program is given, under the numbers they have now. It gets the lifeline, too.
    pub(crate) inherited: Vec<OwnedFd>,
    /// The host CPU that all processes of the machine run on.
    pub(crate) cpu: Option<usize>,
    /// Files, then folders, that the machine may leave behind: removed, in this order, when it is gone.
    pub(crate) litter: Vec<CString>,
}

/// Makes `command` start a keeper, whose child is then the program.
///
/// The process that is spawned, waited for and seen by the caller is the keeper; it takes over the program's exit
/// status. Standard input, output and error are the program's.
#[expect(unsafe_code, reason = "std offers no other way to run code between fork and exec")]
pub(crate) fn keep(command: &mut Command, orders: Orders) {
    // SAFETY: the closure runs in a child that was forked from a process with threads, where only async-signal-safe
    // functions are allowed: it and all it calls make plain system calls and allocate nothing.
    unsafe { command.pre_exec(move || divide(&orders)) };
}

/// Makes the program of `command` be asked to end (SIGTERM) when the thread that starts it ends, in whatever way.
///
/// For programs that end their own children when they are asked to, as make does. They stay in our process group, where
/// an interrupt key reaches them.
#[expect(unsafe_code, reason = "std offers no other way to run code between fork and exec")]
pub(crate) fn end_with_us(command: &mut Command) {
    let ask = || Ok(set_parent_process_death_signal(Some(Signal::TERM))?);
    // SAFETY: as in `keep`: a plain system call.
    unsafe { command.pre_exec(ask) };
}

/// Forks: returns in the child, which goes on to become the program, and never in the parent, which is the keeper.
fn divide(orders: &Orders) -> io::Result<()> {
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    if let Some(cpu) = orders.cpu {
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus)?;
    }
    let keeper = getpid();
    match fork()? {
        None => {
            setpgid(None, None)?;
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != Some(keeper) {
                leave(1);
            }
            for descriptor in orders.inherited.iter().chain([&orders.lifeline]) {
                fcntl_setfd(descriptor, FdFlags::empty())?;
            }
            Ok(())
        }
        Some(machine) => {
            // Also done by the machine itself: whoever comes first, it is done when either goes on.
            let _ = setpgid(Some(machine), Some(machine));
            watch(machine, orders)
        }
    }
}

/// The life of the keeper of `machine`.
fn watch(machine: Pid, orders: &Orders) -> ! {
    reset_signals();
    // Whatever else was open belongs to others: a lifeline or a wire of another machine must not be held open here.
    let lifeline = orders.lifeline.as_fd().as_raw_fd();
    close_all_but(lifeline);
    if let Ok(ending) = pidfd_open(machine, PidfdFlags::empty()) {
        await_either(orders.lifeline.as_fd(), ending.as_fd());
    }
    let status = destroy(machine);
    for path in &orders.litter {
        let _ = rustix::fs::unlink(path.as_c_str());
        let _ = rustix::fs::rmdir(path.as_c_str());
    }
    end_as(status)
}

fn await_either(lifeline: BorrowedFd<'_>, ending: BorrowedFd<'_>) {
    let mut events = [
        PollFd::from_borrowed_fd(lifeline, PollFlags::IN),
        PollFd::from_borrowed_fd(ending, PollFlags::IN),
    ];
    while poll(&mut events, None) == Err(Errno::INTR) {}
}

/// Kills every process of `machine` and reaps them all; gives how the main one ended.
///
/// One signal to the group reaches all its processes before any of them can act on another's death.
fn destroy(machine: Pid) -> Option<WaitStatus> {
    let mut status = None;
    loop {
        let _ = kill_process_group(machine, Signal::KILL);
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, ended))) if pid == machine => status = Some(ended),
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return status,
        }
    }
}

/// Ends this process the way `status` says another did.
fn end_as(status: Option<WaitStatus>) -> ! {
    if let Some(signal) =
        status.and_then(|status| status.terminating_signal()).and_then(Signal::from_named_raw)
    {
        let _ = rustix::process::kill_process(getpid(), signal);
    }
    leave(status.and_then(|status| status.exit_status()).unwrap_or(1))
}

#[expect(unsafe_code, reason = "rustix has no fork")]
fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: this process has one thread, as it was itself just forked, and what the child does until it runs the
    // program is as restricted as what its parent does.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        child => Ok(Pid::from_raw(child)),
    }
}

/// Takes back the signal handlers of the program that was forked: they would run in a process they know nothing of.
#[expect(unsafe_code, reason = "rustix has no signal dispositions")]
fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the default disposition needs no code of ours; signals that cannot be set give an error.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

#[expect(unsafe_code, reason = "rustix has no close_range and owns its descriptors")]
fn close_all_but(kept: RawFd) {
    let close = |first: RawFd, last: libc::c_uint| {
        // SAFETY: closes descriptors that nobody in this process uses again: it never returns to the code whose they
        // are, and it opens its own later.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }
    };
    if kept > 0 {
        close(0, libc::c_uint::try_from(kept - 1).unwrap_or(0));
    }
    close(kept + 1, libc::c_uint::MAX);
}

#[expect(unsafe_code, reason = "exit handlers of the forked program must not run")]
fn leave(status: i32) -> ! {
    // SAFETY: ends the process and nothing else.
    unsafe { libc::_exit(status) }
}
