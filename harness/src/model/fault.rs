//! Page faults: what becomes of a page when it is touched.

use pinfold_contract::{PAGE_BYTES, Proc, Runs, Sharing};

use super::Fault;
use super::frame::{FrameId, Use};
use super::state::State;
use super::vma::{FileId, Object, Vma};

/// What a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// A load, or a pin that only reads.
    Read,
    /// A store, or a pin that writes.
    Write,
    /// FAULT_FLAG_UNSHARE: a read-only pin that wants an exclusive page.
    Unshare,
}

/// There is no memory behind the page: it lies beyond the end of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMemoryBehind;

/// Pages that one read fault of a file maps around itself (`fault_around_bytes`, 64 KiB, mm/memory.c).
const FAULT_AROUND_PAGES: i32 = 16;

impl State<'_> {
    /// Handles a fault on `page`, which `vma` covers and whose permissions were checked.
    ///
    /// Source: `handle_pte_fault()`, mm/memory.c, 6.1 and 6.12.
    pub(super) fn touch(
        &mut self,
        proc: Proc,
        page: u8,
        touch: Touch,
    ) -> Result<(), NoMemoryBehind> {
        let Some(&vma) = self.process(proc).vmas.at(page) else { return Err(NoMemoryBehind) };
        match (self.pte(proc, page), touch) {
            (Some(_), Touch::Read) => {}
            (Some(frame), Touch::Write | Touch::Unshare) => {
                if vma.sharing == Sharing::Private {
                    self.write_protected_fault(proc, page, frame);
                }
            }
            (None, Touch::Read | Touch::Unshare) => self.read_missing(proc, page, &vma)?,
            (None, Touch::Write) => self.write_missing(proc, page, &vma)?,
        }
        Ok(())
    }

    /// A write to, or the unsharing of, a present page of a private mapping:
    /// keep the frame if nobody else has it, else copy it.
    ///
    /// Source: `do_wp_page()`, mm/memory.c, 6.1 and 6.12.
    fn write_protected_fault(&mut self, proc: Proc, page: u8, old: FrameId) {
        let frame = &self.frames[old];
        let reusable = match frame.usage {
            Use::Anon { exclusive: true } => true,
            Use::Anon { exclusive: false } => {
                frame.map_count == 1 && frame.pin_count == 0 && !self.has(Fault::CopyOfSolePage)
            }
            Use::Zero | Use::Cache => false,
        };
        if reusable {
            self.frames[old].usage = Use::Anon { exclusive: true };
            return;
        }
        let content = self.frames[old].content.clone();
        self.new_anon_page(proc, page, content);
    }

    /// Source: `do_anonymous_page()`, `do_read_fault()`, mm/memory.c, 6.1 and 6.12.
    fn read_missing(&mut self, proc: Proc, page: u8, vma: &Vma) -> Result<(), NoMemoryBehind> {
        match vma.object {
            Object::Anon => self.set_pte(proc, page, FrameId::ZERO),
            Object::File { file, bias } => {
                self.fault_around(proc, page, vma, file, bias);
                if self.pte(proc, page).is_none() {
                    let frame =
                        self.cache_page(file, file_page(page, bias)).ok_or(NoMemoryBehind)?;
                    self.set_pte(proc, page, frame);
                }
            }
        }
        Ok(())
    }

    /// Source: `do_anonymous_page()`, `do_cow_fault()`, `do_shared_fault()`, mm/memory.c, 6.1 and 6.12.
    fn write_missing(&mut self, proc: Proc, page: u8, vma: &Vma) -> Result<(), NoMemoryBehind> {
        match (vma.object, vma.sharing) {
            (Object::Anon, _) => self.new_anon_page(proc, page, Runs::uniform(PAGE_BYTES, 0)),
            (Object::File { file, bias }, Sharing::Private) => {
                // The anon_vma comes before the file is asked for its page.
                self.prepare_anon_vma(proc, page);
                let cached = self.cache_page(file, file_page(page, bias)).ok_or(NoMemoryBehind)?;
                let content = self.frames[cached].content.clone();
                self.new_anon_page(proc, page, content);
            }
            (Object::File { file, bias }, Sharing::Shared) => {
                let frame = self.cache_page(file, file_page(page, bias)).ok_or(NoMemoryBehind)?;
                self.set_pte(proc, page, frame);
            }
        }
        Ok(())
    }

    /// Maps what is cached of the file in the 16 pages around `page`, as far as the mapping goes.
    ///
    /// Source: `do_fault_around()`, mm/memory.c, and `filemap_map_pages()`, mm/filemap.c, 6.1 and 6.12.
    fn fault_around(&mut self, proc: Proc, page: u8, vma: &Vma, file: FileId, bias: i32) {
        let aligned = i32::from(page) / FAULT_AROUND_PAGES * FAULT_AROUND_PAGES;
        let from = aligned.max(i32::from(vma.first));
        let to = (from + FAULT_AROUND_PAGES).min(i32::from(vma.end));
        let state = &self.files[file.0 as usize];
        let cached: Vec<(u8, FrameId)> = (from..to)
            .filter_map(|p| u8::try_from(p).ok())
            .filter_map(|p| Some((p, *state.cache.get(&file_page(p, bias))?)))
            .collect();
        for (page, frame) in cached {
            if self.pte(proc, page).is_none() {
                self.set_pte(proc, page, frame);
            }
        }
    }

    fn new_anon_page(&mut self, proc: Proc, page: u8, content: Runs) {
        self.prepare_anon_vma(proc, page);
        let frame = self.frames.add(Use::Anon { exclusive: true }, content);
        self.set_pte(proc, page, frame);
    }

    fn prepare_anon_vma(&mut self, proc: Proc, page: u8) {
        let mut count = self.anon_vma_count;
        self.process_mut(proc).vmas.prepare_anon_vma(page, &mut count);
        self.anon_vma_count = count;
    }
}

/// The page of the file that `page` of the arena shows.
fn file_page(page: u8, bias: i32) -> u32 {
    u32::try_from(i32::from(page) + bias).expect("a mapping does not begin before its file")
}
