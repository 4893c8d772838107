//! One line of a kernel log: what is said in it, and what of that is the same in every run.

/// The line without log level, time stamp, caller and the words in front of a report.
pub(super) fn without_prefix(line: &str) -> &str {
    let mut rest = line.trim();
    loop {
        let next = match rest.as_bytes().first() {
            Some(b'<') if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => {
                rest.split_once('>').map(|(_, after)| after)
            }
            Some(b'[') => rest[1..]
                .split_once(']')
                .and_then(|(stamp, after)| is_stamp(stamp).then_some(after)),
            _ => PREFIXES.iter().find_map(|word| rest.strip_prefix(word)),
        };
        match next {
            Some(next) => rest = next.trim_start(),
            None => return rest,
        }
    }
}

/// Parts of the kernel that put their name in front of a report.
const PREFIXES: [&str; 4] = ["watchdog: ", "rcu: ", "traps: ", "mm: "];

/// Whether `text` is a time, or who printed the line: a task (`T45`) or a CPU (`C1`).
fn is_stamp(text: &str) -> bool {
    let text = text.trim();
    let number = text.strip_prefix(['T', 'C']).unwrap_or(text);
    !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// The function of the first `function+0x12/0x34` in `line`.
pub(super) fn function_in(line: &str) -> Option<&str> {
    let (before, _) = line.split_once("+0x")?;
    let start = before.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    let name = &before[start.map_or(0, |at| at + 1)..];
    // `.constprop.0`, `.isra.0` and `.cold` are the compiler's.
    let name = name.split('.').next().unwrap_or(name);
    (!name.is_empty()).then_some(name)
}

/// The words of `text` that are the same in every run: none with a digit in it, and no address.
pub(super) fn stable(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !is_particular(word));
    words.collect::<Vec<_>>().join(" ")
}

fn is_particular(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_hex = bare.len() >= ADDRESS_DIGITS_MIN && bare.chars().all(|c| c.is_ascii_hexdigit());
    bare.is_empty() || is_hex || bare == "ptrval" || word.contains(|c: char| c.is_ascii_digit())
}

/// A word of so many letters, all of them digits of a hexadecimal number, is one.
const ADDRESS_DIGITS_MIN: usize = 8;

/// `text` without the names of processes that `lines` tell of.
///
/// Source: `dump_stack_print_info()`, lib/dump_stack.c (6.12 and 7.3): `Comm: name Not tainted`; `arch_show_regs()`,
/// arch/x86/um/sysrq_64.c (6.12): `comm: name Not tainted`.
pub(super) fn without_names(text: &str, lines: &[&str]) -> String {
    let names = lines.iter().filter_map(|line| {
        let (_, after) = line.split_once("Comm: ").or_else(|| line.split_once("comm: "))?;
        let end = [" Not tainted", " Tainted: "].iter().filter_map(|mark| after.find(mark)).min();
        Some(after[..end?].trim()).filter(|name| !name.is_empty())
    });
    names.fold(text.to_owned(), |text, name| without_name(&text, name))
}

/// `text` without `name`, where it stands as a word of its own or with a pid.
fn without_name(text: &str, name: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let joins = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_part = before.ends_with(joins) || after.starts_with(joins);
        kept.push_str(if is_part { &rest[..at + name.len()] } else { before });
        rest = after;
        if !is_part {
            // What is glued to the name is its pid.
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || "/[]:".contains(c));
        }
    }
    kept + rest
}
