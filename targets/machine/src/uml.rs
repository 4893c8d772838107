//! User Mode Linux: a kernel that is an ordinary program, and how it is started.

use std::ffi::CString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::machine::{
    self, CREDIT_PARAMETER, Console, KERNEL_ARGUMENTS, Launch, Lifeline, Machine, MachineError,
    WIRE_PARAMETER,
};
use crate::tools;
use crate::wire::Wire;

/// The name of the machine among its own files; each machine has a folder of its own, so one name serves all.
const NAME_IN_FOLDER: &str = "uml";

/// A library that the kernel is started with, and its name among the machine's own files: without it no program runs on a
/// processor with AMX. See `xstate.c`.
const XSTATE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/xstate.so"));
const XSTATE_NAME: &str = "xstate.so";

/// What to boot, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UmlOptions {
    /// The kernel, a program.
    pub image: PathBuf,
    /// A cpio archive with an `/init`.
    pub initramfs: PathBuf,
    /// Memory of the guest, in MiB.
    pub memory_mib: u32,
    /// The host CPU that all host processes of the machine are pinned to. `None` leaves them free, and is several times
    /// slower.
    pub cpu: Option<usize>,
    /// How long [`Machine::await_guest`] waits for the first byte on the wire.
    pub boot_deadline: Duration,
    /// A folder on a tmpfs without `noexec`: the guest's memory is a nameless file there.
    pub memory_folder: PathBuf,
    /// More for the kernel's command line.
    pub arguments: Vec<String>,
}

impl UmlOptions {
    /// Boots `image` with `initramfs`: 256 MiB in `/dev/shm`, not pinned, 30 s to come up.
    pub fn new(image: impl Into<PathBuf>, initramfs: impl Into<PathBuf>) -> UmlOptions {
        UmlOptions {
            image: image.into(),
            initramfs: initramfs.into(),
            memory_mib: 256,
            cpu: None,
            boot_deadline: Duration::from_secs(30),
            memory_folder: PathBuf::from("/dev/shm"),
            arguments: Vec::new(),
        }
    }
}

/// Starts the kernel and returns at once; nothing is said on the wire.
///
/// # Errors
///
/// If the options name something that is not there, or the host has no room for the machine.
pub fn boot(options: &UmlOptions) -> Result<Machine, MachineError> {
    check(options)?;
    let pair = || UnixStream::pair().map_err(MachineError::host("make a socket"));
    let ((stream, guest_wire), (credit_line, guest_credit)) = (pair()?, pair()?);
    let wire =
        Wire::with_credit(stream, credit_line).map_err(MachineError::host("make a socket"))?;
    let (lifeline, console) = (Lifeline::new()?, Console::new()?);
    let folder = tempfile::Builder::new()
        .prefix("pinfold-uml-")
        .tempdir_in(&options.memory_folder)
        .map_err(|source| MachineError::MemoryFolder {
            folder: options.memory_folder.clone(),
            source,
        })?;
    let xstate = folder.path().join(XSTATE_NAME);
    fs::write(&xstate, XSTATE).map_err(MachineError::host("write a file"))?;
    let descriptors = Descriptors { silence: lifeline.number(), credit: guest_credit.as_raw_fd() };
    let mut command = Command::new(machine::absolute(&options.image)?);
    command
        .arg0("linux")
        .arg(format!("initrd={}", machine::absolute(&options.initramfs)?.display()))
        .args(kernel_arguments(options, folder.path(), &descriptors))
        .stdin(Stdio::from(OwnedFd::from(guest_wire)));
    let launch = Launch {
        lifeline,
        console,
        wire,
        monitor: None,
        environment: vec![("TMPDIR", options.memory_folder.clone()), ("LD_PRELOAD", xstate)],
        inherited: vec![guest_credit.into()],
        cpu: options.cpu,
        litter: litter(folder.path()).map_err(MachineError::host("name a folder"))?,
        boot_deadline: options.boot_deadline,
        kill_within: None,
    };
    let machine = Machine::start(&mut command, launch)?;
    // From here on it is the keeper's to remove: it does so even when we are killed.
    let _ = folder.keep();
    Ok(machine)
}

/// Descriptors of the host, other than the first three, that the kernel is told of.
struct Descriptors {
    /// Readable, and nothing ever comes.
    silence: RawFd,
    credit: RawFd,
}

/// The kernel's command line.
///
/// The console is written to descriptor 1. It must also have something to read that can be waited for: with `null` as
/// its input, opening `/dev/console` fails and closes the output as well. The wire is descriptor 0, which is a socket.
fn kernel_arguments(options: &UmlOptions, folder: &Path, descriptors: &Descriptors) -> Vec<String> {
    let mut arguments = vec![
        format!("mem={}M", options.memory_mib),
        format!("uml_dir={}", folder.display()),
        format!("umid={NAME_IN_FOLDER}"),
        "con=null".to_owned(),
        format!("con0=fd:{},fd:1", descriptors.silence),
        "ssl=null".to_owned(),
        "ssl0=fd:0".to_owned(),
        format!("ssl1=fd:{}", descriptors.credit),
        format!("{WIRE_PARAMETER}=/dev/ttyS0"),
        format!("{CREDIT_PARAMETER}=/dev/ttyS1"),
    ];
    arguments.extend(KERNEL_ARGUMENTS.map(str::to_owned));
    arguments.extend(options.arguments.iter().cloned());
    arguments
}

/// What is made below `folder`, and `folder` itself, in the order in which they can be removed.
fn litter(folder: &Path) -> io::Result<Vec<CString>> {
    let own = folder.join(NAME_IN_FOLDER);
    [own.join("pid"), own.join("mconsole"), own, folder.join(XSTATE_NAME), folder.to_owned()]
        .iter()
        .map(|path| {
            CString::new(path.as_os_str().as_bytes()).map_err(|_| ErrorKind::InvalidFilename.into())
        })
        .collect()
}

fn check(options: &UmlOptions) -> Result<(), MachineError> {
    if !tools::is_executable(&options.image) {
        return Err(MachineError::NoImage { image: options.image.clone() });
    }
    machine::check(&options.initramfs, options.cpu)?;
    check_memory(&options.memory_folder, u64::from(options.memory_mib))
}

/// Whether a guest with `needed_mib` MiB of memory can have it in `folder`.
///
/// # Errors
///
/// If it is no folder, is mounted noexec or has too little room.
pub fn check_memory(folder: &Path, needed_mib: u64) -> Result<(), MachineError> {
    let facts = statvfs(folder).map_err(|error| MachineError::MemoryFolder {
        folder: folder.to_owned(),
        source: error.into(),
    })?;
    if facts.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(MachineError::MemoryNoExec { folder: folder.to_owned() });
    }
    let available_mib = facts.f_bavail.saturating_mul(facts.f_frsize) >> 20;
    if available_mib < needed_mib {
        return Err(MachineError::MemoryFull {
            folder: folder.to_owned(),
            available_mib,
            needed_mib,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::machine::Ending;

    fn options() -> UmlOptions {
        UmlOptions::new("/bin/true", "/bin/true")
    }

    #[test]
    fn what_is_not_there_is_named_before_anything_starts() {
        let image = UmlOptions { image: "/etc/passwd".into(), ..options() };
        let initramfs = UmlOptions { initramfs: "/nonexistent".into(), ..options() };
        let cpu = UmlOptions { cpu: Some(4_000_000), ..options() };
        let memory = UmlOptions { memory_mib: u32::MAX, ..options() };
        let folder = UmlOptions { memory_folder: "/nonexistent".into(), ..options() };
        for (options, words) in [
            (image, ["/etc/passwd", "pinfold kernel build"]),
            (initramfs, ["/nonexistent", "/init"]),
            (cpu, ["4000000", "choose one of"]),
            (memory, ["remount,size", "4294967295"]),
            (folder, ["/nonexistent", "tmpfs"]),
        ] {
            let error = boot(&options).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }

    #[test]
    fn a_program_that_ends_before_it_speaks_is_a_failed_boot_with_its_console() {
        let mut machine = boot(&UmlOptions { image: "/bin/echo".into(), ..options() }).unwrap();
        let error = machine.await_guest().unwrap_err().to_string();
        assert!(error.contains("exit status 0") && error.contains("mem=256M"), "{error}");
        assert!(!machine.is_alive());
    }

    #[test]
    fn a_program_that_never_speaks_is_given_up_at_the_deadline() {
        // A script that the arguments mean nothing to.
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("sleeper");

        fs::write(&script, "#!/bin/sh\necho here; sleep 1000 & sleep 1000\n").unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let boot_deadline = Duration::from_millis(300);
        let mut machine = boot(&UmlOptions { image: script, boot_deadline, ..options() }).unwrap();
        let error = machine.await_guest().unwrap_err().to_string();
        assert!(error.contains("300ms") && error.contains("here"), "{error}");
        assert!(machine.is_alive());
        machine.kill();
        assert_eq!(machine.ending(), Some(Ending::Killed));
    }
}
