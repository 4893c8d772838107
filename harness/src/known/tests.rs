//! Ranges, platforms, what is presumed, and what the list refuses.

use super::*;

/// An entry of the signature `a-b` on `kernels`, with the lines of `more`.
fn entry(kernels: &str, verified: &str, more: &str) -> String {
    format!(
        "[[known]]\nsignature = \"a-b\"\nkernels = \"{kernels}\"\nverified = [{verified}]\n{more}title = \"t\"\n\
         source = \"mm/gup.c:f\"\nexplanation = \"e\"\nsequence = \"corpus/known/x.seq\"\n"
    )
}

/// One that was seen on 6.1.192.
fn seen_on_6_1(kernels: &str) -> String {
    entry(kernels, "\"6.1.192\"", "")
}

fn on_uml(release: &str) -> Running<'_> {
    Running { release, platform: Platform::Uml }
}

fn on_x86(release: &str) -> Running<'_> {
    Running { release, platform: Platform::X86 }
}

/// How far the one entry of `text` holds for `kernel`.
fn standing(text: &str, kernel: Running<'_>) -> Option<Standing> {
    let known = Known::parse(text).unwrap();
    known.matching(&"a-b".parse().unwrap(), kernel).map(|explained| explained.standing)
}

#[track_caller]
fn refused(text: &str) -> KnownError {
    Known::parse(text).unwrap_err()
}

#[test]
fn an_empty_list_knows_nothing() {
    assert_eq!(Known::parse("# nothing\n").unwrap().entries(), []);
}

#[test]
fn the_list_of_the_repository_can_be_read() {
    Known::parse(include_str!("../../../corpus/known.toml")).unwrap();
}

#[test]
fn another_signature_or_another_kernel_is_not_known() {
    let text = seen_on_6_1("6.1");
    let known = Known::parse(&text).unwrap();
    assert_eq!(known.matching(&"a-b-c".parse().unwrap(), on_uml("6.1.192")), None);
    for release in ["6.12.117", "model-6.1", "unknown", ""] {
        assert_eq!(standing(&text, on_uml(release)), None, "{release}");
    }
}

#[test]
fn a_series_of_which_no_release_was_verified_is_presumed() {
    let text = entry("6.1..", "\"6.1.192\", \"6.12.117\"", "");
    for release in ["6.1.0-49-amd64", "6.1.192", "6.12.1", "6.12.117+deb13"] {
        assert_eq!(standing(&text, on_uml(release)), Some(Standing::Verified), "{release}");
    }
    for (release, series) in [("6.6.9", Series::new(6, 6)), ("7.3.4", Series::new(7, 3))] {
        let presumed = Standing::Presumed { series, platform: Platform::Uml };
        assert_eq!(standing(&text, on_uml(release)), Some(presumed), "{release}");
    }
    assert_eq!(standing(&text, on_uml("6.0.1")), None);
}

#[test]
fn what_was_verified_on_one_platform_is_presumed_on_the_other() {
    let text = entry("6.1..", "\"6.1.192\", \"uml:7.3.4\"", "");
    assert_eq!(standing(&text, on_uml("7.3.4")), Some(Standing::Verified));
    assert_eq!(standing(&text, on_x86("6.1.192")), Some(Standing::Verified));
    let presumed = standing(&text, on_x86("7.3.4")).unwrap().presumed();
    assert_eq!(presumed.as_deref(), Some("not yet verified on 7.3, x86"));
}

#[test]
fn what_is_presumed_says_so_in_words_and_counts() {
    assert_eq!(Standing::Verified.presumed(), None);
    assert_eq!(known_word(None), "known");
    let why = "not yet verified on 7.3, x86";
    assert_eq!(known_word(Some(why)), "known (presumed: not yet verified on 7.3, x86)");
    assert_eq!(
        (known_counts(3, 0), known_counts(3, 1)),
        ("3 known".to_owned(), "3 known (1 presumed)".to_owned())
    );
}

#[test]
fn what_one_platform_has_is_not_known_of_another() {
    let of = |platform: &str| entry("6.1", "\"6.1.192\"", &format!("platform = \"{platform}\"\n"));
    assert_eq!(standing(&of("x86"), on_x86("6.1.192")), Some(Standing::Verified));
    assert_eq!(standing(&of("x86"), on_uml("6.1.192")), None);
    Known::parse(&(of("x86") + &of("uml"))).unwrap();
    assert!(refused(&(of("x86") + &seen_on_6_1("6.1"))).message.contains("known already"));
    assert!(refused(&of("arm")).message.contains("uml or x86"));
}

#[test]
fn the_old_name_of_platform_is_refused_with_the_new_one() {
    let error = refused(&entry("6.1", "\"6.1.192\"", "machine = \"uml\"\n"));
    assert_eq!((error.line, error.column), (5, 11), "{error}");
    assert!(error.message.contains("`platform`"), "{error}");
}

#[test]
fn the_same_thing_twice_is_refused() {
    for other in ["6.1.150..6.2", "6.1..", "..6.1", "5.10..6.12"] {
        let error = refused(&(seen_on_6_1("6.1") + &seen_on_6_1(other)));
        assert_eq!(error.line, 9, "{error}");
        assert!(error.message.contains("known already"), "{error}");
    }
    Known::parse(&(seen_on_6_1("..6.1") + &entry("6.2..", "\"6.12.117\"", ""))).unwrap();
}

#[test]
fn a_verified_release_is_one_and_lies_in_the_range() {
    let verified = |list: &str| refused(&entry("6.1..6.11", list, ""));
    assert!(verified("").message.contains("seen on no kernel"));
    assert!(verified("\"6.12.117\"").message.contains("not among the `kernels`"));
    assert!(verified("\"6.1\"").message.contains("three numbers"));
    assert!(verified("\"arm:6.1.192\"").message.contains("uml or x86"));
    let error = verified("\"6.1.192\", \"6.1.192-3\"");
    assert_eq!((error.line, error.column), (4, 24), "{error}");
    let twice = entry("6.1", "\"uml:6.1.192\"", "platform = \"uml\"\n");
    assert!(refused(&twice).message.contains("release alone"));
}

#[test]
fn a_divergence_is_shown_by_a_sequence_or_by_a_program() {
    let with = |line: &str| seen_on_6_1("6.1").replace("sequence = \"corpus/known/x.seq\"\n", line);
    let shown_by = |line: &str| Known::parse(&with(line)).unwrap().entries()[0].shown_by.clone();
    assert_eq!(shown_by("sequence = \"x.seq\""), ShownBy::Sequence("x.seq".to_owned()));
    let program = shown_by("program = \"x.c\"");
    assert_eq!((program.path(), &program), ("x.c", &ShownBy::Program("x.c".to_owned())));
    assert!(refused(&with("")).message.contains("`sequence` or `program`"));
    assert!(refused(&with("sequence = \"x.seq\"\nprogram = \"x.c\"")).message.contains("not both"));
    assert!(refused(&with("program = \" \"")).message.contains("`program` is empty"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let error = refused(&seen_on_6_1("six"));
    assert_eq!((error.line, error.column), (3, 11), "{error}");
    let error = refused(&seen_on_6_1("6.1").replace("a-b", "a/b"));
    assert_eq!((error.line, error.column), (2, 13), "{error}");
    assert_eq!(refused(&(seen_on_6_1("6.1") + "note = \"x\"\n")).line, 9);
    assert_eq!(refused(&seen_on_6_1("6.1").replace("mm/gup.c:f", "mm")).line, 6);
    assert_eq!(refused(&seen_on_6_1("6.1").replace("\"e\"", "\"\"")).line, 7);
    assert!(refused("[[known]]\nkernels = \"6.1\"\n").message.contains("missing field"));
    assert!(Known::parse("known = 3").is_err());
}
