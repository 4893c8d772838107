//! The words of one line, taken one after the other.

use super::{ParseError, why, word};
use crate::{
    Access, Advice, Backing, ByteRange, Chore, File, Handle, Key, LockScope, Mr, Mw, MwKind,
    PageRange, Pd, Position, Prot, RegCall, Rereg, Seals, Sges, Sharing, Span, Target,
};

/// The words of a line, each with its column.
pub(super) struct Words<'a> {
    pub(super) line: &'a str,
    pub(super) rest: std::iter::Peekable<std::vec::IntoIter<(usize, &'a str)>>,
}

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a str) -> Words<'a> {
        let code = line.split('#').next().unwrap_or("");
        let words: Vec<(usize, &str)> = code
            .split_whitespace()
            .map(|word| (word.as_ptr() as usize - line.as_ptr() as usize, word))
            .collect();
        Words { line: code, rest: words.into_iter().peekable() }
    }

    pub(super) fn error(&self, byte: usize, message: String) -> ParseError {
        let column = self.line[..byte].chars().count() + 1;
        ParseError { line: 0, column, message }
    }

    /// Takes the next word and reads it with `read`; `what` says in an error what belongs there.
    pub(super) fn take<T>(
        &mut self,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ParseError> {
        self.take_or(what, read, |_| None)
    }

    /// As [`Words::take`]; `why` says of a word that cannot be read what is wrong with it, where more can be said than what
    /// belongs there.
    fn take_or<T>(
        &mut self,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
        why: impl Fn(&str) -> Option<String>,
    ) -> Result<T, ParseError> {
        let Some((byte, word)) = self.rest.next() else {
            let end = self.line.trim_end().len();
            return Err(self.error(end, format!("the line ends where {what} belongs")));
        };
        read(word).ok_or_else(|| {
            let why = why(word).map(|why| format!(": {why}")).unwrap_or_default();
            self.error(byte, format!("`{}` is not {what}{why}", shortened(word)))
        })
    }

    pub(super) fn next_starts_with(&mut self, prefix: &str) -> bool {
        self.rest.peek().is_some_and(|(_, word)| word.starts_with(prefix))
    }

    pub(super) fn is_last(&mut self) -> bool {
        self.rest.peek().is_none()
    }

    pub(super) fn end<T>(mut self, value: T) -> Result<T, ParseError> {
        match self.rest.next() {
            None => Ok(value),
            Some((byte, word)) if word.contains('=') => Err(self.error(
                byte,
                format!(
                    "`{}` does not belong here: an option comes once, behind all else, pd= before via= before iova=, key= \
                     or inv= before qp=, and via=legacy has no iova=",
                    shortened(word)
                ),
            )),
            Some((byte, word)) => {
                Err(self.error(byte, format!("`{}` is one word too many", shortened(word))))
            }
        }
    }

    pub(super) fn pages(&mut self) -> Result<PageRange, ParseError> {
        let what = "a range of pages inside the arena (0..4, up to 0..64, or h0..h4)";
        self.take_or(what, word::pages, why::no_pages)
    }

    pub(super) fn position(&mut self) -> Result<Position, ParseError> {
        let what = "a position (a page, or page+bytes, such as 3+0x10 or h0+8)";
        self.take_or(what, word::position, why::no_position)
    }

    pub(super) fn file_position(&mut self) -> Result<Position, ParseError> {
        let what = "a byte of a file (a page, or page+bytes, such as 3+0x10)";
        self.take_or(what, word::file_position, why::no_file_position)
    }

    pub(super) fn file_range(&mut self) -> Result<ByteRange, ParseError> {
        let what = "a range of bytes of a file (0..4, or 0+8..1+16)";
        self.take_or(what, word::file_range, why::no_file_range)
    }

    pub(super) fn span(&mut self) -> Result<Span, ParseError> {
        let what = "a range of bytes (0..4, 0+8..1+16, or 0+8..+16)";
        self.take_or(what, word::span, why::no_byte_range)
    }

    pub(super) fn len(&mut self) -> Result<u32, ParseError> {
        self.take("a length in bytes, at most the 262144 of the arena", word::len)
    }

    pub(super) fn tag(&mut self) -> Result<u8, ParseError> {
        self.take(TAG, word::tag)
    }

    /// `[LEN] TAG`: a write without a length is one of 8 bytes.
    pub(super) fn len_and_tag(&mut self) -> Result<(u32, u8), ParseError> {
        let (len_bytes, first) =
            self.take(LEN_OR_TAG, |word| Some((word::len(word)?, word.to_owned())))?;
        if !self.is_last() {
            return Ok((len_bytes, self.tag()?));
        }
        let end = self.line.trim_end().len();
        let missing = || self.error(end, format!("the line ends where {TAG} belongs"));
        Ok((8, word::tag(&first).ok_or_else(missing)?))
    }

    pub(super) fn number(&mut self) -> Result<u64, ParseError> {
        self.take("a number of at most 64 bits (7, 0xff)", word::number)
    }

    pub(super) fn prot(&mut self) -> Result<Prot, ParseError> {
        self.take("a protection (none, r, w, rw, x, rx, wx, rwx)", word::prot)
    }

    pub(super) fn sharing(&mut self) -> Result<Sharing, ParseError> {
        self.take("private or shared", word::sharing)
    }

    pub(super) fn backing(&mut self) -> Result<Backing, ParseError> {
        let names: Vec<&str> = File::all().map(File::name).collect();
        let what = format!(
            "a backing (anon, huge, zero+2, a file such as memfd1+2: {})",
            names.join(", ")
        );
        self.take(&what, word::backing)
    }

    pub(super) fn file(&mut self) -> Result<File, ParseError> {
        let names: Vec<&str> = File::all().map(File::name).collect();
        self.take(&format!("a file ({})", names.join(", ")), File::from_name)
    }

    pub(super) fn advice(&mut self) -> Result<Advice, ParseError> {
        let names = Advice::ALL.map(|(_, name, _)| name).join(", ");
        self.take(&format!("an advice ({names})"), Advice::from_name)
    }

    pub(super) fn scope(&mut self) -> Result<LockScope, ParseError> {
        self.take("a scope (none, current, future, both)", LockScope::from_name)
    }

    pub(super) fn seals(&mut self) -> Result<Seals, ParseError> {
        self.take("seals (none, or seal|shrink|grow|write|future_write)", Seals::from_text)
    }

    pub(super) fn chore(&mut self) -> Result<Chore, ParseError> {
        let names = Chore::ALL.map(|(_, name)| name).join(", ");
        self.take(&format!("a chore ({names})"), Chore::from_name)
    }

    pub(super) fn mr(&mut self) -> Result<Mr, ParseError> {
        self.take("an MR (mr0 to mr255)", word::mr)
    }

    pub(super) fn mw(&mut self) -> Result<Mw, ParseError> {
        self.take("a memory window (mw0 to mw15)", word::mw)
    }

    pub(super) fn mw_kind(&mut self) -> Result<MwKind, ParseError> {
        self.take("a type of window (type1, type2)", word::mw_kind)
    }

    pub(super) fn handle(&mut self) -> Result<Handle, ParseError> {
        self.take("something with a key (mr0, mw0, old_mw0)", word::handle)
    }

    pub(super) fn access(&mut self) -> Result<Access, ParseError> {
        self.take("access flags (none, or remote_read|local_write|...)", Access::from_text)
    }

    pub(super) fn rereg(&mut self) -> Result<Rereg, ParseError> {
        self.take("what is to change (none, or trans|pd|access)", Rereg::from_text)
    }

    pub(super) fn place(&mut self) -> Result<(Mr, i32), ParseError> {
        self.take_or("a place in an MR (mr0+0, mr0-8)", word::place, why::no_place)
    }

    pub(super) fn sges(&mut self) -> Result<Sges, ParseError> {
        let what = "a list of up to 3 pieces of MRs (mr0+0:8,mr1+16:4, or - for none)";
        self.take_or(what, word::sges, why::no_sges)
    }

    /// `key=` and `qp=`, each of which may be left out.
    pub(super) fn target(&mut self, (mr, offset): (Mr, i32)) -> Result<Target, ParseError> {
        let key = self.option("key=", "a key (key=own, key=stale, key=mr1, key=mw0)", word::key)?;
        Ok(Target { mr, offset, key: key.unwrap_or(Key::Own), qp: self.pd("qp=")? })
    }

    /// `pd=` or `qp=`, which may be left out.
    pub(super) fn pd(&mut self, name: &str) -> Result<Pd, ParseError> {
        let of = if name == "qp=" { "queue pairs" } else { "a protection domain" };
        let what = format!("{of} ({name}0, {name}1)");
        let pd = self.option(name, &what, |word| Pd::new(word::index(word, "")?))?;
        Ok(pd.unwrap_or(Pd::FIRST))
    }

    /// `via=` and `iova=`, each of which may be left out.
    pub(super) fn call(&mut self) -> Result<RegCall, ParseError> {
        let what = "a way to register (via=legacy, via=iova2, via=raw)";
        let via = self.option("via=", what, |word| {
            ["legacy", "iova2", "raw"].into_iter().find(|way| *way == word).map(str::to_owned)
        })?;
        if via.as_deref() == Some("legacy") {
            return Ok(RegCall::Legacy);
        }
        let iova = self.option("iova=", "an address (iova=0x1000)", word::number)?;
        let raw = via.as_deref() == Some("raw");
        Ok(if raw { RegCall::Raw { iova } } else { RegCall::Iova2 { iova } })
    }

    /// A word that begins with `name`, if it comes next.
    pub(super) fn option<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ParseError> {
        if !self.next_starts_with(name) {
            return Ok(None);
        }
        self.take(what, |word| read(word.strip_prefix(name)?)).map(Some)
    }

    /// The word `name`, if it comes next.
    pub(super) fn switch(&mut self, name: &str) -> bool {
        let is_next = self.rest.peek().is_some_and(|(_, word)| *word == name);
        if is_next {
            self.rest.next();
        }
        is_next
    }
}

const TAG: &str = "a byte (0x22)";

const LEN_OR_TAG: &str = "a length in bytes, at most the 262144 of the arena, or a byte (0x22)";

/// The most characters of a word that a message repeats: a file that is no text may be one word.
const SHOWN_CHARS_MAX: usize = 80;

fn shortened(word: &str) -> String {
    match word.char_indices().nth(SHOWN_CHARS_MAX) {
        None => word.to_owned(),
        Some((end, _)) => format!("{}...", &word[..end]),
    }
}
