//! Numbers in tables.

use maud::{Markup, html};
use pinfold_contract::OpKind;

use super::facts::{self, Counter};
use super::{Evidence, RunNumbers, Side, visible};
use crate::explain::{Bill, Cost};
use crate::tally::KindTally;

/// Counters before and after the op, on both sides.
pub(super) fn counters(evidence: &Evidence, op_index: usize) -> Markup {
    html! {
        div.scroll { table.numbers {
            thead {
                tr { th rowspan="2" { "" } th colspan="2" { "model" } th colspan="2" { "kernel" } }
                tr { th.number { "before" } th.number { "after" } th.number { "before" } th.number { "after" } }
            }
            tbody { @for counter in facts::counters(evidence, op_index) { (counter_row(&counter)) } }
        } }
    }
}

fn counter_row(counter: &Counter) -> Markup {
    let class = if counter.differs() { "number wrong" } else { "number" };
    html! { tr {
        th { (counter.name) }
        td.number { (value(counter.before.model)) }
        td.number { (value(counter.after.model)) }
        td.number { (value(counter.before.target)) }
        td class=(class) { (value(counter.after.target)) }
    } }
}

pub(super) fn value(value: Option<i64>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

/// The memory bill of each registration.
pub(super) fn bills(evidence: &Evidence) -> Markup {
    let bills = crate::explain::bills(&evidence.sequence, &evidence.predicted, &evidence.trace);
    html! {
        @if !bills.is_empty() {
            h3 { "The memory bill of each registration" }
            div.scroll { table.numbers {
                thead { tr {
                    th { "" } th { "" } th.number { "frames allocated" } th.number { "COW broken" }
                    th.number { "bytes pinned" } th.number { "bytes resident" }
                } }
                tbody { @for bill in &bills { @for side in Side::BOTH { (bill_row(bill, side)) } } }
            } }
        }
    }
}

fn bill_row(bill: &Bill, side: Side) -> Markup {
    let cost = cost(bill, side);
    let differs = side == Side::Target && bill.target.is_some() && bill.target != bill.model;
    let class = if differs { "wrong" } else { "" };
    html! { tr class=(class) {
        @if side == Side::Model { th rowspan="2" { "op " (bill.op_index) ", " (bill.mr) } }
        td { (side.name()) }
        @for cell in cost_cells(cost) { td.number { (cell) } }
    } }
}

pub(super) fn cost(bill: &Bill, side: Side) -> Option<Cost> {
    match side {
        Side::Model => bill.model,
        Side::Target => bill.target,
    }
}

pub(super) fn cost_cells(cost: Option<Cost>) -> [String; 4] {
    let Some(cost) = cost else { return std::array::from_fn(|_| "-".to_owned()) };
    [
        cost.frames_allocated.to_string(),
        cost.cow_broken.to_string(),
        cost.pinned_bytes.to_string(),
        cost.resident_bytes.to_string(),
    ]
}

/// What the ops of a run did.
pub(super) fn vacuity(run: &RunNumbers) -> Markup {
    html! {
        section {
            h2 { "What the ops did" }
            p.meta { "An op that never once worked says nothing, however many sequences agree." }
            div.scroll { table.numbers {
                thead { tr {
                    th { "op" } th.number { "done" } th.number { "refused" } th.number { "skipped" }
                    th.number { "unfinished" } th { "refused with" }
                } }
                tbody { @for kind in OpKind::ALL { (kind_row(run, kind)) } }
            } }
            p.meta { (run.refusals_sentence()) }
            @if !run.never_seen.is_empty() {
                details { summary { "Not seen" } ul { @for (name, why) in &run.never_seen {
                    li { code { (visible(name)) } ": " (visible(why.as_deref().unwrap_or("not yet"))) }
                } } }
            }
        }
    }
}

fn kind_row(run: &RunNumbers, kind: OpKind) -> Markup {
    let none = KindTally::default();
    let tally = run.kinds.get(&kind).unwrap_or(&none);
    let refused = tally.refused.iter().map(|(name, count)| format!("{name} {count}"));
    let class = if tally.done == 0 { "number wrong" } else { "number" };
    html! { tr {
        th { code { (kind) } }
        td class=(class) { (tally.done) }
        td.number { (tally.refused_count()) }
        td.number { (tally.skipped) }
        td.number { (tally.unfinished) }
        td { (visible(&refused.collect::<Vec<_>>().join(", "))) }
    } }
}
