//! Ops on memory and files.

use pinfold_contract::{
    ARENA_PAGES, Advice, Backing, ByteRange, Chore, FILE_PAGES, File, FileKind, Op, PAGE_BYTES,
    PageRange, Position, Proc, Prot, Seals, Sharing,
};

use super::Making;

/// Pages in which most ops work, so that they meet.
const BUSY_PAGES: u8 = 10;

impl Making {
    pub(super) fn map(&mut self, proc: Proc) -> Op {
        let pages = self.pages();
        let backing = self.backing();
        let is_file = matches!(backing, Backing::File { .. });
        let shared = self.swarm.shared && self.draw.one_in(if is_file { 2 } else { 4 });
        let sharing = if shared { Sharing::Shared } else { Sharing::Private };
        let mut prot = self.prot();
        // Nobody may write to a library through a shared mapping; that is told once in a while.
        if let Backing::File { file, .. } = backing
            && file.kind() == FileKind::Library
            && shared
            && !self.draw.rarely()
        {
            prot = Prot::R;
        }
        let populate = self.swarm.populate && self.draw.one_in(3);
        Op::Map { proc, pages, backing, sharing, prot, populate }
    }

    fn backing(&mut self) -> Backing {
        if self.swarm.dev_zero && self.draw.one_in(4) {
            return Backing::DevZero { page: self.draw.page(4) };
        }
        if self.swarm.files.is_empty() || self.draw.one_in(2) {
            return Backing::Anon;
        }
        let files = self.swarm.files.clone();
        self.part_of(&files)
    }

    /// Mostly the first pages of a file, so that mappings alias; sometimes across its end.
    pub(super) fn part_of(&mut self, files: &[File]) -> Backing {
        let file = self.draw.one_of(files);
        let page = match self.draw.below(8) {
            0..=4 => 0,
            5 | 6 => self.draw.page(4),
            _ => FILE_PAGES - 2 + self.draw.page(4),
        };
        Backing::File { file, page }
    }

    pub(super) fn prot(&mut self) -> Prot {
        if self.swarm.odd_prots && self.draw.one_in(4) {
            return Prot::from_bits(self.draw.page(8));
        }
        match self.draw.below(10) {
            0..=6 => Prot::RW,
            7 | 8 => Prot::R,
            _ => Prot::NONE,
        }
    }

    /// One to four pages near the start, often those of a mapping; anything rarely.
    pub(super) fn pages(&mut self) -> PageRange {
        let (first, count) = if self.draw.rarely() {
            (self.draw.page(ARENA_PAGES), 1 + self.draw.page(16))
        } else {
            (self.draw.page(BUSY_PAGES), 1 + self.draw.page(4))
        };
        PageRange::new(first, (first + count).min(ARENA_PAGES)).expect("begins inside")
    }

    /// Some pages in one piece that `proc` has mapped; any rarely.
    pub(super) fn mapped_pages(&mut self, proc: Proc) -> PageRange {
        let mapped = self.sketch.mapped_pages(proc, Prot::NONE);
        self.pages_from(proc, &mapped)
    }

    /// Pages in one piece that begin at one of `firsts`; any rarely.
    fn pages_from(&mut self, proc: Proc, firsts: &[u8]) -> PageRange {
        if firsts.is_empty() || self.draw.rarely() {
            return self.pages();
        }
        let first = self.draw.one_of(firsts);
        let run = self.sketch.mapped_run(proc, Position::page(first), Prot::NONE);
        let count = 1 + self.draw.page(run);
        PageRange::new(first, first + count).expect("mapped pages lie inside")
    }

    /// A page that `proc` has mapped, mostly with all of `prot`; any rarely.
    pub(super) fn page(&mut self, proc: Proc, prot: Prot) -> u8 {
        let fitting = self.sketch.mapped_pages(proc, prot);
        let all = self.sketch.mapped_pages(proc, Prot::NONE);
        let from = if fitting.is_empty() || self.draw.rarely() { all } else { fitting };
        if from.is_empty() || self.draw.rarely() {
            let end = if self.draw.one_in(4) { ARENA_PAGES } else { BUSY_PAGES };
            return self.draw.page(end);
        }
        self.draw.one_of(&from)
    }

    /// Bytes for a CPU access: a few of one page, whole pages, or across an edge.
    pub(super) fn cpu_bytes(&mut self, proc: Proc, prot: Prot) -> (Position, u32) {
        let page = Position::page(self.page(proc, prot)).0;
        let any = self.draw.below_u32(PAGE_BYTES);
        match self.draw.below(12) {
            0..=4 => (Position(page), 8),
            5 | 6 => (Position(page), PAGE_BYTES),
            7 => (Position(page), 2 * PAGE_BYTES),
            8 => (Position(page + PAGE_BYTES - 8), 16),
            9 => (Position(page + any), 1),
            10 => (Position(page + any), self.draw.below_u32(3 * PAGE_BYTES)),
            _ => (Position(page + any), 0),
        }
    }

    pub(super) fn write(&mut self, proc: Proc) -> Op {
        let (at, len_bytes) = self.cpu_bytes(proc, Prot::RW);
        Op::Write { proc, at, len_bytes, tag: self.tag() }
    }

    /// Mostly where the process itself may not write.
    pub(super) fn force(&mut self, proc: Proc) -> Op {
        let closed = self.sketch.pages_that(proc, |page| !page.prot.write());
        let (mut at, len_bytes) = self.cpu_bytes(proc, Prot::NONE);
        if !closed.is_empty() && !self.draw.one_in(3) {
            let page = self.draw.one_of(&closed);
            at = Position(Position::page(page).0 + at.page_offset());
        }
        Op::Force { proc, at, len_bytes, tag: self.tag() }
    }

    /// In place, shorter or longer; to pages that are free; or onto others.
    pub(super) fn remap(&mut self, proc: Proc) -> Op {
        let from = self.mapped_pages(proc);
        let count = from.page_count();
        let to_count = match self.draw.below(4) {
            0 => 1 + self.draw.page(count),
            1 => count + 1 + self.draw.page(3),
            _ => count,
        };
        let first = match self.draw.below(4) {
            0 => from.first(),
            1 => self.page(proc, Prot::NONE),
            _ => self.draw.page(BUSY_PAGES + 10),
        };
        let to = PageRange::new(first, (first + to_count).min(ARENA_PAGES));
        Op::Remap { proc, from, to: to.expect("begins inside") }
    }

    pub(super) fn advise(&mut self, proc: Proc) -> Op {
        let advice = match self.draw.below(40) {
            0..=8 => Advice::DontNeed,
            9..=12 => Advice::Free,
            13..=15 => Advice::DontFork,
            16 | 17 => Advice::WipeOnFork,
            18 | 19 => Advice::PopulateWrite,
            20 | 21 => Advice::PopulateRead,
            22 | 23 => Advice::Remove,
            24 | 25 if self.swarm.ksm => Advice::Mergeable,
            26 if self.swarm.ksm => Advice::Unmergeable,
            27..=29 => Advice::GuardInstall,
            30 => Advice::GuardRemove,
            _ => self.draw.one_of(&Advice::ALL).0,
        };
        let pages = if advice == Advice::Remove && !self.draw.one_in(3) {
            let files = self.sketch.pages_that(proc, |page| page.sharing == Sharing::Shared);
            self.pages_from(proc, &files)
        } else if advice == Advice::Unmergeable {
            let mergeable = self.sketch.mergeable_pages(proc);
            self.pages_from(proc, &mergeable)
        } else if advice == Advice::GuardRemove {
            let guards = self.sketch.pages_that(proc, |page| page.is_guard);
            self.pages_from(proc, &guards)
        } else {
            self.mapped_pages(proc)
        };
        Op::Advise { proc, pages, advice }
    }

    pub(super) fn unlock(&mut self, proc: Proc) -> Op {
        let locked = self.sketch.locked_pages(proc);
        Op::Unlock { proc, pages: self.pages_from(proc, &locked) }
    }

    // ---- files ----

    /// A file that was mapped; any rarely.
    fn file(&mut self) -> File {
        let mapped: Vec<File> = self.sketch.files.iter().copied().collect();
        if mapped.is_empty() || self.draw.rarely() {
            let all: Vec<File> = File::all().collect();
            return self.draw.one_of(&all);
        }
        self.draw.one_of(&mapped)
    }

    /// A page of `file` that `p0` has mapped, or one near its start or its end.
    fn file_page(&mut self, file: File) -> u8 {
        let mapped = self.sketch.mapped_pages(Proc::P0, Prot::NONE);
        let shown: Vec<u8> = mapped
            .iter()
            .filter_map(|page| match self.sketch.backing(Proc::P0, *page)? {
                Backing::File { file: other, page } => (other == file).then_some(page),
                Backing::Anon | Backing::DevZero { .. } | Backing::Huge => None,
            })
            .collect();
        if shown.is_empty() || self.draw.rarely() {
            return match self.draw.below(4) {
                0 => FILE_PAGES - 1,
                1 => self.draw.page(FILE_PAGES + 4),
                _ => self.draw.page(4),
            };
        }
        self.draw.one_of(&shown)
    }

    /// Where in a page: mostly at its edge.
    fn offset_in_page(&mut self) -> u32 {
        match self.draw.below(4) {
            0 => self.draw.below_u32(PAGE_BYTES),
            1 => PAGE_BYTES / 2,
            _ => 0,
        }
    }

    pub(super) fn file_write(&mut self) -> Op {
        let file = self.file();
        let start = Position::page(self.file_page(file)).0 + self.offset_in_page();
        let any = self.draw.below_u32(2 * PAGE_BYTES);
        let len_bytes = self.draw.one_of(&[8, 8, PAGE_BYTES, any, 0]);
        Op::FileWrite { file, at: Position(start), len_bytes, tag: self.tag() }
    }

    pub(super) fn truncate(&mut self) -> Op {
        let file = self.file();
        let page = Position::page(self.file_page(file)).0;
        let end = match self.draw.below(6) {
            0 => 0,
            1 => Position::page(FILE_PAGES).0,
            2 => page + self.offset_in_page(),
            3 => Position::page(FILE_PAGES + self.draw.page(4)).0,
            4 => page + 1 + self.draw.below_u32(PAGE_BYTES - 1),
            _ => page,
        };
        Op::Truncate { file, end: Position(end) }
    }

    pub(super) fn punch(&mut self) -> Op {
        let file = self.file();
        let start = Position::page(self.file_page(file)).0 + self.offset_in_page();
        let pages = (1 + self.draw.below_u32(2)) * PAGE_BYTES;
        let any = self.draw.below_u32(2 * PAGE_BYTES);
        let len = self.draw.one_of(&[PAGE_BYTES, pages, pages, any, 0]);
        let range = ByteRange::new(Position(start), Position(start + len));
        Op::Punch { file, range: range.expect("a length is not negative") }
    }

    pub(super) fn seal(&mut self) -> Op {
        let any = Seals::from_bits(self.draw.page(32));
        let seals = self.draw.one_of(&[
            Seals::WRITE,
            Seals::WRITE,
            Seals::FUTURE_WRITE,
            Seals::SHRINK,
            Seals::GROW,
            any,
        ]);
        Op::Seal { file: self.file_to_seal(), seals }
    }

    /// Mostly one that can be sealed.
    fn file_to_seal(&mut self) -> File {
        let memfds: Vec<File> = self.sketch.files.iter().copied().collect();
        let memfds: Vec<File> =
            memfds.into_iter().filter(|file| file.kind() == FileKind::Memfd).collect();
        if memfds.is_empty() || self.draw.rarely() {
            return self.file();
        }
        self.draw.one_of(&memfds)
    }

    // ---- the machine ----

    /// Few pages; lifted again if there is a limit.
    pub(super) fn mem_limit(&mut self) -> Op {
        let is_lifted = self.sketch.is_mem_limited && self.draw.one_in(3) || self.draw.rarely();
        let count = if self.draw.rarely() { self.draw.page(64) } else { self.draw.page(5) };
        Op::MemLimit { pages: (!is_lifted).then_some(u16::from(count)) }
    }

    pub(super) fn chore(&mut self) -> Chore {
        if self.swarm.ksm && (!self.swarm.chores || self.draw.one_in(2)) {
            return self.draw.one_of(&[Chore::KsmMerge, Chore::KsmMerge, Chore::KsmUnmerge]);
        }
        self.draw.one_of(&[Chore::Compact, Chore::Reclaim, Chore::Reclaim, Chore::DropCaches])
    }
}
