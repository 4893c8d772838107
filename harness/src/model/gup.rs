//! Pinning: what `pin_user_pages()` does for a registration.

use pinfold_contract::{ARENA_PAGES, Access, Proc, Sharing};

use super::Fault;
use super::fault::Touch;
use super::frame::{FrameId, Use};
use super::state::State;
use super::vma::{Object, Vma};
use crate::profile::{ReadOnlyPin, TrackedWritePin};

/// What a registration asks of GUP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pin {
    /// FOLL_WRITE.
    Write,
    /// FOLL_WRITE | FOLL_FORCE.
    ForcedWrite,
    /// Neither.
    Read,
}

/// A page cannot be pinned: EFAULT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadAddress;

/// Whether the adapter may write with this access.
///
/// Source: `ib_access_writable()`, include/rdma/ib_verbs.h, 6.1 and 6.12.
pub(super) fn is_writable(access: Access) -> bool {
    const WRITERS: Access = Access::LOCAL_WRITE
        .with(Access::REMOTE_WRITE)
        .with(Access::REMOTE_ATOMIC)
        .with(Access::MW_BIND);
    access.has_any(WRITERS)
}

impl State<'_> {
    /// What `ib_umem_get()` asks for a registration with `access`.
    pub(super) fn pin_for(&self, access: Access) -> Pin {
        match (is_writable(access), self.profile.read_only_pin) {
            (true, _) => Pin::Write,
            (false, ReadOnlyPin::ForcedWrite) => Pin::ForcedWrite,
            (false, ReadOnlyPin::Unsharing) => Pin::Read,
        }
    }

    /// Finds the frame to pin behind `page`, faulting it in and making it exclusive as needed.
    /// The pages before a bad one stay faulted in.
    ///
    /// Source: `__get_user_pages()`, mm/gup.c, 6.1 and 6.12.
    pub(super) fn frame_to_pin(
        &mut self,
        proc: Proc,
        page: u32,
        pin: Pin,
    ) -> Result<FrameId, BadAddress> {
        let page = u8::try_from(page).ok().filter(|page| *page < ARENA_PAGES).ok_or(BadAddress)?;
        let vma = *self.process(proc).vmas.at(page).ok_or(BadAddress)?;
        self.check_vma(&vma, pin)?;
        let stale = pin != Pin::Write && self.has(Fault::StaleReadOnlyPin);
        let touch = if pin == Pin::Read || stale { Touch::Read } else { Touch::Write };
        self.touch(proc, page, touch).map_err(|_| BadAddress)?;
        if pin == Pin::Read && !stale && self.must_unshare(proc, page, &vma) {
            self.touch(proc, page, Touch::Unshare).map_err(|_| BadAddress)?;
        }
        self.pte(proc, page).ok_or(BadAddress)
    }

    /// Source: `check_vma_flags()`, mm/gup.c, 6.1 and 6.12.
    fn check_vma(&self, vma: &Vma, pin: Pin) -> Result<(), BadAddress> {
        if pin != Pin::Read && self.tracks_pinned_writes(vma) {
            return Err(BadAddress);
        }
        let allowed = match pin {
            Pin::Write => vma.prot.write() || self.has(Fault::WritableOverReadOnly),
            // VM_SHARED is missing where the file is open for reading only, but so is VM_MAYWRITE.
            Pin::ForcedWrite => vma.prot.write() || vma.sharing == Sharing::Private,
            Pin::Read => vma.prot.read(),
        };
        allowed.then_some(()).ok_or(BadAddress)
    }

    /// Whether a long-term pin could dirty the pages of a file behind its back.
    ///
    /// Source: `writable_file_mapping_allowed()`, mm/gup.c; `vma_needs_dirty_tracking()`, mm/vma.c, 6.12.
    fn tracks_pinned_writes(&self, vma: &Vma) -> bool {
        let Object::File { file, .. } = vma.object else { return false };
        let refused = self.profile.tracked_write_pin == TrackedWritePin::Refused;
        refused && vma.sharing == Sharing::Shared && vma.prot.write() && Self::is_on_disk(file)
    }

    /// Whether a read-only long-term pin of the page would be unreliable.
    ///
    /// Source: `gup_must_unshare()`, mm/internal.h, 6.12.
    fn must_unshare(&self, proc: Proc, page: u8, vma: &Vma) -> bool {
        let exclusive = self
            .pte(proc, page)
            .is_some_and(|frame| self.frames[frame].usage == Use::Anon { exclusive: true });
        vma.sharing == Sharing::Private && !exclusive
    }
}
