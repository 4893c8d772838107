//! The call that does an op, in C.

use pinfold_contract::{
    Access, Advice, Backing, ByteRange, Chore, File, FileKind, Handle, Key, LockScope, Mr, Mw,
    MwKind, Op, PAGE_BYTES, PageRange, Pd, Position, Prot, RegCall, Rereg, Seals, Sges, Sharing,
    Span, Target,
};

use super::body::Body;
use super::pieces::Piece;
use super::words;

impl Body {
    /// The call that does `op`, as a C expression that says what became of it. The end of a process is none.
    pub(super) fn call_of(&mut self, op: Op) -> Option<String> {
        Some(match op {
            Op::Map { pages, backing, sharing, prot, populate, .. } => {
                self.map(pages, backing, (sharing, prot), populate)
            }
            Op::Unmap { pages, .. } => self.outcome_of(&format!("munmap({})", place(pages))),
            Op::Protect { pages, prot, .. } => {
                self.outcome_of(&format!("mprotect({}, {})", place(pages), words::prot(prot)))
            }
            Op::Write { at, len_bytes, tag, .. } => {
                self.using(Piece::Store, format!("store({}, {tag:#04x})", bytes(at, len_bytes)))
            }
            Op::Read { at, len_bytes, .. } => {
                self.using(Piece::Load, format!("load({})", bytes(at, len_bytes)))
            }
            Op::Fork { child, .. } => self.using(Piece::Turns, format!("spawn({})", child.index())),
            Op::Exit { .. } => return None,
            Op::Limit { bytes } => self.limit(bytes),
            Op::Reg { mr, span, access, pd, call } => self.reg(mr, span, access, pd, call),
            Op::Dereg { mr } => self.dereg(mr),
            Op::RemoteRead { target, len_bytes } => self.remote_read(target, len_bytes),
            Op::RemoteWrite { target, len_bytes, tag } => self.remote_write(target, len_bytes, tag),
            Op::Remap { from, to, .. } => self.remap(from, to),
            Op::Advise { pages, advice, .. } => {
                if advice == Advice::PageOut {
                    // Which pages may go to swap space is known of the group alone.
                    self.pieces.insert(Piece::OwnGroup);
                }
                self.outcome_of(&format!("madvise({}, {})", place(pages), words::advice(advice)))
            }
            Op::Lock { pages, onfault, .. } => {
                let flags = if onfault { "MLOCK_ONFAULT" } else { "0" };
                self.outcome_of(&format!("mlock2({}, {flags})", place(pages)))
            }
            Op::Unlock { pages, .. } => self.outcome_of(&format!("munlock({})", place(pages))),
            Op::LockAll { scope, .. } => self.outcome_of(lock_all(scope)),
            Op::Force { at, len_bytes, tag, .. } => {
                self.using(Piece::Force, format!("force({}, {tag:#04x})", bytes(at, len_bytes)))
            }
            Op::FileWrite { file, at, len_bytes, tag } => self.fill(file, at, len_bytes, tag),
            Op::Truncate { file, end } => self.truncate(file, end),
            Op::Punch { file, range } => self.punch(file, range),
            Op::Seal { file, seals } => self.seal(file, seals),
            Op::IpcLock { held } => {
                self.using(Piece::IpcLock, format!("hold_ipc_lock({})", i32::from(held)))
            }
            Op::Swap { on } => self.using(Piece::Swap, format!("allow_swap({})", i32::from(on))),
            Op::MemLimit { pages } => {
                let count = pages.map_or(-1, i32::from);
                self.using(Piece::MemLimit, format!("limit_memory({count})"))
            }
            Op::Chore { chore } => self.chore(chore),
            Op::Rereg { mr, what, span, access, pd } => self.rereg(mr, what, span, access, pd),
            Op::AllocMw { mw, kind, pd } => self.alloc_mw(mw, kind, pd),
            Op::DeallocMw { mw } => self.dealloc_mw(mw),
            Op::Bind { mw, mr, offset, len_bytes, access, qp } => {
                self.bind(mw, (mr, offset, len_bytes), access, qp)
            }
            Op::Invalidate { handle, qp } => self.invalidate(handle, qp),
            Op::CompareSwap { target, expect, swap } => self.compare_swap(target, expect, swap),
            Op::FetchAdd { target, add } => self.fetch_add(target, add),
            Op::Send { from, to, invalidate, qp } => self.send(from, to, invalidate, qp),
            Op::Gather { from, target } => self.list_transfer("IBV_WR_RDMA_WRITE", from, target),
            Op::Scatter { target, into } => self.list_transfer("IBV_WR_RDMA_READ", into, target),
        })
    }

    // ---- memory ----

    fn map(
        &mut self,
        pages: PageRange,
        backing: Backing,
        (sharing, prot): (Sharing, Prot),
        populate: bool,
    ) -> String {
        let (kind, fd) = self.backing(backing);
        let sharing = match sharing {
            Sharing::Private => "MAP_PRIVATE",
            Sharing::Shared => "MAP_SHARED",
        };
        let populate = if populate { " | MAP_POPULATE" } else { "" };
        let (place, prot) = (place(pages), words::prot(prot));
        self.using(Piece::Map, format!("map({place}, {prot}, {sharing}{kind}{populate}, {fd})"))
    }

    fn backing(&mut self, backing: Backing) -> (&'static str, String) {
        let offset = |page: u8| words::length(u32::from(page) * PAGE_BYTES);
        match backing {
            Backing::Anon => (" | MAP_ANONYMOUS", "-1, 0".to_owned()),
            Backing::Huge => {
                let nothing = self.using(Piece::HugePool, "-1, 0".to_owned());
                (" | MAP_ANONYMOUS | MAP_HUGETLB", nothing)
            }
            Backing::File { file, page } => ("", format!("{}, {}", self.file(file), offset(page))),
            Backing::DevZero { page } => {
                ("", self.using(Piece::ZeroFile, format!("zero, {}", offset(page))))
            }
        }
    }

    fn remap(&mut self, from: PageRange, to: PageRange) -> String {
        let flags = if from.first() == to.first() {
            "0".to_owned()
        } else {
            format!("MREMAP_MAYMOVE | MREMAP_FIXED, PAGE({})", to.first())
        };
        let call = format!("mremap({}, {}, {flags})", place(from), pages_length(to));
        self.outcome_of(&format!("{call} == MAP_FAILED"))
    }

    // ---- files and the system ----

    fn fill(&mut self, file: File, at: Position, len_bytes: u32, tag: u8) -> String {
        let (file, start, length) =
            (self.file(file), words::length(at.0), words::length(len_bytes));
        self.using(Piece::Fill, format!("fill({file}, {start}, {length}, {tag:#04x})"))
    }

    fn truncate(&mut self, file: File, end: Position) -> String {
        let file = self.file(file);
        self.outcome_of(&format!("ftruncate({file}, {})", words::length(end.0)))
    }

    fn punch(&mut self, file: File, range: ByteRange) -> String {
        let file = self.file(file);
        self.pieces.insert(Piece::FileCalls);
        let mode = "FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE";
        let (start, length) = (words::length(range.start().0), words::length(range.len_bytes()));
        self.outcome_of(&format!("fallocate({file}, {mode}, {start}, {length})"))
    }

    fn seal(&mut self, file: File, seals: Seals) -> String {
        let file = self.file(file);
        self.pieces.insert(Piece::FileCalls);
        self.outcome_of(&format!("fcntl({file}, F_ADD_SEALS, {})", words::seals(seals)))
    }

    /// The variable of a file.
    fn file(&mut self, file: File) -> &'static str {
        self.files.insert(file);
        self.pieces.insert(match file.kind() {
            FileKind::Memfd => Piece::MemoryFile,
            FileKind::Tmpfs => Piece::TmpfsFile,
            FileKind::Library => Piece::Library,
            FileKind::Disk => Piece::DiskFile,
        });
        file.name()
    }

    fn limit(&mut self, bytes: u64) -> String {
        let bytes =
            if bytes == u64::MAX { "RLIM_INFINITY".to_owned() } else { format!("{bytes}ul") };
        self.using(Piece::Limit, format!("limit_memlock({bytes})"))
    }

    fn chore(&mut self, chore: Chore) -> String {
        let (piece, call) = match chore {
            Chore::KsmMerge => (Piece::KsmMerge, "ksm_merge()"),
            Chore::KsmUnmerge => (Piece::KsmUnmerge, "ksm_unmerge()"),
            Chore::Compact => (Piece::Chore, "chore(\"/proc/sys/vm/compact_memory\", \"1\")"),
            Chore::Reclaim => (Piece::Reclaim, "reclaim()"),
            Chore::DropCaches => (Piece::Chore, "chore(\"/proc/sys/vm/drop_caches\", \"3\")"),
        };
        self.using(piece, call.to_owned())
    }

    // ---- registrations and windows ----

    fn reg(&mut self, mr: Mr, span: Span, access: Access, pd: Pd, call: RegCall) -> String {
        self.mrs.insert(mr);
        let pd = self.domain(pd);
        let (at, length) = (words::address(span.start), words::span_length(span));
        let access = words::access(access);
        let iova = |iova: Option<u64>| {
            iova.map_or_else(|| format!("(uintptr_t)({at})"), |iova| format!("{iova:#x}ul"))
        };
        let (piece, text) = match call {
            RegCall::Iova2 { iova: None } => {
                (Piece::Reg, format!("reg(&{mr}, {pd}, {at}, {length}, {access})"))
            }
            RegCall::Iova2 { iova: some } => {
                let iova = iova(some);
                let text = format!("reg_iova(&{mr}, {pd}, {at}, {length}, {iova}, {access})");
                (Piece::RegIova, text)
            }
            RegCall::Legacy => {
                (Piece::RegLegacy, format!("reg_legacy(&{mr}, {pd}, {at}, {length}, {access})"))
            }
            RegCall::Raw { iova: some } => {
                let iova = iova(some);
                let text = format!("reg_raw(&{mr}, {pd}, {at}, {length}, {iova}, {access})");
                (Piece::RegRaw, text)
            }
        };
        self.pieces.insert(piece);
        let text = if self.pieces.contains(&Piece::Limit) {
            self.pieces.insert(Piece::LimitReg);
            format!("count_own(allow_own() ? {text} : NULL)")
        } else {
            text
        };
        if self.pieces.contains(&Piece::MemLimit) {
            format!("leave_group(enter_group() ? {text} : NULL)")
        } else {
            text
        }
    }

    fn dereg(&mut self, mr: Mr) -> String {
        if self.region(mr).is_some_and(|region| region.is_raw) {
            return self.using(Piece::DeregRaw, format!("dereg_raw(&{mr})"));
        }
        self.pieces.extend([Piece::Region, Piece::Outcome]);
        format!("outcome(ibv_dereg_mr({mr}.mr))")
    }

    fn rereg(&mut self, mr: Mr, what: Rereg, span: Span, access: Access, pd: Pd) -> String {
        self.pieces.insert(Piece::Rereg);
        let (start, length) = (words::address(span.start), words::span_length(span));
        let (pd, access) = (self.domain(pd), words::access(access));
        format!("rereg(&{mr}, {:#x}, {pd}, {start}, {length}, {access})", what.0)
    }

    /// The variable of a protection domain.
    fn domain(&mut self, pd: Pd) -> &'static str {
        if pd == Pd::FIRST {
            return "pd";
        }
        self.pieces.insert(Piece::SecondPd);
        "pd1"
    }

    fn alloc_mw(&mut self, mw: Mw, kind: MwKind, pd: Pd) -> String {
        self.pieces.insert(Piece::Window);
        self.mws.insert(mw);
        let kind = match kind {
            MwKind::Type1 => "IBV_MW_TYPE_1",
            MwKind::Type2 => "IBV_MW_TYPE_2",
        };
        format!("alloc_window(&{mw}, {}, {kind})", self.domain(pd))
    }

    fn dealloc_mw(&mut self, mw: Mw) -> String {
        self.pieces.extend([Piece::Window, Piece::Outcome]);
        format!("outcome(ibv_dealloc_mw({mw}.mw))")
    }

    fn bind(
        &mut self,
        mw: Mw,
        (mr, offset, len_bytes): (Mr, i32, u32),
        access: Access,
        qp: Pd,
    ) -> String {
        self.pieces.insert(Piece::BindWindow);
        let (pair, start) = (self.pair(qp), self.address(mr, offset));
        let (length, access) = (words::length(len_bytes), words::access(access));
        format!("bind_window({pair}, &{mw}, &{mr}, {start}, {length}, {access})")
    }

    fn invalidate(&mut self, handle: Handle, qp: Pd) -> String {
        self.pieces.insert(Piece::Invalidate);
        format!("invalidate({}, {})", self.pair(qp), words::rkey(handle))
    }

    // ---- requests ----

    fn remote_read(&mut self, target: Target, len_bytes: u32) -> String {
        self.pieces.extend([Piece::RdmaRead, Piece::Region]);
        let (pair, at, key) = self.remote(target);
        format!("rdma_read({pair}, {at}, {key}, {})", words::length(len_bytes))
    }

    fn remote_write(&mut self, target: Target, len_bytes: u32, tag: u8) -> String {
        self.pieces.extend([Piece::RdmaWrite, Piece::Region]);
        let (pair, at, key) = self.remote(target);
        format!("rdma_write({pair}, {at}, {key}, {}, {tag:#04x})", words::length(len_bytes))
    }

    fn compare_swap(&mut self, target: Target, expect: u64, swap: u64) -> String {
        self.atomic("IBV_WR_ATOMIC_CMP_AND_SWP", target, &format!("{expect:#x}ul, {swap:#x}ul"))
    }

    fn fetch_add(&mut self, target: Target, add: u64) -> String {
        self.atomic("IBV_WR_ATOMIC_FETCH_AND_ADD", target, &format!("{add:#x}ul, 0"))
    }

    fn atomic(&mut self, opcode: &str, target: Target, numbers: &str) -> String {
        self.pieces.extend([Piece::Atomic, Piece::Region]);
        let (pair, at, key) = self.remote(target);
        format!("atomic({pair}, {opcode}, {at}, {key}, {numbers})")
    }

    fn send(&mut self, from: Sges, to: Sges, invalidate: Option<Handle>, qp: Pd) -> String {
        self.pieces.extend([Piece::Message, Piece::Region]);
        let (from, to) = (self.list(from), self.list(to));
        let pair = self.pair(qp);
        let (opcode, key) = invalidate.map_or_else(
            || ("IBV_WR_SEND", "0".to_owned()),
            |handle| ("IBV_WR_SEND_WITH_INV", words::rkey(handle)),
        );
        format!("message({pair}, {from}, {to}, {opcode}, {key})")
    }

    fn list_transfer(&mut self, opcode: &str, list: Sges, target: Target) -> String {
        self.pieces.extend([Piece::ListTransfer, Piece::Region]);
        let (pair, at, key) = self.remote(target);
        format!("list_transfer({pair}, {opcode}, {}, {at}, {key})", self.list(list))
    }

    /// A scatter/gather list as a C expression.
    fn list(&mut self, sges: Sges) -> String {
        sges.iter().fold("nothing".to_owned(), |list, sge| {
            self.pieces.insert(Piece::With);
            let at = self.address(sge.mr, sge.offset);
            format!("with({list}, {at}, {}, {}.lkey)", words::length(sge.len_bytes), sge.mr)
        })
    }

    /// Queue pairs, address and key of a remote op.
    fn remote(&mut self, target: Target) -> (&'static str, String, String) {
        let Target { mr, offset, key, qp } = target;
        let key = match key {
            Key::Own => format!("{mr}.rkey"),
            Key::Stale => format!("{mr}.rkey ^ 0xff"),
            Key::Of(handle) => words::rkey(handle),
        };
        (self.pair(qp), self.address(mr, offset), key)
    }

    // ---- any ----

    /// `call`, whose function stands in `piece`.
    fn using(&mut self, piece: Piece, call: String) -> String {
        self.pieces.insert(piece);
        call
    }

    /// `outcome()` of a system call that is true when it fails.
    fn outcome_of(&mut self, call: &str) -> String {
        self.using(Piece::Outcome, format!("outcome({call} ? errno : 0)"))
    }
}

fn lock_all(scope: LockScope) -> &'static str {
    match scope {
        LockScope::None => "munlockall()",
        LockScope::Current => "mlockall(MCL_CURRENT | MCL_ONFAULT)",
        LockScope::Future => "mlockall(MCL_FUTURE)",
        LockScope::Both => "mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)",
    }
}

/// Address and length of bytes of the arena, as two arguments.
fn bytes(at: Position, len_bytes: u32) -> String {
    format!("{}, {}", words::address(at), words::length(len_bytes))
}

/// Address and length of pages of the arena, as two arguments.
fn place(pages: PageRange) -> String {
    format!("PAGE({}), {}", pages.first(), pages_length(pages))
}

fn pages_length(pages: PageRange) -> String {
    words::length(u32::try_from(pages.len_bytes()).expect("an arena is small"))
}
