//! A price list: what registering four pages costs, for each kind of mapping, each state of its pages and each use.

use pinfold_contract::{Outcome, Sequence, VERSION_LINE, parse};
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use crate::explain::Cost;

/// One row: a sequence with one registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// What is mapped.
    pub mapping: &'static str,
    /// What was done to it before.
    pub state: &'static str,
    /// What it is registered for.
    pub access: &'static str,
    /// The sequence.
    pub sequence: Sequence,
}

/// A row as two kernels have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priced {
    /// What is mapped.
    pub mapping: String,
    /// What was done to it before.
    pub state: String,
    /// What it is registered for.
    pub access: String,
    /// What it costs without the patch, or what it is refused with.
    pub base: String,
    /// What it costs with it, likewise.
    pub patched: String,
}

impl Priced {
    /// Whether the patch changes it.
    pub fn changes(&self) -> bool {
        self.base != self.patched
    }
}

/// Four pages, as words of a `map` line, and whether they can be written.
const MAPPINGS: [(&str, &str, bool); 9] = [
    ("private anonymous", "anon private rw", true),
    ("private anonymous, read-only", "anon private r", false),
    ("shared anonymous", "anon shared rw", true),
    ("private file", "memfd0 private rw", true),
    ("private file, read-only", "memfd0 private r", false),
    ("shared file", "memfd0 shared rw", true),
    ("shared file, read-only", "memfd0 shared r", false),
    ("private file on disk", "disk0 private rw", true),
    ("shared file on disk", "disk0 shared rw", true),
];

/// What is done before, and whether that takes a mapping that can be written.
const STATES: [(&str, &str, bool); 5] = [
    ("untouched", "", false),
    ("read", "read 0 16384\n", false),
    ("written", "write 0 16384 0x22\n", true),
    ("shared with a child", "write 0 16384 0x22\nfork p1\n", true),
    ("merged", "write 0 16384 0x22\nadvise 0..4 mergeable\nchore ksm_merge\n", true),
];

/// What it is registered for.
const ACCESSES: [(&str, &str); 2] =
    [("for reading", "remote_read"), ("for writing", "local_write")];

/// Every row, always in the same order.
pub fn price_list() -> Vec<Price> {
    let mut list = Vec::new();
    for (mapping, words, is_writable) in MAPPINGS {
        for (state, before, writes) in STATES {
            let makes_sense = (is_writable || !writes)
                && (state != "merged" || words.starts_with("anon private"));
            for (access, flags) in ACCESSES.into_iter().filter(|_| makes_sense) {
                let text =
                    format!("{VERSION_LINE}\nmap 0..4 {words}\n{before}reg mr0 0..4 {flags}\n");
                let sequence = parse(&text).expect("a test parses every row").sequence;
                list.push(Price { mapping, state, access, sequence });
            }
        }
    }
    list
}

/// The price list as two kernels have it: its rows are the sequences from index 0 on of both ledgers. A row that one of
/// them did not come to is left out.
pub fn priced(base: &Ledger, patched: &Ledger) -> Vec<Priced> {
    let text = |(outcome, cost): (&Outcome, Option<Cost>)| match cost {
        Some(cost) => cost.to_string(),
        None => outcome.to_string(),
    };
    let row = |(index, price): (u64, Price)| {
        Some(Priced {
            mapping: price.mapping.to_owned(),
            state: price.state.to_owned(),
            access: price.access.to_owned(),
            base: text(base.first_of(index)?),
            patched: text(patched.first_of(index)?),
        })
    };
    (0..).zip(price_list()).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use pinfold_contract::Observe;

    use super::*;
    use crate::model::{Fault, perform, predict};
    use crate::profile::Profile;

    fn ledger(fault: Option<Fault>) -> Ledger {
        let mut ledger = Ledger::default();
        for (index, price) in (0..).zip(price_list()) {
            let predicted = predict(Profile::newest(), &price.sequence, Observe::Each);
            let trace = perform(Profile::newest(), fault, &price.sequence, Observe::Each);
            ledger.record(index, &price.sequence, &predicted, &trace);
        }
        ledger
    }

    #[test]
    fn every_row_has_a_price_and_no_two_are_the_same_row() {
        let ledger = ledger(None);
        let rows = priced(&ledger, &ledger);
        assert_eq!(rows.len(), price_list().len());
        assert!(rows.iter().all(|row| !row.changes()));
        let mut names: Vec<_> = rows.iter().map(|r| (&r.mapping, &r.state, &r.access)).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), rows.len());
        assert!(rows.iter().any(|row| row.base == "EFAULT"), "writing to what is read-only");
        assert!(rows.iter().any(|row| row.base.starts_with("4 frames, 4 COW")));
    }

    /// A kernel that gives a writable MR what the model refuses it: each page is a frame of its own.
    #[test]
    fn a_registration_that_the_model_refuses_has_a_right_price() {
        let rows = priced(&ledger(None), &ledger(Some(Fault::WritableOverReadOnly)));
        let of = |state: &str| {
            let wanted = ("private anonymous, read-only", state, "for writing");
            let is_it =
                |r: &&Priced| (r.mapping.as_str(), r.state.as_str(), r.access.as_str()) == wanted;
            rows.iter().find(is_it).map(|row| (row.base.clone(), row.patched.clone())).unwrap()
        };
        assert_eq!(of("untouched").0, "EFAULT");
        let four = "4 frames, 4 COW, pin 16 KiB, rss 16 KiB".to_owned();
        assert_eq!(of("read"), ("EFAULT".to_owned(), four));
    }

    #[test]
    fn a_kernel_that_pins_less_shows_in_the_rows_it_changes_and_in_no_other() {
        let rows = priced(&ledger(None), &ledger(Some(Fault::StaleReadOnlyPin)));
        let changed: Vec<&Priced> = rows.iter().filter(|row| row.changes()).collect();
        assert!(!changed.is_empty() && changed.len() < rows.len());
        assert!(changed.iter().all(|row| row.access == "for reading"));
    }
}
