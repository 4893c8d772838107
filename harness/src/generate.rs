//! Makes sequences out of numbers.
//!
//! Plain generation, without feedback: a sketch of what there is (who lives, what
//! is mapped, which MRs and windows) lets most ops meet something, and about one
//! argument in eight is anything at all, so that refusals are reached too. Each
//! sequence switches a random part of the features off (swarm), because some bugs
//! need the absence of something; every third has the classic kinds of ops alone.
//! Motifs are short runs of ops that belong together.
//!
//! Frozen from this version on: what an rng seed and an index give never changes,
//! so that they can name a sequence. A better generator is another type beside this one.

mod huge;
mod memory;
mod motifs;
mod sketch;
mod swapped;
mod swarm;
mod verbs;

use pinfold_contract::{Access, LockScope, Op, OpKind, PAGE_BYTES, Proc, Prot, Sequence};

use crate::draw::Draw;
use crate::profile::{HugePages, Profile, SwapSpace};
use sketch::Sketch;
use swarm::Swarm;

/// Most ops of a sequence.
pub const OPS_MOST: usize = 136;

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
    /// It has at least 12 ops and mostly at most 44; one in fifty is longer, up to [`OPS_MOST`].
    pub fn sequence(&self, index: u64) -> Sequence {
        let mut draw = Draw::new(self.rng_seed, index);
        let swarm = Swarm::draw(&mut draw);
        let op_count = if swarm.crowd { draw.between(50, 110) } else { draw.between(12, 36) };
        let mut making = Making { draw, swarm, sketch: Sketch::default(), ops: Vec::new() };
        making.open();
        if making.swarm.crowd && making.draw.one_in(2) {
            making.crowd();
        }
        // What is rare and has its place in a sequence must not be lost to chance.
        let mut slow_at = op_count * (1 + making.draw.below(3)) / 4;
        while making.ops.len() < op_count {
            if making.ops.len() >= slow_at {
                slow_at = usize::MAX;
                making.slow_motifs();
            } else {
                making.next_op();
            }
        }
        Sequence { ops: making.ops }
    }

    /// Sequence `index` of the list for a kernel of `profile`: where that has huge pages or swap space, some sequences
    /// have them too.
    pub fn sequence_on(&self, profile: &Profile, index: u64) -> Sequence {
        let sequence = self.sequence(index);
        let sequence = match profile.huge_pages {
            HugePages::None => sequence,
            HugePages::Pool => huge::woven(sequence, self.rng_seed, index),
        };
        match profile.swap_space {
            SwapSpace::None => sequence,
            SwapSpace::RamDisk => swapped::woven(sequence, self.rng_seed, index),
        }
    }
}

/// Ops that may well come after `before`: one of what a swarm of its own has switched on, with what belongs to it, or a
/// motif. Perhaps none.
pub(crate) fn ops_after(before: &[Op], mut draw: Draw) -> Vec<Op> {
    if draw.one_in(24) {
        return swapped::after(before, draw);
    }
    let swarm = Swarm::draw(&mut draw);
    let mut sketch = Sketch::default();
    before.iter().for_each(|op| sketch.note(*op));
    let mut making = Making { draw, swarm, sketch, ops: before.to_vec() };
    making.next_op();
    making.ops.split_off(before.len())
}

/// The kinds of op that a swarm has switched on.
pub(crate) fn swarm_kinds(draw: &mut Draw) -> Vec<OpKind> {
    let swarm = Swarm::draw(draw);
    OpKind::ALL.into_iter().filter(|kind| swarm.has(*kind)).collect()
}

/// A sequence that is being made.
struct Making {
    draw: Draw,
    swarm: Swarm,
    sketch: Sketch,
    ops: Vec<Op>,
}

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
        // Kernels are known that die of it: asked seldom, so that the rest gets its turn.
        if self.sketch.invalidates_what_is_free(op) && !self.draw.one_in(8) {
            return;
        }
        self.sketch.note(op);
        self.ops.push(op);
    }

    /// Adds `op` if its kind is switched on.
    fn push_if_on(&mut self, op: Op) {
        if self.swarm.has(op.kind()) {
            self.push(op);
        }
    }

    fn next_op(&mut self) {
        if self.swarm.motifs && self.draw.one_in(10) {
            self.motif();
            return;
        }
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
        let there = There {
            live_mr: !self.sketch.live_mrs().is_empty(),
            any_mr: !self.sketch.mrs.is_empty(),
            live_mw: !self.sketch.live_mws().is_empty(),
            any_mw: !self.sketch.mws.is_empty(),
            held_mw: !self.sketch.held_mws().is_empty(),
            child: self.sketch.procs().len() > 1,
            file: !self.sketch.files.is_empty(),
        };
        let is_crowd = self.swarm.crowd;
        let weights = OpKind::ALL.map(|kind| {
            let weight = if kind == OpKind::Reg && is_crowd { 60 } else { weight(kind, there) };
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
            OpKind::Remap => self.remap(proc),
            OpKind::Advise => self.advise(proc),
            OpKind::Lock => {
                let onfault = self.draw.one_in(3);
                Op::Lock { proc, pages: self.mapped_pages(proc), onfault }
            }
            OpKind::Unlock => self.unlock(proc),
            OpKind::LockAll => {
                let scope = self.draw.one_of(&LockScope::ALL).0;
                Op::LockAll { proc, scope }
            }
            OpKind::Force => self.force(proc),
            OpKind::FileWrite => self.file_write(),
            OpKind::Truncate => self.truncate(),
            OpKind::Punch => self.punch(),
            OpKind::Seal => self.seal(),
            OpKind::MemLimit => self.mem_limit(),
            OpKind::Chore => Op::Chore { chore: self.chore() },
            OpKind::IpcLock => Op::IpcLock { held: !self.draw.one_in(3) },
            OpKind::Swap => Op::Swap { on: !self.draw.one_in(3) },
            OpKind::Reg => self.reg(),
            OpKind::Dereg => Op::Dereg { mr: self.mr(Access(0)) },
            OpKind::Rereg => self.rereg(),
            OpKind::AllocMw => self.alloc_mw(),
            OpKind::DeallocMw => Op::DeallocMw { mw: self.mw() },
            OpKind::Bind => self.bind(),
            OpKind::Invalidate => self.invalidate(),
            OpKind::RemoteRead => self.remote_read(),
            OpKind::RemoteWrite => self.remote_write(),
            OpKind::CompareSwap => self.compare_swap(),
            OpKind::FetchAdd => self.fetch_add(),
            OpKind::Send => self.send(),
            OpKind::Gather => self.gather(),
            OpKind::Scatter => self.scatter(),
        }
    }

    // ---- processes ----

    /// The acting process: mostly `p0`, which registers.
    fn proc(&mut self) -> Proc {
        if self.draw.one_in(24) && self.swarm.has(OpKind::Fork) {
            return self.any_proc();
        }
        let live = self.sketch.procs();
        let is_any =
            if self.swarm.busy_children { !self.draw.one_in(3) } else { self.draw.one_in(3) };
        if is_any { self.draw.one_of(&live) } else { Proc::P0 }
    }

    fn any_proc(&mut self) -> Proc {
        let all: Vec<Proc> = Proc::all().collect();
        self.draw.one_of(&all)
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
        self.draw.one_of(&live[1..])
    }

    /// A tag that is not zero and mostly new, so that old bytes can be told from new ones.
    fn tag(&mut self) -> u8 {
        if self.draw.rarely() {
            return 0;
        }
        1 + self.draw.page(255)
    }

    /// A limit around what the next registrations need, zero, a broken page, or none.
    fn limit(&mut self) -> u64 {
        let page = u64::from(PAGE_BYTES);
        let locked = self.sketch.locked_pages(Proc::P0).len() as u64;
        let used = if locked > 0 && self.draw.one_in(3) {
            locked
        } else {
            u64::from(self.sketch.pinned_pages())
        };
        let near = used + u64::from(self.draw.page(5));
        match self.draw.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => near * page + page - 1,
            3 => used * page,
            4 => page - 1,
            _ => near * page,
        }
    }
}

/// What there is for ops to work on.
#[derive(Clone, Copy)]
struct There {
    live_mr: bool,
    any_mr: bool,
    live_mw: bool,
    any_mw: bool,
    /// A window that can be invalidated.
    held_mw: bool,
    child: bool,
    file: bool,
}

/// How often a kind is drawn.
fn weight(kind: OpKind, there: There) -> u32 {
    let if_there = |is_there: bool, weight: u32| if is_there { weight } else { 0 };
    match kind {
        OpKind::Map => 8,
        OpKind::Unmap => 4,
        OpKind::Protect => 7,
        OpKind::Write => 14,
        OpKind::Read => 5,
        OpKind::Fork => 6,
        OpKind::Exit => if_there(there.child, 8),
        OpKind::Limit | OpKind::IpcLock | OpKind::LockAll => 3,
        OpKind::Reg => if_there(!there.live_mr, 18) + 12,
        OpKind::Dereg => if_there(there.live_mr, 6),
        OpKind::RemoteRead | OpKind::RemoteWrite => {
            if_there(there.any_mr, 2) + if_there(there.live_mr, 8)
        }
        OpKind::Remap | OpKind::Force => 7,
        OpKind::Advise => 12,
        OpKind::Lock => 7,
        OpKind::Unlock => 5,
        OpKind::FileWrite | OpKind::Truncate | OpKind::Punch => if_there(there.file, 6) + 1,
        OpKind::Seal => if_there(there.file, 4),
        OpKind::MemLimit => 4,
        OpKind::Chore => 2,
        OpKind::Rereg => if_there(there.live_mr, 8),
        OpKind::AllocMw => if_there(!there.live_mw, 8) + 4,
        OpKind::DeallocMw => if_there(there.live_mw, 5),
        OpKind::Bind => if_there(there.live_mw && there.any_mr, 14),
        OpKind::Invalidate => if_there(there.held_mw, 30) + if_there(there.any_mw, 2),
        OpKind::CompareSwap | OpKind::FetchAdd => if_there(there.any_mr, 7),
        OpKind::Send => if_there(there.any_mr, 8),
        OpKind::Gather | OpKind::Scatter => if_there(there.any_mr, 6),
        // A story of its own: `swapped.rs`.
        OpKind::Swap => 0,
    }
}

#[cfg(test)]
mod tests;
