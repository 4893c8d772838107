//! The corpus of kernel logs, `kernel_logs/*.log`: each has the title that its header says.
//!
//! Each was printed by a kernel that ran. A header is lines `# FIELD: VALUE`:
//!
//! | field | says |
//! |---|---|
//! | `kernel` | version of Linux, and what was switched on |
//! | `platform` | `uml` or `x86` |
//! | `made` | the splat that was asked for (`targets/kernel/splats`), or the command that was run |
//! | `title` | the title that it has to give, or `none` |
//! | `cut` | where the log goes on and the file does not |
//! | `platform failure` | `yes` where the host failed and no kernel is to blame; else this field is not there |

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pinfold::oracle::{kernel_log_title, platform_failure};

/// A log with its header.
struct Recorded {
    name: String,
    fields: BTreeMap<String, String>,
    log: String,
}

impl Recorded {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("{}: no field `{name}`", self.name))
    }

    /// The title that it has to give.
    fn wanted(&self) -> Option<&str> {
        Some(self.field("title")).filter(|title| *title != "none")
    }

    /// Whether the first line of a warning has the form since 6.16.
    fn is_new_form(&self) -> bool {
        let version = self.field("kernel").split(['.', '-', '+']).take(2);
        let version: Vec<u32> = version.map(|part| part.parse().expect("a number")).collect();
        version >= vec![6, 16]
    }
}

fn recorded() -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel_logs");
    let files =
        fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("a file").path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let mut logs: Vec<Recorded> = logs.map(|path| read(&path)).collect();
    logs.sort_by(|a, b| a.name.cmp(&b.name));
    logs
}

fn read(path: &Path) -> Recorded {
    let text = fs::read_to_string(path).expect("text");
    let (header, log) = text.split_once("\n\n").expect("a blank line behind the header");
    let field = |line: &str| {
        let (name, value) =
            line.strip_prefix("# ").and_then(|field| field.split_once(": ")).expect("a field");
        (name.to_owned(), value.to_owned())
    };
    Recorded {
        name: path.file_name().expect("a file has a name").to_string_lossy().into_owned(),
        fields: header.lines().map(field).collect(),
        log: log.to_owned(),
    }
}

#[test]
fn every_log_has_the_title_that_its_header_says() {
    let wrong: Vec<String> = recorded()
        .iter()
        .filter_map(|recorded| {
            let title = kernel_log_title(&recorded.log);
            let is_right = title.as_deref() == recorded.wanted();
            (!is_right).then(|| format!("{}: {title:?}", recorded.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_title_names_no_process_and_no_number_of_one_run() {
    for recorded in recorded() {
        let Some(title) = kernel_log_title(&recorded.log) else { continue };
        // All that was provoked was so by `probe`, in a task, on a CPU. The number of a signal is no number of one run.
        let title = title.replace("Kernel mode signal ", "Kernel mode signal_");
        let mut words = title.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let odd = words.find(|word| {
            let is_number = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
            is_number || word.starts_with("0x") || ["probe", "holder", "kworker"].contains(word)
        });
        assert_eq!(odd, None, "{}: {title}", recorded.name);
    }
}

#[test]
fn one_defect_has_one_title_before_and_after_the_form_of_warnings_changed() {
    let logs = recorded();
    let (new, old): (Vec<&Recorded>, Vec<&Recorded>) =
        logs.iter().partition(|recorded| recorded.is_new_form());
    let mut pair_count = 0;
    for old in old {
        let same = |new: &&&Recorded| {
            new.field("made") == old.field("made") && new.field("platform") == old.field("platform")
        };
        let Some(new) = new.iter().find(same).filter(|_| !OTHERS.contains(&old.field("made")))
        else {
            continue;
        };
        let titles = [old, new].map(|recorded| kernel_log_title(&recorded.log));
        assert_eq!(titles[0], titles[1], "{} and {}", old.name, new.name);
        pair_count += 1;
    }
    assert!(pair_count >= PAIRS_MIN, "{pair_count} pairs");
}

/// What is not one defect on both. Three leave something behind that whoever comes next stumbles over, and that is another
/// function. One reads at an address that User Mode Linux with four levels of page tables takes for a process's.
const OTHERS: [&str; 4] =
    ["splat irqs_kept", "splat preempt_kept", "splat rcu_kept", "splat unmapped"];

/// How many defects there are of which both forms are in the corpus.
const PAIRS_MIN: usize = 60;

#[test]
fn what_the_host_does_to_a_machine_is_told_from_what_its_kernel_does() {
    for recorded in recorded() {
        let wanted = recorded.fields.contains_key("platform failure");
        assert_eq!(platform_failure(&recorded.log).is_some(), wanted, "{}", recorded.name);
    }
}

#[test]
fn there_are_logs_of_both_platforms_and_of_both_forms() {
    let logs = recorded();
    assert!(logs.len() >= LOGS_MIN, "{} logs", logs.len());
    for is_new in [false, true] {
        assert!(logs.iter().any(|recorded| recorded.is_new_form() == is_new));
    }
}

/// Fewer logs than this, and some were lost.
const LOGS_MIN: usize = 150;
