//! A machine: what a running kernel is to its host, whichever way it was started.
//!
//! [`uml`](crate::uml) and [`qemu`](crate::qemu) know a command line each. What they start runs below a keeper, talks
//! over a wire, prints on a console and is gone, with all its host processes, when the machine is dropped.

use std::ffi::CString;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use crate::keeper::{self, Orders};
use crate::qmp::{Monitor, ShutdownReason};
use crate::tools::MissingTools;
use crate::wire::Wire;

/// How many bytes of console output the host keeps when nobody drains it. The kernel does not wait for room: past this
/// its output is lost, and the guest runs on.
pub const CONSOLE_CAPACITY_BYTES: usize = 1 << 20;

/// More than any disk takes: QEMU is not to hold back, as it does for a network.
const SAVE_BYTES_PER_SECOND_MAX: u64 = 1 << 34;

/// The kernel parameters by which the guest learns its ends of the wire and of the credit line, as paths of devices: it
/// reads them in `/proc/cmdline`.
pub const WIRE_PARAMETER: &str = "pinfold.wire";
/// See [`WIRE_PARAMETER`].
pub const CREDIT_PARAMETER: &str = "pinfold.credit";

/// What every kernel is told, however it runs.
///
/// A kernel that oopses panics, and one that panics ends. What the guest writes to `/dev/kmsg` is not rate limited, and
/// is printed if it is at least a notice.
pub(crate) const KERNEL_ARGUMENTS: [&str; 9] = [
    "loglevel=6",
    "printk.devkmsg=on",
    // A memory cgroup is charged for the pages of its processes alone, which the model can count.
    "cgroup.memory=nokmem,nosocket",
    // A forced write by /proc/PID/mem is an op. Since 6.12 the configuration may keep it from all but tracers.
    "proc_mem.force_override=always",
    // One for files, one to swap to, of so many KiB. The executor says the same to a module.
    "brd.rd_nr=2",
    "brd.rd_size=4096",
    "oops=panic",
    "panic=-1",
    "rdinit=/init",
];

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
    /// There is no QEMU.
    #[error(transparent)]
    NoQemu(#[from] MissingTools),
    /// The kernel image is not a file.
    #[error("{image} is not a file: name the bzImage of a kernel")]
    NoKernel {
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
    /// The log of this machine's own kernel cannot be read.
    #[error("cannot read {path}, the log of this kernel: be root")]
    Log {
        /// The path.
        path: PathBuf,
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

/// A running kernel. Dropping it kills it.
///
/// The guest finds the name of a line on the kernel's command line: [`WIRE_PARAMETER`]. Where there is a
/// [`CREDIT_PARAMETER`] as well it has to put both in raw mode before the first byte, and to give credit as
/// [`wire`](crate::wire) says. Whatever it or its kernel prints to `/dev/console` is the console.
pub struct Machine {
    keeper: Child,
    lifeline: Option<PipeWriter>,
    wire: Wire,
    console: PipeReader,
    monitor: Option<Monitor>,
    boot_deadline: Duration,
    kill_within: Option<Duration>,
    ending: Option<Ending>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("keeper", &self.keeper.id())
            .field("ending", &self.ending)
            .finish()
    }
}

/// The pipe by which a keeper sees that we are gone.
#[derive(Debug)]
pub(crate) struct Lifeline {
    ours: PipeWriter,
    keepers: PipeReader,
}

impl Lifeline {
    pub(crate) fn new() -> Result<Lifeline, MachineError> {
        let (keepers, ours) = io::pipe().map_err(MachineError::host("make a pipe"))?;
        Ok(Lifeline { ours, keepers })
    }

    /// The number of the keeper's end, which the program has, too: readable, and nothing ever comes.
    pub(crate) fn number(&self) -> RawFd {
        self.keepers.as_raw_fd()
    }
}

/// The pipe of a console.
#[derive(Debug)]
pub(crate) struct Console {
    ours: PipeReader,
    guests: PipeWriter,
}

impl Console {
    /// The host's end never blocks, and it is as large as the system allows up to our limit.
    pub(crate) fn new() -> Result<Console, MachineError> {
        let (ours, guests) = io::pipe().map_err(MachineError::host("make a pipe"))?;
        rustix::io::ioctl_fionbio(ours.as_fd(), true)
            .map_err(|error| MachineError::host("make a pipe")(error.into()))?;
        // Not allowed beyond a limit for each user: a smaller pipe only loses more when nobody drains it.
        let _ = rustix::pipe::fcntl_setpipe_size(&guests, CONSOLE_CAPACITY_BYTES);
        Ok(Console { ours, guests })
    }

    /// Another descriptor of the guest's end.
    pub(crate) fn guests(&self) -> Result<OwnedFd, MachineError> {
        let copy = self.guests.try_clone().map_err(MachineError::host("duplicate a pipe"))?;
        Ok(copy.into())
    }
}

/// Everything of a machine that is there before it starts.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) lifeline: Lifeline,
    pub(crate) console: Console,
    pub(crate) wire: Wire,
    pub(crate) monitor: Option<Monitor>,
    /// All of the program's environment.
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
    /// Descriptors that the program is given under the numbers they have.
    pub(crate) inherited: Vec<OwnedFd>,
    /// The host CPU that all host processes of the machine are pinned to.
    pub(crate) cpu: Option<usize>,
    /// Files, then folders, that the machine may leave behind, in the order in which they can be removed.
    pub(crate) litter: Vec<CString>,
    pub(crate) boot_deadline: Duration,
    /// How long its processes are waited for when it is killed; without end where there is nothing. What runs on our
    /// own kernel may hang in it for good.
    pub(crate) kill_within: Option<Duration>,
}

impl MachineError {
    /// For `map_err`: the host refused to do `action`.
    pub(crate) fn host(action: &'static str) -> impl FnOnce(io::Error) -> MachineError {
        move |source| MachineError::Host { action, source }
    }
}

/// `path` from the root: the programs of a machine are started in another folder than ours.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, MachineError> {
    std::path::absolute(path).map_err(MachineError::host("name a file"))
}

impl Machine {
    /// Starts `command`, whose standard input is set, below a keeper. What it prints itself goes to the console.
    pub(crate) fn start(command: &mut Command, launch: Launch) -> Result<Machine, MachineError> {
        let Launch { lifeline, console, wire, monitor, boot_deadline, kill_within, .. } = launch;
        command.env_clear().envs(launch.environment).current_dir("/");
        command.stdout(console.guests()?).stderr(console.guests);
        let orders = Orders {
            lifeline: lifeline.keepers.into(),
            inherited: launch.inherited,
            cpu: launch.cpu,
            litter: launch.litter,
        };
        keeper::keep(command, orders);
        let keeper = command.spawn().map_err(MachineError::host("start a process"))?;
        let (lifeline, console) = (Some(lifeline.ours), console.ours);
        let ending = None;
        Ok(Machine { keeper, lifeline, wire, console, monitor, boot_deadline, kill_within, ending })
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
        self.ending().is_none()
    }

    /// How the machine ended; `None` while it runs.
    pub fn ending(&mut self) -> Option<Ending> {
        if self.ending.is_none() {
            let status = self.keeper.try_wait().ok().flatten();
            self.ending = status.map(|status| self.ending_of(status));
        }
        self.ending
    }

    /// Writes all of a machine of QEMU to the new file `path`, from which [`QemuOptions::incoming`] makes another like it.
    /// The machine goes on. Nothing may be on its way on the wire, in either direction.
    ///
    /// [`QemuOptions::incoming`]: crate::QemuOptions::incoming
    ///
    /// # Errors
    ///
    /// If it is none of QEMU, or QEMU fails to, or needs longer than `limit`.
    pub fn save(&mut self, path: &Path, limit: Duration) -> io::Result<()> {
        let deadline = Instant::now() + limit;
        let monitor = self.monitor.as_mut().ok_or(ErrorKind::Unsupported)?;
        let fast = json!({"max-bandwidth": SAVE_BYTES_PER_SECOND_MAX});
        monitor.execute("migrate-set-parameters", &fast, deadline)?;
        let quoted = path.display().to_string().replace('\'', "'\\''");
        let target = json!({"uri": format!("exec:cat > '{quoted}'")});
        monitor.execute("migrate", &target, deadline)?;
        loop {
            let now = monitor.execute("query-migrate", &json!({}), deadline)?;
            match now["status"].as_str() {
                Some("completed") => break,
                Some("failed" | "cancelled") => {
                    return Err(io::Error::other(format!("QEMU cannot save its machine: {now}")));
                }
                Some(_) | None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        monitor.execute("cont", &json!({}), deadline).map(drop)
    }

    /// The id of the host session, which holds all host processes of the machine and no other.
    pub fn session(&self) -> u32 {
        self.keeper.id()
    }

    /// Ends the machine, and returns when all its host processes are gone. Does nothing if it has ended.
    ///
    /// Of our own kernel's processes some may hang in it: those are left behind after a while.
    pub fn kill(&mut self) {
        self.lifeline = None;
        let Some(limit) = self.kill_within else {
            if self.ending.is_none() {
                let status = self.keeper.wait().ok();
                self.ending = status.map(|status| self.ending_of(status));
            }
            return;
        };
        let since = Instant::now();
        while self.is_alive() && since.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn ending_of(&mut self, status: ExitStatus) -> Ending {
        let reason = self.monitor.as_mut().and_then(Monitor::shutdown_reason);
        match (Ending::of(status), reason) {
            // QEMU ends well whatever becomes of its guest, and a kernel that panics resets: nobody else does.
            (Ending::PoweredOff, Some(ShutdownReason::GuestReset)) => Ending::Panicked,
            (ending, _) => ending,
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether `initramfs` and `cpu` are there.
pub(crate) fn check(initramfs: &Path, cpu: Option<usize>) -> Result<(), MachineError> {
    if !fs::metadata(initramfs).is_ok_and(|data| data.is_file()) {
        return Err(MachineError::NoInitramfs { initramfs: initramfs.to_owned() });
    }
    let Some(cpu) = cpu else { return Ok(()) };
    let cpus = rustix::thread::sched_getaffinity(None)
        .map_err(|error| MachineError::host("read the allowed cpus")(error.into()))?;
    let is_allowed = |cpu: &usize| *cpu < rustix::thread::CpuSet::MAX_CPU && cpus.is_set(*cpu);
    if is_allowed(&cpu) {
        return Ok(());
    }
    let allowed = (0..rustix::thread::CpuSet::MAX_CPU).filter(is_allowed).collect();
    Err(MachineError::NoSuchCpu { cpu, allowed })
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest powered off.
    PoweredOff,
    /// The kernel panicked: User Mode Linux aborts then, and a machine of QEMU resets, as it does if its processor gives
    /// up.
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
            Ending::Panicked => f.write_str("a panic of the kernel"),
            Ending::Crashed => f.write_str("SIGSEGV (the kernel crashed)"),
            Ending::Killed => f.write_str("SIGKILL (it was killed)"),
            Ending::Status(code) => write!(f, "exit status {code}"),
            Ending::Signal(signal) => write!(f, "signal {signal}"),
            Ending::Unknown => f.write_str("an unknown status"),
        }
    }
}
