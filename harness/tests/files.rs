//! What files do: their length, their seals, their holes, their caches; and what counts them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pinfold::{model::PredictedStep, model::predict, profile::Profile};
use pinfold_contract::{Checkpoint, Observe, parse};

fn steps(series: &str, text: &str) -> Vec<PredictedStep> {
    let sequence = parse(&format!("# pinfold 1\n{text}")).unwrap().sequence;
    predict(Profile::of_series(series).unwrap(), &sequence, Observe::Each)
}

/// What the last op says.
fn last(series: &str, text: &str) -> String {
    steps(series, text).last().unwrap().prediction.expected().to_string()
}

fn end(series: &str, text: &str) -> Checkpoint {
    steps(series, text).pop().unwrap().checkpoint.unwrap()
}

fn both(text: &str, expected: &str) {
    for series in ["6.1", "6.12"] {
        assert_eq!(last(series, text), expected, "{series}: {text}");
    }
}

#[test]
fn a_write_to_a_file_is_seen_where_it_is_mapped() {
    both("map 0..1 memfd0 shared r\nread 0 1\nfile_write memfd0 0 4 0x22\nread 0 4", "0x22");
    both(
        "map 0..1 memfd0 private rw\nwrite 0 1 0x11\nfile_write memfd0 0 4 0x22\nread 0 4",
        "0x11*1 0x00*3",
    );
    both("file_write memfd0 17 1 0x22\nmap 0..1 memfd0+17 shared r\nread 0 2", "0x22*1 0x00*1");
}

#[test]
fn a_refused_write_names_its_reason() {
    both("file_write lib0 0 1 0x22", "EBADF");
    both("seal memfd0 write\nfile_write memfd0 0 1 0x22", "EPERM");
    both("seal memfd0 future_write\nfile_write memfd0 0 1 0x22", "EPERM");
    both("seal memfd0 grow\nfile_write memfd0 15 4096 0x22", "ok");
    // Pages that still lie in the file are written before the one that does not.
    let text = "seal memfd0 grow\nfile_write memfd0 15 4097 0x22";
    both(text, "EPERM");
    both(&format!("{text}\nmap 0..1 memfd0+15 shared r\nread 0 4096"), "0x22");
}

#[test]
fn truncation_takes_private_copies_and_a_hole_does_not() {
    let map = "map 0..2 memfd0 private rw\nwrite 0 8192 0x11\n";
    both(&format!("{map}truncate memfd0 1\nread 1 1"), "SIGBUS");
    both(&format!("{map}punch memfd0 0..2\nread 0 8192"), "0x11");
    both(&format!("{map}truncate memfd0 1\ntruncate memfd0 2\nread 1 1"), "0x00");
}

#[test]
fn a_pin_outlives_the_page_of_the_file() {
    let text =
        "map 0..1 memfd0 shared rw\nwrite 0 4096 0x11\nreg mr0 0..1 local_write|remote_read\n";
    for cut in ["truncate memfd0 0", "punch memfd0 0..1"] {
        both(&format!("{text}{cut}\nread_remote mr0+0 4"), "0x11");
        both(&format!("{text}{cut}\ntruncate memfd0 1\nread 0 4"), "0x00");
        // What is no longer in the file does not stand in the way of a seal.
        both(&format!("{text}{cut}\nunmap 0..1\nseal memfd0 write"), "ok");
    }
    both(&format!("{text}unmap 0..1\nseal memfd0 write"), "EBUSY");
}

#[test]
fn the_rest_of_the_last_page_is_zeroed() {
    let text = "map 0..1 tmpfs0 shared rw\nwrite 0 4096 0x11\n";
    both(&format!("{text}truncate tmpfs0 0+100\nread 0 4096"), "0x11*100 0x00*3996");
    // The length does not change, but what was written behind it goes.
    let text = format!("{text}truncate tmpfs0 0+100\nwrite 0 4096 0x22\n");
    both(&format!("{text}truncate tmpfs0 0+100\nread 0 4096"), "0x22*100 0x00*3996");
    both(&format!("{text}truncate tmpfs0 1\nread 0 4096"), "0x22");
    both(
        "map 0..2 memfd0 shared rw\nwrite 0 8192 0x11\npunch memfd0 0+100..1+50\nread 0 8192",
        "0x11*100 0x00*4046 0x11*4046",
    );
}

#[test]
fn a_file_on_a_disk_that_grows_is_zeroed_by_one_kernel() {
    let text = "map 0..1 disk0 shared rw\ntruncate disk0 0+100\nwrite 0 4096 0x22\n";
    for grow in ["truncate disk0 1", "file_write disk0 1 1 0x33"] {
        let text = format!("{text}{grow}\nread 0 4096");
        assert_eq!(last("6.1", &text), "0x22");
        assert_eq!(last("6.12", &text), "0x22*100 0x00*3996");
    }
}

#[test]
fn calls_that_a_file_refuses() {
    both("truncate lib0 1", "EINVAL");
    both("punch lib0 0..1", "EBADF");
    both("punch lib0 0+5..0+5", "EINVAL");
    both("punch disk0 40..41", "ok");
    both("seal memfd0 shrink|grow\ntruncate memfd0 1", "EPERM");
    both("seal memfd0 shrink|grow\ntruncate memfd0 17", "EPERM");
    both("seal memfd0 shrink|grow\ntruncate memfd0 16", "ok");
    both("seal memfd0 future_write\npunch memfd0 0..1", "EPERM");
    both("seal lib0 write", "EPERM");
    both("seal tmpfs0 write", "EPERM");
    both("seal disk0 write", "EINVAL");
    both("seal memfd0 seal\nseal memfd0 seal", "EPERM");
    both("map 0..1 memfd0 shared r\nseal memfd0 write", "EBUSY");
    both("map 0..1 memfd0 private rw\nwrite 0 1 0x11\nseal memfd0 write", "ok");
}

#[test]
fn a_forced_write_goes_past_protection_but_not_into_shared_memory() {
    both("map 0..1 anon private r\nforce 0 4 0x22\nread 0 4", "0x22");
    both("map 0..1 anon private r\nforce 0 4 0x22\nwrite 0 1 0x33", "SIGSEGV");
    both("map 0..1 lib0 private r\nforce 0 4 0x22\nread 0 5", "0x22*4 0xc0*1");
    both("map 0..1 anon shared r\nforce 0 4 0x22", "EIO");
    both("map 0..1 anon shared rw\nforce 0 4 0x22\nread 0 4", "0x22");
    both("map 0..1 anon private r\nforce 0+4092 8 0x22", "EIO");
    both("map 0..1 anon private r\nforce 0+4092 8 0x22\nread 0+4092 4", "0x22");
    both("force 0 0 0x22", "ok");
}

#[test]
fn clean_pages_that_nobody_has_are_dropped() {
    // Nothing of the disk is cached any more, so a fault maps its own page alone.
    let shown = |chore: &str| {
        let text = format!("{chore}map 0..16 disk0 shared r\nread 0 1");
        end("6.12", &text).procs[0].rss_file
    };
    assert_eq!(shown(""), 16);
    assert_eq!(shown("chore drop_caches\n"), 1);
    // A dirty page stays, but it is marked and passed over until it is written.
    assert_eq!(shown("file_write disk0 3 1 0x22\nchore drop_caches\n"), 1);
    assert_eq!(shown("chore drop_caches\nfile_write disk0 3 1 0x22\n"), 2);
    assert_eq!(shown("file_write disk0 3 1 0x22\nchore reclaim\n"), 1);
    both("file_write disk0 0 4096 0x22\nchore reclaim\nmap 0..1 disk0 shared r\nread 0 4", "0x22");
}

#[test]
fn reclaim_takes_a_pinned_page_of_a_disk_out_of_the_page_table_only() {
    let text = "map 0..1 disk0 shared r\nread 0 1\nreg mr0 0..1 remote_read\nchore reclaim";
    let view = end("6.12", text);
    assert_eq!((view.procs[0].pages.len(), view.pins), (0, 1));
}

#[test]
fn shares_are_counted_as_smaps_counts_them() {
    let pss = |text: &str| end("6.12", text).procs[0].pss_kib;
    assert_eq!(pss("map 0..3 anon private rw\nwrite 0 12288 0x11"), 12);
    assert_eq!(pss("map 0..3 anon private rw\nread 0 12288"), 0);
    assert_eq!(pss("map 0..1 anon private rw\nwrite 0 1 0x11\nfork p1\nfork p2"), 1);
    assert_eq!(pss("map 0..3 anon private rw\nwrite 0 12288 0x11\nfork p1\nfork p2"), 3);
}

#[test]
fn a_hole_that_was_only_read_is_dropped_and_one_that_was_written_is_not() {
    let shown = |op: &str| {
        let text = format!(
            "map 0..2 memfd0 shared rw\n{op}\nunmap 0..2\nchore drop_caches\nmap 0..2 memfd0 shared rw\nread 0 1"
        );
        end("6.1", &text).procs[0].rss_shmem
    };
    assert_eq!(shown("read 1 1"), 1);
    let again = "unmap 0..2\nchore drop_caches\nmap 0..2 memfd0 shared rw\nread 1 1";
    both(&format!("map 0..2 memfd0 shared rw\nwrite 1 1 0x11\n{again}"), "0x11");
}

#[test]
fn a_hole_inside_the_first_page_unmaps_the_file() {
    let shown = |series: &str, hole: &str| {
        let text = format!("map 0..2 disk0 shared r\nread 0 1\npunch disk0 {hole}");
        end(series, &text).procs[0].rss_file
    };
    assert_eq!((shown("6.1", "0..0+1"), shown("6.12", "0..0+1")), (2, 0));
    assert_eq!((shown("6.1", "0+1..0+2"), shown("6.12", "0+1..0+2")), (2, 1));
    assert_eq!((shown("6.1", "1..1+1"), shown("6.12", "1..1+1")), (2, 2));
}

#[test]
fn a_file_on_a_disk_keeps_its_counters_apart() {
    let view = end(
        "6.12",
        "map 0..2 disk0 private rw\nwrite 0 1 0x11\nread 1 1\nmap 2..3 memfd0 shared r\nread 2 1",
    );
    let counts = &view.procs[0];
    // The read fault maps what is cached of the file around it, but page 0 is the process's own by then.
    assert_eq!((counts.rss_anon, counts.rss_file, counts.rss_shmem), (1, 1, 1));
    assert_eq!(counts.pss_kib, 12);
}
