//! Atomic ops on 8 bytes.

use pinfold_contract::{Access, Outcome, Runs, Target, WcStatus};

use super::planted::Planted;
use super::state::State;
use super::{Fault, Prediction};

/// How many bytes an atomic op works on, and at a multiple of what.
pub(super) const ATOMIC_BYTES: u32 = 8;

/// What an atomic op makes of what is there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Atomic {
    /// Puts `swap` there if `expect` is there.
    CompareSwap {
        /// What must be there.
        expect: u64,
        /// What is put there.
        swap: u64,
    },
    /// Adds.
    FetchAdd {
        /// So much.
        add: u64,
    },
}

impl Atomic {
    fn apply(self, was: u64, fault: &Planted) -> u64 {
        match self {
            Atomic::CompareSwap { expect, swap } if was == expect => swap,
            Atomic::CompareSwap { swap, .. } if fault.is(Fault::SwapWithoutCompare) => swap,
            Atomic::CompareSwap { .. } => was,
            Atomic::FetchAdd { add } if fault.is(Fault::NarrowFetchAdd) => {
                let (low, high) = (u64::from(u32::MAX), u64::from(u32::MAX) << u32::BITS);
                (was & high) | (was.wrapping_add(add) & low)
            }
            Atomic::FetchAdd { add } => was.wrapping_add(add),
        }
    }
}

impl State<'_> {
    /// An atomic op. Its value is what was there.
    ///
    /// rxe looks at key and range before alignment. The specification leaves the order open.
    ///
    /// Source: `check_rkey()`, drivers/infiniband/sw/rxe/rxe_resp.c, 6.1 and 6.12;
    /// `atomic_reply()`, rxe_resp.c, 6.1; `rxe_mr_do_atomic_op()`, rxe_mr.c, 6.12.
    pub(super) fn atomic(&mut self, target: Target, op: Atomic) -> Prediction {
        let refused = Outcome::Completion(WcStatus::REM_ACCESS_ERR);
        let misaligned = Outcome::Completion(WcStatus::REM_INV_REQ_ERR);
        let len = u64::from(ATOMIC_BYTES);
        let aligned = self.address(target.mr, target.offset).is_multiple_of(len);
        match self.granted(target, len, Access::REMOTE_ATOMIC) {
            None if aligned => Prediction::only(refused),
            None => Prediction::any_of(refused, vec![misaligned]),
            // A zero-based window may begin at any byte, so the place decides, not the address.
            Some((mr, offset))
                if self.address(mr, 0).wrapping_add(u64::from(offset)).is_multiple_of(len) =>
            {
                let bytes = self.adapter_bytes(&self.mrs[&mr], offset, ATOMIC_BYTES);
                let was = value_of(&bytes);
                self.adapter_store(
                    mr,
                    offset,
                    &Runs::of(&op.apply(was, &self.fault).to_le_bytes()),
                );
                if self.mrs[&mr].wraps() {
                    return Prediction::unordered(Outcome::Value(bytes), vec![refused]);
                }
                Prediction::only(Outcome::Value(bytes))
            }
            Some(_) => Prediction::any_of(misaligned, vec![refused]),
        }
    }
}

/// The number in 8 bytes as x86-64 has it in memory.
fn value_of(bytes: &Runs) -> u64 {
    let bytes = bytes.iter().flat_map(|(len, byte)| (0..len).map(move |_| byte));
    bytes
        .zip((0..u64::BITS).step_by(8))
        .fold(0, |value, (byte, shift)| value | u64::from(byte) << shift)
}
