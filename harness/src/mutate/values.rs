//! What a sequence names: where something begins and ends in it, which slots and rights it uses.

use std::collections::BTreeSet;

use pinfold_contract::{
    ARENA_PAGES, Access, Arg, Backing, ByteRange, FILE_PAGES, Handle, Mr, Mw, Op, PAGE_BYTES,
    PageRange, Position, Sge, Span,
};

use crate::draw::Draw;

/// Highest byte that is made up, counted from the start of the arena or of a file: two pages behind the arena.
pub(super) const BYTE_MAX: u32 = (ARENA_PAGES as u32 + 2) * PAGE_BYTES;

/// Longest length that the text form has, in bytes.
pub(super) const LEN_MAX: u32 = ARENA_PAGES as u32 * PAGE_BYTES;

/// The values of a sequence that are worth trying elsewhere in it.
#[derive(Default)]
pub(super) struct Values {
    /// Where ranges of the arena begin and end, in bytes.
    pub(super) edges: Vec<u32>,
    /// Where ranges of files do, in bytes.
    pub(super) file_edges: Vec<u32>,
    /// Lengths of ranges, in bytes.
    pub(super) lens: Vec<u32>,
    pub(super) tags: Vec<u8>,
    pub(super) accesses: Vec<Access>,
    /// The MRs it names, and a slot that it does not use.
    pub(super) mrs: Vec<Mr>,
    /// The windows it names, and a slot that it does not use.
    pub(super) mws: Vec<Mw>,
}

impl Values {
    pub(super) fn of(ops: &[Op]) -> Values {
        let mut values = Values::default();
        values.edges.extend([0, PAGE_BYTES, LEN_MAX]);
        values.file_edges.extend([0, PAGE_BYTES, u32::from(FILE_PAGES) * PAGE_BYTES]);
        values.lens.extend([1, 8, PAGE_BYTES]);
        for mut op in ops.iter().copied() {
            op.args_mut().into_iter().for_each(|arg| values.take_in(arg));
        }
        let mrs: BTreeSet<Mr> = ops.iter().flat_map(Op::mrs).collect();
        let free_mr = (0..=u8::MAX).map(Mr).find(|mr| !mrs.contains(mr));
        values.mrs = mrs.into_iter().chain(free_mr).collect();
        let mws: BTreeSet<Mw> = ops.iter().flat_map(Op::mws).collect();
        let free_mw = (0..=u8::MAX).map_while(Mw::new).find(|mw| !mws.contains(mw));
        values.mws = mws.into_iter().chain(free_mw).collect();
        values
    }

    /// What of `arg` may do elsewhere. Arguments that have few values are not asked.
    fn take_in(&mut self, arg: Arg<'_>) {
        if is_huge(&arg) {
            return;
        }
        if let Arg::Pages(pages) = arg {
            self.take_in_range(bytes_of(*pages));
        } else if let Arg::Bytes(Position(start), len) = arg {
            self.edges.extend([*start, start.saturating_add(*len).min(BYTE_MAX)]);
            self.lens.push(*len);
        } else if let Arg::Span(span) = arg {
            span.range().into_iter().for_each(|range| self.take_in_range(range));
        } else if let Arg::FileBytes(Position(start), len) = arg {
            self.file_edges.extend([*start, start.saturating_add(*len).min(BYTE_MAX)]);
        } else if let Arg::FileEnd(Position(end)) = arg {
            self.file_edges.push(*end);
        } else if let Arg::FileRange(range) = arg {
            self.file_edges.extend([range.start().0, range.end().0]);
        } else if let Arg::Backing(Backing::File { page, .. } | Backing::DevZero { page }) = arg {
            self.file_edges.push(u32::from(*page) * PAGE_BYTES);
        } else if let Arg::Tag(tag) = arg {
            self.tags.push(*tag);
        } else if let Arg::Access(access) = arg {
            self.accesses.push(*access);
        } else if let Arg::Len(len) = arg {
            self.lens.push(*len);
        } else if let Arg::Sges(sges) = arg {
            self.lens.extend(sges.iter().map(|sge| sge.len_bytes));
        }
    }

    fn take_in_range(&mut self, range: ByteRange) {
        self.edges.extend([range.start().0, range.end().0]);
        self.lens.push(range.len_bytes());
    }

    /// An edge of the arena, or a byte beside one.
    pub(super) fn byte(&self, draw: &mut Draw) -> u32 {
        near(draw.one_of(&self.edges), BYTE_MAX, draw)
    }

    /// An edge of a file, or a byte beside one.
    pub(super) fn file_byte(&self, draw: &mut Draw) -> u32 {
        near(draw.one_of(&self.file_edges), BYTE_MAX, draw)
    }

    /// A page at which something begins or ends, or one beside it, at most `max`.
    pub(super) fn page(&self, max: u8, draw: &mut Draw) -> u8 {
        let edge = draw.one_of(&self.edges) / PAGE_BYTES;
        let page = if draw.one_in(3) { beside(edge, 1, draw) } else { edge };
        u8::try_from(page).map_or(max, |page| page.min(max))
    }

    /// A length, or one beside it.
    pub(super) fn len(&self, draw: &mut Draw) -> u32 {
        near(draw.one_of(&self.lens), LEN_MAX, draw)
    }

    /// An offset into an MR: none, where something in it may end, or before its start.
    pub(super) fn offset(&self, draw: &mut Draw) -> i32 {
        let offset = if draw.one_in(3) { 0 } else { self.len(draw).cast_signed() };
        if draw.rarely() { -offset.max(1) } else { offset }
    }

    pub(super) fn mr(&self, draw: &mut Draw) -> Mr {
        draw.one_of(&self.mrs)
    }

    pub(super) fn mw(&self, draw: &mut Draw) -> Mw {
        draw.one_of(&self.mws)
    }

    /// The key of something that the sequence names, live there or not.
    pub(super) fn handle(&self, draw: &mut Draw) -> Handle {
        match draw.below(3) {
            0 => Handle::Mr(self.mr(draw)),
            1 => Handle::Mw(self.mw(draw)),
            _ => Handle::OldMw(self.mw(draw)),
        }
    }

    /// An entry of a list.
    pub(super) fn sge(&self, draw: &mut Draw) -> Sge {
        Sge { mr: self.mr(draw), offset: self.offset(draw), len_bytes: self.len(draw) }
    }

    /// Bytes between two edges.
    pub(super) fn range(&self, draw: &mut Draw) -> ByteRange {
        ordered(self.byte(draw), self.byte(draw))
    }

    /// Bytes of a file between two edges.
    pub(super) fn file_range(&self, draw: &mut Draw) -> ByteRange {
        ordered(self.file_byte(draw), self.file_byte(draw))
    }

    /// Bytes to register: between two edges, and rarely so many that they reach beyond everything.
    pub(super) fn span(&self, draw: &mut Draw) -> Span {
        let range = Span::from(self.range(draw));
        if !draw.one_in(16) {
            return range;
        }
        Span { len_bytes: u64::MAX - u64::from(self.byte(draw)), ..range }
    }
}

/// Whether it is a place among huge pages: their edges are few, and known.
fn is_huge(arg: &Arg<'_>) -> bool {
    if let Arg::Pages(pages) = arg {
        return pages.is_huge();
    }
    matches!(arg, Arg::Bytes(at, _) if at.is_huge())
        || matches!(arg, Arg::Span(span) if span.start.is_huge())
}

/// The bytes between two edges, whichever is first.
fn ordered(one: u32, other: u32) -> ByteRange {
    ByteRange::new(Position(one.min(other)), Position(one.max(other)))
        .expect("the lower one is first")
}

fn bytes_of(pages: PageRange) -> ByteRange {
    let edge = |page: u8| u32::from(page) * PAGE_BYTES;
    ordered(edge(pages.first()), edge(pages.end()))
}

/// `edge`, or in every second draw a byte, an atomic operand or a page away from it, at most `max`.
pub(super) fn near(edge: u32, max: u32, draw: &mut Draw) -> u32 {
    let byte = if draw.one_in(2) {
        let step = draw.one_of(&[1, 8, PAGE_BYTES]);
        beside(edge, step, draw)
    } else {
        edge
    };
    byte.min(max)
}

fn beside(edge: u32, step: u32, draw: &mut Draw) -> u32 {
    if draw.one_in(2) { edge.saturating_add(step) } else { edge.saturating_sub(step) }
}
