//! Two kernels on the same sequences, each on its own machine and CPU: first those of the corpus, then random ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pinfold::defects::Defects;
use pinfold::patch::{Side, price_list, priced, sort, sums};
use pinfold::signature::Signature;
use pinfold_contract::Sequence;

use super::kernels::boot_deadline;
use super::report::{Bill, Change, PatchReport, Timing, seconds};
use super::{PatchEvent, folder, is_stopped, open};
use crate::cpu;
use crate::cross_check::{CrossCheck, cause_among, cross_check};
use crate::error::RunError;
use crate::fuzz::{Budget, Causes, Event, FuzzOptions, LedgerUse, Looks, Special, fuzz};
use crate::guest::in_full;
use crate::leaks::{PatchedLeaks, leaks_of_patched};
use crate::stored::stored;
use crate::summary::{FoundSignature, Summary};
use crate::target::{Prepared, Target};

/// How two kernels are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duel {
    /// How long random sequences are run.
    pub budget: Budget,
    /// Which random sequences.
    pub rng_seed: u64,
    /// Where findings, report and JSON go.
    pub out: PathBuf,
    /// What is known.
    pub known: Defects,
    /// How long findings of stored sequences are repeated and minimized, all together on one kernel, and as long again
    /// those of random ones where they have no time of their own: [`PURSUE_FOR_DEFAULT`].
    pub pursue_for: Duration,
    /// Which stored sequences are run before the random ones.
    pub stored: StoredUse,
    /// Whether kernel memory that is never given back is looked for.
    pub leaks: LeakUse,
}

/// Which stored sequences are run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoredUse {
    /// All of them.
    #[default]
    All,
    /// Those whose name, as `corpus/seeds/wrong_key.seq`, begins so.
    Below(String),
}

/// Whether kernel memory that is never given back is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeakUse {
    /// Yes.
    #[default]
    Look,
    /// No.
    Skip,
}

/// A time for findings that is usually enough: most stored sequences are short as they are.
pub const PURSUE_FOR_DEFAULT: Duration = Duration::from_secs(6);

/// Bundles of one signature: with more, nothing is understood better.
const BUNDLES_MAX: u32 = 3;

/// From when on no more stored sequences are run on a kernel that has shown something new and hangs again and again.
const ENOUGH_AFTER: Duration = Duration::from_secs(12);

/// The longest that random sequences are run on such a kernel.
const RANDOM_OF_SLOW: Duration = Duration::from_secs(5);

/// How long a patched kernel is asked for what only the base has shown.
const CURED_WITHIN: Duration = Duration::from_secs(10);

/// How long leaks are looked for where the patch is refused without them.
const LEAKS_BESIDE_OTHERS: Duration = Duration::from_secs(20);

/// The marker of a folder that is ours.
pub(super) const MARKER: &str = "patch.json";

impl StoredUse {
    fn has(&self, name: &str) -> bool {
        match self {
            StoredUse::All => true,
            StoredUse::Below(prefix) => name.starts_with(prefix),
        }
    }
}

/// Compares `patched` with `base`, and gives a report in which nothing is said of patches.
///
/// # Errors
///
/// If the base fails for good, or OUT cannot be written. That the patched kernel does not boot is a verdict.
pub fn duel(
    base: &Prepared,
    patched: &Prepared,
    options: &Duel,
    stop: &Arc<AtomicBool>,
    observer: &mut dyn FnMut(PatchEvent),
) -> Result<PatchReport, RunError> {
    clear(options)?;
    let cpus = Cpus::share(&cpu::allowed());
    let since = Instant::now();
    let (base_target, base_boot) = open(base, cpus.base.first().copied(), stop)?;
    let names = [base_target.name().to_string(), base_target.kernel_release().to_owned()];
    let mut report = PatchReport::begin(options, names, base_target.rules());
    let patched = &patched.clone().held_as(&base_target, boot_deadline(base_boot));
    let opened = open(patched, cpus.patched.first().copied(), stop);
    report.timing.boot = seconds(since.elapsed());
    let patched_target = match opened {
        Ok((target, _)) => target,
        Err(RunError::Boot { reason, console, .. }) => {
            report.does_not_boot(reason, console);
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let mut ring =
        Ring { base, patched, options, cpus, stop, targets: [base_target, patched_target] };
    match ring.fight(&mut report, observer) {
        Ok(()) => Ok(report),
        // It came up once, and not again.
        Err(Lost { side: Side::Patched, error: RunError::Boot { reason, console, .. } }) => {
            report.does_not_boot(reason, console);
            Ok(report)
        }
        Err(Lost { error, .. }) => Err(error),
    }
}

/// Removes what an earlier comparison left in OUT: its findings are not those of this one.
pub(super) fn clear(options: &Duel) -> Result<(), RunError> {
    let marker = options.out.join(MARKER);
    let wrong = |source| RunError::Write { path: options.out.clone(), source };
    fs::create_dir_all(&options.out).map_err(wrong)?;
    if marker.exists() {
        for side in [Side::Base, Side::Patched] {
            let folder = folder(&options.out, side);
            if folder.exists() {
                fs::remove_dir_all(folder).map_err(wrong)?;
            }
        }
    }
    fs::write(&marker, "{\"schema\":1,\"verdict\":\"none yet\"}\n").map_err(wrong)
}

/// The CPUs of each side. With one only, both have to make do with it.
struct Cpus {
    base: Vec<usize>,
    patched: Vec<usize>,
}

impl Cpus {
    fn share(all: &[usize]) -> Cpus {
        let every_second =
            |from: usize| all.iter().copied().skip(from).step_by(2).collect::<Vec<_>>();
        let (patched, mut base) = (every_second(0), every_second(1));
        if base.is_empty() {
            base.clone_from(&patched);
        }
        Cpus { base, patched }
    }

    fn of(&self, side: Side) -> &[usize] {
        match side {
            Side::Base => &self.base,
            Side::Patched => &self.patched,
        }
    }
}

/// A side that failed for good.
struct Lost {
    side: Side,
    error: RunError,
}

struct Ring<'a> {
    base: &'a Prepared,
    patched: &'a Prepared,
    options: &'a Duel,
    cpus: Cpus,
    stop: &'a Arc<AtomicBool>,
    /// Machines to ask, when all is run: base and patched.
    targets: [Target; 2],
}

/// Which sequences are run.
enum Run {
    /// These.
    Given(Arc<[Sequence]>),
    /// Random ones.
    Random(Budget),
}

/// A run on both: base and patched.
type Both = [Summary; 2];

impl Ring<'_> {
    fn fight(
        &mut self,
        report: &mut PatchReport,
        observer: &mut dyn FnMut(PatchEvent),
    ) -> Result<(), Lost> {
        let prices = price_list().into_iter().map(|price| price.sequence);
        let wanted = stored().into_iter().filter(|(name, _)| self.options.stored.has(name));
        let given: Arc<[Sequence]> = prices.chain(wanted.map(|(_, sequence)| sequence)).collect();
        let since = Instant::now();
        let count = u64::try_from(given.len()).unwrap_or(u64::MAX);
        observer(PatchEvent::Begin("stored sequences", Budget::Sequences(count)));
        let first = self.run(Run::Given(given), observer)?;
        report.timing.corpus = seconds(since.elapsed());
        let since = Instant::now();
        let run = [first[0].sequences, first[1].sequences];
        report.cut_short =
            cut_short(run, count, self.options.budget).filter(|_| !is_stopped(self.stop));
        let budget = match (self.options.budget, &report.cut_short) {
            (Budget::Time(time), Some(_)) => Budget::Time(time.min(RANDOM_OF_SLOW)),
            (budget, _) => budget,
        };
        observer(PatchEvent::Begin("random sequences", budget));
        let then = self.run(Run::Random(budget), observer)?;
        report.timing.fuzz = seconds(since.elapsed());
        report.timing.minimize = seconds(first[1].pursued.max(first[0].pursued))
            + seconds(then[1].pursued.max(then[0].pursued));
        report.stored = first[1].sequences.min(first[0].sequences);
        report.bill = Bill {
            prices: priced(&first[0].ledger, &first[1].ledger),
            stored: sums(&first[0].ledger, &first[1].ledger),
            random: sums(&then[0].ledger, &then[1].ledger),
        };
        let since = Instant::now();
        self.compare(report, &first, &then)?;
        report.timing.ask = seconds(since.elapsed());
        let since = Instant::now();
        self.look_for_leaks(report);
        report.timing.leaks = seconds(since.elapsed());
        let Timing { boot, corpus, fuzz, ask, leaks, .. } = report.timing;
        report.timing.total = boot + corpus + fuzz + ask + leaks;
        report.conclude(then, is_stopped(self.stop));
        Ok(())
    }

    /// Runs sequences on both kernels at once.
    fn run(&self, run: Run, observer: &mut dyn FnMut(PatchEvent)) -> Result<Both, Lost> {
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            let start = |side: Side, prepared, sender: mpsc::Sender<(Side, Event)>| {
                let options = self.fuzz_options(side, &run);
                let stop = self.stop;
                scope.spawn(move || {
                    fuzz(prepared, &options, stop, &mut |event| {
                        // Nobody listens any more only when all is over.
                        let _ = sender.send((side, event));
                    })
                })
            };
            let base = start(Side::Base, self.base, sender.clone());
            let patched = start(Side::Patched, self.patched, sender);
            for (side, event) in receiver {
                observer(PatchEvent::Run(side, event));
            }
            let end = |side, handle: thread::ScopedJoinHandle<'_, Result<Summary, RunError>>| {
                let result = handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result.map_err(|error| Lost { side, error })
            };
            Ok([end(Side::Base, base)?, end(Side::Patched, patched)?])
        })
    }

    fn fuzz_options(&self, side: Side, run: &Run) -> FuzzOptions {
        let cpus = self.cpus.of(side).to_vec();
        let (budget, jobs, observe, pursue_for) = match run {
            Run::Given(given) => {
                let count = u64::try_from(given.len()).unwrap_or(u64::MAX);
                (
                    Budget::Sequences(count),
                    NonZeroUsize::MIN,
                    Looks::EachIfShort,
                    Some(self.options.pursue_for),
                )
            }
            Run::Random(budget) => {
                let jobs = NonZeroUsize::new(cpus.len()).unwrap_or(NonZeroUsize::MIN);
                let pursue_for = match budget {
                    Budget::Sequences(_) => Some(self.options.pursue_for),
                    Budget::Time(_) => None,
                };
                (*budget, jobs, Looks::Sampled, pursue_for)
            }
        };
        let given = match run {
            Run::Given(given) => Some(Arc::clone(given)),
            Run::Random(_) => None,
        };
        let enough_after = given.is_some().then_some(ENOUGH_AFTER);
        FuzzOptions {
            budget,
            rng_seed: self.options.rng_seed,
            jobs,
            out: folder(&self.options.out, side),
            observe,
            bundles_max: BUNDLES_MAX,
            known: self.options.known.clone(),
            special: Special {
                given,
                cpus: Some(cpus),
                ledger: LedgerUse::Keep,
                pursue_for,
                enough_after,
                causes: Causes::Apart,
            },
        }
    }

    /// Looks for kernel memory that only the patched kernel never gives back. Where one of the two fails at it, nothing is
    /// said of such memory: what a kernel does wrong is found by the runs before.
    fn look_for_leaks(&mut self, report: &mut PatchReport) {
        let [base, patched] = &mut self.targets;
        let has_others = !report.new.is_empty();
        let deadline = has_others.then(|| Instant::now() + LEAKS_BESIDE_OTHERS);
        match self.options.leaks {
            LeakUse::Skip => report.leaks_unknown = Some("nobody looked for them".to_owned()),
            LeakUse::Look => match leaks_of_patched(base, patched, self.stop, deadline) {
                Ok(PatchedLeaks { leaks, left_out }) => {
                    (report.leaks, report.leaks_left_out) = (leaks, left_out);
                }
                Err(RunError::Interrupted) if !is_stopped(self.stop) => {
                    let seconds = LEAKS_BESIDE_OTHERS.as_secs();
                    let why = format!("not decided in {seconds} s, beside new divergences");
                    report.leaks_unknown = Some(why);
                }
                Err(error) => report.leaks_unknown = Some(in_full(&error)),
            },
        }
    }

    /// Finds out what the patch brings and what it cures.
    fn compare(&mut self, report: &mut PatchReport, first: &Both, then: &Both) -> Result<(), Lost> {
        let found = [0, 1].map(|side| by_signature(&first[side], &then[side]));
        let names = |side: usize| found[side].keys().cloned().collect::<BTreeSet<Signature>>();
        let sorted = sort(&names(0), &names(1));
        report.common = sorted.both.iter().map(|name| Change::of(&found[1][name])).collect();
        let [base, patched] = &mut self.targets;
        for name in &sorted.patched_only {
            let what = &found[1][name];
            let answer = cross_check(base, what, self.stop, None)
                .map_err(|error| Lost { side: Side::Base, error })?;
            match answer {
                CrossCheck::Reproduces => report.common.push(Change::of(what)),
                CrossCheck::Agrees | CrossCheck::Other => report.new.push(Change::of(what)),
                CrossCheck::NotAsked => report.unsettled.push(Change::of(what)),
            }
        }
        // A kernel that hangs does so each time it is asked.
        let end = Instant::now() + CURED_WITHIN;
        for name in &sorted.base_only {
            let what = &found[0][name];
            let answer = match cross_check(patched, what, self.stop, Some(end)) {
                Ok(answer) => answer,
                Err(_) if is_stopped(self.stop) => CrossCheck::NotAsked,
                Err(error) => return Err(Lost { side: Side::Patched, error }),
            };
            match answer {
                CrossCheck::Agrees => report.cured.push(Change::of(what)),
                CrossCheck::Reproduces => report.common.push(Change::of(what)),
                CrossCheck::Other | CrossCheck::NotAsked => report.unsettled.push(Change::of(what)),
            }
        }
        for list in [&mut report.new, &mut report.cured, &mut report.common, &mut report.unsettled]
        {
            list.sort_by_key(Change::rank);
        }
        group(patched, &mut report.new, self.stop)
            .map_err(|error| Lost { side: Side::Patched, error })
    }
}

/// The note where fewer than `count` stored sequences were run on one of the kernels. Each time that a kernel hangs
/// or dies takes seconds.
fn cut_short(run: [u64; 2], count: u64, budget: Budget) -> Option<String> {
    let left =
        run.into_iter().map(|run| count.saturating_sub(run)).max().filter(|left| *left > 0)?;
    let random = match budget {
        Budget::Time(_) => format!(", and random ones had {} s at most", RANDOM_OF_SLOW.as_secs()),
        Budget::Sequences(_) => String::new(),
    };
    Some(format!(
        "{left} of {count} stored sequences were not run{random}: something diverged, and each took a second or more"
    ))
}

/// Has each of `changes` that was not minimized name a minimal one that has probably the same cause, if there is one.
fn group(target: &mut Target, changes: &mut [Change], stop: &AtomicBool) -> Result<(), RunError> {
    let count = changes.iter().filter(|change| change.minimal == Some(true)).count();
    // In their order these come first.
    let (minimal, others) = changes.split_at_mut(count);
    for long in others {
        let shorter = minimal.iter().map(|short| (&*short.dir, &short.signature));
        long.same_cause_as =
            cause_among(target, shorter, (&long.dir, &long.signature), stop, || false)?;
    }
    Ok(())
}

/// What two runs on one kernel found: of each signature the shorter one.
fn by_signature(first: &Summary, then: &Summary) -> BTreeMap<Signature, FoundSignature> {
    let mut found: BTreeMap<Signature, FoundSignature> = BTreeMap::new();
    for one in first.findings.iter().chain(&then.findings) {
        let kept = found
            .entry(one.signature.clone())
            .or_insert_with(|| FoundSignature { count: 0, ..one.clone() });
        let count = kept.count + one.count;
        if one.op_count < kept.op_count {
            kept.clone_from(one);
        }
        kept.count = count;
    }
    found
}

impl Timing {
    /// What took how long, in the order in which it was done.
    pub fn steps(&self) -> [(&'static str, f64); 13] {
        [
            ("apply", self.apply),
            ("prepare", self.prepare),
            ("copy", self.copy),
            ("compile", self.compile),
            ("link", self.link),
            ("build for lines", self.trace),
            ("boot", self.boot),
            ("corpus", self.corpus),
            ("fuzz", self.fuzz),
            ("minimize, within these two", self.minimize),
            ("ask the other kernel", self.ask),
            ("leaks", self.leaks),
            ("lines", self.reach),
        ]
    }
}

#[cfg(test)]
mod tests {
    use pinfold::oracle::Oracle;

    use super::*;
    use crate::target::TargetOptions;

    const SIGNATURE: &str = "accounting-dereg-registrar.vm_pin.more";

    /// A divergence whose sequence (`.seq`) is `text`.
    fn change(folder: &std::path::Path, name: &str, minimal: bool, text: &str) -> Change {
        let dir = folder.join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("minimized.seq"), format!("# pinfold 1\n{text}")).unwrap();
        let found = FoundSignature {
            signature: SIGNATURE.parse().unwrap(),
            oracle: Oracle::Accounting,
            op_count: text.lines().count(),
            dir,
            count: 1,
            reliability: None,
            known: None,
            presumed: None,
            minimal: None,
            same_cause_as: None,
        };
        Change { minimal: Some(minimal), ..Change::of(&found) }
    }

    #[test]
    fn stored_sequences_that_were_not_run_are_counted() {
        let time = Budget::Time(Duration::from_secs(15));
        assert_eq!(cut_short([278, 278], 278, time), None);
        let text = cut_short([278, 20], 278, time).unwrap();
        assert!(
            text.starts_with("258 of 278 stored sequences were not run, and random ones"),
            "{text}"
        );
        let text = cut_short([20, 278], 278, Budget::Sequences(40)).unwrap();
        assert!(text.starts_with("258 of 278 stored sequences were not run: "), "{text}");
    }

    #[test]
    fn what_is_gone_without_the_op_of_a_short_one_is_listed_below_it_and_what_stays_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let name = "model:6.12+vm_pin_kept".parse().unwrap();
        let mut target = Target::open(&name, &TargetOptions::default()).unwrap();
        let long = "map 0..4 anon private rw\nwrite 0 8 0x11\nreg mr1 0..4 remote_read\nread 0 8\ndereg mr1\n";
        let short = "map 0..1 anon private rw\nreg mr0 0..1 remote_read\ndereg mr0\n";
        let mut grouped = |short: &str| {
            let mut changes = [
                change(folder.path(), "short", true, short),
                change(folder.path(), "long", false, long),
            ];
            group(&mut target, &mut changes, &AtomicBool::new(false)).unwrap();
            changes.map(|change| change.same_cause_as.is_some())
        };
        assert_eq!(grouped(short), [false, true]);
        assert_eq!(grouped("map 0..1 anon private rw\nread 0 8\n"), [false, false]);
        assert_eq!(grouped("map 0..1 anon private rw\nfork p1\n"), [false, false]);
    }

    #[test]
    fn each_kernel_has_cpus_of_its_own_if_there_are_enough() {
        let share = |all: &[usize]| {
            let cpus = Cpus::share(all);
            (cpus.base, cpus.patched)
        };
        assert_eq!(share(&[0, 1, 2, 3, 4]), (vec![1, 3], vec![0, 2, 4]));
        assert_eq!(share(&[5]), (vec![5], vec![5]));
        assert_eq!(share(&[]), (vec![], vec![]));
    }
}
