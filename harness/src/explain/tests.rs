//! What the explanation of small examples looks like.

use pinfold_contract::{Mr, MrView, Outcome, Step, Teardown, parse};

use super::*;
use crate::{model::Prediction, oracle::judge};

fn page(page: u8, frame: u64, byte: u8) -> PageView {
    PageView {
        page,
        frame,
        file_or_shared: false,
        exclusively_mapped: true,
        bytes: Some(Runs::uniform(4096, byte)),
    }
}

fn state(pages: Vec<PageView>, adapter: u8) -> Checkpoint {
    let rss_anon = i64::try_from(pages.len()).unwrap();
    let view = ProcView { rss_anon, vm_pin: 65, pages, ..ProcView::empty(Proc::P0) };
    let mr = MrView { mr: Mr(0), bytes: Ok(Runs::uniform(4096, adapter)) };
    Checkpoint { procs: vec![view], mrs: vec![mr], pins: 65, ..Checkpoint::default() }
}

fn explained(model: Vec<Checkpoint>, target: Vec<Checkpoint>, end: Option<End>) -> String {
    let text =
        "# pinfold 1\nmap 0..2 anon private rw\nreg mr0 0..1 remote_read\nwrite 0 4096 0x22\n";
    let sequence = parse(text).unwrap().sequence;
    let predicted: Vec<PredictedStep> = model
        .into_iter()
        .map(|state| PredictedStep {
            prediction: Prediction::only(Outcome::Done),
            checkpoint: Some(state),
            write_only: Vec::new(),
            copied_perhaps: Vec::new(),
            copies: Vec::new(),
            limit_reached: false,
            zero_page_exposed: false,
            held: Vec::new(),
        })
        .collect();
    let finished = End::Finished { teardown: Teardown::default(), kernel_log: String::new() };
    let steps = target.into_iter().map(|state| Step {
        outcome: Outcome::Done,
        completions: Vec::new(),
        checkpoint: Some(state),
        kernel_log: String::new(),
    });
    let trace = Trace { steps: steps.collect(), end: end.unwrap_or(finished) };
    let verdict = judge(&sequence, &predicted, &trace);
    let text = explain(&sequence, &predicted, &trace, &verdict);
    assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    text
}

fn good(base: u64) -> Vec<Checkpoint> {
    vec![state(vec![], 0), state(vec![page(0, base, 0)], 0), state(vec![page(0, base, 0x22)], 0x22)]
}

#[test]
fn what_agrees_has_equal_names_and_no_mark() {
    let text = explained(good(1), good(0x9123), None);
    assert!(!text.contains('!'), "{text}");
    let row = format!("     {:<LABEL$}{:<SIDE$} A 0x22\n", "p0 page 0", "A 0x22");
    assert!(text.contains(&row), "{text}");
    assert!(text.ends_with("agrees\n"), "{text}");
}

#[test]
fn a_stale_adapter_is_marked_where_it_shows() {
    let mut target = good(0x9123);
    target[2] = state(vec![page(0, 0x9123, 0x22)], 0);
    let text = explained(good(1), target, None);
    let row = format!("!    {:<LABEL$}{:<SIDE$} 0x00\n", "mr0", "0x22");
    assert!(text.contains(&row), "{text}");
    assert!(text.contains("^^^  coherence diverges: adapter-tag-zero"), "{text}");
    assert!(text.ends_with("diverges (coherence)\n  predicted 0x22\n  seen      0x00\n"), "{text}");
}

#[test]
fn a_shared_frame_that_is_split_has_two_names() {
    let mut model = good(1);
    let mut target = good(70);
    model[2] = state(vec![page(0, 1, 0x22), page(1, 1, 0x22)], 0x22);
    target[2] = state(vec![page(0, 70, 0x22), page(1, 71, 0x22)], 0x22);
    let text = explained(model, target, None);
    let row = format!("!    {:<LABEL$}{:<SIDE$} a 0x22\n", "p0 page 1", "A 0x22");
    assert!(text.contains(&row), "{text}");
}

#[test]
fn a_frame_that_moved_has_another_name() {
    let mut target = good(70);
    target[2] = state(vec![page(0, 71, 0x22)], 0x22);
    let text = explained(good(1), target, None);
    let row = format!("!    {:<LABEL$}{:<SIDE$} a 0x22\n", "p0 page 0", "A 0x22");
    assert!(text.contains(&row), "{text}");
    assert!(text.contains("frames diverges: registrar-kept-moved"), "{text}");
}

#[test]
fn what_stays_as_it_was_is_not_said_twice() {
    let text = explained(good(1), good(70), None);
    assert_eq!(text.matches("pins").count(), 1 + 2, "once, and twice at the end: {text}");
}

#[test]
fn an_op_that_was_not_reached_says_so() {
    let mut target = good(70);
    target.truncate(1);
    let log = "Kernel panic - not syncing: Segfault with no mm\n".to_owned();
    let text = explained(good(1), target, Some(End::Died { kernel_log: log }));
    assert!(text.contains("kernel died") && text.contains("not reached"), "{text}");
    assert!(text.contains("     | Kernel panic - not syncing"), "{text}");
}

#[test]
fn long_things_are_clipped() {
    assert_eq!(clipped("abcdef", 4), "abc~");
    assert_eq!(clipped("abcd", 4), "abcd");
}
