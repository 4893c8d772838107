//! The text form keeps every sequence and names the place of every mistake.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use arbitrary::{Arbitrary, Unstructured};
use pinfold_contract::{Expectation, Sequence, Series, decode, parse, print, printable};

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
fn a_message_says_what_is_wrong_with_a_word_and_not_only_what_belongs_there() {
    let check = |line: &str, reason: &str| {
        let error = parse(&format!("# pinfold 1\n{line}\n")).unwrap_err().to_string();
        assert!(error.ends_with(reason), "{line}: {error}");
    };
    check("gather mr0+0:300000 mr1+0", ": 300000 bytes are more than the 262144 of the arena");
    check("gather mr0:8,mr0:8,mr0:8,mr0:8 mr1+0", ": these are 4");
    check("gather mr0+0 mr1+0", ": `mr0+0` has no length, as in mr0+0:8");
    check("gather mr300:8 mr1+0", ": `mr300` is not a place in an MR");
    check("gather mr0:x mr1+0", ": `x` is not a length in bytes");
    check("gather mr0+2147483648:8 mr1+0", "place in an MR: an offset is at most 2147483647");
    check("read_remote mr0-9999999999 8", ": an offset is at most 2147483647");
    check("map 4..4 anon private rw", ": it has no pages");
    check("map 4..2 anon private rw", ": it ends before it begins");
    check("map 0..65 anon private rw", ": there are 64 of these pages");
    check("map h0..h5 huge private rw", ": there are 4 of these pages");
    check("map 63..h1 anon private rw", ": no range is of small pages and huge ones");
    check("read 0+4096 8", ": a page has 4096 bytes, 0 to 4095");
    check("reg mr0 0+4096..1 none", ": a page has 4096 bytes, 0 to 4095");
    check("reg mr0 1..0 none", ": it ends before it begins");
    check("truncate memfd0 h1", ": a file has no huge pages");
    check("punch memfd0 h0..h1", ": a file has no huge pages");
    check("read_remote mr0 8 qp=2", "`qp=2` is not queue pairs (qp=0, qp=1)");
    check("reg mr0 0..1 none pd=2", "`pd=2` is not a protection domain (pd=0, pd=1)");
    check("reg mr0 0..1 none via=legacy iova=0", "via=legacy has no iova=");
    check("limit 18446744073709551616", "a number of bytes of at most 64 bits, or `unlimited`");
    check(
        "write 0 262145 0x22",
        "`262145` is not a length in bytes, at most the 262144 of the arena, or a byte (0x22)",
    );
    // Where there is nothing more to say, the rest of what belongs there is not mistaken for it.
    check("reg mr0 0..99999999999 none", "0+8..+16)");
    check("read_remote mr0+x 8", "(mr0+0, mr0-8)");
}

#[test]
fn a_first_line_that_is_nearly_right_is_told_from_another() {
    let message = |text: &str| parse(text).unwrap_err().to_string();
    assert!(message("\u{feff}# pinfold 1\n").ends_with("byte order mark"));
    assert!(message("# pinfold 2\n").contains("another version"));
    assert!(message("map 0..1 anon private rw\n").ends_with("the line `# pinfold 1`"));
}

#[test]
fn no_control_character_of_a_file_is_in_a_message() {
    for word in ["\u{1b}[31mred", "a\u{7}", "\u{202e}b", "\u{9b}c"] {
        for line in [
            word.to_owned(),
            format!("limit {word}"),
            format!("fork p1 {word}"),
            format!("fork p1 # = <{word}: ok"),
        ] {
            let error = parse(&format!("# pinfold 1\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains("\\u{") && !error.chars().any(char::is_control), "{error:?}");
        }
    }
    assert_eq!(printable("é\tx\n"), "é\tx\n");
    let long = parse(&format!("# pinfold 1\n{}\n", "x".repeat(9999))).unwrap_err().to_string();
    assert!(long.len() < 1000, "{long}");
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

/// The outcome that `comment` expects of `series` on `platform`.
fn expected(comment: &str, series: &str, platform: &str) -> Option<String> {
    let file = parse(&format!("# pinfold 1\nread 0 8 # {comment}\n")).unwrap();
    let expectation = file.expectations[0].as_ref()?;
    expectation.on(series.parse().unwrap(), platform).map(str::to_owned)
}

#[test]
fn an_expectation_answers_for_every_series_and_platform() {
    for (comment, uml, x86) in [
        ("= 0x22", ["0x22"; 4], ["0x22"; 4]),
        ("= <6.2: EFAULT, ok", ["EFAULT", "ok", "ok", "ok"], ["EFAULT", "ok", "ok", "ok"]),
        ("= >=6.13: a, b", ["b", "b", "b", "a"], ["b", "b", "b", "a"]),
        ("= x86: ok, EINVAL", ["EINVAL"; 4], ["ok"; 4]),
        ("=  uml <6.12 :a,<6.2:b , c", ["a", "a", "c", "c"], ["b", "c", "c", "c"]),
        ("= <6.2: a, <6.13: b, c; bill d", ["a", "b", "b", "c"], ["a", "b", "b", "c"]),
    ] {
        for (index, series) in ["6.1", "6.2", "6.12", "7.3"].into_iter().enumerate() {
            let on = |platform| expected(comment, series, platform);
            assert_eq!(on("uml").as_deref(), Some(uml[index]), "{comment}, {series}");
            assert_eq!(on("x86").as_deref(), Some(x86[index]), "{comment}, {series}");
        }
    }
}

#[test]
fn a_comment_without_an_equals_sign_expects_nothing() {
    assert_eq!(expected("note: 6.1: ok", "6.1", "uml"), None);
}

#[test]
fn an_expectation_is_read_as_it_is_written() {
    for text in ["ok", "<6.2: EFAULT, ok", "x86 >=7.3: a b*2, uml: c or d, <6.12: e, f"] {
        let file = parse(&format!("# pinfold 1\nread 0 8 # = {text}; bill {text}\n")).unwrap();
        let Expectation { outcome, bill } = file.expectations[0].clone().unwrap();
        assert_eq!(outcome.unwrap().to_string(), text);
        assert_eq!(bill.unwrap().to_string(), text);
    }
}

#[test]
fn a_bill_may_stand_alone() {
    let file = parse("# pinfold 1\nread 0 8 # =; bill x86: frames=1, frames=0\n").unwrap();
    let Expectation { outcome, bill } = file.expectations[0].clone().unwrap();
    assert_eq!(outcome, None);
    assert_eq!(bill.unwrap().on(Series::new(7, 3), "x86"), "frames=1");
}

#[test]
fn an_expectation_that_leaves_a_kernel_out_is_refused() {
    let check = |comment: &str, place: &str, way_out: &str| {
        let error = parse(&format!("# pinfold 1\nread 0 8 # {comment}\n")).unwrap_err().to_string();
        assert!(error.starts_with(place) && error.contains(way_out), "{comment}: {error}");
    };
    check("= <6.2: EFAULT", "2:14: `<6.2: EFAULT` leaves all other", "`# = <6.2: EFAULT, ok`");
    check("= <6.2: a, x86 >=7.3: b", "2:23: `x86 >=7.3: b` leaves", "x86 >=7.3: b, ok`");
    check("= ok; bill uml: a", "2:23: `uml: a` leaves", "# = uml: a, ok");
    check("= 6.1: EFAULT, 6.12: ok", "2:14: `6.1` names one series", "`# = <SERIES: EFAULT, ok`");
    check("= 6.1: EFAULT", "2:14: `6.1` names one series", "`# = >=SERIES: ok, EFAULT`");
    check("= x86 6.1: a, b", "2:18: `6.1` names one series", "`# = <SERIES: EFAULT, ok`");
}

#[test]
fn a_mistake_in_an_expectation_is_named_with_line_and_column() {
    let check = |comment: &str, place: &str| {
        let error = parse(&format!("# pinfold 1\nread 0 8 # {comment}\n")).unwrap_err().to_string();
        assert!(error.starts_with(place), "{comment}: {error}");
    };
    check("= arm: a, b", "2:14: `arm` is no condition: that is a platform (uml, x86)");
    check("= <6.2 <6.12: a, b", "2:19: `<6.12` is no condition");
    check("= <6.2 x86: a, b", "2:19: `x86` is no condition");
    check("= x86 uml: a, b", "2:18: `uml` is no condition");
    check("= <=6.2: a, b", "2:14: `<=6.2` is no condition");
    check("= : a, b", "2:14: `` is no condition");
    check("= ok, <6.2: EFAULT, b", "2:14: `ok` has no condition");
    check("= é: a, b", "2:14: `é`");
    check("= x86: é, y86: a, b", "2:22: `y86`");
    check("=", "2:13: nothing is expected here");
    check("= <6.2: , ok", "2:");
    check("= <6.2: ok,", "2:");
    check("= ok; frames=1", "2:18: a `;` is followed by `bill`");
}
