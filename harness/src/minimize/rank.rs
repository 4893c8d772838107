//! What is simpler than what: the order in which the minimizer goes down, never up.

use pinfold_contract::{
    Access, BOUNCE_PAGES, Backing, ByteRange, Key, Mr, Op, PAGE_BYTES, PageRange, Proc, Prot,
    Sequence, Sharing,
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

/// Place of an op among those of its kind. Less is simpler.
pub(super) fn op_rank(op: Op) -> Vec<u64> {
    match op {
        Op::Map { proc, pages, backing, sharing, prot } => {
            let kind = [proc_rank(proc), backing_rank(backing), sharing_rank(sharing)];
            [&kind[..], &[prot_rank(prot)], &pages_rank(pages)].concat()
        }
        Op::Unmap { proc, pages } => [&[proc_rank(proc)][..], &pages_rank(pages)].concat(),
        Op::Protect { proc, pages, prot } => {
            [&[proc_rank(proc), prot_rank(prot)][..], &pages_rank(pages)].concat()
        }
        Op::Write { proc, at, len_bytes, tag } => {
            vec![proc_rank(proc), len_rank(len_bytes), at.0.into(), tag_rank(tag)]
        }
        Op::Read { proc, at, len_bytes } => vec![proc_rank(proc), len_rank(len_bytes), at.0.into()],
        Op::Fork { proc, child } => vec![proc_rank(proc), proc_rank(child)],
        Op::Exit { proc } => vec![proc_rank(proc)],
        Op::Limit { bytes } => vec![limit_rank(bytes)],
        Op::Reg { mr, range, access } => {
            [&access_rank(access)[..], &range_rank(range), &[mr_rank(mr)]].concat()
        }
        Op::Dereg { mr } => vec![mr_rank(mr)],
        Op::RemoteRead { mr, offset, len_bytes, key } => {
            vec![key_rank(key), offset_rank(offset), len_rank(len_bytes), mr_rank(mr)]
        }
        Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
            let place = [key_rank(key), offset_rank(offset), len_rank(len_bytes), mr_rank(mr)];
            [&place[..], &[tag_rank(tag)]].concat()
        }
    }
}

fn proc_rank(proc: Proc) -> u64 {
    proc.index() as u64
}

fn mr_rank(mr: Mr) -> u64 {
    mr.index() as u64
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

fn key_rank(key: Key) -> u64 {
    match key {
        Key::Own => 0,
        Key::Of(mr) => 1 + mr_rank(mr),
        Key::Stale => 1000,
    }
}

fn backing_rank(backing: Backing) -> u64 {
    match backing {
        Backing::Anon => 0,
        Backing::Memfd { file, page } => 1 + file.index() as u64 * 256 + u64::from(page),
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

/// Few flags, and of these the right to read before all others.
fn access_rank(access: Access) -> [u64; 2] {
    let which = if access == Access::REMOTE_READ { 0 } else { u64::from(access.0) + 1 };
    [access.0.count_ones().into(), which]
}

/// Nothing, then what is needed beside the bounce buffer, page by page.
fn limit_rank(bytes: u64) -> u64 {
    let page = u64::from(PAGE_BYTES);
    let beside = bytes.checked_sub(BOUNCE_PAGES * page);
    match beside {
        _ if bytes == 0 => 0,
        Some(beside) if beside.is_multiple_of(page) && beside / page < 256 => 1 + beside / page,
        Some(_) | None => 1000u64.saturating_add(bytes),
    }
}
