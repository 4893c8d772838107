//! The vocabulary that both ends of Pinfold share.
//!
//! The host (model, oracles, command line) and the guest (executor) agree on
//! nothing but what stands here: what an [`Op`] is, where the arena lies, what
//! an [`Outcome`] and a [`Checkpoint`] say, and how they travel. This crate
//! depends on no other crate of the project and does no I/O.

mod access;
mod arena;
mod decode;
mod op;
mod outcome;
mod runs;
mod sequence;
mod text;
mod trace;
mod wire;

pub use access::Access;
pub use arena::{
    ARENA_BASE, ARENA_PAGES, BOUNCE_PAGES, BadRange, ByteRange, FILE_COUNT, FILE_PAGES, PAGE_BYTES,
    PageRange, Position,
};
pub use decode::{Decoded, decode};
pub use op::{
    Backing, File, Key, MR_SLOTS, Mr, NoSuchSlot, Op, OpKind, PROC_SLOTS, Proc, Prot, Sharing,
};
pub use outcome::{Errno, Outcome, Signal, WcStatus};
pub use runs::{BadRuns, Runs};
pub use sequence::{OPS_MAX, Sequence};
pub use text::{Expectation, ParseError, SeqFile, VERSION_LINE, parse, print, print_op};
pub use trace::{Checkpoint, End, MrView, PageView, ProcView, Step, Teardown, Trace};
pub use wire::{
    CREDIT_BYTES, FRAME_BYTES_MAX, FrameReader, FromGuest, LOG_MARK, Observe,
    PROGRAM_OUTPUT_BYTES_MAX, ProgramEnd, ToGuest, WIRE_VERSION, WireError, encode_frame,
};
