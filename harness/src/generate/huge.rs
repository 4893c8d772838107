//! Huge pages, woven into a sequence that was made without them.
//!
//! A story of its own: who maps huge pages, touches, registers, forks and gives up. Its ops go between those of the
//! other one, in their order, so that both meet the same processes, limits and pools. It takes MRs that the other one
//! hardly takes. What a kernel without huge pages is given never changes.

use std::ops::RangeInclusive;

use pinfold_contract::{
    ARENA_PAGES, Access, Advice, Backing, HUGE_PAGE_BYTES, HUGE_PAGES, Mr, Op, PAGE_BYTES,
    PageRange, Pd, Position, Proc, Prot, RegCall, Sequence, Sharing, Span, Target,
};

use crate::draw::Draw;

/// Its MRs.
const MRS: RangeInclusive<u8> = 244..=247;

/// Sets a stream of choices apart from that of the sequence it goes into.
const STREAM: u64 = 0x4855_4745;

/// One sequence in so many has huge pages: they cost more than small ones.
const ONE_IN: u32 = 4;

/// `sequence`, which is sequence `index` of `rng_seed`, with huge pages or as it was.
pub(super) fn woven(sequence: Sequence, rng_seed: u64, index: u64) -> Sequence {
    let mut draw = Draw::new(rng_seed ^ STREAM.rotate_left(32), index);
    if !draw.one_in(ONE_IN) {
        return sequence;
    }
    let story = Story { draw, ops: Vec::new() }.told();
    let mut draw = Draw::new(rng_seed ^ STREAM, index);
    let mut places: Vec<usize> = story.iter().map(|_| draw.below(sequence.ops.len() + 1)).collect();
    places.sort_unstable();
    let mut ops = sequence.ops;
    for (place, op) in places.into_iter().zip(story).rev() {
        ops.insert(place, op);
    }
    Sequence { ops }
}

/// The ops on huge pages of one sequence.
struct Story {
    draw: Draw,
    ops: Vec<Op>,
}

impl Story {
    fn told(mut self) -> Vec<Op> {
        if self.draw.one_in(3) {
            self.scarcity();
        } else {
            let map = self.map(Proc::P0);
            self.ops.push(map);
            self.fill();
        }
        for _ in 0..self.draw.between(4, 14) {
            let op = self.op();
            self.ops.push(op);
        }
        self.ops
    }

    /// All of the pool but little: a parent writes to all its pages, and its child to what it can have.
    fn scarcity(&mut self) {
        let pages = PageRange::new(ARENA_PAGES, ARENA_PAGES + HUGE_PAGES).expect("all of them");
        let (proc, child, sharing) = (Proc::P0, self.child(), Sharing::Private);
        let (backing, prot) = (Backing::Huge, Prot::RW);
        self.ops.push(Op::Map { proc, pages, backing, sharing, prot, populate: false });
        self.fill();
        if self.draw.one_in(2) {
            let reg = self.reg();
            self.ops.push(reg);
        }
        self.ops.push(Op::Fork { proc, child });
        for page in pages.pages() {
            let who = if self.draw.one_in(3) { proc } else { child };
            let (at, tag) = (Position::page(page), self.tag());
            self.ops.push(Op::Write { proc: who, at, len_bytes: 8, tag });
        }
    }

    /// Writes to every page, or nearly.
    fn fill(&mut self) {
        for page in ARENA_PAGES..ARENA_PAGES + HUGE_PAGES {
            if !self.draw.one_in(4) {
                let (at, tag) = (Position::page(page), self.tag());
                self.ops.push(Op::Write { proc: Proc::P0, at, len_bytes: 8, tag });
            }
        }
    }

    fn op(&mut self) -> Op {
        let proc = self.proc();
        let child = self.child();
        match self.draw.weighted(&[3, 6, 4, 4, 7, 2, 2, 2, 2, 4, 2, 3, 1, 1, 1]) {
            0 => self.map(proc),
            1 => {
                let (at, tag) = (self.byte(), self.tag());
                Op::Write { proc, at, len_bytes: self.draw.one_of(&[8, 16, PAGE_BYTES]), tag }
            }
            2 => Op::Read { proc, at: self.byte(), len_bytes: self.draw.one_of(&[8, 16]) },
            3 => Op::Fork { proc, child },
            4 => self.reg(),
            5 => Op::Dereg { mr: self.mr() },
            6 => Op::Exit { proc: child },
            7 => Op::Unmap { proc, pages: self.pages() },
            8 => Op::Protect { proc, pages: self.pages(), prot: self.prot() },
            9 => Op::Advise { proc, pages: self.pages(), advice: self.advice() },
            10 => Op::RemoteRead { target: Target::of(self.mr()), len_bytes: 8 },
            11 => Op::RemoteWrite { target: Target::of(self.mr()), len_bytes: 8, tag: self.tag() },
            12 => Op::Lock { proc, pages: self.pages(), onfault: self.draw.one_in(3) },
            13 => Op::Unlock { proc, pages: self.pages() },
            _ => Op::Force { proc, at: self.byte(), len_bytes: 8, tag: self.tag() },
        }
    }

    fn map(&mut self, proc: Proc) -> Op {
        let sharing = if self.draw.one_in(3) { Sharing::Shared } else { Sharing::Private };
        let (pages, prot) = (self.pages(), self.prot());
        Op::Map {
            proc,
            pages,
            backing: Backing::Huge,
            sharing,
            prot,
            populate: self.draw.one_in(6),
        }
    }

    /// Small pages at an edge of a huge one, mostly; a whole one seldom, as each look at it takes long.
    fn reg(&mut self) -> Op {
        let (start, len_bytes) = match self.draw.below(24) {
            0 => (self.page_start(), HUGE_PAGE_BYTES),
            1..6 => (Position(self.page_start().0 + HUGE_PAGE_BYTES - PAGE_BYTES), 2 * PAGE_BYTES),
            6..9 => (self.byte(), 16),
            _ => (self.page_start(), PAGE_BYTES),
        };
        let writer = Access::LOCAL_WRITE.with(Access::REMOTE_WRITE).with(Access::REMOTE_READ);
        let access = if self.draw.one_in(2) { Access::REMOTE_READ } else { writer };
        let (span, call) =
            (Span { start, len_bytes: len_bytes.into() }, RegCall::Iova2 { iova: None });
        Op::Reg { mr: self.mr(), span, access, pd: Pd::FIRST, call }
    }

    fn advice(&mut self) -> Advice {
        let often = [
            Advice::DontNeed,
            Advice::DontNeed,
            Advice::DontFork,
            Advice::DoFork,
            Advice::Remove,
            Advice::PopulateRead,
            Advice::PopulateWrite,
        ];
        if self.draw.rarely() {
            return self.draw.one_of(&Advice::ALL).0;
        }
        self.draw.one_of(&often)
    }

    fn prot(&mut self) -> Prot {
        match self.draw.below(6) {
            0 => Prot::R,
            1 if self.draw.one_in(3) => Prot::NONE,
            _ => Prot::RW,
        }
    }

    /// Mostly `p0`.
    fn proc(&mut self) -> Proc {
        if self.draw.one_in(3) { self.child() } else { Proc::P0 }
    }

    fn child(&mut self) -> Proc {
        Proc::new(if self.draw.rarely() { 2 } else { 1 }).expect("there are four")
    }

    fn mr(&mut self) -> Mr {
        Mr(MRS.start() + self.draw.page(MRS.end() - MRS.start() + 1))
    }

    fn tag(&mut self) -> u8 {
        0x11 * (1 + self.draw.page(15))
    }

    fn pages(&mut self) -> PageRange {
        let first = self.draw.page(HUGE_PAGES);
        let count = 1 + self.draw.page(HUGE_PAGES - first);
        PageRange::new(ARENA_PAGES + first, ARENA_PAGES + first + count).expect("of huge pages")
    }

    fn page_start(&mut self) -> Position {
        Position::page(ARENA_PAGES + self.draw.page(HUGE_PAGES))
    }

    /// The start of a page, or a byte near its end.
    fn byte(&mut self) -> Position {
        let offset = self.draw.one_of(&[0, 0, 0, 16, PAGE_BYTES, HUGE_PAGE_BYTES - 8]);
        Position(self.page_start().0 + offset)
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{OpKind, Outcome, parse, print};
    use sha2::{Digest, Sha256};

    use crate::generate::Generator;
    use crate::model::outcomes;
    use crate::profile::{Platform, Profile, SwapSpace, linux};

    /// Without the other story.
    fn unswapped(profile: &Profile) -> Profile {
        Profile { swap_space: SwapSpace::None, ..*profile }
    }

    #[test]
    fn who_has_no_huge_pages_is_given_none() {
        let generator = Generator::new(5);
        for index in 0..50 {
            assert_eq!(
                generator.sequence_on(&unswapped(Profile::newest()), index),
                generator.sequence(index)
            );
            assert_eq!(
                generator.sequence_on(&unswapped(linux("6.1")), index),
                generator.sequence(index)
            );
        }
    }

    #[test]
    fn huge_sequences_are_frozen_and_text() {
        let mut hash = Sha256::new();
        for index in 0..200 {
            let sequence = Generator::new(1)
                .sequence_on(&unswapped(Profile::newest().on(Platform::X86)), index);
            let text = print(&sequence);
            assert_eq!(parse(&text).unwrap().sequence, sequence);
            hash.update(text);
        }
        let hash: String =
            hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "84911a0a021db27d");
    }

    #[test]
    fn stories_reach_what_is_rare() {
        let (mut failed_forks, mut bus, mut unpromised, mut registered) = (0, 0, 0, 0);
        for index in 0..2000 {
            let sequence = Generator::new(2)
                .sequence_on(&unswapped(Profile::newest().on(Platform::X86)), index);
            let predictions = outcomes(Profile::newest().on(Platform::X86), &sequence);
            for (op, prediction) in sequence.ops.iter().zip(&predictions) {
                let said = prediction.expected().to_string();
                let is_huge = op.pages().iter().any(|page| (64..68).contains(page));
                failed_forks += u32::from(op.kind() == OpKind::Fork && said == "ENOMEM");
                bus += u32::from(is_huge && said.starts_with("SIGBUS"));
                unpromised += u32::from(is_huge && op.kind() == OpKind::Map && said == "ENOMEM");
                registered += u32::from(
                    is_huge && op.kind() == OpKind::Reg && *prediction.expected() == Outcome::Done,
                );
            }
        }
        let least = [failed_forks, bus, unpromised, registered];
        assert!(least.iter().all(|count| *count >= 10), "{least:?}");
    }
}
