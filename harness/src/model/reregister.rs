//! Reregistration: the command `REREG_MR` of uverbs.

use pinfold_contract::{Access, Errno, Mr, Outcome, Pd, Rereg};

use super::gup::is_writable;
use super::state::State;
use super::{Fault, Prediction};

impl State<'_> {
    /// Reregisters `mr`, which is live: all that is asked for, or nothing.
    ///
    /// Key, address and pages stay: nothing here supports new memory.
    ///
    /// Source: `ib_uverbs_rereg_mr()`, drivers/infiniband/core/uverbs_cmd.c, 6.1 and 6.12;
    /// `rxe_rereg_user_mr()`, drivers/infiniband/sw/rxe/rxe_verbs.c, 6.12.
    pub(super) fn reregister(&mut self, mr: Mr, what: Rereg, access: Access, pd: Pd) -> Prediction {
        let outcome = |errno: &Errno| Outcome::Errno(*errno);
        if what.has(Rereg::ACCESS) {
            self.follow_on_demand(access);
        }
        let refusals = self.rereg_refusals(mr, what, access);
        if let Some((first, others)) = refusals.split_first() {
            return Prediction::any_of(outcome(first), others.iter().map(outcome).collect());
        }
        let state = self.mrs.get_mut(&mr).expect("an op on an empty slot is skipped");
        if what.has(Rereg::ACCESS) {
            state.access = access;
        }
        if what.has(Rereg::PD) {
            state.pd = pd;
        }
        Prediction::only(Outcome::Done)
    }

    /// Every reason to refuse, in the order in which 6.12 finds them.
    fn rereg_refusals(&self, mr: Mr, what: Rereg, access: Access) -> Vec<Errno> {
        let profile = self.profile;
        if profile.rereg_changes.0 == 0 {
            return vec![Errno::EOPNOTSUPP];
        }
        if what.0 == 0 {
            return vec![Errno::EINVAL];
        }
        let mut refusals = Vec::new();
        if what.without(profile.rereg_changes).0 != 0 {
            refusals.push(Errno::EOPNOTSUPP);
        }
        if what.has(Rereg::ACCESS) {
            refusals.extend(self.access_refusals(access));
            // `ib_umem_check_rereg()`, drivers/infiniband/core/umem.c, 6.12: pages pinned for reading
            // are not the process's alone, so nobody may come to write to them.
            let pinned = self.mrs[&mr].pinned_for_writing || self.has(Fault::ReaderMadeWriter);
            if is_writable(access) && !pinned {
                refusals.push(Errno::EACCES);
            }
            // Nor do pages that were taken as they are come to show what the CPU writes.
            if self.mrs[&mr].keeps_pages && !self.keeps_pages(access) {
                refusals.push(Errno::EACCES);
            }
        }
        // The rights of a window come from those of the MR, so the specification denies it as
        // it denies deregistration. rxe tests this in `rxe_dereg_mr()` alone.
        if self.has_windows(mr) {
            refusals.extend([Errno::EINVAL, Errno::EBUSY]);
        }
        refusals
    }
}
