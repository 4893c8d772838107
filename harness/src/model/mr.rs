//! Registration: `ibv_reg_mr` and `ibv_dereg_mr`.

use pinfold_contract::{
    Access, ByteRange, Errno, Mr, Outcome, PAGE_BYTES, Pd, Position, Proc, RegCall, Runs, Span,
    WcStatus,
};

use super::Fault;
use super::frame::FrameId;
use super::gup::is_writable;
use super::lists::PACKET_BYTES;
use super::state::{MrState, State};
use super::{Prediction, frame};
use crate::profile::OnDemand;

impl State<'_> {
    /// Registers `span` of `p0`.
    ///
    /// All three ways through the library end in the same command: the library may drop optional
    /// rights on kernels that do not know them, and the kernels looked at here do.
    ///
    /// Source: `ib_uverbs_reg_mr()`, drivers/infiniband/core/uverbs_cmd.c; `rxe_reg_user_mr()`,
    /// drivers/infiniband/sw/rxe/rxe_verbs.c; `ib_umem_get()`, drivers/infiniband/core/umem.c, 6.1 and 6.12.
    pub(super) fn register(
        &mut self,
        mr: Mr,
        span: Span,
        access: Access,
        pd: Pd,
        call: RegCall,
    ) -> Prediction {
        let iova = call.iova().unwrap_or(span.start.address());
        self.follow_on_demand(access);
        let refusals = self.refusals(span, access, iova);
        if let Some((first, others)) = refusals.split_first() {
            if self.has(Fault::LoggedLimit) && refusals.contains(&Errno::ENOMEM) {
                self.kernel_log.push_str("Out of memory: pinned pages\n");
            }
            // They all come before the first page is touched: any of them leaves the same state.
            let outcome = |errno: &Errno| Outcome::Errno(*errno);
            return Prediction::any_of(outcome(first), others.iter().map(outcome).collect());
        }
        let frames = match self.pin_pages(span, access) {
            Ok(frames) => frames,
            Err(errno) => return Prediction::only(Outcome::Errno(errno)),
        };
        // What was pinned lies in the arena, so it is a range of it.
        let Some(range) = span.range() else {
            return Prediction::only(Outcome::Errno(Errno::EFAULT));
        };
        if self.has(Fault::WarnOnOverlap) && frames.iter().any(|f| self.frames[*f].pin_count > 1) {
            self.kernel_log.push_str(
                "WARNING: CPU: 0 PID: 1 at drivers/infiniband/core/umem.c:1 ib_umem_get+0x1/0x2\n",
            );
        }
        self.process_mut(Proc::P0).pinned_vm += i64::from(range.page_span());
        let pinned_for_writing = is_writable(access);
        let keeps_pages = self.keeps_pages(access);
        let live = true;
        let state =
            MrState { live, range, access, iova, pd, pinned_for_writing, keeps_pages, frames };
        self.mrs.insert(mr, state);
        Prediction::only(Outcome::Done)
    }

    /// Every reason to refuse before any page is touched, in the order in which
    /// the kernels looked at here find them.
    fn refusals(&self, span: Span, access: Access, iova: u64) -> Vec<Errno> {
        let page = u64::from(PAGE_BYTES);
        let pages = page_span(span);
        let limited = !self.ipc_lock && !self.has(Fault::LimitIgnored);
        let pinned = self.process(Proc::P0).pinned_vm.unsigned_abs();
        let over_limit =
            pages.is_some_and(|pages| pinned.saturating_add(pages) > self.limit_bytes / page);
        let bad_count = pages.is_some_and(|pages| pages == 0 || pages > u64::from(u32::MAX));
        let mut refusals = Vec::new();
        if iova % page != span.start.address() % page {
            refusals.push(Errno::EINVAL);
        }
        refusals.extend(self.access_refusals(access));
        let checks = [
            (pages.is_none(), Errno::EINVAL),
            (limited && self.limit_bytes == 0, Errno::EPERM),
            (bad_count, Errno::EINVAL),
            (limited && over_limit, Errno::ENOMEM),
        ];
        refusals.extend(checks.into_iter().filter(|(refused, _)| *refused).map(|(_, errno)| errno));
        refusals
    }

    /// Gives up following the sequence where the kernel has on-demand paging and `access` asks for it.
    pub(super) fn follow_on_demand(&mut self, access: Access) {
        let is_modelled = self.profile.on_demand != OnDemand::NotModelled;
        self.unclear |= access.has(Access::ON_DEMAND) && !is_modelled;
    }

    /// Every reason to refuse some rights, whatever the memory.
    ///
    /// Source: `ib_check_mr_access()`, include/rdma/ib_verbs.h, 6.1 and 6.12; `rxe_reg_user_mr()`,
    /// drivers/infiniband/sw/rxe/rxe_verbs.c, 6.12.
    pub(super) fn access_refusals(&self, access: Access) -> Vec<Errno> {
        let profile = self.profile;
        let writers = Access::REMOTE_WRITE.with(Access::REMOTE_ATOMIC);
        let on_demand = match profile.on_demand {
            OnDemand::Refused(errno) => Some(errno),
            OnDemand::NotModelled => None,
        };
        let on_demand = on_demand.filter(|_| access.has(Access::ON_DEMAND));
        let checks = [
            (access.has_any(writers) && !access.has(Access::LOCAL_WRITE), Errno::EINVAL),
            (access.without(profile.access_known).0 != 0, Errno::EINVAL),
            (access.has_any(profile.access_unsupported), Errno::EOPNOTSUPP),
            (self.keeps_pages(access) && is_writable(access), Errno::EINVAL),
        ];
        let found = checks.into_iter().filter(|(refused, _)| *refused).map(|(_, errno)| errno);
        found.chain(on_demand).collect()
    }

    /// Pins every page of `span`, or none; the pages before a bad one stay faulted in.
    fn pin_pages(&mut self, span: Span, access: Access) -> Result<Vec<FrameId>, Errno> {
        let pin = self.pin_for(access);
        // Beyond the arena nothing is mapped: the first page there ends the loop.
        let reach = span.range().map(ByteRange::pages);
        let far = || std::iter::successors(Some(span.start), |at| Some(at.page_end()));
        let pages: Box<dyn Iterator<Item = u32>> = match reach {
            Some(pages) => Box::new(pages.map(|(page, _)| page)),
            None => Box::new(far().map(Position::page_index)),
        };
        self.set_charging(true);
        let mut frames = Vec::new();
        let mut bad = false;
        for page in pages {
            let Ok(frame) = self.frame_to_pin(Proc::P0, page, pin) else {
                bad = true;
                break;
            };
            // Pinned at once, so that reclaim for the next page leaves it alone.
            self.frames[frame].pin_count += 1;
            frames.push(frame);
        }
        let refused = self.charge_was_refused();
        self.set_charging(false);
        if bad {
            frames.iter().for_each(|frame| self.unpin(*frame, false));
            return Err(if refused { Errno::ENOMEM } else { Errno::EFAULT });
        }
        // Ordinary memory is not persistent, which is found out only after pinning:
        // `rxe_mr_fill_pages_from_sgt()`, drivers/infiniband/sw/rxe/rxe_mr.c, 6.12.
        if access.has(Access::FLUSH_PERSISTENT) {
            frames.iter().for_each(|frame| self.unpin(*frame, is_writable(access)));
            return Err(Errno::EINVAL);
        }
        Ok(frames)
    }

    /// Deregisters `mr`, which is live. Refused while a window shows some of it; which errno
    /// says so is not laid down.
    ///
    /// Source: `rxe_dereg_mr()` with IBA 10.6.7.2.6, drivers/infiniband/sw/rxe/rxe_mr.c, 6.1,
    /// and rxe_verbs.c, 6.12.
    pub(super) fn deregister(&mut self, mr: Mr) -> Prediction {
        if self.has_windows(mr) {
            let busy = Outcome::Errno(Errno::EBUSY);
            return Prediction::any_of(Outcome::Errno(Errno::EINVAL), vec![busy]);
        }
        let (keep_charge, leak_pin) = (self.has(Fault::VmPinKept), self.has(Fault::PinLeak));
        let state = self.mrs.get_mut(&mr).expect("an op on an empty slot is skipped");
        state.live = false;
        let frames = std::mem::take(&mut state.frames);
        let span = i64::from(state.range.page_span());
        let written = state.pinned_for_writing;
        frames.iter().for_each(|frame| self.unpin(*frame, written));
        self.process_mut(Proc::P0).pinned_vm -= if keep_charge { 0 } else { span };
        self.leaked_pins += i64::from(leak_pin);
        Prediction::only(Outcome::Done)
    }

    /// All bytes of a live MR, gathered through its lkey; or why they cannot be.
    ///
    /// A packet that begins behind the end of the address space lies before the MR. 6.1 adds up
    /// iova and length, and finds every packet outside.
    ///
    /// Source: `mr_check_range()`, drivers/infiniband/sw/rxe/rxe_mr.c, 6.1 and 6.12.
    pub(super) fn adapter_view(&self, mr: &MrState) -> Result<Runs, WcStatus> {
        let len = mr.range.len_bytes();
        let packets_wrap = (0..len)
            .step_by(PACKET_BYTES as usize)
            .any(|offset| mr.iova.checked_add(u64::from(offset)).is_none());
        if packets_wrap {
            return Err(self.profile.local_range_status);
        }
        Ok(self.adapter_bytes(mr, 0, len))
    }

    /// The bytes of a live MR from `offset` on, as the adapter sees them.
    pub(super) fn adapter_bytes(&self, mr: &MrState, offset: u32, len_bytes: u32) -> Runs {
        let mut bytes = Runs::default();
        for (frame, from, to) in spans(mr, offset, len_bytes) {
            bytes.append(&self.frames[frame].content.slice(from, to));
        }
        bytes
    }

    /// Stores `tag` into the bytes of a live MR, as the adapter does.
    pub(super) fn adapter_fill(&mut self, mr: Mr, offset: u32, len_bytes: u32, tag: u8) {
        let state = &self.mrs[&mr];
        let spans: Vec<(frame::FrameId, u32, u32)> = spans(state, offset, len_bytes).collect();
        for (frame, from, to) in spans {
            let frame = &mut self.frames[frame];
            frame.content = frame.content.filled(from, to, tag);
        }
    }

    /// Stores `bytes` into a live MR from `offset` on, as the adapter does.
    pub(super) fn adapter_store(&mut self, mr: Mr, mut offset: u32, bytes: &Runs) {
        for (len, byte) in bytes.iter() {
            self.adapter_fill(mr, offset, len, byte);
            offset += len;
        }
    }
}

/// How many pages so many bytes lie on, or nothing if they reach the end of the address space.
///
/// Source: `ib_umem_get()`, drivers/infiniband/core/umem.c, and `ib_umem_num_pages()`,
/// include/rdma/ib_umem.h, 6.1 and 6.12.
fn page_span(span: Span) -> Option<u64> {
    let page = u64::from(PAGE_BYTES);
    let end = span.start.address().checked_add(span.len_bytes)?.checked_next_multiple_of(page)?;
    Some(end / page - span.start.address() / page)
}

/// The frames under `len_bytes` bytes of `mr` from `offset` on, and the bytes on each.
fn spans(
    mr: &MrState,
    offset: u32,
    len_bytes: u32,
) -> impl Iterator<Item = (FrameId, u32, u32)> + '_ {
    let start = mr.range.start().page_offset() + offset;
    let end = start + len_bytes;
    let page_bytes = mr.range.start().page_bytes();
    mr.frames.iter().zip(0u32..).filter_map(move |(frame, index)| {
        let base = index * page_bytes;
        let (from, to) = (start.max(base), end.min(base + page_bytes));
        (from < to).then(|| (*frame, from - base, to - base))
    })
}
