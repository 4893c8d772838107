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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// The zero page.
    Zero,
    /// Anonymous memory. `exclusive` is PageAnonExclusive: only one process can
    /// have it mapped, so a write needs no copy and a pin is reliable.
    Anon {
        /// PageAnonExclusive.
        exclusive: bool,
    },
    /// The page cache of a file or of shared anonymous memory.
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

    /// A new frame that nothing maps yet.
    pub(super) fn add(&mut self, usage: Use, content: Runs) -> FrameId {
        let id = u32::try_from(self.0.len()).expect("a sequence takes fewer than 4 G frames");
        self.0.push(Frame { usage, content, map_count: 0, pin_count: 0 });
        FrameId(id)
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
