//! Seals: `fcntl(F_ADD_SEALS)`.

use pinfold_contract::{Errno, File, FileKind, Outcome, Proc, Seals};

use super::Fault;
use super::file::file_id;
use super::state::State;
use super::vma::{FileId, Object};

impl State<'_> {
    /// Adds seals, by `p0`.
    ///
    /// Source: `memfd_add_seals()`, mm/memfd.c, 6.1 and 6.12.
    pub(super) fn seal(&mut self, file: File, seals: Seals) -> Outcome {
        let id = file_id(file);
        let had = self.file(id).seals;
        let refusal = match file.kind() {
            FileKind::Library => Some(Errno::EPERM),
            FileKind::Disk => Some(Errno::EINVAL),
            FileKind::Memfd | FileKind::Tmpfs if had.has(Seals::SEAL) => Some(Errno::EPERM),
            FileKind::Memfd | FileKind::Tmpfs => {
                let new_write = seals.has(Seals::WRITE) && !had.has(Seals::WRITE);
                let pinned = self.is_pinned(id) && !self.has(Fault::SealOverPins);
                let busy = new_write && (self.is_mapped_for_writing(id) || pinned);
                busy.then_some(Errno::EBUSY)
            }
        };
        if let Some(errno) = refusal {
            return Outcome::Errno(errno);
        }
        self.files[id.0 as usize].seals = had.with(seals);
        Outcome::Done
    }

    /// Whether some process has it mapped shared in a way that may be, or become, writable (`i_mmap_writable`).
    ///
    /// Source: `mapping_deny_writable()`, `vma_is_shared_maywrite()`, include/linux/{fs,mm}.h, 6.1 and 6.12.
    fn is_mapped_for_writing(&self, file: FileId) -> bool {
        let live = Proc::all().filter(|proc| self.is_live(*proc));
        live.flat_map(|proc| self.process(proc).vmas.iter()).any(|vma| {
            vma.is_shared_maywrite()
                && matches!(vma.object, Object::File { file: shown, .. } if shown == file)
        })
    }

    /// Whether a page in its cache has a reference that is no mapping: in a sequence, a pin.
    /// A page that was cut off or punched out no longer counts.
    ///
    /// Source: `memfd_wait_for_pins()`, mm/memfd.c, 6.1 and 6.12.
    fn is_pinned(&self, file: FileId) -> bool {
        self.file(file).cache.values().any(|frame| self.frames[*frame].pin_count > 0)
    }
}
