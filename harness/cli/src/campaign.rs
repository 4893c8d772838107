//! `pinfold campaign`: does the runs that a file names, and records each.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use pinfold_run::{
    Budget, CampaignEvent, CampaignOptions, Event, Shard, allowed_cpus, campaign,
    campaign_markdown, read_plan,
};

use crate::args::DefectsArgs;
use crate::exit::Status;
use crate::output::{self, say};
use crate::progress::FuzzMeter;
use crate::signals::Signals;

/// Do the runs that a file names, record each, and sum them up
#[derive(Args, Debug)]
pub(crate) struct Campaign {
    /// What to do: targets, rng_seeds, sequences and observe (sampled, each, end), in TOML
    #[arg(value_name = "FILE.toml")]
    plan: PathBuf,
    /// Only part I of N, from 1: for several machines that share the folder or merge theirs afterwards
    #[arg(long, value_name = "I/N", value_parser = read_shard)]
    shard: Option<Shard>,
    /// Go on where an earlier call ended
    #[arg(long)]
    resume: bool,
    /// Where records, findings, summary.json and summary.md go
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// How many targets at once [default: one a CPU]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    known: DefectsArgs,
    /// Print one JSON object instead of a summary
    #[arg(long)]
    json: bool,
}

impl Campaign {
    pub(crate) fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        let plan = read_plan(&self.plan)?;
        let cpu_count = NonZeroUsize::new(allowed_cpus().len()).unwrap_or(NonZeroUsize::MIN);
        let options = CampaignOptions {
            out: self.out.clone(),
            shard: self.shard.unwrap_or_default(),
            resume: self.resume,
            jobs: self.jobs.unwrap_or(cpu_count),
            known: self.known.read()?,
        };
        let stop = signals.stop_well();
        let mut meter = FuzzMeter::new(Budget::Sequences(plan.sequences));
        let result = campaign(&plan, &options, &stop, &mut |event| match event {
            CampaignEvent::Begins { unit, number, of } => {
                meter.finish();
                say(&format!("run {number} of {of}: {}, rng seed {}", unit.target, unit.rng_seed));
                meter = FuzzMeter::new(Budget::Sequences(plan.sequences));
            }
            CampaignEvent::Recorded { unit } => {
                say(&format!("recorded already: {}, rng seed {}", unit.target, unit.rng_seed));
            }
            CampaignEvent::Fuzz(Event::Up { kernel, rules }) => {
                meter.note(&format!("linux {kernel} is up, held to the rules of {rules}"));
            }
            CampaignEvent::Fuzz(Event::Found(found)) => meter.found(&found),
            CampaignEvent::Fuzz(Event::Inconclusive { index, reason }) => {
                meter.note(&format!("sequence {index} is inconclusive: {reason}"));
            }
            CampaignEvent::Fuzz(Event::Progress(progress)) => meter.show(&progress),
        });
        meter.finish();
        let sums = result?;
        let text =
            if self.json { serde_json::to_string(&sums)? + "\n" } else { campaign_markdown(&sums) };
        output::result(&text)?;
        let diverges = sums.iter().any(|sum| sum.tally.diverges > 0);
        Ok(if diverges { Status::Diverged } else { Status::Clean })
    }
}

fn read_shard(text: &str) -> Result<Shard, String> {
    let read = || {
        let (number, count) = text.split_once('/')?;
        let count: NonZeroUsize = count.parse().ok()?;
        let index = number.parse::<usize>().ok()?.checked_sub(1)?;
        (index < count.get()).then_some(Shard { index, count })
    };
    read().ok_or_else(|| "a part of a campaign is one of so many, such as 1/4".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_one_of_so_many() {
        assert_eq!(read_shard("2/4").unwrap().index, 1);
        for wrong in ["0/4", "5/4", "1", "1/0", "a/b"] {
            assert!(read_shard(wrong).unwrap_err().contains("1/4"), "{wrong}");
        }
    }
}
