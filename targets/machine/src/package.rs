//! Packages of Debian's archive: which there are, fetched and unpacked without root and without installing them.

use std::cmp::Ordering;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::CacheError;
use crate::run::{self, RunError};
use crate::tools::{self, MissingTools};

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Programs of the host are missing.
    #[error(transparent)]
    Tools(#[from] MissingTools),
    /// A file cannot be read or written.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The package lists cannot be read.
    #[error("cannot ask which packages there are: check that apt works")]
    Ask(#[source] RunError),
    /// No package list knows of it.
    #[error(
        "no package {wanted} in the package lists: run `apt-get update` as root (6.12 on Debian 12 needs \
         bookworm-backports or bookworm-security)"
    )]
    Unlisted {
        /// What was looked for.
        wanted: String,
    },
    /// The archive did not give it.
    #[error(
        "cannot download {package}: run `apt-get update` as root (6.12 on Debian 12 needs bookworm-backports or \
         bookworm-security)"
    )]
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

/// A package that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Listed {
    /// What `apt-get` takes for this very version.
    pub(crate) fn exactly(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

/// The newest of the packages whose name begins with `prefix` and `is_wanted`. Brings the package lists up to date
/// where there is none and that is allowed.
///
/// # Errors
///
/// If there is none, or apt does not work.
pub(crate) fn newest(
    prefix: &str,
    is_wanted: fn(&str) -> bool,
    log: &Path,
) -> Result<Listed, PackageError> {
    tools::require(tools::SOURCE, &[])?;
    let mut found = listed(prefix, is_wanted, log)?;
    if found.is_empty()
        && let Some(mut update) = update_command()
        && run::logged(&mut update, log, &mut |_| {}).is_ok()
    {
        found = listed(prefix, is_wanted, log)?;
    }
    let newest = found.into_iter().max_by(|a, b| compare(&a.version, &b.version));
    newest.ok_or_else(|| PackageError::Unlisted { wanted: format!("{prefix}*") })
}

fn listed(
    prefix: &str,
    is_wanted: fn(&str) -> bool,
    log: &Path,
) -> Result<Vec<Listed>, PackageError> {
    let names = ask(Command::new("apt-cache").args(["pkgnames", prefix]), log)?;
    let names: Vec<&str> =
        names.lines().filter(|name| name.starts_with(prefix) && is_wanted(name)).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let table = ask(Command::new("apt-cache").arg("madison").args(names), log)?;
    Ok(table.lines().filter_map(row).collect())
}

fn ask(command: &mut Command, log: &Path) -> Result<String, PackageError> {
    let mut answer = String::new();
    run::logged(command.env("LC_ALL", "C"), log, &mut |news| answer.push_str(news))
        .map_err(PackageError::Ask)?;
    Ok(answer)
}

/// One row of `apt-cache madison`: name, version, place.
fn row(line: &str) -> Option<Listed> {
    let mut columns = line.split(" | ").map(str::trim);
    let (name, version, place) = (columns.next()?, columns.next()?, columns.next()?);
    place
        .ends_with("Packages")
        .then(|| Listed { name: name.to_owned(), version: version.to_owned() })
}

/// Downloads `package` (a name, or `name=version`) into `folder`, which is empty; brings the package lists up to date
/// and tries again where that is allowed. Gives the file.
///
/// # Errors
///
/// If the archive does not give it.
pub(crate) fn download(
    package: &str,
    folder: &Path,
    log: &Path,
    report: &mut dyn FnMut(&str),
) -> Result<PathBuf, PackageError> {
    tools::require(tools::SOURCE, &[])?;
    let mut get = Command::new("apt-get");
    get.args(["--quiet", "download", package]).current_dir(folder).env("LC_ALL", "C");
    let mut result = run::logged(&mut get, log, report);
    if result.is_err()
        && let Some(mut update) = update_command()
        && run::logged(&mut update, log, report).is_ok()
    {
        result = run::logged(&mut get, log, report);
    }
    let failed = |source| PackageError::Download { package: package.to_owned(), source };
    result.map_err(|source| failed(Some(source)))?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let mut files =
        fs::read_dir(folder).map_err(CacheError::io("read", folder))?.filter_map(Result::ok);
    files.find_map(|file| Some(file.path()).filter(is_package)).ok_or_else(|| failed(None))
}

/// How this user can bring the package lists up to date without being asked for a password, if at all.
fn update_command() -> Option<Command> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("apt-get")
    } else {
        tools::find("sudo")?;
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", "apt-get"]);
        sudo
    };
    command.args(["--quiet", "update"]).env("LC_ALL", "C");
    Some(command)
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
        assert_eq!(row("linux | 6.1.192-2 | http://x bookworm/main Sources"), None);
        assert_eq!(row("W: Download is performed unsandboxed"), None);
    }
}
