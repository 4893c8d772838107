//! Two queue pairs of one process, connected to each other.

use std::io;

use pinfold_contract::{SGES_MAX, WcStatus, WorkRequest};
use rdma_sys as ffi;

use super::completions::{Awaited, Polled, Posted};
use super::context;
use super::device::{PORT, Route};
use super::requests::{self, Binding, Request};
use crate::failure::{Doing, Failure};
use crate::sys;

/// Local acknowledgement timeout, `4.096 us * 2^16` = 0.27 s: far more than a
/// slow machine takes, so that only a lost packet makes a retry.
const TIMEOUT: u8 = 16;
const RETRIES: u8 = 7;
const QUEUE_DEPTH: u32 = 4;

/// What a request moves that sends no packet.
const NO_BYTES: u64 = 0;

/// How often the others get each processor first. Each queue pair has one work.
const SETTLING_TURNS: u32 = 16;

/// How often a queue pair is reset that does not stay so. Its works run out during the first time.
const RESETS_MAX: u32 = 3;

/// So much further are the packet sequence numbers of each next connection: what is left of an earlier one is then old, a
/// duplicate that changes nothing. More than the packets of a request, and 24 bits hold it often enough.
///
/// Source: `check_psn()`, drivers/infiniband/sw/rxe/rxe_resp.c and rxe_comp.c, 6.1 and 6.12.
const PSN_STEP: u32 = 0x1000;
const PSN_MASK: u32 = 0xff_ffff;

/// How a send and its receive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    /// At the side that sends.
    pub(super) requester: WcStatus,
    /// At the side that receives, if the receive completed.
    pub(super) responder: Option<WcStatus>,
}

/// Two connected RC queue pairs.
#[derive(Debug)]
pub(super) struct Pair {
    queue: *mut ffi::ibv_cq,
    /// Sends requests that go to the other one.
    requester: *mut ffi::ibv_qp,
    /// Answers them. Windows of type 2 belong to it.
    responder: *mut ffi::ibv_qp,
    route: Route,
    /// Packet sequence number that each side begins with.
    psn: u32,
    /// What the next work request is posted with. None has the same: one that is completed twice shows.
    next_id: u64,
    /// What the completions since the last look at them contain.
    completed: Vec<Polled>,
}

impl Pair {
    /// Makes and connects them.
    pub(super) fn connect(
        context: *mut ffi::ibv_context,
        domain: *mut ffi::ibv_pd,
        route: Route,
    ) -> Result<Pair, Failure> {
        let depth = i32::try_from(4 * QUEUE_DEPTH).expect("a small number");
        // SAFETY: `context` is an open device; no channel is used.
        let queue = unsafe {
            ffi::ibv_create_cq(context, depth, std::ptr::null_mut(), std::ptr::null_mut(), 0)
        };
        if queue.is_null() {
            return Err(io::Error::last_os_error()).doing("create a completion queue");
        }
        let (requester, responder) = (create(domain, queue)?, create(domain, queue)?);
        let (next_id, completed) = (1, Vec::new());
        let pair = Pair { queue, requester, responder, route, psn: 0, next_id, completed };
        pair.start_both()?;
        Ok(pair)
    }

    /// Posts a request at the side that requests and waits for its completion.
    pub(super) fn execute(
        &mut self,
        request: Request,
        list: &mut [ffi::ibv_sge],
    ) -> Result<WcStatus, Failure> {
        let posted = self.posted(self.requester);
        // SAFETY: the queue pair is ours and lives.
        unsafe { requests::post(self.requester, request, posted.id, list) }
            .doing("post a work request")?;
        let len_bytes: u64 = list.iter().map(|entry| u64::from(entry.length)).sum();
        self.finish(posted, len_bytes)
    }

    /// Has the side that responds make `rkey` invalid by itself.
    pub(super) fn invalidate(&mut self, rkey: u32) -> Result<WcStatus, Failure> {
        let posted = self.posted(self.responder);
        // SAFETY: the queue pair is ours and lives.
        unsafe { requests::post(self.responder, Request::Invalidate(rkey), posted.id, &mut []) }
            .doing("post an invalidation")?;
        self.finish(posted, NO_BYTES)
    }

    /// Binds `window`, of type 1, at the side that responds. The inner error is one
    /// of the library, which then has posted nothing.
    ///
    /// # Safety
    ///
    /// `window` lives, and is of type 1.
    pub(super) unsafe fn bind_type1(
        &mut self,
        window: *mut ffi::ibv_mw,
        binding: Binding,
    ) -> Result<io::Result<WcStatus>, Failure> {
        let posted = self.posted(self.responder);
        // SAFETY: the queue pair is ours and lives; the rest is the caller's promise.
        match unsafe { requests::bind_type1(self.responder, window, posted.id, binding) } {
            Ok(()) => self.finish(posted, NO_BYTES).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Binds `window` with the new key `rkey` at the side that responds. The inner
    /// error is one of the library, which then has posted nothing.
    ///
    /// # Safety
    ///
    /// `window` lives.
    pub(super) unsafe fn bind_type2(
        &mut self,
        window: *mut ffi::ibv_mw,
        rkey: u32,
        binding: Binding,
    ) -> Result<io::Result<WcStatus>, Failure> {
        let posted = self.posted(self.responder);
        // SAFETY: the queue pair is ours and lives; the rest is the caller's promise.
        match unsafe { requests::bind_type2(self.responder, window, posted.id, rkey, binding) } {
            Ok(()) => self.finish(posted, NO_BYTES).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Posts a receive into `to` at the side that responds, then `request`, a send
    /// from `from`, and waits for both.
    pub(super) fn exchange(
        &mut self,
        request: Request,
        from: &mut [ffi::ibv_sge],
        to: &mut [ffi::ibv_sge],
    ) -> Result<Exchange, Failure> {
        let (receive, send) = (self.posted(self.responder), self.posted(self.requester));
        // SAFETY: the queue pair is ours and lives.
        unsafe { requests::receive(self.responder, receive.id, to) }.doing("post a receive")?;
        // SAFETY: the queue pair is ours and lives.
        unsafe { requests::post(self.requester, request, send.id, from) }.doing("post a send")?;
        let awaited = Awaited { send, receive: Some(receive) };
        let mut responder = None;
        let requester = self.wait(awaited, WorkRequest::Send, &mut responder)?;
        if requester == WcStatus::SUCCESS && responder.is_none() {
            // The acknowledgement comes from where the receive has completed.
            responder = Some(self.wait(awaited, WorkRequest::Receive, &mut None)?);
        }
        if requester != WcStatus::SUCCESS {
            settle()?;
        }
        while responder.is_none()
            && let Some((of, status)) = self.next(awaited)?
        {
            responder = (of == WorkRequest::Receive).then_some(status);
        }
        if (requester, responder) != (WcStatus::SUCCESS, Some(WcStatus::SUCCESS)) {
            self.reconnect()?;
        }
        Ok(Exchange { requester, responder })
    }

    /// What the completions contain that came since this was asked last: those of the send queue first.
    pub(super) fn take_completed(&mut self) -> Vec<Polled> {
        let mut completed = std::mem::take(&mut self.completed);
        completed.sort_by_key(|polled| polled.of);
        completed
    }

    /// Forgets the completions behind the first `count`.
    pub(super) fn forget_completed_behind(&mut self, count: usize) {
        self.completed.truncate(count);
    }

    /// How many completions came since they were taken last.
    pub(super) fn completed_count(&self) -> usize {
        self.completed.len()
    }

    /// The next work request, which goes to `pair`.
    fn posted(&mut self, pair: *mut ffi::ibv_qp) -> Posted {
        let id = self.next_id;
        self.next_id += 1;
        // SAFETY: the queue pair is one of ours and lives.
        Posted { id, pair: unsafe { (*pair).qp_num } }
    }

    /// Waits for the completion of the one request, which moves `len_bytes` bytes. After a failure the
    /// pair is connected anew, so the next request finds it as the first did.
    fn finish(&mut self, send: Posted, len_bytes: u64) -> Result<WcStatus, Failure> {
        let awaited = Awaited { send, receive: None };
        let status = self.wait(awaited, WorkRequest::Send, &mut None)?;
        if status != WcStatus::SUCCESS {
            if len_bytes > self.packet_bytes() {
                settle()?;
            }
            self.reconnect()?;
        }
        Ok(status)
    }

    /// Bytes that one packet carries at most.
    fn packet_bytes(&self) -> u64 {
        // `IBV_MTU_256` is 1.
        128 << self.route.mtu
    }

    /// Waits for the completion of `wanted`, as long as it takes: the supervisor
    /// watches the time. The status of another one that comes first goes to `other`.
    fn wait(
        &mut self,
        awaited: Awaited,
        wanted: WorkRequest,
        other: &mut Option<WcStatus>,
    ) -> Result<WcStatus, Failure> {
        loop {
            match self.next(awaited)? {
                Some((of, status)) if of == wanted => return Ok(status),
                Some((_, status)) => *other = Some(status),
                None => sys::give_way(),
            }
        }
    }

    /// The next completion, if there is one: of what, and how it ended. What it contains is kept.
    fn next(&mut self, awaited: Awaited) -> Result<Option<(WorkRequest, WcStatus)>, Failure> {
        let Some(completion) = self.poll()? else { return Ok(None) };
        let status = u8::try_from(completion.status)
            .map_err(|_| Failure::State("a completion status beyond 255".to_owned()))?;
        let polled = awaited.polled(&completion);
        self.completed.push(polled);
        Ok(Some((polled.of, WcStatus(status))))
    }

    /// The next completion as the library gives it.
    fn poll(&mut self) -> Result<Option<ffi::ibv_wc>, Failure> {
        // SAFETY: all zeroes is a valid value of this plain structure.
        let mut completion: ffi::ibv_wc = unsafe { std::mem::zeroed() };
        // SAFETY: there is room for the one completion that is asked for.
        match unsafe { ffi::ibv_poll_cq(self.queue, 1, &raw mut completion) } {
            0 => Ok(None),
            1 => Ok(Some(completion)),
            error => Err(Failure::State(format!("polling the completion queue gives {error}"))),
        }
    }

    /// Puts both back to their start, where a receive that is still posted is
    /// dropped, and connects them anew. The requester goes first, so that nothing
    /// of it arrives at a responder that was reset.
    ///
    /// They are not destroyed. A window of type 2 holds the responder, and
    /// destroying that would wait for the window; a reset touches no window. And new
    /// queue pairs would map new queues, which a sequence can make fail: mappings to
    /// come are locked after `mlockall(MCL_FUTURE)`, and RLIMIT_MEMLOCK may be low.
    ///
    /// Source: `rxe_qp_reset()`, rxe_qp.c, `rxe_do_bind_mw()`, rxe_mw.c, 6.1 and 6.12.
    fn reconnect(&mut self) -> Result<(), Failure> {
        reset(self.requester)?;
        reset(self.responder)?;
        while self.poll()?.is_some() {}
        self.psn = (self.psn + PSN_STEP) & PSN_MASK;
        self.start_both()
    }

    /// Connects the two, both in their first state.
    fn start_both(&self) -> Result<(), Failure> {
        for (pair, peer) in [(self.requester, self.responder), (self.responder, self.requester)] {
            // SAFETY: the queue pair lives.
            let peer = unsafe { (*peer).qp_num };
            initialize(pair)?;
            accept(pair, peer, self.psn, self.route)?;
            start(pair, self.psn)?;
        }
        Ok(())
    }
}

/// Lets packets that are on their way arrive, before their queue pair is reset: where a request fails behind its first
/// packet, those before it are still waiting for their turn of a processor, and it may be any.
///
/// Source: `rxe_sender()`, rxe_req.c, and `rxe_resp_queue_pkt()`, rxe_resp.c, 6.12, both in a queue of works that is bound
/// to no processor.
fn settle() -> Result<(), Failure> {
    sys::give_way_everywhere(SETTLING_TURNS).doing("give way on every processor")
}

/// Puts a queue pair back to its start.
///
/// The completion of a request that failed is there before the queue pair goes to its error state, and the request of a
/// peer that was refused is answered before: on several processors that may come just behind the reset, and undo it. But
/// the reset waits for the works that do it, so the next one lasts.
///
/// Source: COMPST_ERROR in `rxe_completer()`, rxe_comp.c; RESPST_ERROR in `rxe_receiver()`, rxe_resp.c;
/// `rxe_qp_from_attr()` and `rxe_qp_reset()`, rxe_qp.c, 6.12, and the same of 6.1.
fn reset(pair: *mut ffi::ibv_qp) -> Result<(), Failure> {
    for _ in 0..RESETS_MAX {
        let wanted = attributes(ffi::ibv_qp_state::IBV_QPS_RESET);
        modify(pair, wanted, ffi::ibv_qp_attr_mask::IBV_QP_STATE)?;
        if state(pair)? == ffi::ibv_qp_state::IBV_QPS_RESET {
            return Ok(());
        }
    }
    Err(Failure::State(format!("a queue pair is not reset after {RESETS_MAX} resets")))
}

/// The state that the kernel has it in.
fn state(pair: *mut ffi::ibv_qp) -> Result<ffi::ibv_qp_state::Type, Failure> {
    let mut found = attributes(ffi::ibv_qp_state::IBV_QPS_RESET);
    // SAFETY: all zeroes is a valid value: null pointers and numbers.
    let mut made: ffi::ibv_qp_init_attr = unsafe { std::mem::zeroed() };
    let fields = ffi::ibv_qp_attr_mask::IBV_QP_STATE.0.cast_signed();
    // SAFETY: the queue pair is one of ours; `found` and `made` outlive the call.
    match unsafe { ffi::ibv_query_qp(pair, &raw mut found, fields, &raw mut made) } {
        0 => Ok(found.qp_state),
        error => Err(io::Error::from_raw_os_error(error)).doing("query a queue pair"),
    }
}

/// Makes a queue pair. It is an extended one, which atomic requests need.
fn create(domain: *mut ffi::ibv_pd, queue: *mut ffi::ibv_cq) -> Result<*mut ffi::ibv_qp, Failure> {
    use ffi::{ibv_qp_create_send_ops_flags as op, ibv_qp_init_attr_mask as field};
    let sges = u32::try_from(SGES_MAX).expect("a small number");
    // SAFETY: all zeroes is a valid value: null pointers and numbers.
    let mut wanted: ffi::ibv_qp_init_attr_ex = unsafe { std::mem::zeroed() };
    wanted.send_cq = queue;
    wanted.recv_cq = queue;
    wanted.qp_type = ffi::ibv_qp_type::IBV_QPT_RC;
    wanted.cap.max_send_wr = QUEUE_DEPTH;
    wanted.cap.max_recv_wr = 1;
    wanted.cap.max_send_sge = sges;
    wanted.cap.max_recv_sge = sges;
    wanted.pd = domain;
    wanted.send_ops_flags = u64::from(
        (op::IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP | op::IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD).0,
    );
    wanted.comp_mask = (field::IBV_QP_INIT_ATTR_PD | field::IBV_QP_INIT_ATTR_SEND_OPS_FLAGS).0;
    // SAFETY: domain and queue are of the same open device.
    unsafe { context::create_queue_pair((*domain).context, &mut wanted) }
        .doing("create a queue pair")
}

fn initialize(pair: *mut ffi::ibv_qp) -> Result<(), Failure> {
    use ffi::{ibv_access_flags as right, ibv_qp_attr_mask as field};
    let mut wanted = attributes(ffi::ibv_qp_state::IBV_QPS_INIT);
    wanted.port_num = PORT;
    wanted.qp_access_flags = (right::IBV_ACCESS_LOCAL_WRITE
        | right::IBV_ACCESS_REMOTE_READ
        | right::IBV_ACCESS_REMOTE_WRITE
        | right::IBV_ACCESS_REMOTE_ATOMIC)
        .0;
    let fields = field::IBV_QP_STATE
        | field::IBV_QP_PKEY_INDEX
        | field::IBV_QP_PORT
        | field::IBV_QP_ACCESS_FLAGS;
    modify(pair, wanted, fields)
}

fn accept(pair: *mut ffi::ibv_qp, peer: u32, psn: u32, route: Route) -> Result<(), Failure> {
    use ffi::ibv_qp_attr_mask as field;
    let mut wanted = attributes(ffi::ibv_qp_state::IBV_QPS_RTR);
    wanted.path_mtu = route.mtu;
    wanted.dest_qp_num = peer;
    wanted.rq_psn = psn;
    wanted.max_dest_rd_atomic = 1;
    wanted.min_rnr_timer = 12;
    wanted.ah_attr.is_global = 1;
    wanted.ah_attr.port_num = PORT;
    wanted.ah_attr.grh.dgid = route.gid;
    wanted.ah_attr.grh.sgid_index = route.gid_index;
    wanted.ah_attr.grh.hop_limit = 1;
    let fields = field::IBV_QP_STATE
        | field::IBV_QP_AV
        | field::IBV_QP_PATH_MTU
        | field::IBV_QP_DEST_QPN
        | field::IBV_QP_RQ_PSN
        | field::IBV_QP_MAX_DEST_RD_ATOMIC
        | field::IBV_QP_MIN_RNR_TIMER;
    modify(pair, wanted, fields)
}

fn start(pair: *mut ffi::ibv_qp, psn: u32) -> Result<(), Failure> {
    use ffi::ibv_qp_attr_mask as field;
    let mut wanted = attributes(ffi::ibv_qp_state::IBV_QPS_RTS);
    wanted.sq_psn = psn;
    wanted.timeout = TIMEOUT;
    wanted.retry_cnt = RETRIES;
    wanted.rnr_retry = RETRIES;
    wanted.max_rd_atomic = 1;
    let fields = field::IBV_QP_STATE
        | field::IBV_QP_TIMEOUT
        | field::IBV_QP_RETRY_CNT
        | field::IBV_QP_RNR_RETRY
        | field::IBV_QP_SQ_PSN
        | field::IBV_QP_MAX_QP_RD_ATOMIC;
    modify(pair, wanted, fields)
}

fn attributes(state: ffi::ibv_qp_state::Type) -> ffi::ibv_qp_attr {
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut wanted: ffi::ibv_qp_attr = unsafe { std::mem::zeroed() };
    wanted.qp_state = state;
    wanted
}

fn modify(
    pair: *mut ffi::ibv_qp,
    mut wanted: ffi::ibv_qp_attr,
    fields: ffi::ibv_qp_attr_mask,
) -> Result<(), Failure> {
    let fields = fields.0.cast_signed();
    // SAFETY: the queue pair is one of ours; `wanted` outlives the call.
    match unsafe { ffi::ibv_modify_qp(pair, &raw mut wanted, fields) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)).doing("change the state of a queue pair"),
    }
}
