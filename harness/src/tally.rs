//! What a run did, in numbers.
//!
//! The vacuity table says of every kind of op how often it worked, was refused
//! and with what, was skipped, and never came back: a run in which nothing
//! diverged says nothing of an op that never once worked.

use std::collections::BTreeMap;

use pinfold_contract::{End, OpKind, Outcome, Sequence, Trace};
use serde::{Deserialize, Serialize};

use crate::{
    oracle::{Inconclusive, Verdict, outcome_name},
    signature::Signature,
};

/// Counts of one run. Adding two gives the counts of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Sequences judged: those that agree, diverge, are known and are inconclusive.
    pub sequences: u64,
    /// Ops that came to an end, skipped ones too.
    pub ops: u64,
    /// Sequences in which the target agreed.
    pub agrees: u64,
    /// Sequences with a divergence that nothing explains.
    pub diverges: u64,
    /// Sequences that could not be judged, by the name of the reason.
    pub inconclusive: BTreeMap<String, u64>,
    /// Sequences with a divergence that the known list explains, by signature.
    pub known: BTreeMap<Signature, u64>,
    /// Sequences with a divergence that nothing explains, by signature.
    pub unexplained: BTreeMap<Signature, u64>,
    /// The vacuity table.
    pub kinds: BTreeMap<OpKind, KindTally>,
    /// How many sequences had how many ops that were not skipped.
    pub executed_ops: BTreeMap<u64, u64>,
}

/// What became of the ops of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindTally {
    /// It worked.
    pub done: u64,
    /// It was refused, by the name of errno, completion status or signal.
    pub refused: BTreeMap<String, u64>,
    /// There was nothing to work on.
    pub skipped: u64,
    /// It hung, or the kernel died in it.
    pub unfinished: u64,
}

impl KindTally {
    /// How often it was refused, with whatever.
    pub fn refused_count(&self) -> u64 {
        self.refused.values().sum()
    }

    fn add(&mut self, other: &KindTally) {
        self.done += other.done;
        self.skipped += other.skipped;
        self.unfinished += other.unfinished;
        add_counts(&mut self.refused, &other.refused);
    }
}

impl Tally {
    /// Counts one sequence. `known` is its signature if the known list explains the divergence.
    pub fn record(
        &mut self,
        sequence: &Sequence,
        trace: &Trace,
        verdict: &Verdict,
        known: Option<&Signature>,
    ) {
        self.record_ops(sequence, trace);
        match (verdict, known) {
            (Verdict::Agrees, _) => {
                self.sequences += 1;
                self.agrees += 1;
            }
            (Verdict::Diverges(_), Some(signature)) => {
                self.sequences += 1;
                *self.known.entry(signature.clone()).or_default() += 1;
            }
            (Verdict::Diverges(divergence), None) => {
                self.sequences += 1;
                self.diverges += 1;
                let signature = Signature::of(sequence, divergence);
                *self.unexplained.entry(signature).or_default() += 1;
            }
            (Verdict::Inconclusive { reason }, _) => self.record_inconclusive(reason),
        }
    }

    /// Counts a sequence that could not be judged and gave no trace.
    pub fn record_inconclusive(&mut self, reason: &Inconclusive) {
        self.sequences += 1;
        *self.inconclusive.entry(reason.name().to_owned()).or_default() += 1;
    }

    fn record_ops(&mut self, sequence: &Sequence, trace: &Trace) {
        let mut executed = 0;
        for (op, step) in sequence.ops.iter().zip(&trace.steps) {
            self.ops += 1;
            let kind = self.kinds.entry(op.kind()).or_default();
            match &step.outcome {
                Outcome::Done | Outcome::Value(_) => kind.done += 1,
                Outcome::Errno(_) | Outcome::Completion(_) | Outcome::Fault { .. } => {
                    *kind.refused.entry(outcome_name(&step.outcome)).or_default() += 1;
                }
                Outcome::Skipped => {
                    kind.skipped += 1;
                    continue;
                }
            }
            executed += 1;
        }
        *self.executed_ops.entry(executed).or_default() += 1;
        match trace.end {
            End::Finished { .. } => {}
            End::Hung { .. } | End::Died { .. } => {
                if let Some(op) = sequence.ops.get(trace.steps.len()) {
                    self.kinds.entry(op.kind()).or_default().unfinished += 1;
                }
            }
        }
    }

    /// Adds what another run counted.
    pub fn add(&mut self, other: &Tally) {
        self.sequences += other.sequences;
        self.ops += other.ops;
        self.agrees += other.agrees;
        self.diverges += other.diverges;
        add_counts(&mut self.inconclusive, &other.inconclusive);
        add_counts(&mut self.known, &other.known);
        add_counts(&mut self.unexplained, &other.unexplained);
        add_counts(&mut self.executed_ops, &other.executed_ops);
        for (kind, tally) in &other.kinds {
            self.kinds.entry(*kind).or_default().add(tally);
        }
    }

    /// How many sequences could not be judged, for whatever reason.
    pub fn inconclusive_count(&self) -> u64 {
        self.inconclusive.values().sum()
    }

    /// How many sequences have a divergence that the known list explains.
    pub fn known_count(&self) -> u64 {
        self.known.values().sum()
    }

    /// Kinds of op that never once worked.
    pub fn never_done(&self) -> Vec<OpKind> {
        let done = |kind| self.kinds.get(&kind).map_or(0, |tally| tally.done);
        OpKind::ALL.into_iter().filter(|&kind| done(kind) == 0).collect()
    }

    /// How many ops of a sequence were not skipped, in the median (the lower one
    /// of two); 0 without sequences.
    pub fn executed_ops_median(&self) -> u64 {
        let total: u64 = self.executed_ops.values().sum();
        let mut left = total.div_ceil(2);
        for (&ops, &count) in &self.executed_ops {
            match left.checked_sub(count) {
                Some(rest) if rest > 0 => left = rest,
                _ => return ops,
            }
        }
        0
    }

    /// The counts and the vacuity table, aligned for a terminal.
    pub fn to_text(&self) -> String {
        let rows = self.rows();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
        let mut text = format!("{}\n\n", self.counts());
        for row in &rows {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = widths[column];
                if is_number(column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// The counts and the vacuity table in Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.counts());
        for (index, row) in self.rows().iter().enumerate() {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
            if index == 0 {
                let rule = (0..HEADER.len()).map(|c| if is_number(c) { "--:" } else { "---" });
                text.push_str(&format!("|{}|\n", rule.collect::<Vec<_>>().join("|")));
            }
        }
        text
    }

    fn counts(&self) -> String {
        format!(
            "{} sequences of {} ops, {} executed in the median: {} agree, {} diverge, {} known, {} inconclusive",
            self.sequences,
            self.ops,
            self.executed_ops_median(),
            self.agrees,
            self.diverges,
            self.known_count(),
            self.inconclusive_count(),
        )
    }

    /// The vacuity table: a header, then a row for every kind, also those that never came.
    fn rows(&self) -> Vec<[String; HEADER.len()]> {
        let mut rows = vec![HEADER.map(str::to_owned)];
        let none = KindTally::default();
        for kind in OpKind::ALL {
            let tally = self.kinds.get(&kind).unwrap_or(&none);
            let refused = tally.refused.iter().map(|(name, count)| format!("{name} {count}"));
            rows.push([
                kind.to_string(),
                tally.done.to_string(),
                tally.refused_count().to_string(),
                tally.skipped.to_string(),
                tally.unfinished.to_string(),
                refused.collect::<Vec<_>>().join(", "),
            ]);
        }
        rows
    }
}

const HEADER: [&str; 6] = ["op", "done", "refused", "skipped", "unfinished", "refused with"];

fn is_number(column: usize) -> bool {
    (1..=4).contains(&column)
}

fn add_counts<K: Ord + Clone>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(key.clone()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{Errno, Runs, Step, Teardown, parse};

    use super::*;
    use crate::oracle::{Divergence, Oracle};

    const TEXT: &str = "# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 remote_read\n\
                        reg mr0 0..1 remote_read\nread_remote mr0 8\n";

    fn sequence() -> Sequence {
        parse(TEXT).unwrap().sequence
    }

    fn trace(outcomes: &[Outcome], end: Option<End>) -> Trace {
        let step = |outcome: &Outcome| Step {
            outcome: outcome.clone(),
            checkpoint: None,
            kernel_log: String::new(),
        };
        let finished = End::Finished { teardown: Teardown::default(), kernel_log: String::new() };
        Trace { steps: outcomes.iter().map(step).collect(), end: end.unwrap_or(finished) }
    }

    fn good() -> Trace {
        let value = Outcome::Value(Runs::uniform(8, 0));
        trace(&[Outcome::Done, Outcome::Done, Outcome::Skipped, value], None)
    }

    fn divergence() -> Verdict {
        Verdict::Diverges(Divergence {
            op_index: 1,
            oracle: Oracle::Outcome,
            predicted: "ok".to_owned(),
            seen: "EFAULT".to_owned(),
            class: "ok-efault".to_owned(),
            detail: String::new(),
        })
    }

    fn one_of_each() -> Tally {
        let mut tally = Tally::default();
        let refused = trace(&[Outcome::Done, Outcome::Errno(Errno::EFAULT)], None);
        tally.record(&sequence(), &good(), &Verdict::Agrees, None);
        tally.record(&sequence(), &refused, &divergence(), None);
        let known = "outcome-reg-ok-efault".parse().unwrap();
        tally.record(&sequence(), &refused, &divergence(), Some(&known));
        let reason = Inconclusive::TraceIsShort;
        tally.record(&sequence(), &good(), &Verdict::Inconclusive { reason }, None);
        tally
    }

    #[test]
    fn verdicts_are_counted_four_ways_and_none_is_dropped() {
        let tally = one_of_each();
        assert_eq!((tally.sequences, tally.agrees, tally.diverges), (4, 1, 1));
        assert_eq!((tally.known_count(), tally.inconclusive_count()), (1, 1));
        let sum = tally.agrees + tally.diverges + tally.known_count() + tally.inconclusive_count();
        assert_eq!(sum, tally.sequences);
        assert_eq!(tally.known.keys().next(), tally.unexplained.keys().next());
    }

    #[test]
    fn ops_are_counted_by_what_became_of_them() {
        let tally = one_of_each();
        assert_eq!(tally.ops, 12);
        let reg = &tally.kinds[&OpKind::Reg];
        assert_eq!((reg.done, reg.skipped, reg.refused_count()), (2, 2, 2));
        assert_eq!(reg.refused["EFAULT"], 2);
        assert_eq!(tally.kinds[&OpKind::RemoteRead].done, 2);
    }

    #[test]
    fn an_op_that_never_came_back_is_counted_as_such() {
        let mut tally = Tally::default();
        let hung = trace(&[Outcome::Done], Some(End::Hung { kernel_log: String::new() }));
        tally.record(&sequence(), &hung, &divergence(), None);
        assert_eq!(tally.kinds[&OpKind::Reg].unfinished, 1);
        assert_eq!(tally.ops, 1);
    }

    #[test]
    fn what_never_worked_is_named() {
        let never = one_of_each().never_done();
        assert!(!never.contains(&OpKind::Map) && !never.contains(&OpKind::RemoteRead));
        assert!(never.contains(&OpKind::Fork) && never.contains(&OpKind::Dereg));
        assert_eq!(Tally::default().never_done(), OpKind::ALL);
    }

    #[test]
    fn two_halves_add_up_to_the_whole() {
        let mut sum = one_of_each();
        sum.add(&one_of_each());
        let mut whole = Tally::default();
        whole.add(&sum);
        assert_eq!(whole, sum);
        assert_eq!(whole.sequences, 8);
        assert_eq!(whole.kinds[&OpKind::Reg].refused["EFAULT"], 4);
    }

    #[test]
    fn the_median_is_of_ops_that_were_not_skipped() {
        assert_eq!(Tally::default().executed_ops_median(), 0);
        assert_eq!(one_of_each().executed_ops_median(), 2);
        let odd =
            Tally { executed_ops: BTreeMap::from([(1, 1), (5, 1), (9, 1)]), ..Tally::default() };
        assert_eq!(odd.executed_ops_median(), 5);
    }

    #[test]
    fn tables_have_a_row_for_every_kind() {
        let tally = one_of_each();
        let text = tally.to_text();
        assert!(text.starts_with("4 sequences of 12 ops, 2 executed in the median: 1 agree, 1 diverge, 1 known, 1 inconclusive\n"), "{text}");
        assert!(
            text.contains("reg              2        2        2           0  EFAULT 2\n"),
            "{text}"
        );
        let markdown = tally.to_markdown();
        assert!(markdown.contains("| reg | 2 | 2 | 2 | 0 | EFAULT 2 |\n"), "{markdown}");
        for table in [text, markdown] {
            assert_eq!(table.lines().filter(|l| l.contains("write_remote")).count(), 1);
        }
    }

    #[test]
    fn a_tally_can_be_stored() {
        let tally = one_of_each();
        let json = serde_json::to_string(&tally).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&json).unwrap(), tally);
    }
}
