//! The report as Markdown: the same facts, for a mail or an issue.

use pinfold_contract::page_name;

use super::comparison::{Comparison, FrameCell, FrameKind, compare};
use super::facts::{counters, facts};
use super::finding_page::{kernel_log, minimal, provenance_rows, reliability};
use super::page::headline;
use super::tables::{cost, cost_cells, value};
use super::timeline::timeline;
use super::{Evidence, FindingReport, KnownNote, Preface, RunNumbers, RunReport, Side, visible};
use crate::defects::known_counts;
use crate::explain::bytes_text;
use crate::tally::KindTally;

/// The report as a Markdown text.
pub fn markdown(report: &RunReport) -> String {
    let mut text = Text::default();
    text.line(&format!("# Pinfold: {}", plain(&headline(report))));
    text.line("");
    text.line(&format!("Target {}, kernel {}.", code(&report.target), code(&report.kernel)));
    text.line("");
    if let Some(said) = &report.preface {
        preface(&mut text, said);
    }
    match &report.run {
        Some(run) => run_numbers(&mut text, run),
        None => text.line(
            "There is no summary: the run was interrupted or still goes on. What it found until then is below.",
        ),
    }
    for line in &report.unreadable {
        text.line("");
        text.line(&format!("Not read: {}", plain(line)));
    }
    if !report.findings.is_empty() {
        index(&mut text, report);
    }
    for (number, finding) in (1..).zip(&report.findings) {
        section(&mut text, number, finding);
    }
    if let Some(run) = &report.run {
        vacuity(&mut text, run);
    }
    text.line("");
    text.line(&format!("Made by pinfold {} from {}.", plain(&report.tool), code(&report.place)));
    text.0
}

/// The text so far.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn heading(&mut self, level: usize, heading: &str) {
        self.line(&format!("\n{} {}\n", "#".repeat(level), plain(heading)));
    }

    /// `rows` under `header`; cells are plain text.
    fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        self.line(&format!("| {} |", header.join(" | ")));
        self.line(&format!("|{}", " --- |".repeat(header.len())));
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
            self.line(&format!("| {} |", cells.join(" | ")));
        }
    }

    /// `content` as it is, whatever is in it.
    fn block(&mut self, content: &str) {
        let content = visible(content);
        let fence = fence(&content, 3);
        self.line(&format!("{fence}text\n{}\n{fence}", content.trim_end()));
    }
}

fn preface(text: &mut Text, preface: &Preface) {
    for line in &preface.lines {
        text.line(&format!("- {}", plain(line)));
    }
    for (title, header, rows) in &preface.tables {
        text.heading(2, title);
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        text.table(&header, rows);
    }
    text.line("");
}

fn run_numbers(text: &mut Text, run: &RunNumbers) {
    text.line(&format!(
        "{} sequences of {} ops in {:.1} s ({} sequences and {} ops a second), rng seed {}, by the rules of {}: \
         **{} agree, {} diverge, {}, {} inconclusive**.",
        run.sequences,
        run.ops,
        run.seconds,
        run.rate(run.sequences),
        run.rate(run.ops),
        run.rng_seed,
        plain(&run.rules),
        run.agrees,
        run.diverges,
        known_counts(run.known, run.presumed),
        run.inconclusive_count()
    ));
    for (reason, count) in &run.inconclusive {
        text.line(&format!("- inconclusive, {}: {count}", plain(reason)));
    }
}

fn index(text: &mut Text, report: &RunReport) {
    text.heading(2, "Findings");
    let row = |(number, finding): (usize, &FindingReport)| {
        let known = match &finding.known {
            None => "",
            Some(KnownNote { presumed: None, .. }) => " (known)",
            Some(KnownNote { presumed: Some(_), .. }) => " (known, presumed)",
        };
        vec![
            number.to_string(),
            format!("{}{known}", finding.title()),
            finding.signature.to_string(),
            finding.count.map_or("-".to_owned(), |count| count.to_string()),
            reliability(finding),
        ]
    };
    let rows: Vec<Vec<String>> = (1..).zip(&report.findings).map(row).collect();
    text.table(&["", "what", "signature", "sequences", "came again"], &rows);
}

fn section(text: &mut Text, number: usize, finding: &FindingReport) {
    text.heading(2, &format!("{number}. {}", finding.title()));
    let divergence = finding.divergence();
    text.line(&format!("- signature: {}", code(finding.signature.as_str())));
    text.line(&format!("- a right kernel: {}", code(&divergence.predicted)));
    text.line(&format!("- this kernel: {}", code(&divergence.seen)));
    text.line(&format!("- as short as can be: {}", minimal(finding)));
    if let Some(known) = &finding.known {
        text.line(&format!("- {}: {}", plain(&known.word()), plain(&known.title)));
        if !known.report.is_empty() {
            text.line(&format!("  {} ({})", plain(&known.report), code(&known.source)));
        }
    }
    match &finding.evidence {
        Some(evidence) => told(text, finding, evidence),
        None => {
            text.line("\nThe bundle has no trace that can be read.\n");
            text.block(&format!("{}\n\n{}", finding.recorded.detail, finding.account));
        }
    }
    text.heading(3, "To repeat it");
    text.block(&finding.repeat);
    text.line("");
    for (name, value) in provenance_rows(finding) {
        text.line(&format!("- {name}: {}", plain(&value)));
    }
}

fn told(text: &mut Text, finding: &FindingReport, evidence: &Evidence) {
    let op_index = finding.divergence().op_index;
    let comparison = compare(evidence, op_index);
    text.line("");
    for fact in facts(evidence, &comparison, op_index) {
        text.line(&format!("- {}", plain(&fact)));
    }
    text.heading(3, "What was done");
    ops(text, evidence, op_index);
    text.heading(3, "Who has which memory");
    picture(text, &comparison);
    text.heading(3, "What memory is charged for, in pages, before and after");
    let rows: Vec<Vec<String>> = counters(evidence, op_index)
        .iter()
        .map(|c| {
            let values = [c.before.model, c.after.model, c.before.target, c.after.target];
            let mark = if c.differs() { " (!)" } else { "" };
            let mut row = vec![format!("{}{mark}", c.name)];
            row.extend(values.map(value));
            row
        })
        .collect();
    text.table(&["", "model before", "after", "kernel before", "after"], &rows);
    bills(text, evidence);
    let log = kernel_log(evidence);
    if !log.is_empty() {
        text.heading(3, "What the kernel logged");
        text.block(&log);
    }
}

fn ops(text: &mut Text, evidence: &Evidence, op_index: usize) {
    let rows: Vec<Vec<String>> = timeline(evidence, op_index)
        .rows
        .into_iter()
        .map(|row| {
            let mark = if row.diverges { "**!** " } else { "" };
            vec![format!("{mark}{}", row.index), row.op, row.gloss, row.predicted, row.seen]
        })
        .collect();
    text.line("| op | | | right | seen |\n| --- | --- | --- | --- | --- |");
    for row in rows {
        let cells: Vec<String> = row[1..].iter().map(|cell| plain(cell)).collect();
        text.line(&format!("| {} | {} |", row[0], cells.join(" | ")));
    }
}

fn picture(text: &mut Text, comparison: &Comparison) {
    let mut rows = Vec::new();
    for row in &comparison.pages {
        let cell = |side: Side| match row.cells.of(side) {
            None => "not present".to_owned(),
            Some(cell) => {
                let frame = frame_text(comparison, side, &cell.frame);
                let was = cell.was_on.as_ref().map(|was| format!(", was on {was}"));
                format!("{frame}{}", was.unwrap_or_default())
            }
        };
        let mark = if row.differs() { "! " } else { "" };
        let place = format!("{mark}{} page {}", row.proc, page_name(row.page));
        rows.push(vec![place, cell(Side::Model), cell(Side::Target)]);
    }
    for row in &comparison.parts {
        let cell = |side: Side| match row.cells.of(side) {
            None => "not there".to_owned(),
            Some(cell) => {
                let bytes = match &cell.bytes {
                    Ok(runs) => bytes_text(runs),
                    Err(status) => status.to_string(),
                };
                let doubt = if side == Side::Target { ", inferred" } else { "" };
                let frame = cell.frame.as_ref().map(|frame| format!(" on {frame}{doubt}"));
                format!("reads {bytes}{}", frame.unwrap_or_default())
            }
        };
        let mark = if row.differs() { "! " } else { "" };
        let place = format!("{mark}{} page {}", row.mr, page_name(row.page));
        rows.push(vec![place, cell(Side::Model), cell(Side::Target)]);
    }
    text.table(&["", "model", "kernel"], &rows);
    text.line(
        "\nCapital letters are frames of the model and their counterparts, small ones frames that only the kernel \
         has, 0 the zero page.",
    );
}

/// `A (0x22, pinned)`.
fn frame_text(comparison: &Comparison, side: Side, name: &str) -> String {
    let row = comparison.frames.iter().find(|row| row.name == name);
    let Some(cell) = row.and_then(|row| row.cells.of(side).as_ref()) else {
        return name.to_owned();
    };
    let FrameCell { kind, bytes, pin_count, .. } = cell;
    let mut notes: Vec<String> = bytes.iter().map(bytes_text).collect();
    match kind {
        FrameKind::Zero => notes.push("zero page".to_owned()),
        FrameKind::File => notes.push("file or shared page".to_owned()),
        FrameKind::Anonymous | FrameKind::Unseen => {}
    }
    if *pin_count > 0 {
        notes.push("pinned".to_owned());
    }
    format!("{name} ({})", notes.join(", "))
}

fn bills(text: &mut Text, evidence: &Evidence) {
    let bills = crate::explain::bills(&evidence.sequence, &evidence.predicted, &evidence.trace);
    if bills.is_empty() {
        return;
    }
    text.heading(3, "The memory bill of each registration");
    let mut rows = Vec::new();
    for bill in &bills {
        for side in Side::BOTH {
            let mut row =
                vec![format!("op {}, {}", bill.op_index, bill.mr), side.name().to_owned()];
            row.extend(cost_cells(cost(bill, side)));
            rows.push(row);
        }
    }
    let header = ["", "", "frames allocated", "COW broken", "bytes pinned", "bytes resident"];
    text.table(&header, &rows);
}

fn vacuity(text: &mut Text, run: &RunNumbers) {
    text.heading(2, "What the ops did");
    let none = KindTally::default();
    let rows: Vec<Vec<String>> = pinfold_contract::OpKind::ALL
        .into_iter()
        .map(|kind| {
            let tally = run.kinds.get(&kind).unwrap_or(&none);
            let refused: Vec<String> =
                tally.refused.iter().map(|(name, count)| format!("{name} {count}")).collect();
            vec![
                kind.to_string(),
                tally.done.to_string(),
                tally.refused_count().to_string(),
                tally.skipped.to_string(),
                tally.unfinished.to_string(),
                refused.join(", "),
            ]
        })
        .collect();
    text.table(&["op", "done", "refused", "skipped", "unfinished", "refused with"], &rows);
    text.line(&format!("\n{}", run.refusals_sentence()));
    let never: Vec<Vec<String>> = run
        .never_seen
        .iter()
        .map(|(name, why)| vec![name.clone(), why.as_deref().unwrap_or("not yet").to_owned()])
        .collect();
    if !never.is_empty() {
        text.line("");
        text.table(&["not seen", "why"], &never);
    }
}

/// `text` in one line, with nothing in it that Markdown or HTML would act on.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in visible(text).chars() {
        match c {
            '\n' | '\t' => out.push(' '),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// `text` as code, in one line.
fn code(text: &str) -> String {
    let text = visible(text).replace(['\n', '\t'], " ");
    let fence = fence(&text, 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// More backticks than `text` has in a row, and at least `least`.
fn fence(text: &str, least: usize) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(least.max(longest + 1))
}
