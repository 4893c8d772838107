//! What the model remembers.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{
    ALL_PAGES, ARENA_PAGES, Access, ByteRange, File, Mr, Mw, PROC_SLOTS, Pd, Proc,
};

use super::Fault;
use super::charge::Charge;
use super::file::FileState;
use super::frame::{FrameId, Frames};
use super::ksm::Ksm;
use super::planted::Planted;
use super::vma::{Flags, Vma, Vmas};
use super::window::MwState;
use crate::profile::Profile;
use crate::slots::Slots;

/// The whole state: everything a right kernel would remember of a sequence.
#[derive(Clone, Debug)]
pub(super) struct State<'a> {
    pub(super) profile: &'a Profile,
    /// Whether pages may be swapped out now.
    pub(super) may_swap: bool,
    /// The planted fault, when the model plays a broken target.
    pub(super) fault: Planted,
    pub(super) frames: Frames,
    /// The files of the contract in their order, then shared anonymous memory.
    pub(super) files: Vec<FileState>,
    /// The memory cgroup in which `p0` registers.
    pub(super) charge: Charge,
    /// What KSM remembers.
    pub(super) ksm: Ksm,
    procs: [Option<Process>; PROC_SLOTS as usize],
    pub(super) mrs: BTreeMap<Mr, MrState>,
    /// Windows, live or remembered.
    pub(super) mws: BTreeMap<Mw, MwState>,
    /// Whether `p0` registers and locks with CAP_IPC_LOCK.
    pub(super) ipc_lock: bool,
    /// RLIMIT_MEMLOCK of `p0`, in bytes.
    pub(super) limit_bytes: u64,
    /// Huge pages that are promised, but for the promises that came back with their pages.
    pub(super) huge_promised: i64,
    /// Names given to anon_vmas so far.
    pub(super) anon_vma_count: u32,
    /// Pins that only a planted fault leaves behind, in pages.
    pub(super) leaked_pins: i64,
    /// RDMA objects that only a planted fault leaves behind.
    pub(super) leaked_objects: i64,
    /// Frames that the op at hand kept and that a kernel may as well have copied: who has to copy a page
    /// counts its references, and those of a processor's lists count too.
    ///
    /// Source: `wp_can_reuse_anon_folio()`, mm/memory.c; `mlock_folio()`, `munlock_folio()`, mm/mlock.c;
    /// `folio_mark_lazyfree()`, `folio_deactivate()`, mm/swap.c, 6.12; `do_wp_page()`, mm/memory.c, 6.1.
    pub(super) copied_perhaps: Vec<FrameId>,
    /// What the op at hand copied, and the copies.
    pub(super) copies: Vec<(FrameId, FrameId)>,
    /// Whether what the op at hand leaves behind depends on what the model does not follow.
    pub(super) unclear: bool,
    /// What a planted fault has logged and nobody has read yet.
    pub(super) kernel_log: String,
}

/// Two bits of a page table entry. Only KSM asks for them, and only of private memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct PteBits {
    /// `pte_dirty()`.
    pub(super) dirty: bool,
    /// `pte_write()`.
    pub(super) writable: bool,
}

/// The entry of a page that is swapped out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SwapEntry {
    /// The frame that it comes back as.
    pub(super) frame: FrameId,
    /// Whether the page was exclusive when it went, and no fork has copied the entry since (`pte_swp_exclusive()`).
    pub(super) exclusive: bool,
}

/// One process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) vmas: Vmas,
    /// The frame behind each present page.
    pub(super) ptes: [Option<FrameId>; ALL_PAGES as usize],
    /// What each page that is swapped out comes back as.
    pub(super) swapped: [Option<SwapEntry>; ALL_PAGES as usize],
    /// The pages that have a guard. None of them is present or a swap entry.
    pub(super) guards: BTreeSet<u8>,
    /// What else the entry of each present page of private memory says.
    pub(super) pte_bits: [PteBits; ALL_PAGES as usize],
    /// Whether there is a page table for the small pages of the arena, which lie in one (`pmd_none()`).
    pub(super) has_table: bool,
    /// `mm->pinned_vm` without the executor's own, in pages.
    pub(super) pinned_vm: i64,
    /// `mm->locked_vm` without the executor's own, in pages.
    pub(super) locked_vm: i64,
    /// Flags that new mappings get (`mm->def_flags`).
    pub(super) new_flags: Flags,
    /// Whether the executor's own memory is locked too.
    pub(super) own_locked: bool,
    /// RLIMIT_MEMLOCK of a child, in bytes, as it was at the fork. That of `p0` is in [`State`].
    pub(super) limit_bytes: u64,
}

impl Process {
    /// A process with these mappings, none of their pages present, that inherits the limit `limit_bytes`.
    pub(super) fn new(vmas: Vmas, limit_bytes: u64) -> Process {
        Process {
            vmas,
            ptes: [None; ALL_PAGES as usize],
            swapped: [None; ALL_PAGES as usize],
            guards: BTreeSet::new(),
            pte_bits: [PteBits::default(); ALL_PAGES as usize],
            has_table: false,
            pinned_vm: 0,
            locked_vm: 0,
            new_flags: Flags::NONE,
            own_locked: false,
            limit_bytes,
        }
    }
}

/// An MR, live or remembered.
#[derive(Clone, Debug)]
pub(super) struct MrState {
    pub(super) live: bool,
    pub(super) range: ByteRange,
    pub(super) access: Access,
    /// The address that peers and scatter/gather lists use for its first byte.
    pub(super) iova: u64,
    pub(super) pd: Pd,
    /// Whether its pages were pinned for writing, whatever its rights are now (`umem->writable`).
    pub(super) pinned_for_writing: bool,
    /// Whether its pages were pinned as they were, and so may show old bytes.
    pub(super) keeps_pages: bool,
    /// The pinned frames, one a page of the span. Empty once deregistered.
    pub(super) frames: Vec<FrameId>,
}

impl<'a> State<'a> {
    /// The state before the first op: one process with nothing mapped, and the files.
    pub(super) fn new(profile: &'a Profile, fault: Option<Fault>) -> State<'a> {
        let mut frames = Frames::new();
        let files = File::all().map(|file| FileState::named(file, &mut frames)).collect();
        let p0 = Process::new(Vmas::default(), u64::MAX);
        let mut procs = [const { None }; PROC_SLOTS as usize];
        procs[Proc::P0.index()] = Some(p0);
        State {
            profile,
            may_swap: false,
            fault: Planted::new(fault),
            frames,
            files,
            charge: Charge::default(),
            ksm: Ksm::default(),
            procs,
            mrs: BTreeMap::new(),
            mws: BTreeMap::new(),
            ipc_lock: false,
            limit_bytes: u64::MAX,
            huge_promised: 0,
            anon_vma_count: 0,
            leaked_pins: 0,
            leaked_objects: 0,
            copied_perhaps: Vec::new(),
            copies: Vec::new(),
            unclear: false,
            kernel_log: String::new(),
        }
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault.is(fault)
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

    /// Makes `page` of `proc` show `frame`, in place of whatever it showed, clean and write-protected.
    pub(super) fn set_pte(&mut self, proc: Proc, page: u8, frame: FrameId) {
        self.clear_pte(proc, page);
        let locked = self.process(proc).vmas.at(page).is_some_and(Vma::is_locked);
        self.frames[frame].map_count += 1;
        self.frames[frame].batched |= locked;
        self.process_mut(proc).ptes[usize::from(page)] = Some(frame);
        self.process_mut(proc).has_table |= page < ARENA_PAGES;
        self.set_pte_bits(proc, page, PteBits::default());
    }

    pub(super) fn pte_bits(&self, proc: Proc, page: u8) -> PteBits {
        self.process(proc).pte_bits[usize::from(page)]
    }

    pub(super) fn set_pte_bits(&mut self, proc: Proc, page: u8, bits: PteBits) {
        self.process_mut(proc).pte_bits[usize::from(page)] = bits;
    }

    /// Makes `page` of `proc` neither present nor a swap entry.
    pub(super) fn clear_pte(&mut self, proc: Proc, page: u8) {
        self.clear_swapped(proc, page);
        let locked = self.process(proc).vmas.at(page).is_some_and(Vma::is_locked);
        if let Some(frame) = self.process_mut(proc).ptes[usize::from(page)].take() {
            self.frames[frame].map_count -= 1;
            self.frames[frame].batched |= locked;
            self.frames[frame].passed_over &= !self.pte_bits(proc, page).dirty;
            self.free_if_unused(frame);
        }
    }
}

impl Slots for State<'_> {
    fn has_proc(&self, proc: Proc) -> bool {
        self.is_live(proc)
    }

    fn has_mr(&self, mr: Mr) -> bool {
        self.mrs.get(&mr).is_some_and(|mr| mr.live)
    }

    fn knows_mr(&self, mr: Mr) -> bool {
        self.mrs.contains_key(&mr)
    }

    fn has_mw(&self, mw: Mw) -> bool {
        self.mws.get(&mw).is_some_and(|mw| mw.live)
    }

    fn knows_mw(&self, mw: Mw) -> bool {
        self.mws.contains_key(&mw)
    }

    fn knows_old_key(&self, mw: Mw) -> bool {
        self.mws.get(&mw).is_some_and(|mw| mw.binds > 0)
    }
}

#[cfg(test)]
impl State<'static> {
    /// The state of the newest series after the ops of `text`, which lacks the first line of a sequence.
    pub(super) fn after(text: &str) -> State<'static> {
        State::after_on(Profile::newest(), text)
    }

    /// The same by the rules of `profile`.
    #[cfg(test)]
    pub(super) fn after_on(profile: &'static Profile, text: &str) -> State<'static> {
        let mut state = State::new(profile, None);
        let file = pinfold_contract::parse(&format!("# pinfold 1\n{text}"));
        for op in file.expect("a test says it rightly").sequence.ops {
            super::step(&mut state, &op);
        }
        state
    }
}
