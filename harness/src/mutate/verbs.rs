//! Rights one bit away, keys live and dead, lists longer and shorter.

use pinfold_contract::{
    ARENA_BASE, Access, Key, PAGE_BYTES, RegCall, Rereg, SGES_MAX, Sge, Sges, Target,
};

use super::argument::other_pd;
use super::values::Values;
use crate::draw::Draw;

/// How many of the lowest access flags have a meaning.
const FLAGS: usize = 10;

/// One flag away, or as elsewhere in the sequence.
pub(super) fn access(access: &mut Access, values: &Values, draw: &mut Draw) {
    *access = match draw.below(8) {
        0 => Access(access.0 ^ 1 << draw.below(32)),
        1 | 2 => draw.one_of(&values.accesses),
        _ => Access(access.0 ^ 1 << draw.below(FLAGS)),
    };
}

/// Another way, or another iova: none, zero, an address of the arena, or at the end of the address space.
pub(super) fn call(call: &mut RegCall, values: &Values, draw: &mut Draw) {
    let iova = match draw.below(4) {
        0 => None,
        1 => Some(0),
        2 => Some(ARENA_BASE + u64::from(values.byte(draw))),
        _ => Some(u64::from(PAGE_BYTES).wrapping_neg().wrapping_add(u64::from(values.byte(draw)))),
    };
    *call = match draw.below(4) {
        0 => RegCall::Legacy,
        1 => RegCall::Raw { iova },
        _ => RegCall::Iova2 { iova },
    };
}

/// One bit away, mostly one that means something.
pub(super) fn rereg(what: &mut Rereg, draw: &mut Draw) {
    let bit = if draw.one_in(8) { draw.below(32) } else { draw.below(3) };
    what.0 ^= 1 << bit;
}

/// Another MR, place, key or queue pair.
pub(super) fn target(target: &mut Target, values: &Values, draw: &mut Draw) {
    match draw.below(4) {
        0 => target.mr = values.mr(draw),
        1 => target.offset = values.offset(draw),
        2 => target.qp = other_pd(target.qp),
        _ => {
            target.key = match draw.below(6) {
                0 => Key::Own,
                1 => Key::Stale,
                _ => Key::Of(values.handle(draw)),
            };
        }
    }
}

/// One entry more, one less, or one that is another.
pub(super) fn sges(sges: &mut Sges, values: &Values, draw: &mut Draw) {
    let mut entries: Vec<Sge> = sges.iter().collect();
    let index = draw.below(entries.len());
    match draw.below(3) {
        0 if entries.len() < SGES_MAX => entries.insert(index, values.sge(draw)),
        1 if !entries.is_empty() => _ = entries.remove(index),
        _ => entries.iter_mut().skip(index).take(1).for_each(|entry| *entry = values.sge(draw)),
    }
    *sges = Sges::new(&entries).expect("no more than there may be");
}
