//! Every short sequence, for a target that is to run them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pinfold::scope::{Scope, every_sequence};
use pinfold_contract::Sequence;

use crate::error::RunError;
use crate::target::Prepared;

/// Every sequence of at most `ops_most` ops by the rules that the target is held to, the shortest first, and how many
/// there are.
///
/// # Errors
///
/// If the target does not come up: only then it is known which rules these are.
pub fn short_sequences(
    prepared: &Prepared,
    ops_most: usize,
    stop: &Arc<AtomicBool>,
) -> Result<(Arc<[Sequence]>, Scope), RunError> {
    let cpu = crate::cpu::allowed().first().copied();
    let profile = prepared.open(cpu, Arc::clone(stop))?.profile();
    let mut sequences = Vec::new();
    let scope = every_sequence(profile, ops_most, &mut |sequence| sequences.push(sequence));
    sequences.sort_by_key(|sequence: &Sequence| sequence.ops.len());
    Ok((sequences.into(), scope))
}
