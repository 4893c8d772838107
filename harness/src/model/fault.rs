//! Page faults: what becomes of a page when it is touched.

use pinfold_contract::{File, FileKind, PAGE_BYTES, Proc, Runs, Sharing, Signal};

use super::Fault;
use super::frame::{FrameId, Use};
use super::state::{PteBits, State};
use super::vma::{FileId, Flags, Object, Vma};
use crate::profile::{HugeAdvice, LastPageTable};

/// What a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// A load, or a pin that only reads.
    Read,
    /// A store, or a pin that writes.
    Write,
    /// FAULT_FLAG_UNSHARE: a read-only pin that wants an exclusive page.
    Unshare,
}

/// Why there is no memory behind a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoMemoryBehind {
    /// No mapping, or it lies beyond the end of its file, or no huge page is left for it.
    BeyondEnd,
    /// The memory cgroup of the registrations is at its limit.
    OverLimit,
    /// A guard.
    Guard,
}

/// Pages that one read fault of a file maps around itself (`fault_around_bytes`, mm/memory.c, 6.1, and
/// `fault_around_pages`, mm/memory.c, 6.12: 64 KiB).
const FAULT_AROUND_PAGES: i32 = 16;

impl NoMemoryBehind {
    /// What the CPU gets for it.
    ///
    /// Source: `handle_page_fault()`, arch/um/kernel/trap.c; `do_user_addr_fault()`, arch/x86/mm/fault.c, 6.1, 6.12 and
    /// 7.3.
    pub(super) fn signal(self) -> Signal {
        match self {
            NoMemoryBehind::BeyondEnd | NoMemoryBehind::OverLimit => Signal::Bus,
            NoMemoryBehind::Guard => Signal::Segv,
        }
    }
}

impl State<'_> {
    /// Handles a fault on `page`, which `vma` covers and whose permissions were checked.
    ///
    /// Source: `handle_pte_fault()`, mm/memory.c, 6.1 and 6.12; `handle_pte_marker()`, mm/memory.c, 7.3.
    pub(super) fn touch(
        &mut self,
        proc: Proc,
        page: u8,
        touch: Touch,
    ) -> Result<(), NoMemoryBehind> {
        let Some(&vma) = self.process(proc).vmas.at(page) else {
            return Err(NoMemoryBehind::BeyondEnd);
        };
        if vma.object.is_huge() {
            return self.touch_huge(proc, page, &vma, touch);
        }
        if self.is_guard(proc, page) {
            return Err(NoMemoryBehind::Guard);
        }
        self.swap_in(proc, page, &vma);
        match (self.pte(proc, page), touch) {
            (Some(_), Touch::Read) => {}
            (Some(frame), Touch::Write | Touch::Unshare) => {
                if vma.sharing == Sharing::Private {
                    self.write_protected_fault(proc, page, frame)?;
                }
            }
            (None, Touch::Read | Touch::Unshare) => self.read_missing(proc, page, &vma)?,
            (None, Touch::Write) => self.write_missing(proc, page, &vma)?,
        }
        if touch == Touch::Write
            && let Some(frame) = self.pte(proc, page)
        {
            let shown = &mut self.frames[frame];
            shown.mark_written();
            // Shared memory keeps the mark until the entry is gone: `do_page_mkwrite()`, mm/memory.c, is for disks.
            shown.passed_over &= !shown.on_disk;
            self.set_pte_bits(proc, page, PteBits { dirty: true, writable: vma.prot.write() });
        }
        Ok(())
    }

    /// A write to, or the unsharing of, a present page of a private mapping:
    /// keep the frame if nobody else has it, else copy it.
    ///
    /// Source: `do_wp_page()`, mm/memory.c, 6.1 and 6.12.
    fn write_protected_fault(
        &mut self,
        proc: Proc,
        page: u8,
        old: FrameId,
    ) -> Result<(), NoMemoryBehind> {
        let frame = &self.frames[old];
        let reusable = match frame.usage {
            Use::Anon { exclusive: true } => true,
            Use::Anon { exclusive: false } => {
                let is_alone = frame.map_count == 1 && frame.swap_entries == 0;
                is_alone && frame.pin_count == 0 && !self.has(Fault::CopyOfSolePage)
            }
            Use::Zero | Use::Cache | Use::Ksm => false,
        };
        if reusable {
            self.leave_swap_cache(old);
            let frame = &mut self.frames[old];
            let was_shared = frame.usage == Use::Anon { exclusive: false };
            frame.usage = Use::Anon { exclusive: true };
            if was_shared && frame.batched {
                // A copy would be charged to nobody.
                self.unclear |= frame.charged;
                self.copied_perhaps.push(old);
            }
            return Ok(());
        }
        // In place of the zero page comes a page that was cleared, whatever an adapter wrote to that:
        // `wp_page_copy()`, mm/memory.c, 6.1 and 6.12.
        let content = match frame.usage {
            Use::Zero => Runs::uniform(PAGE_BYTES, 0),
            Use::Anon { .. } | Use::Ksm | Use::Cache => frame.content.clone(),
        };
        self.new_anon_page(proc, page, content)?;
        self.copies.extend(self.pte(proc, page).map(|copy| (old, copy)));
        Ok(())
    }

    /// Source: `do_anonymous_page()`, `do_read_fault()`, mm/memory.c, 6.1 and 6.12.
    fn read_missing(&mut self, proc: Proc, page: u8, vma: &Vma) -> Result<(), NoMemoryBehind> {
        match vma.object {
            Object::Anon { .. } | Object::Zero { .. } => self.set_pte(proc, page, FrameId::ZERO),
            Object::Huge { .. } => self.touch_huge(proc, page, vma, Touch::Read)?,
            Object::File { file, bias } => {
                self.fault_around(proc, page, vma, file, bias);
                if self.pte(proc, page).is_none() {
                    let waits = !self.is_up_to_date(file, file_page(page, bias));
                    self.read_ahead(vma, file, file_page(page, bias));
                    let frame = self.cache_page(file, file_page(page, bias))?;
                    // A page of a disk is waited for without the lock, and then the fault begins anew
                    // (`maybe_unlock_mmap_for_io()`, mm/internal.h, 6.1 and 6.12).
                    if waits && Self::is_on_disk(file) {
                        self.fault_around(proc, page, vma, file, bias);
                    }
                    if self.pte(proc, page).is_none() {
                        self.set_pte(proc, page, frame);
                    }
                }
            }
        }
        Ok(())
    }

    /// Source: `do_anonymous_page()`, `do_cow_fault()`, `do_shared_fault()`, mm/memory.c, 6.1 and 6.12.
    fn write_missing(&mut self, proc: Proc, page: u8, vma: &Vma) -> Result<(), NoMemoryBehind> {
        match (vma.object, vma.sharing) {
            (Object::Anon { .. } | Object::Zero { .. }, _) => {
                self.new_anon_page(proc, page, Runs::uniform(PAGE_BYTES, 0))?;
            }
            (Object::Huge { .. }, _) => self.touch_huge(proc, page, vma, Touch::Write)?,
            (Object::File { file, bias }, Sharing::Private) => {
                // The anon_vma and the frame of the copy come before the file is asked for its page.
                self.prepare_anon_vma(proc, page);
                let copy = self.new_frame(Use::Anon { exclusive: true }, Runs::default(), 0)?;
                self.read_ahead(vma, file, file_page(page, bias));
                let cached = self.cache_page_after(file, file_page(page, bias), 1)?;
                self.frames[copy].content = self.frames[cached].content.clone();
                self.set_pte(proc, page, copy);
            }
            (Object::File { file, bias }, Sharing::Shared) => {
                self.read_ahead(vma, file, file_page(page, bias));
                let frame = self.cache_page(file, file_page(page, bias))?;
                // `folio_mark_dirty()`, mm/page-writeback.c, 6.1 and 6.12.
                self.frames[frame].passed_over = false;
                self.set_pte(proc, page, frame);
            }
        }
        Ok(())
    }

    /// Reads a whole file from its disk, if `vma` shows the first page of it that is missed with advice about huge pages.
    /// Other mappings have nothing read ahead: the executor has turned that off.
    ///
    /// Source: `do_sync_mmap_readahead()`, mm/filemap.c, 6.1 and 6.12, which asks for more pages than a file has; 7.3 does
    /// so only where the file system has large folios.
    fn read_ahead(&mut self, vma: &Vma, file: FileId, page: u32) {
        let state = &self.files[file.0 as usize];
        let is_missed = |page: &u32| !state.cache.contains_key(page);
        let is_advised =
            vma.flags.has(Flags::HUGE) && self.profile.huge_advice == HugeAdvice::Noted;
        if !(is_missed(&page) && Self::is_on_disk(file) && is_advised) {
            return;
        }
        let missed: Vec<u32> =
            (0..state.len_bytes.div_ceil(PAGE_BYTES)).filter(is_missed).collect();
        for page in missed {
            if self.cache_page(file, page).is_err() {
                return;
            }
        }
    }

    /// Whether a file is on a disk, and so tracks what is dirty.
    ///
    /// Source: `vma_needs_dirty_tracking()`, mm/vma.c, 6.12; `ext4_file_vm_ops`, fs/ext4/file.c, 6.1 and 6.12.
    pub(super) fn is_on_disk(file: FileId) -> bool {
        let named = u8::try_from(file.0).ok().and_then(File::new);
        named.is_some_and(|file| file.kind() == FileKind::Disk)
    }

    /// Maps what is cached of the file in the 16 pages around `page`, as far as the mapping goes.
    ///
    /// Source: `do_fault_around()`, mm/memory.c, 6.1 and 6.12; `next_uptodate_page()`, mm/filemap.c, 6.1;
    /// `next_uptodate_folio()`, ditto, 6.12.
    fn fault_around(&mut self, proc: Proc, page: u8, vma: &Vma, file: FileId, bias: i32) {
        let aligned = i32::from(page) / FAULT_AROUND_PAGES * FAULT_AROUND_PAGES;
        let from = aligned.max(i32::from(vma.first));
        let to = (from + FAULT_AROUND_PAGES).min(i32::from(vma.end));
        let state = &self.files[file.0 as usize];
        let cached: Vec<(u8, FrameId)> = (from..to)
            .filter_map(|p| u8::try_from(p).ok())
            .filter_map(|p| Some((p, *state.cache.get(&file_page(p, bias))?)))
            .filter(|(_, frame)| {
                let frame = &self.frames[*frame];
                !frame.passed_over && !frame.block_only && !frame.is_swapped_file
            })
            .collect();
        let last_page = state.len_bytes.div_ceil(PAGE_BYTES).saturating_sub(1);
        let is_last = cached.first().is_some_and(|(page, _)| file_page(*page, bias) == last_page);
        let has_table = self.process(proc).has_table;
        if is_last
            && !has_table
            && self.profile.table_for_last_page == LastPageTable::Missing
            && state.on_disk()
        {
            return;
        }
        for (page, frame) in cached {
            // An entry of swap space or a guard is left alone (`pte_none()`).
            let is_swapped = self.process(proc).swapped[usize::from(page)].is_some();
            let is_free = self.pte(proc, page).is_none() && !is_swapped;
            if is_free && !self.is_guard(proc, page) {
                self.set_pte(proc, page, frame);
            }
        }
    }

    fn new_anon_page(&mut self, proc: Proc, page: u8, content: Runs) -> Result<(), NoMemoryBehind> {
        self.prepare_anon_vma(proc, page);
        let frame = self.new_frame(Use::Anon { exclusive: true }, content, 0)?;
        self.set_pte(proc, page, frame);
        Ok(())
    }

    pub(super) fn prepare_anon_vma(&mut self, proc: Proc, page: u8) {
        let mut count = self.anon_vma_count;
        let profile = self.profile;
        self.process_mut(proc).vmas.prepare_anon_vma(page, &mut count, profile);
        self.anon_vma_count = count;
    }
}

/// The page of the file that `page` of the arena shows.
pub(super) fn file_page(page: u8, bias: i32) -> u32 {
    u32::try_from(i32::from(page) + bias).expect("a mapping does not begin before its file")
}
