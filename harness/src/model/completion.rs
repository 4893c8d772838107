//! What the completions of an op contain.
//!
//! `ibv_poll_cq(3)` says which fields there are, and that an error leaves `wr_id`, status, `qp_num` and `vendor_err` alone
//! valid. The InfiniBand Architecture Specification, volume 1, section 11.4.2.1 (Poll for Completion), says which of them
//! an operation defines: the number of bytes for receives, RDMA reads and atomic ops, the invalidated key for a receive of
//! a send that invalidates. Who posted a send or an RDMA write knows how long it was, and no number is predicted there.

use pinfold_contract::{
    Completion, KeyName, Op, Outcome, PAGE_BYTES, WcFields, WcFlags, WcOpcode, WcStatus,
    WorkRequest,
};

use super::Fault;
use super::atomic::ATOMIC_BYTES;
use super::state::State;

/// What the completions of `op` contain when it ends with `outcome`: first that of the request.
pub fn completions(op: &Op, outcome: &Outcome) -> Vec<Completion> {
    let Some((opcode, byte_len)) = posted(op) else { return Vec::new() };
    let sent = WcFields { opcode, byte_len, flags: WcFlags::default(), invalidated: None };
    let request = |status| completion(WorkRequest::Send, status, sent);
    let receive = |status| received(op).map(|it| completion(WorkRequest::Receive, status, it));
    match outcome {
        Outcome::Done | Outcome::Value(_) => {
            let (sent, received) = (request(WcStatus::SUCCESS), receive(WcStatus::SUCCESS));
            std::iter::once(sent).chain(received).collect()
        }
        Outcome::Completion(status) => vec![request(*status)],
        Outcome::Completions { requester, responder } => {
            std::iter::once(request(*requester)).chain(responder.and_then(receive)).collect()
        }
        // The library has posted nothing.
        Outcome::Errno(_) | Outcome::Fault { .. } | Outcome::Skipped => Vec::new(),
    }
}

fn completion(of: WorkRequest, status: WcStatus, fields: WcFields) -> Completion {
    let success = (status == WcStatus::SUCCESS).then_some(fields);
    Completion { of, names_request: true, names_pair: true, success }
}

/// Operation and number of bytes in the completion of the request that `op` posts, if it posts one. No flag of RC belongs
/// to one.
fn posted(op: &Op) -> Option<(WcOpcode, Option<u32>)> {
    match *op {
        Op::RemoteRead { len_bytes, .. } => Some((WcOpcode::RDMA_READ, Some(len_bytes))),
        Op::Scatter { into, .. } => {
            Some((WcOpcode::RDMA_READ, u32::try_from(into.len_bytes()).ok()))
        }
        Op::RemoteWrite { .. } | Op::Gather { .. } => Some((WcOpcode::RDMA_WRITE, None)),
        Op::CompareSwap { .. } => Some((WcOpcode::COMP_SWAP, Some(ATOMIC_BYTES))),
        Op::FetchAdd { .. } => Some((WcOpcode::FETCH_ADD, Some(ATOMIC_BYTES))),
        Op::Send { .. } => Some((WcOpcode::SEND, None)),
        Op::Bind { .. } => Some((WcOpcode::BIND_MW, None)),
        Op::Invalidate { .. } => Some((WcOpcode::LOCAL_INV, None)),
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Remap { .. }
        | Op::Advise { .. }
        | Op::Lock { .. }
        | Op::Unlock { .. }
        | Op::LockAll { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Force { .. }
        | Op::FileWrite { .. }
        | Op::Truncate { .. }
        | Op::Punch { .. }
        | Op::Seal { .. }
        | Op::IpcLock { .. }
        | Op::Swap { .. }
        | Op::MemLimit { .. }
        | Op::Chore { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. }
        | Op::Rereg { .. }
        | Op::AllocMw { .. }
        | Op::DeallocMw { .. } => None,
    }
}

/// What the completion of the receive contains, if `op` is a send.
fn received(op: &Op) -> Option<WcFields> {
    let Op::Send { from, invalidate, .. } = op else { return None };
    Some(WcFields {
        opcode: WcOpcode::RECV,
        byte_len: u32::try_from(from.len_bytes()).ok(),
        flags: invalidate.map_or(WcFlags::default(), |_| WcFlags::WITH_INV),
        invalidated: invalidate.map(KeyName::Of),
    })
}

impl State<'_> {
    /// What the completions of `op` contain where the model plays the target.
    pub(super) fn completions(&self, op: &Op, outcome: &Outcome) -> Vec<Completion> {
        let mut completions = completions(op, outcome);
        for completion in &mut completions {
            if let Some(fields) = &mut completion.success {
                self.plant(fields);
            }
        }
        completions
    }

    /// What a planted fault makes of the fields of a completion.
    fn plant(&self, fields: &mut WcFields) {
        if fields.opcode == WcOpcode::COMP_SWAP && self.has(Fault::SwapCompletedAsAdd) {
            fields.opcode = WcOpcode::FETCH_ADD;
        }
        if let Some(byte_len) = &mut fields.byte_len
            && *byte_len > PAGE_BYTES
            && self.has(Fault::CompletedLengthOfOnePage)
        {
            *byte_len = PAGE_BYTES;
        }
        if fields.invalidated.is_some() && self.has(Fault::InvalidatedKeyUnnamed) {
            fields.invalidated = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{Handle, Mw, parse};

    use super::*;

    fn of(line: &str, outcome: &Outcome) -> Vec<Completion> {
        let sequence = parse(&format!("# pinfold 1\n{line}\n")).unwrap().sequence;
        completions(&sequence.ops[0], outcome)
    }

    fn fields(line: &str) -> WcFields {
        of(line, &Outcome::Done)[0].success.unwrap()
    }

    #[test]
    fn reads_and_atomic_ops_say_how_many_bytes_came() {
        for (line, opcode, byte_len) in [
            ("read_remote mr0+0 5000", WcOpcode::RDMA_READ, Some(5000)),
            ("scatter mr0+0 mr1+0:8,mr1+16:100", WcOpcode::RDMA_READ, Some(108)),
            ("cas mr0+0 1 2", WcOpcode::COMP_SWAP, Some(8)),
            ("fetch_add mr0+0 1", WcOpcode::FETCH_ADD, Some(8)),
            ("write_remote mr0+0 8 0x11", WcOpcode::RDMA_WRITE, None),
            ("gather mr1+0:8 mr0+0", WcOpcode::RDMA_WRITE, None),
            ("bind mw0 mr0+0 8 remote_read", WcOpcode::BIND_MW, None),
            ("invalidate mw0", WcOpcode::LOCAL_INV, None),
        ] {
            let fields = fields(line);
            assert_eq!((fields.opcode, fields.byte_len), (opcode, byte_len), "{line}");
        }
    }

    #[test]
    fn a_receive_says_how_long_the_message_was_and_which_key_became_invalid() {
        let [_, receive] = of("send mr0+0:8 mr1+0:64 inv=mw3", &Outcome::Done)[..] else {
            panic!("two completions")
        };
        let fields = receive.success.unwrap();
        assert_eq!((fields.opcode, fields.byte_len), (WcOpcode::RECV, Some(8)));
        assert_eq!(fields.flags, WcFlags::WITH_INV);
        let window = Mw::new(3).unwrap();
        assert_eq!(fields.invalidated, Some(KeyName::Of(Handle::Mw(window))));
    }

    #[test]
    fn a_failure_has_no_fields_and_a_refused_call_no_completion() {
        let failed = Outcome::Completion(WcStatus::REM_ACCESS_ERR);
        let [completion] = of("read_remote mr0+0 8", &failed)[..] else { panic!("one") };
        assert_eq!(completion.success, None);
        let half = Outcome::Completions {
            requester: WcStatus::SUCCESS,
            responder: Some(WcStatus::REM_INV_REQ_ERR),
        };
        let [sent, received] = of("send mr0+0:8 mr1+0:64", &half)[..] else { panic!("two") };
        assert!(sent.success.is_some() && received.success.is_none());
        let refused = Outcome::Errno(pinfold_contract::Errno::EINVAL);
        assert!(of("bind mw0 mr0+0 8 remote_read", &refused).is_empty());
        assert!(of("map 0..1 anon private rw", &Outcome::Done).is_empty());
    }
}
