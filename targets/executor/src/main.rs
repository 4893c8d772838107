//! The program inside the system under test.
//!
//! It runs sequences of real system calls and real verbs that the host sends over a
//! line. What it sees goes back op by op. There are two roles that it can have: it is
//! PID 1 of a machine that is thrown away, and makes the RDMA device there ([`init`]);
//! or it is one process among those of a machine in use ([`local`]).

#![cfg_attr(not(test), no_main)]

mod calls;
mod caretaker;
mod cgroup;
mod child;
mod chores;
mod console;
mod counters;
mod coverage;
mod cpu;
mod edges;
mod failure;
mod files;
mod init;
mod kernel_memory;
mod kmemleak;
mod local;
mod memory;
mod memory_stat;
mod netlink;
mod observe;
mod own_memory;
mod pagemap;
mod privileged;
mod probes;
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
///
/// Without an argument it is /init of a machine of its own. With one, the name of an RDMA device,
/// it is a process of a machine that others use too.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(
    argument_count: libc::c_int,
    arguments: *const *const libc::c_char,
) -> libc::c_int {
    match sys::second_argument(argument_count, arguments) {
        None => init::be(),
        Some(device) => local::be(device),
    }
}

/// Says on the console how what was run ended, and whether well.
fn tell(end: &std::thread::Result<Result<(), failure::Failure>>) -> bool {
    match end {
        Ok(Ok(())) => console::say("the host is done"),
        Ok(Err(failure)) => console::say(&failure.reason()),
        // The panic hook has printed it.
        Err(_) => console::say("this is a bug of the executor"),
    }
    matches!(end, Ok(Ok(())))
}
