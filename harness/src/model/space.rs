//! The ops on an address space: map, unmap, protect, fork, exit.

use std::collections::BTreeMap;

use pinfold_contract::{ARENA_PAGES, Backing, Errno, Outcome, PageRange, Proc, Prot, Sharing};

use super::Fault;
use super::frame::{FrameId, Use};
use super::state::{FileState, Process, State};
use super::vma::{FileId, Object};

impl State<'_> {
    /// `mmap(MAP_FIXED)`: unmaps what is there and maps anew, without any page.
    ///
    /// Source: `__mmap_region()`, mm/mmap.c, 6.1 and 6.12.
    pub(super) fn map(
        &mut self,
        proc: Proc,
        pages: PageRange,
        backing: Backing,
        sharing: Sharing,
        prot: Prot,
    ) -> Outcome {
        self.unmap(proc, pages);
        let object = match (backing, sharing) {
            (Backing::Anon, Sharing::Private) => Object::Anon,
            (Backing::Anon, Sharing::Shared) => {
                let page_count = u32::from(pages.page_count());
                self.files.push(FileState { page_count, cache: BTreeMap::new() });
                let file = u32::try_from(self.files.len() - 1)
                    .expect("a sequence maps fewer than 4 G times");
                Object::File { file: FileId(file), bias: -i32::from(pages.first()) }
            }
            (Backing::Memfd { file, page }, _) => {
                let index = u32::try_from(file.index()).expect("there are two files");
                Object::File {
                    file: FileId(index),
                    bias: i32::from(page) - i32::from(pages.first()),
                }
            }
        };
        let profile = self.profile;
        self.process_mut(proc).vmas.map(pages, object, sharing, prot, profile);
        Outcome::Done
    }

    /// `munmap`: never fails inside the arena, holes or not.
    pub(super) fn unmap(&mut self, proc: Proc, pages: PageRange) -> Outcome {
        pages.pages().for_each(|page| self.clear_pte(proc, page));
        self.process_mut(proc).vmas.unmap(pages);
        Outcome::Done
    }

    /// `mprotect`: up to the first hole, which is ENOMEM.
    pub(super) fn protect(&mut self, proc: Proc, pages: PageRange, prot: Prot) -> Outcome {
        let profile = self.profile;
        let result = self.process_mut(proc).vmas.protect(pages, prot, profile);
        if result.is_ok() { Outcome::Done } else { Outcome::Errno(Errno::ENOMEM) }
    }

    /// `fork`: shares what it can, and copies early what is pinned.
    ///
    /// Source: `dup_mmap()`, kernel/fork.c; `copy_page_range()`, `vma_needs_copy()`,
    /// `copy_present_page()`, mm/memory.c, 6.1 and 6.12.
    pub(super) fn fork(&mut self, proc: Proc, child: Proc) -> Outcome {
        let parent = self.process(proc).clone();
        let mut count = self.anon_vma_count;
        let vmas = parent.vmas.forked(&mut count);
        self.anon_vma_count = count;
        let empty = Process { vmas, ptes: [None; ARENA_PAGES as usize], pinned_vm: 0 };
        *self.process_slot(child) = Some(empty);
        for vma in parent.vmas.iter().filter(|vma| vma.anon_vma.is_some()) {
            for page in vma.first..vma.end {
                if let Some(frame) = parent.ptes[usize::from(page)] {
                    self.copy_pte(child, page, frame);
                }
            }
        }
        Outcome::Done
    }

    fn copy_pte(&mut self, child: Proc, page: u8, id: FrameId) {
        let frame = &mut self.frames[id];
        match frame.usage {
            Use::Anon { exclusive: true }
                if frame.pin_count > 0 && self.fault != Some(Fault::ForkSharesPinned) =>
            {
                let content = frame.content.clone();
                let copy = self.frames.add(Use::Anon { exclusive: true }, content);
                self.set_pte(child, page, copy);
                return;
            }
            Use::Anon { .. } => frame.usage = Use::Anon { exclusive: false },
            Use::Zero | Use::Cache => {}
        }
        frame.map_count += 1;
        self.process_mut(child).ptes[usize::from(page)] = Some(id);
    }

    /// `_exit` of a process other than `p0`.
    pub(super) fn exit(&mut self, proc: Proc) -> Outcome {
        (0..ARENA_PAGES).for_each(|page| self.clear_pte(proc, page));
        *self.process_slot(proc) = None;
        Outcome::Done
    }
}
