//! RDMA reads and writes: what a key lets a peer do.
//!
//! As the InfiniBand architecture says: the key must name a live MR, the MR must
//! grant the right, and the bytes must lie inside it.

use pinfold_contract::{Access, Key, Mr, Outcome, PAGE_BYTES, WcStatus};

use super::Fault;
use super::state::State;

/// A remote op, apart from what it moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote {
    /// Whose address.
    pub(super) mr: Mr,
    /// Offset from its first byte.
    pub(super) offset: i32,
    /// How many bytes.
    pub(super) len_bytes: u32,
    /// Whose key.
    pub(super) key: Key,
}

impl State<'_> {
    /// Whether a remote op has nothing to address or no key to carry.
    pub(super) fn lacks_key(&self, remote: Remote) -> bool {
        let key_mr = match remote.key {
            Key::Own | Key::Stale => remote.mr,
            Key::Of(mr) => mr,
        };
        !self.mrs.contains_key(&remote.mr) || !self.mrs.contains_key(&key_mr)
    }

    pub(super) fn remote_read(&mut self, remote: Remote) -> Outcome {
        if remote.len_bytes == 0 {
            // C9-88: a request of no bytes is not checked against key or range.
            return Outcome::Value(pinfold_contract::Runs::default());
        }
        match self.granted(remote, Access::REMOTE_READ) {
            None => Outcome::Completion(WcStatus::REM_ACCESS_ERR),
            Some((mr, offset)) => {
                Outcome::Value(self.adapter_bytes(&self.mrs[&mr], offset, remote.len_bytes))
            }
        }
    }

    pub(super) fn remote_write(&mut self, remote: Remote, tag: u8) -> Outcome {
        if remote.len_bytes == 0 {
            return Outcome::Done;
        }
        let right =
            if self.has(Fault::WriteRightIgnored) { Access(0) } else { Access::REMOTE_WRITE };
        match self.granted(remote, right) {
            None => Outcome::Completion(WcStatus::REM_ACCESS_ERR),
            Some((mr, offset)) => {
                let short = self.has(Fault::ShortRemoteWrite) && remote.len_bytes > PAGE_BYTES;
                self.adapter_fill(mr, offset, remote.len_bytes - u32::from(short), tag);
                Outcome::Done
            }
        }
    }

    /// The MR that the key names and the offset into it, if the key grants `right` on all the bytes.
    ///
    /// Source: InfiniBand Architecture Specification volume 1, C9-70 and following
    /// (responder R_Key checks), as cited in `check_rkey()`, drivers/infiniband/sw/rxe/rxe_resp.c.
    fn granted(&self, remote: Remote, right: Access) -> Option<(Mr, u32)> {
        let key_mr = match remote.key {
            Key::Own => remote.mr,
            Key::Stale if self.has(Fault::KeyIgnored) => remote.mr,
            Key::Stale => return None,
            Key::Of(mr) => mr,
        };
        let target = self.mrs.get(&key_mr).filter(|mr| mr.live && mr.access.has(right))?;
        let base = self.mrs.get(&remote.mr)?.range.start();
        let offset =
            i64::from(base.0) + i64::from(remote.offset) - i64::from(target.range.start().0);
        let end = offset.checked_add(i64::from(remote.len_bytes))?;
        let slack = if self.has(Fault::RangeOffByOne) { 1 } else { 0 };
        let inside = offset >= 0 && end <= i64::from(target.range.len_bytes()) + slack;
        inside.then_some((key_mr, u32::try_from(offset).ok()?))
    }
}
