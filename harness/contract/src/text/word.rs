//! Reading one word.

use crate::{
    ARENA_PAGES, Backing, ByteRange, File, Handle, Key, Mr, Mw, MwKind, PAGE_BYTES, PageRange,
    Position, Proc, Prot, Sge, Sges, Sharing, Span,
};

pub(super) fn number(word: &str) -> Option<u64> {
    // `parse` would take a sign; a number has none.
    if !word.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match word.strip_prefix("0x") {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None => word.parse().ok(),
    }
}

pub(super) fn proc(word: &str) -> Option<Proc> {
    Proc::new(index(word, "p")?)
}

pub(super) fn mr(word: &str) -> Option<Mr> {
    index(word, "mr").map(Mr)
}

pub(super) fn index(word: &str, prefix: &str) -> Option<u8> {
    let digits = word.strip_prefix(prefix)?;
    let canonical =
        digits.chars().all(|c| c.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if canonical { digits.parse().ok() } else { None }
}

pub(super) fn pages(word: &str) -> Option<PageRange> {
    let (first, end) = word.split_once("..")?;
    if let (Some(first), Some(end)) = (index(first, "h"), index(end, "h")) {
        return PageRange::new(ARENA_PAGES.checked_add(first)?, ARENA_PAGES.checked_add(end)?);
    }
    let small = |word| u8::try_from(number(word)?).ok().filter(|&page| page <= ARENA_PAGES);
    PageRange::new(small(first)?, small(end)?)
}

pub(super) fn position(word: &str) -> Option<Position> {
    let (page, offset) = word.split_once('+').unwrap_or((word, "0"));
    let start = match index(page, "h") {
        Some(slot) => Position::huge(slot),
        None => Position(u32::try_from(number(page)?).ok()?.checked_mul(PAGE_BYTES)?),
    };
    let offset = u32::try_from(number(offset)?).ok().filter(|&o| o < start.page_bytes())?;
    let byte = Position(start.0.checked_add(offset)?);
    // Far beyond the arena lie the executor's own mappings, which no sequence may touch.
    byte.is_near().then_some(byte)
}

/// A byte of a file, which has small pages alone.
pub(super) fn file_position(word: &str) -> Option<Position> {
    position(word).filter(|byte| !byte.is_huge())
}

/// Bytes of a file.
pub(super) fn file_range(word: &str) -> Option<ByteRange> {
    byte_range(word).filter(|range| !range.start().is_huge())
}

/// Size of the arena, in bytes.
pub(super) const ARENA_BYTES: u32 = ARENA_PAGES as u32 * PAGE_BYTES;

pub(super) fn byte_range(word: &str) -> Option<ByteRange> {
    let (start, end) = word.split_once("..")?;
    ByteRange::new(position(start)?, position(end)?)
}

pub(super) fn backing(word: &str) -> Option<Backing> {
    if word == "anon" {
        return Some(Backing::Anon);
    }
    if word == "huge" {
        return Some(Backing::Huge);
    }
    let (name, page) = word.split_once('+').unwrap_or((word, "0"));
    let page = u8::try_from(number(page)?).ok()?;
    if name == "zero" {
        return Some(Backing::DevZero { page });
    }
    Some(Backing::File { file: File::from_name(name)?, page })
}

pub(super) fn sharing(word: &str) -> Option<Sharing> {
    match word {
        "private" => Some(Sharing::Private),
        "shared" => Some(Sharing::Shared),
        _ => None,
    }
}

pub(super) fn prot(word: &str) -> Option<Prot> {
    let bits = Prot::NAMES.iter().position(|name| *name == word)?;
    Some(Prot::from_bits(u8::try_from(bits).ok()?))
}

pub(super) fn len(word: &str) -> Option<u32> {
    u32::try_from(number(word)?).ok().filter(|&len| len <= ARENA_BYTES)
}

pub(super) fn tag(word: &str) -> Option<u8> {
    u8::try_from(number(word)?).ok()
}

pub(super) fn limit(word: &str) -> Option<u64> {
    if word == "unlimited" { Some(u64::MAX) } else { number(word) }
}

pub(super) fn place(word: &str) -> Option<(Mr, i32)> {
    let Some(sign) = word.find(['+', '-']) else { return Some((mr(word)?, 0)) };
    let offset = i32::try_from(number(&word[sign + 1..])?).ok()?;
    Some((mr(&word[..sign])?, if word[sign..].starts_with('-') { -offset } else { offset }))
}

/// A range, or `start..+length` for one that reaches anywhere.
pub(super) fn span(word: &str) -> Option<Span> {
    match word.split_once("..+") {
        None => byte_range(word).map(Span::from),
        Some((start, len)) => Some(Span { start: position(start)?, len_bytes: number(len)? }),
    }
}

pub(super) fn mw(word: &str) -> Option<Mw> {
    Mw::new(index(word, "mw")?)
}

pub(super) fn mw_kind(word: &str) -> Option<MwKind> {
    [MwKind::Type1, MwKind::Type2].into_iter().find(|kind| kind.to_string() == word)
}

pub(super) fn handle(word: &str) -> Option<Handle> {
    let old = || Some(Handle::OldMw(mw(word.strip_prefix("old_")?)?));
    mr(word).map(Handle::Mr).or_else(|| mw(word).map(Handle::Mw)).or_else(old)
}

pub(super) fn key(word: &str) -> Option<Key> {
    match word {
        "own" => Some(Key::Own),
        "stale" => Some(Key::Stale),
        _ => handle(word).map(Key::Of),
    }
}

pub(super) fn sges(word: &str) -> Option<Sges> {
    if word == "-" {
        return Some(Sges::default());
    }
    Sges::new(&word.split(',').map(sge).collect::<Option<Vec<Sge>>>()?)
}

fn sge(word: &str) -> Option<Sge> {
    let (at, bytes) = word.split_once(':')?;
    let (mr, offset) = place(at)?;
    Some(Sge { mr, offset, len_bytes: len(bytes)? })
}

pub(super) fn switch(word: &str) -> Option<bool> {
    ["off", "on"].into_iter().zip([false, true]).find(|(name, _)| *name == word).map(|(_, on)| on)
}

/// So many pages, or nothing for no limit.
pub(super) fn page_count(word: &str) -> Option<Option<u16>> {
    if word == "unlimited" { Some(None) } else { Some(Some(u16::try_from(number(word)?).ok()?)) }
}
