//! What the jobs of a run write down together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pinfold::features::features;
use pinfold::oracle::Inconclusive;
use pinfold::patch::Ledger;
use pinfold::profile::Profile;
use pinfold::signature::Signature;
use pinfold::tally::Tally;
use pinfold_contract::{Edge, Sequence};

use super::{Event, Found, FuzzOptions, Progress};
use crate::bundle::{Bundle, replace};
use crate::check::{Checked, Judgement};
use crate::error::RunError;
use crate::reached::Reached;
use crate::summary::{Coverage, FoundSignature, Summary};
use crate::target::Prepared;

/// Of how many sequences it is told why they could not be judged; the rest is only counted.
const INCONCLUSIVE_TOLD_MAX: u32 = 10;

/// Where the lines are that ran, of a kernel that notes its blocks, below the folder of a run.
const LCOV: &str = "kernel.lcov";

/// Counts, findings and failures of a run.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    job_ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running_count: usize,
    kernel: Option<String>,
    rules: Option<String>,
    tally: Tally,
    ledger: Ledger,
    /// Time spent on findings.
    pursued: Duration,
    signatures: BTreeMap<Signature, Record>,
    news: Vec<Event>,
    told_inconclusive_count: u32,
    failure: Option<RunError>,
    reached: Option<Reached>,
}

/// What is remembered of one signature.
#[derive(Debug)]
struct Record {
    summary: FoundSignature,
    /// Bundles that were begun in this run.
    bundle_count: u32,
}

/// Held by a job while it runs; the board counts it out when it is dropped, even by a panic.
#[derive(Debug)]
pub(super) struct Presence<'a>(&'a Board);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.lock().running_count -= 1;
        self.0.job_ended.notify_all();
    }
}

impl Board {
    /// Counts a job in, before its thread is there.
    pub(super) fn job_begins(&self) {
        self.lock().running_count += 1;
    }

    /// Counts the job out again when it is dropped.
    pub(super) fn presence(&self) -> Presence<'_> {
        Presence(self)
    }

    /// What sequences reach in the kernel is to be kept.
    pub(super) fn keep_what_is_reached(&self, reached: Reached) {
        self.lock().reached = Some(reached);
    }

    /// Notes what `sequence` reached, in a kernel of `profile`.
    pub(super) fn reach(
        &self,
        edges: &[Edge],
        profile: &Profile,
        sequence: &Sequence,
    ) -> Result<(), RunError> {
        let mut state = self.lock();
        let Some(reached) = &mut state.reached else { return Ok(()) };
        reached.note(edges, features(profile, sequence))
    }

    /// A target is up.
    pub(super) fn up(&self, kernel_release: &str, rules: &str, series: &str) {
        let mut state = self.lock();
        state.tally.series.insert(series.to_owned());
        state.kernel.get_or_insert_with(|| kernel_release.to_owned());
        state.rules.get_or_insert_with(|| rules.to_owned());
    }

    /// Counts requests for on-demand paging that a sequence is not given.
    pub(super) fn left_out(&self, on_demand: u64) {
        if on_demand > 0 {
            self.lock().tally.on_demand_left_out += on_demand;
        }
    }

    /// A job failed for good. The first failure is the one that is told.
    pub(super) fn fail(&self, error: RunError) {
        self.lock().failure.get_or_insert(error);
    }

    /// Counts a sequence without a trace.
    pub(super) fn record_inconclusive(&self, index: u64, reason: &Inconclusive) {
        self.lock().tally.record_inconclusive(reason);
        self.tell_inconclusive(index, reason);
    }

    /// Has the observer told why sequence `index` could not be judged, if not too many were told before.
    pub(super) fn tell_inconclusive(&self, index: u64, reason: &Inconclusive) {
        let mut state = self.lock();
        if state.told_inconclusive_count < INCONCLUSIVE_TOLD_MAX {
            state.told_inconclusive_count += 1;
            state.news.push(Event::Inconclusive { index, reason: reason.to_string() });
        }
    }

    /// Counts one sequence.
    pub(super) fn record(&self, sequence: &Sequence, checked: &Checked, judgement: &Judgement<'_>) {
        let known = match judgement {
            Judgement::Known { signature, standing, .. } => Some((signature, *standing)),
            Judgement::Agrees | Judgement::Diverges { .. } | Judgement::Inconclusive { .. } => None,
        };
        let mut board = self.lock();
        board.tally.record_predicted(sequence, &checked.predicted, &checked.trace);
        board.tally.record(sequence, &checked.trace, &checked.verdict, known);
    }

    /// Enters what the registrations of a sequence cost.
    pub(super) fn enter(&self, index: u64, sequence: &Sequence, checked: &Checked) {
        let Checked { predicted, trace, .. } = checked;
        self.lock().ledger.record(index, sequence, predicted, trace);
    }

    /// Counts `time` as spent on findings.
    pub(super) fn spend(&self, time: Duration) {
        self.lock().pursued += time;
    }

    /// Whether something diverged that nothing explains, and fewer sequences were run in `elapsed` than it has seconds.
    pub(super) fn has_diverged_slowly(&self, elapsed: Duration) -> bool {
        let state = self.lock();
        state.tally.diverges > 0 && state.tally.sequences < elapsed.as_secs()
    }

    /// Time spent on findings so far.
    pub(super) fn pursued(&self) -> Duration {
        self.lock().pursued
    }

    /// Counts a divergence under its signature; whether another bundle of it is wanted, of which there are to be
    /// `bundles_max`.
    pub(super) fn wants_bundle(&self, first: FoundSignature, bundles_max: u32) -> bool {
        let mut state = self.lock();
        let record = state
            .signatures
            .entry(first.signature.clone())
            .or_insert(Record { summary: FoundSignature { count: 0, ..first }, bundle_count: 0 });
        record.summary.count += 1;
        let is_wanted = record.bundle_count < bundles_max;
        record.bundle_count += u32::from(is_wanted);
        is_wanted
    }

    /// Notes what `bundle` says now, if it is the first or the shortest of its signature.
    pub(super) fn note(&self, bundle: &Bundle) {
        let finding = bundle.finding();
        let mut state = self.lock();
        let Some(record) = state.signatures.get_mut(&finding.signature) else { return };
        let summary = &mut record.summary;
        let is_first = record.bundle_count <= 1;
        let is_shown = summary.dir == bundle.folder();
        if is_first || is_shown || finding.op_count < summary.op_count {
            summary.op_count = finding.op_count;
            summary.dir = bundle.folder().to_owned();
            summary.reliability = finding.reliability;
            summary.minimal = finding.minimal;
        }
    }

    /// The unexplained findings, by [`FoundSignature::rank`].
    pub(super) fn unexplained(&self) -> Vec<FoundSignature> {
        let state = self.lock();
        let all = state.signatures.values().map(|record| &record.summary);
        let mut found: Vec<_> = all.filter(|found| found.known.is_none()).cloned().collect();
        found.sort_by_key(FoundSignature::rank);
        found
    }

    /// Notes that `signature` has probably the cause of `other`.
    pub(super) fn has_cause_of(&self, signature: &Signature, other: &Signature) {
        if let Some(record) = self.lock().signatures.get_mut(signature) {
            record.summary.same_cause_as = Some(other.clone());
        }
    }

    /// Has the observer told of a finding.
    pub(super) fn tell(&self, found: Found) {
        self.lock().news.push(Event::Found(found));
    }

    /// What is to be told since the last call.
    pub(super) fn take_news(&self) -> Vec<Event> {
        std::mem::take(&mut self.lock().news)
    }

    /// `uname -r` of the first target that came up.
    pub(super) fn kernel(&self) -> Option<(String, String)> {
        let state = self.lock();
        Some((state.kernel.clone()?, state.rules.clone()?))
    }

    /// Waits until the last job ended, but not longer than `timeout`; whether it did.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let state = self.lock();
        let waited =
            self.job_ended.wait_timeout_while(state, timeout, |state| state.running_count > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.running_count == 0
    }

    pub(super) fn progress(&self, elapsed: Duration) -> Progress {
        let state = self.lock();
        Progress {
            sequences: state.tally.sequences,
            ops: state.tally.ops,
            diverges: state.tally.diverges,
            known: state.tally.known_count(),
            presumed: state.tally.presumed_count(),
            inconclusive: state.tally.inconclusive_count(),
            signatures: state.signatures.len(),
            elapsed,
        }
    }

    /// The summary, and why the run ended before its time, if it did.
    pub(super) fn finish(
        &self,
        prepared: &Prepared,
        options: &FuzzOptions,
        seconds: f64,
    ) -> (Summary, Option<RunError>) {
        let mut state = std::mem::take(&mut *self.lock());
        if let Some(reached) = &state.reached
            && let Err(error) = replace(&options.out.join(LCOV), reached.lcov().as_bytes())
        {
            state.failure.get_or_insert(error);
        }
        let summary = Summary {
            schema: 1,
            target: prepared.name().to_string(),
            kernel: state.kernel.unwrap_or_default(),
            rules: state.rules.unwrap_or_default(),
            sequences: state.tally.sequences,
            ops: state.tally.ops,
            agrees: state.tally.agrees,
            diverges: state.tally.diverges,
            inconclusive: state.tally.inconclusive_count(),
            known: state.tally.known_count(),
            presumed: state.tally.presumed_count(),
            seconds: (seconds * 1000.0).round() / 1000.0,
            rng_seed: options.rng_seed,
            coverage: Coverage {
                kernel: state.reached.as_ref().map(Reached::count),
                ..Coverage::of(&state.tally)
            },
            findings: state.signatures.into_values().map(|record| record.summary).collect(),
            tally: state.tally,
            ledger: state.ledger,
            pursued: state.pursued,
        };
        (summary, state.failure)
    }

    /// A job that panicked leaves counts that are still true.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry of a signature that is seen for the first time.
pub(super) fn first_of(
    signature: &Signature,
    lead: &super::pursue::Lead,
    op_count: usize,
    dir: PathBuf,
) -> FoundSignature {
    FoundSignature {
        signature: signature.clone(),
        oracle: lead.divergence.oracle,
        op_count,
        dir,
        count: 1,
        reliability: None,
        known: lead.known.clone(),
        presumed: lead.presumed.clone(),
        minimal: None,
        same_cause_as: None,
    }
}
