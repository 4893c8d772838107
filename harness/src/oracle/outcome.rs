//! The outcome oracle and the protection oracle: what an op did.
//!
//! An outcome outside the predicted set is a divergence. It is one of
//! *protection* when the adapter, or a registration, got through where memory or
//! key do not permit it: the prediction holds a refusal for want of a right and
//! the op worked. Bytes read by an op that was right to work are the business of
//! the coherence oracle.
//!
//! Does not check the state after the op, and not which of several predicted
//! outcomes it is. Where a limit should have refused a registration and the kernel went on to memory, what memory said
//! is not told apart in the class: the limit was passed over. A CPU access that the mapping does not permit is an outcome:
//! no registration has a part in it. So is a limit that is passed over.

use pinfold_contract::{Errno, Op, OpKind, Outcome, WcStatus};

use super::Finding;
use crate::model::Prediction;

/// Compares what `op` did with what it may do, as the outcome oracle.
pub(super) fn check(op: Op, prediction: &Prediction, seen: &Outcome) -> Option<Finding> {
    let wrong = !prediction.allows(seen)
        && !both_read(prediction.expected(), seen)
        && !is_breach(op, prediction, seen);
    wrong.then(|| finding(op, prediction, seen))
}

/// Compares what `op` did with what it may do, as the protection oracle.
pub(super) fn check_protection(op: Op, prediction: &Prediction, seen: &Outcome) -> Option<Finding> {
    (!prediction.allows(seen) && is_breach(op, prediction, seen))
        .then(|| finding(op, prediction, seen))
}

/// What is said of an op that did not finish in its time.
pub(super) fn hung(prediction: Option<&Prediction>) -> Finding {
    let predicted = prediction.map_or_else(|| "an end".to_owned(), ToString::to_string);
    Finding {
        detail: format!("predicted {predicted}, and it did not come back"),
        predicted,
        seen: "hung".to_owned(),
        mr: None,
        class: "hung".to_owned(),
    }
}

fn both_read(expected: &Outcome, seen: &Outcome) -> bool {
    matches!((expected, seen), (Outcome::Value(_), Outcome::Value(_)))
}

fn is_breach(op: Op, prediction: &Prediction, seen: &Outcome) -> bool {
    let registers_or_uses_a_key = !op.mrs().is_empty() || !op.mws().is_empty();
    registers_or_uses_a_key && worked(seen) && wants_a_right(prediction)
}

fn worked(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Done | Outcome::Value(_) => true,
        Outcome::Errno(_)
        | Outcome::Completion(_)
        | Outcome::Completions { .. }
        | Outcome::Fault { .. }
        | Outcome::Skipped => false,
    }
}

fn wants_a_right(prediction: &Prediction) -> bool {
    let refused = match prediction.expected() {
        Outcome::Completion(status) => return is_for_a_right(*status),
        Outcome::Completions { requester, responder } => {
            return is_for_a_right(*requester) || responder.is_some_and(is_for_a_right);
        }
        Outcome::Errno(_) => true,
        Outcome::Done | Outcome::Value(_) | Outcome::Fault { .. } | Outcome::Skipped => false,
    };
    let no_right = |errno| prediction.allows(&Outcome::Errno(errno));
    refused && (no_right(Errno::EFAULT) || no_right(Errno::EACCES))
}

/// Whether a work request completes so for want of a right, and not for its length or shape.
fn is_for_a_right(status: WcStatus) -> bool {
    let others = [
        WcStatus::SUCCESS,
        WcStatus::LOC_LEN_ERR,
        WcStatus::WR_FLUSH_ERR,
        WcStatus::REM_INV_REQ_ERR,
        WcStatus::REM_OP_ERR,
    ];
    !others.contains(&status)
}

fn finding(op: Op, prediction: &Prediction, seen: &Outcome) -> Finding {
    let expected = prediction.expected();
    let class = match (expected, seen) {
        (Outcome::Fault { done_bytes: a, .. }, Outcome::Fault { done_bytes: b, .. }) if a != b => {
            let place = if a < b { "later" } else { "earlier" };
            format!("{}-{}.{place}", name(expected), name(seen))
        }
        _ if op.kind() == OpKind::Reg && passed_a_limit(expected, seen) => {
            format!("{}-passed", name(expected))
        }
        _ => format!("{}-{}", name(expected), name(seen)),
    };
    Finding {
        predicted: prediction.to_string(),
        seen: seen.to_string(),
        class,
        mr: None,
        detail: format!("predicted {prediction}, seen {seen}"),
    }
}

/// Whether a limit was to refuse a registration, and its memory was pinned or looked at all the same. Other ops
/// are refused with these for other reasons: a hole, a seal, a file that may not be changed.
fn passed_a_limit(expected: &Outcome, seen: &Outcome) -> bool {
    let by_limit = [Errno::ENOMEM, Errno::EPERM].map(Outcome::Errno).contains(expected);
    // EINVAL comes behind pinning as well, for memory that is not persistent.
    let behind_it = [Errno::EFAULT, Errno::EINVAL].map(Outcome::Errno);
    by_limit && (*seen == Outcome::Done || behind_it.contains(seen))
}

/// A name for the kind of outcome: `ok`, `value`, `skipped`, or what it was refused with.
pub(crate) fn name(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "ok".to_owned(),
        Outcome::Value(_) => "value".to_owned(),
        Outcome::Errno(errno) => errno.to_string(),
        Outcome::Completion(status) => status.to_string(),
        Outcome::Completions { requester, responder } => {
            let there = responder.map_or("nothing".to_owned(), |status| status.to_string());
            format!("{requester}.{there}")
        }
        Outcome::Fault { signal, .. } => signal.to_string(),
        Outcome::Skipped => "skipped".to_owned(),
    }
}
