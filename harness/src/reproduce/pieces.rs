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
    /// Writes into a file of the kernel.
    Put,
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
    /// Writes past a protection.
    Force,
    /// Writes to a file.
    Fill,
    /// Calls on files that need a header.
    FileCalls,
    /// A memory file.
    MemoryFile,
    /// A file on a tmpfs.
    TmpfsFile,
    /// A file that is open for reading only.
    Library,
    /// A file on a disk.
    DiskFile,
    /// `/dev/zero`.
    ZeroFile,
    HugePool,
    /// Opens the RDMA device.
    Device,
    /// Another protection domain.
    SecondPd,
    /// The buffer of the program itself.
    Landing,
    /// The same buffer for the other protection domain.
    SecondLanding,
    /// One RDMA operation.
    Transfer,
    /// The queue pairs of the other protection domain.
    SecondPair,
    /// RDMA read.
    RdmaRead,
    /// RDMA write.
    RdmaWrite,
    /// Memory that was registered.
    Region,
    /// Keeps what a registration gave.
    Registered,
    /// Registers memory in the common way.
    Reg,
    /// Registers memory with an address for peers.
    RegIova,
    /// Registers memory through the old function.
    RegLegacy,
    /// Registers memory without the library.
    RegRaw,
    /// Deregisters what the library does not know.
    DeregRaw,
    /// Changes a registration.
    Rereg,
    /// Memory windows.
    Window,
    /// Binds a window.
    BindWindow,
    /// Invalidates a key.
    Invalidate,
    /// Atomic operations.
    Atomic,
    /// Scatter/gather lists.
    List,
    /// Appends to such a list.
    With,
    /// RDMA with a list.
    ListTransfer,
    /// A send and its receive.
    Message,
    /// Two completions as text.
    Both,
    /// A field of a completion as text.
    Number,
    /// The bytes of a region.
    Gather,
    /// CAP_IPC_LOCK is not held.
    Caps,
    /// A thread with CAP_IPC_LOCK.
    IpcLock,
    /// Steps that it does.
    WithRights,
    /// RLIMIT_MEMLOCK.
    Limit,
    /// A registration under RLIMIT_MEMLOCK.
    LimitReg,
    /// A memory cgroup of its own.
    OwnGroup,
    /// A limit of a memory cgroup.
    MemLimit,
    /// Whether pages may be swapped out.
    MaySwap,
    /// Lets pages be swapped out.
    Swap,
    /// Where KSM is controlled.
    Ksm,
    /// KSM merges equal pages.
    KsmMerge,
    /// KSM unmerges all pages.
    KsmUnmerge,
    /// A chore of the machine.
    Chore,
    /// Reclaim by hand.
    Reclaim,
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
    /// A size as text.
    InKib,
    /// A sum over mappings.
    Smaps,
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
    /// Locked pages.
    LockedPages,
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
    #[expect(clippy::too_many_lines, reason = "a table")]
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
            Piece::Put => include_str!("pieces/put.c"),
            Piece::Map => include_str!("pieces/map.c"),
            Piece::Done => include_str!("pieces/done.c"),
            Piece::Describe => include_str!("pieces/describe.c"),
            Piece::Guard => include_str!("pieces/guard.c"),
            Piece::Store => include_str!("pieces/store.c"),
            Piece::Load => include_str!("pieces/load.c"),
            Piece::Force => include_str!("pieces/force.c"),
            Piece::Fill => include_str!("pieces/fill.c"),
            Piece::FileCalls => "",
            Piece::MemoryFile => include_str!("pieces/memfd.c"),
            Piece::TmpfsFile => include_str!("pieces/tmpfs.c"),
            Piece::Library => include_str!("pieces/library.c"),
            Piece::DiskFile => include_str!("pieces/disk.c"),
            Piece::ZeroFile => include_str!("pieces/zero.c"),
            Piece::HugePool => include_str!("pieces/huge_pool.c"),
            Piece::Device => include_str!("pieces/device.c"),
            Piece::SecondPd => include_str!("pieces/second_pd.c"),
            Piece::Landing => include_str!("pieces/landing.c"),
            Piece::SecondLanding => include_str!("pieces/second_landing.c"),
            Piece::Transfer => include_str!("pieces/transfer.c"),
            Piece::SecondPair => include_str!("pieces/second_pair.c"),
            Piece::RdmaRead => include_str!("pieces/rdma_read.c"),
            Piece::RdmaWrite => include_str!("pieces/rdma_write.c"),
            Piece::Region => include_str!("pieces/region.c"),
            Piece::Registered => include_str!("pieces/registered.c"),
            Piece::Reg => include_str!("pieces/reg.c"),
            Piece::RegIova => include_str!("pieces/reg_iova.c"),
            Piece::RegLegacy => include_str!("pieces/reg_legacy.c"),
            Piece::RegRaw => include_str!("pieces/reg_raw.c"),
            Piece::DeregRaw => include_str!("pieces/dereg_raw.c"),
            Piece::Rereg => include_str!("pieces/rereg.c"),
            Piece::Window => include_str!("pieces/window.c"),
            Piece::BindWindow => include_str!("pieces/bind_window.c"),
            Piece::Invalidate => include_str!("pieces/invalidate.c"),
            Piece::Atomic => include_str!("pieces/atomic.c"),
            Piece::List => include_str!("pieces/list.c"),
            Piece::With => include_str!("pieces/with.c"),
            Piece::ListTransfer => include_str!("pieces/list_transfer.c"),
            Piece::Message => include_str!("pieces/message.c"),
            Piece::Both => include_str!("pieces/both.c"),
            Piece::Number => include_str!("pieces/number.c"),
            Piece::Gather => include_str!("pieces/gather.c"),
            Piece::Caps => include_str!("pieces/caps.c"),
            Piece::IpcLock => include_str!("pieces/ipc_lock.c"),
            Piece::WithRights => include_str!("pieces/with_rights.c"),
            Piece::Limit => include_str!("pieces/limit.c"),
            Piece::LimitReg => include_str!("pieces/limit_reg.c"),
            Piece::OwnGroup => include_str!("pieces/own_group.c"),
            Piece::MemLimit => include_str!("pieces/mem_limit.c"),
            Piece::MaySwap => include_str!("pieces/may_swap.c"),
            Piece::Swap => include_str!("pieces/swap.c"),
            Piece::Ksm => include_str!("pieces/ksm.c"),
            Piece::KsmMerge => include_str!("pieces/ksm_merge.c"),
            Piece::KsmUnmerge => include_str!("pieces/ksm_unmerge.c"),
            Piece::Chore => include_str!("pieces/chore.c"),
            Piece::Reclaim => include_str!("pieces/reclaim.c"),
            Piece::Pagemap => include_str!("pieces/pagemap.c"),
            Piece::Frames => include_str!("pieces/frames.c"),
            Piece::ListFrames => include_str!("pieces/list_frames.c"),
            Piece::NoteFrame => include_str!("pieces/note_frame.c"),
            Piece::InPages => include_str!("pieces/in_pages.c"),
            Piece::InKib => include_str!("pieces/in_kib.c"),
            Piece::Smaps => include_str!("pieces/smaps.c"),
            Piece::Status => include_str!("pieces/status.c"),
            Piece::Settle => include_str!("pieces/settle.c"),
            Piece::SettleChild => include_str!("pieces/settle_child.c"),
            Piece::VmStat => include_str!("pieces/vmstat.c"),
            Piece::Pins => include_str!("pieces/pins.c"),
            Piece::AnonPages => include_str!("pieces/anon_pages.c"),
            Piece::ShmemPages => include_str!("pieces/shmem_pages.c"),
            Piece::LockedPages => include_str!("pieces/locked_pages.c"),
            Piece::Left => include_str!("pieces/left.c"),
            Piece::KernelLog => include_str!("pieces/kernel_log.c"),
            Piece::Turns => include_str!("pieces/turns.c"),
            Piece::Leave => include_str!("pieces/leave.c"),
            Piece::WaitFor => include_str!("pieces/wait_for.c"),
        }
    }

    /// The pieces that it calls, beside those that every program has.
    #[expect(clippy::too_many_lines, reason = "a table, one piece after the other")]
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
            | P::InKib
            | P::Smaps
            | P::Put
            | P::Fill
            | P::Both
            | P::Number
            | P::FileCalls
            | P::Ksm
            | P::MaySwap
            | P::WaitFor => &[],
            P::FinishShared => &[P::SharedPage, P::Turns],
            P::Unsure
            | P::Force
            | P::MemoryFile
            | P::TmpfsFile
            | P::Library
            | P::DiskFile
            | P::ZeroFile
            | P::HugePool
            | P::Device
            | P::Pagemap
            | P::Status
            | P::KernelLog
            | P::Caps
            | P::Turns => &[P::CannotTell],
            P::Map => &[P::Outcome],
            P::Describe | P::Guard => &[P::Done],
            P::Store => &[P::Guard],
            P::Load => &[P::Guard, P::Describe],
            P::Landing | P::Region | P::SecondPd | P::List | P::Window => &[P::Device],
            P::SecondLanding => &[P::SecondPd, P::Landing],
            P::Transfer => &[P::Landing],
            P::SecondPair => &[P::Transfer, P::SecondLanding],
            P::Reg | P::RegIova | P::RegLegacy | P::RegRaw => &[P::Registered],
            P::Registered | P::DeregRaw | P::Rereg => &[P::Region],
            P::BindWindow => &[P::Window, P::Region, P::Transfer],
            P::Invalidate | P::RdmaWrite => &[P::Transfer],
            P::Atomic => &[P::Transfer, P::Describe],
            P::ListTransfer | P::Message => &[P::Transfer, P::List],
            P::With => &[P::List],
            P::RdmaRead => &[P::Transfer, P::Describe],
            P::Gather => &[P::Transfer, P::Region, P::Describe],
            P::IpcLock => &[P::Caps, P::SecondLanding],
            P::WithRights => &[P::IpcLock],
            P::Limit => &[P::Caps, P::Outcome],
            P::LimitReg => &[P::Limit, P::CannotTell],
            P::OwnGroup => &[P::CannotTell, P::Put],
            P::MemLimit => &[P::OwnGroup],
            P::Swap | P::Reclaim => &[P::OwnGroup, P::MaySwap],
            P::KsmMerge => &[P::Ksm, P::CannotTell, P::Put],
            P::KsmUnmerge => &[P::Ksm, P::Put],
            P::Chore => &[P::Put],
            P::Frames => &[P::Pagemap],
            P::ListFrames | P::NoteFrame => &[P::Frames],
            P::Settle => &[P::Status, P::InPages],
            P::SettleChild => &[P::Settle, P::Pagemap],
            P::VmStat => &[P::CannotTell, P::InPages],
            P::Pins | P::AnonPages | P::ShmemPages | P::LockedPages => &[P::VmStat],
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
            | P::ShmemPages
            | P::LockedPages => &[],
            P::FileCalls => &["fcntl.h"],
            P::Put => &["fcntl.h", "string.h", "unistd.h"],
            P::Force => &["errno.h", "fcntl.h", "stdint.h", "string.h", "unistd.h"],
            P::Fill => &["errno.h", "string.h", "unistd.h"],
            P::MemoryFile => &["sys/mman.h", "unistd.h"],
            P::TmpfsFile | P::ZeroFile => &["fcntl.h", "unistd.h"],
            P::HugePool => &["stdio.h"],
            P::Library => &["fcntl.h", "string.h", "unistd.h"],
            P::DiskFile => &["fcntl.h", "stdio.h", "stdlib.h", "unistd.h"],
            P::Device => &["infiniband/verbs.h", "string.h"],
            P::Landing => &["sys/mman.h"],
            P::SecondPd | P::SecondLanding | P::SecondPair | P::Invalidate | P::List => &[],
            P::Transfer => &["sched.h", "stdint.h", "string.h", "time.h", "unistd.h"],
            P::Reg | P::RegIova | P::RegLegacy | P::With | P::ListTransfer => &["stdint.h"],
            P::RegRaw | P::DeregRaw | P::Rereg => {
                &["errno.h", "rdma/ib_user_verbs.h", "stdint.h", "string.h", "unistd.h"]
            }
            P::Window => &["errno.h", "stdint.h", "string.h"],
            P::BindWindow | P::Atomic => &["stdint.h", "string.h"],
            P::Message => &["stdint.h", "stdio.h", "string.h", "unistd.h"],
            P::Both | P::InKib => &["stdio.h"],
            P::Number => &["stdint.h", "stdio.h"],
            P::MemLimit => &["errno.h", "stdio.h", "string.h", "sys/stat.h"],
            P::Ksm | P::KsmUnmerge | P::MaySwap => &[],
            P::KsmMerge => &["stdio.h", "unistd.h"],
            P::Chore => &["errno.h", "string.h"],
            P::OwnGroup => &["sys/stat.h"],
            P::Reclaim => &["errno.h", "string.h"],
            P::Swap => &["errno.h", "stdio.h", "string.h"],
            P::Smaps => &["stdio.h", "stdlib.h", "string.h"],
            P::Region => &["stdint.h"],
            P::Registered => &["errno.h", "string.h"],
            P::Caps => &["linux/capability.h", "sys/resource.h", "sys/syscall.h", "unistd.h"],
            P::IpcLock => &["malloc.h", "pthread.h", "semaphore.h", "sys/mman.h"],
            P::WithRights => &["semaphore.h"],
            P::Limit | P::LimitReg => &["sys/resource.h"],
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
