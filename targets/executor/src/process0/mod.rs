//! `p0`: the process that owns the queue pairs and drives the others.

mod descendants;
mod driver;
mod rights;

use std::fs::File;
use std::rc::Rc;

use pinfold_contract::{
    BOUNCE_PAGES, Checkpoint, Completion, FromGuest, Observe, Op, Outcome, Sequence,
};

use crate::cgroup::{Limited, SwapLimit};
use crate::child::{Process, socket_pairs};
use crate::counters::{MemInfo, VmStat};
use crate::failure::{Doing, Failure};
use crate::files::{self, Files};
use crate::memory::Buffer;
use crate::own_memory::OwnMemory;
use crate::privileged::Privileged;
use crate::progress::{Progress, Stage};
use crate::resources::Resources;
use crate::sys;
use crate::verbs::{Device, Rdma};
use crate::wire::Wire;
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
    /// Whether there is anything to swap to.
    pub(crate) may_swap: bool,
}

/// Those who are told how far `p0` is: the host of each step, before the next op begins, which may be the kernel's
/// last; and the supervisor.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    /// The line to the host. The supervisor says nothing on it while `p0` lives.
    pub(crate) wire: &'a mut Wire,
    /// Names the sequence to the host.
    pub(crate) id: u64,
    /// Seen by the supervisor.
    pub(crate) progress: &'a Progress,
}

impl Told<'_> {
    /// The op of this index is done.
    fn step(
        &mut self,
        op_index: usize,
        (outcome, completions): (Outcome, Vec<Completion>),
        checkpoint: Option<Checkpoint>,
    ) -> Result<(), Failure> {
        let op_index = u32::try_from(op_index).expect("a sequence has few ops");
        let id = self.id;
        self.wire.send(&FromGuest::Step { id, op_index, outcome, completions, checkpoint })?;
        self.progress.set(Stage::Done(op_index + 1));
        Ok(())
    }
}

/// Runs `sequence`. Returns when all is done and all descendants are gone.
///
/// # Errors
///
/// When `p0` cannot go on. The host has been told.
pub(crate) fn run(
    sequence: &Sequence,
    observe: Observe,
    own: Own,
    mut told: Told<'_>,
) -> Result<(), Failure> {
    // Brings the page in, before anybody counts.
    told.progress.set(Stage::SetUp);
    let result = set_up(sequence, own).and_then(|mut driver| {
        told.progress.set(Stage::Done(0));
        driver.run(sequence, observe, &mut told)
    });
    if let Err(failure) = &result {
        told.wire.send(&FromGuest::Failed { id: Some(told.id), reason: failure.reason() })?;
    }
    result
}

fn set_up(sequence: &Sequence, own: Own) -> Result<Driver, Failure> {
    let Own { device, memory, resources, may_swap } = own;
    sys::lead_group().doing("lead a process group")?;
    sys::become_subreaper().doing("become a subreaper")?;
    let rights = rights(sequence, may_swap)?;
    // Before the device is opened: work requests want the credentials of the open file.
    sys::drop_ipc_lock().doing("drop CAP_IPC_LOCK")?;
    sys::limit_locked_memory(u64::MAX).doing("lift RLIMIT_MEMLOCK")?;
    let (driving, ends) = socket_pairs()?;
    let mut process = Process::first(Files::new(sequence)?, ends, memory)?;
    let descendants = Descendants::new(driving);
    let bounce = Buffer::new(BOUNCE_PAGES).doing("map the bounce buffer")?;
    let rdma = Rdma::open(device, bounce, sequence)?;
    let mut vmstat = VmStat::open()?;
    let meminfo = MemInfo::open()?;
    let log = File::options().write(true).open("/dev/kmsg").doing("open /dev/kmsg")?;
    process.settle(HEAP_BYTES + sequence.ops.len() * HEAP_BYTES_PER_OP)?;
    let before = Baseline { pins: vmstat.totals()?.pins, rdma: resources.counts()? };
    let counters = (vmstat, meminfo, resources, before);
    Ok(Driver::new(process, descendants, rdma, counters, rights, log))
}

/// What `sequence` needs beside its first thread and its first control group.
fn rights(sequence: &Sequence, may_swap: bool) -> Result<Rights, Failure> {
    let has = |wanted: fn(&Op) -> bool| sequence.ops.iter().any(wanted);
    let privileged = has(|op| matches!(op, Op::IpcLock { held: true })).then(Privileged::start);
    let limited = has(|op| matches!(op, Op::MemLimit { .. })).then(|| {
        files::empty_disk()?;
        Limited::open()
    });
    let swap = (has(|op| matches!(op, Op::Swap { .. })) && may_swap).then(SwapLimit::open);
    Ok(Rights::new(privileged.transpose()?, limited.transpose()?, swap.transpose()?))
}
