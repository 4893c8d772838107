//! A sequence of ops, and how bytes become one.

use arbitrary::{Arbitrary, Result, Unstructured};
use serde::{Deserialize, Serialize};

use crate::{
    ARENA_PAGES, Access, Backing, ByteRange, File, Key, Mr, Op, OpKind, PAGE_BYTES, PROC_SLOTS,
    PageRange, Position, Proc, Prot, Sharing,
};

/// Most ops that one sequence can have. The parser and the wire refuse more.
pub const OPS_MAX: usize = 4096;

/// Most ops that [`Sequence::arbitrary`] reads from bytes.
const ARBITRARY_OPS_MAX: usize = 64;

/// Bytes that one op takes at most when it is read from bytes.
const OP_BYTES_MAX: usize = 16;

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
const OPCODES: [(OpKind, u8); 12] = [
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
];

fn opcode(byte: u8) -> Option<OpKind> {
    let mut end = 0;
    OPCODES.iter().find_map(|&(kind, count)| {
        end += count;
        (byte < end).then_some(kind)
    })
}

/// Reads one op: an opcode byte, then its arguments. Missing bytes read as zero.
fn arbitrary_op(u: &mut Unstructured<'_>) -> Result<Option<Op>> {
    let Some(kind) = opcode(u.arbitrary()?) else { return Ok(None) };
    Ok(Some(match kind {
        OpKind::Map => Op::Map {
            proc: proc(u)?,
            pages: pages(u)?,
            backing: backing(u)?,
            sharing: if u.arbitrary::<u8>()? & 1 == 0 { Sharing::Private } else { Sharing::Shared },
            prot: prot(u)?,
        },
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
        OpKind::Reg => Op::Reg { mr: mr(u)?, range: byte_range(u)?, access: access(u)? },
        OpKind::Dereg => Op::Dereg { mr: mr(u)? },
        OpKind::RemoteRead => {
            let (offset, len_bytes) = remote_bytes(u)?;
            Op::RemoteRead { mr: mr(u)?, offset, len_bytes, key: key(u)? }
        }
        OpKind::RemoteWrite => {
            let (offset, len_bytes) = remote_bytes(u)?;
            let (mr, key, tag) = (mr(u)?, key(u)?, u.arbitrary()?);
            Op::RemoteWrite { mr, offset, len_bytes, tag, key }
        }
    }))
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
    let byte: u8 = u.arbitrary()?;
    Ok(match byte % 4 {
        0 | 1 => Backing::Anon,
        file => Backing::Memfd {
            file: File::new(file & 1).expect("there are two files"),
            page: if byte >= 0xf0 { u.arbitrary::<u8>()? % 32 } else { (byte >> 2) % 8 },
        },
    })
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
    Ok(Position(Position::page(page).0 + offset))
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

fn remote_bytes(u: &mut Unstructured<'_>) -> Result<(i32, u32)> {
    let offset = match u.arbitrary::<u8>()? {
        0..0x80 => 0,
        0x80..0xc0 => 4096,
        0xc0..0xe0 => i32::from(u.arbitrary::<u16>()?),
        _ => i32::from(u.arbitrary::<i16>()?),
    };
    Ok((offset, len_bytes(u)?))
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
    let byte: u8 = u.arbitrary()?;
    Ok(match byte {
        0..0xe0 => Key::Own,
        0xe0..0xf0 => Key::Of(mr(u)?),
        _ => Key::Stale,
    })
}

/// A limit around what a few MRs and the bounce buffer need, zero, or none.
fn limit(u: &mut Unstructured<'_>) -> Result<u64> {
    let byte: u8 = u.arbitrary()?;
    Ok(match byte {
        0..0x40 => u64::MAX,
        0x40..0x60 => 0,
        _ => (crate::BOUNCE_PAGES + u64::from(byte % 8)) * u64::from(PAGE_BYTES),
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
