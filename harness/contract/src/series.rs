//! A series of Linux: the two numbers that all of its releases begin with.

use std::fmt;
use std::str::FromStr;

/// Linux 6.12 is `6.12`, whatever follows in `6.12.117+deb13-amd64`. Ordered by age, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    major: u16,
    minor: u16,
}

/// A text that names no series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSeries {
    /// The text.
    pub text: String,
}

/// So many minor numbers are taken for one major number where two series are compared by distance. Linux 4, 5 and 6
/// each ended at 19 or 20.
const MINORS_PER_MAJOR: u32 = 20;

impl Series {
    /// The series `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Series {
        Series { major, minor }
    }

    /// The series of a kernel release, which is `uname -r` or what a Makefile says: `6.1.0-49-amd64`, `7.3-rc7`.
    pub fn of_release(release: &str) -> Option<Series> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        Some(Series { major, minor: numbers.next()?.parse().ok()? })
    }

    /// How many releases lie about between two series: 6.19 and 7.0 are neighbours.
    pub fn distance(self, other: Series) -> u32 {
        let place =
            |series: Series| u32::from(series.major) * MINORS_PER_MAJOR + u32::from(series.minor);
        place(self).abs_diff(place(other))
    }
}

/// `6.12`.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

/// As it is displayed, and nothing else.
impl FromStr for Series {
    type Err = BadSeries;

    fn from_str(text: &str) -> Result<Series, BadSeries> {
        let found = Series::of_release(text).filter(|series| series.to_string() == text);
        found.ok_or_else(|| BadSeries { text: text.to_owned() })
    }
}

impl fmt::Display for BadSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no kernel series: that is two numbers, MAJOR.MINOR", self.text)
    }
}

impl std::error::Error for BadSeries {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_read_as_it_is_written() {
        let series: Series = "6.12".parse().unwrap();
        assert_eq!((series, series.to_string().as_str()), (Series::new(6, 12), "6.12"));
        for text in ["", "6", "6.12.1", "6.012", "6.12+", "v6.12", "6,12", "66666.1"] {
            let error = text.parse::<Series>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_release_is_of_the_series_it_begins_with() {
        for (release, series) in [
            ("6.12.117+deb13-amd64", Series::new(6, 12)),
            ("6.1.0-49-amd64", Series::new(6, 1)),
            ("7.3-rc7", Series::new(7, 3)),
        ] {
            assert_eq!(Series::of_release(release), Some(series), "{release}");
        }
        for release in ["", "unknown", "6", "6-rc", "model-6.12"] {
            assert_eq!(Series::of_release(release), None, "{release}");
        }
    }

    #[test]
    fn numbers_are_compared_and_not_letters() {
        assert!(Series::new(6, 2) < Series::new(6, 12) && Series::new(6, 12) < Series::new(7, 0));
        assert_eq!(Series::new(6, 19).distance(Series::new(7, 0)), 1);
        assert_eq!(Series::new(6, 1).distance(Series::new(6, 2)), 1);
    }
}
