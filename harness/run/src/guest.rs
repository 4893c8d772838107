//! Drives an executor over its wire: boots, greets, runs sequences, and says how each ended.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pinfold::oracle::{kernel_log_title, platform_failure};
use pinfold_contract::{
    Edge, End, FromGuest, KernelMemory, Observe, PackedEdge, Sequence, Step, ToGuest, Trace,
    WireError,
};

use pinfold_machine::Ending;

use crate::console::attribute;
use crate::error::RunError;
use crate::link::{Link, LinkError, Patience, Received, Stream};

/// A booted machine, as far as this driver needs one. It is gone, with all its processes, when it is dropped.
pub(crate) trait Guest: fmt::Debug + Send {
    /// The stream to the executor.
    fn wire(&mut self) -> io::Result<Box<dyn Stream>>;
    /// What the console printed since the last call.
    fn drain_console(&mut self) -> String;
    /// How the machine ended, if it did.
    fn ending(&mut self) -> Option<Ending>;
    /// Whether it goes on from where another one was saved: its executor greets only if it is asked to.
    fn is_restored(&self) -> bool {
        false
    }
    /// It has come up, and nothing is on its way on its wire.
    fn came_up(&mut self) {}
    /// Whether its kernel is our own, which goes on when it ends, and whose oops ends only some of its processes.
    fn is_on_our_kernel(&self) -> bool {
        false
    }
}

/// Makes machines, one like the other.
pub(crate) trait Boot: fmt::Debug + Send {
    /// Starts one, and does not wait for its guest.
    fn boot(&mut self) -> Result<Box<dyn Guest>, RunError>;
    /// A machine that was restored did not come up: none is restored any more.
    fn distrust(&mut self) {}
    /// A machine that was booted did not come up. Another one is to be.
    fn failed(&mut self) -> Result<(), RunError> {
        Ok(())
    }
    /// The kernel of the last machine hung, died, complained or lost something: it runs no further sequence.
    fn discard(&mut self) {}
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// From boot to `Hello`.
    pub(crate) boot: Duration,
    /// One op with its checkpoint. The executor keeps it; past it and `slack` the host does not wait for that.
    pub(crate) op: Duration,
    /// What a busy host may add to an op.
    pub(crate) slack: Duration,
    /// How long a machine that hangs or dies is still listened to.
    pub(crate) last_words: Duration,
}

impl Deadlines {
    /// Generous ones: a machine that is merely slow must not look like one that hangs.
    pub(crate) const DEFAULT: Deadlines = Deadlines {
        boot: Duration::from_secs(60),
        op: Duration::from_secs(10),
        slack: Duration::from_secs(5),
        last_words: Duration::from_secs(2),
    };
}

/// How often a machine is booted before it is given up.
const BOOT_ATTEMPTS: u32 = 3;

/// How long a restored machine may take to greet; it takes a fraction of a second.
const RESTORED_WITHIN: Duration = Duration::from_secs(15);

/// How much of a console an error shows.
const CONSOLE_TAIL_LINES: usize = 20;

/// What the kernel says when its first process, which is the executor, exits by itself with status 101: it panicked.
///
/// Source: do_exit() of kernel/exit.c (6.1 and 6.12), which prints the wait status; status 101 is Rust's for a panic.
const EXECUTOR_PANICKED: &str = "Attempted to kill init! exitcode=0x00006500";

/// Machines, one at a time, that run sequences.
#[derive(Debug)]
pub(crate) struct GuestTarget {
    boot: Box<dyn Boot>,
    deadlines: Deadlines,
    stop: Arc<AtomicBool>,
    session: Option<Session>,
    run_count: u64,
    /// Machines that came up.
    up_count: u64,
    edges: Vec<Edge>,
}

impl GuestTarget {
    pub(crate) fn new(
        boot: Box<dyn Boot>,
        deadlines: Deadlines,
        stop: Arc<AtomicBool>,
    ) -> GuestTarget {
        let (session, run_count, up_count, edges) = (None, 0, 0, Vec::new());
        GuestTarget { boot, deadlines, stop, session, run_count, up_count, edges }
    }

    /// Has a machine up, and gives its `uname -r`.
    pub(crate) fn kernel_release(&mut self) -> Result<String, RunError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.start()?,
        };
        Ok(self.session.insert(session).kernel_release.clone())
    }

    /// Runs `sequence`, on a fresh machine if the last one is not fit for it.
    pub(crate) fn run(&mut self, sequence: &Sequence, observe: Observe) -> Result<Trace, RunError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.start()?,
        };
        self.run_count += 1;
        let trace = session.run(self.run_count, sequence, observe, self.deadlines, &self.stop)?;
        self.edges = std::mem::take(&mut session.edges);
        match trace.end {
            End::Finished { .. } => self.session = Some(session),
            End::Hung { .. } | End::Died { .. } => self.boot.discard(),
        }
        Ok(trace)
    }

    /// What the kernel holds for itself, and on which machine, counted from 1: of two the counters cannot be compared.
    pub(crate) fn kernel_memory(&mut self) -> Result<(u64, KernelMemory), RunError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.start()?,
        };
        let memory = session.kernel_memory(self.deadlines, &self.stop)?;
        self.session = Some(session);
        Ok((self.up_count, memory))
    }

    /// Where the kernel was in the last run: see [`Target::edges`](crate::Target::edges).
    pub(crate) fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Does away with the machine: the next run gets a fresh one.
    pub(crate) fn retire(&mut self) {
        self.boot.discard();
        self.session = None;
    }

    fn start(&mut self) -> Result<Session, RunError> {
        let mut attempt_count = 0;
        loop {
            attempt_count += 1;
            let mut guest = self.boot.boot()?;
            let reason = match Session::greet(guest.as_mut(), self.deadlines, &self.stop)? {
                Greeting::Up { link, kernel_release } => {
                    guest.came_up();
                    self.up_count += 1;
                    return Ok(Session { guest, link, kernel_release, edges: Vec::new() });
                }
                Greeting::Down { .. } if guest.is_restored() => {
                    self.boot.distrust();
                    attempt_count -= 1;
                    continue;
                }
                Greeting::Down { reason } => reason,
            };
            if attempt_count == BOOT_ATTEMPTS {
                let console = tail(&guest.drain_console());
                return Err(RunError::Boot { attempt_count, reason, console });
            }
            self.boot.failed()?;
        }
    }
}

/// A machine whose executor said `Hello`.
#[derive(Debug)]
struct Session {
    guest: Box<dyn Guest>,
    link: Link,
    kernel_release: String,
    /// Where the kernel was in the last run.
    edges: Vec<Edge>,
}

enum Greeting {
    Up { link: Link, kernel_release: String },
    Down { reason: String },
}

impl Session {
    /// Waits for the executor's `Hello`.
    ///
    /// # Errors
    ///
    /// What would go wrong with the next machine as well.
    fn greet(
        guest: &mut dyn Guest,
        deadlines: Deadlines,
        stop: &AtomicBool,
    ) -> Result<Greeting, RunError> {
        let limit = if guest.is_restored() { RESTORED_WITHIN } else { deadlines.boot };
        let deadline = Instant::now() + limit;
        let mut link = guest
            .wire()
            .and_then(Link::new)
            .map_err(|error| RunError::Hello(LinkError::Io(error)))?;
        if guest.is_restored() && link.send(&ToGuest::Greet, || patience(stop, guest)).is_err() {
            return Ok(Greeting::Down { reason: ending(guest) });
        }
        let received = link.receive(deadline, || patience(stop, guest));
        let down = |reason: String| Ok(Greeting::Down { reason });
        match received {
            Ok(Received::Message(FromGuest::Hello { kernel_release, .. })) => {
                // Boot messages are no one's finding.
                drop(guest.drain_console());
                Ok(Greeting::Up { link, kernel_release })
            }
            Ok(Received::Message(FromGuest::Failed { reason, .. })) => down(reason),
            Ok(Received::Message(
                FromGuest::Step { .. }
                | FromGuest::Edges { .. }
                | FromGuest::Finished { .. }
                | FromGuest::Hung { .. }
                | FromGuest::Ran { .. }
                | FromGuest::KernelMemory(_),
            )) => down("the executor did not greet first".to_owned()),
            Ok(Received::Closed) => down(ending(guest)),
            Ok(Received::TimedOut) => down(format!("the executor said nothing within {limit:?}")),
            Ok(Received::GaveUp) if stop.load(Ordering::Relaxed) => Err(RunError::Interrupted),
            Ok(Received::GaveUp) => down(ending(guest)),
            Err(error @ LinkError::Wire(WireError::Version { .. })) => Err(RunError::Hello(error)),
            Err(error) => down(in_full(&error)),
        }
    }

    fn run(
        &mut self,
        id: u64,
        sequence: &Sequence,
        observe: Observe,
        deadlines: Deadlines,
        stop: &AtomicBool,
    ) -> Result<Trace, RunError> {
        let mut trace = self.listen(id, sequence, observe, deadlines, stop)?;
        let (End::Finished { kernel_log, .. }
        | End::Hung { kernel_log }
        | End::Died { kernel_log }) = &mut trace.end;
        if let Some(reason) = platform_failure(kernel_log) {
            let reason = reason.to_owned();
            return Err(RunError::Executor { reason, console: tail(kernel_log) });
        }
        *kernel_log = attribute(&std::mem::take(kernel_log), &mut trace.steps);
        Ok(trace)
    }

    /// Runs a sequence. The whole log of the kernel stands at the end of what it gives.
    fn listen(
        &mut self,
        id: u64,
        sequence: &Sequence,
        observe: Observe,
        deadlines: Deadlines,
        stop: &AtomicBool,
    ) -> Result<Trace, RunError> {
        let op_deadline_ms = u32::try_from(deadlines.op.as_millis()).unwrap_or(u32::MAX);
        let message = ToGuest::Run { id, sequence: sequence.clone(), observe, op_deadline_ms };
        let sent = self.link.send(&message, || patience(stop, self.guest.as_mut()));
        sent.map_err(|source| self.lost(source))?;
        self.edges.clear();
        let mut steps = Vec::with_capacity(sequence.ops.len());
        let mut log = String::new();
        loop {
            let deadline = Instant::now() + deadlines.op + deadlines.slack;
            let received = self.link.receive(deadline, || patience(stop, self.guest.as_mut()));
            let message = match received.map_err(|source| self.lost(source))? {
                Received::Message(message) => message,
                Received::TimedOut => return Ok(Trace { steps, end: self.hung(log, deadlines) }),
                Received::GaveUp if stop.load(Ordering::Relaxed) => {
                    return Err(RunError::Interrupted);
                }
                Received::Closed | Received::GaveUp => {
                    return Ok(Trace { steps, end: self.died(log, deadlines)? });
                }
            };
            log.push_str(&self.guest.drain_console());
            match message {
                FromGuest::Step { id: of, op_index, outcome, completions, checkpoint }
                    if of == id && op_index as usize == steps.len() =>
                {
                    let kernel_log = String::new();
                    steps.push(Step { outcome, completions, checkpoint, kernel_log });
                }
                FromGuest::Edges { id: of, edges } if of == id => {
                    self.edges = PackedEdge::unpack(&edges);
                }
                FromGuest::Finished { id: of, teardown }
                    if of == id && steps.len() == sequence.ops.len() =>
                {
                    return Ok(Trace { steps, end: End::Finished { teardown, kernel_log: log } });
                }
                FromGuest::Hung { id: of, .. } if of == id => {
                    return Ok(Trace { steps, end: self.hung(log, deadlines) });
                }
                FromGuest::Failed { .. } if self.is_after_an_oops(&log) => {
                    return Ok(Trace { steps, end: End::Died { kernel_log: log } });
                }
                FromGuest::Failed { reason, .. } => {
                    return Err(RunError::Executor { reason, console: tail(&log) });
                }
                FromGuest::Hello { .. }
                | FromGuest::Step { .. }
                | FromGuest::Edges { .. }
                | FromGuest::Finished { .. }
                | FromGuest::Hung { .. }
                | FromGuest::Ran { .. }
                | FromGuest::KernelMemory(_) => {
                    let reason = format!("it said {message:?} after {} ops", steps.len());
                    return Err(RunError::Executor { reason, console: tail(&log) });
                }
            }
        }
    }

    /// Asks for what the kernel holds for itself.
    fn kernel_memory(
        &mut self,
        deadlines: Deadlines,
        stop: &AtomicBool,
    ) -> Result<KernelMemory, RunError> {
        let sent =
            self.link.send(&ToGuest::CountKernelMemory, || patience(stop, self.guest.as_mut()));
        sent.map_err(|source| self.lost(source))?;
        let deadline = Instant::now() + deadlines.op + deadlines.slack;
        let received = self.link.receive(deadline, || patience(stop, self.guest.as_mut()));
        let log = self.guest.drain_console();
        let reason = match received.map_err(|source| self.lost(source))? {
            Received::Message(FromGuest::KernelMemory(memory)) => return Ok(memory),
            Received::GaveUp if stop.load(Ordering::Relaxed) => return Err(RunError::Interrupted),
            other @ (Received::Message(_)
            | Received::Closed
            | Received::TimedOut
            | Received::GaveUp) => {
                format!("asked what the kernel holds for itself, it gave no answer: {other:?}")
            }
        };
        Err(RunError::Executor { reason, console: tail(&log) })
    }

    /// Whether a kernel that goes on all the same complained.
    fn is_after_an_oops(&self, log: &str) -> bool {
        self.guest.is_on_our_kernel() && kernel_log_title(log).is_some()
    }

    fn lost(&mut self, source: LinkError) -> RunError {
        RunError::Link { source, console: tail(&self.guest.drain_console()) }
    }

    /// Listens to a hanging machine a little longer: what it hangs in is often printed late.
    fn hung(&mut self, log: String, deadlines: Deadlines) -> End {
        thread::sleep(deadlines.last_words);
        End::Hung { kernel_log: log + &self.guest.drain_console() }
    }

    /// Listens to a dying machine until it is dead.
    ///
    /// # Errors
    ///
    /// If it does not die, or dies of the executor or of somebody's SIGKILL, which is no fault of the kernel.
    fn died(&mut self, mut kernel_log: String, deadlines: Deadlines) -> Result<End, RunError> {
        let deadline = Instant::now() + deadlines.last_words;
        kernel_log.push_str(&self.guest.drain_console());
        while self.guest.ending().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
            kernel_log.push_str(&self.guest.drain_console());
        }
        let status = self.guest.ending();
        kernel_log.push_str(&self.guest.drain_console());
        let failed = |reason: &str, console: &str| {
            Err(RunError::Executor { reason: reason.to_owned(), console: tail(console) })
        };
        if self.guest.is_on_our_kernel() && !self.is_after_an_oops(&kernel_log) {
            let how = status.map_or("it closed the connection".to_owned(), |status| {
                format!("it ended with {status}")
            });
            return failed(&how, &kernel_log);
        }
        match status {
            _ if self.guest.is_on_our_kernel() => Ok(End::Died { kernel_log }),
            None => failed("it closed the connection, and its kernel runs on", &kernel_log),
            Some(Ending::Killed) if kernel_log_title(&kernel_log).is_none() => {
                failed("its machine was killed from outside", &kernel_log)
            }
            Some(_) if kernel_log.contains(EXECUTOR_PANICKED) => failed("it panicked", &kernel_log),
            Some(_) => Ok(End::Died { kernel_log }),
        }
    }
}

pub(crate) fn patience(stop: &AtomicBool, guest: &mut dyn Guest) -> Patience {
    if stop.load(Ordering::Relaxed) || guest.ending().is_some() {
        Patience::GiveUp
    } else {
        Patience::Wait
    }
}

/// How a machine that closed its connection ended.
fn ending(guest: &mut dyn Guest) -> String {
    // The connection goes first, the processes a moment later.
    for _ in 0..50 {
        if let Some(status) = guest.ending() {
            return format!("it ended with {status}");
        }
        thread::sleep(Duration::from_millis(10));
    }
    "the executor closed the connection".to_owned()
}

/// The lines of a console that tell most: those from the first complaint of the kernel on, else the last ones.
fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    let last = lines.len().saturating_sub(CONSOLE_TAIL_LINES);
    let complaint = lines.iter().position(|line| kernel_log_title(line).is_some());
    let first = complaint.unwrap_or(last).min(last);
    lines[first..].iter().take(CONSOLE_TAIL_LINES).copied().collect::<Vec<_>>().join("\n")
}

/// An error with its causes, in one line.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
