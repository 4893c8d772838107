//! Two whole kernels, run as User Mode Linux.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pinfold::profile::Platform;
use pinfold_contract::Series;
use pinfold_machine::diff::{self, Applied};
use pinfold_machine::{
    BuildTimes, Cache, Kernel, KernelError, KernelRequest, KernelSource, Patch, Progress, Variant,
    Workshop, git, source,
};

use super::super::PatchOptions;
use super::super::lines::{self, Lines};
use super::super::reach::TracedKernel;
use super::super::report::{Timing, seconds};
use super::{Kernels, apply, file_names, names, put};
use crate::blocks::{LineTable, line_table};
use crate::error::RunError;
use crate::fixes::{self, Fixes};
use crate::name::TargetName;
use crate::parts::PartsError;
use crate::target::{Prepared, TargetOptions, prepare};

/// Which kernels are wanted.
pub(super) struct Asked<'a> {
    pub(super) cache: &'a Cache,
    pub(super) series: Series,
    pub(super) variant: &'a Variant,
    pub(super) is_fixed: bool,
    pub(super) options: &'a PatchOptions,
}

/// Builds the kernel with and without the patches.
pub(super) fn build(
    asked: &Asked<'_>,
    mut patches: Vec<Patch>,
    base_patches: &[Patch],
    timing: &mut Timing,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Kernels, RunError> {
    let since = Instant::now();
    let Asked { cache, series, variant, is_fixed, options } = asked;
    let mut made_of = options.made_of.clone();
    if let (Some(rev), Some(folder)) = (&options.commit, &options.made_of.kernel_src) {
        let commit = git::commit(cache, folder, rev, watch)?;
        patches.push(diff::read(&format!("commit {}", commit.title), &commit.diff)?);
        made_of.kernel_src = Some(commit.tree);
    }
    let source =
        made_of.kernel_src.clone().map_or(KernelSource::Debian(*series), KernelSource::Tree);
    let enable = options.enable.clone();
    let request = KernelRequest { enable, ..KernelRequest::new(source, Clone::clone(*variant)) };
    let tree = source::provide(cache, &request.source, request.freshness, watch)
        .map_err(|error| PartsError::Kernel(error.into()))?;
    let fixes = match is_fixed {
        true => Fixes::of(&fixes::wanted(&made_of)?, &tree.version, Platform::Uml)?,
        false => Fixes::default(),
    };
    let base_patches: &[Patch] = &[fixes.all(), base_patches.to_vec()].concat();
    let (under, over) = apply((&tree.path, &tree.version), base_patches, &patches)?;
    timing.apply = seconds(since.elapsed());

    let since = Instant::now();
    let shop = Workshop::of(cache, &request, watch).map_err(PartsError::Kernel)?;
    let plain = shop.plain(watch).map_err(PartsError::Kernel)?;
    let prepared = prepare_plain(options, &made_of, &plain.image, watch)?.with_fixes(fixes.slugs());
    timing.prepare = seconds(since.elapsed());
    let mut times = BuildTimes::default();
    let mut make = |applied: &Applied, patches: &[Patch]| {
        let built = shop.patched(&plain, &applied.overlay, watch);
        let built = built.map_err(|source| wrong_build(source, patches))?;
        times.copy += built.times.copy;
        times.compile += built.times.compile;
        times.link += built.times.link;
        Ok::<_, RunError>(built.image)
    };
    let base_image = make(&under, base_patches)?;
    let all: Vec<Patch> = base_patches.iter().chain(&patches).cloned().collect();
    let patched_image = make(&over, &all)?;
    for (place, time) in [
        (&mut timing.copy, times.copy),
        (&mut timing.compile, times.compile),
        (&mut timing.link, times.link),
    ] {
        *place = seconds(time);
    }
    let since = Instant::now();
    let traced = trace(&shop, &plain, (&under, &over), &tree.path, watch);
    let traced = traced.map(|(image, lines, table)| {
        let prepared = prepared.with_image(image);
        TracedKernel { prepared, lines, table, _folder: None }
    });
    timing.trace = seconds(since.elapsed());
    let base =
        if base_patches.is_empty() { prepared.clone() } else { prepared.with_image(base_image) };
    Ok(Kernels {
        base,
        patched: prepared.with_image(patched_image),
        patches: patches.iter().map(|patch| patch.input.clone()).collect(),
        files: file_names(&patches),
        offsets: over.offsets.iter().map(ToString::to_string).collect(),
        release: tree.version,
        traced,
    })
}

/// The kernel with `over` in it, and notes of what ran in the code in which it differs from that with `under`; with the lines
/// in which they differ. Or why there is none: the comparison can do without.
fn trace(
    shop: &Workshop<'_>,
    plain: &Kernel,
    (under, over): (&Applied, &Applied),
    tree: &Path,
    watch: &mut dyn FnMut(&Progress),
) -> Result<(PathBuf, Lines, LineTable), String> {
    let of_tree = |name: &str| fs::read(tree.join(name)).ok();
    let mut lines = lines::lines(&under.overlay, &over.overlay, &of_tree);
    let files = lines.wanted.iter().map(|line| line.file.clone()).collect();
    let patched = |name: &str| match over.overlay.get(name) {
        Some(content) => content.clone(),
        None => of_tree(name),
    };
    let mut marked = over.overlay.clone();
    marked.extend(lines.marked(&patched));
    let traced = match shop.traced(plain, &marked, &files, watch) {
        // Where a mark cannot stand, it goes without.
        Err(KernelError::Compile { .. }) => shop.traced(plain, &over.overlay, &files, watch),
        other => other,
    };
    let traced = traced.map_err(|error| error.to_string())?;
    lines.find_uses(&traced.sources, &patched);
    let image = traced.built.image;
    let table = line_table(&image, &lines.files()).map_err(|error| error.to_string())?;
    Ok((image, lines, table))
}

/// The image of the kernel of `request` with `patches` in it.
///
/// # Errors
///
/// If one does not apply, or what they make does not build.
pub(crate) fn build_patched(
    cache: &Cache,
    request: &KernelRequest,
    patches: &[Patch],
    watch: &mut dyn FnMut(&Progress),
) -> Result<PathBuf, RunError> {
    let tree = source::provide(cache, &request.source, request.freshness, watch)
        .map_err(|error| PartsError::Kernel(error.into()))?;
    let applied = put((&tree.path, &tree.version), patches)?;
    let shop = Workshop::of(cache, request, watch).map_err(PartsError::Kernel)?;
    let plain = shop.plain(watch).map_err(PartsError::Kernel)?;
    let built = shop.patched(&plain, &applied.overlay, watch);
    Ok(built.map_err(|source| wrong_build(source, patches))?.image)
}

/// The target without any patch, whose kernel `image` is.
fn prepare_plain(
    options: &PatchOptions,
    made_of: &TargetOptions,
    image: &Path,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Prepared, RunError> {
    if made_of.kernel_src.is_none() && options.enable.is_empty() {
        return prepare(&options.target, made_of, watch);
    }
    // Not by its tree, which would be made once more and may have changed since; nor by its series, which is not all that it
    // is made of.
    let name = TargetName::UmlImage { image: image.to_owned() };
    let made_of = TargetOptions { kernel_src: None, ..made_of.clone() };
    prepare(&name, &made_of, watch)
}

fn wrong_build(source: KernelError, patches: &[Patch]) -> RunError {
    RunError::DoesNotBuild { patches: names(patches), source: Box::new(source) }
}
