//! Divergences that are known and explained (`corpus/known.toml`).
//!
//! An entry matches one signature on a range of kernels and nothing else, so
//! that it cannot hide a second bug. What it matches is still counted and shown.

use serde::Deserialize;
use toml::Spanned;

use crate::profile::Platform;
use crate::signature::Signature;

/// The list of known divergences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    entries: Vec<Entry>,
}

/// One known divergence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its signature.
    pub signature: Signature,
    /// The kernels that have it, as written: "6.1", or "6.1.150..6.1.192", both ends included.
    pub kernels: String,
    /// What these kernels run on where they have it; `None` is anything.
    pub machine: Option<Platform>,
    /// What it is, in a few words.
    pub title: String,
    /// Where in the kernel it comes from, `file:function`.
    pub source: String,
    /// Why it happens.
    pub explanation: String,
    /// The minimized sequence that shows it, a path from the root of the repository.
    pub sequence: String,
    range: Range,
}

/// A kernel that runs, as far as entries tell kernels apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running<'a> {
    /// Its `uname -r`. Only the first three numbers count.
    pub release: &'a str,
    /// What it runs on.
    pub platform: Platform,
}

/// Why a text is no list of known divergences, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct KnownError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Known {
    /// Reads the text of `known.toml` strictly: `[[known]]` tables with every field of [`Entry`], of which `machine` may
    /// be missing.
    ///
    /// # Errors
    ///
    /// What is not TOML, a field too many or missing or empty, a range that is
    /// none, one signature on one kernel twice.
    pub fn parse(text: &str) -> Result<Known, KnownError> {
        let file: Stored = toml::from_str(text).map_err(|e| {
            error_at(text, e.span().map_or(0, |span| span.start), e.message().to_owned())
        })?;
        let mut known = Known::default();
        for stored in file.known {
            let place = stored.span().start;
            let entry = stored
                .into_inner()
                .read()
                .map_err(|(at, message)| error_at(text, at.unwrap_or(place), message))?;
            if let Some(other) = known.entries.iter().find(|other| other.overlaps(&entry)) {
                let message = format!(
                    "`{}` is known already on kernels {}, which {} overlaps; one entry has to go",
                    entry.signature, other.kernels, entry.kernels
                );
                return Err(error_at(text, place, message));
            }
            known.entries.push(entry);
        }
        Ok(known)
    }

    /// The entries, in the order of the text.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that explains `signature` on `kernel`. A release that does not begin with a number has no entry.
    pub fn matching(&self, signature: &Signature, kernel: Running<'_>) -> Option<&Entry> {
        let version = Version::of_release(kernel.release)?;
        self.entries.iter().find(|entry| {
            entry.signature == *signature
                && entry.range.contains(version)
                && entry.machine.is_none_or(|machine| machine == kernel.platform)
        })
    }
}

impl Entry {
    fn overlaps(&self, other: &Entry) -> bool {
        let same_machine =
            self.machine.is_none() || other.machine.is_none() || self.machine == other.machine;
        self.signature == other.signature
            && same_machine
            && self.range.first <= other.range.last
            && other.range.first <= self.range.last
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default)]
    known: Vec<Spanned<StoredEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEntry {
    signature: Spanned<Signature>,
    kernels: Spanned<String>,
    #[serde(default)]
    machine: Option<Spanned<String>>,
    title: Spanned<String>,
    source: Spanned<String>,
    explanation: Spanned<String>,
    sequence: Spanned<String>,
}

impl StoredEntry {
    /// The entry; or what is wrong, and at which byte of the text if that is known.
    fn read(self) -> Result<Entry, (Option<usize>, String)> {
        for (name, field) in [
            ("title", &self.title),
            ("source", &self.source),
            ("explanation", &self.explanation),
            ("sequence", &self.sequence),
        ] {
            if field.get_ref().trim().is_empty() {
                return Err((Some(field.span().start), format!("`{name}` is empty")));
            }
        }
        if !self.source.get_ref().contains(':') {
            let message = "`source` is `file:function`".to_owned();
            return Err((Some(self.source.span().start), message));
        }
        let range = Range::parse(self.kernels.get_ref()).ok_or_else(|| {
            let message = format!(
                "`{}` is no range of kernels: that is `6.1`, `6.1.150` or `6.1.150..6.1.192`",
                self.kernels.get_ref()
            );
            (Some(self.kernels.span().start), message)
        })?;
        let machine = match &self.machine {
            None => None,
            Some(name) => Some(Platform::from_name(name.get_ref()).ok_or_else(|| {
                let message = format!("`{}` is no machine: uml or x86", name.get_ref());
                (Some(name.span().start), message)
            })?),
        };
        Ok(Entry {
            signature: self.signature.into_inner(),
            kernels: self.kernels.into_inner(),
            machine,
            title: self.title.into_inner(),
            source: self.source.into_inner(),
            explanation: self.explanation.into_inner(),
            sequence: self.sequence.into_inner(),
            range,
        })
    }
}

fn error_at(text: &str, byte: usize, message: String) -> KnownError {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    KnownError {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: message.trim_end().replace('\n', "; "),
    }
}

/// The first three numbers of a kernel's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version([u32; 3]);

impl Version {
    /// Of what `uname -r` says: "6.12.117", "6.1.0-49-amd64", "6.12.117+deb13".
    fn of_release(release: &str) -> Option<Version> {
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

/// Kernels `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: Version,
    last: Version,
}

impl Range {
    fn parse(text: &str) -> Option<Range> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last) = (Version::parse(first, 0)?, Version::parse(last, u32::MAX)?);
        (first <= last).then_some(Range { first, last })
    }

    fn contains(self, version: Version) -> bool {
        self.first <= version && version <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(signature: &str, kernels: &str) -> String {
        format!(
            "[[known]]\nsignature = \"{signature}\"\nkernels = \"{kernels}\"\ntitle = \"t\"\n\
             source = \"mm/gup.c:f\"\nexplanation = \"e\"\nsequence = \"corpus/regress/x.seq\"\n"
        )
    }

    fn matches(kernels: &str, release: &str) -> bool {
        let known = Known::parse(&entry("a-b", kernels)).unwrap();
        known.matching(&"a-b".parse().unwrap(), on_uml(release)).is_some()
    }

    fn on_uml(release: &str) -> Running<'_> {
        Running { release, platform: Platform::Uml }
    }

    #[track_caller]
    fn refused(text: &str) -> KnownError {
        Known::parse(text).unwrap_err()
    }

    #[test]
    fn an_empty_list_knows_nothing() {
        assert_eq!(Known::parse("# nothing\n").unwrap().entries(), []);
    }

    #[test]
    fn the_list_of_the_repository_can_be_read() {
        Known::parse(include_str!("../../corpus/known.toml")).unwrap();
    }

    #[test]
    fn a_series_covers_all_its_releases_and_no_other() {
        for release in ["6.1.0-49-amd64", "6.1.192", "6.1"] {
            assert!(matches("6.1", release), "{release}");
        }
        for release in ["6.12.117", "6.0.19", "6.10.1", "7.1.0", "unknown", ""] {
            assert!(!matches("6.1", release), "{release}");
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
            assert_eq!(matches("6.1.150..6.1.192", release), want, "{release}");
        }
        assert!(matches("6.1..6.12", "6.12.117"));
        assert!(matches("6.12.117", "6.12.117") && !matches("6.12.117", "6.12.118"));
    }

    #[test]
    fn another_signature_is_not_known() {
        let known = Known::parse(&entry("a-b", "6.1")).unwrap();
        assert_eq!(known.matching(&"a-b-c".parse().unwrap(), on_uml("6.1.192")), None);
    }

    #[test]
    fn what_one_machine_has_is_not_known_of_another() {
        let of = |machine: &str| entry("a-b", &format!("6.1\"\nmachine = \"{machine}"));
        let known = Known::parse(&of("x86")).unwrap();
        let signature = "a-b".parse().unwrap();
        let release = "6.1.192";
        assert!(known.matching(&signature, Running { release, platform: Platform::X86 }).is_some());
        assert_eq!(known.matching(&signature, on_uml(release)), None);
        Known::parse(&(of("x86") + &of("uml"))).unwrap();
        assert!(refused(&(of("x86") + &entry("a-b", "6.1"))).message.contains("known already"));
        assert!(refused(&of("arm")).message.contains("uml or x86"));
    }

    #[test]
    fn the_same_thing_twice_is_refused() {
        let twice = entry("a-b", "6.1") + &entry("a-b", "6.1.150..6.2");
        let error = refused(&twice);
        assert_eq!(error.line, 8, "{error}");
        assert!(error.message.contains("known already"), "{error}");
        Known::parse(&(entry("a-b", "6.1") + &entry("a-b", "6.12"))).unwrap();
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = refused(&entry("a-b", "six"));
        assert_eq!((error.line, error.column), (3, 11), "{error}");
        let error = refused(&entry("a/b", "6.1"));
        assert_eq!((error.line, error.column), (2, 13), "{error}");
        assert_eq!(refused(&(entry("a-b", "6.1") + "note = \"x\"\n")).line, 8);
        assert_eq!(refused(&entry("a-b", "6.1").replace("mm/gup.c:f", "mm")).line, 5);
        assert_eq!(refused(&entry("a-b", "6.1").replace("\"e\"", "\"\"")).line, 6);
        assert!(refused("[[known]]\nkernels = \"6.1\"\n").message.contains("missing field"));
        assert!(Known::parse(&entry("a-b", "6.1.192..6.1.150")).is_err());
        assert!(Known::parse("known = 3").is_err());
    }
}
