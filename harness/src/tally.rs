//! What a run did, in numbers.
//!
//! The vacuity table says of every kind of op how often it worked, was refused
//! and with what, was skipped, and never came back: a run in which nothing
//! diverged says nothing of an op that never once worked. Where an op is many
//! things by its arguments (an advice, a file, a key), each of them has a row of
//! its own. What the model allowed is counted as well. A refusal that the model
//! knows ([`refusals`]) and that no kernel ever gave was never compared: these are listed.

mod variety;

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{End, OpKind, Outcome, Sequence, Trace};
use serde::{Deserialize, Serialize};

pub use variety::{varieties, varieties_of};

use crate::{
    defects::{Standing, known_counts},
    model::{PredictedStep, Prediction, Refusal, Unseen, refusals},
    oracle::{Inconclusive, Verdict, outcome_name},
    profile::Profile,
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
    /// Those of them whose entry is only presumed to hold for this kernel.
    #[serde(default)]
    pub presumed: BTreeMap<Signature, u64>,
    /// Sequences with a divergence that nothing explains, by signature.
    pub unexplained: BTreeMap<Signature, u64>,
    /// Series of the profiles that the target was compared with.
    #[serde(default)]
    pub series: BTreeSet<String>,
    /// The vacuity table.
    pub kinds: BTreeMap<OpKind, KindTally>,
    /// The same by what ops are given to work with: see [`varieties`].
    #[serde(default)]
    pub varieties: BTreeMap<String, KindTally>,
    /// Requests for on-demand paging that were left out of random sequences, since the model has no rules for it.
    #[serde(default)]
    pub on_demand_left_out: u64,
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
    /// What the model said of it before, by the same names, `ok` and `value`; each outcome that it allowed is counted.
    #[serde(default)]
    pub predicted: BTreeMap<String, u64>,
}

impl KindTally {
    /// How often it was refused, with whatever.
    pub fn refused_count(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Counts one op that came to this.
    fn record(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done | Outcome::Value(_) => self.done += 1,
            Outcome::Errno(_)
            | Outcome::Completion(_)
            | Outcome::Completions { .. }
            | Outcome::Fault { .. } => {
                *self.refused.entry(outcome_name(outcome)).or_default() += 1;
            }
            Outcome::Skipped => self.skipped += 1,
        }
    }

    /// Counts what the model said of one op.
    fn record_predicted(&mut self, prediction: &Prediction) {
        for outcome in [prediction.expected()].into_iter().chain(prediction.others()) {
            *self.predicted.entry(outcome_name(outcome)).or_default() += 1;
        }
    }

    /// Whether it never once worked, and that says something: not of what was refused as the model said it always is.
    fn is_vacuous(&self) -> bool {
        let could = WORKED.iter().any(|name| self.predicted.contains_key(*name));
        let is_refused = !self.refused.is_empty() && !self.predicted.is_empty() && !could;
        self.done == 0 && !is_refused
    }

    fn add(&mut self, other: &KindTally) {
        self.done += other.done;
        self.skipped += other.skipped;
        self.unfinished += other.unfinished;
        add_counts(&mut self.refused, &other.refused);
        add_counts(&mut self.predicted, &other.predicted);
    }
}

impl Tally {
    /// Counts one sequence. `known` is its signature if the known list explains the divergence, and how far it does.
    pub fn record(
        &mut self,
        sequence: &Sequence,
        trace: &Trace,
        verdict: &Verdict,
        known: Option<(&Signature, Standing)>,
    ) {
        self.record_ops(sequence, trace);
        match (verdict, known) {
            (Verdict::Agrees, _) => {
                self.sequences += 1;
                self.agrees += 1;
            }
            (Verdict::Diverges(_), Some((signature, standing))) => {
                self.sequences += 1;
                *self.known.entry(signature.clone()).or_default() += 1;
                match standing {
                    Standing::Verified => {}
                    Standing::Presumed { .. } => {
                        *self.presumed.entry(signature.clone()).or_default() += 1;
                    }
                }
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

    /// Counts what the model said of the ops of a sequence, as far as they were carried out.
    pub fn record_predicted(
        &mut self,
        sequence: &Sequence,
        predicted: &[PredictedStep],
        trace: &Trace,
    ) {
        let ops = sequence.ops.iter().zip(predicted).take(trace.steps.len());
        for (op, step) in ops {
            self.kinds.entry(op.kind()).or_default().record_predicted(&step.prediction);
            for variety in varieties_of(*op) {
                self.varieties.entry(variety).or_default().record_predicted(&step.prediction);
            }
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
            self.kinds.entry(op.kind()).or_default().record(&step.outcome);
            for variety in varieties_of(*op) {
                self.varieties.entry(variety).or_default().record(&step.outcome);
            }
            if step.outcome == Outcome::Skipped {
                continue;
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
        add_counts(&mut self.presumed, &other.presumed);
        add_counts(&mut self.unexplained, &other.unexplained);
        add_counts(&mut self.executed_ops, &other.executed_ops);
        self.series.extend(other.series.iter().cloned());
        self.on_demand_left_out += other.on_demand_left_out;
        for (kind, tally) in &other.kinds {
            self.kinds.entry(*kind).or_default().add(tally);
        }
        for (variety, tally) in &other.varieties {
            self.varieties.entry(variety.clone()).or_default().add(tally);
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

    /// How many of them have an entry that is only presumed to hold for this kernel.
    pub fn presumed_count(&self) -> u64 {
        self.presumed.values().sum()
    }

    /// Kinds of op that never once worked, without those that the model says are always refused here.
    pub fn never_done(&self) -> Vec<OpKind> {
        let vacuous = |kind: &OpKind| self.kinds.get(kind).is_none_or(KindTally::is_vacuous);
        OpKind::ALL.into_iter().filter(vacuous).collect()
    }

    /// The same of varieties.
    pub fn varieties_never_done(&self) -> Vec<String> {
        let vacuous = |name: &String| self.varieties.get(name).is_none_or(KindTally::is_vacuous);
        varieties().into_iter().filter(vacuous).collect()
    }

    /// Each refusal that the model knows, of the series of this tally or of all, and whether it was seen. One that a
    /// series can show has no reason not to be seen.
    fn known_refusals(&self) -> Vec<(Refusal, bool)> {
        let is_of_this = |profile: &&Profile| {
            self.series.is_empty() || self.series.contains(&profile.series.to_string())
        };
        let profiles = Profile::all().iter().filter(is_of_this);
        let mut known: Vec<Refusal> = Vec::new();
        for refusal in profiles.flat_map(refusals) {
            let same = |other: &&mut Refusal| other.is_same(refusal);
            match known.iter_mut().find(same) {
                Some(other) if refusal.unseen.is_none() => other.unseen = None,
                Some(_) => {}
                None => known.push(refusal),
            }
        }
        known.sort_by_key(|refusal| (refusal.kind, refusal.name));
        known.into_iter().map(|refusal| (refusal, self.has_seen(refusal))).collect()
    }

    fn has_seen(&self, refusal: Refusal) -> bool {
        let tally = self.kinds.get(&refusal.kind);
        tally.is_some_and(|tally| tally.refused.contains_key(refusal.name))
    }

    /// How many of the refusals that the model knows were seen.
    pub fn seen_count(&self) -> usize {
        self.known_refusals().iter().filter(|(_, is_seen)| *is_seen).count()
    }

    /// The refusals that the model knows and the target never gave.
    pub fn never_seen(&self) -> Vec<Refusal> {
        let known = self.known_refusals().into_iter();
        known.filter(|(_, is_seen)| !is_seen).map(|(refusal, _)| refusal).collect()
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

    /// The counts, the vacuity table and that of the varieties, aligned for a terminal.
    pub fn to_text(&self) -> String {
        let tables = [self.rows(), self.variety_rows()].map(|rows| aligned(&rows));
        format!("{}\n\n{}\n{}", self.counts(), tables.join("\n"), self.refusals_text())
    }

    /// The counts and both tables in Markdown.
    pub fn to_markdown(&self) -> String {
        let tables = [self.rows(), self.variety_rows()].map(|rows| markdown(&rows));
        format!("{}\n\n{}\n{}", self.counts(), tables.join("\n"), self.refusals_text())
    }

    /// How much was seen of the refusals that the model knows, and the others: those without a reason first.
    pub fn refusals_text(&self) -> String {
        let never = self.never_seen();
        let mut text = format!(
            "refusals that the model knows: {} seen, {} not seen\n",
            self.seen_count(),
            never.len()
        );
        let mut groups: BTreeMap<Option<Unseen>, Vec<String>> = BTreeMap::new();
        for refusal in never {
            groups.entry(refusal.unseen).or_default().push(refusal.to_string());
        }
        for (unseen, names) in groups {
            let why = unseen.map_or("not yet".to_owned(), |unseen| unseen.to_string());
            text.push_str(&format!("- {why}: {}\n", names.join(", ")));
        }
        text
    }

    fn counts(&self) -> String {
        format!(
            "{} sequences of {} ops, {} executed in the median: {} agree, {} diverge, {}, {} inconclusive",
            self.sequences,
            self.ops,
            self.executed_ops_median(),
            self.agrees,
            self.diverges,
            known_counts(self.known_count(), self.presumed_count()),
            self.inconclusive_count(),
        ) + &self.left_out_text()
    }

    /// What was not asked of the kernel at all; nothing where nothing was left out.
    fn left_out_text(&self) -> String {
        match self.on_demand_left_out {
            0 => String::new(),
            count => format!(
                "; {count} requests for on-demand paging were left out: the model has no rules for it"
            ),
        }
    }

    /// The vacuity table: a header, then a row for every kind, also those that never came.
    fn rows(&self) -> Vec<Row> {
        let kinds = OpKind::ALL.map(|kind| row(kind.to_string(), self.kinds.get(&kind)));
        [HEADER.map(str::to_owned)].into_iter().chain(kinds).collect()
    }

    /// The same of every variety.
    fn variety_rows(&self) -> Vec<Row> {
        let rows = varieties().into_iter().map(|name| {
            let tally = self.varieties.get(&name);
            row(name, tally)
        });
        [HEADER.map(str::to_owned)].into_iter().chain(rows).collect()
    }
}

/// A line of a table.
type Row = [String; HEADER.len()];

fn row(name: String, tally: Option<&KindTally>) -> Row {
    let none = KindTally::default();
    let tally = tally.unwrap_or(&none);
    let refused = tally.refused.iter().map(|(name, count)| format!("{name} {count}"));
    [
        name,
        tally.done.to_string(),
        tally.refused_count().to_string(),
        tally.skipped.to_string(),
        tally.unfinished.to_string(),
        refused.collect::<Vec<_>>().join(", "),
    ]
}

fn aligned(rows: &[Row]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if is_number(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
        if index == 0 {
            let rule = (0..HEADER.len()).map(|c| if is_number(c) { "--:" } else { "---" });
            text.push_str(&format!("|{}|\n", rule.collect::<Vec<_>>().join("|")));
        }
    }
    text
}

/// What an op that worked is called.
const WORKED: [&str; 2] = ["ok", "value"];

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
    use pinfold_contract::{Errno, Runs, Series, Step, Teardown, parse};

    use super::*;
    use crate::oracle::{Divergence, Oracle};
    use crate::profile::Platform;

    const TEXT: &str = "# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 remote_read\n\
                        reg mr0 0..1 remote_read\nread_remote mr0 8\n";

    fn sequence() -> Sequence {
        parse(TEXT).unwrap().sequence
    }

    fn trace(outcomes: &[Outcome], end: Option<End>) -> Trace {
        let step = |outcome: &Outcome| Step {
            outcome: outcome.clone(),
            completions: Vec::new(),
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
        tally.record(&sequence(), &refused, &divergence(), Some((&known, Standing::Verified)));
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
    fn what_is_only_presumed_to_be_known_is_counted_as_such_and_as_known() {
        let mut tally = one_of_each();
        assert!(tally.to_text().contains(", 1 known, "), "{}", tally.to_text());
        let standing = Standing::Presumed { series: Series::new(7, 3), platform: Platform::Uml };
        let refused = trace(&[Outcome::Done, Outcome::Errno(Errno::EFAULT)], None);
        let known = "outcome-reg-ok-efault".parse().unwrap();
        tally.record(&sequence(), &refused, &divergence(), Some((&known, standing)));
        assert_eq!((tally.known_count(), tally.presumed_count()), (2, 1));
        assert!(tally.to_text().contains(", 2 known (1 presumed), "), "{}", tally.to_text());
        let mut twice = tally.clone();
        twice.add(&tally);
        assert_eq!((twice.known_count(), twice.presumed_count()), (4, 2));
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
            assert_eq!(
                table
                    .lines()
                    .filter(|l| l.contains("write_remote") && !l.contains("key"))
                    .filter(|l| !l.starts_with("- "))
                    .count(),
                1
            );
        }
    }

    #[test]
    fn a_refusal_that_only_the_model_knows_is_named() {
        let text = "# pinfold 1\nmap 0..1 anon private rw\nlimit 0\nreg mr0 0..1 remote_read\n";
        let sequence = parse(text).unwrap().sequence;
        let observe = pinfold_contract::Observe::End;
        let predicted = crate::model::predict(Profile::newest(), &sequence, observe);
        let refused = |errno| trace(&[Outcome::Done, Outcome::Done, Outcome::Errno(errno)], None);
        let mut tally = Tally::default();
        tally.record_predicted(&sequence, &predicted, &refused(Errno::EFAULT));
        tally.record(&sequence, &refused(Errno::EFAULT), &Verdict::Agrees, None);
        assert_eq!(tally.kinds[&OpKind::Limit].predicted["ok"], 1);
        let never = tally.never_seen();
        let is_there = |kind, name| never.iter().any(|r| (r.kind, r.name) == (kind, name));
        assert!(is_there(OpKind::Reg, "EPERM") && !is_there(OpKind::Reg, "EFAULT"));
        assert!(is_there(OpKind::Dereg, "EBUSY"));
        assert_eq!(tally.seen_count(), 1);
        // It is always refused, and the model says so.
        assert!(!tally.never_done().contains(&OpKind::Reg));
        let text = tally.to_text();
        assert!(text.contains("1 seen, ") && text.contains("\n- not yet: map EACCES"), "{text}");
    }

    #[test]
    fn a_refusal_of_another_series_is_not_missed() {
        let of = |series: &str| Tally { series: [series.to_owned()].into(), ..Tally::default() };
        let misses = |tally: &Tally| {
            tally.never_seen().iter().any(|r| (r.kind, r.name) == (OpKind::Reg, "EOPNOTSUPP"))
        };
        let (mut old, new) = (of("6.1"), of("6.12"));
        assert!(!misses(&old) && misses(&new));
        let bind = |tally: &Tally| {
            let mut never = tally.never_seen().into_iter();
            never.find(|r| r.kind == OpKind::Bind && r.name == "mw_bind_err").unwrap()
        };
        assert_eq!((bind(&old).unseen, bind(&new).unseen), (None, Some(Unseen::StatusLost)));
        old.add(&new);
        assert!(misses(&old));
        // One kernel is enough to show it.
        assert_eq!(bind(&old).unseen, None);
    }

    #[test]
    fn a_tally_can_be_stored() {
        let tally = one_of_each();
        let json = serde_json::to_string(&tally).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&json).unwrap(), tally);
    }
}
