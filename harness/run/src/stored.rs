//! The sequences of the corpus that belong to this version of Pinfold.

use pinfold_contract::{Sequence, parse};

/// Name and text (`.seq`) of each.
const STORED: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/stored.rs"));

/// Each with its path from the root of the repository, in the order in which they are replayed.
pub(crate) fn stored() -> Vec<(&'static str, Sequence)> {
    let read = |(name, text): &(&'static str, &str)| {
        let file = parse(text).expect("a test parses every stored sequence");
        (*name, file.sequence)
    };
    STORED.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_of_the_corpus_is_there_and_every_sequence_can_be_read() {
        let stored = stored();
        for folder in ["seeds", "scenarios", "litmus", "regress", "defects"] {
            let prefix = format!("corpus/{folder}/");
            assert!(stored.iter().any(|(name, _)| name.starts_with(&prefix)), "{folder}");
        }
        assert!(stored.iter().all(|(_, sequence)| !sequence.ops.is_empty()));
    }
}
