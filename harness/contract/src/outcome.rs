//! What one op did.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Runs;

/// What one op did on a target. An errno, a signal or a completion status is
/// data, never an error of the harness.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// It worked and returned nothing to compare.
    Done,
    /// It worked and read these bytes.
    Value(Runs),
    /// The call was refused.
    Errno(Errno),
    /// The work request completed with this status, which is not success.
    Completion(WcStatus),
    /// A send and its receive completed so, not both with success.
    Completions {
        /// At the side that sends.
        requester: WcStatus,
        /// At the side that receives, if the receive completed.
        responder: Option<WcStatus>,
    },
    /// The process got this signal after `done_bytes` bytes of a CPU access.
    Fault {
        /// Which signal.
        signal: Signal,
        /// Bytes that were read or written before it.
        done_bytes: u32,
    },
    /// The op has nothing to work on (an empty slot, a process that is not
    /// there) and was not done.
    Skipped,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("ok"),
            Outcome::Value(runs) => write!(f, "{runs}"),
            Outcome::Errno(errno) => write!(f, "{errno}"),
            Outcome::Completion(status) => write!(f, "{status}"),
            Outcome::Completions { requester, responder: Some(responder) } => {
                write!(f, "{requester} and {responder}")
            }
            Outcome::Completions { requester, responder: None } => {
                write!(f, "{requester} and nothing")
            }
            Outcome::Fault { signal, done_bytes: 0 } => write!(f, "{signal}"),
            Outcome::Fault { signal, done_bytes } => write!(f, "{signal} after {done_bytes}"),
            Outcome::Skipped => f.write_str("skipped"),
        }
    }
}

/// A signal that a CPU access can raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Signal {
    /// No mapping, or one that does not permit the access.
    Segv,
    /// A mapping without memory behind it.
    Bus,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Segv => "SIGSEGV",
            Signal::Bus => "SIGBUS",
        })
    }
}

/// A Linux error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Errno(pub i32);

impl Errno {
    /// Operation not permitted.
    pub const EPERM: Errno = Errno(1);
    /// Input/output error.
    pub const EIO: Errno = Errno(5);
    /// A descriptor that is not open for this.
    pub const EBADF: Errno = Errno(9);
    /// Try again, or beyond a limit.
    pub const EAGAIN: Errno = Errno(11);
    /// Out of memory, or beyond a limit.
    pub const ENOMEM: Errno = Errno(12);
    /// Permission denied.
    pub const EACCES: Errno = Errno(13);
    /// Bad address.
    pub const EFAULT: Errno = Errno(14);
    /// Busy.
    pub const EBUSY: Errno = Errno(16);
    /// Invalid argument.
    pub const EINVAL: Errno = Errno(22);
    /// Not supported.
    pub const EOPNOTSUPP: Errno = Errno(95);

    const NAMES: [(i32, &'static str); 21] = [
        (1, "EPERM"),
        (2, "ENOENT"),
        (4, "EINTR"),
        (5, "EIO"),
        (9, "EBADF"),
        (11, "EAGAIN"),
        (12, "ENOMEM"),
        (13, "EACCES"),
        (14, "EFAULT"),
        (16, "EBUSY"),
        (17, "EEXIST"),
        (19, "ENODEV"),
        (22, "EINVAL"),
        (24, "EMFILE"),
        (26, "ETXTBSY"),
        (28, "ENOSPC"),
        (34, "ERANGE"),
        (38, "ENOSYS"),
        (95, "EOPNOTSUPP"),
        (105, "ENOBUFS"),
        (110, "ETIMEDOUT"),
    ];
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "errno{}", self.0),
        }
    }
}

/// A work completion status: the number of `enum ibv_wc_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WcStatus(pub u8);

impl WcStatus {
    /// Success.
    pub const SUCCESS: WcStatus = WcStatus(0);
    /// The local queue pair could not do it.
    pub const LOC_QP_OP_ERR: WcStatus = WcStatus(2);
    /// A message is longer than what is there to receive it.
    pub const LOC_LEN_ERR: WcStatus = WcStatus(1);
    /// A window could not be bound.
    pub const MW_BIND_ERR: WcStatus = WcStatus(6);
    /// The request was flushed from a queue pair in its error state.
    pub const WR_FLUSH_ERR: WcStatus = WcStatus(5);
    /// The responder found the request invalid.
    pub const REM_INV_REQ_ERR: WcStatus = WcStatus(9);
    /// The responder could not do it.
    pub const REM_OP_ERR: WcStatus = WcStatus(11);
    /// A local key, range or access right is wrong.
    pub const LOC_PROT_ERR: WcStatus = WcStatus(4);
    /// The remote side refused key, range or right.
    pub const REM_ACCESS_ERR: WcStatus = WcStatus(10);

    // Indexed by number, as `enum ibv_wc_status` of libibverbs orders them.
    const NAMES: [&'static str; 24] = [
        "success",
        "loc_len_err",
        "loc_qp_op_err",
        "loc_eec_op_err",
        "loc_prot_err",
        "wr_flush_err",
        "mw_bind_err",
        "bad_resp_err",
        "loc_access_err",
        "rem_inv_req_err",
        "rem_access_err",
        "rem_op_err",
        "retry_exc_err",
        "rnr_retry_exc_err",
        "loc_rdd_viol_err",
        "rem_inv_rd_req_err",
        "rem_abort_err",
        "inv_eecn_err",
        "inv_eec_state_err",
        "fatal_err",
        "resp_timeout_err",
        "general_err",
        "tm_err",
        "tm_rndv_incomplete",
    ];
}

impl fmt::Display for WcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "wc_status{}", self.0),
        }
    }
}
