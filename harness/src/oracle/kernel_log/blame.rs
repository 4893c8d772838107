//! The function that a report is blamed on.

use super::line::function_in;
use super::rules::begins_report;

/// How far a report may reach, in lines. User Mode Linux prints registers before it panics.
const REPORT_LINES: usize = 80;
const LINES_BEFORE: usize = 30;

/// The function to blame for the report at `index`: `named`, what its first line says; or that at the instruction pointer, or
/// the first of the call trace, in this order. Machinery is passed over.
pub(super) fn blamed(lines: &[&str], index: usize, named: &str) -> Option<String> {
    let end = lines.len().min(index + REPORT_LINES);
    let after = &lines[index + 1..end];
    let before = &lines[index.saturating_sub(LINES_BEFORE)..index];
    // Another report that follows has its own function, and on User Mode Linux registers before its first line.
    let ends = |line: &&str| begins_report(line) || line.starts_with("---[ end trace");
    let own = after.iter().position(ends).unwrap_or(after.len());
    culprit_in(named)
        .or_else(|| instruction_pointer(&after[..own]))
        .or_else(|| call_trace(&after[..own]))
        .or_else(|| instruction_pointer(before))
        .or_else(|| instruction_pointer(&after[own..]))
        .or_else(|| call_trace(&after[own..]))
        .or_else(|| registers(&after[..own]).find_map(function_in).map(str::to_owned))
}

/// The function to blame for the panic at `index`: `named`, or that at the instruction pointer, which User Mode Linux prints
/// before it panics where its console shows that much; else as for any report.
pub(super) fn blamed_for_panic(lines: &[&str], index: usize, named: &str) -> Option<String> {
    let before = &lines[index.saturating_sub(LINES_BEFORE)..index];
    culprit_in(named)
        .or_else(|| instruction_pointer(before))
        .or_else(|| blamed(lines, index, named))
}

fn instruction_pointer(lines: &[&str]) -> Option<String> {
    registers(lines).find_map(culprit_in)
}

fn registers<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    lines.iter().copied().filter(|line| line.starts_with("RIP: "))
}

/// The first frame that is no machinery. Frames that the unwinder doubts (`?`)
/// count where it doubts all of them, as on User Mode Linux without frame pointers.
pub(super) fn call_trace(lines: &[&str]) -> Option<String> {
    let start = lines.iter().position(|line| line.starts_with("Call Trace:"))?;
    let ends = |line: &&&str| TRACE_ENDS.iter().any(|words| line.starts_with(words));
    let frames = || {
        lines[start + 1..]
            .iter()
            .take_while(|line| !ends(line))
            .filter(|line| is_return_address(line))
            .copied()
    };
    let doubts_all = frames().all(doubts);
    frames().filter(|frame| doubts_all || !doubts(frame)).find_map(culprit_in)
}

/// What a line begins with that is behind a call trace.
const TRACE_ENDS: [&str; 3] = ["</TASK>", "irq event stamp:", "---[ end trace"];

/// Whether a line of a call trace is a frame that may be where a function returns to: `[<address>] ? function+0x12/0x34`,
/// without the address on x86. The first byte of a function is not: it is a pointer to a function that
/// lay on the stack, or the one behind a call that never returns, as that of `panic()`.
fn is_return_address(line: &str) -> bool {
    let address = line.strip_prefix("[<").and_then(|rest| rest.split_once(">] "));
    let frame = address.map_or(line, |(_, frame)| frame);
    let frame = frame.strip_prefix("? ").unwrap_or(frame);
    let name = frame.split_once("+0x").map(|(name, _)| name);
    name.is_some_and(|name| !name.contains(' ')) && !frame.contains("+0x0/")
}

/// Whether the unwinder doubts a frame.
fn doubts(frame: &str) -> bool {
    frame.contains("? ")
}

/// The function of the first `function+0x12/0x34` in `line`, unless it is machinery.
pub(super) fn culprit_in(line: &str) -> Option<String> {
    function_in(line).filter(|name| !is_machinery(name)).map(str::to_owned)
}

fn is_machinery(name: &str) -> bool {
    HELPERS.contains(&name) || MACHINERY.iter().any(|prefix| name.starts_with(prefix))
}

/// Functions that are inlined, and only named where they call `BUG()`, which names the function it stands in.
const HELPERS: &[&str] = &[
    "get_page",
    "put_page_testzero",
    "___cache_free",
    "put_page",
    "folio_get",
    "folio_put",
    "folio_put_refs",
    "folio_ref_add",
];

/// What the names of functions begin with that report errors, take locks, wait
/// or copy for others.
const MACHINERY: &[&str] = &[
    "__alloc_frozen_pages",
    "__alloc_pages",
    "__asan",
    "__check_heap",
    "__check_object",
    "__const_udelay",
    "__copy_overflow",
    "__debug_",
    "__delay",
    "__dump_stack",
    "__fortify_",
    "__hwasan",
    "__init_work",
    "__kasan",
    "__kernel_",
    "__kmem_cache",
    "__list_add",
    "__list_del",
    "__lock_acquire",
    "__kmalloc",
    "__might_",
    "__mutex_",
    "__raw_spin",
    "__refcount_",
    "__report_bad",
    "__schedule",
    "__slab_",
    "__switch_to",
    "__ubsan",
    "__wait_for",
    "__warn",
    "_printk",
    "_raw_",
    "add_lock_to_list",
    "alloc_pages",
    "asm_exc_",
    "asm_sysvec_",
    "assign_lock_key",
    "bad_page",
    "bad_segv",
    "cache_from_obj",
    "check_bytes_and",
    "check_deadlock",
    "check_heap_object",
    "check_noncircular",
    "check_object",
    "check_preemption_disabled",
    "check_prev",
    "check_region",
    "debug_",
    "delay_",
    "do_error_trap",
    "do_raw_",
    "do_trap",
    "do_warn",
    "down_",
    "dump_stack",
    "end_report",
    "exc_",
    "fail_dump",
    "free_debug",
    "free_to_partial",
    "handle_bug",
    "hard_handler",
    "io_schedule",
    "kasan_",
    "kfence_",
    "kfree",
    "kmem_cache_",
    "lock_acquire",
    "lock_release",
    "lockdep_",
    "look_up_lock",
    "mark_lock",
    "memcpy",
    "memmove",
    "memset",
    "might_",
    "msleep",
    "mutex_",
    "object_err",
    "panic",
    "print_",
    "printk",
    "rcu_lockdep",
    "rcu_preempt_sleep",
    "refcount_",
    "relay_signal",
    "register_lock_class",
    "report_",
    "rwlock_bug",
    "rwsem_",
    "schedule",
    "segv",
    "show_",
    "sig_handler",
    "slab_",
    "spin_bug",
    "ubsan_",
    "usercopy_",
    "validate_chain",
    "vpanic",
    "wait_for_",
    "warn_free_bad",
    "warn_slowpath",
];
