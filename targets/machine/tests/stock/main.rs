//! Debian's own kernels load the modules that were taken out of their packages, and an rxe device comes of it.
//!
//! Where no such kernel is cached, or there is no QEMU, the tests say so and do nothing; with PINFOLD_REQUIRE_VM=1 they
//! fetch the kernels, and fail where that does not go.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]
#![allow(
    clippy::explicit_write,
    reason = "what macros print is kept back for a test that passes, as one that skips does"
)]

mod guest;

use std::io::Write;
use std::{env, fs};

use pinfold_machine::source::Freshness;
use pinfold_machine::{Cache, Series, StockKernel, modules, stock, tools};

/// Debian's kernels, if this test may run.
fn kernels(test: &str) -> Vec<(Series, StockKernel)> {
    let cache = Cache::from_environment().unwrap();
    let is_required = env::var_os("PINFOLD_REQUIRE_VM").is_some();
    let find = |series| {
        let provide = || stock::provide(&cache, series, Freshness::Cached, &mut |_| {}).unwrap();
        let found = stock::find(&cache, series).or_else(|| is_required.then(provide));
        Some((series, found?))
    };
    let found: Vec<_> = Series::ALL.into_iter().filter_map(find).collect();
    let has_qemu = tools::find("qemu-system-x86_64").is_some();
    assert!(has_qemu || !is_required, "no QEMU: run `apt-get install qemu-system-x86`");
    if found.is_empty() || !has_qemu {
        let reason = if has_qemu { "no stock kernel in the cache" } else { "no QEMU" };
        writeln!(std::io::stderr(), "SKIP {test}: {reason}").unwrap();
        return Vec::new();
    }
    found
}

#[test]
fn a_stock_kernel_loads_its_modules_in_their_order_and_makes_an_rxe_device() {
    for (_, kernel) in
        kernels("a_stock_kernel_loads_its_modules_in_their_order_and_makes_an_rxe_device")
    {
        let console = guest::boot(&kernel.image, &kernel.modules);
        guest::assert_all_loaded(&kernel.modules, &console);
        assert!(console.contains("device rxe0: ok"), "{console}");
        assert!(console.contains(&format!("Linux version {} ", kernel.release)), "{console}");
    }
}

#[test]
fn every_module_is_whole_and_says_that_it_is_of_this_kernel() {
    for (_, kernel) in kernels("every_module_is_whole_and_says_that_it_is_of_this_kernel") {
        assert_eq!(stock::release_of(&kernel.image).unwrap(), kernel.release);
        for path in &kernel.modules {
            let info = modules::info(&fs::read(path).unwrap()).unwrap();
            assert_eq!(info.release.as_ref(), Some(&kernel.release), "{}", path.display());
        }
        let is_there =
            |name: &str| kernel.modules.iter().any(|path| path.ends_with(format!("{name}.ko")));
        // Debian's 6.12 has virtio built in, and its 6.1 has not.
        for name in ["rdma_rxe", "ib_uverbs", "ib_core", "crc32_generic", "crc32c_generic", "ext4"]
        {
            assert!(is_there(name), "{name} is not among {:?}", kernel.modules);
        }
    }
}
