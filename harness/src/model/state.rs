//! What the model remembers.

use std::collections::BTreeMap;

use pinfold_contract::{
    ARENA_PAGES, Access, ByteRange, FILE_COUNT, FILE_PAGES, Mr, PAGE_BYTES, PROC_SLOTS, Proc, Runs,
};

use super::Fault;
use super::frame::{FrameId, Frames, Use};
use super::vma::{FileId, Vmas};
use crate::profile::Profile;

/// The whole state: everything a right kernel would remember of a sequence.
#[derive(Clone, Debug)]
pub(super) struct State<'a> {
    pub(super) profile: &'a Profile,
    /// The planted fault, when the model plays a broken target.
    pub(super) fault: Option<Fault>,
    pub(super) frames: Frames,
    pub(super) files: Vec<FileState>,
    procs: [Option<Process>; PROC_SLOTS as usize],
    pub(super) mrs: BTreeMap<Mr, MrState>,
    /// RLIMIT_MEMLOCK of `p0`, in bytes.
    pub(super) limit_bytes: u64,
    /// Names given to anon_vmas so far.
    pub(super) anon_vma_count: u32,
    /// Pins that only a planted fault leaves behind, in pages.
    pub(super) leaked_pins: i64,
    /// What a planted fault has logged and nobody has read yet.
    pub(super) kernel_log: String,
}

/// One process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) vmas: Vmas,
    /// The frame behind each present page.
    pub(super) ptes: [Option<FrameId>; ARENA_PAGES as usize],
    /// `mm->pinned_vm` without the executor's own, in pages.
    pub(super) pinned_vm: i64,
}

/// A memory file or a piece of shared anonymous memory.
#[derive(Clone, Debug, Default)]
pub(super) struct FileState {
    pub(super) page_count: u32,
    pub(super) cache: BTreeMap<u32, FrameId>,
}

/// An MR, live or remembered.
#[derive(Clone, Debug)]
pub(super) struct MrState {
    pub(super) live: bool,
    pub(super) range: ByteRange,
    pub(super) access: Access,
    /// The pinned frames, one a page of the span. Empty once deregistered.
    pub(super) frames: Vec<FrameId>,
}

impl<'a> State<'a> {
    /// The state before the first op: one process with nothing mapped, two files of holes.
    pub(super) fn new(profile: &'a Profile, fault: Option<Fault>) -> State<'a> {
        let file = FileState { page_count: u32::from(FILE_PAGES), cache: BTreeMap::new() };
        let p0 =
            Process { vmas: Vmas::default(), ptes: [None; ARENA_PAGES as usize], pinned_vm: 0 };
        let mut procs = [const { None }; PROC_SLOTS as usize];
        procs[Proc::P0.index()] = Some(p0);
        State {
            profile,
            fault,
            frames: Frames::new(),
            files: vec![file; usize::from(FILE_COUNT)],
            procs,
            mrs: BTreeMap::new(),
            limit_bytes: u64::MAX,
            anon_vma_count: 0,
            leaked_pins: 0,
            kernel_log: String::new(),
        }
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(super) fn is_live(&self, proc: Proc) -> bool {
        self.procs[proc.index()].is_some()
    }

    /// A live process.
    pub(super) fn process(&self, proc: Proc) -> &Process {
        self.procs[proc.index()].as_ref().expect("ops of a process that is not there are skipped")
    }

    /// A live process.
    pub(super) fn process_mut(&mut self, proc: Proc) -> &mut Process {
        self.procs[proc.index()].as_mut().expect("ops of a process that is not there are skipped")
    }

    /// The slot of a process, live or not.
    pub(super) fn process_slot(&mut self, proc: Proc) -> &mut Option<Process> {
        &mut self.procs[proc.index()]
    }

    pub(super) fn pte(&self, proc: Proc, page: u8) -> Option<FrameId> {
        self.process(proc).ptes[usize::from(page)]
    }

    /// Makes `page` of `proc` show `frame`, in place of whatever it showed.
    pub(super) fn set_pte(&mut self, proc: Proc, page: u8, frame: FrameId) {
        self.clear_pte(proc, page);
        self.frames[frame].map_count += 1;
        self.process_mut(proc).ptes[usize::from(page)] = Some(frame);
    }

    /// Makes `page` of `proc` not present.
    pub(super) fn clear_pte(&mut self, proc: Proc, page: u8) {
        if let Some(frame) = self.process_mut(proc).ptes[usize::from(page)].take() {
            self.frames[frame].map_count -= 1;
        }
    }

    /// The page of a file, allocated if it is a hole; nothing beyond the end of the file.
    ///
    /// Source: `shmem_fault()` and `shmem_get_folio_gfp()`, mm/shmem.c, 6.1 and 6.12.
    pub(super) fn cache_page(&mut self, file: FileId, page: u32) -> Option<FrameId> {
        let state = &mut self.files[file.0 as usize];
        if page >= state.page_count {
            return None;
        }
        let frames = &mut self.frames;
        Some(
            *state
                .cache
                .entry(page)
                .or_insert_with(|| frames.add(Use::Cache, Runs::uniform(PAGE_BYTES, 0))),
        )
    }
}
