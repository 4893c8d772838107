//! Kernel memory that is never given back, on real kernels.
//!
//! Where a kernel is not built its tests say so and do nothing; with PINFOLD_REQUIRE_VM=1 they fail instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

mod targets;

use std::path::PathBuf;

use pinfold::profile::Profile;
use pinfold_contract::parse;
use pinfold_run::{
    Blame, LeakReport, Named, RunError, Target, TargetOptions, build_kernel, default_series,
    find_leaks, leak_sequences, read_patch,
};
use targets::is_here;

/// Three MRs registered, one of them in vain, and a window.
fn sequences() -> Vec<Named> {
    let ops = "map 0..2 anon private rw\nreg mr0 0..2 remote_read\nreg mr1 0..8 remote_read\n\
               reg mr2 0..1 local_write|mw_bind\nalloc_mw mw0 type1\ndealloc_mw mw0\ndereg mr2\ndereg mr0\n";
    vec![("a registration".to_owned(), parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence)]
}

fn report_of(target: &str) -> Result<LeakReport, RunError> {
    let mut target = Target::open(&target.parse().unwrap(), &TargetOptions::default()).unwrap();
    find_leaks(&mut target, sequences(), 60, &false.into())
}

/// The kernel of the default series with the mutant called `slug`.
fn mutant(slug: &str) -> String {
    let folder =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../targets/kernel/mutants"));
    let patch = read_patch(&folder.join(format!("{slug}.patch"))).unwrap();
    let image = build_kernel(&default_series().to_string(), None, &[patch], &mut |_| {}).unwrap();
    format!("uml:{}", image.display())
}

#[test]
fn a_kernel_that_gives_everything_back_is_not_accused() {
    let name = format!("uml:{}", default_series());
    if !is_here(&name) {
        return;
    }
    let report = report_of(&name).unwrap();
    assert_eq!((report.leaks, report.left_out), (vec![], vec![]));
}

#[test]
fn objects_and_pages_that_are_never_freed_are_found_by_name() {
    if !is_here(&format!("uml:{}", default_series())) {
        return;
    }
    for (slug, what) in
        [("uverbs-window-leaked", "kmalloc-"), ("umem-page-leaked", "unaccounted pages")]
    {
        let report = report_of(&mutant(slug)).unwrap();
        let found = report.leaks.iter().find(|found| found.leak.what.starts_with(what));
        let found = found.unwrap_or_else(|| panic!("{slug}: {report:?}"));
        assert_eq!(found.sequence.as_deref(), Some("a registration"));
        assert!(found.leak.objects > 0.9, "{slug}: {found}");
    }
}

#[test]
fn a_model_holds_no_kernel_memory() {
    let error = report_of("model:6.12").unwrap_err();
    assert_eq!(error.blame(), Blame::Capability);
    assert!(error.to_string().contains("/proc/slabinfo"), "{error}");
}

#[test]
fn the_sequences_that_are_repeated_are_few_seeds() {
    let chosen = leak_sequences(Profile::newest());
    assert!((10..60).contains(&chosen.len()), "{}", chosen.len());
    assert!(chosen.iter().all(|(name, _)| name.starts_with("corpus/seeds/")));
}
