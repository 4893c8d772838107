//! Which of many sequences goes to the target: a kernel takes longer for one than the model for all of them.
//!
//! It is the one on which most broken rules would be seen that few inputs could show so far. Where none would, it is the one
//! that has most of what was rare so far.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pinfold::features::{About, features};
use pinfold::model::Fault;
use pinfold::profile::Profile;
use pinfold::suspects::shown;
use pinfold_contract::Sequence;

/// So many ops take a kernel as long as what it does for any sequence.
const OPS_OF_A_RUN: usize = 6;

/// How much more a feature counts that is looked for.
const LOOKED_FOR: usize = 64;

/// What counts that no input had, as a power of two. Each input that has it halves that: one alone may have been wasted, behind
/// a divergence that ended its comparison.
const RAREST: u32 = 8;

/// How many inputs had each feature, and showed each broken rule, no further than it matters.
#[derive(Default)]
struct Seen {
    features: BTreeMap<u32, u32>,
    faults: BTreeMap<Fault, u32>,
}

impl Seen {
    fn rarity<K: Ord>(counts: &BTreeMap<K, u32>, key: &K) -> usize {
        (1 << RAREST) >> counts.get(key).copied().unwrap_or(0)
    }

    /// The rules that few inputs would have shown to be broken.
    fn suspects(&self) -> Vec<Fault> {
        let all = Fault::ALL.into_iter().map(|(fault, _)| fault);
        all.filter(|fault| Seen::rarity(&self.faults, fault) > 0).collect()
    }
}

static SEEN: Mutex<Seen> = Mutex::new(Seen { features: BTreeMap::new(), faults: BTreeMap::new() });

fn seen() -> MutexGuard<'static, Seen> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes that `sequence` was an input, for a kernel with the rules `profile`. Gives its features, each once, and the broken rules that few inputs showed and this one
/// does.
pub fn note(profile: &Profile, sequence: &Sequence) -> (Vec<u32>, Vec<Fault>) {
    let mut seen = seen();
    let features = features_of(profile, sequence);
    let faults = shown(profile, sequence, &seen.suspects());
    features.iter().for_each(|feature| add(&mut seen.features, *feature));
    faults.iter().for_each(|fault| add(&mut seen.faults, *fault));
    (features, faults)
}

fn add<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K) {
    let count = counts.entry(key).or_default();
    *count = (*count + 1).min(RAREST + 1);
}

/// The one of `sequences` that is worth most to a kernel with the rules `profile`. What is `about` that is looked for most: of some there is always more that is
/// rare, and less of it matters to an adapter.
pub fn best(
    profile: &Profile,
    sequences: impl Iterator<Item = Sequence>,
    about: About,
) -> Option<Sequence> {
    let seen = seen();
    let suspects = seen.suspects();
    let all: Vec<Sequence> = sequences.collect();
    let promises: Vec<usize> =
        all.iter().map(|sequence| promise(profile, &seen, sequence, &suspects)).collect();
    let most = promises.iter().copied().max().unwrap_or_default();
    if most > 0 {
        return all
            .into_iter()
            .zip(promises)
            .find(|(_, promise)| *promise == most)
            .map(|(sequence, _)| sequence);
    }
    all.into_iter().max_by_key(|sequence| newness(profile, &seen, sequence, about))
}

/// How much of `sequence` is rare for the time that a kernel takes for it, a number that only others can be held against.
fn newness(profile: &Profile, seen: &Seen, sequence: &Sequence, about: About) -> usize {
    let weight = |feature: &u32| {
        let factor = if About::of(*feature) == about { LOOKED_FOR } else { 1 };
        Seen::rarity(&seen.features, feature) * factor
    };
    for_its_time(features_of(profile, sequence).iter().map(weight).sum(), sequence)
}

/// The same of broken rules that it would show.
fn promise(profile: &Profile, seen: &Seen, sequence: &Sequence, suspects: &[Fault]) -> usize {
    let shown = shown(profile, sequence, suspects);
    let rarity = |fault: &Fault| Seen::rarity(&seen.faults, fault);
    for_its_time(shown.iter().map(rarity).sum(), sequence)
}

fn for_its_time(worth: usize, sequence: &Sequence) -> usize {
    1000 * worth / (OPS_OF_A_RUN + sequence.ops.len())
}

fn features_of(profile: &Profile, sequence: &Sequence) -> Vec<u32> {
    let mut features: Vec<u32> = features(profile, sequence).collect();
    features.sort_unstable();
    features.dedup();
    features
}
