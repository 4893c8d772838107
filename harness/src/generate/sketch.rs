//! What there roughly is at a point of a sequence.
//!
//! Not a model: it believes that every op works. It only serves to make ops that
//! mostly meet something.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{Mr, Op, Position, Proc};

/// Who lives, what they have mapped, and which MRs were registered.
pub(super) struct Sketch {
    mapped: BTreeMap<Proc, BTreeSet<u8>>,
    pub(super) mrs: BTreeMap<Mr, MrSketch>,
}

/// One MR slot that was used.
#[derive(Clone, Copy)]
pub(super) struct MrSketch {
    len_bytes: u32,
    page_count: u32,
    is_live: bool,
}

impl MrSketch {
    pub(super) fn len_bytes(&self) -> u32 {
        self.len_bytes
    }
}

impl Default for Sketch {
    fn default() -> Sketch {
        Sketch { mapped: BTreeMap::from([(Proc::P0, BTreeSet::new())]), mrs: BTreeMap::new() }
    }
}

impl Sketch {
    /// Takes in that `op` was done.
    pub(super) fn note(&mut self, op: Op) {
        match op {
            Op::Map { proc, pages, .. } => {
                if let Some(mapped) = self.mapped.get_mut(&proc) {
                    mapped.extend(pages.pages());
                }
            }
            Op::Unmap { proc, pages } => {
                if let Some(mapped) = self.mapped.get_mut(&proc) {
                    mapped.retain(|page| !pages.pages().contains(page));
                }
            }
            Op::Fork { proc, child } => {
                if let (Some(parent), None) = (self.mapped.get(&proc), self.mapped.get(&child)) {
                    let pages = parent.clone();
                    self.mapped.insert(child, pages);
                }
            }
            Op::Exit { proc } => {
                if proc != Proc::P0 {
                    self.mapped.remove(&proc);
                }
            }
            Op::Reg { mr, range, .. } => {
                let is_free = self.mrs.get(&mr).is_none_or(|mr| !mr.is_live);
                if is_free {
                    let (len_bytes, page_count) = (range.len_bytes(), range.page_span());
                    self.mrs.insert(mr, MrSketch { len_bytes, page_count, is_live: true });
                }
            }
            Op::Dereg { mr } => {
                if let Some(mr) = self.mrs.get_mut(&mr) {
                    mr.is_live = false;
                }
            }
            Op::Protect { .. }
            | Op::Write { .. }
            | Op::Read { .. }
            | Op::Limit { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. } => {}
        }
    }

    /// Live processes, `p0` first.
    pub(super) fn procs(&self) -> Vec<Proc> {
        self.mapped.keys().copied().collect()
    }

    pub(super) fn live_mrs(&self) -> Vec<Mr> {
        self.mrs.iter().filter(|(_, mr)| mr.is_live).map(|(slot, _)| *slot).collect()
    }

    pub(super) fn dead_mrs(&self) -> Vec<Mr> {
        self.mrs.iter().filter(|(_, mr)| !mr.is_live).map(|(slot, _)| *slot).collect()
    }

    pub(super) fn mapped_pages(&self, proc: Proc) -> Vec<u8> {
        self.mapped.get(&proc).into_iter().flatten().copied().collect()
    }

    /// How many mapped pages there are in one piece from `at` on, at most eight.
    pub(super) fn mapped_run(&self, proc: Proc, at: Position) -> u8 {
        let has = |page: u32| {
            u8::try_from(page).is_ok_and(|page| {
                self.mapped.get(&proc).is_some_and(|mapped| mapped.contains(&page))
            })
        };
        let first = at.page_index();
        let run = (0..8).take_while(|offset| has(first + offset)).count();
        u8::try_from(run).expect("at most eight")
    }

    /// Pages of live MRs, each MR for itself.
    pub(super) fn pinned_pages(&self) -> u32 {
        self.mrs.values().filter(|mr| mr.is_live).map(|mr| mr.page_count).sum()
    }
}
