//! Probes tell real kernels apart, whichever they are first taken for.
//!
//! Where there is no kernel the test says so and does nothing; with PINFOLD_REQUIRE_VM=1 it fails instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

use std::env;

use pinfold::probe::{Fitted, fit};
use pinfold::profile::{Profile, Umem};
use pinfold_contract::{Observe, Sequence};
use pinfold_run::{Target, TargetOptions, built_kernels};

/// rxe of 6.12 tells each request that fails locally as flushed (`corpus/known.toml`), and so hides this field.
const HIDDEN: &str = "local_range_status";

/// A machine with the packaged kernel of `series`, if that was built.
fn machine(series: &str) -> Option<Target> {
    let prefix = format!("{series}.");
    if !built_kernels().unwrap().iter().any(|kernel| kernel.version.starts_with(&prefix)) {
        let why = format!("no kernel {series}: run ci/setup {series}");
        assert!(env::var_os("PINFOLD_REQUIRE_VM").is_none(), "{why}");
        eprintln!("SKIP: {why}");
        return None;
    }
    let name = format!("uml:{series}").parse().unwrap();
    Some(Target::open(&name, &TargetOptions::default()).unwrap())
}

#[test]
fn the_rules_of_a_real_kernel_are_found_out() {
    for own in Profile::ALL {
        let Some(mut target) = machine(own.series) else { return };
        for nearest in Profile::ALL {
            let run = |sequence: &Sequence| target.run(sequence, Observe::Each);
            let Fitted { profile, fits } = fit(nearest, run).unwrap();
            let unfit = fits.iter().find(|fit| fit.series.is_none() && fit.field != HIDDEN);
            assert_eq!(unfit, None, "linux {}", own.series);
            let (series, local_range_status) = (own.series, own.local_range_status);
            // Who always pins for writing never unshares, so nobody can tell whether the kernel would.
            let is_unseen = own.umem == Umem::AlwaysWrite;
            let unshare = if is_unseen { own.unshare } else { profile.unshare };
            let found = Profile { series, local_range_status, unshare, ..profile };
            assert_eq!(found, *own, "linux {}, nearest {}", own.series, nearest.series);
        }
    }
}
