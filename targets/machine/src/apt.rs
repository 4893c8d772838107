//! An apt of our own, below the cache folder: its own lists of packages and its own sources, for any user.
//!
//! It asks the archives that this machine's apt asks, in the way that one does (proxy and passwords are read from
//! `/etc/apt`), and in more suites: kernels are packaged first where the machine does not look. Nothing of the
//! machine's apt is changed. Every release file must be signed by Debian.

mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::cache::{Cache, CacheError, CacheLock};
use crate::run::{self, RunError};
use crate::tools::{self, MissingTools};
use sources::{Entry, Place};

/// Debian's keys, which package debian-archive-keyring brings, under its names of older and newer releases.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

/// Where this machine's apt is configured.
const SYSTEM: &str = "/etc/apt";

/// Lists that are younger are not fetched again because something is not in them.
const YOUNG: Duration = Duration::from_secs(3600);

/// Why the archive's lists cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// Programs of the host are missing.
    #[error(transparent)]
    Tools(#[from] MissingTools),
    /// A file cannot be read or written.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Debian's keys are missing.
    #[error(
        "no keys of Debian's archive at {path}: run `apt-get install debian-archive-keyring`, since no package is taken \
         without a signature"
    )]
    Keyring {
        /// Where they are looked for.
        path: PathBuf,
    },
    /// No suite of any archive could be read.
    #[error("cannot fetch package lists from {archives}: check that the archive can be reached")]
    Update {
        /// The archives that were asked.
        archives: String,
        /// What apt said.
        #[source]
        source: Option<RunError>,
    },
    /// The lists cannot be searched.
    #[error("cannot search the package lists: remove the folder `apt` of the cache, and run again")]
    Ask(#[source] RunError),
}

/// Our own apt.
#[derive(Debug)]
pub(crate) struct Apt<'a> {
    cache: &'a Cache,
    folder: PathBuf,
    keyring: PathBuf,
    places: Vec<Place>,
}

impl<'a> Apt<'a> {
    /// The apt of `cache`. Asks no archive, and changes nothing.
    ///
    /// # Errors
    ///
    /// If apt or Debian's keys are not on this machine.
    pub(crate) fn open(cache: &'a Cache) -> Result<Apt<'a>, AptError> {
        tools::require(tools::SOURCE, &[])?;
        let keyring = keyring(&KEYRINGS)?;
        let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let places = sources::places(&entries(Path::new(SYSTEM)), debian_codename(&os_release));
        Ok(Apt { cache, folder: cache.root().join("apt"), keyring, places })
    }

    /// The lists are ours while this is held. `waiting` is called if another process has them.
    ///
    /// # Errors
    ///
    /// If the cache cannot be used.
    pub(crate) fn lock(&self, waiting: impl FnOnce()) -> Result<CacheLock, CacheError> {
        self.cache.lock("apt", waiting)
    }

    /// The archives that are asked.
    pub(crate) fn archives(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for place in &self.places {
            if !names.contains(&place.uri.as_str()) {
                names.push(&place.uri);
            }
        }
        names.join(", ")
    }

    /// How old the lists are; nothing if there are none, or the machine's sources are others by now.
    pub(crate) fn age(&self) -> Option<Duration> {
        let stamp = self.folder.join("updated");
        let asked = fs::read_to_string(&stamp).ok()?;
        let modified = stamp.metadata().and_then(|data| data.modified()).ok()?;
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        (asked == self.request()).then_some(age)
    }

    /// Whether fetching the lists again may bring something that is not in them.
    pub(crate) fn is_old(&self) -> bool {
        self.age().is_none_or(|age| age >= YOUNG)
    }

    /// The suites in the lists.
    pub(crate) fn suites(&self) -> Vec<String> {
        let text = fs::read_to_string(self.sources()).unwrap_or_default();
        text.lines().filter_map(|line| Some(line.strip_prefix("Suites: ")?.to_owned())).collect()
    }

    fn sources(&self) -> PathBuf {
        self.folder.join("pinfold.sources")
    }

    fn wanted(&self, targets: &str) -> String {
        sources::text(&self.places, &self.keyring.to_string_lossy(), targets)
    }

    /// What lists were fetched for: where this differs, they are others.
    fn request(&self) -> String {
        self.configuration() + &self.wanted("Packages")
    }

    /// Fetches the lists. A suite that an archive does not have is left out. The caller holds the lock.
    ///
    /// # Errors
    ///
    /// If no suite can be read, or the lists of one that is there.
    pub(crate) fn update(&self, log: &Path, report: &mut dyn FnMut(&str)) -> Result<(), AptError> {
        self.prepare()?;
        let found = self.probe(log, report)?;
        let text = sources::text(&found, &self.keyring.to_string_lossy(), "Packages");
        self.cache.publish_file(&self.sources(), text.as_bytes())?;
        let mut update = self.command("apt-get");
        update.args(["--quiet", "update"]);
        run::logged(&mut update, log, report).map_err(|source| self.unreachable(Some(source)))?;
        Ok(self.note_update()?)
    }

    /// Keeps what the lists were fetched for, and by its time when.
    fn note_update(&self) -> Result<(), CacheError> {
        self.cache.publish_file(&self.folder.join("updated"), self.request().as_bytes())
    }

    fn unreachable(&self, source: Option<RunError>) -> AptError {
        AptError::Update { archives: self.archives(), source }
    }

    /// Finds out which suites there are.
    fn probe(&self, log: &Path, report: &mut dyn FnMut(&str)) -> Result<Vec<Place>, AptError> {
        let (mut found, failure) = self.releases(&self.places, log, report)?;
        if found.is_empty() {
            return Err(self.unreachable(failure));
        }
        let named = by_codename(&found);
        if !named.is_empty() {
            found.extend(self.releases(&named, log, report)?.0);
        }
        Ok(distinct(found))
    }

    /// Asks `places` for their release files alone. Gives those that have one with the code name in it, and why that are
    /// not all.
    fn releases(
        &self,
        places: &[Place],
        log: &Path,
        report: &mut dyn FnMut(&str),
    ) -> Result<(Vec<Release>, Option<RunError>), AptError> {
        let scratch = self.cache.scratch()?;
        let lists = scratch.path().join("lists");
        let partial = lists.join("partial");
        fs::create_dir_all(&partial).map_err(CacheError::io("create", &partial))?;
        let file = scratch.path().join("probe.sources");
        // There is no target of this name: nothing but the release files is fetched.
        let text = sources::text(places, &self.keyring.to_string_lossy(), "none");
        fs::write(&file, text).map_err(CacheError::io("write", &file))?;
        let mut update = self.command("apt-get");
        update.arg("--quiet");
        update.arg("-o").arg(format!("Dir::Etc::sourcelist={}", file.display()));
        update.arg("-o").arg(format!("Dir::State::lists={}", lists.display()));
        // An archive that cannot be reached is a mere warning otherwise, apt-get(8).
        update.arg("-o").arg("APT::Update::Error-Mode=any");
        // It fails if a single suite is missing, and has the others all the same.
        let failure = run::logged(update.arg("update"), log, report).err();
        let release = |place: &Place| {
            let text = fs::read_to_string(lists.join(sources::release_file(place))).ok()?;
            let codename = sources::codename(&text).unwrap_or(&place.suite).to_owned();
            Some(Release { place: place.clone(), codename })
        };
        Ok((places.iter().filter_map(release).collect(), failure))
    }

    /// Makes the folders, and writes the configuration.
    fn prepare(&self) -> Result<(), CacheError> {
        for name in ["lists/partial", "archives/partial", "state"] {
            let folder = self.folder.join(name);
            fs::create_dir_all(&folder).map_err(CacheError::io("create", &folder))?;
        }
        // Nothing is installed, as far as this apt knows.
        self.cache.publish_file(&self.folder.join("state/status"), b"")?;
        self.cache.publish_file(&self.folder.join("apt.conf"), self.configuration().as_bytes())
    }

    /// What differs from the machine's configuration, which is read before it.
    ///
    /// Source: apt.conf(5). The machine's hooks are cleared, since they would work on the machine.
    fn configuration(&self) -> String {
        let folder = self.folder.display();
        format!(
            "Dir::State \"{folder}/state\";\n\
             Dir::State::lists \"{folder}/lists\";\n\
             Dir::State::status \"{folder}/state/status\";\n\
             Dir::Cache \"{folder}\";\n\
             Dir::Cache::archives \"archives\";\n\
             Dir::Cache::pkgcache \"pkgcache.bin\";\n\
             Dir::Cache::srcpkgcache \"\";\n\
             Acquire::GzipIndexes \"true\";\n\
             Dir::Log \"{folder}/log\";\n\
             Dir::Etc::sourcelist \"{sources}\";\n\
             Dir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferences \"/dev/null\";\n\
             Dir::Etc::preferencesparts \"/dev/null\";\n\
             #clear APT::Default-Release;\n\
             #clear APT::Architectures;\n\
             APT::Architecture \"amd64\";\n\
             APT::Architectures {{ \"amd64\"; }};\n\
             APT::Install-Recommends \"false\";\n\
             Acquire::Languages \"none\";\n\
             #clear APT::Update::Pre-Invoke;\n\
             #clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n",
            sources = self.sources().display()
        )
    }

    /// A program of apt with this configuration.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").arg("--config-file").arg(self.folder.join("apt.conf"));
        command
    }

    /// What `apt-cache` says to `arguments`. The caller holds the lock, and there are lists.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub(crate) fn ask(&self, arguments: &[&str], log: &Path) -> Result<String, AptError> {
        let mut answer = String::new();
        let mut ask = self.command("apt-cache");
        run::logged(ask.args(arguments), log, &mut |news| answer.push_str(news))
            .map_err(AptError::Ask)?;
        Ok(answer)
    }
}

/// The first of `names` that is there.
fn keyring(names: &[&str]) -> Result<PathBuf, AptError> {
    let found = names.iter().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or_else(|| AptError::Keyring {
        path: names.first().map(PathBuf::from).unwrap_or_default(),
    })
}

/// All entries of the sources below `folder`, as far as they can be read.
fn entries(folder: &Path) -> Vec<Entry> {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let mut entries = sources::read_lines(&read(&folder.join("sources.list")));
    let parts = fs::read_dir(folder.join("sources.list.d")).into_iter().flatten();
    let mut files: Vec<PathBuf> = parts.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    for file in files {
        match file.extension().and_then(|end| end.to_str()) {
            Some("list") => entries.extend(sources::read_lines(&read(&file))),
            Some("sources") => entries.extend(sources::read_deb822(&read(&file))),
            Some(_) | None => {}
        }
    }
    entries
}

/// The code name of the Debian that `os_release` describes, if it is one.
///
/// Source: os-release(5).
fn debian_codename(os_release: &str) -> Option<&str> {
    let field = |name: &str| {
        let mut fields = os_release.lines().filter_map(|line| line.split_once('='));
        fields.find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"'))
    };
    field("VERSION_CODENAME").filter(|_| field("ID") == Some("debian"))
}

/// A suite that an archive has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Release {
    place: Place,
    codename: String,
}

/// The suites of `found` under their code names, where they were asked for under another name only.
fn by_codename(found: &[Release]) -> Vec<Place> {
    let renamed = |release: &Release| {
        let place = release.place.under(&release.codename);
        let is_asked = found.iter().any(|other| other.place.is_same(&place));
        (!is_asked).then_some(place)
    };
    found.iter().filter_map(renamed).collect()
}

/// Each suite of `found` once, under its code name where it is there under that: a cache on the way may have an alias as
/// it was weeks ago.
fn distinct(found: Vec<Release>) -> Vec<Place> {
    let mut seen: Vec<Release> = Vec::new();
    for release in found {
        let same = seen.iter_mut().find(|known| {
            (&known.place.uri, &known.codename) == (&release.place.uri, &release.codename)
        });
        match same {
            None => seen.push(release),
            Some(known) if release.place.suite == release.codename => *known = release,
            Some(_) => {}
        }
    }
    seen.into_iter().map(|release| release.place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_of_a_machine_are_read_from_all_its_files() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(entries(folder.path()), []);
        let parts = folder.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        let line = |host: &str| format!("deb http://{host}.example/debian sid main\n");
        fs::write(folder.path().join("sources.list"), line("a")).unwrap();
        fs::write(parts.join("b.list"), line("b")).unwrap();
        fs::write(parts.join("c.list.disabled"), line("c")).unwrap();
        let stanza = "Types: deb\nURIs: http://d.example/debian\nSuites: sid\nComponents: main\n";
        fs::write(parts.join("d.sources"), stanza).unwrap();
        let places = sources::places(&entries(folder.path()), None);
        let own: Vec<&str> = places[..3].iter().map(|place| place.uri.as_str()).collect();
        let hosts = ["a", "b", "d"].map(|host| format!("http://{host}.example/debian"));
        assert_eq!(own, hosts);
        assert!(places.iter().all(|place| hosts.contains(&place.uri)), "{places:?}");
    }

    #[test]
    fn only_debians_code_name_counts() {
        let debian = "PRETTY_NAME=\"x\"\nID=debian\nVERSION_CODENAME=bookworm\n";
        assert_eq!(debian_codename(debian), Some("bookworm"));
        assert_eq!(debian_codename("ID=ubuntu\nVERSION_CODENAME=\"noble\"\n"), None);
        assert_eq!(debian_codename("ID=debian\n"), None);
    }

    #[test]
    fn a_suite_that_is_missing_is_left_out_and_one_with_two_names_is_there_once() {
        let text = "deb http://a.example/debian bookworm main\n\
            deb http://a.example/debian-security bookworm-security main\n";
        let places = sources::places(&sources::read_lines(text), Some("bookworm"));
        // Two suites are not there under their code names, and two not at all.
        let codenames = [
            ("bookworm", "bookworm"),
            ("bookworm-security", "bookworm-security"),
            ("experimental", "rc-buggy"),
            ("oldstable", "bookworm"),
            ("oldstable-security", "bookworm-security"),
            ("sid", "sid"),
            ("stable", "trixie"),
            ("stable-security", "trixie-security"),
            ("trixie", "trixie"),
        ];
        let release = |place: &Place| {
            let (_, codename) = codenames.iter().find(|(suite, _)| *suite == place.suite)?;
            Some(Release { place: place.clone(), codename: (*codename).to_owned() })
        };
        let mut found: Vec<Release> = places.iter().filter_map(release).collect();
        let named = by_codename(&found);
        let suites = |places: &[Place]| -> Vec<String> {
            places.iter().map(|place| place.suite.clone()).collect()
        };
        assert_eq!(suites(&named), ["trixie", "rc-buggy", "trixie-security"]);
        found.extend(named.iter().filter_map(release));
        let expected =
            ["bookworm", "bookworm-security", "trixie", "sid", "experimental", "stable-security"];
        assert_eq!(suites(&distinct(found)), expected);
    }

    #[test]
    fn lists_are_fetched_again_when_they_are_old_or_were_fetched_from_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let apt = |text: &str| Apt {
            cache: &cache,
            folder: root.path().join("apt"),
            keyring: PathBuf::from(KEYRINGS[0]),
            places: sources::places(&sources::read_lines(text), None),
        };
        let here = apt("deb http://a.example/debian sid main\n");
        assert!(here.age().is_none() && here.is_old());
        here.note_update().unwrap();
        assert!(here.age().is_some() && !here.is_old());
        let elsewhere = apt("deb http://b.example/debian sid main\n");
        assert!(elsewhere.age().is_none() && elsewhere.is_old());
        let stamp = fs::File::options().write(true).open(root.path().join("apt/updated")).unwrap();
        stamp.set_modified(SystemTime::now() - YOUNG).unwrap();
        assert!(here.age().is_some() && here.is_old());
    }

    #[test]
    fn missing_keys_are_named_with_the_package_that_brings_them() {
        let folder = tempfile::tempdir().unwrap();
        let (gpg, pgp) = (folder.path().join("a.gpg"), folder.path().join("a.pgp"));
        let names = [gpg.to_str().unwrap(), pgp.to_str().unwrap()];
        let error = keyring(&names).unwrap_err().to_string();
        assert!(error.contains("a.gpg") && error.contains("debian-archive-keyring"), "{error}");
        fs::write(&pgp, "").unwrap();
        assert_eq!(keyring(&names).unwrap(), pgp);
    }
}
