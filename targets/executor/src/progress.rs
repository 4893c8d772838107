//! How far `p0` is, which the supervisor sees without being told: a message for each op would cost more than most ops.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::memory::Buffer;

/// What `p0` is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The set-up.
    SetUp,
    /// So many ops are done: it is at the next one or, after the last, at its end.
    Done(u32),
}

/// A number that both processes have. It is locked in memory: were it swapped out, `p0` would lose a page that its
/// own share is to have.
#[derive(Debug)]
pub(crate) struct Progress {
    page: Buffer,
}

impl Progress {
    /// For all sequences, one after the other.
    pub(crate) fn new() -> io::Result<Progress> {
        let page = Buffer::new(1)?;
        page.lock()?;
        Ok(Progress { page })
    }

    /// What `p0` does from now on.
    pub(crate) fn set(&self, stage: Stage) {
        let number = match stage {
            Stage::SetUp => 0,
            Stage::Done(count) => count + 1,
        };
        self.number().store(number, Ordering::Relaxed);
    }

    /// What `p0` does now.
    pub(crate) fn stage(&self) -> Stage {
        match self.number().load(Ordering::Relaxed) {
            0 => Stage::SetUp,
            number => Stage::Done(number - 1),
        }
    }

    fn number(&self) -> &AtomicU32 {
        let at = std::ptr::with_exposed_provenance_mut(
            usize::try_from(self.page.address()).expect("64-bit addresses"),
        );
        // SAFETY: the page lives as long as `self`, its start is aligned, and nobody takes a slice of it.
        unsafe { AtomicU32::from_ptr(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_seen() {
        let progress = Progress::new().unwrap();
        assert_eq!(progress.stage(), Stage::SetUp);
        for stage in [Stage::Done(0), Stage::Done(7), Stage::SetUp] {
            progress.set(stage);
            assert_eq!(progress.stage(), stage);
        }
    }
}
