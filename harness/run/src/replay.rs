//! Runs stored sequences again, and holds them against what their comments expect.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use pinfold::capability::{Lack, lacking};
use pinfold::defects::Defects;
use pinfold::explain::{bills, explain};
use pinfold::oracle::{Divergence, Inconclusive};
use pinfold::profile::Profile;
use pinfold::signature::Signature;
use pinfold_contract::{Edge, Observe, Outcome, ParseError, SeqFile, decode, parse, printable};

use crate::artifact::is_artifact;
use crate::check::{Checked, Judgement, check_and_judge};
use crate::error::{Reach, RunError};
use crate::guest::in_full;
use crate::target::Target;

/// A `.seq` file that is none, with the line that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeqError {
    path: PathBuf,
    error: ParseError,
    line: String,
}

impl std::error::Error for SeqError {}

/// `FILE:LINE:COLUMN: message`, the line, and a caret below the place.
impl fmt::Display for SeqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ParseError { line, column, message } = &self.error;
        writeln!(f, "{}:{line}:{column}: {message}", self.path.display())?;
        let at = column.saturating_sub(1);
        // A file that is no text may be one line.
        let start = if at < SHOWN_CHARS_MAX { 0 } else { at - SHOWN_CHARS_MAX / 2 };
        let cut = |from: usize, to: usize| {
            let chars: String =
                self.line.chars().skip(from).take(to.saturating_sub(from)).collect();
            printable(&chars)
        };
        let (before, behind) = (cut(start, at), cut(at, start + SHOWN_CHARS_MAX));
        writeln!(f, "    {before}{behind}")?;
        // A tab stays a tab, so that the caret stands where the eye expects it.
        let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "    {indent}^")
    }
}

/// The most characters of a line that an error shows.
const SHOWN_CHARS_MAX: usize = 200;

/// `bytes` as text; a byte that is no UTF-8 is shown as its number.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let numbers = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
        text.extend(numbers);
    }
    text
}

/// Why a file gives no sequence.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It is no sequence.
    #[error(transparent)]
    Seq(#[from] SeqError),
}

/// Reads a `.seq` file strictly, and what libFuzzer left (`crash-...`) as its fuzz target did: that is never wrong.
///
/// # Errors
///
/// If it cannot be read, or a line of it is no op or expects nothing of some kernel.
pub fn read_seq(path: &Path) -> Result<SeqFile, ReadError> {
    read_counted(path).map(|(file, _)| file)
}

/// The same, and how many lines of what libFuzzer left are no op, and so are left out.
///
/// # Errors
///
/// As [`read_seq`].
pub fn read_counted(path: &Path) -> Result<(SeqFile, usize), ReadError> {
    let bytes =
        fs::read(path).map_err(|source| RunError::Read { path: path.to_owned(), source })?;
    // What is no UTF-8 is no op either: the parser says where.
    let text = readable(&bytes);
    let parsed = parse(&text);
    if parsed.is_err() && is_artifact(path) {
        let decoded = decode(&bytes);
        let expectations = vec![None; decoded.sequence.ops.len()];
        let file = SeqFile { sequence: decoded.sequence, expectations };
        return Ok((file, decoded.skipped_line_count));
    }
    parsed.map(|file| (file, 0)).map_err(|error| {
        let line = text.lines().nth(error.line.saturating_sub(1)).unwrap_or_default().to_owned();
        SeqError { path: path.to_owned(), error, line }.into()
    })
}

/// Whether an op-by-op account of the first run is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// No.
    Skip,
    /// Yes.
    Give,
}

/// How a sequence is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayOptions {
    /// How often.
    pub repeat: u32,
    /// When the state is looked at.
    pub observe: Observe,
    /// Whether to explain.
    pub account: Account,
}

/// What replaying a sequence gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed<'k> {
    /// One a run.
    pub judgements: Vec<Judgement<'k>>,
    /// What the divergence of the first run that has one goes on to.
    pub consequence: Option<(Signature, Divergence)>,
    /// Expectations that model or target do not meet; of each op and run the first.
    pub unmet: Vec<Unmet>,
    /// Ops of the first run that were skipped, since they had nothing to work on.
    pub skipped_op_count: usize,
    /// All ops.
    pub op_count: usize,
    /// What the file asks for and the target lacks.
    pub lacks: Vec<Lack>,
    /// What happened in the first run, op by op.
    pub account: Option<String>,
    /// Which ways the kernel went, of one that notes them: see [`Target::edges`].
    pub edges: BTreeSet<Edge>,
}

/// An expectation that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// Which op, from 0.
    pub op_index: usize,
    /// Who does not meet it: the model, or the target.
    pub by: Side,
    /// What was expected.
    pub expected: String,
    /// What there is.
    pub found: String,
}

/// One of the two that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The model.
    Model,
    /// The target.
    Target,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unmet { op_index, expected, found, .. } = self;
        match self.by {
            Side::Model => {
                write!(f, "op {op_index}: expected {expected}, but the model says {found}")
            }
            Side::Target => {
                write!(f, "op {op_index}: expected {expected}, but the target did {found}")
            }
        }
    }
}

/// What follows from a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplayConclusion {
    /// Nothing unexplained diverged, and every expectation was met.
    Clean,
    /// As [`Clean`](ReplayConclusion::Clean), but a file asks for what the target lacks: what it is about was not tried.
    Lacking,
    /// More than half of the runs could not be judged.
    Unsure,
    /// Something unexplained diverged, or an expectation was not met.
    Diverged,
}

impl Replayed<'_> {
    /// What follows from it.
    pub fn conclusion(&self) -> ReplayConclusion {
        self.counts().conclusion()
    }

    /// What it adds to what follows from several.
    pub fn counts(&self) -> ReplayCounts {
        let count = |wanted: fn(&Judgement<'_>) -> bool| {
            self.judgements.iter().filter(|judgement| wanted(judgement)).count()
        };
        let wrong = count(|judgement| matches!(judgement, Judgement::Diverges { .. }));
        ReplayCounts {
            runs: self.judgements.len(),
            unsure: count(|judgement| matches!(judgement, Judgement::Inconclusive { .. })),
            wrong: wrong + self.unmet.len(),
            lacking: usize::from(!self.lacks.is_empty()),
        }
    }

    /// Whether more than half of its ops were skipped.
    pub fn is_mostly_skipped(&self) -> bool {
        self.skipped_op_count * 2 > self.op_count
    }

    /// Whether model and target agree in each run. The file may still expect something else of both.
    pub fn agrees(&self) -> bool {
        self.judgements.iter().all(|judgement| *judgement == Judgement::Agrees)
    }
}

/// Runs of one sequence, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    /// All of them.
    pub runs: usize,
    /// Those that could not be judged.
    pub unsure: usize,
    /// Divergences that nothing explains, and expectations that were not met.
    pub wrong: usize,
    /// Sequences that ask for what the target lacks.
    pub lacking: usize,
}

impl ReplayCounts {
    /// Counts others in.
    pub fn add(&mut self, other: ReplayCounts) {
        self.runs += other.runs;
        self.unsure += other.unsure;
        self.wrong += other.wrong;
        self.lacking += other.lacking;
    }

    /// What follows from all of them.
    pub fn conclusion(self) -> ReplayConclusion {
        if self.wrong > 0 {
            ReplayConclusion::Diverged
        } else if self.unsure * 2 > self.runs {
            ReplayConclusion::Unsure
        } else if self.lacking > 0 {
            ReplayConclusion::Lacking
        } else {
            ReplayConclusion::Clean
        }
    }
}

/// Replays `file` on `target`.
///
/// # Errors
///
/// If the target fails for good.
pub fn replay<'k>(
    target: &mut Target,
    file: &SeqFile,
    options: &ReplayOptions,
    known: &'k Defects,
) -> Result<Replayed<'k>, RunError> {
    let sequence = &file.sequence;
    let mut replayed = Replayed {
        op_count: sequence.ops.len(),
        lacks: lacking(target.profile(), file),
        ..Replayed::default()
    };
    let mut is_first = true;
    for _ in 0..options.repeat.max(1) {
        let judged = once(target, file, options.observe, known);
        replayed.edges.extend(target.edges());
        let (checked, judgement, unmet) = match judged {
            Ok(judged) => judged,
            Err(error) => match error.reach() {
                Reach::Run => {
                    let reason = Inconclusive::TargetFailed { reason: in_full(&error) };
                    replayed.judgements.push(Judgement::Inconclusive { reason });
                    continue;
                }
                Reach::Target => return Err(error),
            },
        };
        if std::mem::take(&mut is_first) {
            let skipped = checked.trace.steps.iter().filter(|s| s.outcome == Outcome::Skipped);
            replayed.skipped_op_count = skipped.count();
        }
        for unmet in unmet {
            if !replayed.unmet.contains(&unmet) {
                replayed.unmet.push(unmet);
            }
        }
        if options.account == Account::Give && replayed.account.is_none() {
            let Checked { predicted, trace, verdict, .. } = &checked;
            replayed.account = Some(explain(sequence, predicted, trace, verdict));
        }
        replayed.consequence = replayed.consequence.or_else(|| checked.consequence(sequence));
        replayed.judgements.push(judgement);
    }
    Ok(replayed)
}

/// One run of `file`, what is to be said of it, and the expectations that it does not meet.
///
/// A bill is drawn up only where the state was looked at before and after. So what is not met by a look at the end alone
/// is looked at op by op.
fn once<'k>(
    target: &mut Target,
    file: &SeqFile,
    observe: Observe,
    known: &'k Defects,
) -> Result<(Checked, Judgement<'k>, Vec<Unmet>), RunError> {
    let (checked, judgement) = check_and_judge(target, &file.sequence, observe, known)?;
    let first = unmet(file, &checked, target.profile());
    if first.is_empty() || checked.observe == Observe::Each {
        return Ok((checked, judgement, first));
    }
    match check_and_judge(target, &file.sequence, Observe::Each, known) {
        Ok((checked, judgement)) => {
            let unmet = unmet(file, &checked, target.profile());
            Ok((checked, judgement, unmet))
        }
        Err(error) => match error.reach() {
            Reach::Run => Ok((checked, judgement, first)),
            Reach::Target => Err(error),
        },
    }
}

/// The expectations of `file` for a kernel with the rules of `profile` that `checked` does not meet.
///
/// Where the model allows several outcomes, it meets an expectation that names any of them.
fn unmet(file: &SeqFile, checked: &Checked, profile: &Profile) -> Vec<Unmet> {
    let (series, platform) = (profile.series, profile.platform.name());
    let mut unmet = Vec::new();
    for (op_index, expectation) in file.expectations.iter().enumerate() {
        let expected = expectation.as_ref().and_then(|e| e.on(series, platform));
        let Some(expected) = expected else { continue };
        let mut hold = |by, found: String| {
            if !have_one_in_common(expected, &found) {
                unmet.push(Unmet { op_index, by, expected: expected.to_owned(), found });
            }
        };
        hold(Side::Model, checked.predicted[op_index].prediction.to_string());
        if let Some(step) = checked.trace.steps.get(op_index) {
            hold(Side::Target, step.outcome.to_string());
        }
    }
    unmet.extend(unmet_bills(file, checked, profile));
    unmet
}

/// The bills that `file` expects for a kernel with the rules of `profile`, and that came to something else or were not drawn up:
/// the state has to be looked at before the registration and after it.
fn unmet_bills(file: &SeqFile, checked: &Checked, profile: &Profile) -> Vec<Unmet> {
    let Checked { predicted, trace, .. } = checked;
    let bills = bills(&file.sequence, predicted, trace);
    let mut unmet = Vec::new();
    for (op_index, expectation) in file.expectations.iter().enumerate() {
        let cases = expectation.as_ref().and_then(|e| e.bill.as_ref());
        let Some(expected) = cases.map(|cases| cases.on(profile.series, profile.platform.name()))
        else {
            continue;
        };
        let bill = bills.iter().find(|bill| bill.op_index == op_index);
        let costs = [
            (Side::Model, bill.and_then(|b| b.model)),
            (Side::Target, bill.and_then(|b| b.target)),
        ];
        for (by, cost) in costs {
            let found = cost.map_or_else(|| "no bill".to_owned(), |cost| cost.in_short());
            if found != expected {
                unmet.push(Unmet { op_index, by, expected: expected.to_owned(), found });
            }
        }
    }
    unmet
}

/// Whether two texts, each of alternatives with ` or ` between them, share one.
fn have_one_in_common(one: &str, other: &str) -> bool {
    one.split(" or ").any(|ours| other.split(" or ").any(|theirs| ours == theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conclusion(runs: usize, unsure: usize, wrong: usize) -> ReplayConclusion {
        let mut counts = ReplayCounts::default();
        counts.add(ReplayCounts { runs, unsure, ..ReplayCounts::default() });
        counts.add(ReplayCounts { wrong, ..ReplayCounts::default() });
        counts.conclusion()
    }

    #[test]
    fn more_than_half_of_all_runs_have_to_be_unsure() {
        assert_eq!(conclusion(4, 2, 0), ReplayConclusion::Clean);
        assert_eq!(conclusion(4, 3, 0), ReplayConclusion::Unsure);
        assert_eq!(conclusion(1, 1, 0), ReplayConclusion::Unsure);
    }

    #[test]
    fn what_the_target_lacks_counts_for_less_than_what_could_not_be_judged() {
        let of = |unsure, lacking| {
            ReplayCounts { runs: 2, unsure, lacking, ..ReplayCounts::default() }.conclusion()
        };
        assert_eq!((of(0, 1), of(2, 1)), (ReplayConclusion::Lacking, ReplayConclusion::Unsure));
    }

    #[test]
    fn one_divergence_counts_for_more_than_all_that_is_unsure() {
        assert_eq!(conclusion(4, 3, 1), ReplayConclusion::Diverged);
    }
}
