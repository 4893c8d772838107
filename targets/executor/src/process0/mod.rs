//! `p0`: the process that owns the queue pairs and drives the others.

mod descendants;
mod driver;
mod rights;

use std::fs::File;
use std::io::PipeWriter;
use std::rc::Rc;

use pinfold_contract::{BOUNCE_PAGES, Observe, Op, Sequence};

use crate::cgroup::Limited;
use crate::child::{Process, socket_pairs};
use crate::counters::VmStat;
use crate::failure::{Doing, Failure};
use crate::files::{self, Files};
use crate::memory::Buffer;
use crate::own_memory::OwnMemory;
use crate::privileged::Privileged;
use crate::protocol::{Channel, Report};
use crate::resources::Resources;
use crate::sys;
use crate::verbs::{Device, Rdma};
use descendants::Descendants;
use driver::{Baseline, Driver};
use rights::Rights;

/// Heap that a sequence may use: so much in any case, and so much for each op, in bytes.
const HEAP_BYTES: usize = 64 << 10;
const HEAP_BYTES_PER_OP: usize = 512;

/// What `p0` gets from the supervisor that bears it.
#[derive(Debug)]
pub(crate) struct Own {
    /// The RDMA device.
    pub(crate) device: Device,
    /// The memory of the program.
    pub(crate) memory: OwnMemory,
    /// The counters of the device.
    pub(crate) resources: Rc<Resources>,
}

/// Runs `sequence` and reports to the supervisor. Returns when all is done and all descendants are gone.
pub(crate) fn run(
    sequence: &Sequence,
    observe: Observe,
    own: Own,
    reports: PipeWriter,
) -> Result<(), Failure> {
    let mut reports = Channel::new(reports);
    let result = set_up(sequence, own).and_then(|mut driver| {
        reports.send(&Report::Ready)?;
        driver.run(sequence, observe, &mut reports)
    });
    if let Err(failure) = &result {
        reports.send(&Report::Failed { reason: failure.reason() })?;
    }
    result
}

fn set_up(sequence: &Sequence, own: Own) -> Result<Driver, Failure> {
    let Own { device, memory, resources } = own;
    sys::lead_group().doing("lead a process group")?;
    sys::become_subreaper().doing("become a subreaper")?;
    let rights = rights(sequence)?;
    // Before the device is opened: work requests want the credentials of the open file.
    sys::drop_ipc_lock().doing("drop CAP_IPC_LOCK")?;
    sys::limit_locked_memory(u64::MAX).doing("lift RLIMIT_MEMLOCK")?;
    let (driving, ends) = socket_pairs()?;
    let mut process = Process::first(Files::new(sequence)?, ends, memory)?;
    let descendants = Descendants::new(driving);
    let bounce = Buffer::new(BOUNCE_PAGES).doing("map the bounce buffer")?;
    let rdma = Rdma::open(device, bounce, sequence)?;
    let mut vmstat = VmStat::open()?;
    let log = File::options().write(true).open("/dev/kmsg").doing("open /dev/kmsg")?;
    process.settle(HEAP_BYTES + sequence.ops.len() * HEAP_BYTES_PER_OP)?;
    let before = Baseline { pins: vmstat.totals()?.pins, rdma: resources.counts()? };
    Ok(Driver::new(process, descendants, rdma, (vmstat, resources, before), rights, log))
}

/// What `sequence` needs beside its first thread and its first control group.
fn rights(sequence: &Sequence) -> Result<Rights, Failure> {
    let has = |wanted: fn(&Op) -> bool| sequence.ops.iter().any(wanted);
    let privileged = has(|op| matches!(op, Op::IpcLock { held: true })).then(Privileged::start);
    let limited = has(|op| matches!(op, Op::MemLimit { .. })).then(|| {
        files::empty_disk()?;
        Limited::open()
    });
    Ok(Rights::new(privileged.transpose()?, limited.transpose()?))
}
