//! Every short sequence of a small universe, one after the other.
//!
//! A bug that short sequences over few pages show is found so for certain, and where nothing is found, there is none of
//! that size.

mod small;

pub use small::{Scope, every_sequence};

use pinfold_contract::{Op, parse};

/// What sequences are made of: a first op, then any others, in any order and as often as one likes. Each is a line of
/// text, in which `TAG` stands for a byte of its own for each place in a sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Universe {
    /// The first ops.
    pub(crate) firsts: &'static [&'static str],
    /// All others.
    pub(crate) acts: &'static [&'static str],
}

/// Whether a sequence is worth going on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Yes.
    On,
    /// No: neither it nor what begins with it.
    Back,
}

impl Universe {
    /// Every op that may stand at `place`, from 0.
    fn at(&self, place: usize) -> Vec<Op> {
        let lines = if place == 0 { self.firsts } else { self.acts };
        lines.iter().map(|line| op(line, place)).collect()
    }
}

/// The op that `line` stands for at `place` of a sequence.
///
/// # Panics
///
/// If it is none, which a test excludes.
pub(crate) fn op(line: &str, place: usize) -> Op {
    let tag = format!("{:#04x}", 0x11 * (place + 1));
    let text = format!("# pinfold 1\n{}\n", line.replace("TAG", &tag));
    let sequence = parse(&text).expect("a test reads every line").sequence;
    *sequence.ops.first().expect("a line is an op")
}

/// Calls `visit` with every sequence of at most `ops_most` ops. `visit` finds the state before the last op, that of
/// `start` for the first, and makes it the one after it.
pub(crate) fn explore<S: Clone>(
    universe: &Universe,
    ops_most: usize,
    start: &S,
    visit: &mut impl FnMut(&mut S, &[Op]) -> Course,
) {
    let places: Vec<Vec<Op>> = (0..ops_most).map(|place| universe.at(place)).collect();
    go_on(&places, start, &mut Vec::new(), visit);
}

fn go_on<S: Clone>(
    places: &[Vec<Op>],
    before: &S,
    ops: &mut Vec<Op>,
    visit: &mut impl FnMut(&mut S, &[Op]) -> Course,
) {
    let Some(next) = places.get(ops.len()) else { return };
    for &op in next {
        let mut state = before.clone();
        ops.push(op);
        if visit(&mut state, ops) == Course::On {
            go_on(places, &state, ops, visit);
        }
        ops.pop();
    }
}
