//! Links what rdma-core needs to be wholly inside a static binary.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(static_providers)");
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if !features.split(',').any(|feature| feature == "crt-static") {
        return;
    }
    println!("cargo:rustc-link-search=native=/usr/lib/x86_64-linux-gnu");
    // A library comes before those it needs: provider, libibverbs, libnl.
    for library in ["rxe-rdmav34", "ibverbs", "nl-route-3", "nl-3"] {
        println!("cargo:rustc-link-lib=static:-bundle={library}");
    }
    println!("cargo:rustc-cfg=static_providers");
}
