//! A kernel with the patch of a design does what the model says of that design over that GUP.
//!
//! Kernels as they are stand for two pairs. The others are built by `ci/designs`; PINFOLD_DESIGNS names their folder.
//! Where there is no kernel the test says so and does nothing; with PINFOLD_REQUIRE_VM=1 it fails instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

use std::env;
use std::path::{Path, PathBuf};

use pinfold::designs::{Pair, asked_of};
use pinfold::generate::Generator;
use pinfold::profile::{Profile, Umem};
use pinfold_contract::Observe;
use pinfold_run::{
    Judgement, Rules, Target, TargetOptions, assert_agrees, built_kernels, embedded_defects,
    read_seq,
};

/// Random sequences for each kernel.
const SEQUENCES: u64 = 300;

/// The kernel that carries `pair` out, if it was built: its name as a target.
fn kernel_of(pair: Pair) -> Option<String> {
    if pair.profile() == *pair.gup.linux() {
        let prefix = format!("{}.", pair.gup.name());
        let is_built = built_kernels().unwrap().iter().any(|k| k.version.starts_with(&prefix));
        return is_built.then(|| format!("uml:{}", pair.gup.name()));
    }
    let folder = PathBuf::from(env::var_os("PINFOLD_DESIGNS")?);
    let image = folder.join(format!("{}-{}", pair.design.name(), pair.gup.name()));
    let image = image.canonicalize().ok()?;
    Some(format!("uml:{}", image.display()))
}

fn open(kernel: &str, rules: Rules) -> Target {
    let options = TargetOptions { rules: Some(rules), ..TargetOptions::default() };
    Target::open(&kernel.parse().unwrap(), &options).unwrap()
}

/// Each pair of which there is a kernel.
fn kernels() -> Vec<(Pair, String)> {
    let kernels: Vec<(Pair, String)> =
        Pair::all().filter_map(|pair| Some((pair, kernel_of(pair)?))).collect();
    if kernels.is_empty() {
        let why = "no kernel: run ci/setup 6.12 6.1";
        assert!(env::var_os("PINFOLD_REQUIRE_VM").is_none(), "{why}");
        eprintln!("SKIP: {why}");
    }
    kernels
}

#[test]
fn model_and_kernel_agree_on_each_design() {
    let known = embedded_defects().unwrap();
    for (pair, kernel) in kernels() {
        let mut target = open(&kernel, Rules::Of(pair));
        let generator = Generator::new(2013);
        for index in 0..SEQUENCES {
            let sequence = asked_of(target.profile(), index, generator.sequence(index));
            let judgement = assert_agrees(&mut target, &sequence, Observe::End, &known);
            assert!(!matches!(judgement, Judgement::Diverges { .. }), "{pair}: {judgement}");
        }
    }
}

#[test]
fn each_counterexample_shows_on_the_kernel_what_it_shows_in_the_model() {
    let known = embedded_defects().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus/designs");
    for (pair, kernel) in kernels() {
        let mut target = open(&kernel, Rules::Of(pair));
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "seq") {
                let sequence = read_seq(&path).unwrap().sequence;
                let _agrees = assert_agrees(&mut target, &sequence, Observe::Each, &known);
            }
        }
    }
}

#[test]
fn probes_find_the_rules_of_each_design() {
    for (pair, kernel) in kernels() {
        let found = open(&kernel, Rules::Probed);
        let (found, rules) = (found.profile(), found.rules());
        let wanted = pair.profile();
        assert_eq!(found.umem, wanted.umem, "{pair}: {rules}");
        assert_eq!(found.non_coherent, wanted.non_coherent, "{pair}: {rules}");
        // Who always pins for writing never unshares.
        if wanted.umem != Umem::AlwaysWrite {
            assert_eq!(found.unshare, wanted.unshare, "{pair}: {rules}");
        }
        let same = Profile {
            umem: wanted.umem,
            unshare: wanted.unshare,
            non_coherent: wanted.non_coherent,
            // rxe of 6.12 hides it: see harness/run/tests/probe.rs.
            local_range_status: wanted.local_range_status,
            ..*found
        };
        assert_eq!(same, wanted, "{pair}: {rules}");
    }
}
