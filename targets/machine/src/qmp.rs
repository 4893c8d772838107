//! What QEMU says of its guest over its monitor (QMP).
//!
//! Source: docs/interop/qmp-spec.txt and qapi/run-state.json of QEMU 7.2. A line is a JSON object. Before the first
//! command, which has to be `qmp_capabilities`, QEMU tells of no event.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

/// Why QEMU ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShutdownReason {
    /// The guest reset its machine, and `-no-reboot` made an end of it.
    GuestReset,
    /// Anything else.
    Other,
}

/// Our end of a monitor's socket.
#[derive(Debug)]
pub(crate) struct Monitor {
    stream: UnixStream,
}

impl Monitor {
    /// A monitor over `stream`, whose QEMU need not run yet: asks it to tell of events.
    ///
    /// # Errors
    ///
    /// If the socket cannot be used.
    pub(crate) fn new(mut stream: UnixStream) -> io::Result<Monitor> {
        stream.set_nonblocking(true)?;
        stream.write_all(b"{\"execute\":\"qmp_capabilities\"}\n")?;
        Ok(Monitor { stream })
    }

    /// Why QEMU, which has ended, did so. `None` if it said nothing of it, as when it was killed.
    pub(crate) fn shutdown_reason(&mut self) -> Option<ShutdownReason> {
        let mut said = Vec::new();
        // Ends with an error where the other end is still open; what was read before it stays in `said`.
        let _ = self.stream.read_to_end(&mut said);
        String::from_utf8_lossy(&said).lines().filter_map(reason).next_back()
    }
}

/// The reason, if `line` is the event that has one.
fn reason(line: &str) -> Option<ShutdownReason> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message.get("event")? != "SHUTDOWN" {
        return None;
    }
    let is_reset = message.pointer("/data/reason")? == "guest-reset";
    Some(if is_reset { ShutdownReason::GuestReset } else { ShutdownReason::Other })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str, wanted: Option<ShutdownReason>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut monitor = Monitor::new(ours).unwrap();
        theirs.write_all(said.as_bytes()).unwrap();
        assert_eq!(monitor.shutdown_reason(), wanted, "{said}");
    }

    #[test]
    fn a_reset_is_told_from_a_power_off() {
        let event = |reason: &str| {
            format!(
                "{{\"return\": {{}}}}\r\n{{\"timestamp\": {{}}, \"event\": \"SHUTDOWN\", \
                 \"data\": {{\"guest\": true, \"reason\": \"{reason}\"}}}}\r\n"
            )
        };
        check(&event("guest-reset"), Some(ShutdownReason::GuestReset));
        check(&event("guest-shutdown"), Some(ShutdownReason::Other));
    }

    #[test]
    fn a_qemu_that_said_nothing_of_its_end_gives_no_reason() {
        check("", None);
        check("{\"QMP\": {}}\n{\"event\": \"VSERPORT_CHANGE\", \"data\": {}}\nnonsense\n", None);
    }
}
