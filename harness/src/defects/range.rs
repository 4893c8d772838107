//! Ranges of kernels, by the first three numbers of a version.

use std::fmt;

use pinfold_contract::Series;

/// The first three numbers of a kernel's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version([u32; 3]);

impl Version {
    const FIRST: Version = Version([0; 3]);
    const LAST: Version = Version([u32::MAX; 3]);

    /// The version in `uname -r`: "6.12.117", "6.1.0-49-amd64", "6.12.117+deb13".
    pub(super) fn of_release(release: &str) -> Option<Version> {
        let end = release.find(|c: char| !(c.is_ascii_digit() || c == '.'));
        let numbers = release[..end.unwrap_or(release.len())].split('.').take(3);
        let mut version = [0; 3];
        for (index, number) in numbers.enumerate() {
            version[index] = match number.parse() {
                Ok(number) => number,
                Err(_) if index > 0 => break,
                Err(_) => return None,
            };
        }
        Some(Version(version))
    }

    /// Two or three numbers; `rest` stands for the third where there are two.
    fn parse(text: &str, rest: u32) -> Option<Version> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        match numbers?.as_slice() {
            [a, b] => Some(Version([*a, *b, rest])),
            [a, b, c] => Some(Version([*a, *b, *c])),
            _ => None,
        }
    }
}

/// Three numbers that name one release, and its series.
pub(super) fn release(text: &str) -> Option<(Version, Series)> {
    let is_whole = text.split('.').count() == 3;
    Version::parse(text, 0).filter(|_| is_whole).zip(Series::of_release(text))
}

/// Kernels `first..=last`. An end that is not written is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    first: Version,
    last: Version,
}

/// Every form of a range, for messages.
pub(super) struct Forms;

impl fmt::Display for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series, a release, `FIRST..LAST`, `FIRST..` or `..LAST`, both ends included")
    }
}

impl Range {
    /// Reads one of the [`Forms`].
    pub(super) fn parse(text: &str) -> Option<Range> {
        let (first, last) = match text.split_once("..") {
            None => (Version::parse(text, 0)?, Version::parse(text, u32::MAX)?),
            Some(("", "")) => return None,
            Some((first, "")) => (Version::parse(first, 0)?, Version::LAST),
            Some(("", last)) => (Version::FIRST, Version::parse(last, u32::MAX)?),
            Some((first, last)) => (Version::parse(first, 0)?, Version::parse(last, u32::MAX)?),
        };
        (first <= last).then_some(Range { first, last })
    }

    pub(super) fn contains(self, version: Version) -> bool {
        self.first <= version && version <= self.last
    }

    pub(super) fn overlaps(self, other: Range) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether a release of `series` is among them.
    pub(super) fn has_series(self, series: Series) -> bool {
        Range::parse(&series.to_string()).is_some_and(|all| self.overlaps(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(range: &str, release: &str) -> bool {
        Version::of_release(release)
            .is_some_and(|version| Range::parse(range).unwrap().contains(version))
    }

    #[test]
    fn a_series_covers_all_its_releases_and_no_other() {
        for release in ["6.1.0-49-amd64", "6.1.192", "6.1"] {
            assert!(contains("6.1", release), "{release}");
        }
        for release in ["6.12.117", "6.0.19", "6.10.1", "7.1.0", "unknown", ""] {
            assert!(!contains("6.1", release), "{release}");
        }
    }

    #[test]
    fn a_range_holds_both_its_ends_and_compares_numbers() {
        for (release, want) in [
            ("6.1.149", false),
            ("6.1.150", true),
            ("6.1.192+", true),
            ("6.1.193", false),
            ("6.1.20", false),
        ] {
            assert_eq!(contains("6.1.150..6.1.192", release), want, "{release}");
        }
        assert!(contains("6.1..6.12", "6.12.117") && contains("6.1..6.12", "6.6.1"));
        assert!(contains("6.12.117", "6.12.117") && !contains("6.12.117", "6.12.118"));
    }

    #[test]
    fn an_open_end_holds_everything_newer_or_older() {
        assert!(contains("6.12..", "6.12.0") && contains("6.12..", "7.3-rc7"));
        assert!(contains("6.12..", "123.4.5") && !contains("6.12..", "6.11.99"));
        assert!(contains("..6.12", "6.12.117+deb13") && contains("..6.12", "5.10.1"));
        assert!(!contains("..6.12", "6.13") && !contains("..6.12.116", "6.12.117"));
    }

    #[test]
    fn ranges_overlap_if_one_kernel_is_in_both() {
        let overlaps =
            |one, other| Range::parse(one).unwrap().overlaps(Range::parse(other).unwrap());
        for (one, other, want) in [
            ("6.1..", "..6.1", true),
            ("6.1..", "7.3", true),
            ("6.2..", "6.1", false),
            ("..6.1", "6.1.1", true),
            ("..6.1.149", "6.1.150..", false),
            ("6.1..6.12", "6.6.9", true),
        ] {
            assert_eq!(overlaps(one, other), want, "{one} {other}");
            assert_eq!(overlaps(other, one), want, "{other} {one}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in
            ["", "..", "six", "6", "6..", "6.1...", "6.12..6.1", "6.1.192..6.1.150", "6.1..=6.2"]
        {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_release_has_three_numbers() {
        assert!(release("6.1.192").is_some_and(|(_, series)| series == Series::new(6, 1)));
        for text in ["6.1", "6.1.192-3", "6.1.x", "6.1.192.1", ""] {
            assert_eq!(release(text), None, "{text}");
        }
    }
}
