//! Ops on bytes of memory and files and on the whole machine, each to its rule.

use pinfold_contract::Op;

use super::Prediction;
use super::state::State;

impl State<'_> {
    /// Predicts an op on bytes, files or the machine.
    pub(super) fn step_bytes(&mut self, op: &Op) -> Prediction {
        Prediction::only(match *op {
            Op::Write { proc, at, len_bytes, tag } => self.write(proc, at, len_bytes, tag),
            Op::Read { proc, at, len_bytes } => return self.read(proc, at, len_bytes),
            Op::Force { proc, at, len_bytes, tag } => self.force(proc, at, len_bytes, tag),
            Op::FileWrite { file, at, len_bytes, tag } => self.file_write(file, at, len_bytes, tag),
            Op::Truncate { file, end } => self.truncate(file, end),
            Op::Punch { file, range } => self.punch(file, range),
            Op::Seal { file, seals } => self.seal(file, seals),
            Op::MemLimit { pages } => self.limit_memory(pages),
            Op::Chore { chore } => self.chore(chore),
            Op::Map { .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Limit { .. }
            | Op::Reg { .. }
            | Op::Dereg { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. }
            | Op::Remap { .. }
            | Op::Advise { .. }
            | Op::Lock { .. }
            | Op::Unlock { .. }
            | Op::LockAll { .. }
            | Op::IpcLock { .. }
            | Op::Rereg { .. }
            | Op::AllocMw { .. }
            | Op::DeallocMw { .. }
            | Op::Bind { .. }
            | Op::Invalidate { .. }
            | Op::CompareSwap { .. }
            | Op::FetchAdd { .. }
            | Op::Send { .. }
            | Op::Gather { .. }
            | Op::Scatter { .. } => unreachable!("`step` sends these elsewhere"),
        })
    }
}
