//! The ops on an address space: map, unmap, protect, fork, exit.

use pinfold_contract::{
    ALL_PAGES, ARENA_PAGES, Backing, Errno, FileKind, Outcome, PageRange, Proc, Prot, Seals,
    Sharing,
};

use super::file::FileState;
use super::frame::{FrameId, Use};
use super::state::{Process, PteBits, State};
use super::vma::{FileId, Flags, Object, Vma, flags_after};
use super::{Fault, Prediction};
use crate::profile::{FutureWriteCheck, HugePages};

impl State<'_> {
    /// `mmap(MAP_FIXED)`. Pages are brought in if that was asked for or they are locked.
    ///
    /// Source: `vm_mmap_pgoff()`, mm/util.c, 6.1 and 6.12.
    pub(super) fn map_and_populate(
        &mut self,
        proc: Proc,
        pages: PageRange,
        backing: Backing,
        sharing: Sharing,
        prot: Prot,
        populate: bool,
    ) -> Prediction {
        let outcome = self.map(proc, pages, backing, sharing, prot);
        let is_locked = self.process(proc).new_flags.has(Flags::LOCKED);
        if outcome == Outcome::Done && (populate || is_locked) {
            self.populate_or_not(proc, pages);
        }
        self.unless_limit_is_near(proc, false, outcome)
    }

    /// Unmaps what is there and maps anew, without any page.
    ///
    /// Source: `do_mmap()`, `mmap_region()` and `__mmap_region()`, mm/mmap.c, 6.1 and 6.12.
    pub(super) fn map(
        &mut self,
        proc: Proc,
        pages: PageRange,
        backing: Backing,
        sharing: Sharing,
        prot: Prot,
    ) -> Outcome {
        if backing == Backing::Huge && self.profile.huge_pages == HugePages::None {
            return Outcome::Errno(Errno::EINVAL);
        }
        let new_flags = self.process(proc).new_flags;
        let locked = i64::from(pages.small_page_count());
        if new_flags.has(Flags::LOCKED) && !self.lock_fits(proc, locked) {
            return Outcome::Errno(Errno::EAGAIN);
        }
        let flags = match self.map_rights(backing, sharing, prot) {
            Ok(flags) => flags.with(new_flags),
            Err(errno) => return Outcome::Errno(errno),
        };
        self.unmap(proc, pages);
        let Ok(object) = self.object_to_map(pages, backing, sharing) else {
            return Outcome::Errno(Errno::ENOMEM);
        };
        let flags = if object.is_huge() {
            flags.without(Flags::LOCK_MASK).with(owner_flags(sharing))
        } else {
            flags
        };
        let new = Vma::new(pages, object, sharing, prot, flags);
        if self.is_refused_late(proc, backing, &new) {
            return Outcome::Errno(Errno::EPERM);
        }
        let profile = self.profile;
        let process = self.process_mut(proc);
        process.vmas.map(new, profile);
        process.locked_vm += if new.is_locked() { locked } else { 0 };
        Outcome::Done
    }

    /// Whether a mapping may be writable, ever. What is refused here changes nothing.
    ///
    /// Source: `do_mmap()`, mm/mmap.c; `mapping_map_writable()`, include/linux/fs.h, 6.1 and 6.12;
    /// `is_readonly_sealed()`, include/linux/mm.h, 6.1; `check_write_seal()`, mm/memfd.c, 6.12.
    fn map_rights(&self, backing: Backing, sharing: Sharing, prot: Prot) -> Result<Flags, Errno> {
        let Backing::File { file, .. } = backing else { return Ok(Flags::NONE) };
        if sharing == Sharing::Private {
            return Ok(Flags::NONE);
        }
        let seals = self.files[file.index()].seals;
        let sealed = seals.has_any(Seals::WRITE.with(Seals::FUTURE_WRITE));
        match file.kind() {
            FileKind::Library if prot.write() => Err(Errno::EACCES),
            FileKind::Library => Ok(Flags::NEVER_WRITABLE),
            FileKind::Memfd | FileKind::Tmpfs | FileKind::Disk if !sealed => Ok(Flags::NONE),
            FileKind::Memfd | FileKind::Tmpfs | FileKind::Disk if !prot.write() => {
                Ok(Flags::NEVER_WRITABLE)
            }
            FileKind::Memfd | FileKind::Tmpfs | FileKind::Disk => {
                let late = self.profile.future_write_check == FutureWriteCheck::Last;
                if late && !seals.has(Seals::WRITE) { Ok(Flags::NONE) } else { Err(Errno::EPERM) }
            }
        }
    }

    /// Whether the file itself refuses to be mapped, when nothing is mapped there any more.
    ///
    /// Source: `shmem_mmap()`, mm/shmem.c, 6.1.
    fn is_refused_late(&self, proc: Proc, backing: Backing, new: &Vma) -> bool {
        let Backing::File { file, .. } = backing else { return false };
        let sealed = self.files[file.index()].seals.has(Seals::FUTURE_WRITE);
        let writes = new.sharing == Sharing::Shared && new.prot.write();
        sealed && writes && !self.process(proc).vmas.would_extend(new, self.profile)
    }

    /// What a mapping shows. Huge pages must be promised to it.
    ///
    /// Source: `hugetlbfs_file_mmap()`, fs/hugetlbfs/inode.c, 6.1 and 6.12: what was there is unmapped by then, and
    /// does not come back.
    fn object_to_map(
        &mut self,
        pages: PageRange,
        backing: Backing,
        sharing: Sharing,
    ) -> Result<Object, Errno> {
        let bias_of = |page: u8| i32::from(page) - i32::from(pages.first());
        Ok(match (backing, sharing) {
            (Backing::Huge, _) => {
                let file = self.promise_huge(pages, sharing)?;
                Object::Huge { file, bias: bias_of(0) }
            }
            (Backing::Anon, Sharing::Private) => Object::ANON,
            (Backing::Anon, Sharing::Shared) => {
                Object::File { file: self.new_shared_memory(pages), bias: bias_of(0) }
            }
            (Backing::DevZero { page }, Sharing::Private) => Object::Zero { bias: bias_of(page) },
            // As large as the mapping, but shown from the page that was asked for:
            // `shmem_zero_setup()`, mm/shmem.c, 6.1 and 6.12.
            (Backing::DevZero { page }, Sharing::Shared) => {
                Object::File { file: self.new_shared_memory(pages), bias: bias_of(page) }
            }
            (Backing::File { file, page }, _) => {
                let index = u32::try_from(file.index()).expect("there are few files");
                Object::File { file: FileId(index), bias: bias_of(page) }
            }
        })
    }

    fn new_shared_memory(&mut self, pages: PageRange) -> FileId {
        let page_count = u32::from(pages.page_count());
        self.files.push(FileState::unnamed(page_count));
        let last = self.files.len() - 1;
        FileId(u32::try_from(last).expect("a sequence maps fewer than 4 G times"))
    }

    /// `munmap`: never fails inside the arena, holes or not.
    pub(super) fn unmap(&mut self, proc: Proc, pages: PageRange) -> Outcome {
        pages.pages().for_each(|page| self.zap(proc, page));
        self.drop_guards(proc, pages);
        self.break_promises(proc, pages);
        let process = self.process_mut(proc);
        process.locked_vm -= process.vmas.locked_pages(pages);
        process.vmas.unmap(pages);
        // `free_pgtables()`, mm/memory.c, 6.1 and 6.12.
        process.has_table &= process.vmas.any_in(0, ARENA_PAGES);
        Outcome::Done
    }

    /// `mprotect`: mapping by mapping, up to the first hole, which is ENOMEM, or the first
    /// that may never be written, which is EACCES. A locked one that becomes
    /// writable is populated.
    ///
    /// Source: `do_mprotect_pkey()` and `mprotect_fixup()`, mm/mprotect.c, 6.1 and 6.12.
    pub(super) fn protect(&mut self, proc: Proc, pages: PageRange, prot: Prot) -> Outcome {
        let mut at = pages.first();
        for piece in self.process(proc).vmas.pieces(pages) {
            if piece.first != at {
                break;
            }
            if prot.write() && piece.flags.has(Flags::NEVER_WRITABLE) {
                return Outcome::Errno(Errno::EACCES);
            }
            let profile = self.profile;
            let flags = flags_after(&piece, prot, profile);
            self.process_mut(proc).vmas.modify(Vma { prot, flags, ..piece }, profile);
            if prot != piece.prot {
                self.protect_ptes(proc, &piece, prot);
            }
            let becomes_writable = prot.write() && !piece.prot.write();
            if piece.is_locked() && piece.sharing == Sharing::Private && becomes_writable {
                // What cannot be brought in stays away.
                let _ = self.populate_piece(proc, &Vma { prot, ..piece });
            }
            at = piece.end;
        }
        if at == pages.end() { Outcome::Done } else { Outcome::Errno(Errno::ENOMEM) }
    }

    /// `fork`: shares what it can, and copies early what is pinned. Without a huge page for a copy there is no child;
    /// what was shared with it until then is the parent's alone again, but not known to be.
    ///
    /// Source: `dup_mmap()`, `dup_mm()` and `copy_mm()`, kernel/fork.c; `copy_page_range()`, `vma_needs_copy()`,
    /// `copy_present_page()`, mm/memory.c, 6.1 and 6.12.
    pub(super) fn fork(&mut self, proc: Proc, child: Proc) -> Outcome {
        let parent = self.process(proc).clone();
        let mut count = self.anon_vma_count;
        let left_out =
            if self.has(Fault::DontForkIgnored) { Flags::NONE } else { Flags::DONT_COPY };
        let vmas = parent.vmas.forked(left_out, &mut count);
        self.anon_vma_count = count;
        let limit_bytes = self.lock_limit(proc);
        *self.process_slot(child) = Some(Process::new(vmas, limit_bytes));
        let kept = self.has(Fault::WipeOnForkIgnored);
        let copied = |vma: &&Vma| {
            let lost =
                vma.flags.has(Flags::DONT_COPY) || (vma.flags.has(Flags::WIPE_ON_FORK) && !kept);
            !lost && self.needs_copy(proc, vma)
        };
        let copied: Vec<&Vma> = parent.vmas.iter().filter(copied).collect();
        for vma in copied {
            let is_huge = vma.object.is_huge();
            self.process_mut(child).has_table |= parent.has_table && !is_huge;
            self.copy_guards(child, &parent, vma);
            for page in vma.first..vma.end {
                if parent.swapped[usize::from(page)].is_some() {
                    self.copy_swap_entry((proc, child), page);
                }
                let Some(frame) = parent.ptes[usize::from(page)] else { continue };
                if !is_huge {
                    self.copy_pte((proc, child), page, frame, vma);
                } else if self.fork_huge(child, page, frame).is_err() {
                    self.exit(child);
                    return Outcome::Errno(Errno::ENOMEM);
                }
            }
        }
        self.ksm_fork(proc, child);
        Outcome::Done
    }

    /// A write-protected entry becomes writable at once where a write fault would find nothing to do.
    ///
    /// Source: `change_pte_range()` and `can_change_pte_writable()`, mm/mprotect.c, 6.12.
    fn protect_ptes(&mut self, proc: Proc, piece: &Vma, prot: Prot) {
        for page in piece.first..piece.end {
            let Some(id) = self.pte(proc, page) else { continue };
            let exclusive = self.frames[id].usage == Use::Anon { exclusive: true };
            let bits = self.pte_bits(proc, page);
            let writable = prot.write() && exclusive;
            self.set_pte_bits(proc, page, PteBits { writable, ..bits });
        }
    }

    /// Copies an entry that is present. That of a shared mapping, which only guards let be copied, stays as it is, and
    /// its copy is clean.
    ///
    /// Source: `copy_present_page()`, mm/memory.c, 6.1, and `copy_present_ptes()`, `__copy_present_ptes()`, mm/memory.c,
    /// 6.12 and 7.3.
    fn copy_pte(&mut self, (parent, child): (Proc, Proc), page: u8, id: FrameId, vma: &Vma) {
        let writable = vma.prot.write();
        let frame = &mut self.frames[id];
        match frame.usage {
            Use::Anon { exclusive: true }
                if frame.pin_count > 0 && !self.fault.is(Fault::ForkSharesPinned) =>
            {
                let content = frame.content.clone();
                let copy = self.frames.add(Use::Anon { exclusive: true }, content);
                self.set_pte(child, page, copy);
                self.set_pte_bits(child, page, PteBits { dirty: true, writable });
                return;
            }
            Use::Anon { .. } => frame.usage = Use::Anon { exclusive: false },
            Use::Zero | Use::Cache | Use::Ksm => {}
        }
        frame.map_count += 1;
        self.process_mut(child).ptes[usize::from(page)] = Some(id);
        let bits = self.pte_bits(parent, page);
        if vma.sharing == Sharing::Shared {
            self.set_pte_bits(child, page, PteBits { dirty: false, ..bits });
            return;
        }
        let bits = PteBits { writable: false, ..bits };
        self.set_pte_bits(parent, page, bits);
        self.set_pte_bits(child, page, bits);
    }

    /// `_exit` of a process other than `p0`.
    pub(super) fn exit(&mut self, proc: Proc) -> Outcome {
        (0..ALL_PAGES).for_each(|page| self.zap(proc, page));
        let huge = PageRange::new(ARENA_PAGES, ALL_PAGES).expect("there are huge pages");
        self.break_promises(proc, huge);
        *self.process_slot(proc) = None;
        self.ksm_exit(proc);
        Outcome::Done
    }
}

/// Whether a mapping of huge pages keeps its promises for the process that makes it.
fn owner_flags(sharing: Sharing) -> Flags {
    match sharing {
        Sharing::Private => Flags::HUGE_OWNER,
        Sharing::Shared => Flags::NONE,
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::File;

    use super::*;
    use crate::profile::{Profile, linux};

    fn memfd(page: u8) -> Backing {
        Backing::File { file: File::new(0).expect("there is one"), page }
    }

    /// A shared writable mapping over pages 0 to 2 of the arena that a seal forbids, with
    /// anonymous memory where it would come, or with a neighbour that it continues.
    fn map_sealed(profile: &Profile, seals: Seals, neighbour: bool) -> (Outcome, bool) {
        let mut state = State::new(profile, None);
        let range = |first, end| PageRange::new(first, end).expect("a range");
        if neighbour {
            state.map(Proc::P0, range(2, 3), memfd(2), Sharing::Shared, Prot::RW);
        }
        state.map(Proc::P0, range(0, 1), Backing::Anon, Sharing::Private, Prot::R);
        state.files[0].seals = seals;
        let outcome = state.map(Proc::P0, range(0, 2), memfd(0), Sharing::Shared, Prot::RW);
        (outcome, state.process(Proc::P0).vmas.at(0).is_some())
    }

    #[test]
    fn a_seal_against_future_writes_is_seen_late_in_6_1() {
        let refused = Outcome::Errno(Errno::EPERM);
        let future = Seals::FUTURE_WRITE;
        assert_eq!(map_sealed(Profile::newest(), future, false), (refused.clone(), true));
        assert_eq!(map_sealed(linux("6.1"), future, false), (refused.clone(), false));
        assert_eq!(map_sealed(Profile::newest(), future, true), (refused.clone(), true));
        assert_eq!(map_sealed(linux("6.1"), future, true), (Outcome::Done, true));
        assert_eq!(map_sealed(linux("6.1"), future.with(Seals::WRITE), false), (refused, true));
    }

    #[test]
    fn what_is_mapped_readable_after_the_seal_stays_so() {
        let mut state = State::new(Profile::newest(), None);
        state.files[0].seals = Seals::WRITE;
        let pages = PageRange::new(0, 1).expect("a range");
        let mapped = state.map(Proc::P0, pages, memfd(0), Sharing::Shared, Prot::R);
        assert_eq!(mapped, Outcome::Done);
        let protected = state.protect(Proc::P0, pages, Prot::RW);
        assert_eq!(protected, Outcome::Errno(Errno::EACCES));
    }
}
