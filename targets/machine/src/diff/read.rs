//! Finds the diffs in a text.

use super::{Deed, FileDiff, Hunk, Line, Patch, name};

/// Why an input is no patch, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input}:{line}: {reason}")]
pub struct DiffError {
    /// What the input is called.
    pub input: String,
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: DiffReason,
}

/// What is wrong with a patch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiffReason {
    /// There is nothing in it.
    #[error(
        "there is no diff in it: give the output of `git diff`, `git format-patch` or `diff -u`, or a mail with one"
    )]
    Empty,
    /// A mail that is not plain text.
    #[error("the mail is encoded as {0}: save it as plain text, as `b4 am` does")]
    Encoded(String),
    /// A file that is no text.
    #[error("`{0}` changes as a binary file, which a unified diff cannot say: leave it out")]
    Binary(String),
    /// A name that cannot be.
    #[error("{0}")]
    Name(String),
    /// A hunk that belongs to nothing.
    #[error("a hunk without `---` and `+++` before it: the patch is damaged, get it again")]
    Homeless,
    /// The numbers of a hunk.
    #[error("`{0}` does not say which lines, as `@@ -1,3 +1,4 @@` does")]
    Range(String),
    /// A hunk of other length than it says.
    #[error(
        "hunk {hunk} of {file} says {old} old and {new} new lines, and ends before: the patch is cut or was wrapped by \
         a mail program, get it again"
    )]
    Short {
        /// Which hunk of that file, from 1.
        hunk: usize,
        /// The file.
        file: String,
        /// Lines it says it has.
        old: usize,
        /// Likewise.
        new: usize,
    },
}

/// Reads all diffs of `bytes`, which came from `input`.
///
/// # Errors
///
/// If there is none, or one is damaged.
pub fn read(input: &str, bytes: &[u8]) -> Result<Patch, DiffError> {
    let mut reader = Reader { lines: lines(bytes), at: 0, file: None, files: Vec::new() };
    match reader.run() {
        Ok(()) => Ok(Patch { input: input.to_owned(), files: reader.files }),
        Err((line, reason)) => Err(DiffError { input: input.to_owned(), line, reason }),
    }
}

/// The lines of `bytes` with their ends. A patch that came over the wire has ends of two characters, the tree has not.
fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let is_wired = lines
        .clone()
        .filter(|line| line.starts_with(b"--- ") || line.starts_with(b"@@ "))
        .any(|line| line.ends_with(b"\r\n"));
    let unwired = |line: &[u8]| match line.strip_suffix(b"\r\n") {
        Some(text) if is_wired => [text, b"\n"].concat(),
        Some(_) | None => line.to_owned(),
    };
    lines.map(unwired).collect()
}

type Wrong = (usize, DiffReason);

struct Reader {
    lines: Vec<Vec<u8>>,
    at: usize,
    /// The file that hunks belong to now.
    file: Option<FileDiff>,
    files: Vec<FileDiff>,
}

impl Reader {
    fn run(&mut self) -> Result<(), Wrong> {
        while self.at < self.lines.len() {
            let line = self.text(self.at);
            if let Some(names) = line.strip_prefix("diff --git ") {
                self.git_header(names)?;
            } else if line.starts_with("--- ") && self.text(self.at + 1).starts_with("+++ ") {
                self.plain_header()?;
            } else if line.starts_with("@@ ") {
                self.hunk()?;
            } else if let Some(encoding) = encoding(&line) {
                return Err(self.wrong(DiffReason::Encoded(encoding)));
            } else {
                self.at += 1;
            }
        }
        self.finish_file();
        if self.files.is_empty() { Err((1, DiffReason::Empty)) } else { Ok(()) }
    }

    /// Line `index` as text; empty behind the end.
    fn text(&self, index: usize) -> String {
        let line = self.lines.get(index).map_or(&[][..], Vec::as_slice);
        String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned()
    }

    fn wrong(&self, reason: DiffReason) -> Wrong {
        (self.at + 1, reason)
    }

    fn finish_file(&mut self) {
        // A change of nothing but the mode is none to a compiler.
        let says_something = |file: &FileDiff| {
            !file.hunks.is_empty()
                || file.deed != Deed::Change
                || file.old.is_none() != file.new.is_none()
        };
        self.files.extend(self.file.take().filter(says_something));
    }

    /// `diff --git` and what git says below it, up to the hunks. `names` are wanted of a file that is empty before or
    /// after: it has neither `---` nor hunks.
    fn git_header(&mut self, names: &str) -> Result<(), Wrong> {
        self.finish_file();
        let name = |text: &str| name::stripped(text).map_err(DiffReason::Name);
        let both = names
            .split_once(" b/")
            .map_or((names, names.to_owned()), |(old, new)| (old, format!("b/{new}")));
        let mut file = FileDiff {
            old: name(both.0).map_err(|reason| self.wrong(reason))?,
            new: name(&both.1).map_err(|reason| self.wrong(reason))?,
            deed: Deed::Change,
            line: self.at + 1,
            hunks: Vec::new(),
        };
        self.at += 1;
        while self.at < self.lines.len() {
            let line = self.text(self.at);
            let whole = |text: &str| name::whole(text).map_err(DiffReason::Name);
            if let Some(old) = line.strip_prefix("rename from ").or(line.strip_prefix("copy from "))
            {
                file.deed = if line.starts_with("copy") { Deed::Copy } else { Deed::Rename };
                file.old = Some(whole(old).map_err(|reason| self.wrong(reason))?);
            } else if let Some(new) =
                line.strip_prefix("rename to ").or(line.strip_prefix("copy to "))
            {
                file.new = Some(whole(new).map_err(|reason| self.wrong(reason))?);
            } else if line.starts_with("new file mode ") {
                file.old = None;
            } else if line.starts_with("deleted file mode ") {
                file.new = None;
            } else if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
                return Err(self.wrong(DiffReason::Binary(file.name().to_owned())));
            } else if !is_of_git_header(&line) {
                break;
            }
            self.at += 1;
        }
        self.file = Some(file);
        Ok(())
    }

    /// `---` and `+++`, with or without git's header before.
    fn plain_header(&mut self) -> Result<(), Wrong> {
        let (old, new) = (self.text(self.at), self.text(self.at + 1));
        let name = |line: &str| name::stripped(&line[4..]).map_err(DiffReason::Name);
        let old = name(&old).map_err(|reason| self.wrong(reason))?;
        let new = name(&new).map_err(|reason| self.wrong(reason))?;
        let line = self.at + 1;
        // Git has said more of it already.
        let has_header = self
            .file
            .as_ref()
            .is_some_and(|file| file.hunks.is_empty() && (file.new == new || file.old == old));
        if !has_header {
            self.finish_file();
            self.file = Some(FileDiff { old, new, deed: Deed::Change, line, hunks: Vec::new() });
        }
        self.at += 2;
        Ok(())
    }

    fn hunk(&mut self) -> Result<(), Wrong> {
        let begin = self.at;
        let heading = self.text(begin);
        let Some((old_start, old_count, new_count)) = range(&heading) else {
            return Err(self.wrong(DiffReason::Range(heading)));
        };
        let Some(file) = &self.file else { return Err(self.wrong(DiffReason::Homeless)) };
        let short = DiffReason::Short {
            hunk: file.hunks.len() + 1,
            file: file.name().to_owned(),
            old: old_count,
            new: new_count,
        };
        let mut lines: Vec<Line> = Vec::new();
        let (mut old_left, mut new_left) = (old_count, new_count);
        self.at += 1;
        while old_left > 0 || new_left > 0 {
            let Some(line) = self.lines.get(self.at) else { return Err((begin + 1, short)) };
            let rest = || line.get(1..).unwrap_or_default().to_owned();
            // Mail programs cut a space at the end of a line: an empty line is one of context.
            match line.first() {
                Some(b' ') if old_left > 0 && new_left > 0 => lines.push(Line::Context(rest())),
                None | Some(b'\n') if old_left > 0 && new_left > 0 => {
                    lines.push(Line::Context(b"\n".to_vec()));
                }
                Some(b'-') if old_left > 0 => lines.push(Line::Removed(rest())),
                Some(b'+') if new_left > 0 => lines.push(Line::Added(rest())),
                Some(b'\\') => cut_end(&mut lines),
                Some(_) | None => return Err((self.at + 1, short)),
            }
            match (lines.last(), line.first()) {
                (_, Some(b'\\')) | (None, _) => {}
                (Some(Line::Context(_)), _) => (old_left, new_left) = (old_left - 1, new_left - 1),
                (Some(Line::Removed(_)), _) => old_left -= 1,
                (Some(Line::Added(_)), _) => new_left -= 1,
            }
            self.at += 1;
        }
        if self.lines.get(self.at).is_some_and(|line| line.starts_with(b"\\")) {
            cut_end(&mut lines);
            self.at += 1;
        }
        let hunk = Hunk { line: begin + 1, old_start, lines };
        if let Some(file) = &mut self.file {
            file.hunks.push(hunk);
        }
        Ok(())
    }
}

/// `\ No newline at end of file`: the line before it has none.
fn cut_end(lines: &mut [Line]) {
    let Some(Line::Context(text) | Line::Removed(text) | Line::Added(text)) = lines.last_mut()
    else {
        return;
    };
    if text.ends_with(b"\n") {
        text.pop();
    }
}

fn is_of_git_header(line: &str) -> bool {
    ["index ", "old mode ", "new mode ", "similarity index ", "dissimilarity index "]
        .iter()
        .any(|word| line.starts_with(word))
}

/// What a mail is encoded as, if that hides the patch.
fn encoding(line: &str) -> Option<String> {
    let (field, value) = line.split_once(':')?;
    let value = value.trim().to_ascii_lowercase();
    let hides = value == "base64" || value == "quoted-printable";
    (field.eq_ignore_ascii_case("content-transfer-encoding") && hides).then_some(value)
}

/// Start and count of the old lines, and count of the new ones, of `@@ -1,3 +1,4 @@`.
fn range(heading: &str) -> Option<(usize, usize, usize)> {
    let mut words = heading.split(' ');
    words.next().filter(|word| *word == "@@")?;
    let (old_start, old_count) = span(words.next()?.strip_prefix('-')?)?;
    let (_, new_count) = span(words.next()?.strip_prefix('+')?)?;
    words.next().filter(|word| word.starts_with("@@"))?;
    (old_count + new_count > 0).then_some((old_start, old_count, new_count))
}

fn span(text: &str) -> Option<(usize, usize)> {
    let (start, count) = text.split_once(',').unwrap_or((text, "1"));
    // No file is so long; and sums of such numbers cannot overflow.
    let number = |text: &str| text.parse::<u32>().ok().and_then(|number| number.try_into().ok());
    Some((number(start)?, number(count)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_MAILS: &str = "From 1234 Mon Sep 17 00:00:00 2001\nSubject: [PATCH 1/2] one\n\nWords.\n--- \n\
        --- a/one.c\n+++ b/one.c\n@@ -1,2 +1,2 @@\n-old\n+new\n context\n-- \n2.39\n\n\
        From 5678 Mon Sep 17 00:00:00 2001\nSubject: [PATCH 2/2] two\n---\ndiff --git a/two.c b/two.c\n\
        index 1..2 100644\n--- a/two.c\n+++ b/two.c\n@@ -7 +7,2 @@ int f(void)\n here\n+more\n";

    fn wrong(text: &str) -> (usize, DiffReason) {
        let error = read("x.patch", text.as_bytes()).unwrap_err();
        (error.line, error.reason)
    }

    #[test]
    fn the_diffs_of_several_mails_are_read_in_order() {
        let patch = read("box", TWO_MAILS.as_bytes()).unwrap();
        assert_eq!(patch.file_names(), ["one.c", "two.c"]);
        assert_eq!(patch.hunk_count(), 2);
        let two = &patch.files[1];
        assert_eq!((two.hunks[0].old_start, two.hunks[0].before().len()), (7, 1));
        assert_eq!(two.hunks[0].after(), [b"here\n".as_slice(), b"more\n"]);
    }

    #[test]
    fn what_came_over_the_wire_reads_as_what_did_not() {
        let wired = TWO_MAILS.replace('\n', "\r\n");
        let plain = read("box", TWO_MAILS.as_bytes()).unwrap();
        assert_eq!(read("box", wired.as_bytes()).unwrap(), plain);
    }

    #[test]
    fn files_that_appear_go_and_move_are_told_apart() {
        let text = "diff --git a/new.c b/new.c\nnew file mode 100644\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1 @@\n+x\n\
            diff --git a/gone.c b/gone.c\ndeleted file mode 100644\n--- a/gone.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\
            diff --git a/here.c b/there.c\nsimilarity index 100%\nrename from here.c\nrename to there.c\n\
            diff --git a/mode.sh b/mode.sh\nold mode 100644\nnew mode 100755\n\
            diff --git a/empty.h b/empty.h\nnew file mode 100644\nindex 0..1\n";
        let patch = read("x", text.as_bytes()).unwrap();
        let names = |file: &FileDiff| (file.old.clone(), file.new.clone(), file.deed);
        let name = |text: &str| Some(text.to_owned());
        let found: Vec<_> = patch.files.iter().map(names).collect();
        let expected = [
            (None, name("new.c"), Deed::Change),
            (name("gone.c"), None, Deed::Change),
            (name("here.c"), name("there.c"), Deed::Rename),
            (None, name("empty.h"), Deed::Change),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_without_an_end_is_kept_as_one() {
        let text = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n";
        let patch = read("x", text.as_bytes()).unwrap();
        let hunk = &patch.files[0].hunks[0];
        assert_eq!((hunk.before(), hunk.after()), (vec![b"a".as_slice()], vec![b"b".as_slice()]));
    }

    #[test]
    fn what_is_no_patch_says_why_and_where() {
        assert_eq!(wrong(""), (1, DiffReason::Empty));
        assert_eq!(wrong("Subject: [PATCH 0/3] words\n\nOnly words.\n"), (1, DiffReason::Empty));
        assert_eq!(wrong("x\n@@ -1 +1 @@\n-a\n+b\n"), (2, DiffReason::Homeless));
        assert!(matches!(wrong("--- a/x\n+++ b/x\n@@ 1 2 @@\n"), (3, DiffReason::Range(_))));
        let cut = "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n";
        assert!(matches!(wrong(cut), (3, DiffReason::Short { hunk: 1, .. })));
        let wrapped = "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b and\nc\n+d\n e\n";
        assert!(matches!(wrong(wrapped), (6, DiffReason::Short { .. })));
        let mail = "Content-Transfer-Encoding: base64\n\nLS0tIGEveAo=\n";
        assert_eq!(wrong(mail), (1, DiffReason::Encoded("base64".to_owned())));
        let binary = "diff --git a/x.bin b/x.bin\nindex 1..2\nGIT binary patch\nliteral 3\n";
        assert_eq!(wrong(binary), (3, DiffReason::Binary("x.bin".to_owned())));
        assert!(matches!(
            wrong("--- umem.c.orig\n+++ umem.c\n@@ -1 +1 @@\n-a\n+b\n"),
            (1, DiffReason::Name(_))
        ));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let base = TWO_MAILS.as_bytes();
        for cut in 0..base.len() {
            let _ = read("x", &base[..cut]);
            let mut changed = base.to_vec();
            changed[cut] = b'@';
            let _ = read("x", &changed);
        }
    }
}
