//! One argument of one op with another value.

use pinfold_contract::{
    Advice, Arg, Chore, File, LockScope, MwKind, Op, PAGE_BYTES, Pd, Proc, Prot, Seals, Sharing,
};

use super::values::Values;
use super::{places, verbs};
use crate::draw::Draw;

pub(super) fn change_one(ops: &mut [Op], draw: &mut Draw) {
    let values = Values::of(ops);
    let index = draw.below(ops.len());
    let Some(op) = ops.get_mut(index) else { return };
    let mut args = op.args_mut();
    let index = draw.below(args.len());
    change(args.swap_remove(index), &values, draw);
}

/// Gives `arg` another value, or by chance the same.
fn change(arg: Arg<'_>, values: &Values, draw: &mut Draw) {
    match arg {
        Arg::Proc(proc) | Arg::Child(proc) => {
            *proc = draw.one_of(&Proc::all().collect::<Vec<_>>());
        }
        Arg::Pages(pages) => places::pages(pages, values, draw),
        Arg::Bytes(at, len) => places::bytes((at, len), values.range(draw), draw),
        Arg::Span(span) => places::span(span, values, draw),
        Arg::FileBytes(at, len) => places::bytes((at, len), values.file_range(draw), draw),
        Arg::FileEnd(end) => end.0 = values.file_byte(draw),
        Arg::FileRange(range) => *range = values.file_range(draw),
        Arg::File(file) => *file = draw.one_of(&File::all().collect::<Vec<_>>()),
        Arg::Backing(backing) => places::backing(backing, values, draw),
        Arg::Sharing(sharing) => {
            *sharing = match sharing {
                Sharing::Private => Sharing::Shared,
                Sharing::Shared => Sharing::Private,
            };
        }
        Arg::Prot(prot) => *prot = Prot::from_bits(prot.bits() ^ 1 << draw.below(3)),
        Arg::Advice(advice) => *advice = draw.one_of(&Advice::ALL).0,
        Arg::LockScope(scope) => *scope = draw.one_of(&LockScope::ALL).0,
        Arg::Seals(seals) => *seals = Seals::from_bits(seals.bits() ^ 1 << draw.below(5)),
        Arg::Chore(chore) => *chore = draw.one_of(&Chore::ALL).0,
        Arg::Switch(on) => *on = !*on,
        Arg::Tag(tag) => change_tag(tag, values, draw),
        Arg::Limit(bytes) => change_limit(bytes, values, draw),
        Arg::PageCount(pages) => {
            let few = u16::from(draw.page(8));
            *pages = if draw.one_in(4) { None } else { Some(few) };
        }
        Arg::Number(number) => change_number(number, values, draw),
        Arg::Mr(mr) => *mr = values.mr(draw),
        Arg::Access(access) => verbs::access(access, values, draw),
        Arg::Pd(pd) => *pd = other_pd(*pd),
        Arg::RegCall(call) => verbs::call(call, values, draw),
        Arg::Rereg(what) => verbs::rereg(what, draw),
        Arg::Target(target) => verbs::target(target, values, draw),
        Arg::Len(len) => *len = values.len(draw),
        Arg::Offset(offset) => *offset = values.offset(draw),
        Arg::Mw(mw) => *mw = values.mw(draw),
        Arg::MwKind(kind) => {
            *kind = match kind {
                MwKind::Type1 => MwKind::Type2,
                MwKind::Type2 => MwKind::Type1,
            };
        }
        Arg::Handle(handle) => *handle = values.handle(draw),
        Arg::Invalidate(handle) => {
            *handle = if draw.one_in(3) { None } else { Some(values.handle(draw)) };
        }
        Arg::Sges(sges) => verbs::sges(sges, values, draw),
    }
}

pub(super) fn other_pd(pd: Pd) -> Pd {
    Pd::new(u8::from(pd == Pd::FIRST)).expect("there are two")
}

/// The bytes of another op, so that old and new ones cannot be told apart, zero, or bytes one bit away.
fn change_tag(tag: &mut u8, values: &Values, draw: &mut Draw) {
    *tag = match draw.below(4) {
        0 => 0,
        1 => *tag ^ 1 << draw.below(8),
        _ => draw.one_of(&values.tags),
    };
}

/// None, nothing, a page or a byte away, or around what ranges of the sequence need.
fn change_limit(bytes: &mut u64, values: &Values, draw: &mut Draw) {
    let page = u64::from(PAGE_BYTES);
    *bytes = match draw.below(6) {
        0 => 0,
        1 => u64::MAX,
        2 => bytes.saturating_add(draw.one_of(&[1, page])),
        3 => bytes.saturating_sub(draw.one_of(&[1, page])),
        _ => values.len(draw).into(),
    };
}

/// Zero, a bit away, any number, or what eight bytes of the sequence are.
fn change_number(number: &mut u64, values: &Values, draw: &mut Draw) {
    *number = match draw.below(4) {
        0 => 0,
        1 => *number ^ 1 << draw.below(64),
        2 => draw.any_u64(),
        _ => {
            let tag = values.tags.get(draw.below(values.tags.len())).copied();
            u64::from(tag.unwrap_or(u8::MAX)) * 0x0101_0101_0101_0101
        }
    };
}
