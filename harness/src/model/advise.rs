//! `madvise`.

use pinfold_contract::{Advice, Errno, Outcome, PageRange, Proc, Seals, Sharing};

use super::fault::{Touch, file_page};
use super::frame::{FrameId, Use};
use super::state::{PteBits, State};
use super::vma::{FileId, Flags, Object, Vma};
use crate::profile::{GuardRegions, HugeAdvice, HugeDofork, PopulateAtHole};

impl State<'_> {
    /// `madvise`: mapping by mapping. A hole is passed over and reported at the end.
    ///
    /// Source: `do_madvise()` and `madvise_walk_vmas()`, mm/madvise.c, 6.1 and 6.12.
    pub(super) fn advise(&mut self, proc: Proc, pages: PageRange, advice: Advice) -> Outcome {
        if self.is_unknown(advice) {
            return Outcome::Errno(Errno::EINVAL);
        }
        let mut at = pages.first();
        let mut hole = false;
        for piece in self.process(proc).vmas.pieces(pages) {
            hole |= piece.first > at;
            if hole && self.stops_at_hole(advice) {
                break;
            }
            if let Err(errno) = self.advise_piece(proc, &piece, advice) {
                return Outcome::Errno(errno);
            }
            at = piece.end;
        }
        if hole || at < pages.end() { Outcome::Errno(Errno::ENOMEM) } else { Outcome::Done }
    }

    /// Whether the kernel does not know the advice.
    ///
    /// Source: `madvise_behavior_valid()`, mm/madvise.c, 6.1, 6.12 and 7.3.
    fn is_unknown(&self, advice: Advice) -> bool {
        let is_huge = matches!(advice, Advice::HugePage | Advice::NoHugePage | Advice::Collapse);
        let is_guard = matches!(advice, Advice::GuardInstall | Advice::GuardRemove);
        is_huge && self.profile.huge_advice == HugeAdvice::Unknown
            || is_guard && self.profile.guard_regions == GuardRegions::Unknown
    }

    fn stops_at_hole(&self, advice: Advice) -> bool {
        let populates = matches!(advice, Advice::PopulateRead | Advice::PopulateWrite);
        populates && self.profile.populate_at_hole == PopulateAtHole::Stops
    }

    /// Source: `madvise_vma_behavior()`, mm/madvise.c, 6.1 and 6.12.
    fn advise_piece(&mut self, proc: Proc, piece: &Vma, advice: Advice) -> Result<(), Errno> {
        let flags = piece.flags;
        let is_huge = piece.object.is_huge();
        let flags = match advice {
            // `madvise_dontneed_free_valid_vma()`, `can_madv_lru_vma()`, mm/madvise.c, 6.1 and 6.12.
            Advice::Free | Advice::Cold | Advice::PageOut if is_huge => return Err(Errno::EINVAL),
            Advice::DontNeed => return self.zap_piece(proc, piece),
            Advice::Free => return self.free_piece(proc, piece),
            Advice::PopulateRead => return self.advise_populate(proc, piece, Touch::Read),
            Advice::PopulateWrite => return self.advise_populate(proc, piece, Touch::Write),
            Advice::Remove => return self.remove_piece(piece),
            Advice::Cold => return self.age_piece(proc, piece),
            Advice::PageOut => return self.page_out_piece(proc, piece),
            Advice::GuardInstall => return self.install_guards(proc, piece),
            Advice::GuardRemove => return self.remove_guards(proc, piece),
            // `hugepage_madvise()`, mm/khugepaged.c, 6.1 and 6.12.
            Advice::HugePage => flags.without(Flags::NOT_HUGE).with(Flags::HUGE),
            Advice::NoHugePage => flags.without(Flags::HUGE).with(Flags::NOT_HUGE),
            // No mapping of the arena is as large as a huge page: `hugepage_vma_check()`, mm/huge_memory.c, 6.1, and
            // `__thp_vma_allowable_orders()`, ditto, 6.12.
            Advice::Collapse => return Err(Errno::EINVAL),
            Advice::DontFork => flags.with(Flags::DONT_COPY),
            Advice::DoFork if is_huge && self.profile.huge_dofork == HugeDofork::Refused => {
                return Err(Errno::EINVAL);
            }
            Advice::DoFork => flags.without(Flags::DONT_COPY),
            Advice::WipeOnFork if !is_plain_anon(piece) => return Err(Errno::EINVAL),
            Advice::WipeOnFork => flags.with(Flags::WIPE_ON_FORK),
            Advice::KeepOnFork => flags.without(Flags::WIPE_ON_FORK),
            // On shared memory and huge pages it is ignored: `ksm_madvise()`, mm/ksm.c, 6.1 and 6.12.
            Advice::Mergeable if piece.sharing == Sharing::Shared || is_huge => flags,
            Advice::Mergeable => {
                self.ksm_enter(proc);
                flags.with(Flags::MERGEABLE)
            }
            Advice::Unmergeable => {
                if let Some(pages) = range_of(piece).filter(|_| piece.is_mergeable()) {
                    self.break_ksm_in(proc, pages);
                }
                flags.without(Flags::MERGEABLE)
            }
        };
        let profile = self.profile;
        self.process_mut(proc).vmas.modify(Vma { flags, ..*piece }, profile);
        Ok(())
    }

    /// Source: `madvise_dontneed_free()`, mm/madvise.c, 6.1 and 6.12.
    fn zap_piece(&mut self, proc: Proc, piece: &Vma) -> Result<(), Errno> {
        not_locked(piece)?;
        (piece.first..piece.end).for_each(|page| self.zap(proc, page));
        Ok(())
    }

    /// Nothing that can be seen but where reclaim begins.
    ///
    /// Source: `madvise_cold_or_pageout_pte_range()`, mm/madvise.c, 6.1 and 6.12.
    fn age_piece(&mut self, proc: Proc, piece: &Vma) -> Result<(), Errno> {
        not_locked(piece)?;
        for page in piece.first..piece.end {
            if let Some(id) = self.pte(proc, page) {
                self.frames[id].batched = true;
            }
        }
        Ok(())
    }

    /// Makes the entries clean: what no other dirty entry maps the next reclaim may take. Frames that are
    /// marked dirty themselves are left out if others map them too.
    ///
    /// Source: `madvise_free_pte_range()`, mm/madvise.c, 6.1 and 6.12; `mark_page_lazyfree()`, mm/swap.c, 6.1;
    /// `folio_mark_lazyfree()`, ditto, 6.12.
    fn free_piece(&mut self, proc: Proc, piece: &Vma) -> Result<(), Errno> {
        not_locked(piece)?;
        if piece.sharing == Sharing::Shared || !piece.object.is_anonymous() {
            return Err(Errno::EINVAL);
        }
        for page in piece.first..piece.end {
            // What is swapped out is not brought back for that.
            self.clear_swapped(proc, page);
            let Some(id) = self.pte(proc, page) else { continue };
            let is_locked = self.is_locked(id);
            let frame = &self.frames[id];
            let is_anon = matches!(frame.usage, Use::Anon { .. } | Use::Ksm);
            let is_dirty = frame.marked_dirty || frame.in_swap_cache;
            if !is_anon || is_dirty && frame.map_count > 1 || !self.leave_swap_cache(id) {
                continue;
            }
            let frame = &mut self.frames[id];
            frame.marked_dirty = false;
            frame.lazyfree |= !is_locked;
            frame.is_droppable |= !is_locked;
            frame.batched = true;
            let bits = PteBits { dirty: false, ..self.pte_bits(proc, page) };
            self.set_pte_bits(proc, page, bits);
        }
        Ok(())
    }

    /// Source: `faultin_vma_page_range()`, mm/gup.c, 6.1; `faultin_page_range()`, mm/gup.c, 6.12.
    fn advise_populate(&mut self, proc: Proc, piece: &Vma, touch: Touch) -> Result<(), Errno> {
        let permitted = match touch {
            Touch::Write => piece.prot.write(),
            Touch::Read | Touch::Unshare => piece.prot.read(),
        };
        if !permitted {
            return Err(Errno::EINVAL);
        }
        (piece.first..piece.end)
            .try_for_each(|page| self.touch(proc, page, touch).map_err(|_| Errno::EFAULT))
    }

    /// Punches a hole into the file, which must be shared and writable, now or later.
    ///
    /// Source: `madvise_remove()`, mm/madvise.c; `shmem_fallocate()`, mm/shmem.c, 6.1 and 6.12.
    fn remove_piece(&mut self, piece: &Vma) -> Result<(), Errno> {
        not_locked(piece)?;
        let (file, bias) = match piece.object {
            Object::Anon { .. } => return Err(Errno::EINVAL),
            Object::Zero { .. } => return Err(Errno::EACCES),
            Object::Huge { .. } if piece.is_shared_maywrite() => {
                self.punch_huge(piece);
                return Ok(());
            }
            Object::Huge { .. } => return Err(Errno::EACCES),
            Object::File { file, bias } => (file, bias),
        };
        if !piece.is_shared_maywrite() {
            return Err(Errno::EACCES);
        }
        let write_seals = Seals::WRITE.with(Seals::FUTURE_WRITE);
        if self.files[file.0 as usize].seals.has_any(write_seals) {
            return Err(Errno::EPERM);
        }
        self.punch_pages(file, file_page(piece.first, bias), file_page(piece.end, bias));
        Ok(())
    }

    /// Reclaims what only this process has mapped. Without swap anonymous memory stays, except what `MADV_FREE` gave
    /// up. A page of a file is unmapped, and leaves the page cache if it is not pinned and clean, or has somewhere to go.
    ///
    /// Source: `madvise_pageout()`, mm/madvise.c; `shrink_folio_list()`, mm/vmscan.c;
    /// `try_to_unmap_one()`, mm/rmap.c, 6.1 and 6.12.
    fn page_out_piece(&mut self, proc: Proc, piece: &Vma) -> Result<(), Errno> {
        not_locked(piece)?;
        for page in piece.first..piece.end {
            let alone = self.pte(proc, page).filter(|frame| self.frames[*frame].map_count == 1);
            let Some(id) = alone else { continue };
            match self.frames[id].usage {
                Use::Zero => {}
                Use::Anon { .. } | Use::Ksm => self.page_out_anon(proc, page, id),
                Use::Cache => {
                    self.clear_pte(proc, page);
                    self.mark_for_reclaim(id);
                    if let Object::File { file, bias } = piece.object {
                        self.drop_from_cache(file, file_page(page, bias), id);
                    }
                }
            }
        }
        Ok(())
    }

    fn page_out_anon(&mut self, proc: Proc, page: u8, id: FrameId) {
        if self.frames[id].is_droppable {
            self.discard(id);
        } else {
            self.swap_out(proc, page, id);
        }
    }

    /// A dirty page of a disk is left for the flusher, and marked. Shared memory, with no swap to go to, is made
    /// dirty once more, which takes the mark away.
    ///
    /// Source: `shrink_folio_list()` and `pageout()`, mm/vmscan.c; `shmem_writepage()`, mm/shmem.c, 6.1 and 6.12.
    fn mark_for_reclaim(&mut self, id: FrameId) {
        let frame = &mut self.frames[id];
        if frame.dirty && frame.pin_count == 0 {
            frame.passed_over = frame.on_disk;
        }
    }

    /// A page of shmem that was never written is clean, too, and reads as zeroes when it comes back. One that was
    /// written goes to swap space.
    ///
    /// Source: `shmem_writepage()`, mm/shmem.c, 6.1 and 6.12.
    fn drop_from_cache(&mut self, file: FileId, page: u32, id: FrameId) {
        let frame = &mut self.frames[id];
        if frame.pin_count > 0 {
            return;
        }
        if !frame.dirty {
            self.uncache(file, page);
        } else if !frame.on_disk && self.may_swap && !frame.charged {
            self.swap_out_page(file, page, id);
        }
    }

    /// Gives every page that KSM has merged in `pages` a copy of its own.
    ///
    /// Source: `unmerge_ksm_pages()`, mm/ksm.c, 6.1 and 6.12.
    pub(super) fn break_ksm_in(&mut self, proc: Proc, pages: PageRange) {
        pages.pages().for_each(|page| self.break_ksm((proc, page)));
    }
}

fn is_plain_anon(vma: &Vma) -> bool {
    matches!(vma.object, Object::Anon { .. })
}

fn not_locked(vma: &Vma) -> Result<(), Errno> {
    if vma.is_locked() { Err(Errno::EINVAL) } else { Ok(()) }
}

fn range_of(vma: &Vma) -> Option<PageRange> {
    PageRange::new(vma.first, vma.end)
}
