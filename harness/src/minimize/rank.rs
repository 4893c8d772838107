//! What is simpler than what: the order in which the minimizer goes down, never up.

use pinfold_contract::Sequence;
use pinfold_contract::{
    Access, Arg, Backing, ByteRange, Handle, Key, LockScope, MwKind, Op, PAGE_BYTES, PageRange,
    Position, Prot, RegCall, Rereg, Seals, Sges, Sharing, Span, Target,
};

/// Place of a sequence among all: fewer ops first, then simpler arguments, op by op.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    op_count: usize,
    ops: Vec<Vec<u64>>,
}

impl Rank {
    pub(super) fn of(sequence: &Sequence) -> Rank {
        let ops = sequence.ops.iter().map(|&op| op_rank(op)).collect();
        Rank { op_count: sequence.ops.len(), ops }
    }
}

/// Place of an op among those of its kind: that of its arguments, in order. Less is simpler.
pub(super) fn op_rank(mut op: Op) -> Vec<u64> {
    op.args_mut().into_iter().flat_map(arg_rank).collect()
}

fn arg_rank(arg: Arg<'_>) -> Vec<u64> {
    match arg {
        Arg::Proc(proc) | Arg::Child(proc) => vec![proc.index() as u64],
        Arg::Pages(pages) => pages_rank(*pages).to_vec(),
        Arg::Bytes(at, len) | Arg::FileBytes(at, len) => vec![len_rank(*len), at.0.into()],
        Arg::Span(span) => span_rank(*span).to_vec(),
        Arg::FileEnd(end) => end_rank(*end).to_vec(),
        Arg::FileRange(range) => range_rank(*range).to_vec(),
        Arg::File(file) => vec![file.index() as u64],
        Arg::Backing(backing) => vec![backing_rank(*backing)],
        Arg::Sharing(sharing) => vec![sharing_rank(*sharing)],
        Arg::Prot(prot) => vec![prot_rank(*prot)],
        // None of these is simpler than another.
        Arg::Advice(_) | Arg::Chore(_) => Vec::new(),
        Arg::LockScope(scope) => vec![scope_rank(*scope)],
        Arg::Seals(seals) => seals_rank(*seals).to_vec(),
        Arg::Switch(is_on) => vec![u64::from(*is_on)],
        Arg::Tag(tag) => vec![tag_rank(*tag)],
        Arg::Limit(bytes) => vec![limit_rank(*bytes)],
        Arg::PageCount(pages) => vec![pages.map_or(0, |pages| 1 + u64::from(pages))],
        Arg::Number(number) => vec![*number],
        Arg::Mr(mr) => vec![mr.index() as u64],
        Arg::Access(access) => access_rank(*access).to_vec(),
        Arg::Pd(pd) => vec![pd.index() as u64],
        Arg::RegCall(call) => call_rank(*call).to_vec(),
        Arg::Rereg(what) => rereg_rank(*what).to_vec(),
        Arg::Target(target) => target_rank(*target).to_vec(),
        Arg::Len(len) => vec![len_rank(*len)],
        Arg::Offset(offset) => vec![offset_rank(*offset)],
        Arg::Mw(mw) => vec![mw.index() as u64],
        Arg::MwKind(kind) => vec![mw_kind_rank(*kind)],
        Arg::Handle(handle) => vec![handle_rank(*handle)],
        Arg::Invalidate(handle) => vec![handle.map_or(0, |handle| 1 + handle_rank(handle))],
        Arg::Sges(sges) => sges_rank(*sges),
    }
}

/// Eight bytes, which is what a line of text without a length means; one; more.
fn len_rank(len_bytes: u32) -> u64 {
    match len_bytes {
        8 => 0,
        0 => u64::from(u32::MAX),
        len => len.into(),
    }
}

/// 0x11, 0x22 and so on up to 0xff; then all others.
pub(super) fn tag_rank(tag: u8) -> u64 {
    if tag != 0 && tag.is_multiple_of(0x11) {
        u64::from(tag / 0x11)
    } else {
        0x100 + u64::from(tag)
    }
}

fn offset_rank(offset: i32) -> u64 {
    u64::from(offset.unsigned_abs()) * 2 + u64::from(offset < 0)
}

/// The key, the place, and over which queue pairs.
fn target_rank(target: Target) -> [u64; 4] {
    let Target { mr, offset, key, qp } = target;
    [key_rank(key), offset_rank(offset), mr.index() as u64, qp.index() as u64]
}

fn key_rank(key: Key) -> u64 {
    match key {
        Key::Own => 0,
        Key::Of(handle) => 1 + handle_rank(handle),
        Key::Stale => 1000,
    }
}

/// An MR before a window, and what is in use before what was.
fn handle_rank(handle: Handle) -> u64 {
    match handle {
        Handle::Mr(mr) => mr.index() as u64,
        Handle::Mw(mw) => 256 + mw.index() as u64,
        Handle::OldMw(mw) => 512 + mw.index() as u64,
    }
}

/// Few entries first, then entry by entry.
fn sges_rank(sges: Sges) -> Vec<u64> {
    let entries = sges
        .iter()
        .flat_map(|sge| [offset_rank(sge.offset), len_rank(sge.len_bytes), sge.mr.index() as u64]);
    [sges.iter().count() as u64].into_iter().chain(entries).collect()
}

fn call_rank(call: RegCall) -> [u64; 3] {
    let kind = match call {
        RegCall::Iova2 { .. } => 0,
        RegCall::Legacy => 1,
        RegCall::Raw { .. } => 2,
    };
    [u64::from(call.iova().is_some()), kind, call.iova().unwrap_or(0)]
}

fn rereg_rank(what: Rereg) -> [u64; 2] {
    [what.0.count_ones().into(), what.0.into()]
}

fn mw_kind_rank(kind: MwKind) -> u64 {
    match kind {
        MwKind::Type1 => 0,
        MwKind::Type2 => 1,
    }
}

fn seals_rank(seals: Seals) -> [u64; 2] {
    [seals.bits().count_ones().into(), seals.bits().into()]
}

/// To lock one thing is simpler than to lock both; to unlock is another matter.
fn scope_rank(scope: LockScope) -> u64 {
    match scope {
        LockScope::None | LockScope::Current => 0,
        LockScope::Future => 1,
        LockScope::Both => 2,
    }
}

fn backing_rank(backing: Backing) -> u64 {
    match backing {
        Backing::Anon => 0,
        Backing::File { file, page } => 1 + file.index() as u64 * 256 + u64::from(page),
        Backing::DevZero { page } => 0x1_0000 + u64::from(page),
        Backing::Huge => 0x2_0000,
    }
}

fn sharing_rank(sharing: Sharing) -> u64 {
    match sharing {
        Sharing::Private => 0,
        Sharing::Shared => 1,
    }
}

fn prot_rank(prot: Prot) -> u64 {
    match prot {
        Prot::RW => 0,
        Prot::R => 1,
        Prot::NONE => 2,
        other => 3 + u64::from(other.bits()),
    }
}

fn pages_rank(pages: PageRange) -> [u64; 2] {
    [pages.page_count().into(), pages.first().into()]
}

/// Whole pages first, then few bytes, then near the start.
fn range_rank(range: ByteRange) -> [u64; 3] {
    let (start, end) = (range.start(), range.end());
    let odd = u64::from(start.page_offset() != 0) + u64::from(end.page_offset() != 0);
    let len = if range.len_bytes() == 0 { u32::MAX } else { range.len_bytes() };
    [odd, len.into(), start.0.into()]
}

/// What ends near the arena as such bytes, and before all that does not.
fn span_rank(span: Span) -> [u64; 4] {
    match span.range() {
        Some(range) => {
            let [odd, len, start] = range_rank(range);
            [0, odd, len, start]
        }
        None => [1, u64::from(span.start.page_offset() != 0), span.len_bytes, span.start.0.into()],
    }
}

fn end_rank(end: Position) -> [u64; 2] {
    [u64::from(end.page_offset() != 0), end.0.into()]
}

/// Few flags, and of these the right to read before all others.
fn access_rank(access: Access) -> [u64; 2] {
    let which = if access == Access::REMOTE_READ { 0 } else { u64::from(access.0) + 1 };
    [access.0.count_ones().into(), which]
}

/// Nothing, too little for a page, then whole pages.
fn limit_rank(bytes: u64) -> u64 {
    let page = u64::from(PAGE_BYTES);
    match bytes {
        0 | 1 => bytes,
        _ if bytes.is_multiple_of(page) && bytes / page < 256 => 1 + bytes / page,
        _ => 1000u64.saturating_add(bytes),
    }
}
