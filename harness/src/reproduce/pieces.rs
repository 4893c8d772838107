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

/// What a piece is made of.
struct Source {
    text: &'static str,
    needs: &'static [Piece],
    headers: &'static [&'static str],
}

impl Piece {
    fn source(self) -> Source {
        use Piece as P;
        let (text, needs, headers): (_, &'static [Piece], &'static [&'static str]) = match self {
            P::Finish => (include_str!("pieces/check.c"), &[], &["stdio.h", "stdlib.h"]),
            P::FinishShared => (
                include_str!("pieces/check_shared.c"),
                &[P::SharedPage, P::Turns],
                &["signal.h", "stdint.h", "stdio.h", "sys/types.h", "unistd.h"],
            ),
            P::SharedPage => {
                (include_str!("pieces/shared_page.c"), &[], &["stdlib.h", "sys/mman.h"])
            }
            P::CannotTell => (include_str!("pieces/cannot_tell.c"), &[], &["stdio.h"]),
            P::Check => (include_str!("pieces/compare.c"), &[], &["stdio.h", "string.h"]),
            P::CheckShared => {
                (include_str!("pieces/compare_shared.c"), &[], &["stdio.h", "string.h"])
            }
            P::Also => (include_str!("pieces/also.c"), &[], &["string.h"]),
            P::Unsure => (include_str!("pieces/unsure.c"), &[P::CannotTell], &["string.h"]),
            P::Outcome => (include_str!("pieces/outcome.c"), &[], &["errno.h", "string.h"]),
            P::Done => (include_str!("pieces/done.c"), &[], &["stddef.h"]),
            P::Describe => {
                (include_str!("pieces/describe.c"), &[P::Done], &["stdio.h", "string.h"])
            }
            P::Guard => {
                (include_str!("pieces/guard.c"), &[P::Done], &["setjmp.h", "signal.h", "stdio.h"])
            }
            P::Store => (include_str!("pieces/store.c"), &[P::Guard], &[]),
            P::Load => (include_str!("pieces/load.c"), &[P::Guard, P::Describe], &[]),
            P::MemoryFile => {
                (include_str!("pieces/memfd.c"), &[P::CannotTell], &["sys/mman.h", "unistd.h"])
            }
            P::Device => {
                let headers: &[&str] = &["infiniband/verbs.h", "string.h"];
                (include_str!("pieces/device.c"), &[P::CannotTell], headers)
            }
            P::Landing => (include_str!("pieces/landing.c"), &[P::Device], &["sys/mman.h"]),
            P::Transfer => {
                let headers: &[&str] = &["sched.h", "stdint.h", "time.h"];
                (include_str!("pieces/transfer.c"), &[P::Landing], headers)
            }
            P::RdmaRead => {
                (include_str!("pieces/rdma_read.c"), &[P::Transfer, P::Describe], &["string.h"])
            }
            P::RdmaWrite => (include_str!("pieces/rdma_write.c"), &[P::Transfer], &["string.h"]),
            P::Region => {
                let headers: &[&str] = &["errno.h", "stdint.h", "string.h"];
                (include_str!("pieces/region.c"), &[P::Device], headers)
            }
            P::Gather => {
                let needs: &[Piece] = &[P::Transfer, P::Region, P::Describe];
                (include_str!("pieces/gather.c"), needs, &["string.h"])
            }
            P::Limit => (
                include_str!("pieces/limit.c"),
                &[P::CannotTell, P::Outcome, P::Landing],
                &["linux/capability.h", "sys/resource.h", "sys/syscall.h", "unistd.h"],
            ),
            P::Pagemap => {
                let headers: &[&str] = &["fcntl.h", "stdint.h", "unistd.h"];
                (include_str!("pieces/pagemap.c"), &[P::CannotTell], headers)
            }
            P::Frames => (include_str!("pieces/frames.c"), &[P::Pagemap], &[]),
            P::ListFrames => {
                (include_str!("pieces/list_frames.c"), &[P::Frames], &["stdio.h", "string.h"])
            }
            P::NoteFrame => (include_str!("pieces/note_frame.c"), &[P::Frames], &[]),
            P::InPages => (include_str!("pieces/in_pages.c"), &[], &["stdio.h"]),
            P::Status => (
                include_str!("pieces/status.c"),
                &[P::CannotTell],
                &["fcntl.h", "stdlib.h", "string.h", "unistd.h"],
            ),
            P::Settle => (
                include_str!("pieces/settle.c"),
                &[P::Status, P::InPages],
                &["malloc.h", "stdio.h", "stdlib.h"],
            ),
            P::SettleChild => {
                (include_str!("pieces/settle_child.c"), &[P::Settle, P::Pagemap], &["unistd.h"])
            }
            P::VmStat => (
                include_str!("pieces/vmstat.c"),
                &[P::CannotTell, P::InPages],
                &["fcntl.h", "stdlib.h", "string.h", "unistd.h"],
            ),
            P::Pins => (include_str!("pieces/pins.c"), &[P::VmStat], &[]),
            P::AnonPages => (include_str!("pieces/anon_pages.c"), &[P::VmStat], &[]),
            P::ShmemPages => (include_str!("pieces/shmem_pages.c"), &[P::VmStat], &[]),
            P::Left => (include_str!("pieces/left.c"), &[P::InPages], &["unistd.h"]),
            P::KernelLog => (
                include_str!("pieces/kernel_log.c"),
                &[P::CannotTell],
                &["errno.h", "fcntl.h", "string.h", "unistd.h"],
            ),
            P::Turns => {
                let headers: &[&str] = &["errno.h", "signal.h", "string.h", "unistd.h"];
                (include_str!("pieces/turns.c"), &[P::CannotTell], headers)
            }
            P::Leave => (include_str!("pieces/leave.c"), &[P::Turns], &["sched.h", "signal.h"]),
            P::WaitFor => (
                include_str!("pieces/wait_for.c"),
                &[],
                &["signal.h", "stdlib.h", "sys/wait.h", "unistd.h"],
            ),
        };
        Source { text, needs, headers }
    }

    /// Its C.
    pub(super) fn text(self) -> &'static str {
        self.source().text
    }

    /// The headers it wants.
    pub(super) fn headers(self) -> &'static [&'static str] {
        self.source().headers
    }
}

/// `wanted` and everything that these need.
pub(super) fn with_needs(wanted: &BTreeSet<Piece>) -> BTreeSet<Piece> {
    let mut all = BTreeSet::new();
    let mut left: Vec<Piece> = wanted.iter().copied().collect();
    while let Some(piece) = left.pop() {
        if all.insert(piece) {
            left.extend(piece.source().needs);
        }
    }
    all
}
