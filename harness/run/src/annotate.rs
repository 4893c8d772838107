//! Writes a sequence with what is expected of each op, and what was seen where that differs.

use std::fmt::Write as _;

use pinfold::model::{self, Prediction};
use pinfold::oracle::Verdict;
use pinfold::profile::{Platform, Profile};
use pinfold_contract::{Cases, Condition, Sequence, Series, SeriesRange, VERSION_LINE, print_op};

use crate::check::Checked;

/// The text of `sequence` (`.seq`): `heading` as comments, each op with its expectation, and the divergence of
/// `checked` below its op.
pub fn annotate(sequence: &Sequence, checked: &Checked, heading: &str) -> String {
    let mut text = format!("{VERSION_LINE}\n");
    push_comment(&mut text, heading);
    let lines: Vec<String> = sequence.ops.iter().map(print_op).collect();
    let width = lines.iter().map(String::len).max().unwrap_or(0);
    for (index, (line, expected)) in lines.iter().zip(expectations(sequence)).enumerate() {
        writeln!(text, "{line:width$}  # = {expected}").expect("a string takes everything");
        push_seen(&mut text, checked, index);
    }
    push_seen(&mut text, checked, sequence.ops.len());
    text
}

/// What each op is expected to do by every series on every platform.
fn expectations(sequence: &Sequence) -> Vec<Cases> {
    let oldest_first = Platform::ALL.map(|platform| {
        let profiles = Profile::all_on(platform).iter().rev();
        let steps = |profile: &Profile| (profile.series, model::outcomes(profile, sequence));
        (platform.name(), profiles.map(steps).collect::<Vec<_>>())
    });
    let at = |index: usize| {
        let text = |(series, steps): &(Series, Vec<Prediction>)| Answer {
            series: *series,
            text: steps[index].to_string(),
        };
        cases(&oldest_first.each_ref().map(|(platform, series)| OnPlatform {
            platform,
            oldest_first: series.iter().map(text).collect(),
        }))
    };
    (0..sequence.ops.len()).map(at).collect()
}

/// What one series does.
struct Answer {
    series: Series,
    text: String,
}

/// What each series does on one platform.
struct OnPlatform {
    platform: &'static str,
    oldest_first: Vec<Answer>,
}

impl OnPlatform {
    /// Neighbours that differ.
    fn changes(&self) -> impl DoubleEndedIterator<Item = (&Answer, &Answer)> {
        let pairs = self.oldest_first.iter().zip(self.oldest_first.iter().skip(1));
        pairs.filter(|(old, new)| old.text != new.text)
    }
}

/// The shortest cases that say of every series on every platform what it does. Where two neighbours differ, the
/// boundary is the newer one: nobody read those between.
fn cases(platforms: &[OnPlatform]) -> Cases {
    let defaults = 0..platforms.len();
    let all =
        defaults.flat_map(|of| [before, since].map(|steps| with_default(platforms, of, steps)));
    all.min_by_key(|cases| cases.to_string().len()).expect("there is a platform")
}

/// The ranges in which a platform does one thing, the first that holds.
type Steps = fn(&OnPlatform) -> Vec<(Option<SeriesRange>, String)>;

/// Cases whose default is what the platform at index `of` does by now, less those that change no answer. The other
/// platforms have `steps`.
fn with_default(platforms: &[OnPlatform], of: usize, steps: Steps) -> Cases {
    let mut all: Vec<(Condition, String)> = Vec::new();
    let mut push = |platform: Option<&str>, steps: Vec<(Option<SeriesRange>, String)>| {
        let platform = platform.map(str::to_owned);
        let case = |(range, text)| (Condition { platform: platform.clone(), range }, text);
        all.extend(steps.into_iter().map(case));
    };
    for (_, other) in platforms.iter().enumerate().filter(|(index, _)| *index != of) {
        push(Some(other.platform), steps(other));
    }
    push(None, before(&platforms[of]));
    let (_, default) = all.pop().expect("there is a series");
    let mut cases = Cases { cases: all, default };
    for index in (0..cases.cases.len()).rev() {
        let mut fewer = cases.clone();
        fewer.cases.remove(index);
        if is_right(&fewer, platforms) {
            cases = fewer;
        }
    }
    cases
}

/// What was done before each change, and what is done by now.
fn before(answers: &OnPlatform) -> Vec<(Option<SeriesRange>, String)> {
    let old =
        |(old, new): (&Answer, &Answer)| (Some(SeriesRange::Before(new.series)), old.text.clone());
    let newest = answers.oldest_first.last().map(|newest| (None, newest.text.clone()));
    answers.changes().map(old).chain(newest).collect()
}

/// What is done since each change, the last one first, and what was done at first.
fn since(answers: &OnPlatform) -> Vec<(Option<SeriesRange>, String)> {
    let new =
        |(_, new): (&Answer, &Answer)| (Some(SeriesRange::Since(new.series)), new.text.clone());
    let oldest = answers.oldest_first.first().map(|oldest| (None, oldest.text.clone()));
    answers.changes().rev().map(new).chain(oldest).collect()
}

fn is_right(cases: &Cases, platforms: &[OnPlatform]) -> bool {
    platforms.iter().all(|OnPlatform { platform, oldest_first }| {
        let mut answers = oldest_first.iter();
        answers.all(|answer| cases.on(answer.series, platform) == answer.text)
    })
}

fn push_seen(text: &mut String, checked: &Checked, op_index: usize) {
    match &checked.verdict {
        Verdict::Diverges(divergence) if divergence.op_index == op_index => {
            let (oracle, predicted, seen) =
                (divergence.oracle, &divergence.predicted, &divergence.seen);
            push_comment(text, &format!("^ {oracle}: predicted {predicted}\n  seen {seen}"));
        }
        Verdict::Diverges(_) | Verdict::Agrees | Verdict::Inconclusive { .. } => {}
    }
}

fn push_comment(text: &mut String, comment: &str) {
    for line in comment.lines() {
        writeln!(text, "# {line}").expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases for what 6.1, 6.12 and 7.3 do on each platform.
    fn told(uml: [&str; 3], x86: [&str; 3]) -> String {
        let of = |platform, texts: [&str; 3]| {
            let series = [Series::new(6, 1), Series::new(6, 12), Series::new(7, 3)].into_iter();
            let answers = series.zip(texts);
            let answer = |(series, text): (_, &str)| Answer { series, text: text.to_owned() };
            OnPlatform { platform, oldest_first: answers.map(answer).collect() }
        };
        cases(&[of("uml", uml), of("x86", x86)]).to_string()
    }

    #[test]
    fn an_expectation_names_what_makes_the_difference() {
        assert_eq!(told(["ok"; 3], ["ok"; 3]), "ok");
        assert_eq!(told(["a"; 3], ["ok"; 3]), "x86: ok, a");
        assert_eq!(told(["a", "b", "b"], ["a", "b", "b"]), "<6.12: a, b");
        assert_eq!(told(["a", "b", "a"], ["a", "b", "a"]), "<6.12: a, <7.3: b, a");
        assert_eq!(told(["a", "a", "b"], ["ok"; 3]), "x86: ok, <7.3: a, b");
        assert_eq!(told(["a"; 3], ["b", "c", "c"]), "uml: a, <6.12: b, c");
    }

    #[test]
    fn an_expectation_names_series_and_platform_where_both_make_the_difference() {
        assert_eq!(told(["a", "b", "b"], ["c", "d", "d"]), "x86 <6.12: c, x86: d, <6.12: a, b");
        assert_eq!(told(["a", "b", "b"], ["c", "b", "b"]), "x86 <6.12: c, <6.12: a, b");
        assert_eq!(told(["a", "b", "c"], ["a", "b", "d"]), "x86 >=7.3: d, <6.12: a, <7.3: b, c");
        assert_eq!(told(["a", "b", "c"], ["a", "c", "c"]), "x86 >=6.12: c, <6.12: a, <7.3: b, c");
    }

    #[test]
    fn every_series_on_every_platform_has_the_answer_of_its_own() {
        let texts = || ["a", "b", "c"].into_iter();
        let all =
            || texts().flat_map(|x| texts().flat_map(move |y| texts().map(move |z| [x, y, z])));
        for (uml, x86) in all().flat_map(|uml| all().map(move |x86| (uml, x86))) {
            let text = format!("# pinfold 1\nexit # = {}\n", told(uml, x86));
            let file = pinfold_contract::parse(&text).unwrap();
            let expectation = file.expectations[0].as_ref().unwrap();
            for (index, series) in ["6.1", "6.12", "7.3"].into_iter().enumerate() {
                let on = |platform| expectation.on(series.parse().unwrap(), platform);
                assert_eq!(on("uml"), Some(uml[index]), "{series} in {text}");
                assert_eq!(on("x86"), Some(x86[index]), "{series} in {text}");
            }
        }
    }

    #[test]
    fn what_is_expected_of_huge_pages_is_said_of_a_pc() {
        let file = pinfold_contract::parse("# pinfold 1\nmap h0..h1 huge private rw\n");
        let sequence = file.map(|file| file.sequence).unwrap_or_default();
        let expected: Vec<_> = expectations(&sequence).iter().map(Cases::to_string).collect();
        assert_eq!(expected, ["x86: ok, EINVAL"]);
    }
}
