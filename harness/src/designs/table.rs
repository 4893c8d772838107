//! What is decided, as a table for a person and as data for a program.

use std::fmt::Write as _;

use pinfold_contract::{PAGE_BYTES, Sequence, print_op};
use serde::Serialize;

use super::{Bill, Counterexample, Decision, Kept, Pair};
use crate::model::Wrong;

/// One pair, in words and numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `as-corrected`.
    pub design: &'static str,
    /// `2013`.
    pub gup: String,
    /// The ops of a shortest sequence in which adapter and CPU differ.
    pub incoherent: Option<Vec<String>>,
    /// The ops of a shortest sequence in which memory is written that may not be.
    pub unprotected: Option<Vec<String>>,
    /// Shared pages of private mappings that were registered for reading.
    pub shared_pages: u64,
    /// How many of them were copied.
    pub copied_pages: u64,
    /// Frames that the live migration costs.
    pub bill_frames: Option<usize>,
    /// Copies that it breaks.
    pub bill_cow_broken: Option<usize>,
    /// What was run of the universe.
    pub sequences: u64,
    /// What was run at random.
    pub random: u64,
    /// How many of these were incoherent.
    pub random_incoherent: u64,
    /// How many of these wrote what may not be written.
    pub random_unprotected: u64,
}

impl Row {
    /// What was decided of one pair.
    pub fn of(decision: &Decision) -> Row {
        let ops = |example: &Option<Counterexample>| {
            example.as_ref().map(|example| lines(&example.sequence))
        };
        let explored = decision.explored;
        Row {
            design: decision.pair.design.name(),
            gup: decision.pair.gup.name(),
            incoherent: ops(&decision.incoherent),
            unprotected: ops(&decision.unprotected),
            shared_pages: decision.kept.shared,
            copied_pages: decision.kept.copied,
            bill_frames: decision.bill.map(|bill| bill.cost.frames_allocated),
            bill_cow_broken: decision.bill.map(|bill| bill.cost.cow_broken),
            sequences: explored.sequences,
            random: explored.random,
            random_incoherent: explored.random_incoherent,
            random_unprotected: explored.random_unprotected,
        }
    }
}

fn lines(sequence: &Sequence) -> Vec<String> {
    sequence.ops.iter().map(print_op).collect()
}

/// A table with one line a pair, the counterexamples below it.
pub fn table(decisions: &[Decision]) -> String {
    let mut text = String::from(
        "| design | GUP | coherent | protected | copy-on-write | live migration costs |\n\
         |---|---|---|---|---|---|\n",
    );
    for decision in decisions {
        let Pair { design, gup } = decision.pair;
        let coherent = verdict(decision.incoherent.as_ref());
        let protected = verdict(decision.unprotected.as_ref());
        let (kept, bill) = (kept(decision.kept), decision.bill.map_or(String::new(), bill));
        writeln!(
            text,
            "| {} | {} | {coherent} | {protected} | {kept} | {bill} |",
            design.name(),
            gup.name()
        )
        .expect("a string takes everything");
    }
    text
}

fn verdict(example: Option<&Counterexample>) -> String {
    match example {
        None => "yes".to_owned(),
        Some(example) => {
            // A bar ends a cell, also in code.
            let ops = lines(&example.sequence).join("`, `").replace('|', "\\|");
            format!("**no**: `{ops}`")
        }
    }
}

fn kept(kept: Kept) -> String {
    match (kept.shared, kept.copied) {
        (0, _) => "never met".to_owned(),
        (_, 0) => "kept".to_owned(),
        (shared, copied) if shared == copied => "broken".to_owned(),
        (shared, copied) => format!("broken in {} %", copied * 100 / shared),
    }
}

fn bill(bill: Bill) -> String {
    let frames = bill.cost.frames_allocated;
    let kib = u64::try_from(frames).unwrap_or(u64::MAX) * u64::from(PAGE_BYTES) / 1024;
    let flag = if bill.flagged { ", with the flag" } else { "" };
    format!("{frames} frames, {kib} KiB{flag}")
}

/// The text of a counterexample's file: what it shows, and each op.
pub fn seq(pair: Pair, example: &Counterexample) -> String {
    let shows = match example.wrong {
        Wrong::Incoherent(mr, _) => {
            format!("after the last op {mr} and the CPU see different bytes")
        }
        Wrong::WritesReadOnly(mr, _) => {
            format!(
                "in the last op {mr} gets a right to write to memory that the process may not write"
            )
        }
        Wrong::ChangesOthers(mr, _) => {
            format!("the last op changes, through {mr}, memory that others see as well")
        }
    };
    let ops: String = lines(&example.sequence).iter().map(|line| format!("{line}\n")).collect();
    format!("# pinfold 1\n# {pair}: {shows}.\n{ops}")
}

/// What the file of a counterexample is called: `as-corrected-2013-incoherent.seq`.
pub fn file_name(pair: Pair, example: &Counterexample) -> String {
    let (design, gup) = (pair.design.name(), pair.gup.name());
    let what = match example.wrong {
        Wrong::Incoherent(..) => "incoherent",
        Wrong::WritesReadOnly(..) | Wrong::ChangesOthers(..) => "unprotected",
    };
    format!("{design}-{gup}-{what}.seq")
}
