//! A machine boots, talks, prints and dies as it says: with a real kernel from the cache.
//!
//! Where no kernel is cached the tests say so and do nothing; with PINFOLD_REQUIRE_VM=1 they fail instead.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]
#![allow(
    clippy::explicit_write,
    reason = "what macros print is kept back for a test that passes, as one that skips does"
)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use pinfold_contract::Series;
use pinfold_machine::{
    Cache, Ending, Machine, MachineError, UmlOptions, Variant, Wire, initramfs, kernel, uml,
};

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// The kernels to test with: all plain ones of the cache, today's configuration only.
fn kernels(test: &str) -> Vec<(Series, PathBuf)> {
    let cache = Cache::from_environment().unwrap();
    let find = |series| Some((series, kernel::find(&cache, series, &Variant::plain())?.image));
    let series = kernel::series_of(&cache, &Variant::plain());
    let found: Vec<_> = series.into_iter().filter_map(find).collect();
    if found.is_empty() {
        assert!(
            env::var_os("PINFOLD_REQUIRE_VM").is_none(),
            "no kernel in the cache: run `pinfold kernel build`"
        );
        let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
        writeln!(
            std::io::stderr(),
            "SKIP {test}: no kernel in the cache, run `pinfold kernel build` ({count} skipped so far)"
        )
        .unwrap();
    }
    found
}

/// An initramfs of the guest beside this file, in `cache`.
fn guest(cache: &Cache) -> PathBuf {
    let program = cache.folder("guest").unwrap().join("init");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot/guest.c");
    let status = Command::new("gcc")
        .args(["-O2", "-static", "-o"])
        .arg(&program)
        .arg(source)
        .status()
        .unwrap();
    assert!(status.success(), "the guest does not compile");
    initramfs::provide(cache, &program, &[]).unwrap()
}

/// Runs `claim` with a machine of each kernel that has said its first byte.
fn check(test: &str, claim: fn(&str, &mut Machine, &mut Wire)) {
    let kernels = kernels(test);
    if kernels.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let initramfs = guest(&Cache::at(folder.path()));
    for (series, image) in kernels {
        let mut options = UmlOptions::new(image, &initramfs);
        options.cpu = Some(0);
        let mut machine = uml::boot(&options).unwrap();
        machine.await_guest().unwrap();
        let mut wire = machine.wire().unwrap();
        wire.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(receive(&mut wire, 1), b"!");
        claim(&series.to_string(), &mut machine, &mut wire);
    }
}

fn order(wire: &mut Wire, letter: char, count: usize) {
    write!(wire, "{letter}{count:08x}").unwrap();
}

fn receive(wire: &mut Wire, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    wire.read_exact(&mut bytes).unwrap();
    bytes
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The host processes of the session that `keeper` leads, except those that are dead and not reaped yet.
fn processes_below(keeper: u32) -> Vec<u32> {
    let stat = |id: u32| fs::read_to_string(format!("/proc/{id}/stat")).ok();
    let session =
        |id: u32| stat(id)?.rsplit(')').next()?.split_whitespace().nth(3)?.parse::<u32>().ok();
    let ids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter(|id| session(*id) == Some(keeper)).collect()
}

#[test]
fn a_message_of_any_size_crosses_the_wire_whole() {
    check("a_message_of_any_size_crosses_the_wire_whole", |_, _, wire| {
        for size in [1 << 20, 60 * 1024] {
            order(wire, 'g', size);
            assert_eq!(receive(wire, size).len(), size);
        }
        for size in [0, 1, 4095, 4096, 4097, 60 * 1024, 64 * 1024, 1 << 20] {
            let sent: Vec<u8> = (0..size).map(|at: usize| (at % 251).to_le_bytes()[0]).collect();
            order(wire, 'e', size);
            let (mut writer, copy) = (wire.try_clone().unwrap(), sent.clone());
            let sender = thread::spawn(move || writer.write_all(&copy).unwrap());
            assert!(receive(wire, size) == sent, "{size} bytes changed on their way");
            sender.join().unwrap();
        }
    });
}

#[test]
fn what_the_kernel_printed_is_there_when_the_next_byte_of_the_wire_is() {
    check(
        "what_the_kernel_printed_is_there_when_the_next_byte_of_the_wire_is",
        |_, machine, wire| {
            assert!(machine.drain_console().contains("Linux version"));
            for count in [1, 100] {
                order(wire, 'k', count);
                receive(wire, 1);
                let console = machine.drain_console();
                assert!(console.contains(&format!("line {count} of {count}")), "{console}");
                assert_eq!(machine.drain_console(), "");
            }
        },
    );
}

#[test]
fn a_console_that_nobody_drains_never_stops_the_guest() {
    check("a_console_that_nobody_drains_never_stops_the_guest", |_, machine, wire| {
        order(wire, 'k', 100_000);
        receive(wire, 1);
        assert!(machine.drain_console().len() >= 60 * 1024, "what came first is kept");
        order(wire, 'e', 1);
        wire.write_all(b"x").unwrap();
        assert_eq!(receive(wire, 1), b"x");
    });
}

#[test]
fn a_panic_ends_the_machine_and_is_on_the_console() {
    check("a_panic_ends_the_machine_and_is_on_the_console", |_, machine, wire| {
        assert!(machine.is_alive());
        assert_eq!(machine.ending(), None);
        order(wire, 'x', 0);
        wait_for("the machine is dead", || !machine.is_alive());
        assert_eq!(machine.ending(), Some(Ending::Panicked));
        let console = machine.drain_console();
        assert!(
            console.contains("Kernel panic - not syncing: Attempted to kill init"),
            "{console}"
        );
        assert_eq!(wire.read(&mut [0]).unwrap(), 0, "the wire ends with the machine");
    });
}

#[test]
fn a_guest_that_powers_off_ends_the_machine_with_status_0() {
    check("a_guest_that_powers_off_ends_the_machine_with_status_0", |_, machine, wire| {
        order(wire, 'o', 0);
        wait_for("the machine is off", || !machine.is_alive());
        assert_eq!(machine.ending(), Some(Ending::PoweredOff));
    });
}

#[test]
fn nothing_of_a_machine_is_left_when_it_is_killed() {
    check("nothing_of_a_machine_is_left_when_it_is_killed", |_, machine, wire| {
        order(wire, 'f', 8);
        receive(wire, 1);
        let (keeper, folder) = machine_facts(machine);
        assert!(processes_below(keeper).len() > 8, "a process for each address space of the guest");
        assert!(folder.exists());
        machine.kill();
        assert_eq!(processes_below(keeper), [0; 0]);
        assert!(!folder.exists());
        assert!(!machine.is_alive());
        assert_eq!(machine.ending(), Some(Ending::Killed));
    });
}

#[test]
fn nothing_of_a_machine_is_left_when_the_process_that_booted_it_is_killed() {
    const MARK: &str = "PINFOLD_TEST_VICTIM";
    let name = "nothing_of_a_machine_is_left_when_the_process_that_booted_it_is_killed";
    if env::var_os(MARK).is_some() {
        // The victim: boots the kernel it is told, says which keeper and folder, and waits to be killed.
        let image = env::var("PINFOLD_TEST_IMAGE").unwrap();
        let mut options = UmlOptions::new(image, env::var("PINFOLD_TEST_INITRAMFS").unwrap());
        options.cpu = Some(0);
        let mut machine = uml::boot(&options).unwrap();
        machine.await_guest().unwrap();
        let mut wire = machine.wire().unwrap();
        receive(&mut wire, 1);
        order(&mut wire, 'f', 8);
        receive(&mut wire, 1);
        let (keeper, folder) = machine_facts(&machine);
        fs::write(
            env::var("PINFOLD_TEST_REPORT").unwrap(),
            format!("{keeper} {}\n", folder.display()),
        )
        .unwrap();
        thread::sleep(Duration::from_secs(60));
        return;
    }
    for (_, image) in kernels(name) {
        let folder = tempfile::tempdir().unwrap();
        let initramfs = guest(&Cache::at(folder.path()));
        let report = folder.path().join("report");
        let mut victim = Command::new(env::current_exe().unwrap())
            .args(["--exact", name])
            .env(MARK, "1")
            .env("PINFOLD_TEST_IMAGE", image)
            .env("PINFOLD_TEST_INITRAMFS", &initramfs)
            .env("PINFOLD_TEST_REPORT", &report)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let said = || fs::read_to_string(&report).unwrap_or_default();
        wait_for("the victim has booted", || said().ends_with('\n'));
        let text = said();
        let (keeper, machine_folder) = text.trim().split_once(' ').unwrap();
        let keeper = keeper.parse().unwrap();
        assert!(processes_below(keeper).len() > 8);
        victim.kill().unwrap();
        victim.wait().unwrap();
        wait_for("all processes are gone", || processes_below(keeper).is_empty());
        assert!(!Path::new(machine_folder).exists());
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn nothing_of_a_machine_is_left_when_its_main_process_alone_is_killed() {
    check(
        "nothing_of_a_machine_is_left_when_its_main_process_alone_is_killed",
        |_, machine, wire| {
            order(wire, 'f', 8);
            receive(wire, 1);
            let (keeper, folder) = machine_facts(machine);
            let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"));
            let main = children.unwrap().trim().to_owned();
            assert!(Command::new("kill").args(["-KILL", &main]).status().unwrap().success());
            wait_for("the machine is dead", || !machine.is_alive());
            assert_eq!(processes_below(keeper), [0; 0]);
            assert!(!folder.exists());
        },
    );
}

/// The keeper's process id, which is the session of all the machine's processes, and the machine's folder.
fn machine_facts(machine: &Machine) -> (u32, PathBuf) {
    let keeper = machine.session();
    let command = processes_below(keeper)
        .into_iter()
        .filter_map(|id| fs::read_to_string(format!("/proc/{id}/cmdline")).ok())
        .find(|command| command.starts_with("linux\0"))
        .unwrap();
    let folder =
        command.split('\0').find_map(|argument| argument.strip_prefix("uml_dir=")).unwrap();
    (keeper, PathBuf::from(folder))
}

#[test]
fn a_kernel_without_enough_memory_is_a_failed_boot_that_says_what_it_printed() {
    let name = "a_kernel_without_enough_memory_is_a_failed_boot_that_says_what_it_printed";
    for (_, image) in kernels(name) {
        let folder = tempfile::tempdir().unwrap();
        let initramfs = guest(&Cache::at(folder.path()));
        let mut options = UmlOptions::new(image, &initramfs);
        options.memory_mib = 4;
        options.boot_deadline = Duration::from_secs(3);
        let error = uml::boot(&options).unwrap().await_guest().unwrap_err();
        let (MachineError::Died { console, .. } | MachineError::Silent { console, .. }) = &error
        else {
            panic!("{error}");
        };
        assert!(!console.is_empty());
    }
}

/// As seen from the folder this test runs in.
fn relative(path: &Path) -> PathBuf {
    let above = "../".repeat(env::current_dir().unwrap().components().count() - 1);
    Path::new(&above).join(path.strip_prefix("/").unwrap())
}

#[test]
fn kernel_and_initramfs_are_found_from_the_folder_that_one_is_in() {
    for (_, image) in kernels("kernel_and_initramfs_are_found_from_the_folder_that_one_is_in") {
        let folder = tempfile::tempdir().unwrap();
        let initramfs = guest(&Cache::at(folder.path()));
        let options = UmlOptions::new(relative(&image), relative(&initramfs));
        uml::boot(&options).unwrap().await_guest().unwrap();
    }
}
