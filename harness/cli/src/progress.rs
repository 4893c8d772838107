//! Progress on standard error: a line that moves on a terminal, a plain line now and then elsewhere.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use pinfold::defects::known_counts;
use pinfold_run::{Budget, BuildProgress, Found, Progress};

use crate::output::say;

/// How often a plain line comes.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Where progress is shown.
#[derive(Debug)]
enum Place {
    Terminal(ProgressBar),
    Plain { shown: Option<Instant> },
}

impl Place {
    fn new(style: &str, length: Option<u64>) -> Place {
        if !stderr().is_terminal() {
            return Place::Plain { shown: None };
        }
        let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let style =
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        Place::Terminal(bar)
    }

    fn show(&mut self, position: u64, text: impl FnOnce() -> String) {
        match self {
            Place::Terminal(bar) => {
                bar.set_position(position);
                bar.set_message(text());
            }
            Place::Plain { shown } => {
                if shown.is_none_or(|shown| shown.elapsed() >= PLAIN_EVERY) {
                    *shown = Some(Instant::now());
                    say(&text());
                }
            }
        }
    }

    /// A line that stays.
    fn note(&self, line: &str) {
        match self {
            Place::Terminal(bar) => bar.suspend(|| say(line)),
            Place::Plain { .. } => say(line),
        }
    }

    fn finish(&self) {
        match self {
            Place::Terminal(bar) => bar.finish_and_clear(),
            Place::Plain { .. } => {}
        }
    }
}

/// Shows a build. Nothing at all where nothing is built.
#[derive(Debug, Default)]
pub(crate) struct BuildMeter {
    place: Option<Place>,
}

impl BuildMeter {
    pub(crate) fn show(&mut self, progress: &BuildProgress) {
        let place = self.place.get_or_insert_with(|| Place::new("{spinner} {msg}", None));
        place.show(progress.elapsed.as_secs(), || progress.to_string());
    }

    pub(crate) fn finish(&self) {
        if let Some(place) = &self.place {
            place.finish();
        }
    }
}

/// Shows a fuzzing run.
#[derive(Debug)]
pub(crate) struct FuzzMeter {
    place: Place,
    budget: Budget,
}

impl FuzzMeter {
    pub(crate) fn new(budget: Budget) -> FuzzMeter {
        let length = match budget {
            Budget::Time(time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            Budget::Sequences(count) => count,
        };
        FuzzMeter { place: Place::new("{bar:20} {msg}", Some(length)), budget }
    }

    pub(crate) fn show(&mut self, progress: &Progress) {
        let position = match self.budget {
            Budget::Time(_) => u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX),
            Budget::Sequences(_) => progress.sequences,
        };
        let budget = self.budget;
        self.place.show(position, || describe(progress, budget));
    }

    pub(crate) fn found(&self, found: &Found) {
        let Found { what, dir, op_count } = found;
        self.place.note(&format!("found {what}\n      {op_count} ops, {}", dir.display()));
    }

    pub(crate) fn note(&self, line: &str) {
        self.place.note(line);
    }

    pub(crate) fn finish(&self) {
        self.place.finish();
    }
}

fn describe(progress: &Progress, budget: Budget) -> String {
    let seconds = progress.elapsed.as_secs_f64();
    let each_second = |count: u64| {
        // A rate for a person: what is lost in the last digits does not matter.
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    };
    let mut text = format!(
        "{} sequences ({:.0}/s), {} ops, {} findings ({} diverge, {}, {} inconclusive)",
        HumanCount(progress.sequences),
        each_second(progress.sequences),
        HumanCount(progress.ops),
        progress.signatures,
        progress.diverges,
        known_counts(progress.known, progress.presumed),
        progress.inconclusive,
    );
    let left = match budget {
        Budget::Time(time) => Some(time.saturating_sub(progress.elapsed)),
        Budget::Sequences(count) if progress.sequences > 0 => {
            let left = count.saturating_sub(progress.sequences) as f64;
            Duration::try_from_secs_f64(left / each_second(progress.sequences)).ok()
        }
        Budget::Sequences(_) => None,
    };
    if let Some(left) = left {
        text.push_str(&format!(", {} s left", left.as_secs()));
    }
    text
}
