//! The oracles together, on traces made by hand.

use pinfold_contract::{
    Errno, Mr, MrView, Outcome, PageView, ProcView, Runs, Signal, Teardown, WcStatus, parse,
};

use super::*;
use crate::model::{Prediction, completions};

fn state(adapter: u8, cpu: u8) -> Checkpoint {
    let page = PageView {
        page: 0,
        frame: 1,
        file_or_shared: false,
        exclusively_mapped: true,
        bytes: Some(Runs::uniform(4096, cpu)),
    };
    let pages = vec![page];
    let view = ProcView { rss_anon: 1, vm_pin: 65, pages, ..ProcView::empty(Proc::P0) };
    let mr = MrView { mr: Mr(0), bytes: Ok(Runs::uniform(4096, adapter)) };
    Checkpoint { procs: vec![view], mrs: vec![mr], pins: 65, ..Checkpoint::default() }
}

/// A sequence with what is predicted of it, and a trace that does just that.
struct Example {
    sequence: Sequence,
    predicted: Vec<PredictedStep>,
    trace: Trace,
}

fn example() -> Example {
    let text = "# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 remote_read\n\
                write 0 4096 0x22\nread_remote mr0+0 8\nwrite_remote mr0+0 8 0x33\n";
    let outcomes = [
        Outcome::Done,
        Outcome::Done,
        Outcome::Done,
        Outcome::Value(Runs::uniform(8, 0x22)),
        Outcome::Completion(WcStatus::REM_ACCESS_ERR),
    ];
    let ops = parse(text).unwrap().sequence.ops;
    let step = |(index, outcome): (usize, Outcome)| Step {
        completions: completions(&ops[index], &outcome),
        outcome,
        checkpoint: (index >= 2).then(|| state(0x22, 0x22)),
        kernel_log: String::new(),
    };
    let trace = Trace {
        steps: outcomes.into_iter().enumerate().map(step).collect(),
        end: End::Finished { teardown: Teardown::default(), kernel_log: String::new() },
    };
    let predicted = trace.steps.iter().map(|step| PredictedStep {
        prediction: Prediction::only(step.outcome.clone()),
        checkpoint: step.checkpoint.clone(),
        write_only: Vec::new(),
        copied_perhaps: Vec::new(),
        copies: Vec::new(),
        limit_reached: false,
        zero_page_exposed: false,
        held: Vec::new(),
    });
    let predicted = predicted.collect();
    Example { sequence: parse(text).unwrap().sequence, predicted, trace }
}

fn check(change: impl FnOnce(&mut Example)) -> Verdict {
    let mut example = example();
    change(&mut example);
    judge(&example.sequence, &example.predicted, &example.trace)
}

#[track_caller]
fn diverges(change: impl FnOnce(&mut Example)) -> Divergence {
    let verdict = check(change);
    let Verdict::Diverges(divergence) = verdict else { panic!("{verdict:?}") };
    divergence
}

#[track_caller]
fn assert_is(divergence: &Divergence, op_index: usize, oracle: Oracle, class: &str) {
    let found = (divergence.op_index, divergence.oracle, divergence.class.as_str());
    assert_eq!(found, (op_index, oracle, class), "{divergence:?}");
}

#[test]
fn a_trace_as_predicted_agrees() {
    assert_eq!(check(|_| {}), Verdict::Agrees);
}

#[test]
fn an_outcome_out_of_the_set_diverges() {
    let found = diverges(|e| e.trace.steps[1].outcome = Outcome::Errno(Errno::ENOMEM));
    assert_is(&found, 1, Oracle::Outcome, "ok-enomem");
    assert_eq!((found.predicted.as_str(), found.seen.as_str()), ("ok", "ENOMEM"));
}

#[test]
fn any_outcome_of_the_set_agrees() {
    let verdict = check(|e| {
        let others = vec![Outcome::Errno(Errno::EINVAL)];
        e.predicted[1].prediction = Prediction::any_of(Outcome::Errno(Errno::EFAULT), others);
        e.trace.steps[1].outcome = Outcome::Errno(Errno::EINVAL);
    });
    assert_eq!(verdict, Verdict::Agrees);
}

#[test]
fn an_outcome_that_the_model_does_not_go_on_from_ends_the_comparison() {
    let verdict = check(|e| {
        let others = vec![Outcome::Errno(Errno::EINVAL)];
        e.predicted[1].prediction = Prediction::rather(Outcome::Done, others);
        e.trace.steps[1].outcome = Outcome::Errno(Errno::EINVAL);
    });
    assert_eq!(verdict, Verdict::Inconclusive { reason: Inconclusive::NotFollowed });
}

/// A work request that had to fail is told as one that was flushed, and `more` happens.
fn flushed(more: impl Fn(&mut Example)) -> Verdict {
    check(|e| {
        e.predicted[1].prediction = Prediction::only(Outcome::Completion(WcStatus::MW_BIND_ERR));
        e.trace.steps[1].outcome = Outcome::Completion(WcStatus::WR_FLUSH_ERR);
        more(e);
    })
}

#[test]
fn a_status_that_is_lost_is_found_and_hides_nothing_behind_it() {
    let Verdict::Diverges(found) = flushed(|_| ()) else { panic!("agrees") };
    assert_is(&found, 1, Oracle::Outcome, "mw_bind_err-wr_flush_err");
    let later = flushed(|e| e.trace.steps[2].outcome = Outcome::Errno(Errno::ENOMEM));
    let Verdict::Diverges(found) = later else { panic!("agrees") };
    assert_eq!((found.op_index, found.oracle), (2, Oracle::Outcome));
    let open = flushed(|e| {
        let seen = e.trace.steps[2].outcome.clone();
        e.predicted[2].prediction = Prediction::unordered(seen, Vec::new());
    });
    let Verdict::Diverges(found) = open else { panic!("not followed") };
    assert_eq!(found.op_index, 1);
}

#[test]
fn only_a_write_only_page_may_be_unreadable_or_not() {
    let unreadable = |e: &mut Example| {
        let seen = e.trace.steps[2].checkpoint.as_mut().unwrap();
        seen.procs[0].pages[0].bytes = None;
    };
    let found = diverges(unreadable);
    assert_is(&found, 2, Oracle::Coherence, "registrar-readable-unreadable");
    let verdict = check(|e| {
        e.predicted[2].write_only.push((Proc::P0, 0));
        unreadable(e);
    });
    assert_eq!(verdict, Verdict::Agrees);
}

#[test]
fn a_key_that_lets_through_too_much_is_a_matter_of_protection() {
    let found = diverges(|e| e.trace.steps[4].outcome = Outcome::Done);
    assert_is(&found, 4, Oracle::Protection, "rem_access_err-ok-right");
}

#[test]
fn registering_what_may_not_be_written_is_a_matter_of_protection() {
    let found = diverges(|e| {
        e.predicted[1].prediction = Prediction::only(Outcome::Errno(Errno::EFAULT));
    });
    assert_is(&found, 1, Oracle::Protection, "efault-ok-reader");
}

#[test]
fn passing_over_a_limit_is_an_outcome() {
    let found = diverges(|e| {
        e.predicted[1].prediction = Prediction::only(Outcome::Errno(Errno::ENOMEM));
    });
    assert_is(&found, 1, Oracle::Outcome, "enomem-passed");
}

#[test]
fn a_cpu_access_that_goes_on_too_long_is_an_outcome() {
    let fault = |done_bytes| Outcome::Fault { signal: Signal::Segv, done_bytes };
    let found = diverges(|e| {
        e.predicted[2].prediction = Prediction::only(fault(0));
        e.trace.steps[2].outcome = fault(4096);
    });
    assert_is(&found, 2, Oracle::Outcome, "sigsegv-sigsegv.later");
}

#[test]
fn a_wrong_value_is_a_matter_of_coherence() {
    let found = diverges(|e| e.trace.steps[3].outcome = Outcome::Value(Runs::uniform(8, 0)));
    assert_is(&found, 3, Oracle::Coherence, "adapter-tag-zero-reader");
}

#[test]
fn bytes_are_told_apart_by_where_they_come_from() {
    let read = |runs: Runs| move |e: &mut Example| e.trace.steps[3].outcome = Outcome::Value(runs);
    let mut half = Runs::uniform(4, 0x22);
    half.push(4, 0x77);
    assert_is(&diverges(read(half)), 3, Oracle::Coherence, "adapter-tag-alien-reader");
    let short = Runs::uniform(7, 0x22);
    assert_is(&diverges(read(short)), 3, Oracle::Coherence, "adapter-tag-end-reader");
}

#[test]
fn a_stale_adapter_is_seen_where_the_cpu_writes() {
    let found = diverges(|e| e.trace.steps[2].checkpoint = Some(state(0, 0x22)));
    assert_is(&found, 2, Oracle::Coherence, "adapter-tag-zero-reader");
    let found = diverges(|e| e.trace.steps[2].checkpoint = Some(state(0x22, 0)));
    assert_is(&found, 2, Oracle::Coherence, "registrar-tag-zero");
}

#[test]
fn an_mr_that_cannot_be_read_any_more_is_a_matter_of_coherence() {
    let found = diverges(|e| {
        let checkpoint = e.trace.steps[3].checkpoint.as_mut().unwrap();
        checkpoint.mrs[0].bytes = Err(WcStatus::LOC_PROT_ERR);
    });
    assert_is(&found, 3, Oracle::Coherence, "adapter-bytes-loc_prot_err-reader");
}

#[test]
fn a_frame_that_moves_is_seen() {
    let found = diverges(|e| {
        e.trace.steps[4].checkpoint.as_mut().unwrap().procs[0].pages[0].frame = 9;
    });
    assert_is(&found, 4, Oracle::Frames, "registrar-kept-moved");
}

#[test]
fn a_counter_that_is_off_is_seen() {
    let found = diverges(|e| e.trace.steps[4].checkpoint.as_mut().unwrap().pins = 67);
    assert_is(&found, 4, Oracle::Accounting, "pins.more");
}

#[test]
fn what_is_left_at_the_end_is_seen_after_the_last_op() {
    let found = diverges(|e| {
        let teardown = Teardown { pins: 1, ..Teardown::default() };
        e.trace.end = End::Finished { teardown, kernel_log: String::new() };
    });
    assert_is(&found, 5, Oracle::Teardown, "pins.more");
}

#[test]
fn a_complaint_of_the_kernel_explains_what_else_is_wrong_with_the_op() {
    let log = "WARNING: CPU: 0 PID: 1 at mm/gup.c:3 gup_put_folio+0x1/0x2";
    let found = diverges(|e| {
        e.trace.steps[1].kernel_log = log.to_owned();
        e.trace.steps[1].outcome = Outcome::Errno(Errno::EFAULT);
    });
    assert_is(&found, 1, Oracle::KernelLog, "warning-in-gup_put_folio");
    let found = diverges(|e| {
        let teardown = Teardown { pins: 1, ..Teardown::default() };
        e.trace.end = End::Finished { teardown, kernel_log: log.to_owned() };
    });
    assert_is(&found, 5, Oracle::KernelLog, "warning-in-gup_put_folio");
}

#[test]
fn the_first_op_that_is_wrong_decides() {
    let found = diverges(|e| {
        e.trace.steps[0].outcome = Outcome::Errno(Errno::ENOMEM);
        e.trace.steps[1].kernel_log = "kernel BUG at mm/gup.c:1!".to_owned();
    });
    assert_is(&found, 0, Oracle::Outcome, "ok-enomem");
}

#[test]
fn a_hang_is_a_divergence_of_the_op_that_hung() {
    let found = diverges(|e| {
        e.trace.steps.truncate(3);
        e.trace.end = End::Hung { kernel_log: String::new() };
    });
    assert_is(&found, 3, Oracle::Outcome, "hung");
    assert_eq!((found.predicted.as_str(), found.seen.as_str()), ("0x22", "hung"));
}

#[test]
fn a_death_is_named_after_the_last_words() {
    let died = |log: &str| {
        let log = log.to_owned();
        diverges(|e| {
            e.trace.steps.truncate(1);
            e.trace.end = End::Died { kernel_log: log };
        })
    };
    assert_is(&died(""), 1, Oracle::KernelLog, "kernel-died");
    let panic = died("Kernel panic - not syncing: Segfault with no mm");
    assert_is(&panic, 1, Oracle::KernelLog, "kernel-panic-segfault-with-no-mm");
}

#[test]
fn what_is_not_compared_is_inconclusive() {
    let reason = |change: fn(&mut Example)| {
        let verdict = check(change);
        let Verdict::Inconclusive { reason } = verdict else { panic!("{verdict:?}") };
        reason
    };
    assert_eq!(reason(|e| e.trace.steps.truncate(4)), Inconclusive::TraceIsShort);
    assert_eq!(reason(|e| e.trace.steps[3].checkpoint = None), Inconclusive::NotLookedAt);
    assert_eq!(reason(|e| e.predicted[3].checkpoint = None), Inconclusive::NotLookedAt);
    let longer = |e: &mut Example| {
        let step = e.trace.steps[0].clone();
        e.trace.steps.push(step);
    };
    assert_eq!(reason(longer), Inconclusive::TraceIsLong);
}

#[test]
fn a_short_trace_that_diverges_diverges() {
    let found = diverges(|e| {
        e.trace.steps.truncate(2);
        e.trace.steps[1].outcome = Outcome::Errno(Errno::EFAULT);
    });
    assert_is(&found, 1, Oracle::Outcome, "ok-efault-reader");
}

#[test]
fn a_slug_can_name_a_folder() {
    assert_eq!(slug("KASAN: use-after-free Read in foo!"), "kasan-use-after-free-read-in-foo");
}

fn goes_on_to(change: impl FnOnce(&mut Example)) -> Option<Divergence> {
    let mut example = example();
    change(&mut example);
    let Example { sequence, predicted, trace } = &example;
    let Verdict::Diverges(first) = judge(sequence, predicted, trace) else {
        panic!("it does not diverge")
    };
    consequence(sequence, predicted, trace, &first)
}

fn is_mapped_more(step: &mut Step) {
    step.checkpoint.as_mut().unwrap().procs[0].pages[0].exclusively_mapped = false;
}

#[test]
fn a_shared_frame_goes_on_to_the_stale_bytes_behind_it() {
    let found = goes_on_to(|example| {
        is_mapped_more(&mut example.trace.steps[2]);
        is_mapped_more(&mut example.trace.steps[3]);
        example.trace.steps[3].checkpoint.as_mut().unwrap().mrs = state(0, 0x22).mrs;
    });
    let found = found.unwrap();
    assert_eq!((found.op_index, found.oracle), (3, Oracle::Coherence));
    assert!(found.class.starts_with("adapter-tag-zero"), "{}", found.class);
}

#[test]
fn a_shared_frame_alone_goes_on_to_nothing() {
    assert_eq!(goes_on_to(|example| is_mapped_more(&mut example.trace.steps[2])), None);
}

#[test]
fn behind_another_result_nothing_is_compared() {
    let found = goes_on_to(|example| {
        is_mapped_more(&mut example.trace.steps[2]);
        example.trace.steps[3].outcome = Outcome::Errno(Errno::EINVAL);
        example.trace.steps[4].checkpoint.as_mut().unwrap().mrs = state(0, 0x22).mrs;
    });
    assert_eq!(found, None);
}

/// Its bytes are the first thing that is seen, and are told already.
#[test]
fn stale_bytes_go_on_to_nothing() {
    let found = goes_on_to(|example| {
        example.trace.steps[3].checkpoint.as_mut().unwrap().mrs = state(0, 0x22).mrs;
        example.trace.steps[4].checkpoint.as_mut().unwrap().mrs = state(0, 0x22).mrs;
    });
    assert_eq!(found, None);
}
