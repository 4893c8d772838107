//! What is done about a divergence: keep it, repeat it, minimize it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pinfold::defects::known_word;
use pinfold::oracle::{Divergence, Verdict};
use pinfold::signature::Signature;
use pinfold_contract::Sequence;

use super::board::first_of;
use super::{Causes, Found, Run};
use crate::bundle::{Bundle, Circumstances, Pursued};
use crate::check::Checked;
use crate::cross_check::cause_among;
use crate::error::RunError;
use crate::shrink::{Memory, ShrinkLimits, Shrunk, Wanted, diverging_once, reliability, shrink};
use crate::target::Target;

/// How often a divergence is repeated.
const REPEAT_COUNT: u32 = 3;

/// What minimizing one finding may cost.
const SHRINK_RUNS_MAX: u32 = 500;
const SHRINK_TIME: Duration = Duration::from_secs(20);

/// How far beyond the end of a run its last findings are still minimized.
const OVERTIME: Duration = Duration::from_secs(5);

/// Most bundles of what another divergence goes on to, of which there are bundles enough.
const CONSEQUENCES_MAX: u32 = 2;

/// A divergence that was just seen.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) index: u64,
    pub(super) signature: Signature,
    pub(super) divergence: Divergence,
    pub(super) known: Option<String>,
    /// Why that is only presumed.
    pub(super) presumed: Option<String>,
    /// That it is what a fix should have cured, where it is.
    pub(super) not_cured: Option<String>,
    /// What comes before it in the same sequence, and goes on to it.
    pub(super) follows: Option<Signature>,
}

impl Lead {
    /// One that nothing explains, and that nothing comes before.
    pub(super) fn new(index: u64, signature: Signature, divergence: Divergence) -> Lead {
        let (known, presumed, not_cured, follows) = (None, None, None, None);
        Lead { index, signature, divergence, known, presumed, not_cured, follows }
    }
}

impl Run<'_> {
    /// Counts the divergence; keeps, repeats and minimizes it while there are few of its signature. Of what is known
    /// one is kept as it is: its minimized sequence is in the list.
    ///
    /// # Errors
    ///
    /// If the target fails for good, or the bundle cannot be written.
    pub(super) fn pursue(
        &self,
        target: &mut Target,
        sequence: &Sequence,
        checked: &Checked,
        lead: &Lead,
    ) -> Result<(), RunError> {
        let options = self.options;
        let dir = options.out.join("findings").join(lead.signature.as_str());
        let first = first_of(&lead.signature, lead, sequence.ops.len(), dir);
        let bundles_max = match lead {
            Lead { known: Some(_), .. } => 1,
            Lead { follows: Some(_), .. } => options.bundles_max.min(CONSEQUENCES_MAX),
            Lead { known: None, follows: None, .. } => options.bundles_max,
        };
        if !self.board.wants_bundle(first, bundles_max) {
            return Ok(());
        }
        let kernel = target.kernel_release().to_owned();
        let arguments = target.arguments().to_owned();
        let circumstances = Circumstances {
            target: target.name().to_string(),
            arguments: &arguments,
            kernel: &kernel,
            profile: target.profile(),
            observe: checked.observe,
            rng_seed: options.rng_seed,
            index: lead.index,
            known: lead.known.clone(),
            presumed: lead.presumed.clone(),
            follows: lead.follows.clone(),
        };
        let what = (&lead.signature, &lead.divergence);
        let bundle =
            Bundle::create((&options.out, bundles_max), sequence, checked, what, &circumstances)?;
        let Some(mut bundle) = bundle else { return Ok(()) };
        self.board.note(&bundle);
        if lead.known.is_some() || self.is_out_of_time() {
            return Ok(());
        }
        let since = Instant::now();
        let completed = self
            .repeat_and_minimize(target, sequence, checked, &lead.signature)
            .and_then(|pursued| bundle.complete(&pursued, &circumstances));
        self.board.spend(since.elapsed());
        self.board.note(&bundle);
        self.board.tell(Found {
            what: describe(lead),
            dir: bundle.folder().to_owned(),
            op_count: bundle.finding().op_count,
        });
        completed
    }

    /// Pursues what the divergence that is called `first` goes on to, if anything: a finding of its own.
    ///
    /// # Errors
    ///
    /// As [`Run::pursue`].
    pub(super) fn pursue_consequence(
        &self,
        target: &mut Target,
        sequence: &Sequence,
        checked: Checked,
        first: (u64, Signature),
    ) -> Result<(), RunError> {
        let Some((signature, divergence)) = checked.consequence(sequence) else { return Ok(()) };
        let (index, follows) = first;
        let checked = Checked { verdict: Verdict::Diverges(divergence.clone()), ..checked };
        let lead = Lead::new(index, signature, divergence);
        let lead = Lead { follows: Some(follows), ..lead };
        self.pursue(target, sequence, &checked, &lead)
    }

    fn repeat_and_minimize(
        &self,
        target: &mut Target,
        sequence: &Sequence,
        checked: &Checked,
        signature: &Signature,
    ) -> Result<Pursued, RunError> {
        let observe = checked.observe;
        let repeats = (REPEAT_COUNT, self.shrink_deadline());
        let reliability = reliability(target, sequence, observe, signature, repeats)?;
        let tries = reliability.tries();
        let wanted = Wanted { signature, observe, tries, memory: Memory::Cached };
        let limits = ShrinkLimits { runs_max: SHRINK_RUNS_MAX, deadline: self.shrink_deadline() };
        let Shrunk { sequence: shorter, ended, .. } =
            shrink(target, sequence.clone(), wanted, limits, self.stop)?;
        // Once more, for what it looks like; where it does not come again, the first time must do.
        let again = match shorter == *sequence {
            true => None,
            false => diverging_once(target, &shorter, wanted)?,
        };
        let (sequence, checked) = match again {
            Some(checked) => (shorter, checked),
            None => (sequence.clone(), checked.clone()),
        };
        Ok(Pursued { reliability, sequence, ended, checked })
    }

    /// Has each finding that was not minimized name a minimal one that has probably the same cause, if there is one: all in the
    /// time that the last findings have.
    ///
    /// # Errors
    ///
    /// If the target fails for good.
    pub(super) fn group_by_cause(&self, target: &mut Target) -> Result<(), RunError> {
        if self.options.special.causes == Causes::Apart {
            return Ok(());
        }
        let end = Instant::now() + OVERTIME;
        let found = self.board.unexplained();
        let count = found.iter().filter(|found| found.minimal == Some(true)).count();
        // In their order these come first.
        let (minimal, others) = found.split_at(count);
        for long in others {
            let shorter = minimal.iter().map(|short| (&*short.dir, &short.signature));
            let is_over = || self.stop.load(Ordering::Relaxed) || Instant::now() >= end;
            let of_long = (&*long.dir, &long.signature);
            if let Some(cause) = cause_among(target, shorter, of_long, self.stop, is_over)? {
                self.board.has_cause_of(&long.signature, &cause);
            }
        }
        Ok(())
    }

    /// Whether all the time that findings have together is used.
    fn is_out_of_time(&self) -> bool {
        self.options.special.pursue_for.is_some_and(|time| self.board.pursued() >= time)
    }

    fn shrink_deadline(&self) -> Option<Instant> {
        let left =
            self.options.special.pursue_for.map(|time| time.saturating_sub(self.board.pursued()));
        let own = Instant::now() + left.map_or(SHRINK_TIME, |left| left.min(SHRINK_TIME));
        let end = self.deadline().map(|end| end + OVERTIME);
        if self.stop.load(Ordering::Relaxed) {
            return Some(Instant::now());
        }
        Some(end.map_or(own, |end| own.min(end)))
    }
}

fn describe(lead: &Lead) -> String {
    let Divergence { oracle, predicted, seen, .. } = &lead.divergence;
    let word = known_word(lead.presumed.as_deref());
    let known = lead.known.as_ref().map(|title| format!(" ({word}: {title})")).unwrap_or_default();
    let not_cured = lead.not_cured.as_ref().map(|text| format!("; {text}")).unwrap_or_default();
    format!("{}{known}: {oracle}: predicted {predicted}, seen {seen}{not_cured}", lead.signature)
}
