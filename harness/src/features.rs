//! What is new about a sequence, as numbers: a feature stands for one kind of page, of key, or of argument, under one kind of
//! op with one kind of outcome.
//!
//! Whoever looks for sequences that do something new keeps those with a feature that was not seen before. Code that ran
//! says little of a model whose rules are few lines of code for many states.

mod asked;

use asked::{ASKED, asked};
use pinfold_contract::{Outcome, Sequence, Signal};

use crate::model::{KeyState, PageState, Touched, touched};
use crate::profile::Profile;

/// The features of `sequence` on a kernel of `profile`, op by op. Each number stands for the same feature always.
pub fn features(profile: &Profile, sequence: &Sequence) -> impl Iterator<Item = u32> {
    touched(profile, sequence).flat_map(|touched| of_op(&touched))
}

/// One a kind of page, one of an op that names no page, and one a key and an argument.
fn of_op(touched: &Touched) -> Vec<u32> {
    let first = (touched.op.kind() as u32 * OUTCOMES + outcome(&touched.outcome)) * ALL;
    let mut pages: Vec<u32> = touched.pages.iter().map(page).collect();
    pages.sort_unstable();
    pages.dedup();
    if pages.is_empty() {
        pages.push(PAGES - 1);
    }
    let keys = touched.keys.iter().map(key).chain(together(&touched.keys)).map(|key| PAGES + key);
    let asked = asked(touched.op).into_iter().map(|shape| PAGES + KEYS + shape);
    pages.into_iter().chain(keys).chain(asked).map(|state| first + state).collect()
}

/// What a feature is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A page, or no page at all.
    Pages,
    /// An MR or a window.
    Keys,
    /// An argument.
    Asked,
}

impl About {
    /// Everything there is.
    pub const ALL: [About; 3] = [About::Keys, About::Pages, About::Asked];

    /// What `feature` is about.
    pub fn of(feature: u32) -> About {
        match feature % ALL {
            ..PAGES => About::Pages,
            PAGES..BEFORE_ASKED => About::Keys,
            _ => About::Asked,
        }
    }
}

/// How many kinds of outcome are told apart.
const OUTCOMES: u32 = 256;

/// The kind of an outcome, below [`OUTCOMES`]. Which bytes were read is no feature.
fn outcome(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::Done => 0,
        Outcome::Value(_) => 1,
        Outcome::Skipped => 2,
        Outcome::Fault { signal: Signal::Segv, .. } => 3,
        Outcome::Fault { signal: Signal::Bus, .. } => 4,
        Outcome::Completion(status) => 8 + u32::from(status.0 % 32),
        Outcome::Completions { requester, .. } => 40 + u32::from(requester.0 % 32),
        Outcome::Errno(errno) => 72 + errno.0.unsigned_abs() % 184,
    }
}

/// How many kinds of page are told apart: 129 mappings (of 8 kinds of memory, each private or shared, with 8
/// protections, or none), 6 frames, a guard or none, pinned or not. One is left for no page at all.
const PAGES: u32 = 129 * 8 * 2 + 1;

/// The kind of a page, below `PAGES - 1`.
fn page(page: &PageState) -> u32 {
    let mapping = page.mapping.map_or(0, |mapping| {
        let how = u32::from(mapping.shared) * 8 + u32::from(mapping.prot_bits);
        1 + mapping.memory as u32 * 16 + how
    });
    let frame = page.frame.map_or(0, |frame| 1 + frame as u32);
    (mapping * 8 + frame) * 2 + u32::from(page.pinned)
}

/// How many states of an MR or a window are told apart: three kinds, and eight questions. Several are told apart by a hash.
const KEYS: u32 = ALONE + TOGETHER;
const ALONE: u32 = 3 << 8;
const TOGETHER: u32 = 1 << 12;

/// How many numbers there are for one kind of op with one kind of outcome.
const ALL: u32 = BEFORE_ASKED + ASKED;
const BEFORE_ASKED: u32 = PAGES + KEYS;

/// Several of an op, in `ALONE..KEYS`: of a bind that is refused it takes both the MR and the window to tell why.
fn together(states: &[KeyState]) -> Option<u32> {
    let mix = |hash: u32, state| hash.wrapping_mul(0x9e37_79b9).rotate_left(15) ^ key(state);
    let hash = states.iter().fold(1, mix).wrapping_mul(0x9e37_79b9);
    (states.len() > 1).then_some(ALONE + hash % TOGETHER)
}

/// The state of an MR or a window, below [`ALONE`].
fn key(state: &KeyState) -> u32 {
    let answers = [
        state.is_live,
        state.is_current,
        state.is_bound,
        state.is_of_pd,
        state.is_of_qp,
        state.is_writable,
        state.grants,
        state.has_inside,
    ];
    answers.into_iter().fold(state.of as u32, |number, answer| number << 1 | u32::from(answer))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pinfold_contract::{OpKind, parse};

    use super::*;
    use crate::generate::Generator;
    use crate::model::{Behind, Mapping, Memory};
    use crate::profile::{Profile, linux};

    fn of(profile: &Profile, ops: &str) -> Vec<u32> {
        let file = parse(&format!("# pinfold 1\n{ops}"));
        features(profile, &file.map(|file| file.sequence).unwrap_or_default()).collect()
    }

    #[test]
    fn every_kind_of_page_has_a_number_of_its_own() {
        const MEMORY: [Memory; 8] = [
            Memory::Anon,
            Memory::Zero,
            Memory::SharedAnon,
            Memory::Memfd,
            Memory::Tmpfs,
            Memory::Library,
            Memory::Disk,
            Memory::Huge,
        ];
        const FRAMES: [Behind; 7] = [
            Behind::Zero,
            Behind::Anon,
            Behind::Exclusive,
            Behind::Merged,
            Behind::Cache,
            Behind::Swapped,
            Behind::Guard,
        ];
        let hows = (0..8).flat_map(|prot_bits| [(false, prot_bits), (true, prot_bits)]);
        let mappings = hows.flat_map(|(shared, prot_bits)| {
            MEMORY.map(|memory| Some(Mapping { memory, shared, prot_bits }))
        });
        let mut numbers = BTreeSet::new();
        for mapping in mappings.chain([None]) {
            for frame in FRAMES.map(Some).into_iter().chain([None]) {
                for pinned in [false, true] {
                    let number = page(&PageState { mapping, frame, pinned });
                    assert!(number < PAGES - 1 && numbers.insert(number), "{mapping:?} {frame:?}");
                }
            }
        }
        assert_eq!(numbers.len(), PAGES as usize - 1);
        let ops = OpKind::ALL.len() as u64;
        assert!(ops * u64::from(OUTCOMES) * u64::from(ALL) < u64::from(u32::MAX));
    }

    #[test]
    fn another_state_under_the_same_ops_is_another_feature() {
        let untouched =
            of(Profile::newest(), "map 0..1 anon private rw\nreg mr0 0..1 remote_read\n");
        let about = |features: &[u32], about| {
            features.iter().filter(|feature| About::of(**feature) == about).count()
        };
        assert_eq!([about(&untouched, About::Pages), about(&untouched, About::Keys)], [2, 0]);
        assert_eq!(about(&untouched, About::Asked), untouched.len() - 2);
        let again =
            of(Profile::newest(), "map 0..1 anon private rw\nreg mr0 0..1 none\ndereg mr0\n");
        assert_eq!(about(&again, About::Keys), 1);
        let shared = "map 0..1 anon private rw\nwrite 0 8 0x11\nfork p1\nread 0 8\n";
        let own = "map 0..1 anon private rw\nwrite 0 8 0x11\nread 0 8\n";
        let pages = |ops| {
            let all = of(Profile::newest(), ops);
            all.into_iter().rfind(|feature| About::of(*feature) == About::Pages)
        };
        assert_ne!(pages(shared), pages(own));
        let library = "map 0..1 lib0 shared r\nreg mr0 0..1 remote_read\n";
        assert_ne!(of(Profile::newest(), library), of(linux("6.1"), library), "6.1 refuses");
    }

    #[test]
    fn each_reason_to_refuse_a_key_is_another_feature() {
        let shared = "map 0..1 anon private rw\nreg mr0 0..1 local_write|remote_write|mw_bind\n\
                      alloc_mw mw0 type2\nbind mw0 mr0+0 64 remote_read\n";
        let shown = [
            "read_remote mr0 8 key=mw0",
            "read_remote mr0+60 8 key=mw0",
            "read_remote mr0 8 key=mw0 qp=1",
            "read_remote mr0 8 key=old_mw0",
            "write_remote mr0 8 0x11 key=mw0",
            "read_remote mr0 8",
            "read_remote mr0 8 key=stale",
            "write_remote mr0 8 0x11 qp=1",
            "write_remote mr0+4090 8 0x11",
        ];
        let last = shown.map(|op| of(Profile::newest(), &format!("{shared}{op}\n")));
        let keys = last.iter().map(|features| features.iter().max()).collect::<BTreeSet<_>>();
        assert!(!keys.contains(&None));
        let sets =
            last.iter().map(|all| all.iter().collect::<BTreeSet<_>>()).collect::<BTreeSet<_>>();
        assert_eq!(sets.len(), shown.len(), "{sets:?}");
    }

    #[test]
    fn more_sequences_have_more_features_and_the_same_ones_the_same() {
        let generator = Generator::new(2);
        let all = |count: u64| -> BTreeSet<u32> {
            (0..count)
                .flat_map(|index| {
                    features(Profile::newest(), &generator.sequence(index)).collect::<Vec<_>>()
                })
                .collect()
        };
        let (few, many) = (all(20), all(200));
        assert!(few.is_subset(&many) && few.len() * 2 < many.len());
        assert!(many.len() > 500, "{}", many.len());
        assert_eq!(many, all(200));
    }
}
