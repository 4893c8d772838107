//! What the page about the designs of 2013 says is what the model says, and its counterexamples show it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::{fs, path::PathBuf};

use pinfold::designs::{Decision, Design, Gup, Pair, decide, file_name, seq, table};
use pinfold::model::{Walk, Wrong};
use pinfold_contract::{Sequence, Series, parse};

/// Long enough for every shortest counterexample: a longer search finds no shorter one.
const OPS_MOST: usize = 4;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus/designs")
}

fn decisions() -> Vec<Decision> {
    Pair::all().map(|pair| decide(pair, OPS_MOST, 1, 0)).collect()
}

/// What goes wrong in each op.
fn wrongs(pair: Pair, sequence: &Sequence) -> Vec<Vec<Wrong>> {
    let profile = pair.profile();
    let mut walk = Walk::new(&profile);
    sequence.ops.iter().map(|op| walk.step(op).wrong.into_iter().collect()).collect()
}

#[test]
fn the_counterexamples_in_the_corpus_are_those_that_are_found() {
    let mut found = BTreeMap::new();
    for decision in decisions() {
        for example in [&decision.incoherent, &decision.unprotected].into_iter().flatten() {
            found.insert(file_name(decision.pair, example), seq(decision.pair, example));
        }
    }
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|e| e == "seq"));
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let kept: BTreeMap<String, String> =
        files.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect();
    assert_eq!(kept, found, "run `pinfold designs --out corpus/designs`");
}

#[test]
fn a_counterexample_goes_wrong_in_its_last_op_and_not_on_linux_as_it_is() {
    for decision in decisions() {
        for example in [&decision.incoherent, &decision.unprotected].into_iter().flatten() {
            let sequence = parse(&seq(decision.pair, example)).unwrap().sequence;
            let mut wrong = wrongs(decision.pair, &sequence);
            assert!(wrong.pop().unwrap().contains(&example.wrong), "{}", decision.pair);
            assert!(wrong.iter().all(|op| !op.contains(&example.wrong)), "{}", decision.pair);
            for stock in ["umem-2013/6.1", "as-corrected/6.12"] {
                let wrong = wrongs(Pair::from_name(stock).unwrap(), &sequence);
                assert!(wrong.iter().all(Vec::is_empty), "{}: {wrong:?} on {stock}", decision.pair);
            }
        }
    }
}

#[test]
fn what_an_adapter_wrote_to_the_zero_page_is_read_but_never_copied() {
    let text = "# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 local_write|remote_write\n\
                write_remote mr0+0 8 0x33\nread 0 8\nwrite 0 4 0x22\nread 0 8\n";
    let sequence = parse(text).unwrap().sequence;
    let profile = Pair::from_name("as-submitted/2013").unwrap().profile();
    let mut walk = Walk::new(&profile);
    let outcomes = sequence.ops.iter().map(|op| walk.step(op).outcome.to_string());
    let outcomes: Vec<String> = outcomes.collect();
    assert_eq!(outcomes[3], "0x33");
    assert_eq!(outcomes[5], "0x22*4 0x00*4");
}

#[test]
fn the_page_has_every_verdict() {
    let page = fs::read_to_string(folder().join("README.md")).unwrap();
    for line in table(&decisions()).lines() {
        // What copying costs is counted over all sequences, and the page counts longer ones.
        let verdicts: Vec<&str> = line.split(" | ").take(4).collect();
        let verdicts = verdicts.join(" | ");
        assert!(page.contains(&verdicts), "the page lacks {verdicts}");
    }
}

#[test]
fn on_the_gup_of_2013_and_of_6_1_only_the_code_of_the_day_and_the_flag_are_right() {
    let right =
        |decision: &&Decision| decision.incoherent.is_none() && decision.unprotected.is_none();
    let decisions = decisions();
    let of = |gup| decisions.iter().filter(right).filter(move |d| d.pair.gup == gup);
    let names = |gup| of(gup).map(|decision| decision.pair.design).collect::<Vec<_>>();
    assert_eq!(names(Gup::Gup2013), [Design::Umem2013, Design::NonCoherent]);
    assert_eq!(names(Gup::Linux(Series::new(6, 1))), [Design::Umem2013, Design::NonCoherent]);
    let right_now = [
        Design::Umem2013,
        Design::AsCorrected,
        Design::FollFollow,
        Design::VmaPermission,
        Design::NonCoherent,
    ];
    assert_eq!(names(Gup::Linux(Series::new(6, 12))), right_now);
}
