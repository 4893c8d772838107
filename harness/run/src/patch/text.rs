//! What a person reads of a patch: ten lines first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pinfold::defects::{known_counts, known_word};
use pinfold::patch::{Priced, Question, Sum, Sums};
use pinfold::report::Preface;

use super::lines::Reach;
use super::report::{Change, PatchReport, PatchVerdict};

/// So many places are named in a line; patch.json has all.
const PLACES_SHOWN: usize = 8;

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
            text.push_str(&accounts(changes));
        }
    }
    if !report.leaks.is_empty() {
        text.push_str("\nleaks: the patched kernel never gives this memory back, the base does\n");
        report.leaks.iter().for_each(|leak| text.push_str(&format!("  {leak}\n")));
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
        lines.extend(report.reach.as_ref().map(|reach| format!("reached    {}", reached(reach))));
    }
    if report.boot.is_none() && report.is_compared() {
        lines.push(format!("cured      {}", cured(report)));
        lines.push(format!("memory     {}", memory(report)));
    }
    lines.push(format!("patch      {}", what(report)));
    lines.push(format!("compared   {}", compared(report)));
    lines.push(format!("time       {}", time(report)));
    let unknown = report.leaks_unknown.iter();
    lines.extend(unknown.map(|why| format!("note       leaks of kernel memory: not known: {why}")));
    if report.leaks_left_out > 0 {
        let count = report.leaks_left_out;
        lines.push(format!(
            "note       leaks of kernel memory: {count} sequences were not repeated, since they diverge or cannot be judged"
        ));
    }
    lines.extend(report.cut_short.iter().map(|note| format!("note       {note}")));
    lines.extend(report.offsets.iter().map(|note| format!("note       {note}")));
    lines
}

fn headline(report: &PatchReport) -> String {
    match report.verdict {
        PatchVerdict::Agrees => {
            "AGREES     the patched kernel does nothing wrong that the base does not do".to_owned()
        }
        PatchVerdict::Diverges => {
            let count = report.new.len() + report.leaks.len();
            let plural = if count == 1 { "" } else { "s" };
            format!("DIVERGES   {count} new divergence{plural}: do not apply this as it is")
        }
        PatchVerdict::DoesNotBoot => {
            let reason = report.boot.as_ref().map_or("", |boot| boot.reason.as_str());
            format!("NO BOOT    the patched kernel does not come up: {reason}")
        }
        PatchVerdict::NotBuilt => {
            "NOT BUILT  no changed line is in the patched kernel: nothing is said of the patch"
                .to_owned()
        }
        PatchVerdict::NotReached => {
            "NOT REACHED  no changed line ran: nothing is said of the patch".to_owned()
        }
        PatchVerdict::Unsure => {
            "UNSURE     too little could be judged: see `inconclusive` in patch.json".to_owned()
        }
    }
}

fn answer(report: &PatchReport, question: Question) -> String {
    let leak = report.leaks.first().filter(|_| question == Question::Accounted);
    let found: Vec<&Change> =
        report.new.iter().filter(|change| Question::of(change.oracle) == question).collect();
    let Some(shortest) = found.iter().min_by_key(|change| change.rank()) else {
        if let Some(leak) = leak {
            return format!("{question:<10} NO: {leak}{}", and_more(report.leaks.len() - 1));
        }
        let word = match report.verdict {
            PatchVerdict::Unsure | PatchVerdict::NotBuilt | PatchVerdict::NotReached => "not known",
            PatchVerdict::Agrees | PatchVerdict::Diverges | PatchVerdict::DoesNotBoot => "yes",
        };
        return format!("{question:<10} {word}");
    };
    let leaks = leak.map_or(0, |_| report.leaks.len());
    let more = and_more(found.len() - 1 + leaks);
    format!("{question:<10} NO: {} ({}){more}", shortest.signature, length(shortest))
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(", and {count} more") }
}

/// Which of the changed lines ran, in a line.
fn reached(reach: &Reach) -> String {
    if let Some(why) = &reach.unknown {
        return format!("not known: {why}");
    }
    let Reach { ran, not_run, not_built, no_code, sequences, near, .. } = reach;
    let built = ran.len() + not_run.len();
    let mut text = match (built, not_built.is_empty()) {
        (0, true) => return format!("no changed line holds code ({no_code} without)"),
        (0, false) => "nothing".to_owned(),
        _ => format!("{} of {}", ran.len(), counted(built, "changed line")) + " ran",
    };
    if !not_run.is_empty() {
        text += &format!("; not: {}", shown(not_run.iter().map(String::as_str)));
        let tried = if *near == 0 { String::new() } else { format!(", {near} of them near") };
        text += &format!(
            " ({} tried{tried})",
            counted(usize::try_from(*sequences).unwrap_or(usize::MAX), "sequence")
        );
    }
    let mut why: Vec<&str> = not_built.iter().map(|line| line.why).collect();
    why.sort_unstable();
    why.dedup();
    for why in why {
        let lines = not_built.iter().filter(|line| line.why == why);
        let places: Vec<&str> = lines.map(|line| &*line.place).collect();
        text += &format!("; {} not built ({why}): {}", places.len(), shown(places.into_iter()));
    }
    if *no_code > 0 {
        text += &format!("; {} without code", counted(*no_code, "line"));
    }
    text
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The first few of `places`, by the last part of their names.
fn shown<'p>(places: impl Iterator<Item = &'p str>) -> String {
    let mut names: Vec<&str> =
        places.map(|place| place.rsplit('/').next().unwrap_or(place)).collect();
    let rest = names.len().saturating_sub(PLACES_SHOWN);
    names.truncate(PLACES_SHOWN);
    let more = if rest == 0 { String::new() } else { format!(", and {rest} more") };
    names.join(", ") + &more
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
    if report.verdict == PatchVerdict::NotBuilt && !report.is_compared() {
        return format!(
            "linux {} ({}): nothing was run, both are the same",
            run.kernel, run.target
        );
    }
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

/// Divergences in their order, each followed by those of the same cause.
fn accounts(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes.iter().filter(|change| change.same_cause_as.is_none()) {
        text.push_str(&account(change));
        let is_its = |other: &&Change| other.same_cause_as.as_ref() == Some(&change.signature);
        for other in changes.iter().filter(is_its) {
            text.push_str("    also shows as, probably by the same cause, since it does not without the last op of these:\n");
            text.push_str(&account(other));
        }
    }
    text
}

/// `3 ops`, or that these are not all needed.
fn length(change: &Change) -> String {
    match change.minimal {
        Some(true) => format!("{} ops", change.op_count),
        Some(false) => format!("not minimized: out of time ({} ops)", change.op_count),
        None => {
            format!("not minimized: others took the time for that ({} ops)", change.op_count)
        }
    }
}

/// A divergence in a few lines.
fn account(change: &Change) -> String {
    let Change { signature, oracle, predicted, seen, dir, count, .. } = change;
    let length = length(change);
    let word = known_word(change.presumed.as_deref());
    let known = change.known.as_ref().map(|title| format!(" ({word}: {title})"));
    let again = change.reliability.map(|r| format!(", again in {} of {}", r.again, r.of));
    format!(
        "  {signature}{}\n      {oracle}: a right kernel {predicted}, this one {seen}\n      {length}, in {count} \
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

#[cfg(test)]
mod tests {
    use super::super::lines::NotBuilt;
    use super::*;

    fn places(lines: &[u32]) -> Vec<String> {
        lines.iter().map(|line| format!("drivers/infiniband/core/umem.c:{line}")).collect()
    }

    #[test]
    fn lines_that_did_not_run_are_named_and_those_not_built_say_why() {
        let why = "the file is not compiled";
        let reach = Reach {
            no_code: 1,
            not_built: vec![NotBuilt { place: "hw/mlx5/mr.c:7".to_owned(), why }],
            ran: places(&[1, 2]),
            not_run: places(&[210, 214]),
            sequences: 300,
            near: 40,
            unknown: None,
        };
        let expected = "2 of 4 changed lines ran; not: umem.c:210, umem.c:214 (300 sequences tried, 40 of them near); 1 not built \
                        (the file is not compiled): mr.c:7; 1 line without code";
        assert_eq!(reached(&reach), expected);
        let all = Reach { ran: places(&[1]), ..Reach::default() };
        assert_eq!(reached(&all), "1 of 1 changed line ran");
        let none = Reach { no_code: 2, ..Reach::default() };
        assert_eq!(reached(&none), "no changed line holds code (2 without)");
    }

    #[test]
    fn of_many_lines_the_first_are_named() {
        let lines: Vec<u32> = (1..=10).collect();
        let reach = Reach { not_run: places(&lines), ..Reach::default() };
        assert!(
            reached(&reach).contains("umem.c:8, and 2 more (0 sequences tried)"),
            "{}",
            reached(&reach)
        );
    }
}
