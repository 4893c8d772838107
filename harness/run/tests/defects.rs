//! Each case of a defect is seen on the kernels on which it was verified, by its sequence.
//!
//! Where a case is only presumed, the test prints what it saw. Where a kernel is not here the test says so, counts it, and
//! goes on; with PINFOLD_REQUIRE_VM=1 it fails instead. `reproduce.rs` stands for the cases that a program shows.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

mod targets;

use std::path::{Path, PathBuf};

use pinfold::defects::FOLDER;
use pinfold::profile::Platform;
use pinfold_contract::Series;
use pinfold_run::{
    Case, Expected, Seen, Target, TargetOptions, all_series, embedded_defects, verify,
};
use targets::is_here;

fn name(series: Series, platform: Platform) -> String {
    match platform {
        Platform::Uml => format!("uml:{series}"),
        Platform::X86 => format!("qemu:{series}"),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FOLDER)
}

/// What contradicts `corpus/defects` on the kernel `name`.
fn wrong_on(name: &str) -> Vec<String> {
    let defects = embedded_defects().unwrap();
    let mut target = Target::open(&name.parse().unwrap(), &TargetOptions::default()).unwrap();
    let mut tell = |case: &_| eprintln!("{case}");
    let verification = verify(&mut target, &defects, &folder(), &mut tell).unwrap();
    eprintln!("{verification}");
    assert!(!verification.cases.is_empty(), "no case affects {name}: nothing was looked for");
    let wrong = verification.cases.iter().filter(|case| case.is_wrong() || is_left_open(case));
    wrong.map(|case| format!("{name}: {case}")).collect()
}

/// Whether a sequence that showed its case on this series before was run and said nothing.
fn is_left_open(case: &Case) -> bool {
    let is_run = case.shown_by.ends_with(".seq");
    is_run && case.expected == Expected::Verified && matches!(case.seen, Seen::NotJudged(_))
}

/// Whether each case that was verified on kernels of `platform` is seen there.
#[track_caller]
fn each_is_seen_on(platform: Platform) {
    let names = all_series().into_iter().map(|series| name(series, platform));
    let (here, skipped): (Vec<String>, Vec<String>) = names.partition(|name| is_here(name));
    eprintln!(
        "{} kernels of {}, {} skipped: {skipped:?}",
        here.len(),
        platform.name(),
        skipped.len()
    );
    let wrong: Vec<String> = here.iter().flat_map(|name| wrong_on(name)).collect();
    assert_eq!(wrong, [""; 0], "not seen as corpus/defects has it");
}

#[test]
fn every_known_divergence_of_user_mode_linux_is_seen_there() {
    each_is_seen_on(Platform::Uml);
}

#[test]
fn every_known_divergence_of_stock_kernels_is_seen_there() {
    each_is_seen_on(Platform::X86);
}
