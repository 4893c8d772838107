//! What titles the oracle gives, line by line; whole logs are in `harness/tests/kernel_logs`.

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
    assert_eq!(check_memory(log).map(|finding| finding.class).as_deref(), Some("out-of-memory"));
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
    check_title("BUG: non-zero pgtables_bytes on freeing mm: 4096", "BUG: non-zero pgtables_bytes");
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

#[test]
fn both_forms_of_a_warning_give_one_title() {
    for line in [
        "WARNING: CPU: 0 PID: 77 at mm/gup.c:74 try_get_folio+0xdb/0x120",
        "WARNING: mm/gup.c:74 at try_get_folio+0xdb/0x120, CPU#0: pinfold/77",
        "WARNING: at try_get_folio+0xdb/0x120, CPU#0: pinfold/77",
        "WARNING: [folio_ref_count(folio) < 0] mm/gup.c:74 at try_get_folio+0xdb/0x120, CPU#0: pinfold/77",
        "WARNING: [a[at + 0x10] at b] mm/gup.c:74 at try_get_folio+0xdb/0x120, CPU#13: pinfold/77",
        "WARNING: mm/gup.c:74 at try_get_folio+0xdb/0x120 [ib_core], CPU#0: a at f+0x1/77",
    ] {
        check_title(line, "WARNING in try_get_folio");
    }
}

#[test]
fn a_warning_of_code_that_checks_for_everyone_is_named_after_the_check_and_the_caller() {
    let rest = "RIP: 0010:refcount_warn_saturate+0xba/0x110\n\
                Call Trace:\n <TASK>\n rxe_elem_release+0x4f/0x60 [rdma_rxe]\n </TASK>\n";
    for line in [
        "WARNING: CPU: 0 PID: 1 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110",
        "WARNING: lib/refcount.c:28 at refcount_warn_saturate+0xba/0x110, CPU#0: pinfold/1",
    ] {
        check_title(&format!("{line}\n{rest}"), "WARNING: refcount bug in rxe_elem_release");
    }
}

#[test]
fn a_call_trace_under_words_of_no_rule_is_named_after_these_and_its_function() {
    let trace = "CPU: 0 UID: 0 PID: 9 Comm: my probe Not tainted 7.3.4 #1\nCall Trace:\n <TASK>\n \
                 dump_stack_lvl+0x5d/0x80\n kobject_init+0x3a/0x80\n </TASK>\n";
    check_title(
        &format!(
            "kobject (00000000deadbeef): my probe/9 tried to init an initialized object\n{trace}"
        ),
        "unlisted: kobject tried to init an initialized object in kobject_init",
    );
    check_title(trace, "unlisted: a call trace in kobject_init");
    // What a rule knows goes first.
    check_title(
        &format!("{trace}kernel BUG at mm/gup.c:12!\nRIP: 0010:gup_put_folio+0x1/0x2\n"),
        "kernel BUG in gup_put_folio",
    );
}

#[test]
fn allocations_that_fail_or_take_long_are_no_defect() {
    for heading in [
        "pinfold: page allocation failure: order:10, mode:0xcc0(GFP_KERNEL), nodemask=(null)",
        "pinfold: page allocation stall for 10 secs: order:0, mode:0xcc0(GFP_KERNEL) nodemask=(null)",
        "FAULT_INJECTION: forcing a failure.\nname failslab, interval 1, probability 0, space 0, times 0",
    ] {
        let log =
            format!("{heading}\nCPU: 0 UID: 0 PID: 9 Comm: pinfold\nCall Trace:\n foo+0x1/0x2\n");
        assert_eq!(title(&log), None, "{log}");
    }
}

#[test]
fn what_kills_is_named_with_and_without_oops_in_front() {
    for line in ["Oops: divide error: 0000 [#1] PREEMPT SMP", "divide error: 0000 [#1] SMP"] {
        check_title(
            &format!("{line}\nRIP: 0010:rxe_mr_copy+0x1/0x2\n"),
            "Oops: divide error in rxe_mr_copy",
        );
    }
    for line in ["Oops: 0000 [#1] SMP", "Oops: Oops: 0000 [#1] SMP"] {
        check_title(&format!("{line}\nRIP: 0010:rxe_mr_copy+0x1/0x2\n"), "Oops in rxe_mr_copy");
    }
}

#[test]
fn a_function_pointer_on_the_stack_is_not_blamed() {
    check_title(
        "Kernel panic - not syncing: Segfault with no mm\nCall Trace:\n\
         \u{20}[<60036620>] ? um_set_signals+0x0/0x37\n\
         \u{20}[<602d998a>] ? rxe_invalidate_mw+0x83/0xec\n\
         rxe0: what else is logged\n",
        "kernel panic: Segfault with no mm in rxe_invalidate_mw",
    );
}

#[test]
fn lockdep_and_kmemleak_are_heard_whatever_stands_in_front() {
    check_title(
        "[    1.5] [ BUG: Invalid wait context ]\npinfold/9 is trying to lock:\n\
         00000000a (&x){....}-{3:3}, at: rxe_open+0x1/0x2\n",
        "invalid wait context in rxe_open",
    );
    check_title(
        "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "memory leak",
    );
    assert_eq!(title("kmemleak: Automatic memory scanning thread started"), None);
}

#[test]
fn a_process_of_the_host_that_is_lost_is_a_failure_of_the_platform() {
    let log = "rxe0: fine\nUnexpectedly lost MM child! Affected tasks will segfault.\n";
    assert!(platform_failure(log).is_some());
    assert_eq!(title(log), None);
    assert_eq!(platform_failure("pinfold[45]: segfault at 0 ip 0 sp 0 error 4"), None);
}
