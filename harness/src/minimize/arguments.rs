//! Simpler arguments for one op: each pass is a function from an op to guesses that are the same op with less to say.
//!
//! A pass knows kinds of argument, not kinds of op. A guess may be anything; whoever tries it takes none that is not
//! simpler by [`rank`](super::rank).

use pinfold_contract::{
    ARENA_PAGES, Access, Arg, Backing, ByteRange, File, Handle, Key, LockScope, Mr, Mw, MwKind, Op,
    PAGE_BYTES, PageRange, Pd, Position, Proc, Prot, RegCall, Rereg, Seals, Sge, Sges, Sharing,
    Span, Target,
};

use super::rank::op_rank;

/// A pass over the arguments of one op.
type Pass = fn(Op) -> Vec<Op>;

/// Every pass, in the order in which they are tried.
pub(super) const PASSES: [(&str, Pass); 14] = [
    ("process toward p0", toward_p0),
    ("backing toward anon, file toward the first", toward_anon),
    ("shared toward private", toward_private),
    ("protection toward rw", toward_rw),
    ("switches off, fewer seals, one lock", toward_off),
    ("fewer flags", fewer_flags),
    ("plain call, plain window, first protection domain", toward_plain_verbs),
    ("key toward own", toward_own_key),
    ("shorter lists", shorter_lists),
    ("fewer pages, toward page 0", fewer_pages),
    ("offset toward 0", toward_no_offset),
    ("length toward 8 bytes", toward_eight_bytes),
    ("tag toward 0x11, limit and number toward 0", toward_plain_values),
    ("slot toward the first", toward_first_slot),
];

/// What `pass` has to offer that is simpler than `op`, the simplest first.
pub(super) fn simpler(op: Op, pass: Pass) -> Vec<Op> {
    let mut guesses = pass(op);
    guesses.retain(|&guess| op_rank(guess) < op_rank(op));
    guesses.sort_by_key(|&guess| op_rank(guess));
    guesses.dedup();
    guesses
}

/// `op` with each of its arguments that `pick` knows in turn as each of its `values`.
fn each<T: Copy>(
    op: Op,
    pick: for<'a> fn(Arg<'a>) -> Option<&'a mut T>,
    values: impl Fn(T) -> Vec<T>,
) -> Vec<Op> {
    let count = { op }.args_mut().len();
    let mut guesses = Vec::new();
    for index in 0..count {
        let mut probe = op;
        let Some(&mut old) = probe.args_mut().into_iter().nth(index).and_then(pick) else {
            continue;
        };
        guesses.extend(values(old).into_iter().map(|new| {
            let mut guess = op;
            if let Some(place) = guess.args_mut().into_iter().nth(index).and_then(pick) {
                *place = new;
            }
            guess
        }));
    }
    guesses
}

/// `op` with each of its targets in turn changed so.
fn each_target(op: Op, values: impl Fn(Target) -> Vec<Target>) -> Vec<Op> {
    each(op, |arg| if let Arg::Target(target) = arg { Some(target) } else { None }, values)
}

/// `op` with each entry of each of its lists in turn as each of its `values`.
fn each_sge(op: Op, values: impl Fn(Sge) -> Vec<Sge>) -> Vec<Op> {
    let lists = |sges: Sges| {
        let mut lists = Vec::new();
        for (index, old) in sges.iter().enumerate() {
            lists.extend(values(old).into_iter().map(|new| {
                let mut list = sges;
                list.iter_mut().skip(index).take(1).for_each(|entry| *entry = new);
                list
            }));
        }
        lists
    };
    each(op, |arg| if let Arg::Sges(sges) = arg { Some(sges) } else { None }, lists)
}

fn joined(lists: impl IntoIterator<Item = Vec<Op>>) -> Vec<Op> {
    lists.into_iter().flatten().collect()
}

fn toward_p0(op: Op) -> Vec<Op> {
    each(
        op,
        |arg| if let Arg::Proc(proc) | Arg::Child(proc) = arg { Some(proc) } else { None },
        |_| Proc::all().collect(),
    )
}

fn toward_anon(op: Op) -> Vec<Op> {
    let backings = |backing: Backing| {
        // Huge pages show nothing else.
        let mut simpler = if backing == Backing::Huge { Vec::new() } else { vec![Backing::Anon] };
        match backing {
            Backing::Anon | Backing::Huge => {}
            Backing::File { file, page } => {
                simpler.extend(File::all().map(|file| Backing::File { file, page }));
                let low = [0, page.saturating_sub(1)];
                simpler.extend(low.map(|page| Backing::File { file, page }));
            }
            Backing::DevZero { page } => {
                let low = [0, page.saturating_sub(1)];
                simpler.extend(low.map(|page| Backing::DevZero { page }));
            }
        }
        simpler
    };
    joined([
        each(
            op,
            |arg| if let Arg::Backing(backing) = arg { Some(backing) } else { None },
            backings,
        ),
        each(
            op,
            |arg| if let Arg::File(file) = arg { Some(file) } else { None },
            |_| File::all().collect(),
        ),
    ])
}

fn toward_private(op: Op) -> Vec<Op> {
    each(
        op,
        |arg| if let Arg::Sharing(sharing) = arg { Some(sharing) } else { None },
        |_| vec![Sharing::Private],
    )
}

fn toward_rw(op: Op) -> Vec<Op> {
    each(
        op,
        |arg| if let Arg::Prot(prot) = arg { Some(prot) } else { None },
        |_| vec![Prot::RW, Prot::R, Prot::NONE],
    )
}

fn toward_off(op: Op) -> Vec<Op> {
    let fewer_seals = |seals: Seals| {
        (0..5).map(|bit| seals.without(Seals::from_bits(1 << bit))).collect::<Vec<_>>()
    };
    let one_lock = |scope: LockScope| match scope {
        LockScope::Both => vec![LockScope::Current, LockScope::Future],
        LockScope::Future => vec![LockScope::Current],
        LockScope::None | LockScope::Current => Vec::new(),
    };
    joined([
        each(op, |arg| if let Arg::Switch(on) = arg { Some(on) } else { None }, |_| vec![false]),
        each(op, |arg| if let Arg::Seals(seals) = arg { Some(seals) } else { None }, fewer_seals),
        each(op, |arg| if let Arg::LockScope(scope) = arg { Some(scope) } else { None }, one_lock),
    ])
}

fn fewer_flags(op: Op) -> Vec<Op> {
    let fewer = |access: Access| {
        let usual = [Access(0), Access::REMOTE_READ, Access::LOCAL_WRITE];
        let without = (0..32).map(|bit| access.without(Access(1 << bit)));
        usual.into_iter().chain(without).collect()
    };
    let fewer_changes =
        |what: Rereg| (0..32).map(|bit| what.without(Rereg(1 << bit))).collect::<Vec<_>>();
    joined([
        each(op, |arg| if let Arg::Access(access) = arg { Some(access) } else { None }, fewer),
        each(op, |arg| if let Arg::Rereg(what) = arg { Some(what) } else { None }, fewer_changes),
    ])
}

fn toward_plain_verbs(op: Op) -> Vec<Op> {
    let calls = |call: RegCall| {
        let iovas = call.iova().into_iter().flat_map(fewer_bits).map(Some);
        let same = |iova| match call {
            RegCall::Raw { .. } => RegCall::Raw { iova },
            RegCall::Iova2 { .. } | RegCall::Legacy => RegCall::Iova2 { iova },
        };
        let plain = [RegCall::default(), RegCall::Iova2 { iova: call.iova() }, same(None)];
        plain.into_iter().chain(iovas.map(same)).collect()
    };
    joined([
        each(op, |arg| if let Arg::RegCall(call) = arg { Some(call) } else { None }, calls),
        each(
            op,
            |arg| if let Arg::MwKind(kind) = arg { Some(kind) } else { None },
            |_| vec![MwKind::Type1],
        ),
        each(op, |arg| if let Arg::Pd(pd) = arg { Some(pd) } else { None }, |_| vec![Pd::FIRST]),
        each_target(op, |target| vec![Target { qp: Pd::FIRST, ..target }]),
    ])
}

fn toward_own_key(op: Op) -> Vec<Op> {
    let keys = |target: Target| {
        let lower = match target.key {
            Key::Of(handle) => handles_below(handle).into_iter().map(Key::Of).collect(),
            Key::Own | Key::Stale => Vec::new(),
        };
        let keys = [Key::Own].into_iter().chain(lower);
        keys.map(|key| Target { key, ..target }).collect()
    };
    let invalidations = |handle: Option<Handle>| {
        let lower = handle.into_iter().flat_map(handles_below).map(Some);
        [None].into_iter().chain(lower).collect()
    };
    joined([
        each_target(op, keys),
        each(
            op,
            |arg| if let Arg::Invalidate(handle) = arg { Some(handle) } else { None },
            invalidations,
        ),
        each(
            op,
            |arg| if let Arg::Handle(handle) = arg { Some(handle) } else { None },
            handles_below,
        ),
    ])
}

/// How many of the slots below its own are tried in one op. Slots are numbered anew before, so that there are few.
const LOWER_SLOTS: usize = 4;

fn mrs_below(mr: Mr) -> impl Iterator<Item = Mr> {
    (0..mr.0).map(Mr).take(LOWER_SLOTS)
}

fn mws_below(mw: Mw) -> impl Iterator<Item = Mw> {
    (0..=u8::MAX).map_while(Mw::new).take(mw.index()).take(LOWER_SLOTS)
}

fn handles_below(handle: Handle) -> Vec<Handle> {
    match handle {
        Handle::Mr(mr) => mrs_below(mr).map(Handle::Mr).collect(),
        Handle::Mw(mw) => mws_below(mw).map(Handle::Mw).collect(),
        Handle::OldMw(mw) => {
            [Handle::Mw(mw)].into_iter().chain(mws_below(mw).map(Handle::OldMw)).collect()
        }
    }
}

/// Each list without one of its entries.
fn shorter_lists(op: Op) -> Vec<Op> {
    let shorter = |sges: Sges| {
        let entries: Vec<Sge> = sges.iter().collect();
        let without = |dropped: usize| {
            let kept = entries.iter().enumerate().filter(|(index, _)| *index != dropped);
            Sges::new(&kept.map(|(_, &entry)| entry).collect::<Vec<_>>())
        };
        (0..entries.len()).filter_map(without).collect()
    };
    each(op, |arg| if let Arg::Sges(sges) = arg { Some(sges) } else { None }, shorter)
}

fn fewer_pages(op: Op) -> Vec<Op> {
    let ranges = |pages: PageRange| edges_below(pages).into_iter().flatten().collect();
    joined([
        each(op, |arg| if let Arg::Pages(pages) = arg { Some(pages) } else { None }, ranges),
        all_fewer_pages(op),
        each(
            op,
            |arg| if let Arg::Bytes(at, _) | Arg::FileBytes(at, _) = arg { Some(at) } else { None },
            positions_below,
        ),
        each(op, |arg| if let Arg::FileEnd(end) = arg { Some(end) } else { None }, positions_below),
        each(
            op,
            |arg| if let Arg::FileRange(range) = arg { Some(range) } else { None },
            bytes_below,
        ),
        each(op, |arg| if let Arg::Span(span) = arg { Some(span) } else { None }, spans_below),
    ])
}

/// All page ranges of the op made simpler in the same way, so that they keep their proportion.
fn all_fewer_pages(op: Op) -> Vec<Op> {
    let ways = 0..EDGES;
    ways.filter_map(|way| {
        let mut guess = op;
        for arg in guess.args_mut() {
            if let Arg::Pages(pages) = arg {
                *pages = edges_below(*pages)[way]?;
            }
        }
        Some(guess)
    })
    .collect()
}

/// In how many ways a range of pages becomes simpler.
const EDGES: usize = 9;

fn edges_below(pages: PageRange) -> [Option<PageRange>; EDGES] {
    let (first, end, count) = (pages.first(), pages.end(), pages.page_count());
    let lowest = if pages.is_huge() { ARENA_PAGES } else { 0 };
    [
        (lowest, lowest + 1),
        (lowest, lowest + count),
        (first, first + 1),
        (end - 1, end),
        (first, first + count / 2),
        (first + count / 2, end),
        (first, end - 1),
        (first + 1, end),
        (first.saturating_sub(1), end.saturating_sub(1)),
    ]
    .map(|(first, end)| PageRange::new(first, end))
}

/// The same place on the first page, on the page before, and the start of its own page.
fn positions_below(at: Position) -> Vec<Position> {
    let own_page = at.0 - at.page_offset();
    let before = at.0.saturating_sub(at.page_bytes());
    let lowest = lowest_byte(at);
    let below = [lowest, lowest + at.page_offset(), own_page, before].map(Position);
    below.into_iter().filter(|at| at.is_near()).collect()
}

/// The first byte of all pages of the size of that which `at` is on.
fn lowest_byte(at: Position) -> u32 {
    if at.is_huge() { Position::page(ARENA_PAGES).0 } else { 0 }
}

fn bytes_below(range: ByteRange) -> Vec<ByteRange> {
    let lowest = lowest_byte(range.start());
    let (start, end, len) = (range.start().0 - lowest, range.end().0 - lowest, range.len_bytes());
    let down = |bytes: u32| bytes / PAGE_BYTES * PAGE_BYTES;
    let up = |bytes: u32| bytes.div_ceil(PAGE_BYTES) * PAGE_BYTES;
    let mut edges = vec![
        (0, PAGE_BYTES),
        (0, len),
        (down(start), down(start) + PAGE_BYTES),
        (down(end.saturating_sub(1)), down(end.saturating_sub(1)) + PAGE_BYTES),
        (down(start), up(end)),
        (down(start), end),
        (start, up(end)),
        (start, end.saturating_sub(PAGE_BYTES)),
        (start.saturating_add(PAGE_BYTES), end),
        (start.saturating_sub(PAGE_BYTES), end.saturating_sub(PAGE_BYTES)),
        (down(start), down(start) + len),
    ];
    edges.extend(lens_below(len).into_iter().map(|len| (start, start + len)));
    let room =
        if lowest == 0 { (u32::from(ARENA_PAGES) + 2) * PAGE_BYTES } else { (end).max(PAGE_BYTES) };
    let on_arena = |&(_, end): &(u32, u32)| end <= room;
    edges
        .into_iter()
        .filter(on_arena)
        .filter_map(|(start, end)| ByteRange::new(Position(lowest + start), Position(lowest + end)))
        .collect()
}

/// As bytes near the arena where they are such; else such bytes, or an end that is simpler to say.
fn spans_below(span: Span) -> Vec<Span> {
    if let Some(range) = span.range() {
        return bytes_below(range).into_iter().map(Span::from).collect();
    }
    let page_start = Position(span.start.0 - span.start.page_offset());
    let near = [Position(0), page_start, span.start];
    let near = near.map(|start| Span { start, len_bytes: PAGE_BYTES.into() });
    let moved = [Position(0), page_start].map(|start| Span { start, ..span });
    let shorter = fewer_bits(span.len_bytes).map(|len_bytes| Span { len_bytes, ..span });
    near.into_iter().chain(moved).chain(shorter).filter(|span| span.len_bytes > 0).collect()
}

/// Numbers to try in the place of `number`, each with fewer bits, so that there is an end soon.
fn fewer_bits(number: u64) -> [u64; 5] {
    let low = number & u64::from(PAGE_BYTES - 1);
    let top = number.checked_ilog2().map_or(0, |bit| 1 << bit);
    [0, number.min(1), low, number - low, number & !top].map(|less| less.min(number))
}

/// Steps by which a number goes down where no round number will do.
const STEPS: [u32; 9] = [65536, 16384, 4096, 1024, 256, 64, 16, 4, 1];

/// Lengths to try in the place of `len`. None is zero: no bytes are another matter, not a simpler one.
fn lens_below(len: u32) -> Vec<u32> {
    let round = [8, 1, PAGE_BYTES, PAGE_BYTES + 1, 2 * PAGE_BYTES];
    let steps = STEPS.iter().filter_map(|step| len.checked_sub(*step));
    round.into_iter().chain(steps).filter(|&len| len > 0).collect()
}

/// Offsets to try in the place of `offset`.
fn offsets_below(offset: i32) -> Vec<i32> {
    let page = PAGE_BYTES.cast_signed();
    let round = [0, page, -page, offset.saturating_neg()];
    let steps = STEPS.map(|step| {
        let size = offset.unsigned_abs().saturating_sub(step);
        i32::try_from(size).unwrap_or(i32::MAX) * offset.signum()
    });
    round.into_iter().chain(steps).collect()
}

/// The length that begins at offset 0 and ends where these bytes end, if there is one.
fn len_to_end(offset: i32, len_bytes: u32) -> Option<u32> {
    let end = u32::try_from(offset.saturating_add_unsigned(len_bytes)).ok();
    end.filter(|&end| end > 0 && end <= u32::from(ARENA_PAGES) * PAGE_BYTES)
}

fn toward_no_offset(op: Op) -> Vec<Op> {
    let sges = |sge: Sge| {
        let alone = offsets_below(sge.offset).into_iter().map(|offset| Sge { offset, ..sge });
        let to_end = len_to_end(sge.offset, sge.len_bytes);
        alone.chain(to_end.map(|len_bytes| Sge { offset: 0, len_bytes, ..sge })).collect()
    };
    joined([
        each_target(op, |target| {
            let lower = offsets_below(target.offset).into_iter();
            lower.map(|offset| Target { offset, ..target }).collect()
        }),
        each(
            op,
            |arg| if let Arg::Offset(offset) = arg { Some(offset) } else { None },
            offsets_below,
        ),
        each_sge(op, sges),
        with_end_kept(op).into_iter().collect(),
    ])
}

/// From offset 0, with the end where it was: what is wrong may be there.
fn with_end_kept(op: Op) -> Option<Op> {
    let mut guess = op;
    let mut offset = None;
    let mut is_kept = false;
    for arg in guess.args_mut() {
        if let Arg::Target(Target { offset: place, .. }) | Arg::Offset(place) = arg {
            offset = Some(std::mem::take(place));
        } else if let Arg::Len(len) = arg {
            *len = len_to_end(offset?, *len)?;
            is_kept = true;
        }
    }
    is_kept.then_some(guess)
}

fn toward_eight_bytes(op: Op) -> Vec<Op> {
    let sges = |sge: Sge| {
        lens_below(sge.len_bytes).into_iter().map(|len_bytes| Sge { len_bytes, ..sge }).collect()
    };
    let lens = each(
        op,
        |arg| {
            if let Arg::Bytes(_, len) | Arg::FileBytes(_, len) | Arg::Len(len) = arg {
                Some(len)
            } else {
                None
            }
        },
        lens_below,
    );
    joined([lens, each_sge(op, sges)])
}

fn toward_plain_values(op: Op) -> Vec<Op> {
    let limits = |_| {
        let needed = (1..4).map(|pages| pages * u64::from(PAGE_BYTES));
        [0, 1].into_iter().chain(needed).collect()
    };
    let counts = |pages: Option<u16>| {
        let low = pages.into_iter().flat_map(|n| [0, 1, n / 2, n.saturating_sub(1)]).map(Some);
        [None].into_iter().chain(low).collect()
    };
    joined([
        each(
            op,
            |arg| if let Arg::Tag(tag) = arg { Some(tag) } else { None },
            |_| (1..=4).map(|index| index * 0x11).collect(),
        ),
        each(op, |arg| if let Arg::Limit(bytes) = arg { Some(bytes) } else { None }, limits),
        each(op, |arg| if let Arg::PageCount(pages) = arg { Some(pages) } else { None }, counts),
        each(
            op,
            |arg| if let Arg::Number(number) = arg { Some(number) } else { None },
            |number| fewer_bits(number).to_vec(),
        ),
    ])
}

fn toward_first_slot(op: Op) -> Vec<Op> {
    joined([
        each(
            op,
            |arg| if let Arg::Mr(mr) = arg { Some(mr) } else { None },
            |mr| mrs_below(mr).collect(),
        ),
        each_target(op, |target| mrs_below(target.mr).map(|mr| Target { mr, ..target }).collect()),
        each_sge(op, |sge| mrs_below(sge.mr).map(|mr| Sge { mr, ..sge }).collect()),
        each(
            op,
            |arg| if let Arg::Mw(mw) = arg { Some(mw) } else { None },
            |mw| mws_below(mw).collect(),
        ),
    ])
}
