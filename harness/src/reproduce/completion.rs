//! What the program checks of a completion.

use pinfold_contract::{KeyName, Op, OpKind, Outcome, Pd, Proc, WcFields, WcFlags, WorkRequest};

use super::body::{Body, IfNot};
use super::pieces::Piece;
use super::words;
use crate::model::completions;
use crate::oracle::Divergence;
use crate::request::{qp_of, target_of};

/// Adds what shows `divergence` behind `op`, which ends with `outcome`: the one field that it is about.
///
/// A wrong `wr_id` needs no test: the program waits for the right one.
pub(super) fn show(body: &mut Body, divergence: &Divergence, op: Op, outcome: &Outcome) {
    for completion in completions(&op, outcome) {
        let of = completion.of;
        let named = |field: &str| divergence.class.starts_with(&format!("{of}-{field}"));
        if named("qp_num") {
            pair_number(body, of, op);
        }
        if let Some(fields) = completion.success {
            field(body, of, &fields, named);
        }
    }
}

fn field(body: &mut Body, of: WorkRequest, fields: &WcFields, named: impl Fn(&str) -> bool) {
    let last = ended(of);
    let number = |body: &mut Body, what: &str, got: &str, want: u32| {
        body.pieces.insert(Piece::Number);
        let (got, want) = (format!("as_text({got})"), words::quoted(&want.to_string()));
        body.check(Proc::P0, IfNot::Wrong, &format!("{what} of the {of}"), &got, &want);
    };
    if named("opcode") {
        number(body, "opcode", &format!("{last}.opcode"), fields.opcode.0);
    }
    if let Some(byte_len) = fields.byte_len.filter(|_| named("byte_len")) {
        number(body, "byte_len", &format!("{last}.byte_len"), byte_len);
    }
    if let Some(KeyName::Of(handle)) = fields.invalidated
        && named("invalidated_rkey")
    {
        let got = either(&format!("{last}.invalidated_rkey == {}", words::rkey(handle)));
        let what = format!("invalidated_rkey of the {of}");
        body.check(Proc::P0, IfNot::Wrong, &what, &got, &words::quoted(RIGHT));
    }
    if named("wc_flags") {
        let got = format!("{last}.wc_flags & ~IBV_WC_GRH");
        number(body, "wc_flags", &got, fields.flags.without(WcFlags::GRH).0);
    }
}

fn pair_number(body: &mut Body, of: WorkRequest, op: Op) {
    let pd: Pd = target_of(op).map_or_else(|| qp_of(op), |target| target.qp);
    let is_at_responder =
        of == WorkRequest::Receive || matches!(op.kind(), OpKind::Bind | OpKind::Invalidate);
    let side = if is_at_responder { "responder" } else { "requester" };
    let pair = body.pair(pd);
    let got = either(&format!("{}.qp_num == ({pair})->{side}->qp_num", ended(of)));
    body.check(Proc::P0, IfNot::Wrong, &format!("qp_num of the {of}"), &got, &words::quoted(RIGHT));
}

const RIGHT: &str = "the right one";

fn either(condition: &str) -> String {
    format!("{condition} ? {} : {}", words::quoted(RIGHT), words::quoted("another one"))
}

/// The last completion of a work request, as pieces of C keep it by `wr_id`.
fn ended(of: WorkRequest) -> &'static str {
    match of {
        WorkRequest::Send => "ended[1]",
        WorkRequest::Receive => "ended[2]",
    }
}
