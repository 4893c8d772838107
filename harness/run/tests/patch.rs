//! Verdicts on patches: with the model in the place of both kernels, and on real ones.
//!
//! Where a kernel is not built its tests say so and do nothing; with PINFOLD_REQUIRE_VM=1 they fail instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use pinfold::patch::Question;
use pinfold_run::{
    Budget, Duel, LeakUse, PatchEvent, PatchOptions, PatchReach, PatchReport, PatchVerdict,
    Prepared, RunError, StoredUse, TargetOptions, duel, embedded_defects, patch, prepare,
    read_patch,
};
use targets::is_here;

fn duel_options(out: &Path, count: u64) -> Duel {
    let known = embedded_defects().unwrap();
    let (budget, pursue_for) = (Budget::Sequences(count), Duration::from_secs(1));
    let (stored, leaks) = (StoredUse::All, LeakUse::Skip);
    Duel { budget, rng_seed: 1, out: out.to_owned(), known, pursue_for, stored, leaks }
}

fn model(fault: &str) -> Prepared {
    let name = format!("model:6.12{fault}").parse().unwrap();
    prepare(&name, &TargetOptions::default(), &mut |_| {}).unwrap()
}

/// Compares the model with `base` planted and the model with `patched` planted.
fn compare(base: &str, patched: &str) -> PatchReport {
    let out = tempfile::tempdir().unwrap();
    // The regressions were found in models with planted faults, and find those again.
    let stored = StoredUse::Below("corpus/regress/".to_owned());
    let options = Duel { stored, ..duel_options(out.path(), 300) };
    duel(&model(base), &model(patched), &options, &Arc::default(), &mut |_| {}).unwrap()
}

fn signatures(changes: &[pinfold_run::Change]) -> Vec<&str> {
    changes.iter().map(|change| change.signature.as_str()).collect()
}

#[test]
fn what_only_the_patched_kernel_does_is_new_and_what_only_the_base_does_is_cured() {
    let fault = "+vm_pin_kept";
    let brings = compare("", fault);
    assert_eq!(brings.verdict, PatchVerdict::Diverges);
    assert!(brings.new.iter().any(|new| Question::of(new.oracle) == Question::Accounted));
    assert_eq!(signatures(&brings.cured), [""; 0]);
    let cures = compare(fault, "");
    assert_eq!(cures.verdict, PatchVerdict::Agrees);
    assert!(!cures.cured.is_empty());
    assert_eq!(signatures(&cures.new), [""; 0]);
}

#[test]
fn what_both_kernels_do_is_neither_new_nor_cured() {
    for fault in ["", "+vm_pin_kept", "+stale_read_only_pin"] {
        let report = compare(fault, fault);
        assert_eq!(report.verdict, PatchVerdict::Agrees, "{fault}");
        let changes = [&report.new, &report.cured, &report.unsettled].map(Vec::len);
        assert_eq!(changes, [0; 3], "{fault}: {report:?}");
        assert_eq!(report.common.is_empty(), fault.is_empty(), "{fault}");
        assert!(report.bill.prices.iter().all(|row| !row.changes()), "{fault}");
    }
}

#[test]
fn the_bill_of_a_kernel_that_pins_less_is_the_smaller_one() {
    let report = compare("", "+stale_read_only_pin");
    assert!(signatures(&report.new).iter().any(|name| name.starts_with("frames")));
    assert!(report.bill.prices.iter().any(pinfold::patch::Priced::changes));
    let reading = report.bill.random["for reading"];
    assert_eq!(reading.base.registrations, reading.patched.registrations);
    assert!(reading.patched.frames_allocated < reading.base.frames_allocated, "{reading:?}");
}

#[test]
fn the_verdict_comes_first_in_ten_lines_and_a_note_says_what_was_not_judged() {
    let text = compare("", "+vm_pin_kept").to_text();
    let (verdict, _) = text.split_once("\n\n").unwrap();
    let words: Vec<&str> =
        verdict.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    let expected = [
        "DIVERGES",
        "coherent",
        "protected",
        "accounted",
        "working",
        "cured",
        "memory",
        "patch",
        "compared",
        "time",
        // Nobody looked for leaks.
        "note",
    ];
    assert_eq!(words, expected, "{text}");
    assert!(verdict.contains("accounted  NO: "), "{text}");
    assert!(verdict.contains("note       leaks of kernel memory: not known"), "{text}");
}

/// Stored sequences that are short, and few: what most tests are about needs no more beside the list of prices, and each of
/// all sequences costs two kernels their time.
const FEW: &str = "corpus/litmus/";

/// Those that show known defects.
const OF_DEFECTS: &str = "corpus/defects/";

/// The file of a mutant, design or trial for `series`, as the scripts find it.
fn file_of(slug: &str, series: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let script = "source ci/lib.sh && patch_of \"$1\" \"$2\"";
    let arguments = ["-c", script, "bash", slug, series];
    let found = Command::new("bash").args(arguments).current_dir(&root).output().unwrap();
    assert!(found.status.success(), "no patch {slug} for {series}: {found:?}");
    root.join(String::from_utf8(found.stdout).unwrap().trim_end())
}

/// Judges a patch of `targets/kernel` on `target`, `uml:6.12` or `qemu:6.1`, with the stored sequences below `FEW`; `None` if that
/// is not here.
fn judge(
    target: &str,
    slug: &str,
    base: &[&str],
    out: &Path,
) -> Option<Result<PatchReport, RunError>> {
    if !is_here(target) {
        return None;
    }
    Some(judge_by(&options_for(target, slug, base, out)))
}

fn judge_by(options: &PatchOptions) -> Result<PatchReport, RunError> {
    patch(options, &Arc::default(), &mut |event| match event {
        PatchEvent::Build(_) | PatchEvent::Begin(..) | PatchEvent::Run(..) => {}
    })
}

fn options_for(target: &str, slug: &str, base: &[&str], out: &Path) -> PatchOptions {
    let (_, series) = target.split_once(':').unwrap();
    let read = |slug: &str| read_patch(&file_of(slug, series)).unwrap();
    PatchOptions {
        patches: vec![read(slug)],
        base: base.iter().map(|slug| read(slug)).collect(),
        commit: None,
        enable: Vec::new(),
        target: target.parse().unwrap(),
        made_of: TargetOptions::default(),
        duel: Duel { stored: StoredUse::Below(FEW.to_owned()), ..duel_options(out, 40) },
    }
}

/// And both changed lines ran.
fn refuses_the_patch_of_2013(target: &str) {
    let out = tempfile::tempdir().unwrap();
    let Some(report) = judge(target, "as-submitted", &[], out.path()) else { return };
    let report = report.unwrap();
    assert_eq!(report.verdict, PatchVerdict::Diverges, "{}", report.to_text());
    let reach = report.reach.as_ref().unwrap();
    assert!(!reach.ran.is_empty() && reach.not_run.is_empty(), "{reach:?}");
    let names = signatures(&report.new);
    assert!(names.iter().any(|name| name.starts_with("protection-reg")), "{names:?}");
    for new in &report.new {
        assert!(new.dir.join("reproducer.c").is_file(), "{new:?}");
    }
    let page = fs::read_to_string(out.path().join("report.html")).unwrap();
    assert!(page.contains("What registering four pages costs"));
    assert!(out.path().join("report.md").is_file());
}

#[test]
fn the_patch_of_2013_is_refused_on_7_3_with_what_it_breaks() {
    refuses_the_patch_of_2013("uml:7.3");
}

#[test]
fn the_patch_of_2013_is_refused_on_6_12_with_what_it_breaks() {
    refuses_the_patch_of_2013("uml:6.12");
}

#[test]
fn the_patch_of_2013_is_refused_on_the_oldest_series_with_what_it_breaks() {
    refuses_the_patch_of_2013("uml:6.1");
}

#[test]
fn the_patch_of_2013_is_refused_on_a_stock_kernel_with_modules_built_anew() {
    refuses_the_patch_of_2013("qemu:6.12");
}

#[test]
fn a_comment_changes_nothing_and_is_built_once() {
    let out = tempfile::tempdir().unwrap();
    let judge = || judge("uml:6.12", "comment", &[], out.path()).map(Result::unwrap);
    let Some(first) = judge() else { return };
    let report = judge().unwrap();
    for report in [first, report.clone()] {
        let (reach, text) = (report.reach.as_ref().unwrap(), report.to_text());
        assert_eq!(report.verdict, PatchVerdict::Agrees, "{text}");
        assert_eq!((reach.no_code, reach.sequences), (1, 0), "{text}");
        assert!(text.contains("\nreached    no changed line holds code"), "{text}");
    }
    assert_eq!([report.timing.compile, report.timing.link], [0.0; 2]);
    assert!(report.bill.prices.iter().all(|row| !row.changes()));
}

#[test]
fn a_patch_that_does_not_compile_says_what_the_compiler_says() {
    let out = tempfile::tempdir().unwrap();
    let refused = judge("uml:6.12", "does-not-compile", &[], out.path());
    let Some(refused) = refused else { return };
    says_what_the_compiler_says(&refused.unwrap_err());
}

#[test]
fn modules_that_do_not_compile_are_told_as_a_kernel_that_does_not() {
    let out = tempfile::tempdir().unwrap();
    let refused = judge("qemu:6.12", "does-not-compile", &[], out.path());
    let Some(refused) = refused else { return };
    says_what_the_compiler_says(&refused.unwrap_err());
}

fn says_what_the_compiler_says(error: &RunError) {
    assert_eq!(error.blame(), pinfold_run::Blame::Input);
    let mut said = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        said.push_str(&error.to_string());
        cause = error.source();
    }
    assert!(said.contains("\ndrivers/infiniband/core/umem.c:"), "{said}");
    assert!(said.contains("first_address") && !said.contains("***"), "{said}");
}

#[test]
fn a_patch_to_what_is_built_in_is_not_for_a_stock_kernel() {
    let out = tempfile::tempdir().unwrap();
    let refused = judge("qemu:6.12", "gup-anon-never-unshared", &[], out.path());
    let Some(refused) = refused else { return };
    let error = refused.unwrap_err();
    assert!(error.is_built_in() && error.blame() == pinfold_run::Blame::Input, "{error}");
}

#[test]
fn a_kernel_that_does_not_boot_any_more_is_a_verdict() {
    does_not_boot("uml:6.12");
}

#[test]
fn modules_that_a_kernel_dies_of_are_told_as_a_kernel_that_does_not_boot() {
    does_not_boot("qemu:6.12");
}

fn does_not_boot(target: &str) {
    let out = tempfile::tempdir().unwrap();
    let Some(report) = judge(target, "does-not-boot", &[], out.path()) else { return };
    let report = report.unwrap();
    assert_eq!(report.verdict, PatchVerdict::DoesNotBoot);
    let console = &report.boot.as_ref().unwrap().console;
    assert!(console.contains("a kernel that does not boot"), "{console}");
    assert!(report.to_text().starts_with("NO BOOT"));
}

#[test]
fn a_patch_that_mends_a_defect_cures_it_and_under_both_kernels_it_cures_nothing() {
    const CURED: &str = "protection-read_remote-rem_access_err-value-window-range";
    let out = tempfile::tempdir().unwrap();
    let mend = "window-bounds";
    if !is_here("uml:6.12") {
        return;
    }
    let judge = |slug, base: &[&str]| {
        let options = options_for("uml:6.12", slug, base, out.path());
        let duel = Duel { stored: StoredUse::Below(OF_DEFECTS.to_owned()), ..options.duel };
        judge_by(&PatchOptions { duel, ..options }).unwrap()
    };
    let report = judge(mend, &[]);
    assert_eq!(report.verdict, PatchVerdict::Agrees, "{}", report.to_text());
    assert!(signatures(&report.cured).contains(&CURED), "{}", report.to_text());
    let under = judge("comment", &[mend]);
    assert_eq!(under.verdict, PatchVerdict::Agrees);
    assert_eq!(signatures(&under.cured), [""; 0]);
    let common = signatures(&under.common);
    assert!(!common.contains(&CURED) && !common.is_empty(), "{common:?}");
}

/// The verdict on a trial or a design on `target`, and what it says of the changed lines; `None` if that is not built.
fn reach_of(target: &str, slug: &str) -> Option<(PatchVerdict, PatchReach, String)> {
    let out = tempfile::tempdir().unwrap();
    let report = judge(target, slug, &[], out.path())?.unwrap();
    let text = report.to_text();
    let page = fs::read_to_string(out.path().join("report.md")).unwrap();
    let json = fs::read_to_string(out.path().join("patch.json")).unwrap();
    assert!(page.contains("reached    ") && json.contains("\"not_run\""), "{text}");
    let reach = report.reach.unwrap();
    assert_eq!(reach.unknown, None, "{text}");
    Some((report.verdict, reach, text))
}

/// The newest series that is kept up for years, and the newest.
const SERIES: [&str; 2] = ["6.12", "7.3"];

#[test]
fn a_file_that_is_not_compiled_is_not_built() {
    for series in SERIES {
        let Some((verdict, reach, text)) = reach_of(&format!("uml:{series}"), "not-built") else {
            continue;
        };
        assert_eq!(verdict, PatchVerdict::NotBuilt, "{text}");
        assert!(text.starts_with("NOT BUILT ") && text.contains("not compiled"), "{text}");
        assert_eq!((reach.not_built.len(), reach.sequences), (1, 0), "{text}");
        assert!(text.contains(": nothing was run, both are the same\n"), "{text}");
    }
}

#[test]
fn a_function_that_no_op_reaches_is_not_reached_and_sequences_near_to_it_were_tried() {
    for series in SERIES {
        let Some((verdict, reach, text)) = reach_of(&format!("uml:{series}"), "not-reached") else {
            continue;
        };
        assert_eq!(verdict, PatchVerdict::NotReached, "{text}");
        assert!(text.starts_with("NOT REACHED "), "{text}");
        assert_eq!((reach.ran.len(), reach.not_run.len()), (0, 2), "{text}");
        assert!(reach.near > 0 && reach.sequences > reach.near, "{text}");
    }
}

#[test]
fn a_branch_that_is_never_taken_is_half_reached() {
    for series in SERIES {
        let Some((verdict, reach, text)) = reach_of(&format!("uml:{series}"), "half-reached")
        else {
            continue;
        };
        assert_eq!(verdict, PatchVerdict::Agrees, "{text}");
        assert_eq!((reach.ran.len(), reach.not_run.len(), reach.no_code), (1, 1, 1), "{text}");
        assert!(text.contains("\nreached    1 of 2 changed lines ran; not: umem.c:"), "{text}");
    }
}

#[test]
fn a_line_that_every_registration_runs_is_reached_at_once() {
    for series in SERIES {
        let Some((verdict, reach, text)) = reach_of(&format!("uml:{series}"), "reached") else {
            continue;
        };
        assert_eq!(verdict, PatchVerdict::Agrees, "{text}");
        assert_eq!((reach.ran.len(), reach.not_run.len(), reach.near), (1, 0, 0), "{text}");
        assert!(text.contains("\nreached    1 of 1 changed line ran\n"), "{text}");
    }
}

#[test]
fn the_two_words_of_2013_as_they_were_corrected_ran_on_the_oldest_series() {
    let Some((_, reach, text)) = reach_of("uml:6.1", "as-corrected") else { return };
    assert_eq!((reach.not_run.len(), reach.not_built.len()), (0, 0), "{text}");
    assert!(!reach.ran.is_empty(), "{text}");
}

#[test]
fn memory_that_only_the_patched_kernel_keeps_is_new_and_a_line_says_which() {
    let target = "uml:7.3";
    if !is_here(target) {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let options = options_for(target, "uverbs-window-leaked", &[], out.path());
    let duel = Duel { leaks: LeakUse::Look, ..options.duel };
    let report = judge_by(&PatchOptions { duel, ..options }).unwrap();
    let text = report.to_text();
    assert_eq!((report.verdict, report.new.len()), (PatchVerdict::Diverges, 0), "{text}");
    let found = report.leaks.iter().find(|found| found.leak.what.starts_with("kmalloc-"));
    let found = found.unwrap_or_else(|| panic!("{text}"));
    assert!(found.sequence.is_some() && found.leak.objects > 0.9, "{text}");
    assert!(text.contains("\naccounted  NO: each run of corpus/seeds/"), "{text}");
}

#[test]
fn probes_tell_of_modules_built_anew_which_lines_ran() {
    let Some((_, reach, text)) = reach_of("qemu:6.12", "half-reached") else { return };
    // The compiler may do without a branch: the line in it has no instruction of its own then.
    let rest = reach.not_run.len() + reach.not_built.len();
    assert_eq!((reach.ran.len(), rest), (1, 1), "{text}");
}

#[test]
fn an_option_that_is_dropped_says_what_it_depends_on() {
    if !is_here("uml:7.3") {
        return;
    }
    let options = PatchOptions {
        enable: vec!["CONFIG_MLX5_INFINIBAND".to_owned()],
        ..options_for("uml:7.3", "not-built", &[], Path::new("out"))
    };
    let error = patch(&options, &Arc::default(), &mut |_| {}).unwrap_err();
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        said.push_str(&error.to_string());
        cause = error.source();
    }
    assert!(said.contains("depends on") && said.contains("MLX5_CORE"), "{said}");
    assert_eq!(error.blame(), pinfold_run::Blame::Input);
}
