//! The model in the place of a kernel, with one mutant and without.

use std::fs;

use pinfold::defects::DefectFolder;
use pinfold::profile::{Platform, Profile};

use super::*;
use crate::defects::read_defects;
use crate::target::TargetOptions;

/// The folder of a defect that the mutant `vm_pin_kept` has, as if `verified` had it, and with a comment.
fn folder(verified: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("pins-stay");
    fs::create_dir(&folder).unwrap();
    let text = format!(
        "title = \"pins stay\" # what else\nsource = \"a.c:f\"\naffected = \"6.1..\"\n\n[[shows]]\n\
         signature = \"accounting-dereg-registrar.vm_pin.more\"\n# by hand\nsequence = \"dereg.seq\"\n\
         verified = [{verified}]\n"
    );
    fs::write(folder.join("defect.toml"), text).unwrap();
    let sequence = "# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 remote_read\ndereg mr0\n";
    fs::write(folder.join("dereg.seq"), sequence).unwrap();
    root
}

/// What is seen of it on the model with this mutant, or none, as if that were a release.
fn seen_on(root: &Path, mutant: &str, release: &str, fixed: &[String]) -> Verification {
    let name = format!("model:{}{mutant}", Profile::newest().series);
    let mut target = Target::open(&name.parse().unwrap(), &TargetOptions::default()).unwrap();
    let kernel = Running { release, platform: Platform::Uml, fixed };
    let defects = read_defects(root).unwrap();
    let cases = look(&mut target, kernel, &defects, root, &mut |_| {}).unwrap();
    Verification { target: name, version: release.to_owned(), cases }
}

fn text_of(root: &Path) -> String {
    fs::read_to_string(root.join("pins-stay/defect.toml")).unwrap()
}

fn recorded(root: &Path, verification: &Verification, platform: Platform) -> Vec<String> {
    let defects = read_defects(root).unwrap();
    let recorded = record(verification, &defects, root, platform).unwrap();
    recorded.into_iter().map(|it| format!("{} {}", it.field, it.release)).collect()
}

const MUTANT: &str = "+vm_pin_kept";

#[test]
fn a_presumed_case_that_is_seen_is_added_and_comments_stay() {
    let root = folder("\"6.1.192\"");
    let before = text_of(root.path());
    let seen = seen_on(root.path(), MUTANT, "7.3.4", &[]);
    assert_eq!((seen.cases[0].expected, &seen.cases[0].seen), (Expected::Presumed, &Seen::Shown));
    assert!(!seen.is_wrong());
    assert_eq!(seen.to_string().split(": ").last(), Some("1 seen, 0 not seen, 0 not judged"));
    assert_eq!(recorded(root.path(), &seen, Platform::Uml), ["verified uml:7.3.4"]);
    let after = text_of(root.path());
    assert_eq!(after, before.replace("\"6.1.192\"", "\"6.1.192\", \"uml:7.3.4\""));
    // Again, and on the other platform: then it is both.
    let seen = seen_on(root.path(), MUTANT, "7.3.4", &[]);
    assert_eq!(seen.cases[0].expected, Expected::Verified);
    assert_eq!(recorded(root.path(), &seen, Platform::Uml), [""; 0]);
    assert_eq!(recorded(root.path(), &seen, Platform::X86), ["verified 7.3.4"]);
    assert!(text_of(root.path()).contains("[\"6.1.192\", \"7.3.4\"]"));
}

#[test]
fn what_is_not_seen_is_said_and_nothing_is_narrowed() {
    let root = folder("\"6.1.192\"");
    let before = text_of(root.path());
    let presumed = seen_on(root.path(), "", "7.3.4", &[]);
    assert_eq!(presumed.cases[0].seen, Seen::Agrees);
    let text = presumed.cases[0].to_string();
    assert!(text.contains("agrees") && text.contains("end the range"), "{text}");
    assert!(!presumed.is_wrong());
    let verified = seen_on(root.path(), "", "6.1.192", &[]);
    assert!(verified.is_wrong(), "{:?}", verified.cases);
    let other = seen_on(root.path(), "+range_off_by_one", "6.1.192", &[]);
    assert!(other.is_wrong());
    for verification in [&presumed, &verified] {
        assert_eq!(recorded(root.path(), verification, Platform::Uml), [""; 0]);
    }
    assert_eq!(text_of(root.path()), before);
    assert_eq!(seen_on(root.path(), "", "5.10.1", &[]).cases, []);
}

#[test]
fn on_a_kernel_with_the_fix_a_case_has_to_agree_and_only_that_is_kept() {
    let (root, fixed) = (folder("\"6.1.192\""), ["pins-stay".to_owned()]);
    let cured = seen_on(root.path(), "", "6.1.192", &fixed);
    assert_eq!((cured.cases[0].expected, &cured.cases[0].seen), (Expected::Cured, &Seen::Agrees));
    assert!(cured.to_string().ends_with("1 of 1 cured by their fixes"), "{cured}");
    let broken = seen_on(root.path(), MUTANT, "6.1.192", &fixed);
    assert!(broken.is_wrong());
    let text = broken.cases[0].to_string();
    assert!(text.contains("the fix of pins-stay is in this kernel and did not cure it"), "{text}");
    assert_eq!(recorded(root.path(), &broken, Platform::Uml), [""; 0]);
    assert_eq!(recorded(root.path(), &cured, Platform::Uml), ["cured uml:6.1.192"]);
    assert!(
        text_of(root.path()).ends_with("cured = [\"uml:6.1.192\"]\n"),
        "{}",
        text_of(root.path())
    );
    read_defects(root.path()).unwrap();
}

#[test]
fn what_a_program_shows_is_counted_as_not_judged() {
    let root = folder("\"6.1.192\"");
    let text = text_of(root.path()).replace("sequence = \"dereg.seq\"", "program = \"x.c\"");
    let files = vec![("defect.toml", text.as_str())];
    let defects = Defects::parse([DefectFolder { slug: "pins-stay", files }]).unwrap();
    let name = format!("model:{}", Profile::newest().series);
    let mut target = Target::open(&name.parse().unwrap(), &TargetOptions::default()).unwrap();
    let kernel = Running { release: "6.1.192", platform: Platform::Uml, fixed: &[] };
    let cases = look(&mut target, kernel, &defects, root.path(), &mut |_| {}).unwrap();
    assert!(matches!(&cases[..], [Case { seen: Seen::NotJudged(_), .. }]), "{cases:?}");
    assert!(!cases[0].is_wrong());
}
