//! What the picture shows, in sentences.

use std::collections::BTreeSet;

use pinfold_contract::{Checkpoint, End, Proc, ProcView, Runs, page_name};

use super::comparison::{Comparison, FrameCell, FrameKind, PageCell, PageRow, PartCell, PartRow};
use super::{Evidence, Pair, Side};
use crate::explain::{ZERO, bytes_text};

/// One counter on both sides, before and after an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    /// What is counted, in pages.
    pub(super) name: String,
    pub(super) before: Pair<Option<i64>>,
    pub(super) after: Pair<Option<i64>>,
}

impl Counter {
    /// Whether the sides differ after the op.
    pub(super) fn differs(&self) -> bool {
        self.after.model.is_some()
            && self.after.target.is_some()
            && self.after.model != self.after.target
    }
}

/// Sentences, the most telling first. Empty if the state says nothing.
pub(super) fn facts(evidence: &Evidence, comparison: &Comparison, op_index: usize) -> Vec<String> {
    let mut facts = Vec::new();
    facts.extend(outcome(evidence, op_index));
    facts.extend(some(comparison.pages.iter().filter_map(|row| page(row, comparison))));
    facts.extend(some(comparison.parts.iter().filter_map(|row| part(row, comparison))));
    facts.extend(frames(comparison));
    facts.extend(counters(evidence, op_index).iter().filter(|c| c.differs()).map(counted));
    facts.extend(left_behind(evidence, op_index));
    facts
}

/// The first few of `facts`, and how many more there are: a range of pages has one fact a page.
fn some(facts: impl Iterator<Item = String>) -> Vec<String> {
    const FACTS_MAX: usize = 3;
    let mut facts: Vec<String> = facts.collect();
    if facts.len() > FACTS_MAX + 1 {
        let more = facts.len() - FACTS_MAX;
        facts.truncate(FACTS_MAX);
        facts.push(format!("{more} more pages differ likewise."));
    }
    facts
}

fn outcome(evidence: &Evidence, op_index: usize) -> Option<String> {
    let prediction = &evidence.predicted.get(op_index)?.prediction;
    match evidence.trace.steps.get(op_index) {
        Some(step) if prediction.allows(&step.outcome) => None,
        Some(step) => {
            Some(format!("The op gave {}; a right kernel gives {prediction}.", step.outcome))
        }
        None => match evidence.trace.end {
            End::Hung { .. } => Some("The op did not come back.".to_owned()),
            End::Died { .. } => Some("The kernel died in this op.".to_owned()),
            End::Finished { .. } => None,
        },
    }
}

fn page(row: &PageRow, comparison: &Comparison) -> Option<String> {
    let place = format!("{} page {}", row.proc, page_name(row.page));
    match (&row.cells.model, &row.cells.target) {
        (Some(_), None) => Some(format!("{place} should be present, and is not.")),
        (None, Some(cell)) => {
            Some(format!("{place} should not be present; the kernel has it on {}.", named(cell)))
        }
        (Some(model), Some(target)) if row.differs() => {
            Some(page_differs(&place, model, target, comparison))
        }
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn page_differs(
    place: &str,
    model: &PageCell,
    target: &PageCell,
    comparison: &Comparison,
) -> String {
    if model.frame == target.frame {
        let text = |cell: &PageCell| cell.bytes.as_ref().map_or("nothing".to_owned(), bytes_text);
        return format!("{place} holds {}; it should hold {}.", text(target), text(model));
    }
    match (&model.was_on, &target.was_on) {
        (None, Some(before)) => format!(
            "{place} moved from {} to {}; it should have stayed where it was.",
            frame(before),
            frame(&target.frame)
        ),
        (Some(before), None) => format!(
            "{place} stayed on {}; it should have moved from {} to {}.",
            frame(&target.frame),
            frame(before),
            frame(&model.frame)
        ),
        (None, None) | (Some(_), Some(_)) => format!(
            "{place} is on {}{}; it should be on {}{}.",
            frame(&target.frame),
            what(comparison, Side::Target, &target.frame),
            frame(&model.frame),
            what(comparison, Side::Model, &model.frame)
        ),
    }
}

fn part(row: &PartRow, comparison: &Comparison) -> Option<String> {
    let place = format!("page {} of {}", page_name(row.page), row.mr);
    match (&row.cells.model, &row.cells.target) {
        (Some(model), Some(target)) if row.differs() => {
            let text = |cell: &PartCell| match &cell.bytes {
                Ok(runs) => bytes_text(runs),
                Err(status) => status.to_string(),
            };
            let now = comparison
                .pages
                .iter()
                .find(|other| other.proc == Proc::P0 && u32::from(other.page) == row.page);
            let now = now.and_then(|row| row.cells.target.as_ref());
            let still = match (&target.frame, now) {
                (Some(held), Some(now)) if *held != now.frame => format!(
                    " It still uses {}, which p0's page {} has left.",
                    frame(held),
                    row.page
                ),
                (Some(_) | None, Some(_) | None) => String::new(),
            };
            let (seen, right) = (text(target), text(model));
            Some(format!("In {place} the adapter reads {seen}; it should read {right}.{still}"))
        }
        (Some(_), None) => Some(format!("{} is missing.", row.mr)),
        (None, Some(_)) => Some(format!("{} should not be there.", row.mr)),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

/// Frames that are shared otherwise than they should be, where no page has another name.
fn frames(comparison: &Comparison) -> Vec<String> {
    let differs = |a: &FrameCell, b: &FrameCell| {
        a.kind != FrameKind::Zero && a.mapped_count != b.mapped_count
    };
    let fact = |row: &super::comparison::FrameRow| {
        let (Some(a), Some(b)) = (&row.cells.model, &row.cells.target) else { return None };
        differs(a, b).then(|| {
            format!(
                "{} is shown by {}; it should be shown by {}.",
                capital(&frame(&row.name)),
                pages(b.mapped_count),
                pages(a.mapped_count)
            )
        })
    };
    comparison.frames.iter().filter_map(fact).collect()
}

fn counted(counter: &Counter) -> String {
    let text = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
    format!(
        "{}: {}; it should be {} (in pages).",
        counter.name,
        text(counter.after.target),
        text(counter.after.model)
    )
}

fn left_behind(evidence: &Evidence, op_index: usize) -> Option<String> {
    let End::Finished { teardown, .. } = &evidence.trace.end else { return None };
    let left = [
        (teardown.pins, "pinned"),
        (teardown.anon_pages, "of anonymous memory"),
        (teardown.shmem_pages, "of files and shared memory"),
        (teardown.locked_pages, "locked"),
        (teardown.ksm_pages, "merged by KSM"),
    ];
    let plural = |count: i64| if count == 1 { "" } else { "s" };
    let pages = left.iter().filter(|(count, _)| *count != 0);
    let pages = pages.map(|(count, what)| format!("{count} page{} {what}", plural(*count)));
    let objects = [(teardown.rdma.mrs, "MR"), (teardown.rdma.cgroup_objects, "RDMA object")];
    let objects = objects.iter().filter(|(count, _)| *count != 0);
    let objects = objects.map(|(count, what)| format!("{count} {what}{}", plural(*count)));
    let parts: Vec<String> = pages.chain(objects).collect();
    let is_last = op_index >= evidence.sequence.ops.len();
    (is_last && !parts.is_empty()).then(|| {
        format!("When every process was gone, this was not given back: {}.", parts.join(", "))
    })
}

/// Every counter of both sides, in pages, before and after op `op_index`.
pub(super) fn counters(evidence: &Evidence, op_index: usize) -> Vec<Counter> {
    let start = Checkpoint::default();
    let last = evidence.sequence.ops.len().saturating_sub(1);
    let at = op_index.min(last);
    let state = |side: Side, index: Option<usize>| match (side, index) {
        (_, None) => Some(&start),
        (Side::Model, Some(i)) => evidence.predicted.get(i).and_then(|s| s.checkpoint.as_ref()),
        (Side::Target, Some(i)) => {
            evidence.trace.steps.get(i).and_then(|step| step.checkpoint.as_ref())
        }
    };
    let before = Pair {
        model: state(Side::Model, at.checked_sub(1)),
        target: state(Side::Target, at.checked_sub(1)),
    };
    let after = Pair { model: state(Side::Model, Some(at)), target: state(Side::Target, Some(at)) };
    let row = |name: String, value: &dyn Fn(&Checkpoint) -> Option<i64>| Counter {
        name,
        before: Pair { model: before.model.and_then(value), target: before.target.and_then(value) },
        after: Pair { model: after.model.and_then(value), target: after.target.and_then(value) },
    };
    let mut rows = vec![
        row("Pins in all".to_owned(), &|c| Some(c.pins)),
        row("Charged to the cgroup".to_owned(), &|c| Some(c.charged)),
        row("MRs of the device".to_owned(), &|c| Some(c.rdma.mrs)),
        row("Objects in the rdma cgroup".to_owned(), &|c| Some(c.rdma.cgroup_objects)),
    ];
    let states = [before.model, before.target, after.model, after.target];
    let procs: BTreeSet<Proc> =
        states.into_iter().flatten().flat_map(|c| c.procs.iter().map(|view| view.proc)).collect();
    for proc in procs {
        let mut push = |name: &str, value: fn(&ProcView) -> i64| {
            rows.push(row(format!("{name} of {proc}"), &|c| {
                c.procs.iter().find(|view| view.proc == proc).map(value)
            }));
        };
        push("VmPin", |view| view.vm_pin);
        push("RssAnon", |view| view.rss_anon);
        push("RssShmem", |view| view.rss_shmem);
        push("RssFile", |view| view.rss_file);
        push("VmLck", |view| view.vm_lck);
        push("VmSwap", |view| view.vm_swap);
        push("Pss in KiB", |view| view.pss_kib);
    }
    rows
}

/// A frame in a sentence.
fn frame(name: &str) -> String {
    if name == ZERO { "the zero page".to_owned() } else { format!("frame {name}") }
}

fn named(cell: &PageCell) -> String {
    let holds = cell.bytes.as_ref().map(|runs: &Runs| format!(" ({})", bytes_text(runs)));
    format!("{}{}", frame(&cell.frame), holds.unwrap_or_default())
}

/// Whose frame it is, where that is worth saying.
fn what(comparison: &Comparison, side: Side, name: &str) -> &'static str {
    let row = comparison.frames.iter().find(|row| row.name == name);
    let cell = row.and_then(|row| row.cells.of(side).as_ref());
    match cell.map(|cell| (cell.kind, cell.mapped_count)) {
        Some((FrameKind::File, _)) => ", a file or shared page",
        Some((FrameKind::Anonymous, 0 | 1)) => ", its own",
        Some((FrameKind::Anonymous, _)) => ", which other pages show as well",
        Some((FrameKind::Zero | FrameKind::Unseen, _)) | None => "",
    }
}

fn pages(count: usize) -> String {
    match count {
        0 => "no page".to_owned(),
        1 => "1 page".to_owned(),
        _ => format!("{count} pages"),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
