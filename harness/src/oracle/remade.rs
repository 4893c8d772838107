//! Whether a process touched a page that it lost to an op which took its page table away and made it anew.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{LockScope, Op, Outcome, PAGE_BYTES, PageRange, Position, Proc};

use super::Case;
use crate::model::PredictedStep;

/// What matters of one process.
#[derive(Clone, Default)]
struct Pages {
    /// Pages that some mapping covers.
    mapped: BTreeSet<u8>,
    /// Pages that were mapped, that such an op has mapped again since, and that have not been brought in again.
    lost: BTreeSet<u8>,
    /// Whether `mlockall` locks what is mapped from now on, and so brings it in.
    locks_future: bool,
}

/// `remade` if an access touched such a page: the one where it was to fault, or any where it was to work.
pub(super) fn word(case: &Case<'_>, steps: &[PredictedStep]) -> Option<&'static str> {
    let (Op::Read { proc, at, len_bytes } | Op::Write { proc, at, len_bytes, .. }) = case.op()
    else {
        return None;
    };
    let expected = case.predicted.prediction.expected();
    let pages: Vec<u8> = if let Outcome::Fault { done_bytes, .. } = *expected {
        Position(at.0.saturating_add(done_bytes)).arena_page().into_iter().collect()
    } else {
        touched(at, len_bytes).collect()
    };
    let mut procs = BTreeMap::new();
    let earlier = case.sequence.ops.iter().zip(steps).take(case.op_index);
    for (op, step) in earlier {
        if *step.prediction.expected() == Outcome::Done {
            apply(*op, &mut procs);
        }
    }
    let lost = &procs.get(&proc)?.lost;
    pages.iter().any(|page| lost.contains(page)).then_some("remade")
}

/// The pages of the arena that an access touches.
fn touched(at: Position, len_bytes: u32) -> impl Iterator<Item = u8> {
    let last = at.0.saturating_add(len_bytes.saturating_sub(1));
    (at.0 / PAGE_BYTES..=last / PAGE_BYTES)
        .filter_map(|page| Position(page.saturating_mul(PAGE_BYTES)).arena_page())
}

/// What an op that worked changes.
fn apply(op: Op, procs: &mut BTreeMap<Proc, Pages>) {
    if let Op::Map { proc, pages, populate, .. } = op {
        procs.entry(proc).or_default().map(pages, populate);
    } else if let Op::Unmap { proc, pages } = op {
        procs.entry(proc).or_default().unmap(pages);
    } else if let Op::Remap { proc, from, to } = op {
        let of = procs.entry(proc).or_default();
        of.unmap(from);
        of.map(to, false);
    } else if let Op::LockAll { proc, scope } = op {
        procs.entry(proc).or_default().locks_future = scope == LockScope::Future;
    } else if let Op::Fork { proc, child } = op {
        let mapped = procs.entry(proc).or_default().mapped.clone();
        procs.insert(child, Pages { mapped, ..Pages::default() });
    } else if let Op::Read { proc, at, len_bytes } | Op::Write { proc, at, len_bytes, .. } = op {
        let of = procs.entry(proc).or_default();
        touched(at, len_bytes).for_each(|page| _ = of.lost.remove(&page));
    }
}

impl Pages {
    /// The page table goes when the last mapping over it does. The arena has one.
    ///
    /// Source: `um_tlb_sync()`, arch/um/kernel/tlb.c; `pmd_populate()`, arch/um/include/asm/pgalloc.h, 6.12, 7.2 and 7.3.
    fn map(&mut self, pages: PageRange, populate: bool) {
        let covers_all = self.mapped.iter().all(|page| pages.pages().contains(page));
        match (covers_all, populate || self.locks_future) {
            (true, true) => self.lost.append(&mut self.mapped),
            // The table goes, and no new one hides that from the host.
            (true, false) => self.lost.clear(),
            (false, true) => self.lost.retain(|page| !pages.pages().contains(page)),
            // Entries that are empty already are not looked at again.
            (false, false) => {}
        }
        self.mapped.extend(pages.pages());
    }

    fn unmap(&mut self, pages: PageRange) {
        self.mapped.retain(|page| !pages.pages().contains(page));
        if self.mapped.is_empty() {
            self.lost.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{Observe, Runs, parse};

    use crate::model::{perform, predict};
    use crate::oracle::{Verdict, judge};
    use crate::profile::linux;
    use crate::signature::Signature;

    use super::*;

    /// The signature when the last of `ops`, which is to fault, reads instead.
    fn signature(ops: &str) -> String {
        let sequence = parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence;
        let mut trace = perform(linux("6.12"), None, &sequence, Observe::End);
        let last = trace.steps.last_mut().unwrap();
        assert!(matches!(last.outcome, Outcome::Fault { .. }), "{ops}: {:?}", last.outcome);
        last.outcome = Outcome::Value(Runs::uniform(8, 0x11));
        let Verdict::Diverges(divergence) =
            judge(&sequence, &predict(linux("6.12"), &sequence, Observe::End), &trace)
        else {
            panic!("it agrees")
        };
        Signature::of(&sequence, &divergence).to_string()
    }

    #[test]
    fn a_page_lost_with_its_page_table_has_the_word() {
        let before = "map 1..2 anon private rw populate\n";
        for op in [
            "map 0..2 memfd0+15 private r populate\n",
            "lock_all future\nmap 0..2 memfd0+15 private r\n",
            "map 0..2 memfd0+15 private r populate\nunmap 0..1\n",
        ] {
            let ops = format!("{before}{op}read 1 8\n");
            assert_eq!(signature(&ops), "outcome-read-sigbus-passed-remade", "{ops}");
        }
    }

    #[test]
    fn a_page_that_is_mapped_once_more_is_still_lost_until_it_is_brought_in() {
        let lost = "map 0..1 anon private rw populate\nmap 0..2 memfd0+16 private rw populate\n";
        let word_of = |ops: &str| {
            let text = format!("# pinfold 1\n{lost}{ops}");
            let sequence = parse(&text).unwrap().sequence;
            let steps = predict(linux("6.12"), &sequence, Observe::End);
            let trace = perform(linux("6.12"), None, &sequence, Observe::End);
            let op_index = sequence.ops.len() - 1;
            let (predicted, step) = (&steps[op_index], &trace.steps[op_index]);
            let case = Case { sequence: &sequence, op_index, predicted, step, trace: &trace };
            word(&case, &steps)
        };
        let again = "map 0..1 anon private rw\n";
        for (ops, wanted) in [
            (format!("{again}write 0 8 0x11\n"), Some("remade")),
            (format!("{again}write 1 8 0x11\n"), None),
            (format!("{again}write 0 8 0x11\nread 0 8\n"), None),
            ("map 0..1 anon private rw populate\nwrite 0 8 0x11\n".to_owned(), None),
            (format!("unmap 0..2\n{again}write 0 8 0x11\n"), None),
        ] {
            assert_eq!(word_of(&ops), wanted, "{ops}");
        }
    }

    #[test]
    fn a_page_table_that_stays_or_a_page_that_was_not_there_has_none() {
        let map = "map 0..2 memfd0+15 private r populate\n";
        for before in [
            "",
            "map 0..1 anon private rw populate\n",
            "map 1..2 anon private rw populate\nmap 5..6 anon private rw\n",
            "map 1..2 anon private rw populate\nunmap 1..2\n",
        ] {
            let ops = format!("{before}{map}read 1 8\n");
            assert_eq!(signature(&ops), "outcome-read-sigbus-value", "{ops}");
        }
        let lazily = "map 1..2 anon private rw populate\nmap 0..2 memfd0+15 private r\nread 1 8\n";
        assert_eq!(signature(lazily), "outcome-read-sigbus-value");
    }
}
