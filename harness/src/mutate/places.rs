//! Other places in the arena and in files, at the edges of what the sequence works on.

use pinfold_contract::{ARENA_PAGES, Backing, ByteRange, File, PageRange, Position, Span};

use super::values::Values;
use crate::draw::Draw;

/// One edge moved or both, or all of it elsewhere.
pub(super) fn pages(pages: &mut PageRange, values: &Values, draw: &mut Draw) {
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
    match draw.below(3) {
        0 => *at = there.start(),
        1 => *len_bytes = len,
        _ => (*at, *len_bytes) = (there.start(), len),
    }
}

/// One edge moved, or all of it elsewhere.
pub(super) fn span(span: &mut Span, values: &Values, draw: &mut Draw) {
    let new = values.span(draw);
    match draw.below(3) {
        0 => span.start = new.start,
        1 => span.len_bytes = new.len_bytes,
        _ => *span = new,
    }
}

/// Another kind of memory, or another page of it.
pub(super) fn backing(backing: &mut Backing, values: &Values, draw: &mut Draw) {
    let page = Position(values.file_byte(draw)).page_index();
    let page = u8::try_from(page).unwrap_or(0);
    *backing = match draw.below(6) {
        0 => Backing::Anon,
        1 => Backing::DevZero { page },
        2 => match *backing {
            Backing::Anon => Backing::Anon,
            Backing::File { file, .. } => Backing::File { file, page },
            Backing::DevZero { .. } => Backing::DevZero { page },
        },
        _ => Backing::File { file: draw.one_of(&File::all().collect::<Vec<_>>()), page },
    };
}
