//! The reference model: what a right kernel does with a sequence.
//!
//! A pure, total step function over an explicit state. `step` dispatches, one
//! file each holds the rules of one part of the kernel, and [`predict`] and
//! [`perform`] are the two ways to run it.

mod advise;
mod atomic;
mod charge;
mod chore;
mod completion;
mod cpu;
mod fault;
mod file;
mod fingerprint;
mod frame;
mod guard;
mod gup;
mod hole;
mod huge;
mod keys;
mod knows;
mod ksm;
mod lists;
mod lock;
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
mod swap;
mod touched;
mod vma;
mod watch;
mod window;

pub use completion::completions;
pub use fingerprint::Steps;
pub use keys::{KeyOf, KeyState};
pub use knows::{Refusal, Unseen, refusals};
pub use planted::Fault;
pub use prediction::{Held, HeldFrame, PredictedStep, Prediction};
pub use touched::{Behind, Mapping, Memory, PageState, Touched, touched};
pub use watch::{Walk, Watched, Wrong};

use pinfold_contract::{Access, Completion, End, Observe, Op, Outcome, Sequence, Step, Trace};

use crate::profile::Profile;
use crate::slots::is_skipped;
use atomic::Atomic;
use lists::Message;
use state::State;
use window::Binding;

/// Predicts what `sequence` does on a kernel of `profile`, op by op.
pub fn predict(profile: &Profile, sequence: &Sequence, observe: Observe) -> Vec<PredictedStep> {
    run(profile, None, sequence, observe).0.into_iter().map(|ran| ran.step).collect()
}

/// Predicts what the ops of `sequence` do on a kernel of `profile`, without a look at the state.
pub fn outcomes(profile: &Profile, sequence: &Sequence) -> Vec<Prediction> {
    let mut state = State::new(profile, None);
    sequence.ops.iter().map(|op| step(&mut state, op)).collect()
}

/// Whether a kernel of `profile` refuses a registration for these rights, whatever the memory.
pub fn refuses_rights(profile: &Profile, access: Access) -> bool {
    !State::new(profile, None).access_refusals(access).is_empty()
}

/// Runs `sequence` on the model as if it were a target, with a fault planted or none.
pub fn perform(
    profile: &Profile,
    fault: Option<Fault>,
    sequence: &Sequence,
    observe: Observe,
) -> Trace {
    let (steps, state) = run(profile, fault, sequence, observe);
    let teardown = state.left_behind();
    let steps = steps.into_iter().map(|Ran { step, completions, kernel_log }| Step {
        outcome: step.prediction.expected().clone(),
        completions,
        checkpoint: step.checkpoint,
        kernel_log,
    });
    Trace { steps: steps.collect(), end: End::Finished { teardown, kernel_log: String::new() } }
}

/// The faults that a rule asked for when `sequence` was predicted on a kernel of `profile`: none of the others would make a
/// difference to it.
pub fn at_stake(profile: &Profile, sequence: &Sequence) -> Vec<Fault> {
    let mut state = State::new(profile, None);
    for op in &sequence.ops {
        let prediction = step(&mut state, op);
        drop(state.completions(op, prediction.expected()));
    }
    // What is left at the end is looked at by rules, too.
    let _ = state.left_behind();
    let all = Fault::ALL.into_iter().map(|(fault, _)| fault);
    all.filter(|fault| state.fault.was_asked(*fault)).collect()
}

/// One op, as the model did it.
struct Ran {
    step: PredictedStep,
    completions: Vec<Completion>,
    /// What a planted fault logged.
    kernel_log: String,
}

/// Each op, and the state at the end.
fn run<'a>(
    profile: &'a Profile,
    fault: Option<Fault>,
    sequence: &Sequence,
    observe: Observe,
) -> (Vec<Ran>, State<'a>) {
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
        let copies = std::mem::take(&mut state.copies);
        let copies = copies.into_iter().map(|(from, to)| (from.name(), to.name())).collect();
        let completions = state.completions(op, prediction.expected());
        let step = PredictedStep {
            prediction,
            checkpoint,
            write_only,
            copied_perhaps,
            copies,
            limit_reached: state.take_limit_reached(),
            zero_page_exposed: state.zero_page_is_exposed(),
            held,
        };
        let kernel_log = std::mem::take(&mut state.kernel_log);
        steps.push(Ran { step, completions, kernel_log });
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

/// Predicts `op`, which has something to work on, by its rule.
fn dispatch(state: &mut State<'_>, op: &Op) -> Prediction {
    let only = Prediction::only;
    match *op {
        Op::Map { proc, pages, backing, sharing, prot, populate } => {
            state.map_and_populate(proc, pages, backing, sharing, prot, populate)
        }
        Op::Unmap { proc, pages } => only(state.unmap(proc, pages)),
        Op::Protect { proc, pages, prot } => only(state.protect(proc, pages, prot)),
        Op::Write { proc, at, len_bytes, tag } => only(state.write(proc, at, len_bytes, tag)),
        Op::Read { proc, at, len_bytes } => state.read(proc, at, len_bytes),
        Op::Fork { proc, child } => only(state.fork(proc, child)),
        Op::Exit { proc } => only(state.exit(proc)),
        Op::Limit { bytes } => only(state.limit(bytes)),
        Op::Reg { mr, span, access, pd, call } => state.register(mr, span, access, pd, call),
        Op::Dereg { mr } => state.deregister(mr),
        Op::RemoteRead { target, len_bytes } => state.remote_read(target, len_bytes),
        Op::RemoteWrite { target, len_bytes, tag } => state.remote_write(target, len_bytes, tag),
        Op::Remap { proc, from, to } => state.remap(proc, from, to),
        Op::Advise { proc, pages, advice } => only(state.advise(proc, pages, advice)),
        Op::Lock { proc, pages, onfault } => state.lock(proc, pages, onfault),
        Op::Unlock { proc, pages } => only(state.unlock(proc, pages)),
        Op::LockAll { proc, scope } => state.lock_all(proc, scope),
        Op::Force { proc, at, len_bytes, tag } => only(state.force(proc, at, len_bytes, tag)),
        Op::FileWrite { file, at, len_bytes, tag } => {
            only(state.file_write(file, at, len_bytes, tag))
        }
        Op::Truncate { file, end } => only(state.truncate(file, end)),
        Op::Punch { file, range } => only(state.punch(file, range)),
        Op::Seal { file, seals } => only(state.seal(file, seals)),
        Op::IpcLock { held } => only(state.hold_ipc_lock(held)),
        Op::Swap { on } => only(state.allow_swap(on)),
        Op::MemLimit { pages } => only(state.limit_memory(pages)),
        Op::Chore { chore } => only(state.chore(chore)),
        Op::Rereg { mr, what, access, pd, .. } => state.reregister(mr, what, access, pd),
        Op::AllocMw { mw, kind, pd } => state.allocate_window(mw, kind, pd),
        Op::DeallocMw { mw } => state.deallocate_window(mw),
        Op::Bind { mw, mr, offset, len_bytes, access, qp } => {
            let start = state.address(mr, offset);
            state.bind(mw, &Binding { mr, start, len_bytes, access, qp })
        }
        Op::Invalidate { handle, qp } => state.invalidate_locally(handle, qp),
        Op::CompareSwap { target, expect, swap } => {
            state.atomic(target, Atomic::CompareSwap { expect, swap })
        }
        Op::FetchAdd { target, add } => state.atomic(target, Atomic::FetchAdd { add }),
        Op::Send { from, to, invalidate, qp } => state.send(&Message { from, to, invalidate, qp }),
        Op::Gather { from, target } => state.gather(from, target),
        Op::Scatter { target, into } => state.scatter(target, into),
    }
}
