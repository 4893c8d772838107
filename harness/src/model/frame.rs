//! Frames: the physical pages behind everything.

use pinfold_contract::{PAGE_BYTES, Runs};

/// A frame. Names are given once a sequence; the zero page is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FrameId(u32);

impl FrameId {
    /// The zero page, which every untouched page of anonymous memory shows when it is read.
    pub(super) const ZERO: FrameId = FrameId(0);

    /// The name of the frame in a checkpoint.
    pub(super) fn name(self) -> u64 {
        u64::from(self.0)
    }
}

/// What a frame is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Use {
    /// The zero page.
    Zero,
    /// Anonymous memory. `exclusive` is PageAnonExclusive: only one process can
    /// have it mapped, so a write needs no copy and a pin is reliable.
    Anon {
        /// PageAnonExclusive.
        exclusive: bool,
    },
    /// Anonymous memory that KSM merged (PageKsm). A write always copies it,
    /// even if nobody else has it mapped any more.
    Ksm,
    /// The page cache of a file or of shared anonymous memory. It stays that
    /// when it was taken out of the cache.
    Cache,
}

/// One frame.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// What it is used as.
    pub(super) usage: Use,
    /// Its bytes.
    pub(super) content: Runs,
    /// Page table entries that map it.
    pub(super) map_count: u32,
    /// Pins that registrations hold on it.
    pub(super) pin_count: u32,
    /// Whether a file has it in its page cache.
    pub(super) cached: bool,
    /// Whether it is, or was, a page of a file on a disk: counts in RssFile, not in RssShmem.
    pub(super) on_disk: bool,
    /// Whether a page of a file was written since it was read or zeroed.
    pub(super) dirty: bool,
    /// Whether an anonymous one is marked dirty itself, beside the entries that map it (PG_dirty).
    pub(super) marked_dirty: bool,
    /// Whether a fault of a neighbour passes it over: PG_reclaim is PG_readahead.
    pub(super) passed_over: bool,
    /// Whether only its one block was read in, to zero a part of it: it is not PG_uptodate.
    pub(super) block_only: bool,
    /// Whether MADV_FREE gave it up and nobody has written it since. Reclaim may drop it.
    pub(super) lazyfree: bool,
    /// Whether a list of a processor may hold a reference to it, of pages that are to be locked, unlocked,
    /// given up or aged.
    pub(super) batched: bool,
    /// Whether it is charged to the memory cgroup in which `p0` registers.
    pub(super) charged: bool,
    /// Page table entries that are swap entries of it: what they had is in swap space.
    pub(super) swap_entries: u32,
    /// Whether it is in memory while it has a place in swap space (PG_swapcache).
    pub(super) in_swap_cache: bool,
    /// Whether it was a page of shared memory that is in swap space now, and in no memory.
    pub(super) is_swapped_file: bool,
    /// Whether MADV_FREE gave it up and no reclaim has found it written since: it is dropped or kept, but not
    /// swapped (not PG_swapbacked).
    pub(super) is_droppable: bool,
    /// Whether it is a huge page.
    pub(super) is_huge: bool,
    /// Whether a promise counts again when it comes back to the pool (HPageRestoreReserve, once it was mapped).
    pub(super) restores_promise: bool,
}

impl Frame {
    /// Whether anybody still has it: otherwise it is free memory again, and charged to nobody.
    pub(super) fn is_held(&self) -> bool {
        self.map_count > 0 || self.pin_count > 0 || self.cached
    }

    /// Everything about it but its bytes.
    pub(super) fn marks(&self) -> impl std::hash::Hash {
        let held = (self.usage, self.map_count, self.pin_count, self.cached, self.charged);
        let kept = (self.on_disk, self.block_only, self.lazyfree, self.batched);
        let huge = (self.is_huge, self.restores_promise);
        let swapped =
            (self.swap_entries, self.in_swap_cache, self.is_swapped_file, self.is_droppable);
        (held, kept, huge, swapped, self.dirty, self.marked_dirty, self.passed_over)
    }

    /// Notes that its bytes were written: no longer clean, no longer given up.
    pub(super) fn mark_written(&mut self) {
        self.dirty = true;
        self.lazyfree = false;
    }
}

/// Every frame of a sequence.
#[derive(Clone, Debug)]
pub(super) struct Frames(Vec<Frame>);

impl Frames {
    /// Only the zero page.
    pub(super) fn new() -> Frames {
        let mut frames = Frames(Vec::new());
        frames.add(Use::Zero, Runs::uniform(PAGE_BYTES, 0));
        frames
    }

    /// A new frame that nothing maps yet, charged to nobody who is looked at.
    pub(super) fn add(&mut self, usage: Use, content: Runs) -> FrameId {
        let id = u32::try_from(self.0.len()).expect("a sequence takes fewer than 4 G frames");
        self.0.push(Frame {
            usage,
            content,
            map_count: 0,
            pin_count: 0,
            cached: false,
            on_disk: false,
            dirty: false,
            marked_dirty: false,
            passed_over: false,
            block_only: false,
            lazyfree: false,
            batched: false,
            charged: false,
            swap_entries: 0,
            in_swap_cache: false,
            is_swapped_file: false,
            is_droppable: false,
            is_huge: false,
            restores_promise: false,
        });
        FrameId(id)
    }

    /// Each frame with its name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (FrameId, &Frame)> {
        (0..).map(FrameId).zip(&self.0)
    }
}

impl std::ops::Index<FrameId> for Frames {
    type Output = Frame;

    fn index(&self, id: FrameId) -> &Frame {
        &self.0[id.0 as usize]
    }
}

impl std::ops::IndexMut<FrameId> for Frames {
    fn index_mut(&mut self, id: FrameId) -> &mut Frame {
        &mut self.0[id.0 as usize]
    }
}
