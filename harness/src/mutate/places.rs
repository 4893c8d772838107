//! Other places in the arena and in files, at the edges of what the sequence works on.

use pinfold_contract::{
    ALL_PAGES, ARENA_PAGES, Backing, ByteRange, File, HUGE_PAGE_BYTES, HUGE_PAGES, PAGE_BYTES,
    PageRange, Position, Span,
};

use super::values::Values;
use crate::draw::Draw;

/// One edge moved or both, or all of it elsewhere.
pub(super) fn pages(pages: &mut PageRange, values: &Values, draw: &mut Draw) {
    if pages.is_huge() {
        let edges = [(); 2].map(|()| ARENA_PAGES + draw.page(HUGE_PAGES + 1));
        let range = PageRange::new(edges[0].min(edges[1]), edges[0].max(edges[1]).min(ALL_PAGES));
        *pages = range.unwrap_or(*pages);
        return;
    }
    let edge = values.page(ARENA_PAGES, draw);
    let (first, end) = match draw.below(4) {
        0 => (edge, pages.end()),
        1 => (pages.first(), edge),
        2 => (edge, edge.saturating_add(pages.page_count())),
        _ => (edge, values.page(ARENA_PAGES, draw)),
    };
    // Two edges may come in the wrong order, or be one.
    let range = PageRange::new(first.min(end), first.max(end).min(ARENA_PAGES));
    *pages = range.unwrap_or(*pages);
}

/// From there on, up to there, or just these.
pub(super) fn bytes((at, len_bytes): (&mut Position, &mut u32), there: ByteRange, draw: &mut Draw) {
    let len = there.len_bytes().min(super::values::LEN_MAX);
    let start = if at.is_huge() { huge_byte(draw) } else { there.start() };
    match draw.below(3) {
        0 => *at = start,
        1 => *len_bytes = len,
        _ => (*at, *len_bytes) = (start, len),
    }
}

/// One edge moved, or all of it elsewhere.
pub(super) fn span(span: &mut Span, values: &Values, draw: &mut Draw) {
    let mut new = values.span(draw);
    if span.start.is_huge() {
        let len_bytes = draw.one_of(&[8, PAGE_BYTES, 2 * PAGE_BYTES, HUGE_PAGE_BYTES]);
        new = Span { start: huge_byte(draw), len_bytes: len_bytes.into() };
    }
    match draw.below(3) {
        0 => span.start = new.start,
        1 => span.len_bytes = new.len_bytes,
        _ => *span = new,
    }
}

/// A byte at an edge of a huge page, or near one.
fn huge_byte(draw: &mut Draw) -> Position {
    let page = Position::page(ARENA_PAGES + draw.page(HUGE_PAGES));
    let last = HUGE_PAGE_BYTES - PAGE_BYTES;
    Position(page.0 + draw.one_of(&[0, 0, 8, PAGE_BYTES, last, HUGE_PAGE_BYTES - 8]))
}

/// Another kind of memory, or another page of it. Huge pages show nothing else.
pub(super) fn backing(backing: &mut Backing, values: &Values, draw: &mut Draw) {
    if *backing == Backing::Huge {
        return;
    }
    let page = values.file_byte(draw) / PAGE_BYTES;
    let page = u8::try_from(page).unwrap_or(0);
    *backing = match draw.below(6) {
        0 => Backing::Anon,
        1 => Backing::DevZero { page },
        2 => match *backing {
            Backing::Anon | Backing::Huge => Backing::Anon,
            Backing::File { file, .. } => Backing::File { file, page },
            Backing::DevZero { .. } => Backing::DevZero { page },
        },
        _ => Backing::File { file: draw.one_of(&File::all().collect::<Vec<_>>()), page },
    };
}
