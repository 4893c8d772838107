//! Memory windows: `ibv_alloc_mw`, binding, invalidation, `ibv_dealloc_mw`.
//!
//! The rules are those of the InfiniBand Architecture Specification, volume 1: section 10.6.7.2
//! for binding (C10-71 to C10-75), its type 2 rules (o10-37.2) for windows that belong to a queue
//! pair. rxe cites them in `rxe_check_bind_mw()`, drivers/infiniband/sw/rxe/rxe_mw.c, and leaves
//! some out; what it leaves out the model demands all the same.

use pinfold_contract::{Access, Errno, Handle, Mr, Mw, MwKind, Outcome, Pd, WcStatus};

use super::state::State;
use super::{Fault, Prediction};

/// A window, live or remembered.
#[derive(Clone, Debug, Hash)]
pub(super) struct MwState {
    pub(super) live: bool,
    pub(super) kind: MwKind,
    pub(super) pd: Pd,
    /// How often it was bound: each time it got a new key.
    pub(super) binds: u32,
    /// What it shows, if it shows anything.
    pub(super) bound: Option<Binding>,
}

/// Bytes of an MR and what a window lets peers do to them.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Binding {
    pub(super) mr: Mr,
    /// Address of the first byte, in the address space of the MR.
    pub(super) start: u64,
    pub(super) len_bytes: u32,
    pub(super) access: Access,
    /// The queue pairs it was bound over.
    pub(super) qp: Pd,
}

impl State<'_> {
    /// Allocates a window that shows nothing yet.
    ///
    /// Source: `ib_uverbs_alloc_mw()`, drivers/infiniband/core/uverbs_cmd.c; `rxe_alloc_mw()`,
    /// drivers/infiniband/sw/rxe/rxe_mw.c, 6.1 and 6.12.
    pub(super) fn allocate_window(&mut self, mw: Mw, kind: MwKind, pd: Pd) -> Prediction {
        self.mws.insert(mw, MwState { live: true, kind, pd, binds: 0, bound: None });
        Prediction::only(Outcome::Done)
    }

    /// Gives a live window back, bound or not: that unbinds it.
    ///
    /// Source: `rxe_mw_cleanup()`, drivers/infiniband/sw/rxe/rxe_mw.c, 6.1 and 6.12.
    pub(super) fn deallocate_window(&mut self, mw: Mw) -> Prediction {
        let kept = self.has(Fault::WindowOutlivesItself);
        let window = self.window_mut(mw);
        window.live = false;
        window.bound = window.bound.filter(|_| kept);
        self.leaked_objects += i64::from(self.has(Fault::WindowObjectKept));
        Prediction::only(Outcome::Done)
    }

    /// Binds a live window.
    pub(super) fn bind(&mut self, mw: Mw, wanted: &Binding) -> Prediction {
        let refused = Outcome::Completion(WcStatus::MW_BIND_ERR);
        let library = self.library_refusals(mw, wanted);
        if let Some((&first, rest)) = library.split_first() {
            let mut others: Vec<Outcome> =
                rest.iter().map(|errno| Outcome::Errno(*errno)).collect();
            others.push(refused);
            return Prediction::any_of(Outcome::Errno(first), others);
        }
        if !self.may_bind(mw, wanted) {
            return Prediction::only(refused);
        }
        let bound = Binding { len_bytes: self.len_inside(wanted), ..*wanted };
        let window = self.window_mut(mw);
        window.binds += 1;
        window.bound = (wanted.len_bytes > 0).then_some(bound);
        if wanted.len_bytes > 0 && self.mrs[&wanted.mr].wraps() {
            return Prediction::unordered(Outcome::Done, vec![refused]);
        }
        Prediction::only(Outcome::Done)
    }

    /// What `ibv_bind_mw` finds wrong before the kernel sees anything. A caller that has no
    /// `struct ibv_mr` for the MR may leave the finding to the kernel.
    ///
    /// Source: `ibv_bind_mw()`, infiniband/verbs.h, and the rxe provider of rdma-core, for type 1.
    fn library_refusals(&self, mw: Mw, wanted: &Binding) -> Vec<Errno> {
        let window = &self.mws[&mw];
        let checks = [
            (window.pd != self.mrs[&wanted.mr].pd, Errno::EPERM),
            (wanted.access.has(Access::ZERO_BASED), Errno::EINVAL),
        ];
        let refusals = checks.into_iter().filter(|(refused, _)| *refused).map(|(_, errno)| errno);
        match window.kind {
            MwKind::Type1 => refusals.collect(),
            MwKind::Type2 => Vec::new(),
        }
    }

    /// Whether a bind is right.
    ///
    /// Source: C10-72 (queue pair and window in one protection domain, and so the MR),
    /// o10-37.2.30 (type 2 only while it is free), o10-37.2.40 (type 2 never of no bytes).
    fn may_bind(&self, mw: Mw, wanted: &Binding) -> bool {
        let window = &self.mws[&mw];
        if window.pd != wanted.qp || wanted.access.has_any(self.profile.window_unsupported) {
            return false;
        }
        let free = window.bound.is_none() && wanted.len_bytes > 0;
        match window.kind {
            MwKind::Type1 if wanted.len_bytes == 0 => true,
            MwKind::Type1 => self.mr_may_be_bound(window.pd, wanted),
            MwKind::Type2 => free && self.mr_may_be_bound(window.pd, wanted),
        }
    }

    /// Whether the MR permits a bind of some of its bytes.
    ///
    /// Source: C10-73 (right MW_BIND), C10-74 (a window that writes needs LOCAL_WRITE of the MR),
    /// C10-75 (inside the MR).
    fn mr_may_be_bound(&self, pd: Pd, wanted: &Binding) -> bool {
        let writers = Access::REMOTE_WRITE.with(Access::REMOTE_ATOMIC);
        let mr = &self.mrs[&wanted.mr];
        if !mr.live || mr.pd != pd || mr.access.has(Access::ZERO_BASED) {
            return false;
        }
        let len_bytes = u64::from(self.len_inside(wanted));
        let is_inside = mr.offset_of(wanted.start, len_bytes).is_some();
        is_inside
            && (mr.access.has(Access::MW_BIND) || self.has(Fault::BindRightIgnored))
            && (!wanted.access.has_any(writers)
                || mr.access.has(Access::LOCAL_WRITE)
                || self.has(Fault::BindOverReadOnly))
    }

    /// How many bytes of `wanted` have to be inside of its MR: all, but for a planted fault.
    fn len_inside(&self, wanted: &Binding) -> u32 {
        let len_bytes = wanted.len_bytes;
        let is_inside = |len_bytes: u32| {
            self.mrs[&wanted.mr].offset_of(wanted.start, len_bytes.into()).is_some()
        };
        let is_last_outside = len_bytes > 1 && !is_inside(len_bytes) && is_inside(len_bytes - 1);
        if is_last_outside && self.has(Fault::BindRangeOffByOne) {
            len_bytes - 1
        } else {
            len_bytes
        }
    }

    /// Whether some window shows bytes of `mr`.
    pub(super) fn has_windows(&self, mr: Mr) -> bool {
        self.mws.values().any(|mw| mw.bound.is_some_and(|bound| bound.mr == mr))
    }

    /// A local invalidation.
    ///
    /// Source: `rxe_do_local_ops()`, drivers/infiniband/sw/rxe/rxe_req.c, 6.1 and 6.12, for the status.
    pub(super) fn invalidate_locally(&mut self, handle: Handle, qp: Pd) -> Prediction {
        let refused = Outcome::Completion(WcStatus::LOC_QP_OP_ERR);
        match self.invalidate(handle, qp) {
            Invalidated::Yes => Prediction::only(Outcome::Done),
            Invalidated::No => {
                let spec = Outcome::Completion(WcStatus::LOC_PROT_ERR);
                Prediction::any_of(refused, vec![spec])
            }
            Invalidated::WasFree => Prediction::any_of(Outcome::Done, vec![refused]),
        }
    }

    /// Takes the bytes from a type 2 window, if `handle` is its key and `qp` the queue pairs it
    /// belongs to. Everything else has no key that can be invalidated: type 1 windows (o10-37.2.26),
    /// MRs that were not made for it, keys of the past, windows of other queue pairs.
    pub(super) fn invalidate(&mut self, handle: Handle, qp: Pd) -> Invalidated {
        let Handle::Mw(mw) = handle else { return Invalidated::No };
        let window = self.window_mut(mw);
        match (window.kind, window.bound) {
            (MwKind::Type2, Some(bound)) if window.live && bound.qp == qp => {
                window.bound = None;
                Invalidated::Yes
            }
            (MwKind::Type2, None) if window.live && window.pd == qp => Invalidated::WasFree,
            _ => Invalidated::No,
        }
    }

    fn window_mut(&mut self, mw: Mw) -> &mut MwState {
        self.mws.get_mut(&mw).expect("an op on an empty slot is skipped")
    }
}

/// What came of an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalidated {
    /// The window is free now.
    Yes,
    /// It was refused and changed nothing.
    No,
    /// The window was free before: the specification does not say whether that is an error.
    WasFree,
}
