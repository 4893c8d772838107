//! A kernel with the patch of a design does what the model says of that design over that GUP.
//!
//! Kernels as they are stand for one pair a series. The others are built by `ci/designs`; PINFOLD_DESIGNS names their folder.
//! Where there is no kernel the test says so and does nothing; with PINFOLD_REQUIRE_VM=1 it fails instead. What the page
//! about the designs says of each counterexample is asked of the model as well, which needs no kernel.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use pinfold::designs::{Design, Gup, Pair, asked_of};
use pinfold::generate::Generator;
use pinfold::profile::{Profile, Umem};
use pinfold_contract::{
    Access, End, MrView, Observe, Op, Outcome, PageView, Proc, Prot, Sequence, Trace, print_op,
};
use pinfold_run::{
    Judgement, Rules, Target, TargetOptions, assert_agrees, built_kernels, check, embedded_defects,
    read_seq,
};

/// Random sequences for each kernel.
const SEQUENCES: u64 = 300;

/// One in how many of them may be left without a verdict.
const INCONCLUSIVE_ONE_IN: u64 = 20;

/// The kernel that carries `pair` out, if it was built: its name as a target.
fn kernel_of(pair: Pair) -> Option<String> {
    if pair.profile() == *pair.gup.linux() {
        let prefix = format!("{}.", pair.gup.name());
        let is_built = built_kernels().unwrap().iter().any(|k| k.version.starts_with(&prefix));
        return is_built.then(|| format!("uml:{}", pair.gup.name()));
    }
    let folder = PathBuf::from(env::var_os("PINFOLD_DESIGNS")?);
    let image = folder.join(format!("{}-{}", pair.design.name(), pair.gup.name()));
    let image = image.canonicalize().ok()?;
    Some(format!("uml:{}", image.display()))
}

fn open(kernel: &str, rules: Rules) -> Target {
    let options = TargetOptions { rules: Some(rules), ..TargetOptions::default() };
    Target::open(&kernel.parse().unwrap(), &options).unwrap()
}

/// Every pair that `ci/designs` builds: over the GUP of 2013, and over that of each series, whether or not the table has rows
/// of it.
fn all_pairs() -> impl Iterator<Item = Pair> {
    let series = Profile::all().iter().rev().map(|profile| Gup::Linux(profile.series));
    let gups: Vec<Gup> = [Gup::Gup2013].into_iter().chain(series).collect();
    Design::ALL
        .into_iter()
        .flat_map(move |design| gups.clone().into_iter().map(move |gup| Pair { design, gup }))
}

/// Each pair of which there is a kernel. How many have none is said.
fn kernels() -> Vec<(Pair, String)> {
    let kernels: Vec<(Pair, String)> =
        all_pairs().filter_map(|pair| Some((pair, kernel_of(pair)?))).collect();
    let pair_count = all_pairs().count();
    let why = format!(
        "{} of {pair_count} pairs have no kernel: ci/setup builds kernels as they are, ci/designs the others",
        pair_count - kernels.len()
    );
    if kernels.is_empty() {
        assert!(env::var_os("PINFOLD_REQUIRE_VM").is_none(), "{why}");
    }
    if kernels.len() < pair_count {
        eprintln!("SKIP: {why}");
    }
    kernels
}

#[test]
fn model_and_kernel_agree_on_each_design() {
    let known = embedded_defects().unwrap();
    for (pair, kernel) in kernels() {
        let mut target = open(&kernel, Rules::Of(pair));
        let generator = Generator::new(2013);
        let mut inconclusive = BTreeMap::<String, u64>::new();
        for index in 0..SEQUENCES {
            let sequence = asked_of(target.profile(), index, generator.sequence(index));
            match assert_agrees(&mut target, &sequence, Observe::End, &known) {
                Judgement::Agrees | Judgement::Known { .. } => {}
                Judgement::Inconclusive { reason } => {
                    *inconclusive.entry(reason.to_string()).or_default() += 1;
                }
                judgement @ Judgement::Diverges { .. } => panic!("{pair}: {judgement}"),
            }
        }
        let count: u64 = inconclusive.values().sum();
        eprintln!("{pair}: {count} of {SEQUENCES} sequences are inconclusive");
        assert!(count * INCONCLUSIVE_ONE_IN <= SEQUENCES, "{pair}: {inconclusive:?}");
    }
}

/// What a design promises, or breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Coherent,
    Protected,
}

/// A row of the table: of each promise, the ops that break it.
type Row = (String, String, [Option<Vec<String>>; 2]);

/// The rows of the table in corpus/designs/README.md.
fn rows() -> Vec<Row> {
    let page = fs::read_to_string(folder().join("README.md")).unwrap();
    // A bar within code has a backslash before it: only those with blanks around them part cells.
    // A bar within code has a backslash before it: only those with blanks around them part cells.
    let ops = |cell: &str| match cell.strip_prefix("**no**: ") {
        Some(ops) => {
            Some(ops.replace("\\|", "|").split(", `").map(|op| op.replace('`', "")).collect())
        }
        None => {
            assert_eq!(cell, "yes");
            None
        }
    };
    let of_a_design = |line: &&str| {
        Design::ALL.iter().any(|design| line.starts_with(&format!("| {} | ", design.name())))
    };
    let rows = page.lines().filter(of_a_design).map(|line| {
        let cells: Vec<&str> =
            line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        (cells[0].to_owned(), cells[1].to_owned(), [ops(cells[2]), ops(cells[3])])
    });
    rows.collect()
}

/// The row that holds for `pair`: its own, or that of the newest series before it that has one.
fn row_of(rows: &[Row], pair: Pair) -> &Row {
    let holds = |row: &&Row| match pair.gup {
        Gup::Gup2013 => row.1 == "2013",
        Gup::Linux(series) => row.1.parse().is_ok_and(|of: pinfold_contract::Series| of <= series),
    };
    let mut of_design = rows.iter().filter(|row| row.0 == pair.design.name());
    of_design.rfind(holds).unwrap_or_else(|| panic!("no row is of {pair}"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus/designs")
}

/// The counterexamples, by file.
fn counterexamples() -> BTreeMap<String, (Promise, Sequence)> {
    let mut found = BTreeMap::new();
    for entry in folder().read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(stem) = name.strip_suffix(".seq") else {
            assert_eq!(name, "README.md");
            continue;
        };
        let promise = match stem.rsplit_once('-').unwrap().1 {
            "incoherent" => Promise::Coherent,
            "unprotected" => Promise::Protected,
            other => panic!("{name}: what is {other}?"),
        };
        found.insert(name, (promise, read_seq(&path).unwrap().sequence));
    }
    found
}

/// Whether `trace` shows that `promise` is broken, by what was observed alone: no model and no oracle is asked.
fn breaks(promise: Promise, sequence: &Sequence, trace: &Trace) -> bool {
    assert!(matches!(trace.end, End::Finished { .. }), "{:?}", trace.end);
    match promise {
        Promise::Coherent => adapter_and_cpu_differ(sequence, trace),
        Promise::Protected => gives_a_right_over_read_only(sequence, trace),
    }
}

/// After the last op, through the only MR, which is of page 0.
fn adapter_and_cpu_differ(sequence: &Sequence, trace: &Trace) -> bool {
    assert!(trace.steps.iter().all(|step| step.outcome == Outcome::Done), "{trace:?}");
    assert_eq!(sequence.ops.iter().filter(|op| matches!(op, Op::Reg { .. })).count(), 1);
    let checkpoint = trace.steps.last().unwrap().checkpoint.as_ref().unwrap();
    let [MrView { bytes: Ok(adapter), .. }] = &checkpoint.mrs[..] else {
        panic!("{:?}", checkpoint.mrs);
    };
    let process = checkpoint.procs.iter().find(|view| view.proc == Proc::P0).unwrap();
    let [PageView { page: 0, bytes: Some(cpu), .. }] = &process.pages[..] else {
        panic!("{:?}", process.pages);
    };
    adapter != cpu
}

/// In the last op, over memory that was mapped to be read in the first one.
fn gives_a_right_over_read_only(sequence: &Sequence, trace: &Trace) -> bool {
    let [Op::Map { prot, .. }, Op::Reg { access, .. }] = sequence.ops[..] else {
        panic!("{:?}", sequence.ops);
    };
    assert!(prot == Prot::R && access.has(Access::LOCAL_WRITE), "{:?}", sequence.ops);
    let [map, reg] = &trace.steps[..] else { panic!("{trace:?}") };
    assert_eq!(map.outcome, Outcome::Done);
    reg.outcome == Outcome::Done
}

/// Runs every counterexample on `target`, which plays or is `pair`: each of the pair's own row has to break what the row
/// says, and none may break what the row calls kept. Gives how many broke something.
fn check_counterexamples(pair: Pair, target: &mut Target, rows: &[Row]) -> usize {
    let (_, _, broken_by) = row_of(rows, pair);
    let (mut own_count, mut broken_count) = (0, 0);
    for (file, (promise, sequence)) in counterexamples() {
        // What is wrong with a pair is what its rules allow: only the trace tells.
        let trace = check(target, &sequence, Observe::Each).unwrap().trace;
        let is_broken = breaks(promise, &sequence, &trace);
        let ops: Vec<String> = sequence.ops.iter().map(print_op).collect();
        let of_row = match promise {
            Promise::Coherent => &broken_by[0],
            Promise::Protected => &broken_by[1],
        };
        assert!(
            !is_broken || of_row.is_some(),
            "{pair}: {file} breaks a promise that the page calls kept"
        );
        if of_row.as_ref() == Some(&ops) {
            assert!(
                is_broken,
                "{pair}: {file} does not show on {} what the page says",
                target.name()
            );
            own_count += 1;
        }
        broken_count += usize::from(is_broken);
    }
    let row_says_broken = broken_by.iter().flatten().count();
    assert!(own_count >= row_says_broken, "{pair}: a counterexample of the page has no file");
    broken_count
}

#[test]
fn each_counterexample_shows_in_the_model_what_the_page_says() {
    let rows = rows();
    assert_eq!(rows.len(), Pair::all().count());
    let mut broken_count = 0;
    for pair in all_pairs() {
        broken_count +=
            check_counterexamples(pair, &mut open("model:6.12", Rules::Of(pair)), &rows);
    }
    assert!(broken_count >= counterexamples().len(), "only {broken_count} of all show something");
}

#[test]
fn each_counterexample_shows_on_the_kernel_what_the_page_says() {
    let (rows, known) = (rows(), embedded_defects().unwrap());
    for (pair, kernel) in kernels() {
        let mut target = open(&kernel, Rules::Of(pair));
        let broken_count = check_counterexamples(pair, &mut target, &rows);
        eprintln!("{pair}: {broken_count} of {} show something", counterexamples().len());
        for (file, (_, sequence)) in counterexamples() {
            let judgement = assert_agrees(&mut target, &sequence, Observe::Each, &known);
            assert_eq!(judgement, Judgement::Agrees, "{pair}: {file}");
        }
    }
}

#[test]
fn probes_find_the_rules_of_each_design() {
    for (pair, kernel) in kernels() {
        let found = open(&kernel, Rules::Probed);
        let (found, rules) = (found.profile(), found.rules());
        let wanted = pair.profile();
        assert_eq!(found.umem, wanted.umem, "{pair}: {rules}");
        assert_eq!(found.non_coherent, wanted.non_coherent, "{pair}: {rules}");
        // Who always pins for writing never unshares.
        if wanted.umem != Umem::AlwaysWrite {
            assert_eq!(found.unshare, wanted.unshare, "{pair}: {rules}");
        }
        let same = Profile {
            umem: wanted.umem,
            unshare: wanted.unshare,
            non_coherent: wanted.non_coherent,
            // rxe of 6.12 hides it: see harness/run/tests/probe.rs.
            local_range_status: wanted.local_range_status,
            ..*found
        };
        assert_eq!(same, wanted, "{pair}: {rules}");
    }
}
