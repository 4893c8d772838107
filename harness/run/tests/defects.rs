//! Each case of a defect is seen on the kernels on which it was verified, by its sequence.
//!
//! Where an entry is only presumed, the test prints what it saw. Where there is no kernel it says so and goes on; with
//! PINFOLD_REQUIRE_VM=1 it fails instead. `reproduce.rs` stands for the entries that a program shows.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

mod targets;

use std::collections::BTreeSet;
use std::path::Path;

use pinfold::defects::{Defects, Entry, Explained, ShownBy};
use pinfold::oracle::Verdict;
use pinfold::profile::Platform;
use pinfold::signature::Signature;
use pinfold_contract::{Observe, Series};
use pinfold_run::{Target, TargetOptions, all_series, check_closely, embedded_defects, read_seq};
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

/// What the sequence at `path` shows instead of the signature of `entry`; nothing if it shows that.
fn seen_instead(target: &mut Target, entry: &Entry, path: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let sequence = read_seq(&root.join(path)).unwrap().sequence;
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

/// What became of the entries for one kernel.
#[derive(Debug, Default)]
struct Counts {
    verified: usize,
    presumed_and_seen: usize,
    presumed_and_not_seen: usize,
}

/// Runs the sequence of each entry that holds for `target`. Gives the verified ones that were not seen.
fn unseen_on(target: &mut Target, known: &Defects) -> Vec<String> {
    let on = target.kernel_release().to_owned();
    let (mut counts, mut unseen) = (Counts::default(), Vec::new());
    let explained: Vec<Explained<'_>> = known.on(target.running()).collect();
    for Explained { entry, standing } in explained {
        let Entry { signature, shown_by, .. } = entry;
        let path = &entry.path();
        if let ShownBy::Program(_) = shown_by {
            eprintln!("SKIP {signature} on {on}: {path} shows it, see reproduce.rs");
            continue;
        }
        let instead = seen_instead(target, entry, path);
        match (standing.presumed(), instead) {
            (None, None) => counts.verified += 1,
            (None, Some(instead)) => {
                unseen.push(format!("{signature} with {path} on {on}: {instead}"));
            }
            (Some(why), None) => {
                counts.presumed_and_seen += 1;
                eprintln!("{signature} with {path}: {why}, and seen on {on}");
            }
            (Some(why), Some(instead)) => {
                counts.presumed_and_not_seen += 1;
                eprintln!("{signature} with {path}: {why}, and not seen on {on}: {instead}");
            }
        }
    }
    eprintln!("{} ({on}): {counts:?}, verified and not seen: {}", target.name(), unseen.len());
    unseen
}

/// Whether each divergence that was verified on kernels of `platform` is seen there.
#[track_caller]
fn each_is_seen_on(platform: Platform) {
    let known: Defects = embedded_defects().unwrap();
    let mut unseen = Vec::new();
    for series in all_series() {
        let Some(mut target) = open(series, platform) else { continue };
        unseen.extend(unseen_on(&mut target, &known));
    }
    assert_eq!(unseen, [""; 0], "not seen as corpus/defects has it");
}

#[test]
fn every_known_divergence_of_user_mode_linux_is_seen_there() {
    each_is_seen_on(Platform::Uml);
}

#[test]
fn every_known_divergence_of_stock_kernels_is_seen_there() {
    each_is_seen_on(Platform::X86);
}
