//! What QEMU says of its guest over its monitor (QMP).
//!
//! Source: docs/interop/qmp-spec.txt and qapi/run-state.json of QEMU 7.2. A line is a JSON object. Before the first
//! command, which has to be `qmp_capabilities`, QEMU tells of no event.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Why QEMU ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShutdownReason {
    /// The guest reset its machine, and `-no-reboot` made an end of it.
    GuestReset,
    /// Anything else.
    Other,
}

/// How often it is looked whether QEMU has answered.
const PAUSE: Duration = Duration::from_millis(2);

/// Our end of a monitor's socket.
#[derive(Debug)]
pub(crate) struct Monitor {
    stream: UnixStream,
    /// What was read and is no whole line yet.
    rest: Vec<u8>,
    reason: Option<ShutdownReason>,
    command_count: u64,
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
        Ok(Monitor { stream, rest: Vec::new(), reason: None, command_count: 0 })
    }

    /// Has QEMU do `command`; gives what it returns.
    ///
    /// # Errors
    ///
    /// If it refuses, or has not answered by `deadline`.
    pub(crate) fn execute(
        &mut self,
        command: &str,
        arguments: &Value,
        deadline: Instant,
    ) -> io::Result<Value> {
        self.command_count += 1;
        let id = self.command_count;
        let line = json!({"execute": command, "arguments": arguments, "id": id});
        self.stream.write_all(format!("{line}\n").as_bytes())?;
        loop {
            for message in self.messages() {
                if message.get("id") == Some(&json!(id)) {
                    let refused = || io::Error::other(format!("QEMU refuses {command}: {message}"));
                    return message.get("return").cloned().ok_or_else(refused);
                }
            }
            if Instant::now() >= deadline {
                return Err(io::Error::new(ErrorKind::TimedOut, format!("no answer to {command}")));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Why QEMU, which has ended, did so. `None` if it said nothing of it, as when it was killed.
    pub(crate) fn shutdown_reason(&mut self) -> Option<ShutdownReason> {
        self.messages();
        self.reason
    }

    /// What came since the last call, as far as it is whole.
    fn messages(&mut self) -> Vec<Value> {
        // Ends with an error where the other end is still open; what was read before it stays in `rest`.
        let _ = self.stream.read_to_end(&mut self.rest);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let said: Vec<u8> = self.rest.drain(..whole).collect();
        let said = String::from_utf8_lossy(&said);
        let messages: Vec<Value> =
            said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        self.reason = messages.iter().filter_map(reason).next_back().or(self.reason);
        messages
    }
}

/// The reason, if `message` is the event that has one.
fn reason(message: &Value) -> Option<ShutdownReason> {
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
    fn an_answer_is_found_among_events_and_what_comes_with_it_is_kept() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut monitor = Monitor::new(ours).unwrap();
        theirs
            .write_all(
                b"{\"return\": {}}\r\n{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-reset\"}}\r\n\
                  {\"return\": {\"status\": \"active\"}, \"id\": 1}\r\n{\"error\": {}, \"id\": 2}\r\n{\"ret",
            )
            .unwrap();
        let soon = || Instant::now() + Duration::from_millis(50);
        let answer = monitor.execute("query-migrate", &json!({}), soon()).unwrap();
        assert_eq!(answer["status"], "active");
        assert!(monitor.execute("stop", &json!({}), soon()).is_err());
        assert_eq!(monitor.shutdown_reason(), Some(ShutdownReason::GuestReset));
    }

    #[test]
    fn a_qemu_that_said_nothing_of_its_end_gives_no_reason() {
        check("", None);
        check("{\"QMP\": {}}\n{\"event\": \"VSERPORT_CHANGE\", \"data\": {}}\nnonsense\n", None);
    }
}
