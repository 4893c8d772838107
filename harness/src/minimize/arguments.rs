//! Simpler arguments for one op: each pass is a function from an op to guesses that are the same op with less to say.
//!
//! A guess may be anything; whoever tries it takes none that is not simpler by [`rank`](super::rank).

use pinfold_contract::{
    ARENA_PAGES, Access, BOUNCE_PAGES, Backing, ByteRange, File, Key, Mr, Op, PAGE_BYTES,
    PageRange, Position, Proc, Prot, Sharing,
};

use super::rank::op_rank;

/// A pass over the arguments of one op.
type Pass = fn(Op) -> Vec<Op>;

/// Every pass, in the order in which they are tried.
pub(super) const PASSES: [(&str, Pass); 11] = [
    ("process toward p0", toward_p0),
    ("backing toward anon", toward_anon),
    ("shared toward private", toward_private),
    ("protection toward rw", toward_rw),
    ("fewer flags", fewer_flags),
    ("key toward own", toward_own_key),
    ("fewer pages, toward page 0", fewer_pages),
    ("offset toward 0", toward_no_offset),
    ("length toward 8 bytes", toward_eight_bytes),
    ("tag toward 0x11, limit toward 0", toward_plain_values),
    ("slot toward mr0", toward_mr0),
];

/// What `pass` has to offer that is simpler than `op`, the simplest first.
pub(super) fn simpler(op: Op, pass: Pass) -> Vec<Op> {
    let mut guesses = pass(op);
    guesses.retain(|&guess| op_rank(guess) < op_rank(op));
    guesses.sort_by_key(|&guess| op_rank(guess));
    guesses.dedup();
    guesses
}

fn toward_p0(op: Op) -> Vec<Op> {
    let mut guesses = Vec::new();
    for less in Proc::all() {
        guesses.extend(match op {
            Op::Map { pages, backing, sharing, prot, .. } => {
                Some(Op::Map { proc: less, pages, backing, sharing, prot })
            }
            Op::Unmap { pages, .. } => Some(Op::Unmap { proc: less, pages }),
            Op::Protect { pages, prot, .. } => Some(Op::Protect { proc: less, pages, prot }),
            Op::Write { at, len_bytes, tag, .. } => {
                Some(Op::Write { proc: less, at, len_bytes, tag })
            }
            Op::Read { at, len_bytes, .. } => Some(Op::Read { proc: less, at, len_bytes }),
            Op::Fork { child, .. } => Some(Op::Fork { proc: less, child }),
            Op::Exit { .. } => Some(Op::Exit { proc: less }),
            Op::Limit { .. }
            | Op::Reg { .. }
            | Op::Dereg { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. } => None,
        });
        if let Op::Fork { proc, .. } = op {
            guesses.push(Op::Fork { proc, child: less });
        }
    }
    guesses
}

fn toward_anon(op: Op) -> Vec<Op> {
    let Op::Map { proc, pages, backing: Backing::Memfd { file, page }, sharing, prot } = op else {
        return Vec::new();
    };
    let with = |backing| Op::Map { proc, pages, backing, sharing, prot };
    let first = File::new(0).map(|file| with(Backing::Memfd { file, page }));
    let low = [0, page.saturating_sub(1)].map(|page| with(Backing::Memfd { file, page }));
    [with(Backing::Anon)].into_iter().chain(first).chain(low).collect()
}

fn toward_private(op: Op) -> Vec<Op> {
    let Op::Map { proc, pages, backing, prot, .. } = op else { return Vec::new() };
    vec![Op::Map { proc, pages, backing, sharing: Sharing::Private, prot }]
}

fn toward_rw(op: Op) -> Vec<Op> {
    let plain = [Prot::RW, Prot::R, Prot::NONE].into_iter();
    match op {
        Op::Map { proc, pages, backing, sharing, .. } => {
            plain.map(|prot| Op::Map { proc, pages, backing, sharing, prot }).collect()
        }
        Op::Protect { proc, pages, .. } => {
            plain.map(|prot| Op::Protect { proc, pages, prot }).collect()
        }
        Op::Unmap { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. }
        | Op::RemoteRead { .. }
        | Op::RemoteWrite { .. } => Vec::new(),
    }
}

fn fewer_flags(op: Op) -> Vec<Op> {
    let Op::Reg { mr, range, access } = op else { return Vec::new() };
    let usual = [Access(0), Access::REMOTE_READ, Access::LOCAL_WRITE];
    let without = (0..32).map(|bit| access.without(Access(1 << bit)));
    usual.into_iter().chain(without).map(|access| Op::Reg { mr, range, access }).collect()
}

fn toward_own_key(op: Op) -> Vec<Op> {
    let keys = |key: Key| {
        let lower = match key {
            Key::Of(mr) => (0..mr.0).map(Mr).take(LOWER_SLOTS).map(Key::Of).collect(),
            Key::Own | Key::Stale => Vec::new(),
        };
        [Key::Own].into_iter().chain(lower)
    };
    match op {
        Op::RemoteRead { mr, offset, len_bytes, key } => {
            keys(key).map(|key| Op::RemoteRead { mr, offset, len_bytes, key }).collect()
        }
        Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
            keys(key).map(|key| Op::RemoteWrite { mr, offset, len_bytes, tag, key }).collect()
        }
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. } => Vec::new(),
    }
}

fn fewer_pages(op: Op) -> Vec<Op> {
    match op {
        Op::Map { proc, pages, backing, sharing, prot } => ranges_below(pages)
            .into_iter()
            .map(|pages| Op::Map { proc, pages, backing, sharing, prot })
            .collect(),
        Op::Unmap { proc, pages } => {
            ranges_below(pages).into_iter().map(|pages| Op::Unmap { proc, pages }).collect()
        }
        Op::Protect { proc, pages, prot } => {
            ranges_below(pages).into_iter().map(|pages| Op::Protect { proc, pages, prot }).collect()
        }
        Op::Write { proc, at, len_bytes, tag } => positions_below(at)
            .into_iter()
            .map(|at| Op::Write { proc, at, len_bytes, tag })
            .collect(),
        Op::Read { proc, at, len_bytes } => {
            positions_below(at).into_iter().map(|at| Op::Read { proc, at, len_bytes }).collect()
        }
        Op::Reg { mr, range, access } => {
            bytes_below(range).into_iter().map(|range| Op::Reg { mr, range, access }).collect()
        }
        Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. }
        | Op::Dereg { .. }
        | Op::RemoteRead { .. }
        | Op::RemoteWrite { .. } => Vec::new(),
    }
}

fn ranges_below(pages: PageRange) -> Vec<PageRange> {
    let (first, end, count) = (pages.first(), pages.end(), pages.page_count());
    let edges = [
        (0, 1),
        (0, count),
        (first, first + 1),
        (end - 1, end),
        (first, first + count / 2),
        (first + count / 2, end),
        (first, end - 1),
        (first + 1, end),
        (first.saturating_sub(1), end.saturating_sub(1)),
    ];
    edges.into_iter().filter_map(|(first, end)| PageRange::new(first, end)).collect()
}

/// The same place on page 0, on the page before, and the start of its own page.
fn positions_below(at: Position) -> Vec<Position> {
    let own_page = at.0 - at.page_offset();
    let before = at.0.saturating_sub(PAGE_BYTES);
    [0, at.page_offset(), own_page, before].map(Position).to_vec()
}

fn bytes_below(range: ByteRange) -> Vec<ByteRange> {
    let (start, end, len) = (range.start().0, range.end().0, range.len_bytes());
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
    let on_arena = |&(_, end): &(u32, u32)| end <= (u32::from(ARENA_PAGES) + 2) * PAGE_BYTES;
    edges
        .into_iter()
        .filter(on_arena)
        .filter_map(|(start, end)| ByteRange::new(Position(start), Position(end)))
        .collect()
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

fn toward_no_offset(op: Op) -> Vec<Op> {
    // With the end where it was, too: what is wrong may be there.
    let moved = |offset: i32, len_bytes: u32| {
        let end = u32::try_from(offset.saturating_add_unsigned(len_bytes)).ok();
        let to_end = end.filter(|&end| end > 0 && end <= u32::from(ARENA_PAGES) * PAGE_BYTES);
        let alone = offsets_below(offset).into_iter().map(move |offset| (offset, len_bytes));
        alone.chain(to_end.map(|end| (0, end)))
    };
    match op {
        Op::RemoteRead { mr, offset, len_bytes, key } => moved(offset, len_bytes)
            .map(|(offset, len_bytes)| Op::RemoteRead { mr, offset, len_bytes, key })
            .collect(),
        Op::RemoteWrite { mr, offset, len_bytes, tag, key } => moved(offset, len_bytes)
            .map(|(offset, len_bytes)| Op::RemoteWrite { mr, offset, len_bytes, tag, key })
            .collect(),
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. } => Vec::new(),
    }
}

fn toward_eight_bytes(op: Op) -> Vec<Op> {
    let with = |len_bytes: u32, make: &dyn Fn(u32) -> Op| {
        lens_below(len_bytes).into_iter().map(make).collect()
    };
    match op {
        Op::Write { proc, at, len_bytes, tag } => {
            with(len_bytes, &|len_bytes| Op::Write { proc, at, len_bytes, tag })
        }
        Op::Read { proc, at, len_bytes } => {
            with(len_bytes, &|len_bytes| Op::Read { proc, at, len_bytes })
        }
        Op::RemoteRead { mr, offset, len_bytes, key } => {
            with(len_bytes, &|len_bytes| Op::RemoteRead { mr, offset, len_bytes, key })
        }
        Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
            with(len_bytes, &|len_bytes| Op::RemoteWrite { mr, offset, len_bytes, tag, key })
        }
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. } => Vec::new(),
    }
}

fn toward_plain_values(op: Op) -> Vec<Op> {
    let tags = (1..=4).map(|index| index * 0x11);
    match op {
        Op::Write { proc, at, len_bytes, .. } => {
            tags.map(|tag| Op::Write { proc, at, len_bytes, tag }).collect()
        }
        Op::RemoteWrite { mr, offset, len_bytes, key, .. } => {
            tags.map(|tag| Op::RemoteWrite { mr, offset, len_bytes, tag, key }).collect()
        }
        Op::Limit { .. } => {
            let needed = (0..4).map(|pages| (BOUNCE_PAGES + pages) * u64::from(PAGE_BYTES));
            [0].into_iter().chain(needed).map(|bytes| Op::Limit { bytes }).collect()
        }
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Read { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. }
        | Op::RemoteRead { .. } => Vec::new(),
    }
}

/// How many of the slots below its own are tried in one op. Slots are numbered anew before, so that there are few.
const LOWER_SLOTS: usize = 4;

fn toward_mr0(op: Op) -> Vec<Op> {
    let lower = |mr: Mr| (0..mr.0).map(Mr).take(LOWER_SLOTS);
    match op {
        Op::Reg { mr, range, access } => {
            lower(mr).map(|mr| Op::Reg { mr, range, access }).collect()
        }
        Op::Dereg { mr } => lower(mr).map(|mr| Op::Dereg { mr }).collect(),
        Op::RemoteRead { mr, offset, len_bytes, key } => {
            lower(mr).map(|mr| Op::RemoteRead { mr, offset, len_bytes, key }).collect()
        }
        Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
            lower(mr).map(|mr| Op::RemoteWrite { mr, offset, len_bytes, tag, key }).collect()
        }
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. } => Vec::new(),
    }
}
