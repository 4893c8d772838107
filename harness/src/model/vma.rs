//! Mappings (VMAs) of one process: how they split and when they merge.
//!
//! Where a mapping ends is no detail: a fault in a file mapping maps cached
//! pages around it up to the mapping's edge, and fork copies the page table of
//! a mapping only if it has an anon_vma. So merging is modelled exactly.

use pinfold_contract::{ARENA_BASE, PAGE_BYTES, PageRange, Prot, Sharing};

use crate::profile::{AbsentAnonVma, AnonOffset, HugeForced, MmapMerge, Profile, UnwrittenAccount};

/// Page offset of page 0 of the arena where the offset of anonymous memory is its address.
const ANON_PAGE_OFFSET: i32 = 0x0100_0000;
const _: () = assert!(ANON_PAGE_OFFSET as u64 * PAGE_BYTES as u64 == ARENA_BASE);

/// A file or a piece of shared anonymous memory, by its place among the model's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId(pub(super) u32);

/// What a mapping shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Object {
    /// Private anonymous memory.
    Anon {
        /// Page offset of page 0 of the arena, as that of [`Object::File`].
        bias: i32,
    },
    /// `/dev/zero`, private: anonymous memory that has a file.
    Zero {
        /// Page offset of page 0 of the arena, as that of [`Object::File`].
        bias: i32,
    },
    /// A file, or a piece of shared anonymous memory.
    File {
        /// Which.
        file: FileId,
        /// Page of the file that page 0 of the arena would show: stays the same
        /// when a mapping is split, and equal where neighbours continue each other.
        bias: i32,
    },
    /// Huge pages of a hugetlbfs inode, which each mapping brings for itself.
    Huge {
        /// Which.
        file: FileId,
        /// Page of it that page 0 of the arena would show, as that of [`Object::File`].
        bias: i32,
    },
}

impl Object {
    /// Private anonymous memory as `mmap` makes it: its page offset is its address.
    pub(super) const ANON: Object = Object::Anon { bias: ANON_PAGE_OFFSET };

    /// Whether the mapping has no operations of a file (`vma_is_anonymous()`).
    ///
    /// Source: `vma_is_anonymous()`, include/linux/mm.h; `mmap_zero()`, drivers/char/mem.c, 6.1 and 6.12.
    pub(super) fn is_anonymous(self) -> bool {
        match self {
            Object::Anon { .. } | Object::Zero { .. } => true,
            Object::File { .. } | Object::Huge { .. } => false,
        }
    }

    /// Whether there is a file behind it: also behind `/dev/zero`.
    fn has_file(self) -> bool {
        match self {
            Object::Anon { .. } => false,
            Object::Zero { .. } | Object::File { .. } | Object::Huge { .. } => true,
        }
    }

    /// Whether `mremap` moves it together with others: its file has a way of its own to choose addresses, which is not
    /// known to leave them alone.
    ///
    /// Source: `vma_multi_allowed()`, mm/mremap.c; `zero_fops`, drivers/char/mem.c, 7.3.
    pub(super) fn moves_alone(self) -> bool {
        match self {
            Object::Zero { .. } => true,
            Object::Anon { .. } | Object::File { .. } | Object::Huge { .. } => false,
        }
    }

    /// Whether it is huge pages.
    pub(super) fn is_huge(self) -> bool {
        matches!(self, Object::Huge { .. })
    }

    /// The same object where page 0 of the arena has page offset `bias`.
    fn with_bias(self, bias: i32) -> Object {
        match self {
            Object::Anon { .. } => Object::Anon { bias },
            Object::Zero { .. } => Object::Zero { bias },
            Object::File { file, .. } => Object::File { file, bias },
            Object::Huge { file, .. } => Object::Huge { file, bias },
        }
    }

    fn bias(self) -> i32 {
        match self {
            Object::Anon { bias }
            | Object::Zero { bias }
            | Object::File { bias, .. }
            | Object::Huge { bias, .. } => bias,
        }
    }
}

/// The flags of a mapping besides its protection and VM_SHARED: any set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Flags(u16);

impl Flags {
    /// No flag.
    pub(super) const NONE: Flags = Flags(0);
    /// VM_ACCOUNT: its pages are charged against the commit limit.
    const ACCOUNT: Flags = Flags(1);
    /// VM_LOCKED.
    pub(super) const LOCKED: Flags = Flags(2);
    /// VM_LOCKONFAULT.
    pub(super) const LOCK_ON_FAULT: Flags = Flags(4);
    /// VM_LOCKED_MASK.
    pub(super) const LOCK_MASK: Flags = Flags(6);
    /// VM_DONTCOPY.
    pub(super) const DONT_COPY: Flags = Flags(8);
    /// VM_WIPEONFORK.
    pub(super) const WIPE_ON_FORK: Flags = Flags(16);
    /// VM_MERGEABLE.
    pub(super) const MERGEABLE: Flags = Flags(32);
    /// VM_MAYWRITE is missing.
    pub(super) const NEVER_WRITABLE: Flags = Flags(64);
    /// VM_HUGEPAGE.
    pub(super) const HUGE: Flags = Flags(128);
    /// VM_NOHUGEPAGE.
    pub(super) const NOT_HUGE: Flags = Flags(256);
    /// HPAGE_RESV_OWNER: private huge pages, of the process that mapped them.
    pub(super) const HUGE_OWNER: Flags = Flags(512);
    /// HPAGE_RESV_UNMAPPED: the owner of private huge pages took one back from here.
    pub(super) const HUGE_TAKEN: Flags = Flags(1024);
    /// VM_MAYBE_GUARD: there may be guards. It keeps no mappings apart, and who is merged with one that has it has it:
    /// VMA_STICKY_FLAGS.
    ///
    /// Source: `VMA_STICKY_FLAGS`, include/linux/mm.h; `is_mergeable_vma()`, `anon_vma_compatible()`, mm/vma.c, 7.3.
    pub(super) const MAYBE_GUARD: Flags = Flags(2048);

    /// Whether every flag of `flags` is in it.
    pub(super) fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These flags and `flags`.
    #[must_use]
    pub(super) fn with(self, flags: Flags) -> Flags {
        Flags(self.0 | flags.0)
    }

    /// These flags without `flags`.
    #[must_use]
    pub(super) fn without(self, flags: Flags) -> Flags {
        Flags(self.0 & !flags.0)
    }

    /// These flags with ACCOUNT or without.
    fn with_account(self, account: bool) -> Flags {
        if account { self.with(Flags::ACCOUNT) } else { self.without(Flags::ACCOUNT) }
    }
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

impl AnonVma {
    /// Which.
    pub(super) fn id(self) -> u32 {
        self.id
    }

    /// Whether its chain has one link.
    pub(super) fn is_singular(self) -> bool {
        self.singular
    }
}

/// One mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vma {
    pub(super) first: u8,
    pub(super) end: u8,
    pub(super) object: Object,
    pub(super) sharing: Sharing,
    pub(super) prot: Prot,
    pub(super) flags: Flags,
    pub(super) anon_vma: Option<AnonVma>,
    /// Page offset of page 0 of the arena among the anonymous pages of the mapping ([`AnonOffset::OwnForFiles`]): that of
    /// the address, until a mapping that has an anon_vma is moved.
    pub(super) anon_bias: i32,
}

impl Vma {
    /// What `mmap` is about to map over `pages`.
    ///
    /// Source: `accountable_mapping()` and `__mmap_region()`, mm/mmap.c, 6.1 and 6.12.
    pub(super) fn new(
        pages: PageRange,
        object: Object,
        sharing: Sharing,
        prot: Prot,
        flags: Flags,
    ) -> Vma {
        let account = sharing == Sharing::Private && prot.write() && !object.is_huge();
        let flags = flags.with_account(account);
        Vma {
            first: pages.first(),
            end: pages.end(),
            object,
            sharing,
            prot,
            flags,
            anon_vma: None,
            anon_bias: ANON_PAGE_OFFSET,
        }
    }

    /// VM_MAYWRITE.
    pub(super) fn may_write(&self) -> bool {
        !self.flags.has(Flags::NEVER_WRITABLE)
    }

    /// Whether a forced write may copy where the process may not write: private memory, and huge pages not everywhere.
    ///
    /// Source: `check_vma_flags()`, mm/gup.c, 6.1, 6.12 and 7.3.
    pub(super) fn may_be_forced(&self, profile: &Profile) -> bool {
        let forced_if_huge = profile.huge_forced == HugeForced::Works;
        self.sharing == Sharing::Private && (forced_if_huge || !self.object.is_huge())
    }

    /// VM_MERGEABLE.
    pub(super) fn is_mergeable(&self) -> bool {
        self.flags.has(Flags::MERGEABLE)
    }

    /// VM_LOCKED.
    pub(super) fn is_locked(&self) -> bool {
        self.flags.has(Flags::LOCKED)
    }

    /// Whether it shares memory that may be written through it, now or after `mprotect`.
    ///
    /// Source: `vma_is_shared_maywrite()`, include/linux/mm.h, 6.1 and 6.12.
    pub(super) fn is_shared_maywrite(&self) -> bool {
        self.sharing == Sharing::Shared && self.may_write()
    }

    fn covers(&self, page: u8) -> bool {
        self.first <= page && page < self.end
    }

    /// The flags and the object that two mappings must share to be merged. Huge pages are never merged: hugetlbfs
    /// sets VM_DONTEXPAND, which is one of VM_SPECIAL.
    ///
    /// Source: `is_mergeable_vma()`, mm/mmap.c 6.1, mm/vma.c 6.12 and 7.3; `vma_merge()`, mm/mmap.c, 6.1;
    /// `vma_merge_existing_range()`, `vma_merge_new_range()`, mm/vma.c, 6.12 and 7.3.
    fn looks_like(&self, other: &Vma, profile: &Profile) -> bool {
        !self.object.is_huge()
            && self.object == other.object
            && self.sharing == other.sharing
            && self.prot == other.prot
            && self.flags.without(Flags::MAYBE_GUARD) == other.flags.without(Flags::MAYBE_GUARD)
            && self.offsets_fit(other, profile)
    }

    /// Whether the anonymous pages of two private mappings of a file continue each other.
    ///
    /// Source: `needs_adjacent_anon_pgoff()`, mm/vma.c, 7.3.
    fn offsets_fit(&self, other: &Vma, profile: &Profile) -> bool {
        match profile.anon_offset {
            AnonOffset::OfTheFile => true,
            AnonOffset::OwnForFiles => {
                self.sharing == Sharing::Shared
                    || !self.object.has_file()
                    || self.anon_bias == other.anon_bias
            }
        }
    }

    /// Whether a range with `anon_vma` may be merged into this neighbour.
    ///
    /// Source: `is_mergeable_anon_vma()`, mm/mmap.c 6.1, mm/vma.c 6.12 and 7.3.
    fn takes(&self, anon_vma: Option<AnonVma>, profile: &Profile) -> bool {
        match (self.anon_vma, anon_vma) {
            (Some(own), None) => own.singular,
            (None, Some(other)) => match profile.absent_anon_vma {
                AbsentAnonVma::OfTheNewcomer => false,
                AbsentAnonVma::OfEither => other.singular,
            },
            (own, other) => same_anon_vma(own, other),
        }
    }

    /// Whether this neighbour takes in `other`.
    fn merges(&self, other: &Vma, profile: &Profile) -> bool {
        self.looks_like(other, profile) && self.takes(other.anon_vma, profile)
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

    /// Whether some page of `first..end` is mapped.
    pub(super) fn any_in(&self, first: u8, end: u8) -> bool {
        self.0.iter().any(|vma| vma.first < end && first < vma.end)
    }

    /// The parts of mappings that lie in `pages`, ascending.
    pub(super) fn pieces(&self, pages: PageRange) -> Vec<Vma> {
        let cut = |vma: &Vma| Vma {
            first: vma.first.max(pages.first()),
            end: vma.end.min(pages.end()),
            ..*vma
        };
        self.0.iter().map(cut).filter(|vma| vma.first < vma.end).collect()
    }

    /// How many pages of `pages` are locked.
    ///
    /// Source: `count_mm_mlocked_page_nr()`, mm/mlock.c, 6.1 and 6.12.
    pub(super) fn locked_pages(&self, pages: PageRange) -> i64 {
        let locked = self.pieces(pages).into_iter().filter(Vma::is_locked);
        locked.map(|vma| i64::from(vma.end - vma.first)).sum()
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
    pub(super) fn map(&mut self, new: Vma, profile: &Profile) {
        self.insert(new, profile.mmap_merge, profile);
    }

    /// Whether `mmap` of `new`, where nothing is mapped, would only extend a neighbour.
    pub(super) fn would_extend(&self, new: &Vma, profile: &Profile) -> bool {
        let touches = |vma: &&Vma| vma.end == new.first || vma.first == new.end;
        self.0.iter().filter(touches).any(|vma| vma.merges(new, profile))
    }

    fn insert(&mut self, new: Vma, order: MmapMerge, profile: &Profile) {
        let index = self.0.partition_point(|vma| vma.end <= new.first);
        let fits = |vma: &&Vma| vma.merges(&new, profile);
        let prev = index
            .checked_sub(1)
            .map(|i| &self.0[i])
            .filter(|vma| vma.end == new.first)
            .filter(fits)
            .copied();
        let next = self.0.get(index).filter(|vma| vma.first == new.end).filter(fits).copied();
        let joined = match (prev, next) {
            (Some(prev), Some(next)) => match order {
                MmapMerge::NextFirst => {
                    if prev.takes(next.anon_vma, profile) {
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

    /// Lets the mapping that ends at `end` reach up to `new_end`; nothing is mapped between.
    ///
    /// Source: `vma_merge()` for `mremap()`, mm/mmap.c, 6.1; `vma_merge_extend()`, mm/vma.c, 6.12 and 7.3.
    pub(super) fn extend(&mut self, end: u8, new_end: u8, profile: &Profile) {
        if let Some(&vma) = self.0.iter().find(|vma| vma.end == end) {
            let grown = Vma { first: end, end: new_end, ..vma };
            self.insert(grown, MmapMerge::PrevFirst, profile);
        }
    }

    /// Adds what is to become of the page `from` and those after it, which one mapping
    /// covers, over `to`, where nothing is mapped.
    ///
    /// Anonymous memory that was never written forgets its page offset, and so
    /// may merge even with what it is moved from.
    ///
    /// Source: `copy_vma()`, mm/mmap.c, 6.1, mm/vma.c, 6.12 and 7.3.
    pub(super) fn copy(&mut self, from: u8, to: PageRange, profile: &Profile) {
        let Some(&vma) = self.at(from) else { return };
        let moved_by = i32::from(from) - i32::from(to.first());
        let is_untouched = vma.anon_vma.is_none();
        let anon_bias = if is_untouched { ANON_PAGE_OFFSET } else { vma.anon_bias + moved_by };
        let bias = if vma.object.is_anonymous() && is_untouched {
            ANON_PAGE_OFFSET
        } else {
            vma.object.bias() + moved_by
        };
        let object = vma.object.with_bias(bias);
        let new = Vma { first: to.first(), end: to.end(), object, anon_bias, ..vma };
        self.insert(new, MmapMerge::PrevFirst, profile);
    }

    /// Gives a piece of a mapping the protection and the flags of `changed`, which is that piece otherwise,
    /// and merges it with its neighbours. What changes nothing merges nothing.
    ///
    /// Source: `vma_merge()`, mm/mmap.c, 6.1; `vma_merge_existing_range()`, mm/vma.c, 6.12 and 7.3.
    pub(super) fn modify(&mut self, changed: Vma, profile: &Profile) {
        let Vma { first, end, prot, flags, .. } = changed;
        if self.at(first).is_none_or(|vma| (vma.prot, vma.flags) == (prot, flags)) {
            return;
        }
        self.split(first);
        self.split(end);
        let index =
            self.0.iter().position(|vma| vma.first == first).expect("the piece starts at a split");
        let piece = Vma { prot, flags, ..self.0[index] };
        self.0[index] = piece;
        let fits = |vma: &&Vma| vma.merges(&piece, profile);
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
        let guarded = self.0[from..=to].iter().any(|vma| vma.flags.has(Flags::MAYBE_GUARD));
        let sticky = if guarded { Flags::MAYBE_GUARD } else { Flags::NONE };
        let flags = self.0[from].flags.with(sticky);
        let merged = Vma { end: self.0[to].end, flags, anon_vma, ..self.0[from] };
        self.0.splice(from..=to, [merged]);
    }

    /// Notes at the whole mapping of `page` that there may be guards.
    ///
    /// Source: `madvise_guard_install()`, mm/madvise.c, 7.3.
    pub(super) fn note_guards(&mut self, page: u8) {
        if let Some(vma) = self.0.iter_mut().find(|vma| vma.covers(page)) {
            vma.flags = vma.flags.with(Flags::MAYBE_GUARD);
        }
    }

    /// Makes nobody the owner of huge pages in `pages`.
    pub(super) fn disown(&mut self, pages: PageRange, profile: &Profile) {
        for piece in self.pieces(pages) {
            let flags = piece.flags.without(Flags::HUGE_OWNER);
            self.modify(Vma { flags, ..piece }, profile);
        }
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
    /// Source: `__anon_vma_prepare()`, mm/rmap.c, 6.1 and 6.12; `find_mergeable_anon_vma()`, mm/mmap.c 6.1, mm/vma.c 6.12.
    pub(super) fn prepare_anon_vma(&mut self, page: u8, fresh: &mut u32, profile: &Profile) {
        let Some(index) = self.0.iter().position(|vma| vma.covers(page)) else { return };
        let vma = self.0[index];
        if vma.anon_vma.is_some() {
            return;
        }
        let flags = vma.flags.without(Flags::MAYBE_GUARD);
        let reusable = |other: &&Vma| {
            other.object == vma.object
                && other.sharing == vma.sharing
                && other.flags.without(Flags::MAYBE_GUARD) == flags
                && other.offsets_fit(&vma, profile)
        };
        let of = |other: Option<&Vma>| {
            other.filter(reusable).and_then(|o| o.anon_vma).filter(|a| a.singular)
        };
        let next = of(self.0.get(index + 1).filter(|next| next.first == vma.end));
        let prev =
            of(index.checked_sub(1).map(|i| &self.0[i]).filter(|prev| prev.end == vma.first));
        self.0[index].anon_vma = Some(next.or(prev).unwrap_or_else(|| new_anon_vma(fresh, true)));
    }

    /// The mappings of a child: each that has an anon_vma gets one of its own, none is
    /// locked, some are left out, and some are there but start anew.
    ///
    /// Source: `dup_mmap()`, kernel/fork.c; `anon_vma_fork()`, mm/rmap.c, 6.1 and 6.12.
    pub(super) fn forked(&self, left_out: Flags, fresh: &mut u32) -> Vmas {
        let copied = self.0.iter().filter(|vma| vma.flags.without(left_out) == vma.flags);
        let copy = |vma: &Vma| {
            let inherited = vma.anon_vma.filter(|_| !vma.flags.has(Flags::WIPE_ON_FORK));
            let anon_vma = inherited.map(|_| new_anon_vma(fresh, false));
            // `hugetlb_dup_vma_private()`, mm/hugetlb.c: promises are the parent's.
            let own = Flags::LOCK_MASK.with(Flags::HUGE_OWNER).with(Flags::HUGE_TAKEN);
            Vma { flags: vma.flags.without(own), anon_vma, ..*vma }
        };
        Vmas(copied.map(copy).collect())
    }
}

fn new_anon_vma(fresh: &mut u32, singular: bool) -> AnonVma {
    *fresh += 1;
    AnonVma { id: *fresh, singular }
}

/// The flags after a change of protection: VM_ACCOUNT is gained with the write right
/// of a private mapping, and hardly ever lost.
///
/// Source: `mprotect_fixup()`, mm/mprotect.c, 6.1 and 6.12.
pub(super) fn flags_after(vma: &Vma, prot: Prot, profile: &Profile) -> Flags {
    let account = vma.flags.has(Flags::ACCOUNT);
    let never_written = vma.object.is_anonymous() && vma.anon_vma.is_none();
    if prot.write() {
        let gains = vma.sharing == Sharing::Private && !vma.prot.write();
        return vma.flags.with_account(account || gains);
    }
    // The flags compare equal before the account is looked at: nothing changes then.
    if account && never_written && prot != vma.prot {
        return vma.flags.with_account(profile.unwritten_account == UnwrittenAccount::Kept);
    }
    vma.flags
}

/// Which neighbours a piece is merged with.
#[derive(Clone, Copy, Debug)]
enum Join {
    None,
    Prev,
    Next,
    Both,
}
