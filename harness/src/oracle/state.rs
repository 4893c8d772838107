//! The state that matters: what a signature says beside the difference itself.
//!
//! Two causes can look alike in the op that shows them. A remote write that should have been refused is one bug where
//! the key was wrong, another where the right was missing, and a third where the bytes lay outside. So some
//! differences get words for the state they happened in, each word chosen because the kernel decides by it:
//!
//! * an op that shows a key and got through: what was wrong with it (`key`, `right`, `range`, `gone`, `pd`, `unbound`),
//!   and whether the key was that of a `window`;
//!   so has one that was told of another error and yet moved bytes;
//! * a reregistration: whether a window shows the MR (`bound`); the counters after a deregistration: whether it was
//!   `refused`; bytes: whether the addresses of the MR go `around` the end of the address space;
//! * what an MR has to do with: whether the MR was to be written (`writer`) or only read (`reader`), for which the
//!   kernel pins in different ways;
//! * a registration that memory was refused for, or should have been, and that only reads: whether the first mapping
//!   below it that cannot be both read and written is `private` or `shared`;
//! * an access that was to fault: whether the process was born without the page (`dontfork`), or lost it to an op that
//!   made its page table anew (`remade`), or it is a `huge` one, whose entries are made by code of their own. An access
//!   that brought in no page has `remade` as well;
//! * a registration for which the memory cgroup reached its limit, for its outcome and its frames: `charged`. That is no
//!   limit on what is locked, and it depends on which pages have to be allocated, not on what the MR may do.
//!
//! Everything comes from the sequence and from what was predicted of it, never from the target. No word says what else
//! happened in the sequence (an earlier fork, another MR): in a long sequence that would be chance, and one cause
//! would have many names.

use std::collections::BTreeMap;

use pinfold_contract::{
    ALL_PAGES, ARENA_PAGES, Access, ByteRange, Errno, Handle, Key, Mr, Mw, Op, OpKind, Outcome,
    PAGE_BYTES, Pd, Position, Proc, Prot, Rereg, Sharing, Span, Target, WcStatus,
};

use super::{Case, Finding, Oracle, remade, uninherited};
use crate::model::PredictedStep;
use crate::request::{len_of, qp_of, right_of, target_of};

/// The words for what `oracle` found in `case`. `steps` is what was predicted of the whole sequence.
pub(super) fn that_matters(
    case: &Case<'_>,
    steps: &[PredictedStep],
    oracle: Oracle,
    finding: &Finding,
) -> Vec<&'static str> {
    let before = Before::of(case, steps);
    match oracle {
        Oracle::Protection => match registers(case.op()) {
            Some((span, access)) => before.registration(span, access),
            None => before.refusals(case.op()),
        },
        Oracle::Outcome => match registers(case.op()) {
            Some(_) if is_about_charges(case) => vec!["charged"],
            Some((span, access)) if is_about_memory(case) => before.registration(span, access),
            Some(_) => before.bound(case.op()),
            None if was_to_work(case) => before.of_a_request(case.op()),
            None => {
                let word = uninherited::word(case, steps);
                let word = word.or_else(|| remade::word(case, steps));
                word.or_else(|| huge(case)).into_iter().collect()
            }
        },
        Oracle::Frames => match registers(case.op()) {
            Some(_) if case.predicted.limit_reached => vec!["charged"],
            Some((_, access)) => vec![intent(access)],
            None => remade::word(case, steps).into_iter().collect(),
        },
        Oracle::Coherence => {
            if let Some(word) = uninherited::word_of_bytes(case, steps) {
                return vec![word];
            }
            if was_to_be_refused(case) {
                return before.refusals(case.op());
            }
            // An op that uses an MR may show on another one that overlaps it: which one is chance.
            let used = before.access_of(case.op());
            let access = used.or_else(|| before.mrs.get(&finding.mr?).map(|mr| mr.access));
            let intent = access.map(intent);
            intent.into_iter().chain(before.goes_around(case.op())).collect()
        }
        Oracle::Accounting => refused(case).into_iter().collect(),
        Oracle::KernelLog | Oracle::Completion | Oracle::Teardown => Vec::new(),
    }
}

/// The memory and the rights of a registration, or of what replaces one.
fn registers(op: Op) -> Option<(Span, Access)> {
    if let Op::Reg { span, access, .. } | Op::Rereg { span, access, .. } = op {
        Some((span, access))
    } else {
        None
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

/// Whether the memory cgroup reached its limit, and a page was refused for it, or should have been.
fn is_about_charges(case: &Case<'_>) -> bool {
    let refusal = Outcome::Errno(Errno::ENOMEM);
    let refused = case.step.outcome == refusal || case.predicted.prediction.allows(&refusal);
    case.predicted.limit_reached && refused
}

/// Whether the side that posted a work request was to be told that it worked.
fn was_to_work(case: &Case<'_>) -> bool {
    let expected = case.predicted.prediction.expected();
    let sent = matches!(expected, Outcome::Completions { requester: WcStatus::SUCCESS, .. });
    sent || *expected == Outcome::Done
}

/// Whether the other side was not to let a request through: what it moved is wrong whatever it was told.
fn was_to_be_refused(case: &Case<'_>) -> bool {
    let refused = Outcome::Completion(WcStatus::REM_ACCESS_ERR);
    *case.predicted.prediction.expected() == refused && target_of(case.op()).is_some()
}

/// `huge` if an access was to fault on a huge page.
fn huge(case: &Case<'_>) -> Option<&'static str> {
    let (Op::Read { at, .. } | Op::Write { at, .. }) = case.op() else { return None };
    let expected = case.predicted.prediction.expected();
    let Outcome::Fault { done_bytes, .. } = *expected else { return None };
    let page = Position(at.0.saturating_add(done_bytes)).arena_page()?;
    (page >= ARENA_PAGES).then_some("huge")
}

/// `refused` if a deregistration was denied: that is to change nothing.
fn refused(case: &Case<'_>) -> Option<&'static str> {
    let dereg = case.op().kind() == OpKind::Dereg;
    let errno = matches!(case.step.outcome, Outcome::Errno(_));
    (dereg && errno).then_some("refused")
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

/// What `p0` had registered, bound and mapped before an op.
struct Before {
    mrs: BTreeMap<Mr, Registered>,
    mws: BTreeMap<Mw, Window>,
    pages: [Option<(Sharing, Prot)>; ALL_PAGES as usize],
}

/// An MR, live or remembered.
#[derive(Clone, Copy)]
struct Registered {
    is_live: bool,
    span: Span,
    access: Access,
    pd: Pd,
    iova: u64,
}

/// A window, live or remembered, and what it was last bound to.
#[derive(Clone, Copy)]
struct Window {
    is_live: bool,
    pd: Pd,
    bound: Option<(Mr, Granted)>,
}

/// What a key opens.
#[derive(Clone, Copy)]
struct Granted {
    is_live: bool,
    /// First address, in the space of iovas.
    start: u64,
    len_bytes: u64,
    access: Access,
    pd: Pd,
}

impl Before {
    fn of(case: &Case<'_>, steps: &[PredictedStep]) -> Before {
        let mut before = Before {
            mrs: BTreeMap::new(),
            mws: BTreeMap::new(),
            pages: [None; ALL_PAGES as usize],
        };
        let done = |step: &&PredictedStep| *step.prediction.expected() == Outcome::Done;
        let earlier = case.sequence.ops.iter().zip(steps).take(case.op_index);
        earlier.filter(|(_, step)| done(step)).for_each(|(op, _)| before.apply(*op));
        before
    }

    /// What an op that worked changes.
    fn apply(&mut self, op: Op) {
        if op.mrs().is_empty() && op.mws().is_empty() {
            self.apply_to_memory(op);
        } else {
            self.apply_to_keys(op);
        }
    }

    fn apply_to_memory(&mut self, op: Op) {
        if let Op::Map { proc: Proc::P0, pages, sharing, prot, .. } = op {
            pages.pages().for_each(|page| *self.page(page) = Some((sharing, prot)));
        } else if let Op::Unmap { proc: Proc::P0, pages } = op {
            pages.pages().for_each(|page| *self.page(page) = None);
        } else if let Op::Protect { proc: Proc::P0, pages, prot } = op {
            for page in pages.pages() {
                let place = self.page(page);
                *place = place.map(|(sharing, _)| (sharing, prot));
            }
        } else if let Op::Remap { proc: Proc::P0, from, to } = op {
            let first = *self.page(from.first());
            let moved: Vec<_> = from.pages().map(|page| self.page(page).take()).collect();
            // What grows is like what was there.
            for (index, page) in to.pages().enumerate() {
                *self.page(page) = moved.get(index).copied().unwrap_or(first);
            }
        }
    }

    fn apply_to_keys(&mut self, op: Op) {
        if let Op::Reg { mr, span, access, pd, call } = op {
            let iova = call.iova().unwrap_or(span.start.address());
            self.mrs.insert(mr, Registered { is_live: true, span, access, pd, iova });
        } else if let Op::Rereg { mr, what, span, access, pd } = op {
            let Some(old) = self.mrs.get_mut(&mr) else { return };
            if what.has(Rereg::TRANS) {
                (old.span, old.iova) = (span, span.start.address());
            }
            old.access = if what.has(Rereg::ACCESS) { access } else { old.access };
            old.pd = if what.has(Rereg::PD) { pd } else { old.pd };
        } else if let Op::Dereg { mr } = op {
            self.mrs.entry(mr).and_modify(|registered| registered.is_live = false);
        } else if let Op::AllocMw { mw, pd, .. } = op {
            self.mws.insert(mw, Window { is_live: true, pd, bound: None });
        } else if let Op::DeallocMw { mw } = op {
            self.mws.entry(mw).and_modify(|window| window.is_live = false);
        } else if let Op::Bind { mw, mr, offset, len_bytes, access, .. } = op {
            let Some(&registered) = self.mrs.get(&mr) else { return };
            let zero_based = access.has(Access::ZERO_BASED);
            let address = registered.iova.wrapping_add_signed(offset.into());
            let start = if zero_based { 0 } else { address };
            let pd = registered.pd;
            let granted = Granted { is_live: true, start, len_bytes: len_bytes.into(), access, pd };
            let bound = (len_bytes > 0).then_some((mr, granted));
            self.mws.entry(mw).and_modify(|window| window.bound = bound);
        } else if let Op::Invalidate { handle: Handle::Mw(mw), .. }
        | Op::Send { invalidate: Some(Handle::Mw(mw)), .. } = op
        {
            self.mws.entry(mw).and_modify(|window| window.bound = None);
        }
    }

    fn page(&mut self, page: u8) -> &mut Option<(Sharing, Prot)> {
        &mut self.pages[usize::from(page)]
    }

    /// The access of the MR that `op` registers or uses.
    fn access_of(&self, op: Op) -> Option<Access> {
        if let Some((_, access)) = registers(op) {
            return Some(access);
        }
        let target = target_of(op);
        let mr = match target.map(|target| (target.key, target.mr)) {
            Some((Key::Of(Handle::Mr(mr)), _) | (Key::Own | Key::Stale, mr)) => mr,
            // A window lies over the MR that the op addresses, or the op has no business there.
            Some((Key::Of(Handle::Mw(_) | Handle::OldMw(_)), mr)) => mr,
            None if op.kind() == OpKind::Send => list_mr(op)?,
            None => return None,
        };
        Some(self.mrs.get(&mr)?.access)
    }

    /// Whether a registration reads or writes, and for one that reads, what lies below it.
    fn registration(&self, span: Span, access: Access) -> Vec<&'static str> {
        let intent = intent(access);
        if intent == "writer" {
            return vec![intent];
        }
        let far_bytes = u64::from(ARENA_PAGES) * u64::from(PAGE_BYTES);
        let far = || Span { start: span.start, len_bytes: far_bytes }.range();
        let below = span
            .range()
            .or_else(far)
            .into_iter()
            .flat_map(ByteRange::pages)
            .filter_map(|(page, _)| *self.pages.get(page as usize)?)
            .find(|(_, prot)| !(prot.read() && prot.write()));
        let sharing = below.map(|(sharing, _)| match sharing {
            Sharing::Private => "private",
            Sharing::Shared => "shared",
        });
        [Some(intent), sharing].into_iter().flatten().collect()
    }

    /// Everything for which an op that shows a key should have been refused.
    fn refusals(&self, op: Op) -> Vec<&'static str> {
        let Some(target) = target_of(op) else { return self.local_refusals(op) };
        let Some(addressed) = self.mrs.get(&target.mr) else { return Vec::new() };
        let Some(granted) = self.granted(target) else { return vec!["unbound"] };
        let start = addressed.iova.wrapping_add_signed(target.offset.into());
        let inside = start.wrapping_sub(granted.start);
        let fits = inside.checked_add(len_of(op)).is_some_and(|end| end <= granted.len_bytes);
        let old = matches!(target.key, Key::Of(Handle::OldMw(_)));
        let window = matches!(target.key, Key::Of(Handle::Mw(_) | Handle::OldMw(_)));
        words([
            (window, "window"),
            (target.key == Key::Stale || old, "key"),
            (!granted.is_live, "gone"),
            (granted.pd != target.qp, "pd"),
            (!granted.access.has(right_of(op)), "right"),
            (!fits, "range"),
        ])
    }

    /// The same of an op that shows local keys alone: a send, a bind, an invalidation.
    fn local_refusals(&self, op: Op) -> Vec<&'static str> {
        // To unbind a window, any MR may be named.
        let unbinds = matches!(op, Op::Bind { len_bytes: 0, .. });
        let named = || if unbinds { Vec::new() } else { op.mrs() };
        let mrs = || named().into_iter().filter_map(|mr| self.mrs.get(&mr));
        let mws = || op.mws().into_iter().filter_map(|mw| self.mws.get(&mw));
        let gone = mrs().any(|mr| !mr.is_live) || mws().any(|mw| !mw.is_live);
        let qp = qp_of(op);
        let (mr_pd, mw_pd) = (mrs().any(|mr| mr.pd != qp), mws().any(|mw| mw.pd != qp));
        let right = if op.kind() == OpKind::Send {
            Access::LOCAL_WRITE
        } else if op.kind() == OpKind::Bind {
            Access::MW_BIND
        } else {
            Access(0)
        };
        let lacks = mrs().any(|mr| !mr.access.has(right));
        let outside = !unbinds && self.binds_outside(op);
        let zero_based = matches!(op, Op::Bind { access, .. } if access.has(Access::ZERO_BASED));
        words([
            (gone, "gone"),
            (mr_pd, "pd"),
            (mw_pd, "window.pd"),
            (lacks, "right"),
            (outside, "range"),
            (outside && zero_based, "zero_based"),
            (outside && self.binds_around(op), "around"),
        ])
    }

    /// Whether a window is to be bound to bytes that are not all in the MR.
    fn binds_outside(&self, op: Op) -> bool {
        let Op::Bind { mr, offset, len_bytes, .. } = op else { return false };
        let Some(registered) = self.mrs.get(&mr) else { return false };
        let end = i64::from(offset).checked_add_unsigned(len_bytes.into());
        let len = i64::try_from(registered.span.len_bytes).ok();
        offset < 0 || end.is_none_or(|end| len.is_some_and(|len| end > len))
    }

    /// Whether a window is to be bound to bytes that go around the end of the addresses.
    fn binds_around(&self, op: Op) -> bool {
        let Op::Bind { mr, offset, len_bytes, access, .. } = op else { return false };
        let Some(registered) = self.mrs.get(&mr) else { return false };
        let start = registered.iova.wrapping_add_signed(offset.into());
        !access.has(Access::ZERO_BASED) && start.checked_add(len_bytes.into()).is_none()
    }

    /// `bound` if `op` reregisters an MR that a window shows.
    fn bound(&self, op: Op) -> Vec<&'static str> {
        let Op::Rereg { mr, .. } = op else { return Vec::new() };
        let shown = |window: &Window| window.bound.is_some_and(|(shown, _)| shown == mr);
        words([(self.mws.values().any(shown), "bound")])
    }

    /// What matters for a work request that shows no key of a peer.
    fn of_a_request(&self, op: Op) -> Vec<&'static str> {
        if op.kind() == OpKind::Bind {
            return self.goes_around(op).into_iter().collect();
        }
        let mut windows = op.mws().into_iter().filter_map(|mw| self.mws.get(&mw));
        let foreign = op.kind() == OpKind::Send && windows.any(|mw| mw.pd != qp_of(op));
        words([(foreign, "window.pd")])
    }

    /// `around` if `op` uses an MR whose addresses go around the end of the address space. One that makes
    /// an MR does not use what had its slot before.
    fn goes_around(&self, op: Op) -> Option<&'static str> {
        if op.kind() == OpKind::Reg {
            return None;
        }
        let around = |mr| {
            let mr: Option<&Registered> = self.mrs.get(&mr);
            mr.is_some_and(|mr| mr.iova.checked_add(mr.span.len_bytes).is_none())
        };
        op.mrs().into_iter().any(around).then_some("around")
    }

    /// What the key of `target` opens.
    fn granted(&self, target: Target) -> Option<Granted> {
        let mr = match target.key {
            Key::Own | Key::Stale => target.mr,
            Key::Of(Handle::Mr(mr)) => mr,
            Key::Of(Handle::Mw(mw) | Handle::OldMw(mw)) => {
                let window = self.mws.get(&mw)?;
                return window.bound.map(|(_, bound)| Granted { is_live: window.is_live, ..bound });
            }
        };
        let Registered { is_live, span, access, pd, iova } = *self.mrs.get(&mr)?;
        Some(Granted { is_live, start: iova, len_bytes: span.len_bytes, access, pd })
    }
}

/// The class of a difference, with its words.
///
/// Where a cause leaves something to chance, the class does not tell it: what bytes come from an MR whose addresses go
/// around, or how far an access gets that should have faulted at once.
pub(super) fn class(oracle: Oracle, op: Op, class: String, words: &[&str]) -> String {
    let reads = matches!(op.kind(), OpKind::RemoteRead | OpKind::Scatter);
    let class = if oracle == Oracle::Coherence && reads && words.contains(&"around") {
        "bytes".to_owned()
    } else if words.contains(&"dontfork")
        || (oracle == Oracle::Outcome && words.contains(&"remade"))
    {
        let signal = class.split('-').next().unwrap_or_default();
        format!("{signal}-passed")
    } else {
        class
    };
    words.iter().fold(class, |class, word| format!("{class}-{word}"))
}

fn words<const N: usize>(reasons: [(bool, &'static str); N]) -> Vec<&'static str> {
    reasons.into_iter().filter_map(|(is_so, word)| is_so.then_some(word)).collect()
}

/// The last MR of the lists of an op.
fn list_mr(op: Op) -> Option<Mr> {
    op.mrs().pop()
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{Observe, Outcome, Runs, parse};

    use crate::model::{Fault, perform, predict};
    use crate::oracle::{Verdict, judge};
    use crate::profile::Profile;

    use super::*;

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
    fn a_registration_says_nothing_of_what_had_its_slot_before() {
        let ops = "# pinfold 1\nreg mr0 0..1 none iova=0xfffffffffffff000\ndereg mr0\n\
                   reg mr0 0..1 none\nread_remote mr0 8\n";
        let ops = parse(ops).unwrap().sequence.ops;
        let mut before = Before {
            mrs: BTreeMap::new(),
            mws: BTreeMap::new(),
            pages: [None; ALL_PAGES as usize],
        };
        ops[..2].iter().for_each(|op| before.apply(*op));
        assert_eq!(before.goes_around(ops[2]), None);
        assert_eq!(before.goes_around(ops[3]), Some("around"));
    }

    #[test]
    fn a_hole_that_was_passed_over_is_no_limit() {
        let ops = "map 0..1 anon private rw\nadvise 0..1 dontfork\nfork p1\n";
        check(&format!("{ops}p1 advise 0..1 dontneed"), Fault::DontForkIgnored, "enomem-ok");
        check(&format!("{ops}p1 read 0 8"), Fault::DontForkIgnored, "sigsegv-passed-dontfork");
    }

    #[test]
    fn a_window_that_a_send_invalidated_is_unbound() {
        let ops = "map 0..1 anon private rw\nreg mr0 0..1 local_write|remote_read|mw_bind\n\
                   alloc_mw mw0 type2\nbind mw0 mr0+0 64 remote_read\n\
                   send mr0+0:8 mr0+64:8 inv=mw0\nread_remote mr0+0 8 key=mw0";
        let sequence = parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence;
        let profile = Profile::of_series("6.12").unwrap();
        let predicted = predict(profile, &sequence, Observe::End);
        let mut trace = perform(profile, None, &sequence, Observe::End);
        let sent = &trace.steps[4].outcome;
        assert_eq!(*sent, Outcome::Done);
        trace.steps[5].outcome = Outcome::Value(Runs::uniform(8, 0));
        let Verdict::Diverges(found) = judge(&sequence, &predicted, &trace) else {
            panic!("it agrees")
        };
        assert_eq!(found.class, "rem_access_err-value-unbound");
    }

    #[test]
    fn a_limit_that_was_passed_over_says_nothing_of_memory() {
        let ops = "limit 0\nreg mr0 0..1 none";
        check(ops, Fault::LimitIgnored, "eperm-passed");
    }
}
