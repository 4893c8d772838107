//! The loop over the ops of a sequence.

use std::fs::File;
use std::io::Write;
use std::rc::Rc;

use pinfold_contract::{
    Checkpoint, LOG_MARK, Mr, MrView, Observe, Op, Outcome, Proc, ProcView, RdmaCounts, Sequence,
};

use super::Told;
use super::descendants::Descendants;
use super::rights::Rights;
use crate::child::{Process, errno, outcome};
use crate::chores;
use crate::counters::{MemInfo, VmStat};
use crate::failure::{Doing, Failure};
use crate::protocol::{Command, Reply};
use crate::resources::{self, Resources};
use crate::sys::Forked;
use crate::verbs::{Rdma, Registration};

/// Does ops, one at a time, each in the process that it names.
#[derive(Debug)]
pub(super) struct Driver {
    process: Process,
    descendants: Descendants,
    rdma: Rdma,
    rights: Rights,
    vmstat: VmStat,
    meminfo: MemInfo,
    resources: Rc<Resources>,
    before: Baseline,
    /// The kernel's log.
    log: File,
}

/// What the whole machine has when the first op begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Baseline {
    /// Pinned pages.
    pub(super) pins: i64,
    /// Objects of RDMA.
    pub(super) rdma: RdmaCounts,
}

impl Driver {
    /// After the set-up, when the counters stand at their baseline.
    pub(super) fn new(
        process: Process,
        descendants: Descendants,
        rdma: Rdma,
        (vmstat, meminfo, resources, before): (VmStat, MemInfo, Rc<Resources>, Baseline),
        rights: Rights,
        log: File,
    ) -> Driver {
        Driver { process, descendants, rdma, rights, vmstat, meminfo, resources, before, log }
    }

    /// Does all of `sequence`, and then ends every descendant.
    pub(super) fn run(
        &mut self,
        sequence: &Sequence,
        observe: Observe,
        told: &mut Told<'_>,
    ) -> Result<(), Failure> {
        for (op_index, &op) in sequence.ops.iter().enumerate() {
            self.mark(op_index)?;
            let is_last = op_index + 1 == sequence.ops.len();
            let outcome = self.act(op)?;
            let completions = self.rdma.take_completions(op);
            let checkpoint = match observe {
                Observe::Each => Some(self.observe()?),
                Observe::End => is_last.then(|| self.observe()).transpose()?,
            };
            // Those of the look at the state.
            drop(self.rdma.take_completions(op));
            told.step(op_index, (outcome, completions), checkpoint)?;
        }
        self.mark(sequence.ops.len())?;
        self.rights.allow_swap(false)?;
        self.descendants.kill_all()
    }

    /// Says in the kernel's log which op begins: the host hears the console and the
    /// wire at different times. One past the last op means the end.
    fn mark(&mut self, op_index: usize) -> Result<(), Failure> {
        // One call, so that it is one record.
        let mark = format!("<5>{LOG_MARK}{op_index}\n");
        self.log.write_all(mark.as_bytes()).doing("mark an op in the kernel's log")
    }

    fn act(&mut self, op: Op) -> Result<Outcome, Failure> {
        if !self.descendants.is_alive(op.proc()) || op.mixes_page_sizes() {
            return Ok(Outcome::Skipped);
        }
        match op {
            Op::Map { proc, .. }
            | Op::Unmap { proc, .. }
            | Op::Protect { proc, .. }
            | Op::Remap { proc, .. }
            | Op::Advise { proc, .. }
            | Op::Unlock { proc, .. }
            | Op::Write { proc, .. }
            | Op::Read { proc, .. }
            | Op::Force { proc, .. } => self.act_on_memory(proc, op),
            Op::Lock { proc, .. } | Op::LockAll { proc, .. } => self.lock(proc, op),
            Op::FileWrite { .. } | Op::Truncate { .. } | Op::Punch { .. } | Op::Seal { .. } => {
                self.process.act(op)
            }
            Op::IpcLock { held } => {
                self.rights.hold_ipc_lock(held);
                Ok(Outcome::Done)
            }
            Op::MemLimit { pages } => self.rights.limit_memory(pages).map(|()| Outcome::Done),
            Op::Swap { on } => {
                let is_there = self.rights.allow_swap(on)?;
                Ok(if is_there { Outcome::Done } else { Outcome::Skipped })
            }
            Op::Chore { chore } => {
                self.rights.without_swap(|| chores::perform(chore)).map(|()| Outcome::Done)
            }
            Op::Fork { proc, child } => self.fork(proc, child),
            Op::Exit { proc: Proc::P0 } => Ok(Outcome::Skipped),
            Op::Exit { proc } => self.descendants.end(proc).map(|()| Outcome::Done),
            Op::Limit { bytes } => Ok(outcome(self.rights.limit_locked_memory(bytes))),
            Op::Reg { mr, span, access, pd, call } => {
                let registration = self.rdma.regions().registration(span, access, pd, call);
                self.register(mr, registration)
            }
            Op::Dereg { mr } => {
                Ok(self.rdma.regions().deregister(mr).map_or(Outcome::Skipped, outcome))
            }
            Op::Rereg { mr, what, span, access, pd } => {
                let ended = self.rdma.regions().reregister(mr, what, span, access, pd);
                Ok(ended.map_or(Outcome::Skipped, outcome))
            }
            Op::AllocMw { mw, kind, pd } => Ok(self.rdma.allocate_window(mw, kind, pd)),
            Op::DeallocMw { mw } => Ok(self.rdma.free_window(mw)),
            Op::Bind { mw, mr, offset, len_bytes, access, qp } => {
                self.rdma.bind(mw, (mr, offset, len_bytes), access, qp)
            }
            Op::Invalidate { handle, qp } => self.rdma.invalidate(handle, qp),
            Op::RemoteRead { target, len_bytes } => self.rdma.read(target, len_bytes),
            Op::RemoteWrite { target, len_bytes, tag } => self.rdma.write(target, len_bytes, tag),
            Op::CompareSwap { target, expect, swap } => {
                self.rdma.compare_swap(target, expect, swap)
            }
            Op::FetchAdd { target, add } => self.rdma.fetch_add(target, add),
            Op::Send { from, to, invalidate, qp } => self.rdma.send(from, to, invalidate, qp),
            Op::Gather { from, target } => self.rdma.gather(from, target),
            Op::Scatter { target, into } => self.rdma.scatter(target, into),
        }
    }

    /// Registers an MR in the slot `mr`, unless that is taken.
    fn register(&mut self, mr: Mr, registration: Registration) -> Result<Outcome, Failure> {
        if self.rdma.regions().is_taken(mr) {
            return Ok(Outcome::Skipped);
        }
        Ok(match self.registering(move || registration.run())? {
            Ok(region) => {
                self.rdma.regions().keep(mr, region);
                Outcome::Done
            }
            Err(error) => Outcome::Errno(errno(&error)),
        })
    }

    fn act_on_memory(&mut self, proc: Proc, op: Op) -> Result<Outcome, Failure> {
        if proc == Proc::P0 {
            return self.process.act(op);
        }
        let reply = self.descendants.ask(proc, &Command::Act(op))?;
        if let Reply::Outcome(outcome) = reply {
            Ok(outcome)
        } else {
            Err(out_of_step(proc, &reply))
        }
    }

    /// Locks in `proc`. `p0` has more rights at times.
    fn lock(&mut self, proc: Proc, op: Op) -> Result<Outcome, Failure> {
        if proc == Proc::P0 {
            let process = &mut self.process;
            return self.rights.lock(|| process.act(op))?;
        }
        self.act_on_memory(proc, op)
    }

    /// Does `call`, a registration, with the rights and under the limit of the moment.
    fn registering<T: Send>(&mut self, call: impl FnOnce() -> T + Send) -> Result<T, Failure> {
        let process = &self.process;
        self.rights.register(|| process.unshare(), call)
    }

    fn fork(&mut self, proc: Proc, child: Proc) -> Result<Outcome, Failure> {
        if self.descendants.is_alive(child) {
            return Ok(Outcome::Skipped);
        }
        let forked = if proc == Proc::P0 {
            match self.process.fork() {
                Ok(Forked::Parent(pid)) => Ok(pid),
                Ok(Forked::Child) => self.process.live_as(child),
                Err(errno) => Err(errno),
            }
        } else {
            let reply = self.descendants.ask(proc, &Command::Fork(child))?;
            let Reply::Forked(forked) = reply else { return Err(out_of_step(proc, &reply)) };
            forked
        };
        Ok(match forked {
            Ok(pid) => {
                self.descendants.adopt(child, pid)?;
                Outcome::Done
            }
            Err(errno) => Outcome::Errno(errno),
        })
    }

    fn observe(&mut self) -> Result<Checkpoint, Failure> {
        let mut procs = Vec::new();
        for proc in Proc::all() {
            if self.descendants.is_alive(proc) {
                procs.push(self.view(proc)?);
            }
        }
        let mrs = self.look_at_mrs()?;
        let pins = self.vmstat.totals()?.pins - self.before.pins;
        let rdma = resources::difference(self.resources.counts()?, self.before.rdma);
        let charged = self.rights.charged_pages()?;
        let huge = self.meminfo.huge_pool()?;
        Ok(Checkpoint { procs, mrs, rdma, charged, pins, huge })
    }

    /// What each live MR shows, by ascending slot.
    fn look_at_mrs(&mut self) -> Result<Vec<MrView>, Failure> {
        let live: Vec<_> = self.rdma.regions().live().collect();
        let look = |(mr, region)| Ok(MrView { mr, bytes: self.rdma.look(region)? });
        live.into_iter().map(look).collect()
    }

    fn view(&mut self, proc: Proc) -> Result<ProcView, Failure> {
        if proc == Proc::P0 {
            return self.process.observe();
        }
        let reply = self.descendants.ask(proc, &Command::Observe)?;
        if let Reply::View(view) = reply { Ok(view) } else { Err(out_of_step(proc, &reply)) }
    }
}

fn out_of_step(proc: Proc, reply: &Reply) -> Failure {
    Failure::State(format!("{proc} answers something else: {reply:?}"))
}
