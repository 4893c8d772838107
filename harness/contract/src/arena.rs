//! The arena: the fixed range of addresses in which every sequence works.

use serde::{Deserialize, Serialize};

use crate::PD_COUNT;

/// Size of a page, in bytes.
pub const PAGE_BYTES: u32 = 4096;

/// Pages of the arena.
pub const ARENA_PAGES: u8 = 64;

/// Virtual address of the arena's page 0, in every process and every reproducer.
///
/// Far from where Linux puts a static position-independent program, its heap,
/// its stack and its mmap area, on x86-64 and on User Mode Linux.
pub const ARENA_BASE: u64 = 0x10_0000_0000;

/// Files that exist at the start of each sequence: see [`File`](crate::File).
pub const FILE_COUNT: u8 = 5;

/// Size of each file at the start, in pages. Mappings may reach beyond it.
pub const FILE_PAGES: u8 = 16;

/// Pages of the bounce buffer of `p0`: RDMA reads land in it and RDMA writes come from it.
pub const BOUNCE_PAGES: u64 = ARENA_PAGES as u64;

/// Pins that `p0` holds before the first op: each protection domain has a
/// registration of the bounce buffer. They count in VmPin, and so against RLIMIT_MEMLOCK.
pub const BOUNCE_PINS: u64 = BOUNCE_PAGES * PD_COUNT as u64;

/// A byte of the arena, counted from its start. May lie beyond its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(pub u32);

impl Position {
    /// The first byte of `page`.
    pub fn page(page: u8) -> Position {
        Position(u32::from(page) * PAGE_BYTES)
    }

    /// Virtual address of this byte.
    pub fn address(self) -> u64 {
        ARENA_BASE + u64::from(self.0)
    }

    /// The page this byte is on. Not below [`ARENA_PAGES`] when the byte lies beyond the arena.
    pub fn page_index(self) -> u32 {
        self.0 / PAGE_BYTES
    }

    /// Offset inside its page, in bytes.
    pub fn page_offset(self) -> u32 {
        self.0 % PAGE_BYTES
    }
}

/// Whole pages of the arena, `first..end`. Never empty, never beyond the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u8, u8)", into = "(u8, u8)")]
pub struct PageRange {
    first: u8,
    end: u8,
}

/// Pages or bytes that make no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a range of the arena")]
pub struct BadRange;

impl TryFrom<(u8, u8)> for PageRange {
    type Error = BadRange;

    fn try_from((first, end): (u8, u8)) -> Result<PageRange, BadRange> {
        PageRange::new(first, end).ok_or(BadRange)
    }
}

impl From<PageRange> for (u8, u8) {
    fn from(range: PageRange) -> (u8, u8) {
        (range.first, range.end)
    }
}

impl PageRange {
    /// The pages `first..end`, or nothing if there are none or they leave the arena.
    pub fn new(first: u8, end: u8) -> Option<PageRange> {
        (first < end && end <= ARENA_PAGES).then_some(PageRange { first, end })
    }

    /// First page.
    pub fn first(self) -> u8 {
        self.first
    }

    /// One past the last page.
    pub fn end(self) -> u8 {
        self.end
    }

    /// How many pages.
    pub fn page_count(self) -> u8 {
        self.end - self.first
    }

    /// Each page in turn.
    pub fn pages(self) -> std::ops::Range<u8> {
        self.first..self.end
    }

    /// Virtual address of the first byte.
    pub fn address(self) -> u64 {
        Position::page(self.first).address()
    }

    /// Length in bytes.
    pub fn len_bytes(self) -> u64 {
        u64::from(self.page_count()) * u64::from(PAGE_BYTES)
    }
}

/// Any bytes `start..end` of the arena or past its end. May be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(Position, Position)", into = "(Position, Position)")]
pub struct ByteRange {
    start: Position,
    end: Position,
}

impl TryFrom<(Position, Position)> for ByteRange {
    type Error = BadRange;

    fn try_from((start, end): (Position, Position)) -> Result<ByteRange, BadRange> {
        ByteRange::new(start, end).ok_or(BadRange)
    }
}

impl From<ByteRange> for (Position, Position) {
    fn from(range: ByteRange) -> (Position, Position) {
        (range.start, range.end)
    }
}

impl ByteRange {
    /// The bytes from `start` up to `end`, or nothing if `end` lies before `start`.
    pub fn new(start: Position, end: Position) -> Option<ByteRange> {
        (start <= end).then_some(ByteRange { start, end })
    }

    /// First byte.
    pub fn start(self) -> Position {
        self.start
    }

    /// One past the last byte.
    pub fn end(self) -> Position {
        self.end
    }

    /// Length in bytes.
    pub fn len_bytes(self) -> u32 {
        self.end.0 - self.start.0
    }

    /// How many pages these bytes lie on. An empty range in mid-page lies on
    /// one, as `ib_umem_num_pages()` (include/rdma/ib_umem.h, 6.1 and 6.12) counts.
    pub fn page_span(self) -> u32 {
        let page = PAGE_BYTES;
        self.end.0.div_ceil(page) - self.start.0 / page
    }
}

/// Bytes that begin in the arena or past its end, and may reach anywhere: even
/// around the end of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: Position,
    /// How many bytes.
    pub len_bytes: u64,
}

impl Span {
    /// The same bytes as a range, if they end within two arenas of its start.
    pub fn range(self) -> Option<ByteRange> {
        let end = u64::from(self.start.0).checked_add(self.len_bytes)?;
        let end = u32::try_from(end).ok().filter(|&end| end <= NEAR_BYTES)?;
        ByteRange::new(self.start, Position(end))
    }
}

impl From<ByteRange> for Span {
    fn from(range: ByteRange) -> Span {
        Span { start: range.start(), len_bytes: u64::from(range.len_bytes()) }
    }
}

/// How far a [`Position`] may lie from the start of the arena in the text form,
/// in bytes. Far beyond lie the executor's own mappings, which no sequence may touch.
pub(crate) const NEAR_BYTES: u32 = 2 * ARENA_PAGES as u32 * PAGE_BYTES;
