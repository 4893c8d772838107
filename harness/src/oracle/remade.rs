//! Whether a process touched a page that it lost to an op which took its page table away and made it anew.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{LockScope, Op, Outcome, PageRange, Position, Proc};

use super::Case;
use crate::model::PredictedStep;

/// What matters of one process.
#[derive(Clone, Default)]
struct Pages {
    /// Pages that some mapping covers.
    mapped: BTreeSet<u8>,
    /// Pages that were mapped, and that such an op has mapped again since.
    lost: BTreeSet<u8>,
    /// Whether `mlockall` locks what is mapped from now on, and so brings it in.
    locks_future: bool,
}

/// `remade` if an access was to fault on such a page.
pub(super) fn word(case: &Case<'_>, steps: &[PredictedStep]) -> Option<&'static str> {
    let (Op::Read { proc, at, .. } | Op::Write { proc, at, .. }) = case.op() else { return None };
    let Outcome::Fault { done_bytes, .. } = *case.predicted.prediction.expected() else {
        return None;
    };
    let page = Position(at.0.saturating_add(done_bytes)).arena_page()?;
    let mut procs = BTreeMap::new();
    let earlier = case.sequence.ops.iter().zip(steps).take(case.op_index);
    for (op, step) in earlier {
        if *step.prediction.expected() == Outcome::Done {
            apply(*op, &mut procs);
        }
    }
    procs.get(&proc)?.lost.contains(&page).then_some("remade")
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
    }
}

impl Pages {
    /// The page table goes when the last mapping over it does. The arena has one.
    fn map(&mut self, pages: PageRange, populate: bool) {
        let covers_all = self.mapped.iter().all(|page| pages.pages().contains(page));
        self.lost.retain(|page| !pages.pages().contains(page));
        if covers_all && (populate || self.locks_future) {
            self.lost.append(&mut self.mapped);
        }
        self.mapped.extend(pages.pages());
    }

    fn unmap(&mut self, pages: PageRange) {
        self.mapped.retain(|page| !pages.pages().contains(page));
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
