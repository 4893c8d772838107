//! Files: their page cache, their length, and what writes to them and cuts them.

use std::collections::BTreeMap;

use pinfold_contract::{
    Errno, FILE_PAGES, File, FileKind, LIBRARY_TAG, Outcome, PAGE_BYTES, Position, Proc, Runs,
    Seals,
};

use super::Fault;
use super::cpu::pieces;
use super::fault::NoMemoryBehind;
use super::frame::{FrameId, Frames, Use};
use super::huge::Promises;
use super::state::{PteBits, State};
use super::vma::{FileId, Object, Vma};
use crate::profile::DiskTail;

/// A file or a piece of shared anonymous memory.
#[derive(Clone, Debug, Default)]
pub(super) struct FileState {
    /// What it is; nothing for shared anonymous memory, which has no descriptor.
    pub(super) kind: Option<FileKind>,
    /// Its length (`i_size`), in bytes.
    pub(super) len_bytes: u32,
    /// Its seals.
    pub(super) seals: Seals,
    /// The frames in its page cache.
    pub(super) cache: BTreeMap<u32, FrameId>,
    /// What the disk has of it: pages that are not here are zeroes.
    stored: BTreeMap<u32, Runs>,
    /// If its pages are huge: what is promised of them. Then each page counts as one.
    pub(super) huge: Option<Promises>,
}

impl FileState {
    /// Shared anonymous memory, all holes: `shmem_zero_setup()`, mm/shmem.c, 6.1 and 6.12.
    pub(super) fn unnamed(page_count: u32) -> FileState {
        FileState { len_bytes: page_count * PAGE_BYTES, ..FileState::default() }
    }

    /// A named file as each sequence finds it. A tmpfs refuses seals: `shmem_get_inode()`,
    /// mm/shmem.c; `SYSCALL_DEFINE2(memfd_create)`, mm/memfd.c, lets them in. Both 6.1 and 6.12.
    pub(super) fn named(file: File, frames: &mut Frames) -> FileState {
        let kind = file.kind();
        let (cached, first_tag, seals) = match kind {
            FileKind::Memfd => (false, 0, Seals::default()),
            FileKind::Tmpfs => (false, 0, Seals::SEAL),
            FileKind::Library => (true, LIBRARY_TAG, Seals::SEAL),
            FileKind::Disk => (true, 0, Seals::default()),
        };
        let mut state =
            FileState { kind: Some(kind), seals, ..FileState::unnamed(u32::from(FILE_PAGES)) };
        if kind == FileKind::Disk {
            // Zeroes were written to every page of it, so none is a hole.
            let zeroes = || Runs::uniform(PAGE_BYTES, 0);
            state.stored = (0..u32::from(FILE_PAGES)).map(|page| (page, zeroes())).collect();
        }
        for page in (0..FILE_PAGES).filter(|_| cached) {
            let tag = if first_tag == 0 { 0 } else { first_tag + page };
            let frame = frames.add(Use::Cache, Runs::uniform(PAGE_BYTES, tag));
            frames[frame].cached = true;
            frames[frame].on_disk = kind == FileKind::Disk;
            frames[frame].dirty = kind == FileKind::Library;
            state.cache.insert(u32::from(page), frame);
        }
        state
    }

    /// What the disk has of it, page by page.
    pub(super) fn stored(&self) -> &BTreeMap<u32, Runs> {
        &self.stored
    }

    /// Whether it is on a disk.
    pub(super) fn on_disk(&self) -> bool {
        self.kind == Some(FileKind::Disk)
    }

    /// Whether its descriptor may write.
    pub(super) fn may_write(&self) -> bool {
        self.kind != Some(FileKind::Library)
    }

    fn has_page(&self, page: u32) -> bool {
        page < self.len_bytes.div_ceil(PAGE_BYTES)
    }
}

/// The model's name of a file of the contract: the first ones are in their order.
pub(super) fn file_id(file: File) -> FileId {
    FileId(u32::try_from(file.index()).expect("there are a handful of files"))
}

impl State<'_> {
    pub(super) fn file(&self, file: FileId) -> &FileState {
        &self.files[file.0 as usize]
    }

    fn file_mut(&mut self, file: FileId) -> &mut FileState {
        &mut self.files[file.0 as usize]
    }

    /// The page of a file for a fault, allocated or read in if it is not cached.
    ///
    /// Source: `shmem_fault()` and `shmem_get_folio_gfp()`, mm/shmem.c; `filemap_fault()`,
    /// mm/filemap.c, 6.1 and 6.12.
    pub(super) fn cache_page(
        &mut self,
        file: FileId,
        page: u32,
    ) -> Result<FrameId, NoMemoryBehind> {
        self.cache_page_after(file, page, 0)
    }

    /// The same while `reserved` pages are charged for frames that nobody has yet.
    pub(super) fn cache_page_after(
        &mut self,
        file: FileId,
        page: u32,
        reserved: usize,
    ) -> Result<FrameId, NoMemoryBehind> {
        if !self.file(file).has_page(page) {
            return Err(NoMemoryBehind::BeyondEnd);
        }
        let frame = self.bring_in(file, page, reserved)?;
        self.frames[frame].block_only = false;
        Ok(frame)
    }

    /// Takes a page of shared memory out of memory. What comes back comes back as another frame.
    ///
    /// Source: `shmem_writepage()`, mm/shmem.c, 6.1 and 6.12.
    pub(super) fn swap_out_page(&mut self, file: FileId, page: u32, id: FrameId) {
        let stored = self.frames.add(Use::Cache, self.frames[id].content.clone());
        self.uncache(file, page);
        self.file_mut(file).cache.insert(page, stored);
        let frame = &mut self.frames[stored];
        (frame.cached, frame.dirty, frame.is_swapped_file) = (true, true, true);
    }

    /// Brings a page of shared memory back from swap space, if it is there. It is dirty as it was.
    ///
    /// Source: `shmem_swapin_folio()`, mm/shmem.c, 6.1 and 6.12.
    fn swap_in_page(&mut self, id: FrameId) {
        let frame = &mut self.frames[id];
        frame.passed_over &= !frame.is_swapped_file;
        frame.is_swapped_file = false;
    }

    /// Whether a page of a file can be mapped without a wait for its disk.
    pub(super) fn is_up_to_date(&self, file: FileId, page: u32) -> bool {
        let cached = self.file(file).cache.get(&page);
        cached.is_some_and(|frame| !self.frames[*frame].block_only)
    }

    /// The cached frame of a page, wherever the file ends.
    fn bring_in(
        &mut self,
        file: FileId,
        page: u32,
        reserved: usize,
    ) -> Result<FrameId, NoMemoryBehind> {
        if let Some(frame) = self.file(file).cache.get(&page).copied() {
            self.swap_in_page(frame);
            return Ok(frame);
        }
        let stored = self.file(file).stored.get(&page).cloned();
        let content = stored.unwrap_or_else(|| Runs::uniform(PAGE_BYTES, 0));
        let on_disk = self.file(file).on_disk();
        let id = self.new_frame(Use::Cache, content, reserved)?;
        self.frames[id].cached = true;
        self.frames[id].on_disk = on_disk;
        self.file_mut(file).cache.insert(page, id);
        Ok(id)
    }

    /// Shared memory that nobody maps any more is gone, as no descriptor holds it.
    ///
    /// Source: `shmem_evict_inode()`, mm/shmem.c, 6.1 and 6.12.
    pub(super) fn forget_nameless_memory(&mut self) {
        let promised = |file: &FileState| file.huge.as_ref().is_some_and(|p| !p.regions.is_empty());
        let is_used = |file: &FileState| !file.cache.is_empty() || promised(file);
        for file in self.files_of(|file| file.kind.is_none() && is_used(file)) {
            let shows = |vma: &Vma| match vma.object {
                Object::File { file: shown, .. } | Object::Huge { file: shown, .. } => {
                    shown == file
                }
                Object::Anon { .. } | Object::Zero { .. } => false,
            };
            let mut live = Proc::all().filter(|proc| self.is_live(*proc));
            if !live.any(|proc| self.process(proc).vmas.iter().any(shows)) {
                self.evict_huge(file);
                let pages: Vec<u32> = self.file(file).cache.keys().copied().collect();
                pages.into_iter().for_each(|page| self.uncache(file, page));
            }
        }
    }

    /// Takes a page out of the cache. Who has it pinned keeps a frame that is nobody's page any more.
    pub(super) fn uncache(&mut self, file: FileId, page: u32) {
        if let Some(frame) = self.file_mut(file).cache.remove(&page) {
            self.frames[frame].cached = false;
        }
    }

    /// Gives a pinned frame back. A registration that may write leaves it dirty, written or not.
    ///
    /// Source: `__ib_umem_release()`, drivers/infiniband/core/umem.c, 6.1 and 6.12.
    pub(super) fn unpin(&mut self, id: FrameId, writable: bool) {
        // Only what MADV_FREE gave up is clean while it is pinned for writing.
        let is_clean = self.frames[id].lazyfree && writable;
        let stays_clean = is_clean && self.has(Fault::UnpinnedClean);
        let frame = &mut self.frames[id];
        frame.pin_count -= 1;
        if writable && !stays_clean {
            frame.marked_dirty = true;
            frame.passed_over = false;
            frame.mark_written();
        }
    }

    /// `pwrite` of `tag` by `p0`, page by page: those before a refused one are written.
    ///
    /// Source: `vfs_write()`, fs/read_write.c; `generic_perform_write()`, mm/filemap.c;
    /// `shmem_write_begin()`, mm/shmem.c; `ext4_da_write_end()`, fs/ext4/inode.c, 6.1 and 6.12.
    pub(super) fn file_write(
        &mut self,
        file: File,
        at: Position,
        len_bytes: u32,
        tag: u8,
    ) -> Outcome {
        let id = file_id(file);
        if !self.file(id).may_write() {
            return Outcome::Errno(Errno::EBADF);
        }
        for piece in pieces(at, len_bytes) {
            let start = at.0 + piece.done_bytes;
            let end = start + (piece.to - piece.from);
            let state = self.file(id);
            let sealed = state.seals.has_any(Seals::WRITE.with(Seals::FUTURE_WRITE))
                || (state.seals.has(Seals::GROW) && end > state.len_bytes);
            if sealed {
                return Outcome::Errno(Errno::EPERM);
            }
            let old_len = state.len_bytes;
            self.file_mut(id).len_bytes = old_len.max(end);
            let Ok(frame) = self.bring_in(id, start / PAGE_BYTES, 0) else {
                return Outcome::Errno(Errno::ENOMEM);
            };
            let lost = self.has(Fault::FileWriteLost);
            let frame = &mut self.frames[frame];
            if !lost || frame.map_count == 0 {
                frame.content = frame.content.filled(piece.from, piece.to, tag);
            }
            frame.mark_written();
            // `mark_buffer_dirty()`, fs/buffer.c, leaves the mark, unlike `folio_mark_dirty()`.
            frame.passed_over &= frame.on_disk;
            // `__block_commit_write()`, fs/buffer.c: a page is one block, and all of that is known now.
            frame.block_only = false;
            if start > old_len {
                self.zero_old_tail(id, old_len, start);
            }
        }
        Outcome::Done
    }

    /// `ftruncate` by `p0`.
    ///
    /// Source: `do_sys_ftruncate()`, fs/open.c; `shmem_setattr()`, mm/shmem.c;
    /// `ext4_setattr()`, fs/ext4/inode.c, 6.1 and 6.12.
    pub(super) fn truncate(&mut self, file: File, end: Position) -> Outcome {
        let id = file_id(file);
        let (new, old, seals) = (end.0, self.file(id).len_bytes, self.file(id).seals);
        if !self.file(id).may_write() {
            return Outcome::Errno(Errno::EINVAL);
        }
        if (new < old && seals.has(Seals::SHRINK)) || (new > old && seals.has(Seals::GROW)) {
            return Outcome::Errno(Errno::EPERM);
        }
        self.file_mut(id).len_bytes = new;
        if new > old {
            self.zero_old_tail(id, old, new);
        }
        // A file on a disk gets its new last page zeroed behind the end when it grows, too.
        if new <= old || self.file(id).on_disk() {
            self.cut_off(id, new, new <= old);
        }
        Outcome::Done
    }

    /// Drops every page behind the end, private copies of them too, and zeroes the rest of the last one.
    ///
    /// Source: `unmap_mapping_range()` with `even_cows`, mm/memory.c; `shmem_undo_range()`,
    /// mm/shmem.c; `truncate_inode_pages_range()`, mm/truncate.c; `ext4_truncate()`, fs/ext4/inode.c, 6.1 and 6.12.
    fn cut_off(&mut self, file: FileId, end: u32, read_in: bool) {
        let first = end.div_ceil(PAGE_BYTES);
        self.unmap_file_pages(file, first, u32::MAX, true);
        let gone: Vec<u32> = self.file(file).cache.range(first..).map(|(page, _)| *page).collect();
        gone.into_iter().for_each(|page| self.uncache(file, page));
        self.file_mut(file).stored.retain(|page, _| *page < first);
        if !end.is_multiple_of(PAGE_BYTES) && !self.has(Fault::CutTailKept) {
            self.zero_in_page(file, end / PAGE_BYTES, (end % PAGE_BYTES, PAGE_BYTES), read_in);
        }
    }

    /// What a file that grows does with the bytes behind its old end, which a mapping may have
    /// written: only ext4 of 6.12 zeroes them, up to `new` or the end of their page.
    fn zero_old_tail(&mut self, file: FileId, old: u32, new: u32) {
        let from = old % PAGE_BYTES;
        let zeroed = match self.profile.disk_tail {
            DiskTail::Zeroed => self.file(file).on_disk() && from > 0,
            DiskTail::Kept => false,
        };
        if zeroed {
            let page = old / PAGE_BYTES;
            let to = PAGE_BYTES.min(new - page * PAGE_BYTES);
            self.zero_in_page(file, page, (from, to), true);
        }
    }

    /// Zeroes bytes of a page in the cache. A page on a disk is read in for that, if `read_in`.
    ///
    /// Source: `truncate_inode_partial_folio()`, mm/truncate.c; `__ext4_block_zero_page_range()`,
    /// fs/ext4/inode.c, 6.1 and 6.12.
    pub(super) fn zero_in_page(
        &mut self,
        file: FileId,
        page: u32,
        (from, to): (u32, u32),
        read_in: bool,
    ) {
        let state = self.file(file);
        let cached = state.cache.get(&page).copied();
        let on_disk = read_in && state.on_disk() && state.stored.contains_key(&page);
        let frame = match cached {
            Some(frame) => Some(frame),
            None if on_disk => {
                let frame = self.bring_in(file, page, 0).ok();
                // `ext4_read_bh_lock()` makes the buffer up to date, and not the page.
                frame.into_iter().for_each(|frame| self.frames[frame].block_only = true);
                frame
            }
            None => None,
        };
        if let Some(frame) = frame {
            // `shmem_get_partial_folio()`, mm/shmem.c, 6.1 and 6.12.
            self.swap_in_page(frame);
            let frame = &mut self.frames[frame];
            frame.content = frame.content.filled(from, to, 0);
            frame.passed_over &= frame.on_disk;
            // Growing a file on a disk does not make the page dirty.
            if read_in || !frame.on_disk {
                frame.mark_written();
            }
        }
    }

    /// Writes the dirty pages `first..end` of a file on a disk, which zeroes what lies behind the end.
    ///
    /// Source: `ext4_bio_write_page()`, fs/ext4/page-io.c, 6.1; `ext4_bio_write_folio()`, ditto, 6.12.
    pub(super) fn write_back(&mut self, file: FileId, first: u32, end: u32) {
        let len_bytes = self.file(file).len_bytes;
        let cached: Vec<(u32, FrameId)> =
            self.file(file).cache.range(first..end).map(|(page, frame)| (*page, *frame)).collect();
        for (page, id) in cached {
            let frame = &mut self.frames[id];
            if !frame.dirty {
                continue;
            }
            let used = len_bytes.saturating_sub(page * PAGE_BYTES).min(PAGE_BYTES);
            frame.content = frame.content.filled(used, PAGE_BYTES, 0);
            frame.dirty = false;
            frame.passed_over = false;
            let content = frame.content.clone();
            self.file_mut(file).stored.insert(page, content);
            self.protect_entries(id);
        }
    }

    /// Makes every entry that shows `id` clean and write-protected, so that the next write is noticed.
    ///
    /// Source: `page_vma_mkclean_one()`, mm/rmap.c, 6.1 and 6.12.
    fn protect_entries(&mut self, id: FrameId) {
        for (proc, page) in self.places_of(id) {
            self.set_pte_bits(proc, page, PteBits::default());
        }
    }

    /// What the disk has of these pages is gone.
    pub(super) fn forget_stored(&mut self, file: FileId, first: u32, end: u32) {
        self.file_mut(file).stored.retain(|page, _| *page < first || *page >= end);
    }

    /// Unmaps the pages `first..end` of a file from every process: what shows the file, and with
    /// `even_cows` private copies too.
    ///
    /// Source: `unmap_mapping_range()`, `should_zap_cows()`, mm/memory.c, 6.1 and 6.12.
    pub(super) fn unmap_file_pages(&mut self, file: FileId, first: u32, end: u32, even_cows: bool) {
        for proc in Proc::all() {
            if !self.is_live(proc) {
                continue;
            }
            for page in self.pages_of_file(proc, file, first, end) {
                let is_file = self
                    .pte(proc, page)
                    .is_some_and(|frame| self.frames[frame].usage == Use::Cache);
                // Private copies that are swapped out go as those do that are present.
                if even_cows || is_file {
                    self.clear_pte(proc, page);
                }
            }
        }
    }

    fn pages_of_file(&self, proc: Proc, file: FileId, first: u32, end: u32) -> Vec<u8> {
        let mut pages = Vec::new();
        for vma in self.process(proc).vmas.iter() {
            let Object::File { file: shown, bias } = vma.object else { continue };
            let in_range = |page: &u8| {
                u32::try_from(i32::from(*page) + bias).is_ok_and(|p| first <= p && p < end)
            };
            if shown == file {
                pages.extend((vma.first..vma.end).filter(in_range));
            }
        }
        pages
    }
}
