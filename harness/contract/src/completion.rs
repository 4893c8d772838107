//! What a work completion contains beside its status.
//!
//! A completion that is not a success has a `wr_id`, a status, a `qp_num` and a `vendor_err`, and nothing else that is
//! valid (`ibv_poll_cq(3)`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Handle, bits};

/// One work completion of an op, without its status: the outcome of the op has that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Completion {
    /// What it completes.
    pub of: WorkRequest,
    /// Whether `wr_id` is what the work request was posted with.
    pub names_request: bool,
    /// Whether `qp_num` is that of the queue pair to which the work request was posted.
    pub names_pair: bool,
    /// What is valid only with `IBV_WC_SUCCESS`.
    pub success: Option<WcFields>,
}

/// The queue to which a work request was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WorkRequest {
    /// The send queue.
    Send,
    /// The receive queue.
    Receive,
}

impl fmt::Display for WorkRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WorkRequest::Send => "request",
            WorkRequest::Receive => "receive",
        })
    }
}

/// The fields of a successful completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WcFields {
    /// Which operation completed.
    pub opcode: WcOpcode,
    /// Bytes that were moved. The model says nothing where the specification defines nothing.
    pub byte_len: Option<u32>,
    /// What else is valid.
    pub flags: WcFlags,
    /// The key that became invalid. A target says what stands in the field, also without [`WcFlags::WITH_INV`].
    pub invalidated: Option<KeyName>,
}

/// Which key a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyName {
    /// The key of this MR or window.
    Of(Handle),
    /// No key that anything of the sequence has or had last.
    Unknown,
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyName::Of(handle) => write!(f, "{handle}"),
            KeyName::Unknown => f.write_str("unknown"),
        }
    }
}

/// The operation of a completion: the number of `enum ibv_wc_opcode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WcOpcode(pub u32);

impl WcOpcode {
    /// A send.
    pub const SEND: WcOpcode = WcOpcode(0);
    /// An RDMA write.
    pub const RDMA_WRITE: WcOpcode = WcOpcode(1);
    /// An RDMA read.
    pub const RDMA_READ: WcOpcode = WcOpcode(2);
    /// An atomic compare-and-swap.
    pub const COMP_SWAP: WcOpcode = WcOpcode(3);
    /// An atomic fetch-and-add.
    pub const FETCH_ADD: WcOpcode = WcOpcode(4);
    /// A bind of a memory window.
    pub const BIND_MW: WcOpcode = WcOpcode(5);
    /// A local invalidation.
    pub const LOCAL_INV: WcOpcode = WcOpcode(6);
    /// A receive that a send has used.
    pub const RECV: WcOpcode = WcOpcode(128);

    const NAMES: [(u32, &'static str); 11] = [
        (0, "send"),
        (1, "rdma_write"),
        (2, "rdma_read"),
        (3, "comp_swap"),
        (4, "fetch_add"),
        (5, "bind_mw"),
        (6, "local_inv"),
        (7, "tso"),
        (9, "atomic_write"),
        (128, "recv"),
        (129, "recv_rdma_with_imm"),
    ];
}

impl fmt::Display for WcOpcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "opcode{}", self.0),
        }
    }
}

/// The flags of a completion: bits of `enum ibv_wc_flags`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WcFlags(pub u32);

impl WcFlags {
    /// A GRH stands in front of the message. Valid only for UD.
    pub const GRH: WcFlags = WcFlags(1);
    /// There is immediate data.
    pub const WITH_IMM: WcFlags = WcFlags(1 << 1);
    /// The checksum of an IP packet in the message is right.
    pub const IP_CSUM_OK: WcFlags = WcFlags(1 << 2);
    /// There is an invalidated key.
    pub const WITH_INV: WcFlags = WcFlags(1 << 3);

    const NAMES: [(u32, &'static str); 4] = [
        (WcFlags::GRH.0, "grh"),
        (WcFlags::WITH_IMM.0, "with_imm"),
        (WcFlags::IP_CSUM_OK.0, "ip_csum_ok"),
        (WcFlags::WITH_INV.0, "with_inv"),
    ];

    /// These flags without `flags`.
    #[must_use]
    pub const fn without(self, flags: WcFlags) -> WcFlags {
        WcFlags(self.0 & !flags.0)
    }
}

/// Names or `bitN`, joined by `|`; or `none`.
impl fmt::Display for WcFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bits::write(f, self.0, &Self::NAMES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_and_flags_have_the_names_of_the_library() {
        assert_eq!(WcOpcode::COMP_SWAP.to_string(), "comp_swap");
        assert_eq!(WcOpcode(255).to_string(), "opcode255");
        let flags = WcFlags(WcFlags::WITH_INV.0 | WcFlags::GRH.0 | 1 << 9);
        assert_eq!(flags.to_string(), "grh|with_inv|bit9");
        assert_eq!(flags.without(WcFlags::GRH).to_string(), "with_inv|bit9");
        assert_eq!(WcFlags::default().to_string(), "none");
    }
}
