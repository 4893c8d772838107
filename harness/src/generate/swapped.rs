//! Swapping, woven into a sequence that was made without it.
//!
//! A story of its own: from some op on pages may be swapped out, and then memory that the other story has mapped is paged
//! out, touched, forked and registered. What a target without swap space is given never changes.

use std::ops::RangeInclusive;

use pinfold_contract::{
    ARENA_PAGES, Access, Advice, Mr, Op, PAGE_BYTES, PageRange, Pd, Position, Proc, RegCall,
    Sequence, Span,
};

use crate::draw::Draw;

/// Its MRs, which other stories hardly take.
const MRS: RangeInclusive<u8> = 248..=251;

/// Sets a stream of choices apart from that of the sequence it goes into.
const STREAM: u64 = 0x5357_4150;

/// One sequence in so many swaps.
const ONE_IN: u32 = 5;

/// `sequence`, which is sequence `index` of `rng_seed`, with swapping or as it was.
pub(super) fn woven(sequence: Sequence, rng_seed: u64, index: u64) -> Sequence {
    let mut draw = Draw::new(rng_seed ^ STREAM.rotate_left(32), index);
    if !draw.one_in(ONE_IN) {
        return sequence;
    }
    let mut ops = sequence.ops;
    // Late enough that there is memory, early enough that much comes after it.
    let mut at = draw.between(1, 4).min(ops.len());
    ops.insert(at, Op::Swap { on: true });
    let mut story = Story { draw };
    for _ in 0..story.draw.between(2, 8) {
        at = ops.len().min(at + 1 + story.draw.below(6));
        let told = story.next(&ops[..at]);
        let count = told.len();
        ops.splice(at..at, told);
        at += count;
    }
    Sequence { ops }
}

/// Pages out what is mapped by then, and what may well come after it.
pub(super) fn after(before: &[Op], draw: Draw) -> Vec<Op> {
    let mut ops = vec![Op::Swap { on: true }];
    ops.extend(Story { draw }.next(before));
    ops
}

struct Story {
    draw: Draw,
}

impl Story {
    /// Memory that an op of `before` mapped goes out, and perhaps somebody asks for it at once.
    fn next(&mut self, before: &[Op]) -> Vec<Op> {
        if self.draw.one_in(24) {
            return vec![Op::Swap { on: self.draw.one_in(2) }];
        }
        let mapped = before.iter().rev().find_map(|op| {
            let Op::Map { proc, pages, .. } = op else { return None };
            (!pages.is_huge()).then_some((*proc, *pages))
        });
        let Some((owner, mapped)) = mapped else { return Vec::new() };
        let proc = if self.draw.one_in(4) { self.proc() } else { owner };
        let pages = if self.draw.one_in(4) { self.all() } else { mapped };
        let page = mapped.first() + self.draw.page(mapped.page_count());
        let mut ops = Vec::new();
        if self.draw.one_in(2) {
            ops.push(self.write(owner, page));
        }
        ops.push(Op::Advise { proc, pages, advice: Advice::PageOut });
        for _ in 0..self.draw.below(3) {
            let who = if self.draw.one_in(2) { self.proc() } else { proc };
            let op = self.op(who, page, pages);
            ops.push(op);
        }
        ops
    }

    /// Who asks for `page`, and how.
    fn op(&mut self, proc: Proc, page: u8, pages: PageRange) -> Op {
        let at = Position::page(page);
        let one = PageRange::new(page, page + 1).expect("a page");
        match self.draw.weighted(&[5, 5, 4, 4, 2, 2, 2, 1, 1]) {
            0 => Op::Read { proc, at, len_bytes: 8 },
            1 => self.write(proc, page),
            2 => Op::Fork { proc, child: self.proc() },
            3 => self.reg(page),
            4 => Op::Advise { proc, pages: one, advice: Advice::Free },
            5 => Op::Advise { proc, pages, advice: Advice::PageOut },
            6 => Op::Exit { proc: self.proc() },
            7 => Op::Lock { proc, pages: one, onfault: self.draw.one_in(2) },
            _ => Op::Unlock { proc, pages },
        }
    }

    fn write(&mut self, proc: Proc, page: u8) -> Op {
        let tag = 1 + self.draw.page(255);
        Op::Write { proc, at: Position::page(page), len_bytes: 8, tag }
    }

    fn reg(&mut self, page: u8) -> Op {
        let writer = Access::LOCAL_WRITE.with(Access::REMOTE_WRITE).with(Access::REMOTE_READ);
        let access = if self.draw.one_in(2) { Access::REMOTE_READ } else { writer };
        let mr = Mr(MRS.start() + self.draw.page(MRS.end() - MRS.start() + 1));
        let span = Span { start: Position::page(page), len_bytes: u64::from(PAGE_BYTES) };
        Op::Reg { mr, span, access, pd: Pd::FIRST, call: RegCall::Iova2 { iova: None } }
    }

    fn proc(&mut self) -> Proc {
        let all: Vec<Proc> = Proc::all().collect();
        self.draw.one_of(&all)
    }

    fn all(&self) -> PageRange {
        PageRange::new(0, ARENA_PAGES).expect("the arena has pages")
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{Observe, OpKind, Outcome, parse, print};
    use sha2::{Digest, Sha256};

    use crate::generate::Generator;
    use crate::model::predict;
    use crate::profile::{Profile, SwapSpace};

    #[test]
    fn who_has_no_swap_space_is_given_none() {
        let profile = Profile { swap_space: SwapSpace::None, ..*Profile::newest() };
        for index in 0..50 {
            let generator = Generator::new(5);
            assert_eq!(generator.sequence_on(&profile, index), generator.sequence(index));
        }
    }

    #[test]
    fn swapping_sequences_are_frozen_and_text() {
        let mut hash = Sha256::new();
        for index in 0..200 {
            let sequence = Generator::new(1).sequence_on(Profile::newest(), index);
            let text = print(&sequence);
            assert_eq!(parse(&text).unwrap().sequence, sequence);
            hash.update(text);
        }
        let hash: String =
            hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "e308b6e65660b558");
    }

    #[test]
    fn what_was_swapped_out_is_forked_read_and_registered() {
        let (mut out, mut forked, mut back, mut registered) = (0, 0, 0, 0);
        for index in 0..500 {
            let sequence = Generator::new(2).sequence_on(Profile::newest(), index);
            let steps = predict(Profile::newest(), &sequence, Observe::Each);
            let mut before = 0;
            for (op, step) in sequence.ops.iter().zip(steps) {
                let Some(checkpoint) = step.checkpoint else { continue };
                let now: i64 = checkpoint.procs.iter().map(|proc| proc.vm_swap).sum();
                let is_done = *step.prediction.expected() == Outcome::Done;
                out += i64::from(now > before);
                forked += i64::from(now > before && op.kind() == OpKind::Fork && is_done);
                back += i64::from(now < before && op.kind() == OpKind::Read);
                registered += i64::from(now < before && op.kind() == OpKind::Reg && is_done);
                before = now;
            }
        }
        assert!(
            out > 50 && forked > 5 && back > 0 && registered > 5,
            "{out} {forked} {back} {registered}"
        );
    }
}
