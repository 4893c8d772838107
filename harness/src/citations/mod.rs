//! Citations of the kernel's source: which function, in which file, of which versions, and where it is cited.
//!
//! A comment cites with a paragraph that begins with "Source:", or in passing with a name and the file behind it. The
//! `defect.toml` of a defect cites with its key `source`. [`Citations::add`] reads one file of ours at a time; what it
//! could not read is in [`Citations::unread`], and never dropped.

mod claim;
mod paragraph;
mod read;
mod token;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

pub use claim::{Claim, NoVersion, Series};

/// What a citation names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub enum Name {
    /// A function or a macro with arguments.
    Function(String),
    /// A system call, by the macro that defines it: `SYSCALL_DEFINE5` and `mremap`.
    SystemCall {
        /// The macro.
        define: String,
        /// The system call.
        name: String,
    },
    /// A struct, union or enum: the keyword and its tag.
    Tagged {
        /// `struct`, `union` or `enum`.
        keyword: String,
        /// Its tag.
        tag: String,
    },
    /// A macro, a constant, a variable, a type.
    Plain(String),
    /// An option of the kernel's configuration, without `CONFIG_`.
    Option(String),
}

impl Name {
    /// Reads a name as citations write it. Gives `None` for what is none in C.
    pub fn parse(text: &str) -> Option<Name> {
        if let Some((keyword, tag)) = text.split_once(' ') {
            let is_keyword = ["struct", "union", "enum"].contains(&keyword);
            let tagged = || Name::Tagged { keyword: keyword.to_owned(), tag: tag.to_owned() };
            return (is_keyword && is_identifier(tag)).then(tagged);
        }
        if let Some(option) = text.strip_prefix("CONFIG_") {
            return is_identifier(text).then(|| Name::Option(option.to_owned()));
        }
        let Some((before, inside)) = text.strip_suffix(')').and_then(|text| text.split_once('('))
        else {
            return is_identifier(text).then(|| Name::Plain(text.to_owned()));
        };
        if before.contains("SYSCALL_DEFINE") && is_identifier(before) && is_identifier(inside) {
            return Some(Name::SystemCall { define: before.to_owned(), name: inside.to_owned() });
        }
        (inside.is_empty() && is_identifier(before)).then(|| Name::Function(before.to_owned()))
    }

    /// The identifier to look for.
    pub fn identifier(&self) -> &str {
        match self {
            Name::Function(name)
            | Name::SystemCall { name, .. }
            | Name::Tagged { tag: name, .. }
            | Name::Plain(name)
            | Name::Option(name) => name,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Function(name) => write!(f, "{name}()"),
            Name::SystemCall { define, name } => write!(f, "{define}({name})"),
            Name::Tagged { keyword, tag } => write!(f, "{keyword} {tag}"),
            Name::Plain(name) => f.write_str(name),
            Name::Option(name) => write!(f, "CONFIG_{name}"),
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.to_string()
    }
}

fn is_identifier(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(is_part)
}

/// Where something is cited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct Place {
    /// A file of ours, from the root of the repository.
    pub file: String,
    /// The line of the name, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl From<Place> for String {
    fn from(place: Place) -> String {
        place.to_string()
    }
}

/// One function, or another thing in the kernel's source, and one place that cites it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Citation {
    /// What is cited; `None` is the whole file.
    pub name: Option<Name>,
    /// The files that it is said to be in. Where there are several it has to be in one of them.
    pub files: Vec<String>,
    /// The versions it is said to be in.
    pub claim: Claim,
    /// Who cites it.
    pub place: Place,
}

/// A source that is not the kernel's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// What it is, in a word or two.
    pub what: &'static str,
    /// Who cites it.
    pub place: Place,
}

/// A citation that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// Where it stands.
    pub place: Place,
    /// What it says, shortened.
    pub text: String,
    /// What is missing.
    pub why: &'static str,
}

/// All that files of ours cite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citations {
    /// Citations of the kernel, in the order of the files that were added.
    pub found: Vec<Citation>,
    /// Citations of something else.
    pub elsewhere: Vec<Elsewhere>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

impl Citations {
    /// Adds what the comments of `file` cite, whose content is `text`. The ending of `file` says how comments look
    /// there; a file of a kind that cites nothing adds nothing.
    pub fn add(&mut self, file: &str, text: &str) {
        if file.ends_with(".toml") {
            read::table(self, file, text);
            return;
        }
        for paragraph in paragraph::paragraphs(file, text) {
            read::paragraph(self, file, &paragraph);
        }
    }
}
