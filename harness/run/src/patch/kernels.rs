//! From patches to two kernels.

mod image;
mod modules;

use std::fs;
use std::path::Path;
use std::time::Duration;

use pinfold_machine::diff::{self, Applied};
use pinfold_machine::{Cache, Patch};

use super::reach::TracedKernel;
use super::report::Timing;
use super::{PatchEvent, PatchInput, PatchOptions};
use crate::error::RunError;
use crate::name::TargetName;
use crate::parts::PartsError;
use crate::target::Prepared;

pub(crate) use image::build_patched;
pub(crate) use modules::build_modules;

/// Two kernels, ready to boot.
pub(super) struct Kernels {
    pub(super) base: Prepared,
    pub(super) patched: Prepared,
    /// What the patches are called.
    pub(super) patches: Vec<String>,
    /// The files they change.
    pub(super) files: Vec<String>,
    /// Hunks that were found at another line.
    pub(super) offsets: Vec<String>,
    /// The release of the kernel.
    pub(super) release: String,
    /// The patched kernel once more, so that its changed code says what of it ran; or why there is none.
    pub(super) traced: Result<TracedKernel, String>,
}

/// Applies and builds: a whole kernel, or modules of one that others built. Patches are read and applied before anything
/// is built: a wrong one costs no time.
pub(super) fn build(
    options: &PatchOptions,
    timing: &mut Timing,
    observer: &mut dyn FnMut(PatchEvent),
) -> Result<Kernels, RunError> {
    let cache = Cache::from_environment().map_err(PartsError::Cache)?;
    let patches = read_all(&options.patches)?;
    let base_patches = read_all(&options.base)?;
    let mut watch = |progress: &_| observer(PatchEvent::Build(Clone::clone(progress)));
    match &options.target {
        TargetName::Uml { series, variant, is_fixed } => {
            let (series, is_fixed) = (*series, *is_fixed);
            let asked = image::Asked { cache: &cache, series, variant, is_fixed, options };
            image::build(&asked, patches, &base_patches, timing, &mut watch)
        }
        TargetName::Qemu { .. } if !options.enable.is_empty() => {
            let target = options.target.to_string();
            Err(RunError::Option { target, option: "--enable" })
        }
        TargetName::Qemu { series, is_fixed, .. } => modules::build(
            (&cache, *series, *is_fixed),
            options,
            (&patches, &base_patches),
            timing,
            &mut watch,
        ),
        TargetName::Model { .. }
        | TargetName::UmlImage { .. }
        | TargetName::QemuImage { .. }
        | TargetName::Local { .. } => {
            let target = options.target.to_string();
            Err(RunError::Option { target, option: "a patch" })
        }
    }
}

pub(crate) fn read_all(inputs: &[PatchInput]) -> Result<Vec<Patch>, RunError> {
    let read = |input: &PatchInput| Ok(diff::read(&input.name, &input.bytes)?);
    inputs.iter().map(read).collect()
}

/// What the base patches change, and what all of them do.
fn apply(
    (tree, version): (&Path, &str),
    base: &[Patch],
    patches: &[Patch],
) -> Result<(Applied, Applied), RunError> {
    let under = put((tree, version), base)?;
    let all: Vec<Patch> = base.iter().chain(patches).cloned().collect();
    let over = put((tree, version), &all)?;
    if under.overlay == over.overlay {
        let version = version.to_owned();
        return Err(RunError::NothingPatched { patches: names(patches), version });
    }
    Ok((under, over))
}

fn put((tree, version): (&Path, &str), patches: &[Patch]) -> Result<Applied, RunError> {
    diff::apply(patches, &|name| fs::read(tree.join(name)).ok())
        .map_err(|source| RunError::Apply { source: Box::new(source), version: version.to_owned() })
}

/// The files that `patches` change, in order.
fn file_names(patches: &[Patch]) -> Vec<String> {
    let mut files: Vec<String> =
        patches.iter().flat_map(Patch::file_names).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    files
}

fn names(patches: &[Patch]) -> String {
    patches.iter().map(|patch| patch.input.as_str()).collect::<Vec<_>>().join(", ")
}

/// The longest that a patched kernel may take to come up, after one without patches took `base`: a machine that is merely
/// slow is not one that hangs.
pub(super) fn boot_deadline(base: Duration) -> Duration {
    Duration::from_secs(15).max(base * 20)
}
