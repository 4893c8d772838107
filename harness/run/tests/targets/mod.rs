//! Which kernels are here to be run.

use std::env;

use pinfold_machine::{Cache, qemu, stock, tools};
use pinfold_run::built_kernels;

/// Whether the packaged kernel that the target `name` asks for, `uml:SERIES` or `qemu:SERIES`, can be run at once. Where
/// it cannot the test prints SKIP; with PINFOLD_REQUIRE_VM=1 it fails instead, unless PINFOLD_REQUIRE_SERIES lists the
/// series that have to be here, and this one is not among them.
pub(crate) fn is_here(name: &str) -> bool {
    let (kind, series) = name.split_once(':').unwrap();
    let (is_here, way_out) = match kind {
        "uml" => {
            let prefix = format!("{series}.");
            let built = built_kernels().unwrap();
            let is_built = built.iter().any(|kernel| kernel.version.starts_with(&prefix));
            (is_built, format!("run ci/setup {series}"))
        }
        "qemu" => {
            let cache = Cache::from_environment().unwrap();
            let has_image = stock::find(&cache, series.parse().unwrap()).is_some();
            let is_here = has_image && tools::find(qemu::PROGRAM).is_some();
            (is_here, format!("install QEMU and run pinfold replay --target {name}"))
        }
        _ => panic!("{name} is not packaged"),
    };
    if !is_here {
        let why = format!("{name} is not here: {way_out}");
        assert!(!is_required(series), "{why}");
        eprintln!("SKIP: {why}");
    }
    is_here
}

fn is_required(series: &str) -> bool {
    let listed = env::var("PINFOLD_REQUIRE_SERIES");
    let is_left_out = listed.is_ok_and(|all| !all.split_whitespace().any(|one| one == series));
    env::var_os("PINFOLD_REQUIRE_VM").is_some() && !is_left_out
}
