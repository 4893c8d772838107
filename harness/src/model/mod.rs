//! The reference model: what a right kernel does with a sequence.
//!
//! A pure, total step function over an explicit state. `step` dispatches, one
//! file each holds the rules of one part of the kernel, and [`predict`] and
//! [`perform`] are the two ways to run it.

mod advise;
mod atomic;
mod bytes;
mod charge;
mod chore;
mod cpu;
mod fault;
mod file;
mod frame;
mod gup;
mod hole;
mod knows;
mod ksm;
mod lists;
mod lock;
mod mapping;
mod mr;
mod observe;
mod planted;
mod prediction;
mod rdma;
mod remap;
mod reregister;
mod seal;
mod space;
mod state;
mod verbs;
mod vma;
mod window;

pub use knows::{Refusal, Unseen, refusals};
pub use planted::Fault;
pub use prediction::{Held, HeldFrame, PredictedStep, Prediction};

use pinfold_contract::{End, Observe, Op, Outcome, Proc, Sequence, Step, Teardown, Trace};

use crate::profile::Profile;
use state::State;

/// Predicts what `sequence` does on a kernel of `profile`, op by op.
pub fn predict(profile: &Profile, sequence: &Sequence, observe: Observe) -> Vec<PredictedStep> {
    run(profile, None, sequence, observe).0.into_iter().map(|(step, _)| step).collect()
}

/// Predicts what the ops of `sequence` do on a kernel of `profile`, without a look at the state.
pub fn outcomes(profile: &Profile, sequence: &Sequence) -> Vec<Prediction> {
    let mut state = State::new(profile, None);
    sequence.ops.iter().map(|op| step(&mut state, op)).collect()
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
        let copied = std::mem::take(&mut state.copied_perhaps);
        let copied_perhaps = copied.into_iter().map(frame::FrameId::name).collect();
        steps.push((
            PredictedStep {
                prediction,
                checkpoint,
                write_only,
                copied_perhaps,
                limit_reached: state.take_limit_reached(),
                held,
            },
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
    let prediction = dispatch(state, op);
    state.forget_nameless_memory();
    let unclear = std::mem::take(&mut state.unclear);
    if unclear { prediction.unfollowed(op.kind()) } else { prediction }
}

/// Predicts `op`, which has something to work on, by the rules of its part of the kernel.
fn dispatch(state: &mut State<'_>, op: &Op) -> Prediction {
    match *op {
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Remap { .. }
        | Op::Advise { .. }
        | Op::Lock { .. }
        | Op::Unlock { .. }
        | Op::LockAll { .. }
        | Op::Fork { .. }
        | Op::Exit { .. } => state.step_mapping(op),
        Op::Write { .. }
        | Op::Read { .. }
        | Op::Force { .. }
        | Op::FileWrite { .. }
        | Op::Truncate { .. }
        | Op::Punch { .. }
        | Op::Seal { .. }
        | Op::MemLimit { .. }
        | Op::Chore { .. } => state.step_bytes(op),
        Op::Limit { .. }
        | Op::IpcLock { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. }
        | Op::Rereg { .. }
        | Op::AllocMw { .. }
        | Op::DeallocMw { .. }
        | Op::Bind { .. }
        | Op::Invalidate { .. }
        | Op::RemoteRead { .. }
        | Op::RemoteWrite { .. }
        | Op::CompareSwap { .. }
        | Op::FetchAdd { .. }
        | Op::Send { .. }
        | Op::Gather { .. }
        | Op::Scatter { .. } => state.step_verbs(op),
    }
}

/// Whether `op` has nothing to work on.
fn is_skipped(state: &State<'_>, op: &Op) -> bool {
    if !state.is_live(op.proc()) {
        return true;
    }
    if let Op::Fork { child, .. } = *op {
        return state.is_live(child);
    }
    if let Op::Exit { proc } = *op {
        return proc == Proc::P0;
    }
    state.verbs_are_skipped(op)
}
