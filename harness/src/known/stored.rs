//! An entry as it is written, and what can be wrong with it.

use serde::Deserialize;
use toml::Spanned;

use super::range::{Forms, Range, release};
use super::{Entry, KnownError, ShownBy, Verified};
use crate::profile::Platform;
use crate::signature::Signature;

/// What is wrong, and at which byte of the text if that is known.
type Wrong = (Option<usize>, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    #[serde(default)]
    pub(super) known: Vec<Spanned<StoredEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredEntry {
    signature: Spanned<Signature>,
    kernels: Spanned<String>,
    platform: Option<Spanned<String>>,
    /// The name that `platform` had, for a better message than that of an unknown field.
    machine: Option<Spanned<String>>,
    verified: Spanned<Vec<Spanned<String>>>,
    title: Spanned<String>,
    source: Spanned<String>,
    explanation: Spanned<String>,
    sequence: Option<Spanned<String>>,
    program: Option<Spanned<String>>,
}

impl StoredEntry {
    /// The entry; or what is wrong with it.
    pub(super) fn read(self) -> Result<Entry, Wrong> {
        if let Some(machine) = &self.machine {
            return Err(wrong(machine, "`machine` is called `platform` now".to_owned()));
        }
        for (name, field) in
            [("title", &self.title), ("source", &self.source), ("explanation", &self.explanation)]
        {
            refuse_empty(name, field)?;
        }
        if !self.source.get_ref().contains(':') {
            return Err(wrong(&self.source, "`source` is `file:function`".to_owned()));
        }
        let range = Range::parse(self.kernels.get_ref()).ok_or_else(|| {
            let text = self.kernels.get_ref();
            wrong(&self.kernels, format!("`{text}` is no range of kernels: that is {Forms}"))
        })?;
        let platform = match &self.platform {
            None => None,
            Some(name) => Some(read_platform(name, name.get_ref())?),
        };
        Ok(Entry {
            verified: read_verified(&self.verified, range, platform)?,
            shown_by: read_shown_by(self.sequence, self.program)?,
            signature: self.signature.into_inner(),
            kernels: self.kernels.into_inner(),
            platform,
            title: self.title.into_inner(),
            source: self.source.into_inner(),
            explanation: self.explanation.into_inner(),
            range,
        })
    }
}

fn wrong<T>(place: &Spanned<T>, message: String) -> Wrong {
    (Some(place.span().start), message)
}

fn refuse_empty(name: &str, field: &Spanned<String>) -> Result<(), Wrong> {
    match field.get_ref().trim().is_empty() {
        true => Err(wrong(field, format!("`{name}` is empty"))),
        false => Ok(()),
    }
}

fn read_platform(place: &Spanned<String>, name: &str) -> Result<Platform, Wrong> {
    Platform::from_name(name)
        .ok_or_else(|| wrong(place, format!("`{name}` is no platform: uml or x86")))
}

/// `6.12.117`, or `uml:7.3.4` where an entry about every platform was seen on one of them alone.
fn read_verified(
    list: &Spanned<Vec<Spanned<String>>>,
    range: Range,
    of: Option<Platform>,
) -> Result<Vec<Verified>, Wrong> {
    if list.get_ref().is_empty() {
        return Err(wrong(list, "`verified` is empty: it was seen on no kernel".to_owned()));
    }
    let read = |item: &Spanned<String>| {
        let (platform, text) = match item.get_ref().split_once(':') {
            None => (None, item.get_ref().as_str()),
            Some(_) if of.is_some() => {
                let message = "the entry has a `platform` already; this is a release alone";
                return Err(wrong(item, message.to_owned()));
            }
            Some((name, text)) => (Some(read_platform(item, name)?), text),
        };
        let Some((version, series)) = release(text) else {
            let message =
                format!("`{text}` is no release: that is three numbers, such as 6.12.117");
            return Err(wrong(item, message));
        };
        if !range.contains(version) {
            return Err(wrong(item, format!("{text} is not among the `kernels` of this entry")));
        }
        Ok(Verified { release: text.to_owned(), platform, series })
    };
    list.get_ref().iter().map(read).collect()
}

fn read_shown_by(
    sequence: Option<Spanned<String>>,
    program: Option<Spanned<String>>,
) -> Result<ShownBy, Wrong> {
    match (sequence, program) {
        (Some(path), None) => {
            refuse_empty("sequence", &path)?;
            Ok(ShownBy::Sequence(path.into_inner()))
        }
        (None, Some(path)) => {
            refuse_empty("program", &path)?;
            Ok(ShownBy::Program(path.into_inner()))
        }
        (None, None) => Err((None, "missing field `sequence` or `program`".to_owned())),
        (Some(_), Some(program)) => {
            Err(wrong(&program, "either `sequence` or `program`, not both".to_owned()))
        }
    }
}

pub(super) fn error_at(text: &str, byte: usize, message: String) -> KnownError {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    KnownError {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: message.trim_end().replace('\n', "; "),
    }
}
