//! What differs between kernels, as data: one field a rule, each with its source.
//!
//! A profile is a product: what a series changes over the one before it (`profile/series`, one file each), what a
//! platform changes (`profile/platform.rs`), and whose rules the adapter's are. A new series is one more file there.

mod expression;
mod platform;
mod series;

use pinfold_contract::{Access, Errno, Rereg, Series, WcStatus};

pub use expression::{Expression, Import};
pub use platform::{Adapter, Platform};

/// The rules in which kernels differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The series, as in the name of a target.
    pub series: Series,

    /// What the kernel runs on, which decides some of the other fields.
    pub platform: Platform,

    /// The RDMA device, which decides some of the other fields.
    pub adapter: Adapter,

    /// What pages can be swapped to. The executor brings it, so it is no rule of a kernel.
    pub swap_space: SwapSpace,

    /// How rxe reports a request that fails at the sender. A defect (`corpus/defects/error-reported-as-flush/README.md`), by which no
    /// prediction goes: it decides which refusals a run can be expected to see.
    ///
    /// Source: `rxe_requester()` and `rxe_sender()`, drivers/infiniband/sw/rxe/rxe_req.c, 6.1 and 6.12.
    pub failed_send: FailedSend,

    /// What `ib_umem_get()` asks of GUP.
    ///
    /// Source: `ib_umem_get()`, drivers/infiniband/core/umem.c, 6.1 and 6.12.
    pub umem: Umem,

    /// Which pages GUP makes exclusive before it pins them without FOLL_WRITE.
    ///
    /// Source: `gup_must_unshare()`, include/linux/mm.h, 6.1, and mm/internal.h, 6.12.
    pub unshare: Unshare,

    /// What NON_COHERENT does.
    ///
    /// Source: `IB_ACCESS_OPTIONAL`, include/rdma/ib_verbs.h, 6.1 and 6.12: the bit is accepted, and means nothing.
    /// targets/kernel/designs/non-coherent.patch gives it its meaning.
    pub non_coherent: NonCoherent,

    /// Access bits that `ib_check_mr_access()` knows; any other is EINVAL.
    ///
    /// Source: `IB_ACCESS_SUPPORTED`, include/rdma/ib_verbs.h, 6.1 and 6.12.
    pub access_known: Access,

    /// What becomes of ON_DEMAND, which asks for on-demand paging.
    ///
    /// Source: `ib_check_mr_access()`, include/rdma/ib_verbs.h, 6.1 and 6.12; `rxe_reg_user_mr()`,
    /// drivers/infiniband/sw/rxe/rxe_verbs.c, 7.3.
    pub on_demand: OnDemand,

    /// Known access bits that rxe refuses with EOPNOTSUPP.
    ///
    /// Source: `rxe_reg_user_mr()`, drivers/infiniband/sw/rxe/rxe_verbs.c, 6.12; 6.1 has no such test.
    pub access_unsupported: Access,

    /// In which order `mmap` tries to merge the new mapping with its neighbours.
    ///
    /// Source: `__mmap_region()`, mm/mmap.c, 6.1; `vma_merge_new_range()`, mm/vma.c, 6.12.
    pub mmap_merge: MmapMerge,

    /// Which neighbour may lack an anon_vma when two are merged.
    ///
    /// Source: `is_mergeable_anon_vma()`, mm/mmap.c 6.1, mm/vma.c 6.12 and 7.3.
    pub absent_anon_vma: AbsentAnonVma,

    /// By which page offset the anonymous pages of a private mapping of a file are found, and so must continue to merge.
    ///
    /// Source: `copy_vma()`, mm/mmap.c 6.1, mm/vma.c 6.12; `needs_adjacent_anon_pgoff()`, mm/vma.c, 7.3.
    pub anon_offset: AnonOffset,

    /// When `mremap` to a fixed place checks what is there to be moved, and how many mappings it moves.
    ///
    /// Source: `mremap_to()` and `vma_to_resize()`, mm/mremap.c, 6.1 and 6.12; `check_mremap_params()`, `check_prep_vma()`
    /// and `remap_move()`, mm/mremap.c, 7.3.
    pub remap_order: RemapOrder,

    /// What `mprotect` does with VM_ACCOUNT when it takes the write right from
    /// anonymous memory that was never written.
    ///
    /// Source: `mprotect_fixup()`, mm/mprotect.c, 6.1 and 6.12.
    pub unwritten_account: UnwrittenAccount,

    /// What becomes of bytes that a mapping wrote behind the end of a file on a disk when the file grows.
    ///
    /// Source: `ext4_setattr()`, `ext4_da_do_write_end()`, fs/ext4/inode.c, 6.12; 6.1 leaves them.
    pub disk_tail: DiskTail,

    /// Whether a hole in a file on a disk is written to the disk before it is punched.
    ///
    /// Source: `ext4_punch_hole()`, fs/ext4/inode.c, 6.1 and 6.12.
    pub disk_punch: DiskPunch,

    /// When `mmap` finds out that F_SEAL_FUTURE_WRITE forbids a shared writable mapping.
    ///
    /// Source: `shmem_mmap()`, mm/shmem.c, 6.1; `memfd_check_seals_mmap()`, mm/memfd.c, 6.12.
    pub future_write_check: FutureWriteCheck,

    /// What `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE` do at a hole.
    ///
    /// Source: `madvise_populate()`, mm/madvise.c, 6.1 and 6.12.
    pub populate_at_hole: PopulateAtHole,

    /// Whether a read fault near the last page of a file on a disk makes a page table for it, if that is
    /// the first page that it could map around itself.
    ///
    /// Source: `filemap_map_pages()`, mm/filemap.c, 6.1 and 6.12: `filemap_map_pmd()`, which puts the
    /// table in place, is left out where a huge page would reach beyond the end of the file.
    pub table_for_last_page: LastPageTable,

    /// What advice about huge pages does.
    ///
    /// Source: `madvise_behavior_valid()`, mm/madvise.c, 6.1 and 6.12: only a kernel with CONFIG_TRANSPARENT_HUGEPAGE,
    /// which User Mode Linux does not have, knows it. `do_sync_mmap_readahead()`, mm/filemap.c, 6.1, 6.12 and 7.3.
    pub huge_advice: HugeAdvice,

    /// Whether the kernel knows guard regions.
    ///
    /// Source: `madvise_behavior_valid()`, mm/madvise.c, 6.1, 6.12 and 7.3: `MADV_GUARD_INSTALL` and
    /// `MADV_GUARD_REMOVE` are EINVAL before 6.13.
    pub guard_regions: GuardRegions,

    /// Whether the machine has a pool of huge pages.
    ///
    /// Source: `ksys_mmap_pgoff()`, mm/mmap.c, 6.1 and 6.12: without CONFIG_HUGETLBFS, which User Mode Linux does not
    /// have, no size of huge page is known, and `mmap` is refused with EINVAL.
    pub huge_pages: HugePages,

    /// Whether MADV_DOFORK takes back MADV_DONTFORK on huge pages.
    ///
    /// Source: `madvise_vma_behavior()`, mm/madvise.c, 6.1 and 6.12 ask for VM_IO alone; 7.3 asks for VM_SPECIAL, of which
    /// VM_DONTEXPAND of huge pages is one.
    pub huge_dofork: HugeDofork,

    /// Whether a forced write goes to private huge pages that the process may not write.
    ///
    /// Source: `check_vma_flags()`, mm/gup.c, 6.1 and 6.12; `hugetlb_wp()`, `set_huge_ptep_maybe_writable()`,
    /// mm/hugetlb.c, 7.3.
    pub huge_forced: HugeForced,

    /// What becomes of the promise of a huge page that its owner unmaps, when nobody else maps it.
    ///
    /// Source: `__unmap_hugepage_range()`, mm/hugetlb.c, 6.1 and 6.12.
    pub huge_zap: HugeZap,

    /// Whether memory that may be written and nothing else can be read.
    ///
    /// Source: `handle_page_fault()`, arch/um/kernel/trap.c, asks a read fault for VM_READ or VM_EXEC; `access_error()`,
    /// arch/x86/mm/fault.c, for any access at all. Both 6.1 and 6.12.
    pub write_only_load: WriteOnlyLoad,

    /// Whether GUP first takes pages from the page table alone, without a look at the permissions of the mapping.
    ///
    /// Source: CONFIG_HAVE_FAST_GUP, mm/Kconfig, 6.1, CONFIG_HAVE_GUP_FAST, 6.12: arch/x86 selects it, arch/um does not;
    /// `internal_get_user_pages_fast()`, mm/gup.c, 6.1, and `gup_fast_fallback()`, 6.12.
    pub gup_fast: GupFast,

    /// Whether KSM can put a merged page in place of one whose entry is write-protected and dirty,
    /// or exclusive, at once.
    ///
    /// Source: `write_protect_page()` and `replace_page()`, mm/ksm.c, 6.1 and 6.12. In 6.12 the entry
    /// that is looked for is not read back, and `set_pte()` of User Mode Linux has added `_PAGE_NEWPROT`,
    /// which its `pte_same()`, arch/um/include/asm/pgtable.h, 6.12, does not pass over.
    pub ksm_swap: KsmSwap,

    /// Whether a place looks for its content among the merged pages before or after it leaves the list of sharers of the page
    /// that it showed. After it a page whose last sharer it was takes nobody.
    ///
    /// Source: `cmp_and_merge_page()`, mm/ksm.c: 6.1 calls `stable_tree_search()` before `remove_rmap_item_from_tree()`, 6.12
    /// after it; `__is_page_sharing_candidate()`, mm/ksm.c, 6.1 and 6.12.
    pub ksm_search: KsmSearch,

    /// When a page that comes back from swap space is exclusive, and so can be written without a copy.
    ///
    /// Source: `do_swap_page()`, mm/memory.c, 6.1, 6.12 and 7.3.
    pub swap_exclusive: SwapExclusive,

    /// What reclaim makes of a pinned page that MADV_FREE gave up and nobody has written since.
    ///
    /// Source: `try_to_unmap_one()`, mm/rmap.c, 6.1, 6.12 and 7.2; `ttu_anon_lazyfree_folio()`, mm/rmap.c, 7.3.
    pub lazyfree_pinned: LazyfreePinned,

    /// Whether a shared writable mapping of a file that tracks what is dirty can be pinned to write.
    ///
    /// Source: `writable_file_mapping_allowed()`, mm/gup.c, 6.12; 6.1 has no such test.
    pub tracked_write_pin: TrackedWritePin,

    /// What `REREG_MR` can change; nothing if rxe lacks the op, then it is EOPNOTSUPP.
    ///
    /// Source: `rxe_rereg_user_mr()`, drivers/infiniband/sw/rxe/rxe_verbs.c, 6.12; `rxe_dev_ops`
    /// of 6.1 lacks that function, so `UAPI_DEF_METHOD_NEEDS_FN()`,
    /// include/rdma/uverbs_ioctl.h, takes the command away.
    pub rereg_changes: Rereg,

    /// Rights that a window cannot be bound with.
    ///
    /// Source: `rxe_bind_mw()`, drivers/infiniband/sw/rxe/rxe_mw.c, 6.12; 6.1 has no such test.
    pub window_unsupported: Access,

    /// The status of a local key that is good when its range is not.
    ///
    /// Source: `mr_check_range()`, drivers/infiniband/sw/rxe/rxe_mr.c, EFAULT in 6.1, EINVAL in
    /// 6.12; `rxe_requester()`, drivers/infiniband/sw/rxe/rxe_req.c, makes the status of it.
    pub local_range_status: WcStatus,
}

/// What `ib_umem_get()` asks of GUP: `write` is FOLL_WRITE, `force` is FOLL_FORCE, and `writable` whether the adapter
/// may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Umem {
    /// `write = 1, force = !writable`: from the beginning to 6.1.
    AlwaysWrite,
    /// `write = !writable, force = 1`: the patch of March 2013 as it was submitted.
    Swapped,
    /// `write = writable, force = 0`: that patch as corrected, and Linux since 6.2.
    WriteIfWritable,
    /// As `WriteIfWritable`, and where the adapter only reads, `write` on each page that the process may write now:
    /// FOLL_FOLLOW, of 2012.
    FollowProcess,
    /// As `FollowProcess`, but only where writing copies, in private mappings: the permission of the mapping decides
    /// whether copy-on-write is kept or broken.
    FollowPrivate,
}

/// Which pages are made exclusive before they are pinned without FOLL_WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unshare {
    /// None: before 5.19.
    Never,
    /// Anonymous ones, but neither the zero page nor pages of files: 5.19 to 6.1.
    Anonymous,
    /// Every page of a private mapping: since 6.2.
    Private,
}

/// What [`Access::NON_COHERENT`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonCoherent {
    /// Nothing: an optional bit that nobody knows.
    Ignored,
    /// The pages are pinned as they are, shared or not. Refused together with a right to write.
    KeepsPages,
}

/// What a request for on-demand paging gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDemand {
    /// This errno: the kernel, the device or the configuration does not have it.
    Refused(Errno),
    /// Something for which the model has no rules yet.
    NotModelled,
}

/// In which order `mmap` merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmapMerge {
    /// The next mapping first; the previous one too if it fits the next.
    NextFirst,
    /// The previous mapping first; the next one too if it fits the previous.
    PrevFirst,
}

/// Which of two neighbours may lack an anon_vma. Where one of them has one, its chain must have one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsentAnonVma {
    /// The one that is added or changed.
    OfTheNewcomer,
    /// Either.
    OfEither,
}

/// The page offset of anonymous pages in a private mapping of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonOffset {
    /// That of the file.
    OfTheFile,
    /// Their own, by the address at which they were first made.
    OwnForFiles,
}

/// What `mremap` to a fixed place does first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemapOrder {
    /// It unmaps the destination and what is cut off, then checks the one mapping that it moves.
    UnmapsFirst,
    /// It checks, then unmaps. Where the length stays, it does so for each mapping in the range in turn.
    ChecksFirst,
}

/// What becomes of VM_ACCOUNT on anonymous memory without an anon_vma that
/// loses its write right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnwrittenAccount {
    /// It stays.
    Kept,
    /// It goes.
    Cleared,
}

/// What becomes of bytes behind the end of a file on a disk that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskTail {
    /// They become part of the file.
    Kept,
    /// They are zeroed.
    Zeroed,
}

/// What happens to dirty pages where a hole is punched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskPunch {
    /// They are written first, those that stay in part as well, and so are clean then.
    WritesFirst,
    /// They are dropped as they are.
    DropsAll,
}

/// When a seal against future writes is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutureWriteCheck {
    /// Before anything changes.
    First,
    /// When the file is asked to map itself: what was mapped there is gone by
    /// then, and a mapping that only extends a neighbour asks no file.
    Last,
}

/// What populating does at a hole. Both report ENOMEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PopulateAtHole {
    /// It goes on behind it.
    Continues,
    /// It stops.
    Stops,
}

/// The page table where the last page of a file is to be mapped for a neighbour's sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastPageTable {
    /// It is made if there is none.
    Made,
    /// It is not, and so the page is not mapped.
    Missing,
}

/// Advice about transparent huge pages, where none is ever made: the executor's machines turn them off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugeAdvice {
    /// EINVAL.
    Unknown,
    /// It is a flag of the mapping, with which a fault reads a whole file from its disk.
    Noted,
    /// It is a flag of the mapping, and nothing else: the file system of the disk has no large folios.
    OnlyNoted,
}

/// Guard regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardRegions {
    /// EINVAL.
    Unknown,
    /// In memory of any kind but huge pages.
    Known,
}

/// Huge pages of hugetlb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// No such memory: EINVAL.
    None,
    /// A pool of [`HUGE_POOL_PAGES`](pinfold_contract::HUGE_POOL_PAGES), and no surplus.
    Pool,
}

/// MADV_DOFORK on huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugeDofork {
    /// A fork copies them again.
    Works,
    /// EINVAL.
    Refused,
}

/// A forced write to private huge pages that are not writable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugeForced {
    /// EIO.
    Refused,
    /// As to small pages: it copies what is not the process's own.
    Works,
}

/// The promise of a huge page that was used and is unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugeZap {
    /// It stays used up: whoever touches the page again needs one that nobody was promised.
    UsesUp,
    /// The page is promised again, and counts so as soon as it is free.
    PromisesAgain,
}

/// What pages can be swapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapSpace {
    /// Nothing that sequences may use.
    None,
    /// A RAM disk: what is written to it is there at once.
    RamDisk,
}

/// Loads from memory that may be written and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOnlyLoad {
    /// A fault is refused. Where none comes the load works: that depends on what the host has mapped.
    WithoutFault,
    /// As from memory that may be read as well.
    Works,
}

/// GUP without a look at mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GupFast {
    /// There is none.
    Absent,
    /// What the page table lets the processor do, GUP lets the adapter do.
    First,
}

/// See [`Profile::ksm_search`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KsmSearch {
    /// Before it leaves.
    BeforeItLeaves,
    /// Once it left.
    OnceItLeft,
}

/// What KSM does with a write-protected entry that it has to clean first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KsmSwap {
    /// It puts the merged page there.
    Works,
    /// It cleans it and gives up; the next time it works.
    FailsOnce,
}

/// When a page from swap space is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapExclusive {
    /// When no other entry needs its place in swap space, and nobody has brought it back before.
    LastEntry,
    /// When its entry is marked: it was exclusive when it went, and no fork has copied the entry since.
    Marked,
}

/// A pinned page that MADV_FREE gave up, when reclaim finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LazyfreePinned {
    /// It is the process's own again, and may be swapped.
    Kept,
    /// It stays given up: once it is unpinned and still clean, it may be dropped.
    StaysGivenUp,
}

/// Pinning, to write, of a shared writable mapping of a file with dirty tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackedWritePin {
    /// As of any mapping.
    Allowed,
    /// EFAULT.
    Refused,
}

/// What rxe reports of a request that fails at the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedSend {
    /// Its own status.
    Reported,
    /// WR_FLUSH_ERR, whatever its status was.
    Flushed,
}

/// A field of [`Profile`] that two kernels can differ in.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Sets it in the first profile to what it is in the second.
    pub take: fn(&mut Profile, &Profile),
    /// Its value in a profile.
    pub expression: fn(&Profile) -> Expression,
}

macro_rules! fields {
    ($($name:ident,)*) => {
        [$(Field {
            name: stringify!($name),
            take: |to, from| to.$name = from.$name,
            expression: |of| Expression::of(&of.$name),
        },)*]
    };
}

/// Every field but series, platform, adapter, swap space and what a defect hides, in order.
pub const FIELDS: [Field; 32] = fields! {
    umem,
    unshare,
    non_coherent,
    access_known,
    on_demand,
    access_unsupported,
    mmap_merge,
    absent_anon_vma,
    anon_offset,
    remap_order,
    unwritten_account,
    disk_tail,
    disk_punch,
    future_write_check,
    populate_at_hole,
    table_for_last_page,
    huge_advice,
    guard_regions,
    huge_pages,
    huge_dofork,
    huge_forced,
    huge_zap,
    write_only_load,
    gup_fast,
    ksm_swap,
    ksm_search,
    swap_exclusive,
    lazyfree_pinned,
    tracked_write_pin,
    rereg_changes,
    window_unsupported,
    local_range_status,
};

impl Profile {
    /// Every series on User Mode Linux, the newest first.
    pub fn all() -> &'static [Profile] {
        Self::all_on(Platform::Uml)
    }

    /// Every series on `platform`, the newest first.
    pub fn all_on(platform: Platform) -> &'static [Profile] {
        match platform {
            Platform::Uml => &series::UML,
            Platform::X86 => &series::X86,
        }
    }

    /// The series that kernel.org keeps up for years, the newest first: those that machines run.
    pub fn long_term() -> Vec<Series> {
        let all = Self::all().iter().zip(series::IS_LONG_TERM);
        all.filter(|(_, is_long_term)| *is_long_term).map(|(profile, _)| profile.series).collect()
    }

    /// The newest series on User Mode Linux.
    pub fn newest() -> &'static Profile {
        &Self::all()[0]
    }

    /// The rules of `series` on `platform`; `None` if it has no file in `profile/series`.
    pub fn of(series: Series, platform: Platform) -> Option<&'static Profile> {
        Self::all_on(platform).iter().find(|profile| profile.series == series)
    }

    /// The rules of the series called `name`, on User Mode Linux.
    pub fn of_series(name: &str) -> Option<&'static Profile> {
        Self::of(name.parse().ok()?, Platform::Uml)
    }

    /// The rules of the series nearest to `series` on `platform`; of the newer one where two are as near.
    pub fn nearest(series: Series, platform: Platform) -> &'static Profile {
        let all = Self::all_on(platform);
        all.iter().min_by_key(|profile| profile.series.distance(series)).unwrap_or(&all[0])
    }

    /// The same series on `platform`; the nearest, if this one is none of ours.
    pub fn on(&self, platform: Platform) -> &'static Profile {
        Self::nearest(self.series, platform)
    }
}

/// The rules of a series that a test names, on User Mode Linux.
#[cfg(test)]
pub(crate) fn linux(series: &str) -> &'static Profile {
    Profile::of_series(series).expect("a test names a series that has rules")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_on_each_platform_and_the_newest_comes_first() {
        for platform in Platform::ALL {
            let all = Profile::all_on(platform);
            assert!(all.len() > 1 && all.windows(2).all(|pair| pair[0].series > pair[1].series));
            for profile in all {
                assert_eq!(profile.platform, platform);
                assert_eq!(Profile::of(profile.series, platform), Some(profile));
                assert_eq!(profile.on(Platform::Uml).series, profile.series);
            }
        }
        assert_eq!(Profile::of(Series::new(5, 10), Platform::Uml), None);
    }

    #[test]
    fn series_that_are_kept_up_for_years_are_told_from_the_others() {
        assert_eq!(Profile::long_term(), [Series::new(6, 12), Series::new(6, 1)]);
    }

    #[test]
    fn the_nearest_series_is_that_with_the_fewest_releases_between() {
        let nearest =
            |major, minor| Profile::nearest(Series::new(major, minor), Platform::Uml).series;
        assert_eq!(nearest(5, 10), Series::new(6, 1));
        assert_eq!(nearest(6, 2), Series::new(6, 1));
        assert_eq!(nearest(6, 11), Series::new(6, 12));
        assert_eq!(nearest(9, 0), Profile::newest().series);
    }
}
