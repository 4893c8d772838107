//! Whether an op has something to work on.
//!
//! The model asks it of what there is, and the generator of what there probably is.

use pinfold_contract::{Handle, Key, Mr, Mw, Op, Proc, Sges, Target};

/// What the slots of a sequence hold at some point of it.
pub(crate) trait Slots {
    /// Whether `proc` lives.
    fn has_proc(&self, proc: Proc) -> bool;

    /// Whether `mr` holds an MR.
    fn has_mr(&self, mr: Mr) -> bool;

    /// Whether `mr` holds an MR or remembers one.
    fn knows_mr(&self, mr: Mr) -> bool;

    /// Whether `mw` holds a window.
    fn has_mw(&self, mw: Mw) -> bool;

    /// Whether `mw` holds a window or remembers one.
    fn knows_mw(&self, mw: Mw) -> bool;

    /// Whether the window in `mw` had a key before its newest.
    fn knows_old_key(&self, mw: Mw) -> bool;
}

/// Whether `op` is skipped: a slot that it needs is empty, or one that it fills is taken.
pub(crate) fn is_skipped(slots: &impl Slots, op: &Op) -> bool {
    !slots.has_proc(op.proc())
        || op.mixes_page_sizes()
        || match *op {
            Op::Fork { child, .. } => slots.has_proc(child),
            Op::Exit { proc } => proc == Proc::P0,
            Op::Reg { mr, .. } => slots.has_mr(mr),
            Op::Dereg { mr } | Op::Rereg { mr, .. } => !slots.has_mr(mr),
            Op::AllocMw { mw, .. } => slots.has_mw(mw),
            Op::DeallocMw { mw } => !slots.has_mw(mw),
            Op::Bind { mw, mr, .. } => !slots.has_mw(mw) || !slots.knows_mr(mr),
            Op::Invalidate { handle, .. } => lacks_key(slots, handle),
            Op::RemoteRead { target, .. }
            | Op::RemoteWrite { target, .. }
            | Op::CompareSwap { target, .. }
            | Op::FetchAdd { target, .. } => lacks_target(slots, target),
            Op::Send { from, to, invalidate, .. } => {
                lacks_entry(slots, &from)
                    || lacks_entry(slots, &to)
                    || invalidate.is_some_and(|handle| lacks_key(slots, handle))
            }
            Op::Gather { from: sges, target } | Op::Scatter { target, into: sges } => {
                lacks_entry(slots, &sges) || lacks_target(slots, target)
            }
            Op::Map { .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Write { .. }
            | Op::Read { .. }
            | Op::Limit { .. }
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
            | Op::IpcLock { .. }
            | Op::MemLimit { .. }
            | Op::Swap { .. }
            | Op::Chore { .. } => false,
        }
}

/// Whether there never was such a key.
fn lacks_key(slots: &impl Slots, handle: Handle) -> bool {
    match handle {
        Handle::Mr(mr) => !slots.knows_mr(mr),
        Handle::Mw(mw) => !slots.knows_mw(mw),
        Handle::OldMw(mw) => !slots.knows_old_key(mw),
    }
}

/// Whether a remote op has nothing to address or no key to carry.
fn lacks_target(slots: &impl Slots, target: Target) -> bool {
    let lacks_key = match target.key {
        Key::Own | Key::Stale => false,
        Key::Of(handle) => lacks_key(slots, handle),
    };
    lacks_key || !slots.knows_mr(target.mr)
}

/// Whether an entry of a list has nothing to address.
fn lacks_entry(slots: &impl Slots, sges: &Sges) -> bool {
    sges.iter().any(|sge| !slots.knows_mr(sge.mr))
}
