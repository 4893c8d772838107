//! What every registration of a run cost, and the sums over those that two kernels both carried out.

use std::collections::BTreeMap;

use pinfold_contract::{Access, Op, Outcome, Sequence, Trace};
use serde::{Deserialize, Serialize};

use crate::explain::{Cost, bills};
use crate::model::PredictedStep;

/// The registrations of one run on one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    entries: BTreeMap<(u64, usize), Entry>,
}

/// One registration.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    access: Option<Access>,
    outcome: Outcome,
    cost: Option<Cost>,
}

/// What registrations cost together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// How many.
    pub registrations: u64,
    /// Frames that were allocated for them.
    pub frames_allocated: u64,
    /// Pages that were moved to a frame of their own.
    pub cow_broken: u64,
    /// What they charged to the limit on locked memory, in bytes.
    pub pinned_bytes: i64,
    /// What the resident set grew by, in bytes.
    pub resident_bytes: i64,
}

/// The same registrations on two kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// What they cost without the patch.
    pub base: Sum,
    /// What they cost with it.
    pub patched: Sum,
}

impl Ledger {
    /// Enters the registrations of sequence `index`, as far as the target came with it.
    pub fn record(
        &mut self,
        index: u64,
        sequence: &Sequence,
        predicted: &[PredictedStep],
        trace: &Trace,
    ) {
        for bill in bills(sequence, predicted, trace) {
            let Some(step) = trace.steps.get(bill.op_index) else { continue };
            let access = access(sequence.ops[bill.op_index]);
            let entry = Entry { access, outcome: step.outcome.clone(), cost: bill.target };
            self.entries.insert((index, bill.op_index), entry);
        }
    }

    /// What the first registration of sequence `index` that has any came to on this kernel, and what it cost if it was
    /// carried out.
    pub(super) fn first_of(&self, index: u64) -> Option<(&Outcome, Option<Cost>)> {
        let (_, entry) = self.entries.range((index, 0)..(index + 1, 0)).next()?;
        Some((&entry.outcome, entry.done()))
    }
}

impl Entry {
    fn done(&self) -> Option<Cost> {
        (self.outcome == Outcome::Done).then_some(self.cost).flatten()
    }

    /// A reregistration may change other things than rights: it is counted by itself.
    fn name(&self) -> &'static str {
        let writes = Access::LOCAL_WRITE.with(Access::REMOTE_WRITE).with(Access::REMOTE_ATOMIC);
        match self.access {
            None => "reregistered",
            Some(access) if access.has_any(writes) => "for writing",
            Some(_) => "for reading",
        }
    }
}

impl Sum {
    fn add(&mut self, cost: Cost) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.registrations += 1;
        self.frames_allocated += count(cost.frames_allocated);
        self.cow_broken += count(cost.cow_broken);
        self.pinned_bytes += cost.pinned_bytes;
        self.resident_bytes += cost.resident_bytes;
    }
}

fn access(op: Op) -> Option<Access> {
    if let Op::Reg { access, .. } = op { Some(access) } else { None }
}

/// What the registrations cost that both kernels carried out, by what they are for. Those of one kernel alone are in
/// neither sum: they would compare nothing.
pub fn sums(base: &Ledger, patched: &Ledger) -> BTreeMap<String, Sums> {
    let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
    for (place, entry) in &base.entries {
        let other = patched.entries.get(place);
        let (Some(before), Some(after)) = (entry.done(), other.and_then(Entry::done)) else {
            continue;
        };
        let sum = sums.entry(entry.name().to_owned()).or_default();
        sum.base.add(before);
        sum.patched.add(after);
    }
    sums
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{Observe, parse};

    use super::*;
    use crate::model::{Fault, perform, predict};
    use crate::profile::Profile;

    fn ledger(texts: &[&str], fault: Option<Fault>) -> Ledger {
        let mut ledger = Ledger::default();
        for (index, text) in (0..).zip(texts) {
            let sequence = parse(&format!("# pinfold 1\n{text}")).unwrap().sequence;
            let predicted = predict(Profile::newest(), &sequence, Observe::Each);
            let trace = perform(Profile::newest(), fault, &sequence, Observe::Each);
            ledger.record(index, &sequence, &predicted, &trace);
        }
        ledger
    }

    const READ: &str = "map 0..4 anon private rw\nreg mr0 0..4 remote_read\n";
    const WRITE: &str = "map 0..2 anon private rw\nreg mr0 0..2 local_write\n";
    const REFUSED: &str = "reg mr0 0..2 local_write\n";

    #[test]
    fn the_same_registrations_are_summed_by_what_they_are_for() {
        let right = ledger(&[READ, WRITE], None);
        let wrong = ledger(&[READ, WRITE], Some(Fault::StaleReadOnlyPin));
        let sums = sums(&right, &wrong);
        let reading = sums["for reading"];
        assert_eq!((reading.base.registrations, reading.patched.registrations), (1, 1));
        assert_eq!((reading.base.frames_allocated, reading.patched.frames_allocated), (4, 0));
        assert_eq!(reading.base.pinned_bytes, 16384);
        assert_eq!(sums["for writing"].base, sums["for writing"].patched);
    }

    #[test]
    fn what_one_kernel_did_not_carry_out_is_in_no_sum() {
        assert_eq!(sums(&ledger(&[REFUSED], None), &ledger(&[REFUSED], None)), BTreeMap::new());
        assert_eq!(sums(&ledger(&[READ], None), &Ledger::default()), BTreeMap::new());
    }
}
