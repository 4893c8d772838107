//! Which lines begin a report, and what its title is made of.
//!
//! Read for the first lines, in 6.12 and 7.3: `__warn()`, kernel/panic.c; `__report_bug()`, lib/bug.c; lib/refcount.c,
//! lib/list_debug.c, lib/ubsan.c, mm/kasan/report.c, mm/kfence/report.c, mm/slub.c, mm/kmemleak.c; `bad_page()`,
//! mm/page_alloc.c; `check_mm()`, kernel/fork.c; mm/memory.c; kernel/hung_task.c, kernel/watchdog.c, kernel/workqueue.c,
//! kernel/rcu/tree_stall.h, kernel/sched/core.c, kernel/locking/lockdep.c and spinlock_debug.c;
//! arch/x86/mm/fault.c, traps.c and dumpstack.c of arch/x86/kernel, arch/um/kernel/trap.c.

use super::blame::{blamed, blamed_for_panic, call_trace, culprit_in};
use super::line::{function_in, stable, without_names};

/// The title of the first line of `lines` that a rule knows for the beginning of a report.
pub(super) fn title(lines: &[&str]) -> Option<String> {
    let found = lines.iter().enumerate().find_map(|(index, line)| {
        let (rule, said) = rule_of(line)?;
        (!matches!(rule.title, Title::Harmless)).then_some((index, rule, said))
    });
    let (index, rule, said) = found?;
    Some(rule.title.of(&Report { lines, index, said }))
}

pub(super) fn begins_report(line: &str) -> bool {
    // An oops goes on from the line that says why.
    !line.starts_with("Oops:")
        && rule_of(line).is_some_and(|(rule, _)| !matches!(rule.title, Title::Died))
}

/// The title of the first call trace in `lines` that is under no words of a known kind: these words, and the function that
/// is blamed.
pub(super) fn unlisted(lines: &[&str]) -> Option<String> {
    let traces = lines.iter().enumerate().filter(|(_, line)| line.starts_with("Call Trace:"));
    let mut titles = traces.filter_map(|(index, _)| {
        let heading = heading(&lines[..index]);
        let is_harmless = HARMLESS_TRACES.iter().any(|words| heading.contains(words));
        (!is_harmless).then(|| {
            let words =
                stable(&without_names(heading, &lines[index.saturating_sub(HEADING_LINES)..index]));
            let words = if words.is_empty() { "a call trace" } else { &words };
            with_blame(&format!("unlisted: {words}"), call_trace(&lines[index..]))
        })
    });
    titles.next()
}

/// What has a call trace and is no defect: memory that ran out, an allocation that failed or took long, an allocation that an
/// op made fail.
///
/// Source: `dump_header()`, mm/oom_kill.c; `warn_alloc()` and, in 7.3, `check_alloc_stall_warn()`, mm/page_alloc.c;
/// `fail_dump()`, lib/fault-inject.c (two lines).
const HARMLESS_TRACES: [&str; 6] = [
    " invoked oom-killer: ",
    "page allocation failure: ",
    "page allocation stall for ",
    ": vmalloc error: ",
    "FAULT_INJECTION: forcing a failure",
    ", interval ",
];

/// How far above its call trace the words of a report may stand, in lines.
const HEADING_LINES: usize = 12;

/// The last line of `before` that says something: neither who ran where, nor what was in registers and on the stack.
fn heading<'a>(before: &[&'a str]) -> &'a str {
    let near = before.iter().rev().take(HEADING_LINES);
    near.copied().find(|line| !is_circumstance(line)).unwrap_or("")
}

fn is_circumstance(line: &str) -> bool {
    const BEGINNINGS: [&str; 14] = [
        "CPU: ",
        "Hardware name:",
        "Tainted: ",
        "Workqueue: ",
        "Modules linked in:",
        "Stack:",
        "Pid: ",
        "RIP: ",
        "RSP: ",
        "RAX: ",
        "Code: ",
        "------------[",
        "=====",
        "-----",
    ];
    let is_number = |word: &str| word.chars().all(|c| c.is_ascii_hexdigit());
    BEGINNINGS.iter().any(|words| line.starts_with(words)) || line.split_whitespace().all(is_number)
}

/// A line that begins a report, and how its title is made.
struct Rule {
    line: Line,
    title: Title,
}

/// What a line has to be, behind time stamps and the like.
enum Line {
    /// It begins with these words.
    Starts(&'static str),
    /// It begins with the first and has the second in it.
    StartsAndHas(&'static str, &'static str),
    /// The first line of a warning since 6.16, of `__warn()`, kernel/panic.c: `WARNING: FILE:LINE at FUNCTION, CPU#0: NAME/PID`.
    WarningAt,
    /// The first line of `__die_header()`, arch/x86/kernel/dumpstack.c: `KIND: 0000 [#1]`, since 6.10 behind `Oops: `.
    Dies,
}

/// How the title of a report is made.
enum Title {
    /// No report, whatever the rules below say.
    Harmless,
    /// These words.
    Words(&'static str),
    /// These words and the function to blame.
    Blame(&'static str),
    /// These words, or what [`CHECKS`] says of the function that complains, and the function to blame.
    Warning(&'static str),
    /// `kernel BUG`, as of an architecture that has no instruction for it: the line names the function, without an offset.
    Failure,
    /// These words, the kind of error that the line names, and the function to blame.
    KindAndBlame(&'static str),
    /// These words and the function that takes a lock (`at: function`).
    Lock(&'static str),
    /// These words, what the panic says, and the function to blame, if any is named.
    Panic(&'static str),
    /// What killed the kernel or its task, and the function to blame.
    Died,
    /// What is wrong with an object of a slab, and the function to blame.
    Slab,
    /// These words and the function that a work item ran.
    Work(&'static str),
    /// What the line says, without what is particular to one run, and the function to blame.
    Said,
}

/// The first rule that a line meets decides.
const RULES: &[Rule] = &[
    rule("INFO: lockdep is turned off", Title::Harmless),
    rule("INFO: NMI handler", Title::Harmless),
    rule("BUG: KASAN: ", Title::KindAndBlame("KASAN: ")),
    rule("BUG: KFENCE: ", Title::KindAndBlame("KFENCE: ")),
    rule("BUG: KMSAN: ", Title::KindAndBlame("KMSAN: ")),
    rule("BUG: KCSAN: ", Title::KindAndBlame("KCSAN: ")),
    rule("UBSAN: ", Title::KindAndBlame("UBSAN: ")),
    rule(
        "BUG: kernel NULL pointer dereference",
        Title::Blame("BUG: unable to handle kernel NULL pointer dereference"),
    ),
    rule(
        "BUG: unable to handle page fault",
        Title::Blame("BUG: unable to handle kernel paging request"),
    ),
    has("BUG: ", " stack guard page was hit at ", Title::Blame("BUG: stack guard page was hit")),
    rule(
        "BUG: sleeping function called from invalid context",
        Title::Blame("BUG: sleeping function called from invalid context"),
    ),
    rule("BUG: scheduling while atomic", Title::Blame("BUG: scheduling while atomic")),
    has(
        "BUG: using ",
        " in preemptible ",
        Title::Blame("BUG: using a CPU's own data in preemptible code"),
    ),
    rule("BUG: soft lockup", Title::Blame("BUG: soft lockup")),
    rule("BUG: spinlock", Title::Blame("BUG: spinlock misuse")),
    rule("BUG: rwlock", Title::Blame("BUG: rwlock misuse")),
    rule("BUG: Bad page state", Title::Words("BUG: Bad page state")),
    rule("BUG: Bad page map", Title::Words("BUG: Bad page map")),
    rule("BUG: Bad page cache", Title::Words("BUG: Bad page cache")),
    rule("BUG: Bad rss-counter state", Title::Words("BUG: Bad rss-counter state")),
    rule("BUG: non-zero pgtables_bytes", Title::Words("BUG: non-zero pgtables_bytes")),
    rule("BUG: workqueue lockup", Title::Work("BUG: workqueue lockup")),
    rule("BUG: workqueue leaked ", Title::Work("BUG: workqueue leaked a lock or atomic state")),
    rule("BUG ", Title::Slab),
    rule("[ BUG: Invalid wait context ]", Title::Lock("invalid wait context")),
    rule("kernel BUG at ", Title::Warning("kernel BUG")),
    rule("BUG: failure at ", Title::Failure),
    rule("WARNING: CPU: ", Title::Warning("WARNING")),
    Rule { line: Line::WarningAt, title: Title::Warning("WARNING") },
    rule("WARNING: possible circular locking dependency", Title::Lock("possible deadlock")),
    rule("WARNING: possible recursive locking", Title::Lock("possible deadlock")),
    rule("WARNING: possible irq lock inversion", Title::Lock("possible deadlock")),
    has("WARNING: ", "-unsafe lock order detected", Title::Lock("possible deadlock")),
    rule("WARNING: inconsistent lock state", Title::Lock("inconsistent lock state")),
    rule("WARNING: bad unlock balance", Title::Blame("WARNING: bad unlock balance")),
    rule("WARNING: held lock freed", Title::Lock("WARNING: held lock freed")),
    rule(
        "WARNING: lock held when returning to user space",
        Title::Lock("WARNING: lock still held"),
    ),
    has("WARNING: ", " still has locks held", Title::Lock("WARNING: lock still held")),
    rule("WARNING: suspicious RCU usage", Title::Blame("WARNING: suspicious RCU usage")),
    rule("INFO: task ", Title::Blame("INFO: task hung")),
    rule("INFO: rcu", Title::Blame("INFO: rcu detected stall")),
    rule(
        "INFO: trying to register non-static key",
        Title::Blame("INFO: trying to register non-static key"),
    ),
    rule("Oops: general protection fault", Title::Blame("general protection fault")),
    rule("general protection fault", Title::Blame("general protection fault")),
    rule("PANIC: double fault", Title::Blame("PANIC: double fault")),
    Rule { line: Line::Dies, title: Title::Died },
    rule("Oops:", Title::Blame("Oops")),
    rule("Kernel panic - not syncing: ", Title::Panic("kernel panic: ")),
    has("kmemleak: ", " new suspected memory leaks", Title::Words("memory leak")),
    rule("kmemleak: unreferenced object ", Title::Words("memory leak")),
    rule("BUG: ", Title::Said),
    rule("WARNING: ", Title::Said),
];

const fn rule(starts: &'static str, title: Title) -> Rule {
    Rule { line: Line::Starts(starts), title }
}

const fn has(starts: &'static str, has: &'static str, title: Title) -> Rule {
    Rule { line: Line::StartsAndHas(starts, has), title }
}

/// The first rule that `line` meets, and what the line says besides the rule's words.
fn rule_of(line: &str) -> Option<(&'static Rule, &str)> {
    RULES.iter().find_map(|rule| Some((rule, rule.line.said(line)?)))
}

impl Line {
    fn said<'a>(&self, line: &'a str) -> Option<&'a str> {
        match self {
            Line::Starts(starts) => line.strip_prefix(starts),
            Line::StartsAndHas(starts, has) => {
                line.strip_prefix(starts).filter(|said| said.contains(has))
            }
            Line::WarningAt => warning_at(line),
            Line::Dies => died(line),
        }
    }
}

/// Where a warning of the form since 6.16 came from, `function+0x12/0x34`.
///
/// What is before ` at ` is free text where CONFIG_DEBUG_BUGVERBOSE_DETAILED puts the condition there, and nothing where the
/// kernel knows no files. What is behind `, CPU#` is a number and the name of a process.
fn warning_at(line: &str) -> Option<&str> {
    let (place, task) = line.strip_prefix("WARNING: ")?.rsplit_once(", CPU#")?;
    let (cpu, _) = task.split_once(": ")?;
    let is_cpu = !cpu.is_empty() && cpu.chars().all(|c| c.is_ascii_digit());
    let function = place
        .strip_prefix("at ")
        .or_else(|| place.rsplit_once(" at ").map(|(_, function)| function))?;
    is_cpu.then_some(function)
}

/// What `line` says that the kernel, or its task, died of: what is before `: 0000 [#1]`. Nothing where it was a page fault,
/// which is `Oops: Oops: 0000 [#1]` since 6.10.
fn died(line: &str) -> Option<&str> {
    let (before, after) = line.split_once(" [#")?;
    let (kind, code) = before.rsplit_once(": ")?;
    let is_code = code.len() == 4 && code.chars().all(|c| c.is_ascii_hexdigit());
    let counts = after.starts_with(|c: char| c.is_ascii_digit());
    let kind = kind.strip_prefix("Oops: ").unwrap_or(kind);
    (is_code && counts).then_some(if kind == "Oops" { "" } else { kind })
}

/// A report in a log: the line that begins it, and what it says besides the words of its rule.
struct Report<'a> {
    lines: &'a [&'a str],
    index: usize,
    said: &'a str,
}

impl Report<'_> {
    /// `words`, and the function that this report is blamed on. What its first line says is no function.
    fn blame(&self, words: &str) -> String {
        with_blame(words, blamed(self.lines, self.index, ""))
    }

    /// The same, where the first line names the function.
    fn blame_named(&self, words: &str) -> String {
        with_blame(words, blamed(self.lines, self.index, self.said))
    }

    /// The lines from the first one on.
    fn on(&self) -> &[&str] {
        &self.lines[self.index..]
    }
}

impl Title {
    fn of(&self, report: &Report<'_>) -> String {
        let said = report.said;
        match self {
            Title::Harmless => unreachable!("harmless lines begin no report"),
            Title::Words(words) => (*words).to_owned(),
            Title::Blame(words) => report.blame(words),
            Title::Warning(words) => report.blame_named(&by_check(words, report)),
            Title::Failure => {
                // `FILE:LINE/FUNCTION()!` of `BUG()`, include/asm-generic/bug.h (6.12 and 7.3), which panics then.
                let function = said.rsplit_once('/').and_then(|(_, name)| name.split_once("()"));
                let named = function.map_or(String::new(), |(name, _)| format!("{name}+0x"));
                let report = Report { said: &named, ..*report };
                report.blame_named(&by_check("kernel BUG", &report))
            }
            Title::KindAndBlame(words) => {
                let kind = said.split(" in ").next().unwrap_or(said);
                let access = access_of(report.on());
                report.blame_named(&format!("{words}{kind}{access}"))
            }
            Title::Lock(words) => {
                let taken =
                    report.on().iter().find_map(|line| culprit_in(line.split_once(", at: ")?.1));
                with_blame(words, taken.or_else(|| blamed(report.lines, report.index, "")))
            }
            Title::Panic(words) => {
                let cut = PANIC_DETAILS.iter().filter_map(|mark| said.find(mark)).min();
                let what = &said[..cut.unwrap_or(said.len())];
                let culprit = blamed_for_panic(report.lines, report.index, said);
                with_blame(&format!("{words}{}", panic_words(what, report.lines)), culprit)
            }
            Title::Died if said.is_empty() => report.blame("Oops"),
            Title::Died => report.blame(&format!("Oops: {said}")),
            Title::Slab => {
                // `BUG kmalloc-64 (Not tainted): what is wrong`
                let what = said.split_once("): ").map_or(said, |(_, what)| what);
                report.blame(&format!("BUG: slab: {}", stable(what)))
            }
            Title::Work(words) => {
                with_blame(words, report.on().iter().find_map(|line| worked(line)))
            }
            Title::Said => {
                let line = report.lines[report.index];
                report.blame(&stable(&without_names(line, report.on())))
            }
        }
    }
}

/// What is wrong where one of these functions complains: they check things for everyone. The rest is `words`.
const CHECKS: [(&str, &str); 6] = [
    ("refcount_warn_saturate", "refcount bug"),
    ("__list_", "list corruption"),
    ("debug_print_object", "object misuse"),
    ("usercopy_abort", "usercopy outside of an object"),
    ("__fortify_", "buffer overflow"),
    ("__copy_overflow", "buffer overflow"),
];

fn by_check(words: &str, report: &Report<'_>) -> String {
    let rip = || report.on().iter().take(8).find(|line| line.starts_with("RIP: "));
    let function = function_in(report.said).or_else(|| function_in(rip()?));
    let check = function.and_then(|name| CHECKS.iter().find(|(check, _)| name.starts_with(check)));
    check.map_or_else(|| words.to_owned(), |(_, what)| format!("{words}: {what}"))
}

/// Where what a panic says becomes particular to one run.
const PANIC_DETAILS: &[&str] = &[" at addr", ", ip 0x", " exitcode=", " (pid"];

/// What a panic says, without what is particular to one run. A signal's number is not, nor is the name of the first process.
fn panic_words(said: &str, lines: &[&str]) -> String {
    if said.starts_with("Kernel mode signal ") {
        said.to_owned()
    } else if said.starts_with("Attempted to kill ") {
        stable(said)
    } else {
        stable(&without_names(said, lines))
    }
}

fn with_blame(words: &str, function: Option<String>) -> String {
    match function {
        Some(function) => format!("{words} in {function}"),
        None => words.to_owned(),
    }
}

/// ` Read` or ` Write`, as KASAN says in a line of its own.
fn access_of(lines: &[&str]) -> &'static str {
    let near = lines.iter().take(4);
    near.filter_map(|line| {
        let read = line.starts_with("Read of size").then_some(" Read");
        read.or_else(|| line.starts_with("Write of size").then_some(" Write"))
    })
    .next()
    .unwrap_or("")
}

/// The function of the work item that `line` tells of.
///
/// Source: `process_one_work()` and `show_pwq()`, kernel/workqueue.c (6.12 and 7.3).
fn worked(line: &str) -> Option<String> {
    let marks = ["workfn=", "last function: ", "in-flight: "];
    let said = marks.iter().find_map(|mark| Some(line.split_once(mark)?.1))?;
    // `in-flight: 23:function`, and `23(RESCUER):function`.
    let said = said.split_once(':').map_or(said, |(_, function)| function);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name: String = said.trim_start().chars().take_while(|c| is_name(*c)).collect();
    (!name.is_empty()).then_some(name)
}
