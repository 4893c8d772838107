//! Probes tell real kernels apart, whichever they are first taken for.
//!
//! Where there is no kernel the test says so and does nothing; with PINFOLD_REQUIRE_VM=1 it fails instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

mod targets;

use pinfold::probe::{Fitted, fit};
use pinfold::profile::{Profile, Umem};
use pinfold_contract::{Observe, Sequence};
use pinfold_run::{Target, TargetOptions};
use targets::is_here;

/// rxe of 6.12 tells each request that fails locally as flushed (`corpus/defects/error-reported-as-flush`), and so hides this field.
const HIDDEN: &str = "local_range_status";

#[test]
fn the_rules_of_a_real_kernel_are_found_out() {
    for own in Profile::all() {
        let name = format!("uml:{}", own.series);
        if !is_here(&name) {
            continue;
        }
        let mut target = Target::open(&name.parse().unwrap(), &TargetOptions::default()).unwrap();
        for nearest in Profile::all() {
            let run = |sequence: &Sequence| target.run(sequence, Observe::Each);
            let Fitted { profile, fits } = fit(nearest, run).unwrap();
            let unfit = fits.iter().find(|fit| fit.series.is_none() && fit.field != HIDDEN);
            assert_eq!(unfit, None, "linux {}", own.series);
            let (series, local_range_status) = (own.series, own.local_range_status);
            // No rule goes by it, and no probe asks.
            let failed_send = own.failed_send;
            // Who always pins for writing never unshares, so nobody can tell whether the kernel would.
            let is_unseen = own.umem == Umem::AlwaysWrite;
            let unshare = if is_unseen { own.unshare } else { profile.unshare };
            let found = Profile { series, local_range_status, unshare, failed_send, ..profile };
            assert_eq!(found, *own, "linux {}, nearest {}", own.series, nearest.series);
        }
    }
}
