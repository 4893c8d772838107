//! What work completions contain, compared with what was posted.

use pinfold_contract::{Completion, KeyName, WcFields, WcFlags, WcOpcode, WorkRequest};
use rdma_sys as ffi;

/// A work request that was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Posted {
    /// Its `wr_id`.
    pub(super) id: u64,
    /// The number of its queue pair.
    pub(super) pair: u32,
}

/// The work requests of one op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    /// To the send queue.
    pub(super) send: Posted,
    /// To the receive queue.
    pub(super) receive: Option<Posted>,
}

/// A completion whose key has no name yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Polled {
    /// What it completes.
    pub(super) of: WorkRequest,
    names_request: bool,
    names_pair: bool,
    success: Option<Fields>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    opcode: u32,
    byte_len: u32,
    flags: u32,
    /// `invalidated_rkey`, which shares its place with `imm_data`.
    rkey: u32,
}

impl Awaited {
    /// What `completion` contains.
    pub(super) fn polled(self, completion: &ffi::ibv_wc) -> Polled {
        let of = self.completed_by(completion);
        let posted = match (of, self.receive) {
            (WorkRequest::Receive, Some(receive)) => receive,
            (WorkRequest::Send | WorkRequest::Receive, _) => self.send,
        };
        let is_success = completion.status == ffi::ibv_wc_status::IBV_WC_SUCCESS;
        Polled {
            of,
            names_request: completion.wr_id == posted.id,
            names_pair: completion.qp_num == posted.pair,
            success: is_success.then(|| fields(completion)),
        }
    }

    /// What `completion` completes: what its `wr_id` says, and if that is of neither, its queue pair.
    fn completed_by(self, completion: &ffi::ibv_wc) -> WorkRequest {
        let is_of = |receive: Posted| {
            let is_of_pair = completion.qp_num == receive.pair && completion.wr_id != self.send.id;
            completion.wr_id == receive.id || is_of_pair
        };
        if self.receive.is_some_and(is_of) { WorkRequest::Receive } else { WorkRequest::Send }
    }
}

fn fields(completion: &ffi::ibv_wc) -> Fields {
    Fields {
        opcode: completion.opcode,
        byte_len: completion.byte_len,
        flags: completion.wc_flags,
        // SAFETY: both parts of the union are such numbers.
        rkey: unsafe { completion.imm_data_invalidated_rkey_union.invalidated_rkey },
    }
}

impl Polled {
    /// What the host is told. `name` says which key a number is.
    pub(super) fn completion(self, name: impl Fn(u32) -> KeyName) -> Completion {
        let Polled { of, names_request, names_pair, success } = self;
        let success = success.map(|Fields { opcode, byte_len, flags, rkey }| WcFields {
            opcode: WcOpcode(opcode),
            byte_len: Some(byte_len),
            flags: WcFlags(flags),
            // No key is 0: rxe has no object of index 0.
            invalidated: (rkey != 0).then(|| name(rkey)),
        });
        Completion { of, names_request, names_pair, success }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWAITED: Awaited =
        Awaited { send: Posted { id: 7, pair: 17 }, receive: Some(Posted { id: 8, pair: 18 }) };

    fn completion(wr_id: u64, qp_num: u32) -> ffi::ibv_wc {
        // SAFETY: all zeroes is a valid value of this plain structure.
        let mut completion: ffi::ibv_wc = unsafe { std::mem::zeroed() };
        (completion.wr_id, completion.qp_num) = (wr_id, qp_num);
        completion
    }

    #[test]
    fn a_completion_is_of_what_its_id_says_and_else_of_its_queue_pair() {
        use WorkRequest::{Receive, Send};
        for (wr_id, qp_num, of, names) in [
            (7, 17, Send, (true, true)),
            (8, 18, Receive, (true, true)),
            (7, 18, Send, (true, false)),
            (8, 17, Receive, (true, false)),
            (5, 17, Send, (false, true)),
            (5, 18, Receive, (false, true)),
            (5, 99, Send, (false, false)),
        ] {
            let polled = AWAITED.polled(&completion(wr_id, qp_num));
            let said = polled.completion(|_| KeyName::Unknown);
            assert_eq!((said.of, (said.names_request, said.names_pair)), (of, names), "{wr_id}");
        }
    }

    #[test]
    fn the_fields_of_a_failure_are_not_told() {
        let mut failed = completion(7, 17);
        failed.status = ffi::ibv_wc_status::IBV_WC_REM_ACCESS_ERR;
        failed.byte_len = 5;
        assert_eq!(AWAITED.polled(&failed).completion(|_| KeyName::Unknown).success, None);
        let mut done = completion(8, 18);
        (done.opcode, done.byte_len, done.wc_flags) = (128, 64, 8);
        done.imm_data_invalidated_rkey_union.invalidated_rkey = 0xab;
        let success = AWAITED.polled(&done).completion(|_| KeyName::Unknown).success.unwrap();
        assert_eq!((success.opcode, success.byte_len), (WcOpcode::RECV, Some(64)));
        assert_eq!(
            (success.flags, success.invalidated),
            (WcFlags::WITH_INV, Some(KeyName::Unknown))
        );
    }
}
