//! Debian's own kernels load the modules that were taken out of their packages, and those that were built anew with a
//! patch, and an rxe device comes of it.
//!
//! Where no such kernel is cached, or there is no QEMU, the tests say so and do nothing; with PINFOLD_REQUIRE_VM=1 they
//! fail.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]
#![allow(
    clippy::explicit_write,
    reason = "what macros print is kept back for a test that passes, as one that skips does"
)]

mod guest;

use std::io::Write;
use std::{env, fs};

use pinfold_contract::Series;
use pinfold_machine::diff::Overlay;
use pinfold_machine::{
    Cache, ModuleWorkshop, RebuildError, StockKernel, StockModule, modules, stock, tools,
};

/// Debian's kernels, if this test may run.
fn kernels(test: &str) -> Vec<(Series, StockKernel)> {
    let cache = Cache::from_environment().unwrap();
    let is_required = env::var_os("PINFOLD_REQUIRE_VM").is_some();
    let find = |series| Some((series, stock::find(&cache, series)?));
    let found: Vec<_> = stock::series_of(&cache).into_iter().filter_map(find).collect();
    let has_qemu = tools::find("qemu-system-x86_64").is_some();
    assert!(has_qemu || !is_required, "no QEMU: run `apt-get install qemu-system-x86`");
    assert!(
        !found.is_empty() || !is_required,
        "no stock kernel in the cache: run `pinfold replay --target qemu:SERIES FILE`"
    );
    if found.is_empty() || !has_qemu {
        let reason = if has_qemu { "no stock kernel in the cache" } else { "no QEMU" };
        writeln!(std::io::stderr(), "SKIP {test}: {reason}").unwrap();
        return Vec::new();
    }
    found
}

/// Runs `claim` where modules can be built anew: where what that needs is in the cache, or has to be.
fn with_workshops(test: &str, claim: fn(&ModuleWorkshop<'_>)) {
    let cache = Cache::from_environment().unwrap();
    let may_fetch = env::var_os("PINFOLD_REQUIRE_VM").is_some();
    for (series, kernel) in kernels(test) {
        let version = kernel.package_version.unwrap_or_default();
        let name = format!("headers/linux-headers-{}_{version}", kernel.release);
        if may_fetch || cache.root().join(name).is_dir() {
            claim(&ModuleWorkshop::of(&cache, series, &mut |_| {}).unwrap());
        } else {
            writeln!(std::io::stderr(), "SKIP {test}: no headers of {series}").unwrap();
        }
    }
}

/// The file `name` with `new` in the place of `old`, which must be there.
fn changed(workshop: &ModuleWorkshop<'_>, name: &str, old: &str, new: &str) -> Overlay {
    let text = fs::read_to_string(workshop.source().join(name)).unwrap();
    assert!(text.contains(old), "{name} has no {old}");
    Overlay::from([(name.to_owned(), Some(text.replacen(old, new, 1).into_bytes()))])
}

const RXE_INIT: (&str, &str) = ("drivers/infiniband/sw/rxe/rxe.c", "pr_info(\"loaded\\n\");");
const UVERBS_INIT: (&str, &str) = (
    "drivers/infiniband/core/uverbs_main.c",
    "static int __init ib_uverbs_init(void)\n{\n\tint ret;\n",
);

#[test]
fn modules_without_a_patch_are_taken_by_the_stock_kernel() {
    with_workshops("modules_without_a_patch_are_taken_by_the_stock_kernel", |workshop| {
        let plain = workshop.plain(&mut |_| {}).unwrap();
        assert_eq!(plain.modules, workshop.modules());
        let own = workshop.stock().modules.iter();
        let replaced = own.zip(&plain.kernel.modules).filter(|(own, built)| own != built);
        assert_eq!(replaced.count(), plain.modules.len());
        let console = guest::boot(&plain.kernel.image, &plain.kernel.modules);
        guest::assert_all_loaded(&plain.kernel.modules, &console);
        assert!(console.contains("device rxe0: ok"), "{console}");
    });
}

#[test]
fn a_patch_is_seen_in_the_stock_kernel_and_built_once() {
    with_workshops("a_patch_is_seen_in_the_stock_kernel_and_built_once", |workshop| {
        let (name, old) = RXE_INIT;
        let mut overlay = changed(workshop, name, old, "pr_info(\"the rxe of a test\\n\");");
        let rxe = workshop.patched(&overlay, &mut |_| {}).unwrap();
        assert_eq!(rxe.modules, [StockModule::Rxe]);

        // A header that only RDMA includes, and a user of it in another module.
        let (name, old) = UVERBS_INIT;
        let new = format!("#include <rdma/ib_umem.h>\n{old}\tpr_info(THE_WORD);\n");
        overlay.extend(changed(workshop, name, old, &new));
        let old = "struct ib_umem {\n";
        let new = format!("#define THE_WORD \"the uverbs of a test\\n\"\n{old}\tint the_field;\n");
        overlay.extend(changed(workshop, "include/rdma/ib_umem.h", old, &new));
        let all = workshop.patched(&overlay, &mut |_| {}).unwrap();
        assert_eq!(all.modules, workshop.modules());
        let again = workshop.patched(&overlay, &mut |_| {}).unwrap();
        assert_eq!((again.kernel, again.time.as_secs()), (all.kernel.clone(), 0));

        // The second kernel has the patch of the first as well, so it is booted alone.
        let console = guest::boot(&all.kernel.image, &all.kernel.modules);
        guest::assert_all_loaded(&all.kernel.modules, &console);
        assert!(console.contains("device rxe0: ok"), "{console}");
        for word in ["the rxe of", "the uverbs of"] {
            assert!(console.contains(&format!("{word} a test")), "no {word}: {console}");
        }
    });
}

#[test]
fn what_does_not_compile_is_told_in_the_names_of_the_patch() {
    with_workshops("what_does_not_compile_is_told_in_the_names_of_the_patch", |workshop| {
        let (name, old) = RXE_INIT;
        let overlay = changed(workshop, name, old, "no_such_function();");
        let error = workshop.patched(&overlay, &mut |_| {}).unwrap_err();
        let RebuildError::Compile { source, .. } = error else { panic!("{error}") };
        let text = source.to_string();
        assert!(text.contains("\ndrivers/infiniband/sw/rxe/rxe.c:"), "{text}");
        assert!(text.contains("no_such_function"), "{text}");
    });
}

#[test]
fn a_patch_to_built_in_code_is_refused() {
    with_workshops("a_patch_to_built_in_code_is_refused", |workshop| {
        for name in ["mm/gup.c", "include/rdma/ib_verbs.h", "drivers/infiniband/core/cma.c"] {
            let overlay = Overlay::from([(name.to_owned(), Some(Vec::new()))]);
            let error = workshop.touched(&overlay).unwrap_err();
            let is_it = matches!(&error, RebuildError::BuiltIn(why) if why.file == name);
            assert!(is_it && error.to_string().contains("uml"), "{error}");
        }
        for name in ["include/rdma/ib_umem.h", "drivers/infiniband/core/umem.c"] {
            let overlay = Overlay::from([(name.to_owned(), Some(Vec::new()))]);
            assert!(!workshop.touched(&overlay).unwrap().is_empty(), "{name}");
        }
    });
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
        // Whether virtio and the checksums are modules differs.
        for name in ["rdma_rxe", "ib_uverbs", "ib_core", "ext4"] {
            assert!(is_there(name), "{name} is not among {:?}", kernel.modules);
        }
    }
}
