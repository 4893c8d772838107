//! The state that matters: what a signature says beside the difference itself.
//!
//! Two causes can look alike in the op that shows them. A remote write that should have been refused is one bug where
//! the key was wrong, another where the right was missing, and a third where the bytes lay outside. So some
//! differences get words for the state they happened in, each word chosen because the kernel decides by it:
//!
//! * a remote op that got through: what was wrong with it (`key`, `right`, `range`, `gone`);
//! * what an MR has to do with: whether the MR was to be written (`writer`) or only read (`reader`), for which the
//!   kernel pins in different ways;
//! * a registration that memory was refused for, or should have been, and that only reads: whether the first mapping
//!   below it that cannot be both read and written is `private` or `shared`.
//!
//! Everything comes from the sequence and from what was predicted of it, never from the target. No word says what else
//! happened in the sequence (an earlier fork, another MR): in a long sequence that would be chance, and one cause
//! would have many names.

use std::collections::BTreeMap;

use pinfold_contract::{
    ARENA_PAGES, Access, ByteRange, Errno, Key, Mr, Op, Outcome, Proc, Prot, Sharing,
};

use super::{Case, Finding, Oracle};
use crate::model::PredictedStep;

/// The words for what `oracle` found in `case`. `steps` is what was predicted of the whole sequence.
pub(super) fn that_matters(
    case: &Case<'_>,
    steps: &[PredictedStep],
    oracle: Oracle,
    finding: &Finding,
) -> Vec<&'static str> {
    let before = Before::of(case, steps);
    match oracle {
        Oracle::Protection => match case.op() {
            Op::RemoteRead { .. } | Op::RemoteWrite { .. } => before.refusals(case.op()),
            Op::Reg { range, access, .. } => before.registration(range, access),
            Op::Map { .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Write { .. }
            | Op::Read { .. }
            | Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Limit { .. }
            | Op::Dereg { .. } => Vec::new(),
        },
        Oracle::Outcome => match case.op() {
            Op::Reg { range, access, .. } if is_about_memory(case) => {
                before.registration(range, access)
            }
            Op::Reg { .. }
            | Op::Map { .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Write { .. }
            | Op::Read { .. }
            | Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Limit { .. }
            | Op::Dereg { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. } => Vec::new(),
        },
        Oracle::Frames => match case.op() {
            Op::Reg { access, .. } => vec![intent(access)],
            Op::Map { .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Write { .. }
            | Op::Read { .. }
            | Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Limit { .. }
            | Op::Dereg { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. } => Vec::new(),
        },
        Oracle::Coherence => {
            // An op that uses an MR may show on another one that overlaps it: which one is chance.
            let used = before.access_of(case.op());
            let access = used.or_else(|| before.mrs.get(&finding.mr?).map(|mr| mr.access));
            access.map(intent).into_iter().collect()
        }
        Oracle::KernelLog | Oracle::Accounting | Oracle::Teardown => Vec::new(),
    }
}

/// Whether a registration was refused, or should have been, for the memory below it.
fn is_about_memory(case: &Case<'_>) -> bool {
    let refusal = Outcome::Errno(Errno::EFAULT);
    let only_seen = case.step.outcome == refusal && !case.predicted.prediction.allows(&refusal);
    // Where a limit was passed over, memory was merely the next thing to be looked at.
    let behind_a_limit = [Errno::ENOMEM, Errno::EPERM]
        .into_iter()
        .any(|errno| case.predicted.prediction.allows(&Outcome::Errno(errno)));
    case.predicted.prediction.allows(&refusal) || (only_seen && !behind_a_limit)
}

/// `writer` if the adapter may write with `access`, else `reader`.
///
/// Source: `ib_access_writable()`, include/rdma/ib_verbs.h, 6.1 and 6.12.
fn intent(access: Access) -> &'static str {
    const WRITERS: Access = Access::LOCAL_WRITE
        .with(Access::REMOTE_WRITE)
        .with(Access::REMOTE_ATOMIC)
        .with(Access::MW_BIND);
    if access.has_any(WRITERS) { "writer" } else { "reader" }
}

/// What `p0` had registered and mapped before an op.
struct Before {
    mrs: BTreeMap<Mr, Registered>,
    pages: [Option<(Sharing, Prot)>; ARENA_PAGES as usize],
}

/// An MR, live or remembered.
#[derive(Clone, Copy)]
struct Registered {
    is_live: bool,
    range: ByteRange,
    access: Access,
}

impl Before {
    fn of(case: &Case<'_>, steps: &[PredictedStep]) -> Before {
        let mut before = Before { mrs: BTreeMap::new(), pages: [None; ARENA_PAGES as usize] };
        let done = |step: &&PredictedStep| *step.prediction.expected() == Outcome::Done;
        let earlier = case.sequence.ops.iter().zip(steps).take(case.op_index);
        earlier.filter(|(_, step)| done(step)).for_each(|(op, _)| before.apply(*op));
        before
    }

    /// What an op that worked changes.
    fn apply(&mut self, op: Op) {
        match op {
            Op::Map { proc: Proc::P0, pages, sharing, prot, .. } => {
                pages.pages().for_each(|page| *self.page(page) = Some((sharing, prot)));
            }
            Op::Unmap { proc: Proc::P0, pages } => {
                pages.pages().for_each(|page| *self.page(page) = None);
            }
            Op::Protect { proc: Proc::P0, pages, prot } => {
                let change = |page| {
                    let place: &mut Option<(Sharing, Prot)> = self.page(page);
                    *place = place.map(|(sharing, _)| (sharing, prot));
                };
                pages.pages().for_each(change);
            }
            Op::Reg { mr, range, access } => {
                self.mrs.insert(mr, Registered { is_live: true, range, access });
            }
            Op::Dereg { mr } => {
                self.mrs.entry(mr).and_modify(|registered| registered.is_live = false);
            }
            Op::Map { .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Write { .. }
            | Op::Read { .. }
            | Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Limit { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. } => {}
        }
    }

    fn page(&mut self, page: u8) -> &mut Option<(Sharing, Prot)> {
        &mut self.pages[usize::from(page)]
    }

    /// The access of the MR that `op` registers or uses.
    fn access_of(&self, op: Op) -> Option<Access> {
        match op {
            Op::Reg { access, .. } => Some(access),
            Op::RemoteRead { mr, key, .. } | Op::RemoteWrite { mr, key, .. } => {
                Some(self.mrs.get(&key_mr(mr, key))?.access)
            }
            Op::Map { .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Write { .. }
            | Op::Read { .. }
            | Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Limit { .. }
            | Op::Dereg { .. } => None,
        }
    }

    /// Whether a registration reads or writes, and for one that reads, what lies below it.
    fn registration(&self, range: ByteRange, access: Access) -> Vec<&'static str> {
        let intent = intent(access);
        if intent == "writer" {
            return vec![intent];
        }
        let first = range.start().page_index();
        let below = (first..first + range.page_span())
            .filter_map(|page| *self.pages.get(page as usize)?)
            .find(|(_, prot)| !(prot.read() && prot.write()));
        let sharing = below.map(|(sharing, _)| match sharing {
            Sharing::Private => "private",
            Sharing::Shared => "shared",
        });
        [Some(intent), sharing].into_iter().flatten().collect()
    }

    /// Everything for which the remote op should have been refused.
    fn refusals(&self, op: Op) -> Vec<&'static str> {
        let (Op::RemoteRead { mr, offset, len_bytes, key }
        | Op::RemoteWrite { mr, offset, len_bytes, key, .. }) = op
        else {
            return Vec::new();
        };
        let (Some(addressed), Some(named)) = (self.mrs.get(&mr), self.mrs.get(&key_mr(mr, key)))
        else {
            return Vec::new();
        };
        let right = match op.kind() == pinfold_contract::OpKind::RemoteRead {
            true => Access::REMOTE_READ,
            false => Access::REMOTE_WRITE,
        };
        let start = i64::from(addressed.range.start().0) + i64::from(offset);
        let is_inside = i64::from(named.range.start().0) <= start
            && start + i64::from(len_bytes) <= i64::from(named.range.end().0);
        [
            (key == Key::Stale, "key"),
            (!named.is_live, "gone"),
            (!named.access.has(right), "right"),
            (!is_inside, "range"),
        ]
        .into_iter()
        .filter_map(|(is_so, word)| is_so.then_some(word))
        .collect()
    }
}

/// The MR whose key it is.
fn key_mr(mr: Mr, key: Key) -> Mr {
    match key {
        Key::Own | Key::Stale => mr,
        Key::Of(other) => other,
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{Observe, parse};

    use crate::model::{Fault, perform, predict};
    use crate::oracle::{Verdict, judge};
    use crate::profile::Profile;

    /// What the class of the divergence of `ops` ends with, with `fault` planted.
    fn check(ops: &str, fault: Fault, want: &str) {
        let profile = Profile::of_series("6.12").unwrap();
        let sequence = parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence;
        let predicted = predict(profile, &sequence, Observe::Each);
        let trace = perform(profile, Some(fault), &sequence, Observe::Each);
        let Verdict::Diverges(found) = judge(&sequence, &predicted, &trace) else {
            panic!("{ops} agrees")
        };
        assert!(found.class.ends_with(want), "{want}: {found:?}");
    }

    #[test]
    fn a_remote_op_that_got_through_says_what_was_wrong_with_it() {
        let mr = "map 0..2 anon private rw\nreg mr0 0..1 remote_read\n";
        check(&format!("{mr}read_remote mr0 8 key=stale"), Fault::KeyIgnored, "-value-key");
        check(&format!("{mr}read_remote mr0+0 4097"), Fault::RangeOffByOne, "-value-range");
        check(&format!("{mr}write_remote mr0 8 0x11"), Fault::WriteRightIgnored, "-ok-right");
    }

    #[test]
    fn a_registration_says_whether_it_reads_or_writes() {
        let map = "map 0..1 anon private rw\n";
        check(&format!("{map}reg mr0 0..1 none"), Fault::StaleReadOnlyPin, "-own-common-reader");
        let reg = "map 0..1 anon private r\nreg mr0 0..1 local_write";
        check(reg, Fault::WritableOverReadOnly, "efault-ok-writer");
    }

    #[test]
    fn an_mr_that_the_op_does_not_name_says_it_too() {
        let ops = "map 0..1 anon private rw\nwrite 0 8 0x11\nfork p1\np1 exit\nreg mr0 0..1 none\nwrite 0 8 0x22";
        check(ops, Fault::StaleReadOnlyPin, "adapter-tag-tag-reader");
    }

    #[test]
    fn an_op_that_uses_an_mr_is_about_that_one() {
        // mr0 lies over the last byte that is lost, and reads; mr1 is written.
        let ops = "map 0..2 anon private rw\nreg mr0 1..2 none\nreg mr1 0..2 local_write|remote_write\n\
                   write_remote mr1 8192 0x11";
        check(ops, Fault::ShortRemoteWrite, "adapter-tag-zero-writer");
    }

    #[test]
    fn a_limit_that_was_passed_over_says_nothing_of_memory() {
        let ops = "limit 0\nreg mr0 0..1 none";
        check(ops, Fault::LimitIgnored, "eperm-passed");
    }
}
