//! What the model says of one op.

use std::fmt;

use pinfold_contract::{
    Access, ByteRange, Checkpoint, Errno, Mr, OpKind, Outcome, Proc, Runs, WcStatus,
};

/// The outcomes that a right kernel may give, the likeliest first. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    expected: Outcome,
    others: Vec<Outcome>,
    after: After,
}

/// What the state after an op holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Every outcome that is allowed.
    Any,
    /// The expected outcome alone: with another one the comparison ends.
    Expected,
    /// No outcome: what the op left behind depends on the order in which packets moved, or on what
    /// reclaim found first.
    Nothing,
}

impl Prediction {
    /// Only `outcome` is right.
    pub fn only(outcome: Outcome) -> Prediction {
        Prediction::any_of(outcome, Vec::new())
    }

    /// `expected` is right and so is each of `others`, and all leave the same
    /// state behind: which of two bad arguments is complained of first is not a bug.
    pub fn any_of(expected: Outcome, others: Vec<Outcome>) -> Prediction {
        Prediction { expected, others, after: After::Any }
    }

    /// `expected` is right and so is each of `others`, but these leave a state
    /// that the model does not follow.
    pub fn rather(expected: Outcome, others: Vec<Outcome>) -> Prediction {
        Prediction { expected, others, after: After::Expected }
    }

    /// `expected` is right and so is each of `others`, but the model follows none: with the
    /// outcome the comparison ends.
    pub fn unordered(expected: Outcome, others: Vec<Outcome>) -> Prediction {
        Prediction { expected, others, after: After::Nothing }
    }

    /// The same outcomes, and of a registration those of a limit that may be reached or not, but the model
    /// follows none.
    pub(super) fn unfollowed(self, kind: OpKind) -> Prediction {
        let limit = [Outcome::Done, Outcome::Errno(Errno::ENOMEM)].into_iter();
        let limit = limit.filter(|outcome| kind == OpKind::Reg && !self.allows(outcome));
        let limit = limit.collect::<Vec<_>>();
        let others = self.others.into_iter().chain(limit).collect();
        Prediction { expected: self.expected, others, after: After::Nothing }
    }

    /// Whether the model's state after the op is the one that `outcome` leaves behind.
    pub fn follows(&self, outcome: &Outcome) -> bool {
        match self.after {
            After::Any => true,
            After::Expected => self.expected == *outcome,
            After::Nothing => false,
        }
    }

    /// Whether `outcome` is wrong, but leaves behind the state that was predicted: a work request that was refused,
    /// as it should be, with the status of one that was never begun. The comparison can go on after it.
    pub fn outlives(&self, outcome: &Outcome) -> bool {
        self.after == After::Any
            && !self.allows(outcome)
            && refused(&self.expected)
            && flushed(outcome, &self.expected)
    }

    /// Whether a right kernel may give `outcome`.
    pub fn allows(&self, outcome: &Outcome) -> bool {
        self.expected == *outcome || self.others.contains(outcome)
    }

    /// What else is right.
    pub fn others(&self) -> &[Outcome] {
        &self.others
    }

    /// The likeliest.
    pub fn expected(&self) -> &Outcome {
        &self.expected
    }
}

/// Whether the work request of the requester failed.
fn refused(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Completion(status) => *status != WcStatus::SUCCESS,
        Outcome::Completions { requester, .. } => *requester != WcStatus::SUCCESS,
        Outcome::Done
        | Outcome::Value(_)
        | Outcome::Errno(_)
        | Outcome::Fault { .. }
        | Outcome::Skipped => false,
    }
}

/// Whether `outcome` is `expected` but for a requester that was flushed.
fn flushed(outcome: &Outcome, expected: &Outcome) -> bool {
    let flush = WcStatus::WR_FLUSH_ERR;
    if let Outcome::Completions { responder, .. } = expected {
        return *outcome == Outcome::Completions { requester: flush, responder: *responder };
    }
    *outcome == Outcome::Completion(flush)
}

/// `EFAULT`, or `EFAULT or EINVAL`.
impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expected)?;
        self.others.iter().try_for_each(|other| write!(f, " or {other}"))
    }
}

/// What the model says of one op and of the state after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictedStep {
    /// What it may do.
    pub prediction: Prediction,
    /// The state after it, where it is looked at. Frames have the model's names.
    pub checkpoint: Option<Checkpoint>,
    /// Present pages of the checkpoint whose mapping permits writing but not
    /// reading. Whether a load works there is the processor's choice.
    pub write_only: Vec<(Proc, u8)>,
    /// Frames of the checkpoint that the op may as well have copied.
    pub copied_perhaps: Vec<u64>,
    /// Frames that the op copied on a write or for a pin, each with its copy. The original is in use
    /// until the copy is there, so they are two page frames, even if nobody has the original any more.
    ///
    /// Source: `wp_page_copy()`, mm/memory.c, 6.1 and 6.12.
    pub copies: Vec<(u64, u64)>,
    /// Whether the memory cgroup of the registrations reaches its limit: the kernel says so in its log.
    pub limit_reached: bool,
    /// Whether an MR that may be written holds the zero page, which every process of the machine shows: no right kernel
    /// lets it, but the rules of some designs do.
    pub zero_page_exposed: bool,
    /// What each live MR of the checkpoint holds, by ascending slot. No kernel
    /// tells this, so no oracle compares it: it is for those who explain.
    pub held: Vec<Held>,
}

/// What one live MR holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which MR.
    pub mr: Mr,
    /// The memory it was registered over.
    pub range: ByteRange,
    /// Its rights.
    pub access: Access,
    /// The frames it pins, one a page of the range, small or huge.
    pub frames: Vec<HeldFrame>,
}

/// One frame that an MR pins, whoever else has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFrame {
    /// Its name, as in a checkpoint of the model.
    pub frame: u64,
    /// Whether it is a page of a file or of shared anonymous memory.
    pub file_or_shared: bool,
    /// All its bytes.
    pub bytes: Runs,
}
