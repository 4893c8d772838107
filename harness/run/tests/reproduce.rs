//! Reproducers in C: they compile without a word, and tell right kernels from wrong ones.
//!
//! Where there is no compiler, or no kernel, the tests say so and do nothing; with PINFOLD_REQUIRE_VM=1 they fail instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(
    clippy::explicit_write,
    reason = "what macros print is kept back for a test that passes, as one that skips does"
)]

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{env, fs};

use pinfold::generate::Generator;
use pinfold::minimize::minimize;
use pinfold::model::{Fault, perform, predict};
use pinfold::oracle::{Divergence, Oracle, Verdict, judge, kernel_log_title};
use pinfold::profile::Profile;
use pinfold::reproduce::{Reproduction, c_program};
use pinfold::signature::Signature;
use pinfold_contract::{Observe, ProgramEnd, Sequence, parse, print};
use pinfold_run::{
    Judgement, Linking, Prepared, RunEnd, TargetOptions, allowed_cpus, build_kernel,
    check_and_judge, compile_c, default_target, embedded_defects, find_kernel, prepare, read_patch,
    reproduce_c, reproduce_seq, run_program,
};

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Says that a test is skipped, and counts it; fails where nothing may be missing.
fn skip(why: &str) {
    assert!(env::var_os("PINFOLD_REQUIRE_VM").is_none(), "{why}");
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    writeln!(std::io::stderr(), "SKIP: {why} ({count} skipped so far)").unwrap();
}

fn can_compile() -> bool {
    let has_headers = Path::new("/usr/include/infiniband/verbs.h").is_file();
    if !has_headers {
        skip("no rdma-core headers: run ci/setup");
    }
    has_headers
}

/// How many sequences each folder has at least, of those whose programs are tried here.
const SEQUENCES_LEAST: usize = 20;

fn sequences(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus").join(name)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "seq") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() >= SEQUENCES_LEAST, "only {} sequences in {}", found.len(), name);
    found
}

/// Compiles `text` in a folder of its own; the folder goes with what is returned.
fn compiled(text: &str, linking: Linking) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("repro.c"), folder.path().join("repro"));
    fs::write(&source, text).unwrap();
    compile_c(&source, &program, linking).unwrap_or_else(|error| panic!("{error}\n{text}"));
    (folder, program)
}

/// Has the compiler read `text`. All its warnings are wanted but those that come of optimizing: programs that are run are
/// compiled whole, with the same flags.
fn compiles_without_a_word(text: &str) {
    compiles(text, "cc", &["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-pthread"]);
}

fn compiles(text: &str, compiler: &str, flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("repro.c");
    fs::write(&source, text).unwrap();
    let output = Command::new(compiler).args(flags).arg(&source).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} {flags:?}\n{said}\n{text}");
}

/// A program that shows what `fault` does to `sequence`, if it does something.
fn shown(fault: Fault, sequence: &Sequence) -> Option<(Signature, Divergence)> {
    let profile = fault.shown_on(Profile::newest());
    let predicted = predict(profile, sequence, Observe::Each);
    let trace = perform(profile, Some(fault), sequence, Observe::Each);
    match judge(sequence, &predicted, &trace) {
        Verdict::Diverges(found) => Some((Signature::of(sequence, &found), found)),
        Verdict::Agrees | Verdict::Inconclusive { .. } => None,
    }
}

/// How many generated sequences each fault is shown, and how many one that none of those shows.
const SEQUENCES: u64 = 400;
const SEQUENCES_MAX: u64 = 5000;

/// A minimized sequence for each signature that `fault` has in some generated sequences.
fn minimized(fault: Fault) -> BTreeMap<Signature, (Sequence, Divergence)> {
    let generator = Generator::new(1);
    let mut found = BTreeMap::new();
    for index in 0..SEQUENCES_MAX {
        if index >= SEQUENCES && !found.is_empty() {
            break;
        }
        let sequence = generator.sequence_on(fault.shown_on(Profile::newest()), index);
        let Some((signature, _)) = shown(fault, &sequence) else { continue };
        if let Entry::Vacant(place) = found.entry(signature.clone()) {
            let same = |s: &Sequence| shown(fault, s).is_some_and(|(other, _)| other == signature);
            let least = minimize(sequence, same);
            let (_, divergence) = shown(fault, &least).unwrap();
            place.insert((least, divergence));
        }
    }
    found
}

fn program(sequence: &Sequence, profile: &'static Profile, found: Option<&Divergence>) -> String {
    let seen_on = ["Linux 6.12.0".to_owned()];
    let title = "a test";
    c_program(&Reproduction { sequence, profile, title, seen_on: &seen_on, divergence: found })
}

#[test]
fn the_program_of_every_stored_sequence_compiles_without_a_word() {
    if !can_compile() {
        return;
    }
    for path in sequences("seeds").into_iter().chain(sequences("regress")) {
        for target in ["uml:6.12", "uml:6.1"] {
            compiles_without_a_word(&reproduce_c(&path, &target.parse().unwrap()).unwrap());
        }
    }
}

/// A maintainer compiles a program with whatever is at hand: gcc or clang, optimized or not. Each stored sequence that
/// brings in a function which none before it had is compiled with all of them.
#[test]
fn every_piece_of_a_program_compiles_without_a_word_by_gcc_and_clang_at_each_level() {
    if !can_compile() {
        return;
    }
    let compilers: Vec<&str> =
        ["gcc", "clang-14"].into_iter().filter(|compiler| is_installed(compiler)).collect();
    let mut functions = BTreeSet::new();
    for path in sequences("seeds") {
        let text = reproduce_c(&path, &default_target().parse().unwrap()).unwrap();
        let here = text.lines().filter(|line| line.starts_with("static ") && line.ends_with(')'));
        let known = functions.len();
        functions.extend(here.map(str::to_owned));
        if functions.len() == known {
            continue;
        }
        for compiler in &compilers {
            for level in ["-O0", "-O1", "-O2", "-Os"] {
                let flags = ["-c", "-o/dev/null", "-Wall", "-Wextra", "-Werror", "-pthread", level];
                compiles(&text, compiler, &flags);
            }
        }
    }
    assert!(functions.len() > 60, "{functions:?}");
}

fn is_installed(compiler: &str) -> bool {
    let is_here = Command::new(compiler).arg("--version").output().is_ok();
    if !is_here {
        skip(&format!("no {compiler}: run ci/setup --for-tests"));
    }
    is_here
}

/// All kinds of ops, also those that no stored sequence has.
#[test]
fn the_programs_of_generated_sequences_compile_without_a_word() {
    if !can_compile() {
        return;
    }
    let generator = Generator::new(1);
    for index in 0..60 {
        let sequence = generator.sequence_on(Profile::newest(), index);
        compiles_without_a_word(&program(&sequence, Profile::newest(), None));
    }
}

#[test]
fn the_program_for_every_planted_fault_compiles_without_a_word_and_is_short() {
    if !can_compile() {
        return;
    }
    for (fault, name) in Fault::ALL {
        let found = minimized(fault);
        assert!(!found.is_empty(), "{name}");
        for (signature, (sequence, divergence)) in found {
            let text = program(&sequence, fault.shown_on(Profile::newest()), Some(&divergence));
            compiles_without_a_word(&text);
            let length = text.lines().count();
            assert!(length <= 640, "{name}: {signature}: {length} lines for\n{}", print(&sequence));
            assert!(text.contains("check(WRONG,"), "{name}: nothing is decided in\n{text}");
        }
    }
}

/// A kernel can leak what the harness itself pins: then no op is left.
#[test]
fn the_program_for_a_leak_that_needs_no_op_compiles_and_decides() {
    if !can_compile() {
        return;
    }
    let sequence = parse("# pinfold 1\n").unwrap().sequence;
    let leak = Divergence {
        op_index: 0,
        oracle: Oracle::Teardown,
        predicted: "pins 0".to_owned(),
        seen: "pins 128".to_owned(),
        class: "pins.more".to_owned(),
        detail: "pins: predicted 0, seen 128 (+128)".to_owned(),
    };
    let text = program(&sequence, Profile::newest(), Some(&leak));
    compiled(&text, Linking::Dynamic);
    assert!(text.contains("check(WRONG,") && text.contains("second_landing();"), "{text}");
}

#[test]
fn the_program_for_a_bug_of_two_ops_has_two_pages() {
    let text = "# pinfold 1\nmap 0..1 anon private r\nreg mr0 0..1 local_write\n";
    let sequence = parse(text).unwrap().sequence;
    let (_, divergence) = shown(Fault::WritableOverReadOnly, &sequence).unwrap();
    let text = program(&sequence, Profile::newest(), Some(&divergence));
    assert!(text.lines().count() <= 140, "{text}");
    assert_eq!(text, program(&sequence, Profile::newest(), Some(&divergence)));
}

/// What a maintainer reads must not send them to look for another program.
#[test]
fn a_program_names_nothing_of_the_harness() {
    for path in sequences("seeds") {
        let text = reproduce_c(&path, &"uml:6.12".parse().unwrap()).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let body = text.replace(&name, "").to_lowercase();
        for word in ["pinfold", "oracle", "executor", "harness"] {
            assert!(!body.contains(word), "{name}: {word} in\n{text}");
        }
    }
}

#[test]
fn a_sequence_with_expectations_is_the_same_sequence() {
    for path in sequences("seeds") {
        let text = reproduce_seq(&path, &"uml:6.12".parse().unwrap()).unwrap();
        let before = parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let after = parse(&text).unwrap();
        assert_eq!(after.sequence, before.sequence, "{}", path.display());
        assert!(after.expectations.iter().all(Option::is_some), "{text}");
    }
}

/// The kernel of `name`, if it was built; building it is not for a test.
fn kernel(name: &str) -> Option<Prepared> {
    if !can_compile() {
        return None;
    }
    if find_kernel(name).unwrap().is_none() {
        skip(&format!("no kernel {name}: run `pinfold kernel build {name}`"));
        return None;
    }
    let target = format!("uml:{name}").parse().unwrap();
    Some(prepare(&target, &TargetOptions::default(), &mut |_| {}).unwrap())
}

/// Runs `text` on `target`: its exit status, and what it printed.
fn run(target: &Prepared, text: &str) -> (RunEnd, String) {
    let (_folder, program) = compiled(text, Linking::Static);
    let cpu = allowed_cpus().first().copied();
    let run = run_program(target, &program, cpu, &AtomicBool::new(false)).unwrap();
    (run.end, format!("{}\n{}", run.output, run.console))
}

/// Whether `output` has as many tests as it says, in order.
fn tells_each_test_once(output: &str) -> bool {
    let plan = output.lines().find_map(|line| line.strip_prefix("1..")?.parse::<usize>().ok());
    let lines = output.lines().filter_map(|line| line.strip_prefix("ok "));
    let numbers: Vec<&str> = lines.filter_map(|line| line.split(' ').next()).collect();
    plan == Some(numbers.len())
        && numbers.iter().zip(1..).all(|(number, wanted)| number.parse() == Ok(wanted))
}

fn all_are_right_on(name: &str, folders: &[&str]) {
    let Some(target) = kernel(name) else { return };
    let (mut wrong, mut right, mut excused) = (Vec::new(), 0, Vec::new());
    for path in folders.iter().flat_map(|folder| sequences(folder)) {
        let text = reproduce_c(&path, target.name()).unwrap();
        let (end, output) = run(&target, &text);
        let is_right = end == RunEnd::Program(ProgramEnd::Exited(0));
        let is_excused = || {
            let sequence = parse(&fs::read_to_string(&path).unwrap()).unwrap().sequence;
            end == RunEnd::Program(ProgramEnd::Exited(1))
                && shows_a_known_defect(&target, &sequence)
        };
        if is_right && tells_each_test_once(&output) {
            right += 1;
        } else if is_excused() {
            excused.push(path.display().to_string());
        } else {
            wrong.push(format!("{}: {end:?}\n{output}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} on {name}:\n{}", wrong.len(), wrong.join("\n"));
    tell(right, &excused);
}

/// Tells how many programs found nothing wrong, and which met a known defect. Where many do, little is known of the programs.
fn tell(right: usize, excused: &[String]) {
    let (count, names) = (excused.len(), excused.join(", "));
    let text = format!("{right} programs end with 0, {count} meet a known defect: {names}");
    writeln!(std::io::stderr(), "{text}").unwrap();
    assert!(count * 10 <= right, "{text}");
}

#[test]
fn a_right_kernel_6_12_is_right_by_the_program_of_every_stored_sequence() {
    all_are_right_on("6.12", &["seeds", "regress"]);
}

/// Not those of the regressions too: what they tell apart was planted in the model, whose words are the same.
#[test]
fn the_program_of_every_seed_is_right_on_the_oldest_series() {
    all_are_right_on("6.1", &["seeds"]);
}

/// The other answers: a program that expects what no kernel does says so, and one without a device that it cannot tell.
#[test]
fn a_program_says_when_a_kernel_is_wrong_and_when_it_cannot_tell() {
    let Some(target) = kernel("6.12") else { return };
    let text = "# pinfold 1\nmap 0..1 anon private rw\nwrite 0 8 0x11\nreg mr0 0..1 remote_read\n\
                read_remote mr0+0 8\n";
    let sequence = parse(text).unwrap().sequence;
    let program = program(&sequence, Profile::newest(), None);
    let wrong = program.replacen("\"0x11\"", "\"0x12\"", 1);
    let (end, output) = run(&target, &wrong);
    assert_eq!(end, RunEnd::Program(ProgramEnd::Exited(1)), "{output}");
    assert!(output.contains("not ok 4 ") && output.contains("# got:      0x11"), "{output}");
    let (end, output) = run(&target, &program.replacen("\"rxe\"", "\"none\"", 1));
    assert_eq!(end, RunEnd::Program(ProgramEnd::Exited(4)), "{output}");
    assert!(output.contains("ok 1 # SKIP no RDMA device"), "{output}");
}

/// The program of a defect that no sequence can show.
const FAILED_FORK: &str = "corpus/defects/uml-failed-fork-panics/fork.c";

fn failed_fork() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(FAILED_FORK)).unwrap()
}

/// The signature under which a kernel's report with this title is counted.
fn signature_of_log(title: &str) -> Signature {
    let divergence = Divergence {
        op_index: 0,
        oracle: Oracle::KernelLog,
        predicted: String::new(),
        seen: String::new(),
        class: title.to_owned(),
        detail: String::new(),
    };
    Signature::of(&Sequence::default(), &divergence)
}

/// The signature of the case that `program` shows.
fn signature_shown_by(program: &str) -> Signature {
    let defects = embedded_defects().unwrap();
    let entry = defects.entries().find(|entry| entry.path() == program);
    entry.unwrap_or_else(|| panic!("no entry for {program}")).signature.clone()
}

#[test]
fn a_fork_that_fails_half_way_panics_user_mode_linux_6_12_and_not_6_1() {
    if let Some(target) = kernel("6.12") {
        let (end, output) = run(&target, &failed_fork());
        assert_eq!(end, RunEnd::KernelDied, "{output}");
        let title = kernel_log_title(&output).unwrap_or_else(|| panic!("no title in {output}"));
        assert_eq!(signature_shown_by(FAILED_FORK), signature_of_log(&title), "{output}");
    }
    if let Some(target) = kernel("6.1") {
        let (end, output) = run(&target, &failed_fork());
        assert_eq!(end, RunEnd::Program(ProgramEnd::Exited(0)), "{output}");
    }
}

#[test]
fn with_its_fix_a_fork_that_fails_half_way_is_refused_and_6_12_goes_on() {
    if kernel("6.12").is_none() {
        return;
    }
    let fix = "../../corpus/defects/uml-failed-fork-panics/fix@6.12.patch";
    let fix = read_patch(&Path::new(env!("CARGO_MANIFEST_DIR")).join(fix)).unwrap();
    let image = build_kernel("6.12", None, &[fix], &mut |_| {}).unwrap();
    let name = format!("uml:{}", image.display()).parse().unwrap();
    let target = prepare(&name, &TargetOptions::default(), &mut |_| {}).unwrap();
    let (end, output) = run(&target, &failed_fork());
    assert_eq!(end, RunEnd::Program(ProgramEnd::Exited(0)), "{output}");
    assert!(output.contains("fork: Cannot allocate memory"), "{output}");
}

/// Whether `sequence` shows a known defect of the kernel of `target`: there its program ends as that defect has it.
fn shows_a_known_defect(target: &Prepared, sequence: &Sequence) -> bool {
    let known = embedded_defects().unwrap();
    let mut target = target.open(None, Arc::default()).unwrap();
    let judged = check_and_judge(&mut target, sequence, Observe::Each, &known);
    matches!(judged.unwrap().1, Judgement::Known { .. })
}

/// Every planted fault's program runs to its end on a right kernel: no earlier op goes another way.
#[test]
fn a_right_kernel_is_right_by_the_program_for_every_planted_fault() {
    let usual = Profile::newest();
    let (mut right, mut excused) = (0, Vec::new());
    for (fault, name) in Fault::ALL {
        let series = fault.shown_on(usual).series.to_string();
        let Some(target) = kernel(&series) else { continue };
        for (signature, (sequence, divergence)) in minimized(fault) {
            let text = program(&sequence, Profile::newest(), Some(&divergence));
            let (end, output) = run(&target, &text);
            if end == RunEnd::Program(ProgramEnd::Exited(0)) {
                right += 1;
                continue;
            }
            let is_known = shows_a_known_defect(&target, &sequence);
            assert!(is_known, "{name}: {signature} {end:?}\n{output}\n{}", print(&sequence));
            excused.push(signature.to_string());
        }
    }
    tell(right, &excused);
}
