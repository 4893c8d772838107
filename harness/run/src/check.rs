//! One sequence on model and target: the function that command line, fuzz targets and property tests all call.

use std::fmt;

use pinfold::defects::{Defects, Entry, Explained, Running, Standing, known_word};
use pinfold::model::{self, PredictedStep};
use pinfold::oracle::{self, Divergence, Inconclusive, Oracle, Verdict};
use pinfold::signature::Signature;
use pinfold_contract::{End, Observe, Sequence, Teardown, Trace, print};

use crate::defects::no_defects;
use crate::error::{Reach, RunError};
use crate::guest::in_full;
use crate::target::Target;

/// Most ops of a sequence whose state is compared after each op where a run has hundreds of sequences.
pub(crate) const SHORT_OPS_MAX: usize = 64;

/// What became of one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// When the state was looked at.
    pub observe: Observe,
    /// What the model said.
    pub predicted: Vec<PredictedStep>,
    /// What the target did.
    pub trace: Trace,
    /// Whether that is right.
    pub verdict: Verdict,
}

impl Checked {
    /// What its divergence goes on to, and how that is called: see [`oracle::consequence`].
    pub fn consequence(&self, sequence: &Sequence) -> Option<(Signature, Divergence)> {
        let Verdict::Diverges(first) = &self.verdict else { return None };
        let then = oracle::consequence(sequence, &self.predicted, &self.trace, first)?;
        Some((Signature::of_consequence(sequence, first, &then), then))
    }

    /// The same run, looked at for what is called `signature`; none if it does not show that.
    pub fn showing(self, sequence: &Sequence, signature: &Signature) -> Option<Checked> {
        let Verdict::Diverges(first) = &self.verdict else { return None };
        let found = signature.find(sequence, &self.predicted, &self.trace, first)?;
        Some(Checked { verdict: Verdict::Diverges(found), ..self })
    }
}

/// Runs `sequence` on `target` and compares what it did with what the model predicts.
///
/// A kernel that complained or leaked is not used again: the next run is on a fresh machine.
///
/// # Errors
///
/// If there is no trace, by a fault of ours.
pub fn check(
    target: &mut Target,
    sequence: &Sequence,
    observe: Observe,
) -> Result<Checked, RunError> {
    let predicted = model::predict(target.profile(), sequence, observe);
    let trace = target.run(sequence, observe)?;
    let verdict = oracle::judge(sequence, &predicted, &trace);
    if let Verdict::Diverges(divergence) = &verdict
        && (leaves_damage(divergence.oracle) || has_leaked(&trace))
    {
        target.retire();
    }
    // Each process of that machine shows it, the next sequence's too.
    if predicted.iter().any(|step| step.zero_page_exposed) {
        target.retire();
    }
    Ok(Checked { observe, predicted, trace, verdict })
}

/// Runs `sequence` on `target` and judges it in the light of `known`: everything that judges a run does it here, so that the
/// verdict does not depend on how often the state is looked at.
///
/// What would be called new and was looked at after the last op alone is looked at again, op by op: it began in some op
/// before, and only that op gives it the right signature, which may be that of a known divergence. Where the closer look
/// shows nothing, the first one counts.
///
/// # Errors
///
/// As [`check`].
pub fn check_and_judge<'k>(
    target: &mut Target,
    sequence: &Sequence,
    observe: Observe,
    known: &'k Defects,
) -> Result<(Checked, Judgement<'k>), RunError> {
    let first = check(target, sequence, observe)?;
    let judgement = Judgement::of(sequence, &first.verdict, known, target.running());
    match judgement {
        Judgement::Diverges { .. } => {
            let checked = look_closer(target, sequence, first)?;
            let judgement = Judgement::of(sequence, &checked.verdict, known, target.running());
            Ok((checked, judgement))
        }
        Judgement::Known { .. } | Judgement::Agrees | Judgement::Inconclusive { .. } => {
            Ok((first, judgement))
        }
    }
}

/// As [`check_and_judge`], where nothing is known: whatever diverges is looked at closely.
///
/// # Errors
///
/// As [`check`].
pub fn check_closely(
    target: &mut Target,
    sequence: &Sequence,
    observe: Observe,
) -> Result<Checked, RunError> {
    check_and_judge(target, sequence, observe, no_defects()).map(|(checked, _)| checked)
}

fn look_closer(
    target: &mut Target,
    sequence: &Sequence,
    checked: Checked,
) -> Result<Checked, RunError> {
    let (Observe::End, Verdict::Diverges(_)) = (checked.observe, &checked.verdict) else {
        return Ok(checked);
    };
    match check(target, sequence, Observe::Each) {
        Ok(closer) if matches!(closer.verdict, Verdict::Diverges(_)) => Ok(closer),
        Ok(_) => Ok(checked),
        Err(error) => match error.reach() {
            Reach::Run => Ok(checked),
            Reach::Target => Err(error),
        },
    }
}

/// Whether something is left of the run, whatever was flagged before that was seen.
fn has_leaked(trace: &Trace) -> bool {
    matches!(&trace.end, End::Finished { teardown, .. } if *teardown != Teardown::default())
}

/// Whether what `oracle` flags can change how later sequences run.
fn leaves_damage(oracle: Oracle) -> bool {
    match oracle {
        Oracle::KernelLog | Oracle::Teardown => true,
        Oracle::Protection
        | Oracle::Outcome
        | Oracle::Completion
        | Oracle::Coherence
        | Oracle::Frames
        | Oracle::Accounting => false,
    }
}

/// A verdict in the light of what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement<'k> {
    /// The target did what the model allows.
    Agrees,
    /// It did not, and an entry of the known list says why.
    Known {
        /// What it did.
        divergence: Divergence,
        /// Its name.
        signature: Signature,
        /// The entry.
        entry: &'k Entry,
        /// Whether it was verified on kernels like this one.
        standing: Standing,
    },
    /// It did not, and nothing explains it.
    Diverges {
        /// What it did.
        divergence: Divergence,
        /// Its name.
        signature: Signature,
        /// That it is what a fix should have cured, where it is. The divergence has the same in its detail.
        not_cured: Option<String>,
    },
    /// This cannot be judged.
    Inconclusive {
        /// Why not.
        reason: Inconclusive,
    },
}

impl<'k> Judgement<'k> {
    /// Looks the verdict on `sequence` up in `known`.
    pub fn of(
        sequence: &Sequence,
        verdict: &Verdict,
        known: &'k Defects,
        kernel: Running<'_>,
    ) -> Judgement<'k> {
        match verdict {
            Verdict::Agrees => Judgement::Agrees,
            Verdict::Inconclusive { reason } => Judgement::Inconclusive { reason: reason.clone() },
            Verdict::Diverges(divergence) => {
                let signature = Signature::of(sequence, divergence);
                let mut divergence = divergence.clone();
                if let Some(Explained { entry, standing }) = known.matching(&signature, kernel) {
                    return Judgement::Known { divergence, signature, entry, standing };
                }
                let not_cured = known
                    .not_cured(&signature, kernel)
                    .map(|slug| format!("the fix of {slug} is in this kernel and did not cure it"));
                if let Some(text) = &not_cured {
                    divergence.detail.push_str(&format!("\n{text}"));
                }
                Judgement::Diverges { divergence, signature, not_cured }
            }
        }
    }

    /// The signature, of what has one.
    pub fn signature(&self) -> Option<&Signature> {
        match self {
            Judgement::Known { signature, .. } | Judgement::Diverges { signature, .. } => {
                Some(signature)
            }
            Judgement::Agrees | Judgement::Inconclusive { .. } => None,
        }
    }
}

/// One line for a person.
impl fmt::Display for Judgement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (divergence, signature) = match self {
            Judgement::Agrees => return f.write_str("agrees"),
            Judgement::Inconclusive { reason } => return write!(f, "inconclusive: {reason}"),
            Judgement::Known { divergence, signature, .. } => (divergence, signature),
            Judgement::Diverges { divergence, signature, .. } => (divergence, signature),
        };
        let Divergence { op_index, oracle, predicted, seen, .. } = divergence;
        write!(
            f,
            "diverges at op {op_index} ({oracle}): predicted {predicted}, seen {seen} [{signature}]"
        )?;
        match self {
            Judgement::Known { entry, standing, .. } => {
                write!(f, ", {}: {}", known_word(standing.presumed().as_deref()), entry.title)
            }
            Judgement::Diverges { not_cured: Some(text), .. } => write!(f, ", {text}"),
            Judgement::Agrees
            | Judgement::Diverges { not_cured: None, .. }
            | Judgement::Inconclusive { .. } => Ok(()),
        }
    }
}

/// Checks `sequence` and panics at a divergence that nothing in `known` explains, saying how to repeat it. The only
/// place where a verdict becomes a panic: for fuzz targets and property tests.
///
/// # Panics
///
/// At an unexplained divergence, and if the target fails for good.
pub fn assert_agrees<'k>(
    target: &mut Target,
    sequence: &Sequence,
    observe: Observe,
    known: &'k Defects,
) -> Judgement<'k> {
    let (checked, judgement) = match check_and_judge(target, sequence, observe, known) {
        Ok(judged) => judged,
        Err(error) => {
            let reason = in_full(&error);
            match error.reach() {
                Reach::Run => {
                    return Judgement::Inconclusive {
                        reason: Inconclusive::TargetFailed { reason },
                    };
                }
                Reach::Target => panic!("target {} failed: {reason}", target.name()),
            }
        }
    };
    if let Judgement::Diverges { divergence, .. } = &judgement {
        panic!(
            "{judgement}\n{}\nto repeat it, save the following as repeat.seq and run\n    \
             pinfold replay repeat.seq {} --observe {}\n\n{}",
            divergence.detail,
            target.arguments(),
            observe_name(checked.observe),
            print(sequence),
        );
    }
    judgement
}

/// What `--observe` takes.
pub fn observe_name(observe: Observe) -> &'static str {
    match observe {
        Observe::Each => "each",
        Observe::End => "end",
    }
}

#[cfg(test)]
mod tests {
    use pinfold::defects::DefectFolder;
    use pinfold_contract::parse;

    use super::*;
    use crate::target::TargetOptions;

    #[test]
    fn a_divergence_is_known_on_the_kernels_of_its_entry_alone() {
        let text = "title = \"pins stay\"\nsource = \"a.c:f\"\naffected = \"6.12..\"\n[[shows]]\n\
                    signature = \"accounting-dereg-registrar.vm_pin.more\"\nsequence = \"s.seq\"\n\
                    verified = [\"6.12.117\"]\n";
        let folder = DefectFolder { slug: "pins-stay", files: vec![("defect.toml", text)] };
        let known = Defects::parse([folder]).unwrap();
        let text = "# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 remote_read\ndereg mr0\n";
        let sequence = parse(text).unwrap().sequence;
        let name = "model:6.12+vm_pin_kept".parse().unwrap();
        let mut target = Target::open(&name, &TargetOptions::default()).unwrap();
        let checked = check(&mut target, &sequence, Observe::Each).unwrap();
        let on = |release| {
            let kernel = Running { release, ..target.running() };
            Judgement::of(&sequence, &checked.verdict, &known, kernel)
        };
        assert!(matches!(on("6.12.117"), Judgement::Known { .. }));
        assert!(on("6.12.117").to_string().ends_with(", known: pins stay"));
        let presumed = ", known (presumed: not yet verified on 7.3, uml): pins stay";
        assert!(on("7.3.4").to_string().ends_with(presumed));
        for release in ["6.1.192", target.kernel_release()] {
            assert!(matches!(on(release), Judgement::Diverges { .. }), "{release}");
        }
        let fixed = ["pins-stay".to_owned()];
        let kernel = Running { release: "6.12.117", fixed: &fixed, ..target.running() };
        let judgement = Judgement::of(&sequence, &checked.verdict, &known, kernel);
        let text = "the fix of pins-stay is in this kernel and did not cure it";
        assert!(judgement.to_string().ends_with(text), "{judgement}");
        let Judgement::Diverges { divergence, .. } = judgement else { panic!("{judgement}") };
        assert!(divergence.detail.ends_with(text), "{}", divergence.detail);
    }

    #[test]
    fn a_closer_look_finds_the_op() {
        let text =
            "# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 remote_read\ndereg mr0\nfork p1\n";
        let sequence = parse(text).unwrap().sequence;
        let name = "model:6.12+vm_pin_kept".parse().unwrap();
        let mut target = Target::open(&name, &TargetOptions::default()).unwrap();
        let mut op_index = |closely: bool| {
            let look = if closely { check_closely } else { check };
            match look(&mut target, &sequence, Observe::End).unwrap().verdict {
                Verdict::Diverges(divergence) => divergence.op_index,
                verdict @ (Verdict::Agrees | Verdict::Inconclusive { .. }) => panic!("{verdict:?}"),
            }
        };
        assert_eq!(op_index(true), 2);
        assert!(op_index(false) > 2);
    }
}
