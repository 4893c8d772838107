//! What the program does, step by step, and which pieces that takes.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{
    Backing, ByteRange, Key, Mr, Op, OpKind, Outcome, Position, Proc, Sequence, Sharing,
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
    /// Memory files that it maps.
    pub(super) files: BTreeSet<u8>,
    /// Whether the pins of the machine are compared with those at the start.
    pub(super) counts_pins: bool,
    /// Functions whose value is taken at the start, for what is left behind.
    pub(super) totals: Vec<&'static str>,
    /// Where each MR that was registered lies: a remote op needs it after the end of the MR, too.
    ranges: BTreeMap<Mr, ByteRange>,
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

    /// The memory of an MR that was registered.
    pub(super) fn range_of(&self, mr: Mr) -> Option<ByteRange> {
        self.ranges.get(&mr).copied()
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
        let got = self.with_alternatives(got, prediction);
        let want = words::outcome(prediction.expected());
        let what = words::phrase(op, self.many);
        let test = self.test(if_not, &what, &got, &want);
        self.statements.push(match op.kind() {
            OpKind::Fork => Statement::Fork(op.proc(), test),
            OpKind::Map
            | OpKind::Unmap
            | OpKind::Protect
            | OpKind::Write
            | OpKind::Read
            | OpKind::Exit
            | OpKind::Limit
            | OpKind::Reg
            | OpKind::Dereg
            | OpKind::RemoteRead
            | OpKind::RemoteWrite => Statement::Call(op.proc(), "check", test),
        });
        if let (Op::Reg { mr, range, .. }, Outcome::Done) = (op, prediction.expected()) {
            self.ranges.insert(mr, range);
        }
    }

    fn with_alternatives(&mut self, got: String, prediction: &Prediction) -> String {
        prediction.others().iter().fold(got, |got, other| {
            let text = words::outcome(other);
            if prediction.follows(other) {
                self.pieces.insert(Piece::Also);
                format!("also({got}, {text}, {})", words::outcome(prediction.expected()))
            } else {
                self.pieces.insert(Piece::Unsure);
                format!("unsure({got}, {text})")
            }
        })
    }

    /// The call that does `op`, as a C expression that says what became of it.
    fn call_of(&mut self, op: Op) -> String {
        match op {
            Op::Map { pages, backing, sharing, prot, .. } => {
                let (kind, fd) = self.backing(backing);
                let sharing = match sharing {
                    Sharing::Private => "MAP_PRIVATE",
                    Sharing::Shared => "MAP_SHARED",
                };
                let place = place(pages);
                let prot = words::prot(prot);
                self.pieces.insert(Piece::Map);
                format!("map({place}, {prot}, {sharing}{kind}, {fd})")
            }
            Op::Unmap { pages, .. } => self.outcome_of(&format!("munmap({})", place(pages))),
            Op::Protect { pages, prot, .. } => {
                self.outcome_of(&format!("mprotect({}, {})", place(pages), words::prot(prot)))
            }
            Op::Write { at, len_bytes, tag, .. } => {
                self.pieces.insert(Piece::Store);
                let (at, length) = (words::address(at), words::length(len_bytes));
                format!("store({at}, {length}, {tag:#04x})")
            }
            Op::Read { at, len_bytes, .. } => {
                self.pieces.insert(Piece::Load);
                format!("load({}, {})", words::address(at), words::length(len_bytes))
            }
            Op::Fork { child, .. } => {
                self.pieces.insert(Piece::Turns);
                format!("spawn({})", child.index())
            }
            Op::Exit { .. } => unreachable!("the end of a process is no call"),
            Op::Limit { bytes } => {
                self.pieces.insert(Piece::Limit);
                let bytes = if bytes == u64::MAX {
                    "RLIM_INFINITY".to_owned()
                } else {
                    format!("{bytes}ul")
                };
                format!("limit_memlock({bytes})")
            }
            Op::Reg { mr, range, access } => {
                self.pieces.insert(Piece::Region);
                self.mrs.insert(mr);
                let (at, length) =
                    (words::address(range.start()), words::length(range.len_bytes()));
                format!("reg(&{mr}, {at}, {length}, {})", words::access(access))
            }
            Op::Dereg { mr } => {
                self.pieces.extend([Piece::Region, Piece::Outcome]);
                format!("outcome(ibv_dereg_mr({mr}.mr))")
            }
            Op::RemoteRead { mr, offset, len_bytes, key } => {
                self.pieces.extend([Piece::RdmaRead, Piece::Region]);
                let (at, key) = self.remote(mr, offset, key);
                format!("rdma_read({at}, {key}, {})", words::length(len_bytes))
            }
            Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
                self.pieces.extend([Piece::RdmaWrite, Piece::Region]);
                let (at, key) = self.remote(mr, offset, key);
                format!("rdma_write({at}, {key}, {}, {tag:#04x})", words::length(len_bytes))
            }
        }
    }

    /// `outcome()` of a system call that is true when it fails.
    fn outcome_of(&mut self, call: &str) -> String {
        self.pieces.insert(Piece::Outcome);
        format!("outcome({call} ? errno : 0)")
    }

    fn backing(&mut self, backing: Backing) -> (&'static str, String) {
        match backing {
            Backing::Anon => (" | MAP_ANONYMOUS", "-1, 0".to_owned()),
            Backing::Memfd { file, page } => {
                self.pieces.insert(Piece::MemoryFile);
                self.files.insert(u8::try_from(file.index()).expect("there are two files"));
                let offset = words::length(u32::from(page) * pinfold_contract::PAGE_BYTES);
                ("", format!("{}, {offset}", words::file(file)))
            }
        }
    }

    /// Address and key of a remote op.
    fn remote(&self, mr: Mr, offset: i32, key: Key) -> (String, String) {
        let start = self.ranges.get(&mr).map_or(Position(0), |range| range.start());
        let key = match key {
            Key::Own => format!("{mr}.rkey"),
            Key::Stale => format!("{mr}.rkey ^ 0xff"),
            Key::Of(other) => format!("{other}.rkey"),
        };
        (words::address_from(start, offset), key)
    }
}

fn place(pages: pinfold_contract::PageRange) -> String {
    let bytes = u32::try_from(pages.len_bytes()).expect("an arena is small");
    format!("PAGE({}), {}", pages.first(), words::length(bytes))
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
