//! The real binary with real kernels: what is left of it, however it or they end.
//!
//! Where a kernel is not here its part says so and does nothing; with PINFOLD_REQUIRE_VM=1 it fails instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

#[path = "../../run/tests/targets/mod.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use targets::is_here;

/// One of each kind.
const TARGETS: [&str; 2] = ["uml:6.12", "qemu:6.1"];

/// A process: its id, and when it began, since ids come back.
type Process = (u32, String);

fn pinfold(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinfold"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// When the process `id` began, in ticks since the host booted; nothing if it is gone or waits to be reaped.
fn began(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    (fields[0] != "Z").then(|| fields[19].to_owned())
}

/// All descendants of the process `id`.
fn below(id: u32) -> BTreeSet<Process> {
    let mut found = BTreeSet::new();
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    for children in threads.map(|thread| thread.path().join("children")) {
        let text = fs::read_to_string(children).unwrap_or_default();
        for child in text.split_whitespace().map(|child| child.parse().unwrap()) {
            found.extend(began(child).map(|began| (child, began)));
            found.extend(below(child));
        }
    }
    found
}

fn are_gone(processes: &BTreeSet<Process>) -> bool {
    processes.iter().all(|(id, since)| began(*id).as_ref() != Some(since))
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(20), "not seen: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A run with machines up.
fn fuzzing(target: &str, out: &Path) -> Child {
    let out = out.to_str().unwrap();
    let arguments = ["fuzz", "--target", target, "--time", "10m", "--jobs", "2", "--out", out];
    let mut child = pinfold(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains(" is up, ")).unwrap().unwrap();
    // Somebody has to read on.
    thread::spawn(move || lines.for_each(drop));
    child
}

#[test]
fn a_run_that_is_killed_in_any_way_leaves_no_machine() {
    for target in TARGETS.into_iter().filter(|target| is_here(target)) {
        for signal in ["KILL", "TERM", "INT", "QUIT", "ABRT"] {
            let out = tempfile::tempdir().unwrap();
            let mut child = fuzzing(target, out.path());
            let machines = below(child.id());
            assert!(machines.len() >= 2, "{target}: {machines:?}");
            let pid = child.id().to_string();
            let killed = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
            assert!(killed.unwrap().success());
            child.wait().unwrap();
            wait_for(&format!("{target} ends after {signal}"), || are_gone(&machines));
        }
    }
}

#[test]
fn a_kernel_that_dies_fifty_times_in_a_row_costs_time_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let deadly = root.join("corpus/defects/invalidate-free-window/invalidate.seq");
    for target in TARGETS.into_iter().filter(|target| is_here(target)) {
        let arguments = ["replay", deadly.to_str().unwrap(), "--target", target, "--repeat", "50"];
        let mut child =
            pinfold(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (mut seen, mut at_once_max, mut descriptors_max) = (BTreeSet::new(), 0, 0);
        while child.try_wait().unwrap().is_none() {
            let now = below(child.id());
            at_once_max = at_once_max.max(now.len());
            seen.extend(now);
            let descriptors = fs::read_dir(format!("/proc/{}/fd", child.id()));
            descriptors_max = descriptors_max.max(descriptors.into_iter().flatten().count());
            thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.contains("(50 of 50 runs)") && text.contains("known: "), "{text}");
        // A keeper and its machine each time, and never those of two machines.
        assert!(seen.len() >= 100, "{target}: {} processes", seen.len());
        assert!(at_once_max < 40, "{target}: {at_once_max} processes at once");
        assert!(descriptors_max < 40, "{target}: {descriptors_max} descriptors");
        assert!(are_gone(&seen), "{target}");
    }
}
