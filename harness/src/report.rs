//! What a person reads of a run: an HTML page and a Markdown text.
//!
//! Pure: a [`RunReport`] holds what was read of a run's folder, [`html`] and
//! [`markdown`] say it. The page needs nothing but itself: no network, no
//! script, no file beside it. What the kernel or a file says is data, and is
//! escaped wherever it stands.

mod comparison;
mod facts;
mod finding_page;
mod markdown;
mod page;
mod picture;
mod tables;
mod timeline;
mod words;

pub use markdown::markdown;
pub use page::html;

use std::collections::BTreeMap;

use pinfold_contract::{Observe, OpKind, Sequence, Trace};

use crate::defects::known_word;
use crate::model::{PredictedStep, predict};
use crate::oracle::{Divergence, Verdict};
use crate::profile::Profile;
use crate::signature::Signature;
use crate::tally::KindTally;

/// Everything there is to say of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunReport {
    /// The version of Pinfold that makes this report.
    pub tool: String,
    /// Where the run is, as the reader names it.
    pub place: String,
    /// The target.
    pub target: String,
    /// `uname -r` of its kernel.
    pub kernel: String,
    /// What the run counted; none if it was interrupted or still goes on.
    pub run: Option<RunNumbers>,
    /// One a signature, the unexplained first.
    pub findings: Vec<FindingReport>,
    /// What could not be read, and why.
    pub unreadable: Vec<String>,
    /// What is said before all of this, if the run was part of something larger.
    pub preface: Option<Preface>,
}

/// What a run was made for, and what came of that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preface {
    /// In one line.
    pub title: String,
    /// In a few.
    pub lines: Vec<String>,
    /// Title, header and rows of each table.
    pub tables: Vec<(String, Vec<String>, Vec<Vec<String>>)>,
}

/// What a run counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunNumbers {
    /// Whose rules the kernel was held to.
    pub rules: String,
    /// Repeats the run.
    pub rng_seed: u64,
    /// Time spent fuzzing.
    pub seconds: f64,
    /// Sequences run.
    pub sequences: u64,
    /// Ops that came to an end.
    pub ops: u64,
    /// Sequences in which the target did what the model allows.
    pub agrees: u64,
    /// Sequences with a divergence that nothing explains.
    pub diverges: u64,
    /// Sequences with a divergence that the known list explains.
    pub known: u64,
    /// Those of them whose entry is only presumed to hold for this kernel.
    pub presumed: u64,
    /// Sequences that could not be judged, by reason.
    pub inconclusive: BTreeMap<String, u64>,
    /// Ops of a sequence that were not skipped, in the median.
    pub executed_ops_median: u64,
    /// The vacuity table.
    pub kinds: BTreeMap<OpKind, KindTally>,
    /// How many of the refusals that the model knows were seen.
    pub refusals_seen: usize,
    /// The others, each with the reason, if there is one.
    pub never_seen: Vec<(String, Option<String>)>,
}

impl KnownNote {
    /// `known`, and whether it is only presumed.
    fn word(&self) -> String {
        known_word(self.presumed.as_deref())
    }
}

impl RunNumbers {
    /// Sequences that could not be judged.
    pub fn inconclusive_count(&self) -> u64 {
        self.inconclusive.values().sum()
    }

    /// How much was seen of the refusals that the model knows, in a sentence.
    fn refusals_sentence(&self) -> String {
        let (seen, never) = (self.refusals_seen, self.never_seen.len());
        format!("Refusals that the model knows: {seen} seen, {never} not seen.")
    }

    /// `count` a second.
    fn rate(&self, count: u64) -> String {
        if self.seconds <= 0.0 {
            return "-".to_owned();
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
        let rate = count as f64 / self.seconds;
        if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
    }
}

/// Everything there is to say of one signature.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingReport {
    /// Its name.
    pub signature: Signature,
    /// Sequences of the run that showed it, if the run counted them.
    pub count: Option<u64>,
    /// The bundle shown.
    pub place: String,
    /// The other bundles of this signature, by number.
    pub others: Vec<String>,
    /// What else the bundle holds.
    pub files: Vec<String>,
    /// The target.
    pub target: String,
    /// `uname -r` of its kernel.
    pub kernel: String,
    /// The version of Pinfold that found it.
    pub tool: String,
    /// When the state was looked at: `each` or `end`.
    pub observe: String,
    /// The rng seed of the run.
    pub rng_seed: u64,
    /// Which sequence of that rng seed it is.
    pub index: u64,
    /// How many of how many repetitions diverged again in the same way.
    pub reliability: Option<(u32, u32)>,
    /// Whether no op can go; unknown while it was not minimized.
    pub minimal: Option<bool>,
    /// The entry of the known list that explains it.
    pub known: Option<KnownNote>,
    /// The command line that repeats it.
    pub repeat: String,
    /// Where and how the first run diverged.
    pub recorded: Divergence,
    /// What both sides did, if the bundle has the trace.
    pub evidence: Option<Evidence>,
    /// The account in text, for when it has not.
    pub account: String,
}

/// Why a divergence is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNote {
    /// What it is.
    pub title: String,
    /// Why that is only presumed on this kernel; none if it was verified.
    pub presumed: Option<String>,
    /// Where in the kernel it comes from; empty if this version's list does not have it.
    pub source: String,
    /// The page that explains it, a path from the root of the repository; likewise.
    pub report: String,
}

/// What both sides did with one sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The sequence.
    pub sequence: Sequence,
    /// What the model says of it.
    pub predicted: Vec<PredictedStep>,
    /// What the target did.
    pub trace: Trace,
    /// Where they part. None if this version's model does not see it.
    pub divergence: Option<Divergence>,
}

impl Evidence {
    /// Asks the model for its side, as often as the target was looked at, and compares again, for what is called
    /// `signature`.
    pub fn of(
        profile: &Profile,
        sequence: Sequence,
        trace: Trace,
        signature: &Signature,
    ) -> Evidence {
        let looked_at = trace.steps.iter().filter(|step| step.checkpoint.is_some()).count();
        let observe = if looked_at > 1 { Observe::Each } else { observe_of(&sequence, &trace) };
        let predicted = predict(profile, &sequence, observe);
        let divergence = match signature.judge(&sequence, &predicted, &trace) {
            Verdict::Diverges(divergence) => Some(divergence),
            Verdict::Agrees | Verdict::Inconclusive { .. } => None,
        };
        Evidence { sequence, predicted, trace, divergence }
    }
}

/// When the state was looked at in a trace with one look or none.
fn observe_of(sequence: &Sequence, trace: &Trace) -> Observe {
    let last = sequence.ops.len().saturating_sub(1);
    match trace.steps.iter().position(|step| step.checkpoint.is_some()) {
        Some(op_index) if op_index < last => Observe::Each,
        Some(_) => Observe::End,
        None if trace.steps.is_empty() => Observe::Each,
        None => Observe::End,
    }
}

impl FindingReport {
    /// Where both sides part: as compared now, else as recorded.
    fn divergence(&self) -> &Divergence {
        self.evidence.as_ref().and_then(|e| e.divergence.as_ref()).unwrap_or(&self.recorded)
    }

    /// In plain words.
    fn title(&self) -> String {
        let divergence = self.divergence();
        let Some(evidence) = &self.evidence else {
            return words::title(None, divergence, None);
        };
        let op = evidence.sequence.ops.get(divergence.op_index).map(|op| op.kind());
        let comparison = comparison::compare(evidence, divergence.op_index);
        let facts = facts::facts(evidence, &comparison, divergence.op_index);
        words::title(op, divergence, facts.first().map(String::as_str))
    }
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Model,
    Target,
}

impl Side {
    const BOTH: [Side; 2] = [Side::Model, Side::Target];

    fn name(self) -> &'static str {
        match self {
            Side::Model => "model",
            Side::Target => "kernel",
        }
    }
}

/// What both sides have of one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pair<T> {
    model: T,
    target: T,
}

impl<T> Pair<T> {
    fn of(&self, side: Side) -> &T {
        match side {
            Side::Model => &self.model,
            Side::Target => &self.target,
        }
    }
}

/// `text` with what a terminal would act on made visible: it may come from a broken kernel.
fn visible(text: &str) -> String {
    let shown = |c: char| {
        if c == '\n' || c == '\t' {
            c
        } else if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) || is_direction(c) {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// Characters that turn text around, so that it reads as another.
fn is_direction(c: char) -> bool {
    ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[cfg(test)]
mod tests;
