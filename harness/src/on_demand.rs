//! Leaves requests for on-demand paging out of random sequences where the model has no rules for it.
//!
//! A sequence of the user's that has one is run, and its verdict is inconclusive from there on.

use pinfold_contract::{Access, Op, Sequence};

use crate::profile::{OnDemand, Profile};

/// `sequence` without the access bit ON_DEMAND, if `profile` has no rules for it; and from how many ops it was taken.
pub fn without_on_demand(profile: &Profile, sequence: Sequence) -> (Sequence, u64) {
    match profile.on_demand {
        OnDemand::Refused(_) => (sequence, 0),
        OnDemand::NotModelled => {
            let mut ops = sequence.ops;
            let count = ops.iter_mut().map(|op| u64::from(take_bit(op))).sum();
            (Sequence { ops }, count)
        }
    }
}

fn take_bit(op: &mut Op) -> bool {
    let (Op::Reg { access, .. } | Op::Rereg { access, .. }) = op else { return false };
    let has_bit = access.has(Access::ON_DEMAND);
    *access = access.without(Access::ON_DEMAND);
    has_bit
}

#[cfg(test)]
mod tests {
    use pinfold_contract::parse;

    use super::*;
    use crate::profile::{Platform, linux};

    fn sequence(access: &str) -> Sequence {
        let ops = format!("map 0..1 anon private rw\nreg mr0 0..1 {access}remote_read\n");
        parse(&format!("# pinfold 1\n{ops}rereg mr0 access 0..1 {access}remote_read\n"))
            .unwrap()
            .sequence
    }

    #[test]
    fn the_bit_is_taken_where_nothing_is_known_of_it_and_counted() {
        let without = Profile { on_demand: OnDemand::NotModelled, ..*linux("6.12") };
        let given = sequence("on_demand|");
        let (left, count) = without_on_demand(&without, given.clone());
        assert_eq!(left, sequence(""));
        assert_eq!(count, 2);
        for platform in Platform::ALL {
            let same = without_on_demand(linux("6.12").on(platform), given.clone());
            assert_eq!(same, (given.clone(), 0));
        }
    }
}
