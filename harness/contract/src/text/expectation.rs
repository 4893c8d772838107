//! What is expected of an op: the comment behind it that begins with `=`.
//!
//! Kernels differ by series and by platform, so an expectation is a list of cases and a default for all else. Whoever
//! adds a series has every expectation checked on it: none is silent for want of a name.

use std::fmt;

use super::ParseError;
use crate::Series;

/// What a condition may call the platform of a kernel: User Mode Linux, or a PC.
pub const PLATFORMS: [&str; 2] = ["uml", "x86"];

/// What an op is expected to do and, if it registers, to cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The outcome as text.
    pub outcome: Option<Cases>,
    /// The memory bill as text (`frames=1 cow=0 pin=4 rss=4`, the last two in KiB).
    pub bill: Option<Cases>,
}

impl Expectation {
    /// The outcome expected of a kernel of `series` on `platform` ("x86"); `None` if only the bill is written down.
    pub fn on(&self, series: Series, platform: &str) -> Option<&str> {
        self.outcome.as_ref().map(|cases| cases.on(series, platform))
    }
}

/// What is expected where: of several cases the first that holds, else the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cases {
    /// Conditions and what is expected under each.
    pub cases: Vec<(Condition, String)>,
    /// What is expected where no condition holds.
    pub default: String,
}

impl Cases {
    /// What is expected of a kernel of `series` on `platform` ("x86").
    pub fn on(&self, series: Series, platform: &str) -> &str {
        let case = self.cases.iter().find(|(condition, _)| condition.holds(series, platform));
        case.map_or(&self.default, |(_, text)| text)
    }
}

/// As it is read: `x86 <6.2: EFAULT, x86: ok, EINVAL`.
impl fmt::Display for Cases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (condition, text) in &self.cases {
            write!(f, "{condition}: {text}, ")?;
        }
        f.write_str(&self.default)
    }
}

/// Where a case holds. One of the two is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The platform, one of [`PLATFORMS`]; any if there is none.
    pub platform: Option<String>,
    /// The series; any if there is none.
    pub range: Option<SeriesRange>,
}

impl Condition {
    fn holds(&self, series: Series, platform: &str) -> bool {
        self.platform.as_deref().is_none_or(|name| name == platform)
            && self.range.is_none_or(|range| range.contains(series))
    }
}

/// `x86`, `<6.2` or `x86 <6.2`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.platform, self.range) {
            (Some(platform), Some(range)) => write!(f, "{platform} {range}"),
            (Some(platform), None) => f.write_str(platform),
            (None, Some(range)) => write!(f, "{range}"),
            (None, None) => Ok(()),
        }
    }
}

/// All series on one side of a change of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesRange {
    /// Every older one: `<6.2`.
    Before(Series),
    /// This one and every newer one: `>=6.2`.
    Since(Series),
}

impl SeriesRange {
    fn contains(self, series: Series) -> bool {
        match self {
            SeriesRange::Before(first_without) => series < first_without,
            SeriesRange::Since(first) => series >= first,
        }
    }

    fn read(word: &str) -> Option<SeriesRange> {
        if let Some(series) = word.strip_prefix(">=") {
            return series.parse().ok().map(SeriesRange::Since);
        }
        word.strip_prefix('<')?.parse().ok().map(SeriesRange::Before)
    }
}

impl fmt::Display for SeriesRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeriesRange::Before(series) => write!(f, "<{series}"),
            SeriesRange::Since(series) => write!(f, ">={series}"),
        }
    }
}

/// The expectation behind the op of `line`: `= OUTCOME`, `= OUTCOME; bill BILL` or `=; bill BILL`.
pub(super) fn read(line: &str) -> Result<Option<Expectation>, ParseError> {
    let comment = line.split_once('#').map(|(_, comment)| comment.trim());
    let Some(text) = comment.and_then(|comment| comment.strip_prefix('=')) else {
        return Ok(None);
    };
    let Some((outcome, more)) = text.split_once(';') else {
        return Ok(Some(Expectation { outcome: Some(cases(line, text)?), bill: None }));
    };
    let bill = more.trim().strip_prefix("bill ").ok_or_else(|| {
        error(line, more, "a `;` is followed by `bill` and what a registration costs")
    })?;
    let is_said = !outcome.trim().is_empty();
    let outcome = is_said.then(|| cases(line, outcome)).transpose()?;
    Ok(Some(Expectation { outcome, bill: Some(cases(line, bill)?) }))
}

/// `CONDITION: TEXT, CONDITION: TEXT, DEFAULT`.
fn cases(line: &str, text: &str) -> Result<Cases, ParseError> {
    let (conditional, default) =
        text.rsplit_once(',').map_or((None, text), |(cases, default)| (Some(cases), default));
    let cases = conditional.into_iter().flat_map(|cases| cases.split(','));
    let cases = cases.map(|entry| case(line, entry)).collect::<Result<_, _>>()?;
    if default.contains(':') {
        // A condition that is none is the earlier mistake.
        let (condition, text) = case(line, default)?;
        let message = format!(
            "`{condition}: {text}` leaves all other kernels unchecked: end with what is expected \
             of them, such as `# = {condition}: {text}, ok`"
        );
        return Err(error(line, default, &message));
    }
    Ok(Cases { cases, default: expected(line, default)? })
}

/// `CONDITION: TEXT`.
fn case(line: &str, entry: &str) -> Result<(Condition, String), ParseError> {
    let Some((words, text)) = entry.split_once(':') else {
        let message = format!(
            "`{}` has no condition, so nothing behind it is reached: what is expected everywhere \
             else comes last",
            expected(line, entry)?
        );
        return Err(error(line, entry, &message));
    };
    Ok((condition(line, words)?, expected(line, text)?))
}

/// A platform, a range of series, or one behind the other.
fn condition(line: &str, words: &str) -> Result<Condition, ParseError> {
    let mut condition = Condition::default();
    for word in words.split_whitespace() {
        match (PLATFORMS.contains(&word), SeriesRange::read(word)) {
            (true, _) if condition == Condition::default() => {
                condition.platform = Some(word.to_owned());
            }
            (false, Some(range)) if condition.range.is_none() => condition.range = Some(range),
            _ => return Err(bad_condition(line, word)),
        }
    }
    if condition == Condition::default() {
        return Err(bad_condition(line, words));
    }
    Ok(condition)
}

fn bad_condition(line: &str, word: &str) -> ParseError {
    let message = if word.parse::<Series>().is_ok() {
        format!(
            "`{word}` names one series and leaves all others unchecked: write before or since \
             which series it is expected, and a default, such as `# = <SERIES: EFAULT, ok` or \
             `# = >=SERIES: ok, EFAULT`"
        )
    } else {
        format!(
            "`{}` is no condition: that is a platform ({}), a range of series (`<SERIES` or `>=SERIES`), \
             or both (`x86 <SERIES`)",
            word.trim(),
            PLATFORMS.join(", ")
        )
    };
    error(line, word, &message)
}

fn expected(line: &str, text: &str) -> Result<String, ParseError> {
    match text.trim() {
        "" => Err(error(line, text, "nothing is expected here: write an outcome, such as `ok`")),
        text => Ok(text.to_owned()),
    }
}

/// `part` is a part of `line`; it is where the mistake begins.
fn error(line: &str, part: &str, message: &str) -> ParseError {
    let byte = part.trim_start().as_ptr() as usize - line.as_ptr() as usize;
    let column = line[..byte].chars().count() + 1;
    ParseError { line: 0, column, message: message.to_owned() }
}
