//! What there roughly is at a point of a sequence.
//!
//! Not a model: it believes what it is told, and guesses whether a registration
//! works. It only serves to make ops that mostly meet something.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{
    ARENA_PAGES, Access, Advice, Backing, ByteRange, File, FileKind, Handle, LockScope, Mr, Mw,
    MwKind, Op, PageRange, Pd, Position, Proc, Prot, Sharing, Span,
};

use crate::slots::{Slots, is_skipped};

/// Who lives, what they have mapped, and which MRs and windows there were.
pub(super) struct Sketch {
    mapped: BTreeMap<Proc, BTreeMap<u8, PageSketch>>,
    pub(super) mrs: BTreeMap<Mr, MrSketch>,
    pub(super) mws: BTreeMap<Mw, MwSketch>,
    /// Files that were mapped.
    pub(super) files: BTreeSet<File>,
    /// Whether there is a limit of the memory cgroup.
    pub(super) is_mem_limited: bool,
}

/// One mapped page of one process.
#[derive(Clone, Copy)]
pub(super) struct PageSketch {
    pub(super) prot: Prot,
    pub(super) backing: Backing,
    pub(super) sharing: Sharing,
    is_locked: bool,
    is_mergeable: bool,
    pub(super) is_guard: bool,
}

/// One MR slot that was used.
#[derive(Clone, Copy)]
pub(super) struct MrSketch {
    range: ByteRange,
    pub(super) access: Access,
    pub(super) pd: Pd,
    is_live: bool,
}

impl MrSketch {
    pub(super) fn range(&self) -> ByteRange {
        self.range
    }

    pub(super) fn len_bytes(&self) -> u32 {
        self.range.len_bytes()
    }
}

/// One window slot that was used.
#[derive(Clone, Copy)]
pub(super) struct MwSketch {
    pub(super) kind: MwKind,
    pub(super) pd: Pd,
    is_live: bool,
    has_old_key: bool,
    /// The MR, the offset and the length it is bound to.
    pub(super) bound: Option<(Mr, i32, u32)>,
    pub(super) access: Access,
}

impl MwSketch {
    /// A new window, bound to nothing.
    fn new(kind: MwKind, pd: Pd) -> MwSketch {
        let (bound, access) = (None, Access(0));
        MwSketch { kind, pd, is_live: true, has_old_key: false, bound, access }
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
        Sketch {
            mapped: BTreeMap::from([(Proc::P0, BTreeMap::new())]),
            mrs: BTreeMap::new(),
            mws: BTreeMap::new(),
            files: BTreeSet::new(),
            is_mem_limited: false,
        }
    }
}

impl Sketch {
    /// Takes in that `op` was done.
    pub(super) fn note(&mut self, op: Op) {
        if is_skipped(self, &op) {
            return;
        }
        match op {
            Op::Map { proc, pages, backing, sharing, prot, .. } => {
                self.note_map(proc, pages, PageSketch::new(backing, sharing, prot));
            }
            Op::Unmap { proc, pages } => {
                let mapped = self.mapped.entry(proc).or_default();
                mapped.retain(|page, _| !pages.pages().contains(page));
            }
            Op::Protect { proc, pages, prot } => self.change(proc, pages, |page| page.prot = prot),
            Op::Remap { proc, from, to } => self.note_remap(proc, from, to),
            Op::Advise { proc, pages, advice } => self.note_advice(proc, pages, advice),
            Op::Lock { proc, pages, .. } => self.change(proc, pages, |page| page.is_locked = true),
            Op::Unlock { proc, pages } => self.change(proc, pages, |page| page.is_locked = false),
            Op::LockAll { proc, scope } => {
                let is_locked = matches!(scope, LockScope::Current | LockScope::Both);
                let pages = PageRange::new(0, ARENA_PAGES).expect("the arena has pages");
                self.change(proc, pages, |page| page.is_locked = is_locked);
            }
            Op::Fork { proc, child } => {
                let pages = self.mapped[&proc].clone();
                self.mapped.insert(child, pages);
            }
            Op::Exit { proc } => {
                self.mapped.remove(&proc);
            }
            Op::MemLimit { pages } => self.is_mem_limited = pages.is_some(),
            Op::Reg { mr, span, access, pd, .. } => self.note_reg(mr, span, access, pd),
            Op::Dereg { mr } => self.note_dereg(mr),
            Op::AllocMw { mw, kind, pd } => {
                self.mws.insert(mw, MwSketch::new(kind, pd));
            }
            Op::DeallocMw { mw } => {
                if let Some(mw) = self.mws.get_mut(&mw) {
                    mw.is_live = false;
                    mw.bound = None;
                }
            }
            Op::Bind { mw, mr, offset, len_bytes, access, qp } => {
                self.note_bind(mw, (mr, offset, len_bytes), access, qp);
            }
            Op::Invalidate { handle, .. } => self.note_invalidation(handle),
            Op::Send { invalidate, .. } => {
                invalidate.into_iter().for_each(|handle| self.note_invalidation(handle));
            }
            // A sketch does not follow what these change.
            Op::Write { .. }
            | Op::Read { .. }
            | Op::Limit { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. }
            | Op::Force { .. }
            | Op::FileWrite { .. }
            | Op::Truncate { .. }
            | Op::Punch { .. }
            | Op::Seal { .. }
            | Op::IpcLock { .. }
            | Op::Swap { .. }
            | Op::Chore { .. }
            | Op::Rereg { .. }
            | Op::CompareSwap { .. }
            | Op::FetchAdd { .. }
            | Op::Gather { .. }
            | Op::Scatter { .. } => {}
        }
    }

    fn note_map(&mut self, proc: Proc, pages: PageRange, sketch: PageSketch) {
        if let Backing::File { file, .. } = sketch.backing {
            let is_read_only = file.kind() == FileKind::Library;
            if is_read_only && sketch.sharing == Sharing::Shared && sketch.prot.write() {
                return;
            }
            self.files.insert(file);
        }
        let mapped = self.mapped.entry(proc).or_default();
        mapped.extend(pages.pages().map(|page| {
            let backing = advanced(sketch.backing, page - pages.first());
            (page, PageSketch { backing, ..sketch })
        }));
    }

    fn note_remap(&mut self, proc: Proc, from: PageRange, to: PageRange) {
        let mapped = self.mapped.entry(proc).or_default();
        let moved: Vec<PageSketch> =
            from.pages().filter_map(|page| mapped.get(&page).copied()).collect();
        let is_whole = moved.len() == usize::from(from.page_count());
        let Some(last) = moved.last().filter(|_| is_whole) else { return };
        let count = usize::from(to.page_count());
        let filled: Vec<PageSketch> =
            moved.iter().copied().chain(std::iter::repeat(*last)).take(count).collect();
        mapped.retain(|page, _| !from.pages().contains(page) && !to.pages().contains(page));
        mapped.extend(to.pages().zip(filled));
    }

    fn change(&mut self, proc: Proc, pages: PageRange, change: impl Fn(&mut PageSketch)) {
        let mapped = self.mapped.get_mut(&proc);
        let inside = mapped.into_iter().flat_map(|m| m.range_mut(pages.pages()));
        inside.for_each(|(_, page)| change(page));
    }

    fn note_advice(&mut self, proc: Proc, pages: PageRange, advice: Advice) {
        let is_mergeable = advice == Advice::Mergeable;
        if is_mergeable || advice == Advice::Unmergeable {
            self.change(proc, pages, |page| page.is_mergeable = is_mergeable);
        }
        let is_guard = advice == Advice::GuardInstall;
        if is_guard || advice == Advice::GuardRemove {
            self.change(proc, pages, |page| page.is_guard = is_guard);
        }
    }

    fn note_reg(&mut self, mr: Mr, span: Span, access: Access, pd: Pd) {
        if let Some(range) = span.range().filter(|range| self.may_register(*range, access)) {
            self.mrs.insert(mr, MrSketch { range, access, pd, is_live: true });
        }
    }

    fn note_dereg(&mut self, mr: Mr) {
        let mut live = self.mws.values().filter(|mw| mw.is_live);
        let is_bound = live.any(|mw| mw.bound.is_some_and(|(bound, ..)| bound == mr));
        if let Some(mr) = self.mrs.get_mut(&mr).filter(|_| !is_bound) {
            mr.is_live = false;
        }
    }

    fn note_bind(&mut self, mw: Mw, bytes: (Mr, i32, u32), access: Access, qp: Pd) {
        if self.may_bind(mw, bytes, access)
            && let Some(mw) = self.mws.get_mut(&mw).filter(|mw| mw.pd == qp)
        {
            let (_, _, len_bytes) = bytes;
            mw.has_old_key = true;
            mw.access = access;
            mw.bound = (len_bytes > 0).then_some(bytes);
        }
    }

    fn note_invalidation(&mut self, handle: Handle) {
        if let Handle::Mw(mw) = handle
            && let Some(mw) = self.mws.get_mut(&mw).filter(|mw| mw.kind == MwKind::Type2)
        {
            mw.bound = None;
        }
    }

    /// Whether a bind would probably work.
    fn may_bind(&self, mw: Mw, (mr, offset, len_bytes): (Mr, i32, u32), access: Access) -> bool {
        let (Some(mw), Some(mr)) = (self.mws.get(&mw), self.mrs.get(&mr)) else { return false };
        let writes = access.has_any(Access::REMOTE_WRITE.with(Access::REMOTE_ATOMIC));
        let rights = mr.access.has(Access::MW_BIND)
            && (!writes || mr.access.has(Access::LOCAL_WRITE))
            && !access.has(Access::ZERO_BASED);
        let end = i64::from(offset) + i64::from(len_bytes);
        let is_inside = offset >= 0 && end <= i64::from(mr.len_bytes());
        let is_good = mr.is_live && mr.pd == mw.pd && rights && is_inside;
        match mw.kind {
            MwKind::Type1 => is_good || len_bytes == 0,
            MwKind::Type2 => is_good && len_bytes > 0 && mw.bound.is_none(),
        }
    }

    /// Whether `op` invalidates a window of type 2 that is bound to nothing.
    pub(super) fn invalidates_what_is_free(&self, op: Op) -> bool {
        let (Op::Invalidate { handle: Handle::Mw(mw), .. }
        | Op::Send { invalidate: Some(Handle::Mw(mw)), .. }) = op
        else {
            return false;
        };
        let mw = self.mws.get(&mw);
        mw.is_some_and(|mw| mw.is_live && mw.kind == MwKind::Type2 && mw.bound.is_none())
    }

    /// Whether this would probably work, limits left aside.
    fn may_register(&self, range: ByteRange, access: Access) -> bool {
        let writes = access.has_any(WRITERS);
        let mut pages = range.pages().map(|(page, _)| page);
        access.without(PLAIN) == Access(0)
            && (!access.has_any(Access::REMOTE_WRITE.with(Access::REMOTE_ATOMIC))
                || access.has(Access::LOCAL_WRITE))
            && range.page_span() > 0
            && pages.all(|page| {
                self.prot_at(Proc::P0, page)
                    .is_some_and(|prot| if writes { prot.write() } else { prot != Prot::NONE })
            })
    }

    fn prot_at(&self, proc: Proc, page: u32) -> Option<Prot> {
        Some(self.mapped.get(&proc)?.get(&u8::try_from(page).ok()?)?.prot)
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

    pub(super) fn live_mws(&self) -> Vec<Mw> {
        self.mws.iter().filter(|(_, mw)| mw.is_live).map(|(slot, _)| *slot).collect()
    }

    /// Windows that are bound.
    pub(super) fn bound_mws(&self) -> Vec<Mw> {
        self.mws.iter().filter(|(_, mw)| mw.bound.is_some()).map(|(slot, _)| *slot).collect()
    }

    /// Windows of type 2 that are bound: those that can be invalidated.
    pub(super) fn held_mws(&self) -> Vec<Mw> {
        let mut held = self.bound_mws();
        held.retain(|mw| self.mws[mw].kind == MwKind::Type2);
        held
    }

    /// Windows that had a key before their newest.
    pub(super) fn rebound_mws(&self) -> Vec<Mw> {
        self.mws.iter().filter(|(_, mw)| mw.has_old_key).map(|(slot, _)| *slot).collect()
    }

    /// Pages of `proc` that `fits` accepts.
    pub(super) fn pages_that(&self, proc: Proc, fits: impl Fn(&PageSketch) -> bool) -> Vec<u8> {
        let mapped = self.mapped.get(&proc).into_iter().flatten();
        mapped.filter(|(_, page)| fits(page)).map(|(page, _)| *page).collect()
    }

    /// Pages of `proc` whose protection holds all of `prot`.
    pub(super) fn mapped_pages(&self, proc: Proc, prot: Prot) -> Vec<u8> {
        self.pages_that(proc, |page| page.prot.bits() & prot.bits() == prot.bits())
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
        self.mrs.values().filter(|mr| mr.is_live).map(|mr| mr.range.page_span()).sum()
    }

    /// Locked pages of `proc`.
    pub(super) fn locked_pages(&self, proc: Proc) -> Vec<u8> {
        self.pages_that(proc, |page| page.is_locked)
    }

    /// Private pages of `proc` that KSM may merge.
    pub(super) fn mergeable_pages(&self, proc: Proc) -> Vec<u8> {
        self.pages_that(proc, |page| page.is_mergeable)
    }

    /// What `page` of `proc` shows.
    pub(super) fn backing(&self, proc: Proc, page: u8) -> Option<Backing> {
        Some(self.mapped.get(&proc)?.get(&page)?.backing)
    }
}

impl Slots for Sketch {
    fn has_proc(&self, proc: Proc) -> bool {
        self.mapped.contains_key(&proc)
    }

    fn has_mr(&self, mr: Mr) -> bool {
        self.mrs.get(&mr).is_some_and(|mr| mr.is_live)
    }

    fn knows_mr(&self, mr: Mr) -> bool {
        self.mrs.contains_key(&mr)
    }

    fn has_mw(&self, mw: Mw) -> bool {
        self.mws.get(&mw).is_some_and(|mw| mw.is_live)
    }

    fn knows_mw(&self, mw: Mw) -> bool {
        self.mws.contains_key(&mw)
    }

    fn knows_old_key(&self, mw: Mw) -> bool {
        self.mws.get(&mw).is_some_and(|mw| mw.has_old_key)
    }
}

/// What lies `by` pages behind the beginning of a mapping of `backing`.
fn advanced(backing: Backing, by: u8) -> Backing {
    match backing {
        Backing::Anon => Backing::Anon,
        Backing::Huge => Backing::Huge,
        Backing::File { file, page } => Backing::File { file, page: page.saturating_add(by) },
        Backing::DevZero { page } => Backing::DevZero { page: page.saturating_add(by) },
    }
}

impl PageSketch {
    fn new(backing: Backing, sharing: Sharing, prot: Prot) -> PageSketch {
        PageSketch {
            prot,
            backing,
            sharing,
            is_locked: false,
            is_mergeable: false,
            is_guard: false,
        }
    }
}
