//! The ops of a sequence, one row each, with who was alive.

use pinfold_contract::{End, Op, Outcome, Proc, print_op};

use super::{Evidence, words};

/// What a lane shows in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Nobody is there.
    Empty,
    /// Alive, and not acting.
    Alive,
    /// It acts.
    Acts,
    /// It is born in this op.
    Born,
    /// It acts for the last time.
    Ends,
}

/// Who has a lane, and the rows.
pub(super) struct Timeline {
    pub(super) lanes: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// One op.
pub(super) struct Row {
    pub(super) index: usize,
    pub(super) op: String,
    pub(super) gloss: String,
    /// One a lane.
    pub(super) lanes: Vec<Lane>,
    pub(super) predicted: String,
    pub(super) seen: String,
    /// Whether the result is one that a right kernel gives.
    pub(super) is_right: bool,
    /// Whether both sides part here.
    pub(super) diverges: bool,
}

/// The timeline of `evidence`, which diverges in op `op_index`.
pub(super) fn timeline(evidence: &Evidence, op_index: usize) -> Timeline {
    let ops = &evidence.sequence.ops;
    let procs: Vec<Proc> = Proc::all()
        .filter(|&proc| proc == Proc::P0 || ops.iter().any(|op| born(op) == Some(proc)))
        .collect();
    let has_adapter = ops.iter().any(words::is_remote);
    let mut alive = vec![false; procs.len()];
    alive[0] = true;
    let mut rows = Vec::new();
    for (index, op) in ops.iter().enumerate() {
        let outcome = evidence.predicted.get(index).map(|step| step.prediction.expected());
        let worked = outcome != Some(&Outcome::Skipped);
        let mut lanes: Vec<Lane> = Vec::new();
        for (proc, alive) in procs.iter().zip(&mut alive) {
            lanes.push(lane(op, *proc, *alive, worked));
            *alive = (*alive && !ends(op, *proc, worked)) || (worked && born(op) == Some(*proc));
        }
        if has_adapter {
            lanes.push(if words::is_remote(op) { Lane::Acts } else { Lane::Alive });
        }
        rows.push(row(evidence, index, op, lanes, op_index));
    }
    let adapter = has_adapter.then(|| "nic".to_owned());
    Timeline { lanes: procs.iter().map(ToString::to_string).chain(adapter).collect(), rows }
}

fn row(evidence: &Evidence, index: usize, op: &Op, lanes: Vec<Lane>, op_index: usize) -> Row {
    let prediction = evidence.predicted.get(index).map(|step| &step.prediction);
    let step = evidence.trace.steps.get(index);
    let seen = match (step, &evidence.trace.end) {
        (Some(step), _) => step.outcome.to_string(),
        (None, End::Hung { .. }) if index == evidence.trace.steps.len() => "hung".to_owned(),
        (None, End::Died { .. }) if index == evidence.trace.steps.len() => "kernel died".to_owned(),
        (None, End::Finished { .. } | End::Hung { .. } | End::Died { .. }) => {
            "not reached".to_owned()
        }
    };
    let is_right = match (prediction, step) {
        (Some(prediction), Some(step)) => prediction.allows(&step.outcome),
        (None, _) | (_, None) => false,
    };
    Row {
        index,
        op: print_op(op),
        gloss: words::gloss(op),
        lanes,
        predicted: prediction.map_or_else(String::new, ToString::to_string),
        seen,
        is_right,
        diverges: index == op_index,
    }
}

fn lane(op: &Op, proc: Proc, is_alive: bool, worked: bool) -> Lane {
    let acts = op.proc() == proc && !words::is_remote(op);
    match (is_alive, acts, worked && born(op) == Some(proc)) {
        (false, _, true) => Lane::Born,
        (false, _, false) => Lane::Empty,
        (true, true, _) if ends(op, proc, worked) => Lane::Ends,
        (true, true, _) => Lane::Acts,
        (true, false, _) => Lane::Alive,
    }
}

fn born(op: &Op) -> Option<Proc> {
    op.child()
}

fn ends(op: &Op, proc: Proc, worked: bool) -> bool {
    worked && *op == Op::Exit { proc }
}
