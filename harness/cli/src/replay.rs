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
    allowed_cpus, read_seq, replay,
};

use crate::args::{DefectsArgs, ObserveArg, TargetArgs};
use crate::exit::{self, Status};
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

impl Replay {
    pub(crate) fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        let conclusion = self.replay_all(signals);
        if !self.bisect {
            return conclusion.map(|conclusion| match conclusion {
                ReplayConclusion::Clean => Status::Clean,
                ReplayConclusion::Diverged => Status::Diverged,
                ReplayConclusion::Unsure => Status::Environment,
            });
        }
        Ok(match conclusion {
            Ok(ReplayConclusion::Clean) => Status::Clean,
            Ok(ReplayConclusion::Diverged) => Status::Diverged,
            Ok(ReplayConclusion::Unsure) => Status::CannotTell,
            Err(error) => {
                say(&exit::message(&error));
                Status::CannotTell
            }
        })
    }

    fn replay_all(&self, signals: &Signals) -> anyhow::Result<ReplayConclusion> {
        // All files first: a wrong one must not be found after minutes of building.
        let mut files = Vec::new();
        for path in &self.files {
            files.push((path, read_seq(path)?));
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
        for (path, file) in files {
            let replayed = replay(&mut target, &file, &options, &known)?;
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
        // A bisection that could not judge one of its sequences cannot tell.
        Ok(if self.bisect { worst } else { counts.conclusion() })
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
    let run_count = replayed.judgements.len();
    let mut told: Vec<String> = Vec::new();
    let lines: Vec<String> = replayed.judgements.iter().map(ToString::to_string).collect();
    for line in &lines {
        if told.contains(line) {
            continue;
        }
        told.push(line.clone());
        let count = lines.iter().filter(|other| *other == line).count();
        let share =
            if run_count > 1 { format!(" ({count} of {run_count} runs)") } else { String::new() };
        writeln!(text, "{}: {line}{share}", path.display()).expect("a string takes everything");
    }
    if let Some((signature, found)) = &replayed.consequence {
        let Divergence { op_index, oracle, predicted, seen, .. } = found;
        let line = format!(
            "goes on to op {op_index} ({oracle}): predicted {predicted}, seen {seen} [{signature}]"
        );
        writeln!(text, "{}: {line}", path.display()).expect("a string takes everything");
    }
    for unmet in &replayed.unmet {
        writeln!(text, "{}: {unmet}", path.display()).expect("a string takes everything");
    }
    if let Some(account) = &replayed.account {
        writeln!(text, "\n{}\n", account.trim_end()).expect("a string takes everything");
    }
    text
}
