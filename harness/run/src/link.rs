//! The stream to an executor, as whole messages with a deadline.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use pinfold_contract::{FrameReader, FromGuest, ToGuest, WireError, encode_frame};

/// How often a waiting [`Link`] looks up.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a guest may leave what it is sent unread.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing more can be said or heard.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The bytes are no messages.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The stream cannot be used.
    #[error("cannot talk to the executor")]
    Io(#[from] io::Error),
}

/// What came of waiting for a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A message.
    Message(FromGuest),
    /// The other end is gone.
    Closed,
    /// The deadline passed.
    TimedOut,
    /// The caller did not want to wait any longer.
    GaveUp,
}

/// Whether a waiting link waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Wait,
    GiveUp,
}

/// A byte stream that does not wait for ever.
pub(crate) trait Stream: Read + Write + Debug + Send {
    /// How long a read and a write wait; past it they fail with [`io::ErrorKind::WouldBlock`].
    fn set_timeouts(&mut self, read: Duration, write: Duration) -> io::Result<()>;
}

impl Stream for pinfold_machine::Wire {
    fn set_timeouts(&mut self, read: Duration, write: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(read))?;
        self.set_write_timeout(Some(write))
    }
}

#[cfg(test)]
impl Stream for std::os::unix::net::UnixStream {
    fn set_timeouts(&mut self, read: Duration, write: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(read))?;
        self.set_write_timeout(Some(write))
    }
}

/// One end of the wire.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Box<dyn Stream>,
    reader: FrameReader,
}

impl Link {
    pub(crate) fn new(mut stream: Box<dyn Stream>) -> io::Result<Link> {
        stream.set_timeouts(LOOK_EVERY, LOOK_EVERY)?;
        Ok(Link { stream, reader: FrameReader::default() })
    }

    /// Sends `message`, and asks `look` now and then whether to go on when the peer does not read.
    ///
    /// A peer that is gone, or that is given up, is no error here: the next [`Link::receive`] tells.
    pub(crate) fn send(
        &mut self,
        message: &ToGuest,
        mut look: impl FnMut() -> Patience,
    ) -> Result<(), LinkError> {
        let frame = encode_frame(message);
        let deadline = Instant::now() + SEND_TIMEOUT;
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) if is_a_pause(&error) && Instant::now() < deadline => {
                    if look() == Patience::GiveUp {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for the next message until `deadline`, and asks `look` now and then whether to go on.
    pub(crate) fn receive(
        &mut self,
        deadline: Instant,
        mut look: impl FnMut() -> Patience,
    ) -> Result<Received, LinkError> {
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some(message) = self.reader.pop()? {
                return Ok(Received::Message(message));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(Received::Closed),
                Ok(count) => self.reader.push(&buffer[..count]),
                Err(error) if is_gone(&error) => return Ok(Received::Closed),
                Err(error) if is_a_pause(&error) => {
                    if look() == Patience::GiveUp {
                        return Ok(Received::GaveUp);
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= deadline {
                // What arrived with the last bytes still counts.
                return Ok(self.reader.pop()?.map_or(Received::TimedOut, Received::Message));
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
    )
}

fn is_a_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn pair() -> (Link, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Link::new(Box::new(ours)).unwrap(), theirs)
    }

    fn receive(link: &mut Link) -> Result<Received, LinkError> {
        link.receive(Instant::now() + Duration::from_millis(120), || Patience::Wait)
    }

    fn hello() -> FromGuest {
        FromGuest::Failed { id: Some(7), reason: "a long enough text".to_owned() }
    }

    #[test]
    fn a_message_in_pieces_is_one_message() {
        let (mut link, mut theirs) = pair();
        let frame = encode_frame(&hello());
        let writer = std::thread::spawn(move || {
            for byte in frame {
                theirs.write_all(&[byte]).unwrap();
            }
            theirs
        });
        assert_eq!(receive(&mut link).unwrap(), Received::Message(hello()));
        drop(writer.join().unwrap());
        assert_eq!(receive(&mut link).unwrap(), Received::Closed);
    }

    #[test]
    fn silence_times_out_and_impatience_gives_up() {
        let (mut link, _theirs) = pair();
        assert_eq!(receive(&mut link).unwrap(), Received::TimedOut);
        let far = Instant::now() + Duration::from_secs(60);
        assert_eq!(link.receive(far, || Patience::GiveUp).unwrap(), Received::GaveUp);
    }

    #[test]
    fn a_peer_that_does_not_read_is_given_up() {
        let (mut link, _theirs) = pair();
        let ops = vec![pinfold_contract::Op::Exit { proc: pinfold_contract::Proc::P0 }; 1 << 20];
        let sequence = pinfold_contract::Sequence { ops };
        let observe = pinfold_contract::Observe::End;
        let message = ToGuest::Run { id: 1, sequence, observe, op_deadline_ms: 1 };
        let since = Instant::now();
        link.send(&message, || Patience::GiveUp).unwrap();
        assert!(since.elapsed() < SEND_TIMEOUT);
    }

    #[test]
    fn messages_sent_before_the_end_are_still_heard() {
        let (mut link, mut theirs) = pair();
        theirs.write_all(&encode_frame(&hello())).unwrap();
        drop(theirs);
        assert_eq!(receive(&mut link).unwrap(), Received::Message(hello()));
        assert_eq!(receive(&mut link).unwrap(), Received::Closed);
        link.send(&ToGuest::Shutdown, || Patience::Wait).unwrap();
    }

    #[test]
    fn garbage_and_another_version_are_errors() {
        let (mut link, mut theirs) = pair();
        theirs.write_all(b"Kernel panic - not syncing").unwrap();
        let error = receive(&mut link).unwrap_err();
        assert!(matches!(error, LinkError::Wire(WireError::Magic { .. })), "{error}");

        let (mut link, mut theirs) = pair();
        let mut frame = encode_frame(&hello());
        frame[2] = frame[2].wrapping_add(1);
        theirs.write_all(&frame).unwrap();
        let error = receive(&mut link).unwrap_err();
        assert!(matches!(error, LinkError::Wire(WireError::Version { .. })), "{error}");
    }
}
