//! One kernel of Debian's with two sets of modules, run in QEMU.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;

use pinfold_contract::Series;
use pinfold_machine::diff::Applied;
use pinfold_machine::{Cache, ModuleWorkshop, Patch, Progress, RebuildError, StockKernel};

use super::super::PatchOptions;
use super::super::lines;
use super::super::probes;
use super::super::reach::TracedKernel;
use super::super::report::{Timing, seconds};
use super::{Kernels, apply, file_names, names, put};
use crate::blocks::instructions;
use crate::error::RunError;
use crate::fixes::{self, Fixes};
use crate::target::{Prepared, prepare};

/// Builds the modules that the patches touch. Without patches the kernel is as Debian built it.
pub(super) fn build(
    (cache, series, is_fixed): (&Cache, Series, bool),
    options: &PatchOptions,
    (patches, base_patches): (&[Patch], &[Patch]),
    timing: &mut Timing,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Kernels, RunError> {
    let since = Instant::now();
    let stock = prepare(&options.target, &options.made_of, watch)?;
    let shop = ModuleWorkshop::of(cache, series, watch).map_err(environment)?;
    timing.prepare = seconds(since.elapsed());

    let since = Instant::now();
    let tree = (shop.source(), shop.stock().release.as_str());
    let fixes = match is_fixed {
        true => Fixes::of_modules(&fixes::wanted(&options.made_of)?, &shop)?,
        false => Fixes::default(),
    };
    let base_patches: &[Patch] = &[fixes.all(), base_patches.to_vec()].concat();
    let (under, over) = apply(tree, base_patches, patches)?;
    let all: Vec<Patch> = base_patches.iter().chain(patches).cloned().collect();
    shop.touched(&over.overlay).map_err(|source| wrong(source, &all))?;
    timing.apply = seconds(since.elapsed());

    let since = Instant::now();
    let base = if base_patches.is_empty() {
        stock.clone()
    } else {
        let built = shop.patched(&under.overlay, watch);
        let built = built.map_err(|source| wrong(source, base_patches))?;
        stock.with_modules(&built.kernel)?
    };
    let built = shop.patched(&over.overlay, watch).map_err(|source| wrong(source, &all))?;
    timing.compile = seconds(since.elapsed());
    let patched = stock.with_modules(&built.kernel)?;
    let since = Instant::now();
    let traced = trace((cache, &shop), &patched, (&under, &over), watch);
    timing.trace = seconds(since.elapsed());
    Ok(Kernels {
        base,
        patched,
        patches: patches.iter().map(|patch| patch.input.clone()).collect(),
        files: file_names(patches),
        offsets: over.offsets.iter().map(ToString::to_string).collect(),
        release: shop.stock().release.clone(),
        traced,
    })
}

/// The kernel with the patched modules, and probes at the code in which `over` differs from `under`. Or why there is none: the
/// comparison can do without.
fn trace(
    (cache, shop): (&Cache, &ModuleWorkshop<'_>),
    patched: &Prepared,
    (under, over): (&Applied, &Applied),
    watch: &mut dyn FnMut(&Progress),
) -> Result<TracedKernel, String> {
    let of_tree = |name: &str| fs::read(shop.source().join(name)).ok();
    let mut lines = lines::lines(&under.overlay, &over.overlay, &of_tree);
    let files: BTreeSet<String> = lines.wanted.iter().map(|line| line.file.clone()).collect();
    let modules =
        shop.with_lines(&over.overlay, &files, watch).map_err(|error| error.to_string())?;
    let now = |name: &str| match over.overlay.get(name) {
        Some(content) => content.clone(),
        None => of_tree(name),
    };
    lines.find_uses(&files, &now);
    let mut code = BTreeMap::new();
    for (module, image) in &modules {
        let found = instructions(image, &lines.files()).map_err(|error| error.to_string())?;
        code.insert(module.name(), found.into_iter().collect::<Vec<_>>());
    }
    let (table, names) = probes::probes(&lines, &code);
    let folder = cache.scratch().map_err(|error| error.to_string())?;
    let prepared = patched.with_probes(&names, folder.path()).map_err(|error| error.to_string())?;
    Ok(TracedKernel { prepared, lines, table, _folder: Some(folder) })
}

/// The kernel of `shop` with those modules built anew that `patches` touch.
///
/// # Errors
///
/// If one does not apply, touches more than modules, or what they make does not build.
pub(crate) fn build_modules(
    shop: &ModuleWorkshop<'_>,
    patches: &[Patch],
    watch: &mut dyn FnMut(&Progress),
) -> Result<StockKernel, RunError> {
    let applied = put((shop.source(), &shop.stock().release), patches)?;
    let built = shop.patched(&applied.overlay, watch);
    Ok(built.map_err(|source| wrong(source, patches))?.kernel)
}

fn environment(source: RebuildError) -> RunError {
    RunError::Modules { source: Box::new(source) }
}

/// What the patches have to do with it.
fn wrong(source: RebuildError, patches: &[Patch]) -> RunError {
    if matches!(source, RebuildError::BuiltIn(_) | RebuildError::Compile { .. }) {
        RunError::ModulesDoNotBuild { patches: names(patches), source: Box::new(source) }
    } else {
        environment(source)
    }
}
