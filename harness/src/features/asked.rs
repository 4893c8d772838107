//! How an op is asked for: the shape of each of its arguments, whatever the values.

use pinfold_contract::{
    Access, Arg, Backing, Handle, Key, Op, PAGE_BYTES, Position, RegCall, Rereg, Sges, Sharing,
    Target,
};

/// How many shapes an argument has at most.
const SHAPES: u32 = 512;

/// How many arguments an op has at most.
const ARGS: u32 = 8;

/// How many numbers there are for [`asked`].
pub(super) const ASKED: u32 = ARGS * SHAPES;

/// The shapes of the arguments of `op`, each below [`ASKED`].
pub(super) fn asked(mut op: Op) -> Vec<u32> {
    let args = op.args_mut().into_iter().zip(0..ARGS);
    args.map(|(arg, index)| index * SHAPES + shape(&arg)).collect()
}

/// The shape of an argument, below [`SHAPES`]. Which process, slot or window it is says nothing of itself.
fn shape(arg: &Arg<'_>) -> u32 {
    match arg {
        Arg::Mr(_) | Arg::Mw(_) => 0,
        Arg::Proc(proc) | Arg::Child(proc) => u32::from(proc.index() > 0),
        Arg::Pages(pages) => u32::from(pages.page_count()).min(3) << 1 | u32::from(pages.is_huge()),
        Arg::Bytes(at, len) | Arg::FileBytes(at, len) => bytes(**at, u64::from(**len)),
        Arg::Span(span) => bytes(span.start, span.len_bytes),
        Arg::FileEnd(end) => bytes(Position(0), u64::from(end.0)),
        Arg::FileRange(range) => bytes(range.start(), u64::from(range.len_bytes())),
        Arg::File(file) => file.kind() as u32,
        Arg::Backing(backing) => match backing {
            Backing::Anon => 0,
            Backing::Huge => 1,
            Backing::DevZero { page } => 2 | u32::from(*page > 0),
            Backing::File { file, page } => 4 + (file.kind() as u32) * 2 + u32::from(*page > 0),
        },
        Arg::Sharing(sharing) => u32::from(**sharing == Sharing::Shared),
        Arg::Prot(prot) => u32::from(prot.bits()),
        Arg::Advice(advice) => **advice as u32,
        Arg::LockScope(scope) => **scope as u32,
        Arg::Seals(seals) => u32::from(seals.bits()),
        Arg::Chore(chore) => **chore as u32,
        Arg::Switch(on) => u32::from(**on),
        Arg::Tag(tag) => u32::from(**tag > 0),
        Arg::Limit(limit) => size(**limit),
        Arg::PageCount(pages) => pages.map_or(0, |pages| 1 + u32::from(pages).min(2)),
        Arg::Number(number) => match **number {
            0 => 0,
            u64::MAX => 1,
            _ => 2,
        },
        Arg::Access(access) => rights(**access),
        Arg::Pd(pd) => u32::from(pd.index() > 0),
        Arg::RegCall(call) => way(**call),
        Arg::Rereg(Rereg(bits)) => bits & 7 | u32::from(*bits > 7) << 3,
        Arg::Target(target) => aim(target),
        Arg::Len(len) => size(u64::from(**len)),
        Arg::Offset(at) => offset(**at),
        Arg::MwKind(kind) => **kind as u32,
        Arg::Handle(shown) => handle(shown),
        Arg::Invalidate(shown) => shown.as_ref().map_or(0, |shown| 1 + handle(shown)),
        Arg::Sges(sges) => list(sges),
    }
}

/// How many bytes: none, less than an atomic operand, one, less than a page, one, whole ones, or others; or more than there
/// is.
fn size(len_bytes: u64) -> u32 {
    let page = u64::from(PAGE_BYTES);
    match len_bytes {
        0 => 0,
        1..8 => 1,
        8 => 2,
        _ if len_bytes < page => 3,
        _ if len_bytes == page => 4,
        _ if len_bytes > u64::from(u32::MAX) => 5,
        _ => 6 + u32::from(len_bytes.is_multiple_of(page)),
    }
}

/// Where in its page: at the start, in the last byte, where an atomic operand may be, or elsewhere.
fn place(at_bytes: u64) -> u32 {
    match at_bytes % u64::from(PAGE_BYTES) {
        0 => 0,
        at if at == u64::from(PAGE_BYTES) - 1 => 1,
        at => 2 + u32::from(at.is_multiple_of(8)),
    }
}

/// How many bytes, where they begin and end, and whether in huge pages.
fn bytes(start: Position, len_bytes: u64) -> u32 {
    let end = u64::from(start.0).wrapping_add(len_bytes);
    let ends = place(start.0.into()) << 2 | place(end);
    size(len_bytes) << 5 | ends << 1 | u32::from(start.is_huge())
}

/// Rights: the eight that every kernel knows one by one, and whether there are others.
fn rights(Access(bits): Access) -> u32 {
    bits & 0xff | u32::from(bits > 0xff) << 8
}

fn way(call: RegCall) -> u32 {
    let (call, iova) = match call {
        RegCall::Legacy => (0, None),
        RegCall::Iova2 { iova } => (1, iova),
        RegCall::Raw { iova } => (2, iova),
    };
    let at = iova.map_or(0, |iova| 1 + place(iova) + 4 * u32::from(iova > u64::MAX >> 1));
    call << 4 | at
}

fn aim(target: &Target) -> u32 {
    let key = match &target.key {
        Key::Own => 0,
        Key::Stale => 1,
        Key::Of(shown) => 2 + handle(shown),
    };
    (offset(target.offset) << 3 | key) << 1 | u32::from(target.qp.index() > 0)
}

/// Before the start, or where in its page.
fn offset(at_bytes: i32) -> u32 {
    u64::try_from(at_bytes).map_or(4, place)
}

fn handle(shown: &Handle) -> u32 {
    match shown {
        Handle::Mr(_) => 0,
        Handle::Mw(_) => 1,
        Handle::OldMw(_) => 2,
    }
}

/// How many entries, how much in all, and whether one of them is empty.
fn list(sges: &Sges) -> u32 {
    let count = u32::try_from(sges.iter().count()).unwrap_or(u32::MAX).min(7);
    let has_empty = sges.iter().any(|sge| sge.len_bytes == 0);
    (size(sges.len_bytes()) << 3 | count) << 1 | u32::from(has_empty)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pinfold_contract::parse;

    use super::*;
    use crate::generate::Generator;

    fn of(op: &str) -> Vec<u32> {
        let file = parse(&format!("# pinfold 1\n{op}\n")).expect("an op");
        asked(file.sequence.ops[0])
    }

    #[test]
    fn every_op_that_is_drawn_has_a_shape_for_each_argument() {
        let generator = Generator::new(1);
        let mut shapes = BTreeSet::new();
        for mut op in (0..500).flat_map(|index| generator.sequence(index).ops) {
            let count = op.args_mut().len();
            assert!(count <= ARGS as usize && op.args_mut().iter().all(|arg| shape(arg) < SHAPES));
            shapes.extend(asked(op));
        }
        assert!(shapes.len() > 300, "{}", shapes.len());
    }

    #[test]
    fn what_a_rule_may_look_at_is_another_shape() {
        let differ = [
            ["reg mr0 0..1 remote_read", "reg mr0 0..1 none"],
            ["reg mr0 0..1 remote_read", "reg mr0 0+1..1 remote_read"],
            ["read_remote mr0+0 8", "read_remote mr0+4095 8"],
            ["read_remote mr0+0 8", "read_remote mr0-8 8"],
            ["read_remote mr0+0 8", "read_remote mr0+0 0"],
            ["read_remote mr0+0 8", "read_remote mr0+0 8 key=stale"],
            ["truncate memfd0 1", "truncate memfd0 1+1"],
        ];
        for [one, other] in differ {
            assert_ne!(of(one), of(other), "{one}");
        }
        assert_eq!(of("reg mr0 0..1 remote_read"), of("reg mr1 4..5 remote_read"));
    }
}
