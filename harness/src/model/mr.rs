//! Registration: `ibv_reg_mr` and `ibv_dereg_mr`.

use pinfold_contract::{Access, BOUNCE_PAGES, ByteRange, Errno, Mr, Outcome, PAGE_BYTES, Proc};

use super::Fault;
use super::frame::FrameId;
use super::state::{MrState, State};
use super::{Prediction, frame};

impl State<'_> {
    /// Registers `range` of `p0`.
    ///
    /// Source: `ib_uverbs_reg_mr()`, drivers/infiniband/core/uverbs_cmd.c; `rxe_reg_user_mr()`,
    /// drivers/infiniband/sw/rxe/rxe_verbs.c; `ib_umem_get()`, drivers/infiniband/core/umem.c, 6.1 and 6.12.
    pub(super) fn register(&mut self, mr: Mr, range: ByteRange, access: Access) -> Prediction {
        let refusals = self.refusals(range, access);
        if let Some((first, others)) = refusals.split_first() {
            // They all come before the first page is touched: any of them leaves the same state.
            let outcome = |errno: &Errno| Outcome::Errno(*errno);
            return Prediction::any_of(outcome(first), others.iter().map(outcome).collect());
        }
        let frames = match self.pin_pages(range, access) {
            Ok(frames) => frames,
            Err(errno) => return Prediction::only(Outcome::Errno(errno)),
        };
        if self.has(Fault::WarnOnOverlap) && frames.iter().any(|f| self.frames[*f].pin_count > 0) {
            self.kernel_log.push_str(
                "WARNING: CPU: 0 PID: 1 at drivers/infiniband/core/umem.c:1 ib_umem_get+0x1/0x2\n",
            );
        }
        frames.iter().for_each(|frame| self.frames[*frame].pin_count += 1);
        self.process_mut(Proc::P0).pinned_vm += i64::from(range.page_span());
        self.mrs.insert(mr, MrState { live: true, range, access, frames });
        Prediction::only(Outcome::Done)
    }

    /// Every reason to refuse before any page is touched, in the order in which
    /// the kernels looked at here find them.
    fn refusals(&self, range: ByteRange, access: Access) -> Vec<Errno> {
        let profile = self.profile;
        let remote_write = Access::REMOTE_WRITE.with(Access::REMOTE_ATOMIC);
        let pinned = self.process(Proc::P0).pinned_vm.unsigned_abs()
            + BOUNCE_PAGES
            + u64::from(range.page_span());
        let over_limit =
            pinned > self.limit_bytes / u64::from(PAGE_BYTES) && !self.has(Fault::LimitIgnored);
        let checks = [
            (access.has_any(remote_write) && !access.has(Access::LOCAL_WRITE), Errno::EINVAL),
            (access.without(profile.access_known).0 != 0, Errno::EINVAL),
            (access.has(Access::ON_DEMAND), profile.on_demand_errno),
            (access.has_any(profile.access_unsupported), Errno::EOPNOTSUPP),
            (self.limit_bytes == 0 && !self.has(Fault::LimitIgnored), Errno::EPERM),
            (range.page_span() == 0, Errno::EINVAL),
            (over_limit, Errno::ENOMEM),
        ];
        checks.into_iter().filter(|(refused, _)| *refused).map(|(_, errno)| errno).collect()
    }

    /// Pins every page of `range`, or none; the pages before a bad one stay faulted in.
    fn pin_pages(&mut self, range: ByteRange, access: Access) -> Result<Vec<FrameId>, Errno> {
        let pin = self.pin_for(access);
        let first = range.start().page_index();
        let frames = (first..first + range.page_span())
            .map(|page| self.frame_to_pin(Proc::P0, page, pin))
            .collect::<Result<Vec<FrameId>, _>>()
            .map_err(|_| Errno::EFAULT)?;
        // Ordinary memory is not persistent, which is found out only after pinning:
        // `rxe_mr_fill_pages_from_sgt()`, drivers/infiniband/sw/rxe/rxe_mr.c, 6.12.
        if access.has(Access::FLUSH_PERSISTENT) {
            return Err(Errno::EINVAL);
        }
        Ok(frames)
    }

    /// Deregisters `mr`, which is live.
    pub(super) fn deregister(&mut self, mr: Mr) -> Outcome {
        let (keep_charge, leak_pin) = (self.has(Fault::VmPinKept), self.has(Fault::PinLeak));
        let state = self.mrs.get_mut(&mr).expect("an op on an empty slot is skipped");
        state.live = false;
        let frames = std::mem::take(&mut state.frames);
        let span = i64::from(state.range.page_span());
        frames.iter().for_each(|frame| self.frames[*frame].pin_count -= 1);
        self.process_mut(Proc::P0).pinned_vm -= if keep_charge { 0 } else { span };
        self.leaked_pins += i64::from(leak_pin);
        Outcome::Done
    }

    /// The bytes of a live MR from `offset` on, as the adapter sees them.
    pub(super) fn adapter_bytes(
        &self,
        mr: &MrState,
        offset: u32,
        len_bytes: u32,
    ) -> pinfold_contract::Runs {
        let mut bytes = pinfold_contract::Runs::default();
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
}

/// The frames under `len_bytes` bytes of `mr` from `offset` on, and the bytes on each.
fn spans(
    mr: &MrState,
    offset: u32,
    len_bytes: u32,
) -> impl Iterator<Item = (FrameId, u32, u32)> + '_ {
    let start = mr.range.start().page_offset() + offset;
    let end = start + len_bytes;
    mr.frames.iter().zip(0u32..).filter_map(move |(frame, index)| {
        let base = index * PAGE_BYTES;
        let (from, to) = (start.max(base), end.min(base + PAGE_BYTES));
        (from < to).then(|| (*frame, from - base, to - base))
    })
}
