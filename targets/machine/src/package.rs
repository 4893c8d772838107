//! Packages of Debian's archive: which there are, fetched and unpacked without root and without installing them.

use std::cmp::Ordering;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinfold_contract::Series;

use crate::apt::{Apt, AptError};
use crate::cache::CacheError;
use crate::run::{self, RunError};
use crate::source::Freshness;

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The archive's lists cannot be had.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The archive does not have it.
    #[error("no package {wanted} in {archives}: {}", instead(available))]
    Unlisted {
        /// What was looked for.
        wanted: String,
        /// Where it was looked for.
        archives: String,
        /// The series whose source the archive has, the oldest first.
        available: Vec<Series>,
    },
    /// The archive did not give it.
    #[error("cannot download {package}: check that the archive can be reached and has it")]
    Download {
        /// The package asked for.
        package: String,
        /// What the download said; nothing if it left no file behind.
        #[source]
        source: Option<RunError>,
    },
    /// It could not be unpacked.
    #[error("cannot unpack {package}: check the free space of the cache folder")]
    Unpack {
        /// The package file.
        package: PathBuf,
        /// What unpacking said.
        #[source]
        source: RunError,
    },
}

fn instead(available: &[Series]) -> String {
    if available.is_empty() {
        return "it has the source of no kernel series, so name a kernel tree with --kernel-src DIR"
            .to_owned();
    }
    let names: Vec<String> = available.iter().map(Series::to_string).collect();
    format!("choose one of the kernel series that it has, {}", names.join(", "))
}

/// A package that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The suite that has it, as our sources call it.
    pub(crate) suite: String,
}

impl Listed {
    /// What `apt-get` takes for this very version.
    pub(crate) fn exactly(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

/// The packages that are asked for: those whose name begins with `prefix` and `is_wanted`.
pub(crate) struct Query<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) is_wanted: &'a dyn Fn(&str) -> bool,
}

/// The newest of the packages that `query` is about, of all suites. Fetches the lists where there are none, where there
/// is no such package in old ones, or where `freshness` wants it.
///
/// # Errors
///
/// If there is none, or the lists cannot be had.
pub(crate) fn newest(
    apt: &Apt<'_>,
    query: &Query<'_>,
    freshness: Freshness,
    log: &Path,
    report: &mut dyn FnMut(&str),
) -> Result<Listed, PackageError> {
    let found = listed(apt, query, freshness, log, report)?;
    if let Some(newest) = found.into_iter().max_by(|a, b| compare(&a.version, &b.version)) {
        return Ok(newest);
    }
    Err(PackageError::Unlisted {
        wanted: query.prefix.to_owned(),
        archives: apt.archives(),
        available: series(apt, log, report)?,
    })
}

/// All packages that `query` is about, with the lists fetched as [`newest`] does.
///
/// # Errors
///
/// If the lists cannot be had.
pub(crate) fn listed(
    apt: &Apt<'_>,
    query: &Query<'_>,
    freshness: Freshness,
    log: &Path,
    report: &mut dyn FnMut(&str),
) -> Result<Vec<Listed>, PackageError> {
    let _lock = apt.lock(|| report(""))?;
    let is_wished = freshness == Freshness::Newest || apt.age().is_none();
    if is_wished {
        apt.update(log, report)?;
    }
    let found = search(apt, query, log)?;
    if !found.is_empty() || !apt.is_old() {
        return Ok(found);
    }
    apt.update(log, report)?;
    search(apt, query, log)
}

fn search(apt: &Apt<'_>, query: &Query<'_>, log: &Path) -> Result<Vec<Listed>, PackageError> {
    let answer = apt.ask(&["pkgnames", query.prefix], log)?;
    let is_wanted = |name: &&str| name.starts_with(query.prefix) && (query.is_wanted)(name);
    let names: Vec<&str> = answer.lines().filter(is_wanted).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let table = apt.ask(&[&["madison"], names.as_slice()].concat(), log)?;
    Ok(table.lines().filter_map(row).collect())
}

/// One row of `apt-cache madison`: name, version, place.
fn row(line: &str) -> Option<Listed> {
    let mut columns = line.split(" | ").map(str::trim);
    let (name, version, place) = (columns.next()?, columns.next()?, columns.next()?);
    let suite = place.strip_suffix("Packages")?.split_whitespace().nth(1)?.rsplit_once('/')?.0;
    let [name, version, suite] = [name, version, suite].map(str::to_owned);
    Some(Listed { name, version, suite })
}

/// How packages of a series' source begin.
pub(crate) const SOURCE_PREFIX: &str = "linux-source-";

/// The series whose source the archive has, the oldest first. Fetches lists only where there are none.
///
/// # Errors
///
/// If the lists cannot be had.
pub(crate) fn series(
    apt: &Apt<'_>,
    log: &Path,
    report: &mut dyn FnMut(&str),
) -> Result<Vec<Series>, PackageError> {
    let _lock = apt.lock(|| report(""))?;
    if apt.age().is_none() {
        apt.update(log, report)?;
    }
    listed_series(apt, log)
}

/// The same of the lists that there are; the caller holds the lock.
pub(crate) fn listed_series(apt: &Apt<'_>, log: &Path) -> Result<Vec<Series>, PackageError> {
    Ok(series_in(&apt.ask(&["pkgnames", SOURCE_PREFIX], log)?))
}

/// The series of a list of package names.
fn series_in(names: &str) -> Vec<Series> {
    let series = |name: &str| name.strip_prefix(SOURCE_PREFIX)?.parse::<Series>().ok();
    let mut found: Vec<Series> = names.lines().filter_map(series).collect();
    found.sort();
    found.dedup();
    found
}

/// Downloads `package` (a name, or `name=version`) into `folder`, which is empty; brings old lists up to date and tries
/// again. Gives the file.
///
/// # Errors
///
/// If the archive does not give it.
pub(crate) fn download(
    apt: &Apt<'_>,
    package: &str,
    folder: &Path,
    log: &Path,
    report: &mut dyn FnMut(&str),
) -> Result<PathBuf, PackageError> {
    if apt.age().is_none() {
        let _lock = apt.lock(|| report(""))?;
        apt.update(log, report)?;
    }
    let mut get = apt.command("apt-get");
    get.args(["--quiet", "download", package]).current_dir(folder);
    let mut result = run::logged(&mut get, log, report);
    if result.is_err() && apt.is_old() {
        let lock = apt.lock(|| report(""))?;
        apt.update(log, report)?;
        drop(lock);
        result = run::logged(&mut get, log, report);
    }
    let failed = |source| PackageError::Download { package: package.to_owned(), source };
    result.map_err(|source| failed(Some(source)))?;
    files(folder)?.into_iter().next().ok_or_else(|| failed(None))
}

/// Downloads the newest of `packages` (each a name, or `name=version`) and all that they need, from `suite` as far as
/// it has them, into `folder`, which is empty. Gives the files.
///
/// # Errors
///
/// If the archive does not give them.
pub(crate) fn download_with_needs(
    apt: &Apt<'_>,
    packages: &[String],
    suite: &str,
    folder: &Path,
    log: &Path,
    report: &mut dyn FnMut(&str),
) -> Result<Vec<PathBuf>, PackageError> {
    let partial = folder.join("partial");
    fs::create_dir_all(&partial).map_err(CacheError::io("create", &partial))?;
    let mut get = apt.command("apt-get");
    get.args(["--quiet", "--yes", "--download-only", "--no-install-recommends"]);
    get.arg("-o").arg(format!("Dir::Cache::archives={}", folder.display()));
    get.arg("--target-release").arg(suite).arg("install").args(packages);
    // The lock of the archives is in the folder that is named, and that of the status file is ours.
    let _lock = apt.lock(|| report(""))?;
    let failed = |source| PackageError::Download { package: packages.join(" "), source };
    run::logged(&mut get, log, report).map_err(|source| failed(Some(source)))?;
    let files = files(folder)?;
    if files.is_empty() { Err(failed(None)) } else { Ok(files) }
}

/// The package files in `folder`.
fn files(folder: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let entries = fs::read_dir(folder).map_err(CacheError::io("read", folder))?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_package).collect())
}

/// What a package needs: of each field `Depends` the first of the packages that one may choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) name: String,
    /// The version, where it has to be this one.
    pub(crate) exactly: Option<String>,
}

impl Need {
    /// What `apt-get` takes for it.
    pub(crate) fn wanted(&self) -> String {
        match &self.exactly {
            Some(version) => format!("{}={version}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Reads a field `Depends`.
///
/// Source: deb-control(5).
pub(crate) fn needs(depends: &str) -> Vec<Need> {
    let need = |part: &str| -> Option<Need> {
        let first = part.split('|').next()?.trim();
        let (name, condition) = first.split_once('(').unwrap_or((first, ""));
        let name = name.trim().split([':', ' ', '[']).next()?;
        let version = condition.trim_end().trim_end_matches(')').strip_prefix('=');
        let exactly = version.map(|version| version.trim().to_owned());
        (!name.is_empty()).then(|| Need { name: name.to_owned(), exactly })
    };
    depends.split(',').filter_map(need).collect()
}

/// What the package file says of itself under `name`, as `Version` or `Depends`.
///
/// # Errors
///
/// If it cannot be read.
pub(crate) fn field(package: &Path, name: &str, log: &Path) -> Result<String, PackageError> {
    let mut text = String::new();
    let mut ask = Command::new("dpkg-deb");
    ask.arg("--field").arg(package).arg(name).env("LC_ALL", "C");
    run::logged(&mut ask, log, &mut |news| text.push_str(news))
        .map_err(|source| PackageError::Unpack { package: package.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

/// Unpacks all files of `package` below `folder`.
///
/// # Errors
///
/// If it is no package, or there is no room.
pub(crate) fn extract(
    package: &Path,
    folder: &Path,
    log: &Path,
    report: &mut dyn FnMut(&str),
) -> Result<(), PackageError> {
    let mut extract = Command::new("dpkg-deb");
    extract.arg("--extract").arg(package).arg(folder);
    run::logged(&mut extract, log, report)
        .map_err(|source| PackageError::Unpack { package: package.to_owned(), source })
}

/// Which of two package versions is the newer one.
///
/// Source: deb-version(7): an epoch, then what stands before the last hyphen, then what stands behind it.
pub(crate) fn compare(one: &str, other: &str) -> Ordering {
    let parts = |version: &'_ str| -> (u64, String, String) {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch.parse().unwrap_or(0), upstream.to_owned(), revision.to_owned())
    };
    let (one, other) = (parts(one), parts(other));
    one.0
        .cmp(&other.0)
        .then_with(|| compare_part(&one.1, &other.1))
        .then_with(|| compare_part(&one.2, &other.2))
}

/// Compares by turns what is no digit, and numbers.
fn compare_part(mut one: &str, mut other: &str) -> Ordering {
    while !(one.is_empty() && other.is_empty()) {
        let (word_one, word_other) = (cut(&mut one, false), cut(&mut other, false));
        let words = word_weights(word_one).cmp(word_weights(word_other));
        let (number_one, number_other) = (cut(&mut one, true), cut(&mut other, true));
        let numbers = (number_one.len(), number_one).cmp(&(number_other.len(), number_other));
        let order = words.then(numbers);
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Cuts off what is of one kind at the beginning; of a number, without zeros before it.
fn cut<'a>(text: &mut &'a str, is_number: bool) -> &'a str {
    let end = text.find(|c: char| c.is_ascii_digit() != is_number).unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    *text = rest;
    if is_number { head.trim_start_matches('0') } else { head }
}

/// A tilde comes before the end of a word, the end before letters, and letters before all else.
fn word_weights(word: &str) -> impl Iterator<Item = u32> + '_ {
    let weight = |c: char| match c {
        '~' => 0,
        c if c.is_ascii_alphabetic() => u32::from(c),
        c => u32::from(c) + 0x0100_0000,
    };
    word.chars().map(weight).chain(iter::once(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_debian_orders_them() {
        let ascending = [
            "6.1.9-1~bpo11+1",
            "6.1.9-1",
            "6.1.9-1+b1",
            "6.1.9-1+deb12u1",
            "6.1.10~rc1-1",
            "6.1.10-1",
            "6.1.176-1",
            "6.1.192-2",
            "6.12.117-1~deb12u1",
            "6.12.117-1",
            "1:4.0-1",
        ];
        for (index, low) in ascending.iter().enumerate() {
            assert_eq!(compare(low, low), Ordering::Equal);
            for high in &ascending[index + 1..] {
                assert_eq!(compare(low, high), Ordering::Less, "{low} < {high}");
                assert_eq!(compare(high, low), Ordering::Greater, "{high} > {low}");
            }
        }
        assert_eq!(compare("1.02-1", "1.2-1"), Ordering::Equal);
    }

    #[test]
    fn a_row_of_binary_packages_is_read_and_one_of_sources_is_not() {
        let found =
            row("linux-image-6.1.0-56-amd64 |  6.1.192-2 | http://x bookworm/main amd64 Packages");
        let found = found.unwrap();
        assert_eq!(found.exactly(), "linux-image-6.1.0-56-amd64=6.1.192-2");
        assert_eq!(found.suite, "bookworm");
        let found = row("linux-source-7.3 | 7.3.4-1~bpo13+1 | \
            http://x/debian stable-backports/main amd64 Packages");
        assert_eq!(found.unwrap().suite, "stable-backports");
        assert_eq!(row("linux | 6.1.192-2 | http://x bookworm/main Sources"), None);
        assert_eq!(row("W: Download is performed unsandboxed"), None);
    }

    #[test]
    fn what_a_package_needs_is_read_with_its_version_and_without_the_alternatives() {
        let found = needs(
            "dracut | initramfs-tools (>= 0.120+deb8u2), linux-binary-7.3.4+deb13-amd64 (= 7.3.4-1~bpo13+1), \
             python3:any (>= 3.5~), libc6 (>= 2.38)",
        );
        let wanted: Vec<String> = found.iter().map(Need::wanted).collect();
        let expected =
            ["dracut", "linux-binary-7.3.4+deb13-amd64=7.3.4-1~bpo13+1", "python3", "libc6"];
        assert_eq!(wanted, expected);
        assert_eq!(needs(""), []);
    }

    #[test]
    fn the_series_of_a_listing_come_each_once_and_in_order() {
        let found = series_in(
            "linux-source-6.12\nlinux-source\nlinux-source-6.1\nlinux-source-6.12\nlinux-source-x.y\n",
        );
        let names: Vec<String> = found.iter().map(Series::to_string).collect();
        assert_eq!(names, ["6.1", "6.12"]);
    }

    #[test]
    fn a_package_that_is_gone_is_told_with_the_series_that_there_are() {
        let error = |available: Vec<Series>| {
            let (wanted, archives) =
                ("linux-source-5.10".to_owned(), "http://mirror.example/debian".to_owned());
            PackageError::Unlisted { wanted, archives, available }.to_string()
        };
        let text = error(series_in("linux-source-6.12\nlinux-source-6.1\n"));
        assert_eq!(
            text,
            "no package linux-source-5.10 in http://mirror.example/debian: choose one of the kernel series that it \
             has, 6.1, 6.12"
        );
        assert!(error(Vec::new()).contains("--kernel-src"));
    }
}
