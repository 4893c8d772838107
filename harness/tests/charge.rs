//! Registrations under a limit of their memory cgroup.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pinfold::{model::predict, profile::Profile};
use pinfold_contract::{Observe, parse};

#[test]
fn a_registration_fails_where_the_limit_is_reached_and_leaves_its_pages() {
    for profile in Profile::all() {
        let text = "# pinfold 1\nmap 0..4 anon private rw\nmem_limit 2\nreg mr0 0..4 local_write\nmem_limit unlimited\nreg mr1 0..4 local_write\n";
        let sequence = parse(text).unwrap().sequence;
        let steps = predict(profile, &sequence, Observe::Each);
        let said = |index: usize| steps[index].prediction.expected().to_string();
        let seen = |index: usize| steps[index].checkpoint.clone().unwrap();
        assert_eq!(said(2), "ENOMEM");
        assert_eq!((seen(2).charged, seen(2).pins, seen(2).procs[0].rss_anon), (2, 0, 2));
        assert_eq!(said(4), "ok");
        assert_eq!((seen(4).charged, seen(4).pins), (4, 4));
    }
}
