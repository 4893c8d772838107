//! A sequence of ops, and how bytes become one.

use arbitrary::{Arbitrary, Result, Unstructured};
use serde::{Deserialize, Serialize};

use crate::{
    ARENA_PAGES, Access, Advice, Backing, ByteRange, Chore, FILE_COUNT, File, Handle, Key,
    LockScope, MW_SLOTS, Mr, Mw, MwKind, Op, OpKind, PAGE_BYTES, PROC_SLOTS, PageRange, Pd,
    Position, Proc, Prot, RegCall, Rereg, SGES_MAX, Seals, Sge, Sges, Sharing, Span, Target,
};

/// Most ops that one sequence can have. The parser and the wire refuse more.
pub const OPS_MAX: usize = 4096;

/// Most ops that [`Sequence::arbitrary`] reads from bytes.
const ARBITRARY_OPS_MAX: usize = 64;

/// Bytes that one op takes at most when it is read from bytes.
const OP_BYTES_MAX: usize = 64;

/// The ops of one case, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sequence {
    /// The ops.
    pub ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Sequence {
    /// Reads ops until the bytes or the room for ops are used up. Total: it never fails.
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut ops = Vec::new();
        while !u.is_empty() && ops.len() < ARBITRARY_OPS_MAX {
            ops.extend(arbitrary_op(u)?);
        }
        Ok(Sequence { ops })
    }

    /// The same as [`Sequence::arbitrary`], so that every engine reads the same sequence from the same bytes.
    fn arbitrary_take_rest(mut u: Unstructured<'a>) -> Result<Self> {
        Self::arbitrary(&mut u)
    }

    /// Bounded, because bolero does not call a property whose input has no upper bound.
    fn size_hint(_depth: usize) -> (usize, Option<usize>) {
        (0, Some(ARBITRARY_OPS_MAX * OP_BYTES_MAX))
    }
}

/// How many of the 256 opcode bytes each kind takes, in the order of their values.
///
/// Append; never reorder, resize or remove, or stored bytes change their meaning.
/// The values left over are no op: they are what later kinds will take.
const OPCODES: [(OpKind, u8); 36] = [
    (OpKind::Map, 14),
    (OpKind::Unmap, 4),
    (OpKind::Protect, 8),
    (OpKind::Write, 14),
    (OpKind::Read, 6),
    (OpKind::Fork, 8),
    (OpKind::Exit, 4),
    (OpKind::Limit, 2),
    (OpKind::Reg, 16),
    (OpKind::Dereg, 6),
    (OpKind::RemoteRead, 10),
    (OpKind::RemoteWrite, 10),
    (OpKind::Remap, 6),
    (OpKind::Advise, 10),
    (OpKind::Lock, 3),
    (OpKind::Unlock, 2),
    (OpKind::LockAll, 2),
    (OpKind::Force, 3),
    (OpKind::FileWrite, 3),
    (OpKind::Truncate, 2),
    (OpKind::Punch, 3),
    (OpKind::Seal, 2),
    (OpKind::IpcLock, 1),
    (OpKind::MemLimit, 2),
    (OpKind::Chore, 4),
    (OpKind::Rereg, 5),
    (OpKind::AllocMw, 6),
    (OpKind::DeallocMw, 3),
    (OpKind::Bind, 8),
    (OpKind::Invalidate, 4),
    (OpKind::CompareSwap, 3),
    (OpKind::FetchAdd, 3),
    (OpKind::Send, 6),
    (OpKind::Gather, 4),
    (OpKind::Scatter, 4),
    (OpKind::Swap, 2),
];

fn opcode(byte: u8) -> Option<OpKind> {
    let mut end = 0u32;
    OPCODES.iter().find_map(|&(kind, count)| {
        end += u32::from(count);
        (u32::from(byte) < end).then_some(kind)
    })
}

/// Reads one op: an opcode byte, then its arguments. Missing bytes read as zero.
#[expect(clippy::too_many_lines, reason = "one op after the other")]
fn arbitrary_op(u: &mut Unstructured<'_>) -> Result<Option<Op>> {
    let Some(kind) = opcode(u.arbitrary()?) else { return Ok(None) };
    Ok(Some(match kind {
        OpKind::Map => {
            let (proc, pages, backing) = (proc(u)?, pages(u)?, backing(u)?);
            let how: u8 = u.arbitrary()?;
            let sharing = if how & 1 == 0 { Sharing::Private } else { Sharing::Shared };
            Op::Map { proc, pages, backing, sharing, prot: prot(u)?, populate: how >= 0xe0 }
        }
        OpKind::Unmap => Op::Unmap { proc: proc(u)?, pages: pages(u)? },
        OpKind::Protect => Op::Protect { proc: proc(u)?, pages: pages(u)?, prot: prot(u)? },
        OpKind::Write => {
            let (at, len_bytes) = cpu_bytes(u)?;
            Op::Write { proc: proc(u)?, at, len_bytes, tag: u.arbitrary()? }
        }
        OpKind::Read => {
            let (at, len_bytes) = cpu_bytes(u)?;
            Op::Read { proc: proc(u)?, at, len_bytes }
        }
        OpKind::Fork => Op::Fork { proc: proc(u)?, child: slot(u)? },
        OpKind::Exit => Op::Exit { proc: slot(u)? },
        OpKind::Limit => Op::Limit { bytes: limit(u)? },
        OpKind::Reg => {
            Op::Reg { mr: mr(u)?, span: span(u)?, access: access(u)?, pd: pd(u)?, call: call(u)? }
        }
        OpKind::Dereg => Op::Dereg { mr: mr(u)? },
        OpKind::RemoteRead => Op::RemoteRead { target: target(u)?, len_bytes: len_bytes(u)? },
        OpKind::RemoteWrite => {
            Op::RemoteWrite { target: target(u)?, len_bytes: len_bytes(u)?, tag: u.arbitrary()? }
        }
        OpKind::Remap => Op::Remap { proc: proc(u)?, from: pages(u)?, to: pages(u)? },
        OpKind::Advise => {
            Op::Advise { proc: proc(u)?, pages: pages(u)?, advice: one_of(u, &Advice::ALL)?.0 }
        }
        OpKind::Lock => {
            Op::Lock { proc: proc(u)?, pages: pages(u)?, onfault: u.arbitrary::<u8>()? >= 0xc0 }
        }
        OpKind::Unlock => Op::Unlock { proc: proc(u)?, pages: pages(u)? },
        OpKind::LockAll => Op::LockAll { proc: proc(u)?, scope: one_of(u, &LockScope::ALL)?.0 },
        OpKind::Force => {
            let (at, len_bytes) = cpu_bytes(u)?;
            Op::Force { proc: proc(u)?, at, len_bytes, tag: u.arbitrary()? }
        }
        OpKind::FileWrite => {
            let (at, len_bytes) = cpu_bytes(u)?;
            Op::FileWrite { file: file(u)?, at, len_bytes, tag: u.arbitrary()? }
        }
        OpKind::Truncate => Op::Truncate { file: file(u)?, end: position(u)? },
        OpKind::Punch => Op::Punch { file: file(u)?, range: byte_range(u)? },
        OpKind::Seal => Op::Seal { file: file(u)?, seals: Seals::from_bits(u.arbitrary()?) },
        OpKind::IpcLock => Op::IpcLock { held: u.arbitrary::<u8>()? & 1 == 0 },
        OpKind::Swap => Op::Swap { on: u.arbitrary::<u8>()? & 1 == 0 },
        OpKind::MemLimit => Op::MemLimit { pages: page_count(u)? },
        OpKind::Chore => Op::Chore { chore: one_of(u, &Chore::ALL)?.0 },
        OpKind::Rereg => Op::Rereg {
            mr: mr(u)?,
            what: rereg(u)?,
            span: span(u)?,
            access: access(u)?,
            pd: pd(u)?,
        },
        OpKind::AllocMw => Op::AllocMw {
            mw: mw(u)?,
            kind: *one_of(u, &[MwKind::Type1, MwKind::Type2])?,
            pd: pd(u)?,
        },
        OpKind::DeallocMw => Op::DeallocMw { mw: mw(u)? },
        OpKind::Bind => Op::Bind {
            mw: mw(u)?,
            mr: mr(u)?,
            offset: offset(u)?,
            len_bytes: len_bytes(u)?,
            access: access(u)?,
            qp: pd(u)?,
        },
        OpKind::Invalidate => Op::Invalidate { handle: handle(u)?, qp: pd(u)? },
        OpKind::CompareSwap => {
            Op::CompareSwap { target: target(u)?, expect: operand(u)?, swap: operand(u)? }
        }
        OpKind::FetchAdd => Op::FetchAdd { target: target(u)?, add: operand(u)? },
        OpKind::Send => {
            let invalidate = if rarely(u)? { Some(handle(u)?) } else { None };
            Op::Send { from: sges(u)?, to: sges(u)?, invalidate, qp: pd(u)? }
        }
        OpKind::Gather => Op::Gather { from: sges(u)?, target: target(u)? },
        OpKind::Scatter => Op::Scatter { target: target(u)?, into: sges(u)? },
    }))
}

fn one_of<'a, T>(u: &mut Unstructured<'_>, choices: &'a [T]) -> Result<&'a T> {
    Ok(&choices[usize::from(u.arbitrary::<u8>()?) % choices.len()])
}

/// True for about one byte in sixteen: rejection paths deserve coverage, but
/// most cases must get past them.
fn rarely(u: &mut Unstructured<'_>) -> Result<bool> {
    Ok(u.arbitrary::<u8>()? >= 0xf0)
}

/// Any process slot.
fn slot(u: &mut Unstructured<'_>) -> Result<Proc> {
    Ok(Proc::new(u.arbitrary::<u8>()? % PROC_SLOTS).expect("reduced modulo the number of slots"))
}

/// The acting process: mostly `p0`, which registers.
fn proc(u: &mut Unstructured<'_>) -> Result<Proc> {
    let byte: u8 = u.arbitrary()?;
    Ok(Proc::new(if byte < 0xa0 { 0 } else { byte % PROC_SLOTS })
        .expect("reduced modulo the number of slots"))
}

/// One of few MRs, so that ops meet; any of them rarely.
fn mr(u: &mut Unstructured<'_>) -> Result<Mr> {
    let byte: u8 = u.arbitrary()?;
    Ok(Mr(if byte >= 0xfc { u.arbitrary()? } else { byte % 4 }))
}

/// Few pages near the start, so that ops meet; anywhere rarely.
fn pages(u: &mut Unstructured<'_>) -> Result<PageRange> {
    let (first, count) = if rarely(u)? {
        (u.arbitrary::<u8>()? % ARENA_PAGES, 1 + u.arbitrary::<u8>()? % ARENA_PAGES)
    } else {
        (u.arbitrary::<u8>()? % 8, 1 + u.arbitrary::<u8>()? % 4)
    };
    Ok(PageRange::new(first, (first + count).min(ARENA_PAGES))
        .expect("starts inside and has a page"))
}

fn backing(u: &mut Unstructured<'_>) -> Result<Backing> {
    Ok(match u.arbitrary::<u8>()? {
        0..0x80 => Backing::Anon,
        0x80..0xf0 => Backing::File { file: file(u)?, page: u.arbitrary::<u8>()? % 8 },
        0xf0..0xf8 => Backing::File { file: file(u)?, page: u.arbitrary::<u8>()? % 32 },
        _ => Backing::DevZero { page: u.arbitrary::<u8>()? % 8 },
    })
}

fn file(u: &mut Unstructured<'_>) -> Result<File> {
    Ok(File::new(u.arbitrary::<u8>()? % FILE_COUNT).expect("reduced modulo the number of files"))
}

fn prot(u: &mut Unstructured<'_>) -> Result<Prot> {
    let byte: u8 = u.arbitrary()?;
    Ok(match byte {
        0..0x90 => Prot::RW,
        0x90..0xd0 => Prot::R,
        _ => Prot::from_bits(byte),
    })
}

/// A position near the start of the arena, mostly at or around a page's edge.
fn position(u: &mut Unstructured<'_>) -> Result<Position> {
    let page = if rarely(u)? {
        u.arbitrary::<u8>()? % (ARENA_PAGES + 2)
    } else {
        u.arbitrary::<u8>()? % 12
    };
    let offset = match u.arbitrary::<u8>()? {
        0..0xa0 => 0,
        0xa0..0xc0 => PAGE_BYTES - 8,
        0xc0..0xe0 => 2048,
        _ => u32::from(u.arbitrary::<u16>()?) % PAGE_BYTES,
    };
    Ok(Position(u32::from(page) * PAGE_BYTES + offset))
}

fn len_bytes(u: &mut Unstructured<'_>) -> Result<u32> {
    Ok(match u.arbitrary::<u8>()? {
        0..0x80 => 8,
        0x80..0xa0 => 16,
        0xa0..0xd0 => PAGE_BYTES,
        0xd0..0xe8 => 2 * PAGE_BYTES,
        0xe8..0xf0 => 0,
        _ => u32::from(u.arbitrary::<u16>()?),
    })
}

fn cpu_bytes(u: &mut Unstructured<'_>) -> Result<(Position, u32)> {
    Ok((position(u)?, len_bytes(u)?))
}

fn offset(u: &mut Unstructured<'_>) -> Result<i32> {
    Ok(match u.arbitrary::<u8>()? {
        0..0x80 => 0,
        0x80..0xc0 => 4096,
        0xc0..0xe0 => i32::from(u.arbitrary::<u16>()?),
        _ => i32::from(u.arbitrary::<i16>()?),
    })
}

fn target(u: &mut Unstructured<'_>) -> Result<Target> {
    Ok(Target { mr: mr(u)?, offset: offset(u)?, key: key(u)?, qp: pd(u)? })
}

/// Mostly the first.
fn pd(u: &mut Unstructured<'_>) -> Result<Pd> {
    Ok(Pd::new(u8::from(rarely(u)?)).expect("there are two"))
}

fn mw(u: &mut Unstructured<'_>) -> Result<Mw> {
    let byte: u8 = u.arbitrary()?;
    let index = if byte >= 0xfc { byte % MW_SLOTS } else { byte % 2 };
    Ok(Mw::new(index).expect("reduced modulo the number of slots"))
}

fn handle(u: &mut Unstructured<'_>) -> Result<Handle> {
    Ok(match u.arbitrary::<u8>()? % 4 {
        0 => Handle::Mr(mr(u)?),
        1 => Handle::OldMw(mw(u)?),
        _ => Handle::Mw(mw(u)?),
    })
}

fn sges(u: &mut Unstructured<'_>) -> Result<Sges> {
    let count = usize::from(u.arbitrary::<u8>()?) % (SGES_MAX + 1);
    let entries = (0..count)
        .map(|_| Ok(Sge { mr: mr(u)?, offset: offset(u)?, len_bytes: len_bytes(u)? }))
        .collect::<Result<Vec<Sge>>>()?;
    Ok(Sges::new(&entries).expect("no more than there may be"))
}

fn operand(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match u.arbitrary::<u8>()? {
        0..0x80 => 0,
        0x80..0xc0 => u64::from(u.arbitrary::<u8>()?) * 0x0101_0101_0101_0101,
        _ => u.arbitrary()?,
    })
}

fn rereg(u: &mut Unstructured<'_>) -> Result<Rereg> {
    let byte: u8 = u.arbitrary()?;
    Ok(Rereg(if byte >= 0xf0 { 1 << (byte % 32) } else { u32::from(byte & 7) }))
}

/// The way C takes, mostly; another one, or another iova, rarely.
fn call(u: &mut Unstructured<'_>) -> Result<RegCall> {
    let iova = |u: &mut Unstructured<'_>| -> Result<Option<u64>> {
        Ok(match u.arbitrary::<u8>()? % 4 {
            0 => None,
            1 => Some(0),
            2 => Some(u.arbitrary::<u64>()? & !u64::from(PAGE_BYTES - 1)),
            _ => Some(u.arbitrary()?),
        })
    };
    Ok(match u.arbitrary::<u8>()? {
        0..0xc0 => RegCall::Iova2 { iova: None },
        0xc0..0xd0 => RegCall::Legacy,
        0xd0..0xe8 => RegCall::Iova2 { iova: iova(u)? },
        _ => RegCall::Raw { iova: iova(u)? },
    })
}

/// Bytes to register: a range, or rarely one that reaches anywhere.
fn span(u: &mut Unstructured<'_>) -> Result<Span> {
    if rarely(u)? {
        let far =
            if rarely(u)? { u.arbitrary()? } else { u64::MAX - u64::from(u.arbitrary::<u16>()?) };
        return Ok(Span { start: position(u)?, len_bytes: far });
    }
    byte_range(u).map(Span::from)
}

fn page_count(u: &mut Unstructured<'_>) -> Result<Option<u16>> {
    let byte: u8 = u.arbitrary()?;
    Ok((byte >= 0x40).then(|| u16::from(byte % 8)))
}

/// A registration: mostly whole pages, sometimes any bytes.
fn byte_range(u: &mut Unstructured<'_>) -> Result<ByteRange> {
    let start = position(u)?;
    let len = match u.arbitrary::<u8>()? {
        0..0x70 => PAGE_BYTES,
        0x70..0xc0 => 2 * PAGE_BYTES,
        0xc0..0xe0 => 4 * PAGE_BYTES,
        0xe0..0xe8 => 0,
        _ => u32::from(u.arbitrary::<u16>()?),
    };
    Ok(ByteRange::new(start, Position(start.0 + len)).expect("a length is not negative"))
}

/// Flags that are often right; any 32 bits rarely.
fn access(u: &mut Unstructured<'_>) -> Result<Access> {
    const WRITER: Access = Access::LOCAL_WRITE.with(Access::REMOTE_WRITE).with(Access::REMOTE_READ);
    let byte: u8 = u.arbitrary()?;
    Ok(match byte {
        0..0x60 => Access::REMOTE_READ,
        0x60..0xb0 => WRITER,
        0xb0..0xc0 => Access(0),
        0xc0..0xd0 => Access::LOCAL_WRITE,
        0xd0..0xf8 => Access(u32::from(u.arbitrary::<u16>()?) & 0x3ff),
        _ => Access(u.arbitrary()?),
    })
}

fn key(u: &mut Unstructured<'_>) -> Result<Key> {
    Ok(match u.arbitrary::<u8>()? {
        0..0xc0 => Key::Own,
        0xc0..0xf0 => Key::Of(handle(u)?),
        _ => Key::Stale,
    })
}

/// A limit around what a few MRs need, zero, or none.
fn limit(u: &mut Unstructured<'_>) -> Result<u64> {
    let byte: u8 = u.arbitrary()?;
    Ok(match byte {
        0..0x40 => u64::MAX,
        0x40..0x60 => 0,
        _ => (1 + u64::from(byte % 8)) * u64::from(PAGE_BYTES),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_opcodes() {
        let kinds: Vec<OpKind> = OPCODES.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, OpKind::ALL);
    }

    #[test]
    fn engines_read_the_same_sequence_from_the_same_bytes() {
        let bytes: Vec<u8> =
            (0..2000u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
        for len in 0..bytes.len() {
            let one = Sequence::arbitrary(&mut Unstructured::new(&bytes[..len])).unwrap();
            let rest = Sequence::arbitrary_take_rest(Unstructured::new(&bytes[..len])).unwrap();
            assert_eq!(one, rest);
        }
    }
}
