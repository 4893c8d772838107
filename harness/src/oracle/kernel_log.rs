//! The kernel log oracle: the kernel complains of itself.
//!
//! Checks every line for the reports that a kernel prints when it has found
//! itself to be wrong: BUG, WARNING, Oops, panic, KASAN, KFENCE, UBSAN, lockdep,
//! stalls and hung tasks, bad pages and bad counters. The title of a report is
//! its kind and the function to blame, without addresses, offsets and numbers.
//!
//! That memory ran out is a report too, unless the model says that the memory cgroup of the registrations
//! is at its limit.
//!
//! Does not check what drivers say of themselves (`rxe0: ...`), because no rule
//! tells their errors from their chatter. Nor processes that the kernel ended
//! (`segfault at`): what became of them is an outcome. Nor
//! anything before the first op, which is not in the trace.

use super::{Finding, slug};

/// The title of the first report in `log`, if there is one.
pub fn title(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().map(without_prefix).collect();
    let (index, rule) = first_report(&lines)?;
    Some(rule.title.of(&lines, index, rule.starts))
}

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

/// A line that begins a report, and how its title is made.
struct Rule {
    /// What the line begins with, behind time stamps and the like.
    starts: &'static str,
    title: Title,
}

/// How the title of a report is made.
enum Title {
    /// No report, whatever the rules below say.
    Harmless,
    /// These words.
    Words(&'static str),
    /// These words and the function to blame.
    Blame(&'static str),
    /// These words, the kind of error that the line names, and the function to blame.
    KindAndBlame(&'static str),
    /// These words and the function that takes a lock (`at: function`).
    Lock(&'static str),
    /// These words, what the panic says, and the function to blame, if any is named.
    Panic(&'static str),
    /// What the line says, without numbers.
    Line,
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
    rule(
        "BUG: sleeping function called from invalid context",
        Title::Blame("BUG: sleeping function called from invalid context"),
    ),
    rule("BUG: scheduling while atomic", Title::Blame("BUG: scheduling while atomic")),
    rule("BUG: soft lockup", Title::Blame("BUG: soft lockup")),
    rule("BUG: spinlock", Title::Blame("BUG: spinlock misuse")),
    rule("BUG: Bad page state", Title::Words("BUG: Bad page state")),
    rule("BUG: Bad page map", Title::Words("BUG: Bad page map")),
    rule("BUG: Bad page cache", Title::Words("BUG: Bad page cache")),
    rule("BUG: Bad rss-counter state", Title::Words("BUG: Bad rss-counter state")),
    rule("BUG: non-zero pgtables_bytes", Title::Words("BUG: non-zero pgtables_bytes")),
    rule("BUG: workqueue lockup", Title::Words("BUG: workqueue lockup")),
    rule("kernel BUG at ", Title::Blame("kernel BUG")),
    rule("WARNING: CPU: ", Title::Blame("WARNING")),
    rule("WARNING: possible circular locking dependency", Title::Lock("possible deadlock")),
    rule("WARNING: possible recursive locking", Title::Lock("possible deadlock")),
    rule("WARNING: possible irq lock inversion", Title::Lock("possible deadlock")),
    rule("WARNING: HARDIRQ-safe -> HARDIRQ-unsafe", Title::Lock("possible deadlock")),
    rule("WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe", Title::Lock("possible deadlock")),
    rule("WARNING: inconsistent lock state", Title::Lock("inconsistent lock state")),
    rule("WARNING: bad unlock balance", Title::Blame("WARNING: bad unlock balance")),
    rule("WARNING: suspicious RCU usage", Title::Blame("WARNING: suspicious RCU usage")),
    rule("INFO: task ", Title::Blame("INFO: task hung")),
    rule("INFO: rcu", Title::Blame("INFO: rcu detected stall")),
    rule(
        "INFO: trying to register non-static key",
        Title::Blame("INFO: trying to register non-static key"),
    ),
    rule("Oops: general protection fault", Title::Blame("general protection fault")),
    rule("general protection fault", Title::Blame("general protection fault")),
    rule("Oops:", Title::Blame("Oops")),
    rule("Kernel panic - not syncing: ", Title::Panic("kernel panic: ")),
    rule("kmemleak: ", Title::Words("memory leak")),
    rule("BUG: ", Title::Line),
    rule("WARNING: ", Title::Line),
];

const fn rule(starts: &'static str, title: Title) -> Rule {
    Rule { starts, title }
}

fn first_report(lines: &[&str]) -> Option<(usize, &'static Rule)> {
    lines.iter().enumerate().find_map(|(index, line)| {
        let rule = RULES.iter().find(|rule| line.starts_with(rule.starts))?;
        (!matches!(rule.title, Title::Harmless)).then_some((index, rule))
    })
}

impl Title {
    fn of(&self, lines: &[&str], index: usize, starts: &str) -> String {
        let line = lines[index];
        let said = &line[starts.len()..];
        match self {
            Title::Harmless => unreachable!("harmless lines begin no report"),
            Title::Words(words) => (*words).to_owned(),
            Title::Blame(words) => {
                let words = if line.contains("refcount_warn_saturate") {
                    "WARNING: refcount bug"
                } else {
                    words
                };
                with_blame(words, blamed(lines, index))
            }
            Title::KindAndBlame(words) => {
                let kind = said.split(" in ").next().unwrap_or(said);
                let access = access_of(&lines[index..]);
                with_blame(&format!("{words}{kind}{access}"), blamed(lines, index))
            }
            Title::Lock(words) => {
                let taken = lines[index..]
                    .iter()
                    .find_map(|line| function_in(line.split_once(", at: ")?.1))
                    .or_else(|| blamed(lines, index));
                with_blame(words, taken)
            }
            Title::Panic(words) => {
                let cut = PANIC_DETAILS.iter().filter_map(|mark| said.find(mark)).min();
                let what = without_numbers(&said[..cut.unwrap_or(said.len())]);
                with_blame(&format!("{words}{what}"), blamed(lines, index))
            }
            Title::Line => without_numbers(line),
        }
    }
}

/// Where what a panic says becomes particular to one run.
const PANIC_DETAILS: &[&str] = &[" at addr", ", ip 0x", " exitcode=", " (pid"];

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

/// How far a report may reach, in lines. User Mode Linux prints registers before it panics.
const REPORT_LINES: usize = 80;
const LINES_BEFORE: usize = 30;

/// The function to blame: named in the line itself, at the instruction pointer,
/// or the first of the call trace, in this order; machinery is passed over.
fn blamed(lines: &[&str], index: usize) -> Option<String> {
    let end = lines.len().min(index + REPORT_LINES);
    let after = &lines[index + 1..end];
    let before = &lines[index.saturating_sub(LINES_BEFORE)..index];
    // Another report that follows has its own function.
    let own = after.iter().position(|line| begins_report(line)).unwrap_or(after.len());
    let named = function_in(lines[index]);
    named
        .or_else(|| instruction_pointer(&after[..own]))
        .or_else(|| call_trace(&after[..own]))
        .or_else(|| instruction_pointer(before))
        .or_else(|| instruction_pointer(&after[own..]))
        .or_else(|| call_trace(&after[own..]))
}

fn begins_report(line: &str) -> bool {
    RULES.iter().any(|rule| line.starts_with(rule.starts)) && !line.starts_with("Oops:")
}

fn instruction_pointer(lines: &[&str]) -> Option<String> {
    lines.iter().filter(|line| line.starts_with("RIP: ")).find_map(|line| function_in(line))
}

/// The first frame that is no machinery. Frames that the unwinder doubts (`?`)
/// count where it doubts all of them, as on User Mode Linux without frame pointers.
fn call_trace(lines: &[&str]) -> Option<String> {
    let start = lines.iter().position(|line| line.starts_with("Call Trace:"))?;
    let frames = || lines[start + 1..].iter().take_while(|line| !line.starts_with("</TASK>"));
    let reliable = frames().filter(|line| !line.contains("? ")).find_map(|line| function_in(line));
    reliable.or_else(|| frames().find_map(|line| function_in(line)))
}

/// The function of the first `function+0x12/0x34` in `line`, unless it is machinery.
fn function_in(line: &str) -> Option<String> {
    let (before, _) = line.split_once("+0x")?;
    let start = before.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    let name = &before[start.map_or(0, |at| at + 1)..];
    // `.constprop.0`, `.isra.0` and `.cold` are the compiler's.
    let name = name.split('.').next().unwrap_or(name);
    let machinery = MACHINERY.iter().any(|prefix| name.starts_with(prefix));
    (!name.is_empty() && !machinery).then(|| name.to_owned())
}

/// What the names of functions begin with that report errors, take locks, wait
/// or copy for others.
const MACHINERY: &[&str] = &[
    "__asan",
    "__dump_stack",
    "__hwasan",
    "__kasan",
    "__kernel_",
    "__list_add",
    "__list_del",
    "__lock_acquire",
    "__might_",
    "__mutex_",
    "__raw_spin",
    "__report_bad",
    "__schedule",
    "__switch_to",
    "__ubsan",
    "__wait_for",
    "__warn",
    "_printk",
    "_raw_",
    "add_lock_to_list",
    "asm_exc_",
    "asm_sysvec_",
    "bad_page",
    "bad_segv",
    "check_deadlock",
    "check_noncircular",
    "check_prev",
    "check_region",
    "do_error_trap",
    "do_trap",
    "do_warn",
    "down_",
    "dump_stack",
    "end_report",
    "exc_",
    "fail_dump",
    "handle_bug",
    "io_schedule",
    "kasan_",
    "kfence_",
    "lock_acquire",
    "lockdep_",
    "mark_lock",
    "memcpy",
    "memmove",
    "memset",
    "mutex_",
    "panic",
    "print_",
    "printk",
    "refcount_",
    "report_",
    "rwsem_",
    "schedule",
    "segv",
    "sig_handler",
    "show_",
    "hard_handler",
    "ubsan_",
    "validate_chain",
    "vpanic",
    "wait_for_",
];

/// The line without log level, time stamp, caller and the words in front of a report.
fn without_prefix(line: &str) -> &str {
    let mut rest = line.trim();
    loop {
        let next = match rest.as_bytes().first() {
            Some(b'<') if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => {
                rest.split_once('>').map(|(_, after)| after)
            }
            Some(b'[') if !rest.starts_with("[<") => rest.split_once(']').map(|(_, after)| after),
            _ => ["watchdog: ", "rcu: "].iter().find_map(|word| rest.strip_prefix(word)),
        };
        match next {
            Some(next) => rest = next.trim_start(),
            None => return rest,
        }
    }
}

/// The words of `text` that have no digit in them.
fn without_numbers(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_title(log: &str, want: &str) {
        assert_eq!(title(log).as_deref(), Some(want), "{log}");
    }

    #[test]
    fn a_group_that_is_out_of_memory_has_no_title() {
        let log = "pinfold invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=-1000\n\
                   CPU: 0 UID: 0 PID: 44 Comm: pinfold Not tainted 6.12.117 #1\nCall Trace:\n\
                   \u{20}[<6004a0de>] ? dump_header+0x4c/0x60\n\
                   memory: usage 4kB, limit 4kB, failcnt 3\nTasks state (memory values in pages):\n\
                   Out of memory and no killable processes...\n";
        assert_eq!(title(log), None);
        check_title(&format!("{log}BUG: Bad page state in process x\n"), "BUG: Bad page state");
        assert_eq!(
            check_memory(log).map(|finding| finding.class).as_deref(),
            Some("out-of-memory")
        );
        assert_eq!(check_memory("rxe0: memory"), None);
    }

    #[test]
    fn a_warning_is_named_after_its_function() {
        check_title(
            "[   12.345678] ------------[ cut here ]------------\n\
             [   12.345679] WARNING: CPU: 0 PID: 77 at mm/gup.c:74 try_get_folio+0xdb/0x120\n\
             [   12.345680] Modules linked in: rdma_rxe ib_uverbs\n\
             [   12.345681] RIP: 0010:try_get_folio+0xdb/0x120\n",
            "WARNING in try_get_folio",
        );
    }

    #[test]
    fn a_module_and_a_compiler_suffix_are_left_out() {
        check_title(
            "WARNING: CPU: 1 PID: 9 at drivers/infiniband/sw/rxe/rxe_pool.c:250 \
             __rxe_cleanup.constprop.0+0x1a/0x40 [rdma_rxe]",
            "WARNING in __rxe_cleanup",
        );
    }

    #[test]
    fn a_refcount_warning_blames_the_caller() {
        check_title(
            "refcount_t: underflow; use-after-free.\n\
             WARNING: CPU: 0 PID: 1 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110\n\
             RIP: 0010:refcount_warn_saturate+0xba/0x110\n\
             Call Trace:\n <TASK>\n  ? __warn+0x7d/0x130\n  rxe_elem_release+0x4f/0x60 [rdma_rxe]\n </TASK>\n",
            "WARNING: refcount bug in rxe_elem_release",
        );
    }

    #[test]
    fn kasan_says_what_was_done_to_what() {
        check_title(
            "==================================================================\n\
             BUG: KASAN: slab-use-after-free in rxe_mr_copy+0x1f2/0x300\n\
             Read of size 8 at addr ffff888004a5c100 by task pinfold/45\n",
            "KASAN: slab-use-after-free Read in rxe_mr_copy",
        );
    }

    #[test]
    fn kasan_in_a_copy_routine_blames_the_caller() {
        check_title(
            "BUG: KASAN: use-after-free in memcpy+0x3c/0x60\n\
             Write of size 8 at addr 0000000061a5c100 by task pinfold/45\n\n\
             Call Trace:\n\
             \u{20}[<600312ab>] ? show_stack+0x10e/0x130\n\
             \u{20}[<6004a0de>] ? dump_stack_lvl+0x4c/0x60\n\
             \u{20}[<6004b0de>] ? print_report+0xcf/0x620\n\
             \u{20}[<6004c0de>] ? memcpy+0x3c/0x60\n\
             \u{20}[<6004d0de>] ? rxe_mr_copy+0x1f2/0x300\n",
            "KASAN: use-after-free Write in rxe_mr_copy",
        );
    }

    #[test]
    fn kfence_and_ubsan_are_reports() {
        check_title(
            "BUG: KFENCE: out-of-bounds read in rxe_post_send+0x12/0x80",
            "KFENCE: out-of-bounds read in rxe_post_send",
        );
        check_title(
            "UBSAN: array-index-out-of-bounds in drivers/infiniband/sw/rxe/rxe_mr.c:140:20\n\
             index 4 is out of range\nCall Trace:\n <TASK>\n dump_stack_lvl+0x5d/0x80\n \
             ubsan_epilogue+0x5/0x30\n __ubsan_handle_out_of_bounds.cold+0x46/0x4b\n rxe_mr_init_user+0x10/0x20\n",
            "UBSAN: array-index-out-of-bounds in rxe_mr_init_user",
        );
    }

    #[test]
    fn a_fault_in_the_kernel_blames_the_instruction_pointer() {
        check_title(
            "[    5.1][   T44] BUG: kernel NULL pointer dereference, address: 0000000000000018\n\
             [    5.1][   T44] #PF: supervisor read access in kernel mode\n\
             [    5.1][   T44] Oops: 0000 [#1] PREEMPT SMP PTI\n\
             [    5.1][   T44] RIP: 0010:ib_umem_release+0x1d/0xc0 [ib_uverbs]\n",
            "BUG: unable to handle kernel NULL pointer dereference in ib_umem_release",
        );
        check_title(
            "BUG: unable to handle page fault for address: ffffc90000a00000\n\
             RIP: 0010:rxe_mr_copy+0x1d/0xc0\n",
            "BUG: unable to handle kernel paging request in rxe_mr_copy",
        );
        check_title(
            "Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] PREEMPT SMP\n\
             RIP: 0010:unpin_user_page+0x9/0x20\n",
            "general protection fault in unpin_user_page",
        );
    }

    #[test]
    fn a_kernel_bug_blames_the_instruction_pointer() {
        check_title(
            "kernel BUG at mm/memory.c:1023!\ninvalid opcode: 0000 [#1] SMP\n\
             RIP: 0010:copy_page_range+0x9/0x20\n",
            "kernel BUG in copy_page_range",
        );
    }

    #[test]
    fn user_mode_linux_prints_registers_before_it_panics() {
        check_title(
            "Pid: 23, comm: pinfold Not tainted 6.12.117\n\
             RIP: 0033:rxe_reg_user_mr+0x3a/0x110\n\
             RSP: 0000000061b07c60  EFLAGS: 00010246\n\
             Kernel panic - not syncing: Kernel mode fault at addr 0x18, ip 0x60212345\n",
            "kernel panic: Kernel mode fault in rxe_reg_user_mr",
        );
        check_title(
            "Kernel panic - not syncing: Segfault with no mm\nCPU: 0 PID: 23 Comm: pinfold\n\
             Call Trace:\n\
             \u{20}[<60031c55>] ? panic+0x1a0/0x3c0\n\
             \u{20}[<60031c55>] ? segv+0x1a0/0x3c0\n\
             \u{20}[<60031c56>] ? ib_umem_get+0x2f1/0x3c0\n",
            "kernel panic: Segfault with no mm in ib_umem_get",
        );
    }

    #[test]
    fn a_panic_without_a_trace_is_named_after_its_words() {
        check_title(
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b",
            "kernel panic: Attempted to kill init!",
        );
    }

    #[test]
    fn memory_management_complaints_have_fixed_titles() {
        check_title(
            "BUG: Bad page state in process pinfold  pfn:01a2b\npage:0000000012345678 refcount:-1",
            "BUG: Bad page state",
        );
        check_title(
            "BUG: Bad rss-counter state mm:0000000012345678 type:MM_ANONPAGES val:2",
            "BUG: Bad rss-counter state",
        );
        check_title(
            "BUG: non-zero pgtables_bytes on freeing mm: 4096",
            "BUG: non-zero pgtables_bytes",
        );
    }

    #[test]
    fn lockdep_is_named_after_the_lock_taken_last() {
        check_title(
            "======================================================\n\
             WARNING: possible circular locking dependency detected\n\
             6.12.117 #1 Not tainted\n\
             ------------------------------------------------------\n\
             pinfold/45 is trying to acquire lock:\n\
             ffff888001 (&mm->mmap_lock){++++}-{3:3}, at: ib_umem_get+0x12/0x34\n\n\
             but task is already holding lock:\n\
             ffff888002 (&rxe->usdev_lock){+.+.}-{3:3}, at: rxe_open+0x1/0x2\n",
            "possible deadlock in ib_umem_get",
        );
    }

    #[test]
    fn hung_tasks_and_stalls_are_named_after_who_waits() {
        check_title(
            "INFO: task pinfold:45 blocked for more than 120 seconds.\n      Not tainted 6.1.192\n\
             Call Trace:\n <TASK>\n __schedule+0x1/0x2\n schedule+0x1/0x2\n \
             schedule_timeout+0x1/0x2\n wait_for_completion_timeout+0x1/0x2\n __rxe_cleanup+0x9/0x20\n </TASK>\n",
            "INFO: task hung in __rxe_cleanup",
        );
        check_title(
            "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [pinfold:45]\nRIP: 0010:do_task+0x1/0x9\n",
            "BUG: soft lockup in do_task",
        );
        check_title(
            "rcu: INFO: rcu_sched self-detected stall on CPU\nRIP: 0010:do_task+0x1/0x9\n",
            "INFO: rcu detected stall in do_task",
        );
    }

    #[test]
    fn an_unlisted_report_is_named_after_its_line_without_numbers() {
        check_title("BUG: looking bad for 0x1234 of 77 things", "BUG: looking bad for of things");
    }

    #[test]
    fn what_a_kernel_says_when_it_is_well_is_no_report() {
        for line in [
            "",
            "infiniband rxe0: set active",
            "INFO: lockdep is turned off.",
            "GUP no longer grows the stack in pinfold (45): 1000000-1001000 (ffff000)",
            "pinfold[45]: segfault at 0 ip 0000000000401000 sp 00007ffd error 4 in pinfold",
            "memfd_create() without MFD_EXEC nor MFD_NOEXEC_SEAL, pid=45 'pinfold'",
            "workqueue: do_work [rdma_rxe] hogged CPU for >10000us 4 times",
            "Warning: unable to open an initial console.",
            "Call Trace:\n foo+0x1/0x2",
        ] {
            assert_eq!(title(line), None, "{line}");
        }
    }

    #[test]
    fn a_report_cut_by_the_end_of_its_op_takes_its_function_from_the_next() {
        let finding = check("kernel BUG at mm/gup.c:12!\n", "RIP: 0010:gup_put_folio+0x1/0x2\n");
        assert_eq!(finding.unwrap().seen, "kernel BUG in gup_put_folio");
        assert!(check("all is well", "kernel BUG at mm/gup.c:12!\n").is_none());
    }

    #[test]
    fn a_kernel_that_dies_without_a_word_has_a_title() {
        assert_eq!(died("").class, "kernel-died");
    }
}
