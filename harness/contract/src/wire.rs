//! How host and guest talk: framed messages on a byte stream.
//!
//! A frame is the magic `PF`, the wire version (u16), the length of the payload
//! (u32), its CRC-32 (u32), all little endian, and the payload in postcard.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Checkpoint, Completion, KernelMemory, Outcome, PackedEdge, Sequence, Teardown};

/// Version of the wire. Both ends must have the same.
pub const WIRE_VERSION: u16 = 10;

/// Longest payload of a frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// What the executor writes to the kernel's log before each op, with the op's index
/// behind it; once more, with the number of ops, when all are done.
pub const LOG_MARK: &str = "pinfold: op ";

/// Where the wire is a line without flow control, the guest writes one byte to a
/// second line for each so many bytes it has read from the first, counted from boot.
pub const CREDIT_BYTES: usize = 1024;

const MAGIC: [u8; 2] = *b"PF";
const HEADER_BYTES: usize = 12;

/// From host to guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGuest {
    /// Run this sequence.
    Run {
        /// Comes back in every answer.
        id: u64,
        /// The sequence.
        sequence: Sequence,
        /// When to look at the state.
        observe: Observe,
        /// Longest that one op, with its checkpoint, may take, in milliseconds.
        op_deadline_ms: u32,
    },
    /// End.
    Shutdown,
    /// Say [`FromGuest::Hello`] once more: this host has not heard it, because the machine was saved after it.
    Greet,
    /// Say [`FromGuest::KernelMemory`].
    CountKernelMemory,
}

/// When the state is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observe {
    /// After every op.
    #[default]
    Each,
    /// After the last op.
    End,
}

/// From guest to host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromGuest {
    /// The guest is up and its RDMA device works.
    Hello {
        /// Its wire version.
        wire_version: u16,
        /// `uname -r`.
        kernel_release: String,
        /// `uname -v`.
        kernel_version: String,
        /// Huge pages in the machine's pool: [`HUGE_POOL_PAGES`](crate::HUGE_POOL_PAGES), or none where
        /// the kernel does not know them.
        huge_pages: u8,
    },
    /// An op is done.
    Step {
        /// Of which run.
        id: u64,
        /// Which op.
        op_index: u32,
        /// What it did.
        outcome: Outcome,
        /// What its work completions contain, by the queue that they are of. Those of looks at the state are left out.
        completions: Vec<Completion>,
        /// The state after it, where it was looked at.
        checkpoint: Option<Checkpoint>,
    },
    /// Where the kernel was in a run, of one that says so. Comes before the end of the run is told.
    Edges {
        /// Of which run.
        id: u64,
        /// Which way it went, ascending.
        edges: Vec<PackedEdge>,
    },
    /// All ops are done and all processes are gone.
    Finished {
        /// Of which run.
        id: u64,
        /// What was left.
        teardown: Teardown,
    },
    /// An op did not finish in its time. The guest is not to be used any more. As many as there are
    /// ops means that the end of `p0` hangs.
    Hung {
        /// Of which run.
        id: u64,
        /// Which op.
        op_index: u32,
    },
    /// The executor itself failed. The guest is not to be used any more.
    Failed {
        /// Of which run, if of one.
        id: Option<u64>,
        /// Why, for a person.
        reason: String,
    },
    /// A program that the guest was booted for has ended. The guest goes down.
    Ran {
        /// How it ended.
        end: ProgramEnd,
        /// What it printed, at most [`PROGRAM_OUTPUT_BYTES_MAX`] bytes of it.
        output: String,
    },
    /// What the kernel holds for itself, between two sequences.
    KernelMemory(KernelMemory),
}

/// How a program ended that a guest was booted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProgramEnd {
    /// With this status.
    Exited(u8),
    /// By this signal.
    Killed(u8),
}

/// Most output of a program that comes back, in bytes.
pub const PROGRAM_OUTPUT_BYTES_MAX: usize = 1 << 20;

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The stream is not a pinfold wire, or has lost bytes.
    #[error("the stream is out of step: a frame begins with {found:02x?}")]
    Magic {
        /// What stood in place of the magic.
        found: [u8; 2],
    },
    /// The two ends are of different builds.
    #[error("the other end speaks wire version {theirs}, this one {ours}; rebuild the executor")]
    Version {
        /// Version of this end.
        ours: u16,
        /// Version of the other.
        theirs: u16,
    },
    /// A frame that no right peer would send.
    #[error("a frame of {len_bytes} bytes is longer than {FRAME_BYTES_MAX}")]
    TooLong {
        /// Its claimed length.
        len_bytes: u32,
    },
    /// Bytes were changed on the way.
    #[error("a frame's checksum does not match")]
    Checksum,
    /// A payload that is no message.
    #[error("a frame holds no message: {reason}")]
    Payload {
        /// What the decoder says.
        reason: String,
    },
}

/// The frame that carries `message`.
///
/// # Panics
///
/// If the message is longer than [`FRAME_BYTES_MAX`].
pub fn encode_frame<T: Serialize>(message: &T) -> Vec<u8> {
    let payload =
        postcard::to_stdvec(message).expect("messages hold no type that postcard refuses");
    assert!(payload.len() <= FRAME_BYTES_MAX, "a message of {} bytes", payload.len());
    let len = u32::try_from(payload.len()).expect("bounded just above");
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&WIRE_VERSION.to_le_bytes());
    frame.extend_from_slice(&len.to_le_bytes());
    frame.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    frame.extend_from_slice(&payload);
    frame
}

/// Cuts a byte stream into messages.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
}

impl FrameReader {
    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, or nothing yet.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read on. Every later call says the same.
    pub fn pop<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        let Some((header, rest)) = self.buffer.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [m0, m1, v0, v1, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
        if [m0, m1] != MAGIC {
            return Err(WireError::Magic { found: [m0, m1] });
        }
        let theirs = u16::from_le_bytes([v0, v1]);
        if theirs != WIRE_VERSION {
            return Err(WireError::Version { ours: WIRE_VERSION, theirs });
        }
        let len_bytes = u32::from_le_bytes([l0, l1, l2, l3]);
        let len = len_bytes as usize;
        if len > FRAME_BYTES_MAX {
            return Err(WireError::TooLong { len_bytes });
        }
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        if crc32fast::hash(payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(WireError::Checksum);
        }
        let message = postcard::from_bytes(payload)
            .map_err(|e| WireError::Payload { reason: e.to_string() })?;
        self.buffer.drain(..HEADER_BYTES + len);
        Ok(Some(message))
    }
}
