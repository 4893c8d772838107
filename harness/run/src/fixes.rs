//! The fixes of defects that go into a kernel of the variant `+fixed`.

use std::fs;
use std::path::PathBuf;

use pinfold::defects::{Defect, Defects, FOLDER, Running};
use pinfold::profile::Platform;
use pinfold_machine::diff;
use pinfold_machine::{
    Cache, KernelRequest, ModuleWorkshop, Patch, Progress, RebuildError, StockKernel,
};

use crate::defects::{embedded_defects, read_defects};
use crate::error::RunError;
use crate::patch::{build_modules, build_patched};
use crate::target::TargetOptions;

/// Which fixes are in a kernel, and which are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fixes {
    /// Those that are in, by slug of their defect, in the order in which they apply.
    pub(crate) patches: Vec<(String, Patch)>,
    /// Defects whose fix is for what is built into the kernel, where only modules are built.
    left_out: Vec<String>,
    /// Defects that the kernel has, and that have no fix for it.
    without: Vec<String>,
}

impl Fixes {
    /// The fixes that `defects` have for a kernel of `version` on `platform`, of what it has.
    ///
    /// # Errors
    ///
    /// If one is no patch.
    pub(crate) fn of(
        defects: &Defects,
        version: &str,
        platform: Platform,
    ) -> Result<Fixes, RunError> {
        let mut fixes = Fixes::default();
        let kernel = Running { release: version, platform, fixed: &[] };
        let is_here = |defect: &&Defect| defects.of(kernel).any(|it| it.entry.slug == defect.slug);
        for defect in defects.all().iter().filter(is_here) {
            let slug = defect.slug.clone();
            match defect.fix_for(version) {
                Some(fix) => {
                    let name = format!("{FOLDER}/{slug}/{}", fix.file);
                    fixes.patches.push((slug, diff::read(&name, fix.text.as_bytes())?));
                }
                None => fixes.without.push(slug),
            }
        }
        Ok(fixes)
    }

    /// Those of them that modules of `shop` are all that they touch.
    ///
    /// # Errors
    ///
    /// If one does not apply, or the kernel's source cannot be searched.
    pub(crate) fn of_modules(
        defects: &Defects,
        shop: &ModuleWorkshop<'_>,
    ) -> Result<Fixes, RunError> {
        let version = version_of(shop.stock());
        let mut fixes = Fixes::of(defects, &version, Platform::X86)?;
        let (all, source) = (std::mem::take(&mut fixes.patches), shop.source());
        for (slug, patch) in all {
            let read = |name: &str| fs::read(source.join(name)).ok();
            let applied = diff::apply(std::slice::from_ref(&patch), &read).map_err(|error| {
                RunError::Apply { source: Box::new(error), version: version.clone() }
            })?;
            match shop.touched(&applied.overlay) {
                Ok(_) => fixes.patches.push((slug, patch)),
                Err(RebuildError::BuiltIn(_)) => fixes.left_out.push(slug),
                Err(error) => return Err(RunError::Modules { source: Box::new(error) }),
            }
        }
        Ok(fixes)
    }

    /// Slugs of the defects whose fix is in.
    pub(crate) fn slugs(&self) -> Vec<String> {
        self.patches.iter().map(|(slug, _)| slug.clone()).collect()
    }

    /// The patches alone.
    pub(crate) fn all(&self) -> Vec<Patch> {
        self.patches.iter().map(|(_, patch)| patch.clone()).collect()
    }

    /// One line for a person.
    pub(crate) fn note(&self) -> String {
        let list = |slugs: &[String]| match slugs {
            [] => "none".to_owned(),
            _ => slugs.join(", "),
        };
        let mut text = format!("fixes in this kernel: {}", list(&self.slugs()));
        if !self.left_out.is_empty() {
            text.push_str(&format!(
                "; left out, since they touch more than modules: {}",
                list(&self.left_out)
            ));
        }
        if !self.without.is_empty() {
            text.push_str(&format!("; without a fix: {}", list(&self.without)));
        }
        text
    }
}

/// The defects whose fixes are wanted.
///
/// # Errors
///
/// If there is something wrong with them.
pub(crate) fn wanted(options: &TargetOptions) -> Result<Defects, RunError> {
    options.defects.as_deref().map_or_else(embedded_defects, read_defects)
}

/// Builds the kernel of `request`, which is of `version`, with all fixes that are for it.
///
/// # Errors
///
/// If one does not apply, or the kernel does not build.
pub(crate) fn build(
    cache: &Cache,
    request: &KernelRequest,
    (defects, version): (&Defects, &str),
    watch: &mut dyn FnMut(&Progress),
) -> Result<(PathBuf, Fixes), RunError> {
    let fixes = Fixes::of(defects, version, Platform::Uml)?;
    let image = build_patched(cache, request, &fixes.all(), watch)?;
    Ok((image, fixes))
}

/// Builds the modules of a stock kernel with all fixes that touch nothing else.
///
/// # Errors
///
/// As [`build`].
pub(crate) fn build_in_modules(
    cache: &Cache,
    series: pinfold_contract::Series,
    defects: &Defects,
    watch: &mut dyn FnMut(&Progress),
) -> Result<(StockKernel, Fixes), RunError> {
    let shop = ModuleWorkshop::of(cache, series, watch)
        .map_err(|error| RunError::Modules { source: Box::new(error) })?;
    let fixes = Fixes::of_modules(defects, &shop)?;
    let kernel = build_modules(&shop, &fixes.all(), watch)?;
    Ok((kernel, fixes))
}

/// The three numbers of a stock kernel: Debian's 6.1 calls itself 6.1.0, so the package tells them.
pub(crate) fn version_of(kernel: &StockKernel) -> String {
    let of_package = kernel.package_version.as_deref().unwrap_or(&kernel.release);
    three_numbers(of_package).to_owned()
}

/// What `release` begins with: `6.12.117` of `6.12.117+deb12-amd64`; all of it where that is no number.
pub(crate) fn three_numbers(release: &str) -> &str {
    let end = release.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(release.len());
    if end == 0 { release } else { &release[..end] }
}

#[cfg(test)]
mod tests {
    use pinfold::defects::DefectFolder;

    use super::*;

    const PATCH: &str = "--- a/mm/gup.c\n+++ b/mm/gup.c\n@@ -1,1 +1,1 @@\n-a\n+b\n";

    fn defects(with_fix: &str) -> Defects {
        let text = "title = \"t\"\nsource = \"a.c:f\"\naffected = \"6.1..\"\n[[shows]]\n\
                    signature = \"a-SLUG\"\nsequence = \"s.seq\"\nverified = [\"6.1.192\"]\n";
        let texts = ["b", "a"].map(|slug| (slug, text.replace("SLUG", slug)));
        let folders = texts.iter().map(|(slug, text)| {
            let mut files = vec![("defect.toml", text.as_str())];
            files.extend((*slug == "b").then_some(("fix.patch", with_fix)));
            DefectFolder { slug, files }
        });
        Defects::parse(folders).unwrap()
    }

    #[test]
    fn a_kernel_gets_the_fixes_of_its_series_and_the_note_says_which_are_missing() {
        let defects = defects(&format!("Series: 6.12..\n\n{PATCH}"));
        let fixes = |version| Fixes::of(&defects, version, Platform::Uml).unwrap();
        let newer = fixes("7.3.4");
        assert_eq!(newer.slugs(), ["b"]);
        assert_eq!(newer.note(), "fixes in this kernel: b; without a fix: a");
        assert_eq!(newer.all()[0].input, "corpus/defects/b/fix.patch");
        assert_eq!(fixes("6.1.192").note(), "fixes in this kernel: none; without a fix: a, b");
        assert_eq!(fixes("5.10.1").note(), "fixes in this kernel: none");
    }

    #[test]
    fn a_fix_that_is_no_patch_is_named() {
        let defects = defects("Series: 6.1..\n\n--- a/mm/gup.c\n");
        let error = Fixes::of(&defects, "6.1.192", Platform::Uml).unwrap_err();
        assert!(error.to_string().contains("corpus/defects/b/fix.patch"), "{error}");
    }

    #[test]
    fn the_version_is_what_a_release_begins_with() {
        assert_eq!(three_numbers("6.12.117+deb12-amd64"), "6.12.117");
        assert_eq!(three_numbers("6.1.192-3"), "6.1.192");
        assert_eq!(three_numbers("model-6.12"), "model-6.12");
    }
}
