//! One finding on the page.

use maud::{Markup, html};

use super::comparison::{Comparison, compare};
use super::facts::facts;
use super::timeline::{Lane, Row, timeline};
use super::{Evidence, FindingReport, KnownNote, Side, picture, tables, visible};

/// The section of one finding.
pub(super) fn section(number: usize, finding: &FindingReport) -> Markup {
    html! {
        article id={ "finding-" (number) } {
            p.eyebrow { "Finding " (number) }
            h2 { (visible(&finding.title())) }
            p.meta { code { (finding.signature) }
                @if let Some(known) = &finding.known { " " (known_tag(known)) }
            }
            @if let Some(known) = &finding.known {
                p.known { strong { (visible(&known.word())) ": " (visible(&known.title)) }
                    @if !known.report.is_empty() {
                        " " (visible(&known.report)) " (" code { (visible(&known.source)) } ")"
                    }
                }
            }
            @match &finding.evidence {
                Some(evidence) => { (told(finding, evidence)) }
                None => { (untold(finding)) }
            }
            (provenance(finding))
        }
    }
}

/// `known`, and that it is only presumed.
pub(super) fn known_tag(known: &KnownNote) -> Markup {
    let text = if known.presumed.is_some() { "known, presumed" } else { "known" };
    html! { span.tag.known { (text) } }
}

fn told(finding: &FindingReport, evidence: &Evidence) -> Markup {
    let op_index = finding.divergence().op_index;
    let comparison = compare(evidence, op_index);
    let facts = facts(evidence, &comparison, op_index);
    html! {
        @if evidence.divergence.is_none() {
            p.warning { "This version's model does not see a divergence in the trace kept here; what was \
                         recorded when it was found: " (visible(&finding.recorded.detail)) }
        }
        (sides(finding))
        @if !facts.is_empty() {
            ul.facts { @for fact in &facts { li { (visible(fact)) } } }
        }
        h3 { "Who has which memory, " (when(evidence, op_index)) }
        (pictures(evidence, &comparison, op_index))
        h3 { "What was done" }
        (ops(evidence, op_index))
        h3 { "What memory is charged for, in pages, before and after" }
        (tables::counters(evidence, op_index))
        (tables::bills(evidence))
        (log(evidence))
    }
}

fn sides(finding: &FindingReport) -> Markup {
    let divergence = finding.divergence();
    html! {
        dl.sides {
            div { dt { "A right kernel" } dd { (visible(&divergence.predicted)) } }
            div.wrong { dt { "This kernel" } dd { (visible(&divergence.seen)) } }
        }
    }
}

/// After which op, in words.
fn when(evidence: &Evidence, op_index: usize) -> String {
    match evidence.sequence.ops.get(op_index) {
        Some(op) => format!("after op {op_index} ({})", op.kind()),
        None => "at the end".to_owned(),
    }
}

fn pictures(evidence: &Evidence, comparison: &Comparison, op_index: usize) -> Markup {
    let last = evidence.sequence.ops.len().saturating_sub(1);
    let wanted = op_index.min(last);
    let caption = |side: Side| match comparison.at.of(side) {
        Some(at) if *at == wanted => String::new(),
        Some(at) => format!(", as it was after op {at}: later it was not looked at"),
        None => ", which was not looked at".to_owned(),
    };
    html! {
        div.pictures {
            figure {
                figcaption { "Right: the model" (caption(Side::Model)) }
                (picture::picture(comparison, Side::Model))
            }
            figure {
                figcaption { "Seen: the kernel" (caption(Side::Target)) }
                (picture::picture(comparison, Side::Target))
            }
        }
        (picture::legend())
        @if comparison.left_out > 0 {
            p.meta { (comparison.left_out) " more pages are not drawn." }
        }
    }
}

fn ops(evidence: &Evidence, op_index: usize) -> Markup {
    let timeline = timeline(evidence, op_index);
    html! {
        div.scroll { table.timeline {
            thead { tr {
                th.number { "op" }
                @for lane in &timeline.lanes { th.lane { (lane) } }
                th { "" } th { "result" }
            } }
            tbody { @for row in &timeline.rows { (op_row(row)) } }
        } }
    }
}

fn op_row(row: &Row) -> Markup {
    let class = if row.diverges { "here" } else { "" };
    html! { tr class=(class) {
        td.number { (row.index) }
        @for lane in &row.lanes { td class={ "lane " (lane_class(*lane)) } { span {} } }
        td { code { (row.op) } div.sub { (row.gloss) } }
        td.result {
            @if row.is_right {
                (row.seen)
            } @else {
                div { span.sub { "right " } (row.predicted) }
                div.wrong { span.sub { "seen " } (row.seen) }
            }
            @if row.diverges { div.wrong { strong { "◂ here they part" } } }
        }
    } }
}

fn lane_class(lane: Lane) -> &'static str {
    match lane {
        Lane::Empty => "empty",
        Lane::Alive => "alive",
        Lane::Acts => "alive acts",
        Lane::Born => "alive acts born",
        Lane::Ends => "alive acts ends",
    }
}

fn log(evidence: &Evidence) -> Markup {
    let lines = kernel_log(evidence);
    html! {
        h3 { "What the kernel logged" }
        @if lines.is_empty() { p.meta { "Nothing." } } @else { pre { (visible(&lines)) } }
    }
}

/// Everything that was logged, with the op it was logged in.
pub(super) fn kernel_log(evidence: &Evidence) -> String {
    let mut text = String::new();
    let mut push = |place: String, log: &str| {
        if !log.trim().is_empty() {
            text.push_str(&format!("[{place}]\n{}\n", log.trim_end()));
        }
    };
    for (index, step) in evidence.trace.steps.iter().enumerate() {
        push(format!("op {index}"), &step.kernel_log);
    }
    let next = evidence.trace.steps.len();
    match &evidence.trace.end {
        pinfold_contract::End::Finished { kernel_log, .. } => {
            push("after the last op".to_owned(), kernel_log);
        }
        pinfold_contract::End::Hung { kernel_log } => push(format!("op {next}, hung"), kernel_log),
        pinfold_contract::End::Died { kernel_log } => push(format!("op {next}, died"), kernel_log),
    }
    text
}

/// What can be said without a trace.
fn untold(finding: &FindingReport) -> Markup {
    html! {
        p.warning { "The bundle has no trace that can be read, so there is no picture." }
        (sides(finding))
        p { (visible(&finding.recorded.detail)) }
        @if !finding.account.is_empty() { pre { (visible(&finding.account)) } }
    }
}

/// `3 of 3 times`.
pub(super) fn reliability(finding: &FindingReport) -> String {
    finding
        .reliability
        .map_or("not repeated".to_owned(), |(again, of)| format!("{again} of {of} times"))
}

/// How short the sequence is, in words.
pub(super) fn minimal(finding: &FindingReport) -> &'static str {
    match finding.minimal {
        Some(true) => "yes: no op can go",
        Some(false) => "no: it may become shorter",
        None => "not minimized",
    }
}

/// Everything one has to know to repeat it, as name and value.
pub(super) fn provenance_rows(finding: &FindingReport) -> Vec<(&'static str, String)> {
    vec![
        ("Target", finding.target.clone()),
        ("Kernel", finding.kernel.clone()),
        ("Found by", format!("pinfold {}", finding.tool)),
        ("Sequence", format!("{} of rng seed {}", finding.index, finding.rng_seed)),
        (
            "State looked at",
            format!("after {}", if finding.observe == "each" { "each op" } else { "the last op" }),
        ),
        ("Came again", reliability(finding)),
        ("As short as can be", minimal(finding).to_owned()),
        ("Bundle", finding.place.clone()),
        ("In it", finding.files.join(", ")),
        (
            "More bundles",
            if finding.others.is_empty() { "none".to_owned() } else { finding.others.join(", ") },
        ),
    ]
}

fn provenance(finding: &FindingReport) -> Markup {
    html! {
        h3 { "To repeat it" }
        pre.command { (visible(&finding.repeat)) }
        dl.provenance {
            @for (name, value) in provenance_rows(finding) {
                div { dt { (name) } dd { (visible(&value)) } }
            }
        }
    }
}
