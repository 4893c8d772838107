//! Which lines of a source a patch changes, and which of them hold code.
//!
//! Pure: compares two texts. Whether the code of a line is in a kernel is nothing that its text tells.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use similar::{Algorithm, DiffOp, capture_diff_slices};
use tree_sitter::{Node, Parser, Point, Tree};

use crate::sources::masked;

/// A line that a patch adds, or one that stands in the place of lines that it takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangedLine {
    /// Its number after patching, from 1.
    pub(super) line: u32,
    pub(super) holds: Holds,
}

/// What a line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nothing that runs: a comment, a brace, a declaration, a label.
    NoCode,
    /// A part of the statement of these lines, in what stands at the top of the file in those.
    Code { statement: RangeInclusive<u32>, function: RangeInclusive<u32> },
    /// A part of this macro, which runs where it is used.
    Macro(String),
}

/// The lines in which `new` differs from `old`, ascending. Where lines go and none comes, the next line of the same function
/// that holds code stands for them, or its end.
pub(super) fn changed_lines(old: &str, new: &str) -> Vec<ChangedLine> {
    let (before, after) = (Source::of(old), Source::of(new));
    let (old_lines, new_lines): (Vec<&str>, Vec<&str>) =
        (old.lines().collect(), new.lines().collect());
    let mut found: Vec<ChangedLine> = Vec::new();
    for op in capture_diff_slices(Algorithm::Patience, &old_lines, &new_lines) {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        let added = op.new_range().map(|row| after.changed(row));
        let (added, gone) = (added.collect::<Vec<_>>(), op.old_range());
        let has_code = added.iter().any(|line| line.holds != Holds::NoCode);
        let place = op.new_range().end;
        found.extend(added);
        if !has_code && gone.into_iter().any(|row| matches!(before.holds(row), Holds::Code { .. }))
        {
            found.extend(after.next_in_function(place));
        }
    }
    found.sort_by_key(|line| line.line);
    found.dedup_by_key(|line| line.line);
    found
}

/// The lines of `text` that use one of the macros `names`, as `changed_lines` tells them; and where it defines other macros
/// by them, the lines that use those.
pub(super) fn uses(text: &str, names: &BTreeSet<String>) -> Vec<ChangedLine> {
    let source = Source::of(text);
    let mut names = names.clone();
    loop {
        let mut found = Vec::new();
        let mut more = names.clone();
        for (row, line) in text.lines().enumerate() {
            if !words(line).any(|word| names.contains(word)) {
                continue;
            }
            match source.holds(row) {
                Holds::NoCode => {}
                Holds::Macro(name) => {
                    more.insert(name);
                }
                holds @ Holds::Code { .. } => found.push(ChangedLine { line: number(row), holds }),
            }
        }
        if more == names {
            return found;
        }
        names = more;
    }
}

/// `text` with a mark before each statement of `lines`, in the same line: a `return` or an assignment of a constant is
/// otherwise no more than the branch that leads on, and has no line. A mark of its own keeps it apart from others like it.
pub(super) fn marked(text: &str, lines: &BTreeSet<u32>) -> String {
    let source = Source::of(text);
    let mut marks: BTreeMap<usize, String> = BTreeMap::new();
    for line in lines {
        let row = usize::try_from(*line).unwrap_or(usize::MAX).saturating_sub(1);
        let is_code = matches!(source.holds(row), Holds::Code { .. });
        let token = is_code.then(|| source.first_word(row)).flatten();
        let Some(statement) = token.and_then(simple_statement) else { continue };
        let mark = format!("asm volatile(\"# {}\"); ", number(statement.start_position().row));
        let is_alone = statement.parent().is_some_and(|parent| {
            !matches!(parent.kind(), "compound_statement" | "case_statement" | "labeled_statement")
        });
        // A body without braces is one statement.
        if is_alone {
            marks.insert(statement.start_byte(), format!("{{ {mark}"));
            marks.insert(statement.end_byte(), " }".to_owned());
        } else {
            marks.insert(statement.start_byte(), mark);
        }
    }
    let mut out = text.to_owned();
    for (at, mark) in marks.into_iter().rev() {
        // The parser read a text of as many bytes.
        if out.is_char_boundary(at) {
            out.insert_str(at, &mark);
        }
    }
    out
}

/// The statement around `token` that has no statement in it.
fn simple_statement(token: Node<'_>) -> Option<Node<'_>> {
    let mut around = Some(token);
    while let Some(node) = around {
        match node.kind() {
            "expression_statement"
            | "return_statement"
            | "goto_statement"
            | "break_statement"
            | "continue_statement" => {
                // Of what the parser did not understand nobody knows where it ends.
                let is_whole = !node.has_error() && node.parent().is_some_and(|p| !p.is_error());
                return Some(node).filter(|_| is_whole);
            }
            kind if kind.ends_with("_statement") || kind == "declaration" => return None,
            _ => around = node.parent(),
        }
    }
    None
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric())
}

/// Line `row`, from 1.
fn number(row: usize) -> u32 {
    u32::try_from(row).map_or(u32::MAX, |row| row.saturating_add(1))
}

fn lines_of(node: Node<'_>) -> RangeInclusive<u32> {
    number(node.start_position().row)..=number(node.end_position().row)
}

/// A text that is read as C. Of one that is none nothing holds code.
struct Source<'t> {
    lines: Vec<&'t str>,
    text: String,
    tree: Option<Tree>,
}

impl<'t> Source<'t> {
    fn of(text: &'t str) -> Source<'t> {
        let masked = masked(text);
        let mut parser = Parser::new();
        let is_set = parser.set_language(&tree_sitter_c::LANGUAGE.into()).is_ok();
        let tree = is_set.then(|| parser.parse(&masked, None)).flatten();
        Source { lines: text.lines().collect(), text: masked, tree }
    }

    fn changed(&self, row: usize) -> ChangedLine {
        ChangedLine { line: number(row), holds: self.holds(row) }
    }

    /// The first line from `row` on that holds code of the function around `row`, or the end of that function.
    fn next_in_function(&self, row: usize) -> Option<ChangedLine> {
        let around = self.top_around(row)?;
        let end = around.end_position().row;
        let code = (row..end).map(|row| self.changed(row));
        let is_code = |line: &ChangedLine| matches!(line.holds, Holds::Code { .. });
        { code }.find(is_code).or_else(|| {
            let (statement, function) = (number(end)..=number(end), lines_of(around));
            Some(ChangedLine { line: number(end), holds: Holds::Code { statement, function } })
        })
    }

    /// The function that line `row` is inside of.
    fn top_around(&self, row: usize) -> Option<Node<'_>> {
        let root = self.tree.as_ref()?.root_node();
        let mut node = root.descendant_for_point_range(Point::new(row, 0), Point::new(row, 0))?;
        let mut has_body = false;
        loop {
            has_body |= node.kind() == "compound_statement";
            let parent = node.parent()?;
            if is_top(parent) {
                let is_inside = node.start_position().row < row && row <= node.end_position().row;
                return (has_body || body(node).is_some()).then_some(node).filter(|_| is_inside);
            }
            node = parent;
        }
    }

    fn holds(&self, row: usize) -> Holds {
        let line = self.lines.get(row).copied().unwrap_or_default().trim();
        let Some(token) = self.first_word(row) else { return Holds::NoCode };
        if let Some(name) = self.macro_around(token) {
            return Holds::Macro(name);
        }
        if line.starts_with('#') || is_label(line) {
            return Holds::NoCode;
        }
        statement(token).map_or(Holds::NoCode, |(statement, function)| {
            let is_empty = statement.is_empty();
            if is_empty { Holds::NoCode } else { Holds::Code { statement, function } }
        })
    }

    /// The first word of line `row` that says something: no comment, no brace, no `else`.
    fn first_word(&self, row: usize) -> Option<Node<'_>> {
        let root = self.tree.as_ref()?.root_node();
        let line = self.text.lines().nth(row)?;
        let mut column = 0;
        while column < line.len() {
            let rest = line.get(column..).unwrap_or_default();
            let blank = rest.len() - rest.trim_start().len();
            let at = Point::new(row, column + blank);
            if blank == rest.len() {
                return None;
            }
            let node = root.descendant_for_point_range(at, Point::new(row, at.column + 1))?;
            let says_something = line
                .get(at.column..)?
                .starts_with(|first: char| first == '_' || first.is_ascii_alphanumeric())
                && !matches!(node.kind(), "comment" | "else" | "do");
            if says_something {
                return Some(node);
            }
            let end = node.end_position();
            column = if node.child_count() == 0 && end.row == row {
                end.column.max(at.column + 1)
            } else if node.kind() == "comment" {
                line.len()
            } else {
                at.column + 1
            };
        }
        None
    }

    /// The macro that is defined around `node`.
    fn macro_around(&self, node: Node<'_>) -> Option<String> {
        let mut around = Some(node);
        while let Some(node) = around {
            if matches!(node.kind(), "preproc_def" | "preproc_function_def") {
                let name = node.child_by_field_name("name")?;
                return self.text.get(name.byte_range()).map(str::to_owned);
            }
            around = node.parent();
        }
        None
    }
}

/// `out:`, where something jumps to.
fn is_label(line: &str) -> bool {
    let name = line.strip_suffix(':').unwrap_or_default();
    name != "default" && !name.is_empty() && words(name).count() == 1
}

/// Whether `node` holds what stands at the top of a file.
fn is_top(node: Node<'_>) -> bool {
    node.parent().is_none()
        || matches!(
            node.kind(),
            "preproc_if"
                | "preproc_ifdef"
                | "preproc_else"
                | "preproc_elif"
                | "linkage_specification"
        ) && !is_in_body(node)
}

fn is_in_body(node: Node<'_>) -> bool {
    let mut around = node.parent();
    while let Some(node) = around {
        if node.kind() == "compound_statement" {
            return true;
        }
        around = node.parent();
    }
    false
}

fn body(node: Node<'_>) -> Option<Node<'_>> {
    node.child_by_field_name("body").filter(|body| body.kind() == "compound_statement")
}

/// The lines of the statement that `token` is in, as far as they are its own and not those of statements in it, and of the
/// function around it; an empty range for one that gives no code.
fn statement(token: Node<'_>) -> Option<(RangeInclusive<u32>, RangeInclusive<u32>)> {
    #[expect(clippy::reversed_empty_ranges, reason = "it is to be empty")]
    const NONE: RangeInclusive<u32> = 1..=0;
    let mut own: Option<RangeInclusive<u32>> = None;
    let (mut node, mut is_in_body) = (token, false);
    loop {
        is_in_body |= node.kind() == "compound_statement";
        if own.is_none() {
            own = match node.kind() {
                "expression_statement"
                | "return_statement"
                | "goto_statement"
                | "break_statement"
                | "continue_statement" => Some(lines_of(node)),
                "declaration" => Some(if sets_something(node) { lines_of(node) } else { NONE }),
                "field_declaration" | "enumerator" | "type_definition" => Some(NONE),
                "if_statement" | "while_statement" | "switch_statement" | "do_statement" => {
                    Some(upto(node, node.child_by_field_name("condition")))
                }
                "for_statement" => Some(before(node, node.child_by_field_name("body"))),
                "case_statement" => Some(upto(node, first_statement(node))),
                "compound_statement" | "ERROR" => Some(lines_of(token)),
                _ => None,
            };
        }
        let parent = node.parent()?;
        if is_top(parent) {
            return is_in_body.then(|| (own.unwrap_or(NONE), lines_of(node)));
        }
        node = parent;
    }
}

/// From where `node` begins to where `part` of it ends.
fn upto(node: Node<'_>, part: Option<Node<'_>>) -> RangeInclusive<u32> {
    let end = part.unwrap_or(node).end_position().row;
    number(node.start_position().row)..=number(end)
}

/// From where `node` begins to where `part` of it begins.
fn before(node: Node<'_>, part: Option<Node<'_>>) -> RangeInclusive<u32> {
    let end = part.map_or(node.end_position().row, |part| part.start_position().row);
    number(node.start_position().row)..=number(end)
}

/// The first statement behind a `case`.
fn first_statement(case: Node<'_>) -> Option<Node<'_>> {
    let mut cursor = case.walk();
    case.named_children(&mut cursor).find(|node| node.kind().ends_with("_statement"))
}

/// Whether a declaration gives something its value while the code runs.
fn sets_something(declaration: Node<'_>) -> bool {
    let mut cursor = declaration.walk();
    let (mut sets, mut is_static) = (false, false);
    for child in declaration.children(&mut cursor) {
        sets |= child.kind() == "init_declarator";
        let mut inner = child.walk();
        is_static |= child.kind() == "storage_class_specifier"
            && child.children(&mut inner).any(|word| word.kind() == "static");
    }
    sets && !is_static
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "// SPDX\n#include <a.h>\n#define LIMIT 3\n#define TWICE (2 * LIMIT)\n\nstatic int count = LIMIT;\n\n\
        struct pair {\n\tint one;\n};\n\n/* About f. */\nint f(int a,\n      int b)\n{\n\tint c;\n\tint d = a +\n\t\tb;\n\n\
        \tif (d > TWICE &&\n\t    a) {\n\t\tc = g(a,\n\t\t      b);\n\t} else {\n\t\tgoto out;\n\t}\n\
        \tswitch (a) {\n\tcase 1:\n\t\treturn c;\n\t}\nout:\n\treturn 0;\n}\n";

    fn line_of(text: &str, what: &str) -> u32 {
        number(text.lines().position(|line| line.contains(what)).unwrap())
    }

    fn holds(what: &str) -> Holds {
        Source::of(FILE).holds(line_of(FILE, what) as usize - 1)
    }

    fn statement_at(what: &str) -> (u32, u32) {
        match holds(what) {
            Holds::Code { statement, .. } => (*statement.start(), *statement.end()),
            other @ (Holds::NoCode | Holds::Macro(_)) => panic!("{what}: {other:?}"),
        }
    }

    #[test]
    fn what_never_runs_holds_no_code() {
        for what in [
            "SPDX",
            "#include",
            "static int count",
            "pair",
            "int one",
            "About",
            "int f(",
            "int b)",
            "int c;",
            "} else",
            "out:",
        ] {
            assert_eq!(holds(what), Holds::NoCode, "{what}");
        }
        assert_eq!(Source::of(FILE).holds(4), Holds::NoCode);
        assert_eq!(holds("#define LIMIT"), Holds::Macro("LIMIT".to_owned()));
    }

    #[test]
    fn a_line_is_one_of_its_statement() {
        let lines = |first: &str, last: &str| (line_of(FILE, first), line_of(FILE, last));
        assert_eq!(statement_at("int d"), lines("int d", "\t\tb;"));
        assert_eq!(statement_at("\t\tb;"), lines("int d", "\t\tb;"));
        assert_eq!(statement_at("    a) {"), lines("if (d", "    a) {"));
        assert_eq!(statement_at("      b);"), lines("c = g", "      b);"));
        assert_eq!(statement_at("goto"), lines("goto", "goto"));
        assert_eq!(statement_at("case 1"), lines("case 1", "return c"));
        let Holds::Code { function, .. } = holds("return 0") else { panic!() };
        assert_eq!(
            (*function.start(), *function.end()),
            (line_of(FILE, "int f("), number(FILE.lines().count() - 1))
        );
    }

    fn changed(from: &str, to: &str) -> Vec<(u32, bool)> {
        let new = FILE.replace(from, to);
        let lines = changed_lines(FILE, &new);
        lines.into_iter().map(|line| (line.line, line.holds != Holds::NoCode)).collect()
    }

    #[test]
    fn lines_are_numbered_as_they_are_after_patching() {
        let line = line_of(FILE, "return 0");
        assert_eq!(
            changed("\treturn 0", "\t/* Done. */\n\tg();\n\treturn 0"),
            [(line, false), (line + 1, true)]
        );
        assert_eq!(changed("\treturn 0", "\treturn 1"), [(line, true)]);
        assert_eq!(changed("nothing", "else"), []);
    }

    #[test]
    fn the_next_line_of_the_function_stands_for_lines_that_go() {
        let goes = line_of(FILE, "goto out");
        assert_eq!(changed("\t\tgoto out;\n", ""), [(goes + 1, true)]);
        let end = line_of(FILE, "return 0");
        assert_eq!(changed("\treturn 0;\n", ""), [(end, true)]);
        assert_eq!(changed("\treturn 0;\n", "\t/* No more. */\n"), [(end, false), (end + 1, true)]);
        assert_eq!(changed("/* About f. */\n", ""), []);
        assert_eq!(changed("\tint c;\n", ""), []);
    }

    #[test]
    fn a_macro_runs_where_it_is_used_and_where_those_are_that_use_it() {
        let used = uses(FILE, &BTreeSet::from(["LIMIT".to_owned()]));
        let lines: Vec<u32> = used.iter().map(|line| line.line).collect();
        assert_eq!(lines, [line_of(FILE, "if (d")]);
    }

    #[test]
    fn a_mark_is_one_of_a_statement_and_moves_no_line() {
        let all = (1..=number(FILE.lines().count())).collect();
        let text = marked(FILE, &all);
        let line =
            |what: &str| text.lines().nth(line_of(FILE, what) as usize - 1).unwrap().to_owned();
        assert_eq!(text.lines().count(), FILE.lines().count());
        let mark = |what: &str| format!("asm volatile(\"# {}\");", line_of(FILE, what));
        assert_eq!(line("c = g"), format!("\t\t{} c = g(a,", mark("c = g")));
        assert_eq!(line("return c"), format!("\t\t{} return c;", mark("return c")));
        assert_eq!(line("if (d"), "\tif (d > TWICE &&");
        assert_eq!(line("int d"), "\tint d = a +");
        let bare = "void f(int a)\n{\n\tif (a)\n\t\treturn;\n\telse\n\t\tg();\n}\n";
        let text = marked(bare, &BTreeSet::from([4]));
        assert_eq!(text, bare.replace("return;", "{ asm volatile(\"# 4\"); return; }"));
    }

    #[test]
    fn what_is_no_c_holds_no_code() {
        let lines = changed_lines("config A\n", "config A\n\tbool \"a\"\n\tdepends on B\n");
        assert!(lines.iter().all(|line| line.holds == Holds::NoCode), "{lines:?}");
    }
}
