//! `pinfold designs`: what becomes of the ways to register memory that were proposed in 2012 and 2013.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{fs, thread};

use anyhow::Context as _;
use clap::Args;
use pinfold::designs::{ACTS, Decision, MAPS, OPS_MOST, Pair, Row, decide, file_name, seq, table};

use crate::exit::Status;
use crate::output::{self, say};

/// Decide which of the designs of 2013 are coherent and protected, and what they cost, over each GUP
///
/// Runs, on the model, every sequence of a small universe (one page of any kind, one child, two MRs), and then random
/// ones, and looks at each state: does the adapter see what the CPU sees, and is nothing written that may not be?
#[derive(Args, Debug)]
pub(crate) struct Designs {
    /// Only this one: DESIGN/GUP, such as as-corrected/2013
    #[arg(long, value_name = "PAIR", value_parser = read_pair)]
    only: Option<Pair>,
    /// Most ops of a sequence of which all are run
    #[arg(long, value_name = "N", default_value_t = 5)]
    ops: usize,
    /// How many random sequences
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    random: u64,
    /// Which random sequences: the same number gives the same ones
    #[arg(long, value_name = "N", default_value_t = 2013)]
    rng_seed: u64,
    /// Where counterexamples go, as .seq
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON array instead of a table
    #[arg(long)]
    json: bool,
}

impl Designs {
    pub(crate) fn run(&self) -> anyhow::Result<Status> {
        let decisions = self.decide();
        if let Some(folder) = &self.out {
            keep(folder, &decisions)?;
        }
        if self.json {
            let rows: Vec<Row> = decisions.iter().map(Row::of).collect();
            output::result(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
        } else {
            output::result(&table(&decisions))?;
            self.say_what_was_run(&decisions);
        }
        Ok(Status::Clean)
    }

    /// Every pair, on all processors, in order.
    fn decide(&self) -> Vec<Decision> {
        let pairs: Vec<Pair> = self.only.map_or_else(|| Pair::all().collect(), |pair| vec![pair]);
        let todo = Mutex::new(pairs.into_iter());
        let done = Mutex::new(Vec::new());
        let next = || todo.lock().ok()?.next();
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while let Some(pair) = next() {
                        let decision = decide(pair, self.ops, self.rng_seed, self.random);
                        done.lock().expect("no thread panics with it").push(decision);
                    }
                });
            }
        });
        let mut done = done.into_inner().expect("no thread panics with it");
        done.sort_by_key(|decision| decision.pair);
        done
    }

    fn say_what_was_run(&self, decisions: &[Decision]) {
        let Some(first) = decisions.first() else { return };
        say(&format!(
            "of each pair: all {} sequences of at most {} ops, of {} mappings and {} other ops, without those in which an \
             op is skipped (this is the number of {}); then {} random ones of rng seed {}",
            first.explored.sequences,
            self.ops.min(OPS_MOST),
            MAPS.len(),
            ACTS.len(),
            first.pair,
            first.explored.random,
            self.rng_seed
        ));
    }
}

fn keep(folder: &Path, decisions: &[Decision]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for decision in decisions {
        for example in [&decision.incoherent, &decision.unprotected].into_iter().flatten() {
            let path = folder.join(file_name(decision.pair, example));
            fs::write(&path, seq(decision.pair, example))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

fn read_pair(text: &str) -> Result<Pair, String> {
    let names = || Pair::all().map(|pair| pair.to_string()).collect::<Vec<_>>().join(", ");
    Pair::from_name(text).ok_or_else(|| format!("there are {}", names()))
}
