//! Ops on mappings and processes, each to its rule.

use pinfold_contract::{LockScope, Op, Outcome};

use super::Prediction;
use super::state::State;

impl State<'_> {
    /// Predicts an op on mappings or processes.
    pub(super) fn step_mapping(&mut self, op: &Op) -> Prediction {
        match *op {
            Op::Map { proc, pages, backing, sharing, prot, populate } => {
                let outcome = self.map(proc, pages, backing, sharing, prot);
                if outcome == Outcome::Done {
                    self.populate_mapped(proc, pages, populate);
                }
                self.unless_limit_is_near(proc, false, outcome)
            }
            Op::Unmap { proc, pages } => Prediction::only(self.unmap(proc, pages)),
            Op::Protect { proc, pages, prot } => Prediction::only(self.protect(proc, pages, prot)),
            Op::Fork { proc, child } => Prediction::only(self.fork(proc, child)),
            Op::Exit { proc } => Prediction::only(self.exit(proc)),
            Op::Remap { proc, from, to } => {
                let outcome = self.remap(proc, from, to);
                self.unless_limit_is_near(proc, false, outcome)
            }
            Op::Advise { proc, pages, advice } => {
                Prediction::only(self.advise(proc, pages, advice))
            }
            Op::Lock { proc, pages, onfault } => {
                let outcome = self.lock(proc, pages, onfault);
                self.unless_limit_is_near(proc, false, outcome)
            }
            Op::Unlock { proc, pages } => Prediction::only(self.unlock(proc, pages)),
            Op::LockAll { proc, scope } => {
                let current = matches!(scope, LockScope::Current | LockScope::Both);
                let outcome = self.lock_all(proc, scope);
                self.unless_limit_is_near(proc, current, outcome)
            }
            Op::Write { .. }
            | Op::Read { .. }
            | Op::Force { .. }
            | Op::FileWrite { .. }
            | Op::Truncate { .. }
            | Op::Punch { .. }
            | Op::Seal { .. }
            | Op::MemLimit { .. }
            | Op::Chore { .. }
            | Op::Limit { .. }
            | Op::IpcLock { .. }
            | Op::Reg { .. }
            | Op::Dereg { .. }
            | Op::Rereg { .. }
            | Op::AllocMw { .. }
            | Op::DeallocMw { .. }
            | Op::Bind { .. }
            | Op::Invalidate { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. }
            | Op::CompareSwap { .. }
            | Op::FetchAdd { .. }
            | Op::Send { .. }
            | Op::Gather { .. }
            | Op::Scatter { .. } => Prediction::only(Outcome::Skipped),
        }
    }
}
