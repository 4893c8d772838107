//! Two queue pairs of one process, connected to each other.

use std::io;

use pinfold_contract::WcStatus;
use rdma_sys as ffi;

use super::device::{PORT, Route};
use crate::failure::{Doing, Failure};
use crate::sys;

/// Local acknowledgement timeout, `4.096 us * 2^16` = 0.27 s: far more than a
/// slow machine takes, so that only a lost packet makes a retry.
const TIMEOUT: u8 = 16;
const RETRIES: u8 = 7;
const QUEUE_DEPTH: u32 = 4;

/// What a work request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// From the remote side to this one.
    Read,
    /// From this side to the remote one.
    Write,
}

/// The two ends of a work request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Address of the first byte on this side.
    pub(super) local: u64,
    /// Key for it.
    pub(super) local_key: u32,
    /// Address of the first byte on the remote side.
    pub(super) remote: u64,
    /// Key for it.
    pub(super) rkey: u32,
    /// How many bytes. For none the work request has no SGE at all.
    pub(super) len_bytes: u32,
}

/// Two connected RC queue pairs. The first requests, the second responds.
#[derive(Debug)]
pub(super) struct Pair {
    domain: *mut ffi::ibv_pd,
    queue: *mut ffi::ibv_cq,
    pairs: [*mut ffi::ibv_qp; 2],
    route: Route,
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
        let pairs = connected(domain, queue, route)?;
        Ok(Pair { domain, queue, pairs, route })
    }

    /// Posts one work request and waits for its completion. After a failure the
    /// pair is made anew, so the next request finds it as the first did.
    pub(super) fn execute(&mut self, verb: Verb, work: Work) -> Result<WcStatus, Failure> {
        self.post(verb, work)?;
        let status = self.wait()?;
        if status != WcStatus::SUCCESS {
            self.reconnect()?;
        }
        Ok(status)
    }

    fn post(&mut self, verb: Verb, work: Work) -> Result<(), Failure> {
        let mut entry =
            ffi::ibv_sge { addr: work.local, length: work.len_bytes, lkey: work.local_key };
        // SAFETY: all zeroes is a valid value: null pointers and numbers.
        let mut request: ffi::ibv_send_wr = unsafe { std::mem::zeroed() };
        request.sg_list = &raw mut entry;
        request.num_sge = i32::from(work.len_bytes > 0);
        request.opcode = match verb {
            Verb::Read => ffi::ibv_wr_opcode::IBV_WR_RDMA_READ,
            Verb::Write => ffi::ibv_wr_opcode::IBV_WR_RDMA_WRITE,
        };
        request.send_flags = ffi::ibv_send_flags::IBV_SEND_SIGNALED.0;
        request.wr.rdma = ffi::rdma_t { remote_addr: work.remote, rkey: work.rkey };
        let mut bad = std::ptr::null_mut();
        // SAFETY: request and entry outlive the call, which copies them. What the
        // adapter may write to is the bounce buffer, or what the sequence registered.
        match unsafe { ffi::ibv_post_send(self.pairs[0], &raw mut request, &raw mut bad) } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)).doing("post a work request"),
        }
    }

    /// Waits as long as it takes: the supervisor watches the time.
    fn wait(&mut self) -> Result<WcStatus, Failure> {
        loop {
            if let Some(status) = self.poll()? {
                return Ok(status);
            }
            sys::yield_cpu();
        }
    }

    fn poll(&mut self) -> Result<Option<WcStatus>, Failure> {
        // SAFETY: all zeroes is a valid value of this plain structure.
        let mut completion: ffi::ibv_wc = unsafe { std::mem::zeroed() };
        // SAFETY: there is room for the one completion that is asked for.
        match unsafe { ffi::ibv_poll_cq(self.queue, 1, &raw mut completion) } {
            0 => Ok(None),
            1 => {
                let status = u8::try_from(completion.status)
                    .map_err(|_| Failure::State("a completion status beyond 255".to_owned()))?;
                Ok(Some(WcStatus(status)))
            }
            error => Err(Failure::State(format!("polling the completion queue gives {error}"))),
        }
    }

    fn reconnect(&mut self) -> Result<(), Failure> {
        for pair in self.pairs {
            // SAFETY: the queue pair is one of ours, and is replaced below.
            match unsafe { ffi::ibv_destroy_qp(pair) } {
                0 => {}
                error => {
                    return Err(io::Error::from_raw_os_error(error)).doing("destroy a queue pair");
                }
            }
        }
        while self.poll()?.is_some() {}
        self.pairs = connected(self.domain, self.queue, self.route)?;
        Ok(())
    }
}

fn connected(
    domain: *mut ffi::ibv_pd,
    queue: *mut ffi::ibv_cq,
    route: Route,
) -> Result<[*mut ffi::ibv_qp; 2], Failure> {
    let pairs = [create(domain, queue)?, create(domain, queue)?];
    for (index, &pair) in pairs.iter().enumerate() {
        // SAFETY: the queue pair was made just now.
        let peer = unsafe { (*pairs[1 - index]).qp_num };
        initialize(pair)?;
        accept(pair, peer, route)?;
        start(pair)?;
    }
    Ok(pairs)
}

fn create(domain: *mut ffi::ibv_pd, queue: *mut ffi::ibv_cq) -> Result<*mut ffi::ibv_qp, Failure> {
    // SAFETY: all zeroes is a valid value: null pointers and numbers.
    let mut wanted: ffi::ibv_qp_init_attr = unsafe { std::mem::zeroed() };
    wanted.send_cq = queue;
    wanted.recv_cq = queue;
    wanted.qp_type = ffi::ibv_qp_type::IBV_QPT_RC;
    wanted.cap.max_send_wr = QUEUE_DEPTH;
    wanted.cap.max_recv_wr = 1;
    wanted.cap.max_send_sge = 1;
    wanted.cap.max_recv_sge = 1;
    // SAFETY: domain and queue are of the same open device; `wanted` outlives the call.
    let pair = unsafe { ffi::ibv_create_qp(domain, &raw mut wanted) };
    if pair.is_null() {
        return Err(io::Error::last_os_error()).doing("create a queue pair");
    }
    Ok(pair)
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

fn accept(pair: *mut ffi::ibv_qp, peer: u32, route: Route) -> Result<(), Failure> {
    use ffi::ibv_qp_attr_mask as field;
    let mut wanted = attributes(ffi::ibv_qp_state::IBV_QPS_RTR);
    wanted.path_mtu = route.mtu;
    wanted.dest_qp_num = peer;
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

fn start(pair: *mut ffi::ibv_qp) -> Result<(), Failure> {
    use ffi::ibv_qp_attr_mask as field;
    let mut wanted = attributes(ffi::ibv_qp_state::IBV_QPS_RTS);
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
