//! The kernel versions that a citation claims, as it writes them and as ranges of series.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A kernel series: the first two numbers of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The text is no version of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kernel version: two numbers with a dot between them are one, and a third may follow")]
pub struct NoVersion;

impl FromStr for Series {
    type Err = NoVersion;

    /// Reads a series, a release or what `uname -r` says; all but the first two numbers is left out.
    fn from_str(text: &str) -> Result<Series, NoVersion> {
        let (numbers, _) = text.split_once('-').unwrap_or((text, ""));
        let parts: Vec<&str> = numbers.split('.').collect();
        let number = |part: &str| part.parse::<u32>().map_err(|_| NoVersion);
        match parts.as_slice() {
            [major, minor] | [major, minor, _] => {
                let release = parts.get(2).map_or(Ok(0), |part| number(part));
                release.and(Ok(Series { major: number(major)?, minor: number(minor)? }))
            }
            _ => Err(NoVersion),
        }
    }
}

/// One part of a claim, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The first series, or the very first.
    pub(crate) first: Option<Series>,
    /// The last series, or the newest.
    pub(crate) last: Option<Series>,
}

/// The versions that a citation claims. It may claim none, which is a claim about every kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Claim {
    ranges: Vec<Range>,
}

impl Claim {
    pub(crate) fn push(&mut self, range: Range) {
        self.ranges.push(range);
    }

    pub(crate) fn extend(&mut self, other: &Claim) {
        self.ranges.extend(
            other
                .ranges
                .iter()
                .filter(|range| !self.ranges.contains(range))
                .copied()
                .collect::<Vec<_>>(),
        );
    }

    /// Whether no version stands there.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether it speaks of `series`. A claim of no version speaks of all.
    pub fn covers(&self, series: Series) -> bool {
        self.is_empty()
            || self.ranges.iter().any(|range| {
                range.first.is_none_or(|first| first <= series)
                    && range.last.is_none_or(|last| series <= last)
            })
    }
}

impl From<Claim> for String {
    fn from(claim: Claim) -> String {
        claim.to_string()
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let gap = if index == 0 { "" } else { ", " };
            match (range.first, range.last) {
                (Some(first), Some(last)) if first == last => write!(f, "{gap}{first}")?,
                (Some(first), Some(last)) => write!(f, "{gap}{first} to {last}")?,
                (Some(first), None) => write!(f, "{gap}since {first}")?,
                (None, Some(last)) => write!(f, "{gap}up to {last}")?,
                (None, None) => write!(f, "{gap}any")?,
            }
        }
        Ok(())
    }
}
