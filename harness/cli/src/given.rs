//! What `pinfold fuzz` runs: random sequences, every short one, or those in files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use pinfold::scope::Scope;
use pinfold_contract::{OpKind, SeqFile, Sequence};
use pinfold_run::{Prepared, short_sequences};

use crate::files::read_all;
use crate::output::say;

/// What is run in the place of random sequences.
#[derive(Args, Debug)]
pub(crate) struct GivenArgs {
    /// Run every sequence of at most N ops over two pages, one child and two MRs, instead of random ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=5),
        conflicts_with_all = ["sequences", "rng_seed"])]
    exhaustive: Option<u8>,
    /// Run what libFuzzer left (crash-..., timeout-...) or any .seq, instead of random sequences, and write a report. What
    /// comments of a .seq expect is not looked at: `pinfold replay` does that
    #[arg(long, value_name = "FILE", num_args = 1..,
        conflicts_with_all = ["time", "sequences", "rng_seed", "exhaustive"])]
    artifact: Vec<PathBuf>,
}

/// What a run is about.
#[derive(Debug)]
pub(crate) enum Given {
    /// Random sequences.
    Random,
    /// Every short sequence.
    Exhaustive { sequences: Arc<[Sequence]>, ops_most: u8 },
    /// What is in these files.
    Files(Arc<[Sequence]>),
}

impl GivenArgs {
    /// What is in the files, if there are any: a wrong one must not be found after minutes of building.
    pub(crate) fn read(&self) -> Vec<(&Path, SeqFile)> {
        read_all(&self.artifact)
    }

    /// How many files there are, read or not.
    pub(crate) fn file_count(&self) -> usize {
        self.artifact.len()
    }

    /// What is to be run. `files` is what [`GivenArgs::read`] gave.
    pub(crate) fn of(
        &self,
        files: &[(&Path, SeqFile)],
        prepared: &Prepared,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Given> {
        let Some(ops_most) = self.exhaustive else {
            let sequences = files.iter().map(|(_, file)| file.sequence.clone());
            return Ok(if files.is_empty() {
                Given::Random
            } else {
                Given::Files(sequences.collect())
            });
        };
        let since = Instant::now();
        let (sequences, scope) = short_sequences(prepared, ops_most.into(), stop)?;
        say(&describe(&scope, ops_most, since.elapsed().as_secs_f64()));
        Ok(Given::Exhaustive { sequences, ops_most })
    }
}

impl Given {
    /// The sequences that are run in the place of random ones.
    pub(crate) fn sequences(&self) -> Option<&Arc<[Sequence]>> {
        match self {
            Given::Random => None,
            Given::Exhaustive { sequences, .. } | Given::Files(sequences) => Some(sequences),
        }
    }

    /// Whether ops of `kind` are to be run. Random sequences have every kind.
    pub(crate) fn has(&self, kind: OpKind) -> bool {
        let mut ops = self.sequences().into_iter().flat_map(|all| all.iter()).flat_map(|s| &s.ops);
        self.sequences().is_none() || ops.any(|op| op.kind() == kind)
    }

    /// What is run, in a few words.
    pub(crate) fn describe(&self, rng_seed: u64) -> String {
        match self {
            Given::Random => format!("rng seed {rng_seed:#x}"),
            Given::Exhaustive { sequences, ops_most } => {
                format!("all {} sequences of at most {ops_most} ops", sequences.len())
            }
            Given::Files(sequences) => format!("{} files", sequences.len()),
        }
    }

    /// What was run, where the time may have been too short.
    pub(crate) fn describe_done(&self, rng_seed: u64, done: u64) -> String {
        let what = self.describe(rng_seed);
        self.sequences().map_or(what.clone(), |_| format!("{done} of {what}"))
    }
}

fn describe(scope: &Scope, ops_most: u8, seconds: f64) -> String {
    let lengths = scope.sequences.iter().zip(1..);
    let lengths: Vec<String> =
        lengths.map(|(count, op_count)| format!("{count} of {op_count}")).collect();
    format!(
        "{} sequences of at most {ops_most} ops over two pages, one child and two MRs ({}) lead to {} different states \
         of the model, counted in {seconds:.1} s; left out are {} that are another one but for names, and {} whose last \
         op is skipped",
        scope.sequence_count(),
        lengths.join(", "),
        scope.states,
        scope.renamed,
        scope.skipping,
    )
}
