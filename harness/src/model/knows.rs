//! Every refusal that the model can predict, by kind of op and series.
//!
//! A rule that no kernel ever followed was never compared with anything. This is
//! the list of what there is to see: a run tells what it has seen of it, a
//! campaign what all kernels together have shown. What User Mode Linux cannot
//! show has a reason here. A test holds the list against what the model says of
//! generated sequences, in both directions.
//!
//! Nothing of an allocation that fails outside of a memory cgroup is in it: the model has no rule for that, because
//! no target does it.

use std::fmt;

use pinfold_contract::{Access, OpKind, Rereg, WcStatus};

use crate::profile::{FailedSend, Profile};

/// One refusal: this op, refused with that, on kernels of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The op.
    pub kind: OpKind,
    /// The errno, completion status or signal, as a tally names it.
    pub name: &'static str,
    /// Why rxe in User Mode Linux does not show it, if that is so.
    pub unseen: Option<Unseen>,
}

impl Refusal {
    /// Whether both are the same refusal of the same op, on whatever kernel.
    pub fn is_same(self, other: Refusal) -> bool {
        self.kind == other.kind && self.name == other.name
    }
}

/// `reg EFAULT`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Why a refusal that the model allows is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unseen {
    /// The specification names it or leaves it open, and rxe gives another one.
    OtherAdapter,
    /// rxe of this series loses it: it reports the request that failed as flushed.
    StatusLost,
    /// It depends on the order in which packets of one message move.
    Order,
    /// Only a message longer than any may be is refused so.
    TooLong,
    /// It depends on how much memory the executor has mapped for itself.
    NearLimit,
    /// It takes huge pages.
    HugePages,
}

impl Unseen {
    /// The reason, in a few words.
    pub fn why(self) -> &'static str {
        match self {
            Unseen::OtherAdapter => "the specification allows it, and rxe gives another status",
            Unseen::StatusLost => "rxe reports the request that failed as flushed",
            Unseen::Order => "it depends on the order in which the packets of a message move",
            Unseen::TooLong => "only a message of more than 2 GiB is refused so",
            Unseen::NearLimit => "it depends on what the executor has mapped for itself",
            Unseen::HugePages => "User Mode Linux has no huge pages",
        }
    }

    /// The first target that may show it.
    pub fn first_target(self) -> &'static str {
        match self {
            Unseen::OtherAdapter => "a kernel with another adapter",
            Unseen::StatusLost => "a kernel in which that is mended",
            Unseen::Order => "a kernel with several processors",
            Unseen::TooLong => "any kernel, by a sequence written for it",
            Unseen::NearLimit => "any kernel, by a sequence written for it",
            Unseen::HugePages => "a stock kernel in QEMU",
        }
    }
}

/// The reason, and where it ends.
impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; first on {}", self.why(), self.first_target())
    }
}

/// The refusals that the model can predict by the rules of `profile`, on any platform.
pub fn refusals(profile: &Profile) -> Vec<Refusal> {
    let rows = TABLE.iter().filter(|row| (row.applies)(profile));
    let of_row = |row: &'static Row| {
        let refusal = |&name| Refusal { kind: row.kind, name, unseen: row.unseen };
        row.names.iter().map(refusal)
    };
    rows.flat_map(of_row).collect()
}

/// Whether a kernel with these rules has a refusal.
type Applies = fn(&Profile) -> bool;

/// Refusals of one op that are alike.
struct Row {
    kind: OpKind,
    applies: Applies,
    unseen: Option<Unseen>,
    names: &'static [&'static str],
}

/// What every User Mode Linux shows.
const fn seen(kind: OpKind, names: &'static [&'static str]) -> Row {
    Row { kind, applies: ALL, unseen: None, names }
}

/// What User Mode Linux with some rules shows.
const fn seen_in(kind: OpKind, applies: Applies, names: &'static [&'static str]) -> Row {
    Row { kind, applies, unseen: None, names }
}

/// What User Mode Linux with some rules does not show.
const fn unseen(
    kind: OpKind,
    applies: Applies,
    unseen: Unseen,
    names: &'static [&'static str],
) -> Row {
    Row { kind, applies, unseen: Some(unseen), names }
}

const ALL: Applies = |_| true;
const REFUSES_BITS: Applies = |profile| profile.access_unsupported != Access(0);
const REREGISTERS: Applies = |profile| profile.rereg_changes != Rereg(0);
const REPORTS: Applies = |profile| profile.failed_send == FailedSend::Reported;
const FLUSHES: Applies = |profile| profile.failed_send == FailedSend::Flushed;
const RANGE_IS_PROT: Applies = |profile| profile.local_range_status == WcStatus::LOC_PROT_ERR;
const RANGE_IS_QP_OP: Applies = |profile| profile.local_range_status != WcStatus::LOC_PROT_ERR;

/// Sources are with the rules that predict these.
const TABLE: &[Row] = &[
    seen(OpKind::Map, &["EACCES", "EAGAIN", "EPERM"]),
    unseen(OpKind::Map, ALL, Unseen::NearLimit, &["ENOMEM"]),
    seen(OpKind::Protect, &["EACCES", "ENOMEM"]),
    seen(OpKind::Write, &["SIGBUS", "SIGSEGV"]),
    seen(OpKind::Read, &["SIGBUS", "SIGSEGV"]),
    unseen(OpKind::Fork, ALL, Unseen::HugePages, &["ENOMEM"]),
    seen(OpKind::Reg, &["EFAULT", "EINVAL", "ENOMEM", "EPERM"]),
    seen_in(OpKind::Reg, REFUSES_BITS, &["EOPNOTSUPP"]),
    seen(OpKind::Dereg, &["EINVAL"]),
    unseen(OpKind::Dereg, ALL, Unseen::OtherAdapter, &["EBUSY"]),
    seen(OpKind::RemoteRead, &["rem_access_err"]),
    seen(OpKind::RemoteWrite, &["rem_access_err"]),
    seen(OpKind::Remap, &["EAGAIN", "EFAULT", "EINVAL", "ENOMEM"]),
    seen(OpKind::Advise, &["EACCES", "EFAULT", "EINVAL", "ENOMEM", "EPERM"]),
    seen(OpKind::Lock, &["ENOMEM", "EPERM"]),
    unseen(OpKind::Lock, ALL, Unseen::NearLimit, &["EAGAIN"]),
    seen(OpKind::Unlock, &["ENOMEM"]),
    seen(OpKind::LockAll, &["ENOMEM", "EPERM"]),
    unseen(OpKind::LockAll, ALL, Unseen::NearLimit, &["EAGAIN"]),
    seen(OpKind::Force, &["EIO"]),
    seen(OpKind::FileWrite, &["EBADF", "EPERM"]),
    seen(OpKind::Truncate, &["EINVAL", "EPERM"]),
    seen(OpKind::Punch, &["EBADF", "EINVAL", "EPERM"]),
    seen(OpKind::Seal, &["EBUSY", "EINVAL", "EPERM"]),
    seen(OpKind::Rereg, &["EOPNOTSUPP"]),
    seen_in(OpKind::Rereg, REREGISTERS, &["EACCES", "EINVAL"]),
    unseen(OpKind::Rereg, REREGISTERS, Unseen::OtherAdapter, &["EBUSY"]),
    seen(OpKind::Bind, &["EINVAL", "EPERM"]),
    seen_in(OpKind::Bind, REPORTS, &["mw_bind_err"]),
    unseen(OpKind::Bind, FLUSHES, Unseen::StatusLost, &["mw_bind_err"]),
    seen_in(OpKind::Invalidate, REPORTS, &["loc_qp_op_err"]),
    unseen(OpKind::Invalidate, FLUSHES, Unseen::StatusLost, &["loc_qp_op_err"]),
    unseen(OpKind::Invalidate, ALL, Unseen::OtherAdapter, &["loc_prot_err"]),
    seen(OpKind::CompareSwap, &["rem_access_err", "rem_inv_req_err"]),
    seen(OpKind::FetchAdd, &["rem_access_err", "rem_inv_req_err"]),
    seen(OpKind::Send, &["rem_op_err.loc_qp_op_err", "success.rem_inv_req_err"]),
    seen_in(OpKind::Send, REPORTS, &["loc_qp_op_err.nothing"]),
    seen_in(OpKind::Send, RANGE_IS_PROT, &["loc_prot_err.nothing"]),
    unseen(OpKind::Send, FLUSHES, Unseen::StatusLost, &["loc_qp_op_err.nothing"]),
    unseen(OpKind::Send, RANGE_IS_QP_OP, Unseen::OtherAdapter, &["loc_prot_err.nothing"]),
    unseen(OpKind::Send, RANGE_IS_QP_OP, Unseen::Order, &["loc_qp_op_err.loc_qp_op_err"]),
    unseen(
        OpKind::Send,
        RANGE_IS_PROT,
        Unseen::Order,
        &["loc_prot_err.loc_qp_op_err", "loc_qp_op_err.loc_qp_op_err"],
    ),
    unseen(
        OpKind::Send,
        ALL,
        Unseen::OtherAdapter,
        &[
            "rem_access_err.rem_inv_req_err",
            "rem_inv_req_err.loc_len_err",
            "rem_inv_req_err.rem_inv_req_err",
            "rem_op_err.loc_prot_err",
        ],
    ),
    unseen(
        OpKind::Send,
        ALL,
        Unseen::TooLong,
        &["EINVAL", "loc_len_err.nothing", "rem_access_err.nothing", "rem_inv_req_err.nothing"],
    ),
    seen(OpKind::Gather, &["rem_access_err"]),
    seen_in(OpKind::Gather, REPORTS, &["loc_qp_op_err"]),
    seen_in(OpKind::Gather, RANGE_IS_PROT, &["loc_prot_err"]),
    unseen(OpKind::Gather, FLUSHES, Unseen::StatusLost, &["loc_qp_op_err"]),
    unseen(OpKind::Gather, RANGE_IS_QP_OP, Unseen::OtherAdapter, &["loc_prot_err"]),
    unseen(OpKind::Gather, ALL, Unseen::TooLong, &["EINVAL", "loc_len_err", "rem_inv_req_err"]),
    seen(OpKind::Scatter, &["loc_prot_err", "rem_access_err"]),
    unseen(OpKind::Scatter, ALL, Unseen::Order, &["loc_qp_op_err"]),
    unseen(OpKind::Scatter, ALL, Unseen::TooLong, &["EINVAL", "loc_len_err", "rem_inv_req_err"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{generate::Generator, model::outcomes, oracle::outcome_name};
    use pinfold_contract::Outcome;

    /// More than enough for the rarest refusal without a reason.
    const SEQUENCES: u64 = 10_000;

    type Counts = BTreeMap<(OpKind, String), u64>;

    /// How often the model predicts each refusal.
    fn predicted(profile: &Profile) -> Counts {
        let mut counts = Counts::new();
        for index in 0..SEQUENCES {
            let sequence = Generator::new(0xb0a7).sequence(index);
            for (op, prediction) in sequence.ops.iter().zip(outcomes(profile, &sequence)) {
                for outcome in [prediction.expected()].into_iter().chain(prediction.others()) {
                    if is_refusal(outcome) {
                        *counts.entry((op.kind(), outcome_name(outcome))).or_default() += 1;
                    }
                }
            }
        }
        counts
    }

    fn is_refusal(outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Done | Outcome::Value(_) | Outcome::Skipped => false,
            Outcome::Errno(_)
            | Outcome::Completion(_)
            | Outcome::Completions { .. }
            | Outcome::Fault { .. } => true,
        }
    }

    #[test]
    fn what_the_model_predicts_is_declared_and_what_is_declared_is_predicted() {
        for profile in Profile::all() {
            let declared = refusals(profile);
            let counts = predicted(profile);
            let is_declared = |(kind, name): &(OpKind, String)| {
                declared.iter().any(|refusal| refusal.kind == *kind && refusal.name == name)
            };
            let outside: Vec<_> = counts.keys().filter(|pair| !is_declared(pair)).collect();
            assert!(outside.is_empty(), "{}: not declared: {outside:?}", profile.series);
            let seldom: Vec<_> = declared
                .iter()
                .filter(|refusal| refusal.unseen.is_none())
                .filter(|r| counts.get(&(r.kind, r.name.to_owned())).is_none_or(|n| *n < 4))
                .collect();
            assert!(seldom.is_empty(), "{}: hardly predicted: {seldom:?}", profile.series);
        }
    }

    #[test]
    fn each_refusal_of_a_series_is_declared_once() {
        for profile in Profile::all() {
            let declared = refusals(profile);
            for refusal in &declared {
                let same =
                    |other: &&Refusal| (other.kind, other.name) == (refusal.kind, refusal.name);
                assert_eq!(declared.iter().filter(same).count(), 1, "{refusal:?}");
            }
        }
    }
}
