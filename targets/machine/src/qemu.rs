//! QEMU: a whole machine around a kernel that others built, and how it is started.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::accel::Accel;
use crate::kernel::hex;
use crate::machine::{
    self, Console, KERNEL_ARGUMENTS, Launch, Lifeline, Machine, MachineError, WIRE_PARAMETER,
};
use crate::qmp::Monitor;
use crate::tools;
use crate::wire::Wire;

/// The program, which [`tools::QEMU`] brings.
pub const PROGRAM: &str = tools::QEMU[0].program;

/// What to boot, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuOptions {
    /// The kernel, a bzImage.
    pub image: PathBuf,
    /// A cpio archive with an `/init`, and with the modules that it loads.
    pub initramfs: PathBuf,
    /// What carries out the guest's instructions.
    pub accel: Accel,
    /// Memory of the guest, in MiB.
    pub memory_mib: u32,
    /// Processors of the guest.
    pub cpu_count: u32,
    /// The host CPU that all of the machine is pinned to. `None` leaves it free.
    pub cpu: Option<usize>,
    /// A file that [`Machine::save`] wrote, of a machine with these same options: it goes on from there. `None` boots.
    pub incoming: Option<PathBuf>,
    /// How long [`Machine::await_guest`] waits for the first byte on the wire.
    pub boot_deadline: Duration,
    /// More for the kernel's command line.
    pub arguments: Vec<String>,
}

impl QemuOptions {
    /// Boots `image` with `initramfs`: translated, 512 MiB, two processors, not pinned, 60 s to come up.
    pub fn new(image: impl Into<PathBuf>, initramfs: impl Into<PathBuf>) -> QemuOptions {
        QemuOptions {
            image: image.into(),
            initramfs: initramfs.into(),
            accel: Accel::Tcg,
            memory_mib: 512,
            cpu_count: 2,
            cpu: None,
            incoming: None,
            boot_deadline: Duration::from_secs(60),
            arguments: Vec::new(),
        }
    }
}

/// Starts the machine and returns at once; nothing is said on the wire.
///
/// # Errors
///
/// If there is no QEMU, the options name something that is not there, or the host has no room for the machine.
pub fn boot(options: &QemuOptions) -> Result<Machine, MachineError> {
    check(options)?;
    let pair = || UnixStream::pair().map_err(MachineError::host("make a socket"));
    let ((stream, guest_wire), (monitor, guest_monitor)) = (pair()?, pair()?);
    let monitor = Monitor::new(monitor).map_err(MachineError::host("make a socket"))?;
    let (lifeline, console) = (Lifeline::new()?, Console::new()?);
    let guest_console = console.guests()?;
    let incoming = options.incoming.as_ref().map(File::open).transpose();
    let incoming = incoming.map_err(MachineError::host("open a saved machine"))?;
    let descriptors = Descriptors {
        wire: guest_wire.as_raw_fd(),
        monitor: guest_monitor.as_raw_fd(),
        console: guest_console.as_raw_fd(),
        incoming: incoming.as_ref().map(AsRawFd::as_raw_fd),
    };
    let program = tools::find(PROGRAM).unwrap_or_else(|| PathBuf::from(PROGRAM));
    let mut command = Command::new(program);
    let image = machine::absolute(&options.image)?;
    let initramfs = machine::absolute(&options.initramfs)?;
    let arguments = qemu_arguments(options, (&image, &initramfs), &descriptors);
    command.args(arguments).stdin(Stdio::null());
    let mut inherited: Vec<OwnedFd> = vec![guest_wire.into(), guest_monitor.into(), guest_console];
    inherited.extend(incoming.map(OwnedFd::from));
    let launch = Launch {
        lifeline,
        console,
        wire: Wire::new(stream),
        monitor: Some(monitor),
        environment: Vec::new(),
        inherited,
        cpu: options.cpu,
        litter: Vec::new(),
        boot_deadline: options.boot_deadline,
        kill_within: None,
    };
    Machine::start(&mut command, launch)
}

fn check(options: &QemuOptions) -> Result<(), MachineError> {
    tools::require(tools::QEMU, &[])?;
    if !fs::metadata(&options.image).is_ok_and(|data| data.is_file()) {
        return Err(MachineError::NoKernel { image: options.image.clone() });
    }
    machine::check(&options.initramfs, options.cpu)
}

/// Descriptors of the host that QEMU is told of.
struct Descriptors {
    wire: RawFd,
    monitor: RawFd,
    console: RawFd,
    incoming: Option<RawFd>,
}

/// Names the machine that `options` make once it has come up, by the content of all that it is made of. A saved machine is
/// only good for one with the same name. Which CPU of the host runs it is no part of that.
///
/// # Errors
///
/// If a file cannot be read.
pub fn identity(options: &QemuOptions) -> io::Result<String> {
    let mut digest = Sha256::new();
    let program = tools::find(PROGRAM).unwrap_or_else(|| PathBuf::from(PROGRAM));
    for path in [&program, &options.image, &options.initramfs] {
        digest.update(Sha256::digest(fs::read(path)?));
    }
    let descriptors = Descriptors { wire: 0, monitor: 0, console: 0, incoming: None };
    let nameless = Path::new("");
    for argument in qemu_arguments(options, (nameless, nameless), &descriptors) {
        digest.update(Sha256::digest(argument));
    }
    if options.accel == Accel::Kvm {
        // The processor that the guest sees is the host's.
        digest.update(fs::read("/proc/cpuinfo").map(host_processor)?);
    }
    Ok(hex(&digest.finalize()))
}

/// What of `/proc/cpuinfo` makes a processor another one for a guest.
fn host_processor(cpuinfo: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&cpuinfo).into_owned();
    let is_it = |line: &&str| {
        ["vendor_id", "cpu family", "model", "stepping", "microcode", "flags"]
            .iter()
            .any(|name| line.starts_with(name))
    };
    let first = text.split("\n\n").next().unwrap_or_default();
    first.lines().filter(is_it).collect::<Vec<_>>().join("\n").into_bytes()
}

/// QEMU's command line: a machine with a serial port, a port of virtio, and nothing else.
///
/// The console goes to a pipe, which a file of QEMU may be if it is passed in a set of descriptors and not cut to no
/// length first. Without `ioeventfd`
/// the processor of the guest that writes to the wire writes to the host's socket itself: a message costs no change of
/// threads.
fn qemu_arguments(
    options: &QemuOptions,
    (image, initramfs): (&Path, &Path),
    descriptors: &Descriptors,
) -> Vec<String> {
    let Descriptors { wire, monitor, console, incoming } = descriptors;
    let mut arguments: Vec<String> =
        ["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned).into();
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add("-display", "none".to_owned());
    add("-machine", "q35".to_owned());
    add("-accel", accelerator(options.accel).to_owned());
    add("-cpu", "max".to_owned());
    add("-m", format!("{}M", options.memory_mib));
    add("-smp", options.cpu_count.to_string());
    add("-kernel", image.display().to_string());
    add("-initrd", initramfs.display().to_string());
    add("-append", kernel_arguments(options).join(" "));
    add("-add-fd", format!("fd={console},set=1"));
    add("-chardev", "file,id=console,path=/dev/fdset/1,append=on".to_owned());
    add("-serial", "chardev:console".to_owned());
    add("-chardev", format!("socket,id=monitor,fd={monitor}"));
    add("-mon", "chardev=monitor,mode=control".to_owned());
    add("-chardev", format!("socket,id=wire,fd={wire}"));
    add("-device", "virtio-serial-pci,ioeventfd=off".to_owned());
    add("-device", "virtserialport,chardev=wire,name=pinfold".to_owned());
    if let Some(incoming) = incoming {
        add("-incoming", format!("fd:{incoming}"));
    }
    arguments
}

fn accelerator(accel: Accel) -> &'static str {
    match accel {
        // The machine is pinned to one CPU of the host, where two threads only wait for each other.
        Accel::Tcg => "tcg,thread=single",
        Accel::Kvm => "kvm",
    }
}

fn kernel_arguments(options: &QemuOptions) -> Vec<String> {
    let mut arguments = vec!["console=ttyS0".to_owned(), format!("{WIRE_PARAMETER}=/dev/vport0p1")];
    arguments.extend(KERNEL_ARGUMENTS.map(str::to_owned));
    // The executor's text are pages of a file, and not of shared memory, which the kernel would count elsewhere.
    arguments.push("rootfstype=ramfs".to_owned());
    // Pages of one size, as the model has them.
    arguments.push("transparent_hugepage=never".to_owned());
    // With protection keys what may only be executed cannot be read (`execute_only_pkey()`, include/linux/pkeys.h);
    // the model has a processor without them.
    arguments.push("nopku".to_owned());
    arguments.push("mitigations=off".to_owned());
    arguments.extend(options.arguments.iter().cloned());
    arguments
}
