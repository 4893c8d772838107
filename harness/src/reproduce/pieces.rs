//! The C functions that a program may need: each in a file of its own, with what it needs in turn.
//!
//! A program gets the pieces that it calls and no others, so that a small
//! sequence gives a small program.

use std::collections::BTreeSet;

/// One piece of C. The order is the one in which they stand in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Piece {
    /// How the program ends.
    Finish,
    /// As [`Piece::Finish`], where there are several processes.
    FinishShared,
    /// The page that the processes share.
    SharedPage,
    /// Ends a program that lacks something.
    CannotTell,
    /// Prints one test.
    Check,
    /// As [`Piece::Check`], where there are several processes.
    CheckShared,
    /// An outcome that is as good as the wanted one.
    Also,
    /// An outcome that is allowed and leads elsewhere.
    Unsure,
    /// What an errno says.
    Outcome,
    /// Maps memory.
    Map,
    /// How much of an access was done.
    Done,
    /// Bytes as text.
    Describe,
    /// Survives a fault.
    Guard,
    /// The CPU stores.
    Store,
    /// The CPU loads.
    Load,
    /// A memory file.
    MemoryFile,
    /// Opens the RDMA device.
    Device,
    /// The buffer of the program itself.
    Landing,
    /// One RDMA operation.
    Transfer,
    /// RDMA read.
    RdmaRead,
    /// RDMA write.
    RdmaWrite,
    /// Registers memory.
    Region,
    /// The bytes of a region.
    Gather,
    /// RLIMIT_MEMLOCK.
    Limit,
    /// An entry of pagemap.
    Pagemap,
    /// Numbers for frames.
    Frames,
    /// The frames of all pages.
    ListFrames,
    /// Remembers the frame of one page.
    NoteFrame,
    /// A count as text.
    InPages,
    /// A line of `/proc/self/status`.
    Status,
    /// What the program itself is charged for.
    Settle,
    /// As [`Piece::Settle`], for a process forked just now.
    SettleChild,
    /// A counter of `/proc/vmstat`.
    VmStat,
    /// Pinned pages.
    Pins,
    /// Anonymous pages.
    AnonPages,
    /// Pages of memory files and shared memory.
    ShmemPages,
    /// What is left behind.
    Left,
    /// Complaints of the kernel.
    KernelLog,
    /// Processes that take turns.
    Turns,
    /// The end of a process.
    Leave,
    /// Waits for the process that does the work.
    WaitFor,
}

impl Piece {
    /// Its C.
    pub(super) fn text(self) -> &'static str {
        match self {
            Piece::Finish => include_str!("pieces/check.c"),
            Piece::FinishShared => include_str!("pieces/check_shared.c"),
            Piece::SharedPage => include_str!("pieces/shared_page.c"),
            Piece::CannotTell => include_str!("pieces/cannot_tell.c"),
            Piece::Check => include_str!("pieces/compare.c"),
            Piece::CheckShared => include_str!("pieces/compare_shared.c"),
            Piece::Also => include_str!("pieces/also.c"),
            Piece::Unsure => include_str!("pieces/unsure.c"),
            Piece::Outcome => include_str!("pieces/outcome.c"),
            Piece::Map => include_str!("pieces/map.c"),
            Piece::Done => include_str!("pieces/done.c"),
            Piece::Describe => include_str!("pieces/describe.c"),
            Piece::Guard => include_str!("pieces/guard.c"),
            Piece::Store => include_str!("pieces/store.c"),
            Piece::Load => include_str!("pieces/load.c"),
            Piece::MemoryFile => include_str!("pieces/memfd.c"),
            Piece::Device => include_str!("pieces/device.c"),
            Piece::Landing => include_str!("pieces/landing.c"),
            Piece::Transfer => include_str!("pieces/transfer.c"),
            Piece::RdmaRead => include_str!("pieces/rdma_read.c"),
            Piece::RdmaWrite => include_str!("pieces/rdma_write.c"),
            Piece::Region => include_str!("pieces/region.c"),
            Piece::Gather => include_str!("pieces/gather.c"),
            Piece::Limit => include_str!("pieces/limit.c"),
            Piece::Pagemap => include_str!("pieces/pagemap.c"),
            Piece::Frames => include_str!("pieces/frames.c"),
            Piece::ListFrames => include_str!("pieces/list_frames.c"),
            Piece::NoteFrame => include_str!("pieces/note_frame.c"),
            Piece::InPages => include_str!("pieces/in_pages.c"),
            Piece::Status => include_str!("pieces/status.c"),
            Piece::Settle => include_str!("pieces/settle.c"),
            Piece::SettleChild => include_str!("pieces/settle_child.c"),
            Piece::VmStat => include_str!("pieces/vmstat.c"),
            Piece::Pins => include_str!("pieces/pins.c"),
            Piece::AnonPages => include_str!("pieces/anon_pages.c"),
            Piece::ShmemPages => include_str!("pieces/shmem_pages.c"),
            Piece::Left => include_str!("pieces/left.c"),
            Piece::KernelLog => include_str!("pieces/kernel_log.c"),
            Piece::Turns => include_str!("pieces/turns.c"),
            Piece::Leave => include_str!("pieces/leave.c"),
            Piece::WaitFor => include_str!("pieces/wait_for.c"),
        }
    }

    /// The pieces that it calls, beside those that every program has.
    fn needs(self) -> &'static [Piece] {
        use Piece as P;
        match self {
            P::Finish
            | P::SharedPage
            | P::CannotTell
            | P::Check
            | P::CheckShared
            | P::Also
            | P::Outcome
            | P::Done
            | P::InPages
            | P::WaitFor => &[],
            P::FinishShared => &[P::SharedPage, P::Turns],
            P::Unsure
            | P::MemoryFile
            | P::Device
            | P::Pagemap
            | P::Status
            | P::KernelLog
            | P::Turns => &[P::CannotTell],
            P::Map => &[P::Outcome],
            P::Describe | P::Guard => &[P::Done],
            P::Store => &[P::Guard],
            P::Load => &[P::Guard, P::Describe],
            P::Landing | P::Region => &[P::Device],
            P::Transfer => &[P::Landing],
            P::RdmaRead => &[P::Transfer, P::Describe],
            P::RdmaWrite => &[P::Transfer],
            P::Gather => &[P::Transfer, P::Region, P::Describe],
            P::Limit => &[P::CannotTell, P::Outcome, P::Landing],
            P::Frames => &[P::Pagemap],
            P::ListFrames | P::NoteFrame => &[P::Frames],
            P::Settle => &[P::Status, P::InPages],
            P::SettleChild => &[P::Settle, P::Pagemap],
            P::VmStat => &[P::CannotTell, P::InPages],
            P::Pins | P::AnonPages | P::ShmemPages => &[P::VmStat],
            P::Left => &[P::InPages],
            P::Leave => &[P::Turns],
        }
    }

    /// The headers it wants.
    pub(super) fn headers(self) -> &'static [&'static str] {
        use Piece as P;
        match self {
            P::Finish => &["stdio.h", "stdlib.h"],
            P::FinishShared => &["signal.h", "stdint.h", "stdio.h", "sys/types.h", "unistd.h"],
            P::SharedPage => &["stdlib.h", "sys/mman.h"],
            P::CannotTell | P::InPages => &["stdio.h"],
            P::Check | P::CheckShared | P::Describe | P::ListFrames => &["stdio.h", "string.h"],
            P::Also | P::Unsure | P::RdmaRead | P::RdmaWrite | P::Gather => &["string.h"],
            P::Outcome => &["errno.h", "string.h"],
            P::Map => &["errno.h", "sys/mman.h"],
            P::Done => &["stddef.h"],
            P::Guard => &["setjmp.h", "signal.h", "stdio.h"],
            P::Store
            | P::Load
            | P::Frames
            | P::NoteFrame
            | P::Pins
            | P::AnonPages
            | P::ShmemPages => &[],
            P::MemoryFile => &["sys/mman.h", "unistd.h"],
            P::Device => &["infiniband/verbs.h", "string.h"],
            P::Landing => &["sys/mman.h"],
            P::Transfer => &["sched.h", "stdint.h", "time.h"],
            P::Region => &["errno.h", "stdint.h", "string.h"],
            P::Limit => &["linux/capability.h", "sys/resource.h", "sys/syscall.h", "unistd.h"],
            P::Pagemap => &["fcntl.h", "stdint.h", "unistd.h"],
            P::Status | P::VmStat => &["fcntl.h", "stdlib.h", "string.h", "unistd.h"],
            P::Settle => &["malloc.h", "stdio.h", "stdlib.h"],
            P::SettleChild | P::Left => &["unistd.h"],
            P::KernelLog => &["errno.h", "fcntl.h", "string.h", "unistd.h"],
            P::Turns => &["errno.h", "signal.h", "string.h", "unistd.h"],
            P::Leave => &["sched.h", "signal.h"],
            P::WaitFor => &["signal.h", "stdlib.h", "sys/wait.h", "unistd.h"],
        }
    }
}

/// `wanted` and everything that these need.
pub(super) fn with_needs(wanted: &BTreeSet<Piece>) -> BTreeSet<Piece> {
    let mut all = BTreeSet::new();
    let mut left: Vec<Piece> = wanted.iter().copied().collect();
    while let Some(piece) = left.pop() {
        if all.insert(piece) {
            left.extend(piece.needs());
        }
    }
    all
}
