//! What there roughly is at a point of a sequence.
//!
//! Not a model: it believes what it is told, and guesses whether a registration
//! works. It only serves to make ops that mostly meet something.

use std::collections::BTreeMap;

use pinfold_contract::{Access, ByteRange, Mr, Op, Position, Proc, Prot};

/// Who lives, what they have mapped, and which MRs were registered.
pub(super) struct Sketch {
    mapped: BTreeMap<Proc, BTreeMap<u8, Prot>>,
    pub(super) mrs: BTreeMap<Mr, MrSketch>,
}

/// One MR slot that was used.
#[derive(Clone, Copy)]
pub(super) struct MrSketch {
    len_bytes: u32,
    page_count: u32,
    access: Access,
    is_live: bool,
}

impl MrSketch {
    pub(super) fn len_bytes(&self) -> u32 {
        self.len_bytes
    }
}

/// Any of these makes a registration one that writes.
const WRITERS: Access = Access::LOCAL_WRITE
    .with(Access::REMOTE_WRITE)
    .with(Access::REMOTE_ATOMIC)
    .with(Access::MW_BIND);

/// Flags that every kernel takes, if LOCAL_WRITE is with the others.
const PLAIN: Access = WRITERS.with(Access::REMOTE_READ).with(Access::RELAXED_ORDERING);

impl Default for Sketch {
    fn default() -> Sketch {
        Sketch { mapped: BTreeMap::from([(Proc::P0, BTreeMap::new())]), mrs: BTreeMap::new() }
    }
}

impl Sketch {
    /// Takes in that `op` was done.
    pub(super) fn note(&mut self, op: Op) {
        match op {
            Op::Map { proc, pages, prot, .. } => {
                if let Some(mapped) = self.mapped.get_mut(&proc) {
                    mapped.extend(pages.pages().map(|page| (page, prot)));
                }
            }
            Op::Protect { proc, pages, prot } => {
                let mapped = self.mapped.get_mut(&proc);
                let inside = mapped.into_iter().flat_map(|m| m.range_mut(pages.pages()));
                inside.for_each(|(_, old)| *old = prot);
            }
            Op::Unmap { proc, pages } => {
                if let Some(mapped) = self.mapped.get_mut(&proc) {
                    mapped.retain(|page, _| !pages.pages().contains(page));
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
            Op::Reg { mr, range, access } => {
                let is_free = self.mrs.get(&mr).is_none_or(|mr| !mr.is_live);
                if is_free && self.may_register(range, access) {
                    let (len_bytes, page_count) = (range.len_bytes(), range.page_span());
                    let mr_sketch = MrSketch { len_bytes, page_count, access, is_live: true };
                    self.mrs.insert(mr, mr_sketch);
                }
            }
            Op::Dereg { mr } => {
                if let Some(mr) = self.mrs.get_mut(&mr) {
                    mr.is_live = false;
                }
            }
            Op::Write { .. }
            | Op::Read { .. }
            | Op::Limit { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. } => {}
        }
    }

    /// Whether this would probably work, limits left aside.
    fn may_register(&self, range: ByteRange, access: Access) -> bool {
        let writes = access.has_any(WRITERS);
        let first = range.start().page_index();
        let mut pages = first..first + range.page_span();
        access.without(PLAIN) == Access(0)
            && (!writes || access.has(Access::LOCAL_WRITE))
            && range.page_span() > 0
            && pages.all(|page| {
                self.prot_at(Proc::P0, page)
                    .is_some_and(|prot| if writes { prot.write() } else { prot != Prot::NONE })
            })
    }

    fn prot_at(&self, proc: Proc, page: u32) -> Option<Prot> {
        self.mapped.get(&proc)?.get(&u8::try_from(page).ok()?).copied()
    }

    /// Live processes, `p0` first.
    pub(super) fn procs(&self) -> Vec<Proc> {
        self.mapped.keys().copied().collect()
    }

    pub(super) fn live_mrs(&self) -> Vec<Mr> {
        self.mrs.iter().filter(|(_, mr)| mr.is_live).map(|(slot, _)| *slot).collect()
    }

    /// Live MRs that grant every flag of `access`.
    pub(super) fn mrs_granting(&self, access: Access) -> Vec<Mr> {
        let live = self.mrs.iter().filter(|(_, mr)| mr.is_live && mr.access.has(access));
        live.map(|(slot, _)| *slot).collect()
    }

    pub(super) fn dead_mrs(&self) -> Vec<Mr> {
        self.mrs.iter().filter(|(_, mr)| !mr.is_live).map(|(slot, _)| *slot).collect()
    }

    /// Pages of `proc` whose protection holds all of `prot`.
    pub(super) fn mapped_pages(&self, proc: Proc, prot: Prot) -> Vec<u8> {
        let mapped = self.mapped.get(&proc).into_iter().flatten();
        let fitting = mapped.filter(|(_, has)| has.bits() & prot.bits() == prot.bits());
        fitting.map(|(page, _)| *page).collect()
    }

    /// How many pages there are in one piece from `at` on whose protection holds
    /// all of `prot`, at most eight.
    pub(super) fn mapped_run(&self, proc: Proc, at: Position, prot: Prot) -> u8 {
        let fits = |page| {
            self.prot_at(proc, page).is_some_and(|has| has.bits() & prot.bits() == prot.bits())
        };
        let first = at.page_index();
        let run = (0..8).take_while(|offset| fits(first + offset)).count();
        u8::try_from(run).expect("at most eight")
    }

    /// Pages of live MRs, each MR for itself.
    pub(super) fn pinned_pages(&self) -> u32 {
        self.mrs.values().filter(|mr| mr.is_live).map(|mr| mr.page_count).sum()
    }
}
