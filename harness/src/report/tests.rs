//! Reports of runs that the model made, with every fault that can be planted in it.

use pinfold_contract::{End, Teardown, parse};

use super::*;
use crate::generate::Generator;
use crate::model::{Fault, perform};
use crate::oracle::Oracle;
use crate::profile::Profile;

fn evidence(fault: Option<Fault>, sequence: &Sequence) -> Evidence {
    let profile = fault.map_or(Profile::newest(), |fault| fault.shown_on(Profile::newest()));
    let trace = perform(profile, fault, sequence, Observe::Each);
    Evidence::of(profile, sequence.clone(), trace, &any_name())
}

/// Not the name of what is found: then it is the first divergence that counts.
fn any_name() -> Signature {
    "x".parse().unwrap()
}

fn sequence(ops: &str) -> Sequence {
    parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence
}

fn finding(evidence: Evidence) -> FindingReport {
    let recorded = evidence.divergence.clone().unwrap_or_else(|| hostile_divergence("x"));
    FindingReport {
        signature: Signature::of(&evidence.sequence, &recorded),
        count: Some(17),
        place: "out/findings/x/1".to_owned(),
        others: vec!["2".to_owned()],
        files: vec!["minimized.seq".to_owned()],
        target: "model:6.12".to_owned(),
        kernel: "6.12.117".to_owned(),
        tool: "0.1.0".to_owned(),
        observe: "each".to_owned(),
        rng_seed: 7,
        index: 42,
        reliability: Some((3, 3)),
        minimal: Some(true),
        known: None,
        repeat: "pinfold replay minimized.seq".to_owned(),
        recorded,
        evidence: Some(evidence),
        account: String::new(),
    }
}

fn report(findings: Vec<FindingReport>) -> RunReport {
    let run = RunNumbers {
        rules: "6.12; as 6.1: tracked_write_pin".to_owned(),
        sequences: 2000,
        agrees: 1983,
        diverges: 17,
        seconds: 2.0,
        ..RunNumbers::default()
    };
    RunReport { target: "model:6.12".to_owned(), run: Some(run), findings, ..RunReport::default() }
}

fn hostile_divergence(text: &str) -> Divergence {
    Divergence {
        op_index: 0,
        oracle: Oracle::Outcome,
        predicted: text.to_owned(),
        seen: text.to_owned(),
        class: "ok-efault".to_owned(),
        detail: text.to_owned(),
    }
}

/// The page, read by a strict parser.
#[track_caller]
fn well_formed(page: &str) -> String {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(page, options)
        .unwrap_or_else(|error| panic!("{error}\n{page}"));
    let texts = document.descendants().filter(|node| node.is_text());
    texts.map(|node| node.text().unwrap_or("").to_owned() + " ").collect()
}

fn generated(fault: Fault, index: u64) -> Sequence {
    Generator::new(1).sequence_on(fault.shown_on(Profile::newest()), index)
}

/// The first sequence that the generator has in which `fault` shows.
fn shows(fault: Fault) -> Evidence {
    let candidates = (0..3000).map(|index| evidence(Some(fault), &generated(fault, index)));
    candidates.into_iter().find(|evidence| evidence.divergence.is_some()).unwrap()
}

#[test]
fn every_planted_fault_has_a_page_that_says_what_both_sides_have() {
    for (fault, name) in Fault::ALL {
        let finding = finding(shows(fault));
        let divergence = finding.divergence().clone();
        let title = finding.title();
        let report = report(vec![finding]);
        let page = html(&report);
        let text = well_formed(&page);
        for part in
            ["here they part", "To repeat it", "pinfold replay minimized.seq", "3 of 3 times"]
        {
            let is_at_end = divergence.oracle == Oracle::Teardown && part == "here they part";
            assert!(text.contains(part) || is_at_end, "{name}: no {part} in\n{text}");
        }
        assert!(text.contains(&title) && text.contains(&divergence.seen), "{name}: {title}");
        assert_eq!(page.matches("<svg viewBox=\"0 0 430").count(), 2, "{name}");
        let markdown = markdown(&report);
        assert!(markdown.contains("## 1. ") && markdown.contains("To repeat it"), "{name}");
    }
}

#[test]
fn a_page_asks_nothing_of_anybody() {
    let page = html(&report(vec![finding(shows(Fault::StaleReadOnlyPin))]));
    for way_out in
        ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "<img", "onload"]
    {
        assert!(!page.contains(way_out), "{way_out}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_page_that_moved_away_is_said_and_drawn() {
    let ops = "map 6..7 anon private rw\nwrite 6 8 0x88\nfork p1\np1 exit\nreg mr1 6..7 remote_read\nwrite 6 8 0xbf\n";
    let finding = finding(evidence(Some(Fault::StaleReadOnlyPin), &sequence(ops)));
    assert_eq!(
        finding.title(),
        "After write: p0 page 6 moved from frame A to frame a; it should have stayed where it was"
    );
    let text = well_formed(&html(&report(vec![finding.clone()])));
    for part in
        ["left frame A", "only an MR has it", "It still uses frame A, which p0's page 6 has left"]
    {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let markdown = markdown(&report(vec![finding]));
    assert!(
        markdown.contains("| \\! p0 page 6 | A (0xbf\\*8 0x00\\*4088, pinned) |"),
        "{markdown}"
    );
    assert!(markdown.contains("was on A"), "{markdown}");
}

#[test]
fn a_pinned_zero_page_is_called_so_and_has_no_cost() {
    let ops = "map 0..1 anon private rw\nreg mr0 0..1 remote_read\n";
    let finding = finding(evidence(Some(Fault::StaleReadOnlyPin), &sequence(ops)));
    assert_eq!(
        finding.title(),
        "After reg: p0 page 0 is on the zero page; it should be on frame A, its own"
    );
    let text = well_formed(&html(&report(vec![finding])));
    assert!(text.contains("the kernel's zero page") && text.contains("COW broken"), "{text}");
}

#[test]
fn what_a_broken_kernel_says_is_text_and_nothing_else() {
    let hostile =
        "</pre><script>alert(1)</script>\u{1b}[2J ```\n| a | ![x](http://e) \u{202e}\u{ffff}&amp;";
    let mut evidence = shows(Fault::VmPinKept);
    evidence.trace.steps[0].kernel_log = hostile.to_owned();
    let mut finding = finding(evidence);
    finding.repeat = hostile.to_owned();
    finding.target = hostile.to_owned();
    let known = KnownNote {
        title: hostile.to_owned(),
        presumed: Some(hostile.to_owned()),
        source: hostile.to_owned(),
        report: hostile.to_owned(),
    };
    finding.known = Some(known);
    let mut without_trace = finding.clone();
    without_trace.evidence = None;
    without_trace.recorded = hostile_divergence(hostile);
    let mut report = report(vec![finding, without_trace]);
    report.unreadable = vec![hostile.to_owned()];
    let page = html(&report);
    assert!(well_formed(&page).contains("<script>alert(1)</script>"));
    assert!(!page.contains("<script") && !page.contains(['\u{1b}', '\u{202e}']), "{page}");
    let markdown = markdown(&report);
    let outside: String = markdown.split("````").step_by(2).collect();
    assert!(!outside.contains("<script") && !outside.contains("![x]"), "{outside}");
}

/// A finding that an entry explains, which is `presumed` or not.
fn explained(presumed: Option<&str>) -> FindingReport {
    let note = KnownNote {
        title: "Pins stay".to_owned(),
        presumed: presumed.map(str::to_owned),
        source: "mm/gup.c:f".to_owned(),
        report: "corpus/defects/pins-stay/README.md".to_owned(),
    };
    FindingReport { known: Some(note), ..finding(shows(Fault::PinLeak)) }
}

#[test]
fn what_is_only_presumed_to_be_known_is_shown_as_such() {
    let why = "not yet verified on 7.3, uml";
    let mut report = report(vec![explained(Some(why)), explained(None)]);
    report.run = report.run.map(|run| RunNumbers { known: 5, presumed: 3, ..run });
    let (page, text) = (well_formed(&html(&report)), markdown(&report));
    for part in
        ["2 known (1 presumed)", "known (presumed: not yet verified on 7.3, uml): Pins stay"]
    {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
    assert!(page.contains("diverge, known (3 presumed)") && page.contains("known, presumed"));
    for part in ["5 known (3 presumed)", "(known, presumed)", "known (presumed: not yet verified"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let mut verified = report.clone();
    verified.findings = vec![explained(None)];
    verified.run = verified.run.map(|run| RunNumbers { presumed: 0, ..run });
    assert!(!well_formed(&html(&verified)).contains("presumed"));
    assert!(!markdown(&verified).contains("presumed"));
}

#[test]
fn an_interrupted_run_says_that_its_counts_are_not_known() {
    let report = RunReport { run: None, ..report(vec![finding(shows(Fault::PinLeak))]) };
    assert!(well_formed(&html(&report)).contains("the run was interrupted or still goes on"));
    assert!(markdown(&report).contains("the run was interrupted or still goes on"));
}

#[test]
fn a_bundle_without_a_trace_shows_what_was_recorded() {
    let mut finding = finding(shows(Fault::PinLeak));
    finding.evidence = None;
    finding.account = "  0  map 0..1\n".to_owned();
    let text = well_formed(&html(&report(vec![finding])));
    assert!(text.contains("no trace that can be read") && text.contains("0  map 0..1"), "{text}");
}

#[test]
fn a_kernel_that_died_is_shown_as_it_was_last_seen() {
    let ops = "map 0..1 anon private rw\nwrite 0 8 0x22\nreg mr0 0..1 remote_read\n";
    let mut evidence = evidence(None, &sequence(ops));
    evidence.trace.steps.truncate(2);
    let log = "Kernel panic - not syncing: Fatal exception\n".to_owned();
    evidence.trace.end = End::Died { kernel_log: log };
    let evidence = Evidence::of(Profile::newest(), evidence.sequence, evidence.trace, &any_name());
    let text = well_formed(&html(&report(vec![finding(evidence)])));
    for part in
        ["as it was after op 1", "The kernel died in this op", "Fatal exception", "kernel died"]
    {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn a_run_that_found_nothing_says_so_and_what_it_tried() {
    let text = well_formed(&html(&report(Vec::new())));
    assert!(
        text.contains("Nothing unexplained diverged") && text.contains("What the ops did"),
        "{text}"
    );
    assert!(text.contains("1000 sequences"), "the rate: {text}");
}

#[test]
fn what_was_left_behind_is_said() {
    let ops = "map 0..1 anon private rw\n";
    let mut evidence = evidence(None, &sequence(ops));
    let teardown = Teardown { pins: 2, ..Teardown::default() };
    evidence.trace.end = End::Finished { teardown, kernel_log: String::new() };
    let evidence = Evidence::of(Profile::newest(), evidence.sequence, evidence.trace, &any_name());
    let text = well_formed(&html(&report(vec![finding(evidence)])));
    assert!(text.contains("this was not given back: 2 pages pinned"), "{text}");
}
