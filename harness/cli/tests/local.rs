//! The real binary on the kernel that it runs on itself: inside a machine that has an RDMA device.
//!
//! Where no kernel is here the tests say so and do nothing; with PINFOLD_REQUIRE_VM=1 they fail instead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skip is said")]

#[path = "../../run/tests/targets/mod.rs"]
mod targets;

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pinfold_contract::{FrameReader, FromGuest, ProgramEnd};
use pinfold_machine::{Cache, Machine, UmlOptions, executor, initramfs, kernel, uml};
use targets::is_here;

/// How long a machine may take, with what runs in it.
const WITHIN: Duration = Duration::from_secs(120);

const LOCAL: [&str; 5] = ["--target", "local", "--yes-run-on-this-kernel", "--executor", "/init"];

const AGREES: &str = "# pinfold 1\nmap 0..4 anon private rw\nwrite 0 8 0x22\nreg mr0 0..2 remote_read\n\
    fork p1\nwrite 0 8 0x33\nread_remote mr0+0 8  # = 0x33\nchore drop_caches\ndereg mr0  # = ok\n";

/// Not what a right kernel does: the expectation is not met.
const EXPECTS_WRONGLY: &str =
    "# pinfold 1\nmap 0..1 anon private rw\nwrite 0 8 0x22  # = SIGSEGV\n";

/// Kills a run in its midst; says before it, in it and after it how settings and control groups are. The shell reads
/// a setting byte by byte, of which the kernel gives it the first.
///
/// The processes of the run are frozen when it is killed: each is at its return to user mode. User Mode Linux 6.12 panics
/// if a signal ends a process inside `fork()` (`corpus/defects/uml-failed-fork-panics/README.md`).
const SCRIPT: &str = "\
    show() { for path in /proc/sys/vm/dirty_writeback_centisecs /sys/kernel/mm/ksm/sleep_millisecs \\
        /sys/fs/cgroup/cgroup.subtree_control; do value=; read value < $path; echo \"$1 $value\"; done; \
        echo \"$1\" /sys/fs/cgroup/*/; }\n\
    is_frozen() { while read name value; do [ $name = frozen ] && [ $value = 1 ] && return; \
        done < /sys/fs/cgroup/pinfold/cgroup.events; return 1; }\n\
    echo 7 > /proc/sys/vm/dirty_writeback_centisecs; echo 30 > /sys/kernel/mm/ksm/sleep_millisecs\n\
    show before\n\
    /pinfold replay /agrees.seq --repeat 100000 --target local --yes-run-on-this-kernel --executor /init &\n\
    pid=$!; while [ ! -d /sys/fs/cgroup/pinfold/limited ]; do /sleep 0.1; done; /sleep 1\n\
    show during; echo 1 > /sys/fs/cgroup/pinfold/cgroup.freeze\n\
    until is_frozen; do /sleep 0.01; done; kill -KILL $pid\n\
    while [ -d /sys/fs/cgroup/pinfold ]; do /sleep 0.1; done; /sleep 0.5\n\
    show after\n";

/// A machine whose executor has made an RDMA device, and in which it runs the real binary.
struct Inside {
    _folder: tempfile::TempDir,
    initramfs: PathBuf,
    image: PathBuf,
}

impl Inside {
    fn new(series: &str) -> Inside {
        let cache = Cache::from_environment().unwrap();
        let executor = executor::provide(&cache, None, &mut |_| {}).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut files = vec![
            (
                "pinfold".to_owned(),
                stripped(Path::new(env!("CARGO_BIN_EXE_pinfold")), folder.path()),
            ),
            ("agrees.seq".to_owned(), AGREES.into()),
            ("wrong.seq".to_owned(), EXPECTS_WRONGLY.into()),
            ("script".to_owned(), SCRIPT.into()),
        ];
        for program in ["sh", "sleep"] {
            files.push((program.to_owned(), fs::read(format!("/bin/{program}")).unwrap()));
        }
        for library in libraries() {
            files.push((place_of(&library), fs::read(&library).unwrap()));
        }
        let initramfs = folder.path().join("initramfs.cpio");
        initramfs::write_with_files(&cache, (&executor, &[]), files, &initramfs).unwrap();
        let series = series.parse().unwrap();
        let image = kernel::find(&cache, series, &pinfold_machine::Variant::plain()).unwrap().image;
        Inside { _folder: folder, initramfs, image }
    }

    /// What `pinfold` ends with, and all that it prints.
    fn run(&self, arguments: &[&str]) -> (ProgramEnd, String) {
        self.run_words(&[&["/pinfold"], arguments].concat())
    }

    /// What a program, told with its arguments, ends with, and all that it prints.
    fn run_words(&self, words: &[&str]) -> (ProgramEnd, String) {
        let program = format!("pinfold.run={}", words.join(","));
        let options = UmlOptions::new(&self.image, &self.initramfs);
        let options = UmlOptions { memory_mib: 512, arguments: vec![program], ..options };
        let mut machine = uml::boot(&options).unwrap();
        let mut messages = Messages::of(&machine);
        assert!(matches!(messages.next(&mut machine), FromGuest::Hello { .. }));
        let message = messages.next(&mut machine);
        let FromGuest::Ran { end, output } = message else {
            panic!("{message:?}\n{}", machine.drain_console())
        };
        (end, output)
    }
}

struct Messages {
    wire: pinfold_machine::Wire,
    frames: FrameReader,
}

impl Messages {
    fn of(machine: &Machine) -> Messages {
        let wire = machine.wire().unwrap();
        wire.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        Messages { wire, frames: FrameReader::default() }
    }

    fn next(&mut self, machine: &mut Machine) -> FromGuest {
        let since = Instant::now();
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.frames.pop().unwrap() {
                return message;
            }
            match self.wire.read(&mut buffer) {
                Ok(count) if count > 0 => self.frames.push(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock && since.elapsed() < WITHIN => {
                }
                other => panic!("{other:?}\n{}", machine.drain_console()),
            }
        }
    }
}

/// Without what only debuggers read: it is in the memory of the machine.
fn stripped(program: &Path, folder: &Path) -> Vec<u8> {
    let place = folder.join("stripped");
    let status = Command::new("strip").arg("-o").arg(&place).arg(program).status().unwrap();
    assert!(status.success());
    fs::read(&place).unwrap()
}

/// The libraries that the binary is linked with, and their loader.
fn libraries() -> Vec<String> {
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_pinfold")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(str::to_owned).collect()
}

/// Where `library` is found: its loader at its own place, and others where the loader always looks.
fn place_of(library: &str) -> String {
    let (folder, name) = library.rsplit_once('/').unwrap();
    if folder == "/lib64" { format!("lib64/{name}") } else { format!("lib/{name}") }
}

#[test]
fn sequences_run_on_the_kernel_of_the_machine_itself() {
    for series in ["6.12", "6.1"] {
        if is_here(&format!("uml:{series}")) {
            sequences_run_inside(&Inside::new(series));
        }
    }
}

fn sequences_run_inside(inside: &Inside) {
    let (end, output) = inside.run(&[&["replay", "/agrees.seq"], &LOCAL[..]].concat());
    assert_eq!(end, ProgramEnd::Exited(0), "{output}");
    assert!(output.contains("/agrees.seq: agrees") && output.contains("rxe0"), "{output}");

    let (end, output) = inside.run(&[&["replay", "/wrong.seq"], &LOCAL[..]].concat());
    assert_eq!(end, ProgramEnd::Exited(1), "{output}");

    let fuzz = ["fuzz", "--sequences", "200", "--rng-seed", "5", "--out", "/tmp/out"];
    let (end, output) = inside.run(&[&fuzz, &LOCAL[..]].concat());
    assert_eq!(end, ProgramEnd::Exited(0), "{output}");
    assert!(output.contains("200 sequences"), "{output}");
}

#[test]
fn a_run_that_is_killed_leaves_the_machine_as_it_was() {
    if !is_here("uml:6.12") {
        return;
    }
    let (end, output) = Inside::new("6.12").run_words(&["/sh", "/script"]);
    assert_eq!(end, ProgramEnd::Exited(0), "{output}");
    let told = |when: &str| -> Vec<&str> {
        output.lines().filter_map(|line| line.strip_prefix(when)?.strip_prefix(' ')).collect()
    };
    assert_eq!(told("before"), ["7", "30", "", "/sys/fs/cgroup/*/"], "{output}");
    assert_eq!(told("during"), ["0", "0", "memory rdma", "/sys/fs/cgroup/pinfold/"], "{output}");
    assert_eq!(told("after"), told("before"), "{output}");
}

#[test]
fn without_consent_nothing_runs_and_all_that_would_be_touched_is_said() {
    if !is_here("uml:6.12") {
        return;
    }
    let inside = Inside::new("6.12");
    let (end, output) =
        inside.run(&["replay", "/agrees.seq", "--target", "local", "--executor", "/init"]);
    assert_eq!(end, ProgramEnd::Exited(2), "{output}");
    for word in ["--yes-run-on-this-kernel", "device rxe0", "/sys/fs/cgroup/pinfold"] {
        assert!(output.contains(word), "{word}: {output}");
    }
}
