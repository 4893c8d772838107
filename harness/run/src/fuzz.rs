//! A fuzzing run: sequences from one rng seed, on several targets at once, with every finding on disk at once.

mod board;
mod pursue;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use pinfold::defects::Defects;
use pinfold::designs::asked_of;
use pinfold::generate::Generator;
use pinfold::on_demand::without_on_demand;
use pinfold::oracle::Inconclusive;
use pinfold::profile::Profile;
use pinfold::spare::spared;
use pinfold_contract::{Observe, Sequence};

use crate::bundle::replace;
use crate::check::{Judgement, SHORT_OPS_MAX, check_and_judge};
use crate::cpu;
use crate::error::{Reach, RunError};
use crate::guest::in_full;
use crate::local::LocalError;
use crate::reached::Reached;
use crate::summary::Summary;
use crate::target::{Prepared, Target};
use board::Board;

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So long, without build and boot.
    Time(Duration),
    /// So many sequences.
    Sequences(u64),
}

/// When the state is looked at in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Always so.
    Always(Observe),
    /// After the last op, and in every eighth sequence after each: a page that moves to another frame shows only to
    /// those who look twice.
    Sampled,
    /// After each op of a sequence of at most 64 ops, after the last op of a longer one: hundreds of looks at hundreds
    /// of regions take longer than all else.
    EachIfShort,
}

impl Looks {
    /// When the state is looked at in sequence `index`, which has so many ops.
    fn at(self, index: u64, op_count: usize) -> Observe {
        match self {
            Looks::Always(observe) => observe,
            Looks::EachIfShort if op_count <= SHORT_OPS_MAX => Observe::Each,
            Looks::EachIfShort => Observe::End,
            Looks::Sampled if index.is_multiple_of(8) => Observe::Each,
            Looks::Sampled => Observe::End,
        }
    }
}

/// What a run is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuzzOptions {
    /// How long.
    pub budget: Budget,
    /// Which sequences: sequence `i` is the generator's, whatever the number of jobs.
    pub rng_seed: u64,
    /// How many targets at once.
    pub jobs: NonZeroUsize,
    /// Where findings and summary go.
    pub out: PathBuf,
    /// When the state is looked at, as long as nothing diverges.
    pub observe: Looks,
    /// Most bundles kept of one signature; what comes after is counted.
    pub bundles_max: u32,
    /// What is known.
    pub known: Defects,
    /// What is unusual about it.
    pub special: Special,
}

/// What a run may do that others do not. By default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Special {
    /// These sequences, one after the other, in the place of random ones.
    pub given: Option<Arc<[Sequence]>>,
    /// The CPUs that the targets are pinned to, in turn; `None` is all that this process may use.
    pub cpus: Option<Vec<usize>>,
    /// Whether the summary says what each registration cost of whose sequence the state was looked at after each op.
    pub ledger: LedgerUse,
    /// From when on a run is long enough that has found something unexplained, and that takes a second or more for each
    /// sequence: its kernel hangs or dies. `None` is never.
    pub enough_after: Option<Duration>,
    /// Whether findings without a minimal sequence are grouped by their cause at the end.
    pub causes: Causes,
    /// How long findings are repeated and minimized, all together. `None` is as long as each takes.
    pub pursue_for: Option<Duration>,
}

/// Whether findings without a minimal sequence are listed below one with a minimal sequence and probably the same cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Causes {
    /// Yes.
    #[default]
    Grouped,
    /// No: the caller groups them.
    Apart,
}

/// Whether what registrations cost is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LedgerUse {
    /// No.
    #[default]
    Skip,
    /// Yes.
    Keep,
}

/// Bundles of one signature that are usually enough.
pub const BUNDLES_MAX_DEFAULT: u32 = 10;

/// What is told while a run goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// All targets are up, and the time runs.
    Up {
        /// `uname -r` of the first.
        kernel: String,
        /// Whose rules it is held to: see [`Target::rules`].
        rules: String,
    },
    /// A finding has a bundle, repeated and minimized.
    Found(Found),
    /// A sequence could not be judged. Told for the first few.
    Inconclusive {
        /// Which sequence.
        index: u64,
        /// Why.
        reason: String,
    },
    /// So far. Several times a second.
    Progress(Progress),
}

/// A finding with a bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// In one line.
    pub what: String,
    /// Its bundle.
    pub dir: PathBuf,
    /// Ops of its minimized sequence.
    pub op_count: usize,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Sequences run.
    pub sequences: u64,
    /// Ops that came to an end.
    pub ops: u64,
    /// Sequences with an unexplained divergence.
    pub diverges: u64,
    /// Sequences with a known one.
    pub known: u64,
    /// Those of them whose entry is only presumed to hold for this kernel.
    pub presumed: u64,
    /// Sequences that could not be judged.
    pub inconclusive: u64,
    /// Signatures seen.
    pub signatures: usize,
    /// Time spent fuzzing.
    pub elapsed: Duration,
}

/// How often [`Event::Progress`] comes.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Fuzzes until the budget is used up or `stop` is set. Tells `observer` from the calling thread.
///
/// What was found until then is in the summary, which is also written to `OUT/summary.json`.
///
/// # Errors
///
/// If a target fails for good or `OUT` cannot be written. Findings made before stay on disk, and so does a summary.
pub fn fuzz(
    prepared: &Prepared,
    options: &FuzzOptions,
    stop: &Arc<AtomicBool>,
    observer: &mut dyn FnMut(Event),
) -> Result<Summary, RunError> {
    if prepared.is_one_kernel() && options.jobs.get() > 1 {
        return Err(LocalError::Jobs.into());
    }
    // Now, not at the first finding: hours may lie between.
    let path = options.out.join("summary.json");
    std::fs::create_dir_all(&options.out)
        .map_err(|source| RunError::Write { path: options.out.clone(), source })?;
    let run = Run {
        prepared,
        options,
        stop,
        halt: AtomicBool::new(false),
        next_index: AtomicU64::new(0),
        working: AtomicUsize::new(options.jobs.get()),
        gate: Barrier::new(options.jobs.get()),
        started: OnceLock::new(),
        board: Board::default(),
    };
    if prepared.notes_blocks()
        && let Some(parts) = prepared.parts()
    {
        let table = options.out.join("reached.csv");
        run.board.keep_what_is_reached(Reached::new(&parts.image, &table)?);
    }
    let cpus = options.special.cpus.clone().unwrap_or_else(cpu::allowed);
    thread::scope(|scope| {
        for job in 0..options.jobs.get() {
            let cpu = (!cpus.is_empty()).then(|| cpus[job % cpus.len()]);
            let run = &run;
            run.board.job_begins();
            scope.spawn(move || run.job(cpu));
        }
        run.observe(observer);
    });
    let seconds = run.started.get().map_or(0.0, |started| started.elapsed().as_secs_f64());
    let (summary, failure) = run.board.finish(prepared, options, seconds);
    let text = serde_json::to_string_pretty(&summary).expect("strings and numbers serialize");
    replace(&path, (text + "\n").as_bytes())?;
    match failure {
        None => Ok(summary),
        Some(error) => Err(error),
    }
}

/// What the jobs of one run share.
struct Run<'a> {
    prepared: &'a Prepared,
    options: &'a FuzzOptions,
    /// The user's wish.
    stop: &'a Arc<AtomicBool>,
    /// Set when a job failed for good.
    halt: AtomicBool,
    next_index: AtomicU64,
    /// Jobs that have not ended their work.
    working: AtomicUsize,
    gate: Barrier,
    started: OnceLock<Instant>,
    board: Board,
}

impl Run<'_> {
    /// One job, from boot to end. However it ends, the board knows.
    fn job(&self, cpu: Option<usize>) {
        let _presence = self.board.presence();
        let opened = self.prepared.open(cpu, Arc::clone(self.stop));
        if let Ok(target) = &opened {
            let series = target.profile().series.to_string();
            self.board.up(target.kernel_release(), target.rules(), &series);
        }
        // A job that failed comes to the gate as well, or the others would wait for ever.
        self.gate.wait();
        self.started.get_or_init(Instant::now);
        let result = opened.and_then(|mut target| {
            let worked = self.work(&mut target);
            let is_last = self.working.fetch_sub(1, Ordering::Relaxed) == 1;
            worked.and_then(|()| if is_last { self.group_by_cause(&mut target) } else { Ok(()) })
        });
        match result {
            Ok(()) | Err(RunError::Interrupted) => {}
            Err(error) => {
                self.halt.store(true, Ordering::Relaxed);
                self.board.fail(error);
            }
        }
    }

    fn work(&self, target: &mut Target) -> Result<(), RunError> {
        let generator = Generator::new(self.options.rng_seed);
        while let Some(index) = self.claim() {
            let Some(sequence) = self.sequence(&generator, index, target.profile()) else {
                return Ok(());
            };
            let observe = self.options.observe.at(index, sequence.ops.len());
            let judged = check_and_judge(target, &sequence, observe, &self.options.known);
            let (checked, judgement) = match judged {
                Ok(judged) => judged,
                Err(error) => match error.reach() {
                    Reach::Run => {
                        let reason = Inconclusive::TargetFailed { reason: in_full(&error) };
                        self.board.record_inconclusive(index, &reason);
                        continue;
                    }
                    Reach::Target => return Err(error),
                },
            };
            self.board.reach(target.edges(), target.profile(), &sequence)?;
            self.board.record(&sequence, &checked, &judgement);
            if self.options.special.ledger == LedgerUse::Keep && checked.observe == Observe::Each {
                self.board.enter(index, &sequence, &checked);
            }
            match judgement {
                Judgement::Agrees => {}
                Judgement::Inconclusive { reason } => self.board.tell_inconclusive(index, &reason),
                Judgement::Known { divergence, signature, entry, standing } => {
                    let lead = pursue::Lead {
                        known: Some(entry.title.clone()),
                        presumed: standing.presumed(),
                        ..pursue::Lead::new(index, signature, divergence)
                    };
                    self.pursue(target, &sequence, &checked, &lead)?;
                }
                Judgement::Diverges { divergence, signature, not_cured } => {
                    let first = (index, signature.clone());
                    let lead = pursue::Lead::new(index, signature, divergence);
                    let lead = pursue::Lead { not_cured, ..lead };
                    self.pursue(target, &sequence, &checked, &lead)?;
                    self.pursue_consequence(target, &sequence, checked, first)?;
                }
            }
        }
        Ok(())
    }

    /// Sequence `index`; none behind the last of those that are given.
    fn sequence(&self, generator: &Generator, index: u64, profile: &Profile) -> Option<Sequence> {
        match &self.options.special.given {
            None => {
                let sequence = asked_of(profile, index, generator.sequence_on(profile, index));
                let (sequence, left_out) = without_on_demand(profile, sequence);
                self.board.left_out(left_out);
                Some(if self.prepared.is_one_kernel() { spared(sequence) } else { sequence })
            }
            Some(given) => given.get(usize::try_from(index).ok()?).cloned(),
        }
    }

    /// The next sequence to run, unless it is time to end.
    fn claim(&self) -> Option<u64> {
        if self.is_over() {
            return None;
        }
        let index = self.next_index.fetch_add(1, Ordering::Relaxed);
        match self.options.budget {
            Budget::Sequences(count) if index >= count => None,
            Budget::Sequences(_) | Budget::Time(_) => Some(index),
        }
    }

    fn is_over(&self) -> bool {
        let is_late = match self.options.budget {
            Budget::Time(_) => self.deadline().is_some_and(|deadline| Instant::now() >= deadline),
            Budget::Sequences(_) => false,
        };
        let has_enough = || {
            let after = self.options.special.enough_after;
            let elapsed = self.started.get().map(Instant::elapsed);
            let is_after = |elapsed: &Duration| after.is_some_and(|time| *elapsed >= time);
            elapsed.filter(is_after).is_some_and(|elapsed| self.board.has_diverged_slowly(elapsed))
        };
        is_late
            || has_enough()
            || self.stop.load(Ordering::Relaxed)
            || self.halt.load(Ordering::Relaxed)
    }

    /// When the time is up, of a run that has one.
    fn deadline(&self) -> Option<Instant> {
        match self.options.budget {
            Budget::Time(time) => self.started.get()?.checked_add(time),
            Budget::Sequences(_) => None,
        }
    }

    /// Tells `observer` what happens, until the last job has ended.
    fn observe(&self, observer: &mut dyn FnMut(Event)) {
        let mut is_up = false;
        loop {
            let is_done = self.board.wait(PROGRESS_EVERY);
            if let Some(started) = self.started.get() {
                if !is_up && let Some((kernel, rules)) = self.board.kernel() {
                    observer(Event::Up { kernel, rules });
                    is_up = true;
                }
                self.board.take_news().into_iter().for_each(&mut *observer);
                observer(Event::Progress(self.board.progress(started.elapsed())));
            }
            if is_done {
                return;
            }
        }
    }
}
