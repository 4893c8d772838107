//! `pinfold fuzz`: runs random sequences on model and target.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pinfold::defects::known_word;
use pinfold_contract::{Observe, SeqFile};
use pinfold_run::{
    BUNDLES_MAX_DEFAULT, Budget, Conclusion, Event, FoundSignature, FuzzOptions, Looks, Prepared,
    Special, Summary, allowed_cpus, fuzz,
};

use crate::args::{DefectsArgs, ObserveArg, TargetArgs};
use crate::exit::Status;
use crate::files::say_what_is_lacking;
use crate::given::{Given, GivenArgs};
use crate::output::{self, say};
use crate::progress::FuzzMeter;
use crate::report;
use crate::signals::Signals;

/// Run random sequences on a target and on the model, and keep what differs
///
/// Each is drawn anew, and nothing guides the search: libFuzzer does that, which has to be linked into the program that it drives,
/// by a nightly compiler, and so is cargo-fuzz's (`cargo +nightly fuzz run rxe_agrees`). What it leaves is read with --artifact.
#[derive(Args, Debug)]
pub(crate) struct Fuzz {
    #[command(flatten)]
    target: TargetArgs,
    /// How long, without build and boot: 60s, 30m, 8h [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "sequences")]
    time: Option<Duration>,
    /// How many sequences, instead of a time
    #[arg(long, value_name = "N")]
    sequences: Option<u64>,
    /// Which sequences: the same number gives the same ones [default: random]
    #[arg(long, value_name = "N", value_parser = read_rng_seed)]
    rng_seed: Option<u64>,
    #[command(flatten)]
    given: GivenArgs,
    /// How many targets at once [default: one a CPU]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Where findings and summary.json go
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// When the state is looked at [default: after the last op, and in every eighth sequence after each]
    #[arg(long, value_enum)]
    observe: Option<ObserveArg>,
    /// Most bundles kept of one signature; the rest is counted
    #[arg(long, value_name = "N", default_value_t = BUNDLES_MAX_DEFAULT)]
    keep_per_signature: u32,
    #[command(flatten)]
    known: DefectsArgs,
    /// Print one JSON object instead of a summary
    #[arg(long)]
    json: bool,
}

/// How long a run is of which nothing is said.
const DEFAULT_TIME: Duration = Duration::from_secs(60);

impl Fuzz {
    pub(crate) fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        let mut options = self.options()?;
        let files = self.given.read();
        if files.is_empty() && self.given.file_count() > 0 {
            return Ok(Status::Input);
        }
        let prepared = self.target.prepare(self.known.folder())?;
        if self.jobs.is_none() && prepared.is_one_kernel() {
            options.jobs = NonZeroUsize::MIN;
        }
        let stop = signals.stop_well();
        let given = self.given.of(&files, &prepared, &stop)?;
        self.give(&given, &mut options);
        let what = given.describe(options.rng_seed);
        say(&format!("target {}, {what}", prepared.name()));
        let mut meter = FuzzMeter::new(options.budget);
        let result = fuzz(&prepared, &options, &stop, &mut |event| match event {
            Event::Up { kernel, rules } => {
                meter.note(&format!("linux {kernel} is up, held to the rules of {rules}"));
            }
            Event::Found(found) => meter.found(&found),
            Event::Inconclusive { index, reason } => {
                meter.note(&format!("sequence {index} is inconclusive: {reason}"));
            }
            Event::Progress(progress) => meter.show(&progress),
        });
        meter.finish();
        let summary = result?;
        if self.json {
            output::result(&format!("{}\n", serde_json::to_string(&summary)?))?;
        } else {
            output::result(&describe(&summary, &given))?;
        }
        if let Given::Files(_) = given {
            say(report::write(&self.out, &self.out)?.trim_end());
        }
        let status = conclude(&summary, &given);
        Ok(if status == Status::Diverged {
            status
        } else {
            self.of_files(&files, &prepared, status)
        })
    }

    /// `status`, unless files could not be read, or ask for what the target lacks where nothing else is wrong.
    fn of_files(&self, files: &[(&Path, SeqFile)], prepared: &Prepared, status: Status) -> Status {
        let mut lacking = 0;
        for (path, file) in files {
            lacking += usize::from(say_what_is_lacking(path, file, prepared.name()));
        }
        let file_count = self.given.file_count();
        if files.len() < file_count {
            say(&format!("{} of {file_count} files could not be read", file_count - files.len()));
            Status::Input
        } else if lacking > 0 && status == Status::Clean {
            Status::Capability
        } else {
            status
        }
    }

    /// Has what is given run, each of it once, and looked at after each op: it is short.
    fn give(&self, given: &Given, options: &mut FuzzOptions) {
        let Some(sequences) = given.sequences() else { return };
        if self.time.is_none() {
            options.budget = Budget::Sequences(sequences.len() as u64);
        }
        if self.observe.is_none() {
            options.observe = Looks::Always(Observe::Each);
        }
        options.rng_seed = 0;
        options.special.given = Some(Arc::clone(sequences));
    }

    fn options(&self) -> anyhow::Result<FuzzOptions> {
        let budget = match (self.time, self.sequences) {
            (_, Some(count)) => Budget::Sequences(count),
            (time, None) => Budget::Time(time.unwrap_or(DEFAULT_TIME)),
        };
        let cpu_count = NonZeroUsize::new(allowed_cpus().len()).unwrap_or(NonZeroUsize::MIN);
        Ok(FuzzOptions {
            budget,
            rng_seed: self.rng_seed.unwrap_or_else(random_rng_seed),
            jobs: self.jobs.unwrap_or(cpu_count),
            out: self.out.clone(),
            observe: self.observe.map_or(Looks::Sampled, |observe| Looks::Always(observe.into())),
            bundles_max: self.keep_per_signature,
            known: self.known.read()?,
            special: Special::default(),
        })
    }
}

fn conclude(summary: &Summary, given: &Given) -> Status {
    match summary.conclusion() {
        Conclusion::Vacuous { never_done } if !never_done.iter().any(|kind| given.has(*kind)) => {
            Status::Clean
        }
        Conclusion::Clean => Status::Clean,
        Conclusion::Diverged => Status::Diverged,
        Conclusion::MostlyInconclusive => {
            say(
                "error: more than half of the sequences could not be judged: the target or its executor fails",
            );
            Status::Environment
        }
        Conclusion::Vacuous { never_done } => {
            let names: Vec<String> = never_done.iter().map(ToString::to_string).collect();
            say(&format!(
                "error: in {} sequences these ops never once worked: {}; a run that cannot do them finds nothing in \
                 them, look at the table above",
                summary.sequences,
                names.join(", ")
            ));
            Status::Environment
        }
    }
}

/// Few enough digits that every reader of JSON keeps them all.
pub(crate) fn random_rng_seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) >> 16
}

pub(crate) fn read_rng_seed(text: &str) -> Result<u64, String> {
    let read = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    read.map_err(|error| format!("{error}; an rng seed is a number, such as 42 or 0x2a"))
}

fn describe(summary: &Summary, given: &Given) -> String {
    let Summary { target, kernel, seconds, rng_seed, sequences, .. } = summary;
    let mut text = format!(
        "{target} (linux {kernel}), {seconds:.1} s, {}\n{}\n",
        given.describe_done(*rng_seed, *sequences),
        summary.tally.to_text().trim_end()
    );
    if let Some(count) = &summary.coverage.kernel {
        writeln!(text, "kernel: {count}").expect("a string takes everything");
    }
    for found in summary.findings.iter().filter(|found| found.same_cause_as.is_none()) {
        text.push_str(&account(found));
        let is_its =
            |other: &&FoundSignature| other.same_cause_as.as_ref() == Some(&found.signature);
        for other in summary.findings.iter().filter(is_its) {
            text.push_str("\n    probably by the same cause:");
            text.push_str(&account(other));
        }
    }
    text
}

fn account(found: &FoundSignature) -> String {
    let FoundSignature { signature, op_count, dir, count, reliability, known, presumed, .. } =
        found;
    let again = reliability.map(|r| format!(", again in {} of {}", r.again, r.of));
    let word = known_word(presumed.as_deref());
    // Of what is known the list has a minimal sequence.
    let length = match (found.minimal, known) {
        (Some(false), None) => "not minimized, out of time, ",
        (None, None) => "not minimized, ",
        (Some(true), _) | (_, Some(_)) => "",
    };
    let known = known.as_ref().map(|title| format!(", {word}: {title}"));
    format!(
        "\n{signature}{}\n    seen {count} times{}, {length}{op_count} ops: {}\n",
        known.unwrap_or_default(),
        again.unwrap_or_default(),
        dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rng_seed_is_decimal_or_hexadecimal() {
        assert_eq!(read_rng_seed("42"), Ok(42));
        assert_eq!(read_rng_seed("0xffffffffffffffff"), Ok(u64::MAX));
        assert!(read_rng_seed("-1").is_err());
        assert!(read_rng_seed("seed").unwrap_err().contains("such as"));
    }
}
