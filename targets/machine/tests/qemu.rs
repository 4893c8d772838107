//! A machine of QEMU prints, panics and dies as it says: with a stock kernel from the cache, and nothing to run on it.
//!
//! Where there is no such kernel or no QEMU the tests say so and do nothing; with PINFOLD_REQUIRE_VM=1 they fail instead.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]
#![allow(
    clippy::explicit_write,
    reason = "what macros print is kept back for a test that passes, as one that skips does"
)]

use std::io::Write;
use std::path::PathBuf;
use std::{env, fs};

use pinfold_machine::{Cache, Ending, MachineError, QemuOptions, qemu, stock, tools};

/// Debian's kernels, as far as they are in the cache.
fn images(test: &str) -> Vec<PathBuf> {
    let cache = Cache::from_environment().unwrap();
    let find = |series| Some(stock::find(&cache, series)?.image);
    let found: Vec<_> = stock::series_of(&cache).into_iter().filter_map(find).collect();
    let has_qemu = tools::find(qemu::PROGRAM).is_some();
    if found.is_empty() || !has_qemu {
        let reason = if has_qemu { "no stock kernel in the cache" } else { "no QEMU" };
        assert!(env::var_os("PINFOLD_REQUIRE_VM").is_none(), "{reason}");
        writeln!(std::io::stderr(), "SKIP {test}: {reason}").unwrap();
        return Vec::new();
    }
    found
}

/// The ids of processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    text.unwrap_or_default().split_whitespace().map(|id| id.parse().unwrap()).collect()
}

#[test]
fn a_kernel_without_init_panics_and_that_is_told_from_a_power_off() {
    for image in images("a_kernel_without_init_panics_and_that_is_told_from_a_power_off") {
        let initramfs = tempfile::NamedTempFile::new().unwrap();
        let mut machine = qemu::boot(&QemuOptions::new(&image, initramfs.path())).unwrap();
        let error = machine.await_guest().unwrap_err();
        let MachineError::Died { status, console } = &error else { panic!("{error}") };
        assert_eq!(*status, Ending::Panicked, "{console}");
        assert!(console.contains("Kernel panic - not syncing"), "{console}");
    }
}

#[test]
fn nothing_of_a_machine_is_left_when_it_is_killed() {
    for image in images("nothing_of_a_machine_is_left_when_it_is_killed") {
        let initramfs = tempfile::NamedTempFile::new().unwrap();
        let mut machine = qemu::boot(&QemuOptions::new(&image, initramfs.path())).unwrap();
        let keeper = machine.session();
        assert!(machine.is_alive());
        let program = children(keeper);
        assert_eq!(program.len(), 1);
        machine.kill();
        assert_eq!(machine.ending(), Some(Ending::Killed));
        assert!(!fs::exists(format!("/proc/{}", program[0])).unwrap());
    }
}

#[test]
fn what_is_not_there_is_named_before_anything_starts() {
    if tools::find(qemu::PROGRAM).is_none() {
        assert!(env::var_os("PINFOLD_REQUIRE_VM").is_none(), "no QEMU");
        let test = "what_is_not_there_is_named_before_anything_starts";
        writeln!(std::io::stderr(), "SKIP {test}: no QEMU").unwrap();
        return;
    }
    let absent = PathBuf::from("/nonexistent");
    let options = QemuOptions::new("/bin/true", "/bin/true");
    for options in [
        QemuOptions { image: absent.clone(), ..options.clone() },
        QemuOptions { initramfs: absent.clone(), ..options.clone() },
    ] {
        let error = qemu::boot(&options).unwrap_err().to_string();
        assert!(error.contains("/nonexistent"), "{error}");
    }
}
