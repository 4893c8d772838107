//! The words of a comment, as far as a citation is made of them.

use super::Name;
use super::claim::Series;

/// The folders at the top of a kernel tree that citations name.
const TOP_FOLDERS: [&str; 22] = [
    "arch", "block", "certs", "crypto", "drivers", "fs", "include", "init", "io_uring", "ipc",
    "kernel", "lib", "mm", "net", "rust", "samples", "scripts", "security", "sound", "tools",
    "virt", "usr",
];

const DOCUMENTATION: &str = "Documentation/";

/// Endings of source files, the kernel's or another project's.
const ENDINGS: [&str; 9] = [".c", ".h", ".S", ".rst", ".txt", ".lib", ".cpp", ".json", ".lds"];

/// What a comment is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The name of a function, a macro, a type, a constant.
    Name(Name),
    /// Files of the kernel: several where braces stand for one of each.
    Files(Vec<String>),
    /// The name of a file without its folder, which is that of the file before it.
    BareFile(String),
    /// A file of another project.
    OtherFile(String),
    /// A kernel version.
    Version(Series),
    /// A manual page, as its name with the number of a section.
    ManualPage,
    Comma,
    Semicolon,
    Colon,
    Open,
    Close,
    /// The end of a sentence.
    Stop,
    /// Anything else.
    Word(String),
}

/// A word with the line that it stands in, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

/// Takes the lines of one paragraph apart.
pub(crate) fn tokens(lines: &[(usize, &str)]) -> Vec<Token> {
    let mut found = Vec::new();
    for (index, (line, text)) in lines.iter().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let (kind, length) = match first {
                '`' => code(rest),
                ',' => (Kind::Comma, 1),
                ';' => (Kind::Semicolon, 1),
                ':' => (Kind::Colon, 1),
                '(' | '[' => (Kind::Open, 1),
                ')' | ']' => (Kind::Close, 1),
                '.' => (Kind::Stop, 1),
                _ => bare(rest),
            };
            found.push(Token { kind, line: *line });
            rest = rest.get(length..).unwrap_or_default().trim_start();
        }
        // A list, a heading or a table is no sentence that goes on.
        let next = lines.get(index + 1).map_or("", |(_, next)| next.trim_start());
        if next.starts_with(['*', '-', '#', '|']) {
            found.push(Token { kind: Kind::Stop, line: *line });
        }
    }
    found
}

/// What stands between backticks, and the length of it with both of them.
fn code(rest: &str) -> (Kind, usize) {
    let inside = rest.get(1..).unwrap_or_default();
    let Some((inside, _)) = inside.split_once('`') else {
        return (Kind::Word("`".to_owned()), 1);
    };
    let kind = files(inside)
        .or_else(|| Name::parse(inside).map(Kind::Name))
        .unwrap_or_else(|| Kind::Word(inside.to_owned()));
    (kind, inside.len() + 2)
}

/// What stands there without backticks, and its length.
fn bare(rest: &str) -> (Kind, usize) {
    let word = rest.split([' ', '\t', ';', '`', '"']).next().unwrap_or(rest);
    if word.is_empty() {
        let length = rest.chars().next().map_or(1, char::len_utf8);
        return (Kind::Word(rest.get(..length).unwrap_or_default().to_owned()), length);
    }
    if let Some(call) = call(word) {
        if let Some(name) = Name::parse(call) {
            return (Kind::Name(name), call.len());
        }
        if is_manual_page(call) {
            return (Kind::ManualPage, call.len());
        }
    }
    // Braces with commas are a part of a file's name, and a comma outside of them ends it.
    let end = word.char_indices().scan(0_i32, |depth, (at, c)| {
        *depth += i32::from(c == '{') - i32::from(c == '}');
        Some((at, *depth == 0 && matches!(c, ',' | '(' | ')' | ']' | '\'' | '*')))
    });
    let end = end.filter(|(_, is_end)| *is_end).map(|(at, _)| at).find(|at| *at > 0);
    let word = word.get(..end.unwrap_or(word.len())).unwrap_or(word);
    let word = word.trim_end_matches(['.', ':', '!', '?']);
    let Some(first) = word.chars().next() else {
        return (Kind::Word(rest.chars().take(1).collect()), 1);
    };
    let kind = files(word)
        .or_else(|| version(word))
        .or_else(|| word.starts_with("CONFIG_").then(|| Name::parse(word).map(Kind::Name))?)
        .unwrap_or_else(|| Kind::Word(word.to_owned()));
    (kind, word.len().max(first.len_utf8()))
}

/// The beginning of `word` up to the parenthesis that closes its first one, if a name stands before that.
fn call(word: &str) -> Option<&str> {
    let open = word.find('(').filter(|at| *at > 0)?;
    let close = word.find(')').filter(|at| open < *at)?;
    word.get(..=close)
}

fn is_manual_page(call: &str) -> bool {
    call.split_once('(').is_some_and(|(name, section)| {
        let is_section = matches!(section.as_bytes(), [b'1'..=b'9', b')']);
        is_section && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    })
}

fn version(word: &str) -> Option<Kind> {
    let series: Series = word.parse().ok()?;
    // Of the kernel, not of a section of a specification.
    (2..10).contains(&series.major).then_some(Kind::Version(series))
}

/// `word` as the name of a file, with a folder or without.
fn files(word: &str) -> Option<Kind> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./+{},".contains(c);
    if !word.chars().all(is_path) || word.starts_with(['.', '-']) {
        return None;
    }
    let is_source =
        ENDINGS.iter().any(|ending| word.ends_with(ending) && word.len() > ending.len());
    let Some((top, _)) = word.split_once('/') else {
        let is_c = word.ends_with(".c") || word.ends_with(".h");
        return (is_source && is_c).then(|| Kind::BareFile(word.to_owned()));
    };
    let base = word.rsplit('/').next().unwrap_or_default();
    let is_build = base.starts_with("Kconfig") || base == "Makefile" || base == "Kbuild";
    let is_source_of_linux = is_source && !word.ends_with(".cpp") && !word.ends_with(".json");
    let is_kernel = TOP_FOLDERS.contains(&top) && (is_source_of_linux || is_build);
    if is_kernel || (word.starts_with(DOCUMENTATION) && word.len() > DOCUMENTATION.len()) {
        return Some(Kind::Files(expanded(word)));
    }
    is_source.then(|| Kind::OtherFile(word.to_owned()))
}

/// One name for each word between the braces.
fn expanded(path: &str) -> Vec<String> {
    let parts = path.split_once('{').and_then(|(before, rest)| {
        rest.split_once('}').map(|(inside, after)| (before, inside, after))
    });
    match parts {
        Some((before, inside, after)) => {
            inside.split(',').map(|one| format!("{before}{one}{after}")).collect()
        }
        None => vec![path.to_owned()],
    }
}
