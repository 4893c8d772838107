//! Finds what a C file of the kernel defines. Nothing here reads a file: text in, definitions out.
//!
//! The grammar is that of C, and the kernel's macros are not in it. What stands in the way of the parser is blanked
//! first, byte for byte, so that every definition is cut out of the text as it is.

use std::collections::BTreeMap;

use pinfold::citations::Name;
use tree_sitter::{Node, Parser};

/// What is defined under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Function,
    SystemCall,
    Macro,
    Tagged,
    /// A variable, a constant, an enumerator, a type.
    Other,
}

/// One definition: where it begins, from line 1, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    kind: Kind,
    /// The line it begins in, from 1.
    pub(crate) line: usize,
    /// All of it, as it stands there.
    pub(crate) text: String,
}

/// What one file defines, by name. A name that is defined for several configurations has several definitions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Definitions {
    by_name: BTreeMap<String, Vec<Definition>>,
    text: String,
}

/// Words of the kernel that say something to the compiler or to sparse, and nothing to a reader of the grammar.
const ANNOTATIONS: [&str; 41] = [
    "__always_inline",
    "__always_unused",
    "__attribute_const__",
    "__bitwise",
    "__cacheline_aligned",
    "__cacheline_aligned_in_smp",
    "____cacheline_aligned",
    "____cacheline_aligned_in_smp",
    "____cacheline_internodealigned_in_smp",
    "__cold",
    "__exit",
    "__fallthrough",
    "__force",
    "__init",
    "__initdata",
    "__iomem",
    "__latent_entropy",
    "__malloc",
    "__maybe_unused",
    "__meminit",
    "__must_check",
    "__net_init",
    "__net_exit",
    "__no_sanitize_address",
    "__nocfi",
    "__percpu",
    "__private",
    "__pure",
    "__randomize_layout",
    "__rcu",
    "__read_mostly",
    "__ref",
    "__ro_after_init",
    "__sched",
    "__user",
    "__visible",
    "__weak",
    "asmlinkage",
    "noinline",
    "noinline_for_stack",
    "notrace",
];

/// Such words with arguments.
const ANNOTATIONS_OF: [&str; 22] = [
    "__acquires",
    "__acquires_shared",
    "__aligned",
    "__alloc_size",
    "__cond_acquires",
    "__cond_acquires_shared",
    "__context_unsafe",
    "__counted_by",
    "__counted_by_be",
    "__counted_by_le",
    "__counted_by_ptr",
    "__guarded_by",
    "__must_hold",
    "__must_hold_shared",
    "__nonnull",
    "__printf",
    "__pt_guarded_by",
    "__realloc_size",
    "__releases",
    "__releases_shared",
    "__section",
    "__struct_size",
];

impl Definitions {
    /// Of a C file.
    pub(crate) fn of_c(text: &str) -> Definitions {
        let masked = masked(text);
        let mut found = Definitions { text: text.to_owned(), ..Definitions::default() };
        let mut parser = Parser::new();
        let tree = parser
            .set_language(&tree_sitter_c::LANGUAGE.into())
            .ok()
            .and_then(|()| parser.parse(&masked, None));
        if let Some(tree) = tree {
            found.collect(tree.root_node(), &masked);
        }
        found
    }

    /// Every definition that `name` may mean.
    pub(crate) fn of(&self, name: &Name) -> Vec<Definition> {
        let all = self.by_name.get(name.identifier()).map_or(&[][..], Vec::as_slice);
        let is_meant = |definition: &&Definition| match name {
            Name::Function(_) | Name::Plain(_) => definition.kind != Kind::SystemCall,
            Name::SystemCall { .. } => definition.kind == Kind::SystemCall,
            Name::Tagged { .. } => definition.kind == Kind::Tagged,
            Name::Option(_) => false,
        };
        let meant: Vec<Definition> = all.iter().filter(is_meant).cloned().collect();
        // A name with parentheses is a function's, if there is one.
        let callable =
            |definition: &&Definition| matches!(definition.kind, Kind::Function | Kind::Macro);
        if matches!(name, Name::Function(_)) && meant.iter().any(|one| callable(&one)) {
            return meant.iter().filter(callable).cloned().collect();
        }
        if !meant.is_empty() || matches!(name, Name::Option(_)) {
            return meant;
        }
        // The parser lost its way there, or a macro makes it.
        let laid_out = by_layout(&self.text, name);
        if laid_out.is_empty() { made_by_a_macro(&self.text, name.identifier()) } else { laid_out }
    }

    fn collect(&mut self, parent: Node<'_>, masked: &str) {
        let mut cursor = parent.walk();
        for node in parent.children(&mut cursor) {
            self.definition(node, masked);
            // Inside of a body only macros and enumerators are defined for others.
            self.collect(node, masked);
        }
    }

    fn definition(&mut self, node: Node<'_>, masked: &str) {
        let word = |node: Node<'_>| masked.get(node.byte_range()).unwrap_or_default();
        let field = |name: &str| node.child_by_field_name(name);
        match node.kind() {
            "function_definition" => {
                let Some(name) = field("declarator").and_then(declared) else { return };
                let is_call = self.text.get(node.start_byte()..).is_some_and(|text| {
                    text.split('(')
                        .next()
                        .is_some_and(|macro_name| macro_name.trim_end().contains("SYSCALL_DEFINE"))
                });
                self.add(word(name), if is_call { Kind::SystemCall } else { Kind::Function }, node);
            }
            "preproc_def" | "preproc_function_def" => {
                if let Some(name) = field("name") {
                    self.add(word(name), Kind::Macro, node);
                }
            }
            "struct_specifier" | "union_specifier" | "enum_specifier" => {
                if let (Some(name), Some(_)) = (field("name"), field("body")) {
                    self.add(word(name), Kind::Tagged, node);
                }
            }
            "enumerator" => {
                if let Some(name) = field("name") {
                    self.add(word(name), Kind::Other, node);
                }
            }
            "type_definition" => {
                if let Some(name) = field("declarator").and_then(declared) {
                    self.add(word(name), Kind::Other, node);
                }
            }
            "declaration" if is_of_the_file(node) && !word(node).starts_with("extern") => {
                let mut cursor = node.walk();
                for declarator in node.children_by_field_name("declarator", &mut cursor) {
                    if let Some(name) = declared(declarator).filter(|_| !is_prototype(declarator)) {
                        self.add(word(name), Kind::Other, node);
                    }
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, name: &str, kind: Kind, node: Node<'_>) {
        let rest = self.text.get(node.start_byte()..).unwrap_or_default();
        let length = match kind {
            Kind::Function | Kind::SystemCall => end_by_layout(rest),
            Kind::Macro | Kind::Tagged | Kind::Other => None,
        };
        let length = length.unwrap_or(node.end_byte() - node.start_byte());
        let text = rest.get(..length).unwrap_or_default().trim_end().to_owned();
        let line = node.start_position().row + 1;
        self.by_name.entry(name.to_owned()).or_default().push(Definition { kind, line, text });
    }
}

/// The name that a declarator declares: behind stars, brackets and parentheses.
fn declared(node: Node<'_>) -> Option<Node<'_>> {
    match node.kind() {
        "identifier" | "type_identifier" => Some(node),
        "parenthesized_declarator" => node.named_child(0).and_then(declared),
        _ => node.child_by_field_name("declarator").and_then(declared),
    }
}

/// Whether a declarator declares a function, and not a pointer to one.
fn is_prototype(node: Node<'_>) -> bool {
    let inner = node.child_by_field_name("declarator");
    match node.kind() {
        "function_declarator" => inner.is_some_and(|inner| inner.kind() == "identifier"),
        _ => inner.is_some_and(is_prototype),
    }
}

/// Whether `node` stands at the top of the file, perhaps between `#ifdef` and `#endif`.
fn is_of_the_file(node: Node<'_>) -> bool {
    let mut parent = node.parent();
    while let Some(outer) = parent {
        if !outer.kind().starts_with("preproc_") && outer.kind() != "translation_unit" {
            return false;
        }
        parent = outer.parent();
    }
    true
}

/// `text` with as many bytes, in which the parser meets nothing but C: a system call is defined like a function, and
/// annotations are blank.
pub(crate) fn masked(text: &str) -> String {
    let mut masked = text.as_bytes().to_vec();
    let mut line_start = true;
    let mut is_macro = false;
    let mut at = 0;
    let bytes = text.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        if line_start {
            is_macro = text.get(at..).is_some_and(|rest| rest.starts_with("#define"));
        }
        line_start = byte == b'\n';
        if !is_part_of_word(byte) {
            at += 1;
            continue;
        }
        let length = bytes.iter().skip(at).take_while(|byte| is_part_of_word(**byte)).count();
        let word = text.get(at..at + length).unwrap_or_default();
        let end = at + length;
        if is_macro {
            at = end;
        } else if word.contains("SYSCALL_DEFINE") {
            at = system_call(&mut masked, text, at, end);
        } else if ANNOTATIONS.contains(&word) {
            blank(&mut masked, at, end);
            at = end;
        } else if ANNOTATIONS_OF.contains(&word) {
            let close = closing(text, end).unwrap_or(end);
            blank(&mut masked, at, close);
            at = close;
        } else {
            at = end;
        }
    }
    String::from_utf8(masked).unwrap_or_else(|_| text.to_owned())
}

fn is_part_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Blanks bytes, and keeps the ends of lines.
fn blank(masked: &mut [u8], from: usize, to: usize) {
    for byte in masked.iter_mut().take(to).skip(from).filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

/// Where the parenthesis that opens at or behind `at`, after blanks, is closed: the byte after that.
fn closing(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    if !rest.trim_start().starts_with('(') {
        return None;
    }
    let mut depth = 0_usize;
    for (index, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + index + 1),
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Turns `SYSCALL_DEFINE2(name, ...)`, which begins at `start` and whose parenthesis opens at `open`, into a function
/// of that name. Gives where to go on.
fn system_call(masked: &mut [u8], text: &str, start: usize, open: usize) -> usize {
    let parts = text.get(open..).and_then(|rest| rest.strip_prefix('(')).and_then(|rest| {
        let end = rest.find([',', ')'])?;
        Some((rest.get(..end)?, open + 1 + end))
    });
    let Some((name, end)) = parts else { return open };
    let head = format!("int {}", name.trim());
    blank(masked, start, end);
    if let Some(place) = masked.get_mut(start..start + head.len()) {
        place.copy_from_slice(head.as_bytes());
    }
    // Without parameters the parenthesis that closes is all there is.
    let paren = if text.as_bytes().get(end) == Some(&b',') { end } else { end - 1 };
    if let Some(byte) = masked.get_mut(paren) {
        *byte = b'(';
    }
    end + 1
}

/// How long the function is that `text` begins with: its body begins with a brace at the beginning of a line, and the
/// next one there ends it. So the kernel is written; a parser that met what is no C may think otherwise.
fn end_by_layout(text: &str) -> Option<usize> {
    let open = text
        .find(['{', ';'])
        .filter(|at| text.get(..*at).is_some_and(|head| head.ends_with('\n')))?;
    let body = text.get(open..).filter(|body| body.starts_with('{'))?;
    body.find("\n}").map(|close| open + close + 2)
}

/// Functions of this name as the kernel lays them out: the name in a line that begins with a word.
fn by_layout(text: &str, name: &Name) -> Vec<Definition> {
    let Name::Function(name) = name else { return Vec::new() };
    let call = format!("{name}(");
    let mut found = Vec::new();
    let mut at = 0;
    for (line, content) in text.lines().enumerate().map(|(index, content)| (index + 1, content)) {
        let start = at;
        at += content.len() + 1;
        let is_head = content.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && content
                .split_once(&call)
                .is_some_and(|(before, _)| before.is_empty() || before.ends_with([' ', '*']));
        let rest = text.get(start..).unwrap_or_default();
        if let Some(length) = end_by_layout(rest).filter(|_| is_head) {
            let text = rest.get(..length).unwrap_or_default().to_owned();
            found.push(Definition { kind: Kind::Function, line, text });
        }
    }
    found
}

/// What a macro at the beginning of a line makes of `name`, which is one of its arguments: `FTRACE_ENTRY(function,
/// ftrace_entry, ...)`.
fn made_by_a_macro(text: &str, name: &str) -> Vec<Definition> {
    let mut found = Vec::new();
    let mut at = 0;
    for (line, content) in text.lines().enumerate().map(|(index, content)| (index + 1, content)) {
        let start = at;
        at += content.len() + 1;
        let code = content.strip_prefix("static ").unwrap_or(content);
        let Some((word, arguments)) = code.split_once('(') else { continue };
        let is_macro = word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            && !word.starts_with("EXPORT_SYMBOL")
            && !word.contains("SYSCALL_DEFINE");
        let first_two = arguments.split([',', ')']).take(2);
        if is_macro && first_two.map(str::trim).any(|argument| argument == name) {
            let open = start + content.find('(').unwrap_or_default();
            let end = closing(text, open).unwrap_or(at);
            let text = text.get(start..end).unwrap_or_default().to_owned();
            found.push(Definition { kind: Kind::Other, line, text });
        }
    }
    found
}

/// The entry of option `name` in a Kconfig file.
pub(crate) fn option(text: &str, name: &str) -> Vec<Definition> {
    let lines: Vec<&str> = text.lines().collect();
    let begins = |line: &str| {
        let entry = line.strip_prefix("config ").or_else(|| line.strip_prefix("menuconfig "));
        entry.is_some_and(|entry| entry.trim() == name)
    };
    let starts = lines.iter().enumerate().filter(|(_, line)| begins(line));
    starts
        .map(|(start, _)| {
            let is_inside = |line: &&&str| line.is_empty() || line.starts_with([' ', '\t']);
            let length = lines.iter().skip(start + 1).take_while(is_inside).count();
            let entry = lines.get(start..=start + length).unwrap_or_default().join("\n");
            Definition { kind: Kind::Other, line: start + 1, text: entry.trim_end().to_owned() }
        })
        .collect()
}

/// A file that is no C, or that is cited as a whole.
pub(crate) fn whole(text: &str) -> Definition {
    Definition { kind: Kind::Other, line: 1, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
#define MAX_PAGES 4
#define twice(x) ((x) * \\
\t2)
enum rights { LOCAL = 1, REMOTE = 1 << 1, };
struct umem { int pages; };
struct other *of(struct umem *umem);
static const int limits[] = { 1, 2 };
static unsigned long around __read_mostly = 4;
extern int elsewhere;
DEFINE_MUTEX(lock);
FTRACE_ENTRY(function, ftrace_entry,
\tTRACE_FN,
\tF_STRUCT(x)
);

static __always_inline int pin(struct umem __user *umem)
\t__must_hold(&lock)
{
\tif (MAX_PAGES)
\t\treturn 1;
\treturn 0;
}
#ifdef CONFIG_NUMA
static int node(void) { return 1; }
#else
static int node(void) { return 0; }
#endif
SYSCALL_DEFINE5(mremap, unsigned long, addr, unsigned long, old_len,
\t\tunsigned long, new_len, unsigned long, flags, unsigned long, new_addr)
{
\treturn mremap(0);
}
SYSCALL_DEFINE0(munlockall)
{
\treturn 0;
}
";

    fn found(name: &str) -> Vec<(usize, String)> {
        let definitions = Definitions::of_c(TEXT).of(&Name::parse(name).unwrap());
        definitions.into_iter().map(|one| (one.line, one.text)).collect()
    }

    fn text_of(name: &str) -> String {
        found(name).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n---\n")
    }

    #[test]
    fn a_function_is_cut_out_as_it_stands_there() {
        let (line, text) = found("pin()").remove(0);
        assert_eq!(line, 16);
        assert!(text.starts_with("static __always_inline int pin(struct umem __user"), "{text}");
        assert!(text.contains("__must_hold(&lock)\n{") && text.ends_with("return 0;\n}"), "{text}");
    }

    #[test]
    fn a_function_ends_where_its_layout_says_though_the_parser_is_lost() {
        let text = "int a(void)\n{\n\tif (x) {\n#ifdef Y\n\t} else {\n#endif\n\t}\n\tFOR_EACH x DO(\n}\n\nint b(void)\n{\n\
                    \treturn 1;\n}\n";
        for (name, end) in [("a()", "DO(\n}"), ("b()", "return 1;\n}")] {
            let found = Definitions::of_c(text).of(&Name::parse(name).unwrap());
            assert_eq!(found.len(), 1, "{name}");
            assert!(found[0].text.ends_with(end), "{:?}", found[0].text);
        }
    }

    #[test]
    fn every_definition_of_a_name_counts() {
        assert_eq!(found("node()").iter().map(|(line, _)| *line).collect::<Vec<_>>(), [24, 26]);
    }

    #[test]
    fn a_system_call_is_found_by_the_macro_that_defines_it() {
        assert!(text_of("SYSCALL_DEFINE5(mremap)").ends_with("return mremap(0);\n}"));
        assert!(
            text_of("SYSCALL_DEFINE0(munlockall)").starts_with("SYSCALL_DEFINE0(munlockall)\n")
        );
        assert!(found("mremap()").is_empty(), "that is no function of this name");
    }

    #[test]
    fn macros_types_and_constants_are_found() {
        assert_eq!(text_of("MAX_PAGES"), "#define MAX_PAGES 4");
        assert!(text_of("twice()").ends_with("2)"));
        assert_eq!(text_of("REMOTE"), "REMOTE = 1 << 1");
        assert_eq!(text_of("struct umem"), "struct umem { int pages; }");
        assert_eq!(text_of("limits"), "static const int limits[] = { 1, 2 };");
        assert!(text_of("around").contains("__read_mostly = 4"));
        assert_eq!(text_of("lock"), "DEFINE_MUTEX(lock)");
        assert!(text_of("struct ftrace_entry").ends_with("F_STRUCT(x)\n)"));
    }

    #[test]
    fn what_is_only_declared_is_not_found() {
        for name in ["of()", "elsewhere", "struct other", "nothing()", "CONFIG_NUMA"] {
            assert!(found(name).is_empty(), "{name}");
        }
    }

    #[test]
    fn an_option_is_found_with_all_that_is_said_of_it() {
        let text = "config NUMA\n\tbool\n\n\tdepends on SMP\n\nconfig NUMA_2\n\tbool\n";
        let found = option(text, "NUMA");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].text, "config NUMA\n\tbool\n\n\tdepends on SMP");
        assert!(option(text, "SMP").is_empty());
    }
}
