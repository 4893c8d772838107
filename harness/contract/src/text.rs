//! The text form of a sequence (`.seq`): one op a line.
//!
//! The first line is the version. `#` begins a comment; a comment behind an op
//! that begins with `=` is an expectation (`# = EFAULT`, or, where kernels
//! differ, `# = 6.1: EFAULT, 6.12: ok`). The grammar is only ever appended to:
//! what was once a sequence stays that sequence.

use std::fmt::Write as _;

use crate::{
    ARENA_PAGES, Access, Backing, ByteRange, Decoded, File, Key, Mr, OPS_MAX, Op, OpKind,
    PAGE_BYTES, PageRange, Position, Proc, Prot, Sequence, Sharing,
};

/// The line that every `.seq` text begins with.
pub const VERSION_LINE: &str = "# pinfold 1";

/// Why a text is no sequence, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

/// What an op is expected to do, for all kernels or kernel by kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// `(kernel, outcome as text)`; no kernel means every kernel not named.
    pub cases: Vec<(Option<String>, String)>,
}

impl Expectation {
    /// The outcome expected on `kernel` ("6.1"), if anything is said about it.
    pub fn on(&self, kernel: &str) -> Option<&str> {
        let named = self.cases.iter().find(|(name, _)| name.as_deref() == Some(kernel));
        let fallback = || self.cases.iter().find(|(name, _)| name.is_none());
        named.or_else(fallback).map(|(_, outcome)| outcome.as_str())
    }
}

/// A parsed text: the sequence, and the expectation beside each op.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeqFile {
    /// The sequence.
    pub sequence: Sequence,
    /// As many as ops.
    pub expectations: Vec<Option<Expectation>>,
}

/// Reads a text strictly.
///
/// # Errors
///
/// The first line that is no op, with its place; no version line; more than [`OPS_MAX`] ops.
pub fn parse(text: &str) -> Result<SeqFile, ParseError> {
    let error = |line, message: &str| ParseError { line, column: 1, message: message.to_owned() };
    if text.lines().next().map(str::trim_end) != Some(VERSION_LINE) {
        return Err(error(1, "a sequence begins with the line `# pinfold 1`"));
    }
    let mut file = SeqFile::default();
    for (index, line) in text.lines().enumerate() {
        let Some(op) = parse_line(line).map_err(|e| ParseError { line: index + 1, ..e })? else {
            continue;
        };
        if file.sequence.ops.len() == OPS_MAX {
            return Err(error(index + 1, "a sequence has at most 4096 ops; split it"));
        }
        file.sequence.ops.push(op);
        file.expectations.push(expectation(line));
    }
    Ok(file)
}

/// Reads a text, leaving out and counting what is no op.
pub(crate) fn parse_leniently(text: &str) -> Decoded {
    let mut decoded = Decoded { sequence: Sequence::default(), skipped_line_count: 0 };
    for line in text.lines() {
        match parse_line(line) {
            Ok(Some(op)) if decoded.sequence.ops.len() < OPS_MAX => decoded.sequence.ops.push(op),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => decoded.skipped_line_count += 1,
        }
    }
    decoded
}

/// Writes a sequence so that [`parse`] reads the same one.
pub fn print(sequence: &Sequence) -> String {
    let mut text = format!("{VERSION_LINE}\n");
    for op in &sequence.ops {
        text.push_str(&print_op(op));
        text.push('\n');
    }
    text
}

fn expectation(line: &str) -> Option<Expectation> {
    let (_, comment) = line.split_once('#')?;
    let text = comment.trim().strip_prefix('=')?;
    let cases = text.split(',').map(|case| match case.split_once(':') {
        Some((kernel, outcome)) => (Some(kernel.trim().to_owned()), outcome.trim().to_owned()),
        None => (None, case.trim().to_owned()),
    });
    Some(Expectation { cases: cases.collect() })
}

// ---- reading one line ----

/// The words of a line, each with its column.
struct Words<'a> {
    line: &'a str,
    rest: std::iter::Peekable<std::vec::IntoIter<(usize, &'a str)>>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Words<'a> {
        let code = line.split('#').next().unwrap_or("");
        let words: Vec<(usize, &str)> = code
            .split_whitespace()
            .map(|word| (word.as_ptr() as usize - line.as_ptr() as usize, word))
            .collect();
        Words { line: code, rest: words.into_iter().peekable() }
    }

    fn error(&self, byte: usize, message: String) -> ParseError {
        let column = self.line[..byte].chars().count() + 1;
        ParseError { line: 0, column, message }
    }

    /// Takes the next word and reads it with `read`; `what` says in an error what belongs there.
    fn take<T>(&mut self, what: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, ParseError> {
        match self.rest.next() {
            None => Err(self
                .error(self.line.trim_end().len(), format!("the line ends where {what} belongs"))),
            Some((byte, word)) => {
                read(word).ok_or_else(|| self.error(byte, format!("`{word}` is not {what}")))
            }
        }
    }

    fn next_starts_with(&mut self, prefix: &str) -> bool {
        self.rest.peek().is_some_and(|(_, word)| word.starts_with(prefix))
    }

    fn is_last(&mut self) -> bool {
        self.rest.peek().is_none()
    }

    fn end<T>(mut self, value: T) -> Result<T, ParseError> {
        match self.rest.next() {
            None => Ok(value),
            Some((byte, word)) => Err(self.error(byte, format!("`{word}` is one word too many"))),
        }
    }
}

fn parse_line(line: &str) -> Result<Option<Op>, ParseError> {
    let mut words = Words::of(line);
    if words.is_last() {
        return Ok(None);
    }
    let proc = match words.rest.peek().and_then(|(_, word)| read_proc(word)) {
        Some(proc) => {
            words.rest.next();
            proc
        }
        None => Proc::P0,
    };
    let column = words.rest.peek().map_or(0, |(byte, _)| *byte);
    let kind = words.take("an op (map, unmap, protect, write, read, fork, exit, limit, reg, dereg, read_remote, write_remote)", OpKind::from_word)?;
    let op = parse_arguments(kind, proc, &mut words)?;
    if op.proc() != proc {
        return Err(words.error(column, format!("`{kind}` is done by p0 alone")));
    }
    words.end(Some(op))
}

fn parse_arguments(kind: OpKind, proc: Proc, words: &mut Words<'_>) -> Result<Op, ParseError> {
    Ok(match kind {
        OpKind::Map => Op::Map {
            proc,
            pages: words.take(PAGES, read_pages)?,
            backing: words.take("a backing (anon, memfd0, memfd1+2)", read_backing)?,
            sharing: words.take("private or shared", read_sharing)?,
            prot: words.take(PROT, read_prot)?,
        },
        OpKind::Unmap => Op::Unmap { proc, pages: words.take(PAGES, read_pages)? },
        OpKind::Protect => Op::Protect {
            proc,
            pages: words.take(PAGES, read_pages)?,
            prot: words.take(PROT, read_prot)?,
        },
        OpKind::Write => {
            let at = words.take(POSITION, read_position)?;
            let (len_bytes, tag) = len_and_tag(words)?;
            Op::Write { proc, at, len_bytes, tag }
        }
        OpKind::Read => Op::Read {
            proc,
            at: words.take(POSITION, read_position)?,
            len_bytes: words.take(LEN, read_len)?,
        },
        OpKind::Fork => Op::Fork { proc, child: words.take("a process (p0 to p3)", read_proc)? },
        OpKind::Exit => Op::Exit { proc },
        OpKind::Limit => {
            Op::Limit { bytes: words.take("a number of bytes or `unlimited`", read_limit)? }
        }
        OpKind::Reg => Op::Reg {
            mr: words.take(MR, read_mr)?,
            range: words.take("a range of bytes (0..4, or 0+8..1+16)", read_byte_range)?,
            access: words
                .take("access flags (none, or remote_read|local_write|...)", Access::from_text)?,
        },
        OpKind::Dereg => Op::Dereg { mr: words.take(MR, read_mr)? },
        OpKind::RemoteRead => {
            let (mr, offset) = words.take(REMOTE, read_remote)?;
            let len_bytes = words.take(LEN, read_len)?;
            Op::RemoteRead { mr, offset, len_bytes, key: optional_key(words)? }
        }
        OpKind::RemoteWrite => {
            let (mr, offset) = words.take(REMOTE, read_remote)?;
            let len_bytes = words.take(LEN, read_len)?;
            let tag = words.take(TAG, read_tag)?;
            Op::RemoteWrite { mr, offset, len_bytes, tag, key: optional_key(words)? }
        }
    })
}

const PAGES: &str = "a range of pages inside the arena (0..4, up to 0..64)";
const PROT: &str = "a protection (none, r, w, rw, x, rx, wx, rwx)";
const POSITION: &str = "a position (a page, or page+bytes, such as 3+0x10)";
const LEN: &str = "a length in bytes, at most the 262144 of the arena";
const MR: &str = "an MR (mr0 to mr255)";
const TAG: &str = "a byte (0x22)";
const REMOTE: &str = "a place in an MR (mr0+0, mr0-8)";

/// `[LEN] TAG`: a write without a length is one of 8 bytes.
fn len_and_tag(words: &mut Words<'_>) -> Result<(u32, u8), ParseError> {
    let first =
        words.take("a length in bytes or a byte", |word| Some((read_len(word)?, word.to_owned())));
    let (len_bytes, word) = first?;
    if words.is_last() {
        let tag = read_tag(&word);
        let end = words.line.trim_end().len();
        return tag
            .map(|tag| (8, tag))
            .ok_or_else(|| words.error(end, format!("the line ends where {TAG} belongs")));
    }
    Ok((len_bytes, words.take(TAG, read_tag)?))
}

fn optional_key(words: &mut Words<'_>) -> Result<Key, ParseError> {
    if !words.next_starts_with("key=") {
        return Ok(Key::Own);
    }
    words.take("a key (key=own, key=stale, key=mr1)", |word| match word.strip_prefix("key=")? {
        "own" => Some(Key::Own),
        "stale" => Some(Key::Stale),
        mr => Some(Key::Of(read_mr(mr)?)),
    })
}

// ---- reading one word ----

fn read_number(word: &str) -> Option<u64> {
    // `parse` would take a sign; a number has none.
    if !word.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match word.strip_prefix("0x") {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None => word.parse().ok(),
    }
}

fn read_proc(word: &str) -> Option<Proc> {
    Proc::new(read_index(word, "p")?)
}

fn read_mr(word: &str) -> Option<Mr> {
    read_index(word, "mr").map(Mr)
}

fn read_index(word: &str, prefix: &str) -> Option<u8> {
    let digits = word.strip_prefix(prefix)?;
    let canonical =
        digits.chars().all(|c| c.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if canonical { digits.parse().ok() } else { None }
}

fn read_pages(word: &str) -> Option<PageRange> {
    let (first, end) = word.split_once("..")?;
    PageRange::new(u8::try_from(read_number(first)?).ok()?, u8::try_from(read_number(end)?).ok()?)
}

fn read_position(word: &str) -> Option<Position> {
    let (page, offset) = word.split_once('+').unwrap_or((word, "0"));
    let offset = u32::try_from(read_number(offset)?).ok().filter(|&offset| offset < PAGE_BYTES)?;
    let page = u32::try_from(read_number(page)?).ok()?;
    let bytes = page.checked_mul(PAGE_BYTES)?.checked_add(offset)?;
    // Far beyond the arena lie the executor's own mappings, which no sequence may touch.
    (bytes <= 2 * ARENA_BYTES).then_some(Position(bytes))
}

/// Size of the arena, in bytes.
const ARENA_BYTES: u32 = ARENA_PAGES as u32 * PAGE_BYTES;

fn read_byte_range(word: &str) -> Option<ByteRange> {
    let (start, end) = word.split_once("..")?;
    ByteRange::new(read_position(start)?, read_position(end)?)
}

fn read_backing(word: &str) -> Option<Backing> {
    if word == "anon" {
        return Some(Backing::Anon);
    }
    let (file, page) = word.split_once('+').unwrap_or((word, "0"));
    let file = File::new(read_index(file, "memfd")?)?;
    Some(Backing::Memfd { file, page: u8::try_from(read_number(page)?).ok()? })
}

fn read_sharing(word: &str) -> Option<Sharing> {
    match word {
        "private" => Some(Sharing::Private),
        "shared" => Some(Sharing::Shared),
        _ => None,
    }
}

fn read_prot(word: &str) -> Option<Prot> {
    let bits = Prot::NAMES.iter().position(|name| *name == word)?;
    Some(Prot::from_bits(u8::try_from(bits).ok()?))
}

fn read_len(word: &str) -> Option<u32> {
    u32::try_from(read_number(word)?).ok().filter(|&len| len <= ARENA_BYTES)
}

fn read_tag(word: &str) -> Option<u8> {
    u8::try_from(read_number(word)?).ok()
}

fn read_limit(word: &str) -> Option<u64> {
    if word == "unlimited" { Some(u64::MAX) } else { read_number(word) }
}

fn read_remote(word: &str) -> Option<(Mr, i32)> {
    let Some(sign) = word.find(['+', '-']) else { return Some((read_mr(word)?, 0)) };
    let offset = i32::try_from(read_number(&word[sign + 1..])?).ok()?;
    Some((read_mr(&word[..sign])?, if word[sign..].starts_with('-') { -offset } else { offset }))
}

// ---- writing one line ----

/// Writes one op as its line, without the line's end.
pub fn print_op(op: &Op) -> String {
    let mut line = String::new();
    if op.proc() != Proc::P0 {
        write!(line, "{} ", op.proc()).expect("a string takes everything");
    }
    line.push_str(op.kind().word());
    line.push_str(&print_arguments(op));
    line
}

fn print_arguments(op: &Op) -> String {
    match *op {
        Op::Map { pages, backing, sharing, prot, .. } => {
            let sharing = match sharing {
                Sharing::Private => "private",
                Sharing::Shared => "shared",
            };
            format!(" {} {} {sharing} {prot}", print_pages(pages), print_backing(backing))
        }
        Op::Unmap { pages, .. } => format!(" {}", print_pages(pages)),
        Op::Protect { pages, prot, .. } => format!(" {} {prot}", print_pages(pages)),
        Op::Write { at, len_bytes, tag, .. } => {
            format!(" {} {len_bytes} {tag:#04x}", print_position(at))
        }
        Op::Read { at, len_bytes, .. } => format!(" {} {len_bytes}", print_position(at)),
        Op::Fork { child, .. } => format!(" {child}"),
        Op::Exit { .. } => String::new(),
        Op::Limit { bytes: u64::MAX } => " unlimited".to_owned(),
        Op::Limit { bytes } => format!(" {bytes}"),
        Op::Reg { mr, range, access } => {
            format!(
                " {mr} {}..{} {access}",
                print_position(range.start()),
                print_position(range.end())
            )
        }
        Op::Dereg { mr } => format!(" {mr}"),
        Op::RemoteRead { mr, offset, len_bytes, key } => {
            format!(" {mr}{offset:+} {len_bytes}{}", print_key(key))
        }
        Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
            format!(" {mr}{offset:+} {len_bytes} {tag:#04x}{}", print_key(key))
        }
    }
}

fn print_pages(pages: PageRange) -> String {
    format!("{}..{}", pages.first(), pages.end())
}

fn print_position(position: Position) -> String {
    match position.page_offset() {
        0 => format!("{}", position.page_index()),
        offset => format!("{}+{offset}", position.page_index()),
    }
}

fn print_backing(backing: Backing) -> String {
    match backing {
        Backing::Anon => "anon".to_owned(),
        Backing::Memfd { file, page: 0 } => format!("memfd{}", file.index()),
        Backing::Memfd { file, page } => format!("memfd{}+{page}", file.index()),
    }
}

fn print_key(key: Key) -> String {
    match key {
        Key::Own => String::new(),
        Key::Stale => " key=stale".to_owned(),
        Key::Of(mr) => format!(" key={mr}"),
    }
}
