//! The other processes of a sequence, seen from `p0`.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use pinfold_contract::{PROC_SLOTS, Proc};

use crate::failure::{Doing, Failure};
use crate::protocol::{Channel, Command, Reply};
use crate::sys::{self, Pid};

/// A process that lives.
#[derive(Debug)]
struct Descendant {
    pid: Pid,
    pidfd: OwnedFd,
}

/// The processes `p1` to `p3`.
#[derive(Debug)]
pub(super) struct Descendants {
    channels: [Option<Channel<UnixStream>>; PROC_SLOTS as usize],
    alive: [Option<Descendant>; PROC_SLOTS as usize],
}

impl Descendants {
    /// None yet. They will be driven over `driving`.
    pub(super) fn new(driving: [Option<UnixStream>; PROC_SLOTS as usize]) -> Descendants {
        Descendants {
            channels: driving.map(|stream| stream.map(Channel::new)),
            alive: [const { None }; PROC_SLOTS as usize],
        }
    }

    /// Whether `proc` lives. `p0` always does.
    pub(super) fn is_alive(&self, proc: Proc) -> bool {
        proc == Proc::P0 || self.alive[proc.index()].is_some()
    }

    /// Takes note of `proc`, forked just now.
    pub(super) fn adopt(&mut self, proc: Proc, pid: Pid) -> Result<(), Failure> {
        let pidfd = sys::pidfd(pid).doing("open a pidfd")?;
        self.alive[proc.index()] = Some(Descendant { pid, pidfd });
        Ok(())
    }

    /// Has `proc` obey `command` and waits for its answer.
    pub(super) fn ask(&mut self, proc: Proc, command: &Command) -> Result<Reply, Failure> {
        let channel = self.channels[proc.index()].as_mut();
        let (Some(channel), Some(descendant)) = (channel, &self.alive[proc.index()]) else {
            return Err(Failure::State(format!("{proc} does not live")));
        };
        channel.send(command)?;
        loop {
            if let Some(reply) = channel.pop()? {
                return match reply {
                    Reply::Failed(reason) => Err(Failure::State(format!("{proc}: {reason}"))),
                    reply @ (Reply::Outcome(_)
                    | Reply::Forked(_)
                    | Reply::View(_)
                    | Reply::Exiting) => Ok(reply),
                };
            }
            let [has_bytes, has_ended] =
                sys::wait_readable([channel.stream().as_fd(), descendant.pidfd.as_fd()], -1)
                    .doing("wait for a descendant")?;
            if has_bytes {
                channel.fill()?;
            } else if has_ended {
                return Err(Failure::State(format!("{proc} died of itself")));
            }
        }
    }

    /// Has `proc` exit, and waits until its memory is released.
    pub(super) fn end(&mut self, proc: Proc) -> Result<(), Failure> {
        self.ask(proc, &Command::Exit)?;
        self.bury(proc)
    }

    /// Kills all that live, and waits until their memory is released.
    pub(super) fn kill_all(&mut self) -> Result<(), Failure> {
        for descendant in self.alive.iter().flatten() {
            sys::kill(descendant.pid);
        }
        Proc::all().try_for_each(|proc| self.bury(proc))
    }

    /// Waits for the end of `proc`, if it lives. A pidfd says so when the process
    /// has let go of memory and files (`exit_notify()`, kernel/exit.c, 6.1 and 6.12).
    fn bury(&mut self, proc: Proc) -> Result<(), Failure> {
        let Some(descendant) = self.alive[proc.index()].take() else { return Ok(()) };
        sys::wait_readable([descendant.pidfd.as_fd()], -1).doing("wait for a process's end")?;
        // Those forked by others are reaped by them, or here when they are orphans.
        sys::reap_ended();
        Ok(())
    }
}
