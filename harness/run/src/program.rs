//! Runs one program, such as a reproducer, on a machine of its own.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pinfold::oracle::platform_failure;
use pinfold_contract::{FromGuest, ProgramEnd};
use pinfold_machine::initramfs;

use crate::error::RunError;
use crate::guest::{Guest as _, patience};
use crate::link::{Link, LinkError, Received};
use crate::parts::{MachineGuest, Parts, PartsError};
use crate::target::Prepared;

/// How long a machine may take to come up, and a program to end.
const BOOT_DEADLINE: Duration = Duration::from_secs(60);
const PROGRAM_DEADLINE: Duration = Duration::from_secs(120);

/// How long a machine that closed its wire is listened to.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramRun {
    /// How it ended.
    pub end: RunEnd,
    /// What it printed.
    pub output: String,
    /// What the console said from the program's start on.
    pub console: String,
    /// `uname -r` of the kernel.
    pub kernel_release: String,
}

/// How the run of a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// The program ended.
    Program(ProgramEnd),
    /// The kernel died under it.
    KernelDied,
    /// It did not end in its time.
    Hung,
}

/// Boots a machine of `prepared` that runs the static `program` instead of sequences, pinned to `cpu`.
///
/// # Errors
///
/// If the target is no machine, or the machine or the executor fails. That the kernel dies is an answer.
pub fn run_program(
    prepared: &Prepared,
    program: &Path,
    cpu: Option<usize>,
    stop: &AtomicBool,
) -> Result<ProgramRun, RunError> {
    let Some(parts) = prepared.parts() else {
        let target = prepared.name().to_string();
        return Err(RunError::Option { target, option: "running a program" });
    };
    let folder = tempfile::tempdir()
        .map_err(|source| RunError::Write { path: std::env::temp_dir(), source })?;
    let place = folder.path().join("initramfs.cpio");
    let Parts { cache, executor, modules, .. } = parts;
    initramfs::write_with_program(cache, executor, modules, program, &place)
        .map_err(PartsError::Initramfs)?;
    let parts = Parts { initramfs: place, ..parts.clone() };
    let mut guest = parts.boot(cpu, vec![format!("pinfold.run=/{}", initramfs::PROGRAM_NAME)])?;
    let link = guest.wire().and_then(Link::new);
    let mut link = link.map_err(|error| RunError::Hello(LinkError::Io(error)))?;
    let kernel_release = greeted(&mut link, &mut guest, stop)?;
    drop(guest.drain_console());
    let deadline = Instant::now() + PROGRAM_DEADLINE;
    let received =
        link.receive(deadline, || patience(stop, &mut guest)).map_err(RunError::Hello)?;
    let (end, output) = match received {
        Received::Message(FromGuest::Ran { end, output }) => (RunEnd::Program(end), output),
        Received::TimedOut => (RunEnd::Hung, String::new()),
        Received::GaveUp if stop.load(Ordering::Relaxed) => return Err(RunError::Interrupted),
        Received::Closed | Received::GaveUp => (RunEnd::KernelDied, String::new()),
        Received::Message(message) => return Err(unexpected(&message, &mut guest)),
    };
    let console = last_words(&mut guest, end);
    match platform_failure(&console) {
        Some(reason) => Err(RunError::Executor { reason: reason.to_owned(), console }),
        None => Ok(ProgramRun { end, output, console, kernel_release }),
    }
}

/// Waits for `Hello`, and gives the kernel's release.
fn greeted(
    link: &mut Link,
    guest: &mut MachineGuest,
    stop: &AtomicBool,
) -> Result<String, RunError> {
    let deadline = Instant::now() + BOOT_DEADLINE;
    match link.receive(deadline, || patience(stop, guest)).map_err(RunError::Hello)? {
        Received::Message(FromGuest::Hello { kernel_release, .. }) => Ok(kernel_release),
        Received::Message(message) => Err(unexpected(&message, guest)),
        Received::GaveUp if stop.load(Ordering::Relaxed) => Err(RunError::Interrupted),
        Received::Closed | Received::TimedOut | Received::GaveUp => Err(RunError::Boot {
            attempt_count: 1,
            reason: "it did not greet".to_owned(),
            console: guest.drain_console(),
        }),
    }
}

fn unexpected(message: &FromGuest, guest: &mut MachineGuest) -> RunError {
    let reason = match message {
        FromGuest::Failed { reason, .. } => reason.clone(),
        FromGuest::Hello { .. }
        | FromGuest::Step { .. }
        | FromGuest::Edges { .. }
        | FromGuest::Finished { .. }
        | FromGuest::Hung { .. }
        | FromGuest::Ran { .. }
        | FromGuest::KernelMemory(_) => format!("it said {message:?}"),
    };
    RunError::Executor { reason, console: guest.drain_console() }
}

fn last_words(guest: &mut MachineGuest, end: RunEnd) -> String {
    let deadline = Instant::now() + LAST_WORDS;
    let mut console = guest.drain_console();
    while end == RunEnd::KernelDied && guest.ending().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
        console.push_str(&guest.drain_console());
    }
    console.push_str(&guest.drain_console());
    console
}
