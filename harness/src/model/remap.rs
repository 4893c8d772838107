//! `mremap`: growing and shrinking in place, and moving.

use pinfold_contract::{Errno, Outcome, PageRange, Proc};

use super::state::State;
use super::vma::Vma;
use super::{Fault, Prediction};

impl State<'_> {
    /// `mremap`: in place if both ranges begin at the same page, else to a fixed place.
    ///
    /// Source: `SYSCALL_DEFINE5(mremap)`, mm/mremap.c, 6.1 and 6.12.
    pub(super) fn remap(&mut self, proc: Proc, from: PageRange, to: PageRange) -> Prediction {
        let vma = self.process(proc).vmas.at(from.first());
        let result = if vma.is_none() {
            Err(Errno::EFAULT)
        } else if vma.is_some_and(|vma| vma.object.is_huge()) && to.page_count() > from.page_count()
        {
            // Promises do not grow.
            Err(Errno::EINVAL)
        } else if from.first() == to.first() {
            self.resize(proc, from, to.end())
        } else {
            self.move_to(proc, from, to)
        };
        let outcome = result.map_or_else(Outcome::Errno, |()| Outcome::Done);
        self.unless_limit_is_near(proc, false, outcome)
    }

    /// Shrinks, which holes do not hinder, or grows into free pages.
    fn resize(&mut self, proc: Proc, old: PageRange, end: u8) -> Result<(), Errno> {
        if let Some(tail) = PageRange::new(end, old.end()) {
            self.unmap(proc, tail);
        }
        let Some(grown) = PageRange::new(old.end(), end) else { return Ok(()) };
        let vma = self.vma_to_resize(proc, old, grown.page_count())?;
        if vma.end != old.end() || self.process(proc).vmas.any_in(grown.first(), grown.end()) {
            return Err(Errno::ENOMEM);
        }
        self.process_mut(proc).vmas.extend(old.end(), end);
        if vma.is_locked() {
            self.process_mut(proc).locked_vm += i64::from(grown.page_count());
            self.populate_or_not(proc, grown);
        }
        Ok(())
    }

    /// Moves. What is at the new place goes first, and so does what is cut off:
    /// both are gone even if the move then fails.
    ///
    /// Source: `mremap_to()` and `move_vma()`, mm/mremap.c, 6.1 and 6.12.
    fn move_to(&mut self, proc: Proc, from: PageRange, to: PageRange) -> Result<(), Errno> {
        if from.first() < to.end() && to.first() < from.end() {
            return Err(Errno::EINVAL);
        }
        self.unmap(proc, to);
        let kept_end = from.end().min(from.first() + to.page_count());
        if let Some(tail) = PageRange::new(kept_end, from.end()) {
            self.unmap(proc, tail);
        }
        let kept = PageRange::new(from.first(), kept_end).ok_or(Errno::EINVAL)?;
        let vma = self.vma_to_resize(proc, kept, to.page_count() - kept.page_count())?;
        if vma.is_mergeable() {
            self.break_ksm_in(proc, kept);
        }
        self.process_mut(proc).vmas.copy(kept.first(), to);
        let lost = self.has(Fault::MovedPagesLost);
        for (old, new) in kept.pages().zip(to.pages()) {
            if let Some(frame) = self.pte(proc, old).filter(|_| !lost) {
                let bits = self.pte_bits(proc, old);
                self.set_pte(proc, new, frame);
                self.set_pte_bits(proc, new, bits);
            }
            if let Some(frame) = self.process(proc).swapped[usize::from(old)].filter(|_| !lost) {
                self.set_swapped(proc, new, frame);
            }
        }
        // Promises move with the pages: `clear_vma_resv_huge_pages()`, mm/hugetlb.c, 6.1 and 6.12.
        self.process_mut(proc).vmas.disown(kept);
        self.unmap(proc, kept);
        if vma.is_locked() {
            self.process_mut(proc).locked_vm += i64::from(to.page_count());
            if let Some(grown) = PageRange::new(to.first() + kept.page_count(), to.end()) {
                self.populate_or_not(proc, grown);
            }
        }
        Ok(())
    }

    /// The one mapping that covers all of `old`, if it may grow by `added` pages.
    ///
    /// Source: `vma_to_resize()`, mm/mremap.c, 6.1 and 6.12.
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
