//! Which archives the machine asks already, read from its apt's sources, and the sources of an apt of our own.
//!
//! Pure. Whether an archive is Debian's is decided by its signature later: here it is enough that its entry looks so.

use std::collections::BTreeMap;

/// Debian's archives under their public names, for machines whose apt names none.
const PUBLIC: [(&str, Kind); 2] = [
    ("http://deb.debian.org/debian", Kind::Main),
    ("http://deb.debian.org/debian-security", Kind::Security),
];

/// Names of Debian's suites that mean another release each time one is made.
const ALIASES: [&str; 7] =
    ["stable", "oldstable", "oldoldstable", "testing", "unstable", "sid", "experimental"];

/// Where kernels are looked for in a main archive, beside the machine's own suites.
const MAIN_SUITES: [&str; 6] =
    ["stable", "stable-backports", "oldstable", "oldstable-backports", "sid", "experimental"];

/// The same in an archive of security updates.
const SECURITY_SUITES: [&str; 2] = ["stable-security", "oldstable-security"];

/// One entry of a sources file, for binary packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// The fields (of deb822) or options (of one line) beside those, with small letters.
    options: BTreeMap<String, String>,
}

/// A suite of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The archive.
    pub(super) uri: String,
    /// The suite, as it is asked for.
    pub(super) suite: String,
    /// The machine's own entry says that a release file of this archive may be past its time, as in a snapshot.
    may_be_old: bool,
}

impl Place {
    /// The same place with the suite called `suite`.
    pub(super) fn under(&self, suite: &str) -> Place {
        Place { suite: suite.to_owned(), ..self.clone() }
    }

    /// Whether both are one suite under one name.
    pub(super) fn is_same(&self, other: &Place) -> bool {
        (&self.uri, &self.suite) == (&other.uri, &other.suite)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Main,
    Security,
}

/// The entries of a file in the one-line form, `/etc/apt/sources.list`.
///
/// Source: sources.list(5).
pub(super) fn read_lines(text: &str) -> Vec<Entry> {
    text.lines().filter_map(line_entry).collect()
}

fn line_entry(line: &str) -> Option<Entry> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let mut rest =
        line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t', '[']))?.trim();
    let mut options = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('[') {
        let (inside, behind) = inside.split_once(']')?;
        let pairs = inside.split_whitespace().filter_map(|option| option.split_once('='));
        options.extend(pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned())));
        rest = behind;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    Some(Entry { uris: vec![uri], suites: vec![suite], components: words.collect(), options })
}

/// The entries of a file in the form of deb822, `*.sources`.
///
/// Source: sources.list(5), deb822(5).
pub(super) fn read_deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines().chain([""]).filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            entries.extend(stanza_entry(std::mem::take(&mut fields)));
        } else if line.starts_with([' ', '\t']) {
            let field = fields.entry(last.clone()).or_default();
            field.push(' ');
            field.push_str(line.trim());
        } else if let Some((name, value)) = line.split_once(':') {
            last = name.trim().to_lowercase();
            fields.insert(last.clone(), value.trim().to_owned());
        }
    }
    entries
}

fn stanza_entry(mut fields: BTreeMap<String, String>) -> Option<Entry> {
    let mut take = |name: &str| -> Vec<String> {
        let value = fields.remove(name).unwrap_or_default();
        value.split_whitespace().map(str::to_owned).collect()
    };
    let (types, enabled) = (take("types"), take("enabled"));
    let (uris, suites, components) = (take("uris"), take("suites"), take("components"));
    let is_off = enabled.first().is_some_and(|word| is_no(word));
    let is_whole = types.iter().any(|kind| kind == "deb") && !uris.is_empty();
    (is_whole && !is_off).then_some(Entry { uris, suites, components, options: fields })
}

/// Source: `StringToBool()` of apt, as sources.list(5) has it.
fn is_no(word: &str) -> bool {
    ["no", "false", "without", "off", "disable", "0"].contains(&word.to_lowercase().as_str())
}

/// The suites to ask the machine's archives for, its own ones first. `codename` is that of the machine's Debian.
pub(super) fn places(entries: &[Entry], codename: Option<&str>) -> Vec<Place> {
    let ours: Vec<&Entry> = entries.iter().filter(|entry| is_debian(entry, codename)).collect();
    let mut places = Vec::new();
    let mut archives: Vec<(String, Kind, bool)> = Vec::new();
    for entry in ours {
        let may_be_old = entry.options.get("check-valid-until").is_some_and(|value| is_no(value));
        for uri in &entry.uris {
            let uri = uri.trim_end_matches('/').to_owned();
            for suite in &entry.suites {
                let place = Place { uri: uri.clone(), suite: suite.clone(), may_be_old };
                add(&mut places, place);
                let archive = (uri.clone(), kind_of(suite), may_be_old);
                if !archives.contains(&archive) {
                    archives.push(archive);
                }
            }
        }
    }
    if !archives.iter().any(|(_, kind, _)| *kind == Kind::Main) {
        archives.extend(PUBLIC.map(|(uri, kind)| (uri.to_owned(), kind, false)));
    }
    for (uri, kind, may_be_old) in archives {
        let suites: &[&str] = match kind {
            Kind::Main => &MAIN_SUITES,
            Kind::Security => &SECURITY_SUITES,
        };
        for suite in suites {
            let (uri, suite) = (uri.clone(), (*suite).to_owned());
            add(&mut places, Place { uri, suite, may_be_old });
        }
    }
    places
}

fn add(places: &mut Vec<Place>, place: Place) {
    if !places.iter().any(|known| known.is_same(&place)) {
        places.push(place);
    }
}

/// Whether the entry looks like one for Debian's own archive.
fn is_debian(entry: &Entry, codename: Option<&str>) -> bool {
    let release = |suite: &str| suite.split(['-', '/']).next().unwrap_or_default().to_owned();
    let is_release = |suite: &String| {
        let release = release(suite);
        ALIASES.contains(&release.as_str()) || codename == Some(&release)
    };
    let keyring = entry.options.get("signed-by");
    let is_cdrom = |uri: &String| uri.starts_with("cdrom:");
    entry.suites.iter().any(is_release)
        && entry.components.iter().any(|component| component == "main")
        && keyring.is_none_or(|keyring| keyring.contains("debian-archive"))
        && !entry.uris.iter().any(is_cdrom)
}

fn kind_of(suite: &str) -> Kind {
    if suite.ends_with("-security") || suite.ends_with("/updates") {
        Kind::Security
    } else {
        Kind::Main
    }
}

/// A sources file for `places`. `targets` names the files that are fetched of each beside its release file.
///
/// Source: sources.list(5).
pub(super) fn text<'a>(
    places: impl IntoIterator<Item = &'a Place>,
    keyring: &str,
    targets: &str,
) -> String {
    let stanza = |place: &Place| {
        let Place { uri, suite, may_be_old } = place;
        let validity = if *may_be_old { "Check-Valid-Until: no\n" } else { "" };
        format!(
            "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\nArchitectures: amd64\nTargets: {targets}\n\
             Signed-By: {keyring}\n{validity}\n"
        )
    };
    places.into_iter().map(stanza).collect()
}

/// The name of the release file of `place` in a folder of lists.
///
/// Source: `URItoFileName()`, apt-pkg/contrib/strutl.cc of apt 2.6: without its scheme and user, with some characters as
/// numbers, and `_` for `/`.
pub(super) fn release_file(place: &Place) -> String {
    let uri = format!("{}/dists/{}/InRelease", place.uri, place.suite);
    let behind = uri.split_once(':').map_or(uri.as_str(), |(_, rest)| rest);
    let path = behind.trim_start_matches("//");
    let (host, rest) = path.split_once('/').unwrap_or((path, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let mut name = String::new();
    for character in format!("{host}/{rest}").chars() {
        match character {
            '/' => name.push('_'),
            c if "\\|{}[]<>\"^~_=!@#$%^&*".contains(c) => {
                name.push_str(&format!("%{:02x}", u32::from(c)));
            }
            c => name.push(c),
        }
    }
    name
}

/// The code name in a release file.
pub(super) fn codename(release: &str) -> Option<&str> {
    let mut lines = release.lines();
    lines.find_map(|line| line.strip_prefix("Codename:")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "Types: deb deb-src\n# a snapshot\nURIs: http://mirror.example/debian/\n\
        Suites: bookworm\n bookworm-updates\nComponents: main contrib\n\
        Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
        Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\n\
        Components: main\nCheck-Valid-Until: no\n\n\
        Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n\n\
        Types: deb-src\nURIs: http://source.example/debian\nSuites: bookworm\nComponents: main\n";

    fn named(places: &[Place]) -> Vec<String> {
        places.iter().map(|place| format!("{} {}", place.uri, place.suite)).collect()
    }

    #[test]
    fn the_archives_of_stanzas_are_asked_for_their_own_suites_first_and_then_for_newer_ones() {
        let found = places(&read_deb822(DEB822), Some("bookworm"));
        let found = named(&found);
        assert_eq!(
            found[..5],
            [
                "http://mirror.example/debian bookworm",
                "http://mirror.example/debian bookworm-updates",
                "http://mirror.example/debian-security bookworm-security",
                "http://mirror.example/debian stable",
                "http://mirror.example/debian stable-backports",
            ]
        );
        assert!(found.contains(&"http://mirror.example/debian experimental".to_owned()));
        assert!(
            found.contains(&"http://mirror.example/debian-security stable-security".to_owned())
        );
        assert!(!found.contains(&"http://mirror.example/debian-security stable".to_owned()));
        assert_eq!(found.len(), 11, "{found:?}");
    }

    #[test]
    fn lines_are_read_with_their_options_and_comments() {
        let text = "# deb http://no.example/debian bookworm main\n\
            deb [arch=amd64 check-valid-until=no] http://a.example/debian bookworm main contrib # x\n\
            deb-src http://no.example/debian bookworm main\n\
            debug http://no.example/debian bookworm main\n\
            deb\thttp://b.example/debian-security  stable-security main\n\
            deb [broken http://no.example/debian bookworm main\n";
        let entries = read_lines(text);
        assert_eq!(entries.len(), 2, "{entries:?}");
        let found = places(&entries, Some("bookworm"));
        assert_eq!(named(&found)[0], "http://a.example/debian bookworm");
        assert!(found[0].may_be_old && !found[1].may_be_old);
        assert!(found.iter().all(|place| place.may_be_old == place.uri.contains("a.example")));
    }

    #[test]
    fn archives_of_others_are_not_asked() {
        let text = "deb https://docker.example/linux/debian bookworm stable\n\
            deb https://other.example/apt cloud-sdk main\n\
            deb [signed-by=/usr/share/keyrings/other.gpg] https://signed.example/debian bookworm main\n\
            deb cdrom:[Debian]/ bookworm main\n";
        assert!(
            named(&places(&read_lines(text), Some("bookworm")))
                .iter()
                .all(|name| { name.starts_with("http://deb.debian.org/debian") })
        );
        // Of another distribution no code name counts.
        let ubuntu = "deb http://archive.example/ubuntu noble main universe\n";
        assert_eq!(named(&places(&read_lines(ubuntu), None)).len(), 8);
    }

    #[test]
    fn a_release_file_is_called_as_apt_calls_it() {
        let place = |uri: &str, suite: &str| Place {
            uri: uri.to_owned(),
            suite: suite.to_owned(),
            may_be_old: false,
        };
        let name = release_file(&place("http://deb.debian.org/debian", "stable-backports"));
        assert_eq!(name, "deb.debian.org_debian_dists_stable-backports_InRelease");
        let name = release_file(&place("https://me:word@a_b.example:8080/x~y", "sid"));
        assert_eq!(name, "a%5fb.example:8080_x%7ey_dists_sid_InRelease");
        let name = release_file(&place("file:///srv/debian", "sid"));
        assert_eq!(name, "_srv_debian_dists_sid_InRelease");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let found = places(&read_deb822(DEB822), Some("bookworm"));
        let text = text(&found, "/usr/share/keyrings/debian-archive-keyring.gpg", "Packages");
        let again = places(&read_deb822(&text), Some("bookworm"));
        assert_eq!(again.len(), found.len());
        assert!(found.iter().all(|place| again.contains(place)), "{again:?}");
    }

    #[test]
    fn a_release_file_tells_its_code_name() {
        let text = "-----BEGIN PGP SIGNED MESSAGE-----\n\nOrigin: Debian\nSuite: stable\nCodename: trixie\n";
        assert_eq!(codename(text), Some("trixie"));
        assert_eq!(codename("Origin: Debian\n"), None);
    }
}
