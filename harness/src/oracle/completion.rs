//! The completion oracle: what a work completion contains beside its status.
//!
//! Checks of each completion that `wr_id` and `qp_num` are those of the work request, and of each that is a success the
//! opcode, the number of bytes, the flags and the key that became invalid, as far as the specification defines them for
//! the operation (`model/completion.rs`). What is predicted follows from the op and from the statuses that were seen: a
//! status that is wrong is the business of the outcome oracle. Whatever a completion says, the state is the predicted one,
//! so the comparison goes on behind it.
//!
//! Does not check what is not defined: `vendor_err`, which is the vendor's; all fields of a failure but `wr_id` and
//! `qp_num`; the number of bytes of a send, an RDMA write, a bind or a local invalidation; `IBV_WC_GRH`, `src_qp` and all
//! that is of UD alone. Does not check completions of looks at the state, nor in which order the two of a send came.
//! Immediate data is not checked: no op sends any.

use pinfold_contract::{Completion, Op, Outcome, WcFields, WcFlags, WorkRequest};

use super::Finding;
use crate::model::completions;

/// Compares what the completions of `op`, which ended with `outcome`, contain with what they have to.
pub(super) fn check(op: Op, outcome: &Outcome, seen: &[Completion]) -> Option<Finding> {
    let predicted = completions(&op, outcome);
    let names = |completions: &[Completion]| {
        let names: Vec<String> = completions.iter().map(|it| it.of.to_string()).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(" and ") }
    };
    let of = |completions: &[Completion]| completions.iter().map(|it| it.of).collect::<Vec<_>>();
    if of(&predicted) != of(seen) {
        let class = if predicted.len() > seen.len() { "fewer" } else { "more" };
        let (predicted, seen) = (names(&predicted), names(seen));
        let detail = format!("predicted a completion of {predicted}, seen of {seen}");
        return Some(Finding { predicted, seen, class: class.to_owned(), detail, mr: None });
    }
    predicted.iter().zip(seen).find_map(|(predicted, seen)| differs(predicted, seen))
}

/// What is predicted and what was seen of the first wrong part of the completions of an op, if one is wrong.
pub(crate) fn parts(op: Op, outcome: &Outcome, seen: &[Completion]) -> Option<(String, String)> {
    check(op, outcome, seen).map(|finding| (finding.predicted, finding.seen))
}

/// The first field of a completion that is wrong. What it says of itself comes first.
fn differs(predicted: &Completion, seen: &Completion) -> Option<Finding> {
    let names = [
        ("wr_id", seen.names_request, "that of the work request"),
        ("qp_num", seen.names_pair, "that of the queue pair"),
    ];
    for (field, is_right, what) in names {
        if !is_right {
            let (right, wrong) = (what.to_owned(), "another one".to_owned());
            return Some(finding(predicted.of, field, (right, wrong), field));
        }
    }
    let (predicted_fields, seen_fields) = predicted.success.zip(seen.success)?;
    field_differs(predicted.of, &predicted_fields, &seen_fields)
}

/// The first wrong field of a success. Flags come last: what they say is valid was looked at before.
fn field_differs(of: WorkRequest, predicted: &WcFields, seen: &WcFields) -> Option<Finding> {
    if predicted.opcode != seen.opcode {
        let texts = (predicted.opcode.to_string(), seen.opcode.to_string());
        let class = format!("opcode-{}-{}", texts.0, texts.1);
        return Some(finding(of, "opcode", texts, &class));
    }
    if let Some((a, b)) = predicted.byte_len.zip(seen.byte_len)
        && a != b
    {
        let class = if b < a { "byte_len.less" } else { "byte_len.more" };
        return Some(finding(of, "byte_len", (a.to_string(), b.to_string()), class));
    }
    if let Some(key) = predicted.invalidated
        && seen.invalidated != Some(key)
    {
        let text = seen.invalidated.map_or("0".to_owned(), |other| format!("the key of {other}"));
        let texts = (format!("the key of {key}"), text);
        let class = if seen.invalidated.is_none() { "none" } else { "other" };
        return Some(finding(of, "invalidated_rkey", texts, &format!("invalidated_rkey-{class}")));
    }
    let (a, b) = (predicted.flags.without(WcFlags::GRH), seen.flags.without(WcFlags::GRH));
    let texts = (a.to_string(), b.to_string());
    let class = format!("wc_flags-{}-{}", texts.0, texts.1);
    (a != b).then(|| finding(of, "wc_flags", texts, &class))
}

fn finding(
    of: WorkRequest,
    field: &str,
    (predicted, seen): (String, String),
    class: &str,
) -> Finding {
    let detail = format!("completion of the {of}: predicted {field} {predicted}, seen {seen}");
    let [predicted, seen] = [predicted, seen].map(|text| format!("{of} {field}: {text}"));
    Finding { predicted, seen, class: format!("{of}-{class}"), detail, mr: None }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{Handle, KeyName, Mr, WcOpcode, WcStatus, parse};

    use super::*;

    fn op(line: &str) -> Op {
        parse(&format!("# pinfold 1\n{line}\n")).unwrap().sequence.ops[0]
    }

    /// The class of what is found when `change` is done to the completions of a right kernel.
    fn class(line: &str, change: impl Fn(&mut Vec<Completion>)) -> Option<String> {
        let (op, outcome) = (op(line), Outcome::Done);
        let mut seen = completions(&op, &outcome);
        change(&mut seen);
        check(op, &outcome, &seen).map(|finding| finding.class)
    }

    fn fields(completions: &mut [Completion], index: usize) -> &mut WcFields {
        completions[index].success.as_mut().unwrap()
    }

    const SEND: &str = "send mr0+0:8 mr1+0:64 inv=mw3";

    #[test]
    fn each_field_has_a_class_of_its_own() {
        let wrong = |change: fn(&mut Vec<Completion>)| class(SEND, change).unwrap();
        assert_eq!(class(SEND, |_| ()), None);
        assert_eq!(wrong(|it| it[0].names_request = false), "request-wr_id");
        assert_eq!(wrong(|it| it[1].names_pair = false), "receive-qp_num");
        assert_eq!(
            wrong(|it| fields(it, 1).opcode = WcOpcode(129)),
            "receive-opcode-recv-recv_rdma_with_imm"
        );
        assert_eq!(wrong(|it| fields(it, 1).byte_len = Some(7)), "receive-byte_len.less");
        assert_eq!(wrong(|it| fields(it, 1).byte_len = Some(64)), "receive-byte_len.more");
        assert_eq!(wrong(|it| fields(it, 1).invalidated = None), "receive-invalidated_rkey-none");
        let other = KeyName::Of(Handle::Mr(Mr(0)));
        let wrong_key = class(SEND, |it| fields(it, 1).invalidated = Some(other));
        assert_eq!(wrong_key.unwrap(), "receive-invalidated_rkey-other");
        assert_eq!(
            wrong(|it| fields(it, 1).flags = WcFlags::IP_CSUM_OK),
            "receive-wc_flags-with_inv-ip_csum_ok"
        );
        assert_eq!(wrong(|it| it.truncate(1)), "fewer");
        assert_eq!(wrong(|it| it.push(it[1])), "more");
    }

    #[test]
    fn what_is_not_defined_is_not_compared() {
        let grh = class(SEND, |it| fields(it, 1).flags = WcFlags(WcFlags::WITH_INV.0 | 1));
        assert_eq!(grh, None);
        let write = class("write_remote mr0+0 8 0x11", |it| fields(it, 0).byte_len = Some(3));
        assert_eq!(write, None);
        let read = op("read_remote mr0+0 8");
        let failed = Outcome::Completion(WcStatus::REM_ACCESS_ERR);
        assert_eq!(check(read, &failed, &completions(&read, &failed)), None);
    }
}
