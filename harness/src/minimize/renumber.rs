//! Simpler names for the whole sequence at once: slots, processes, tags, files and pages that several ops share.
//!
//! Each pass is a function from a sequence to guesses that say the same of other things. Whoever tries a guess takes
//! none that is not simpler by [`rank`](super::rank).

use pinfold_contract::{
    ARENA_PAGES, Backing, ByteRange, File, Key, Mr, Op, PAGE_BYTES, PageRange, Position, Proc,
    Sequence,
};

/// A pass over the names in a sequence.
type Pass = fn(&Sequence) -> Vec<Sequence>;

/// Every pass, in the order in which they are tried.
pub(super) const PASSES: [(&str, Pass); 6] = [
    ("neighbouring mappings as one", joined_mappings),
    ("no unused pages, then one page less", without_pages),
    ("processes in order", processes_in_order),
    ("slots in order", slots_in_order),
    ("tags in order", tags_in_order),
    ("files from their start", files_from_start),
];

/// Gives each name a new one, in the order in which they first come.
fn in_order<T: PartialEq + Copy>(names: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

fn place<T: PartialEq>(seen: &[T], name: &T) -> u8 {
    let place = seen.iter().position(|other| other == name).expect("every name was seen");
    u8::try_from(place).expect("there are at most 256 names")
}

fn with_ops(sequence: &Sequence, change: impl Fn(Op) -> Op) -> Vec<Sequence> {
    vec![Sequence { ops: sequence.ops.iter().map(|&op| change(op)).collect() }]
}

fn processes_in_order(sequence: &Sequence) -> Vec<Sequence> {
    let names = sequence.ops.iter().flat_map(|&op| super::procs_of(op));
    let seen = in_order([Proc::P0].into_iter().chain(names));
    let new = |proc: Proc| Proc::new(place(&seen, &proc)).expect("no more names than before");
    with_ops(sequence, |op| match op {
        Op::Map { proc, pages, backing, sharing, prot } => {
            Op::Map { proc: new(proc), pages, backing, sharing, prot }
        }
        Op::Unmap { proc, pages } => Op::Unmap { proc: new(proc), pages },
        Op::Protect { proc, pages, prot } => Op::Protect { proc: new(proc), pages, prot },
        Op::Write { proc, at, len_bytes, tag } => Op::Write { proc: new(proc), at, len_bytes, tag },
        Op::Read { proc, at, len_bytes } => Op::Read { proc: new(proc), at, len_bytes },
        Op::Fork { proc, child } => Op::Fork { proc: new(proc), child: new(child) },
        Op::Exit { proc } => Op::Exit { proc: new(proc) },
        Op::Limit { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. }
        | Op::RemoteRead { .. }
        | Op::RemoteWrite { .. } => op,
    })
}

fn slots_in_order(sequence: &Sequence) -> Vec<Sequence> {
    let seen = in_order(sequence.ops.iter().flat_map(|&op| super::mrs_of(op)));
    let new = |mr: Mr| Mr(place(&seen, &mr));
    let new_key = |key: Key| match key {
        Key::Of(mr) => Key::Of(new(mr)),
        Key::Own | Key::Stale => key,
    };
    with_ops(sequence, |op| match op {
        Op::Reg { mr, range, access } => Op::Reg { mr: new(mr), range, access },
        Op::Dereg { mr } => Op::Dereg { mr: new(mr) },
        Op::RemoteRead { mr, offset, len_bytes, key } => {
            Op::RemoteRead { mr: new(mr), offset, len_bytes, key: new_key(key) }
        }
        Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
            Op::RemoteWrite { mr: new(mr), offset, len_bytes, tag, key: new_key(key) }
        }
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. } => op,
    })
}

/// 0x11 for the first, 0x22 for the second, as far as there are such.
fn tags_in_order(sequence: &Sequence) -> Vec<Sequence> {
    let seen = in_order(sequence.ops.iter().filter_map(|&op| tag_of(op)));
    if seen.len() > 15 {
        return Vec::new();
    }
    let new = |tag: u8| (place(&seen, &tag) + 1) * 0x11;
    with_ops(sequence, |op| match op {
        Op::Write { proc, at, len_bytes, tag } => Op::Write { proc, at, len_bytes, tag: new(tag) },
        Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
            Op::RemoteWrite { mr, offset, len_bytes, tag: new(tag), key }
        }
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Read { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. }
        | Op::RemoteRead { .. } => op,
    })
}

fn tag_of(op: Op) -> Option<u8> {
    match op {
        Op::Write { tag, .. } | Op::RemoteWrite { tag, .. } => Some(tag),
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Read { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. }
        | Op::RemoteRead { .. } => None,
    }
}

/// The first file first, and the lowest page of each as page 0.
fn files_from_start(sequence: &Sequence) -> Vec<Sequence> {
    let shown = || {
        sequence.ops.iter().filter_map(|&op| match op {
            Op::Map { backing: Backing::Memfd { file, page }, .. } => Some((file, page)),
            Op::Map { backing: Backing::Anon, .. }
            | Op::Unmap { .. }
            | Op::Protect { .. }
            | Op::Write { .. }
            | Op::Read { .. }
            | Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Limit { .. }
            | Op::Reg { .. }
            | Op::Dereg { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. } => None,
        })
    };
    let seen = in_order(shown().map(|(file, _)| file));
    let new = |file: File| File::new(place(&seen, &file)).expect("no more files than before");
    let lowest = |file: File| shown().filter(|(f, _)| *f == file).map(|(_, p)| p).min();
    let change = |op: Op, lower: bool| match op {
        Op::Map { proc, pages, backing: Backing::Memfd { file, page }, sharing, prot } => {
            let page = page - if lower { lowest(file).unwrap_or(0) } else { 0 };
            Op::Map {
                proc,
                pages,
                backing: Backing::Memfd { file: new(file), page },
                sharing,
                prot,
            }
        }
        Op::Map { backing: Backing::Anon, .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. }
        | Op::RemoteRead { .. }
        | Op::RemoteWrite { .. } => op,
    };
    let both = with_ops(sequence, |op| change(op, true));
    both.into_iter().chain(with_ops(sequence, |op| change(op, false))).collect()
}

/// All pages that nothing touches taken out at once; then each page alone, those above moving down.
fn without_pages(sequence: &Sequence) -> Vec<Sequence> {
    let touched: Vec<u32> = sequence.ops.iter().flat_map(|&op| super::pages_of(op)).collect();
    let Some(&last) = touched.iter().max() else { return Vec::new() };
    let pages = 0..=last.min(u32::from(ARENA_PAGES) + 1);
    let mut unused = pages.clone().rev().filter(|page| !touched.contains(page));
    let closed = unused.try_fold(sequence.clone(), |s, page| without_page(&s, page));
    let one_less = pages.filter_map(|page| without_page(sequence, page));
    let shorter = |less: Sequence| [shorten_remote(sequence, &less), less];
    closed.into_iter().chain(one_less.flat_map(shorter)).collect()
}

/// `less`, with remote ops a page shorter where their MR is shorter than in `sequence`.
fn shorten_remote(sequence: &Sequence, less: &Sequence) -> Sequence {
    let lost = |wanted: Mr| {
        sequence.ops.iter().zip(&less.ops).any(|(&before, &now)| {
            let Op::Reg { mr, range, .. } = before else { return false };
            let Op::Reg { range: shorter, .. } = now else { return false };
            mr == wanted && shorter.len_bytes() < range.len_bytes()
        })
    };
    let shorter = |mr: Mr, len: u32| len.checked_sub(PAGE_BYTES).filter(|&len| len > 0 && lost(mr));
    let change = |op: Op| match op {
        Op::RemoteRead { mr, offset, len_bytes, key } => {
            let len_bytes = shorter(mr, len_bytes).unwrap_or(len_bytes);
            Op::RemoteRead { mr, offset, len_bytes, key }
        }
        Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
            let len_bytes = shorter(mr, len_bytes).unwrap_or(len_bytes);
            Op::RemoteWrite { mr, offset, len_bytes, tag, key }
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
        | Op::Dereg { .. } => op,
    };
    Sequence { ops: less.ops.iter().map(|&op| change(op)).collect() }
}

/// Two mappings of one kind whose pages meet, made by the first or by the second of the two ops alone.
fn joined_mappings(sequence: &Sequence) -> Vec<Sequence> {
    let count = sequence.ops.len();
    let pairs = (0..count).flat_map(|one| (one + 1..count).map(move |other| (one, other)));
    let joined = pairs.filter_map(|(one, other)| {
        let both = joined(sequence.ops[one], sequence.ops[other])?;
        Some([(one, other), (other, one)].map(|(kept, gone)| {
            let mut guess = sequence.clone();
            guess.ops[kept] = both;
            guess.ops.remove(gone);
            guess
        }))
    });
    joined.flatten().collect()
}

fn joined(one: Op, other: Op) -> Option<Op> {
    let (
        Op::Map { proc, pages, backing, sharing, prot },
        Op::Map { proc: p, pages: more, backing: b, sharing: s, prot: r },
    ) = (one, other)
    else {
        return None;
    };
    let alike = (proc, sharing, prot) == (p, s, r);
    let meet = pages.first() <= more.end() && more.first() <= pages.end();
    // Of a file, the first page says which pages follow.
    let backing = match (backing, b) {
        (Backing::Anon, Backing::Anon) => backing,
        (Backing::Memfd { file, .. }, Backing::Memfd { file: f, .. }) if file == f => {
            if pages.first() <= more.first() { backing } else { b }
        }
        (Backing::Anon | Backing::Memfd { .. }, Backing::Anon | Backing::Memfd { .. }) => {
            return None;
        }
    };
    let pages = PageRange::new(pages.first().min(more.first()), pages.end().max(more.end()))?;
    (alike && meet).then_some(Op::Map { proc, pages, backing, sharing, prot })
}

/// `sequence` as it would be if the arena had no `page`; `None` if an op has nothing left.
fn without_page(sequence: &Sequence, page: u32) -> Option<Sequence> {
    let (start, end) = (page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    let byte = |byte: u32| byte - byte.saturating_sub(start).min(end - start);
    let edge = |edge: u8| u8::try_from(byte(u32::from(edge) * PAGE_BYTES) / PAGE_BYTES).ok();
    let pages = |pages: PageRange| PageRange::new(edge(pages.first())?, edge(pages.end())?);
    // A load or store keeps its length, so it must not have touched the page.
    let at = |at: Position, len: u32| {
        let is_clear = at.0.saturating_add(len.max(1)) <= start || at.0 >= end;
        is_clear.then(|| Position(byte(at.0)))
    };
    let range = |range: ByteRange| {
        let new = ByteRange::new(Position(byte(range.start().0)), Position(byte(range.end().0)))?;
        (new.len_bytes() > 0 || range.len_bytes() == 0).then_some(new)
    };
    let ops = sequence.ops.iter().map(|&op| {
        Some(match op {
            Op::Map { proc, pages: p, backing, sharing, prot } => {
                Op::Map { proc, pages: pages(p)?, backing, sharing, prot }
            }
            Op::Unmap { proc, pages: p } => Op::Unmap { proc, pages: pages(p)? },
            Op::Protect { proc, pages: p, prot } => Op::Protect { proc, pages: pages(p)?, prot },
            Op::Write { proc, at: p, len_bytes, tag } => {
                Op::Write { proc, at: at(p, len_bytes)?, len_bytes, tag }
            }
            Op::Read { proc, at: p, len_bytes } => {
                Op::Read { proc, at: at(p, len_bytes)?, len_bytes }
            }
            Op::Reg { mr, range: r, access } => Op::Reg { mr, range: range(r)?, access },
            Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Limit { .. }
            | Op::Dereg { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. } => op,
        })
    });
    Some(Sequence { ops: ops.collect::<Option<Vec<Op>>>()? })
}
