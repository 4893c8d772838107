//! Leaves out of random sequences what is known to kill kernels, for a kernel that others use.
//!
//! Whoever asks for such an op with a sequence of his own gets it.

use pinfold_contract::{Handle, Op, Sequence};

/// `sequence` without the invalidation of windows: one that is bound to nothing takes the kernel down
/// (`corpus/defects/invalidate-free-window/README.md`), and whether it is bound when its turn comes is not always known.
pub fn spared(sequence: Sequence) -> Sequence {
    let mut ops = sequence.ops;
    ops.retain(|op| !matches!(op, Op::Invalidate { handle, .. } if is_window(*handle)));
    for op in &mut ops {
        if let Op::Send { invalidate, .. } = op {
            invalidate.take_if(|handle| is_window(*handle));
        }
    }
    Sequence { ops }
}

fn is_window(handle: Handle) -> bool {
    match handle {
        Handle::Mw(_) | Handle::OldMw(_) => true,
        Handle::Mr(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::parse;

    use super::*;

    #[test]
    fn windows_are_not_invalidated_and_regions_are() {
        let sequence = |ops: &str| parse(&format!("# pinfold 1\n{ops}")).unwrap().sequence;
        let given = "invalidate mw0\ninvalidate mr0\nsend mr0+0:8 mr0+8:8 inv=mw0\nfork p1\n";
        let left = "invalidate mr0\nsend mr0+0:8 mr0+8:8\nfork p1\n";
        assert_eq!(spared(sequence(given)), sequence(left));
    }
}
