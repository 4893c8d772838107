//! The text form keeps every sequence, wherever it comes from.

use pinfold::generate::Generator;
use pinfold_contract::{OPS_MAX, Sequence, decode, parse, print};

/// Printing `sequence` and reading it back, strictly or leniently, gives the same sequence.
pub fn text_roundtrip(sequence: &Sequence) {
    let text = print(sequence);
    match parse(&text) {
        Ok(file) => assert_eq!(file.sequence, *sequence, "strictly read from\n{text}"),
        Err(error) => panic!("a printed sequence does not parse, {error}\n{text}"),
    }
    let decoded = decode(text.as_bytes());
    assert_eq!(decoded.sequence, *sequence, "leniently read from\n{text}");
    assert_eq!(decoded.skipped_line_count, 0, "of\n{text}");
}

/// Sequence `index` of the generator's list is always the same, can be stored, and keeps to the limit.
pub fn generated_text_roundtrip(rng_seed: u64, index: u64) {
    let sequence = Generator::new(rng_seed).sequence(index);
    assert_eq!(sequence, Generator::new(rng_seed).sequence(index), "rng seed {rng_seed}, {index}");
    assert!(sequence.ops.len() <= OPS_MAX, "{} ops", sequence.ops.len());
    text_roundtrip(&sequence);
}
