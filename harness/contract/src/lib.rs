//! The vocabulary that both ends of Pinfold share.
//!
//! The host (model, oracles, command line) and the guest (executor) agree on
//! nothing but what stands here: what an [`Op`] is, where the arena lies, what
//! an [`Outcome`] and a [`Checkpoint`] say, and how they travel. This crate
//! depends on no other crate of the project and does no I/O.

mod access;
mod arena;
mod arg;
mod bits;
mod completion;
mod decode;
mod edge;
mod kernel_memory;
mod memory;
mod op;
mod outcome;
mod runs;
mod sequence;
mod series;
mod settings;
mod slot;
mod text;
mod trace;
mod verbs;
mod wire;

pub use access::Access;
pub use arena::{
    ALL_PAGES, ARENA_BASE, ARENA_PAGES, BOUNCE_PAGES, BOUNCE_PINS, BadRange, ByteRange, FILE_COUNT,
    FILE_PAGES, HUGE_PAGE_BYTES, HUGE_PAGES, HUGE_POOL_PAGES, PAGE_BYTES, PageRange, Position,
    Span, page_bytes, page_name,
};
pub use arg::Arg;
pub use completion::{Completion, KeyName, WcFields, WcFlags, WcOpcode, WorkRequest};
pub use decode::{Decoded, decode};
pub use edge::{Edge, PackedEdge};
pub use kernel_memory::{KernelMemory, SlabCache};
pub use memory::{Advice, Backing, Chore, LockScope, Prot, Seals, Sharing};
pub use op::{Op, OpKind};
pub use outcome::{Errno, Outcome, Signal, WcStatus};
pub use runs::{BadRuns, Runs};
pub use sequence::{OPS_MAX, Sequence};
pub use series::{BadSeries, Series};
pub use settings::{CGROUP, CGROUP_MOUNT, SETTINGS};
pub use slot::{
    File, FileKind, LIBRARY_TAG, MR_SLOTS, MW_SLOTS, Mr, Mw, NoSuchSlot, PD_COUNT, PROC_SLOTS, Pd,
    Proc,
};
pub use text::{
    Cases, Condition, Expectation, PLATFORMS, ParseError, SeqFile, SeriesRange, VERSION_LINE,
    parse, print, print_op, printable,
};
pub use trace::{
    Checkpoint, End, HugePool, MrView, PageView, ProcView, RdmaCounts, Step, Teardown, Trace,
};
pub use verbs::{Handle, Key, MwKind, RegCall, Rereg, SGES_MAX, Sge, Sges, Target};
pub use wire::{
    CREDIT_BYTES, FRAME_BYTES_MAX, FrameReader, FromGuest, LOG_MARK, Observe,
    PROGRAM_OUTPUT_BYTES_MAX, ProgramEnd, ToGuest, WIRE_VERSION, WireError, encode_frame,
};
