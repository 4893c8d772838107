//! The loop over the ops of a sequence.

use std::fs::File;
use std::io::{PipeWriter, Write};

use pinfold_contract::{
    Checkpoint, LOG_MARK, MrView, Observe, Op, Outcome, Proc, ProcView, Sequence,
};

use super::descendants::Descendants;
use crate::child::{Process, outcome};
use crate::counters::VmStat;
use crate::failure::Failure;
use crate::protocol::{Channel, Command, Reply, Report};
use crate::sys::{self, Forked};
use crate::verbs::Rdma;

/// Does ops, one at a time, each in the process that it names.
#[derive(Debug)]
pub(super) struct Driver {
    process: Process,
    descendants: Descendants,
    rdma: Rdma,
    vmstat: VmStat,
    pins_before: i64,
    /// The kernel's log, where it can be written to.
    log: Option<File>,
}

impl Driver {
    /// After the set-up, when all machine has `pins_before` pins.
    pub(super) fn new(
        process: Process,
        descendants: Descendants,
        rdma: Rdma,
        vmstat: VmStat,
        pins_before: i64,
        log: Option<File>,
    ) -> Driver {
        Driver { process, descendants, rdma, vmstat, pins_before, log }
    }

    /// Does all of `sequence`, and then ends every descendant.
    pub(super) fn run(
        &mut self,
        sequence: &Sequence,
        observe: Observe,
        reports: &mut Channel<PipeWriter>,
    ) -> Result<(), Failure> {
        for (op_index, &op) in sequence.ops.iter().enumerate() {
            self.mark(op_index);
            let is_last = op_index + 1 == sequence.ops.len();
            let outcome = self.act(op)?;
            let checkpoint = match observe {
                Observe::Each => Some(self.observe()?),
                Observe::End => is_last.then(|| self.observe()).transpose()?,
            };
            let op_index = u32::try_from(op_index).expect("a sequence has few ops");
            reports.send(&Report::Step { op_index, outcome, checkpoint })?;
            // Lets the supervisor pass it on before the next op, which may be the kernel's last.
            std::thread::yield_now();
        }
        self.mark(sequence.ops.len());
        self.descendants.kill_all()
    }

    /// Says in the kernel's log which op begins: the host hears the console and the
    /// wire at different times. One past the last op means the end.
    fn mark(&mut self, op_index: usize) {
        if let Some(log) = &mut self.log {
            // One call, so that it is one record. A log that takes nothing costs the attribution alone.
            let _ = log.write_all(format!("<5>{LOG_MARK}{op_index}\n").as_bytes());
        }
    }

    fn act(&mut self, op: Op) -> Result<Outcome, Failure> {
        if !self.descendants.is_alive(op.proc()) {
            return Ok(Outcome::Skipped);
        }
        match op {
            Op::Map { proc, .. }
            | Op::Unmap { proc, .. }
            | Op::Protect { proc, .. }
            | Op::Write { proc, .. }
            | Op::Read { proc, .. } => self.act_on_memory(proc, op),
            Op::Fork { proc, child } => self.fork(proc, child),
            Op::Exit { proc: Proc::P0 } => Ok(Outcome::Skipped),
            Op::Exit { proc } => self.descendants.end(proc).map(|()| Outcome::Done),
            Op::Limit { bytes } => Ok(outcome(sys::limit_locked_memory(bytes))),
            Op::Reg { mr, range, access } => Ok(if self.rdma.regions().is_taken(mr) {
                Outcome::Skipped
            } else {
                outcome(self.rdma.regions().register(mr, range, access))
            }),
            Op::Dereg { mr } => {
                Ok(self.rdma.regions().deregister(mr).map_or(Outcome::Skipped, outcome))
            }
            Op::RemoteRead { mr, offset, len_bytes, key } => {
                match self.rdma.regions().target(mr, offset, key) {
                    Some((address, rkey)) => self.rdma.read(address, rkey, len_bytes),
                    None => Ok(Outcome::Skipped),
                }
            }
            Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
                match self.rdma.regions().target(mr, offset, key) {
                    Some((address, rkey)) => self.rdma.write(address, rkey, len_bytes, tag),
                    None => Ok(Outcome::Skipped),
                }
            }
        }
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
        let live: Vec<_> = self.rdma.regions().live().collect();
        let mut mrs = Vec::with_capacity(live.len());
        for (mr, region) in live {
            let bytes = self.rdma.gather(region.address, region.keys.local, region.len_bytes)?;
            mrs.push(MrView { mr, bytes });
        }
        let pins = self.vmstat.totals()?.pins - self.pins_before;
        Ok(Checkpoint { procs, mrs, pins })
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
