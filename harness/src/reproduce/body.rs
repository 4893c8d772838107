//! What the program does, step by step, and which pieces that takes.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{
    Backing, ByteRange, Chore, File, FileKind, Handle, Key, LockScope, Mr, Mw, MwKind, Op, OpKind,
    Outcome, PageRange, Pd, Position, Proc, RegCall, Rereg, Sequence, Sges, Sharing, Target,
};

use super::pieces::Piece;
use super::{state, words};
use crate::model::{PredictedStep, Prediction};
use crate::oracle::{Divergence, Oracle};

/// What follows from a check that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfNot {
    /// The kernel is wrong.
    Wrong,
    /// It is not in the state in which it could be shown to be wrong.
    CannotTell,
}

impl IfNot {
    fn in_c(self) -> &'static str {
        match self {
            IfNot::Wrong => "WRONG",
            IfNot::CannotTell => "CANNOT_TELL",
        }
    }
}

/// One statement and who runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// A comment of one paragraph, above the next statement.
    Comment(String),
    /// A call, as its function and arguments.
    Call(Proc, &'static str, Vec<String>),
    /// A test that forks: from it on there is one process more.
    Fork(Proc, Vec<String>),
    /// The end of a process: all take part.
    Leave(Proc),
}

/// Everything between the beginning of a program and its end.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// What is called.
    pub(super) pieces: BTreeSet<Piece>,
    /// In order, by the process whose turn it is.
    pub(super) statements: Vec<Statement>,
    /// The calls of the process that waits for the others and outlives them. It is there if there are any.
    pub(super) afterwards: Vec<Statement>,
    /// Whether there is more than one process in the sequence.
    pub(super) many: bool,
    /// How many tests it prints.
    pub(super) test_count: usize,
    /// Bytes of the longest text that it compares.
    pub(super) text_bytes: usize,
    /// MRs that it registers.
    pub(super) mrs: BTreeSet<Mr>,
    /// Windows that it allocates.
    pub(super) mws: BTreeSet<Mw>,
    /// Files that it opens.
    pub(super) files: BTreeSet<File>,
    /// Whether the pins of the machine are compared with those at the start.
    pub(super) counts_pins: bool,
    /// Expressions that another thread may have to evaluate: each is a function, which is numbered from one on.
    pub(super) steps: Vec<String>,
    /// Functions whose value is taken at the start, for what is left behind.
    pub(super) totals: Vec<&'static str>,
    /// Each MR that was registered: a remote op needs it after the end of the MR, too.
    regions: BTreeMap<Mr, Region>,
}

/// What is known of an MR.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    /// Its memory.
    pub(super) range: ByteRange,
    /// Its protection domain.
    pub(super) pd: Pd,
    /// What peers use as its address, if that is not the virtual one.
    iova: Option<u64>,
    /// Whether the library knows nothing of it.
    is_raw: bool,
}

/// The steps of `sequence` up to the one that shows `divergence`; all of them if there is none.
pub(super) fn body(
    sequence: &Sequence,
    predicted: &[PredictedStep],
    divergence: Option<&Divergence>,
) -> Body {
    let is_done = |index: usize| *predicted[index].prediction.expected() != Outcome::Skipped;
    let last = divergence.map_or(usize::MAX, |divergence| divergence.op_index);
    let ops: Vec<(usize, Op)> = sequence.ops.iter().copied().enumerate().collect();
    let done: Vec<(usize, Op)> =
        ops.into_iter().filter(|&(index, _)| index <= last && is_done(index)).collect();
    let many = done.iter().any(|(_, op)| matches!(op, Op::Fork { .. }));
    let mut body = Body { many, ..Body::default() };
    let notes = state::frames_to_note(divergence, predicted);
    for &(index, op) in &done {
        let if_not = match divergence {
            Some(_) if index < last => IfNot::CannotTell,
            Some(_) | None => IfNot::Wrong,
        };
        if let Some(divergence) = divergence.filter(|_| index == last) {
            body.comment(&told(divergence));
        }
        body.op(op, &predicted[index].prediction, if_not);
        for (proc, page) in notes.iter().filter(|(at, ..)| *at == index).map(|(_, p, n)| (*p, *n)) {
            body.call(proc, Piece::NoteFrame, "note_frame", vec![page.to_string()]);
        }
    }
    match divergence {
        Some(divergence) => state::show(&mut body, divergence, predicted),
        None => state::show_all(&mut body, predicted),
    }
    body
}

/// What is expected and what a wrong kernel shows.
fn told(divergence: &Divergence) -> String {
    let Divergence { predicted, seen, .. } = divergence;
    format!("A right kernel: {predicted}. A wrong one: {seen}.")
}

impl Body {
    /// Adds a paragraph.
    pub(super) fn comment(&mut self, text: &str) {
        self.statements.push(Statement::Comment(text.to_owned()));
    }

    /// Adds a call of `function`, which stands in `piece`.
    pub(super) fn call(
        &mut self,
        proc: Proc,
        piece: Piece,
        function: &'static str,
        arguments: Vec<String>,
    ) {
        self.pieces.insert(piece);
        self.statements.push(Statement::Call(proc, function, arguments));
    }

    /// Adds a test: `got` and `want` are C expressions of strings.
    pub(super) fn check(&mut self, proc: Proc, if_not: IfNot, what: &str, got: &str, want: &str) {
        let call = self.test(if_not, what, got, want);
        self.statements.push(Statement::Call(proc, "check", call));
    }

    /// Adds a test of the process that outlives the others.
    pub(super) fn check_afterwards(&mut self, what: &str, got: &str, want: &str) {
        let call = self.test(IfNot::Wrong, what, got, want);
        self.afterwards.push(Statement::Call(Proc::P0, "check", call));
    }

    /// An MR that was registered.
    pub(super) fn region(&self, mr: Mr) -> Option<Region> {
        self.regions.get(&mr).copied()
    }

    /// The queue pairs of a protection domain, as an argument in C.
    pub(super) fn pair(&mut self, pd: Pd) -> &'static str {
        if pd == Pd::FIRST {
            return "&pair0";
        }
        self.pieces.insert(Piece::SecondPair);
        "&pair1"
    }

    /// What a peer uses as the address of a byte of `mr`, as a pointer in C.
    pub(super) fn address(&self, mr: Mr, offset: i32) -> String {
        let region = self.regions.get(&mr);
        match region.and_then(|region| region.iova) {
            Some(iova) => format!("(char *){:#x}ul", iova.wrapping_add_signed(i64::from(offset))),
            None => {
                let start = region.map_or(Position(0), |region| region.range.start());
                words::address_from(start, offset)
            }
        }
    }

    fn test(&mut self, if_not: IfNot, what: &str, got: &str, want: &str) -> Vec<String> {
        self.pieces.insert(if self.many { Piece::CheckShared } else { Piece::Check });
        self.test_count += 1;
        self.text_bytes = self.text_bytes.max(want.len());
        vec![if_not.in_c().to_owned(), words::quoted(what), got.to_owned(), want.to_owned()]
    }

    fn op(&mut self, op: Op, prediction: &Prediction, if_not: IfNot) {
        if let Op::Exit { proc } = op {
            self.pieces.insert(Piece::Leave);
            self.statements.push(Statement::Leave(proc));
            return;
        }
        let got = self.call_of(op);
        let got = self.with_rights(op, got);
        let got = self.with_alternatives(got, prediction);
        let want = self.outcome(prediction.expected());
        let what = words::phrase(op, self.many);
        let test = self.test(if_not, &what, &got, &want);
        self.statements.push(if op.kind() == OpKind::Fork {
            Statement::Fork(op.proc(), test)
        } else {
            Statement::Call(op.proc(), "check", test)
        });
        if *prediction.expected() == Outcome::Done {
            self.remember(op);
        }
    }

    /// Notes what an op that worked did to an MR.
    fn remember(&mut self, op: Op) {
        if let Op::Reg { mr, span, pd, call, .. } = op
            && let Some(range) = span.range()
        {
            let is_raw = matches!(call, RegCall::Raw { .. });
            self.regions.insert(mr, Region { range, pd, iova: call.iova(), is_raw });
        }
        if let Op::Rereg { mr, what, span, pd, .. } = op
            && let Some(region) = self.regions.get_mut(&mr)
        {
            if let Some(range) = span.range().filter(|_| what.has(Rereg::TRANS)) {
                region.range = range;
                region.iova = None;
            }
            if what.has(Rereg::PD) {
                region.pd = pd;
            }
        }
    }

    fn outcome(&mut self, outcome: &Outcome) -> String {
        if matches!(outcome, Outcome::Completions { .. }) {
            self.pieces.insert(Piece::Both);
        }
        words::outcome(outcome)
    }

    fn with_alternatives(&mut self, got: String, prediction: &Prediction) -> String {
        prediction.others().iter().fold(got, |got, other| {
            let text = self.outcome(other);
            if prediction.follows(other) {
                self.pieces.insert(Piece::Also);
                format!("also({got}, {text}, {})", self.outcome(prediction.expected()))
            } else {
                self.pieces.insert(Piece::Unsure);
                format!("unsure({got}, {text})")
            }
        })
    }

    /// `call`, by the thread that has CAP_IPC_LOCK if `op` is one that needs it. A thread gets a function.
    fn with_rights(&mut self, op: Op, call: String) -> String {
        let kinds = [OpKind::Reg, OpKind::Lock, OpKind::LockAll];
        let is_locking = op.proc() == Proc::P0 && kinds.contains(&op.kind());
        if !is_locking || !self.pieces.contains(&Piece::IpcLock) {
            return call;
        }
        self.pieces.insert(Piece::WithRights);
        self.steps.push(call);
        format!("with_rights(step{})", self.steps.len())
    }

    /// The call that does `op`, as a C expression that says what became of it.
    fn call_of(&mut self, op: Op) -> String {
        match op {
            Op::Map { .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Remap { .. }
            | Op::Advise { .. }
            | Op::Lock { .. }
            | Op::Unlock { .. }
            | Op::LockAll { .. } => self.mapping_call(op),
            Op::Write { .. }
            | Op::Read { .. }
            | Op::Force { .. }
            | Op::FileWrite { .. }
            | Op::Truncate { .. }
            | Op::Punch { .. }
            | Op::Seal { .. } => self.bytes_call(op),
            Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Limit { .. }
            | Op::IpcLock { .. }
            | Op::MemLimit { .. }
            | Op::Chore { .. } => self.system_call(op),
            Op::Reg { .. }
            | Op::Dereg { .. }
            | Op::Rereg { .. }
            | Op::AllocMw { .. }
            | Op::DeallocMw { .. }
            | Op::Bind { .. }
            | Op::Invalidate { .. } => self.object_call(op),
            Op::RemoteRead { .. }
            | Op::RemoteWrite { .. }
            | Op::CompareSwap { .. }
            | Op::FetchAdd { .. }
            | Op::Send { .. }
            | Op::Gather { .. }
            | Op::Scatter { .. } => self.request_call(op),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives the others elsewhere")]
    fn mapping_call(&mut self, op: Op) -> String {
        match op {
            Op::Map { pages, backing, sharing, prot, populate, .. } => {
                let (kind, fd) = self.backing(backing);
                let sharing = match sharing {
                    Sharing::Private => "MAP_PRIVATE",
                    Sharing::Shared => "MAP_SHARED",
                };
                let populate = if populate { " | MAP_POPULATE" } else { "" };
                let place = place(pages);
                let prot = words::prot(prot);
                self.pieces.insert(Piece::Map);
                format!("map({place}, {prot}, {sharing}{kind}{populate}, {fd})")
            }
            Op::Unmap { pages, .. } => self.outcome_of(&format!("munmap({})", place(pages))),
            Op::Protect { pages, prot, .. } => {
                self.outcome_of(&format!("mprotect({}, {})", place(pages), words::prot(prot)))
            }
            Op::Remap { from, to, .. } => {
                let to_length = pages_length(to);
                let flags = if from.first() == to.first() {
                    "0".to_owned()
                } else {
                    format!("MREMAP_MAYMOVE | MREMAP_FIXED, PAGE({})", to.first())
                };
                let call = format!("mremap({}, {to_length}, {flags})", place(from));
                self.outcome_of(&format!("{call} == MAP_FAILED"))
            }
            Op::Advise { pages, advice, .. } => {
                let call = format!("madvise({}, {})", place(pages), words::advice(advice));
                self.outcome_of(&call)
            }
            Op::Lock { pages, onfault, .. } => {
                let flags = if onfault { "MLOCK_ONFAULT" } else { "0" };
                self.outcome_of(&format!("mlock2({}, {flags})", place(pages)))
            }
            Op::Unlock { pages, .. } => self.outcome_of(&format!("munlock({})", place(pages))),
            Op::LockAll { scope, .. } => self.outcome_of(match scope {
                LockScope::None => "munlockall()",
                LockScope::Current => "mlockall(MCL_CURRENT | MCL_ONFAULT)",
                LockScope::Future => "mlockall(MCL_FUTURE)",
                LockScope::Both => "mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)",
            }),
            _ => String::new(),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives the others elsewhere")]
    fn bytes_call(&mut self, op: Op) -> String {
        match op {
            Op::Write { at, len_bytes, tag, .. } => {
                self.pieces.insert(Piece::Store);
                let (at, length) = (words::address(at), words::length(len_bytes));
                format!("store({at}, {length}, {tag:#04x})")
            }
            Op::Read { at, len_bytes, .. } => {
                self.pieces.insert(Piece::Load);
                format!("load({}, {})", words::address(at), words::length(len_bytes))
            }
            Op::Force { at, len_bytes, tag, .. } => {
                self.pieces.insert(Piece::Force);
                let (at, length) = (words::address(at), words::length(len_bytes));
                format!("force({at}, {length}, {tag:#04x})")
            }
            Op::FileWrite { file, at, len_bytes, tag } => {
                self.pieces.insert(Piece::Fill);
                let (file, length) = (self.file(file), words::length(len_bytes));
                format!("fill({file}, {}, {length}, {tag:#04x})", words::length(at.0))
            }
            Op::Truncate { file, end } => {
                let file = self.file(file);
                self.outcome_of(&format!("ftruncate({file}, {})", words::length(end.0)))
            }
            Op::Punch { file, range } => {
                let file = self.file(file);
                self.pieces.insert(Piece::FileCalls);
                let mode = "FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE";
                let start = words::length(range.start().0);
                let length = words::length(range.len_bytes());
                self.outcome_of(&format!("fallocate({file}, {mode}, {start}, {length})"))
            }
            Op::Seal { file, seals } => {
                let file = self.file(file);
                self.pieces.insert(Piece::FileCalls);
                self.outcome_of(&format!("fcntl({file}, F_ADD_SEALS, {})", words::seals(seals)))
            }
            _ => String::new(),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives the others elsewhere")]
    fn system_call(&mut self, op: Op) -> String {
        match op {
            Op::Fork { child, .. } => {
                self.pieces.insert(Piece::Turns);
                format!("spawn({})", child.index())
            }
            Op::Limit { bytes } => {
                self.pieces.insert(Piece::Limit);
                let bytes = if bytes == u64::MAX {
                    "RLIM_INFINITY".to_owned()
                } else {
                    format!("{bytes}ul")
                };
                format!("limit_memlock({bytes})")
            }
            Op::IpcLock { held } => {
                self.pieces.insert(Piece::IpcLock);
                format!("hold_ipc_lock({})", i32::from(held))
            }
            Op::MemLimit { pages } => {
                self.pieces.insert(Piece::MemLimit);
                format!("limit_memory({})", pages.map_or(-1, i32::from))
            }
            Op::Chore { chore } => self.chore(chore),
            _ => unreachable!("the end of a process is no call"),
        }
    }

    fn chore(&mut self, chore: Chore) -> String {
        let (piece, call) = match chore {
            Chore::KsmMerge => (Piece::KsmMerge, "ksm_merge()"),
            Chore::KsmUnmerge => (Piece::KsmUnmerge, "ksm_unmerge()"),
            Chore::Compact => (Piece::Chore, "chore(\"/proc/sys/vm/compact_memory\", \"1\")"),
            Chore::Reclaim => (Piece::Reclaim, "reclaim()"),
            Chore::DropCaches => (Piece::Chore, "chore(\"/proc/sys/vm/drop_caches\", \"3\")"),
        };
        self.pieces.insert(piece);
        call.to_owned()
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives the others elsewhere")]
    fn object_call(&mut self, op: Op) -> String {
        match op {
            Op::Reg { .. } => self.reg(op),
            Op::Dereg { mr } if self.region(mr).is_some_and(|region| region.is_raw) => {
                self.pieces.insert(Piece::DeregRaw);
                format!("dereg_raw(&{mr})")
            }
            Op::Dereg { mr } => {
                self.pieces.extend([Piece::Region, Piece::Outcome]);
                format!("outcome(ibv_dereg_mr({mr}.mr))")
            }
            Op::Rereg { mr, what, span, access, pd } => {
                self.pieces.insert(Piece::Rereg);
                let (start, length) = (words::address(span.start), words::span_length(span));
                let (pd, access) = (self.domain(pd), words::access(access));
                format!("rereg(&{mr}, {:#x}, {pd}, {start}, {length}, {access})", what.0)
            }
            Op::AllocMw { mw, kind, pd } => {
                self.pieces.insert(Piece::Window);
                self.mws.insert(mw);
                let kind = match kind {
                    MwKind::Type1 => "IBV_MW_TYPE_1",
                    MwKind::Type2 => "IBV_MW_TYPE_2",
                };
                format!("alloc_window(&{mw}, {}, {kind})", self.domain(pd))
            }
            Op::DeallocMw { mw } => {
                self.pieces.extend([Piece::Window, Piece::Outcome]);
                format!("outcome(ibv_dealloc_mw({mw}.mw))")
            }
            Op::Bind { mw, mr, offset, len_bytes, access, qp } => {
                self.pieces.insert(Piece::BindWindow);
                let (pair, start) = (self.pair(qp), self.address(mr, offset));
                let (length, access) = (words::length(len_bytes), words::access(access));
                format!("bind_window({pair}, &{mw}, &{mr}, {start}, {length}, {access})")
            }
            Op::Invalidate { handle, qp } => {
                self.pieces.insert(Piece::Invalidate);
                format!("invalidate({}, {})", self.pair(qp), words::rkey(handle))
            }
            _ => String::new(),
        }
    }

    fn reg(&mut self, op: Op) -> String {
        let Op::Reg { mr, span, access, pd, call } = op else { return String::new() };
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
        if self.pieces.contains(&Piece::MemLimit) {
            format!("leave_group(enter_group() ? {text} : NULL)")
        } else {
            text
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives the others elsewhere")]
    fn request_call(&mut self, op: Op) -> String {
        match op {
            Op::RemoteRead { target, len_bytes } => {
                self.pieces.extend([Piece::RdmaRead, Piece::Region]);
                format!("rdma_read({}, {})", self.remote(target), words::length(len_bytes))
            }
            Op::RemoteWrite { target, len_bytes, tag } => {
                self.pieces.extend([Piece::RdmaWrite, Piece::Region]);
                let (remote, length) = (self.remote(target), words::length(len_bytes));
                format!("rdma_write({remote}, {length}, {tag:#04x})")
            }
            Op::CompareSwap { target, expect, swap } => {
                let numbers = format!("{expect:#x}ul, {swap:#x}ul");
                self.atomic("IBV_WR_ATOMIC_CMP_AND_SWP", target, &numbers)
            }
            Op::FetchAdd { target, add } => {
                self.atomic("IBV_WR_ATOMIC_FETCH_AND_ADD", target, &format!("{add:#x}ul, 0"))
            }
            Op::Send { from, to, invalidate, qp } => {
                self.pieces.extend([Piece::Message, Piece::Region]);
                let (from, to) = (self.list(from), self.list(to));
                let pair = self.pair(qp);
                let (opcode, key) = invalidate.map_or_else(
                    || ("IBV_WR_SEND", "0".to_owned()),
                    |handle: Handle| ("IBV_WR_SEND_WITH_INV", words::rkey(handle)),
                );
                format!("message({pair}, {from}, {to}, {opcode}, {key})")
            }
            Op::Gather { from, target } => self.list_transfer("IBV_WR_RDMA_WRITE", from, target),
            Op::Scatter { target, into } => self.list_transfer("IBV_WR_RDMA_READ", into, target),
            _ => String::new(),
        }
    }

    fn atomic(&mut self, opcode: &str, target: Target, numbers: &str) -> String {
        self.pieces.extend([Piece::Atomic, Piece::Region]);
        let (pair, at, key) = self.remote_parts(target);
        format!("atomic({pair}, {opcode}, {at}, {key}, {numbers})")
    }

    fn list_transfer(&mut self, opcode: &str, list: Sges, target: Target) -> String {
        self.pieces.extend([Piece::ListTransfer, Piece::Region]);
        let (pair, at, key) = self.remote_parts(target);
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

    /// The variable of a protection domain.
    fn domain(&mut self, pd: Pd) -> &'static str {
        if pd == Pd::FIRST {
            return "pd";
        }
        self.pieces.insert(Piece::SecondPd);
        "pd1"
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

    /// `outcome()` of a system call that is true when it fails.
    fn outcome_of(&mut self, call: &str) -> String {
        self.pieces.insert(Piece::Outcome);
        format!("outcome({call} ? errno : 0)")
    }

    fn backing(&mut self, backing: Backing) -> (&'static str, String) {
        match backing {
            Backing::Anon => (" | MAP_ANONYMOUS", "-1, 0".to_owned()),
            Backing::File { file, page } => {
                let offset = words::length(u32::from(page) * pinfold_contract::PAGE_BYTES);
                ("", format!("{}, {offset}", self.file(file)))
            }
            Backing::DevZero { page } => {
                self.pieces.insert(Piece::ZeroFile);
                let offset = words::length(u32::from(page) * pinfold_contract::PAGE_BYTES);
                ("", format!("zero, {offset}"))
            }
        }
    }

    /// Queue pairs, address and key of a remote op.
    fn remote(&mut self, target: Target) -> String {
        let (pair, at, key) = self.remote_parts(target);
        format!("{pair}, {at}, {key}")
    }

    fn remote_parts(&mut self, target: Target) -> (&'static str, String, String) {
        let Target { mr, offset, key, qp } = target;
        let key = match key {
            Key::Own => format!("{mr}.rkey"),
            Key::Stale => format!("{mr}.rkey ^ 0xff"),
            Key::Of(handle) => words::rkey(handle),
        };
        (self.pair(qp), self.address(mr, offset), key)
    }
}

fn place(pages: PageRange) -> String {
    format!("PAGE({}), {}", pages.first(), pages_length(pages))
}

fn pages_length(pages: PageRange) -> String {
    words::length(u32::try_from(pages.len_bytes()).expect("an arena is small"))
}

/// Whether `oracle` looks at what an op does, and not at what it leaves behind.
pub(super) fn is_of_the_op(oracle: Oracle) -> bool {
    match oracle {
        Oracle::Outcome | Oracle::Protection => true,
        Oracle::KernelLog
        | Oracle::Coherence
        | Oracle::Frames
        | Oracle::Accounting
        | Oracle::Teardown => false,
    }
}
