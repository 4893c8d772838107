//! `p0`: the process that owns the queue pairs and drives the others.

mod descendants;
mod driver;

use std::fs::File;
use std::io::PipeWriter;

use pinfold_contract::{BOUNCE_PAGES, Observe, Sequence};

use crate::child::{Process, socket_pairs};
use crate::counters::VmStat;
use crate::failure::{Doing, Failure};
use crate::memory::{Buffer, Files};
use crate::own_memory::OwnMemory;
use crate::protocol::{Channel, Report};
use crate::sys;
use crate::verbs::{Device, Rdma};
use descendants::Descendants;
use driver::Driver;

/// Heap that a sequence may use: so much in any case, and so much for each op, in bytes.
const HEAP_BYTES: usize = 64 << 10;
const HEAP_BYTES_PER_OP: usize = 512;

/// Runs `sequence` and reports to the supervisor. Returns when all is done and all descendants are gone.
pub(crate) fn run(
    sequence: &Sequence,
    observe: Observe,
    device: Device,
    own_memory: OwnMemory,
    reports: PipeWriter,
) -> Result<(), Failure> {
    let mut reports = Channel::new(reports);
    let result = set_up(sequence, device, own_memory).and_then(|mut driver| {
        reports.send(&Report::Ready)?;
        driver.run(sequence, observe, &mut reports)
    });
    if let Err(failure) = &result {
        reports.send(&Report::Failed { reason: failure.reason() })?;
    }
    result
}

fn set_up(sequence: &Sequence, device: Device, own_memory: OwnMemory) -> Result<Driver, Failure> {
    sys::lead_group().doing("lead a process group")?;
    sys::become_subreaper().doing("become a subreaper")?;
    // Before the device is opened: work requests want the credentials of the open file.
    sys::drop_ipc_lock().doing("drop CAP_IPC_LOCK")?;
    sys::limit_locked_memory(u64::MAX).doing("lift RLIMIT_MEMLOCK")?;
    let (driving, ends) = socket_pairs()?;
    let mut process = Process::first(Files::new()?, ends, own_memory)?;
    let descendants = Descendants::new(driving);
    let bounce = Buffer::new(BOUNCE_PAGES).doing("map the bounce buffer")?;
    let rdma = Rdma::open(device, bounce)?;
    let mut vmstat = VmStat::open()?;
    let log = File::options().write(true).open("/dev/kmsg").ok();
    process.settle(HEAP_BYTES + sequence.ops.len() * HEAP_BYTES_PER_OP)?;
    let pins_before = vmstat.totals()?.pins;
    Ok(Driver::new(process, descendants, rdma, vmstat, pins_before, log))
}
