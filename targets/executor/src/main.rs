//! The program inside the system under test.
//!
//! It runs as PID 1 of a machine that is thrown away: there it makes an RDMA
//! device, and runs sequences of real system calls and real verbs that the host
//! sends over a serial line. What it sees goes back op by op.

#![cfg_attr(not(test), no_main)]

mod cgroup;
mod child;
mod chores;
mod console;
mod counters;
mod cpu;
mod failure;
mod files;
mod memory;
mod netlink;
mod observe;
mod own_memory;
mod pagemap;
mod privileged;
mod process0;
mod program;
mod progress;
mod protocol;
mod resources;
mod runs;
mod setup;
mod smaps;
mod supervisor;
mod sys;
mod verbs;
mod wire;

/// Where the C library starts the program. The start of the standard library is
/// left out: it makes mappings where the heap is to grow, and handles faults.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main() -> libc::c_int {
    let end = std::panic::catch_unwind(supervisor::run);
    match end {
        Ok(Ok(())) => console::say("the host is done"),
        Ok(Err(failure)) => console::say(&failure.reason()),
        // The panic hook has printed it.
        Err(_) => console::say("this is a bug of the executor"),
    }
    // PID 1 must not return: the kernel would panic, which the host would take for a finding.
    sys::power_off();
}
