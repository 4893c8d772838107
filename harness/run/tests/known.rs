//! Each known divergence is seen on the kernels that its entry names, by the sequence that its entry names.
//!
//! Where there is no kernel the test says so and does nothing; with PINFOLD_REQUIRE_VM=1 it fails instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

mod targets;

use std::collections::BTreeSet;
use std::path::Path;

use pinfold::known::{Entry, Known};
use pinfold::oracle::Verdict;
use pinfold::profile::Platform;
use pinfold::signature::Signature;
use pinfold_contract::{Observe, Series};
use pinfold_run::{Target, TargetOptions, all_series, check_closely, embedded_known, read_seq};
use targets::is_here;

/// The packaged kernel of `series` on `platform`, if it is here.
fn open(series: Series, platform: Platform) -> Option<Target> {
    let name = match platform {
        Platform::Uml => format!("uml:{series}"),
        Platform::X86 => format!("qemu:{series}"),
    };
    is_here(&name).then(|| Target::open(&name.parse().unwrap(), &TargetOptions::default()).unwrap())
}

/// How often a sequence is run. On several processors some end in a race: which of two completions is told first.
const TRIES: usize = 8;

/// What the sequence of `entry` shows instead of its signature; nothing if it shows that.
fn seen_instead(target: &mut Target, entry: &Entry) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let sequence = read_seq(&root.join(&entry.sequence)).unwrap().sequence;
    let mut look = |_| match check_closely(target, &sequence, Observe::Each).unwrap().verdict {
        Verdict::Diverges(divergence) => Signature::of(&sequence, &divergence).to_string(),
        other @ (Verdict::Agrees | Verdict::Inconclusive { .. }) => format!("{other:?}"),
    };
    let mut seen = BTreeSet::new();
    let is_seen = (0..TRIES).map(&mut look).any(|signature| {
        let is_it = signature == entry.signature.as_str();
        seen.insert(signature);
        is_it
    });
    (!is_seen).then(|| format!("{seen:?}"))
}

/// Whether each known divergence that kernels on `platform` have is seen there.
#[track_caller]
fn each_is_seen_on(platform: Platform) {
    let known: Known = embedded_known().unwrap();
    let mut unseen = Vec::new();
    for series in all_series() {
        let Some(mut target) = open(series, platform) else { continue };
        for entry in known.entries() {
            if known.matching(&entry.signature, target.running()) != Some(entry) {
                continue;
            }
            if let Some(instead) = seen_instead(&mut target, entry) {
                let Entry { signature, sequence, .. } = entry;
                let on = target.kernel_release();
                unseen.push(format!("{signature} with {sequence} on {on}: {instead}"));
            }
        }
    }
    assert_eq!(unseen, [""; 0], "not seen as known.toml has it");
}

#[test]
fn every_known_divergence_of_user_mode_linux_is_seen_there() {
    each_is_seen_on(Platform::Uml);
}

#[test]
fn every_known_divergence_of_stock_kernels_is_seen_there() {
    each_is_seen_on(Platform::X86);
}
