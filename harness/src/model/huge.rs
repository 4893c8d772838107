//! Huge pages of the machine's pool (hugetlb): promises, faults, `fork`, and how they come back.
//!
//! A mapping is promised a page for each of its own when it is made, or there is no mapping. A private one keeps its
//! promises for the process that made it (`HPAGE_RESV_OWNER`); a child takes what nobody was promised. When nothing is
//! left, the owner takes a page that it shares back from its children, and who has none gets SIGBUS.
//!
//! Counted in huge pages. How many are free follows from who holds which; how many are promised is a counter of its
//! own, as in the kernel.

use std::collections::BTreeSet;

use pinfold_contract::{
    Errno, HUGE_PAGE_BYTES, HUGE_POOL_PAGES, HugePool, PageRange, Proc, Runs, Sharing,
};

use super::Fault;
use super::fault::{NoMemoryBehind, Touch, file_page};
use super::file::FileState;
use super::frame::{Frame, FrameId, Use};
use super::state::State;
use super::vma::{FileId, Flags, Object, Vma};
use crate::profile::{HugePages, HugeZap};

/// What is promised of the pages of a hugetlbfs inode that a mapping brought.
#[derive(Clone, Debug, Default)]
pub(super) struct Promises {
    /// The kernel's map of regions. Of shared memory: pages that are promised, used or not. Of private memory: pages
    /// whose promise was used.
    ///
    /// Source: `__vma_reservation_common()`, mm/hugetlb.c, 6.1 and 6.12.
    pub(super) regions: BTreeSet<u32>,
    /// Whether it is shared memory.
    is_shared: bool,
}

impl State<'_> {
    /// The pool as `/proc/meminfo` shows it.
    ///
    /// Source: `hugetlb_report_meminfo()`, mm/hugetlb.c, 6.1 and 6.12.
    pub(super) fn huge_pool(&self) -> HugePool {
        HugePool { free: self.huge_free(), reserved: self.huge_reserved() }
    }

    fn huge_free(&self) -> i64 {
        let pool = match self.profile.huge_pages {
            HugePages::None => 0,
            HugePages::Pool => i64::from(HUGE_POOL_PAGES),
        };
        let held = self.frames.iter().filter(|(_, frame)| frame.is_huge && frame.is_held());
        pool - i64::try_from(held.count()).unwrap_or(i64::MAX)
    }

    /// The counter of promises, and those that frames gave back when they came free.
    ///
    /// Source: `free_huge_page()`, mm/hugetlb.c, 6.1; `free_huge_folio()`, ditto, 6.12.
    fn huge_reserved(&self) -> i64 {
        let is_back = |frame: &Frame| frame.restores_promise && !frame.is_held();
        let back = self.frames.iter().filter(|(_, frame)| is_back(frame)).count();
        self.huge_promised + i64::try_from(back).unwrap_or(i64::MAX)
    }

    /// Makes the inode of a new mapping of `pages`, with its promises.
    ///
    /// Source: `hugetlb_reserve_pages()`, `hugetlb_acct_memory()`, `gather_surplus_pages()`, mm/hugetlb.c, 6.1 and
    /// 6.12: no surplus pages are allowed.
    pub(super) fn promise_huge(
        &mut self,
        pages: PageRange,
        sharing: Sharing,
    ) -> Result<FileId, Errno> {
        let count = i64::from(pages.page_count());
        let free = self.huge_free();
        if self.huge_reserved() + count > free || count > free {
            return Err(Errno::ENOMEM);
        }
        self.huge_promised += count;
        let mut file = FileState::unnamed(0);
        let is_shared = sharing == Sharing::Shared;
        let mut promises = Promises { is_shared, ..Promises::default() };
        if is_shared {
            promises.regions.extend(0..u32::from(pages.page_count()));
        }
        file.huge = Some(promises);
        self.files.push(file);
        let last = self.files.len() - 1;
        Ok(FileId(u32::try_from(last).expect("a sequence maps fewer than 4 G times")))
    }

    /// A fault on `page`, which is huge.
    ///
    /// Source: `hugetlb_fault()`, mm/hugetlb.c, 6.1 and 6.12.
    pub(super) fn touch_huge(
        &mut self,
        proc: Proc,
        page: u8,
        vma: &Vma,
        touch: Touch,
    ) -> Result<(), NoMemoryBehind> {
        match (self.pte(proc, page), vma.sharing) {
            (None, _) => self.bring_huge_in(proc, page, vma)?,
            (Some(frame), Sharing::Private) if touch != Touch::Read => {
                self.own_huge(proc, page, vma, frame)?;
            }
            (Some(_), Sharing::Private | Sharing::Shared) => {}
        }
        if touch == Touch::Write
            && let Some(frame) = self.pte(proc, page)
        {
            self.frames[frame].mark_written();
        }
        Ok(())
    }

    /// Brings a missing page in: that of the inode, or a new one. That of private memory is the process's alone,
    /// whatever the fault was for: there is no huge page of zeroes.
    ///
    /// Source: `hugetlb_no_page()`, mm/hugetlb.c, 6.1 and 6.12.
    fn bring_huge_in(&mut self, proc: Proc, page: u8, vma: &Vma) -> Result<(), NoMemoryBehind> {
        let Some((file, index)) = shown(vma, page) else { return Err(NoMemoryBehind::BeyondEnd) };
        if vma.flags.has(Flags::HUGE_TAKEN) {
            return Err(NoMemoryBehind::BeyondEnd);
        }
        if let Some(frame) = self.file(file).cache.get(&index).copied() {
            self.set_pte(proc, page, frame);
            return Ok(());
        }
        let zeroes = Runs::uniform(HUGE_PAGE_BYTES, 0);
        match vma.sharing {
            Sharing::Private => {
                self.prepare_anon_vma(proc, page);
                let is_promised =
                    vma.flags.has(Flags::HUGE_OWNER) && !self.regions(file).contains(&index);
                let usage = Use::Anon { exclusive: true };
                let frame = self.take_huge(is_promised, usage, zeroes)?;
                if vma.flags.has(Flags::HUGE_OWNER) {
                    self.regions(file).insert(index);
                }
                self.set_pte(proc, page, frame);
            }
            Sharing::Shared => {
                let is_promised = self.regions(file).contains(&index);
                let frame = self.take_huge(is_promised, Use::Cache, zeroes)?;
                self.regions(file).insert(index);
                // Dirty from the start, so that nothing but hugetlbfs drops it: `hugetlb_add_to_page_cache()`.
                self.frames[frame].dirty = true;
                self.frames[frame].cached = true;
                self.files[file.0 as usize].cache.insert(index, frame);
                self.set_pte(proc, page, frame);
            }
        }
        Ok(())
    }

    /// A page of the pool: one that was promised, or one that nobody was.
    ///
    /// Source: `alloc_huge_page()` and `dequeue_huge_page_vma()`, mm/hugetlb.c, 6.1; `alloc_hugetlb_folio()` and
    /// `dequeue_hugetlb_folio_vma()`, ditto, 6.12, which ask whether as many are promised as are free, and no more.
    fn take_huge(
        &mut self,
        is_promised: bool,
        usage: Use,
        content: Runs,
    ) -> Result<FrameId, NoMemoryBehind> {
        let (free, reserved) = (self.huge_free(), self.huge_reserved());
        if free <= 0 || (!is_promised && free == reserved) {
            return Err(NoMemoryBehind::BeyondEnd);
        }
        self.huge_promised -= i64::from(is_promised);
        let id = self.frames.add(usage, content);
        self.frames[id].is_huge = true;
        Ok(id)
    }

    /// A write to, or the unsharing of, a present page of private memory: keeps the frame if nobody else maps it,
    /// pinned or not, else copies it. The owner of the mapping takes the frame from those it shares it with where
    /// there is none for a copy.
    ///
    /// Source: `hugetlb_wp()`, mm/hugetlb.c, 6.1 and 6.12.
    fn own_huge(
        &mut self,
        proc: Proc,
        page: u8,
        vma: &Vma,
        old: FrameId,
    ) -> Result<(), NoMemoryBehind> {
        if self.frames[old].map_count > 1 {
            let content = self.frames[old].content.clone();
            match self.take_huge(false, Use::Anon { exclusive: true }, content) {
                Ok(copy) => {
                    self.prepare_anon_vma(proc, page);
                    self.set_pte(proc, page, copy);
                    self.copies.push((old, copy));
                    return Ok(());
                }
                Err(none) if !vma.flags.has(Flags::HUGE_OWNER) => return Err(none),
                Err(_) => self.take_from_others((proc, page), vma, old),
            }
        }
        self.frames[old].usage = Use::Anon { exclusive: true };
        Ok(())
    }

    /// Unmaps the frame that the owner shares from all others, who find nothing there any more.
    ///
    /// The kernel looks for it in them at the owner's address.
    ///
    /// Source: `unmap_ref_private()`, `__unmap_hugepage_range()`, mm/hugetlb.c, 6.1 and 6.12.
    fn take_from_others(&mut self, own: (Proc, u8), vma: &Vma, frame: FrameId) {
        let Some(wanted) = shown(vma, own.1) else { return };
        for place in self.places_of(frame).into_iter().filter(|place| *place != own) {
            let (proc, page) = place;
            let Some(&other) = self.process(proc).vmas.at(page) else { continue };
            if shown(&other, page) == Some(wanted) && !other.flags.has(Flags::HUGE_OWNER) {
                self.clear_pte(proc, page);
                let flags = other.flags.with(Flags::HUGE_TAKEN);
                let profile = self.profile;
                self.process_mut(proc).vmas.modify(Vma { flags, ..other }, profile);
            }
        }
    }

    /// Makes `page` of `proc` not present, for good. Where the owner of a promise was the last to map the page, 6.12
    /// promises it to it again.
    ///
    /// The promise counts again only when the page comes back to the pool. Until then, while a pin holds it, one
    /// less is counted than was given: below zero, if it is used meanwhile or the mapping goes.
    ///
    /// Source: `__unmap_hugepage_range()`, mm/hugetlb.c, 6.12.
    pub(super) fn zap(&mut self, proc: Proc, page: u8) {
        let was = self.pte(proc, page);
        self.clear_pte(proc, page);
        let vma = self.process(proc).vmas.at(page).copied();
        let (Some(id), Some((vma, (file, index)))) =
            (was, vma.and_then(|vma| Some((vma, shown(&vma, page)?))))
        else {
            return;
        };
        let is_owner = vma.flags.has(Flags::HUGE_OWNER);
        let restores = self.profile.huge_zap == HugeZap::PromisesAgain;
        let frame = &mut self.frames[id];
        if is_owner && restores && frame.map_count == 0 && matches!(frame.usage, Use::Anon { .. }) {
            frame.restores_promise = true;
            self.regions(file).remove(&index);
        }
    }

    /// Takes back what was promised to private mappings in `pages` and not used.
    ///
    /// Source: `hugetlb_vm_op_close()`, mm/hugetlb.c, 6.1 and 6.12.
    pub(super) fn break_promises(&mut self, proc: Proc, pages: PageRange) {
        for piece in self.process(proc).vmas.pieces(pages) {
            if !piece.flags.has(Flags::HUGE_OWNER) {
                continue;
            }
            for page in piece.first..piece.end {
                if let Some((file, index)) = shown(&piece, page) {
                    self.huge_promised -= i64::from(!self.regions(file).contains(&index));
                }
            }
        }
    }

    /// One page of a private mapping in a `fork`: shared, or copied now if it is pinned. Fails where there is no page
    /// for the copy.
    ///
    /// Source: `copy_hugetlb_page_range()`, mm/hugetlb.c, 6.1 and 6.12; `page_try_dup_anon_rmap()`,
    /// include/linux/rmap.h, 6.1; `hugetlb_try_dup_anon_rmap()`, include/linux/rmap.h, 6.12.
    pub(super) fn fork_huge(
        &mut self,
        child: Proc,
        page: u8,
        id: FrameId,
    ) -> Result<(), NoMemoryBehind> {
        let frame = &mut self.frames[id];
        let is_exclusive = frame.usage == Use::Anon { exclusive: true };
        let may_be_pinned = is_exclusive && frame.pin_count > 0;
        if may_be_pinned && !self.fault.is(Fault::HugeForkSharesPinned) {
            let content = frame.content.clone();
            let copy = self.take_huge(false, Use::Anon { exclusive: true }, content)?;
            self.set_pte(child, page, copy);
            return Ok(());
        }
        frame.usage = Use::Anon { exclusive: false };
        self.set_pte(child, page, id);
        Ok(())
    }

    /// Punches pages out of shared memory: they leave the inode and everybody's mappings, and are promised to nobody.
    ///
    /// Source: `hugetlbfs_punch_hole()`, `remove_inode_single_folio()`, fs/hugetlbfs/inode.c, 6.1 and 6.12.
    pub(super) fn punch_huge(&mut self, piece: &Vma) {
        for page in piece.first..piece.end {
            let Some((file, index)) = shown(piece, page) else { continue };
            if let Some(frame) = self.file(file).cache.get(&index).copied() {
                self.unmap_everywhere(frame);
                self.uncache(file, index);
                self.regions(file).remove(&index);
            }
        }
    }

    /// What a huge inode that nobody maps any more leaves: its pages are free, its promises taken back.
    ///
    /// Source: `hugetlbfs_evict_inode()`, fs/hugetlbfs/inode.c; `hugetlb_unreserve_pages()`, mm/hugetlb.c, 6.1 and 6.12.
    pub(super) fn evict_huge(&mut self, file: FileId) {
        let state = &self.files[file.0 as usize];
        let Some(promises) = &state.huge else { return };
        if promises.is_shared {
            let unused = promises.regions.len().saturating_sub(state.cache.len());
            self.huge_promised -= i64::try_from(unused).unwrap_or(i64::MAX);
        }
        self.regions(file).clear();
    }

    fn regions(&mut self, file: FileId) -> &mut BTreeSet<u32> {
        &mut self.files[file.0 as usize].huge.get_or_insert_default().regions
    }
}

/// The inode that a huge `page` of `vma` shows, and which page of it.
fn shown(vma: &Vma, page: u8) -> Option<(FileId, u32)> {
    let Object::Huge { file, bias } = vma.object else { return None };
    Some((file, file_page(page, bias)))
}
