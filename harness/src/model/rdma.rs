//! RDMA reads and writes: what a key lets a peer do.
//!
//! As the InfiniBand architecture says: the key must name a live MR or a bound window of the
//! queue pair's protection domain, that must grant the right, and the bytes must lie inside it.

use pinfold_contract::{
    Access, Handle, Key, Mr, MwKind, Outcome, PAGE_BYTES, Pd, Runs, Target, WcStatus,
};

use super::state::{MrState, State};
use super::{Fault, Prediction};

impl State<'_> {
    /// The address `offset` bytes from the iova of `mr`, which may be dead.
    pub(super) fn address(&self, mr: Mr, offset: i32) -> u64 {
        self.mrs[&mr].iova.wrapping_add_signed(i64::from(offset))
    }

    pub(super) fn remote_read(&mut self, target: Target, len_bytes: u32) -> Prediction {
        if len_bytes == 0 {
            // C9-88: a request of no bytes is not checked against key or range.
            return Prediction::only(Outcome::Value(Runs::default()));
        }
        let refused = Outcome::Completion(WcStatus::REM_ACCESS_ERR);
        match self.granted(target, u64::from(len_bytes), Access::REMOTE_READ) {
            None => Prediction::only(refused),
            Some((mr, offset)) => {
                let bytes = Outcome::Value(self.adapter_bytes(&self.mrs[&mr], offset, len_bytes));
                if self.mrs[&mr].wraps() {
                    // Refused or not, it changes nothing.
                    return Prediction::any_of(bytes, vec![refused]);
                }
                Prediction::only(bytes)
            }
        }
    }

    pub(super) fn remote_write(&mut self, target: Target, len_bytes: u32, tag: u8) -> Prediction {
        if len_bytes == 0 {
            return Prediction::only(Outcome::Done);
        }
        let refused = Outcome::Completion(WcStatus::REM_ACCESS_ERR);
        let right =
            if self.has(Fault::WriteRightIgnored) { Access(0) } else { Access::REMOTE_WRITE };
        match self.granted(target, u64::from(len_bytes), right) {
            None => Prediction::only(refused),
            Some((mr, offset)) => {
                let short = self.has(Fault::ShortRemoteWrite) && len_bytes > PAGE_BYTES;
                self.adapter_fill(mr, offset, len_bytes - u32::from(short), tag);
                if self.mrs[&mr].wraps() {
                    return Prediction::unordered(Outcome::Done, vec![refused]);
                }
                Prediction::only(Outcome::Done)
            }
        }
    }

    /// The MR behind the key and the offset into it, if the key grants `right` on all the bytes.
    ///
    /// Source: InfiniBand Architecture Specification volume 1, C9-70 and following
    /// (responder R_Key checks), as cited in `check_rkey()`, drivers/infiniband/sw/rxe/rxe_resp.c.
    pub(super) fn granted(
        &self,
        target: Target,
        len_bytes: u64,
        right: Access,
    ) -> Option<(Mr, u32)> {
        let address = self.address(target.mr, target.offset);
        match target.key {
            Key::Own => self.granted_by_mr(target.mr, target.qp, address, len_bytes, right),
            Key::Stale if self.has(Fault::KeyIgnored) => {
                self.granted_by_mr(target.mr, target.qp, address, len_bytes, right)
            }
            Key::Of(Handle::Mr(mr)) => self.granted_by_mr(mr, target.qp, address, len_bytes, right),
            Key::Of(Handle::Mw(_)) => self.granted_by_window(target, address, len_bytes, right),
            Key::Stale | Key::Of(Handle::OldMw(_)) => None,
        }
    }

    fn granted_by_mr(
        &self,
        mr: Mr,
        qp: Pd,
        address: u64,
        len_bytes: u64,
        right: Access,
    ) -> Option<(Mr, u32)> {
        let state = self.mrs.get(&mr)?;
        let exists = state.live || self.has(Fault::KeyOutlivesMr);
        let permitted = exists && state.pd == qp && state.access.has(right);
        let slack = u64::from(self.has(Fault::RangeOffByOne) && len_bytes > 0);
        let offset = state.offset_of(address, len_bytes - slack)?;
        permitted.then_some((mr, offset))
    }

    /// Through a window: its own rights and its own bounds decide, those of the MR do not.
    ///
    /// A type 2 window is for the queue pair it was bound on. One that is zero-based counts
    /// addresses from its own first byte.
    fn granted_by_window(
        &self,
        target: Target,
        address: u64,
        len_bytes: u64,
        right: Access,
    ) -> Option<(Mr, u32)> {
        let Key::Of(Handle::Mw(mw)) = target.key else { return None };
        let window = self.mws.get(&mw)?;
        let bound = window.bound?;
        let owned = match window.kind {
            MwKind::Type1 => window.pd == target.qp,
            MwKind::Type2 => bound.qp == target.qp || self.has(Fault::WindowQpIgnored),
        };
        let zero_based = bound.access.has(Access::ZERO_BASED);
        let inner = if zero_based { address } else { address.checked_sub(bound.start)? };
        let inside = len_bytes <= u64::from(bound.len_bytes)
            && inner <= u64::from(bound.len_bytes) - len_bytes;
        let mr = self.mrs.get(&bound.mr).filter(|mr| mr.live)?;
        let offset = mr.offset_of(bound.start.wrapping_add(inner), len_bytes)?;
        let wider = self.has(Fault::WindowRightIgnored) && mr.access.has(right);
        let permitted = bound.access.has(right) || wider;
        (owned && inside && permitted).then_some((bound.mr, offset))
    }
}

impl MrState {
    /// How far `address` lies behind the first byte, if all of so many bytes are inside.
    ///
    /// Source: `mr_check_range()`, drivers/infiniband/sw/rxe/rxe_mr.c, 6.1 and 6.12.
    pub(super) fn offset_of(&self, address: u64, len_bytes: u64) -> Option<u32> {
        let length = u64::from(self.range.len_bytes());
        let offset = address.checked_sub(self.iova)?;
        let room = length.checked_sub(len_bytes)?;
        (offset <= room).then(|| u32::try_from(offset).ok()).flatten()
    }

    /// Whether its addresses go around the end of the address space. The specification knows no
    /// such MR: which of its bytes can be reached, and how far a write gets, is left open.
    pub(super) fn wraps(&self) -> bool {
        let last = u64::from(self.range.len_bytes()).saturating_sub(1);
        self.iova.checked_add(last).is_none()
    }
}
