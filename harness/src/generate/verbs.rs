//! Ops on registrations, windows and queue pairs.

use pinfold_contract::{
    ARENA_BASE, ARENA_PAGES, Access, ByteRange, Handle, Key, Mr, Mw, MwKind, Op, OpKind,
    PAGE_BYTES, Pd, Position, Proc, Prot, RegCall, Rereg, SGES_MAX, Sge, Sges, Span, Target,
};

use super::Making;
use super::sketch::MrSketch;

/// MR slots that most ops use.
const BUSY_MRS: u8 = 4;

/// Window slots that most ops use.
const BUSY_MWS: u8 = 3;

/// Everything a peer may be allowed to do, and what that needs.
const ALL_RIGHTS: Access = Access::LOCAL_WRITE
    .with(Access::REMOTE_WRITE)
    .with(Access::REMOTE_READ)
    .with(Access::REMOTE_ATOMIC);

/// Bytes of the arena: no op may move more.
const ARENA_BYTES: u32 = ARENA_PAGES as u32 * PAGE_BYTES;

impl Making {
    // ---- registrations ----

    pub(super) fn reg(&mut self) -> Op {
        let access = self.access();
        let writes = access.has(Access::LOCAL_WRITE);
        let span = self.span(if writes { Prot::RW } else { Prot::R });
        let call = self.reg_call(span);
        Op::Reg { mr: self.free_mr(), span, access, pd: self.pd(), call }
    }

    /// Bytes to register; rarely more than there can be.
    fn span(&mut self, prot: Prot) -> Span {
        let range = self.byte_range(prot);
        if !self.swarm.odd_spans || !self.draw.rarely() {
            return range.into();
        }
        let to_the_end = u64::MAX - range.start().address();
        let len_bytes = match self.draw.below(6) {
            0 => u64::MAX,
            1 => to_the_end,
            2 => to_the_end + 1,
            3 => to_the_end - u64::from(PAGE_BYTES) + 1,
            4 => 1 << (32 + self.draw.below(32)),
            _ => self.draw.any_u64(),
        };
        Span { start: range.start(), len_bytes }
    }

    /// Bytes of the arena: mostly whole mapped pages, sometimes with odd ends or over a hole.
    fn byte_range(&mut self, prot: Prot) -> ByteRange {
        let first = Position::page(self.page(Proc::P0, prot)).0;
        let any = self.draw.below_u32(PAGE_BYTES);
        let run = self.sketch.mapped_run(Proc::P0, Position(first), prot);
        let (start, len) = match self.draw.below(16) {
            0..=6 => (first, PAGE_BYTES),
            7..=10 => (first, u32::from(run.max(1)) * PAGE_BYTES),
            11 => (first + any, self.draw.below_u32(PAGE_BYTES)),
            12 => (first + PAGE_BYTES - 8, 16),
            13 => (first, (u32::from(run) + 1) * PAGE_BYTES),
            14 => (first + any, self.draw.below_u32(4 * PAGE_BYTES)),
            _ => (if self.draw.one_in(2) { first } else { first + any }, 0),
        };
        ByteRange::new(Position(start), Position(start + len)).expect("a length is not negative")
    }

    fn reg_call(&mut self, span: Span) -> RegCall {
        if !self.swarm.reg_calls || self.draw.one_in(3) {
            return RegCall::default();
        }
        let iova = if self.draw.one_in(2) { Some(self.iova(span)) } else { None };
        match self.draw.below(3) {
            0 => RegCall::Legacy,
            1 => RegCall::Iova2 { iova },
            _ => RegCall::Raw { iova },
        }
    }

    /// Mostly with the same offset in a page as the memory has, as an adapter wants it.
    fn iova(&mut self, span: Span) -> u64 {
        let page = u64::from(PAGE_BYTES);
        let offset = u64::from(span.start.page_offset());
        match self.draw.below(8) {
            0 => offset,
            1 => ARENA_BASE + u64::from(self.draw.page(ARENA_PAGES)) * page + offset,
            2 => u64::MAX - page + 1 + offset,
            3 => 0_u64.wrapping_sub(span.len_bytes),
            4 => self.draw.any_u64(),
            _ => (1 + u64::from(self.draw.any_u32())) * page + offset,
        }
    }

    pub(super) fn rereg(&mut self) -> Op {
        let what = match self.draw.below(8) {
            0 => Rereg::TRANS,
            1 => Rereg::PD,
            2 | 3 => Rereg::ACCESS,
            4 => Rereg(Rereg::PD.0 | Rereg::ACCESS.0),
            5 if self.draw.one_in(2) => Rereg(1 << self.draw.below_u32(32)),
            _ => Rereg(self.draw.below_u32(8)),
        };
        let access = self.access();
        let span = self.span(if access.has(Access::LOCAL_WRITE) { Prot::RW } else { Prot::R });
        let pd = Pd::new(self.draw.page(2)).expect("there are two");
        Op::Rereg { mr: self.mr(Access(0)), what, span, access, pd }
    }

    /// Flags that are mostly good; any 32 bits where odd ones are switched on. A part
    /// is drawn from all subsets of the rights, also those that make no sense.
    pub(super) fn access(&mut self) -> Access {
        if self.swarm.odd_access && self.draw.one_in(4) {
            let bit = Access(1 << self.draw.below_u32(32));
            return match self.draw.below(4) {
                0 => bit,
                1 => Access::REMOTE_READ.with(bit),
                2 => Access(self.draw.below_u32(1 << 10)),
                _ => Access(self.draw.any_u32()),
            };
        }
        let wants_windows = self.swarm.has(OpKind::Bind);
        let wants_atomics = self.swarm.has(OpKind::CompareSwap);
        let mut access = match self.draw.below(16) {
            0..=4 => Access::REMOTE_READ,
            5..=7 => ALL_RIGHTS.without(Access::REMOTE_ATOMIC),
            8 => ALL_RIGHTS,
            9 => Access::LOCAL_WRITE,
            10 => Access::LOCAL_WRITE.with(Access::REMOTE_WRITE),
            11 => Access(0),
            _ => return Access(self.draw.below_u32(32)).with(self.flushes()),
        };
        let writes = access.has(Access::LOCAL_WRITE);
        if wants_windows && self.draw.one_in(if writes { 2 } else { 6 }) {
            access = access.with(Access::MW_BIND);
        }
        if wants_atomics && writes && !self.draw.one_in(3) {
            access = access.with(Access::REMOTE_ATOMIC);
        }
        access
    }

    /// Mostly nothing; the flags that only newer kernels know.
    fn flushes(&mut self) -> Access {
        match self.draw.below(12) {
            0 => Access::FLUSH_GLOBAL,
            1 => Access::FLUSH_PERSISTENT,
            2 => Access::RELAXED_ORDERING,
            _ => Access(0),
        }
    }

    fn any_mr(&mut self) -> Mr {
        let slots = if self.draw.rarely() { 256 } else { usize::from(BUSY_MRS) };
        Mr(u8::try_from(self.draw.below(slots)).expect("there are 256 slots"))
    }

    /// A slot that is free, or was deregistered.
    pub(super) fn free_mr(&mut self) -> Mr {
        if self.draw.rarely() {
            return self.any_mr();
        }
        let live = self.sketch.live_mrs();
        (0..=u8::MAX).map(Mr).find(|mr| !live.contains(mr)).expect("no sequence is this long")
    }

    /// An MR that is there and mostly grants `access`; rarely one that was there, or any slot.
    pub(super) fn mr(&mut self, access: Access) -> Mr {
        let live = self.sketch.live_mrs();
        if live.is_empty() || self.draw.rarely() {
            let dead = self.sketch.dead_mrs();
            return if dead.is_empty() { self.any_mr() } else { self.draw.one_of(&dead) };
        }
        let granting = self.sketch.mrs_granting(access);
        let from = if granting.is_empty() || self.draw.rarely() { live } else { granting };
        self.draw.one_of(&from)
    }

    /// Mostly the first.
    pub(super) fn pd(&mut self) -> Pd {
        let is_second = self.swarm.pds && self.draw.one_in(3);
        Pd::new(u8::from(is_second)).expect("there are two")
    }

    /// The queue pairs of `pd`; rarely the others.
    pub(super) fn qp(&mut self, pd: Pd) -> Pd {
        if self.swarm.pds && self.draw.one_in(6) {
            return Pd::new(1 - u8::try_from(pd.index()).expect("there are two")).expect("0 or 1");
        }
        pd
    }

    // ---- windows ----

    fn any_mw(&mut self) -> Mw {
        Mw::new(self.draw.page(BUSY_MWS)).expect("there are more")
    }

    fn free_mw(&mut self) -> Mw {
        if self.draw.rarely() {
            return self.any_mw();
        }
        let live = self.sketch.live_mws();
        let free = (0..16).filter_map(Mw::new).find(|mw| !live.contains(mw));
        free.unwrap_or_else(|| self.any_mw())
    }

    /// A window that is there, if there is one.
    pub(super) fn mw(&mut self) -> Mw {
        let live = self.sketch.live_mws();
        if live.is_empty() || self.draw.rarely() { self.any_mw() } else { self.draw.one_of(&live) }
    }

    pub(super) fn alloc_mw(&mut self) -> Op {
        let kind = if self.draw.one_in(2) { MwKind::Type1 } else { MwKind::Type2 };
        Op::AllocMw { mw: self.free_mw(), kind, pd: self.pd() }
    }

    pub(super) fn bind(&mut self) -> Op {
        let mw = self.mw();
        let window_pd = self.sketch.mws.get(&mw).map(|mw| mw.pd);
        let mr = self.mr(Access::MW_BIND);
        let (offset, len_bytes) = match self.draw.below(4) {
            0 => self.remote_bytes(mr),
            1 => (8, 64),
            _ => (0, self.mr_len(mr).min(ARENA_BYTES)),
        };
        let len_bytes = if self.draw.rarely() { 0 } else { len_bytes };
        let access = self.window_access();
        let pd = window_pd.unwrap_or(Pd::FIRST);
        Op::Bind { mw, mr, offset, len_bytes, access, qp: self.qp(pd) }
    }

    /// Mostly a subset of the rights that a window can have.
    fn window_access(&mut self) -> Access {
        if self.draw.rarely() {
            return self.access();
        }
        let all = ALL_RIGHTS.without(Access::LOCAL_WRITE);
        match self.draw.below(4) {
            0 => Access::REMOTE_READ,
            1 => Access(self.draw.below_u32(16) & all.0),
            2 => all.without(Access::REMOTE_ATOMIC),
            _ => all,
        }
    }

    /// A key of a window that is or was; rarely of an MR or of a window that never was.
    fn handle(&mut self) -> Handle {
        let mws: Vec<Mw> = self.sketch.mws.keys().copied().collect();
        let mrs: Vec<Mr> = self.sketch.mrs.keys().copied().collect();
        if self.draw.rarely() || mws.is_empty() {
            return match (mrs.is_empty(), self.draw.rarely()) {
                (false, false) => Handle::Mr(self.draw.one_of(&mrs)),
                (true, _) | (_, true) => Handle::Mr(self.any_mr()),
            };
        }
        let bound = self.sketch.bound_mws();
        let rebound = self.sketch.rebound_mws();
        match self.draw.below(8) {
            0 | 1 if !rebound.is_empty() => Handle::OldMw(self.draw.one_of(&rebound)),
            2..=5 if !bound.is_empty() => Handle::Mw(self.draw.one_of(&bound)),
            _ => Handle::Mw(self.draw.one_of(&mws)),
        }
    }

    pub(super) fn invalidate(&mut self) -> Op {
        let handle = self.handle_to_invalidate();
        Op::Invalidate { handle, qp: self.qp_of(handle) }
    }

    /// Mostly the key of a window that can be invalidated, if there is one.
    fn handle_to_invalidate(&mut self) -> Handle {
        let held = self.sketch.held_mws();
        if held.is_empty() || self.draw.one_in(4) {
            return self.handle();
        }
        Handle::Mw(self.draw.one_of(&held))
    }

    /// The queue pairs that `handle` belongs to; rarely the others.
    fn qp_of(&mut self, handle: Handle) -> Pd {
        let pd = match handle {
            Handle::Mr(mr) => self.sketch.mrs.get(&mr).map(|mr| mr.pd),
            Handle::Mw(mw) | Handle::OldMw(mw) => self.sketch.mws.get(&mw).map(|mw| mw.pd),
        };
        self.qp(pd.unwrap_or(Pd::FIRST))
    }

    // ---- requests ----

    pub(super) fn remote_read(&mut self) -> Op {
        let (target, len_bytes) = self.target(Access::REMOTE_READ);
        Op::RemoteRead { target, len_bytes }
    }

    pub(super) fn remote_write(&mut self) -> Op {
        let (target, len_bytes) = self.target(Access::REMOTE_WRITE);
        Op::RemoteWrite { target, len_bytes, tag: self.tag() }
    }

    pub(super) fn compare_swap(&mut self) -> Op {
        let target = self.atomic_target();
        Op::CompareSwap { target, expect: self.operand(), swap: self.operand() }
    }

    pub(super) fn fetch_add(&mut self) -> Op {
        Op::FetchAdd { target: self.atomic_target(), add: self.operand() }
    }

    pub(super) fn gather(&mut self) -> Op {
        let (target, _) = self.target(Access::REMOTE_WRITE);
        let from = self.sges(Access(0), target.qp);
        Op::Gather { from: self.fitting(from, target), target }
    }

    pub(super) fn scatter(&mut self) -> Op {
        let (target, _) = self.target(Access::REMOTE_READ);
        let into = self.sges(Access::LOCAL_WRITE, target.qp);
        Op::Scatter { target, into: self.fitting(into, target) }
    }

    /// Where a remote op goes that needs `access`, and how many bytes it has there.
    pub(super) fn target(&mut self, access: Access) -> (Target, u32) {
        if let Some(target) = self.window_target() {
            return target;
        }
        let mr = self.mr(access);
        let (offset, len_bytes) = self.remote_bytes(mr);
        let key = self.key(mr);
        let pd = self.pd_of(mr);
        (Target { mr, offset, key, qp: self.qp(pd) }, len_bytes)
    }

    /// Bytes inside a bound window or at its edges, by its key.
    fn window_target(&mut self) -> Option<(Target, u32)> {
        let bound = self.sketch.bound_mws();
        if bound.is_empty() || self.draw.one_in(3) {
            return None;
        }
        let mw = self.draw.one_of(&bound);
        let sketch = self.sketch.mws[&mw];
        let (mr, start, len) = sketch.bound?;
        let signed = |bytes: u32| i32::try_from(bytes).unwrap_or(i32::MAX);
        let (offset, len_bytes) = match self.draw.below(6) {
            0 => (signed(len.saturating_sub(8)), 8),
            1 => (signed(len.saturating_sub(7)), 8),
            2 => (-1, 8),
            3 => (0, len.min(ARENA_BYTES)),
            _ => (0, len.min(8)),
        };
        let is_old = self.draw.rarely() && self.sketch.rebound_mws().contains(&mw);
        let key = Key::Of(if is_old { Handle::OldMw(mw) } else { Handle::Mw(mw) });
        let offset = start.saturating_add(offset);
        Some((Target { mr, offset, key, qp: self.qp(sketch.pd) }, len_bytes))
    }

    fn key(&mut self, mr: Mr) -> Key {
        if !self.swarm.wrong_keys || !self.draw.one_in(4) {
            return Key::Own;
        }
        let others: Vec<Mr> =
            self.sketch.mrs.keys().copied().filter(|&other| other != mr).collect();
        match self.draw.below(4) {
            0 => Key::Stale,
            1 if !others.is_empty() => Key::Of(Handle::Mr(self.draw.one_of(&others))),
            2 if !self.sketch.mws.is_empty() => Key::Of(self.handle()),
            _ if others.is_empty() || self.draw.rarely() => Key::Of(Handle::Mr(self.any_mr())),
            _ => Key::Of(Handle::Mr(self.draw.one_of(&others))),
        }
    }

    fn mr_len(&self, mr: Mr) -> u32 {
        self.sketch.mrs.get(&mr).map_or(PAGE_BYTES, MrSketch::len_bytes)
    }

    /// Where in an MR: mostly inside, often at its edges, sometimes outside.
    fn remote_bytes(&mut self, mr: Mr) -> (i32, u32) {
        let len = self.mr_len(mr);
        let signed = |bytes: u32| i32::try_from(bytes).unwrap_or(i32::MAX);
        let any = self.draw.below_u32(len.max(1));
        let (offset, len_bytes) = match self.draw.below(18) {
            0..=4 => (0, len.min(8)),
            5 | 6 => (0, len),
            7 | 8 => (signed(any), (len - any.min(len)).min(8)),
            9 => (signed(len.saturating_sub(8)), len.min(8)),
            10 => (signed(any), self.draw.below_u32(len - any.min(len) + 1)),
            11 => (signed(len.saturating_sub(7)), 8),
            12 => (signed(len), 1 + self.draw.below_u32(8)),
            13 => (-1, 8),
            14 => (0, len + PAGE_BYTES),
            15 => (signed(any), 0),
            _ => {
                let before = self.draw.below_u32(9);
                (
                    signed(self.page_edge(mr, any).saturating_sub(before)),
                    1 + self.draw.below_u32(16),
                )
            }
        };
        (offset, len_bytes.min(ARENA_BYTES))
    }

    /// The end of the page that byte `offset` of an MR is in, counted from the beginning of the MR: what is copied page by
    /// page goes wrong there.
    fn page_edge(&self, mr: Mr, offset: u32) -> u32 {
        let start = self.sketch.mrs.get(&mr).map_or(0, |mr| mr.range().start().page_offset());
        (start + offset + 1).next_multiple_of(PAGE_BYTES) - start
    }

    /// Mostly aligned, as an atomic op wants it.
    pub(super) fn atomic_target(&mut self) -> Target {
        let (mut target, _) = self.target(Access::REMOTE_ATOMIC);
        if !self.draw.one_in(6) {
            let start = self.sketch.mrs.get(&target.mr);
            let start = start.map_or(0, |mr| mr.range().start().page_offset() % 8);
            let ahead = i32::try_from(start).expect("below 8");
            target.offset = (target.offset.saturating_add(ahead) & !7) - ahead;
            if target.offset < 0 && !self.draw.rarely() {
                target.offset += 8;
            }
        }
        target
    }

    /// Often what may lie there: zero, or eight times one of few tags.
    fn operand(&mut self) -> u64 {
        let tags: Vec<u8> = self.ops.iter().filter_map(|op| op.tag()).collect();
        match self.draw.below(6) {
            0 | 1 => 0,
            2 | 3 if !tags.is_empty() => u64::from_le_bytes([self.draw.one_of(&tags); 8]),
            4 => 1,
            _ => self.draw.any_u64(),
        }
    }

    /// Short pieces of MRs that mostly grant `access` and belong to `pd`.
    fn sges(&mut self, access: Access, pd: Pd) -> Sges {
        let count = if self.draw.rarely() { 0 } else { 1 + self.draw.below(SGES_MAX) };
        let entries: Vec<Sge> = (0..count).map(|_| self.sge(access, pd)).collect();
        Sges::new(&entries).expect("no more than there may be")
    }

    fn sge(&mut self, access: Access, pd: Pd) -> Sge {
        let mut mr = self.mr(access);
        let fitting: Vec<Mr> = self.sketch.mrs_granting(access);
        let fitting: Vec<Mr> =
            fitting.into_iter().filter(|mr| self.sketch.mrs[mr].pd == pd).collect();
        if !fitting.is_empty() && !fitting.contains(&mr) && !self.draw.rarely() {
            mr = self.draw.one_of(&fitting);
        }
        // Lists of what never was would be skipped.
        let known: Vec<Mr> = self.sketch.mrs.keys().copied().collect();
        if !known.contains(&mr) && !known.is_empty() && !self.draw.rarely() {
            mr = self.draw.one_of(&known);
        }
        let (offset, len_bytes) = match self.draw.below(6) {
            // One bad entry spoils the list: more are good than in a request of one piece.
            0 | 1 => self.remote_bytes(mr),
            2 => (0, self.mr_len(mr).min(ARENA_BYTES)),
            _ => (0, self.mr_len(mr).min(8)),
        };
        Sge { mr, offset, len_bytes }
    }

    /// A list that mostly is no longer than what `target` has room for.
    fn fitting(&mut self, mut list: Sges, target: Target) -> Sges {
        let end = match target.key {
            Key::Of(Handle::Mw(mw)) => self.sketch.mws.get(&mw).and_then(|mw| mw.bound),
            Key::Own | Key::Stale | Key::Of(Handle::Mr(_) | Handle::OldMw(_)) => None,
        }
        .map_or(i64::from(self.mr_len(target.mr)), |(_, start, len)| {
            i64::from(start) + i64::from(len)
        });
        let Ok(mut room) = u32::try_from(end - i64::from(target.offset)) else { return list };
        if self.draw.one_in(4) {
            return list;
        }
        for sge in list.iter_mut() {
            sge.len_bytes = sge.len_bytes.min(room);
            room -= sge.len_bytes;
        }
        list
    }

    pub(super) fn send(&mut self) -> Op {
        let pd = self.pd();
        let mut from = self.sges(Access(0), pd);
        let mut to = self.sges(Access::LOCAL_WRITE, pd);
        // A message mostly fits what is there to receive it.
        if !self.draw.one_in(4)
            && let Some(first) = to.iter_mut().next()
        {
            let place = Target { offset: first.offset, ..Target::of(first.mr) };
            from = self.fitting(from, place);
            first.len_bytes =
                u32::try_from(from.len_bytes()).unwrap_or(ARENA_BYTES).min(ARENA_BYTES);
        }
        let has_window = !self.sketch.mws.is_empty();
        let invalidate = (has_window && self.draw.one_in(3)).then(|| self.handle());
        Op::Send { from, to, invalidate, qp: self.qp(pd) }
    }
}
