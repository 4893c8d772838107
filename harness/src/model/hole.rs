//! Holes: `fallocate(FALLOC_FL_PUNCH_HOLE)`, and MADV_REMOVE, which is that.

use pinfold_contract::{ByteRange, Errno, File, Outcome, PAGE_BYTES, Seals};

use super::Fault;
use super::file::file_id;
use super::state::State;
use super::vma::FileId;
use crate::profile::DiskPunch;

impl State<'_> {
    /// Punches a hole, by `p0`.
    ///
    /// Source: `vfs_fallocate()`, fs/open.c; `shmem_fallocate()`, mm/shmem.c;
    /// `ext4_punch_hole()`, fs/ext4/inode.c, 6.1 and 6.12.
    pub(super) fn punch(&mut self, file: File, range: ByteRange) -> Outcome {
        let id = file_id(file);
        if range.len_bytes() == 0 {
            return Outcome::Errno(Errno::EINVAL);
        }
        if !self.file(id).may_write() {
            return Outcome::Errno(Errno::EBADF);
        }
        if self.is_write_sealed(id) {
            return Outcome::Errno(Errno::EPERM);
        }
        self.punch_bytes(id, range.start().0, range.end().0);
        Outcome::Done
    }

    /// Punches out whole pages, as MADV_REMOVE does. The caller has looked at [`State::is_write_sealed`].
    ///
    /// Source: `madvise_remove()`, mm/madvise.c, 6.1 and 6.12.
    pub(super) fn punch_pages(&mut self, file: FileId, first: u32, end: u32) {
        self.punch_bytes(file, first * PAGE_BYTES, end * PAGE_BYTES);
    }

    /// Whether a seal forbids holes: EPERM.
    pub(super) fn is_write_sealed(&self, file: FileId) -> bool {
        self.file(file).seals.has_any(Seals::WRITE.with(Seals::FUTURE_WRITE))
    }

    /// Whole pages leave the cache and the mappings that show them, but private copies stay. The bytes
    /// on other pages are zeroed where they are.
    ///
    /// Source: `shmem_fallocate()`, mm/shmem.c, 6.1 and 6.12; `truncate_pagecache_range()`, mm/truncate.c,
    /// which ext4 of 6.12 asks for any hole and ext4 of 6.1 for whole pages alone.
    fn punch_bytes(&mut self, file: FileId, start: u32, end: u32) {
        let on_disk = self.file(file).on_disk();
        let len_bytes = self.file(file).len_bytes;
        if on_disk && self.profile.disk_punch == DiskPunch::WritesFirst {
            self.write_back(file, start / PAGE_BYTES, end.div_ceil(PAGE_BYTES));
        }
        if on_disk && start >= len_bytes {
            return;
        }
        // On a disk the hole ends with the page that the file ends on.
        let end = if on_disk { end.min(len_bytes.next_multiple_of(PAGE_BYTES)) } else { end };
        let (first, last) = (start.div_ceil(PAGE_BYTES), end / PAGE_BYTES);
        if first < last {
            self.unmap_file_pages(file, first, last, false);
            (first..last).for_each(|page| self.uncache(file, page));
            self.forget_stored(file, first, last);
        }
        // The end of a hole inside the first page wraps around: all that follows is unmapped.
        let wraps = end > 0 && end < PAGE_BYTES;
        if wraps && (!on_disk || self.profile.disk_punch == DiskPunch::DropsAll) {
            self.unmap_file_pages(file, first, u32::MAX, false);
        }
        if self.has(Fault::PunchedBytesKept) {
            return;
        }
        let (start_page, end_page) = (start / PAGE_BYTES, end / PAGE_BYTES);
        let (from, to) = (start % PAGE_BYTES, end % PAGE_BYTES);
        if start_page == end_page {
            self.zero_in_page(file, start_page, (from, to), true);
            return;
        }
        if from > 0 {
            self.zero_in_page(file, start_page, (from, PAGE_BYTES), true);
        }
        if to > 0 {
            self.zero_in_page(file, end_page, (0, to), true);
        }
    }
}
