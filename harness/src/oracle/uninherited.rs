//! Whether a process touched what it was born without: memory that its parent had marked with MADV_DONTFORK.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{Advice, Errno, Op, Outcome, Position, Proc, Signal};

use super::{Case, coherence};
use crate::model::PredictedStep;

/// Pages of each process.
type Pages = BTreeMap<Proc, BTreeSet<u8>>;

/// `dontfork` if an access was to fault on such a page.
pub(super) fn word(case: &Case<'_>, steps: &[PredictedStep]) -> Option<&'static str> {
    let (Op::Read { proc, at, .. } | Op::Write { proc, at, .. }) = case.op() else { return None };
    let expected = case.predicted.prediction.expected();
    let Outcome::Fault { signal: Signal::Segv, done_bytes } = *expected else { return None };
    let page = Position(at.0.saturating_add(done_bytes)).arena_page()?;
    left_out(case, steps).get(&proc)?.contains(&page).then_some("dontfork")
}

/// `dontfork` if the op mapped memory where the process was born without any, and nothing differs but bytes there: what
/// the host still has covers a page that comes without a fault.
pub(super) fn word_of_bytes(case: &Case<'_>, steps: &[PredictedStep]) -> Option<&'static str> {
    let Op::Map { proc, pages, .. } = case.op() else { return None };
    let left_out = left_out(case, steps);
    let lacks = left_out.get(&proc)?;
    let (predicted, seen) = case.checkpoints()?;
    let mut differ = coherence::pages_that_differ(predicted, seen).peekable();
    let pages_alone = differ.peek().is_some() && predicted.mrs == seen.mrs;
    let is_left_out =
        |(of, page)| of == proc && pages.pages().contains(&page) && lacks.contains(&page);
    (pages_alone && differ.all(is_left_out)).then_some("dontfork")
}

/// What each process was born without and has not had since, before the op.
fn left_out(case: &Case<'_>, steps: &[PredictedStep]) -> Pages {
    let (mut marked, mut left_out) = (Pages::new(), Pages::new());
    for (op, step) in case.sequence.ops.iter().zip(steps).take(case.op_index) {
        let outcome = step.prediction.expected();
        if did_something(*op, outcome) {
            apply(*op, &mut marked, &mut left_out);
        }
        if is_touch(*op, outcome) {
            // The fault has put the right page there.
            let touched: BTreeSet<u8> =
                op.pages().into_iter().filter_map(|page| u8::try_from(page).ok()).collect();
            left_out.entry(op.proc()).or_default().retain(|page| !touched.contains(page));
        }
    }
    left_out
}

/// Whether `op` had the pages that it names brought in.
fn is_touch(op: Op, outcome: &Outcome) -> bool {
    let worked = matches!(outcome, Outcome::Done | Outcome::Value(_));
    worked && matches!(op, Op::Read { .. } | Op::Write { .. } | Op::Force { .. })
}

/// Whether `op` changed mappings. One that is refused does all or nothing, but for two: an advice goes on behind a hole,
/// and what a new mapping would cover is gone when its file refuses it, for a seal.
///
/// Source: `madvise_walk_vmas()`, mm/madvise.c; `mmap_region()`, mm/mmap.c, and `shmem_mmap()`, mm/shmem.c, 6.1.
fn did_something(op: Op, outcome: &Outcome) -> bool {
    let is = |errno: Errno| *outcome == Outcome::Errno(errno);
    *outcome == Outcome::Done
        || is(Errno::EPERM) && matches!(op, Op::Map { .. })
        || is(Errno::ENOMEM) && matches!(op, Op::Advise { .. })
}

/// What an op changes. A page that is mapped anew, or taken away again, is an ordinary one.
fn apply(op: Op, marked: &mut Pages, left_out: &mut Pages) {
    if let Op::Fork { proc, child } = op {
        // What a child lacks, its own children lack as well.
        let of_parent = |pages: &Pages| pages.get(&proc).cloned().unwrap_or_default();
        let lacks = &of_parent(marked) | &of_parent(left_out);
        left_out.insert(child, lacks);
        marked.remove(&child);
    } else if let Op::Advise { proc, pages, advice: Advice::DontFork } = op {
        marked.entry(proc).or_default().extend(pages.pages());
    } else if let Op::Advise { proc, pages, advice: Advice::DoFork } = op {
        forget(marked, proc, pages.pages());
    } else if let Op::Map { proc, pages, populate: false, .. } = op {
        // A new mapping without pages changes nothing in the host.
        forget(marked, proc, pages.pages());
    } else if let Op::Map { proc, pages, .. } | Op::Unmap { proc, pages } = op {
        forget(marked, proc, pages.pages());
        forget(left_out, proc, pages.pages());
    } else if let Op::Remap { proc, from, to } = op {
        for pages in [from, to] {
            forget(marked, proc, pages.pages());
            forget(left_out, proc, pages.pages());
        }
    }
}

fn forget(of: &mut Pages, proc: Proc, pages: std::ops::Range<u8>) {
    of.entry(proc).or_default().retain(|page| !pages.contains(page));
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{Observe, Runs, parse};

    use crate::model::{perform, predict};
    use crate::oracle::{Verdict, judge};
    use crate::profile::linux;
    use crate::signature::Signature;

    use super::*;

    fn signature(ops: &str) -> String {
        let sequence = parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence;
        let mut trace = perform(linux("6.1"), None, &sequence, Observe::End);
        let last = trace.steps.last_mut().unwrap();
        assert!(matches!(last.outcome, Outcome::Fault { .. }), "{:?}", last.outcome);
        last.outcome = Outcome::Value(Runs::uniform(8, 0x11));
        let Verdict::Diverges(divergence) =
            judge(&sequence, &predict(linux("6.1"), &sequence, Observe::End), &trace)
        else {
            panic!("it agrees")
        };
        Signature::of(&sequence, &divergence).to_string()
    }

    #[test]
    fn only_what_a_child_was_born_without_has_the_word() {
        let begin = "map 0..2 anon private rw\nwrite 0 8192 0x11\n";
        let born_without = format!("{begin}advise 0..1 dontfork\nfork p1\np1 read 0 8\n");
        let grandchild = format!("{begin}advise 0..1 dontfork\nfork p1\np1 fork p2\np2 read 0 8\n");
        let not_replaced =
            format!("{begin}advise 0..1 dontfork\nmap 0..1 lib0 shared rw\nfork p1\np1 read 0 8\n");
        let behind_a_hole =
            format!("{begin}unmap 0..1\nadvise 0..2 dontfork\nfork p1\np1 read 1 8\n");
        let in_part = format!("{begin}advise 1..2 dontfork\nfork p1\np1 read 0 8192\n");
        let mapped = format!(
            "{begin}advise 0..1 dontfork\nfork p1\np1 map 0..1 anon private none\np1 read 0 8\n"
        );
        for ops in [born_without, grandchild, not_replaced, behind_a_hole, in_part, mapped] {
            assert_eq!(signature(&ops), "outcome-read-sigsegv-passed-dontfork", "{ops}");
        }
        for other in [
            format!("{begin}fork p1\np1 unmap 0..1\np1 read 0 8\n"),
            format!("{begin}advise 0..1 dontfork\nfork p1\np1 read 5 8\n"),
            format!(
                "{begin}advise 0..1 dontfork\nfork p1\np1 map 0..1 anon private r\np1 read 0 8\n\
                p1 protect 0..1 none\np1 read 0 8\n"
            ),
            format!("{begin}advise 0..1 dontfork\nfork p1\np1 unmap 0..1\np1 read 0 8\n"),
            format!(
                "{begin}advise 0..1 dontfork\nadvise 0..1 dofork\nfork p1\np1 unmap 0..1\np1 read 0 8\n"
            ),
        ] {
            assert_eq!(signature(&other), "outcome-read-sigsegv-value", "{other}");
        }
    }

    /// What `p1` sees of page 0 after the last op, which maps it.
    fn signature_of_bytes(ops: &str) -> String {
        let sequence = parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence;
        let mut trace = perform(linux("6.1"), None, &sequence, Observe::End);
        let checkpoint = trace.steps.last_mut().unwrap().checkpoint.as_mut().unwrap();
        let child = checkpoint.procs.iter_mut().find(|view| view.proc != Proc::P0).unwrap();
        child.pages[0].bytes = Some(Runs::uniform(pinfold_contract::PAGE_BYTES, 0x11));
        let predicted = predict(linux("6.1"), &sequence, Observe::End);
        let Verdict::Diverges(divergence) = judge(&sequence, &predicted, &trace) else {
            panic!("it agrees")
        };
        Signature::of(&sequence, &divergence).to_string()
    }

    #[test]
    fn what_is_mapped_where_a_child_was_born_without_has_the_word_too() {
        let begin = "map 0..1 anon private rw\nwrite 0 8 0x11\n";
        let map = "p1 map 0..1 anon private rw populate\n";
        let born_without = format!("{begin}advise 0..1 dontfork\nfork p1\n{map}");
        let wanted = "coherence-map-child-passed-dontfork";
        assert_eq!(signature_of_bytes(&born_without), wanted);
        let born_with = format!("{begin}fork p1\n{map}");
        assert_eq!(signature_of_bytes(&born_with), "coherence-map-child-zero-tag");
    }

    #[test]
    fn a_difference_elsewhere_keeps_its_own_name() {
        let ops = "map 0..2 anon private rw\nwrite 0 8192 0x11\nreg mr0 1..2 remote_read\n\
            advise 0..1 dontfork\nfork p1\np1 map 0..1 anon private rw populate\n";
        let sequence = parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence;
        let predicted = predict(linux("6.1"), &sequence, Observe::End);
        let mut trace = perform(linux("6.1"), None, &sequence, Observe::End);
        let checkpoint = trace.steps.last_mut().unwrap().checkpoint.as_mut().unwrap();
        let child = checkpoint.procs.iter_mut().find(|view| view.proc != Proc::P0).unwrap();
        child.pages[0].bytes = Some(Runs::uniform(pinfold_contract::PAGE_BYTES, 0x11));
        checkpoint.mrs[0].bytes = Ok(Runs::uniform(pinfold_contract::PAGE_BYTES, 0x22));
        let Verdict::Diverges(divergence) = judge(&sequence, &predicted, &trace) else {
            panic!("it agrees")
        };
        let signature = Signature::of(&sequence, &divergence).to_string();
        assert_eq!(signature, "coherence-map-adapter-tag-alien-reader");
    }
}
