//! Finds the rules of a kernel that nobody wrote a profile for.
//!
//! Each field of the profile has a short sequence (`corpus/probes`) whose course depends on that field. The value that
//! fits what the kernel does is taken over from the profile that has it: that of a series, or of a design of
//! [`crate::designs`], since the kernel may carry one out.

use pinfold_contract::{Observe, Sequence, Trace, parse};

use crate::designs::Pair;
use crate::model::{PredictedStep, predict};
use crate::oracle::{Divergence, Oracle, Verdict, judge};
use crate::profile::{FIELDS, Field, Profile};

/// A sequence that tells the values of a field apart.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Name of the field.
    pub field: &'static str,
    text: &'static str,
}

macro_rules! probe {
    ($field:literal) => {
        Probe { field: $field, text: include_str!(concat!("../../corpus/probes/", $field, ".seq")) }
    };
}

/// Every probe, in the order of the fields.
pub const PROBES: [Probe; 32] = [
    probe!("umem"),
    probe!("unshare"),
    probe!("non_coherent"),
    probe!("access_known"),
    probe!("on_demand"),
    probe!("access_unsupported"),
    probe!("mmap_merge"),
    probe!("absent_anon_vma"),
    probe!("anon_offset"),
    probe!("remap_order"),
    probe!("unwritten_account"),
    probe!("disk_tail"),
    probe!("disk_punch"),
    probe!("future_write_check"),
    probe!("populate_at_hole"),
    probe!("table_for_last_page"),
    probe!("huge_advice"),
    probe!("guard_regions"),
    probe!("huge_pages"),
    probe!("huge_dofork"),
    probe!("huge_forced"),
    probe!("huge_zap"),
    probe!("write_only_load"),
    probe!("gup_fast"),
    probe!("ksm_swap"),
    probe!("ksm_search"),
    probe!("swap_exclusive"),
    probe!("lazyfree_pinned"),
    probe!("tracked_write_pin"),
    probe!("rereg_changes"),
    probe!("window_unsupported"),
    probe!("local_range_status"),
];

impl Probe {
    /// The sequence.
    ///
    /// # Panics
    ///
    /// If the file is no sequence, which a test excludes.
    pub fn sequence(&self) -> Sequence {
        parse(self.text).expect("a test reads every probe").sequence
    }

    fn take(&self) -> fn(&mut Profile, &Profile) {
        let field: Option<&Field> = FIELDS.iter().find(|field| field.name == self.field);
        field.expect("a test compares the probes with the fields").take
    }
}

/// Which value of a field fits a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// The field.
    pub field: &'static str,
    /// The series or design whose value fits, the nearest series if several do; nothing if none does.
    pub series: Option<String>,
}

/// What is known of a kernel after all probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// Its rules: those of the nearest series where nothing fits.
    pub profile: Profile,
    /// Field by field.
    pub fits: Vec<Fit>,
}

/// Runs every probe with `run` and fits the rules to what happened, beginning with those of `nearest`.
///
/// # Errors
///
/// Whatever `run` gives.
pub fn fit<E>(
    nearest: &Profile,
    mut run: impl FnMut(&Sequence) -> Result<Trace, E>,
) -> Result<Fitted, E> {
    let mut profile = *nearest;
    let mut fits = Vec::new();
    for probe in PROBES {
        let sequence = probe.sequence();
        let trace = run(&sequence)?;
        let fitting = candidates(nearest).find(|(_, other)| {
            let mut candidate = profile;
            probe.take()(&mut candidate, other);
            explains(&sequence, &predict(&candidate, &sequence, Observe::Each), &trace)
        });
        if let Some((_, other)) = &fitting {
            probe.take()(&mut profile, other);
        }
        fits.push(Fit { field: probe.field, series: fitting.map(|(name, _)| name) });
    }
    Ok(Fitted { profile, fits })
}

/// Every profile with its name: that of the nearest series, of the other series, of the designs.
fn candidates(nearest: &Profile) -> impl Iterator<Item = (String, Profile)> {
    let others = Profile::all_on(nearest.platform);
    let others = others.iter().filter(|other| other.series != nearest.series);
    let series = [nearest].into_iter().chain(others);
    let series = series.map(|profile| (profile.series.to_string(), *profile));
    let designs = Pair::all().map(|pair| (pair.to_string(), pair.profile()));
    series.collect::<Vec<_>>().into_iter().chain(designs)
}

/// Whether the kernel did what was predicted. That the status of a refusal was lost, as in some kernels it is, says
/// nothing of the rule: it was refused, and nothing else differs.
fn explains(sequence: &Sequence, predicted: &[PredictedStep], trace: &Trace) -> bool {
    match judge(sequence, predicted, trace) {
        Verdict::Agrees => true,
        Verdict::Inconclusive { .. } => false,
        Verdict::Diverges(Divergence { op_index, oracle, .. }) => {
            let seen = trace.steps.get(op_index).map(|step| &step.outcome);
            let is_lost = |step: &PredictedStep| seen.is_some_and(|s| step.prediction.outlives(s));
            oracle == Oracle::Outcome && predicted.get(op_index).is_some_and(is_lost)
        }
    }
}

impl Fitted {
    /// In one line: `6.12; as 6.1: tracked_write_pin; as none: mmap_merge`.
    pub fn describe(&self) -> String {
        let nearest = self.profile.series.to_string();
        let mut others: Vec<&str> = Vec::new();
        for series in self.fits.iter().filter_map(|fit| fit.series.as_deref()) {
            if series != nearest && !others.contains(&series) {
                others.push(series);
            }
        }
        let named = |wanted: Option<&str>| {
            let of = self.fits.iter().filter(|fit| fit.series.as_deref() == wanted);
            let fields: Vec<&str> = of.map(|fit| fit.field).collect();
            let series = wanted.unwrap_or("none");
            (!fields.is_empty()).then(|| format!("; as {series}: {}", fields.join(", ")))
        };
        let others = others.into_iter().map(Some).chain([None]);
        format!("{nearest}{}", others.filter_map(named).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::model::perform;
    use crate::profile::{OnDemand, Umem, linux};

    fn probed(kernel: &Profile, nearest: &Profile) -> Fitted {
        let run = |sequence: &Sequence| {
            Ok::<Trace, Infallible>(perform(kernel, None, sequence, Observe::Each))
        };
        fit(nearest, run).unwrap()
    }

    #[test]
    fn every_field_has_its_probe_and_no_field_is_forgotten() {
        let fields: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
        assert_eq!(PROBES.map(|probe| probe.field).to_vec(), fields);
        let text = format!("{:#?}", Profile::newest());
        let names =
            text.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
        let names: Vec<&str> =
            names.filter_map(|line| line.trim().split_once(':')).map(|(n, _)| n).collect();
        let unprobed = ["series", "platform", "adapter", "swap_space", "failed_send"];
        let (first, rest) = names.split_at(unprobed.len());
        assert_eq!((first, rest), (unprobed.as_slice(), fields.as_slice()));
    }

    #[test]
    fn each_kernel_is_told_from_the_other_whichever_is_taken_for_the_nearest() {
        for kernel in Profile::all() {
            for nearest in Profile::all() {
                let Fitted { profile, fits } = probed(kernel, nearest);
                assert!(fits.iter().all(|fit| fit.series.is_some()), "{fits:?}");
                let (series, failed_send) = (kernel.series, kernel.failed_send);
                let found = Profile { series, failed_send, ..profile };
                assert_eq!(found, as_seen(kernel, &found), "nearest {}", nearest.series);
            }
        }
    }

    /// Who always pins for writing never unshares, so nobody can tell whether the kernel would.
    fn as_seen(kernel: &Profile, found: &Profile) -> Profile {
        let unseen = kernel.umem == Umem::AlwaysWrite;
        Profile { unshare: if unseen { found.unshare } else { kernel.unshare }, ..*kernel }
    }

    #[test]
    fn each_design_is_found_out() {
        for pair in Pair::all() {
            let kernel = pair.profile();
            let Fitted { profile, fits } = probed(&kernel, pair.gup.linux());
            assert!(fits.iter().all(|fit| fit.series.is_some()), "{pair}: {fits:?}");
            assert_eq!(profile, as_seen(&kernel, &profile), "{pair}");
        }
    }

    #[test]
    fn a_kernel_between_two_has_some_rules_of_each() {
        let mut kernel = *linux("6.12");
        kernel.tracked_write_pin = linux("6.1").tracked_write_pin;
        let fitted = probed(&kernel, linux("6.12"));
        assert_eq!(fitted.profile, kernel);
        assert_eq!(fitted.describe(), "6.12; as 6.1: tracked_write_pin");
    }

    #[test]
    fn a_rule_that_nobody_has_is_said_to_be_of_none() {
        let mut kernel = *linux("6.12");
        kernel.on_demand = OnDemand::Refused(pinfold_contract::Errno::EPERM);
        let fitted = probed(&kernel, Profile::newest());
        assert!(fitted.describe().contains("as none: on_demand"), "{}", fitted.describe());
    }
}
