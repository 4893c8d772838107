//! Motifs: short runs of ops that belong together.
//!
//! Each is a question that single draws would ask too seldom. What is switched
//! off is left out of a motif, so that it is asked in parts, too.

use pinfold_contract::{
    Access, Advice, Backing, ByteRange, Chore, FILE_PAGES, File, FileKind, Handle, Key, LockScope,
    Mr, Mw, MwKind, Op, OpKind, PAGE_BYTES, PageRange, Pd, Position, Proc, Prot, RegCall, Rereg,
    Seals, Sge, Sges, Sharing, Target,
};

use super::Making;

/// What peers may do with memory that may be written.
const WRITABLE: Access = Access::LOCAL_WRITE.with(Access::REMOTE_WRITE).with(Access::REMOTE_READ);

/// Adds the ops of one motif.
type Motif = fn(&mut Making);

impl Making {
    /// One motif, of those that are left when what is switched off is taken away.
    pub(super) fn motif(&mut self) {
        let needs: [(Option<OpKind>, Motif); 24] = [
            (Some(OpKind::Protect), Making::made_read_only),
            (Some(OpKind::Fork), Making::fork_and_write),
            (Some(OpKind::Fork), Making::child_lets_go),
            (Some(OpKind::Advise), Making::kept_from_children),
            (Some(OpKind::Advise), Making::guarded),
            (Some(OpKind::Advise), Making::guarded_under_an_mr),
            (Some(OpKind::Advise), Making::given_up_under_an_mr),
            (None, Making::memory_taken_away),
            (None, Making::memory_taken_away),
            (None, Making::overlapping),
            (Some(OpKind::Lock), Making::locked_and_registered),
            (Some(OpKind::Lock), Making::locked_beyond_the_limit),
            (Some(OpKind::Bind), Making::window_comes_and_goes),
            (Some(OpKind::Bind), Making::window_comes_and_goes),
            (Some(OpKind::Bind), Making::window_that_cannot_be_bound),
            (Some(OpKind::Invalidate), Making::window_is_invalidated),
            (Some(OpKind::Invalidate), Making::window_is_invalidated),
            (Some(OpKind::Rereg), Making::reregistered),
            (Some(OpKind::CompareSwap), Making::atomics),
            (Some(OpKind::CompareSwap), Making::atomics),
            (Some(OpKind::Send), Making::message),
            (Some(OpKind::Send), Making::message_without_room),
            (Some(OpKind::Gather), Making::gathered_and_scattered),
            (Some(OpKind::Force), Making::forced),
        ];
        let is_on = |kind: Option<OpKind>| kind.is_none_or(|kind| self.swarm.has(kind));
        let motifs: Vec<Motif> =
            needs.into_iter().filter(|(kind, _)| is_on(*kind)).map(|(_, motif)| motif).collect();
        self.draw.one_of(&motifs)(self);
    }

    /// The motifs of what is slow, each once where it is switched on.
    pub(super) fn slow_motifs(&mut self) {
        if self.swarm.ksm {
            self.merged();
        }
        if self.swarm.chores {
            self.chore_under_an_mr();
        }
        if self.swarm.has(OpKind::MemLimit) {
            self.limited_memory();
        }
        if self.swarm.has(OpKind::Seal) {
            self.sealed();
        }
    }

    // ---- parts ----

    /// Registers `pages` of `p0` in a free slot.
    fn reg_pages(&mut self, pages: PageRange, access: Access) -> Mr {
        let mr = self.free_mr();
        let start = Position::page(pages.first());
        let len_bytes = u32::from(pages.page_count()) * PAGE_BYTES;
        let range = ByteRange::new(start, Position(start.0 + len_bytes));
        let span = range.expect("a length is not negative").into();
        let pd = self.pd();
        self.push(Op::Reg { mr, span, access, pd, call: RegCall::default() });
        mr
    }

    /// Maps fresh private memory.
    fn fresh(&mut self, prot: Prot) -> PageRange {
        let pages = self.pages();
        let backing = if self.draw.one_in(2) { Backing::Anon } else { self.some_backing() };
        let populate = self.swarm.populate && self.draw.one_in(3);
        let sharing = Sharing::Private;
        self.push(Op::Map { proc: Proc::P0, pages, backing, sharing, prot, populate });
        pages
    }

    fn some_backing(&mut self) -> Backing {
        if self.swarm.files.is_empty() {
            return Backing::Anon;
        }
        let files = self.swarm.files.clone();
        self.part_of(&files)
    }

    fn store(&mut self, proc: Proc, page: u8) {
        let tag = self.tag();
        self.push_if_on(Op::Write { proc, at: Position::page(page), len_bytes: 8, tag });
    }

    fn load(&mut self, proc: Proc, page: u8) {
        self.push_if_on(Op::Read { proc, at: Position::page(page), len_bytes: 8 });
    }

    fn fetch(&mut self, mr: Mr) {
        let target = self.at_start(mr);
        self.push_if_on(Op::RemoteRead { target, len_bytes: 8 });
    }

    fn deposit(&mut self, mr: Mr) {
        let target = self.at_start(mr);
        let tag = self.tag();
        self.push_if_on(Op::RemoteWrite { target, len_bytes: 8, tag });
    }

    /// The first byte of `mr`, over its own queue pairs.
    fn at_start(&self, mr: Mr) -> Target {
        Target { qp: self.pd_of(mr), ..Target::of(mr) }
    }

    pub(super) fn pd_of(&self, mr: Mr) -> Pd {
        self.sketch.mrs.get(&mr).map_or(Pd::FIRST, |mr| mr.pd)
    }

    fn rights(&mut self) -> Access {
        let any = self.access();
        self.draw.one_of(&[Access::REMOTE_READ, WRITABLE, any])
    }

    fn new_child(&mut self) -> Option<Proc> {
        let live = self.sketch.procs();
        let child = Proc::all().find(|proc| !live.contains(proc));
        child.filter(|_| self.swarm.has(OpKind::Fork))
    }

    // ---- motifs ----

    /// Writes where the newest MR lies, and mostly reads it through its key.
    pub(super) fn write_under_newest(&mut self) {
        let Some(&Op::Reg { mr, span, pd, .. }) = self.ops.last() else { return };
        let at = span.start;
        let tag = self.tag();
        self.push_if_on(Op::Write { proc: Proc::P0, at, len_bytes: 8, tag });
        if self.draw.one_in(2) {
            let target = Target { qp: pd, ..Target::of(mr) };
            self.push_if_on(Op::RemoteRead { target, len_bytes: 8 });
        }
    }

    /// Memory of any kind that a child does not get, or gets without its content.
    fn kept_from_children(&mut self) {
        let Some(child) = self.new_child() else { return };
        let (proc, pages, backing) = (Proc::P0, self.pages(), self.some_backing());
        let sharing = self.draw.one_of(&[Sharing::Private, Sharing::Shared]);
        self.push(Op::Map { proc, pages, backing, sharing, prot: Prot::RW, populate: false });
        self.store(proc, pages.first());
        let advice = self.draw.one_of(&[Advice::DontFork, Advice::DontFork, Advice::WipeOnFork]);
        self.push(Op::Advise { proc, pages, advice });
        let access = self.rights();
        let mr = self.draw.one_in(2).then(|| self.reg_pages(pages, access));
        self.push(Op::Fork { proc, child });
        self.load(child, pages.first());
        if let Some(mr) = mr {
            self.store(proc, pages.first());
            self.fetch(mr);
        }
    }

    /// Memory of any kind with guards in it, what passes over them or takes them along, and a registration.
    fn guarded(&mut self) {
        let (proc, pages, backing) = (Proc::P0, self.pages(), self.some_backing());
        let sharing = self.draw.one_of(&[Sharing::Private, Sharing::Shared]);
        let prot = if self.draw.one_in(4) { Prot::R } else { Prot::RW };
        self.push(Op::Map { proc, pages, backing, sharing, prot, populate: false });
        self.store(proc, pages.end() - 1);
        let count = 1 + self.draw.page(pages.page_count());
        let guards = PageRange::new(pages.first(), pages.first() + count).expect("a part of it");
        self.push(Op::Advise { proc, pages: guards, advice: Advice::GuardInstall });
        self.over_guards(pages);
        let access = self.rights();
        self.reg_pages(pages, access);
        self.load(proc, pages.first());
        if self.draw.one_in(2) {
            self.push(Op::Advise { proc, pages: guards, advice: Advice::GuardRemove });
            self.load(proc, pages.first());
            let mr = self.reg_pages(pages, access);
            self.fetch(mr);
        }
    }

    /// One of the ops that leave guards where they are, stop at them, move or copy them.
    fn over_guards(&mut self, pages: PageRange) {
        let proc = Proc::P0;
        let away = PageRange::new(20, 20 + pages.page_count()).expect("inside");
        let advise = |advice| Op::Advise { proc, pages, advice };
        let mut ways = vec![
            advise(Advice::DontNeed),
            advise(Advice::Free),
            advise(Advice::PageOut),
            advise(Advice::PopulateRead),
            advise(Advice::PopulateWrite),
            Op::Protect { proc, pages, prot: Prot::R },
            Op::Protect { proc, pages, prot: Prot::RW },
            Op::Lock { proc, pages, onfault: false },
            Op::Lock { proc, pages, onfault: true },
            Op::Remap { proc, from: pages, to: away },
        ];
        let child = self.new_child();
        ways.extend(child.into_iter().flat_map(|child| [Op::Fork { proc, child }; 4]));
        if let Some(Backing::File { file, page }) = self.sketch.backing(proc, pages.first()) {
            let at = Position::page(page);
            let range = ByteRange::new(at, Position(at.0 + PAGE_BYTES)).expect("a page");
            ways.extend([Op::Truncate { file, end: at }, Op::Punch { file, range }]);
        }
        ways.retain(|way| self.swarm.has(way.kind()));
        let way = self.draw.one_of(&ways);
        self.push(way);
        if let Some(child) = child.filter(|_| way.kind() == OpKind::Fork) {
            self.load(child, pages.first());
            self.load(child, pages.end() - 1);
        }
    }

    /// Guards come under an MR, which keeps the frames, and go again.
    fn guarded_under_an_mr(&mut self) {
        let proc = Proc::P0;
        let pages = self.fresh(Prot::RW);
        self.store(proc, pages.first());
        let access = self.rights();
        let mr = self.reg_pages(pages, access);
        self.push(Op::Advise { proc, pages, advice: Advice::GuardInstall });
        self.deposit(mr);
        self.fetch(mr);
        self.store(proc, pages.first());
        if self.draw.one_in(2) {
            self.push(Op::Advise { proc, pages, advice: Advice::GuardRemove });
            self.store(proc, pages.first());
            self.fetch(mr);
        }
        if self.draw.one_in(2) {
            self.push_if_on(Op::Dereg { mr });
        }
    }

    /// MADV_FREE gives pages up that an adapter then writes. They are the process's own again: nobody may drop them.
    fn given_up_under_an_mr(&mut self) {
        let proc = Proc::P0;
        let pages = self.pages();
        let (backing, sharing) = (Backing::Anon, Sharing::Private);
        self.push(Op::Map { proc, pages, backing, sharing, prot: Prot::RW, populate: false });
        let page_count = u32::from(pages.page_count());
        let (at, tag) = (Position::page(pages.first()), self.tag());
        self.push_if_on(Op::Write { proc, at, len_bytes: page_count * PAGE_BYTES, tag });
        let mr = self.reg_pages(pages, WRITABLE);
        self.push(Op::Advise { proc, pages, advice: Advice::Free });
        if self.draw.one_in(2) {
            self.deposit(mr);
        }
        let last = i32::try_from((page_count - 1) * PAGE_BYTES).expect("a few pages");
        let (target, tag) = (Target { offset: last, ..self.at_start(mr) }, self.tag());
        self.push_if_on(Op::RemoteWrite { target, len_bytes: 8, tag });
        self.push_if_on(Op::Dereg { mr });
        let reclaim = Op::Chore { chore: Chore::Reclaim };
        let page_out = Op::Advise { proc, pages, advice: Advice::PageOut };
        let by_group = self.swarm.chores && self.draw.one_in(2);
        self.push(if by_group { reclaim } else { page_out });
        self.load(proc, pages.end() - 1);
    }

    /// Registered while it may only be read, and written when it may be written again.
    fn made_read_only(&mut self) {
        let pages = self.fresh(Prot::RW);
        let proc = Proc::P0;
        if self.draw.one_in(2) {
            self.store(proc, pages.first());
        }
        self.push(Op::Protect { proc, pages, prot: Prot::R });
        let access = if self.draw.one_in(3) { self.rights() } else { Access::REMOTE_READ };
        let mr = self.reg_pages(pages, access);
        self.push(Op::Protect { proc, pages, prot: Prot::RW });
        self.store(proc, pages.first());
        self.fetch(mr);
    }

    /// Who of parent and child keeps the page that an adapter holds.
    fn fork_and_write(&mut self) {
        let Some(child) = self.new_child() else { return };
        let pages = self.fresh(Prot::RW);
        self.store(Proc::P0, pages.first());
        let access = self.rights();
        let mr = if self.draw.one_in(3) { None } else { Some(self.reg_pages(pages, access)) };
        self.push(Op::Fork { proc: Proc::P0, child });
        let mr = mr.unwrap_or_else(|| self.reg_pages(pages, access));
        let (first, second) =
            if self.draw.one_in(2) { (Proc::P0, child) } else { (child, Proc::P0) };
        self.store(first, pages.first());
        self.load(second, pages.first());
        self.store(second, pages.first());
        self.deposit(mr);
        self.load(child, pages.first());
        self.fetch(mr);
    }

    /// A child gives its part of the memory back, in one way or another.
    fn child_lets_go(&mut self) {
        let Some(child) = self.new_child() else { return };
        let pages = self.fresh(Prot::RW);
        self.store(Proc::P0, pages.first());
        self.push(Op::Fork { proc: Proc::P0, child });
        let grandchild = self.new_child().filter(|_| self.draw.one_in(3));
        if let Some(grandchild) = grandchild {
            self.push(Op::Fork { proc: child, child: grandchild });
        }
        let access = self.rights();
        let mr = self.reg_pages(pages, access);
        let tag = self.tag();
        let at = Position::page(pages.first());
        let op = match self.draw.below(4) {
            0 => Op::Unmap { proc: child, pages },
            1 => Op::Write { proc: child, at, len_bytes: PAGE_BYTES, tag },
            2 => Op::Advise { proc: child, pages, advice: Advice::DontNeed },
            _ => Op::Exit { proc: child },
        };
        self.push_if_on(op);
        self.store(Proc::P0, pages.first());
        self.fetch(mr);
    }

    /// The memory goes from under an MR, and other memory comes.
    fn memory_taken_away(&mut self) {
        let proc = Proc::P0;
        let pages = self.fresh(Prot::RW);
        self.store(proc, pages.first());
        let access = self.rights();
        let mr = self.reg_pages(pages, access);
        let away = PageRange::new(20, 20 + pages.page_count()).expect("inside");
        let mut ways = vec![
            Op::Unmap { proc, pages },
            Op::Advise { proc, pages, advice: Advice::DontNeed },
            Op::Advise { proc, pages, advice: Advice::Free },
            Op::Remap { proc, from: pages, to: away },
        ];
        if let Some(Backing::File { file, page }) = self.sketch.backing(proc, pages.first()) {
            let at = Position::page(page);
            let end = Position(at.0 + PAGE_BYTES);
            let range = ByteRange::new(at, end).expect("a page");
            ways.extend([
                Op::Truncate { file, end: at },
                Op::Punch { file, range },
                Op::Truncate { file, end: at },
                Op::Punch { file, range },
            ]);
        }
        ways.retain(|way| self.swarm.has(way.kind()));
        if !ways.is_empty() {
            let way = self.draw.one_of(&ways);
            self.push(way);
        }
        let backing = if self.draw.one_in(2) { Backing::Anon } else { self.some_backing() };
        if self.draw.one_in(2) {
            let (sharing, prot) = (Sharing::Private, Prot::RW);
            self.push(Op::Map { proc, pages, backing, sharing, prot, populate: false });
        }
        self.store(proc, pages.first());
        self.fetch(mr);
        if self.draw.one_in(2) {
            self.deposit(mr);
            self.load(proc, pages.first());
        }
    }

    /// Two MRs over the same memory, with different rights.
    fn overlapping(&mut self) {
        let pages = self.fresh(Prot::RW);
        let rights = [self.rights(), self.rights()];
        let one = self.reg_pages(pages, rights[0]);
        self.store(Proc::P0, pages.first());
        let other = self.reg_pages(pages, rights[1]);
        self.deposit(other);
        self.fetch(one);
        self.push_if_on(Op::Dereg { mr: one });
        self.store(Proc::P0, pages.first());
        self.fetch(other);
    }

    /// Two ways to hold memory, that count against one limit each in its own way.
    fn locked_and_registered(&mut self) {
        let proc = Proc::P0;
        let pages = self.fresh(Prot::RW);
        let onfault = self.draw.one_in(2);
        let access = self.rights();
        if self.draw.one_in(2) {
            self.push(Op::Lock { proc, pages, onfault });
            self.reg_pages(pages, access);
        } else {
            self.reg_pages(pages, access);
            self.push(Op::Lock { proc, pages, onfault });
        }
        self.store(proc, pages.first());
        let after = self.draw.one_of(&[
            Op::Unlock { proc, pages },
            Op::Advise { proc, pages, advice: Advice::DontNeed },
            Op::Unmap { proc, pages },
        ]);
        self.push_if_on(after);
    }

    /// What is locked already may be all that may be locked.
    fn locked_beyond_the_limit(&mut self) {
        let proc = Proc::P0;
        let count = 1 + self.draw.page(3);
        let first = 30 + self.draw.page(8);
        let pages = PageRange::new(first, first + count).expect("inside");
        let (backing, sharing, prot) = (Backing::Anon, Sharing::Private, Prot::RW);
        self.push(Op::Map { proc, pages, backing, sharing, prot, populate: false });
        self.push(Op::IpcLock { held: false });
        self.push(Op::Limit { bytes: u64::MAX });
        let scope = if self.draw.one_in(2) { LockScope::Future } else { LockScope::None };
        self.push(Op::LockAll { proc, scope });
        self.push(Op::Lock { proc, pages, onfault: false });
        let room = u64::from(count) + u64::from(self.draw.page(2));
        self.push(Op::Limit { bytes: room * u64::from(PAGE_BYTES) });
        let longer = PageRange::new(first, first + count + 2).expect("inside");
        let more = PageRange::new(first + 10, first + 12).expect("inside");
        let grows = Op::Remap { proc, from: pages, to: longer };
        let maps = Op::Map { proc, pages: more, backing, sharing, prot, populate: false };
        let locks = Op::Lock { proc, pages: longer, onfault: false };
        let any = self.draw.one_of(&[grows, maps, locks]);
        for op in [any, maps] {
            self.push(op);
        }
        self.push(Op::LockAll { proc, scope: LockScope::None });
        self.push(Op::Limit { bytes: u64::MAX });
    }

    /// One thing of many is wrong with a bind, and the window stays what it was.
    fn window_that_cannot_be_bound(&mut self) {
        let pages = self.fresh(Prot::RW);
        let all = WRITABLE.with(Access::MW_BIND).with(Access::REMOTE_ATOMIC);
        let no_write = Access::REMOTE_READ.with(Access::MW_BIND);
        let access = self.draw.one_of(&[all, all, all, all, WRITABLE, no_write]);
        let mr = self.reg_pages(pages, access);
        let pd = self.pd_of(mr);
        let other = Pd::new(1 - u8::try_from(pd.index()).expect("there are two")).expect("0 or 1");
        let live = self.sketch.live_mws();
        let Some(mw) = (0..16).filter_map(Mw::new).find(|mw| !live.contains(mw)) else { return };
        let kind = if self.draw.one_in(2) { MwKind::Type1 } else { MwKind::Type2 };
        let window_pd = if self.swarm.pds && self.draw.one_in(4) { other } else { pd };
        self.push(Op::AllocMw { mw, kind, pd: window_pd });
        let both = Access::REMOTE_READ.with(Access::REMOTE_WRITE);
        let rights = self.draw.one_of(&[both, both, both, Access::REMOTE_ATOMIC]);
        let end = i32::from(pages.page_count()) * PAGE_BYTES.cast_signed();
        // To the last byte, one beyond, and more.
        let at_end = self.draw.one_of(&[64, 63, 63, 32]);
        let at_start = self.draw.one_of(&[0, -1, -8]);
        let (offset, len_bytes, access, qp) = self.draw.one_of(&[
            (0, 64, rights, pd),
            (0, 64, rights.with(Access::ZERO_BASED), pd),
            (end - at_end, 64, rights, pd),
            (at_start, 64, rights, pd),
            (0, 64, rights, if self.swarm.pds { other } else { pd }),
            (0, 0, rights, pd),
        ]);
        if self.draw.one_in(6) {
            self.push_if_on(Op::Dereg { mr });
        }
        let bind = Op::Bind { mw, mr, offset, len_bytes, access, qp };
        self.push(bind);
        self.through_window(mw, mr, 0);
        if self.draw.one_in(2) {
            self.push(bind);
        }
    }

    /// A window of type 2 is bound, invalidated and used.
    fn window_is_invalidated(&mut self) {
        let pages = self.fresh(Prot::RW);
        let mr = self.reg_pages(pages, WRITABLE.with(Access::MW_BIND));
        let qp = self.pd_of(mr);
        let live = self.sketch.live_mws();
        let Some(mw) = (0..16).filter_map(Mw::new).find(|mw| !live.contains(mw)) else { return };
        self.push(Op::AllocMw { mw, kind: MwKind::Type2, pd: qp });
        let access = Access::REMOTE_READ.with(Access::REMOTE_WRITE);
        self.push(Op::Bind { mw, mr, offset: 0, len_bytes: 64, access, qp });
        let handle = Handle::Mw(mw);
        if self.swarm.has(OpKind::Send) && self.draw.one_in(2) {
            let list = Sges::new(&[Sge { mr, offset: 128, len_bytes: 8 }]).expect("one");
            self.push(Op::Send { from: list, to: list, invalidate: Some(handle), qp });
        } else {
            self.push(Op::Invalidate { handle, qp });
        }
        self.through_window(mw, mr, 0);
    }

    /// A window is bound, used, invalidated and used again.
    fn window_comes_and_goes(&mut self) {
        let pages = self.fresh(Prot::RW);
        let access = WRITABLE.with(Access::MW_BIND).with(Access::REMOTE_ATOMIC);
        let mr = self.reg_pages(pages, access);
        let pd = self.pd_of(mr);
        let live = self.sketch.live_mws();
        let Some(mw) = (0..16).filter_map(Mw::new).find(|mw| !live.contains(mw)) else { return };
        let kind = if self.draw.one_in(2) { MwKind::Type1 } else { MwKind::Type2 };
        self.push(Op::AllocMw { mw, kind, pd });
        let both = Access::REMOTE_READ.with(Access::REMOTE_WRITE);
        let rights = self.draw.one_of(&[both, both, both, Access::REMOTE_READ]);
        let bind = Op::Bind { mw, mr, offset: 0, len_bytes: 64, access: rights, qp: pd };
        self.push(bind);
        self.through_window(mw, mr, 0);
        let mut ends = vec![
            Op::Dereg { mr },
            Op::DeallocMw { mw },
            Op::Bind { mw, mr, offset: 32, len_bytes: 64, access: rights, qp: pd },
            Op::Bind { mw, mr, offset: 0, len_bytes: 0, access: rights, qp: pd },
            Op::Invalidate { handle: Handle::Mw(mw), qp: pd },
            Op::Invalidate { handle: Handle::Mw(mw), qp: pd },
        ];
        let sge = Sge { mr, offset: 128, len_bytes: 8 };
        let list = Sges::new(&[sge]).expect("one is not too many");
        ends.push(Op::Send { from: list, to: list, invalidate: Some(Handle::Mw(mw)), qp: pd });
        ends.retain(|end| self.swarm.has(end.kind()));
        let end = self.draw.one_of(&ends);
        self.push(end);
        let offset = self.draw.one_of(&[0, 0, 32, 60]);
        self.through_window(mw, mr, offset);
        if self.sketch.rebound_mws().contains(&mw) && self.draw.one_in(2) {
            let key = Key::Of(Handle::OldMw(mw));
            self.push_if_on(Op::RemoteRead {
                target: Target { mr, offset, key, qp: pd },
                len_bytes: 8,
            });
        }
    }

    fn through_window(&mut self, mw: Mw, mr: Mr, offset: i32) {
        let key = Key::Of(Handle::Mw(mw));
        let pd = self.pd_of(mr);
        let target = Target { mr, offset, key, qp: self.qp(pd) };
        let tag = self.tag();
        let op = if self.draw.one_in(2) {
            Op::RemoteRead { target, len_bytes: 8 }
        } else {
            Op::RemoteWrite { target, len_bytes: 8, tag }
        };
        self.push_if_on(op);
    }

    fn reregistered(&mut self) {
        let prot = if self.draw.one_in(3) { Prot::R } else { Prot::RW };
        let pages = self.fresh(prot);
        let access = self.rights();
        let mr = self.reg_pages(pages, access);
        let (access, pd) = (self.rights(), self.pd());
        let whats = [Rereg::ACCESS, Rereg::ACCESS, Rereg::PD, Rereg::TRANS, Rereg(7)];
        let what = self.draw.one_of(&whats);
        let start = Position::page(pages.first());
        let span = ByteRange::new(start, Position(start.0 + PAGE_BYTES));
        let span = span.expect("a page").into();
        self.push(Op::Rereg { mr, what, span, access, pd });
        self.store(Proc::P0, pages.first());
        self.deposit(mr);
        self.fetch(mr);
        self.load(Proc::P0, pages.first());
    }

    fn atomics(&mut self) {
        let pages = self.fresh(Prot::RW);
        let tag = self.tag();
        let at = Position::page(pages.first());
        self.push_if_on(Op::Write { proc: Proc::P0, at, len_bytes: 16, tag });
        let access = WRITABLE.with(Access::REMOTE_ATOMIC);
        let mr = self.reg_pages(pages, access);
        let target = self.at_start(mr);
        let there = u64::from_le_bytes([tag; 8]);
        let swap = self.draw.any_u64();
        self.push(Op::CompareSwap { target, expect: there, swap });
        let expect = if self.draw.one_in(2) { swap } else { there };
        self.push(Op::CompareSwap { target, expect, swap: 0 });
        self.push(Op::FetchAdd { target, add: u64::MAX - 1 });
        self.push(Op::FetchAdd { target, add: 2 });
        self.load(Proc::P0, pages.first());
    }

    fn message(&mut self) {
        let from_pages = self.fresh(Prot::RW);
        let to_pages = self.fresh(Prot::RW);
        self.store(Proc::P0, from_pages.first());
        let from = self.reg_pages(from_pages, Access(0));
        let access = self.rights().with(Access::LOCAL_WRITE);
        let to = self.reg_pages(to_pages, access);
        let len_bytes = self.draw.one_of(&[8, 64, PAGE_BYTES]);
        let piece = |mr, offset, len_bytes| Sge { mr, offset, len_bytes };
        let half = len_bytes / 2;
        let from = Sges::new(&[piece(from, 0, len_bytes)]).expect("one");
        let to = Sges::new(&[piece(to, 8, half), piece(to, 2048, len_bytes - half)]).expect("two");
        self.push(Op::Send { from, to, invalidate: None, qp: Pd::FIRST });
        self.load(Proc::P0, to_pages.first());
    }

    /// Two pieces of an MR go to one place in it, and come back to others.
    fn gathered_and_scattered(&mut self) {
        let pages = self.fresh(Prot::RW);
        self.store(Proc::P0, pages.first());
        let mr = self.reg_pages(pages, WRITABLE);
        let target = Target { offset: 2048, ..self.at_start(mr) };
        let len_bytes = self.draw.one_of(&[8, 64, 512]);
        let pieces = |first, second| {
            let list = [first, second].map(|offset| Sge { mr, offset, len_bytes });
            Sges::new(&list).expect("two are not too many")
        };
        self.push(Op::Gather { from: pieces(0, 512), target });
        self.load(Proc::P0, pages.first());
        self.push(Op::Scatter { target, into: pieces(1024, 1536) });
        self.load(Proc::P0, pages.first());
    }

    /// A message that its receiver has no room for, or no right to take.
    fn message_without_room(&mut self) {
        let pages = self.fresh(Prot::RW);
        let from = self.reg_pages(pages, Access(0));
        let access = self.draw.one_of(&[Access::LOCAL_WRITE, Access::LOCAL_WRITE, Access(0)]);
        let to = self.reg_pages(pages, access);
        let (sent, room) = self.draw.one_of(&[(64, 32), (PAGE_BYTES, 8), (64, 64), (2048, 0)]);
        let list = |mr, offset, len_bytes| Sges::new(&[Sge { mr, offset, len_bytes }]);
        let (from, to) = (list(from, 0, sent).expect("one"), list(to, 2048, room).expect("one"));
        self.push(Op::Send { from, to, invalidate: None, qp: Pd::FIRST });
        self.load(Proc::P0, pages.first());
    }

    /// Written past a protection while an adapter may read.
    fn forced(&mut self) {
        let pages = self.fresh(Prot::R);
        let mr = self.reg_pages(pages, Access::REMOTE_READ);
        let (at, tag) = (Position::page(pages.first()), self.tag());
        self.push(Op::Force { proc: Proc::P0, at, len_bytes: 8, tag });
        self.fetch(mr);
        self.load(Proc::P0, pages.first());
    }

    /// Many MRs of one page each.
    pub(super) fn crowd(&mut self) {
        let pages = self.fresh(Prot::RW);
        for _ in 0..self.draw.between(20, 50) {
            let first = pages.first() + self.draw.page(pages.page_count());
            let page = PageRange::new(first, first + 1).expect("a page");
            self.reg_pages(page, WRITABLE);
        }
        self.push_if_on(Op::Limit { bytes: 0 });
        self.store(Proc::P0, pages.first());
    }

    // ---- slow ones ----

    /// Equal pages become one, before or after an adapter takes hold of one.
    fn merged(&mut self) {
        let proc = Proc::P0;
        let first = self.draw.page(8);
        let pages = PageRange::new(first, first + 2).expect("two pages");
        let (backing, sharing, prot) = (Backing::Anon, Sharing::Private, Prot::RW);
        self.push(Op::Map { proc, pages, backing, sharing, prot, populate: false });
        let (tag, at) = (1 + self.draw.page(255), Position::page(first));
        self.push(Op::Write { proc, at, len_bytes: 2 * PAGE_BYTES, tag });
        let child = self.new_child().filter(|_| self.draw.one_in(4));
        if let Some(child) = child {
            self.push(Op::Fork { proc, child });
        }
        self.push(Op::Advise { proc, pages, advice: Advice::Mergeable });
        let access = self.rights();
        let page = PageRange::new(first, first + 1).expect("a page");
        let early = self.draw.one_in(3).then(|| self.reg_pages(page, access));
        self.push(Op::Chore { chore: Chore::KsmMerge });
        let mr = early.unwrap_or_else(|| self.reg_pages(page, access));
        self.store(proc, first);
        self.fetch(mr);
        if self.draw.one_in(2) {
            let pages = if self.draw.one_in(2) { page } else { pages };
            self.push(Op::Advise { proc, pages, advice: Advice::Unmergeable });
        } else if self.draw.one_in(2) {
            self.push(Op::Chore { chore: Chore::KsmUnmerge });
        }
        self.deposit(mr);
        self.load(proc, first + 1);
    }

    /// The machine moves or drops what it can; not what is pinned.
    fn chore_under_an_mr(&mut self) {
        let pages = self.fresh(Prot::RW);
        if !self.draw.one_in(4) {
            self.store(Proc::P0, pages.first());
        }
        let access = self.rights();
        let mr = self.reg_pages(pages, access);
        let chores = [Chore::Compact, Chore::Reclaim, Chore::Reclaim, Chore::DropCaches];
        let chore = self.draw.one_of(&chores);
        self.push(Op::Chore { chore });
        self.store(Proc::P0, pages.first());
        self.fetch(mr);
    }

    /// Too little memory, or just enough, for a registration.
    fn limited_memory(&mut self) {
        let pages = self.fresh(Prot::RW);
        let need = u16::from(pages.page_count());
        let room = self.draw.one_of(&[0, need - 1, need, need + 1]);
        self.push(Op::MemLimit { pages: Some(room) });
        let access = self.draw.one_of(&[WRITABLE, WRITABLE, Access::REMOTE_READ]);
        let mr = self.reg_pages(pages, access);
        self.store(Proc::P0, pages.first());
        self.fetch(mr);
        if self.draw.one_in(2) {
            self.push(Op::MemLimit { pages: None });
            let mr = self.reg_pages(pages, access);
            self.fetch(mr);
        }
    }

    /// A file cannot be sealed against writing while an adapter may write to it.
    fn sealed(&mut self) {
        let proc = Proc::P0;
        let files: Vec<File> = File::all().filter(|file| file.kind() == FileKind::Memfd).collect();
        let file = self.draw.one_of(&files);
        let first = self.draw.page(8);
        let pages = PageRange::new(first, first + 2).expect("two pages");
        let sharing = if self.draw.one_in(3) { Sharing::Private } else { Sharing::Shared };
        let (backing, prot) = (Backing::File { file, page: 0 }, Prot::RW);
        self.push(Op::Map { proc, pages, backing, sharing, prot, populate: false });
        let access = self.rights();
        let mr = self.reg_pages(pages, access);
        if !self.draw.one_in(3) {
            self.push(Op::Unmap { proc, pages });
        }
        let seals = self.draw.one_of(&[Seals::WRITE, Seals::WRITE, Seals::FUTURE_WRITE]);
        self.push(Op::Seal { file, seals });
        if self.draw.one_in(2) {
            self.against_a_seal(file, pages);
        }
        self.deposit(mr);
        if self.draw.one_in(2) {
            self.push_if_on(Op::Dereg { mr });
            self.push(Op::Seal { file, seals: Seals::WRITE });
        }
        self.push(Op::Map { proc, pages, backing, sharing, prot, populate: false });
        let mr = self.reg_pages(pages, access);
        self.store(proc, first);
        self.fetch(mr);
    }

    /// Changes a file that may be sealed, in one of the ways that seals are about.
    fn against_a_seal(&mut self, file: File, pages: PageRange) {
        let range = ByteRange::new(Position(0), Position(PAGE_BYTES)).expect("a page");
        let (at, tag) = (Position(0), self.tag());
        let grown = Position::page(FILE_PAGES + 2);
        let seal = |file, seals| Op::Seal { file, seals };
        let other = self.draw.one_of(&File::all().collect::<Vec<_>>());
        let (proc, sharing, prot, populate) = (Proc::P0, Sharing::Shared, Prot::RW, false);
        let backing = Backing::File { file, page: 0 };
        let map = Op::Map { proc, pages, backing, sharing, prot, populate };
        let remove = Op::Advise { proc, pages, advice: Advice::Remove };
        let ways = [
            vec![Op::FileWrite { file, at, len_bytes: 8, tag }],
            vec![Op::Punch { file, range }],
            vec![map, seal(file, Seals::FUTURE_WRITE), remove],
            vec![seal(file, Seals::SHRINK), Op::Truncate { file, end: Position(0) }],
            vec![seal(file, Seals::GROW), Op::Truncate { file, end: grown }],
            vec![seal(file, Seals::SEAL), seal(file, Seals::SHRINK)],
            vec![seal(other, Seals::SHRINK)],
        ];
        let way = self.draw.below(ways.len());
        ways[way].iter().for_each(|op| self.push(*op));
    }
}
