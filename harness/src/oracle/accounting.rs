//! The accounting oracle: what memory is charged for.
//!
//! Checks the resident set of every process by kind (`RssAnon`, `RssShmem`,
//! `RssFile`), what it has locked, swapped out and pinned (`VmLck`, `VmSwap`,
//! `VmPin`), its huge pages (`HugetlbPages`), its guards, its proportional share (`Pss`), the
//! pages pinned system-wide, those charged to the memory cgroup of the registrations, huge
//! pages that are free or promised, and how many RDMA objects the device and the rdma
//! cgroup count. All exactly; in pages or huge pages, the share in KiB.
//!
//! Does not check limits: that one was applied or passed over is an outcome of
//! the op. Nor memory of the kernel itself (page tables, rings), which user
//! space is charged for nowhere here.
//!
//! The class joins every counter that differs, because which of them do is what tells causes apart: an MR that is not
//! released changes two, a charge that is not taken back one. Children are named only where nothing of the registrar
//! and of the system differs: they inherit what is wrong, and how many there are is chance.

use pinfold_contract::{Checkpoint, ProcView};

use super::{CHILD, Finding, who};

/// Compares every counter of one look at the state.
pub(super) fn check(predicted: &Checkpoint, seen: &Checkpoint) -> Option<Finding> {
    let whole = |counter, value: fn(&Checkpoint) -> i64| {
        Difference::of("", counter, value(predicted), value(seen))
    };
    let mut differences = vec![
        whole("pins", |c| c.pins),
        whole("charged", |c| c.charged),
        whole("rdma_mrs", |c| c.rdma.mrs),
        whole("rdma_objects", |c| c.rdma.cgroup_objects),
        whole("huge_free", |c| c.huge.free),
        whole("huge_reserved", |c| c.huge.reserved),
    ];
    for (a, b) in predicted.procs.iter().zip(&seen.procs) {
        let proc = a.proc.to_string();
        differences.extend(COUNTERS.iter().map(|(counter, value)| Difference {
            class: who(a.proc),
            ..Difference::of(&proc, counter, value(a), value(b))
        }));
    }
    // A share follows from the rest: what differs in it says something only where it is alone.
    let differs = |d: &Difference| d.predicted != d.seen;
    if differences.iter().any(|d| differs(d) && d.counter != SHARE) {
        differences.retain(|d| d.counter != SHARE);
    }
    finding(&differences)
}

const SHARE: &str = "pss_kib";

/// A counter of a process.
type Counter = (&'static str, fn(&ProcView) -> i64);

/// Everything that a process is charged for, and the guards that it is not charged for.
const COUNTERS: [Counter; 9] = [
    ("vm_pin", |view| view.vm_pin),
    ("rss_anon", |view| view.rss_anon),
    ("rss_shmem", |view| view.rss_shmem),
    ("rss_file", |view| view.rss_file),
    ("vm_lck", |view| view.vm_lck),
    ("vm_swap", |view| view.vm_swap),
    ("huge", |view| view.huge),
    ("guards", |view| view.guards),
    (SHARE, |view| view.pss_kib),
];

/// One counter on both sides.
pub(super) struct Difference {
    class: &'static str,
    name: String,
    counter: &'static str,
    predicted: i64,
    seen: i64,
}

impl Difference {
    /// `counter` of `owner`, who may be nobody in particular.
    pub(super) fn of(owner: &str, counter: &'static str, predicted: i64, seen: i64) -> Difference {
        let name = format!("{owner} {counter}").trim_start().to_owned();
        Difference { class: "", name, counter, predicted, seen }
    }

    fn direction(&self) -> String {
        let direction = if self.seen > self.predicted { "more" } else { "less" };
        let class = if self.class.is_empty() { String::new() } else { format!("{}.", self.class) };
        format!("{class}{}.{direction}", self.counter)
    }
}

/// Says which counters differ. In which direction is the class; by how much is not.
pub(super) fn finding(counters: &[Difference]) -> Option<Finding> {
    let differing: Vec<&Difference> = counters.iter().filter(|d| d.predicted != d.seen).collect();
    if differing.is_empty() {
        return None;
    }
    let list = |value: fn(&Difference) -> i64| {
        differing.iter().map(|d| format!("{} {}", d.name, value(d))).collect::<Vec<_>>().join(", ")
    };
    let own = |d: &&Difference| d.class != CHILD;
    let has_own = differing.iter().any(own);
    let mut classes: Vec<String> = Vec::new();
    for class in differing.iter().filter(|d| own(d) || !has_own).map(|d| d.direction()) {
        if !classes.contains(&class) {
            classes.push(class);
        }
    }
    let lines = differing.iter().map(|d| {
        format!(
            "{}: predicted {}, seen {} ({:+})",
            d.name,
            d.predicted,
            d.seen,
            d.seen - d.predicted
        )
    });
    Some(Finding {
        predicted: list(|d| d.predicted),
        seen: list(|d| d.seen),
        class: classes.join("-"),
        mr: None,
        detail: lines.collect::<Vec<_>>().join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{Proc, RdmaCounts};

    use super::*;

    fn checkpoint(pins: i64, procs: &[[i64; 3]]) -> Checkpoint {
        let view = |(proc, &[rss_anon, rss_shmem, vm_pin]): (Proc, &[i64; 3])| ProcView {
            rss_anon,
            rss_shmem,
            vm_pin,
            ..ProcView::empty(proc)
        };
        let procs = Proc::all().zip(procs).map(view).collect();
        Checkpoint { procs, pins, ..Checkpoint::default() }
    }

    #[test]
    fn each_counter_is_named() {
        let finding = check(&checkpoint(2, &[[5, 0, 2]]), &checkpoint(2, &[[5, 0, 4]])).unwrap();
        assert_eq!(finding.predicted, "p0 vm_pin 2");
        assert_eq!(finding.seen, "p0 vm_pin 4");
        assert_eq!(finding.class, "registrar.vm_pin.more");
    }

    #[test]
    fn the_class_says_the_direction_and_not_by_how_much() {
        let class = |seen| check(&checkpoint(4, &[[9, 0, 4]]), &seen).unwrap().class;
        assert_eq!(class(checkpoint(3, &[[9, 0, 4]])), class(checkpoint(1, &[[9, 0, 4]])));
        assert_eq!(class(checkpoint(5, &[[8, 0, 4]])), "pins.more-registrar.rss_anon.less");
    }

    #[test]
    fn children_are_one_class() {
        let model = checkpoint(0, &[[1, 0, 0], [1, 0, 0], [1, 0, 0]]);
        let seen = checkpoint(0, &[[1, 0, 0], [2, 0, 0], [3, 0, 0]]);
        assert_eq!(check(&model, &seen).unwrap().class, "child.rss_anon.more");
        let inherited = checkpoint(0, &[[2, 0, 0], [2, 0, 0], [3, 0, 0]]);
        assert_eq!(check(&model, &inherited).unwrap().class, "registrar.rss_anon.more");
        assert_eq!(check(&model, &model), None);
    }
    #[test]
    fn counters_of_the_whole_machine_are_classes_of_their_own() {
        let model = checkpoint(0, &[[1, 0, 0]]);
        let charged = Checkpoint { charged: 3, ..model.clone() };
        assert_eq!(check(&model, &charged).unwrap().class, "charged.more");
        let rdma = RdmaCounts { mrs: 1, cgroup_objects: 1 };
        let left = Checkpoint { rdma, ..model.clone() };
        assert_eq!(check(&left, &model).unwrap().class, "rdma_mrs.less-rdma_objects.less");
    }

    #[test]
    fn a_share_is_named_only_where_nothing_else_differs() {
        let model = checkpoint(0, &[[1, 0, 0]]);
        let mut seen = model.clone();
        seen.procs[0].pss_kib = 4;
        assert_eq!(check(&model, &seen).unwrap().class, "registrar.pss_kib.more");
        seen.procs[0].vm_lck = 2;
        assert_eq!(check(&model, &seen).unwrap().class, "registrar.vm_lck.more");
    }
}
