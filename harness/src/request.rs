//! What a work request asks for, as far as the rules of keys look at it.

use pinfold_contract::{Access, Arg, Op, OpKind, Pd, Target};

/// Where a remote op goes and what it shows there.
pub(crate) fn target_of(mut op: Op) -> Option<Target> {
    let mut args = op.args_mut().into_iter();
    args.find_map(|arg| if let Arg::Target(target) = arg { Some(*target) } else { None })
}

/// Over which queue pairs an op without a target goes.
pub(crate) fn qp_of(mut op: Op) -> Pd {
    let pds = op.args_mut().into_iter();
    let mut pds = pds.filter_map(|arg| if let Arg::Pd(pd) = arg { Some(*pd) } else { None });
    pds.next().unwrap_or_default()
}

/// How many bytes a remote op is about: as it says, as its list says, or those of a number.
pub(crate) fn len_of(mut op: Op) -> u64 {
    let mut len = 0;
    for arg in op.args_mut() {
        if let Arg::Len(bytes) = arg {
            len += u64::from(*bytes);
        } else if let Arg::Sges(sges) = arg {
            len += sges.len_bytes();
        } else if let Arg::Number(_) = arg {
            len = 8;
        }
    }
    len
}

/// The right that a remote op needs: it writes, is atomic, or reads.
pub(crate) fn right_of(mut op: Op) -> Access {
    let is_atomic = op.args_mut().into_iter().any(|arg| matches!(arg, Arg::Number(_)));
    if is_atomic {
        Access::REMOTE_ATOMIC
    } else if op.tag().is_some() || op.kind() == OpKind::Gather {
        Access::REMOTE_WRITE
    } else {
        Access::REMOTE_READ
    }
}
