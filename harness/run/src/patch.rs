//! A verdict on a kernel patch: the kernel with it beside the kernel without it, on the same sequences.

mod changed;
mod duel;
mod input;
mod kernels;
mod lines;
mod probes;
mod reach;
mod report;
mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pinfold::patch::Side;
use pinfold_machine::Progress;

use crate::error::RunError;
use crate::fuzz::{Budget, Event};
use crate::name::TargetName;
use crate::target::{Prepared, Target, TargetOptions, on_the_newest};

pub use duel::{Duel, LeakUse, PURSUE_FOR_DEFAULT, StoredUse, duel};
pub use input::{PatchInput, read_patch};
pub(crate) use kernels::{build_modules, build_patched, read_all};
use lines::Extent;
pub use lines::{NotBuilt, Reach};
pub use report::{Change, PatchReport, PatchVerdict, Timing};

/// What is to be judged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchOptions {
    /// The patches, in the order in which they apply.
    pub patches: Vec<PatchInput>,
    /// Patches that are under both kernels.
    pub base: Vec<PatchInput>,
    /// A commit of the git tree of [`TargetOptions::kernel_src`], which is compared with its parent.
    pub commit: Option<String>,
    /// Options that are switched on in both kernels, as `CONFIG_X`.
    pub enable: Vec<String>,
    /// The target without the patches.
    pub target: TargetName,
    /// What it is made of.
    pub made_of: TargetOptions,
    /// How the two kernels are compared.
    pub duel: Duel,
}

/// What is told while a patch is being judged.
#[derive(Clone, Debug, PartialEq)]
pub enum PatchEvent {
    /// Something is being built.
    Build(Progress),
    /// Sequences are run on both kernels from now on: these, and so many.
    Begin(&'static str, Budget),
    /// Something happened on one of the kernels.
    Run(Side, Event),
}

/// Applies, builds, boots and compares. What is found is in OUT, as it is found; so are the report and the JSON object.
///
/// # Errors
///
/// If a patch does not apply or does not compile, or the kernel without it fails. That the kernel with it does not boot
/// is a verdict.
pub fn patch(
    options: &PatchOptions,
    stop: &Arc<AtomicBool>,
    observer: &mut dyn FnMut(PatchEvent),
) -> Result<PatchReport, RunError> {
    let since = Instant::now();
    let mut timing = Timing::default();
    let pair = kernels::build(options, &mut timing, observer)?;
    let mut report = match not_in_kernel(&pair) {
        Some(reach) => {
            // The two are one kernel.
            duel::clear(&options.duel)?;
            let names = [options.target.to_string(), pair.release.clone()];
            let mut report = PatchReport::begin(&options.duel, names, "");
            report.is_not_built(reach);
            report
        }
        None => {
            let mut report = duel(&pair.base, &pair.patched, &options.duel, stop, observer)?;
            find_out(&mut report, &pair.traced, &options.duel, stop);
            report
        }
    };
    report.patches = pair.patches;
    report.base_patches = options.base.iter().map(|input| input.name.clone()).collect();
    report.files = pair.files;
    report.offsets = pair.offsets;
    report.timing = Timing {
        apply: timing.apply,
        prepare: timing.prepare,
        copy: timing.copy,
        compile: timing.compile,
        link: timing.link,
        trace: timing.trace,
        total: report::seconds(since.elapsed()),
        ..report.timing
    };
    report.write(&options.duel.out)?;
    Ok(report)
}

/// As [`patch`], on User Mode Linux of the newest series whose source can be had, whatever target `options` names. A line
/// says which series gave way to it, if any did.
///
/// # Errors
///
/// As [`patch`].
pub fn patch_on_the_newest(
    options: &PatchOptions,
    stop: &Arc<AtomicBool>,
    observer: &mut dyn FnMut(PatchEvent),
) -> Result<(PatchReport, Option<String>), RunError> {
    on_the_newest(&mut |name| {
        let options = PatchOptions { target: name.clone(), ..options.clone() };
        patch(&options, stop, observer)
    })
}

/// The account of the changed lines, where nothing of the patches is in the kernel for certain: all lines hold code that is
/// not built, or all files are sources that are not compiled. A line without code may still be data.
fn not_in_kernel(pair: &kernels::Kernels) -> Option<Reach> {
    let reach = pair.traced.as_ref().ok()?.built();
    let is_whole = reach.no_code == 0 || reach.has_compiled_none_of(&pair.files);
    (reach.extent() == Extent::NotBuilt && is_whole).then_some(reach)
}

/// Which of the changed lines run, where the comparison leaves that open.
fn find_out(
    report: &mut PatchReport,
    traced: &Result<reach::TracedKernel, String>,
    options: &Duel,
    stop: &Arc<AtomicBool>,
) {
    if report.verdict == PatchVerdict::DoesNotBoot || is_stopped(stop) {
        return;
    }
    let since = Instant::now();
    let cpu = crate::cpu::allowed().first().copied();
    let search = reach::Search { budget: options.budget, rng_seed: options.rng_seed, cpu, stop };
    let found = match traced {
        Ok(kernel) => reach::reach(kernel, &search),
        Err(why) => Reach::unknown(why.clone()),
    };
    report.note_reach(found);
    report.timing.reach = report::seconds(since.elapsed());
}

/// A kernel that is to come up, on `cpu`; and how long it took.
fn open(
    prepared: &Prepared,
    cpu: Option<usize>,
    stop: &Arc<AtomicBool>,
) -> Result<(Target, Duration), RunError> {
    let since = Instant::now();
    let target = prepared.open(cpu, Arc::clone(stop))?;
    Ok((target, since.elapsed()))
}

/// Whether the user wants it to end.
fn is_stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}

/// The folder of one side.
fn folder(out: &std::path::Path, side: Side) -> PathBuf {
    out.join(match side {
        Side::Base => "base",
        Side::Patched => "patched",
    })
}
