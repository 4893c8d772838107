//! `pinfold patch`: a verdict on a kernel patch.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use pinfold::patch::Side;
use pinfold_run::{
    Blame, Budget, Duel, Event, LeakUse, PURSUE_FOR_DEFAULT, PatchEvent, PatchInput, PatchOptions,
    PatchReport, PatchVerdict, RunError, StoredUse, patch, patch_on_the_newest, read_patch,
};

use crate::args::{DefectsArgs, TargetArgs};
use crate::exit::Status;
use crate::fuzz::{random_rng_seed, read_rng_seed};
use crate::output::{self, say};
use crate::progress::{BuildMeter, FuzzMeter};
use crate::signals::Signals;

/// Say whether a kernel patch keeps registered memory coherent, protected and accounted, and what it costs
///
/// Builds the kernel with and without the patch, runs stored and random sequences on both, and reports what only one of
/// them does. Exit status: 0 nothing new; 1 a new divergence, or the patched kernel does not boot; 2 the patch does not
/// apply or does not compile; 4 nothing new, and no changed line was built, or none ran.
#[derive(Args, Debug)]
pub(crate) struct Patch {
    /// Patches (git diff, git format-patch, a mail or mailbox), in the order in which they apply; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "commit")]
    files: Vec<PathBuf>,
    /// Apply this patch to both kernels first; may be given several times
    #[arg(long, value_name = "FILE")]
    base: Vec<PathBuf>,
    /// Compare this commit of the git tree --kernel-src with its parent
    #[arg(long, value_name = "REV", requires = "kernel_src", conflicts_with = "files")]
    commit: Option<String>,
    /// Switch this option on in both kernels, if it is off; may be given several times
    #[arg(long, value_name = "CONFIG_X", value_parser = read_option)]
    enable: Vec<String>,
    #[command(flatten)]
    target: TargetArgs,
    /// How long random sequences are run, without build, boot and stored sequences
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "15s", conflicts_with = "sequences")]
    time: Duration,
    /// How many random sequences on each kernel, instead of a time
    #[arg(long, value_name = "N")]
    sequences: Option<u64>,
    /// Which sequences: the same number gives the same ones [default: random]
    #[arg(long, value_name = "N", value_parser = read_rng_seed)]
    rng_seed: Option<u64>,
    /// Where findings, report.md, report.html and patch.json go
    #[arg(long, value_name = "DIR", default_value = "out/patch")]
    out: PathBuf,
    #[command(flatten)]
    known: DefectsArgs,
    /// Print one JSON object instead of a text
    #[arg(long)]
    json: bool,
}

impl Patch {
    pub(crate) fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        let options = self.options()?;
        let mut shown = Shown { build: BuildMeter::default(), fuzz: None, signals };
        let (stop, observer) = (signals.stop(), &mut |event| shown.show(event));
        let result = match self.target.is_named() {
            true => patch(&options, &stop, observer).map(|report| (report, None)),
            false => patch_on_the_newest(&options, &stop, observer),
        };
        shown.finish();
        match result {
            Ok((report, gave_way)) => {
                if let Some(gave_way) = gave_way {
                    say(&gave_way);
                }
                self.print(&report)?;
                Ok(conclude(&report))
            }
            Err(error) => {
                if self.json
                    && let Some(verdict) = refused(&error)
                {
                    let message = format!("{:#}", anyhow::Error::new(error));
                    let object =
                        serde_json::json!({"schema": 1, "verdict": verdict, "message": message});
                    output::result(&format!("{object}\n"))?;
                    say(&format!("error: {message}"));
                    return Ok(Status::Input);
                }
                Err(error.into())
            }
        }
    }

    fn options(&self) -> anyhow::Result<PatchOptions> {
        let read = |files: &[PathBuf]| -> Result<Vec<PatchInput>, RunError> {
            files.iter().map(|file| read_patch(file)).collect()
        };
        Ok(PatchOptions {
            patches: read(&self.files)?,
            base: read(&self.base)?,
            commit: self.commit.clone(),
            enable: self.enable.clone(),
            target: self.target.name()?,
            made_of: self.target.options(self.known.folder()),
            duel: Duel {
                budget: self.sequences.map_or(Budget::Time(self.time), Budget::Sequences),
                rng_seed: self.rng_seed.unwrap_or_else(random_rng_seed),
                out: self.out.clone(),
                known: self.known.read()?,
                pursue_for: PURSUE_FOR_DEFAULT,
                stored: StoredUse::All,
                leaks: LeakUse::Look,
            },
        })
    }

    fn print(&self, report: &PatchReport) -> anyhow::Result<()> {
        if self.json {
            return output::result(&format!("{}\n", serde_json::to_string(report)?));
        }
        output::result(&format!(
            "{}\nreport: {}\n",
            report.to_text(),
            self.out.join("report.md").display()
        ))
    }
}

/// An option as the kernel's configuration names it.
fn read_option(text: &str) -> Result<String, String> {
    let name = text.strip_suffix("=y").unwrap_or(text);
    let is_option = name.strip_prefix("CONFIG_").is_some_and(|rest| {
        !rest.is_empty()
            && rest.chars().all(|letter| letter == '_' || letter.is_ascii_alphanumeric())
    });
    if is_option { Ok(name.to_owned()) } else { Err("name it as CONFIG_X".to_owned()) }
}

/// What is wrong with a patch that gives no kernel.
fn refused(error: &RunError) -> Option<&'static str> {
    let does_not_apply = matches!(
        error,
        RunError::Diff(_) | RunError::Apply { .. } | RunError::NothingPatched { .. }
    );
    let does_not_build =
        matches!(error, RunError::DoesNotBuild { .. } | RunError::ModulesDoNotBuild { .. });
    if error.is_built_in() {
        Some("is_built_in")
    } else if does_not_apply {
        Some("does_not_apply")
    } else {
        (does_not_build && error.blame() == Blame::Input).then_some("does_not_compile")
    }
}

fn conclude(report: &PatchReport) -> Status {
    match report.verdict {
        PatchVerdict::Agrees => Status::Clean,
        PatchVerdict::Diverges | PatchVerdict::DoesNotBoot => Status::Diverged,
        PatchVerdict::NotBuilt | PatchVerdict::NotReached => Status::Capability,
        PatchVerdict::Unsure => Status::Environment,
    }
}

/// What is on the screen meanwhile.
struct Shown<'a> {
    build: BuildMeter,
    fuzz: Option<FuzzMeter>,
    signals: &'a Signals,
}

impl Shown<'_> {
    fn show(&mut self, event: PatchEvent) {
        let (side, event) = match event {
            PatchEvent::Build(progress) => return self.build.show(&progress),
            PatchEvent::Begin(what, budget) => return self.begin(what, budget),
            PatchEvent::Run(side, event) => (side, event),
        };
        let Some(meter) = &mut self.fuzz else { return };
        match (side, event) {
            (Side::Patched, Event::Progress(progress)) => meter.show(&progress),
            (Side::Base, Event::Progress(_)) => {}
            (side, Event::Up { kernel, rules }) => {
                meter.note(&format!(
                    "{}: linux {kernel} is up, held to the rules of {rules}",
                    name(side)
                ));
            }
            (side, Event::Found(found)) => {
                meter.note(&format!("{}:", name(side)));
                meter.found(&found);
            }
            (side, Event::Inconclusive { index, reason }) => {
                meter.note(&format!("{}: sequence {index} is inconclusive: {reason}", name(side)));
            }
        }
    }

    fn begin(&mut self, what: &str, budget: Budget) {
        // A build is ended at once by a signal; from now on there is something to keep.
        let _ = self.signals.stop_well();
        self.finish();
        say(&format!("{what}, on both kernels"));
        self.fuzz = Some(FuzzMeter::new(budget));
    }

    fn finish(&self) {
        self.build.finish();
        if let Some(meter) = &self.fuzz {
            meter.finish();
        }
    }
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Base => "base",
        Side::Patched => "patched",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_named_as_the_configuration_names_it() {
        let name = Ok("CONFIG_MLX5_INFINIBAND".to_owned());
        assert_eq!(read_option("CONFIG_MLX5_INFINIBAND"), name);
        assert_eq!(read_option("CONFIG_MLX5_INFINIBAND=y"), name);
        for text in ["MLX5_INFINIBAND", "CONFIG_", "CONFIG_A=m", "CONFIG_A B"] {
            assert!(read_option(text).is_err(), "{text}");
        }
    }
}
