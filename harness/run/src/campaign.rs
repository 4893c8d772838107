//! Recorded campaigns: many runs, named in a file, each with a record on disk, so that what was done is not done again.

use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pinfold::defects::Defects;
use pinfold::tally::Tally;
use pinfold_contract::Observe;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bundle::replace;
use crate::error::RunError;
use crate::fuzz::{BUNDLES_MAX_DEFAULT, Budget, Event, FuzzOptions, Looks, Special, fuzz};
use crate::name::TargetName;
use crate::summary::Summary;
use crate::target::{Prepared, TargetOptions, prepare};

/// What a campaign is to do: a file of TOML.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Names of targets, each as after `--target`.
    pub targets: Vec<String>,
    /// Each is one run on each target.
    pub rng_seeds: Vec<u64>,
    /// Sequences of one run.
    pub sequences: u64,
    /// When the state is looked at.
    #[serde(default)]
    pub observe: PlannedLooks,
}

/// When the state is looked at in a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedLooks {
    /// As [`Looks::Sampled`].
    #[default]
    Sampled,
    /// After each op.
    Each,
    /// After the last op.
    End,
}

impl From<PlannedLooks> for Looks {
    fn from(planned: PlannedLooks) -> Looks {
        match planned {
            PlannedLooks::Sampled => Looks::Sampled,
            PlannedLooks::Each => Looks::Always(Observe::Each),
            PlannedLooks::End => Looks::Always(Observe::End),
        }
    }
}

/// One run of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The target.
    pub target: TargetName,
    /// The rng seed.
    pub rng_seed: u64,
}

impl Unit {
    /// Its folder below that of the campaign.
    fn folder(&self, out: &Path) -> PathBuf {
        let target = self.target.to_string().replace([':', '/'], "-");
        out.join(target).join(format!("seed-{}", self.rng_seed))
    }
}

/// The part of a campaign that one of several machines does: units `index`, `index + count`, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: usize,
    /// How many machines there are.
    pub count: NonZeroUsize,
}

impl Default for Shard {
    fn default() -> Shard {
        Shard { index: 0, count: NonZeroUsize::MIN }
    }
}

/// What a campaign is told beside its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignOptions {
    /// Where records and findings go.
    pub out: PathBuf,
    /// Which part of it.
    pub shard: Shard,
    /// Whether a folder with records is gone on with.
    pub resume: bool,
    /// How many targets at once in a run.
    pub jobs: NonZeroUsize,
    /// What is known.
    pub known: Defects,
}

/// What is on disk of a run that came to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    /// Which program made it: its version and the hash of its file.
    made_by: String,
    summary: Summary,
    tally: Tally,
}

/// The sum of the runs on one target.
#[derive(Clone, Debug, Serialize)]
pub struct TargetSum {
    /// The target.
    pub target: String,
    /// `uname -r` of its kernel.
    pub kernel: String,
    /// Runs that are in it.
    pub rng_seeds: Vec<u64>,
    /// Time spent fuzzing, without build and boot.
    pub seconds: f64,
    /// All counts.
    pub tally: Tally,
}

/// What is told while a campaign goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum CampaignEvent {
    /// A run begins.
    Begins {
        /// Which.
        unit: Unit,
        /// Its place in this shard, from 1.
        number: usize,
        /// How many this shard has.
        of: usize,
    },
    /// A run has its record already.
    Recorded {
        /// Which.
        unit: Unit,
    },
    /// Something happened in the run that goes on.
    Fuzz(Event),
}

/// Reads a plan.
///
/// # Errors
///
/// If the file cannot be read, is no plan, or names no target.
pub fn read_plan(path: &Path) -> Result<Plan, RunError> {
    let text = fs::read_to_string(path)
        .map_err(|source| RunError::Read { path: path.to_owned(), source })?;
    let wrong = |reason: String| RunError::Plan { path: path.to_owned(), reason };
    let plan: Plan = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if plan.targets.is_empty() || plan.rng_seeds.is_empty() || plan.sequences == 0 {
        return Err(wrong("targets, rng_seeds and sequences must not be empty or 0".to_owned()));
    }
    for target in &plan.targets {
        target.parse::<TargetName>()?;
    }
    Ok(plan)
}

/// Does what `plan` has and no record shows, until all is done or `stop` is set.
///
/// A run that is interrupted has no record and is done anew. At the end `OUT/summary.json` and `OUT/summary.md` hold
/// the sums of all records that are there, those of other shards too.
///
/// # Errors
///
/// If records are there and `resume` is not set, or another program made them; if a target fails for good.
pub fn campaign(
    plan: &Plan,
    options: &CampaignOptions,
    stop: &Arc<AtomicBool>,
    observer: &mut dyn FnMut(CampaignEvent),
) -> Result<Vec<TargetSum>, RunError> {
    let made_by = identity()?;
    let units = units(plan)?;
    let own = units.iter().enumerate();
    let own: Vec<&Unit> = own
        .filter(|(index, _)| *index % options.shard.count == options.shard.index)
        .map(|(_, unit)| unit)
        .collect();
    let mut prepared: Option<Prepared> = None;
    for (index, unit) in own.iter().enumerate() {
        if let Some(record) = read_record(&unit.folder(&options.out))? {
            check_record(&record, &made_by, plan, options)?;
            observer(CampaignEvent::Recorded { unit: (*unit).clone() });
            continue;
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        observer(CampaignEvent::Begins { unit: (*unit).clone(), number: index + 1, of: own.len() });
        let target = match prepared.take().filter(|prepared| *prepared.name() == unit.target) {
            Some(prepared) => prepared,
            None => prepare(&unit.target, &TargetOptions::default(), &mut |_| ())?,
        };
        run_unit(&target, unit, plan, options, (stop, &made_by), observer)?;
        prepared = Some(target);
    }
    let sums = sums(&units, options)?;
    write_sums(&sums, &options.out)?;
    Ok(sums)
}

fn run_unit(
    target: &Prepared,
    unit: &Unit,
    plan: &Plan,
    options: &CampaignOptions,
    (stop, made_by): (&Arc<AtomicBool>, &str),
    observer: &mut dyn FnMut(CampaignEvent),
) -> Result<(), RunError> {
    let folder = unit.folder(&options.out);
    let fuzz_options = FuzzOptions {
        budget: Budget::Sequences(plan.sequences),
        rng_seed: unit.rng_seed,
        jobs: options.jobs,
        out: folder.clone(),
        observe: plan.observe.into(),
        bundles_max: BUNDLES_MAX_DEFAULT,
        known: options.known.clone(),
        special: Special::default(),
    };
    let summary =
        fuzz(target, &fuzz_options, stop, &mut |event| observer(CampaignEvent::Fuzz(event)))?;
    if summary.sequences < plan.sequences {
        return Ok(());
    }
    let tally = summary.tally.clone();
    let record = Record { made_by: made_by.to_owned(), summary, tally };
    let text = serde_json::to_string_pretty(&record).expect("strings and numbers serialize");
    replace(&folder.join(RECORD), (text + "\n").as_bytes())
}

const RECORD: &str = "record.json";

/// Which program this is. Another one may have another model, and its counts must not be added to ours.
fn identity() -> Result<String, RunError> {
    let path = std::env::current_exe()
        .map_err(|source| RunError::Read { path: PathBuf::from("/proc/self/exe"), source })?;
    let bytes = fs::read(&path).map_err(|source| RunError::Read { path, source })?;
    let digest = Sha256::digest(&bytes);
    let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("pinfold {} {hash}", env!("CARGO_PKG_VERSION")))
}

fn units(plan: &Plan) -> Result<Vec<Unit>, RunError> {
    let mut units = Vec::new();
    for target in &plan.targets {
        let target: TargetName = target.parse()?;
        let of_target = |&rng_seed: &u64| Unit { target: target.clone(), rng_seed };
        units.extend(plan.rng_seeds.iter().map(of_target));
    }
    Ok(units)
}

/// The record of a run, if it came to its end.
fn read_record(folder: &Path) -> Result<Option<Record>, RunError> {
    let path = folder.join(RECORD);
    match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RunError::Read { path, source }),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| RunError::Plan { path, reason: error.to_string() }),
    }
}

/// Whether a record that is there may count as part of this campaign.
fn check_record(
    record: &Record,
    made_by: &str,
    plan: &Plan,
    options: &CampaignOptions,
) -> Result<(), RunError> {
    let reason = if !options.resume {
        "it holds the records of a campaign: go on with it (--resume), or choose another --out"
            .to_owned()
    } else if record.made_by != made_by {
        format!(
            "its records are of {}, and this is {made_by}: choose another --out",
            record.made_by
        )
    } else if record.summary.sequences != plan.sequences {
        let had = record.summary.sequences;
        format!("its runs have {had} sequences, not {}: choose another --out", plan.sequences)
    } else {
        return Ok(());
    };
    Err(RunError::Plan { path: options.out.clone(), reason })
}

/// The sums of what is recorded, target by target.
fn sums(units: &[Unit], options: &CampaignOptions) -> Result<Vec<TargetSum>, RunError> {
    let mut sums: Vec<TargetSum> = Vec::new();
    for unit in units {
        let Some(record) = read_record(&unit.folder(&options.out))? else { continue };
        let target = unit.target.to_string();
        if sums.last().is_none_or(|sum| sum.target != target) {
            let kernel = record.summary.kernel.clone();
            let empty = Tally::default();
            sums.push(TargetSum { target, kernel, rng_seeds: vec![], seconds: 0.0, tally: empty });
        }
        let sum = sums.last_mut().expect("pushed above if there was none");
        sum.rng_seeds.push(unit.rng_seed);
        sum.seconds += record.summary.seconds;
        sum.tally.add(&record.tally);
    }
    Ok(sums)
}

fn write_sums(sums: &[TargetSum], out: &Path) -> Result<(), RunError> {
    let json = serde_json::to_string_pretty(sums).expect("strings and numbers serialize");
    replace(&out.join("summary.json"), (json + "\n").as_bytes())?;
    replace(&out.join("summary.md"), to_markdown(sums).as_bytes())
}

/// The sums as a page.
pub fn to_markdown(sums: &[TargetSum]) -> String {
    let mut text = String::from("# Summary of a campaign\n");
    for sum in sums {
        let seeds: Vec<String> = sum.rng_seeds.iter().map(u64::to_string).collect();
        write!(
            text,
            "\n## {} (linux {})\n\nrng seeds {}; {:.0} s of fuzzing.\n\n{}",
            sum.target,
            sum.kernel,
            seeds.join(", "),
            sum.seconds,
            sum.tally.to_markdown()
        )
        .expect("a string takes everything");
    }
    text.push_str(&refusals_of_all(sums));
    text
}

/// What all kernels together have shown of the refusals that the model knows. The model as a target is no kernel.
fn refusals_of_all(sums: &[TargetSum]) -> String {
    let mut all = Tally::default();
    for sum in sums.iter().filter(|sum| !sum.target.starts_with("model:")) {
        all.add(&sum.tally);
    }
    let never = all.never_seen();
    let mut text = format!(
        "\n## What the model knows\n\nRefusals that the model knows: {} seen on some kernel, {} not seen.\n",
        all.seen_count(),
        never.len()
    );
    if never.is_empty() {
        return text;
    }
    text.push_str(
        "\n| op | refused with | why it is not seen | first target |\n|---|---|---|---|\n",
    );
    for refusal in never {
        let (why, first) =
            refusal.unseen.map_or(("not yet", ""), |unseen| (unseen.why(), unseen.first_target()));
        writeln!(text, "| {} | {} | {why} | {first} |", refusal.kind, refusal.name)
            .expect("a string takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let text =
            "targets = [\"model:6.12\", \"model:6.1\"]\nrng_seeds = [1, 2, 3]\nsequences = 20\n";
        toml::from_str(text).unwrap()
    }

    fn options(out: &Path, shard: Shard, resume: bool) -> CampaignOptions {
        let (jobs, known) = (NonZeroUsize::MIN, Defects::default());
        CampaignOptions { out: out.to_owned(), shard, resume, jobs, known }
    }

    fn run(options: &CampaignOptions) -> Result<(Vec<TargetSum>, usize), RunError> {
        let mut begun = 0;
        let sums = campaign(&plan(), options, &Arc::default(), &mut |event| {
            begun += usize::from(matches!(event, CampaignEvent::Begins { .. }));
        })?;
        Ok((sums, begun))
    }

    #[test]
    fn two_shards_make_the_whole_and_nothing_is_done_twice() {
        let out = tempfile::tempdir().unwrap();
        let shard = |index| Shard { index, count: NonZeroUsize::new(2).unwrap() };
        let (_, first) = run(&options(out.path(), shard(0), false)).unwrap();
        let (sums, second) = run(&options(out.path(), shard(1), true)).unwrap();
        assert_eq!((first, second), (3, 3));
        assert_eq!(sums.iter().map(|sum| sum.tally.sequences).collect::<Vec<_>>(), [60, 60]);
        let (again, begun) = run(&options(out.path(), Shard::default(), true)).unwrap();
        assert_eq!(begun, 0);
        assert_eq!(again[0].tally, sums[0].tally);
        let page = fs::read_to_string(out.path().join("summary.md")).unwrap();
        assert!(page.contains("## model:6.1 (") && page.contains("60 sequences"), "{page}");
        // No kernel was asked.
        assert!(page.contains("Refusals that the model knows: 0 seen on some kernel"), "{page}");
        assert!(page.contains("| dereg | EBUSY | the specification allows it"), "{page}");
    }

    #[test]
    fn records_are_not_mixed_by_accident() {
        let out = tempfile::tempdir().unwrap();
        run(&options(out.path(), Shard::default(), false)).unwrap();
        let error = run(&options(out.path(), Shard::default(), false)).unwrap_err().to_string();
        assert!(error.contains("--resume"), "{error}");
        let place = out.path().join("model-6.12/seed-1").join(RECORD);
        let text = fs::read_to_string(&place).unwrap();
        fs::write(&place, text.replace("\"made_by\": \"pinfold", "\"made_by\": \"other")).unwrap();
        let error = run(&options(out.path(), Shard::default(), true)).unwrap_err().to_string();
        assert!(error.contains("other") && error.contains("--out"), "{error}");
    }

    #[test]
    fn a_plan_that_does_nothing_or_has_a_typing_error_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.toml");
        for (text, word) in [
            ("targets = []\nrng_seeds = [1]\nsequences = 5\n", "empty"),
            ("targets = [\"model:6.12\"]\nrng_seed = [1]\nsequences = 5\n", "rng_seed"),
            ("targets = [\"uml:7\"]\nrng_seeds = [1]\nsequences = 5\n", "uml:7"),
        ] {
            fs::write(&path, text).unwrap();
            let error = read_plan(&path).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
