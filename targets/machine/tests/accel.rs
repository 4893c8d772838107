//! The probe of KVM answers in time and leaves nothing behind, whatever KVM does here.
//!
//! Where there is no QEMU the tests say so and do nothing; with PINFOLD_REQUIRE_VM=1 they fail instead.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]
#![allow(
    clippy::explicit_write,
    reason = "what macros print is kept back for a test that passes, as one that skips does"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use pinfold_machine::{Accel, Cache, accel, tools};

fn qemu(test: &str) -> Option<PathBuf> {
    let found = tools::find("qemu-system-x86_64");
    if found.is_none() {
        assert!(env::var_os("PINFOLD_REQUIRE_VM").is_none(), "no QEMU");
        writeln!(std::io::stderr(), "SKIP {test}: no QEMU").unwrap();
    }
    found
}

/// The processes whose command line names something in `folder`.
fn processes_of(folder: &Path) -> Vec<String> {
    let line = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| line(entry.unwrap()));
    let texts = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    texts.filter(|text| text.contains(folder.to_str().unwrap())).collect()
}

#[test]
fn the_guest_of_the_probe_runs_where_nothing_but_translation_is_needed() {
    let test = "the_guest_of_the_probe_runs_where_nothing_but_translation_is_needed";
    let Some(qemu) = qemu(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    assert!(accel::runs(&cache, &qemu, Accel::Tcg, Duration::from_secs(60)).unwrap());
}

#[test]
fn the_probe_answers_in_time_and_leaves_no_process() {
    let Some(qemu) = qemu("the_probe_answers_in_time_and_leaves_no_process") else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let since = Instant::now();
    let found = accel::probe(&cache, &qemu).unwrap();
    assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
    assert_eq!(processes_of(folder.path()), Vec::<String>::new());
    // What is said and what is so are one thing.
    let is_so = accel::known(&cache, &qemu) == Some(found.clone());
    assert!(is_so, "{found} is not what is remembered");
    assert!(found.to_string().starts_with(&format!("accelerator: {}, since ", found.accel)));
    writeln!(std::io::stderr(), "{found}").unwrap();
}
