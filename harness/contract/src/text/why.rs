//! What is wrong with a word, where more can be said than what belongs in its place. Each function is asked of words that
//! `word.rs` cannot read, and gives nothing where it knows no better.

use super::word;
use crate::{ARENA_PAGES, HUGE_PAGES, PAGE_BYTES, SGES_MAX};

pub(super) fn no_pages(word: &str) -> Option<String> {
    let (first, end) = word.split_once("..")?;
    let huge = |word| word::index(word, "h").map(u64::from);
    let (first, end, most) = match (huge(first), huge(end)) {
        (Some(first), Some(end)) => (first, end, HUGE_PAGES),
        (None, None) => (word::number(first)?, word::number(end)?, ARENA_PAGES),
        (Some(_), None) | (None, Some(_)) => {
            return Some("no range is of small pages and huge ones".to_owned());
        }
    };
    if first == end {
        Some("it has no pages".to_owned())
    } else if first > end {
        Some("it ends before it begins".to_owned())
    } else {
        (end > most.into()).then(|| format!("there are {most} of these pages"))
    }
}

pub(super) fn no_position(word: &str) -> Option<String> {
    let (page, offset) = word.split_once('+')?;
    let offset = word::number(offset)?;
    let is_small = word::number(page).is_some();
    (is_small && offset >= PAGE_BYTES.into())
        .then(|| format!("a page has {PAGE_BYTES} bytes, 0 to {}", PAGE_BYTES - 1))
}

pub(super) fn no_file_position(word: &str) -> Option<String> {
    if word::position(word).is_some_and(|byte| byte.is_huge()) {
        return Some("a file has no huge pages".to_owned());
    }
    no_position(word)
}

pub(super) fn no_byte_range(word: &str) -> Option<String> {
    let (start, end) = word.split_once("..")?;
    if let Some(why) = no_position(start).or_else(|| no_position(end)) {
        return Some(why);
    }
    let (start, end) = (word::position(start)?, word::position(end)?);
    (end.0 < start.0).then(|| "it ends before it begins".to_owned())
}

pub(super) fn no_file_range(word: &str) -> Option<String> {
    let (start, _) = word.split_once("..")?;
    no_file_position(start).or_else(|| no_byte_range(word))
}

pub(super) fn no_place(word: &str) -> Option<String> {
    let sign = word.find(['+', '-'])?;
    let offset = word::number(&word[sign + 1..])?;
    let is_mr = word::mr(&word[..sign]).is_some();
    (is_mr && offset > u64::from(i32::MAX.unsigned_abs()))
        .then(|| format!("an offset is at most {}", i32::MAX))
}

pub(super) fn no_sges(word: &str) -> Option<String> {
    let count = word.split(',').count();
    if count > SGES_MAX {
        return Some(format!("these are {count}"));
    }
    word.split(',').find_map(no_sge)
}

fn no_sge(piece: &str) -> Option<String> {
    let Some((at, len)) = piece.split_once(':') else {
        return Some(format!("`{piece}` has no length, as in mr0+0:8"));
    };
    if word::place(at).is_none() {
        let why = no_place(at).map(|why| format!(": {why}")).unwrap_or_default();
        return Some(format!("`{at}` is not a place in an MR{why}"));
    }
    match word::number(len) {
        None => Some(format!("`{len}` is not a length in bytes")),
        Some(_) => word::len(len)
            .is_none()
            .then(|| format!("{len} bytes are more than the {} of the arena", word::ARENA_BYTES)),
    }
}
