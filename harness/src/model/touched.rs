//! What the ops of a sequence meet: the pages that each names, as the model has them after it.

use std::collections::BTreeSet;

use pinfold_contract::{ALL_PAGES, FileKind, Op, Outcome, Proc, Prot, Sequence, Sharing};

use super::frame::Use;
use super::keys::KeyState;
use super::state::State;
use super::step;
use super::vma::Object;
use crate::profile::Profile;

/// One op, what became of it, and what it met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Which op.
    pub op: Op,
    /// What the model says of it.
    pub outcome: Outcome,
    /// The pages that it names of the process that acts, and those of `p0` that its MRs were registered over.
    pub pages: Vec<PageState>,
    /// The MRs and windows that it names, as they were before it.
    pub keys: Vec<KeyState>,
}

/// One page of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageState {
    /// The mapping, if there is one.
    pub mapping: Option<Mapping>,
    /// The frame behind it, if it is present or swapped out, or the guard.
    pub frame: Option<Behind>,
    /// Whether that frame is pinned.
    pub pinned: bool,
}

/// What is mapped, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// What.
    pub memory: Memory,
    /// Whether it is shared.
    pub shared: bool,
    /// Its protection: the bits of `PROT_READ` (1), `PROT_WRITE` (2) and `PROT_EXEC` (4).
    pub prot_bits: u8,
}

/// Kinds of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Memory {
    /// Private anonymous memory.
    Anon,
    /// `/dev/zero`, private.
    Zero,
    /// Shared anonymous memory.
    SharedAnon,
    /// A memfd.
    Memfd,
    /// A file on a tmpfs.
    Tmpfs,
    /// A file on a tmpfs that is open for reading only.
    Library,
    /// A file on a disk.
    Disk,
    /// Huge pages.
    Huge,
}

/// Kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behind {
    /// The zero page.
    Zero,
    /// Anonymous memory that others may have as well.
    Anon,
    /// Anonymous memory that one process has alone.
    Exclusive,
    /// A frame that KSM merged.
    Merged,
    /// A page of a file or of shared anonymous memory.
    Cache,
    /// Anonymous memory that is in swap space.
    Swapped,
    /// None, but a guard.
    Guard,
}

/// What each op of `sequence` meets on a kernel of `profile`.
pub fn touched(profile: &Profile, sequence: &Sequence) -> impl Iterator<Item = Touched> {
    let mut state = State::new(profile, None);
    sequence.ops.iter().map(move |op| {
        let keys = state.keys_under(op);
        let outcome = step(&mut state, op).expected().clone();
        Touched { op: *op, outcome, pages: state.pages_under(op), keys }
    })
}

impl State<'_> {
    fn pages_under(&self, op: &Op) -> Vec<PageState> {
        let named = op.pages().into_iter().filter_map(|page| u8::try_from(page).ok());
        let of_actor = named.map(|page| (op.proc(), page));
        let mrs = op.mrs().into_iter().filter_map(|mr| self.mrs.get(&mr));
        let registered =
            mrs.flat_map(|mr| mr.range.pages().filter_map(|(page, _)| u8::try_from(page).ok()));
        let of_mrs = registered.map(|page| (Proc::P0, page));
        let pages: BTreeSet<(Proc, u8)> = of_actor.chain(of_mrs).collect();
        let there =
            pages.into_iter().filter(|(proc, page)| self.is_live(*proc) && *page < ALL_PAGES);
        there.map(|(proc, page)| self.page_state(proc, page)).collect()
    }

    fn page_state(&self, proc: Proc, page: u8) -> PageState {
        let frame = self.pte(proc, page).map(|id| &self.frames[id]);
        let mapping = self.process(proc).vmas.at(page).map(|vma| Mapping {
            memory: self.memory(vma.object),
            shared: vma.sharing == Sharing::Shared,
            prot_bits: Prot::bits(vma.prot),
        });
        let is_swapped = self.process(proc).swapped[usize::from(page)].is_some();
        let swapped = is_swapped.then_some(Behind::Swapped);
        let guard = self.is_guard(proc, page).then_some(Behind::Guard);
        PageState {
            mapping,
            frame: frame.map(|frame| behind(frame.usage)).or(swapped).or(guard),
            pinned: frame.is_some_and(|frame| frame.pin_count > 0),
        }
    }

    fn memory(&self, object: Object) -> Memory {
        match object {
            Object::Anon { .. } => Memory::Anon,
            Object::Zero { .. } => Memory::Zero,
            Object::Huge { .. } => Memory::Huge,
            Object::File { file, .. } => match self.files[file.0 as usize].kind {
                None => Memory::SharedAnon,
                Some(FileKind::Memfd) => Memory::Memfd,
                Some(FileKind::Tmpfs) => Memory::Tmpfs,
                Some(FileKind::Library) => Memory::Library,
                Some(FileKind::Disk) => Memory::Disk,
            },
        }
    }
}

fn behind(usage: Use) -> Behind {
    match usage {
        Use::Zero => Behind::Zero,
        Use::Anon { exclusive: false } => Behind::Anon,
        Use::Anon { exclusive: true } => Behind::Exclusive,
        Use::Ksm => Behind::Merged,
        Use::Cache => Behind::Cache,
    }
}
