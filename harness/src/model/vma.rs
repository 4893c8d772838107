//! Mappings (VMAs) of one process: how they split and when they merge.
//!
//! Where a mapping ends is no detail: a fault in a file mapping maps cached
//! pages around it up to the mapping's edge, and fork copies the page table of
//! a mapping only if it has an anon_vma. So merging is modelled exactly.

use pinfold_contract::{PageRange, Prot, Sharing};

use crate::profile::{MmapMerge, Profile, UnwrittenAccount};

/// A file or a piece of shared anonymous memory, by its place among the model's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(pub(super) u32);

/// What a mapping shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// Private anonymous memory. Its page offset is its address, so neighbours always continue each other.
    Anon,
    /// A file.
    File {
        /// Which.
        file: FileId,
        /// Page of the file that page 0 of the arena would show: stays the same
        /// when a mapping is split, and equal where neighbours continue each other.
        bias: i32,
    },
}

/// The anon_vma of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnonVma {
    /// Which.
    id: u32,
    /// Whether its chain has one link (`list_is_singular(&vma->anon_vma_chain)`):
    /// false for what was inherited through fork.
    singular: bool,
}

/// One mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vma {
    pub(super) first: u8,
    pub(super) end: u8,
    pub(super) object: Object,
    pub(super) sharing: Sharing,
    pub(super) prot: Prot,
    /// VM_ACCOUNT: its pages are charged against the commit limit.
    account: bool,
    pub(super) anon_vma: Option<AnonVma>,
}

impl Vma {
    fn covers(&self, page: u8) -> bool {
        self.first <= page && page < self.end
    }

    /// The flags and the object that two mappings must share to be merged.
    ///
    /// Source: `is_mergeable_vma()`, mm/mmap.c 6.1, mm/vma.c 6.12.
    fn looks_like(&self, other: &Vma) -> bool {
        self.object == other.object
            && self.sharing == other.sharing
            && self.prot == other.prot
            && self.account == other.account
    }

    /// Whether a range with `anon_vma` may be merged into this neighbour.
    ///
    /// Source: `is_mergeable_anon_vma()`, mm/mmap.c 6.1, mm/vma.c 6.12.
    fn takes(&self, anon_vma: Option<AnonVma>) -> bool {
        let chain_is_singular = self.anon_vma.is_some_and(|own| own.singular);
        let one_is_absent = anon_vma.is_none() || self.anon_vma.is_none();
        (one_is_absent && chain_is_singular) || same_anon_vma(anon_vma, self.anon_vma)
    }
}

fn same_anon_vma(a: Option<AnonVma>, b: Option<AnonVma>) -> bool {
    a.map(|a| a.id) == b.map(|b| b.id)
}

/// Whether two neighbours may become one when both take the range between them.
///
/// Source: `is_mergeable_anon_vma()` without a mapping, mm/mmap.c 6.1, mm/vma.c 6.12.
fn may_join(a: Option<AnonVma>, b: Option<AnonVma>) -> bool {
    a.is_none() || b.is_none() || same_anon_vma(a, b)
}

/// Why `mprotect` stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole;

/// The mappings of one process, ascending, without overlap.
#[derive(Clone, Debug, Default)]
pub(super) struct Vmas(Vec<Vma>);

impl Vmas {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Vma> {
        self.0.iter()
    }

    /// The mapping that covers `page`.
    pub(super) fn at(&self, page: u8) -> Option<&Vma> {
        self.0.iter().find(|vma| vma.covers(page))
    }

    /// Takes `pages` out, splitting what reaches over an edge.
    pub(super) fn unmap(&mut self, pages: PageRange) {
        self.split(pages.first());
        self.split(pages.end());
        self.0.retain(|vma| vma.end <= pages.first() || vma.first >= pages.end());
    }

    /// Adds a mapping over pages where none is, merging it with its neighbours.
    ///
    /// Source: `__mmap_region()`, mm/mmap.c, 6.1; `vma_merge_new_range()`, mm/vma.c, 6.12.
    /// VM_ACCOUNT as `accountable_mapping()` there: private and writable.
    pub(super) fn map(
        &mut self,
        pages: PageRange,
        object: Object,
        sharing: Sharing,
        prot: Prot,
        profile: &Profile,
    ) {
        let account = sharing == Sharing::Private && prot.write();
        let new = Vma {
            first: pages.first(),
            end: pages.end(),
            object,
            sharing,
            prot,
            account,
            anon_vma: None,
        };
        let index = self.0.partition_point(|vma| vma.end <= new.first);
        let fits = |vma: &&Vma| vma.looks_like(&new) && vma.takes(None);
        let prev = index
            .checked_sub(1)
            .map(|i| &self.0[i])
            .filter(|vma| vma.end == new.first)
            .filter(fits)
            .copied();
        let next = self.0.get(index).filter(|vma| vma.first == new.end).filter(fits).copied();
        let joined = match (prev, next) {
            (Some(prev), Some(next)) => match profile.mmap_merge {
                MmapMerge::NextFirst => {
                    if prev.takes(next.anon_vma) {
                        Join::Both
                    } else {
                        Join::Next
                    }
                }
                MmapMerge::PrevFirst => {
                    if may_join(prev.anon_vma, next.anon_vma) {
                        Join::Both
                    } else {
                        Join::Prev
                    }
                }
            },
            (Some(_), None) => Join::Prev,
            (None, Some(_)) => Join::Next,
            (None, None) => Join::None,
        };
        self.0.insert(index, new);
        self.join(index, joined);
    }

    /// Gives `pages` the protection `prot`, mapping by mapping, up to the first hole.
    ///
    /// Source: `do_mprotect_pkey()` and `mprotect_fixup()`, mm/mprotect.c, 6.1 and 6.12.
    pub(super) fn protect(
        &mut self,
        pages: PageRange,
        prot: Prot,
        profile: &Profile,
    ) -> Result<(), Hole> {
        let mut at = pages.first();
        while at < pages.end() {
            let index = self.0.iter().position(|vma| vma.covers(at)).ok_or(Hole)?;
            let end = self.0[index].end.min(pages.end());
            let account = account_after(&self.0[index], prot, profile);
            if (prot, account) != (self.0[index].prot, self.0[index].account) {
                self.protect_piece(at, end, prot, account);
            }
            at = end;
        }
        Ok(())
    }

    /// Changes `first..end`, which lies inside one mapping, and merges it with its neighbours.
    ///
    /// Source: `vma_merge()`, mm/mmap.c, 6.1; `vma_merge_existing_range()`, mm/vma.c, 6.12.
    fn protect_piece(&mut self, first: u8, end: u8, prot: Prot, account: bool) {
        self.split(first);
        self.split(end);
        let index =
            self.0.iter().position(|vma| vma.first == first).expect("the piece starts at a split");
        let piece = Vma { prot, account, ..self.0[index] };
        self.0[index] = piece;
        let fits = |vma: &&Vma| vma.looks_like(&piece) && vma.takes(piece.anon_vma);
        let prev =
            index.checked_sub(1).map(|i| &self.0[i]).filter(|vma| vma.end == first).filter(fits);
        let next = self.0.get(index + 1).filter(|vma| vma.first == end).filter(fits);
        let joined = match (prev, next) {
            (Some(prev), Some(next)) if may_join(prev.anon_vma, next.anon_vma) => Join::Both,
            (Some(_), _) => Join::Prev,
            (None, Some(_)) => Join::Next,
            (None, None) => Join::None,
        };
        self.join(index, joined);
    }

    /// Makes the mapping at `index` one with its neighbours; the anon_vma is that of whoever has one.
    fn join(&mut self, index: usize, join: Join) {
        let (from, to) = match join {
            Join::None => return,
            Join::Prev => (index - 1, index),
            Join::Next => (index, index + 1),
            Join::Both => (index - 1, index + 1),
        };
        let anon_vma = self.0[from..=to].iter().find_map(|vma| vma.anon_vma);
        let merged = Vma { end: self.0[to].end, anon_vma, ..self.0[from] };
        self.0.splice(from..=to, [merged]);
    }

    fn split(&mut self, page: u8) {
        if let Some(index) = self.0.iter().position(|vma| vma.first < page && page < vma.end) {
            let low = Vma { end: page, ..self.0[index] };
            self.0[index].first = page;
            self.0.insert(index, low);
        }
    }

    /// Makes sure that the mapping at `page` has an anon_vma: that of a
    /// neighbour it could be merged with but for its protection, or `fresh`.
    ///
    /// Source: `__anon_vma_prepare()`, mm/rmap.c; `find_mergeable_anon_vma()`, mm/mmap.c 6.1, mm/vma.c 6.12.
    pub(super) fn prepare_anon_vma(&mut self, page: u8, fresh: &mut u32) {
        let Some(index) = self.0.iter().position(|vma| vma.covers(page)) else { return };
        let vma = self.0[index];
        if vma.anon_vma.is_some() {
            return;
        }
        let reusable = |other: &&Vma| {
            other.object == vma.object
                && other.sharing == vma.sharing
                && other.account == vma.account
        };
        let of = |other: Option<&Vma>| {
            other.filter(reusable).and_then(|o| o.anon_vma).filter(|a| a.singular)
        };
        let next = of(self.0.get(index + 1).filter(|next| next.first == vma.end));
        let prev =
            of(index.checked_sub(1).map(|i| &self.0[i]).filter(|prev| prev.end == vma.first));
        self.0[index].anon_vma = Some(next.or(prev).unwrap_or_else(|| new_anon_vma(fresh, true)));
    }

    /// The mappings of a child: each that has an anon_vma gets one of its own.
    ///
    /// Source: `anon_vma_fork()`, mm/rmap.c, 6.1 and 6.12.
    pub(super) fn forked(&self, fresh: &mut u32) -> Vmas {
        let mut child = self.clone();
        for vma in child.0.iter_mut().filter(|vma| vma.anon_vma.is_some()) {
            vma.anon_vma = Some(new_anon_vma(fresh, false));
        }
        child
    }
}

fn new_anon_vma(fresh: &mut u32, singular: bool) -> AnonVma {
    *fresh += 1;
    AnonVma { id: *fresh, singular }
}

/// VM_ACCOUNT after a change of protection: gained with the write right of a
/// private mapping, and hardly ever lost.
///
/// Source: `mprotect_fixup()`, mm/mprotect.c, 6.1 and 6.12.
fn account_after(vma: &Vma, prot: Prot, profile: &Profile) -> bool {
    let never_written =
        vma.object == Object::Anon && vma.sharing == Sharing::Private && vma.anon_vma.is_none();
    if prot.write() {
        return vma.account || (vma.sharing == Sharing::Private && !vma.prot.write());
    }
    // The flags compare equal before the account is looked at: nothing changes then.
    if vma.account && never_written && prot != vma.prot {
        return profile.unwritten_account == UnwrittenAccount::Kept;
    }
    vma.account
}

/// Which neighbours a piece is merged with.
#[derive(Clone, Copy, Debug)]
enum Join {
    None,
    Prev,
    Next,
    Both,
}
