//! The kernels that targets boot: building them ahead of their first use, and finding them.

use std::path::PathBuf;

use pinfold::profile::Platform;
use pinfold_machine::{Cache, Kernel, KernelRequest, KernelSource, Progress, kernel, workshop};

use crate::defects::embedded_defects;
use crate::error::RunError;
use crate::fixes::Fixes;
use crate::name::{NameError, TargetName, default_series};
use crate::parts::PartsError;
use crate::patch::{self, PatchInput};

/// Builds the kernel of `name` (`6.12`, `6.1+kasan`; `uml:` may stand before it), if that is not there yet: from
/// `tree`, if one is given, and with `patches` applied in their order. Gives its image.
///
/// # Errors
///
/// If the name is none, a patch does not apply, or the kernel cannot be built.
pub fn build_kernel(
    name: &str,
    tree: Option<PathBuf>,
    patches: &[PatchInput],
    watch: &mut dyn FnMut(&Progress),
) -> Result<PathBuf, RunError> {
    let Named { source, variant, is_fixed } = read(name)?;
    let source = tree.map_or(source, KernelSource::Tree);
    let cache = Cache::from_environment().map_err(PartsError::Cache)?;
    let request = KernelRequest::new(source, variant);
    let mut plain = || workshop::provide(&cache, &request, watch).map_err(PartsError::Kernel);
    if patches.is_empty() && !is_fixed {
        return Ok(plain()?.image);
    }
    let mut all = patch::read_all(patches)?;
    if is_fixed {
        let version = plain()?.version;
        all.splice(0..0, Fixes::of(&embedded_defects()?, &version, Platform::Uml)?.all());
    }
    patch::build_patched(&cache, &request, &all, watch)
}

/// Every kernel that was built, oldest first.
///
/// # Errors
///
/// If there is no folder to look in.
pub fn built_kernels() -> Result<Vec<Kernel>, RunError> {
    Ok(kernel::list(&Cache::from_environment().map_err(PartsError::Cache)?))
}

/// The kernel of `name`, if it was built. Builds nothing.
///
/// # Errors
///
/// If the name is none.
pub fn find_kernel(name: &str) -> Result<Option<Kernel>, RunError> {
    let Named { source, variant, is_fixed } = read(name)?;
    let cache = Cache::from_environment().map_err(PartsError::Cache)?;
    Ok(match source {
        KernelSource::Debian(series) if !is_fixed => kernel::find(&cache, series, &variant),
        // What is built with patches is kept by its content.
        KernelSource::Debian(_) | KernelSource::Tree(_) => None,
    })
}

/// The kernel that a name asks for.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    source: KernelSource,
    variant: pinfold_machine::Variant,
    is_fixed: bool,
}

fn read(name: &str) -> Result<Named, NameError> {
    let full = if name.starts_with("uml:") { name.to_owned() } else { format!("uml:{name}") };
    match full.parse()? {
        TargetName::Uml { series, variant, is_fixed } => {
            Ok(Named { source: KernelSource::Debian(series), variant, is_fixed })
        }
        TargetName::UmlImage { .. }
        | TargetName::Qemu { .. }
        | TargetName::QemuImage { .. }
        | TargetName::Local { .. }
        | TargetName::Model { .. } => Err(NameError::Unknown {
            name: name.to_owned(),
            why: format!(
                "a kernel to build is a series, such as {0} or {0}+kasan",
                default_series()
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_named_with_or_without_uml() {
        assert_eq!(read("6.12+kasan").unwrap(), read("uml:6.12+kasan").unwrap());
        assert!(read("./linux").is_err());
        assert!(read("5.10").unwrap_err().to_string().contains("5.10"));
    }
}
