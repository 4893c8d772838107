//! Surprising rules of mappings, as sequences with what each op does beside it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pinfold::model::{PredictedStep, predict};
use pinfold::profile::Profile;
use pinfold_contract::{Observe, Proc, parse};

/// Runs `ops` on the model of both kernels and compares each outcome with what stands beside it.
fn check(ops: &str) {
    for profile in Profile::all() {
        steps(profile, ops);
    }
}

fn steps(profile: &Profile, ops: &str) -> Vec<PredictedStep> {
    let file = parse(&format!("# pinfold 1\n{ops}")).unwrap();
    let steps = predict(profile, &file.sequence, Observe::Each);
    for ((step, expectation), op) in steps.iter().zip(&file.expectations).zip(&file.sequence.ops) {
        let (series, platform) = (profile.series, profile.platform.name());
        let wanted = expectation.as_ref().and_then(|e| e.on(series, platform));
        let got = step.prediction.expected().to_string();
        assert!(wanted.is_none_or(|wanted| wanted == got), "{}: {op:?}: {got}", profile.series);
    }
    steps
}

/// The pages of `p0` that are present in the end.
fn present(profile: &Profile, ops: &str) -> Vec<u8> {
    let last = steps(profile, ops).pop().unwrap().checkpoint.unwrap();
    let p0 = last.procs.into_iter().find(|view| view.proc == Proc::P0).unwrap();
    p0.pages.iter().map(|page| page.page).collect()
}

#[test]
fn a_moved_page_keeps_its_bytes_and_its_frame() {
    let ops = "map 0..4 anon private rw\nwrite 1 1 0x11\nremap 0..2 8..10 # = ok\n";
    check(&format!("{ops}read 9 1 # = 0x11\nread 0 1 # = SIGSEGV\nread 2 1 # = 0x00\n"));
    let frame = |ops: &str| {
        let view = steps(Profile::newest(), ops).pop().unwrap().checkpoint.unwrap();
        view.procs[0].pages[0].frame
    };
    assert_eq!(frame("map 0..4 anon private rw\nwrite 1 1 0x11\n"), frame(ops));
}

#[test]
fn a_move_that_fails_had_unmapped_the_new_place_and_the_tail() {
    check(
        "map 0..2 anon private rw\nmap 2..4 anon private r\nmap 8..12 anon private rw\n\
         write 8 1 0x22\nremap 0..4 8..11 # = EFAULT\nread 8 1 # = <6.17: SIGSEGV, 0x22\n\
         read 2 1 # = 0x00\nread 3 1 # = <6.17: SIGSEGV, 0x00\nread 11 1 # = 0x00\n",
    );
}

#[test]
fn mremap_refuses_what_overlaps_and_what_has_no_room() {
    check(
        "map 0..4 anon private rw\nremap 0..4 3..7 # = EINVAL\nremap 5..6 9..10 # = EFAULT\n\
         remap 0..3 0..4 # = ENOMEM\nremap 0..4 0..6 # = ok\nmap 6..7 memfd0 private r\n\
         remap 0..6 0..7 # = ENOMEM\nremap 0..6 0..2 # = ok\nread 2 1 # = SIGSEGV\n",
    );
}

#[test]
fn moved_pages_never_continue_their_old_neighbours() {
    // Pages that were written keep their page offset: back beside each other they are two mappings.
    check(
        "map 0..2 anon private rw\nwrite 0 8192 0x11\nremap 1..2 9..10 # = ok\n\
         map 1..2 anon private rw\nremap 0..2 20..22 # = ok\nremap 9..10 22..23 # = ok\n\
         remap 20..23 30..34 # = EFAULT\n",
    );
    // Those that were not forget it.
    check(
        "map 0..2 anon private rw\nread 0 8192\nremap 1..2 9..10 # = ok\n\
         remap 0..1 8..9 # = ok\nremap 8..10 20..22 # = ok\n",
    );
    // What went back where it came from continues it again.
    check(
        "map 0..2 anon private rw\nwrite 0 8192 0x11\nremap 1..2 9..10 # = ok\n\
         remap 9..10 1..2 # = ok\nremap 0..2 20..22 # = ok\n",
    );
}

#[test]
fn private_dev_zero_is_anonymous_with_an_offset() {
    check(
        "map 0..1 zero private rw\nmap 1..2 zero+1 private rw\nmap 2..3 zero+5 private rw\n\
         remap 0..2 10..12 # = ok\nmap 1..2 zero+4 private rw\nremap 1..3 20..22 # = ok\n\
         advise 10..11 wipeonfork # = EINVAL\nadvise 10..11 free # = ok\n\
         advise 10..11 remove # = EACCES\n",
    );
}

#[test]
fn shared_dev_zero_is_as_large_as_its_mapping_and_shown_from_its_offset() {
    check("map 0..4 zero+1 shared rw\nwrite 0 1 0x11 # = ok\nread 3 1 # = SIGBUS\n");
    check("map 0..4 zero+4 shared rw\nread 0 1 # = SIGBUS\n");
}

#[test]
fn a_file_open_for_reading_is_never_shared_for_writing() {
    check(
        "map 0..2 lib0 shared rw # = EACCES\nmap 0..2 lib0 shared r # = ok\n\
         map 2..3 anon private r\nprotect 0..3 rw # = EACCES\nmap 0..2 lib0 private rw # = ok\n\
         map 0..1 anon private r\nmap 1..2 lib0 shared r\nprotect 0..2 rw # = EACCES\n\
         write 0 1 0x11 # = ok\n",
    );
}

#[test]
fn what_is_locked_is_brought_in_counted_and_not_given_up() {
    let ops = "map 0..4 anon private rw\nlimit 8192\nlock 0..2 # = ok\nlock 1..3 # = ENOMEM\n\
               lock 0..2 onfault # = ok\nadvise 0..4 dontneed # = EINVAL\nunlock 0..1 # = ok\n\
               advise 0..1 dontneed # = ok\nlock 2..3 onfault # = ok\n";
    check(ops);
    assert_eq!(present(Profile::newest(), ops), [1]);
}

#[test]
fn locking_stops_at_a_hole_and_stays_where_it_was_done() {
    let ops = "map 0..1 anon private rw\nmap 2..3 anon private rw\nlock 0..3 # = ENOMEM\n\
               advise 0..1 cold # = EINVAL\nadvise 2..3 cold # = ok\n";
    check(ops);
    assert_eq!(present(Profile::of_series("6.1").unwrap(), ops), []);
    check("map 0..1 anon private none\nlock 0..1 # = ENOMEM\nadvise 0..1 dontneed # = EINVAL\n");
    check("limit 0\nmap 0..1 anon private r\nlock 0..1 # = EPERM\nunlock 0..1 # = ok\n");
}

#[test]
fn what_is_mapped_after_mlockall_is_brought_in_or_refused() {
    let ops = "limit 8192\nlock_all future # = ok\nmap 0..2 anon private rw # = ok\n\
               map 0..2 anon private r # = EAGAIN\nremap 0..2 0..3 # = EAGAIN\n\
               fork p1\np1 map 0..3 anon private rw # = ok\n";
    check(ops);
    assert_eq!(present(Profile::newest(), ops), [0, 1]);
}

#[test]
fn a_locked_mapping_that_becomes_writable_is_copied_at_once() {
    let ops = "map 0..1 memfd0 private r\nlock 0..1 # = ok\nprotect 0..1 rw # = ok\n";
    let last = steps(Profile::of_series("6.1").unwrap(), ops).pop().unwrap().checkpoint.unwrap();
    assert_eq!((last.procs[0].rss_anon, last.procs[0].rss_shmem), (1, 0));
}

#[test]
fn a_child_gets_nothing_of_dontfork_and_zeroes_of_wipeonfork() {
    check(
        "map 0..3 anon private rw\nwrite 0 12288 0x11\nadvise 0..1 dontfork # = ok\n\
         advise 1..2 wipeonfork # = ok\nfork p1\np1 read 0 1 # = SIGSEGV\n\
         p1 read 1 1 # = 0x00\np1 read 2 1 # = 0x11\nread 1 1 # = 0x11\n",
    );
}

#[test]
fn advice_passes_over_holes_and_reports_them() {
    check(
        "map 0..1 anon private rw\nmap 2..3 anon private rw\nwrite 0 1 0x11\nwrite 2 1 0x11\n\
         advise 0..3 dontneed # = ENOMEM\nread 0 1 # = 0x00\nread 2 1 # = 0x00\n\
         advise 0..3 hugepage # = EINVAL\nadvise 0..1 collapse # = EINVAL\n",
    );
}

#[test]
fn populating_stops_at_a_hole_in_6_12_only() {
    let ops = "map 0..1 anon private rw\nmap 2..3 anon private rw\n\
               advise 0..3 populate_write # = ENOMEM\nadvise 0..1 populate_read # = ok\n";
    check(ops);
    assert_eq!(present(Profile::newest(), ops), [0]);
    assert_eq!(present(Profile::of_series("6.1").unwrap(), ops), [0, 2]);
    check("map 0..1 anon private r\nadvise 0..1 populate_write # = EINVAL\n");
    check("map 0..1 memfd0+16 shared rw\nadvise 0..1 populate_read # = EFAULT\n");
}

#[test]
fn a_shared_writable_disk_file_is_not_pinned_to_write_in_6_12() {
    check(
        "map 0..1 disk0 shared rw\nreg mr0 0..1 local_write # = <6.12: ok, EFAULT\n\
         map 1..2 disk0 private rw\nreg mr1 1..2 local_write # = ok\n",
    );
}

/// What each op gives by the rules of `series`.
fn outcomes(series: &str, ops: &str) -> Vec<String> {
    let profile = Profile::of_series(series).unwrap();
    steps(profile, ops).iter().map(|step| step.prediction.to_string()).collect()
}

#[test]
fn a_move_that_is_refused_leaves_the_destination_since_7_3() {
    let ops = "map 0..1 anon private rw\nmap 4..8 anon private rw\nwrite 4 8 0x11\nremap 0..2 4..8\nread 4 8\n";
    assert_eq!(outcomes("6.12", ops)[3..], ["EFAULT", "SIGSEGV"]);
    assert_eq!(outcomes("7.3", ops)[3..], ["EFAULT", "0x11"]);
}

#[test]
fn an_overlap_is_refused_before_a_hole_since_7_3() {
    assert_eq!(outcomes("6.12", "remap 0..2 1..3\n"), ["EFAULT"]);
    assert_eq!(outcomes("7.3", "remap 0..2 1..3\n"), ["EINVAL"]);
}

#[test]
fn a_move_takes_all_mappings_and_keeps_gaps_since_7_3() {
    let ops = "map 0..1 anon private rw\nmap 2..3 memfd0 shared rw\nmap 9..10 anon private rw\n\
               write 0 8 0x11\nwrite 2 8 0x22\nwrite 9 8 0x33\nremap 0..3 8..11\n\
               read 8 8\nread 9 8\nread 10 8\nread 0 8\n";
    assert_eq!(outcomes("6.12", ops)[6..], ["EFAULT", "SIGSEGV", "SIGSEGV", "SIGSEGV", "0x11"]);
    assert_eq!(outcomes("7.3", ops)[6..], ["ok", "0x11", "0x33", "0x22", "SIGSEGV"]);
}

#[test]
fn a_gap_at_the_beginning_and_zero_beside_others_are_not_moved() {
    assert_eq!(outcomes("7.3", "map 1..2 anon private rw\nremap 0..2 8..10\n")[1], "EFAULT");
    let ops =
        "map 0..1 anon private rw\nmap 1..2 zero private rw\nremap 0..2 8..10\nremap 1..2 20..21\n";
    assert_eq!(outcomes("7.3", ops)[2..], ["EFAULT", "ok"]);
}
