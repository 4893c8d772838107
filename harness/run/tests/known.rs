//! Each known divergence is seen on the kernels that its entry names, by the sequence that its entry names.
//!
//! Where there is no kernel the test says so and does nothing; with PINFOLD_REQUIRE_VM=1 it fails instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

use std::env;
use std::path::Path;

use pinfold::known::{Entry, Known};
use pinfold::oracle::Verdict;
use pinfold::profile::Profile;
use pinfold::signature::Signature;
use pinfold_contract::Observe;
use pinfold_run::{Target, TargetOptions, built_kernels, check_closely, embedded_known, read_seq};

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

/// What the sequence of `entry` shows instead of its signature; nothing if it shows that.
fn seen_instead(target: &mut Target, entry: &Entry) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = read_seq(&root.join(&entry.sequence)).unwrap();
    let sequence = &file.sequence;
    match check_closely(target, sequence, Observe::Each).unwrap().verdict {
        Verdict::Diverges(divergence) => {
            let signature = Signature::of(sequence, &divergence);
            (signature != entry.signature).then(|| signature.to_string())
        }
        other @ (Verdict::Agrees | Verdict::Inconclusive { .. }) => Some(format!("{other:?}")),
    }
}

#[test]
fn every_known_divergence_is_seen_on_its_kernels() {
    let known: Known = embedded_known().unwrap();
    let mut unseen = Vec::new();
    for series in Profile::ALL.map(|profile| profile.series) {
        let Some(mut target) = machine(series) else { return };
        for entry in known.entries() {
            let release = target.kernel_release().to_owned();
            if known.matching(&entry.signature, &release) != Some(entry) {
                continue;
            }
            if let Some(instead) = seen_instead(&mut target, entry) {
                unseen.push(format!(
                    "{} with {} on {release}: {instead}",
                    entry.signature, entry.sequence
                ));
            }
        }
    }
    assert_eq!(unseen, [""; 0], "not seen as known.toml has it");
}
