//! The memory bill of a registration: what it made the kernel allocate, copy and charge.
//!
//! A measurement, not a judgement: it compares the state before a `reg` (or `rereg`)
//! with the state after it, on one side, in the process that registers.

use std::collections::BTreeSet;
use std::fmt;

use pinfold_contract::{Checkpoint, Mr, Op, PAGE_BYTES, Proc, ProcView, Sequence, Trace};

use super::names::{Named, Names, ZERO};
use crate::model::PredictedStep;

/// What one `reg` cost on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// The op.
    pub op_index: usize,
    /// The MR.
    pub mr: Mr,
    /// What it costs in the model, if the state was looked at before and after.
    pub model: Option<Cost>,
    /// What it cost on the target, likewise.
    pub target: Option<Cost>,
}

/// What one `reg` cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Frames that no process showed before. The zero page is none.
    pub frames_allocated: usize,
    /// Pages that were there, and are on another frame now.
    pub cow_broken: usize,
    /// What `VmPin` grew by, in bytes.
    pub pinned_bytes: i64,
    /// What the resident set grew by, in bytes: `RssAnon`, `RssShmem` and `RssFile`.
    pub resident_bytes: i64,
}

impl Cost {
    /// As an expectation in a `.seq` file has it: `frames=1 cow=0 pin=4 rss=4`.
    pub fn in_short(&self) -> String {
        format!(
            "frames={} cow={} pin={} rss={}",
            self.frames_allocated,
            self.cow_broken,
            self.pinned_bytes / 1024,
            self.resident_bytes / 1024
        )
    }
}

/// `1 frame, 0 COW, pin 4 KiB, rss 4 KiB`.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.frames_allocated == 1 { "" } else { "s" };
        write!(
            f,
            "{} frame{plural}, {} COW, pin {} KiB, rss {} KiB",
            self.frames_allocated,
            self.cow_broken,
            self.pinned_bytes / 1024,
            self.resident_bytes / 1024
        )
    }
}

/// The bill of each `reg` of `sequence` that was carried out on either side, in order.
pub fn bills(sequence: &Sequence, predicted: &[PredictedStep], trace: &Trace) -> Vec<Bill> {
    let mut names = Names::default();
    let start = Checkpoint::default();
    let mut before = (Some(&start), Some(&start));
    let mut bills = Vec::new();
    for (op_index, (op, prediction)) in sequence.ops.iter().zip(predicted).enumerate() {
        let step = trace.steps.get(op_index);
        let model = prediction.checkpoint.as_ref();
        let target = step.and_then(|step| step.checkpoint.as_ref());
        let named = names.of(model, &prediction.held, target);
        if let Some(mr) = registers(*op) {
            bills.push(Bill {
                op_index,
                mr,
                model: cost(before.0, model, &|frame| named.model(frame) == ZERO),
                target: cost(before.1, target, &|frame| is_zero(&named, frame)),
            });
        }
        before = (model, target);
    }
    bills
}

fn registers(op: Op) -> Option<Mr> {
    if let Op::Reg { mr, .. } | Op::Rereg { mr, .. } = op { Some(mr) } else { None }
}

fn is_zero(named: &Named, frame: u64) -> bool {
    named.target(frame) == ZERO
}

fn cost(
    before: Option<&Checkpoint>,
    after: Option<&Checkpoint>,
    is_zero: &dyn Fn(u64) -> bool,
) -> Option<Cost> {
    let (before, after) = (before?, after?);
    let registrar = |checkpoint: &'_ Checkpoint| {
        checkpoint.procs.iter().find(|view| view.proc == Proc::P0).cloned()
    };
    // Before the first op it has nothing.
    let new = registrar(after)?;
    let old = registrar(before).unwrap_or_else(|| ProcView::empty(Proc::P0));
    let known: BTreeSet<u64> =
        before.procs.iter().flat_map(|view| &view.pages).map(|page| page.frame).collect();
    let frames: BTreeSet<u64> = new.pages.iter().map(|page| page.frame).collect();
    let moved = |page: u8, frame: u64| {
        old.pages.iter().any(|other| other.page == page && other.frame != frame)
    };
    let bytes = |pages: i64| pages * i64::from(PAGE_BYTES);
    Some(Cost {
        frames_allocated: frames.difference(&known).filter(|frame| !is_zero(**frame)).count(),
        cow_broken: new.pages.iter().filter(|page| moved(page.page, page.frame)).count(),
        pinned_bytes: bytes(new.vm_pin - old.vm_pin),
        resident_bytes: bytes(resident(&new) - resident(&old)),
    })
}

fn resident(view: &ProcView) -> i64 {
    view.rss_anon + view.rss_shmem + view.rss_file
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{Observe, parse};

    use super::*;
    use crate::model::{Fault, perform, predict};
    use crate::profile::Profile;

    fn bills_of(ops: &str, fault: Option<Fault>, observe: Observe) -> Vec<Bill> {
        let sequence = parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence;
        let predicted = predict(Profile::newest(), &sequence, observe);
        bills(&sequence, &predicted, &perform(Profile::newest(), fault, &sequence, observe))
    }

    #[test]
    fn untouched_memory_costs_a_frame_a_page() {
        let ops = "map 0..4 anon private rw\nreg mr0 0..3 local_write\n";
        let cost = bills_of(ops, None, Observe::Each)[0].model.unwrap();
        assert_eq!((cost.frames_allocated, cost.cow_broken), (3, 0));
        assert_eq!((cost.pinned_bytes, cost.resident_bytes), (12288, 12288));
        assert_eq!(cost.to_string(), "3 frames, 0 COW, pin 12 KiB, rss 12 KiB");
    }

    #[test]
    fn memory_shared_after_fork_is_copied_and_that_is_on_the_bill() {
        let ops = "map 0..1 anon private rw\nwrite 0 8 0x22\nfork p1\nreg mr0 0..1 local_write\n";
        let cost = bills_of(ops, None, Observe::Each)[0].model.unwrap();
        assert_eq!((cost.frames_allocated, cost.cow_broken), (1, 1));
        assert_eq!((cost.pinned_bytes, cost.resident_bytes), (4096, 0));
    }

    #[test]
    fn a_pinned_zero_page_costs_no_frame_and_is_the_cheaper_bill_of_a_wrong_kernel() {
        let ops = "map 0..1 anon private rw\nreg mr0 0..1 remote_read\n";
        let bill = &bills_of(ops, Some(Fault::StaleReadOnlyPin), Observe::Each)[0];
        assert_eq!(bill.model.unwrap().frames_allocated, 1);
        assert_eq!(bill.target.unwrap().frames_allocated, 0);
        assert_eq!(bill.target.unwrap().resident_bytes, 0);
    }

    #[test]
    fn what_was_not_looked_at_has_no_bill() {
        let ops = "map 0..1 anon private rw\nreg mr0 0..1 remote_read\nread 0 8\n";
        let bill = &bills_of(ops, None, Observe::End)[0];
        assert_eq!((bill.model, bill.target), (None, None));
    }
}
