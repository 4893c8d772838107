//! The text of a word of bits: the names of those that have one, and `bitN`, joined by `|`; or `none`.

use std::fmt;

/// The names of single bits.
pub(crate) type Names<'a> = &'a [(u32, &'a str)];

/// Writes `bits`, the lowest first.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, bits: u32, names: Names<'_>) -> fmt::Result {
    if bits == 0 {
        return f.write_str("none");
    }
    let mut separator = "";
    for bit in (0..32).filter(|bit| bits & (1 << bit) != 0) {
        f.write_str(separator)?;
        separator = "|";
        match names.iter().find(|(named, _)| *named == 1 << bit) {
            Some((_, name)) => f.write_str(name)?,
            None => write!(f, "bit{bit}")?,
        }
    }
    Ok(())
}

/// Reads bits as [`write`] writes them; nothing if a word names none.
pub(crate) fn read(text: &str, names: Names<'_>) -> Option<u32> {
    if text == "none" {
        return Some(0);
    }
    text.split('|').try_fold(0, |bits, word| Some(bits | bit(word, names)?))
}

fn bit(word: &str, names: Names<'_>) -> Option<u32> {
    let named = names.iter().find(|(_, name)| *name == word).map(|(bit, _)| *bit);
    let numbered = || {
        let number: u32 = word.strip_prefix("bit")?.parse().ok()?;
        1_u32.checked_shl(number)
    };
    named.or_else(numbered)
}
