//! Simpler names for the whole sequence at once: slots, processes, tags, files and pages that several ops share.
//!
//! Each pass is a function from a sequence to guesses that say the same of other things. Whoever tries a guess takes
//! none that is not simpler by [`rank`](super::rank).

use pinfold_contract::{
    ALL_PAGES, ARENA_PAGES, Arg, Backing, ByteRange, File, FileKind, Mr, Mw, Op, PAGE_BYTES,
    PageRange, Position, Proc, Sequence, Span,
};

/// A pass over the names in a sequence.
type Pass = fn(&Sequence) -> Vec<Sequence>;

/// Every pass, in the order in which they are tried.
pub(super) const PASSES: [(&str, Pass); 7] = [
    ("neighbouring mappings as one", joined_mappings),
    ("no unused pages, then one page less", without_pages),
    ("processes in order", processes_in_order),
    ("MRs in order", mrs_in_order),
    ("windows in order", mws_in_order),
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

/// `sequence` with every argument of every op changed in place.
fn with_args(sequence: &Sequence, change: impl Fn(Arg<'_>)) -> Vec<Sequence> {
    let mut guess = sequence.clone();
    guess.ops.iter_mut().flat_map(Op::args_mut).for_each(change);
    vec![guess]
}

fn processes_in_order(sequence: &Sequence) -> Vec<Sequence> {
    let names = sequence.ops.iter().flat_map(super::procs_of);
    let seen = in_order([Proc::P0].into_iter().chain(names));
    with_args(sequence, |arg| {
        if let Arg::Proc(proc) | Arg::Child(proc) = arg {
            *proc = Proc::new(place(&seen, proc)).expect("no more names than before");
        }
    })
}

fn mrs_in_order(sequence: &Sequence) -> Vec<Sequence> {
    let seen = in_order(sequence.ops.iter().flat_map(Op::mrs));
    with_args(sequence, |arg| arg.for_each_mr(|mr| *mr = Mr(place(&seen, mr))))
}

fn mws_in_order(sequence: &Sequence) -> Vec<Sequence> {
    let seen = in_order(sequence.ops.iter().flat_map(Op::mws));
    let new = |mw: &Mw| Mw::new(place(&seen, mw)).expect("no more names than before");
    with_args(sequence, |arg| arg.for_each_mw(|mw| *mw = new(mw)))
}

/// 0x11 for the first, 0x22 for the second, as far as there are such.
fn tags_in_order(sequence: &Sequence) -> Vec<Sequence> {
    let seen = in_order(sequence.ops.iter().filter_map(Op::tag));
    if seen.len() > 15 {
        return Vec::new();
    }
    with_args(sequence, |arg| {
        if let Arg::Tag(tag) = arg {
            *tag = (place(&seen, tag) + 1) * 0x11;
        }
    })
}

/// The first file first, and the lowest page of each as page 0; then the same with each file of its own kind.
fn files_from_start(sequence: &Sequence) -> Vec<Sequence> {
    let mut uses = Vec::new();
    for op in &sequence.ops {
        visit_files(&mut { *op }, |file, page| uses.push((*file, page.get())));
    }
    let seen = in_order(uses.iter().map(|(file, _)| *file));
    let of_kind = in_order(seen.iter().copied().filter(|file| file.kind() == FileKind::Memfd));
    let new = |file: File| File::new(place(&seen, &file)).expect("no more files than before");
    let alike = |file: File| match file.kind() {
        FileKind::Memfd => File::new(place(&of_kind, &file)).expect("no more files than before"),
        FileKind::Tmpfs | FileKind::Library | FileKind::Disk => file,
    };
    let lowest = |file: File| uses.iter().filter(|(f, _)| *f == file).map(|(_, p)| *p).min();
    let renamed = |name: &dyn Fn(File) -> File, lower: bool| {
        let mut guess = sequence.clone();
        for op in &mut guess.ops {
            visit_files(op, |file, page| {
                page.lower(if lower { lowest(*file).unwrap_or(0) } else { 0 });
                *file = name(*file);
            });
        }
        guess
    };
    [(&new as &dyn Fn(File) -> File, true), (&new, false), (&alike, true), (&alike, false)]
        .map(|(name, lower)| renamed(name, lower))
        .to_vec()
}

/// Where in a file an op is at work.
enum FilePlace<'a> {
    /// From this page on.
    Page(&'a mut u8),
    /// From this byte on.
    Byte(&'a mut Position),
    /// At these bytes.
    Bytes(&'a mut ByteRange),
    /// All of it.
    Whole,
}

impl FilePlace<'_> {
    /// The page.
    fn get(&self) -> u32 {
        match self {
            FilePlace::Page(page) => u32::from(**page),
            FilePlace::Byte(at) => at.0 / PAGE_BYTES,
            FilePlace::Bytes(range) => range.start().0 / PAGE_BYTES,
            FilePlace::Whole => u32::MAX,
        }
    }

    /// Moves it so many pages toward the start of the file.
    fn lower(self, pages: u32) {
        let byte = |at: Position| Position(at.0.saturating_sub(pages.saturating_mul(PAGE_BYTES)));
        match self {
            FilePlace::Page(page) => {
                *page = page.saturating_sub(u8::try_from(pages).unwrap_or(u8::MAX));
            }
            FilePlace::Byte(at) => *at = byte(*at),
            FilePlace::Bytes(range) => {
                *range = ByteRange::new(byte(range.start()), byte(range.end())).unwrap_or(*range);
            }
            FilePlace::Whole => {}
        }
    }
}

/// Calls `visit` with the file that `op` works on and where it does.
fn visit_files(op: &mut Op, mut visit: impl FnMut(&mut File, FilePlace<'_>)) {
    let mut named = None;
    for arg in op.args_mut() {
        if let Arg::Backing(Backing::File { file, page }) = arg {
            visit(file, FilePlace::Page(page));
        } else if let Arg::File(file) = arg {
            named = Some(file);
        } else if let Arg::FileBytes(at, _) | Arg::FileEnd(at) = arg {
            named.take().into_iter().for_each(|file| visit(file, FilePlace::Byte(at)));
        } else if let Arg::FileRange(range) = arg {
            named.take().into_iter().for_each(|file| visit(file, FilePlace::Bytes(range)));
        }
    }
    named.into_iter().for_each(|file| visit(file, FilePlace::Whole));
}

/// All pages that nothing touches taken out at once; then each page alone, those above moving down; then a page of what
/// is moved together with the page that it moves to.
fn without_pages(sequence: &Sequence) -> Vec<Sequence> {
    // Huge pages stay: one is like the other.
    let touched: Vec<u32> =
        sequence.ops.iter().flat_map(Op::pages).filter_map(small_page).collect();
    let Some(&last) = touched.iter().max() else { return Vec::new() };
    let pages = 0..=last.min(u32::from(ARENA_PAGES) + 1);
    let mut unused = pages.clone().rev().filter(|page| !touched.contains(page));
    let closed = unused.try_fold(sequence.clone(), |s, page| without_page(&s, page));
    let one_less = pages.filter_map(|page| without_page(sequence, page));
    let two_less = moved_pages(sequence)
        .into_iter()
        .filter_map(|(low, high)| without_page(&without_page(sequence, high)?, low));
    let shorter = |less: Sequence| [shorten_remote(sequence, &less), less];
    closed.into_iter().chain(one_less.chain(two_less).flat_map(shorter)).collect()
}

/// The number of a small page, in the arena or past its end.
fn small_page(index: u32) -> Option<u32> {
    let past_end = index.checked_sub(u32::from(ALL_PAGES));
    past_end
        .map(|past| u32::from(ARENA_PAGES) + past)
        .or_else(|| Some(index).filter(|index| *index < u32::from(ARENA_PAGES)))
}

/// The small pages that ops move, each with its new place: the lower one of the two first.
fn moved_pages(sequence: &Sequence) -> Vec<(u32, u32)> {
    let pairs = sequence.ops.iter().flat_map(|op| {
        let mut ranges = Vec::new();
        for arg in { *op }.args_mut() {
            if let Arg::Pages(pages) = arg {
                ranges.push(pages.pages());
            }
        }
        let second = ranges.get(1).cloned().unwrap_or(0..0);
        ranges.into_iter().take(1).flatten().zip(second)
    });
    let distinct = pairs.filter(|(from, to)| from != to && *from.max(to) < ARENA_PAGES);
    distinct.map(|(from, to)| (u32::from(from.min(to)), u32::from(from.max(to)))).collect()
}

/// `less`, with what uses an MR a page shorter where that MR is shorter than in `sequence`.
fn shorten_remote(sequence: &Sequence, less: &Sequence) -> Sequence {
    let len_of = |op: Op| {
        let mut op = op;
        let spans = op.args_mut().into_iter();
        spans
            .filter_map(|arg| if let Arg::Span(span) = arg { Some(span.len_bytes) } else { None })
            .sum::<u64>()
    };
    let pairs = sequence.ops.iter().zip(&less.ops);
    let shorter = pairs.filter(|(before, now)| len_of(**now) < len_of(**before));
    let lost: Vec<Mr> = shorter.flat_map(|(before, _)| before.mrs()).collect();
    let shorten = |mr: Mr, len: &mut u32| {
        if lost.contains(&mr) && *len > PAGE_BYTES {
            *len -= PAGE_BYTES;
        }
    };
    let mut guess = less.clone();
    for op in &mut guess.ops {
        let mut used = None;
        for arg in op.args_mut() {
            if let Arg::Target(target) = arg {
                used = Some(target.mr);
            } else if let Arg::Mr(mr) = arg {
                used = Some(*mr);
            } else if let Arg::Len(len) = arg {
                used.into_iter().for_each(|mr| shorten(mr, len));
            } else if let Arg::Sges(sges) = arg {
                sges.iter_mut().for_each(|sge| shorten(sge.mr, &mut sge.len_bytes));
            }
        }
    }
    guess
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
        Op::Map { proc, pages, backing, sharing, prot, populate },
        Op::Map { proc: p, pages: more, backing: b, sharing: s, prot: r, populate: f },
    ) = (one, other)
    else {
        return None;
    };
    let alike = (proc, sharing, prot, populate) == (p, s, r, f);
    let meet = pages.first() <= more.end() && more.first() <= pages.end();
    let same_file = match (backing, b) {
        (Backing::File { file, .. }, Backing::File { file: f, .. }) => file == f,
        _ => std::mem::discriminant(&backing) == std::mem::discriminant(&b),
    };
    // Of a file, the first page says which pages follow.
    let backing = if pages.first() <= more.first() { backing } else { b };
    let pages = PageRange::new(pages.first().min(more.first()), pages.end().max(more.end()))?;
    (alike && same_file && meet).then_some(Op::Map {
        proc,
        pages,
        backing,
        sharing,
        prot,
        populate,
    })
}

/// `sequence` as it would be if the arena had no small page `page`; `None` if an op has nothing left.
fn without_page(sequence: &Sequence, page: u32) -> Option<Sequence> {
    let gone = Gone { start: page * PAGE_BYTES, end: (page + 1) * PAGE_BYTES };
    let mut less = sequence.clone();
    for arg in less.ops.iter_mut().flat_map(Op::args_mut) {
        if let Arg::Pages(pages) = arg {
            *pages = gone.pages(*pages)?;
        } else if let Arg::Bytes(at, len) = arg {
            *at = gone.position(*at, *len)?;
        } else if let Arg::Span(span) = arg {
            *span = gone.span(*span)?;
        }
    }
    Some(less)
}

/// A page that is taken out of the arena.
#[derive(Clone, Copy)]
struct Gone {
    start: u32,
    end: u32,
}

impl Gone {
    /// Where a byte is then.
    fn byte(self, byte: u32) -> u32 {
        if Position(byte).is_huge() {
            return byte;
        }
        byte - byte.saturating_sub(self.start).min(self.end - self.start)
    }

    fn pages(self, pages: PageRange) -> Option<PageRange> {
        if pages.is_huge() {
            return Some(pages);
        }
        let edge = |edge: u8| u8::try_from(self.byte(u32::from(edge) * PAGE_BYTES) / PAGE_BYTES);
        PageRange::new(edge(pages.first()).ok()?, edge(pages.end()).ok()?)
    }

    /// A load or store keeps its length, so it must not have touched the page.
    fn position(self, at: Position, len: u32) -> Option<Position> {
        let is_clear = at.0.saturating_add(len.max(1)) <= self.start || at.0 >= self.end;
        is_clear.then(|| Position(self.byte(at.0)))
    }

    fn span(self, span: Span) -> Option<Span> {
        let start = Position(self.byte(span.start.0));
        let Some(range) = span.range() else { return Some(Span { start, ..span }) };
        let new = ByteRange::new(start, Position(self.byte(range.end().0)))?;
        (new.len_bytes() > 0 || range.len_bytes() == 0).then_some(new.into())
    }
}
