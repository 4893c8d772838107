//! Ranges, platforms, what is presumed, fixes, and what is refused.

use super::*;

/// A `defect.toml` whose one case, of the signature `a-b`, is on `affected`; with the lines of `more`.
fn text(affected: &str, verified: &str, more: &str) -> String {
    format!(
        "title = \"t\"\nsource = \"mm/gup.c:f\"\naffected = \"{affected}\"\n\n[[shows]]\nsignature = \"a-b\"\n\
         verified = [{verified}]\nsequence = \"x.seq\"\n{more}"
    )
}

/// One that was seen on 6.1.192.
fn seen_on_6_1(affected: &str) -> String {
    text(affected, "\"6.1.192\"", "")
}

/// What the defects of `texts` are read as, which are called `a-0`, `a-1` and so on.
fn read(texts: &[&str]) -> Result<Defects, DefectsError> {
    let slugs: Vec<String> = (0..texts.len()).map(|index| format!("a-{index}")).collect();
    let folders = slugs.iter().zip(texts);
    Defects::parse(
        folders.map(|(slug, text)| DefectFolder { slug, files: vec![("defect.toml", text)] }),
    )
}

fn on_uml(release: &str) -> Running<'_> {
    Running { release, platform: Platform::Uml, fixed: &[] }
}

fn on_x86(release: &str) -> Running<'_> {
    Running { release, platform: Platform::X86, fixed: &[] }
}

fn signature() -> Signature {
    "a-b".parse().unwrap()
}

/// How far the one case of `text` holds for `kernel`.
fn standing(text: &str, kernel: Running<'_>) -> Option<Standing> {
    read(&[text]).unwrap().matching(&signature(), kernel).map(|explained| explained.standing)
}

#[track_caller]
fn refused(text: &str) -> DefectsError {
    read(&[text]).unwrap_err()
}

/// A folder with one case on 6.1 and later and these fixes: what each file is called and what its header says.
fn with_fixes(fixes: &[(&str, &str)]) -> Result<Defects, DefectsError> {
    let text = seen_on_6_1("6.1..");
    let fixes: Vec<(&str, String)> = fixes
        .iter()
        .map(|(name, series)| (*name, format!("{series}\n\nSubject\n\n--- a/mm/gup.c\n")))
        .collect();
    let mut files = vec![("defect.toml", text.as_str()), ("README.md", "# T")];
    files.extend(fixes.iter().map(|(name, text)| (*name, text.as_str())));
    Defects::parse([DefectFolder { slug: "a", files }])
}

#[test]
fn another_signature_or_another_kernel_is_not_known() {
    let text = seen_on_6_1("6.1");
    let defects = read(&[&text]).unwrap();
    assert_eq!(defects.matching(&"a-b-c".parse().unwrap(), on_uml("6.1.192")), None);
    for release in ["6.12.117", "model-6.1", "unknown", ""] {
        assert_eq!(standing(&text, on_uml(release)), None, "{release}");
    }
}

#[test]
fn a_series_of_which_no_release_was_verified_is_presumed() {
    let text = text("6.1..", "\"6.1.192\", \"6.12.117\"", "");
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
    let text = text("6.1..", "\"6.1.192\", \"uml:7.3.4\"", "");
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
    let of = |platform: &str| text("6.1", "\"6.1.192\"", &format!("platform = \"{platform}\"\n"));
    assert_eq!(standing(&of("x86"), on_x86("6.1.192")), Some(Standing::Verified));
    assert_eq!(standing(&of("x86"), on_uml("6.1.192")), None);
    read(&[&of("x86"), &of("uml")]).unwrap();
    let error = read(&[&of("x86"), &seen_on_6_1("6.1")]).unwrap_err();
    assert!(error.message.contains("a case of a-0 already"), "{error}");
    assert!(refused(&of("arm")).message.contains("uml or x86"));
}

#[test]
fn a_case_says_itself_where_it_differs_from_the_defect() {
    let all = seen_on_6_1("6.1..").replace("\n[[shows]]", "platform = \"x86\"\n\n[[shows]]");
    let own = all.clone() + "affected = \"6.1.150..6.1.192\"\nplatform = \"uml\"\n";
    assert_eq!(standing(&all, on_x86("7.3.4")).map(|it| it == Standing::Verified), Some(false));
    assert_eq!(standing(&own, on_x86("6.1.192")), None);
    assert_eq!(standing(&own, on_uml("6.1.192")), Some(Standing::Verified));
    assert_eq!(standing(&own, on_uml("6.1.149")), None);
}

#[test]
fn a_signature_that_other_bugs_have_too_explains_nothing() {
    let text = seen_on_6_1("6.1") + "explains = false\n";
    assert_eq!(standing(&text, on_uml("6.1.192")), None);
    let defects = read(&[&text, &seen_on_6_1("6.1")]).unwrap();
    assert_eq!(defects.on(on_uml("6.1.192")).count(), 2);
}

#[test]
fn the_same_thing_twice_is_refused() {
    for other in ["6.1.150..6.2", "6.1..", "..6.1", "5.10..6.12"] {
        let error = read(&[&seen_on_6_1("6.1"), &seen_on_6_1(other)]).unwrap_err();
        assert_eq!((&*error.file, error.line), ("a-1/defect.toml", 5), "{error}");
        assert!(error.message.contains("a case of a-0 already"), "{error}");
    }
    let more = "[[shows]]\nsignature = \"a-b\"\nverified = [\"6.1.192\"]\nprogram = \"x.c\"\n";
    let error = refused(&(seen_on_6_1("6.1") + more));
    assert_eq!(error.line, 9, "{error}");
    read(&[&seen_on_6_1("..6.1"), &text("6.2..", "\"6.12.117\"", "")]).unwrap();
}

#[test]
fn a_release_is_one_and_lies_in_the_range() {
    let verified = |list: &str| refused(&text("6.1..6.11", list, ""));
    assert!(verified("").message.contains("list a release"));
    assert!(verified("\"6.12.117\"").message.contains("not among the kernels"));
    assert!(verified("\"6.1\"").message.contains("three numbers"));
    assert!(verified("\"arm:6.1.192\"").message.contains("uml or x86"));
    let error = verified("\"6.1.192\", \"6.1.192-3\"");
    assert_eq!((error.line, error.column), (7, 24), "{error}");
    let twice = text("6.1", "\"uml:6.1.192\"", "platform = \"uml\"\n");
    assert!(refused(&twice).message.contains("release alone"));
    let cured = refused(&(seen_on_6_1("6.1") + "cured = [\"6.12.117\"]\n"));
    assert_eq!(cured.line, 9, "{cured}");
}

#[test]
fn a_divergence_is_shown_by_a_sequence_or_by_a_program_of_the_folder() {
    let with = |line: &str| seen_on_6_1("6.1").replace("sequence = \"x.seq\"\n", line);
    let shown_by = |line: &str| {
        let defects = read(&[&with(line)]).unwrap();
        let entry = defects.entries().next().unwrap();
        (entry.shown_by.clone(), entry.path())
    };
    let (sequence, path) = shown_by("sequence = \"x.seq\"");
    assert_eq!(sequence, ShownBy::Sequence("x.seq".to_owned()));
    assert_eq!(path, "corpus/defects/a-0/x.seq");
    assert_eq!(shown_by("program = \"x.c\"").0, ShownBy::Program("x.c".to_owned()));
    assert!(refused(&with("")).message.contains("`sequence` or `program`"));
    assert!(refused(&with("sequence = \"x.seq\"\nprogram = \"x.c\"")).message.contains("not both"));
    assert!(refused(&with("program = \" \"")).message.contains("`program` is empty"));
    assert!(refused(&with("sequence = \"../x.seq\"")).message.contains("in this folder"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let error = refused(&seen_on_6_1("six"));
    assert_eq!(error.to_string().split(": ").next(), Some("a-0/defect.toml:3:12"), "{error}");
    let error = refused(&seen_on_6_1("6.1").replace("a-b", "a/b"));
    assert_eq!((error.line, error.column), (6, 13), "{error}");
    let error = refused(&(seen_on_6_1("6.1") + "note = \"x\"\n"));
    assert!(error.line == 9 && error.message.contains("corpus/defects/README.md"), "{error}");
    assert_eq!(refused(&seen_on_6_1("6.1").replace("mm/gup.c:f", "mm")).line, 2);
    assert_eq!(refused(&seen_on_6_1("6.1").replace("\"t\"", "\"\"")).line, 1);
    assert!(refused("affected = \"6.1\"\n").message.contains("missing field"));
    assert!(refused("shows = 3").message.contains("invalid type"));
    let files = vec![("defect.toml", "")];
    let error = Defects::parse([DefectFolder { slug: "A_b", files }]).unwrap_err();
    assert!(error.message.contains("hyphens"), "{error}");
}

#[test]
fn nothing_is_known_of_a_defect_whose_fix_is_in_the_kernel() {
    let defects = read(&[&seen_on_6_1("6.1..")]).unwrap();
    let fixed = ["a-0".to_owned()];
    let kernel = Running { fixed: &fixed, ..on_uml("6.1.192") };
    assert_eq!(defects.matching(&signature(), kernel), None);
    assert_eq!(defects.not_cured(&signature(), kernel), Some("a-0"));
    assert_eq!(defects.not_cured(&"a-c".parse().unwrap(), kernel), None);
    assert_eq!(defects.not_cured(&signature(), on_uml("6.1.192")), None);
    let others = ["a-1".to_owned()];
    let kernel = Running { fixed: &others, ..on_uml("6.1.192") };
    assert!(defects.matching(&signature(), kernel).is_some());
}

#[test]
fn a_kernel_has_the_fix_whose_range_it_is_in() {
    let defects =
        with_fixes(&[("fix@6.1.patch", "Series: 6.1"), ("fix.patch", "Series: 6.12..")]).unwrap();
    let file = |release| defects.all()[0].fix_for(release).map(|fix| fix.file.as_str());
    assert_eq!(file("6.1.192"), Some("fix@6.1.patch"));
    assert_eq!((file("6.12.117+deb13"), file("7.3.4")), (Some("fix.patch"), Some("fix.patch")));
    assert_eq!((file("6.6.9"), file("unknown")), (None, None));
}

#[test]
fn a_fix_says_which_kernels_it_is_for_and_is_called_so() {
    let refused = |fixes: &[(&str, &str)]| with_fixes(fixes).unwrap_err();
    let error = refused(&[("fix.patch", "Fix: something")]);
    assert!(error.file == "a/fix.patch" && error.message.contains("no line `Series:"), "{error}");
    let error = refused(&[("fix.patch", "Licence\nSeries: six")]);
    assert!(error.line == 2 && error.message.contains("no range"), "{error}");
    let error = refused(&[("fix@6.1.patch", "Series: 6.12..")]);
    assert!(error.message.contains("fix@6.12...patch"), "{error}");
    let error = refused(&[("fix@6.1.patch", "Series: 6.1"), ("fix.patch", "Series: ..6.12")]);
    assert!(error.message.contains("share no kernel"), "{error}");
}

#[test]
fn a_defect_with_a_fix_does_not_say_that_it_has_none() {
    let text = seen_on_6_1("6.1").replace("\n[[", "no_fix = \"it takes a redesign\"\n\n[[");
    let defects = read(&[&text]).unwrap();
    assert_eq!(defects.all()[0].no_fix.as_deref(), Some("it takes a redesign"));
    let files = vec![("defect.toml", text.as_str()), ("fix.patch", "Series: 6.1\n")];
    let error = Defects::parse([DefectFolder { slug: "a", files }]).unwrap_err();
    assert!(error.line == 4 && error.message.contains("remove `no_fix`"), "{error}");
}

/// A defect that 6.1 and later have, seen on 6.1 and on 7.3 of User Mode Linux, with a fix that cures it there.
fn mixed() -> Defects {
    let text = text(
        "6.1..",
        "\"6.1.192\", \"uml:7.3.4\"",
        "cured = [\"uml:7.3.4\"]\n[[shows]]\nsignature = \"a-c\"\nsequence = \"y.seq\"\nplatform = \"x86\"\n\
         affected = \"6.1\"\nverified = [\"6.1.192\"]\n",
    );
    let files = vec![("defect.toml", text.as_str()), ("fix.patch", "Series: 6.12..\n")];
    let old = text_of_old();
    let old = DefectFolder { slug: "a-old", files: vec![("defect.toml", &old)] };
    Defects::parse([old, DefectFolder { slug: "mixed", files }]).unwrap()
}

fn text_of_old() -> String {
    let no_fix = "no_fix = \"gone since\"\n\n[[shows]]";
    seen_on_6_1("6.1").replace("a-b", "a-old").replace("\n[[shows]]", no_fix)
}

#[test]
fn the_state_of_a_defect_is_that_of_its_cases_on_a_series_and_platform() {
    let defects = mixed();
    let on = |series, platform| {
        let cell = defects.all()[1].on(series, platform);
        (cell.state, cell.fix)
    };
    let (uml, x86) = (Platform::Uml, Platform::X86);
    assert_eq!(on(Series::new(7, 3), uml), (State::Verified, FixState::Cured));
    assert_eq!(on(Series::new(7, 3), x86), (State::Presumed, FixState::Untried));
    assert_eq!(on(Series::new(6, 12), uml), (State::Presumed, FixState::Untried));
    assert_eq!(on(Series::new(6, 1), x86), (State::Verified, FixState::None));
    assert_eq!(on(Series::new(5, 10), uml), (State::NotAffected, FixState::None));
}

#[test]
fn the_table_has_a_block_a_platform_and_begins_with_what_the_newest_series_has() {
    let table = mixed().table();
    let slugs: Vec<&str> = table.defects.iter().map(|row| row.slug.as_str()).collect();
    assert_eq!(slugs, ["mixed", "a-old"]);
    let text = table.to_string();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split("  ").collect()).collect();
    let words = |line: usize| -> Vec<String> {
        lines[line]
            .iter()
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect()
    };
    assert_eq!(words(0), ["uml", "7.3", "7.2", "6.12", "6.1"], "{text}");
    let cells = ["mixed", "verified, cured", "presumed", "presumed", "verified, no fix"];
    assert_eq!(words(1), cells, "{text}");
    assert_eq!(words(2), ["a-old", "-", "-", "-", "verified, no fix"], "{text}");
    assert_eq!(words(4)[0], "x86", "{text}");
}

#[test]
fn the_list_of_a_document_says_where_a_defect_was_seen_and_what_cures_it() {
    let list = markdown(&mixed(), "corpus/defects/");
    let rows: Vec<&str> = list.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            "| [t](corpus/defects/mixed) | 7.3 (uml), 6.1 | 7.3 (x86), 7.2, 6.12 | cures 7.3 (uml); none for 6.1 |",
            "| [t](corpus/defects/a-old) | 6.1 |  | none: gone since |",
        ]
    );
    let [begin, end] = ["<!-- pinfold defects --markdown writes from here -->", "<!-- to here -->"];
    let document = format!("before\n\n{begin}\nold\n{end}\n\nafter\n");
    let written = with_list(&document, &list).unwrap();
    assert!(written.starts_with("before\n") && written.ends_with("after\n"), "{written}");
    assert!(written.contains(&list) && !written.contains("old\n"), "{written}");
    assert_eq!(with_list(&written, &list), Some(written));
    assert_eq!(with_list("no marks", &list), None);
}
