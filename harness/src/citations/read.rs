//! Makes citations of the words of a paragraph.
//!
//! Names wait for a file, and what was cited waits for versions: "`a()` and `b()`, FILE; `c()`, FILE, 6.1 and 6.12"
//! are three citations of two versions each. In a sentence that begins with "Source:" every name is cited. Elsewhere
//! only a name is that a file follows.

use super::claim::{Claim, Range};
use super::paragraph::Paragraph;
use super::token::{Kind, Token, tokens};
use super::{Citation, Citations, Elsewhere, Name, Place, Series, Unread};

/// Where rxe's files are, which are cited without it.
const RXE: &str = "drivers/infiniband/sw/rxe";

/// Projects whose source is cited.
const PROJECTS: [&str; 4] = ["rdma-core", "libibverbs", "QEMU", "compiler-rt"];

/// Words between names, files and versions that do not part them.
const JOINTS: [&str; 10] =
    ["and", "or", "of", "in", "both", "Both", "since", "Since", "Linux", "ditto"];

/// What comes after these, up to a comma, is a detail of what was named.
const DETAILS: [&str; 7] = ["with", "without", "for", "inside", "unlike", "through", "by"];

const TEXT_CHARS_MAX: usize = 100;

/// A name that waits for its file.
#[derive(Clone, Debug)]
struct Waiting {
    name: Name,
    claim: Claim,
    line: usize,
}

struct Reader<'a> {
    cited: &'a mut Citations,
    file: &'a str,
    tokens: &'a [Token],
    at: usize,
    /// In the sentence that begins with "Source:".
    is_source: bool,
    /// Behind a colon of that sentence, where its citation is explained.
    is_aside: bool,
    is_detail: bool,
    waiting: Vec<Waiting>,
    /// What the last file was cited for; another file may follow.
    names_of_last: Vec<Waiting>,
    /// The citations of the last file, for which another one may be an alternative.
    last: std::ops::Range<usize>,
    last_file: Option<String>,
    /// The first citation that versions may still belong to: in this paragraph, and in this sentence.
    unclaimed_from: usize,
    sentence_from: usize,
    /// Whether prose stands between the last file and here.
    is_apart: bool,
}

/// Adds what `paragraph` of `file` cites.
pub(crate) fn paragraph(cited: &mut Citations, file: &str, paragraph: &Paragraph<'_>) {
    let tokens = tokens(paragraph);
    let Some(first) = tokens.first() else { return };
    let is_source = first.kind == Kind::Word("Source".to_owned())
        && tokens.get(1).is_some_and(|token| token.kind == Kind::Colon);
    let before = (cited.found.len(), cited.elsewhere.len(), cited.unread.len());
    let mut reader = Reader {
        unclaimed_from: before.0,
        sentence_from: before.0,
        last: before.0..before.0,
        at: if is_source { 2 } else { 0 },
        tokens: &tokens,
        cited,
        file,
        is_source,
        is_aside: false,
        is_detail: false,
        waiting: Vec::new(),
        names_of_last: Vec::new(),
        last_file: None,
        is_apart: false,
    };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.names_without_file();
    if is_source && before == (cited.found.len(), cited.elsewhere.len(), cited.unread.len()) {
        let text = paragraph.iter().map(|(_, line)| *line).collect::<Vec<_>>().join(" ");
        unread(cited, place(file, first.line), &text, "nothing in it is a name or a file");
    }
}

fn place(file: &str, line: usize) -> Place {
    Place { file: file.to_owned(), line }
}

fn unread(cited: &mut Citations, place: Place, text: &str, why: &'static str) {
    let text = text.chars().take(TEXT_CHARS_MAX).collect();
    cited.unread.push(Unread { place, text, why });
}

impl Reader<'_> {
    fn is_strict(&self) -> bool {
        self.is_source && !self.is_aside
    }

    fn kind(&self, at: usize) -> Option<&Kind> {
        self.tokens.get(at).map(|token| &token.kind)
    }

    fn before(&self) -> Option<&Kind> {
        self.kind(self.at.checked_sub(1)?)
    }

    fn is_word(&self, at: usize, words: &[&str]) -> bool {
        matches!(self.kind(at), Some(Kind::Word(word)) if words.contains(&word.as_str()))
    }

    fn step(&mut self) {
        let Some(Token { kind, line }) = self.tokens.get(self.at).cloned() else { return };
        self.at += 1;
        match kind {
            Kind::Name(name) => self.name(name, line),
            Kind::Files(files) => self.files(files, line),
            Kind::BareFile(file) => self.bare_file(&file, line),
            Kind::OtherFile(_) if self.is_strict() => self.elsewhere("another project", line),
            Kind::ManualPage if self.is_strict() => self.elsewhere("a manual page", line),
            Kind::OtherFile(_) | Kind::ManualPage => self.prose(),
            Kind::Version(_) => self.versions(),
            Kind::Comma => self.is_detail = false,
            Kind::Semicolon => self.clause_ends(),
            Kind::Colon if self.is_strict() && self.waiting.is_empty() => self.is_aside = true,
            Kind::Colon => self.prose(),
            Kind::Open => self.open(),
            Kind::Close => self.is_detail = false,
            Kind::Stop => {
                self.clause_ends();
                self.is_source = false;
                self.sentence_from = self.cited.found.len();
            }
            Kind::Word(word) => self.word(&word, line),
        }
    }

    fn name(&mut self, name: Name, line: usize) {
        if self.is_detail {
            return;
        }
        // A list of names goes on; what is named anew begins one.
        if !self.is_strict() && self.waiting.is_empty() {
            self.is_apart = false;
        }
        self.names_of_last.clear();
        self.waiting.push(Waiting { name, claim: Claim::default(), line });
    }

    fn word(&mut self, word: &str, line: usize) {
        if DETAILS.contains(&word) && !self.waiting.is_empty() {
            self.is_detail = true;
        } else if self.is_strict() && !self.is_detail && is_of_the_specification(word) {
            self.elsewhere("the InfiniBand specification", line);
        } else if !JOINTS.contains(&word) {
            self.prose();
        }
    }

    /// What stands in a sentence between what is cited. Outside of "Source:" it parts names from files.
    fn prose(&mut self) {
        if !self.is_strict() {
            self.waiting.clear();
            self.names_of_last.clear();
            self.is_apart = true;
        }
    }

    fn clause_ends(&mut self) {
        self.names_without_file();
        self.names_of_last.clear();
        self.last = self.cited.found.len()..self.cited.found.len();
        self.is_aside = false;
        self.is_detail = false;
    }

    /// In a sentence of sources a name has a file.
    fn names_without_file(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            if self.is_strict() {
                let place = place(self.file, waiting.line);
                unread(self.cited, place, &waiting.name.to_string(), "no file is named for it");
            }
        }
    }

    /// What is in parentheses is a remark, unless a name, a file or a version begins it.
    fn open(&mut self) {
        match self.kind(self.at) {
            Some(Kind::Version(_) | Kind::Files(_) | Kind::BareFile(_)) => {}
            _ if self.is_strict() => {
                let mut inside = self.tokens.iter().skip(self.at);
                let length = inside.by_ref().take_while(|token| token.kind != Kind::Close).count();
                let tokens = self.tokens.get(self.at..self.at + length).unwrap_or_default();
                let is_cited = |token: &Token| matches!(token.kind, Kind::Name(_) | Kind::Files(_));
                if !tokens.iter().any(is_cited) {
                    self.at += length;
                }
            }
            _ => self.prose(),
        }
    }

    fn elsewhere(&mut self, what: &'static str, line: usize) {
        self.waiting.clear();
        self.names_of_last.clear();
        let elsewhere = Elsewhere { what, place: place(self.file, line) };
        if self.cited.elsewhere.last() != Some(&elsewhere) {
            self.cited.elsewhere.push(elsewhere);
        }
    }

    fn bare_file(&mut self, file: &str, line: usize) {
        let folder = self.last_file.as_deref().and_then(|last| last.rsplit_once('/'));
        let folder = if file.starts_with("rxe") { Some((RXE, "")) } else { folder };
        let is_cited = self.is_strict() || !self.waiting.is_empty();
        match folder {
            Some((folder, _)) if is_cited => self.files(vec![format!("{folder}/{file}")], line),
            None if self.is_strict() => {
                unread(self.cited, place(self.file, line), file, "its folder is not named");
            }
            Some(_) | None => self.prose(),
        }
    }

    fn files(&mut self, files: Vec<String>, line: usize) {
        let is_other = (self.at..self.at + 3).any(|at| self.is_word(at, &PROJECTS));
        if is_other {
            self.elsewhere("another project", line);
            return;
        }
        self.last_file = files.last().cloned();
        self.is_apart = false;
        self.is_detail = false;
        let mut names = std::mem::take(&mut self.waiting);
        if names.is_empty() {
            // Of what was just cited: another place for it, if no versions stood between.
            let last = self.cited.found.get_mut(self.last.clone()).unwrap_or_default();
            if !last.is_empty() && last.iter().all(|citation| citation.claim.is_empty()) {
                last.iter_mut().for_each(|citation| citation.files.extend(files.iter().cloned()));
                return;
            }
            names = std::mem::take(&mut self.names_of_last);
        }
        if names.is_empty() && !self.is_strict() {
            let why = "a file, and nothing in it is named";
            unread(self.cited, place(self.file, line), &files.join(" "), why);
            return;
        }
        self.cite(&names, &files, line);
        self.names_of_last =
            names.into_iter().map(|name| Waiting { claim: Claim::default(), ..name }).collect();
    }

    fn cite(&mut self, names: &[Waiting], files: &[String], line: usize) {
        let first = self.cited.found.len();
        let citation = |name: Option<Name>, claim: Claim, line| Citation {
            name,
            files: files.to_vec(),
            claim,
            place: place(self.file, line),
        };
        let found = names.iter().map(|waiting| {
            citation(Some(waiting.name.clone()), waiting.claim.clone(), waiting.line)
        });
        let whole = names.is_empty().then(|| citation(None, Claim::default(), line));
        let found: Vec<Citation> = found.chain(whole).collect();
        self.cited.found.extend(found);
        self.last = first..self.cited.found.len();
    }

    /// The versions that begin at the token before this one, and whose they are.
    fn versions(&mut self) {
        self.at -= 1;
        let begins_clause = matches!(self.before(), Some(Kind::Semicolon));
        let is_in_parentheses = matches!(self.before(), Some(Kind::Open));
        let is_of_all =
            self.at.checked_sub(1).is_some_and(|at| self.is_word(at, &["Both", "both"]));
        let claim = self.claim();
        if is_in_parentheses {
            let rest = self.tokens.iter().skip(self.at);
            self.at += rest.take_while(|token| token.kind != Kind::Close).count();
        }
        if !self.waiting.is_empty() {
            let unclaimed = self.waiting.iter_mut().filter(|waiting| waiting.claim.is_empty());
            unclaimed.for_each(|waiting| waiting.claim = claim.clone());
            // Of the file before: "`a()`, FILE, 6.1; `b()`, 6.12".
            if let (false, true, Some(file)) =
                (is_in_parentheses, self.is_strict(), self.last_file.clone())
            {
                let names = std::mem::take(&mut self.waiting);
                self.cite(&names, &[file], 0);
            }
            return;
        }
        if (begins_clause || self.is_apart && !self.is_strict()) && !is_of_all {
            return;
        }
        let from = if is_of_all {
            self.unclaimed_from
        } else {
            self.unclaimed_from.max(self.sentence_from)
        };
        let mut open = self.cited.found.iter_mut().skip(from);
        let mut unclaimed = open.by_ref().filter(|citation| citation.claim.is_empty()).peekable();
        if unclaimed.peek().is_some() {
            unclaimed.for_each(|citation| citation.claim = claim.clone());
            self.unclaimed_from = self.cited.found.len();
        } else {
            // "EFAULT in 6.1, EINVAL in 6.12".
            let last = self.cited.found.get_mut(self.last.clone()).unwrap_or_default();
            last.iter_mut().for_each(|citation| citation.claim.extend(&claim));
        }
    }

    /// Reads "6.1", "6.1 and 6.12", "since 6.2", "6.2 and later", "6.1 to 6.12", "up to 6.12" and lists of them.
    fn claim(&mut self) -> Claim {
        let mut claim = Claim::default();
        while let Some(Kind::Version(series)) = self.kind(self.at).cloned() {
            let back = |steps: usize| self.at.checked_sub(steps);
            let is_since = back(1).is_some_and(|at| self.is_word(at, &["since", "Since", "from"]));
            let is_until = back(1).is_some_and(|at| self.is_word(at, &["to", "until"]))
                && back(2).is_some_and(|at| !matches!(self.kind(at), Some(Kind::Version(_))));
            self.at += 1;
            let until =
                if self.is_word(self.at, &["to"]) { self.version_at(self.at + 1) } else { None };
            let is_open =
                self.is_word(self.at, &["and"]) && self.is_word(self.at + 1, &["later", "newer"]);
            self.at += if until.is_some() || is_open { 2 } else { 0 };
            claim.push(Range {
                first: (!is_until).then_some(series),
                last: if is_since || is_open { None } else { until.or(Some(series)) },
            });
            let mut next = self.at;
            while matches!(self.kind(next), Some(Kind::Comma))
                || self.is_word(next, &["and", "or", "since"])
            {
                next += 1;
            }
            if self.version_at(next).is_some() {
                self.at = next;
            }
        }
        claim
    }

    fn version_at(&self, at: usize) -> Option<Series> {
        match self.kind(at) {
            Some(Kind::Version(series)) => Some(*series),
            _ => None,
        }
    }
}

fn is_of_the_specification(word: &str) -> bool {
    let is_rule = word.strip_prefix(['C', 'o']).and_then(|rest| rest.split_once('-'));
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    word == "IBA"
        || word == "InfiniBand"
        || is_rule.is_some_and(|(chapter, rule)| is_number(chapter) && is_number(rule))
}

/// Adds what the `defect.toml` of a defect cites: `source = "FILE:FUNCTION"`, of the kernels that are `affected`.
pub(crate) fn table(cited: &mut Citations, file: &str, text: &str) {
    let mut first = cited.found.len();
    let mut claim = Claim::default();
    for (line, text) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if text.starts_with("[[") {
            first = cited.found.len();
            claim = Claim::default();
        }
        let value = |key: &str| {
            let rest = text.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim();
            rest.strip_prefix('"')?.strip_suffix('"')
        };
        if let Some(affected) = value("affected") {
            claim = claim_of_kernels(affected);
        }
        if let Some(source) = value("source") {
            match source.split_once(':').and_then(|(file, name)| {
                // Functions stand there without parentheses.
                Some((file, Name::parse(&format!("{name}()"))?))
            }) {
                Some((of, name)) => cited.found.push(Citation {
                    name: Some(name),
                    files: vec![of.to_owned()],
                    claim: Claim::default(),
                    place: place(file, line),
                }),
                None => unread(cited, place(file, line), source, "it is not FILE:FUNCTION"),
            }
        }
        for citation in cited.found.iter_mut().skip(first) {
            citation.claim = claim.clone();
        }
    }
}

/// What is `affected` by a defect: a series, a release, or two of them with two dots between, of which one may be
/// missing.
fn claim_of_kernels(text: &str) -> Claim {
    let mut claim = Claim::default();
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let end = |text: &str| match text {
        "" => Some(None),
        _ => text.parse().ok().map(Some),
    };
    if let (Some(first), Some(last)) = (end(first), end(last)) {
        claim.push(Range { first, last });
    }
    claim
}
