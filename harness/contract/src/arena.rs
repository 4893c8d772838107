//! The arena: the fixed range of addresses in which every sequence works.

use serde::{Deserialize, Serialize};

use crate::PD_COUNT;

/// Size of a page, in bytes.
pub const PAGE_BYTES: u32 = 4096;

/// Small pages of the arena: pages 0 to 63.
pub const ARENA_PAGES: u8 = 64;

/// Huge pages of the arena: pages 64 to 67, `h0` to `h3` in the text form. They lie behind the small ones.
pub const HUGE_PAGES: u8 = 4;

/// Every page of the arena, small or huge.
pub const ALL_PAGES: u8 = ARENA_PAGES + HUGE_PAGES;

/// Size of a huge page, in bytes: what a page middle directory of x86-64 maps.
pub const HUGE_PAGE_BYTES: u32 = 2 << 20;

/// Huge pages of the machine, in its pool, where its kernel knows them. Nobody but the sequence takes any. More
/// than the arena shows, and so few that a mapping in each of two processes uses them up.
pub const HUGE_POOL_PAGES: u8 = 6;

/// First byte of the huge pages, counted from the start of the arena.
const HUGE_AT: u32 = 0x4000_0000;
const _: () = assert!(ARENA_BASE.is_multiple_of(HUGE_PAGE_BYTES as u64));
const _: () = assert!(HUGE_AT.is_multiple_of(HUGE_PAGE_BYTES));

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
/// registration of the bounce buffer. The kernel counts them in VmPin and against RLIMIT_MEMLOCK; no sequence is told of
/// either: the executor takes them off what it reports, and adds them to the limit under which a registration is made.
pub const BOUNCE_PINS: u64 = BOUNCE_PAGES * PD_COUNT as u64;

/// A byte of the arena, counted from its start. May lie beyond its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(pub u32);

impl Position {
    /// The first byte of `page`, or that behind the last page.
    pub fn page(page: u8) -> Position {
        match page.checked_sub(ARENA_PAGES) {
            Some(slot) if slot < HUGE_PAGES => {
                Position(HUGE_AT + u32::from(slot) * HUGE_PAGE_BYTES)
            }
            Some(_) | None => Position(u32::from(page) * PAGE_BYTES),
        }
    }

    /// The first byte of the huge page `slot`, or of one so far behind the first.
    pub(crate) fn huge(slot: u8) -> Position {
        Position(HUGE_AT + u32::from(slot) * HUGE_PAGE_BYTES)
    }

    /// Whether it lies among the huge pages, or behind them.
    pub fn is_huge(self) -> bool {
        self.0 >= HUGE_AT
    }

    /// Whether the text form has it: it is in the arena, or near behind the small pages or the huge ones.
    pub fn is_near(self) -> bool {
        self.0 <= NEAR_BYTES || (HUGE_AT..=HUGE_AT + HUGE_NEAR_BYTES).contains(&self.0)
    }

    /// The page of the arena this byte is on.
    pub fn arena_page(self) -> Option<u8> {
        u8::try_from(self.page_index()).ok().filter(|page| *page < ALL_PAGES)
    }

    /// Virtual address of this byte.
    pub fn address(self) -> u64 {
        ARENA_BASE + u64::from(self.0)
    }

    /// The page this byte is on. Not below [`ALL_PAGES`] when the byte lies beyond the arena.
    pub fn page_index(self) -> u32 {
        let small = self.0 / PAGE_BYTES;
        match self.0.checked_sub(HUGE_AT) {
            Some(byte) if byte < u32::from(HUGE_PAGES) * HUGE_PAGE_BYTES => {
                u32::from(ARENA_PAGES) + byte / HUGE_PAGE_BYTES
            }
            Some(_) => small,
            None if small < u32::from(ARENA_PAGES) => small,
            None => small + u32::from(HUGE_PAGES),
        }
    }

    /// Size of the page this byte is on, in bytes.
    pub fn page_bytes(self) -> u32 {
        if self.is_huge() { HUGE_PAGE_BYTES } else { PAGE_BYTES }
    }

    /// Offset inside its page, in bytes.
    pub fn page_offset(self) -> u32 {
        self.0 % self.page_bytes()
    }

    /// The first byte behind its page.
    pub fn page_end(self) -> Position {
        Position(self.0 - self.page_offset() + self.page_bytes())
    }

    /// As people say it: `h1+0x10` for a byte of the second huge page.
    pub(crate) fn place(self) -> (&'static str, u32, u32) {
        match self.0.checked_sub(HUGE_AT) {
            Some(byte) => ("h", byte / HUGE_PAGE_BYTES, byte % HUGE_PAGE_BYTES),
            None => ("", self.0 / PAGE_BYTES, self.0 % PAGE_BYTES),
        }
    }
}

/// Whole pages of the arena, `first..end`, of one size. Never empty, never beyond the arena.
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
    /// The pages `first..end`, or nothing if there are none, they leave the arena or are of two sizes.
    pub fn new(first: u8, end: u8) -> Option<PageRange> {
        let of_one_size = end <= ARENA_PAGES || (first >= ARENA_PAGES && end <= ALL_PAGES);
        (first < end && of_one_size).then_some(PageRange { first, end })
    }

    /// Whether its pages are huge.
    pub fn is_huge(self) -> bool {
        self.first >= ARENA_PAGES
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
        u64::from(self.page_count()) * u64::from(page_bytes(self.first))
    }

    /// Length in small pages, in which the kernel counts.
    pub fn small_page_count(self) -> u32 {
        u32::from(self.page_count()) * (page_bytes(self.first) / PAGE_BYTES)
    }
}

/// What people call the page of this index, as [`Position::page_index`] gives it: `3`, `h0`.
pub fn page_name(index: impl Into<u32>) -> String {
    let index = index.into();
    match index.checked_sub(u32::from(ARENA_PAGES)) {
        None => index.to_string(),
        Some(slot) if slot < u32::from(HUGE_PAGES) => format!("h{slot}"),
        Some(_) => (index - u32::from(HUGE_PAGES)).to_string(),
    }
}

/// Size of `page`, in bytes.
pub fn page_bytes(page: u8) -> u32 {
    if page < ARENA_PAGES { PAGE_BYTES } else { HUGE_PAGE_BYTES }
}

/// Any bytes `start..end` of small pages or of huge ones, or past their end. May be empty.
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
    /// The bytes from `start` up to `end`, or nothing if `end` lies before `start` or among pages of another size.
    pub fn new(start: Position, end: Position) -> Option<ByteRange> {
        (start <= end && start.is_huge() == end.is_huge()).then_some(ByteRange { start, end })
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

    /// How many small pages these bytes lie on, as the kernel counts. An empty range in mid-page lies on
    /// one, as `ib_umem_num_pages()` (include/rdma/ib_umem.h, 6.1 and 6.12) counts.
    pub fn page_span(self) -> u32 {
        let page = PAGE_BYTES;
        self.end.0.div_ceil(page) - self.start.0 / page
    }

    /// The pages these bytes lie on, each with how many small pages' worth of it. Those beyond the arena
    /// have indices as [`Position::page_index`] gives them.
    pub fn pages(self) -> impl Iterator<Item = (u32, u32)> {
        let (mut at, mut left) =
            (Position(self.start.0 / PAGE_BYTES * PAGE_BYTES), self.page_span());
        std::iter::from_fn(move || {
            (left > 0).then(|| {
                let count = left.min((at.page_end().0 - at.0) / PAGE_BYTES);
                let page = at.page_index();
                (at, left) = (at.page_end(), left - count);
                (page, count)
            })
        })
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
    /// The same bytes as a range, if they end near the arena.
    pub fn range(self) -> Option<ByteRange> {
        let end = u64::from(self.start.0).checked_add(self.len_bytes)?;
        let end = u32::try_from(end).ok().map(Position).filter(|end| end.is_near())?;
        ByteRange::new(self.start, end)
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

/// The same from the first huge page.
const HUGE_NEAR_BYTES: u32 = 2 * HUGE_PAGES as u32 * HUGE_PAGE_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_found_by_each_of_its_ends() {
        for page in 0..ALL_PAGES {
            let first = Position::page(page);
            assert_eq!(first.arena_page(), Some(page));
            assert_eq!(first.page_offset(), 0);
            let last = Position(first.page_end().0 - 1);
            assert_eq!(last.arena_page(), Some(page));
            assert_eq!(last.page_offset() + 1, page_bytes(page));
            assert_eq!(first.page_bytes(), page_bytes(page));
        }
        assert_eq!(Position(u32::from(ARENA_PAGES) * PAGE_BYTES).arena_page(), None);
        assert_eq!(Position::huge(HUGE_PAGES).arena_page(), None);
    }

    #[test]
    fn no_range_is_of_two_sizes() {
        assert!(PageRange::new(63, 65).is_none());
        assert!(PageRange::new(64, 69).is_none());
        let huge = PageRange::new(64, 66).expect("two huge pages");
        assert!(huge.is_huge());
        assert_eq!(huge.len_bytes(), 4 << 20);
        assert_eq!(huge.small_page_count(), 1024);
        assert!(ByteRange::new(Position(0), Position::page(64)).is_none());
    }

    #[test]
    fn bytes_lie_on_parts_of_pages() {
        let pages = |start, end| {
            let range = ByteRange::new(Position(start), Position(end)).expect("a range");
            range.pages().collect::<Vec<_>>()
        };
        let border = Position::page(65).0;
        assert_eq!(pages(border - 1, border + PAGE_BYTES + 1), [(64, 1), (65, 2)]);
        assert_eq!(pages(8, 8), [(0, 1)]);
        assert_eq!(pages(0, 0), []);
        assert_eq!(pages(63 * PAGE_BYTES, 65 * PAGE_BYTES), [(63, 1), (68, 1)]);
    }
}
