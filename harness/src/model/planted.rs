//! Faults that can be planted in the model when it plays the target.

use std::cell::Cell;
use std::fmt;

use crate::profile::{GuardRegions, Platform, Profile};

/// A bug put into the model on purpose, to show that an oracle sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A read-only registration pins the zero page and private file pages as they are.
    StaleReadOnlyPin,
    /// Fork shares pinned pages with the child instead of copying them.
    ForkSharesPinned,
    /// A CPU write to a page shared after fork copies it even when nobody else has it any more.
    CopyOfSolePage,
    /// Deregistration leaves its pages in VmPin.
    VmPinKept,
    /// Deregistration leaves one page pinned until the process ends.
    PinLeak,
    /// Leaving pages pinned for good when a process exits with a live MR.
    TeardownLeak,
    /// RLIMIT_MEMLOCK is not looked at.
    LimitIgnored,
    /// A remote write needs no REMOTE_WRITE.
    WriteRightIgnored,
    /// A remote read past the end of an MR by up to a page is let through.
    RangeOffByOne,
    /// A wrong key with the right index is accepted.
    KeyIgnored,
    /// A writable registration of memory that the process may not write is accepted.
    WritableOverReadOnly,
    /// A remote write of more than a page loses its last byte.
    ShortRemoteWrite,
    /// Registering a page twice logs a warning.
    WarnOnOverlap,
    /// A window lets peers do what its MR lets them do.
    WindowRightIgnored,
    /// A window of type 2 serves every queue pair.
    WindowQpIgnored,
    /// A deallocated window lets peers reach what it was bound to, and keeps its MR.
    WindowOutlivesItself,
    /// A deallocated window is counted as an RDMA object for good.
    WindowObjectKept,
    /// The key of a deregistered MR is accepted.
    KeyOutlivesMr,
    /// Reregistration lets peers write to pages that were pinned for reading.
    ReaderMadeWriter,
    /// A compare-and-swap swaps whatever is there.
    SwapWithoutCompare,
    /// A fetch-and-add is one of 4 bytes.
    NarrowFetchAdd,
    /// What goes to the last of several entries of a list is dropped.
    ListEntryLost,
    /// A write to a file misses pages that are mapped.
    FileWriteLost,
    /// A file that is cut keeps the bytes behind its end on its last page.
    CutTailKept,
    /// A hole in a file leaves the bytes on pages that it covers in part.
    PunchedBytesKept,
    /// A file is sealed against writing while its pages are pinned.
    SealOverPins,
    /// A forced write to memory that may only be read is not to a private copy.
    ForcedInPlace,
    /// A CPU write to a page that KSM merged goes to all who have it.
    MergedInPlace,
    /// KSM merges pinned pages.
    PinnedMerged,
    /// KSM is told to unmerge and does not.
    UnmergeForgotten,
    /// Compaction moves pinned pages.
    PinnedMoved,
    /// Pages that are locked once more count once more in VmLck.
    LockedTwice,
    /// Locked pages of a process are not given back when it ends.
    LockedLeak,
    /// A child gets the mappings that MADV_DONTFORK keeps from it, without their pages.
    DontForkIgnored,
    /// A child gets the pages that MADV_WIPEONFORK keeps from it.
    WipeOnForkIgnored,
    /// `mremap` moves a mapping without its pages.
    MovedPagesLost,
    /// Pages of a file that a registration brings in are charged to nobody.
    CacheUncharged,
    /// A registration that RLIMIT_MEMLOCK refuses logs that memory ran out.
    LoggedLimit,
    /// Fork shares pinned huge pages with the child instead of copying them.
    HugeForkSharesPinned,
    /// Pinned pages are swapped out.
    PinnedSwapped,
    /// A window is bound to an MR that does not let windows be bound.
    BindRightIgnored,
    /// A window that lets peers write is bound to an MR that nobody may write to.
    BindOverReadOnly,
    /// A window is bound to bytes of which the last one is behind its MR.
    BindRangeOffByOne,
    /// A child has no guards of a mapping without an anon_vma, whose page table is not copied.
    GuardsLostInFork,
    /// The completion of a compare-and-swap says that it was a fetch-and-add.
    SwapCompletedAsAdd,
    /// The completion of a read or a receive of more than a page says that it was one page.
    CompletedLengthOfOnePage,
    /// The completion of a receive does not say which key a send made invalid.
    InvalidatedKeyUnnamed,
    /// Deregistration leaves pages clean that an adapter may have written.
    UnpinnedClean,
}

/// The fault that is planted, if one is, and which ones the rules asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Planted {
    fault: Option<Fault>,
    /// One bit each. The rules only look at the state where they ask, and so what they asked for is noted in passing.
    asked: Cell<u64>,
}

impl Planted {
    pub(super) fn new(fault: Option<Fault>) -> Planted {
        Planted { fault, asked: Cell::default() }
    }

    /// Whether `fault` is planted. Rules ask where it would make a difference, as far as they can tell.
    pub(super) fn is(&self, fault: Fault) -> bool {
        self.asked.set(self.asked.get() | 1 << fault as u64);
        self.fault == Some(fault)
    }

    pub(super) fn was_asked(&self, fault: Fault) -> bool {
        self.asked.get() & 1 << fault as u64 != 0
    }
}

impl Fault {
    /// Every fault, with the name it has on the command line.
    pub const ALL: [(Fault, &'static str); 48] = [
        (Fault::StaleReadOnlyPin, "stale_read_only_pin"),
        (Fault::ForkSharesPinned, "fork_shares_pinned"),
        (Fault::CopyOfSolePage, "copy_of_sole_page"),
        (Fault::VmPinKept, "vm_pin_kept"),
        (Fault::PinLeak, "pin_leak"),
        (Fault::TeardownLeak, "teardown_leak"),
        (Fault::LimitIgnored, "limit_ignored"),
        (Fault::WriteRightIgnored, "write_right_ignored"),
        (Fault::RangeOffByOne, "range_off_by_one"),
        (Fault::KeyIgnored, "key_ignored"),
        (Fault::WritableOverReadOnly, "writable_over_read_only"),
        (Fault::ShortRemoteWrite, "short_remote_write"),
        (Fault::WarnOnOverlap, "warn_on_overlap"),
        (Fault::WindowRightIgnored, "window_right_ignored"),
        (Fault::WindowQpIgnored, "window_qp_ignored"),
        (Fault::WindowOutlivesItself, "window_outlives_itself"),
        (Fault::WindowObjectKept, "window_object_kept"),
        (Fault::KeyOutlivesMr, "key_outlives_mr"),
        (Fault::ReaderMadeWriter, "reader_made_writer"),
        (Fault::SwapWithoutCompare, "swap_without_compare"),
        (Fault::NarrowFetchAdd, "narrow_fetch_add"),
        (Fault::ListEntryLost, "list_entry_lost"),
        (Fault::FileWriteLost, "file_write_lost"),
        (Fault::CutTailKept, "cut_tail_kept"),
        (Fault::PunchedBytesKept, "punched_bytes_kept"),
        (Fault::SealOverPins, "seal_over_pins"),
        (Fault::ForcedInPlace, "forced_in_place"),
        (Fault::MergedInPlace, "merged_in_place"),
        (Fault::PinnedMerged, "pinned_merged"),
        (Fault::UnmergeForgotten, "unmerge_forgotten"),
        (Fault::PinnedMoved, "pinned_moved"),
        (Fault::LockedTwice, "locked_twice"),
        (Fault::LockedLeak, "locked_leak"),
        (Fault::DontForkIgnored, "dont_fork_ignored"),
        (Fault::WipeOnForkIgnored, "wipe_on_fork_ignored"),
        (Fault::MovedPagesLost, "moved_pages_lost"),
        (Fault::CacheUncharged, "cache_uncharged"),
        (Fault::LoggedLimit, "logged_limit"),
        (Fault::HugeForkSharesPinned, "huge_fork_shares_pinned"),
        (Fault::PinnedSwapped, "pinned_swapped"),
        (Fault::BindRightIgnored, "bind_right_ignored"),
        (Fault::BindOverReadOnly, "bind_over_read_only"),
        (Fault::BindRangeOffByOne, "bind_range_off_by_one"),
        (Fault::GuardsLostInFork, "guards_lost_in_fork"),
        (Fault::SwapCompletedAsAdd, "swap_completed_as_add"),
        (Fault::CompletedLengthOfOnePage, "completed_length_of_one_page"),
        (Fault::InvalidatedKeyUnnamed, "invalidated_key_unnamed"),
        (Fault::UnpinnedClean, "unpinned_clean"),
    ];

    /// The fault with this name.
    pub fn from_name(name: &str) -> Option<Fault> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(fault, _)| *fault)
    }

    /// A profile like `profile` on which it can show: some need what User Mode Linux or an older series does not have.
    pub fn shown_on(self, profile: &'static Profile) -> &'static Profile {
        let knows_guards = profile.guard_regions == GuardRegions::Known;
        if self == Fault::HugeForkSharesPinned {
            profile.on(Platform::X86)
        } else if self == Fault::GuardsLostInFork && !knows_guards {
            Profile::newest().on(profile.platform)
        } else {
            profile
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(fault, _)| *fault == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
