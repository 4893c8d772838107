//! From patches to two kernels.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pinfold_machine::diff::{self, Applied};
use pinfold_machine::source::SourceTree;
use pinfold_machine::{
    BuildTimes, Cache, KernelError, KernelRequest, KernelSource, Patch, Progress, Workshop, git,
    source,
};

use super::report::{Timing, seconds};
use super::{PatchEvent, PatchInput, PatchOptions};
use crate::error::RunError;
use crate::name::TargetName;
use crate::parts::PartsError;
use crate::target::{Prepared, TargetOptions, prepare};

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
}

/// Applies and builds. Patches are read and applied before anything is built: a wrong one costs no time.
pub(super) fn build(
    options: &PatchOptions,
    timing: &mut Timing,
    observer: &mut dyn FnMut(PatchEvent),
) -> Result<Kernels, RunError> {
    let TargetName::Uml { series, variant } = &options.target else {
        let target = options.target.to_string();
        return Err(RunError::Option { target, option: "a patch" });
    };
    let since = Instant::now();
    let cache = Cache::from_environment().map_err(PartsError::Cache)?;
    let mut patches = read_all(&options.patches)?;
    let base_patches = read_all(&options.base)?;
    let mut made_of = options.made_of.clone();
    if let (Some(rev), Some(folder)) = (&options.commit, &options.made_of.kernel_src) {
        let commit = git::commit(&cache, folder, rev, &mut |progress| {
            observer(PatchEvent::Build(progress.clone()));
        })?;
        patches.push(diff::read(&format!("commit {}", commit.title), &commit.diff)?);
        made_of.kernel_src = Some(commit.tree);
    }
    let source =
        made_of.kernel_src.clone().map_or(KernelSource::Debian(*series), KernelSource::Tree);
    let request = KernelRequest::new(source, variant.clone());
    let mut watch = |progress: &_| observer(PatchEvent::Build(Clone::clone(progress)));
    let tree = source::provide(&cache, &request.source, request.freshness, &mut watch)
        .map_err(|error| PartsError::Kernel(error.into()))?;
    let (under, over) = apply(&tree, &base_patches, &patches)?;
    timing.apply = seconds(since.elapsed());

    let since = Instant::now();
    let shop = Workshop::of(&cache, &request, &mut watch).map_err(PartsError::Kernel)?;
    let plain = shop.plain(&mut watch).map_err(PartsError::Kernel)?;
    let prepared = prepare_plain(options, &made_of, &plain.image, &mut watch)?;
    timing.prepare = seconds(since.elapsed());
    let mut times = BuildTimes::default();
    let mut make = |applied: &Applied, patches: &[Patch]| {
        let built = shop.patched(&plain, &applied.overlay, &mut watch);
        let built = built.map_err(|source| wrong_build(source, patches))?;
        times.copy += built.times.copy;
        times.compile += built.times.compile;
        times.link += built.times.link;
        Ok::<_, RunError>(built.image)
    };
    let base_image = make(&under, &base_patches)?;
    let all: Vec<Patch> = base_patches.iter().chain(&patches).cloned().collect();
    let patched_image = make(&over, &all)?;
    for (place, time) in [
        (&mut timing.copy, times.copy),
        (&mut timing.compile, times.compile),
        (&mut timing.link, times.link),
    ] {
        *place = seconds(time);
    }
    let base =
        if base_patches.is_empty() { prepared.clone() } else { prepared.with_image(base_image) };
    let mut files: Vec<String> =
        patches.iter().flat_map(Patch::file_names).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(Kernels {
        base,
        patched: prepared.with_image(patched_image),
        patches: patches.iter().map(|patch| patch.input.clone()).collect(),
        files,
        offsets: over.offsets.iter().map(ToString::to_string).collect(),
    })
}

/// The image of the kernel of `request` with the patches of `inputs` in it.
///
/// # Errors
///
/// If one does not apply, or what they make does not build.
pub(crate) fn build_patched(
    cache: &Cache,
    request: &KernelRequest,
    inputs: &[PatchInput],
    watch: &mut dyn FnMut(&Progress),
) -> Result<PathBuf, RunError> {
    let patches = read_all(inputs)?;
    let tree = source::provide(cache, &request.source, request.freshness, watch)
        .map_err(|error| PartsError::Kernel(error.into()))?;
    let applied = put(&tree, &patches)?;
    let shop = Workshop::of(cache, request, watch).map_err(PartsError::Kernel)?;
    let plain = shop.plain(watch).map_err(PartsError::Kernel)?;
    let built = shop.patched(&plain, &applied.overlay, watch);
    Ok(built.map_err(|source| wrong_build(source, &patches))?.image)
}

fn read_all(inputs: &[PatchInput]) -> Result<Vec<Patch>, RunError> {
    let read = |input: &PatchInput| Ok(diff::read(&input.name, &input.bytes)?);
    inputs.iter().map(read).collect()
}

/// What the base patches change, and what all of them do.
fn apply(
    tree: &SourceTree,
    base: &[Patch],
    patches: &[Patch],
) -> Result<(Applied, Applied), RunError> {
    let under = put(tree, base)?;
    let all: Vec<Patch> = base.iter().chain(patches).cloned().collect();
    let over = put(tree, &all)?;
    if under.overlay == over.overlay {
        let version = tree.version.clone();
        return Err(RunError::NothingPatched { patches: names(patches), version });
    }
    Ok((under, over))
}

fn put(tree: &SourceTree, patches: &[Patch]) -> Result<Applied, RunError> {
    diff::apply(patches, &|name| fs::read(tree.path.join(name)).ok()).map_err(|source| {
        RunError::Apply { source: Box::new(source), version: tree.version.clone() }
    })
}

/// The target without any patch, whose kernel `image` is.
fn prepare_plain(
    options: &PatchOptions,
    made_of: &TargetOptions,
    image: &std::path::Path,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Prepared, RunError> {
    if made_of.kernel_src.is_none() {
        return prepare(&options.target, made_of, watch);
    }
    // Not by its tree: that would be made once more, and the tree may have changed since.
    let name = TargetName::UmlImage { image: image.to_owned() };
    let made_of = TargetOptions { kernel_src: None, ..made_of.clone() };
    prepare(&name, &made_of, watch)
}

fn wrong_build(source: KernelError, patches: &[Patch]) -> RunError {
    RunError::DoesNotBuild { patches: names(patches), source: Box::new(source) }
}

fn names(patches: &[Patch]) -> String {
    patches.iter().map(|patch| patch.input.as_str()).collect::<Vec<_>>().join(", ")
}

/// The longest that a patched kernel may take to come up, after one without patches took `base`: a machine that is merely
/// slow is not one that hangs.
pub(super) fn boot_deadline(base: Duration) -> Duration {
    Duration::from_secs(15).max(base * 20)
}
