//! One call on the registration path and its arguments.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Access, Advice, Arg, Backing, ByteRange, Chore, File, Handle, LockScope, Mr, Mw, MwKind,
    PageRange, Pd, Position, Proc, Prot, RegCall, Rereg, Seals, Sges, Sharing, Span, Target,
};

/// One call on the registration path, as user space makes it.
///
/// Every op is defined in every state: on an empty slot, a taken slot or a
/// process that is not there it is skipped. So removing ops from a sequence
/// always leaves a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// `mmap(MAP_FIXED)`, over whatever is there.
    Map {
        /// Who maps.
        proc: Proc,
        /// Where.
        pages: PageRange,
        /// What.
        backing: Backing,
        /// Private or shared.
        sharing: Sharing,
        /// With which protection.
        prot: Prot,
        /// With `MAP_POPULATE`.
        populate: bool,
    },
    /// `munmap`.
    Unmap {
        /// Who unmaps.
        proc: Proc,
        /// What.
        pages: PageRange,
    },
    /// `mprotect`.
    Protect {
        /// Who changes protection.
        proc: Proc,
        /// Where.
        pages: PageRange,
        /// To what.
        prot: Prot,
    },
    /// The CPU stores `tag` into `len_bytes` bytes, ascending.
    Write {
        /// Who writes.
        proc: Proc,
        /// First byte.
        at: Position,
        /// How many bytes.
        len_bytes: u32,
        /// The value of each.
        tag: u8,
    },
    /// The CPU loads `len_bytes` bytes, ascending.
    Read {
        /// Who reads.
        proc: Proc,
        /// First byte.
        at: Position,
        /// How many bytes.
        len_bytes: u32,
    },
    /// `fork`. Skipped if `child` is taken or is `p0`.
    Fork {
        /// The parent.
        proc: Proc,
        /// The slot of the child.
        child: Proc,
    },
    /// `_exit`, and the parent has seen it. Skipped for `p0`.
    Exit {
        /// Who exits.
        proc: Proc,
    },
    /// `setrlimit(RLIMIT_MEMLOCK)` in `p0`: the soft limit, in bytes. `u64::MAX` is
    /// unlimited, and that is what each sequence starts with. A child inherits it.
    /// What the sequence registers counts against it, and nothing that the executor has registered for itself.
    Limit {
        /// The limit.
        bytes: u64,
    },
    /// `ibv_reg_mr` in `p0`. Skipped if the slot is taken.
    Reg {
        /// The slot.
        mr: Mr,
        /// The memory.
        span: Span,
        /// The rights.
        access: Access,
        /// The protection domain.
        pd: Pd,
        /// Through which call, and with which iova.
        call: RegCall,
    },
    /// `ibv_dereg_mr` in `p0`. The slot remembers address and keys.
    Dereg {
        /// The slot.
        mr: Mr,
    },
    /// RDMA read into the bounce buffer of `p0`.
    RemoteRead {
        /// From where.
        target: Target,
        /// How many bytes, at most the size of the arena.
        len_bytes: u32,
    },
    /// RDMA write of `tag` from the bounce buffer of `p0`.
    RemoteWrite {
        /// To where.
        target: Target,
        /// How many bytes, at most the size of the arena.
        len_bytes: u32,
        /// The value of each.
        tag: u8,
    },
    /// `mremap`: in place (flags 0) if both ranges begin at the same page, else with
    /// `MREMAP_MAYMOVE | MREMAP_FIXED`.
    Remap {
        /// Who.
        proc: Proc,
        /// What.
        from: PageRange,
        /// Where to, and how long it is there.
        to: PageRange,
    },
    /// `madvise`.
    Advise {
        /// Who.
        proc: Proc,
        /// Where.
        pages: PageRange,
        /// What.
        advice: Advice,
    },
    /// `mlock2`.
    Lock {
        /// Who.
        proc: Proc,
        /// What.
        pages: PageRange,
        /// With `MLOCK_ONFAULT`: pages are not brought in.
        onfault: bool,
    },
    /// `munlock`.
    Unlock {
        /// Who.
        proc: Proc,
        /// What.
        pages: PageRange,
    },
    /// `mlockall` or `munlockall`.
    LockAll {
        /// Who.
        proc: Proc,
        /// What is there, what comes, both, or nothing any more.
        scope: LockScope,
    },
    /// Writes `tag` into `len_bytes` bytes through `/proc/self/mem`, ascending: past a
    /// protection that forbids it, as a debugger does.
    Force {
        /// Who writes.
        proc: Proc,
        /// First byte.
        at: Position,
        /// How many bytes.
        len_bytes: u32,
        /// The value of each.
        tag: u8,
    },
    /// `pwrite` of `tag` by `p0`.
    FileWrite {
        /// To which file.
        file: File,
        /// First byte, counted from the start of the file.
        at: Position,
        /// How many bytes.
        len_bytes: u32,
        /// The value of each.
        tag: u8,
    },
    /// `ftruncate` by `p0`.
    Truncate {
        /// Which file.
        file: File,
        /// Its new length.
        end: Position,
    },
    /// `fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)` by `p0`.
    Punch {
        /// Which file.
        file: File,
        /// Which bytes of it.
        range: ByteRange,
    },
    /// `fcntl(F_ADD_SEALS)` by `p0`.
    Seal {
        /// Which file.
        file: File,
        /// Which seals.
        seals: Seals,
    },
    /// Whether `p0` registers and locks with CAP_IPC_LOCK. Each sequence starts without.
    IpcLock {
        /// With it.
        held: bool,
    },
    /// How many more pages the registrations of `p0` may have charged to their memory
    /// cgroup. Each sequence starts without a limit.
    MemLimit {
        /// So many; nothing for no limit.
        pages: Option<u16>,
    },
    /// The whole machine does something and is done with it.
    Chore {
        /// What.
        chore: Chore,
    },
    /// The command `REREG_MR` of uverbs in `p0`. Skipped if the slot holds no MR.
    Rereg {
        /// The slot.
        mr: Mr,
        /// What is to change.
        what: Rereg,
        /// The new memory, with `trans`.
        span: Span,
        /// The new rights, with `access`.
        access: Access,
        /// The new protection domain, with `pd`.
        pd: Pd,
    },
    /// `ibv_alloc_mw` in `p0`. Skipped if the slot is taken.
    AllocMw {
        /// The slot.
        mw: Mw,
        /// Type 1 or type 2.
        kind: MwKind,
        /// The protection domain.
        pd: Pd,
    },
    /// `ibv_dealloc_mw` in `p0`. The slot remembers its keys.
    DeallocMw {
        /// The slot.
        mw: Mw,
    },
    /// Binds a window to bytes of an MR: `ibv_bind_mw` for type 1, a work request with
    /// the next key for type 2. Skipped if the slot holds no window or `mr` never held an MR.
    Bind {
        /// The window.
        mw: Mw,
        /// The MR.
        mr: Mr,
        /// Offset of the first byte from the iova of the MR, in bytes.
        offset: i32,
        /// How many bytes; none unbinds.
        len_bytes: u32,
        /// The rights of the window.
        access: Access,
        /// Over the queue pairs of which protection domain.
        qp: Pd,
    },
    /// A local invalidation (`IBV_WR_LOCAL_INV`). Skipped if there never was such a key.
    Invalidate {
        /// Whose key.
        handle: Handle,
        /// Over the queue pairs of which protection domain.
        qp: Pd,
    },
    /// Atomic compare-and-swap of 8 bytes; its value is what was there.
    CompareSwap {
        /// Where.
        target: Target,
        /// Swap if this is there.
        expect: u64,
        /// What to put there.
        swap: u64,
    },
    /// Atomic fetch-and-add on 8 bytes; its value is what was there.
    FetchAdd {
        /// Where.
        target: Target,
        /// What to add.
        add: u64,
    },
    /// A send from one side, received on the other. Skipped if an MR of a list never was.
    Send {
        /// What is sent.
        from: Sges,
        /// Where it is received.
        to: Sges,
        /// With `IBV_WR_SEND_WITH_INV`: the key that the receiver is to invalidate.
        invalidate: Option<Handle>,
        /// Over the queue pairs of which protection domain.
        qp: Pd,
    },
    /// RDMA write from a scatter/gather list.
    Gather {
        /// From where.
        from: Sges,
        /// To where.
        target: Target,
    },
    /// RDMA read into a scatter/gather list.
    Scatter {
        /// From where.
        target: Target,
        /// To where.
        into: Sges,
    },
    /// Whether pages may be swapped out from now on. Each sequence starts without. What is in swap space stays
    /// there until it is touched. Skipped where there is no swap space.
    Swap {
        /// They may.
        on: bool,
    },
}

/// Which op, without its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the op of the same name")]
pub enum OpKind {
    Map,
    Unmap,
    Protect,
    Write,
    Read,
    Fork,
    Exit,
    Limit,
    Reg,
    Dereg,
    RemoteRead,
    RemoteWrite,
    Remap,
    Advise,
    Lock,
    Unlock,
    LockAll,
    Force,
    FileWrite,
    Truncate,
    Punch,
    Seal,
    IpcLock,
    MemLimit,
    Chore,
    Rereg,
    AllocMw,
    DeallocMw,
    Bind,
    Invalidate,
    CompareSwap,
    FetchAdd,
    Send,
    Gather,
    Scatter,
    Swap,
}

impl OpKind {
    /// Every kind, in the order in which they were added.
    pub const ALL: [OpKind; 36] = [
        OpKind::Map,
        OpKind::Unmap,
        OpKind::Protect,
        OpKind::Write,
        OpKind::Read,
        OpKind::Fork,
        OpKind::Exit,
        OpKind::Limit,
        OpKind::Reg,
        OpKind::Dereg,
        OpKind::RemoteRead,
        OpKind::RemoteWrite,
        OpKind::Remap,
        OpKind::Advise,
        OpKind::Lock,
        OpKind::Unlock,
        OpKind::LockAll,
        OpKind::Force,
        OpKind::FileWrite,
        OpKind::Truncate,
        OpKind::Punch,
        OpKind::Seal,
        OpKind::IpcLock,
        OpKind::MemLimit,
        OpKind::Chore,
        OpKind::Rereg,
        OpKind::AllocMw,
        OpKind::DeallocMw,
        OpKind::Bind,
        OpKind::Invalidate,
        OpKind::CompareSwap,
        OpKind::FetchAdd,
        OpKind::Send,
        OpKind::Gather,
        OpKind::Scatter,
        OpKind::Swap,
    ];

    /// The word that begins its line in the text form.
    pub fn word(self) -> &'static str {
        match self {
            OpKind::Map => "map",
            OpKind::Unmap => "unmap",
            OpKind::Protect => "protect",
            OpKind::Write => "write",
            OpKind::Read => "read",
            OpKind::Fork => "fork",
            OpKind::Exit => "exit",
            OpKind::Limit => "limit",
            OpKind::Reg => "reg",
            OpKind::Dereg => "dereg",
            OpKind::RemoteRead => "read_remote",
            OpKind::RemoteWrite => "write_remote",
            OpKind::Remap => "remap",
            OpKind::Advise => "advise",
            OpKind::Lock => "lock",
            OpKind::Unlock => "unlock",
            OpKind::LockAll => "lock_all",
            OpKind::Force => "force",
            OpKind::FileWrite => "file_write",
            OpKind::Truncate => "truncate",
            OpKind::Punch => "punch",
            OpKind::Seal => "seal",
            OpKind::IpcLock => "ipc_lock",
            OpKind::MemLimit => "mem_limit",
            OpKind::Chore => "chore",
            OpKind::Rereg => "rereg",
            OpKind::AllocMw => "alloc_mw",
            OpKind::DeallocMw => "dealloc_mw",
            OpKind::Bind => "bind",
            OpKind::Invalidate => "invalidate",
            OpKind::CompareSwap => "cas",
            OpKind::FetchAdd => "fetch_add",
            OpKind::Send => "send",
            OpKind::Gather => "gather",
            OpKind::Scatter => "scatter",
            OpKind::Swap => "swap",
        }
    }

    /// The kind whose word is `word`.
    pub fn from_word(word: &str) -> Option<OpKind> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Op {
    /// Which op this is.
    pub fn kind(&self) -> OpKind {
        match self {
            Op::Map { .. } => OpKind::Map,
            Op::Unmap { .. } => OpKind::Unmap,
            Op::Protect { .. } => OpKind::Protect,
            Op::Write { .. } => OpKind::Write,
            Op::Read { .. } => OpKind::Read,
            Op::Fork { .. } => OpKind::Fork,
            Op::Exit { .. } => OpKind::Exit,
            Op::Limit { .. } => OpKind::Limit,
            Op::Reg { .. } => OpKind::Reg,
            Op::Dereg { .. } => OpKind::Dereg,
            Op::RemoteRead { .. } => OpKind::RemoteRead,
            Op::RemoteWrite { .. } => OpKind::RemoteWrite,
            Op::Remap { .. } => OpKind::Remap,
            Op::Advise { .. } => OpKind::Advise,
            Op::Lock { .. } => OpKind::Lock,
            Op::Unlock { .. } => OpKind::Unlock,
            Op::LockAll { .. } => OpKind::LockAll,
            Op::Force { .. } => OpKind::Force,
            Op::FileWrite { .. } => OpKind::FileWrite,
            Op::Truncate { .. } => OpKind::Truncate,
            Op::Punch { .. } => OpKind::Punch,
            Op::Seal { .. } => OpKind::Seal,
            Op::IpcLock { .. } => OpKind::IpcLock,
            Op::MemLimit { .. } => OpKind::MemLimit,
            Op::Chore { .. } => OpKind::Chore,
            Op::Rereg { .. } => OpKind::Rereg,
            Op::AllocMw { .. } => OpKind::AllocMw,
            Op::DeallocMw { .. } => OpKind::DeallocMw,
            Op::Bind { .. } => OpKind::Bind,
            Op::Invalidate { .. } => OpKind::Invalidate,
            Op::CompareSwap { .. } => OpKind::CompareSwap,
            Op::FetchAdd { .. } => OpKind::FetchAdd,
            Op::Send { .. } => OpKind::Send,
            Op::Gather { .. } => OpKind::Gather,
            Op::Scatter { .. } => OpKind::Scatter,
            Op::Swap { .. } => OpKind::Swap,
        }
    }

    /// Every argument, to be looked at or changed: the one place that knows what an
    /// op is made of. Whoever asks a question of all ops (whose memory, which slots,
    /// what could be simpler) asks it of their arguments.
    #[expect(clippy::too_many_lines, reason = "one op after the other")]
    pub fn args_mut(&mut self) -> Vec<Arg<'_>> {
        match self {
            Op::Map { proc, pages, backing, sharing, prot, populate } => vec![
                Arg::Proc(proc),
                Arg::Pages(pages),
                Arg::Backing(backing),
                Arg::Sharing(sharing),
                Arg::Prot(prot),
                Arg::Switch(populate),
            ],
            Op::Unmap { proc, pages } => vec![Arg::Proc(proc), Arg::Pages(pages)],
            Op::Protect { proc, pages, prot } => {
                vec![Arg::Proc(proc), Arg::Pages(pages), Arg::Prot(prot)]
            }
            Op::Write { proc, at, len_bytes, tag } => {
                vec![Arg::Proc(proc), Arg::Bytes(at, len_bytes), Arg::Tag(tag)]
            }
            Op::Read { proc, at, len_bytes } => vec![Arg::Proc(proc), Arg::Bytes(at, len_bytes)],
            Op::Fork { proc, child } => vec![Arg::Proc(proc), Arg::Child(child)],
            Op::Exit { proc } => vec![Arg::Proc(proc)],
            Op::Limit { bytes } => vec![Arg::Limit(bytes)],
            Op::Reg { mr, span, access, pd, call } => vec![
                Arg::Mr(mr),
                Arg::Span(span),
                Arg::Access(access),
                Arg::Pd(pd),
                Arg::RegCall(call),
            ],
            Op::Dereg { mr } => vec![Arg::Mr(mr)],
            Op::RemoteRead { target, len_bytes } => vec![Arg::Target(target), Arg::Len(len_bytes)],
            Op::RemoteWrite { target, len_bytes, tag } => {
                vec![Arg::Target(target), Arg::Len(len_bytes), Arg::Tag(tag)]
            }
            Op::Remap { proc, from, to } => vec![Arg::Proc(proc), Arg::Pages(from), Arg::Pages(to)],
            Op::Advise { proc, pages, advice } => {
                vec![Arg::Proc(proc), Arg::Pages(pages), Arg::Advice(advice)]
            }
            Op::Lock { proc, pages, onfault } => {
                vec![Arg::Proc(proc), Arg::Pages(pages), Arg::Switch(onfault)]
            }
            Op::Unlock { proc, pages } => vec![Arg::Proc(proc), Arg::Pages(pages)],
            Op::LockAll { proc, scope } => vec![Arg::Proc(proc), Arg::LockScope(scope)],
            Op::Force { proc, at, len_bytes, tag } => {
                vec![Arg::Proc(proc), Arg::Bytes(at, len_bytes), Arg::Tag(tag)]
            }
            Op::FileWrite { file, at, len_bytes, tag } => {
                vec![Arg::File(file), Arg::FileBytes(at, len_bytes), Arg::Tag(tag)]
            }
            Op::Truncate { file, end } => vec![Arg::File(file), Arg::FileEnd(end)],
            Op::Punch { file, range } => vec![Arg::File(file), Arg::FileRange(range)],
            Op::Seal { file, seals } => vec![Arg::File(file), Arg::Seals(seals)],
            Op::IpcLock { held: on } | Op::Swap { on } => vec![Arg::Switch(on)],
            Op::MemLimit { pages } => vec![Arg::PageCount(pages)],
            Op::Chore { chore } => vec![Arg::Chore(chore)],
            Op::Rereg { mr, what, span, access, pd } => vec![
                Arg::Mr(mr),
                Arg::Rereg(what),
                Arg::Span(span),
                Arg::Access(access),
                Arg::Pd(pd),
            ],
            Op::AllocMw { mw, kind, pd } => vec![Arg::Mw(mw), Arg::MwKind(kind), Arg::Pd(pd)],
            Op::DeallocMw { mw } => vec![Arg::Mw(mw)],
            Op::Bind { mw, mr, offset, len_bytes, access, qp } => vec![
                Arg::Mw(mw),
                Arg::Mr(mr),
                Arg::Offset(offset),
                Arg::Len(len_bytes),
                Arg::Access(access),
                Arg::Pd(qp),
            ],
            Op::Invalidate { handle, qp } => vec![Arg::Handle(handle), Arg::Pd(qp)],
            Op::CompareSwap { target, expect, swap } => {
                vec![Arg::Target(target), Arg::Number(expect), Arg::Number(swap)]
            }
            Op::FetchAdd { target, add } => vec![Arg::Target(target), Arg::Number(add)],
            Op::Send { from, to, invalidate, qp } => {
                vec![Arg::Sges(from), Arg::Sges(to), Arg::Invalidate(invalidate), Arg::Pd(qp)]
            }
            Op::Gather { from, target } => vec![Arg::Sges(from), Arg::Target(target)],
            Op::Scatter { target, into } => vec![Arg::Target(target), Arg::Sges(into)],
        }
    }

    /// Whether it would bring pages of one size where those of the other are: no such call is made, and the op
    /// is skipped.
    pub fn mixes_page_sizes(&self) -> bool {
        if let Op::Map { pages, backing, .. } = self {
            return pages.is_huge() != (*backing == Backing::Huge);
        }
        matches!(self, Op::Remap { from, to, .. } if from.is_huge() != to.is_huge())
    }

    /// The process that acts. Asked for each op of each run, so it makes no list of arguments.
    pub fn proc(&self) -> Proc {
        match *self {
            Op::Map { proc, .. }
            | Op::Unmap { proc, .. }
            | Op::Protect { proc, .. }
            | Op::Write { proc, .. }
            | Op::Read { proc, .. }
            | Op::Fork { proc, .. }
            | Op::Exit { proc }
            | Op::Remap { proc, .. }
            | Op::Advise { proc, .. }
            | Op::Lock { proc, .. }
            | Op::Unlock { proc, .. }
            | Op::LockAll { proc, .. }
            | Op::Force { proc, .. } => proc,
            Op::Limit { .. }
            | Op::Reg { .. }
            | Op::Dereg { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. }
            | Op::FileWrite { .. }
            | Op::Truncate { .. }
            | Op::Punch { .. }
            | Op::Seal { .. }
            | Op::IpcLock { .. }
            | Op::MemLimit { .. }
            | Op::Chore { .. }
            | Op::Rereg { .. }
            | Op::AllocMw { .. }
            | Op::DeallocMw { .. }
            | Op::Bind { .. }
            | Op::Invalidate { .. }
            | Op::CompareSwap { .. }
            | Op::FetchAdd { .. }
            | Op::Send { .. }
            | Op::Gather { .. }
            | Op::Scatter { .. }
            | Op::Swap { .. } => Proc::P0,
        }
    }

    /// The child of a fork.
    pub fn child(&self) -> Option<Proc> {
        self.with_args(|args| {
            args.into_iter()
                .find_map(|arg| if let Arg::Child(child) = arg { Some(*child) } else { None })
        })
    }

    /// The MRs it names, in the order of its arguments.
    pub fn mrs(&self) -> Vec<Mr> {
        self.with_args(|args| {
            let mut mrs = Vec::new();
            args.into_iter().for_each(|arg| arg.for_each_mr(|mr| mrs.push(*mr)));
            mrs
        })
    }

    /// The windows it names, in the order of its arguments.
    pub fn mws(&self) -> Vec<Mw> {
        self.with_args(|args| {
            let mut mws = Vec::new();
            args.into_iter().for_each(|arg| arg.for_each_mw(|mw| mws.push(*mw)));
            mws
        })
    }

    /// The value of the bytes it writes, if it writes bytes of one value.
    pub fn tag(&self) -> Option<u8> {
        self.with_args(|args| {
            args.into_iter().find_map(|arg| if let Arg::Tag(tag) = arg { Some(*tag) } else { None })
        })
    }

    /// The pages of the arena that its arguments name, not below
    /// [`ALL_PAGES`](crate::ALL_PAGES) where they lie past its end. What an MR covers is not among them.
    pub fn pages(&self) -> Vec<u32> {
        self.with_args(|args| args.into_iter().flat_map(|arg| arg.pages()).collect())
    }

    /// Looks at the arguments, and leaves them alone.
    fn with_args<T>(&self, look: impl FnOnce(Vec<Arg<'_>>) -> T) -> T {
        let mut copy = *self;
        look(copy.args_mut())
    }
}
