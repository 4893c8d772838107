//! What kernels say of where they were, is about what they did.
//!
//! Where there is no kernel the test says so and does nothing; with PINFOLD_REQUIRE_VM=1 it fails instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

mod targets;

use std::collections::BTreeSet;

use pinfold_contract::{Edge, Observe, Sequence, parse};
use pinfold_run::{Target, TargetOptions};

fn sequence(ops: &str) -> Sequence {
    parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence
}

/// What `target` says of a run of `ops`.
fn seen(target: &mut Target, ops: &str) -> BTreeSet<Edge> {
    target.run(&sequence(ops), Observe::End).unwrap();
    target.edges().iter().copied().collect()
}

#[test]
fn ftrace_of_a_stock_kernel_tells_a_registration_from_none_on_every_machine() {
    ftrace_tells_a_registration_from_none("6.12");
}

#[test]
fn ftrace_of_a_stock_kernel_tells_a_registration_from_none_on_the_oldest_series() {
    ftrace_tells_a_registration_from_none("6.1");
}

fn ftrace_tells_a_registration_from_none(series: &str) {
    if targets::is_here(&format!("qemu:{series}")) {
        let name = format!("qemu:{series}+ftrace").parse().unwrap();
        let open = || Target::open(&name, &TargetOptions::default()).unwrap();
        let (mut one, mut other) = (open(), open());
        let maps = "map 0..4 anon private rw\n";
        let writes =
            format!("{maps}reg mr0 0..4 local_write|remote_write\nwrite_remote mr0 8 0x11\n");
        let [few, many] = [maps, &writes].map(|ops| seen(&mut one, ops));
        // The executor registers and connects for every sequence: most calls are in both.
        let new = many.difference(&few).count();
        assert!(!few.is_empty() && new >= 8, "{new} of {} on {name}", many.len());
        // The first sequence of a machine brings in what later ones find there.
        let [_, again] = [maps, &writes].map(|ops| seen(&mut other, ops));
        let common = again.intersection(&many).count();
        assert!(common * 4 >= many.len() * 3, "{common} of {} on {name}", many.len());
    }
}

#[test]
fn a_kernel_that_is_not_asked_says_nothing() {
    if targets::is_here("uml:6.12") {
        let name = "uml:6.12".parse().unwrap();
        let mut target = Target::open(&name, &TargetOptions::default()).unwrap();
        assert_eq!(seen(&mut target, "map 0..4 anon private rw\n"), BTreeSet::new());
    }
}
