//! Shows a person what happened, op by op, model beside kernel.
//!
//! Two columns: what the model says, what the target did. A line whose sides
//! differ begins with `!`. Frames have letters: a frame of the target is called
//! as the model's frame that it was first seen in place of, so equal names mean
//! equal frames; `0` is the zero page, and lower case a frame that no page of
//! the model has. Each `reg` has its memory bill, and the op that diverges says
//! which frames each MR holds: in the model, for no kernel tells.

mod bill;
mod names;

pub use bill::{Bill, Cost, bills};

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{
    Checkpoint, End, HugePool, Op, PageView, Proc, ProcView, RdmaCounts, Runs, Sequence, Step,
    Teardown, Trace, page_name, print_op,
};

use crate::{
    model::{Held, PredictedStep},
    oracle::{Divergence, Verdict, completion_parts},
};
pub(crate) use names::{Named, Names, ZERO};

/// Longest line, in columns.
const COLUMNS: usize = 100;

/// Width of what a line is about, and of the model's side, in columns.
const LABEL: usize = 14;
const SIDE: usize = 40;

/// Plain text of at most 100 columns, a block an op; the state after an op where it was looked at.
///
/// The state after one op is the state before the next, and only what has
/// changed on either side is shown again.
pub fn explain(
    sequence: &Sequence,
    predicted: &[PredictedStep],
    trace: &Trace,
    verdict: &Verdict,
) -> String {
    let mut page = Page { text: String::new(), names: Names::default(), shown: BTreeSet::new() };
    let bills = bills(sequence, predicted, trace);
    let bills: BTreeMap<usize, &Bill> = bills.iter().map(|bill| (bill.op_index, bill)).collect();
    page.row(' ', "", "model", "target");
    for (op_index, (op, prediction)) in sequence.ops.iter().zip(predicted).enumerate() {
        let step = trace.steps.get(op_index);
        page.line(&format!("{op_index:>3}  {}", print_op(op)));
        let seen = match (step, &trace.end) {
            (Some(step), _) => step.outcome.to_string(),
            (None, End::Hung { .. }) if op_index == trace.steps.len() => "hung".to_owned(),
            (None, End::Died { .. }) if op_index == trace.steps.len() => "kernel died".to_owned(),
            (None, End::Finished { .. } | End::Hung { .. } | End::Died { .. }) => {
                "not reached".to_owned()
            }
        };
        let right = step.is_some_and(|step| prediction.prediction.allows(&step.outcome));
        let mark = if right { ' ' } else { '!' };
        page.row(mark, "outcome", &prediction.prediction.to_string(), &seen);
        page.completions(*op, step);
        let seen = step.and_then(|step| step.checkpoint.as_ref());
        let named = page.state(prediction, seen);
        if let Some(bill) = bills.get(&op_index) {
            page.bill(bill);
        }
        page.log(step.map_or("", |step| &step.kernel_log));
        if let Verdict::Diverges(divergence) = verdict
            && divergence.op_index == op_index
        {
            page.held(&prediction.held, &named);
            page.divergence(divergence);
        }
    }
    page.end(trace);
    page.verdict(sequence, verdict);
    page.text
}

/// The text so far.
struct Page {
    text: String,
    names: Names,
    /// Rows that stand further up and are still true.
    shown: BTreeSet<(String, String, String)>,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text.push_str(&clipped(text, COLUMNS));
        self.text.push('\n');
    }

    /// One thing, as both sides have it.
    fn row(&mut self, mark: char, label: &str, model: &str, target: &str) {
        let model = clipped(model, SIDE);
        let target = clipped(target, SIDE);
        let line = format!("{mark}    {label:<LABEL$}{model:<SIDE$} {target}");
        self.line(line.trim_end());
    }

    /// Rows of a state: those that differ, and those that are new. Gives the names used.
    fn state(&mut self, prediction: &PredictedStep, seen: Option<&Checkpoint>) -> Named {
        let predicted = prediction.checkpoint.as_ref();
        let named = self.names.of(predicted, &prediction.held, seen);
        let model = |page: &PageView| named.model(page.frame).to_owned();
        let target = |page: &PageView| named.target(page.frame).to_owned();
        let rows = rows(predicted, seen, &model, &target);
        let mut now = BTreeSet::new();
        for (label, model, target) in rows {
            let one_side = predicted.is_none() || seen.is_none();
            let differs = model != target && !one_side;
            let row = (label, model, target);
            if differs || !self.shown.contains(&row) {
                self.row(if differs { '!' } else { ' ' }, &row.0, &row.1, &row.2);
            }
            now.insert(row);
        }
        if predicted.is_some() || seen.is_some() {
            self.shown = now;
        }
        named
    }

    /// What a registration cost.
    /// What a completion contains, where it is wrong.
    fn completions(&mut self, op: Op, step: Option<&Step>) {
        let wrong = step.and_then(|step| completion_parts(op, &step.outcome, &step.completions));
        if let Some((model, target)) = wrong {
            self.row('!', "completion", &model, &target);
        }
    }

    fn bill(&mut self, bill: &Bill) {
        let text = |cost: Option<Cost>| cost.map_or("-".to_owned(), |cost| cost.to_string());
        self.row(' ', "bill", &text(bill.model), &text(bill.target));
    }

    /// Which frames each MR holds.
    fn held(&mut self, held: &[Held], named: &Named) {
        for held in held {
            let frames: Vec<&str> = held.frames.iter().map(|f| named.model(f.frame)).collect();
            self.row(' ', &format!("{} holds", held.mr), &frames.join(" "), "(no kernel tells)");
        }
    }

    fn log(&mut self, log: &str) {
        for line in log.lines().filter(|line| !line.trim().is_empty()) {
            self.line(&format!("     | {}", line.trim_end()));
        }
    }

    fn divergence(&mut self, divergence: &Divergence) {
        let place = format!("^^^  {} diverges: {}", divergence.oracle, divergence.class);
        self.line(&place);
        for line in divergence.detail.lines() {
            self.line(&format!("     {line}"));
        }
    }

    fn end(&mut self, trace: &Trace) {
        match &trace.end {
            End::Finished { teardown, kernel_log } => {
                self.line("end");
                let none = left(Teardown::default());
                let seen = left(*teardown);
                for ((label, model), (_, target)) in none.iter().zip(&seen) {
                    self.row(if model == target { ' ' } else { '!' }, label, model, target);
                }
                self.log(kernel_log);
            }
            End::Hung { kernel_log } => {
                self.line("end: hung");
                self.log(kernel_log);
            }
            End::Died { kernel_log } => {
                self.line("end: the kernel died");
                self.log(kernel_log);
            }
        }
    }

    fn verdict(&mut self, sequence: &Sequence, verdict: &Verdict) {
        match verdict {
            Verdict::Agrees => self.line("agrees"),
            Verdict::Inconclusive { reason } => self.line(&format!("inconclusive: {reason}")),
            Verdict::Diverges(divergence) => {
                if divergence.op_index >= sequence.ops.len() {
                    self.divergence(divergence);
                }
                let Divergence { oracle, predicted, seen, .. } = divergence;
                self.line(&format!("diverges ({oracle})"));
                self.line(&format!("  predicted {predicted}"));
                self.line(&format!("  seen      {seen}"));
            }
        }
    }
}

/// What is left at the end, in rows that have room for it.
fn left(teardown: Teardown) -> [(&'static str, String); 3] {
    let Teardown { pins, anon_pages, shmem_pages, locked_pages, ksm_pages, rdma, huge } = teardown;
    [
        ("left", format!("pins {pins}, anon {anon_pages}, shmem {shmem_pages}")),
        ("", format!("locked {locked_pages}, ksm {ksm_pages}, {}", rdma_text(rdma))),
        ("", huge_text(huge)),
    ]
}

fn rdma_text(rdma: RdmaCounts) -> String {
    format!("mrs {}, objects {}", rdma.mrs, rdma.cgroup_objects)
}

fn huge_text(huge: HugePool) -> String {
    format!("free {}, reserved {}", huge.free, huge.reserved)
}

/// Label, model's side and target's side of everything in a state.
fn rows(
    predicted: Option<&Checkpoint>,
    seen: Option<&Checkpoint>,
    model: &impl Fn(&PageView) -> String,
    target: &impl Fn(&PageView) -> String,
) -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    let both = || predicted.into_iter().chain(seen);
    let procs: BTreeSet<Proc> = both().flat_map(|c| c.procs.iter().map(|p| p.proc)).collect();
    for proc in procs {
        let view = |side: Option<&'_ Checkpoint>| side.and_then(|c| proc_of(c, proc)).cloned();
        let (a, b) = (view(predicted), view(seen));
        let counters = |view: &Option<ProcView>| view.as_ref().map_or("-".to_owned(), counters);
        rows.push((format!("{proc} pages"), counters(&a), counters(&b)));
        let more = |view: &Option<ProcView>| view.as_ref().map_or("-".to_owned(), more_counters);
        rows.push((format!("{proc} also"), more(&a), more(&b)));
        let pages: BTreeSet<u8> =
            [&a, &b].into_iter().flatten().flat_map(|v| v.pages.iter().map(|p| p.page)).collect();
        for page in pages {
            let text = |view: &Option<ProcView>, name: &dyn Fn(&PageView) -> String| {
                let page = view.as_ref()?.pages.iter().find(|p| p.page == page)?;
                Some(page_text(page, &name(page)))
            };
            let absent = || "-".to_owned();
            let texts = (text(&a, model), text(&b, target));
            rows.push((
                format!("{proc} page {}", page_name(page)),
                texts.0.unwrap_or_else(absent),
                texts.1.unwrap_or_else(absent),
            ));
        }
    }
    let mrs: BTreeSet<_> = both().flat_map(|c| c.mrs.iter().map(|view| view.mr)).collect();
    for mr in mrs {
        let text = |side: Option<&Checkpoint>| {
            let view = side.and_then(|c| c.mrs.iter().find(|view| view.mr == mr));
            view.map_or("-".to_owned(), |view| match &view.bytes {
                Ok(runs) => bytes_text(runs),
                Err(status) => status.to_string(),
            })
        };
        rows.push((mr.to_string(), text(predicted), text(seen)));
    }
    let whole = |side: Option<&Checkpoint>, text: &dyn Fn(&Checkpoint) -> String| {
        side.map_or("-".to_owned(), text)
    };
    if predicted.is_some() || seen.is_some() {
        let pins = |c: &Checkpoint| format!("{}, charged {}", c.pins, c.charged);
        rows.push(("pins".to_owned(), whole(predicted, &pins), whole(seen, &pins)));
        let rdma = |c: &Checkpoint| rdma_text(c.rdma);
        rows.push(("rdma".to_owned(), whole(predicted, &rdma), whole(seen, &rdma)));
        let pool = |c: &Checkpoint| huge_text(c.huge);
        if both().any(|c| c.huge != HugePool::default()) {
            rows.push(("huge".to_owned(), whole(predicted, &pool), whole(seen, &pool)));
        }
    }
    rows
}

fn proc_of(checkpoint: &Checkpoint, proc: Proc) -> Option<&ProcView> {
    checkpoint.procs.iter().find(|view| view.proc == proc)
}

fn counters(view: &ProcView) -> String {
    format!("anon {}, shmem {}, vm_pin {}", view.rss_anon, view.rss_shmem, view.vm_pin)
}

fn more_counters(view: &ProcView) -> String {
    let ProcView { rss_file, vm_lck, vm_swap, pss_kib, huge, guards, .. } = view;
    let huge = if *huge == 0 { String::new() } else { format!(", huge {huge}") };
    let guards = if *guards == 0 { String::new() } else { format!(", guards {guards}") };
    format!("file {rss_file}, lck {vm_lck}, swap {vm_swap}, pss {pss_kib} KiB{huge}{guards}")
}

/// `A file shared 0x22`: the frame, whose it is, and what is in it.
fn page_text(page: &PageView, name: &str) -> String {
    let kind = if page.file_or_shared { " file" } else { "" };
    let mapped = if page.exclusively_mapped { "" } else { " shared" };
    let bytes = page.bytes.as_ref().map_or("unreadable".to_owned(), bytes_text);
    format!("{name}{kind}{mapped} {bytes}")
}

/// Bytes in what room there is: the first runs, and how many more.
pub(crate) fn bytes_text(runs: &Runs) -> String {
    const RUNS_MAX: usize = 2;
    let count = runs.iter().count();
    if count <= RUNS_MAX {
        return runs.to_string();
    }
    let first: Vec<String> =
        runs.iter().take(RUNS_MAX).map(|(len, byte)| format!("{byte:#04x}*{len}")).collect();
    format!("{} +{} runs", first.join(" "), count - RUNS_MAX)
}

/// `text` in at most `columns` columns.
fn clipped(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let head: String = text.chars().take(columns - 1).collect();
    format!("{head}~")
}

#[cfg(test)]
mod tests;
