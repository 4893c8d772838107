//! The folder of a defect as it is written, and what can be wrong with it.

use serde::Deserialize;
use toml::Spanned;

use super::fix::{self, Fix};
use super::range::{Forms, Range, release};
use super::{Defect, Defects, Entry, ShownBy, Verified};
use crate::profile::Platform;
use crate::signature::Signature;

/// The file of a folder that says what the defect is.
pub const DESCRIPTION: &str = "defect.toml";

/// The folder of a defect: of its files, those that are read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefectFolder<'a> {
    /// Its name.
    pub slug: &'a str,
    /// Names and texts: `defect.toml` and all fixes. Others do no harm.
    pub files: Vec<(&'a str, &'a str)>,
}

/// Why a folder is not that of a defect, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct DefectsError {
    /// Which file, from the folder of all defects on.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What is wrong, and at which byte of the text if that is known.
type Wrong = (Option<usize>, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    title: Spanned<String>,
    source: Spanned<String>,
    affected: Spanned<String>,
    platform: Option<Spanned<String>>,
    no_fix: Option<Spanned<String>>,
    shows: Vec<Spanned<StoredCase>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCase {
    signature: Spanned<Signature>,
    sequence: Option<Spanned<String>>,
    program: Option<Spanned<String>>,
    affected: Option<Spanned<String>>,
    platform: Option<Spanned<String>>,
    verified: Spanned<Vec<Spanned<String>>>,
    cured: Option<Vec<Spanned<String>>>,
    explains: Option<bool>,
}

/// A file of a folder, for messages.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) slug: &'a str,
    pub(super) file: &'a str,
}

impl Place<'_> {
    pub(super) fn error_on(self, line: usize, message: String) -> DefectsError {
        DefectsError { file: format!("{}/{}", self.slug, self.file), line, column: 1, message }
    }

    fn error_at(self, text: &str, byte: usize, message: &str) -> DefectsError {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let error =
            self.error_on(before.matches('\n').count() + 1, message.trim_end().replace('\n', "; "));
        DefectsError { column: before[line_start..].chars().count() + 1, ..error }
    }
}

impl DefectFolder<'_> {
    /// The defect. `others` are those that were read before.
    pub(super) fn read(&self, others: &Defects) -> Result<Defect, DefectsError> {
        let place = Place { slug: self.slug, file: DESCRIPTION };
        let is_slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.slug.is_empty() || !self.slug.chars().all(is_slug) {
            let message = format!(
                "the folder is called `{}`: take lower case letters, digits and hyphens",
                self.slug
            );
            return Err(place.error_on(1, message));
        }
        let Some((_, text)) = self.files.iter().find(|(name, _)| *name == DESCRIPTION) else {
            let message =
                format!("there is no such file: write one, or remove the folder {}", self.slug);
            return Err(place.error_on(1, message));
        };
        let stored: Stored = toml::from_str(text).map_err(|error| {
            let message = format!("{}; corpus/defects/README.md lists the fields", error.message());
            place.error_at(text, error.span().map_or(0, |span| span.start), &message)
        })?;
        let fixes = self.fixes()?;
        let mut defect = stored
            .read(self.slug)
            .map_err(|(at, message)| place.error_at(text, at.unwrap_or(0), &message))?;
        for (at, entry) in stored
            .cases(&defect)
            .map_err(|(at, message)| place.error_at(text, at.unwrap_or(0), &message))?
        {
            let all = others.entries().chain(&defect.shows);
            if let Some(other) = all.into_iter().find(|other| other.overlaps(&entry)) {
                let message = format!(
                    "`{}` is a case of {} already, on kernels {}, which {} overlaps: one of them has to go",
                    entry.signature, other.slug, other.affected, entry.affected
                );
                return Err(place.error_at(text, at, &message));
            }
            defect.shows.push(entry);
        }
        if let (Some(no_fix), Some(fix)) = (&stored.no_fix, fixes.first()) {
            let message = format!("there is {}: remove `no_fix`", fix.file);
            return Err(place.error_at(text, no_fix.span().start, &message));
        }
        Ok(Defect { fixes, ..defect })
    }

    fn fixes(&self) -> Result<Vec<Fix>, DefectsError> {
        let mut fixes: Vec<Fix> = Vec::new();
        for (name, text) in self.files.iter().filter(|(name, _)| fix::is_fix(name)) {
            let place = Place { slug: self.slug, file: name };
            let fix = fix::read(name, place, text)?;
            if let Some(other) = fixes.iter().find(|other| other.range.overlaps(fix.range)) {
                let message = format!(
                    "it is for {}, and {} for {}: let them share no kernel",
                    fix.series, other.file, other.series
                );
                return Err(place.error_on(1, message));
            }
            fixes.push(fix);
        }
        Ok(fixes)
    }
}

impl Stored {
    /// The defect without its cases; or what is wrong with it.
    fn read(&self, slug: &str) -> Result<Defect, Wrong> {
        refuse_empty("title", &self.title)?;
        if let Some(no_fix) = &self.no_fix {
            refuse_empty("no_fix", no_fix)?;
        }
        if !self.source.get_ref().contains(':') {
            return Err(wrong(&self.source, "write `source` as FILE:FUNCTION".to_owned()));
        }
        if self.shows.is_empty() {
            return Err((None, "nothing shows it: add a table [[shows]]".to_owned()));
        }
        Ok(Defect {
            slug: slug.to_owned(),
            title: self.title.get_ref().clone(),
            source: self.source.get_ref().clone(),
            shows: Vec::new(),
            fixes: Vec::new(),
            no_fix: self.no_fix.as_ref().map(|why| why.get_ref().clone()),
        })
    }

    /// Its cases, each with the byte where it begins.
    fn cases(&self, defect: &Defect) -> Result<Vec<(usize, Entry)>, Wrong> {
        let read = |(index, case): (usize, &Spanned<StoredCase>)| {
            let at = case.span().start;
            let entry = case.get_ref().read(self, defect, index);
            let entry = entry.map_err(|(place, message)| (place.or(Some(at)), message))?;
            Ok((at, entry))
        };
        self.shows.iter().enumerate().map(read).collect()
    }
}

impl StoredCase {
    /// The case; or what is wrong with it.
    fn read(&self, of: &Stored, defect: &Defect, index: usize) -> Result<Entry, Wrong> {
        let affected = self.affected.as_ref().unwrap_or(&of.affected);
        let range = Range::parse(affected.get_ref()).ok_or_else(|| {
            let text = affected.get_ref();
            wrong(affected, format!("`{text}` is no range of kernels: write {Forms}"))
        })?;
        let platform = match self.platform.as_ref().or(of.platform.as_ref()) {
            None => None,
            Some(name) => Some(read_platform(name, name.get_ref())?),
        };
        if self.verified.get_ref().is_empty() {
            let message = "`verified` is empty: list a release on which it was seen";
            return Err(wrong(&self.verified, message.to_owned()));
        }
        let cured = self.cured.as_deref().unwrap_or_default();
        Ok(Entry {
            slug: defect.slug.clone(),
            index,
            verified: read_releases(self.verified.get_ref(), range, platform)?,
            cured: read_releases(cured, range, platform)?,
            explains: self.explains.unwrap_or(true),
            shown_by: self.shown_by()?,
            signature: self.signature.get_ref().clone(),
            affected: affected.get_ref().clone(),
            platform,
            title: defect.title.clone(),
            source: defect.source.clone(),
            range,
        })
    }

    fn shown_by(&self) -> Result<ShownBy, Wrong> {
        let file = |name: &str, file: &Spanned<String>| {
            refuse_empty(name, file)?;
            if file.get_ref().contains('/') {
                let message = format!("`{name}` is a path: name a file in this folder");
                return Err(wrong(file, message));
            }
            Ok(file.get_ref().clone())
        };
        match (&self.sequence, &self.program) {
            (Some(sequence), None) => Ok(ShownBy::Sequence(file("sequence", sequence)?)),
            (None, Some(program)) => Ok(ShownBy::Program(file("program", program)?)),
            (None, None) => {
                Err((None, "missing field `sequence` or `program`: name what shows it".to_owned()))
            }
            (Some(_), Some(program)) => {
                Err(wrong(program, "either `sequence` or `program`, not both".to_owned()))
            }
        }
    }
}

fn wrong<T>(place: &Spanned<T>, message: String) -> Wrong {
    (Some(place.span().start), message)
}

fn refuse_empty(name: &str, field: &Spanned<String>) -> Result<(), Wrong> {
    match field.get_ref().trim().is_empty() {
        true => Err(wrong(field, format!("`{name}` is empty: fill it in"))),
        false => Ok(()),
    }
}

fn read_platform(place: &Spanned<String>, name: &str) -> Result<Platform, Wrong> {
    Platform::from_name(name)
        .ok_or_else(|| wrong(place, format!("`{name}` is no platform: write uml or x86")))
}

/// `6.12.117`, or `uml:7.3.4` where something about every platform was seen on one of them alone.
fn read_releases(
    list: &[Spanned<String>],
    range: Range,
    of: Option<Platform>,
) -> Result<Vec<Verified>, Wrong> {
    let read = |item: &Spanned<String>| {
        let (platform, text) = match item.get_ref().split_once(':') {
            None => (None, item.get_ref().as_str()),
            Some(_) if of.is_some() => {
                let message = "there is a `platform` already: write the release alone";
                return Err(wrong(item, message.to_owned()));
            }
            Some((name, text)) => (Some(read_platform(item, name)?), text),
        };
        let Some((version, series)) = release(text) else {
            let message = format!("`{text}` is no release: write three numbers, such as 6.12.117");
            return Err(wrong(item, message));
        };
        if !range.contains(version) {
            let message = format!(
                "{text} is not among the kernels that are `affected`: widen them, or remove it"
            );
            return Err(wrong(item, message));
        }
        Ok(Verified { release: text.to_owned(), platform, series })
    };
    list.iter().map(read).collect()
}
