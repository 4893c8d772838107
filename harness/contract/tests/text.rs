//! The text form keeps every sequence and names the place of every mistake.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use arbitrary::{Arbitrary, Unstructured};
use pinfold_contract::{Sequence, decode, parse, print};

fn sequences() -> impl Iterator<Item = Sequence> {
    (0..500u64).map(|seed| {
        // A linear congruential generator: any spread of bytes will do here.
        let mut state = seed;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .take(700)
        .collect();
        Sequence::arbitrary(&mut Unstructured::new(&bytes)).unwrap()
    })
}

#[test]
fn parse_undoes_print() {
    let mut op_count = 0;
    for sequence in sequences() {
        let text = print(&sequence);
        assert_eq!(parse(&text).unwrap().sequence, sequence, "{text}");
        assert_eq!(decode(text.as_bytes()).sequence, sequence);
        assert_eq!(decode(text.as_bytes()).skipped_line_count, 0);
        op_count += sequence.ops.len();
    }
    assert!(op_count > 10_000, "only {op_count} ops were printed");
}

#[test]
fn a_write_without_length_is_one_of_eight_bytes() {
    let short = parse("# pinfold 1\nwrite 0 0x22\n").unwrap();
    assert_eq!(print(&short.sequence), "# pinfold 1\nwrite 0 8 0x22\n");
}

#[test]
fn a_mistake_is_named_with_line_and_column() {
    let check = |line: &str, place: &str| {
        let error = parse(&format!("# pinfold 1\n{line}\n")).unwrap_err().to_string();
        assert!(error.starts_with(place), "{line}: {error}");
    };
    check("mapp 0..4 anon private rw", "2:1: `mapp` is not an op");
    check("map 0..65 anon private rw", "2:5: `0..65` is not a range of pages");
    check("map 4..4 anon private rw", "2:5:");
    check("map 0..4 anon private", "2:22: the line ends where a protection");
    check("  p1  fork p4", "2:12: `p4` is not a process");
    check("reg mr256 0..1 none", "2:5: `mr256` is not an MR");
    check("reg mr0 0..1 remote_reed", "2:14: `remote_reed` is not access flags");
    check("reg mr0 1..0 none", "2:9:");
    check("reg mr0 0..1 bit32", "2:14:");
    check("read 0+4096 8", "2:6:");
    check("write 0 8 256", "2:11: `256` is not a byte");
    check("write 0 8 0x22 1", "2:16: `1` is one word too many");
    check("p1 reg mr0 0..1 none", "2:4: `reg` is done by p0 alone");
    check("read_remote mr0 8 key=mr", "2:19:");
    check("limit -1", "2:7:");
    check("map é..4 anon private rw", "2:5:");
}

#[test]
fn a_text_without_the_version_line_is_refused() {
    assert_eq!(parse("map 0..4 anon private rw\n").unwrap_err().line, 1);
    assert_eq!(parse("").unwrap_err().line, 1);
}

#[test]
fn a_bad_line_is_left_out_and_counted_when_decoding() {
    let decoded = decode(b"# pinfold 1\nfork p1\nfrok p1\n\xff\nexit\n\n# note\np1 exit\n");
    assert_eq!(decoded.sequence.ops.len(), 3);
    assert_eq!(decoded.skipped_line_count, 2);
}

#[test]
fn expectations_are_read_from_comments() {
    let file = parse(
        "# pinfold 1\nread 0 8 # = 0x22\nread 0 8 # = 6.1: EFAULT, 6.12: ok\nread 0 8 # note\n",
    )
    .unwrap();
    let on = |index: usize, kernel| file.expectations[index].as_ref().and_then(|e| e.on(kernel));
    assert_eq!(on(0, "6.1"), Some("0x22"));
    assert_eq!(on(1, "6.1"), Some("EFAULT"));
    assert_eq!(on(1, "6.12"), Some("ok"));
    assert_eq!(on(1, "7.0"), None);
    assert_eq!(on(2, "6.1"), None);
}

#[test]
fn an_expectation_may_name_what_a_kernel_runs_on() {
    let file = parse("# pinfold 1\nread 0 8 # = x86: ok, 6.1: EIO, EFAULT\n").unwrap();
    let cases = &file.expectations[0].as_ref().unwrap().outcome;
    assert_eq!(cases.on_any(&["x86", "6.1"]), Some("ok"));
    assert_eq!(cases.on_any(&["uml", "6.1"]), Some("EIO"));
    assert_eq!(cases.on_any(&["uml", "6.12"]), Some("EFAULT"));
}
