//! Locked memory: `mlock2`, `munlock`, `mlockall`, `munlockall`, and how pages are
//! brought in for it.

use pinfold_contract::{
    ALL_PAGES, ARENA_PAGES, Errno, LockScope, Outcome, PAGE_BYTES, PageRange, Proc, Sharing,
};

use super::fault::Touch;
use super::gup::BadAddress;
use super::state::State;
use super::vma::{Flags, Vma};
use super::{Fault, Prediction};

/// Fewer pages than this the executor never has mapped for itself.
const OWN_PAGES_LEAST: u64 = 2048;

/// More pages than this the executor never has mapped for itself.
const OWN_PAGES_MOST: u64 = 1 << 20;

impl State<'_> {
    /// `setrlimit(RLIMIT_MEMLOCK)` in `p0`.
    pub(super) fn limit(&mut self, bytes: u64) -> Outcome {
        self.limit_bytes = bytes;
        Outcome::Done
    }

    /// Whether `p0` registers and locks with CAP_IPC_LOCK from here on.
    pub(super) fn hold_ipc_lock(&mut self, held: bool) -> Outcome {
        self.ipc_lock = held;
        Outcome::Done
    }

    /// `mlock2`.
    pub(super) fn lock(&mut self, proc: Proc, pages: PageRange, on_fault: bool) -> Prediction {
        let outcome = self.lock_pages(proc, pages, on_fault);
        self.unless_limit_is_near(proc, false, outcome)
    }

    /// Locks mapping by mapping up to the first hole, then brings the pages in.
    ///
    /// Source: `do_mlock()`, mm/mlock.c, 6.1 and 6.12.
    fn lock_pages(&mut self, proc: Proc, pages: PageRange, on_fault: bool) -> Outcome {
        let capable = proc == Proc::P0 && self.ipc_lock;
        if self.lock_limit(proc) == 0 && !capable {
            return Outcome::Errno(Errno::EPERM);
        }
        let already = self.process(proc).vmas.locked_pages(pages);
        let added = i64::from(pages.small_page_count()) - already;
        if !capable && !self.lock_fits(proc, added) {
            return Outcome::Errno(Errno::ENOMEM);
        }
        let flags = if on_fault { Flags::LOCK_MASK } else { Flags::LOCKED };
        if self.apply_lock(proc, pages, flags).is_err() || self.populate(proc, pages).is_err() {
            return Outcome::Errno(Errno::ENOMEM);
        }
        Outcome::Done
    }

    /// `munlock`.
    ///
    /// Source: `SYSCALL_DEFINE2(munlock)`, mm/mlock.c, 6.1 and 6.12.
    pub(super) fn unlock(&mut self, proc: Proc, pages: PageRange) -> Outcome {
        let result = self.apply_lock(proc, pages, Flags::NONE);
        if result.is_ok() { Outcome::Done } else { Outcome::Errno(Errno::ENOMEM) }
    }

    /// `mlockall` and `munlockall`.
    pub(super) fn lock_all(&mut self, proc: Proc, scope: LockScope) -> Prediction {
        let own_counts = matches!(scope, LockScope::Current | LockScope::Both);
        let outcome = self.lock_mappings(proc, scope);
        self.unless_limit_is_near(proc, own_counts, outcome)
    }

    /// Locks or unlocks every mapping there is or will be. What is there is locked on fault, so
    /// nothing is brought in but huge pages, which are not locked at all.
    ///
    /// Source: `SYSCALL_DEFINE1(mlockall)`, `apply_mlockall_flags()`, mm/mlock.c, 6.1 and 6.12.
    fn lock_mappings(&mut self, proc: Proc, scope: LockScope) -> Outcome {
        let capable = proc == Proc::P0 && self.ipc_lock;
        let (current, new_flags) = match scope {
            LockScope::None => (Some(Flags::NONE), Flags::NONE),
            LockScope::Current => (Some(Flags::LOCK_MASK), Flags::NONE),
            LockScope::Future => (None, Flags::LOCKED),
            LockScope::Both => (Some(Flags::LOCK_MASK), Flags::LOCK_MASK),
        };
        if scope != LockScope::None && !capable {
            if self.lock_limit(proc) == 0 {
                return Outcome::Errno(Errno::EPERM);
            }
            // All that is mapped must fit, locked or not, and the executor's own counts.
            if current.is_some() && self.lock_limit(proc) / u64::from(PAGE_BYTES) < OWN_PAGES_LEAST
            {
                return Outcome::Errno(Errno::ENOMEM);
            }
        }
        self.process_mut(proc).new_flags = new_flags;
        if let Some(flags) = current {
            self.process_mut(proc).own_locked = flags != Flags::NONE;
            for vma in self.process(proc).vmas.iter().copied().collect::<Vec<Vma>>() {
                self.lock_piece(proc, &vma, flags);
            }
        }
        // `mm_populate()` of all there is: what cannot be locked is not locked on fault either.
        if matches!(scope, LockScope::Current | LockScope::Both) {
            let huge = PageRange::new(ARENA_PAGES, ALL_PAGES).expect("there are huge pages");
            self.populate_or_not(proc, huge);
        }
        Outcome::Done
    }

    /// `outcome`, or any other that the limit could lead to where it depends on how much
    /// the executor has mapped for itself.
    pub(super) fn unless_limit_is_near(
        &self,
        proc: Proc,
        own_counts: bool,
        outcome: Outcome,
    ) -> Prediction {
        let limit = self.lock_limit(proc) / u64::from(PAGE_BYTES);
        let near = (OWN_PAGES_LEAST..OWN_PAGES_MOST).contains(&limit);
        if near && (own_counts || self.process(proc).own_locked) {
            let errnos = [Errno::ENOMEM, Errno::EAGAIN].map(Outcome::Errno);
            return Prediction::rather(
                outcome,
                [Outcome::Done].into_iter().chain(errnos).collect(),
            );
        }
        Prediction::only(outcome)
    }

    /// RLIMIT_MEMLOCK of `proc`, in bytes.
    pub(super) fn lock_limit(&self, proc: Proc) -> u64 {
        if proc == Proc::P0 { self.limit_bytes } else { self.process(proc).limit_bytes }
    }

    /// Whether `added` more locked pages are within the limit.
    ///
    /// Source: `mlock_future_check()`, mm/mmap.c, 6.1; `mlock_future_ok()`, mm/mmap.c, 6.12.
    pub(super) fn lock_fits(&self, proc: Proc, added: i64) -> bool {
        let process = self.process(proc);
        let own = if process.own_locked { OWN_PAGES_LEAST } else { 0 };
        let locked = u64::try_from(process.locked_vm + added).unwrap_or(0) + own;
        locked <= self.lock_limit(proc) / u64::from(PAGE_BYTES)
    }

    /// Gives the mappings in `pages` these lock flags, up to the first hole.
    ///
    /// Source: `apply_vma_lock_flags()`, mm/mlock.c, 6.1 and 6.12.
    fn apply_lock(&mut self, proc: Proc, pages: PageRange, flags: Flags) -> Result<(), BadAddress> {
        let mut at = pages.first();
        for piece in self.process(proc).vmas.pieces(pages) {
            if piece.first != at {
                return Err(BadAddress);
            }
            self.lock_piece(proc, &piece, flags);
            at = piece.end;
        }
        if at == pages.end() { Ok(()) } else { Err(BadAddress) }
    }

    /// Huge pages are never locked, as nothing takes them away.
    ///
    /// Source: `mlock_fixup()`, mm/mlock.c, 6.1 and 6.12.
    fn lock_piece(&mut self, proc: Proc, piece: &Vma, flags: Flags) {
        if piece.object.is_huge() {
            return;
        }
        let count = i64::from(piece.end - piece.first);
        let new_flags = piece.flags.without(Flags::LOCK_MASK).with(flags);
        let twice = self.has(Fault::LockedTwice);
        let profile = self.profile;
        let process = self.process_mut(proc);
        process.locked_vm += match (piece.is_locked(), flags.has(Flags::LOCKED)) {
            (false, true) => count,
            (true, true) if twice => count,
            (true, false) => -count,
            (true, true) | (false, false) => 0,
        };
        process.vmas.modify(Vma { flags: new_flags, ..*piece }, profile);
        for page in piece.first..piece.end {
            if let Some(id) = self.pte(proc, page) {
                self.frames[id].batched = true;
            }
        }
    }

    /// Brings the pages of every mapping in `pages` in, up to the first that cannot be. Holes do not matter.
    ///
    /// Source: `__mm_populate()`, mm/gup.c, 6.1 and 6.12.
    fn populate(&mut self, proc: Proc, pages: PageRange) -> Result<(), BadAddress> {
        let pieces = self.process(proc).vmas.pieces(pages);
        pieces.iter().try_for_each(|piece| self.populate_piece(proc, piece))
    }

    /// The same, but a page that cannot be brought in only ends the work on its mapping.
    ///
    /// Source: `mm_populate()`, include/linux/mm.h; `__mm_populate()`, mm/gup.c, 6.1 and 6.12.
    pub(super) fn populate_or_not(&mut self, proc: Proc, pages: PageRange) {
        for piece in self.process(proc).vmas.pieces(pages) {
            // The error is ignored: `mmap` and `mremap` have done their work already.
            let _ = self.populate_piece(proc, &piece);
        }
    }

    /// Brings the pages of a piece of one mapping in: with write faults if it is private
    /// and writable, else with read faults, readable or not.
    ///
    /// Source: `populate_vma_page_range()`, mm/gup.c, 6.1 and 6.12.
    pub(super) fn populate_piece(&mut self, proc: Proc, piece: &Vma) -> Result<(), BadAddress> {
        if piece.flags.has(Flags::LOCK_ON_FAULT) {
            return Ok(());
        }
        if piece.prot.bits() == 0 {
            return Err(BadAddress);
        }
        let writes = piece.prot.write() && piece.sharing == Sharing::Private;
        let touch = if writes { Touch::Write } else { Touch::Read };
        (piece.first..piece.end.min(ALL_PAGES))
            .try_for_each(|page| self.touch(proc, page, touch).map_err(|_| BadAddress))
    }
}
