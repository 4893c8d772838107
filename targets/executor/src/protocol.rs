//! What the processes of the executor say to each other, in the frames of the contract.

use std::io::{Read, Write};

use pinfold_contract::{Errno, FrameReader, Op, Outcome, Proc, ProcView, encode_frame};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::failure::{Doing, Failure};
use crate::sys::Pid;

/// Most bytes that are received at once.
const CHUNK_BYTES: usize = 4 << 10;

/// From `p0` to one of its descendants.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Do this op on memory.
    Act(Op),
    /// Fork this process.
    Fork(Proc),
    /// Look at yourself.
    Observe,
    /// End.
    Exit,
}

/// The answer to a [`Command`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// To `Act`.
    Outcome(Outcome),
    /// To `Fork`.
    Forked(Result<Pid, Errno>),
    /// To `Observe`.
    View(ProcView),
    /// To `Exit`.
    Exiting,
    /// The process cannot go on.
    Failed(String),
}

/// One end of a stream of messages.
#[derive(Debug)]
pub(crate) struct Channel<S> {
    stream: S,
    frames: FrameReader,
}

impl<S> Channel<S> {
    /// Messages over `stream`.
    pub(crate) fn new(stream: S) -> Channel<S> {
        Channel { stream, frames: FrameReader::default() }
    }

    /// The stream itself.
    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    /// Sends `message`, all of it.
    pub(crate) fn send<T: Serialize>(&mut self, message: &T) -> Result<(), Failure>
    where
        S: Write,
    {
        self.stream.write_all(&encode_frame(message)).doing("send a message")
    }

    /// The next message that has arrived whole, without waiting.
    pub(crate) fn pop<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        Ok(self.frames.pop()?)
    }

    /// Waits for more bytes. Says whether there were any before the end of the stream.
    pub(crate) fn fill(&mut self) -> Result<bool, Failure>
    where
        S: Read,
    {
        // On the stack, which is there anyway: every page that a process writes to costs it a fault.
        let mut buffer = [0; CHUNK_BYTES];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(count) => {
                    self.frames.push(&buffer[..count]);
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).doing("receive a message"),
            }
        }
    }

    /// Waits for the next message. Nothing at the end of the stream.
    pub(crate) fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure>
    where
        S: Read,
    {
        loop {
            if let Some(message) = self.pop()? {
                return Ok(Some(message));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }
}
