//! The wire: the byte stream between host and guest, with credit where the guest's end is a serial line.
//!
//! A virtio port, as QEMU has it, waits for a slow reader and needs no credit. In User Mode Linux the guest's end is a
//! serial line. When its reader is slow the line is throttled, and in User Mode Linux a line that
//! was throttled once never hears of input again: `line_throttle()` takes the descriptor out of the interrupt loop and
//! `line_unthrottle()`, arch/um/drivers/line.c, 6.1 and 6.12, does not put it back. The line discipline throttles
//! at 3968 unread bytes (`n_tty_check_throttle()`, drivers/tty/n_tty.c). So the host never has that many on their way:
//! the guest gives one byte on a second line, the credit line, for each [`CREDIT_BYTES`] bytes it has read, counted
//! from boot, and the host waits for credit when [`WINDOW_BYTES`] are unanswered. From guest to host nothing is needed.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

pub use pinfold_contract::CREDIT_BYTES;

/// How many bytes the host sends at most that the guest has given no credit for.
pub const WINDOW_BYTES: usize = 3 * CREDIT_BYTES;

const NO_CREDIT: &str = "the guest reads nothing, or gives no credit for it: look at its console, and whether its \
                         executor knows the parameter pinfold.credit";

/// The host's end of a machine's wire.
///
/// Clones are the same stream. Reading and writing may be done by two threads.
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    credit: Option<Arc<Mutex<Credit>>>,
    write_timeout: Option<Duration>,
}

#[derive(Debug)]
struct Credit {
    /// Does not block.
    line: UnixStream,
    unanswered_bytes: usize,
}

impl Wire {
    /// A wire to a guest whose end waits when its reader is slow.
    pub(crate) fn new(stream: UnixStream) -> Wire {
        Wire { stream, credit: None, write_timeout: None }
    }

    /// A wire of the host's ends of both lines.
    ///
    /// # Errors
    ///
    /// If the credit line cannot be set not to block.
    pub(crate) fn with_credit(stream: UnixStream, credit_line: UnixStream) -> io::Result<Wire> {
        credit_line.set_nonblocking(true)?;
        let credit = Credit { line: credit_line, unanswered_bytes: 0 };
        Ok(Wire { credit: Some(Arc::new(Mutex::new(credit))), ..Wire::new(stream) })
    }

    /// Another handle on the same stream.
    ///
    /// # Errors
    ///
    /// If the descriptor cannot be duplicated.
    pub fn try_clone(&self) -> io::Result<Wire> {
        let (stream, credit) = (self.stream.try_clone()?, self.credit.clone());
        Ok(Wire { stream, credit, write_timeout: self.write_timeout })
    }

    /// How long a read waits for the first byte; past it, it fails with [`ErrorKind::WouldBlock`]. For all clones.
    ///
    /// # Errors
    ///
    /// If `limit` is zero.
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(limit)
    }

    /// How long a write waits for room or for credit; past it, it fails with [`ErrorKind::WouldBlock`]. Waiting for
    /// room counts for all clones, waiting for credit for this handle.
    ///
    /// # Errors
    ///
    /// If `limit` is zero.
    pub fn set_write_timeout(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(limit)?;
        self.write_timeout = limit;
        Ok(())
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Wire {
    /// Writes what the guest has room for, at least one byte; waits if there is no room.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(credit) = &self.credit else { return (&self.stream).write(bytes) };
        // A count of bytes is right whoever panicked.
        let mut credit = credit.lock().unwrap_or_else(PoisonError::into_inner);
        let room = credit.wait_for_room(self.write_timeout)?;
        let written = (&self.stream).write(&bytes[..bytes.len().min(room)])?;
        credit.unanswered_bytes += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Credit {
    /// How many bytes may be sent now; waits, up to `limit`, until it is at least one.
    fn wait_for_room(&mut self, limit: Option<Duration>) -> io::Result<usize> {
        let since = Instant::now();
        self.collect()?;
        while self.unanswered_bytes >= WINDOW_BYTES {
            let left = limit.map(|limit| limit.saturating_sub(since.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(io::Error::new(ErrorKind::WouldBlock, NO_CREDIT));
            }
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.line, PollFlags::IN)], timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => self.collect()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(WINDOW_BYTES - self.unanswered_bytes)
    }

    /// Takes the credit that has come.
    fn collect(&mut self) -> io::Result<()> {
        let mut answers = [0; 64];
        loop {
            match (&self.line).read(&mut answers) {
                Ok(0) => return Err(ErrorKind::BrokenPipe.into()),
                Ok(count) => {
                    self.unanswered_bytes =
                        self.unanswered_bytes.saturating_sub(count * CREDIT_BYTES);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A wire and the guest's ends of it.
    fn wire() -> (Wire, UnixStream, UnixStream) {
        let (stream, guest) = UnixStream::pair().unwrap();
        let (credit_line, guest_credit) = UnixStream::pair().unwrap();
        (Wire::with_credit(stream, credit_line).unwrap(), guest, guest_credit)
    }

    #[test]
    fn a_wire_without_credit_takes_what_the_stream_takes() {
        let (stream, _guest) = UnixStream::pair().unwrap();
        let mut wire = Wire::new(stream);
        wire.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        assert!(wire.write(&[0; 100_000]).unwrap() > WINDOW_BYTES);
        while wire.write(&[0; 100_000]).is_ok() {}
        assert_eq!(wire.write(&[0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn no_more_than_the_window_is_sent_without_credit() {
        let (mut wire, _guest, mut credit) = wire();
        wire.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(wire.write(&[0; 100_000]).unwrap(), WINDOW_BYTES);
        let error = wire.write(&[0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(error.to_string().contains(crate::machine::CREDIT_PARAMETER), "{error}");
        credit.write_all(b"+").unwrap();
        let mut clone = wire.try_clone().unwrap();
        assert_eq!(clone.write(&[0; 100_000]).unwrap(), CREDIT_BYTES);
        assert_eq!(wire.write(&[0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_long_message_goes_through_as_credit_comes() {
        let (mut wire, mut guest, mut credit) = wire();
        let reader = thread::spawn(move || {
            let mut block = [0; CREDIT_BYTES];
            for _ in 0..60 {
                guest.read_exact(&mut block).unwrap();
                credit.write_all(b"+").unwrap();
            }
            block
        });
        wire.write_all(&[7; 60 * CREDIT_BYTES]).unwrap();
        assert_eq!(reader.join().unwrap(), [7; CREDIT_BYTES]);
    }

    #[test]
    fn a_dead_guest_breaks_a_write_that_waits_for_credit() {
        let (mut wire, guest, credit) = wire();
        wire.write_all(&[0; WINDOW_BYTES]).unwrap();
        drop((guest, credit));
        assert_eq!(wire.write(&[0]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
