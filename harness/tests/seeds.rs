//! The seeds parse, say what they are about, and do on the model what their comments say.

use std::{fs, path::PathBuf};

use pinfold::model::predict;
use pinfold::profile::{Platform, Profile};
use pinfold_contract::{Observe, Outcome, PLATFORMS, Runs, SeqFile, parse, print, print_op};

fn seeds() -> Vec<(String, String)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus/seeds");
    let mut seeds: Vec<(String, String)> = fs::read_dir(dir)
        .expect("the seeds are there")
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seq"))
        .map(|path| {
            let name =
                path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("a seed is text"))
        })
        .collect();
    seeds.sort();
    seeds
}

fn parsed(name: &str, text: &str) -> SeqFile {
    parse(text).unwrap_or_else(|error| panic!("{name}:{error}"))
}

#[test]
fn there_are_seeds_and_each_says_its_idea_and_its_source() {
    let seeds = seeds();
    assert!(seeds.len() >= 10, "only {} seeds", seeds.len());
    for (name, text) in seeds {
        let comments: Vec<&str> = text.lines().skip(1).take_while(|l| l.starts_with('#')).collect();
        assert!(!comments.is_empty(), "{name} does not say what it is about");
        assert!(comments.iter().any(|line| line.contains("Source: ")), "{name} names no source");
        let file = parsed(&name, &text);
        assert!(file.expectations.iter().any(Option::is_some), "{name} expects nothing");
        assert_eq!(parse(&print(&file.sequence)).unwrap().sequence, file.sequence, "{name}");
    }
}

#[test]
fn every_expectation_holds_on_the_model() {
    for profile in Platform::ALL.into_iter().flat_map(Profile::all_on) {
        let (series, platform) = (profile.series, profile.platform.name());
        let mut checked = 0;
        for (name, text) in seeds() {
            let file = parsed(&name, &text);
            let steps = predict(profile, &file.sequence, Observe::End);
            let ops = file.sequence.ops.iter().zip(&file.expectations);
            for ((op, expectation), step) in ops.zip(&steps) {
                let expected = expectation.as_ref().and_then(|e| e.on(series, platform));
                let Some(expected) = expected else { continue };
                let predicted = step.prediction.expected().to_string();
                let at = format!("{name} on {platform}:{series}: {}", print_op(op));
                assert_eq!(expected, predicted, "{at}");
                checked += 1;
            }
        }
        assert!(checked >= 100, "only {checked} expectations on {platform}:{series}");
    }
}

#[test]
fn an_expectation_can_name_every_platform() {
    assert_eq!(PLATFORMS, Platform::ALL.map(Platform::name));
}

#[test]
fn an_expectation_is_written_as_an_outcome_prints() {
    assert_eq!(Outcome::Value(Runs::uniform(8, 0x22)).to_string(), "0x22");
    assert_eq!(Outcome::Value(Runs::default()).to_string(), "empty");
    assert_eq!(Outcome::Done.to_string(), "ok");
}
