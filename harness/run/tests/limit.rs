//! On a real kernel a limit is for what a sequence registers.
//!
//! Where there is no kernel the test says so and does nothing; with PINFOLD_REQUIRE_VM=1 it fails instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

mod targets;

use pinfold::defects::Defects;
use pinfold_contract::{Observe, parse};
use pinfold_run::{
    Account, ReplayConclusion, ReplayOptions, Target, TargetOptions, default_series, replay,
};
use targets::is_here;

fn open() -> Option<Target> {
    let name = format!("uml:{}", default_series());
    is_here(&name).then(|| Target::open(&name.parse().unwrap(), &TargetOptions::default()).unwrap())
}

#[test]
fn the_limit_is_for_what_a_sequence_registers() {
    let Some(mut target) = open() else { return };
    let ops = "map 0..17 anon private rw\nlimit 65536\nreg mr0 0..16 remote_read # = ok\n\
               reg mr1 16..17 remote_read # = ENOMEM\nlock 0..16 # = ok\nlock 16..17 # = ENOMEM\n\
               dereg mr0\nlimit 4095\nreg mr0 0..1 remote_read # = ENOMEM\nlimit 0\n\
               reg mr0 0..1 remote_read # = EPERM\nlimit 18446744073709547519\n\
               reg mr0 0..16 remote_read pd=1 via=raw # = ok\nlimit 4096\nfork p1\n\
               p1 unlock 0..16\np1 lock 0..1 # = ok\np1 lock 0..2 # = ENOMEM\n";
    let file = parse(&format!("# pinfold 1\n{ops}")).unwrap();
    let options = ReplayOptions { repeat: 1, observe: Observe::Each, account: Account::Give };
    let known = Defects::default();
    let replayed = replay(&mut target, &file, &options, &known).unwrap();
    assert_eq!(replayed.conclusion(), ReplayConclusion::Clean, "{replayed:?}");
    assert!(replayed.account.unwrap().contains("vm_pin 16"));
}
