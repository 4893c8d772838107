//! User Mode Linux: boots it, hands out its wire and its console, and makes sure that it dies.

use std::ffi::CString;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::keeper::{self, Orders};
use crate::tools;
use crate::wire::Wire;

/// How many bytes of console output the host keeps when nobody drains it. The kernel does not wait for room: past this
/// its output is lost, and the guest runs on.
pub const CONSOLE_CAPACITY_BYTES: usize = 1 << 20;

/// The kernel parameters by which the guest learns its ends of the wire and of the credit line, as paths of devices: it
/// reads them in `/proc/cmdline`.
pub const WIRE_PARAMETER: &str = "pinfold.wire";
/// See [`WIRE_PARAMETER`].
pub const CREDIT_PARAMETER: &str = "pinfold.credit";

/// The name of the machine among its own files; each machine has a folder of its own, so one name serves all.
const NAME_IN_FOLDER: &str = "uml";

/// What to boot, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineOptions {
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

impl MachineOptions {
    /// Boots `image` with `initramfs`: 256 MiB in `/dev/shm`, not pinned, 30 s to come up.
    pub fn new(image: impl Into<PathBuf>, initramfs: impl Into<PathBuf>) -> MachineOptions {
        MachineOptions {
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

/// Why there is no running machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The kernel is not a program.
    #[error(
        "{image} is not an executable file: build the kernel again with `pinfold kernel build`"
    )]
    NoImage {
        /// The path given.
        image: PathBuf,
    },
    /// The initramfs is not a file.
    #[error("{initramfs} is not a file: the kernel would start without /init")]
    NoInitramfs {
        /// The path given.
        initramfs: PathBuf,
    },
    /// The folder for the guest's memory cannot be used.
    #[error(
        "{folder} cannot hold the memory of a guest: mount a tmpfs there, or choose another folder"
    )]
    MemoryFolder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The guest's memory could not be executed from there.
    #[error(
        "{folder} is mounted noexec, and User Mode Linux runs from its memory file: run `mount -o remount,exec {folder}` as root"
    )]
    MemoryNoExec {
        /// The folder.
        folder: PathBuf,
    },
    /// There is too little room for the guest's memory.
    #[error(
        "{folder} has room for {available_mib} MiB and the guest needs {needed_mib}: free some, or run \
         `mount -o remount,size=2G {folder}` as root (in a container: --shm-size=2g)"
    )]
    MemoryFull {
        /// The folder.
        folder: PathBuf,
        /// Free space there, in MiB.
        available_mib: u64,
        /// Memory of the guest, in MiB.
        needed_mib: u64,
    },
    /// The CPU to pin to is not one this process may use.
    #[error("this process may not run on cpu {cpu}: choose one of {}", allowed.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))]
    NoSuchCpu {
        /// The CPU asked for.
        cpu: usize,
        /// Those it may use.
        allowed: Vec<usize>,
    },
    /// Descriptors or processes could not be had.
    #[error(
        "cannot {action} for a machine: check the limits on open files and processes (ulimit -n -u)"
    )]
    Host {
        /// What was attempted.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The machine ended before its guest said anything.
    #[error(
        "the kernel did not boot, it ended with {status}: check the kernel and its command line; its console:\n{console}"
    )]
    Died {
        /// How it ended.
        status: Ending,
        /// What it printed.
        console: String,
    },
    /// The guest said nothing in time.
    #[error(
        "the guest said nothing within {deadline:?}: check that /init starts, or allow more time on a busy host; its \
         console:\n{console}"
    )]
    Silent {
        /// How long it was given.
        deadline: Duration,
        /// What it printed.
        console: String,
    },
}

/// A running User Mode Linux. Dropping it kills it.
///
/// The guest finds the names of two serial lines on the kernel's command line: [`WIRE_PARAMETER`] and
/// [`CREDIT_PARAMETER`]. It has to put both in raw mode before the first byte, and to give credit as
/// [`wire`](crate::wire) says. Whatever it or its kernel prints to `/dev/console` is the console.
pub struct Machine {
    keeper: Child,
    lifeline: Option<PipeWriter>,
    wire: Wire,
    console: PipeReader,
    boot_deadline: Duration,
    status: Option<ExitStatus>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("keeper", &self.keeper.id())
            .field("status", &self.status)
            .finish()
    }
}

impl Machine {
    /// Starts the kernel and returns at once; nothing is said on the wire.
    ///
    /// # Errors
    ///
    /// If the options name something that is not there, or the host has no room for the machine.
    pub fn boot(options: &MachineOptions) -> Result<Machine, MachineError> {
        check(options)?;
        let host = |action| move |source| MachineError::Host { action, source };
        let (stream, guest_wire) = UnixStream::pair().map_err(host("make a socket"))?;
        let (credit_line, guest_credit) = UnixStream::pair().map_err(host("make a socket"))?;
        let wire = Wire::new(stream, credit_line).map_err(host("make a socket"))?;
        let (console, guest_console) = console().map_err(host("make a pipe"))?;
        let (guest_lifeline, lifeline) = io::pipe().map_err(host("make a pipe"))?;
        let folder = tempfile::Builder::new()
            .prefix("pinfold-uml-")
            .tempdir_in(&options.memory_folder)
            .map_err(|source| MachineError::MemoryFolder {
                folder: options.memory_folder.clone(),
                source,
            })?;

        let descriptors =
            Descriptors { silence: guest_lifeline.as_raw_fd(), credit: guest_credit.as_raw_fd() };
        // It is started in another folder than ours.
        let absolute = |path| std::path::absolute(path).map_err(host("name a file"));
        let mut command = Command::new(absolute(&options.image)?);
        command
            .arg0("linux")
            .arg(format!("initrd={}", absolute(&options.initramfs)?.display()))
            .args(kernel_arguments(options, folder.path(), &descriptors))
            .env_clear()
            .env("TMPDIR", &options.memory_folder)
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(guest_wire)))
            .stdout(guest_console.try_clone().map_err(host("duplicate a pipe"))?)
            .stderr(guest_console);
        let litter = litter(folder.path()).map_err(host("name a folder"))?;
        let orders = Orders {
            lifeline: guest_lifeline.into(),
            inherited: vec![guest_credit.into()],
            cpu: options.cpu,
            litter,
        };
        keeper::keep(&mut command, orders);
        let keeper = command.spawn().map_err(host("start a process"))?;
        // From here on it is the keeper's to remove: it does so even when we are killed.
        let _ = folder.keep();
        let boot_deadline = options.boot_deadline;
        Ok(Machine { keeper, lifeline: Some(lifeline), wire, console, boot_deadline, status: None })
    }

    /// Waits until the guest has written to the wire, and reads nothing of it. For a guest that speaks first.
    ///
    /// # Errors
    ///
    /// If the machine ends before, or says nothing within the boot deadline; both with its console.
    pub fn await_guest(&mut self) -> Result<(), MachineError> {
        let since = Instant::now();
        loop {
            let left = self.boot_deadline.saturating_sub(since.elapsed());
            let slice = left.min(Duration::from_millis(200));
            let timeout = Timespec::try_from(slice).ok();
            let mut events = [PollFd::new(&self.wire, PollFlags::IN)];
            let _ = poll(&mut events, timeout.as_ref());
            let seen = events[0].revents();
            if seen.contains(PollFlags::IN) && !seen.contains(PollFlags::HUP) {
                return Ok(());
            }
            if let Some(status) = self.ending() {
                return Err(MachineError::Died { status, console: self.drain_console() });
            }
            if left.is_zero() {
                return Err(MachineError::Silent {
                    deadline: self.boot_deadline,
                    console: self.drain_console(),
                });
            }
        }
    }

    /// The host's end of the wire: blocking, and the same stream at each call.
    ///
    /// # Errors
    ///
    /// If the descriptor cannot be duplicated.
    pub fn wire(&self) -> io::Result<Wire> {
        self.wire.try_clone()
    }

    /// What was printed on the console since the last call, without waiting for more.
    ///
    /// The kernel prints before it goes on: what it printed before it sent a byte on the wire is here when that byte is.
    /// At most [`CONSOLE_CAPACITY_BYTES`] are kept between two calls.
    pub fn drain_console(&mut self) -> String {
        let mut bytes = Vec::new();
        // Ends with an error, "would block", unless the machine is gone; what was read before it stays in `bytes`.
        let _ = self.console.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the machine runs.
    pub fn is_alive(&mut self) -> bool {
        self.look();
        self.status.is_none()
    }

    /// How the machine ended; `None` while it runs.
    pub fn ending(&mut self) -> Option<Ending> {
        self.look();
        self.status.map(Ending::of)
    }

    /// The id of the host session, which holds all host processes of the machine and no other.
    pub fn session(&self) -> u32 {
        self.keeper.id()
    }

    /// Ends the machine, and returns when all its host processes are gone. Does nothing if it has ended.
    pub fn kill(&mut self) {
        self.lifeline = None;
        if self.status.is_none() {
            self.status = self.keeper.wait().ok();
        }
    }

    fn look(&mut self) {
        if self.status.is_none() {
            self.status = self.keeper.try_wait().ok().flatten();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
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
/// A kernel that oopses panics, and one that panics aborts. What the guest writes to `/dev/kmsg` is not rate limited.
fn kernel_arguments(
    options: &MachineOptions,
    folder: &Path,
    descriptors: &Descriptors,
) -> Vec<String> {
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
        "loglevel=6".to_owned(),
        "printk.devkmsg=on".to_owned(),
        // A memory cgroup is charged for the pages of its processes alone, which the model can count.
        "cgroup.memory=nokmem,nosocket".to_owned(),
        "oops=panic".to_owned(),
        "panic=-1".to_owned(),
        "rdinit=/init".to_owned(),
    ];
    arguments.extend(options.arguments.iter().cloned());
    arguments
}

/// What User Mode Linux makes below `folder`, and `folder` itself, in the order in which they can be removed.
fn litter(folder: &Path) -> io::Result<Vec<CString>> {
    let own = folder.join(NAME_IN_FOLDER);
    [own.join("pid"), own.join("mconsole"), own, folder.to_owned()]
        .iter()
        .map(|path| {
            CString::new(path.as_os_str().as_bytes()).map_err(|_| ErrorKind::InvalidFilename.into())
        })
        .collect()
}

fn check(options: &MachineOptions) -> Result<(), MachineError> {
    if !tools::is_executable(&options.image) {
        return Err(MachineError::NoImage { image: options.image.clone() });
    }
    if !fs::metadata(&options.initramfs).is_ok_and(|data| data.is_file()) {
        return Err(MachineError::NoInitramfs { initramfs: options.initramfs.clone() });
    }
    if let Some(cpu) = options.cpu {
        let cpus = rustix::thread::sched_getaffinity(None).map_err(|error| MachineError::Host {
            action: "read the allowed cpus",
            source: error.into(),
        })?;
        let is_allowed = |cpu: &usize| *cpu < rustix::thread::CpuSet::MAX_CPU && cpus.is_set(*cpu);
        if !is_allowed(&cpu) {
            let allowed = (0..rustix::thread::CpuSet::MAX_CPU).filter(is_allowed).collect();
            return Err(MachineError::NoSuchCpu { cpu, allowed });
        }
    }
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

/// The pipe of the console: the host's end never blocks, and it is as large as the system allows up to our limit.
fn console() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(reader.as_fd(), true)?;
    // Not allowed beyond a limit for each user: a smaller pipe only loses more when nobody drains it.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, CONSOLE_CAPACITY_BYTES);
    Ok((reader, writer))
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest powered off.
    PoweredOff,
    /// The kernel panicked.
    Panicked,
    /// The kernel crashed without a word.
    Crashed,
    /// Somebody killed it: we, or the host when it ran out of memory.
    Killed,
    /// With another exit status.
    Status(i32),
    /// By another signal.
    Signal(i32),
    /// Nobody knows.
    Unknown,
}

impl Ending {
    fn of(status: ExitStatus) -> Ending {
        match (status.code(), status.signal()) {
            (Some(0), _) => Ending::PoweredOff,
            (Some(code), _) => Ending::Status(code),
            (None, Some(libc::SIGABRT)) => Ending::Panicked,
            (None, Some(libc::SIGKILL)) => Ending::Killed,
            (None, Some(libc::SIGSEGV)) => Ending::Crashed,
            (None, Some(signal)) => Ending::Signal(signal),
            (None, None) => Ending::Unknown,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::PoweredOff => f.write_str("exit status 0 (the guest powered off)"),
            Ending::Panicked => f.write_str("SIGABRT (the kernel panicked)"),
            Ending::Crashed => f.write_str("SIGSEGV (the kernel crashed)"),
            Ending::Killed => f.write_str("SIGKILL (it was killed)"),
            Ending::Status(code) => write!(f, "exit status {code}"),
            Ending::Signal(signal) => write!(f, "signal {signal}"),
            Ending::Unknown => f.write_str("an unknown status"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> MachineOptions {
        MachineOptions::new("/bin/true", "/bin/true")
    }

    #[test]
    fn what_is_not_there_is_named_before_anything_starts() {
        let image = MachineOptions { image: "/etc/passwd".into(), ..options() };
        let initramfs = MachineOptions { initramfs: "/nonexistent".into(), ..options() };
        let cpu = MachineOptions { cpu: Some(4_000_000), ..options() };
        let memory = MachineOptions { memory_mib: u32::MAX, ..options() };
        let folder = MachineOptions { memory_folder: "/nonexistent".into(), ..options() };
        for (options, words) in [
            (image, ["/etc/passwd", "pinfold kernel build"]),
            (initramfs, ["/nonexistent", "/init"]),
            (cpu, ["4000000", "choose one of"]),
            (memory, ["remount,size", "4294967295"]),
            (folder, ["/nonexistent", "tmpfs"]),
        ] {
            let error = Machine::boot(&options).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }

    #[test]
    fn a_program_that_ends_before_it_speaks_is_a_failed_boot_with_its_console() {
        let mut machine =
            Machine::boot(&MachineOptions { image: "/bin/echo".into(), ..options() }).unwrap();
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
        let mut machine =
            Machine::boot(&MachineOptions { image: script, boot_deadline, ..options() }).unwrap();
        let error = machine.await_guest().unwrap_err().to_string();
        assert!(error.contains("300ms") && error.contains("here"), "{error}");
        assert!(machine.is_alive());
        machine.kill();
        assert_eq!(machine.ending(), Some(Ending::Killed));
    }
}
