//! How many ops a second the model steps: `cargo bench --package pinfold`.
#![allow(missing_docs, reason = "criterion's macros make functions of their own")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pinfold::generate::Generator;
use pinfold::model::outcomes;
use pinfold::profile::Profile;
use pinfold_contract::Sequence;

const SEQUENCES: u64 = 1000;

fn model(criterion: &mut Criterion) {
    let generator = Generator::new(1);
    let sequences: Vec<Sequence> = (0..SEQUENCES).map(|index| generator.sequence(index)).collect();
    let op_count: usize = sequences.iter().map(|sequence| sequence.ops.len()).sum();
    let mut group = criterion.benchmark_group("model");
    group.throughput(Throughput::Elements(op_count as u64));
    for profile in Profile::all() {
        group.bench_function(profile.series.to_string(), |bencher| {
            bencher.iter(|| {
                sequences
                    .iter()
                    .map(|sequence| black_box(outcomes(profile, sequence)).len())
                    .sum::<usize>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, model);
criterion_main!(benches);
