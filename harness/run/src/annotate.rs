//! Writes a sequence with what is expected of each op, and what was seen where that differs.

use std::fmt::Write as _;

use pinfold::model;
use pinfold::oracle::Verdict;
use pinfold::profile::Profile;
use pinfold_contract::{Sequence, VERSION_LINE, print_op};

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

/// What each op is expected to do: one answer where all kernels agree, else one a kernel.
fn expectations(sequence: &Sequence) -> Vec<String> {
    let mut profiles: Vec<&Profile> = Profile::ALL.to_vec();
    profiles.sort_by_key(|profile| profile.series.len());
    let by_profile: Vec<(&str, Vec<String>)> = profiles
        .iter()
        .map(|profile| {
            let steps = model::outcomes(profile, sequence);
            (profile.series, steps.iter().map(ToString::to_string).collect())
        })
        .collect();
    let at = |index: usize| {
        let mut texts = by_profile.iter().map(|(_, steps)| &steps[index]);
        let first = texts.next().expect("there are profiles");
        if texts.all(|text| text == first) {
            return first.clone();
        }
        let cases = by_profile.iter().map(|(series, steps)| format!("{series}: {}", steps[index]));
        cases.collect::<Vec<_>>().join(", ")
    };
    (0..sequence.ops.len()).map(at).collect()
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
