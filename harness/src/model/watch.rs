//! What a registration must never do, whatever the kernel's rules are, judged on the model's own state.
//!
//! **Coherent**: what the adapter finds through a live MR is what the CPU of the registering process finds at the same
//! address. Not asked of a page that the process has given away since it registered it (munmap, mmap, mremap,
//! MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_GUARD_INSTALL, truncate, a hole: the MR is *detached* there), nor of an MR with NON_COHERENT where that means something.
//!
//! **Protected**: no MR gets a right to write to memory that its process may not write at that time, unless it had one
//! when it was registered (rights outlive mprotect), and no RDMA changes
//! memory that is not the registering process's to write: the zero page, a merged page, an anonymous page that
//! another process maps, a page of a file that is mapped private.
//!
//! Not looked at: the memory of windows (their rights come from an MR), and when the CPU's own view of memory is wrong.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{
    Access, Advice, ByteRange, Mr, Op, OpKind, Outcome, Proc, Rereg, Runs, Sharing,
};

use super::frame::{FrameId, Use};
use super::gup::is_writable;
use super::state::State;
use super::step;
use crate::profile::Profile;

/// What went wrong in an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// Adapter and CPU see different bytes in this page of the arena through this MR.
    Incoherent(Mr, u8),
    /// This MR may write to a page of the arena that its process may not write.
    WritesReadOnly(Mr, u8),
    /// RDMA through this MR changed memory that is not its process's, registered for this page of the arena.
    ChangesOthers(Mr, u8),
}

/// What one op did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// What the model said.
    pub outcome: Outcome,
    /// What was wrong after it.
    pub wrong: BTreeSet<Wrong>,
    /// Of a registration without a right to write that was carried out: its pages that shared their frame before.
    pub shared_pages: u32,
    /// How many of these are on another frame now.
    pub copied_pages: u32,
}

/// The model on its way through a sequence.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    state: State<'a>,
    /// Of each live MR, what was known of each page when it was registered.
    pages: BTreeMap<Mr, Vec<Registered>>,
}

/// One page of an MR.
#[derive(Clone, Copy, Debug)]
struct Registered {
    page: u8,
    /// Whether the mapping was private, so that no file is to change.
    private: bool,
    /// Whether the process could write it then and gave the MR a right to.
    writable: bool,
    /// Whether the process gave it away since.
    detached: bool,
}

impl<'a> Walk<'a> {
    /// Before the first op.
    pub fn new(profile: &'a Profile) -> Walk<'a> {
        Walk { state: State::new(profile, None), pages: BTreeMap::new() }
    }

    /// Carries out `op`.
    pub fn step(&mut self, op: &Op) -> Watched {
        let contents = self.pinned_contents();
        let shared = self.shared_pages_of(op);
        let outcome = step(&mut self.state, op).expected().clone();
        self.state.kernel_log.clear();
        self.state.copied_perhaps.clear();
        let mut wrong = BTreeSet::new();
        if outcome == Outcome::Done {
            self.note_registration(op, &mut wrong);
        }
        if gives_away(op) {
            self.detach();
        }
        self.changed_for_others(op, &contents, &mut wrong);
        self.incoherent(&mut wrong);
        let is_cost = outcome == Outcome::Done && reads_only(op);
        let shared = if is_cost { shared } else { Vec::new() };
        let copied = shared.iter().filter(|(page, frame)| {
            self.state.pte(Proc::P0, *page).is_some_and(|now| now != *frame)
        });
        let count = |count: usize| u32::try_from(count).expect("an arena has few pages");
        let copied_pages = count(copied.count());
        Watched { outcome, wrong, shared_pages: count(shared.len()), copied_pages }
    }

    fn pinned_contents(&self) -> BTreeMap<FrameId, Runs> {
        let frames = self.state.mrs.values().flat_map(|mr| &mr.frames);
        frames.map(|id| (*id, self.state.frames[*id].content.clone())).collect()
    }

    /// The pages that `op` is to register and that show, in a private mapping, a frame that others show as well.
    fn shared_pages_of(&self, op: &Op) -> Vec<(u8, FrameId)> {
        let Op::Reg { span, .. } = *op else { return Vec::new() };
        let Some(range) = span.range() else { return Vec::new() };
        let is_shared = |id: FrameId| match self.state.frames[id].usage {
            Use::Anon { .. } => self.state.frames[id].map_count > 1,
            Use::Zero | Use::Ksm | Use::Cache => true,
        };
        pages_of(range)
            .filter(|page| self.sharing(*page) == Some(Sharing::Private))
            .filter_map(|page| Some((page, self.state.pte(Proc::P0, page)?)))
            .filter(|(_, id)| is_shared(*id))
            .collect()
    }

    fn sharing(&self, page: u8) -> Option<Sharing> {
        self.state.process(Proc::P0).vmas.at(page).map(|vma| vma.sharing)
    }

    /// Takes a new MR, new rights or the end of an MR down.
    fn note_registration(&mut self, op: &Op, wrong: &mut BTreeSet<Wrong>) {
        let (mr, access) = match registration(op) {
            Registration::New(mr, access) => {
                self.pages.insert(mr, self.registered(mr, access));
                (mr, access)
            }
            Registration::NewRights(mr, access) => (mr, access),
            Registration::End(mr) => {
                self.pages.remove(&mr);
                return;
            }
            Registration::None => return,
        };
        if is_writable(access) {
            let bad = self.pages[&mr].iter().filter(|page| !page.writable && !page.detached);
            let bad = bad.filter(|page| !self.may_write(page.page));
            wrong.extend(bad.map(|page| Wrong::WritesReadOnly(mr, page.page)));
        }
    }

    fn registered(&self, mr: Mr, access: Access) -> Vec<Registered> {
        let registered = |page| Registered {
            page,
            private: self.sharing(page) == Some(Sharing::Private),
            writable: is_writable(access) && self.may_write(page),
            detached: false,
        };
        pages_of(self.state.mrs[&mr].range).map(registered).collect()
    }

    fn may_write(&self, page: u8) -> bool {
        self.state.process(Proc::P0).vmas.at(page).is_some_and(|vma| vma.prot.write())
    }

    /// Every page that is registered and shows nothing, or another frame, was given away.
    fn detach(&mut self) {
        for (mr, pages) in &mut self.pages {
            let frames = &self.state.mrs[mr].frames;
            for (page, frame) in pages.iter_mut().zip(frames) {
                page.detached |= self.state.pte(Proc::P0, page.page) != Some(*frame);
            }
        }
    }

    fn changed_for_others(
        &self,
        op: &Op,
        before: &BTreeMap<FrameId, Runs>,
        wrong: &mut BTreeSet<Wrong>,
    ) {
        if !is_rdma(op) {
            return;
        }
        let shared: BTreeSet<FrameId> =
            self.writers().filter(|(_, page, _)| !page.private).map(|(.., id)| id).collect();
        for (mr, page, id) in self.writers() {
            let frame = &self.state.frames[id];
            let same = before.get(&id).is_none_or(|content| *content == frame.content);
            // mremap may have moved it: it is the process's own all the same.
            let shown = self.state.process(Proc::P0).ptes.iter().flatten();
            let own = shown.filter(|shown| **shown == id).count();
            let of_others = match frame.usage {
                Use::Zero | Use::Ksm => true,
                Use::Anon { .. } => frame.map_count as usize > own,
                Use::Cache => page.private && !shared.contains(&id),
            };
            if !same && of_others {
                wrong.insert(Wrong::ChangesOthers(mr, page.page));
            }
        }
    }

    /// Every page of an MR that was registered to be written, and its frame.
    fn writers(&self) -> impl Iterator<Item = (Mr, &Registered, FrameId)> {
        let writers = self.pages.iter().filter(|(mr, _)| self.state.mrs[mr].pinned_for_writing);
        writers.flat_map(|(mr, pages)| {
            let frames = &self.state.mrs[mr].frames;
            pages.iter().zip(frames).map(|(page, id)| (*mr, page, *id))
        })
    }

    fn incoherent(&self, wrong: &mut BTreeSet<Wrong>) {
        for (mr, pages) in &self.pages {
            let state = &self.state.mrs[mr];
            if state.keeps_pages {
                continue;
            }
            for (page, id) in pages.iter().zip(&state.frames).filter(|(page, _)| !page.detached) {
                let shown = self.state.pte(Proc::P0, page.page);
                let content = |id: FrameId| &self.state.frames[id].content;
                if shown.is_some_and(|shown| content(shown) != content(*id)) {
                    wrong.insert(Wrong::Incoherent(*mr, page.page));
                }
            }
        }
    }
}

/// What an op means for an MR.
enum Registration {
    New(Mr, Access),
    NewRights(Mr, Access),
    End(Mr),
    None,
}

/// What `op`, carried out, is for an MR.
fn registration(op: &Op) -> Registration {
    match *op {
        Op::Reg { mr, access, .. } => Registration::New(mr, access),
        Op::Rereg { mr, what, access, .. } if what.has(Rereg::ACCESS) => {
            Registration::NewRights(mr, access)
        }
        Op::Dereg { mr } => Registration::End(mr),
        Op::Rereg { .. }
        | Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Remap { .. }
        | Op::Advise { .. }
        | Op::Lock { .. }
        | Op::Unlock { .. }
        | Op::LockAll { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Force { .. }
        | Op::FileWrite { .. }
        | Op::Truncate { .. }
        | Op::Punch { .. }
        | Op::Seal { .. }
        | Op::MemLimit { .. }
        | Op::Swap { .. }
        | Op::Chore { .. }
        | Op::Limit { .. }
        | Op::IpcLock { .. }
        | Op::AllocMw { .. }
        | Op::DeallocMw { .. }
        | Op::Bind { .. }
        | Op::Invalidate { .. }
        | Op::RemoteRead { .. }
        | Op::RemoteWrite { .. }
        | Op::CompareSwap { .. }
        | Op::FetchAdd { .. }
        | Op::Send { .. }
        | Op::Gather { .. }
        | Op::Scatter { .. } => Registration::None,
    }
}

/// Whether `op` registers memory without a right to write.
fn reads_only(op: &Op) -> bool {
    matches!(*op, Op::Reg { access, .. } if !is_writable(access))
}

/// Whether `op` can legally part an MR from the memory it was registered for.
fn gives_away(op: &Op) -> bool {
    const GIVING: [Advice; 4] =
        [Advice::DontNeed, Advice::Free, Advice::Remove, Advice::GuardInstall];
    match op.kind() {
        OpKind::Map | OpKind::Unmap | OpKind::Remap | OpKind::Truncate | OpKind::Punch => true,
        OpKind::Advise => matches!(*op, Op::Advise { advice, .. } if GIVING.contains(&advice)),
        OpKind::Protect
        | OpKind::Write
        | OpKind::Read
        | OpKind::Fork
        | OpKind::Exit
        | OpKind::Limit
        | OpKind::Reg
        | OpKind::Dereg
        | OpKind::RemoteRead
        | OpKind::RemoteWrite
        | OpKind::Lock
        | OpKind::Unlock
        | OpKind::LockAll
        | OpKind::Force
        | OpKind::FileWrite
        | OpKind::Seal
        | OpKind::IpcLock
        | OpKind::MemLimit
        | OpKind::Swap
        | OpKind::Chore
        | OpKind::Rereg
        | OpKind::AllocMw
        | OpKind::DeallocMw
        | OpKind::Bind
        | OpKind::Invalidate
        | OpKind::CompareSwap
        | OpKind::FetchAdd
        | OpKind::Send
        | OpKind::Gather
        | OpKind::Scatter => false,
    }
}

/// Whether the adapter may store into registered memory.
fn is_rdma(op: &Op) -> bool {
    const STORING: [OpKind; 5] =
        [OpKind::RemoteWrite, OpKind::CompareSwap, OpKind::FetchAdd, OpKind::Send, OpKind::Scatter];
    STORING.contains(&op.kind())
}

/// The pages of the arena that a range of bytes lies on.
fn pages_of(range: ByteRange) -> impl Iterator<Item = u8> {
    range.pages().filter_map(|(page, _)| u8::try_from(page).ok())
}
