//! The role of PID 1 in a machine of its own: makes it what sequences need, and ends it.

use pinfold_contract::FromGuest;

use crate::failure::{Doing, Failure};
use crate::supervisor::{Neighbours, Supervisor, greet};
use crate::verbs::Device;
use crate::wire::{Wire, parameter};
use crate::{console, counters, cpu, own_memory, program, setup, sys};

/// Names, on the kernel's command line, a program to run instead of sequences, and its arguments, with commas between.
const RUN_PARAMETER: &str = "pinfold.run=";

/// Does what the host says, and ends the machine.
pub(crate) fn be() -> ! {
    if sys::own_pid() != 1 {
        // Somebody's own machine, which is not to be powered off.
        console::say("without the name of an RDMA device this is /init of a machine of its own");
        sys::exit_now(2);
    }
    crate::tell(&std::panic::catch_unwind(run));
    // PID 1 must not return: the kernel would panic, which the host would take for a finding.
    sys::power_off();
}

/// The host is told of a failure, if the wire is there.
fn run() -> Result<(), Failure> {
    own_memory::settle();
    setup::mount_all()?;
    // Before memory is in pieces.
    let huge_pages = setup::fill_huge_pool();
    setup::load_modules()?;
    let command_line = std::fs::read_to_string("/proc/cmdline").doing("read /proc/cmdline")?;
    let mut wire = Wire::open(&command_line)?;
    let result = match parameter(&command_line, RUN_PARAMETER) {
        Some(words) => huge_pages.and_then(|count| run_program(words, count, &mut wire)),
        None => huge_pages.and_then(|count| supervisor()?.serve(count, &mut wire)),
    };
    if let Err(failure) = &result {
        // A failure to tell the host shows on the console.
        wire.send(&FromGuest::Failed { id: None, reason: failure.reason() })?;
    }
    wire.drain();
    result
}

/// Makes the RDMA device, greets, and runs a program instead of sequences: `words` are its path and its arguments.
fn run_program(words: &str, huge_pages: u8, wire: &mut Wire) -> Result<(), Failure> {
    setup::make_rdma_device()?;
    Device::find(setup::RDMA_DEVICE, Some(setup::ADDRESS))?;
    // Not every program needs a disk, or swap space.
    if let Err(failure) = setup::mount_disk().and_then(|()| setup::make_swap()) {
        console::say(&failure.reason());
    }
    greet(huge_pages, wire)?;
    let (end, output) = program::run(words)?;
    wire.send(&FromGuest::Ran { end, output })
}

fn supervisor() -> Result<Supervisor, Failure> {
    cpu::guard().doing("catch faults")?;
    if counters::are_many_processors() {
        // Pages that wait to be put on a list do so on the processor that used them last, and hold a reference
        // there: on one processor it is known which do. The kernel's threads, and with them the work of rxe, run
        // wherever they like.
        sys::stay_on_first_processor().doing("stay on the first processor")?;
    }
    counters::ready_to_settle()?;
    setup::make_rdma_device()?;
    let device = Device::find(setup::RDMA_DEVICE, Some(setup::ADDRESS))?;
    setup::mount_disk()?;
    setup::make_swap()?;
    setup::take_control()?;
    Supervisor::new(device, setup::RDMA_DEVICE, Neighbours::None)
}
