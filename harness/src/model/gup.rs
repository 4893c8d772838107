//! Pinning: what `pin_user_pages()` does for a registration.

use pinfold_contract::{ALL_PAGES, Access, Proc, Sharing};

use super::Fault;
use super::fault::Touch;
use super::frame::{FrameId, Use};
use super::state::State;
use super::vma::{Object, Vma};
use crate::profile::{GupFast, NonCoherent, TrackedWritePin, Umem, Unshare};

/// What a registration asks of GUP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pin {
    write: Write,
    /// FOLL_FORCE: also where the process may not do it.
    force: bool,
    /// Whether pages may be made exclusive for it.
    unshare: bool,
}

/// Where FOLL_WRITE is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Everywhere,
    Nowhere,
    /// Where the process may write now: VM_WRITE.
    WhereAllowed,
    /// Where the process may write now and writing copies.
    WhereItCopies,
}

/// What is asked of one mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Write,
    ForcedWrite,
    Read,
    ForcedRead,
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
        if self.keeps_pages(access) {
            return Pin { write: Write::Nowhere, force: false, unshare: false };
        }
        let (write, force) = match (self.profile.umem, is_writable(access)) {
            (Umem::AlwaysWrite, writable) => (Write::Everywhere, !writable),
            (Umem::Swapped, true) => (Write::Nowhere, true),
            (Umem::Swapped, false) => (Write::Everywhere, true),
            (Umem::WriteIfWritable | Umem::FollowProcess | Umem::FollowPrivate, true) => {
                (Write::Everywhere, false)
            }
            (Umem::WriteIfWritable, false) => (Write::Nowhere, false),
            (Umem::FollowProcess, false) => (Write::WhereAllowed, false),
            (Umem::FollowPrivate, false) => (Write::WhereItCopies, false),
        };
        Pin { write, force, unshare: true }
    }

    /// Whether the registration takes the pages as they are, and may show old bytes.
    pub(super) fn keeps_pages(&self, access: Access) -> bool {
        self.profile.non_coherent == NonCoherent::KeepsPages && access.has(Access::NON_COHERENT)
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
        let page = u8::try_from(page).ok().filter(|page| *page < ALL_PAGES).ok_or(BadAddress)?;
        let vma = *self.process(proc).vmas.at(page).ok_or(BadAddress)?;
        let wanted = pin.of(&vma);
        if !self.is_open_to_gup_fast(proc, page, wanted) {
            self.check_vma(&vma, wanted)?;
        }
        let stale = wanted != Wanted::Write && self.has(Fault::StaleReadOnlyPin);
        let touch = if wanted.reads() || stale { Touch::Read } else { Touch::Write };
        self.touch(proc, page, touch).map_err(|_| BadAddress)?;
        let unshares = wanted.reads() && pin.unshare && !stale;
        if unshares && self.must_unshare(proc, page, &vma) {
            self.touch(proc, page, Touch::Unshare).map_err(|_| BadAddress)?;
        }
        self.pte(proc, page).ok_or(BadAddress)
    }

    /// Whether the page table alone says that the page can be pinned to be read. What it says of pins that write is what
    /// the mapping says of them.
    ///
    /// The special entry of the zero page is left to the slow way, as is a page that must be made exclusive. For that the
    /// mapping is not known here, so every page of a file counts as one of a private mapping, unless it can be written.
    ///
    /// Source: `gup_pte_range()`, mm/gup.c, 6.1, and `gup_fast_pte_range()`, 6.12; `gup_must_unshare()`, include/linux/mm.h,
    /// 6.1, and mm/internal.h, 6.12; `pte_special()`, arch/x86/include/asm/pgtable.h; `protection_map`, arch/x86/mm/pgprot.c, where what may be written or executed may be read.
    fn is_open_to_gup_fast(&self, proc: Proc, page: u8, wanted: Wanted) -> bool {
        let (Some(vma), Some(frame)) =
            (self.process(proc).vmas.at(page), self.pte(proc, page).map(|id| &self.frames[id]))
        else {
            return false;
        };
        let is_exclusive = match (frame.usage, self.profile.unshare) {
            (Use::Zero, _) => return false,
            (_, Unshare::Never) | (Use::Anon { exclusive: true }, _) => true,
            (Use::Anon { exclusive: false } | Use::Ksm, _) => false,
            (Use::Cache, Unshare::Anonymous) => true,
            (Use::Cache, Unshare::Private) => {
                let is_clean = frame.on_disk && !self.pte_bits(proc, page).writable;
                vma.sharing == Sharing::Shared && vma.prot.write() && !is_clean
            }
        };
        let is_accessible = vma.prot.read() || vma.prot.write() || vma.prot.exec();
        self.profile.gup_fast == GupFast::First && wanted.reads() && is_accessible && is_exclusive
    }

    /// Source: `check_vma_flags()`, mm/gup.c, 6.1 and 6.12.
    fn check_vma(&self, vma: &Vma, wanted: Wanted) -> Result<(), BadAddress> {
        if !wanted.reads() && self.tracks_pinned_writes(vma) {
            return Err(BadAddress);
        }
        let allowed = match wanted {
            Wanted::Write => vma.prot.write() || self.has(Fault::WritableOverReadOnly),
            // VM_SHARED is missing where the file is open for reading only, but so is VM_MAYWRITE.
            Wanted::ForcedWrite => vma.prot.write() || vma.may_be_forced(self.profile),
            Wanted::Read => vma.prot.read(),
            // All that can be mapped here may be made readable: VM_MAYREAD.
            Wanted::ForcedRead => true,
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

    /// Whether a page must be made exclusive before it is pinned for reading.
    ///
    /// Source: `gup_must_unshare()`, include/linux/mm.h, 6.1, and mm/internal.h, 6.12.
    fn must_unshare(&self, proc: Proc, page: u8, vma: &Vma) -> bool {
        let usage = self.pte(proc, page).map(|frame| self.frames[frame].usage);
        let anonymous = match usage {
            Some(Use::Anon { exclusive: true }) | None => return false,
            Some(Use::Anon { exclusive: false } | Use::Ksm) => true,
            Some(Use::Zero | Use::Cache) => false,
        };
        match self.profile.unshare {
            Unshare::Never => false,
            Unshare::Anonymous => anonymous,
            Unshare::Private => vma.sharing == Sharing::Private,
        }
    }
}

impl Pin {
    /// What is asked of `vma`.
    fn of(self, vma: &Vma) -> Wanted {
        let write = match self.write {
            Write::Everywhere => true,
            Write::Nowhere => false,
            Write::WhereAllowed => vma.prot.write(),
            Write::WhereItCopies => vma.prot.write() && vma.sharing == Sharing::Private,
        };
        match (write, self.force) {
            (true, false) => Wanted::Write,
            (true, true) => Wanted::ForcedWrite,
            (false, false) => Wanted::Read,
            (false, true) => Wanted::ForcedRead,
        }
    }
}

impl Wanted {
    /// Whether FOLL_WRITE is not set.
    fn reads(self) -> bool {
        match self {
            Wanted::Read | Wanted::ForcedRead => true,
            Wanted::Write | Wanted::ForcedWrite => false,
        }
    }
}
