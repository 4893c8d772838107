//! This machine's own kernel: its RDMA devices, its log, and the executor as one process among others.
//!
//! There is no machine of ours here, but what runs is started and ended as if there were: below a keeper, with a wire and
//! a console, which is what the executor itself prints.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::machine::{self, Console, Launch, Lifeline, Machine, MachineError};
use crate::wire::Wire;

const DEVICES: &str = "/sys/class/infiniband";
const LOG: &str = "/dev/kmsg";

/// How long the executor may take until it greets.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How long its processes are waited for when they are killed.
const KILL_WITHIN: Duration = Duration::from_secs(5);

/// Room for one record of the kernel's log, in bytes: `PRINTK_MESSAGE_MAX` of kernel/printk/internal.h (6.12).
const RECORD_BYTES_MAX: usize = 8 << 10;

/// Below this level, `LOGLEVEL_INFO`, a record is printed on the consoles of the other targets.
const LEVEL_INFO: u32 = 6;

/// An RDMA device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdmaDevice {
    /// Its name, such as `rxe0`.
    pub name: String,
    /// Whether it is made of software, by `rdma_rxe`.
    pub is_rxe: bool,
}

/// The RDMA devices of this machine, by their names.
pub fn devices() -> Vec<RdmaDevice> {
    devices_in(Path::new(DEVICES))
}

fn devices_in(folder: &Path) -> Vec<RdmaDevice> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut devices: Vec<RdmaDevice> = entries
        .map(|entry| RdmaDevice {
            name: entry.file_name().to_string_lossy().into_owned(),
            // Its network device, in a file that only rxe has (`parent_show()`, drivers/infiniband/sw/rxe/rxe_verbs.c).
            is_rxe: entry.path().join("parent").exists(),
        })
        .collect();
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    devices
}

/// Whether we may do what the executor does.
pub fn are_we_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this machine is itself a User Mode Linux.
pub fn is_uml() -> bool {
    fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("User Mode Linux"))
}

/// Starts `executor` for the RDMA device `device`, pinned to `cpu`, and returns at once; nothing is said on the wire.
///
/// # Errors
///
/// If it cannot be started.
pub fn start(executor: &Path, device: &str, cpu: Option<usize>) -> Result<Machine, MachineError> {
    let (stream, executors) = UnixStream::pair().map_err(MachineError::host("make a socket"))?;
    let (lifeline, console) = (Lifeline::new()?, Console::new()?);
    let mut command = Command::new(machine::absolute(executor)?);
    command.arg(device).stdin(Stdio::from(OwnedFd::from(executors)));
    let launch = Launch {
        lifeline,
        console,
        wire: Wire::new(stream),
        monitor: None,
        environment: Vec::new(),
        inherited: Vec::new(),
        cpu,
        litter: Vec::new(),
        boot_deadline: START_DEADLINE,
        kill_within: Some(KILL_WITHIN),
    };
    Machine::start(&mut command, launch)
}

/// The log of this machine's kernel, from some moment on.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
}

impl KernelLog {
    /// What is logged from now on.
    ///
    /// # Errors
    ///
    /// If we may not read it.
    pub fn from_now() -> Result<KernelLog, MachineError> {
        let open = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).custom_flags(libc::O_NONBLOCK).open(LOG)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file =
            open().map_err(|source| MachineError::Log { path: PathBuf::from(LOG), source })?;
        Ok(KernelLog { file })
    }

    /// What was logged since the last call, as a console shows it.
    pub fn drain(&mut self) -> String {
        let mut text = String::new();
        let mut record = [0; RECORD_BYTES_MAX];
        loop {
            match self.file.read(&mut record) {
                Ok(0) => return text,
                Ok(len) => {
                    let record = String::from_utf8_lossy(&record[..len]);
                    text.push_str(&console_line(&record).unwrap_or_default());
                }
                // Records were overwritten before they were read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                // Would block: there are no more.
                Err(_) => return text,
            }
        }
    }
}

/// A record, as a console shows it; nothing if it would not.
///
/// Source: `LEVEL,NUMBER,MICROSECONDS,FLAGS;TEXT`, Documentation/ABI/testing/dev-kmsg.
fn console_line(record: &str) -> Option<String> {
    let (head, text) = record.split_once(';')?;
    let mut fields = head.split(',');
    // The facility stands above the lowest three bits.
    let level = fields.next()?.parse::<u32>().ok()? & 7;
    let micros: u64 = fields.nth(1)?.parse().ok()?;
    if level >= LEVEL_INFO {
        return None;
    }
    let text = text.lines().next().unwrap_or_default();
    Some(format!("[{:5}.{:06}] {text}\n", micros / 1_000_000, micros % 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_log_is_a_line_of_a_console() {
        let check = |record: &str, line: Option<&str>| {
            assert_eq!(console_line(record).as_deref(), line, "{record}");
        };
        let warning = "4,812,5140900,-;WARNING: CPU: 0 PID: 1\n SUBSYSTEM=x\n";
        check(warning, Some("[    5.140900] WARNING: CPU: 0 PID: 1\n"));
        check("13,1,7,-;pinfold: op 1\n", Some("[    0.000007] pinfold: op 1\n"));
        check("6,1,7,-;only a word\n", None);
        check("nonsense", None);
    }

    #[test]
    fn a_device_with_a_network_device_below_it_is_rxe() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["rxe0", "mlx5_0"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("rxe0/parent"), "eth0\n").unwrap();
        let device = |name: &str, is_rxe| RdmaDevice { name: name.to_owned(), is_rxe };
        assert_eq!(devices_in(folder.path()), [device("mlx5_0", false), device("rxe0", true)]);
        assert_eq!(devices_in(Path::new("/nonexistent")), []);
    }
}
