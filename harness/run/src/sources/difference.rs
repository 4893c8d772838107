//! How two texts of one function differ, leaving blanks aside.

use std::fmt::Write as _;

use similar::{Algorithm, ChangeTag, DiffOp, capture_diff_slices, group_diff_ops};

const CONTEXT_LINES: usize = 3;

/// Whether two texts are one but for blanks and the ends of lines.
pub(crate) fn is_same(from: &str, to: &str) -> bool {
    from.split_whitespace().eq(to.split_whitespace())
}

/// The unified difference of two texts, by lines that differ in more than blanks. `from_line` and `to_line` are the
/// numbers of their first lines.
pub(crate) fn unified(from: &str, to: &str, from_line: usize, to_line: usize) -> String {
    let (from_lines, to_lines): (Vec<&str>, Vec<&str>) =
        (from.lines().collect(), to.lines().collect());
    let plain = |lines: &[&str]| -> Vec<String> {
        lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let ops = capture_diff_slices(Algorithm::Patience, &plain(&from_lines), &plain(&to_lines));
    let mut text = String::new();
    for group in group_diff_ops(ops, CONTEXT_LINES) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (old, new) = (first.old_range().start, first.new_range().start);
        let (old_count, new_count) = (last.old_range().end - old, last.new_range().end - new);
        let (old, new) = (old + from_line, new + to_line);
        let _ = writeln!(text, "@@ -{old},{old_count} +{new},{new_count} @@");
        for op in &group {
            lines(&mut text, op, &from_lines, &to_lines);
        }
    }
    text
}

fn lines(text: &mut String, op: &DiffOp, from: &[&str], to: &[&str]) {
    let mut push = |tag: ChangeTag, lines: Option<&[&str]>| {
        for line in lines.unwrap_or_default() {
            let _ = writeln!(text, "{tag}{line}");
        }
    };
    match op {
        DiffOp::Equal { .. } => push(ChangeTag::Equal, to.get(op.new_range())),
        DiffOp::Delete { .. } | DiffOp::Insert { .. } | DiffOp::Replace { .. } => {
            push(ChangeTag::Delete, from.get(op.old_range()));
            push(ChangeTag::Insert, to.get(op.new_range()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_make_no_difference() {
        assert!(is_same("int a(int b,\n\t int c)", "int a(int b, int c)"));
        assert!(!is_same("a b", "ab"));
        assert_eq!(unified("a\n\tb\n", "a\n        b\n", 1, 1), "");
    }

    #[test]
    fn a_difference_has_the_lines_of_the_files_around_it() {
        let from = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let to = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n";
        let expected = "@@ -102,7 +202,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n";
        assert_eq!(unified(from, to, 101, 201), expected);
    }
}
