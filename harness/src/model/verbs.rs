//! Ops on verbs, each to its rule.

use pinfold_contract::{Handle, Key, Op, Outcome, RdmaCounts, Sges, Target};

use super::Prediction;
use super::atomic::Atomic;
use super::lists::Message;
use super::state::State;
use super::window::Binding;

impl State<'_> {
    /// Predicts an op on verbs.
    pub(super) fn step_verbs(&mut self, op: &Op) -> Prediction {
        match *op {
            Op::Limit { bytes } => {
                self.limit_bytes = bytes;
                Prediction::only(Outcome::Done)
            }
            Op::IpcLock { held } => {
                self.ipc_lock = held;
                Prediction::only(Outcome::Done)
            }
            Op::Reg { mr, span, access, pd, call } => self.register(mr, span, access, pd, call),
            Op::Dereg { mr } => self.deregister(mr),
            Op::Rereg { mr, what, access, pd, .. } => self.reregister(mr, what, access, pd),
            Op::AllocMw { mw, kind, pd } => self.allocate_window(mw, kind, pd),
            Op::DeallocMw { mw } => self.deallocate_window(mw),
            Op::Bind { mw, mr, offset, len_bytes, access, qp } => self
                .bind(mw, &Binding { mr, start: self.address(mr, offset), len_bytes, access, qp }),
            Op::Invalidate { handle, qp } => self.invalidate_locally(handle, qp),
            Op::RemoteRead { target, len_bytes } => self.remote_read(target, len_bytes),
            Op::RemoteWrite { target, len_bytes, tag } => self.remote_write(target, len_bytes, tag),
            Op::CompareSwap { target, expect, swap } => {
                self.atomic(target, Atomic::CompareSwap { expect, swap })
            }
            Op::FetchAdd { target, add } => self.atomic(target, Atomic::FetchAdd { add }),
            Op::Send { from, to, invalidate, qp } => {
                self.send(&Message { from, to, invalidate, qp })
            }
            Op::Gather { from, target } => self.gather(from, target),
            Op::Scatter { target, into } => self.scatter(target, into),
            // Not on verbs.
            Op::Map { .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Write { .. }
            | Op::Read { .. }
            | Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Remap { .. }
            | Op::Advise { .. }
            | Op::Lock { .. }
            | Op::Unlock { .. }
            | Op::LockAll { .. }
            | Op::Force { .. }
            | Op::FileWrite { .. }
            | Op::Truncate { .. }
            | Op::Punch { .. }
            | Op::Seal { .. }
            | Op::MemLimit { .. }
            | Op::Chore { .. } => Prediction::only(Outcome::Skipped),
        }
    }

    /// Whether an op on verbs has nothing to work on.
    pub(super) fn verbs_are_skipped(&self, op: &Op) -> bool {
        let mr_is_live = |mr| self.mrs.get(&mr).is_some_and(|mr| mr.live);
        let mw_is_live = |mw| self.mws.get(&mw).is_some_and(|mw| mw.live);
        match *op {
            Op::Reg { mr, .. } => mr_is_live(mr),
            Op::Dereg { mr } | Op::Rereg { mr, .. } => !mr_is_live(mr),
            Op::AllocMw { mw, .. } => mw_is_live(mw),
            Op::DeallocMw { mw } => !mw_is_live(mw),
            Op::Bind { mw, mr, .. } => !mw_is_live(mw) || !self.mrs.contains_key(&mr),
            Op::Invalidate { handle, .. } => self.lacks_handle(handle),
            Op::RemoteRead { target, .. }
            | Op::RemoteWrite { target, .. }
            | Op::CompareSwap { target, .. }
            | Op::FetchAdd { target, .. } => self.lacks_target(target),
            Op::Send { from, to, invalidate, .. } => {
                self.lacks_sge(&from)
                    || self.lacks_sge(&to)
                    || invalidate.is_some_and(|handle| self.lacks_handle(handle))
            }
            Op::Gather { from: sges, target } | Op::Scatter { target, into: sges } => {
                self.lacks_sge(&sges) || self.lacks_target(target)
            }
            Op::Map { .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Write { .. }
            | Op::Read { .. }
            | Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Remap { .. }
            | Op::Advise { .. }
            | Op::Lock { .. }
            | Op::Unlock { .. }
            | Op::LockAll { .. }
            | Op::Force { .. }
            | Op::FileWrite { .. }
            | Op::Truncate { .. }
            | Op::Punch { .. }
            | Op::Seal { .. }
            | Op::MemLimit { .. }
            | Op::Chore { .. }
            | Op::Limit { .. }
            | Op::IpcLock { .. } => false,
        }
    }

    /// Whether there never was such a key.
    fn lacks_handle(&self, handle: Handle) -> bool {
        match handle {
            Handle::Mr(mr) => !self.mrs.contains_key(&mr),
            Handle::Mw(mw) => !self.mws.contains_key(&mw),
            Handle::OldMw(mw) => self.mws.get(&mw).is_none_or(|mw| mw.binds == 0),
        }
    }

    /// Whether a remote op has nothing to address or no key to carry.
    fn lacks_target(&self, target: Target) -> bool {
        let lacks_key = match target.key {
            Key::Own | Key::Stale => false,
            Key::Of(handle) => self.lacks_handle(handle),
        };
        lacks_key || !self.mrs.contains_key(&target.mr)
    }

    fn lacks_sge(&self, sges: &Sges) -> bool {
        sges.iter().any(|sge| !self.mrs.contains_key(&sge.mr))
    }

    /// What the sequence holds of the RDMA device.
    ///
    /// The resource tracker has MRs but no windows. Every MR and every window is a uobject, and
    /// each of those is one `hca_object`. A refused call changes neither.
    ///
    /// Source: `ib_uverbs_reg_mr()`, drivers/infiniband/core/uverbs_cmd.c;
    /// `alloc_begin_idr_uobject()`, drivers/infiniband/core/rdma_core.c, 6.1 and 6.12.
    pub(super) fn rdma_counts(&self) -> RdmaCounts {
        let mrs = self.mrs.values().filter(|mr| mr.live).count();
        let mws = self.mws.values().filter(|mw| mw.live).count();
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        RdmaCounts { mrs: count(mrs), cgroup_objects: count(mrs + mws) }
    }
}
