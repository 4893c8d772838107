//! Loads and stores of the CPU, and those that it is made to do through `/proc/self/mem`.

use pinfold_contract::{Errno, Outcome, Position, Proc, Runs, Signal};

use super::fault::Touch;
use super::frame::Use;
use super::state::State;
use super::{Fault, Prediction};
use crate::profile::WriteOnlyLoad;

impl State<'_> {
    /// Stores `tag` into `len_bytes` bytes from `at` on, up to the first page that does not permit it.
    pub(super) fn write(&mut self, proc: Proc, at: Position, len_bytes: u32, tag: u8) -> Outcome {
        for piece in pieces(at, len_bytes) {
            let permitted = piece.page.filter(|page| self.may_write(proc, *page));
            let Some(page) = permitted else { return piece.fault(Signal::Segv) };
            let merged = |id| self.frames[id].usage == Use::Ksm;
            let in_place =
                self.has(Fault::MergedInPlace) && self.pte(proc, page).is_some_and(merged);
            let touch = if in_place { Touch::Read } else { Touch::Write };
            if let Err(why) = self.touch(proc, page, touch) {
                return piece.fault(why.signal());
            }
            self.fill(proc, page, (piece.from, piece.to), tag);
        }
        Outcome::Done
    }

    /// Stores `tag` through `/proc/self/mem`, up to the first page that does not permit it: what a write
    /// fault would permit, and private mappings of any protection.
    ///
    /// Source: `mem_rw()`, fs/proc/base.c; `__access_remote_vm()`, mm/memory.c; `check_vma_flags()`,
    /// `can_follow_write_pte()`, mm/gup.c, 6.1 and 6.12.
    pub(super) fn force(&mut self, proc: Proc, at: Position, len_bytes: u32, tag: u8) -> Outcome {
        for piece in pieces(at, len_bytes) {
            let permitted = piece.page.filter(|page| self.may_force(proc, *page));
            let Some(page) = permitted else { return Outcome::Errno(Errno::EIO) };
            let in_place = self.has(Fault::ForcedInPlace) && !self.may_write(proc, page);
            let touch = if in_place { Touch::Read } else { Touch::Write };
            if self.touch(proc, page, touch).is_err() {
                return Outcome::Errno(Errno::EIO);
            }
            self.fill(proc, page, (piece.from, piece.to), tag);
        }
        Outcome::Done
    }

    fn fill(&mut self, proc: Proc, page: u8, (from, to): (u32, u32), tag: u8) {
        if let Some(frame) = self.pte(proc, page) {
            let frame = &mut self.frames[frame];
            frame.content = frame.content.filled(from, to, tag);
            frame.mark_written();
        }
    }

    /// A mapping that is not writable must be one that copies on write (`is_cow_mapping()`).
    fn may_force(&self, proc: Proc, page: u8) -> bool {
        let vma = self.process(proc).vmas.at(page);
        vma.is_some_and(|vma| vma.prot.write() || vma.may_be_forced(self.profile))
    }

    /// Loads `len_bytes` bytes from `at` on.
    pub(super) fn read(&mut self, proc: Proc, at: Position, len_bytes: u32) -> Prediction {
        let mut value = Runs::default();
        let mut perhaps = Vec::new();
        for piece in pieces(at, len_bytes) {
            let right = piece.page.map_or(ReadRight::No, |page| self.read_right(proc, page));
            if right == ReadRight::Perhaps {
                perhaps.push(piece.fault(Signal::Segv));
            }
            let readable = piece.page.filter(|_| right != ReadRight::No);
            let Some(page) = readable else {
                return Prediction::rather(piece.fault(Signal::Segv), perhaps);
            };
            if let Err(why) = self.touch(proc, page, Touch::Read) {
                return Prediction::rather(piece.fault(why.signal()), perhaps);
            }
            if let Some(frame) = self.pte(proc, page) {
                value.append(&self.frames[frame].content.slice(piece.from, piece.to));
            }
        }
        Prediction::rather(Outcome::Value(value), perhaps)
    }

    /// Source: `handle_page_fault()`, arch/um/kernel/trap.c, 6.1 and 6.12.
    fn may_write(&self, proc: Proc, page: u8) -> bool {
        self.process(proc).vmas.at(page).is_some_and(|vma| vma.prot.write())
    }

    /// Whether a load works.
    ///
    /// Source: `handle_page_fault()`, arch/um/kernel/trap.c; `update_pte_range()`, arch/um/kernel/tlb.c;
    /// `access_error()`, arch/x86/mm/fault.c, 6.1 and 6.12.
    pub(super) fn read_right(&self, proc: Proc, page: u8) -> ReadRight {
        let Some(vma) = self.process(proc).vmas.at(page) else { return ReadRight::No };
        if vma.prot.read() || vma.prot.exec() {
            return ReadRight::Yes;
        }
        match self.profile.write_only_load {
            _ if !vma.prot.write() => ReadRight::No,
            WriteOnlyLoad::Works => ReadRight::Yes,
            WriteOnlyLoad::WithoutFault if self.pte(proc, page).is_some() => ReadRight::Perhaps,
            WriteOnlyLoad::WithoutFault => ReadRight::No,
        }
    }
}

/// Whether a load of a page works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadRight {
    Yes,
    /// That is the processor's choice.
    Perhaps,
    No,
}

/// The part of an access that lies on one page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// The page, or nothing beyond the arena.
    pub(super) page: Option<u8>,
    /// First byte on the page.
    pub(super) from: u32,
    /// One past the last byte on the page.
    pub(super) to: u32,
    /// Bytes of the access before this piece.
    pub(super) done_bytes: u32,
}

impl Piece {
    fn fault(&self, signal: Signal) -> Outcome {
        Outcome::Fault { signal, done_bytes: self.done_bytes }
    }
}

/// The parts of an access, page by page.
pub(super) fn pieces(at: Position, len_bytes: u32) -> impl Iterator<Item = Piece> {
    let end = at.0.saturating_add(len_bytes);
    let mut next = at.0;
    std::iter::from_fn(move || {
        (next < end).then(|| {
            let start = Position(next);
            let from = start.page_offset();
            let to = start.page_bytes().min(from + (end - next));
            let page = start.arena_page();
            let done_bytes = next - at.0;
            next += to - from;
            Piece { page, from, to, done_bytes }
        })
    })
}
