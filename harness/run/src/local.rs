//! This machine's own kernel as a target: whether it may be used, and the executor as one process among others.

use std::io;
use std::path::{Path, PathBuf};

use pinfold::profile;
use pinfold_contract::{CGROUP, SETTINGS};
use pinfold_machine::local::{self, KernelLog, RdmaDevice};
use pinfold_machine::{Cache, Ending, Machine, Progress, executor};

use crate::error::{Blame, RunError};
use crate::guest::{Boot, Guest};
use crate::link::Stream;
use crate::parts::PartsError;

/// The flag of the command line without which nothing runs.
const CONSENT: &str = "--yes-run-on-this-kernel";

/// Why this machine's own kernel is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// There is nothing to register memory with.
    #[error(
        "this machine has no RDMA device: as root, `modprobe rdma_rxe && rdma link add rxe0 type rxe netdev eth0` makes \
         one where the kernel has rdma_rxe; targets with a kernel of their own, such as uml:SERIES, need none"
    )]
    NoDevice,
    /// There are others.
    #[error("this machine has no RDMA device {wanted}, but {}: choose one of them, local:NAME", there.join(", "))]
    NoSuchDevice {
        /// What was looked for.
        wanted: String,
        /// What there is.
        there: Vec<String>,
    },
    /// The executor that is built has the provider of rxe alone.
    #[error(
        "{device} is no device of rxe, and the executor that belongs to this version has the provider of rxe alone: name \
         one that has the provider of {device} with --executor"
    )]
    NoProvider {
        /// The device.
        device: String,
    },
    /// Nobody said that it may be used.
    #[error("{}", what_is_touched(device))]
    NoConsent {
        /// The device.
        device: String,
    },
    /// Who asks is not root.
    #[error(
        "the target local needs root: to see page frames, to make control groups, for CAP_IPC_LOCK and for the settings \
         that it changes"
    )]
    NotRoot,
    /// Several runs at the same time would see each other.
    #[error(
        "all jobs of the target local would run on one kernel, and see each other's memory: leave --jobs out"
    )]
    Jobs,
    /// It is not as it was when we came.
    #[error(
        "this machine's kernel hung, complained or lost something, and nothing more is run on it: look at its log, and boot \
         it again before the next run"
    )]
    Spent,
}

impl LocalError {
    /// Whose affair it is.
    pub(crate) fn blame(&self) -> Blame {
        match self {
            LocalError::NoDevice
            | LocalError::NoSuchDevice { .. }
            | LocalError::NoProvider { .. }
            | LocalError::NotRoot => Blame::Capability,
            LocalError::NoConsent { .. } | LocalError::Jobs => Blame::Input,
            LocalError::Spent => Blame::Environment,
        }
    }
}

/// All that a run touches, for whoever decides whether it may.
fn what_is_touched(device: &str) -> String {
    let settings: Vec<String> =
        SETTINGS.iter().map(|(path, value)| format!("    {path} = {value}\n")).collect();
    format!(
        "sequences would run on the kernel that this machine itself runs on, and what they find may hang it, crash it or \
         damage data. Say {CONSENT} if that may be. As root, a run touches\n\
         \x20 the RDMA device {device}: queue pairs, memory regions and windows; nobody else may use it meanwhile\n\
         \x20 memory: up to 300 KiB a process, pinned, locked and shared; RLIMIT_MEMLOCK and oom_score_adj of its own \
         processes\n\
         \x20 {CGROUP}: control groups of its own, with the controllers memory and rdma; removed afterwards\n\
         \x20 mounts: a tmpfs at /tmp that its own processes alone see; a file disk0 in /disk, if there is an ext4 there\n\
         \x20 the whole machine, where a sequence says `chore` or merges pages: page caches are written back and dropped, \
         memory is compacted, pages that KSM merged are unmerged\n\
         \x20 /dev/kmsg: a line for each operation\n\
         \x20 not: what is known to kill kernels (corpus/defects/invalidate-free-window/README.md), unless a sequence of yours says it\n\
         \x20 these settings, which are put back afterwards:\n{}",
        settings.concat().trim_end()
    )
}

/// What is run on this machine's kernel.
#[derive(Clone, Debug)]
pub(crate) struct LocalParts {
    executor: PathBuf,
    device: String,
}

impl LocalParts {
    /// With the RDMA device `wanted`, or the first one of rxe.
    pub(crate) fn of(
        wanted: Option<&str>,
        has_consent: bool,
        named: Option<&Path>,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<LocalParts, RunError> {
        let device = choose(wanted, &local::devices(), named.is_some())?;
        if !has_consent {
            return Err(LocalError::NoConsent { device }.into());
        }
        if !local::are_we_root() {
            return Err(LocalError::NotRoot.into());
        }
        let executor = match named {
            // Needs no cache.
            Some(_) => executor::provide(&Cache::at(""), named, watch),
            None => {
                let cache = Cache::from_environment().map_err(PartsError::Cache)?;
                executor::provide(&cache, None, watch)
            }
        };
        Ok(LocalParts { executor: executor.map_err(PartsError::Executor)?, device })
    }

    /// What a person should know.
    pub(crate) fn note(&self) -> String {
        format!(
            "this machine's own kernel, with {}; what all of the machine holds of memory is not compared, since others use \
             it, too; nothing is swapped, and random sequences invalidate no windows, of which kernels are known to die",
            self.device
        )
    }
}

/// The device that is meant.
fn choose(
    wanted: Option<&str>,
    there: &[RdmaDevice],
    is_executor_named: bool,
) -> Result<String, LocalError> {
    if there.is_empty() {
        return Err(LocalError::NoDevice);
    }
    let found = there.iter().find(|device| match wanted {
        Some(name) => device.name == name,
        None => device.is_rxe,
    });
    match found {
        None => Err(LocalError::NoSuchDevice {
            wanted: wanted.unwrap_or("of rxe").to_owned(),
            there: there.iter().map(|device| device.name.clone()).collect(),
        }),
        Some(device) if !device.is_rxe && !is_executor_named => {
            Err(LocalError::NoProvider { device: device.name.clone() })
        }
        Some(device) => Ok(device.name.clone()),
    }
}

/// What this machine's kernel runs on, as its rules have it.
pub(crate) fn platform() -> profile::Platform {
    if local::is_uml() { profile::Platform::Uml } else { profile::Platform::X86 }
}

/// Starts executors on this machine's kernel, one after the other, until it is not to be used any more.
#[derive(Debug)]
pub(crate) struct LocalBoot {
    parts: LocalParts,
    cpu: Option<usize>,
    is_spent: bool,
}

impl LocalBoot {
    pub(crate) fn new(parts: LocalParts, cpu: Option<usize>) -> LocalBoot {
        LocalBoot { parts, cpu, is_spent: false }
    }
}

impl Boot for LocalBoot {
    fn boot(&mut self) -> Result<Box<dyn Guest>, RunError> {
        if self.is_spent {
            return Err(LocalError::Spent.into());
        }
        let log = KernelLog::from_now().map_err(PartsError::Machine)?;
        let LocalParts { executor, device } = &self.parts;
        let machine = local::start(executor, device, self.cpu).map_err(PartsError::Machine)?;
        Ok(Box::new(LocalGuest { machine, log }))
    }

    fn discard(&mut self) {
        self.is_spent = true;
    }
}

#[derive(Debug)]
struct LocalGuest {
    machine: Machine,
    log: KernelLog,
}

impl Guest for LocalGuest {
    fn wire(&mut self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.machine.wire()?))
    }

    fn drain_console(&mut self) -> String {
        self.log.drain() + &self.machine.drain_console()
    }

    fn ending(&mut self) -> Option<Ending> {
        self.machine.ending()
    }

    fn is_on_our_kernel(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, is_rxe: bool) -> RdmaDevice {
        RdmaDevice { name: name.to_owned(), is_rxe }
    }

    #[test]
    fn the_first_device_of_rxe_is_taken_or_the_one_that_is_named() {
        let there = [device("mlx5_0", false), device("rxe0", true), device("rxe1", true)];
        assert_eq!(choose(None, &there, false).as_deref(), Ok("rxe0"));
        assert_eq!(choose(Some("rxe1"), &there, false).as_deref(), Ok("rxe1"));
        assert_eq!(choose(Some("mlx5_0"), &there, true).as_deref(), Ok("mlx5_0"));
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_a_way_out() {
        let there = [device("mlx5_0", false)];
        let check = |result: Result<String, LocalError>, way_out: &str| {
            let error = result.unwrap_err();
            assert_eq!(error.blame(), Blame::Capability, "{error}");
            assert!(error.to_string().contains(way_out), "{error}");
        };
        check(choose(None, &[], false), "rdma link add");
        check(choose(None, &there, false), "no RDMA device of rxe, but mlx5_0");
        check(choose(Some("rxe7"), &there, false), "no RDMA device rxe7, but mlx5_0");
        check(choose(Some("mlx5_0"), &there, false), "--executor");
    }

    #[test]
    fn who_did_not_agree_is_told_all_that_would_be_touched() {
        let error = LocalError::NoConsent { device: "rxe0".to_owned() };
        assert_eq!(error.blame(), Blame::Input);
        let text = error.to_string();
        for word in [CONSENT, "rxe0", "root", CGROUP, "/tmp", "/dev/kmsg", "dropped", "KSM"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(SETTINGS.iter().all(|(path, _)| text.contains(path)), "{text}");
    }

    #[test]
    fn a_kernel_that_is_not_as_it_was_is_never_used_again() {
        let parts = LocalParts { executor: "/nonexistent".into(), device: "rxe0".to_owned() };
        let mut boot = LocalBoot::new(parts, None);
        boot.discard();
        let error = boot.boot().unwrap_err();
        assert!(matches!(error, RunError::Local(LocalError::Spent)), "{error}");
        assert_eq!(error.reach(), crate::Reach::Target);
    }
}
