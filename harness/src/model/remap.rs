//! `mremap`: growing and shrinking in place, and moving.

use pinfold_contract::{Errno, Outcome, PageRange, Proc};

use super::state::State;
use super::vma::Vma;
use super::{Fault, Prediction};
use crate::profile::RemapOrder;

impl State<'_> {
    /// `mremap`: in place if both ranges begin at the same page, else to a fixed place.
    ///
    /// Source: `SYSCALL_DEFINE5(mremap)`, mm/mremap.c, 6.1 and 6.12; `do_mremap()`, mm/mremap.c, 7.3.
    pub(super) fn remap(&mut self, proc: Proc, from: PageRange, to: PageRange) -> Prediction {
        let result = match self.profile.remap_order {
            _ if from.first() == to.first() => self.resize(proc, from, to.end()),
            RemapOrder::UnmapsFirst => self.unmap_and_move(proc, from, to),
            RemapOrder::ChecksFirst if from.page_count() == to.page_count() => {
                self.move_all(proc, from, to)
            }
            RemapOrder::ChecksFirst => self.check_and_move(proc, from, to),
        };
        let outcome = result.map_or_else(Outcome::Errno, |()| Outcome::Done);
        self.unless_limit_is_near(proc, false, outcome)
    }

    /// Shrinks, which holes do not hinder, or grows into free pages.
    fn resize(&mut self, proc: Proc, old: PageRange, end: u8) -> Result<(), Errno> {
        self.may_remap(proc, old.first(), end > old.end())?;
        if let Some(tail) = PageRange::new(end, old.end()) {
            self.unmap(proc, tail);
        }
        let Some(grown) = PageRange::new(old.end(), end) else { return Ok(()) };
        let vma = self.vma_to_resize(proc, old, grown.page_count())?;
        if vma.end != old.end() || self.process(proc).vmas.any_in(grown.first(), grown.end()) {
            return Err(Errno::ENOMEM);
        }
        let profile = self.profile;
        self.process_mut(proc).vmas.extend(old.end(), end, profile);
        if vma.is_locked() {
            self.process_mut(proc).locked_vm += i64::from(grown.page_count());
            self.populate_or_not(proc, grown);
        }
        Ok(())
    }

    /// Unmaps the destination and the cut-off tail first: both are gone even if the move then fails.
    ///
    /// Source: `mremap_to()` and `move_vma()`, mm/mremap.c, 6.1 and 6.12.
    fn unmap_and_move(&mut self, proc: Proc, from: PageRange, to: PageRange) -> Result<(), Errno> {
        self.may_remap(proc, from.first(), to.page_count() > from.page_count())?;
        if overlap(from, to) {
            return Err(Errno::EINVAL);
        }
        self.unmap(proc, to);
        let kept = self.shrink_to(proc, from, to)?;
        let vma = self.vma_to_resize(proc, kept, to.page_count() - kept.page_count())?;
        self.move_pages(proc, &vma, kept, to);
        Ok(())
    }

    /// Nothing is unmapped of a move that is refused.
    ///
    /// Source: `check_mremap_params()`, `check_prep_vma()` and `mremap_to()`, mm/mremap.c, 7.3.
    fn check_and_move(&mut self, proc: Proc, from: PageRange, to: PageRange) -> Result<(), Errno> {
        if overlap(from, to) {
            return Err(Errno::EINVAL);
        }
        self.may_remap(proc, from.first(), to.page_count() > from.page_count())?;
        let kept_count = from.page_count().min(to.page_count());
        let kept = PageRange::new(from.first(), from.first() + kept_count).ok_or(Errno::EINVAL)?;
        let vma = self.vma_to_resize(proc, kept, to.page_count() - kept_count)?;
        self.unmap(proc, to);
        self.shrink_to(proc, from, to)?;
        self.move_pages(proc, &vma, kept, to);
        Ok(())
    }

    /// Moves every mapping in `from`, one after the other, and keeps the gaps between them: what lies at the destination
    /// opposite to a gap stays. An error leaves moved what was moved before.
    ///
    /// Source: `remap_move()`, mm/mremap.c, 7.3.
    fn move_all(&mut self, proc: Proc, from: PageRange, to: PageRange) -> Result<(), Errno> {
        if overlap(from, to) {
            return Err(Errno::EINVAL);
        }
        if self.process(proc).vmas.at(from.first()).is_none() {
            return Err(Errno::EFAULT);
        }
        let moves_by = |page: u8| page - from.first() + to.first();
        let mut next = from.first();
        while let Some(piece) = self.next_piece(proc, next, from.end()) {
            let reaches_over = self.process(proc).vmas.at(piece.first()).copied();
            let vma = reaches_over.ok_or(Errno::EFAULT)?;
            let is_alone = piece.first() == from.first() && vma.end >= from.end();
            if vma.object.moves_alone() && !is_alone {
                return Err(Errno::EFAULT);
            }
            let place = PageRange::new(moves_by(piece.first()), moves_by(piece.end()))
                .ok_or(Errno::EINVAL)?;
            self.unmap(proc, place);
            self.move_pages(proc, &vma, piece, place);
            next = piece.end();
        }
        Ok(())
    }

    /// The part in `first..end` of the first mapping that has a page there.
    fn next_piece(&self, proc: Proc, first: u8, end: u8) -> Option<PageRange> {
        let range = PageRange::new(first, end)?;
        let piece = self.process(proc).vmas.pieces(range).into_iter().next()?;
        PageRange::new(piece.first, piece.end)
    }

    /// Refuses what is not mapped, and huge pages that would grow: their reservations do not.
    ///
    /// Source: `SYSCALL_DEFINE5(mremap)`, mm/mremap.c, 6.1 and 6.12; `check_prep_vma()`, `align_hugetlb()`, 7.3.
    fn may_remap(&self, proc: Proc, first: u8, grows: bool) -> Result<(), Errno> {
        match self.process(proc).vmas.at(first) {
            None => Err(Errno::EFAULT),
            Some(vma) if vma.object.is_huge() && grows => Err(Errno::EINVAL),
            Some(_) => Ok(()),
        }
    }

    /// Unmaps what of `from` is too much for `to`; gives the rest.
    fn shrink_to(
        &mut self,
        proc: Proc,
        from: PageRange,
        to: PageRange,
    ) -> Result<PageRange, Errno> {
        let kept_end = from.end().min(from.first() + to.page_count());
        if let Some(tail) = PageRange::new(kept_end, from.end()) {
            self.unmap(proc, tail);
        }
        PageRange::new(from.first(), kept_end).ok_or(Errno::EINVAL)
    }

    /// Moves `kept`, which `vma` covers, to `to`, where nothing is mapped.
    ///
    /// Source: `move_vma()`, mm/mremap.c, 6.1, 6.12 and 7.3.
    fn move_pages(&mut self, proc: Proc, vma: &Vma, kept: PageRange, to: PageRange) {
        let profile = self.profile;
        if vma.is_mergeable() {
            self.break_ksm_in(proc, kept);
        }
        self.process_mut(proc).vmas.copy(kept.first(), to, profile);
        let lost = self.has(Fault::MovedPagesLost);
        for (old, new) in kept.pages().zip(to.pages()) {
            if let Some(frame) = self.pte(proc, old).filter(|_| !lost) {
                let bits = self.pte_bits(proc, old);
                self.set_pte(proc, new, frame);
                self.set_pte_bits(proc, new, bits);
            }
            if let Some(entry) = self.process(proc).swapped[usize::from(old)].filter(|_| !lost) {
                self.set_swapped(proc, new, entry);
            }
            self.move_guard(proc, old, new);
        }
        // Promises move with the pages: `clear_vma_resv_huge_pages()`, mm/hugetlb.c, 6.1 and 6.12.
        self.process_mut(proc).vmas.disown(kept, profile);
        self.unmap(proc, kept);
        if vma.is_locked() {
            self.process_mut(proc).locked_vm += i64::from(to.page_count());
            if let Some(grown) = PageRange::new(to.first() + kept.page_count(), to.end()) {
                self.populate_or_not(proc, grown);
            }
        }
    }

    /// The one mapping that covers all of `old`, if it may grow by `added` pages.
    ///
    /// Source: `vma_to_resize()`, mm/mremap.c, 6.1 and 6.12; `check_prep_vma()`, mm/mremap.c, 7.3.
    fn vma_to_resize(&self, proc: Proc, old: PageRange, added: u8) -> Result<Vma, Errno> {
        let vma = self.process(proc).vmas.at(old.first()).ok_or(Errno::EFAULT)?;
        if vma.end < old.end() {
            return Err(Errno::EFAULT);
        }
        if added > 0 && vma.is_locked() && !self.lock_fits(proc, i64::from(added)) {
            return Err(Errno::EAGAIN);
        }
        Ok(*vma)
    }
}

fn overlap(one: PageRange, other: PageRange) -> bool {
    one.first() < other.end() && other.first() < one.end()
}
