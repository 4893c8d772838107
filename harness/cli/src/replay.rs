//! `pinfold replay`: runs stored sequences again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use pinfold::defects::Defects;
use pinfold::oracle::Divergence;
use pinfold_contract::Edge;
use pinfold_run::blocks::BlockMap;
use pinfold_run::{
    Account, Prepared, ReplayConclusion, ReplayCounts, ReplayOptions, Replayed, Target,
    allowed_cpus, replay,
};

use crate::args::{DefectsArgs, ObserveArg, TargetArgs};
use crate::exit::{self, Status};
use crate::files::read_all;
use crate::output::{self, say};
use crate::signals::Signals;

/// Run stored sequences (.seq) again and say whether they diverge
#[derive(Args, Debug)]
pub(crate) struct Replay {
    /// The sequences
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    /// Run each so often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Say op by op what happened
    #[arg(long)]
    explain: bool,
    /// For `git bisect run`: exit status 0 good, 1 bad, 125 cannot tell. What is known counts as bad
    #[arg(long)]
    bisect: bool,
    /// When the state is looked at
    #[arg(long, value_enum, default_value = "each")]
    observe: ObserveArg,
    /// Write which functions and lines of the kernel ran, in the form of lcov: on a kernel that notes its blocks
    /// (uml:SERIES+kcov)
    #[arg(long, value_name = "FILE", conflicts_with = "bisect")]
    lcov: Option<PathBuf>,
    #[command(flatten)]
    known: DefectsArgs,
}

/// What comes of all files together.
struct Outcome {
    conclusion: ReplayConclusion,
    /// Whether each file could be read.
    is_complete: bool,
}

impl Replay {
    pub(crate) fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        let outcome = self.replay_all(signals);
        if self.bisect {
            return Ok(bisected(outcome));
        }
        let Outcome { conclusion, is_complete } = outcome?;
        Ok(match conclusion {
            ReplayConclusion::Diverged => Status::Diverged,
            ReplayConclusion::Unsure | ReplayConclusion::Lacking | ReplayConclusion::Clean
                if !is_complete =>
            {
                Status::Input
            }
            ReplayConclusion::Unsure => Status::Environment,
            ReplayConclusion::Lacking => Status::Capability,
            ReplayConclusion::Clean => Status::Clean,
        })
    }

    fn replay_all(&self, signals: &Signals) -> anyhow::Result<Outcome> {
        // All files first: a wrong one must not be found after minutes of building.
        let read = read_all(&self.files);
        if read.is_empty() || self.bisect && read.len() < self.files.len() {
            let conclusion = ReplayConclusion::Unsure;
            return Ok(Outcome { conclusion, is_complete: false });
        }
        let known = if self.bisect { Defects::default() } else { self.known.read()? };
        let prepared = self.target.prepare(self.known.folder())?;
        let lines = self.lcov.as_deref().map(|path| Lines::of(&prepared, path)).transpose()?;
        let mut edges = BTreeSet::new();
        let stop = signals.stop_well();
        let mut target: Target = prepared.open(allowed_cpus().first().copied(), stop)?;
        let options = ReplayOptions {
            repeat: self.repeat,
            observe: self.observe.into(),
            account: if self.explain { Account::Give } else { Account::Skip },
        };
        let (mut worst, mut counts) = (ReplayConclusion::Clean, ReplayCounts::default());
        for (path, file) in &read {
            let replayed = replay(&mut target, file, &options, &known)?;
            output::result(&describe(path, &replayed))?;
            worst = worst.max(replayed.conclusion());
            counts.add(replayed.counts());
            edges.extend(replayed.edges);
        }
        if let Some(lines) = lines {
            lines.write(&edges)?;
        }
        if counts.unsure > 0 {
            say(&format!("{} of {} runs could not be judged", counts.unsure, counts.runs));
        }
        let is_complete = read.len() == self.files.len();
        if !is_complete {
            let unread = self.files.len() - read.len();
            say(&format!("{unread} of {} files could not be read", self.files.len()));
        }
        // A bisection that could not judge one of its sequences cannot tell.
        let conclusion = if self.bisect { worst } else { counts.conclusion() };
        Ok(Outcome { conclusion, is_complete })
    }
}

/// As `git bisect run` wants it.
fn bisected(outcome: anyhow::Result<Outcome>) -> Status {
    match outcome {
        Ok(Outcome { conclusion: ReplayConclusion::Clean, .. }) => Status::Clean,
        Ok(Outcome { conclusion: ReplayConclusion::Diverged, .. }) => Status::Diverged,
        Ok(Outcome {
            conclusion: ReplayConclusion::Unsure | ReplayConclusion::Lacking, ..
        }) => Status::CannotTell,
        Err(error) => {
            say(&exit::message(&error));
            Status::CannotTell
        }
    }
}

/// Where the lines go that ran, and of which kernel.
struct Lines<'p> {
    map: BlockMap,
    path: &'p Path,
}

impl Lines<'_> {
    fn of<'p>(prepared: &Prepared, path: &'p Path) -> anyhow::Result<Lines<'p>> {
        Ok(Lines { map: prepared.block_map()?, path })
    }

    fn write(&self, edges: &BTreeSet<Edge>) -> anyhow::Result<()> {
        let text = self.map.lcov(edges);
        std::fs::write(self.path, text).with_context(|| {
            format!("cannot write {}: see that its folder is there", self.path.display())
        })?;
        say(&format!("kernel: {}", self.map.count(edges)));
        Ok(())
    }
}

fn describe(path: &Path, replayed: &Replayed<'_>) -> String {
    let mut text = String::new();
    let mut push = |line: &str| {
        writeln!(text, "{}: {line}", path.display()).expect("a string takes everything");
    };
    verdicts(replayed).iter().for_each(|line| push(line));
    if let Some((signature, found)) = &replayed.consequence {
        let Divergence { op_index, oracle, predicted, seen, .. } = found;
        push(&format!(
            "goes on to op {op_index} ({oracle}): predicted {predicted}, seen {seen} [{signature}]"
        ));
    }
    replayed.unmet.iter().for_each(|unmet| push(&unmet.to_string()));
    replayed.lacks.iter().for_each(|lack| push(&lack.to_string()));
    if replayed.is_mostly_skipped() {
        push(&format!(
            "{} of {} ops are skipped, since they have nothing to work on",
            replayed.skipped_op_count, replayed.op_count
        ));
    }
    if let Some(account) = &replayed.account {
        writeln!(text, "\n{}\n", account.trim_end()).expect("a string takes everything");
    }
    text
}

/// What came of the runs, each answer once.
fn verdicts(replayed: &Replayed<'_>) -> Vec<String> {
    let run_count = replayed.judgements.len();
    let lines: Vec<String> = if replayed.agrees() && !replayed.unmet.is_empty() {
        let line = "model and target agree, and the file expects something else";
        vec![line.to_owned(); run_count]
    } else {
        replayed.judgements.iter().map(ToString::to_string).collect()
    };
    let mut told: Vec<String> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if lines[..index].contains(line) {
            continue;
        }
        let count = lines.iter().filter(|other| *other == line).count();
        let share =
            if run_count > 1 { format!(" ({count} of {run_count} runs)") } else { String::new() };
        told.push(format!("{line}{share}"));
    }
    told
}
