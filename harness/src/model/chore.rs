//! What the whole machine does at once: merging, reclaim, dropping caches.

use pinfold_contract::{ALL_PAGES, Chore, Outcome, Proc};

use super::Fault;
use super::file::FileState;
use super::frame::{Frame, FrameId, Use};
use super::state::State;
use super::vma::{FileId, Vma};
use crate::profile::LazyfreePinned;

impl State<'_> {
    /// Does a chore to its end.
    pub(super) fn chore(&mut self, chore: Chore) -> Outcome {
        match chore {
            Chore::KsmMerge => self.ksm_merge(),
            Chore::KsmUnmerge if self.has(Fault::UnmergeForgotten) => {}
            Chore::KsmUnmerge => self.ksm_unmerge(),
            Chore::Compact if self.has(Fault::PinnedMoved) => self.move_pinned(),
            // Frames move, but who shares what with whom does not change.
            Chore::Compact => {}
            Chore::Reclaim => {
                self.sync();
                self.reclaim_frames(false);
            }
            Chore::DropCaches => self.drop_caches(),
        }
        Outcome::Done
    }

    /// Writes every dirty page to its disk, as the executor does before it asks for reclaim:
    /// whether a dirty page is written in time is otherwise up to the flusher.
    fn sync(&mut self) {
        for file in self.files_of(|file| file.on_disk()) {
            self.write_back(file, 0, u32::MAX);
        }
    }

    /// Takes away what costs nothing without swap: clean pages of a disk, and what MADV_FREE gave up.
    /// Of the cgroup of the registrations, or of that in which everything else is.
    ///
    /// A pinned page of a disk is unmapped all the same, but stays in the cache.
    /// Locked pages are on no list that is scanned. Shared memory has nowhere to go.
    ///
    /// Source: `shrink_folio_list()`, mm/vmscan.c; `try_to_unmap_one()`, mm/rmap.c, 6.1 and 6.12.
    pub(super) fn reclaim_frames(&mut self, charged: bool) {
        self.keep_what_was_written(charged);
        for id in self.reclaimable(charged) {
            let frame = &self.frames[id];
            let pinned = frame.pin_count > 0;
            match frame.usage {
                Use::Anon { .. } | Use::Ksm => self.discard(id),
                Use::Cache => {
                    self.unmap_everywhere(id);
                    if !pinned {
                        self.uncache_frame(id);
                    }
                }
                Use::Zero => {}
            }
        }
    }

    /// What MADV_FREE gave up and was written since is found so, and may be swapped again. Locked pages are not looked
    /// at.
    ///
    /// Source: `try_to_unmap_one()`, mm/rmap.c, 6.1 and 6.12: `folio_set_swapbacked()`.
    fn keep_what_was_written(&mut self, charged: bool) {
        let is_written = |frame: &Frame| {
            frame.is_droppable && !frame.lazyfree && frame.is_held() && frame.charged == charged
        };
        let found = self.frames.iter().filter(|(_, frame)| is_written(frame));
        let found: Vec<FrameId> = found.map(|(id, _)| id).collect();
        for id in found {
            self.frames[id].is_droppable = self.is_locked(id);
        }
    }

    /// What reclaim would take, or at least try to.
    pub(super) fn reclaimable(&self, charged: bool) -> Vec<FrameId> {
        let wanted = |frame: &Frame| match frame.usage {
            Use::Anon { .. } | Use::Ksm => frame.lazyfree,
            Use::Cache => frame.cached && frame.on_disk && !frame.dirty,
            Use::Zero => false,
        };
        let wanted = |frame: &Frame| frame.is_held() && frame.charged == charged && wanted(frame);
        let found = self.frames.iter().filter(|(_, frame)| wanted(frame)).map(|(id, _)| id);
        found.filter(|id| !self.is_locked(*id)).collect()
    }

    /// Drops a frame that MADV_FREE gave up, unless a dirty entry maps it or something else has a
    /// reference: then it is kept, and taken off the list of those given up. Which of its entries are
    /// gone by the time a dirty one is met depends on the order of mappings in their anon_vma. What is merely pinned
    /// stays given up on some kernels (`LazyfreePinned`).
    ///
    /// Source: `try_to_unmap_one()`, mm/rmap.c, 6.1, 6.12 and 7.2; `ttu_anon_lazyfree_folio()`, mm/rmap.c, 7.3.
    pub(super) fn discard(&mut self, id: FrameId) {
        let places = self.places_of(id);
        let dirty = places.iter().filter(|place| self.pte_bits(place.0, place.1).dirty).count();
        self.unclear |= dirty > 0 && places.len() > 1;
        let stays_given_up = self.profile.lazyfree_pinned == LazyfreePinned::StaysGivenUp;
        let frame = &mut self.frames[id];
        let is_written = frame.marked_dirty || dirty > 0;
        if frame.pin_count > 0 && !is_written && stays_given_up {
            return;
        }
        if frame.pin_count > 0 || is_written {
            frame.lazyfree = false;
            frame.is_droppable = false;
            frame.marked_dirty |= dirty > 0;
        } else {
            self.unmap_everywhere(id);
        }
    }

    /// Drops each page of a file that is clean, unmapped and unpinned. A hole of shared memory that
    /// was only read is one: it comes back as zeroes.
    ///
    /// Source: `mapping_evict_folio()`, mm/truncate.c, 6.1 and 6.12; `lru_deactivate_file_fn()`, mm/swap.c, 6.1;
    /// `lru_deactivate_file()`, ditto, 6.12; `shmem_recalc_inode()`, mm/shmem.c, 6.1 and 6.12.
    fn drop_caches(&mut self) {
        let idle = |frame: &Frame| {
            frame.cached && !frame.dirty && frame.map_count == 0 && frame.pin_count == 0
        };
        let gone: Vec<FrameId> =
            self.frames.iter().filter(|(_, frame)| idle(frame)).map(|(id, _)| id).collect();
        gone.into_iter().for_each(|id| self.uncache_frame(id));
        // What is dirty is put where reclaim will find it, and marked.
        let left: Vec<FileId> = self.files_of(|file| !file.cache.is_empty());
        for file in left {
            let cached: Vec<FrameId> = self.file(file).cache.values().copied().collect();
            for id in cached {
                let frame = &mut self.frames[id];
                frame.passed_over |= frame.dirty && frame.map_count == 0;
            }
        }
    }

    pub(super) fn files_of(&self, wanted: impl Fn(&FileState) -> bool) -> Vec<FileId> {
        let named = (0..).map(FileId).zip(&self.files);
        named.filter(|(_, file)| wanted(file)).map(|(id, _)| id).collect()
    }

    /// What a planted fault does to pinned pages of one place: a copy comes there.
    fn move_pinned(&mut self) {
        let alone =
            |frame: &Frame| frame.pin_count > 0 && frame.usage == Use::Anon { exclusive: true };
        let found = self.frames.iter().filter(|(_, frame)| alone(frame));
        let pinned: Vec<FrameId> = found.map(|(id, _)| id).collect();
        for id in pinned {
            let frame = self.frames[id].clone();
            for (proc, page) in self.places_of(id) {
                let copy = self.frames.add(frame.usage, frame.content.clone());
                self.set_pte(proc, page, copy);
            }
        }
    }

    fn uncache_frame(&mut self, id: FrameId) {
        let place = (0..).map(FileId).zip(&self.files).find_map(|(file, state)| {
            state.cache.iter().find(|(_, frame)| **frame == id).map(|(page, _)| (file, *page))
        });
        if let Some((file, page)) = place {
            self.uncache(file, page);
        }
    }

    pub(super) fn unmap_everywhere(&mut self, id: FrameId) {
        for (proc, page) in self.places_of(id) {
            self.clear_pte(proc, page);
        }
    }

    /// Whether a mapping that shows the frame is locked, which locks the frame for all.
    pub(super) fn is_locked(&self, id: FrameId) -> bool {
        self.places_of(id)
            .into_iter()
            .any(|(proc, page)| self.process(proc).vmas.at(page).is_some_and(Vma::is_locked))
    }

    /// Where processes show the frame.
    pub(super) fn places_of(&self, id: FrameId) -> Vec<(Proc, u8)> {
        let live = Proc::all().filter(|proc| self.is_live(*proc));
        live.flat_map(|proc| (0..ALL_PAGES).map(move |page| (proc, page)))
            .filter(|(proc, page)| self.pte(*proc, *page) == Some(id))
            .collect()
    }
}
