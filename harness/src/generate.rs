//! Makes sequences out of numbers.
//!
//! Plain generation, without feedback: a sketch of what there is (who lives, what
//! is mapped, which MRs) lets most ops meet something, and about one argument in
//! eight is anything at all, so that refusals are reached too. Each sequence
//! switches a random part of the features off (swarm), because some bugs need
//! the absence of something.
//!
//! Frozen: what an rng seed and an index give never changes, so that they can
//! name a sequence. A better generator is another type beside this one.

mod draw;
mod sketch;
mod swarm;

use pinfold_contract::{
    ARENA_PAGES, Access, BOUNCE_PAGES, Backing, ByteRange, FILE_COUNT, FILE_PAGES, File, Key, Mr,
    Op, OpKind, PAGE_BYTES, PageRange, Position, Proc, Prot, Sequence, Sharing,
};

use draw::Draw;
use sketch::{MrSketch, Sketch};
use swarm::Swarm;

/// An endless, frozen list of sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generator {
    rng_seed: u64,
}

impl Generator {
    /// The list that belongs to `rng_seed`.
    pub fn new(rng_seed: u64) -> Generator {
        Generator { rng_seed }
    }

    /// Sequence `index` of the list. Depends on the rng seed and `index` alone.
    ///
    /// It has at least 12 ops and at most 44.
    pub fn sequence(&self, index: u64) -> Sequence {
        let mut draw = Draw::new(self.rng_seed, index);
        let swarm = Swarm::draw(&mut draw);
        let op_count = draw.between(12, 40);
        let mut making = Making { draw, swarm, sketch: Sketch::default(), ops: Vec::new() };
        making.open();
        while making.ops.len() < op_count {
            making.next_op();
        }
        Sequence { ops: making.ops }
    }
}

/// A sequence that is being made.
struct Making {
    draw: Draw,
    swarm: Swarm,
    sketch: Sketch,
    ops: Vec<Op>,
}

/// Pages in which most ops work, so that they meet.
const BUSY_PAGES: u8 = 10;

/// MR slots that most ops use.
const BUSY_MRS: u8 = 4;

impl Making {
    /// One to three mappings and sometimes a few bytes in them: nearly everything else needs memory.
    fn open(&mut self) {
        for _ in 0..self.draw.between(1, 3) {
            let op = self.map(Proc::P0);
            self.push(op);
        }
        if self.draw.one_in(2) {
            let op = self.write(Proc::P0);
            self.push(op);
        }
    }

    fn push(&mut self, op: Op) {
        self.sketch.note(op);
        self.ops.push(op);
    }

    fn next_op(&mut self) {
        let kind = self.kind();
        let op = self.op(kind);
        self.push(op);
        // Bytes written behind a fresh registration, and then read through it, are
        // the question that started this project.
        if kind == OpKind::Reg && self.draw.one_in(2) {
            self.write_under_newest();
        }
    }

    /// A kind that is switched on and has something to work on.
    fn kind(&mut self) -> OpKind {
        let has_live = !self.sketch.live_mrs().is_empty();
        let has_any = !self.sketch.mrs.is_empty();
        let has_child = self.sketch.procs().len() > 1;
        let weights = OpKind::ALL.map(|kind| {
            let weight = match kind {
                OpKind::Map => 8,
                OpKind::Unmap => 4,
                OpKind::Protect => 7,
                OpKind::Write => 14,
                OpKind::Read => 5,
                OpKind::Fork => 6,
                OpKind::Exit if has_child => 8,
                OpKind::Exit => 0,
                OpKind::Limit => 3,
                OpKind::Reg if has_live => 12,
                OpKind::Reg => 30,
                OpKind::Dereg if has_live => 6,
                OpKind::Dereg => 0,
                OpKind::RemoteRead if has_live => 10,
                OpKind::RemoteWrite if has_live => 10,
                OpKind::RemoteRead | OpKind::RemoteWrite if has_any => 2,
                OpKind::RemoteRead | OpKind::RemoteWrite => 0,
            };
            if self.swarm.has(kind) { weight } else { 0 }
        });
        OpKind::ALL[self.draw.weighted(&weights)]
    }

    fn op(&mut self, kind: OpKind) -> Op {
        let proc = self.proc();
        match kind {
            OpKind::Map => self.map(proc),
            OpKind::Unmap => Op::Unmap { proc, pages: self.mapped_pages(proc) },
            OpKind::Protect => {
                Op::Protect { proc, pages: self.mapped_pages(proc), prot: self.prot() }
            }
            OpKind::Write => self.write(proc),
            OpKind::Read => {
                let (at, len_bytes) = self.cpu_bytes(proc, Prot::R);
                Op::Read { proc, at, len_bytes }
            }
            OpKind::Fork => Op::Fork { proc, child: self.child() },
            OpKind::Exit => Op::Exit { proc: self.exiting() },
            OpKind::Limit => Op::Limit { bytes: self.limit() },
            OpKind::Reg => {
                let access = self.access();
                let writes = access.has(Access::LOCAL_WRITE);
                let range = self.byte_range(if writes { Prot::RW } else { Prot::R });
                Op::Reg { mr: self.free_mr(), range, access }
            }
            OpKind::Dereg => Op::Dereg { mr: self.mr(Access(0)) },
            OpKind::RemoteRead => {
                let mr = self.mr(Access::REMOTE_READ);
                let (offset, len_bytes) = self.remote_bytes(mr);
                Op::RemoteRead { mr, offset, len_bytes, key: self.key(mr) }
            }
            OpKind::RemoteWrite => {
                let mr = self.mr(Access::REMOTE_WRITE);
                let (offset, len_bytes) = self.remote_bytes(mr);
                let tag = self.tag();
                Op::RemoteWrite { mr, offset, len_bytes, tag, key: self.key(mr) }
            }
        }
    }

    fn write(&mut self, proc: Proc) -> Op {
        let (at, len_bytes) = self.cpu_bytes(proc, Prot::RW);
        Op::Write { proc, at, len_bytes, tag: self.tag() }
    }

    /// Writes where the newest MR lies, and mostly reads it through its key.
    fn write_under_newest(&mut self) {
        let Some(&Op::Reg { mr, range, .. }) = self.ops.last() else { return };
        let at = range.start();
        let tag = self.tag();
        if self.swarm.has(OpKind::Write) {
            self.push(Op::Write { proc: Proc::P0, at, len_bytes: 8, tag });
        }
        if self.swarm.has(OpKind::RemoteRead) && self.draw.one_in(2) {
            self.push(Op::RemoteRead { mr, offset: 0, len_bytes: 8, key: Key::Own });
        }
    }

    // ---- processes and slots ----

    /// The acting process: mostly `p0`, which registers.
    fn proc(&mut self) -> Proc {
        if self.draw.rarely() && self.swarm.has(OpKind::Fork) {
            return self.any_proc();
        }
        let live = self.sketch.procs();
        if self.draw.one_in(3) { live[self.draw.below(live.len())] } else { Proc::P0 }
    }

    fn any_proc(&mut self) -> Proc {
        let all: Vec<Proc> = Proc::all().collect();
        all[self.draw.below(all.len())]
    }

    /// A free slot for a child, if there is one.
    fn child(&mut self) -> Proc {
        if self.draw.rarely() {
            return self.any_proc();
        }
        let live = self.sketch.procs();
        let free = Proc::all().find(|proc| !live.contains(proc));
        free.unwrap_or_else(|| self.any_proc())
    }

    fn exiting(&mut self) -> Proc {
        let live = self.sketch.procs();
        if live.len() < 2 || self.draw.rarely() {
            return self.any_proc();
        }
        live[1 + self.draw.below(live.len() - 1)]
    }

    fn any_mr(&mut self) -> Mr {
        let slots = if self.draw.rarely() { 256 } else { usize::from(BUSY_MRS) };
        Mr(u8::try_from(self.draw.below(slots)).expect("there are 256 slots"))
    }

    /// A slot that is free, or was deregistered.
    fn free_mr(&mut self) -> Mr {
        if self.draw.rarely() {
            return self.any_mr();
        }
        let live = self.sketch.live_mrs();
        (0..=u8::MAX).map(Mr).find(|mr| !live.contains(mr)).expect("no sequence is this long")
    }

    /// An MR that is there and mostly grants `access`; rarely one that was there, or any slot.
    fn mr(&mut self, access: Access) -> Mr {
        let live = self.sketch.live_mrs();
        if live.is_empty() || self.draw.rarely() {
            let dead = self.sketch.dead_mrs();
            return if dead.is_empty() { self.any_mr() } else { dead[self.draw.below(dead.len())] };
        }
        let granting = self.sketch.mrs_granting(access);
        let from = if granting.is_empty() || self.draw.rarely() { live } else { granting };
        from[self.draw.below(from.len())]
    }

    fn key(&mut self, mr: Mr) -> Key {
        if !self.swarm.wrong_keys || !self.draw.one_in(4) {
            return Key::Own;
        }
        let others: Vec<Mr> =
            self.sketch.mrs.keys().copied().filter(|&other| other != mr).collect();
        match self.draw.below(3) {
            0 => Key::Stale,
            1 if !others.is_empty() => Key::Of(others[self.draw.below(others.len())]),
            _ => Key::Of(self.any_mr()),
        }
    }

    // ---- memory ----

    fn map(&mut self, proc: Proc) -> Op {
        let pages = self.pages();
        let memfd = self.swarm.memfd && self.draw.one_in(2);
        let backing = if memfd { self.memfd() } else { Backing::Anon };
        let shared = self.swarm.shared && self.draw.one_in(if memfd { 2 } else { 4 });
        let sharing = if shared { Sharing::Shared } else { Sharing::Private };
        Op::Map { proc, pages, backing, sharing, prot: self.prot() }
    }

    /// Mostly the first pages of a file, so that mappings alias; sometimes across its end.
    fn memfd(&mut self) -> Backing {
        let file = u8::try_from(self.draw.below(usize::from(FILE_COUNT)));
        let file = File::new(file.expect("there are few files")).expect("below the count");
        let page = match self.draw.below(8) {
            0..=4 => 0,
            5 | 6 => self.draw.page(4),
            _ => FILE_PAGES - 2 + self.draw.page(4),
        };
        Backing::Memfd { file, page }
    }

    fn prot(&mut self) -> Prot {
        if self.swarm.odd_prots && self.draw.one_in(4) {
            return Prot::from_bits(self.draw.page(8));
        }
        match self.draw.below(10) {
            0..=6 => Prot::RW,
            7 | 8 => Prot::R,
            _ => Prot::NONE,
        }
    }

    /// One to four pages near the start, often those of a mapping; anything rarely.
    fn pages(&mut self) -> PageRange {
        let (first, count) = if self.draw.rarely() {
            (self.draw.page(ARENA_PAGES), 1 + self.draw.page(16))
        } else {
            (self.draw.page(BUSY_PAGES), 1 + self.draw.page(4))
        };
        PageRange::new(first, (first + count).min(ARENA_PAGES)).expect("begins inside")
    }

    /// Some pages in one piece that `proc` has mapped; any rarely.
    fn mapped_pages(&mut self, proc: Proc) -> PageRange {
        let mapped = self.sketch.mapped_pages(proc, Prot::NONE);
        if mapped.is_empty() || self.draw.rarely() {
            return self.pages();
        }
        let first = mapped[self.draw.below(mapped.len())];
        let run = self.sketch.mapped_run(proc, Position::page(first), Prot::NONE);
        let count = 1 + self.draw.page(run);
        PageRange::new(first, first + count).expect("mapped pages lie inside")
    }

    /// A page that `proc` has mapped, mostly with all of `prot`; any rarely.
    fn page(&mut self, proc: Proc, prot: Prot) -> u8 {
        let fitting = self.sketch.mapped_pages(proc, prot);
        let all = self.sketch.mapped_pages(proc, Prot::NONE);
        let from = if fitting.is_empty() || self.draw.rarely() { all } else { fitting };
        if from.is_empty() || self.draw.rarely() {
            let end = if self.draw.one_in(4) { ARENA_PAGES } else { BUSY_PAGES };
            return self.draw.page(end);
        }
        from[self.draw.below(from.len())]
    }

    /// Bytes for a CPU access: a few of one page, whole pages, or across an edge.
    fn cpu_bytes(&mut self, proc: Proc, prot: Prot) -> (Position, u32) {
        let page = Position::page(self.page(proc, prot)).0;
        let any = self.draw.below_u32(PAGE_BYTES);
        match self.draw.below(12) {
            0..=4 => (Position(page), 8),
            5 | 6 => (Position(page), PAGE_BYTES),
            7 => (Position(page), 2 * PAGE_BYTES),
            8 => (Position(page + PAGE_BYTES - 8), 16),
            9 => (Position(page + any), 1),
            10 => (Position(page + any), self.draw.below_u32(3 * PAGE_BYTES)),
            _ => (Position(page + any), 0),
        }
    }

    /// A tag that is not zero and mostly new, so that old bytes can be told from new ones.
    fn tag(&mut self) -> u8 {
        if self.draw.rarely() {
            return 0;
        }
        1 + self.draw.page(255)
    }

    /// Bytes to register: mostly whole mapped pages, sometimes with odd ends or over a hole.
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

    /// Flags that are mostly good; any 32 bits where odd ones are switched on.
    fn access(&mut self) -> Access {
        const ALL_RIGHTS: Access = Access::LOCAL_WRITE
            .with(Access::REMOTE_WRITE)
            .with(Access::REMOTE_READ)
            .with(Access::REMOTE_ATOMIC);
        if self.swarm.odd_access && self.draw.one_in(4) {
            let bit = Access(1 << self.draw.below_u32(32));
            return match self.draw.below(4) {
                0 => bit,
                1 => Access::REMOTE_READ.with(bit),
                2 => Access(self.draw.below_u32(1 << 10)),
                _ => Access(self.draw.any_u32()),
            };
        }
        match self.draw.below(12) {
            0..=4 => Access::REMOTE_READ,
            5..=7 => ALL_RIGHTS.without(Access::REMOTE_ATOMIC),
            8 => ALL_RIGHTS,
            9 => Access::LOCAL_WRITE,
            10 => Access::LOCAL_WRITE.with(Access::REMOTE_WRITE),
            _ => Access(0),
        }
    }

    /// Where in an MR: mostly inside, often at its edges, sometimes outside.
    fn remote_bytes(&mut self, mr: Mr) -> (i32, u32) {
        let len = self.sketch.mrs.get(&mr).map_or(PAGE_BYTES, MrSketch::len_bytes);
        let signed = |bytes: u32| i32::try_from(bytes).unwrap_or(i32::MAX);
        let any = self.draw.below_u32(len.max(1));
        match self.draw.below(16) {
            0..=4 => (0, len.min(8)),
            5 | 6 => (0, len),
            7 | 8 => (signed(any), (len - any.min(len)).min(8)),
            9 => (signed(len.saturating_sub(8)), len.min(8)),
            10 => (signed(any), self.draw.below_u32(len - any.min(len) + 1)),
            11 => (signed(len.saturating_sub(7)), 8),
            12 => (signed(len), 1 + self.draw.below_u32(8)),
            13 => (-1, 8),
            14 => (0, len + PAGE_BYTES),
            _ => (signed(any), 0),
        }
    }

    /// A limit around what the next registrations need, zero, a broken page, or none.
    fn limit(&mut self) -> u64 {
        let page = u64::from(PAGE_BYTES);
        let used = BOUNCE_PAGES + u64::from(self.sketch.pinned_pages());
        let near = used + u64::from(self.draw.page(5));
        match self.draw.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => near * page + page - 1,
            3 => BOUNCE_PAGES * page,
            4 => (BOUNCE_PAGES - 1) * page,
            _ => near * page,
        }
    }
}

#[cfg(test)]
mod tests;
