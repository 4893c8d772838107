//! On a real kernel the verdict does not depend on how often the state is looked at.
//!
//! Where there is no kernel the test says so and does nothing; with PINFOLD_REQUIRE_VM=1 it fails instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

mod targets;

use pinfold_contract::{Observe, parse};
use pinfold_run::{
    Account, Judgement, ReplayOptions, Target, TargetOptions, default_series, embedded_defects,
    replay,
};
use targets::is_here;

fn open() -> Option<Target> {
    let name = format!("uml:{}", default_series());
    is_here(&name).then(|| Target::open(&name.parse().unwrap(), &TargetOptions::default()).unwrap())
}

#[test]
fn a_known_divergence_is_known_however_often_the_state_is_looked_at() {
    let Some(mut target) = open() else { return };
    let known = embedded_defects().unwrap();
    // Looked at after the last op alone, the MR that is no longer tracked is missed at the end.
    let ops = "map 0..1 anon private rw\nreg mr0 0..1 mw_bind\nalloc_mw mw0 type1\n\
               bind mw0 mr0+0 8 none\ndereg mr0\ndealloc_mw mw0\n";
    let file = parse(&format!("# pinfold 1\n{ops}")).unwrap();
    for observe in [Observe::Each, Observe::End] {
        let options = ReplayOptions { repeat: 1, observe, account: Account::Skip };
        let replayed = replay(&mut target, &file, &options, &known).unwrap();
        let judgement = &replayed.judgements[0];
        assert!(matches!(judgement, Judgement::Known { .. }), "{observe:?}: {judgement}");
    }
}
