//! The line to the host.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;

use pinfold_contract::{FromGuest, ToGuest};

use crate::failure::{Doing, Failure};
use crate::protocol::Channel;
use crate::sys;

const DEFAULT_PATH: &str = "/dev/ttyS0";
const PARAMETER: &str = "pinfold.wire=";

/// The line to the host.
#[derive(Debug)]
pub(crate) struct Wire {
    channel: Channel<File>,
}

impl Wire {
    /// Opens the device that `command_line`, the kernel's, names.
    pub(crate) fn open(command_line: &str) -> Result<Wire, Failure> {
        let path = path(command_line);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .doing(&format!("open the wire {path}"))?;
        sys::make_raw(file.as_fd()).doing("make the wire transparent")?;
        Ok(Wire { channel: Channel::new(file) })
    }

    /// Sends `message`.
    pub(crate) fn send(&mut self, message: &FromGuest) -> Result<(), Failure> {
        self.channel.send(message)
    }

    /// Waits for the next message. Nothing when the host has hung up.
    pub(crate) fn receive(&mut self) -> Result<Option<ToGuest>, Failure> {
        self.channel.receive()
    }

    /// Waits until everything sent has left the machine.
    pub(crate) fn drain(&self) {
        sys::drain(self.channel.stream().as_fd());
    }
}

fn path(command_line: &str) -> &str {
    command_line
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(PARAMETER))
        .unwrap_or(DEFAULT_PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_may_name_the_wire() {
        assert_eq!(path("root=/dev/x pinfold.wire=/dev/vport0p1 quiet"), "/dev/vport0p1");
        assert_eq!(path("root=/dev/x quiet"), DEFAULT_PATH);
    }
}
