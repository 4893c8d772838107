//! The line to the host.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use pinfold_contract::{CREDIT_BYTES, FromGuest, ToGuest};

use crate::failure::{Doing, Failure};
use crate::protocol::Channel;
use crate::sys;

const DEFAULT_PATH: &str = "/dev/ttyS0";
const WIRE_PARAMETER: &str = "pinfold.wire=";
const CREDIT_PARAMETER: &str = "pinfold.credit=";

/// How long a device may take to appear.
const APPEARS_WITHIN: Duration = Duration::from_secs(10);

/// The line to the host.
#[derive(Debug)]
pub(crate) struct Wire {
    channel: Channel<Line>,
}

impl Wire {
    /// Opens the devices that `command_line`, the kernel's, names.
    pub(crate) fn open(command_line: &str) -> Result<Wire, Failure> {
        let wire = open(parameter(command_line, WIRE_PARAMETER).unwrap_or(DEFAULT_PATH))?;
        let credit = parameter(command_line, CREDIT_PARAMETER).map(open).transpose()?;
        Ok(Wire { channel: Channel::new(Line { wire, credit, uncredited_bytes: 0 }) })
    }

    /// The socket that this process was started with as its standard input.
    pub(crate) fn of_standard_input() -> Result<Wire, Failure> {
        let wire = std::io::stdin().as_fd().try_clone_to_owned().doing("copy the line")?;
        let line = Line { wire: wire.into(), credit: None, uncredited_bytes: 0 };
        Ok(Wire { channel: Channel::new(line) })
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
        sys::drain(self.channel.stream().wire.as_fd());
    }
}

/// Opens the device `path`, which may yet have to appear: a port of virtio is told of by the host.
fn open(path: &str) -> Result<File, Failure> {
    let since = Instant::now();
    let open = || OpenOptions::new().read(true).write(true).open(path);
    let mut opened = open();
    while is_absent(&opened) && since.elapsed() < APPEARS_WITHIN {
        thread::sleep(Duration::from_millis(1));
        opened = open();
    }
    let file = opened.doing(&format!("open the line {path}"))?;
    sys::make_raw(file.as_fd()).doing("make a line transparent")?;
    Ok(file)
}

fn is_absent(opened: &io::Result<File>) -> bool {
    opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The value of the parameter `name` (with its equals sign) of a kernel's command line.
pub(crate) fn parameter<'a>(command_line: &'a str, name: &str) -> Option<&'a str> {
    command_line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name))
}

/// The wire, and the line on which the host is told how much of it was read. A
/// serial line of User Mode Linux that was ever full stays silent, so the host
/// sends no more than it has credit for.
#[derive(Debug)]
struct Line {
    wire: File,
    credit: Option<File>,
    uncredited_bytes: usize,
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.wire.read(buffer)?;
        self.uncredited_bytes += count;
        let Some(credit) = &mut self.credit else { return Ok(count) };
        while self.uncredited_bytes >= CREDIT_BYTES {
            credit.write_all(b"+")?;
            self.uncredited_bytes -= CREDIT_BYTES;
        }
        Ok(count)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wire.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_may_name_the_wire() {
        assert_eq!(
            parameter("root=/dev/x pinfold.wire=/dev/vport0p1 quiet", WIRE_PARAMETER),
            Some("/dev/vport0p1")
        );
        assert_eq!(parameter("root=/dev/x quiet", WIRE_PARAMETER), None);
    }
}
