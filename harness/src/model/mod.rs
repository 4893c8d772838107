//! The reference model: what a right kernel does with a sequence.
//!
//! A pure, total step function over an explicit state. `step` dispatches, one
//! file each holds the rules of one part of the kernel, and [`predict`] and
//! [`perform`] are the two ways to run it.

mod cpu;
mod fault;
mod frame;
mod gup;
mod mr;
mod observe;
mod planted;
mod prediction;
mod rdma;
mod space;
mod state;
mod vma;

pub use planted::Fault;
pub use prediction::{Held, HeldFrame, PredictedStep, Prediction};

use pinfold_contract::{End, Observe, Op, Outcome, Proc, Sequence, Step, Teardown, Trace};

use crate::profile::Profile;
use rdma::Remote;
use state::State;

/// Predicts what `sequence` does on a kernel of `profile`, op by op.
pub fn predict(profile: &Profile, sequence: &Sequence, observe: Observe) -> Vec<PredictedStep> {
    run(profile, None, sequence, observe).0.into_iter().map(|(step, _)| step).collect()
}

/// Runs `sequence` on the model as if it were a target, with a fault planted or none.
pub fn perform(
    profile: &Profile,
    fault: Option<Fault>,
    sequence: &Sequence,
    observe: Observe,
) -> Trace {
    let (steps, state) = run(profile, fault, sequence, observe);
    let live_mrs = state.mrs.values().any(|mr| mr.live);
    let teardown_leak = i64::from(live_mrs && state.has(Fault::TeardownLeak));
    let steps = steps.into_iter().map(|(step, kernel_log)| Step {
        outcome: step.prediction.expected().clone(),
        checkpoint: step.checkpoint,
        kernel_log,
    });
    let teardown = Teardown { pins: teardown_leak, ..Teardown::default() };
    Trace { steps: steps.collect(), end: End::Finished { teardown, kernel_log: String::new() } }
}

/// Each op's prediction with what a planted fault logged, and the state at the end.
fn run<'a>(
    profile: &'a Profile,
    fault: Option<Fault>,
    sequence: &Sequence,
    observe: Observe,
) -> (Vec<(PredictedStep, String)>, State<'a>) {
    let mut state = State::new(profile, fault);
    let mut steps = Vec::with_capacity(sequence.ops.len());
    for (index, op) in sequence.ops.iter().enumerate() {
        let prediction = step(&mut state, op);
        let looked_at = match observe {
            Observe::Each => true,
            Observe::End => index + 1 == sequence.ops.len(),
        };
        let checkpoint = looked_at.then(|| state.checkpoint());
        let write_only = if looked_at { state.write_only() } else { Vec::new() };
        let held = if looked_at { state.held() } else { Vec::new() };
        steps.push((
            PredictedStep { prediction, checkpoint, write_only, held },
            std::mem::take(&mut state.kernel_log),
        ));
    }
    (steps, state)
}

/// Predicts `op` and makes `state` the one after it.
fn step(state: &mut State<'_>, op: &Op) -> Prediction {
    if is_skipped(state, op) {
        return Prediction::only(Outcome::Skipped);
    }
    Prediction::only(match *op {
        Op::Map { proc, pages, backing, sharing, prot } => {
            state.map(proc, pages, backing, sharing, prot)
        }
        Op::Unmap { proc, pages } => state.unmap(proc, pages),
        Op::Protect { proc, pages, prot } => state.protect(proc, pages, prot),
        Op::Write { proc, at, len_bytes, tag } => state.write(proc, at, len_bytes, tag),
        Op::Read { proc, at, len_bytes } => return state.read(proc, at, len_bytes),
        Op::Fork { proc, child } => state.fork(proc, child),
        Op::Exit { proc } => state.exit(proc),
        Op::Limit { bytes } => {
            state.limit_bytes = bytes;
            Outcome::Done
        }
        Op::Reg { mr, range, access } => return state.register(mr, range, access),
        Op::Dereg { mr } => state.deregister(mr),
        Op::RemoteRead { mr, offset, len_bytes, key } => {
            state.remote_read(Remote { mr, offset, len_bytes, key })
        }
        Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
            state.remote_write(Remote { mr, offset, len_bytes, key }, tag)
        }
    })
}

/// Whether `op` has nothing to work on.
fn is_skipped(state: &State<'_>, op: &Op) -> bool {
    let mr_is_live = |mr| state.mrs.get(&mr).is_some_and(|mr| mr.live);
    if !state.is_live(op.proc()) {
        return true;
    }
    match *op {
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Limit { .. } => false,
        Op::Fork { child, .. } => state.is_live(child),
        Op::Exit { proc } => proc == Proc::P0,
        Op::Reg { mr, .. } => mr_is_live(mr),
        Op::Dereg { mr } => !mr_is_live(mr),
        Op::RemoteRead { mr, offset, len_bytes, key }
        | Op::RemoteWrite { mr, offset, len_bytes, key, .. } => {
            state.lacks_key(Remote { mr, offset, len_bytes, key })
        }
    }
}
