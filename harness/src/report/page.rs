//! The page as a whole. Well-formed as XML too, so that a strict parser can read it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    FindingReport, KnownNote, Preface, RunNumbers, RunReport, finding_page, tables, visible,
};
use crate::defects::known_counts;

const STYLE: &str = include_str!("style.css");

/// Void elements, closed as XML wants it; and the browser's promise to fetch nothing.
const HEAD: &str = concat!(
    "<meta charset='utf-8'/>",
    "<meta name='viewport' content='width=device-width, initial-scale=1'/>",
    "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\"/>",
);

/// The report as one HTML page that needs nothing but itself.
pub fn html(report: &RunReport) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (PreEscaped(HEAD))
                title { "Pinfold: " (visible(&report.target)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { (heading(report)) }
                main {
                    @if let Some(said) = &report.preface { (preface(said)) }
                    (gist(report))
                    @if !report.findings.is_empty() { (index(report)) }
                    @for (number, finding) in (1..).zip(&report.findings) {
                        (finding_page::section(number, finding))
                    }
                    @if let Some(run) = &report.run { (tables::vacuity(run)) }
                }
                footer {
                    p { "Made by pinfold " (visible(&report.tool)) " from what is on disk in "
                        code { (visible(&report.place)) } "." }
                }
            }
        }
    };
    page.into_string()
}

fn heading(report: &RunReport) -> Markup {
    html! {
        p.eyebrow { "Pinfold report" }
        h1 { (headline(report)) }
        p.meta {
            "target " code { (visible(&report.target)) } ", kernel " code { (visible(&report.kernel)) }
        }
    }
}

fn preface(preface: &Preface) -> Markup {
    html! {
        section {
            ul { @for line in &preface.lines { li { (visible(line)) } } }
        }
        @for (title, header, rows) in &preface.tables {
            section {
                h2 { (visible(title)) }
                div.scroll { table {
                    thead { tr { @for cell in header { th { (visible(cell)) } } } }
                    tbody { @for row in rows { tr { @for cell in row { td { (visible(cell)) } } } } }
                } }
            }
        }
    }
}

/// What came out, in one line.
pub(super) fn headline(report: &RunReport) -> String {
    if let Some(preface) = &report.preface {
        return preface.title.clone();
    }
    let notes: Vec<&KnownNote> =
        report.findings.iter().filter_map(|finding| finding.known.as_ref()).collect();
    let new = report.findings.len() - notes.len();
    let presumed = notes.iter().filter(|note| note.presumed.is_some()).count();
    let known_text = match notes.len() {
        0 => String::new(),
        known => format!(", and {}", known_counts(known, presumed as u64)),
    };
    match new {
        0 => format!("Nothing unexplained diverged{known_text}"),
        1 => format!("The kernel does not do what the model allows, in 1 way{known_text}"),
        _ => format!("The kernel does not do what the model allows, in {new} ways{known_text}"),
    }
}

fn gist(report: &RunReport) -> Markup {
    html! {
        section.gist {
            @match &report.run {
                Some(run) => { (verdicts(run)) }
                None => p.warning {
                    "There is no summary: the run was interrupted or still goes on. What it found until then is \
                     below; what it counted is not known."
                }
            }
            @if !report.unreadable.is_empty() {
                p.warning { "Not read:" }
                ul.warning { @for line in &report.unreadable { li { (visible(line)) } } }
            }
        }
    }
}

fn verdicts(run: &RunNumbers) -> Markup {
    let inconclusive = run.inconclusive_count();
    let known_words = match run.presumed {
        0 => "diverge, known".to_owned(),
        presumed => format!("diverge, known ({presumed} presumed)"),
    };
    let parts = [
        ("agree", run.agrees, "agree"),
        ("diverge", run.diverges, "diverge, unexplained"),
        ("known", run.known, known_words.as_str()),
        ("unsure", inconclusive, "inconclusive"),
    ];
    html! {
        div.bar aria-hidden="true" {
            @for (class, count, _) in parts {
                @if count > 0 { span class=(class) style={ "flex-grow:" (count) } {} }
            }
        }
        dl.verdicts {
            @for (class, count, words) in parts {
                div class=(class) { dt { (words) } dd { (count) } }
            }
        }
        p.meta {
            (run.sequences) " sequences of " (run.ops) " ops in " (format!("{:.1}", run.seconds)) " s: "
            (run.rate(run.sequences)) " sequences and " (run.rate(run.ops)) " ops a second; "
            (run.executed_ops_median) " ops of a sequence were executed in the median; rng seed "
            code { (run.rng_seed) } ", by the rules of " code { (visible(&run.rules)) }
        }
        @if inconclusive > 0 {
            p.meta { "Inconclusive: "
                @for (index, (reason, count)) in run.inconclusive.iter().enumerate() {
                    @if index > 0 { ", " } (visible(reason)) " " (count)
                }
            }
        }
    }
}

fn index(report: &RunReport) -> Markup {
    html! {
        section {
            h2 { "Findings" }
            div.scroll { table.index {
                thead { tr {
                    th { "" } th { "what" } th.number { "sequences" } th.number { "ops" } th { "came again" }
                } }
                tbody { @for (number, finding) in (1..).zip(&report.findings) {
                    (index_row(number, finding))
                } }
            } }
        }
    }
}

fn index_row(number: usize, finding: &FindingReport) -> Markup {
    let count = finding.count.map_or("-".to_owned(), |count| count.to_string());
    let ops =
        finding.evidence.as_ref().map_or("-".to_owned(), |e| e.sequence.ops.len().to_string());
    html! { tr {
        td.number { (number) }
        td {
            a href={ "#finding-" (number) } { (visible(&finding.title())) }
            @if let Some(known) = &finding.known { " " (finding_page::known_tag(known)) }
            div.sub { code { (finding.signature) } }
        }
        td.number { (count) }
        td.number { (ops) }
        td { (finding_page::reliability(finding)) }
    } }
}
