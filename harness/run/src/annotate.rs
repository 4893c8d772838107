//! Writes a sequence with what is expected of each op, and what was seen where that differs.

use std::fmt::Write as _;

use pinfold::model::{self, Prediction};
use pinfold::oracle::Verdict;
use pinfold::profile::{Platform, Profile};
use pinfold_contract::{Sequence, Series, VERSION_LINE, print_op};

use crate::check::Checked;

/// The text of `sequence` (`.seq`): `heading` as comments, each op with its expectation, and the divergence of
/// `checked` below its op.
pub fn annotate(sequence: &Sequence, checked: &Checked, heading: &str) -> String {
    let mut text = format!("{VERSION_LINE}\n");
    push_comment(&mut text, heading);
    let lines: Vec<String> = sequence.ops.iter().map(print_op).collect();
    let width = lines.iter().map(String::len).max().unwrap_or(0);
    for (index, (line, expected)) in lines.iter().zip(expectations(sequence)).enumerate() {
        let line = match expected {
            Some(expected) => format!("{line:width$}  # = {expected}"),
            None => line.clone(),
        };
        writeln!(text, "{line}").expect("a string takes everything");
        push_seen(&mut text, checked, index);
    }
    push_seen(&mut text, checked, sequence.ops.len());
    text
}

/// What each op is expected to do: one answer where all kernels agree, else one a machine or a series.
fn expectations(sequence: &Sequence) -> Vec<Option<String>> {
    let [uml, x86] = [Platform::Uml, Platform::X86].map(|platform| {
        let oldest_first = Profile::all_on(platform).iter().rev();
        let steps = |profile: &Profile| (profile.series, model::outcomes(profile, sequence));
        oldest_first.map(steps).collect::<Vec<_>>()
    });
    let at = |index: usize| {
        let on = |platform: &[(Series, Vec<Prediction>)]| -> Vec<(String, String)> {
            let text = |(series, steps): &(Series, Vec<Prediction>)| {
                (series.to_string(), steps[index].to_string())
            };
            platform.iter().map(text).collect()
        };
        cases(&on(&uml), &on(&x86))
    };
    (0..sequence.ops.len()).map(at).collect()
}

/// What is expected, of each series on User Mode Linux and on a PC. Nothing where both series and machine decide, in
/// their own ways: a name is one of either.
fn cases(uml: &[(String, String)], x86: &[(String, String)]) -> Option<String> {
    let common = |cases: &[(String, String)]| {
        let (_, first) = cases.first()?;
        cases.iter().all(|(_, text)| text == first).then(|| first.clone())
    };
    let by_series = |cases: &[(String, String)]| {
        let cases = cases.iter().map(|(series, text)| format!("{series}: {text}"));
        cases.collect::<Vec<_>>().join(", ")
    };
    match (common(uml), common(x86)) {
        (Some(one), Some(other)) if one == other => Some(one),
        (Some(one), Some(other)) => Some(format!("x86: {other}, {one}")),
        _ if uml == x86 => Some(by_series(uml)),
        (None, Some(other)) => Some(format!("x86: {other}, {}", by_series(uml))),
        (Some(one), None) => Some(format!("uml: {one}, {}", by_series(x86))),
        (None, None) => None,
    }
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

    fn of(one: &str, other: &str) -> Vec<(String, String)> {
        [("6.1", one), ("6.12", other)].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec()
    }

    #[test]
    fn an_expectation_names_what_makes_the_difference() {
        let told = |uml: Vec<_>, x86: Vec<_>| cases(&uml, &x86);
        assert_eq!(told(of("ok", "ok"), of("ok", "ok")).as_deref(), Some("ok"));
        assert_eq!(told(of("a", "b"), of("a", "b")).as_deref(), Some("6.1: a, 6.12: b"));
        assert_eq!(told(of("a", "a"), of("ok", "ok")).as_deref(), Some("x86: ok, a"));
        assert_eq!(told(of("a", "b"), of("ok", "ok")).as_deref(), Some("x86: ok, 6.1: a, 6.12: b"));
        assert_eq!(told(of("a", "a"), of("b", "c")).as_deref(), Some("uml: a, 6.1: b, 6.12: c"));
        assert_eq!(told(of("a", "b"), of("c", "d")), None);
    }

    #[test]
    fn what_is_expected_of_huge_pages_is_said_of_a_pc() {
        let file = pinfold_contract::parse("# pinfold 1\nmap h0..h1 huge private rw\n");
        let sequence = file.map(|file| file.sequence).unwrap_or_default();
        assert_eq!(expectations(&sequence), [Some("x86: ok, EINVAL".to_owned())]);
    }
}
