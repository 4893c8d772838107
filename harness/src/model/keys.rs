//! What the MRs and windows that an op names are when it comes, as far as the rules of keys look at them.

use pinfold_contract::{Access, Handle, Key, Mr, Mw, MwKind, Op, Pd, Target};

use super::state::State;
use super::window::MwState;
use crate::request::{len_of, qp_of, right_of, target_of};

/// An MR or a window that an op names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyState {
    /// What it is.
    pub of: KeyOf,
    /// Whether it exists, or did.
    pub is_live: bool,
    /// Whether a key that is shown is its newest.
    pub is_current: bool,
    /// An MR: whether a window shows it. A window: whether it shows anything.
    pub is_bound: bool,
    /// Whether it belongs to the protection domain of the queue pair.
    pub is_of_pd: bool,
    /// A window: whether it was bound over that queue pair.
    pub is_of_qp: bool,
    /// An MR: whether it has `LOCAL_WRITE`. A window: whether it lets peers write, or will.
    pub is_writable: bool,
    /// Whether it grants what the op needs.
    pub grants: bool,
    /// Whether all the bytes are inside.
    pub has_inside: bool,
}

/// What has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyOf {
    /// An MR.
    Mr,
    /// A window of type 1.
    Window1,
    /// A window of type 2.
    Window2,
}

/// The rights that let peers write.
const WRITERS: Access = Access::REMOTE_WRITE.with(Access::REMOTE_ATOMIC);

impl State<'_> {
    /// Those that `op` names, the one whose key it shows first.
    pub(super) fn keys_under(&self, op: &Op) -> Vec<KeyState> {
        let (target, qp) = (target_of(*op), target_of(*op).map_or(qp_of(*op), |target| target.qp));
        let shown = target.and_then(|target| self.shown(target, right_of(*op), len_of(*op)));
        let mrs = op.mrs().into_iter().filter_map(|mr| self.named_mr(mr, qp, op));
        let mws = op.mws().into_iter().filter_map(|mw| self.named_window(mw, qp, op));
        shown.into_iter().chain(mrs).chain(mws).collect()
    }

    /// What the key of `target` is, for so many bytes.
    fn shown(&self, target: Target, right: Access, len_bytes: u64) -> Option<KeyState> {
        let (mr, is_current) = match target.key {
            Key::Own => (target.mr, true),
            Key::Stale => (target.mr, false),
            Key::Of(Handle::Mr(mr)) => (mr, true),
            Key::Of(Handle::Mw(mw)) => return self.shown_window(target, mw, right, len_bytes),
            Key::Of(Handle::OldMw(mw)) => {
                let window = self.shown_window(target, mw, right, len_bytes)?;
                return Some(KeyState { is_current: false, ..window });
            }
        };
        let address = self.mrs.get(&target.mr)?.iova.wrapping_add_signed(target.offset.into());
        let state = self.mrs.get(&mr)?;
        Some(KeyState {
            of: KeyOf::Mr,
            is_live: state.live,
            is_current,
            is_bound: self.has_windows(mr),
            is_of_pd: state.pd == target.qp,
            is_of_qp: true,
            is_writable: state.access.has(Access::LOCAL_WRITE),
            grants: state.access.has(right),
            has_inside: state.offset_of(address, len_bytes).is_some(),
        })
    }

    fn shown_window(
        &self,
        target: Target,
        mw: Mw,
        right: Access,
        len_bytes: u64,
    ) -> Option<KeyState> {
        let window = self.mws.get(&mw)?;
        let named = self.window_state(window, target.qp);
        let Some(bound) = window.bound else { return Some(named) };
        let address = self.mrs.get(&target.mr)?.iova.wrapping_add_signed(target.offset.into());
        let zero_based = bound.access.has(Access::ZERO_BASED);
        let inner = if zero_based { Some(address) } else { address.checked_sub(bound.start) };
        let end = inner.and_then(|inner| inner.checked_add(len_bytes));
        let has_inside = end.is_some_and(|end| end <= bound.len_bytes.into());
        Some(KeyState { grants: bound.access.has(right), has_inside, ..named })
    }

    fn named_mr(&self, mr: Mr, qp: Pd, op: &Op) -> Option<KeyState> {
        let state = self.mrs.get(&mr)?;
        let (wanted, has_inside) = if let Op::Bind { offset, len_bytes, .. } = *op {
            let address = state.iova.wrapping_add_signed(offset.into());
            (Access::MW_BIND, state.offset_of(address, len_bytes.into()).is_some())
        } else {
            (Access::LOCAL_WRITE, true)
        };
        Some(KeyState {
            of: KeyOf::Mr,
            is_live: state.live,
            is_current: true,
            is_bound: self.has_windows(mr),
            is_of_pd: state.pd == qp,
            is_of_qp: true,
            is_writable: state.access.has(Access::LOCAL_WRITE),
            grants: state.access.has(wanted),
            has_inside,
        })
    }

    fn named_window(&self, mw: Mw, qp: Pd, op: &Op) -> Option<KeyState> {
        let state = self.window_state(self.mws.get(&mw)?, qp);
        let Op::Bind { access, .. } = op else { return Some(state) };
        let grants = !access.has_any(self.profile.window_unsupported.with(Access::ZERO_BASED));
        Some(KeyState { is_writable: access.has_any(WRITERS), grants, ..state })
    }

    fn window_state(&self, window: &MwState, qp: Pd) -> KeyState {
        KeyState {
            of: match window.kind {
                MwKind::Type1 => KeyOf::Window1,
                MwKind::Type2 => KeyOf::Window2,
            },
            is_live: window.live,
            is_current: true,
            is_bound: window.bound.is_some(),
            is_of_pd: window.pd == qp,
            is_of_qp: window.bound.is_some_and(|bound| bound.qp == qp),
            is_writable: window.bound.is_some_and(|bound| bound.access.has_any(WRITERS)),
            grants: true,
            has_inside: true,
        }
    }
}
