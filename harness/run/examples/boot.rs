//! How long a target takes from nothing to its first answer: `boot [TARGET] [COUNT]`. The first time stands for itself: a
//! machine of QEMU boots then, if none like it was saved before.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

use std::env;
use std::time::{Duration, Instant};

use pinfold_contract::{Observe, Sequence};
use pinfold_run::{TargetOptions, default_target, prepare};

fn main() {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_else(default_target).parse().unwrap();
    let count: usize = arguments.next().map_or(20, |count| count.parse().unwrap());
    let prepared = prepare(&name, &TargetOptions::default(), &mut |_| {}).unwrap();
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..=count {
        let since = Instant::now();
        let mut target = prepared.open(Some(0), std::sync::Arc::default()).unwrap();
        target.run(&Sequence::default(), Observe::End).unwrap();
        times.push(since.elapsed());
    }
    let first = times.remove(0);
    times.sort();
    println!(
        "{name}: {:.0?} from nothing to the first answer, median of {count} ({:.0?} to {:.0?}), after a first time of {first:.0?}",
        times[count / 2],
        times[0],
        times[count - 1]
    );
}
