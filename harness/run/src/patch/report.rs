//! What came of comparing two kernels: the JSON object of the command line, and what is kept of it on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pinfold::oracle::Oracle;
use pinfold::patch::{Ledger, Priced, Sums};
use pinfold::report::{html, markdown};
use pinfold::signature::Signature;
use pinfold::tally::Tally;
use serde::Serialize;

use super::duel::{Duel, MARKER};
use super::lines::{Extent, Reach};
use super::{folder, text};
use crate::bundle::{Finding, Reliability, replace};
use crate::error::RunError;
use crate::leaks::FoundLeak;
use crate::report::read_report;
use crate::summary::{Conclusion, Coverage, FoundSignature, Summary};

/// What is said of a patch. As JSON it is the object of a run of the patched kernel, and more.
#[derive(Clone, Debug, Serialize)]
pub struct PatchReport {
    /// The random sequences on the patched kernel. `target` and `kernel` are those of the base where there was no run.
    #[serde(flatten)]
    pub run: Summary,
    /// The answer.
    pub verdict: PatchVerdict,
    /// Why it does not boot, if it does not.
    pub boot: Option<NoBoot>,
    /// The patches, in the order in which they apply.
    pub patches: Vec<String>,
    /// Those under both kernels.
    pub base_patches: Vec<String>,
    /// The files that the patches change.
    pub files: Vec<String>,
    /// Hunks that were found at another line than they say.
    pub offsets: Vec<String>,
    /// Stored sequences run on both kernels.
    pub stored: u64,
    /// Random sequences run on the base.
    pub base_sequences: u64,
    /// Divergences of the patched kernel that the base does not have.
    pub new: Vec<Change>,
    /// Kernel memory that the patched kernel never gives back, and the base does.
    pub leaks: Vec<FoundLeak>,
    /// Why nobody looked for such memory, if so.
    pub leaks_unknown: Option<String>,
    /// Sequences that show leaks elsewhere and were not repeated on one of the kernels: they diverge or cannot be judged there.
    pub leaks_left_out: usize,
    /// How much less was run than was wanted, if so, and why.
    pub cut_short: Option<String>,
    /// Divergences of the base that the patched kernel does not have.
    pub cured: Vec<Change>,
    /// Divergences of both.
    pub common: Vec<Change>,
    /// Divergences of one kernel in whose place the other does something else, or of which it was not asked any more.
    pub unsettled: Vec<Change>,
    /// Which of the changed lines were built, and which ran. None where nobody looked.
    pub reach: Option<Reach>,
    /// What registered memory costs.
    pub bill: Bill,
    /// Where the time went, in seconds.
    pub timing: Timing,
}

/// The answer to a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchVerdict {
    /// The patched kernel does nothing wrong that the base does not.
    Agrees,
    /// It does.
    Diverges,
    /// It does not come up.
    DoesNotBoot,
    /// It does nothing wrong, and none of the changed code is in it.
    NotBuilt,
    /// It does nothing wrong, and none of the changed code ran.
    NotReached,
    /// Too little could be judged.
    Unsure,
}

/// How a kernel failed to come up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoBoot {
    /// Why.
    pub reason: String,
    /// The end of its console.
    pub console: String,
}

/// A divergence that one kernel has.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Its name.
    pub signature: Signature,
    /// Which oracle saw it.
    pub oracle: Oracle,
    /// What a right kernel does.
    pub predicted: String,
    /// What this one did.
    pub seen: String,
    /// Ops of the shortest sequence that shows it.
    pub op_count: usize,
    /// Whether that sequence is as short as can be; none if nobody minimized it.
    pub minimal: Option<bool>,
    /// A divergence in this list that has probably the same cause, and a shorter sequence.
    pub same_cause_as: Option<Signature>,
    /// Its bundle.
    pub dir: PathBuf,
    /// Sequences that showed it.
    pub count: u64,
    /// How often it came again.
    pub reliability: Option<Reliability>,
    /// Title of the entry of the known list that explains it.
    pub known: Option<String>,
    /// Why that entry is only presumed to hold for this kernel; none if it was verified.
    pub presumed: Option<String>,
}

/// What registered memory costs on the two kernels.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Bill {
    /// Registrations of four pages, by mapping, state of the pages and use.
    pub prices: Vec<Priced>,
    /// The registrations of stored sequences that both carried out, by use.
    pub stored: BTreeMap<String, Sums>,
    /// The same of random sequences.
    pub random: BTreeMap<String, Sums>,
}

/// Where the time went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timing {
    /// Reading and applying patches.
    pub apply: f64,
    /// Having the kernel without patches and the executor at hand.
    pub prepare: f64,
    /// Copying sources and objects.
    pub copy: f64,
    /// Compiling what has changed.
    pub compile: f64,
    /// Linking.
    pub link: f64,
    /// Building the kernel once more, so that its changed code says what of it ran.
    pub trace: f64,
    /// Booting both.
    pub boot: f64,
    /// Stored sequences, on both at once.
    pub corpus: f64,
    /// Random sequences, on both at once.
    pub fuzz: f64,
    /// Repeating and minimizing findings, within the two before.
    pub minimize: f64,
    /// Asking each kernel for what the other one does.
    pub ask: f64,
    /// Looking for kernel memory that is never given back, on both at once.
    pub leaks: f64,
    /// Finding out which changed lines run.
    pub reach: f64,
    /// Everything.
    pub total: f64,
}

/// `time` in seconds, of which three digits after the point are worth something.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

impl Change {
    /// Title of the entry that explains it, and whether that is only presumed.
    pub(super) fn known_as(&self) -> Option<String> {
        let title = self.known.as_ref()?;
        Some(match &self.presumed {
            None => title.clone(),
            Some(why) => format!("{title} (presumed: {why})"),
        })
    }

    /// Where it stands in a list: what was minimized first, the shortest of it first.
    pub(super) fn rank(&self) -> (bool, usize) {
        (self.minimal != Some(true), self.op_count)
    }

    pub(super) fn of(found: &FoundSignature) -> Change {
        // A bundle that somebody removed meanwhile has nothing to say.
        let stored = fs::read(found.dir.join("finding.json")).ok();
        let finding: Option<Finding> = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let minimal = finding.as_ref().and_then(|finding| finding.minimal);
        let (predicted, seen) =
            finding.map(|finding| (finding.predicted, finding.seen)).unwrap_or_default();
        Change {
            signature: found.signature.clone(),
            oracle: found.oracle,
            predicted,
            seen,
            op_count: found.op_count,
            minimal,
            same_cause_as: None,
            dir: found.dir.clone(),
            count: found.count,
            reliability: found.reliability,
            known: found.known.clone(),
            presumed: found.presumed.clone(),
        }
    }
}

impl PatchReport {
    /// A report in which nothing was run yet.
    pub(super) fn begin(options: &Duel, [target, kernel]: [String; 2], rules: &str) -> PatchReport {
        let tally = Tally::default();
        PatchReport {
            run: Summary {
                schema: 1,
                target,
                kernel,
                rules: rules.to_owned(),
                sequences: 0,
                ops: 0,
                agrees: 0,
                diverges: 0,
                inconclusive: 0,
                known: 0,
                presumed: 0,
                seconds: 0.0,
                rng_seed: options.rng_seed,
                coverage: Coverage::of(&tally),
                findings: Vec::new(),
                tally,
                ledger: Ledger::default(),
                pursued: Duration::ZERO,
            },
            verdict: PatchVerdict::Unsure,
            boot: None,
            patches: Vec::new(),
            base_patches: Vec::new(),
            files: Vec::new(),
            offsets: Vec::new(),
            stored: 0,
            base_sequences: 0,
            new: Vec::new(),
            leaks: Vec::new(),
            leaks_unknown: None,
            leaks_left_out: 0,
            cut_short: None,
            cured: Vec::new(),
            common: Vec::new(),
            unsettled: Vec::new(),
            reach: None,
            bill: Bill::default(),
            timing: Timing::default(),
        }
    }

    pub(super) fn does_not_boot(&mut self, reason: String, console: String) {
        self.verdict = PatchVerdict::DoesNotBoot;
        self.boot = Some(NoBoot { reason, console });
    }

    /// Draws the conclusion from the runs of random sequences on base and patched kernel.
    pub(super) fn conclude(&mut self, [base, patched]: [Summary; 2], is_stopped: bool) {
        self.base_sequences = base.sequences;
        let is_unsure = is_stopped
            || [&base, &patched].into_iter().any(|run| match run.conclusion() {
                Conclusion::MostlyInconclusive | Conclusion::Vacuous { .. } => true,
                Conclusion::Clean | Conclusion::Diverged => false,
            });
        self.verdict = match (self.new.is_empty() && self.leaks.is_empty(), is_unsure) {
            (false, _) => PatchVerdict::Diverges,
            (true, true) => PatchVerdict::Unsure,
            (true, false) => PatchVerdict::Agrees,
        };
        // The kernel that the user named, not the image that was made of it.
        self.run = Summary { target: base.target, ..patched };
    }

    /// Nothing of the patches is in the kernel: there is nothing to compare.
    pub(super) fn is_not_built(&mut self, reach: Reach) {
        self.verdict = PatchVerdict::NotBuilt;
        self.reach = Some(reach);
    }

    /// Whether both kernels ran.
    pub(super) fn is_compared(&self) -> bool {
        self.stored > 0
    }

    /// Takes in which of the changed lines ran: a kernel that agrees says nothing of what did not.
    pub(super) fn note_reach(&mut self, reach: Reach) {
        if self.verdict == PatchVerdict::Agrees {
            self.verdict = match reach.extent() {
                Extent::NotBuilt => PatchVerdict::NotBuilt,
                Extent::NothingRan => PatchVerdict::NotReached,
                Extent::NoCode | Extent::SomeRan | Extent::Unknown => PatchVerdict::Agrees,
            };
        }
        self.reach = Some(reach);
    }

    /// The verdict in ten lines, and then what is behind it.
    pub fn to_text(&self) -> String {
        text::text(self)
    }

    /// Writes `patch.json`, `report.md` and `report.html`.
    pub(super) fn write(&self, out: &Path) -> Result<(), RunError> {
        let json = serde_json::to_string_pretty(self).expect("strings and numbers serialize");
        replace(&out.join(MARKER), (json + "\n").as_bytes())?;
        let patched = folder(out, pinfold::patch::Side::Patched);
        // A kernel that does not boot has no run.
        if self.verdict == PatchVerdict::DoesNotBoot || !patched.exists() {
            return replace(&out.join("report.md"), text::markdown(self).as_bytes());
        }
        let mut report = read_report(&patched)?;
        report.findings.retain(|f| self.new.iter().any(|new| new.signature == f.signature));
        report.target.clone_from(&self.run.target);
        report.preface = Some(text::preface(self));
        replace(&out.join("report.md"), markdown(&report).as_bytes())?;
        replace(&out.join("report.html"), html(&report).as_bytes())
    }
}
