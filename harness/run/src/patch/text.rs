//! What a person reads of a patch: ten lines first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pinfold::defects::{known_counts, known_word};
use pinfold::patch::{Priced, Question, Sum, Sums};
use pinfold::report::Preface;

use super::report::{Change, PatchReport, PatchVerdict};

/// The whole text.
pub(super) fn text(report: &PatchReport) -> String {
    let mut text = lines(report).join("\n");
    text.push('\n');
    for (heading, changes) in [
        ("new: the patched kernel does it, the base does not", &report.new),
        ("cured: the base does it, the patched kernel does not", &report.cured),
        (
            "unsettled: one kernel does it; the other does something else, or was not asked",
            &report.unsettled,
        ),
        ("on both, and not in the list of what is known", &unexplained(&report.common)),
    ] {
        if !changes.is_empty() {
            write!(text, "\n{heading}\n").expect("a string takes everything");
            changes.iter().for_each(|change| text.push_str(&account(change)));
        }
    }
    text.push_str(&prices(&report.bill.prices));
    if let Some(boot) = &report.boot {
        write!(text, "\nthe end of its console\n{}\n", indented(&boot.console))
            .expect("a string takes everything");
    }
    text
}

/// The verdict: what a person wants to know first, each in a line.
fn lines(report: &PatchReport) -> Vec<String> {
    let mut lines = vec![headline(report)];
    if report.boot.is_none() {
        lines.extend(Question::ALL.map(|question| answer(report, question)));
        lines.push(format!("cured      {}", cured(report)));
        lines.push(format!("memory     {}", memory(report)));
    }
    lines.push(format!("patch      {}", what(report)));
    lines.push(format!("compared   {}", compared(report)));
    lines.push(format!("time       {}", time(report)));
    lines.extend(report.offsets.iter().map(|note| format!("note       {note}")));
    lines
}

fn headline(report: &PatchReport) -> String {
    match report.verdict {
        PatchVerdict::Agrees => {
            "AGREES     the patched kernel does nothing wrong that the base does not do".to_owned()
        }
        PatchVerdict::Diverges => {
            let count = report.new.len();
            let plural = if count == 1 { "" } else { "s" };
            format!("DIVERGES   {count} new divergence{plural}: do not apply this as it is")
        }
        PatchVerdict::DoesNotBoot => {
            let reason = report.boot.as_ref().map_or("", |boot| boot.reason.as_str());
            format!("NO BOOT    the patched kernel does not come up: {reason}")
        }
        PatchVerdict::Unsure => {
            "UNSURE     too little could be judged: see `inconclusive` in patch.json".to_owned()
        }
    }
}

fn answer(report: &PatchReport, question: Question) -> String {
    let found: Vec<&Change> =
        report.new.iter().filter(|change| Question::of(change.oracle) == question).collect();
    let Some(shortest) = found.iter().min_by_key(|change| change.op_count) else {
        let word = if report.verdict == PatchVerdict::Unsure { "not known" } else { "yes" };
        return format!("{question:<10} {word}");
    };
    let more =
        if found.len() > 1 { format!(", and {} more", found.len() - 1) } else { String::new() };
    format!("{question:<10} NO: {} ({} ops){more}", shortest.signature, shortest.op_count)
}

fn cured(report: &PatchReport) -> String {
    let name = |change: &Change| change.known_as().unwrap_or_else(|| change.signature.to_string());
    let mut names: Vec<String> = report.cured.iter().map(name).collect();
    names.sort();
    names.dedup();
    match report.cured.len() {
        0 => "nothing".to_owned(),
        1 => format!("1 divergence: {}", names.join("; ")),
        count => format!("{count} divergences: {}", names.join("; ")),
    }
}

/// What memory costs, in a line.
fn memory(report: &PatchReport) -> String {
    let changed = report.bill.prices.iter().filter(|row| row.changes()).count();
    let all = report.bill.prices.len();
    let list = match changed {
        0 => format!("as before in {all} kinds of registration"),
        _ => format!("{changed} of {all} kinds of registration cost something else"),
    };
    let (base, patched) = total(&report.bill.random);
    if base == patched {
        let count = base.registrations;
        return format!("{list}, and in {count} random ones");
    }
    format!(
        "{list}; {} random ones: frames {} -> {}, COW {} -> {}, pinned {} -> {} KiB, rss {} -> {} KiB",
        base.registrations,
        base.frames_allocated,
        patched.frames_allocated,
        base.cow_broken,
        patched.cow_broken,
        base.pinned_bytes / 1024,
        patched.pinned_bytes / 1024,
        base.resident_bytes / 1024,
        patched.resident_bytes / 1024,
    )
}

fn total(sums: &BTreeMap<String, Sums>) -> (Sum, Sum) {
    let add = |sum: Sum, other: Sum| Sum {
        registrations: sum.registrations + other.registrations,
        frames_allocated: sum.frames_allocated + other.frames_allocated,
        cow_broken: sum.cow_broken + other.cow_broken,
        pinned_bytes: sum.pinned_bytes + other.pinned_bytes,
        resident_bytes: sum.resident_bytes + other.resident_bytes,
    };
    let start = (Sum::default(), Sum::default());
    sums.values()
        .fold(start, |(base, patched), sum| (add(base, sum.base), add(patched, sum.patched)))
}

fn what(report: &PatchReport) -> String {
    let under = if report.base_patches.is_empty() {
        String::new()
    } else {
        format!(", both with {}", report.base_patches.join(", "))
    };
    format!("{} in {}{under}", report.patches.join(", "), report.files.join(", "))
}

fn compared(report: &PatchReport) -> String {
    let run = &report.run;
    let known = report.common.iter().filter(|change| change.known.is_some()).count();
    let presumed = report.common.iter().filter(|change| change.presumed.is_some()).count() as u64;
    format!(
        "linux {} ({}): {} stored sequences on both; random ones {} with the patch, {} without, rng seed {:#x}; divergences on \
         both: {}",
        run.kernel,
        run.target,
        report.stored,
        run.sequences,
        report.base_sequences,
        run.rng_seed,
        known_counts(known, presumed)
    )
}

fn time(report: &PatchReport) -> String {
    let steps = report.timing.steps().map(|(step, seconds)| format!("{step} {seconds:.1}"));
    format!("{:.1} s: {}", report.timing.total, steps.join(", "))
}

fn unexplained(changes: &[Change]) -> Vec<Change> {
    changes.iter().filter(|change| change.known.is_none()).cloned().collect()
}

/// A divergence in a few lines.
fn account(change: &Change) -> String {
    let Change { signature, oracle, predicted, seen, op_count, dir, count, .. } = change;
    let word = known_word(change.presumed.as_deref());
    let known = change.known.as_ref().map(|title| format!(" ({word}: {title})"));
    let again = change.reliability.map(|r| format!(", again in {} of {}", r.again, r.of));
    format!(
        "  {signature}{}\n      {oracle}: a right kernel {predicted}, this one {seen}\n      {op_count} ops, in {count} \
         sequences{}: {}\n",
        known.unwrap_or_default(),
        again.unwrap_or_default(),
        dir.display()
    )
}

/// The rows of the price list that differ.
fn prices(rows: &[Priced]) -> String {
    let changed: Vec<&Priced> = rows.iter().filter(|row| row.changes()).collect();
    if changed.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nregistering four pages costs\n");
    for row in changed {
        let Priced { mapping, state, access, base, patched } = row;
        writeln!(text, "  {mapping}, {state}, {access}\n      {base}  ->  {patched}")
            .expect("a string takes everything");
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The same for the head of a report.
pub(super) fn preface(report: &PatchReport) -> Preface {
    let row = |row: &Priced| {
        let Priced { mapping, state, access, base, patched } = row.clone();
        let mark = if row.changes() { "changed" } else { "" };
        vec![mapping, state, access, base, patched, mark.to_owned()]
    };
    let mut tables = vec![(
        "What registering four pages costs".to_owned(),
        ["mapping", "pages", "registered", "base", "patched", ""].map(str::to_owned).to_vec(),
        report.bill.prices.iter().map(row).collect(),
    )];
    for (title, changes) in [
        ("Cured", &report.cured),
        ("On both kernels", &report.common),
        ("Unsettled", &report.unsettled),
    ] {
        let row = |change: &Change| {
            let known = change.known_as().unwrap_or_default();
            vec![change.signature.to_string(), change.predicted.clone(), change.seen.clone(), known]
        };
        if !changes.is_empty() {
            let header = ["signature", "a right kernel", "this kernel", "known as"];
            let rows = changes.iter().map(row).collect();
            tables.push((title.to_owned(), header.map(str::to_owned).to_vec(), rows));
        }
    }
    let mut lines = lines(report);
    let title = lines.remove(0);
    Preface { title, lines, tables }
}

/// The report of a kernel that has no run to report of.
pub(super) fn markdown(report: &PatchReport) -> String {
    let console = report.boot.as_ref().map_or("", |boot| boot.console.as_str());
    // A console may say anything, but no line of it begins with so many of these.
    format!(
        "# Pinfold: {}\n\n{}\n\n`````text\n{console}\n`````\n",
        headline(report),
        lines(report)[1..].join("\n\n")
    )
}
