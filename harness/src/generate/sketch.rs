//! What there roughly is at a point of a sequence.
//!
//! Not a model: it believes what it is told, and guesses whether a registration
//! works. It only serves to make ops that mostly meet something.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{
    Access, Advice, Backing, ByteRange, File, FileKind, Handle, Key, LockScope, Mr, Mw, MwKind, Op,
    PageRange, Pd, Position, Proc, Prot, Sges, Sharing, Target,
};

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
    /// Whether `op` certainly has nothing to work on.
    pub(super) fn skips(&self, op: Op) -> bool {
        let lives = |proc| self.mapped.contains_key(&proc);
        let mr_lives = |mr| self.mrs.get(&mr).is_some_and(|mr: &MrSketch| mr.is_live);
        let mw_lives = |mw| self.mws.get(&mw).is_some_and(|mw: &MwSketch| mw.is_live);
        let lacks_sge = |sges: Sges| sges.iter().any(|sge| !self.mrs.contains_key(&sge.mr));
        !lives(op.proc())
            || match op {
                Op::Fork { child, .. } => lives(child),
                Op::Exit { proc } => proc == Proc::P0,
                Op::Reg { mr, .. } => mr_lives(mr),
                Op::Dereg { mr } | Op::Rereg { mr, .. } => !mr_lives(mr),
                Op::AllocMw { mw, .. } => mw_lives(mw),
                Op::DeallocMw { mw } => !mw_lives(mw),
                Op::Bind { mw, mr, .. } => !mw_lives(mw) || !self.mrs.contains_key(&mr),
                Op::Invalidate { handle, .. } => self.lacks(handle),
                Op::RemoteRead { target, .. }
                | Op::RemoteWrite { target, .. }
                | Op::CompareSwap { target, .. }
                | Op::FetchAdd { target, .. } => self.lacks_target(target),
                Op::Send { from, to, invalidate, .. } => {
                    lacks_sge(from) || lacks_sge(to) || invalidate.is_some_and(|h| self.lacks(h))
                }
                Op::Gather { from: sges, target } | Op::Scatter { target, into: sges } => {
                    lacks_sge(sges) || self.lacks_target(target)
                }
                Op::Map { .. }
                | Op::Unmap { .. }
                | Op::Protect { .. }
                | Op::Write { .. }
                | Op::Read { .. }
                | Op::Limit { .. }
                | Op::Remap { .. }
                | Op::Advise { .. }
                | Op::Lock { .. }
                | Op::Unlock { .. }
                | Op::LockAll { .. }
                | Op::Force { .. }
                | Op::FileWrite { .. }
                | Op::Truncate { .. }
                | Op::Punch { .. }
                | Op::Seal { .. }
                | Op::IpcLock { .. }
                | Op::MemLimit { .. }
                | Op::Chore { .. } => false,
            }
    }

    fn lacks_target(&self, target: Target) -> bool {
        let lacks_key = match target.key {
            Key::Own | Key::Stale => false,
            Key::Of(handle) => self.lacks(handle),
        };
        !self.mrs.contains_key(&target.mr) || lacks_key
    }

    fn lacks(&self, handle: Handle) -> bool {
        match handle {
            Handle::Mr(mr) => !self.mrs.contains_key(&mr),
            Handle::Mw(mw) => !self.mws.contains_key(&mw),
            Handle::OldMw(mw) => self.mws.get(&mw).is_none_or(|mw| !mw.has_old_key),
        }
    }

    /// Takes in that `op` was done.
    pub(super) fn note(&mut self, op: Op) {
        if self.skips(op) {
            return;
        }
        match op {
            Op::Map { .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Remap { .. }
            | Op::Advise { .. }
            | Op::Lock { .. }
            | Op::Unlock { .. }
            | Op::LockAll { .. }
            | Op::Fork { .. }
            | Op::Exit { .. } => self.note_mapping(op),
            Op::Reg { .. }
            | Op::Dereg { .. }
            | Op::Rereg { .. }
            | Op::AllocMw { .. }
            | Op::DeallocMw { .. }
            | Op::Bind { .. }
            | Op::Invalidate { .. }
            | Op::Send { .. } => self.note_verbs(op),
            Op::MemLimit { pages } => self.is_mem_limited = pages.is_some(),
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
            | Op::Chore { .. }
            | Op::CompareSwap { .. }
            | Op::FetchAdd { .. }
            | Op::Gather { .. }
            | Op::Scatter { .. } => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives the others elsewhere")]
    fn note_mapping(&mut self, op: Op) {
        let proc = op.proc();
        match op {
            Op::Map { pages, backing, sharing, prot, .. } => {
                self.note_map(proc, pages, PageSketch::new(backing, sharing, prot));
            }
            Op::Protect { pages, prot, .. } => self.change(proc, pages, |page| page.prot = prot),
            Op::Lock { pages, .. } => self.change(proc, pages, |page| page.is_locked = true),
            Op::Unlock { pages, .. } => self.change(proc, pages, |page| page.is_locked = false),
            Op::LockAll { scope, .. } => {
                let is_locked = matches!(scope, LockScope::Current | LockScope::Both);
                let all = PageRange::new(0, pinfold_contract::ARENA_PAGES);
                let all = all.expect("the arena has pages");
                self.change(proc, all, |page| page.is_locked = is_locked);
            }
            Op::Advise { pages, advice: Advice::Mergeable, .. } => {
                self.change(proc, pages, |page| page.is_mergeable = true);
            }
            Op::Advise { pages, advice: Advice::Unmergeable, .. } => {
                self.change(proc, pages, |page| page.is_mergeable = false);
            }
            Op::Unmap { pages, .. } => {
                let mapped = self.mapped.entry(proc).or_default();
                mapped.retain(|page, _| !pages.pages().contains(page));
            }
            Op::Remap { from, to, .. } => self.note_remap(proc, from, to),
            Op::Fork { child, .. } => {
                let pages = self.mapped[&proc].clone();
                self.mapped.insert(child, pages);
            }
            Op::Exit { .. } => {
                self.mapped.remove(&proc);
            }
            _ => {}
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

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives the others elsewhere")]
    fn note_verbs(&mut self, op: Op) {
        match op {
            Op::Reg { mr, span, access, pd, .. } => {
                let Some(range) = span.range() else { return };
                if self.may_register(range, access) {
                    self.mrs.insert(mr, MrSketch { range, access, pd, is_live: true });
                }
            }
            Op::Dereg { mr } => {
                let is_bound = self
                    .mws
                    .values()
                    .any(|mw| mw.is_live && mw.bound.is_some_and(|(bound, ..)| bound == mr));
                if let Some(mr) = self.mrs.get_mut(&mr).filter(|_| !is_bound) {
                    mr.is_live = false;
                }
            }
            Op::AllocMw { mw, kind, pd } => {
                let (bound, access) = (None, Access(0));
                let has_old_key = false;
                let sketch = MwSketch { kind, pd, is_live: true, has_old_key, bound, access };
                self.mws.insert(mw, sketch);
            }
            Op::DeallocMw { mw } => {
                if let Some(mw) = self.mws.get_mut(&mw) {
                    mw.is_live = false;
                    mw.bound = None;
                }
            }
            Op::Bind { mw, mr, offset, len_bytes, access, qp } => {
                if self.may_bind(op)
                    && let Some(mw) = self.mws.get_mut(&mw).filter(|mw| mw.pd == qp)
                {
                    mw.has_old_key = true;
                    mw.access = access;
                    mw.bound = (len_bytes > 0).then_some((mr, offset, len_bytes));
                }
            }
            Op::Invalidate { handle: Handle::Mw(mw), .. }
            | Op::Send { invalidate: Some(Handle::Mw(mw)), .. } => {
                if let Some(mw) = self.mws.get_mut(&mw).filter(|mw| mw.kind == MwKind::Type2) {
                    mw.bound = None;
                }
            }
            _ => {}
        }
    }

    /// Whether a bind would probably work.
    fn may_bind(&self, op: Op) -> bool {
        let Op::Bind { mw, mr, offset, len_bytes, access, .. } = op else { return false };
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
        let first = range.start().page_index();
        let mut pages = first..first + range.page_span();
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

/// What lies `by` pages behind the beginning of a mapping of `backing`.
fn advanced(backing: Backing, by: u8) -> Backing {
    match backing {
        Backing::Anon => Backing::Anon,
        Backing::File { file, page } => Backing::File { file, page: page.saturating_add(by) },
        Backing::DevZero { page } => Backing::DevZero { page: page.saturating_add(by) },
    }
}

impl PageSketch {
    fn new(backing: Backing, sharing: Sharing, prot: Prot) -> PageSketch {
        PageSketch { prot, backing, sharing, is_locked: false, is_mergeable: false }
    }
}
