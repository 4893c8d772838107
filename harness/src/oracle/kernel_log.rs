//! The kernel log oracle: the kernel complains of itself.
//!
//! Checks every line for the reports that a kernel prints when it has found
//! itself to be wrong: BUG, WARNING, Oops, panic, KASAN, KFENCE, UBSAN, lockdep,
//! stalls and hung tasks, bad pages and bad counters (`rules.rs`). The title of a
//! report is its kind and the function to blame (`blame.rs`), without names of
//! processes, pids, CPUs, addresses, offsets and other numbers (`line.rs`).
//! A call trace under words that no rule knows is a report too, and is named after these words.
//!
//! That memory ran out is a report too, unless the model says that the memory cgroup of the registrations
//! is at its limit.
//!
//! Does not check what drivers say of themselves (`rxe0: ...`) without a call trace, because no rule
//! tells their errors from their chatter. Nor processes that the kernel ended
//! (`segfault at`): what became of them is an outcome. Nor
//! anything before the first op, which is not in the trace.

mod blame;
mod line;
mod rules;

use line::without_prefix;

use super::{Finding, slug};

/// The title of the first report in `log`, if there is one.
pub fn title(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().map(without_prefix).collect();
    rules::title(&lines).or_else(|| rules::unlisted(&lines))
}

/// What `log` says of the platform that the kernel runs on: it failed, and no kernel is to blame.
pub fn platform_failure(log: &str) -> Option<&'static str> {
    let said =
        |(words, _): &&(&str, _)| log.lines().any(|line| without_prefix(line).starts_with(words));
    PLATFORM_FAILURES.iter().find(said).map(|&(_, reason)| reason)
}

/// What a line begins with that tells of a host that let the kernel down, and what that is.
///
/// Source: `mm_sigchld_irq()`, arch/um/kernel/skas/mmu.c (7.3): the stub of an address space, a process of the host, is gone.
/// The kernel ends its tasks with SIGSEGV and goes on.
const PLATFORM_FAILURES: [(&str, &str); 1] =
    [("Unexpectedly lost MM child!", "the host ended a process of User Mode Linux")];

/// The report that begins in `log`. It may go on in `rest`, what was logged later.
pub(super) fn check(log: &str, rest: &str) -> Option<Finding> {
    title(log)?;
    let title = title(&format!("{log}\n{rest}"))?;
    Some(finding(&title, log))
}

/// The report that memory ran out in an op in which none of it should.
pub(super) fn check_memory(log: &str) -> Option<Finding> {
    let mut lines = log.lines().map(without_prefix);
    lines.find(|line| OUT_OF_MEMORY.iter().any(|words| line.contains(words)))?;
    Some(finding("out of memory", log))
}

/// What a line has in it that tells of memory that ran out.
const OUT_OF_MEMORY: [&str; 2] = [" invoked oom-killer: ", "Out of memory"];

/// What is said of a kernel that died in an op: the title of its last words, if it had any.
pub(super) fn died(log: &str) -> Finding {
    finding(&title(log).unwrap_or_else(|| "kernel died".to_owned()), log)
}

fn finding(title: &str, log: &str) -> Finding {
    Finding {
        predicted: "a silent kernel".to_owned(),
        seen: title.to_owned(),
        mr: None,
        class: slug(title),
        detail: log.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests;
