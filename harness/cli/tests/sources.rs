//! `pinfold sources` on a checkout and kernel trees that are as small as can be.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A checkout whose rules cite five functions, and two trees.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    // In one piece: a line that begins with slashes is a comment to who reads this file, too.
    let rule = [
        "Source: `same()`, `other()` and `moved()`, mm/a.c; `gone()`, mm/b.c, 6.12.",
        "Source: `never()`, mm/a.c, 6.1; `odd()`.",
    ];
    let rule = rule.map(|line| format!("/// {line}\n")).concat();
    let known = "affected = \"6.12\"\nsource = \"mm/a.c:other\"\n";
    write(
        &folder.path().join("ours"),
        &[
            ("corpus/defects/other/defect.toml", known),
            ("corpus/defects/README.md", ""),
            ("harness/src/citations/mod.rs", ""),
            ("harness/src/rule.rs", &rule),
            ("targets/x.rs", ""),
            ("fuzz/x.rs", ""),
            ("ci/x", ""),
        ],
    );
    let makefile =
        |version, level| format!("VERSION = {version}\nPATCHLEVEL = {level}\nSUBLEVEL = 4\n");
    let old = "int same(void)\n{\n\treturn 1;\n}\nint other(void)\n{\n\treturn 1;\n}\nint moved(void)\n{\n\treturn 1;\n}\n";
    write(
        &folder.path().join("old"),
        &[
            ("Makefile", &makefile(6, 12)),
            ("Kbuild", ""),
            ("mm/a.c", old),
            ("mm/b.c", "int gone(void)\n{\n\treturn 1;\n}\n"),
        ],
    );
    let new = "int same(void) {\n\treturn 1; }\nint other(void)\n{\n\treturn 2;\n}\n";
    write(
        &folder.path().join("new"),
        &[
            ("Makefile", &makefile(7, 3)),
            ("Kbuild", ""),
            ("mm/a.c", new),
            ("mm/c.c", "int moved(void)\n{\n\treturn 1;\n}\n"),
        ],
    );
    folder
}

/// Runs in `folder`; gives the exit status, standard output and standard error.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinfold"));
    let command = command.arg("sources").args(arguments).current_dir(folder).stdin(Stdio::null());
    let output = command.env("PINFOLD_CACHE", folder.join("cache")).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_reading_list_shows_what_changed_moved_and_went() {
    let folder = folder();
    let (status, out, err) =
        run(&folder.path().join("ours/harness"), &["--from", "../../old", "--to", "../../new"]);
    assert_eq!(status, Some(0), "{err}");
    let expected = [
        "other(), mm/a.c: changed\n    harness/src/rule.rs:1 (6.12)\n    corpus/defects/other/defect.toml:2 (6.12)\n@@ ",
        "-\treturn 1;\n+\treturn 2;\n",
        "moved(), mm/a.c: moved to mm/c.c, and is the same\n",
        "gone(), mm/b.c: gone",
        "never(), mm/a.c: it is not cited of 6.12\n",
        "harness/src/rule.rs:2: \"odd()\": no file is named for it\n",
        "linux 6.12.4 to 7.3.4: 6 citations of 5 functions: 1 unchanged, 1 changed, 1 moved, 1 gone, 1 not checked \
         (1: it is not cited of 6.12)\n",
    ];
    for text in expected {
        assert!(out.contains(text), "no {text:?} in\n{out}");
    }
    assert!(!out.contains("same()"), "what is unchanged needs no reading:\n{out}");
}

#[test]
fn a_citation_of_what_is_not_there_ends_with_1() {
    let folder = folder();
    let root = folder.path().join("ours");
    let root = root.to_str().unwrap();
    assert_eq!(run(folder.path(), &["--root", root, "--tree", "old"]).0, Some(0));
    fs::write(folder.path().join("old/mm/b.c"), "int gone(void);\n").unwrap();
    let (status, out, _) = run(folder.path(), &["--root", root, "--tree", "old"]);
    assert_eq!(status, Some(1), "a declaration is no definition: {out}");
    assert!(out.contains("gone(), mm/b.c: not there in linux 6.12.4"), "{out}");
    let (status, out, _) = run(folder.path(), &["--root", root, "--in", "new", "--json"]);
    assert_eq!(status, Some(0), "nothing is cited of 7.3: {out}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["schema"], &json["check"]["of_other_versions"]), (&1.into(), &5.into()));
}

#[test]
fn all_citations_are_listed() {
    let folder = folder();
    let (status, out, _) = run(&folder.path().join("ours"), &["--json"]);
    assert_eq!(status, Some(0), "{out}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let items = json["list"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 5);
    assert_eq!(items[1]["name"], "other()");
    assert_eq!(items[1]["cited_by"][1]["place"], "corpus/defects/other/defect.toml:2");
}

#[test]
fn outside_of_a_checkout_it_says_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let (status, _, err) = run(folder.path(), &[]);
    assert_eq!(status, Some(2));
    assert!(err.contains("in no checkout of Pinfold") && err.contains("--root"), "{err}");
    let ours = self::folder();
    let (status, _, err) = run(&ours.path().join("ours"), &["--in", "5.x"]);
    assert_eq!(status, Some(2));
    assert!(err.contains("5.x") && err.contains("series"), "{err}");
}
