//! What citations look like, and what is made of them.

use super::*;

/// Each citation of `text` in a line: names and files, then versions.
fn cited(file: &str, text: &str) -> Vec<String> {
    let mut citations = Citations::default();
    citations.add(file, text);
    let unread = citations.unread.iter().map(|unread| format!("UNREAD {}", unread.text));
    let elsewhere = citations.elsewhere.iter().map(|other| other.what.to_owned());
    let found = citations.found.iter().map(|citation| {
        let name = citation.name.as_ref().map_or("*".to_owned(), Name::to_string);
        let (files, claim) = (citation.files.join("|"), citation.claim.to_string());
        format!("{name} {files} {claim}").trim_end().to_owned()
    });
    found.chain(elsewhere).chain(unread).collect()
}

fn source(text: &str) -> Vec<String> {
    cited("a.rs", &format!("    /// Source: {}", text.replace('\n', "\n    /// ")))
}

#[test]
fn versions_behind_the_last_file_are_those_of_all_before_it() {
    assert_eq!(
        source("`a()` and `b()`, mm/x.c; `c()`,\nmm/y.c, 6.1 and 6.12; `d()`, mm/z.c, 6.12."),
        ["a() mm/x.c 6.1, 6.12", "b() mm/x.c 6.1, 6.12", "c() mm/y.c 6.1, 6.12", "d() mm/z.c 6.12"]
    );
}

#[test]
fn a_name_that_moved_is_cited_in_both_files() {
    let both = ["a() mm/x.c 6.1", "a() mm/y.c 6.12"];
    assert_eq!(source("`a()`, mm/x.c 6.1, mm/y.c 6.12."), both);
    assert_eq!(source("`a()`, mm/x.c, 6.1, and mm/y.c, 6.12."), both);
    assert_eq!(
        source("`a()` (6.1) and `b()` (6.12: why), mm/x.c."),
        ["a() mm/x.c 6.1", "b() mm/x.c 6.12"]
    );
    assert_eq!(
        source("`a()`, mm/x.c, 6.1; `b()`, ditto, 6.12."),
        ["a() mm/x.c 6.1", "b() mm/x.c 6.12"]
    );
}

#[test]
fn files_without_versions_between_them_are_alternatives() {
    assert_eq!(
        source("`a()`, include/linux/{fs,mm}.h, 6.12."),
        ["a() include/linux/fs.h|include/linux/mm.h 6.12"]
    );
    let rxe = "drivers/infiniband/sw/rxe/rxe";
    assert_eq!(
        source(&format!("`a()`, {rxe}_x.c and rxe_y.c, 6.1 and 6.12.")),
        [format!("a() {rxe}_x.c|{rxe}_y.c 6.1, 6.12")]
    );
}

#[test]
fn ranges_of_versions_are_read() {
    assert_eq!(source("`a()`, mm/x.c, since 6.2."), ["a() mm/x.c since 6.2"]);
    assert_eq!(source("`a()`, mm/x.c, 6.2 and later."), ["a() mm/x.c since 6.2"]);
    assert_eq!(source("`a()`, mm/x.c, 6.1 to 6.12."), ["a() mm/x.c 6.1 to 6.12"]);
    assert_eq!(source("`a()`, mm/x.c, up to 6.12."), ["a() mm/x.c up to 6.12"]);
    assert_eq!(source("`a()`, mm/x.c (6.1 and 7.3)."), ["a() mm/x.c 6.1, 7.3"]);
    assert_eq!(source("`a()`, mm/x.c, EFAULT in 6.1, EINVAL in 6.12."), ["a() mm/x.c 6.1, 6.12"]);
    assert_eq!(source("`a()`, mm/x.c, asks. Both 6.1 and 6.12."), ["a() mm/x.c 6.1, 6.12"]);
}

#[test]
fn a_claim_covers_the_series_it_names() {
    let mut citations = Citations::default();
    citations.add(
        "a.rs",
        "// Source: `a()`, mm/x.c, 6.1; `b()`, mm/x.c, since 6.2.\n// Source: `c()`, mm/x.c.",
    );
    let covers = |series: &str| -> Vec<bool> {
        let series = series.parse().unwrap();
        citations.found.iter().map(|citation| citation.claim.covers(series)).collect()
    };
    assert_eq!(covers("6.1"), [true, false, true]);
    assert_eq!(covers("7.3"), [false, true, true]);
}

#[test]
fn other_names_than_functions_are_read() {
    assert_eq!(
        source("`SYSCALL_DEFINE5(mremap)`, `struct a_b`, `MAX`, CONFIG_NUMA, mm/x.c, 6.12."),
        [
            "SYSCALL_DEFINE5(mremap) mm/x.c 6.12",
            "struct a_b mm/x.c 6.12",
            "MAX mm/x.c 6.12",
            "CONFIG_NUMA mm/x.c 6.12"
        ]
    );
    assert_eq!(source("include/uapi/linux/kcov.h, 6.12."), ["* include/uapi/linux/kcov.h 6.12"]);
}

#[test]
fn a_detail_is_no_citation() {
    assert_eq!(source("`a()` with `even`, mm/x.c, 6.12: `c()`."), ["a() mm/x.c 6.12"]);
    assert_eq!(source("`a()` with IBA 10.6, mm/x.c, 6.12."), ["a() mm/x.c 6.12"]);
    assert_eq!(source("`a()`, mm/x.c, 6.12; 6.1 has no such test."), ["a() mm/x.c 6.12"]);
    assert_eq!(source("`a()`, mm/x.c, 6.12. In 6.1 the `b()` is another."), ["a() mm/x.c 6.12"]);
}

#[test]
fn in_prose_only_a_name_with_a_file_behind_it_is_cited() {
    let prose = |text: &str| cited("a.rs", &format!("    // {text}"));
    assert_eq!(prose("As `a()` (`b()`, mm/x.c, 6.12) does."), ["b() mm/x.c 6.12"]);
    assert_eq!(prose("What `a()` of mm/x.c does"), ["a() mm/x.c"]);
    assert!(prose("What `a()` does with `b()`.").is_empty());
    assert_eq!(prose("What mm/x.c does"), ["UNREAD mm/x.c"]);
    assert_eq!(cited("a.rs", "let a = 1; // `a()`, mm/x.c"), ["a() mm/x.c"]);
    assert!(cited("a.rs", "let a = \"x // a(), mm/x.c\";").is_empty());
}

#[test]
fn what_is_not_the_kernels_is_counted() {
    assert_eq!(source("`a()`, libibverbs/verbs.c (rdma-core)."), ["another project"]);
    assert_eq!(source("`a()`, hw/misc/x.c of QEMU."), ["another project"]);
    assert_eq!(source("elf(5)."), ["a manual page"]);
    assert_eq!(
        source("IBA, volume 1, C9-88; `a()`, mm/x.c, 6.1."),
        ["a() mm/x.c 6.1", "the InfiniBand specification"]
    );
}

#[test]
fn what_cannot_be_read_is_kept() {
    assert_eq!(source("`a()`; `b()`, mm/x.c, 6.1."), ["b() mm/x.c 6.1", "UNREAD a()"]);
    assert_eq!(source("the kernel."), ["UNREAD Source: the kernel."]);
    assert_eq!(cited("a.toml", "source = \"mm\"\n"), ["UNREAD mm"]);
}

#[test]
fn sequences_scripts_and_lists_cite() {
    assert_eq!(
        cited("a.seq", "# pinfold 1\n# Source: a(), mm/x.c (why), 6.1.\nread 1 8 # = ok"),
        ["a() mm/x.c 6.1"]
    );
    assert_eq!(
        cited("a.c", "/*\n * Source: a(), mm/x.c, 6.1; b(),\n * mm/y.c, 6.12\n */"),
        ["a() mm/x.c 6.1", "b() mm/y.c 6.12"]
    );
    for (affected, claim) in [
        ("6.1", "6.1"),
        ("6.1.150..6.12.4", "6.1 to 6.12"),
        ("6.12..", "since 6.12"),
        ("..6.12.4", "up to 6.12"),
    ] {
        let defect = format!(
            "source = \"mm/x.c:a\"\naffected = \"{affected}\"\n\n[[shows]]\naffected = \"6.6\"\n"
        );
        assert_eq!(cited("defect.toml", &defect), [format!("a() mm/x.c {claim}")]);
    }
}

#[test]
fn a_citation_has_the_line_of_its_name() {
    let mut citations = Citations::default();
    citations.add("a.rs", "\n/// Source: `a()`, mm/x.c;\n/// `b()`,\n/// mm/y.c, 6.1.\n");
    let places: Vec<String> =
        citations.found.iter().map(|citation| citation.place.to_string()).collect();
    assert_eq!(places, ["a.rs:2", "a.rs:3"]);
}
