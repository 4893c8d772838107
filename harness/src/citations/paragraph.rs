//! The comments of a file of ours, a paragraph at a time.

/// The lines of one paragraph, each with its number, from 1, and without what marks it as a comment.
pub(crate) type Paragraph<'a> = Vec<(usize, &'a str)>;

/// How comments look in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `//`, `///` and `//!`.
    Slashes,
    /// `#`.
    Hash,
    /// `/*`, `*` and `*/`.
    Stars,
    /// All of it is text.
    Text,
}

fn style(file: &str) -> Option<Style> {
    let name = file.rsplit('/').next().unwrap_or(file);
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "rs" => Some(Style::Slashes),
        "seq" | "config" | "sh" | "awk" => Some(Style::Hash),
        "c" | "h" => Some(Style::Stars),
        "md" => Some(Style::Text),
        // Scripts have no ending.
        "" => Some(Style::Hash),
        _ => None,
    }
}

/// The paragraphs of comments in `file`.
pub(crate) fn paragraphs<'a>(file: &str, text: &'a str) -> Vec<Paragraph<'a>> {
    let Some(style) = style(file) else { return Vec::new() };
    let mut found: Vec<Paragraph<'a>> = Vec::new();
    let mut current: Paragraph<'a> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let comment = comment(style, line).map(str::trim).filter(|comment| !comment.is_empty());
        let is_alone = comment.is_some() && !is_comment_alone(style, line);
        let begins = comment.is_some_and(|comment| comment.starts_with("Source:"));
        if comment.is_none() || is_alone || begins {
            found.extend((!current.is_empty()).then(|| std::mem::take(&mut current)));
        }
        if let Some(comment) = comment {
            current.push((index + 1, comment));
        }
        if is_alone {
            found.push(std::mem::take(&mut current));
        }
    }
    found.extend((!current.is_empty()).then_some(current));
    found
}

/// Whether nothing but a comment stands in `line`.
fn is_comment_alone(style: Style, line: &str) -> bool {
    style != Style::Slashes || line.trim_start().starts_with("//")
}

/// What `line` has of a comment, without its marks.
fn comment(style: Style, line: &str) -> Option<&str> {
    let line = line.trim_start();
    match style {
        Style::Text => Some(line),
        // "#+" begins a line of data in a kernel configuration.
        Style::Hash => line.strip_prefix('#').filter(|rest| !rest.starts_with('+')),
        Style::Stars => {
            let inside = line.strip_prefix("/*").or_else(|| line.strip_prefix('*'))?;
            Some(inside.trim_end_matches("*/"))
        }
        Style::Slashes => match line.strip_prefix("//") {
            Some(rest) => Some(rest.trim_start_matches(['/', '!'])),
            None => behind_code(line),
        },
    }
}

/// The comment behind code in the same line: a pair of slashes that is in no string.
fn behind_code(line: &str) -> Option<&str> {
    let (at, _) = line.match_indices(" // ").next()?;
    let (code, comment) = line.split_at(at);
    let quotes = code.matches('"').count() - code.matches("\\\"").count();
    (quotes % 2 == 0).then(|| comment.trim_start_matches([' ', '/']))
}
