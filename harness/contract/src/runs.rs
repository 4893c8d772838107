//! Bytes as runs of equal values.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A byte string, run-length encoded: `(length in bytes, value)`.
///
/// Sequences fill memory with one tag at a time, so what anyone sees of it is a
/// handful of runs. Canonical: no run is empty and no two neighbours have the
/// same value, so equality of runs is equality of bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u32, u8)>")]
pub struct Runs(Vec<(u32, u8)>);

/// Runs that are not canonical, or longer than anything a sequence can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("runs that are not canonical or too long")]
pub struct BadRuns;

impl TryFrom<Vec<(u32, u8)>> for Runs {
    type Error = BadRuns;

    fn try_from(runs: Vec<(u32, u8)>) -> Result<Runs, BadRuns> {
        let total = runs.iter().try_fold(0u32, |total, (len, _)| total.checked_add(*len));
        let canonical =
            runs.iter().all(|(len, _)| *len > 0) && runs.is_sorted_by(|a, b| a.1 != b.1);
        if total.is_some() && canonical { Ok(Runs(runs)) } else { Err(BadRuns) }
    }
}

impl Runs {
    /// The runs of `bytes`.
    ///
    /// # Panics
    ///
    /// If there are 4 GiB or more.
    pub fn of(bytes: &[u8]) -> Runs {
        let mut runs = Runs::default();
        for chunk in bytes.chunk_by(|a, b| a == b) {
            runs.push(
                u32::try_from(chunk.len()).expect("an arena is smaller than 4 GiB"),
                chunk[0],
            );
        }
        runs
    }

    /// `len_bytes` times `byte`.
    pub fn uniform(len_bytes: u32, byte: u8) -> Runs {
        let mut runs = Runs::default();
        runs.push(len_bytes, byte);
        runs
    }

    /// Appends `len_bytes` times `byte`.
    pub fn push(&mut self, len_bytes: u32, byte: u8) {
        if len_bytes == 0 {
            return;
        }
        match self.0.last_mut() {
            Some((len, last)) if *last == byte => *len += len_bytes,
            _ => self.0.push((len_bytes, byte)),
        }
    }

    /// Appends all of `other`.
    pub fn append(&mut self, other: &Runs) {
        for &(len, byte) in &other.0 {
            self.push(len, byte);
        }
    }

    /// Each run: length in bytes, value.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u8)> + '_ {
        self.0.iter().copied()
    }

    /// Length of the byte string.
    pub fn len_bytes(&self) -> u32 {
        self.0.iter().map(|(len, _)| len).sum()
    }

    /// The bytes `start..end` of the string, as far as it reaches.
    #[must_use]
    pub fn slice(&self, start: u32, end: u32) -> Runs {
        let mut out = Runs::default();
        let mut at = 0;
        for &(len, byte) in &self.0 {
            let (from, to) = (at.max(start), (at + len).min(end));
            out.push(to.saturating_sub(from), byte);
            at += len;
        }
        out
    }

    /// The string with `start..end` overwritten by `byte`, as far as it reaches.
    #[must_use]
    pub fn filled(&self, start: u32, end: u32, byte: u8) -> Runs {
        let len = self.len_bytes();
        let (start, end) = (start.min(len), end.min(len));
        let mut out = self.slice(0, start);
        out.push(end.saturating_sub(start), byte);
        out.append(&self.slice(end.max(start), len));
        out
    }
}

/// `0x22` for a uniform string, `0x22*4 0x00*12` for a mixed one, `empty` for none.
impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("empty"),
            [(_, byte)] => write!(f, "{byte:#04x}"),
            runs => {
                for (index, (len, byte)) in runs.iter().enumerate() {
                    let separator = if index == 0 { "" } else { " " };
                    write!(f, "{separator}{byte:#04x}*{len}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_runs_are_taken_from_outside() {
        assert!(Runs::try_from(vec![(1, 0), (2, 1)]).is_ok());
        assert_eq!(Runs::try_from(vec![(1, 0), (2, 0)]), Err(BadRuns));
        assert_eq!(Runs::try_from(vec![(0, 0)]), Err(BadRuns));
        assert_eq!(Runs::try_from(vec![(u32::MAX, 0), (1, 1)]), Err(BadRuns));
    }

    #[test]
    fn runs_are_canonical() {
        let runs = Runs::of(&[1, 1, 2, 2, 2, 1]);
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(2, 1), (3, 2), (1, 1)]);
        assert_eq!(runs.len_bytes(), 6);
        assert_eq!(runs.filled(2, 5, 1), Runs::uniform(6, 1));
    }

    #[test]
    fn filling_is_what_it_is_on_bytes() {
        let bytes: Vec<u8> = (0..64u8).map(|i| i / 7).collect();
        for start in 0..=64u32 {
            for end in start..=64u32 {
                let mut want = bytes.clone();
                want[start as usize..end as usize].fill(0xee);
                let got = Runs::of(&bytes).filled(start, end, 0xee);
                assert_eq!(got, Runs::of(&want));
                assert_eq!(
                    Runs::of(&bytes).slice(start, end),
                    Runs::of(&bytes[start as usize..end as usize])
                );
            }
        }
    }
}
