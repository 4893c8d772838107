//! What the program does, step by step, and which pieces that takes.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{
    ByteRange, File, Mr, Mw, Op, OpKind, Outcome, Pd, Position, Proc, RegCall, Rereg, Sequence,
};

use super::phrase::phrase;
use super::pieces::Piece;
use super::{completion, state, words};
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
    pub(super) is_raw: bool,
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
        Some(divergence) if divergence.oracle == Oracle::Completion => {
            let at = divergence.op_index;
            let outcome = predicted[at].prediction.expected();
            completion::show(&mut body, divergence, sequence.ops[at], outcome);
        }
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
        let Some(got) = self.call_of(op) else {
            self.pieces.insert(Piece::Leave);
            self.statements.push(Statement::Leave(op.proc()));
            return;
        };
        let got = self.with_rights(op, got);
        let got = self.with_alternatives(got, prediction);
        let want = self.outcome(prediction.expected());
        let what = phrase(op, self.many);
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
}

/// Whether `oracle` looks at what an op does, and not at what it leaves behind.
pub(super) fn is_of_the_op(oracle: Oracle) -> bool {
    match oracle {
        Oracle::Outcome | Oracle::Protection | Oracle::Completion => true,
        Oracle::KernelLog
        | Oracle::Coherence
        | Oracle::Frames
        | Oracle::Accounting
        | Oracle::Teardown => false,
    }
}
