//! Guards: pages that nobody may touch, by an entry of the page table and not by a mapping of their own.
//!
//! They stay where they are whatever empties pages (MADV_DONTNEED, MADV_FREE, MADV_PAGEOUT, truncate, a hole) and whatever
//! changes rights. They go with their mapping, move with it, and a child has them too, unless MADV_WIPEONFORK or
//! MADV_DONTFORK keeps the pages from it.
//!
//! Source: `zap_nonpresent_ptes()`, `copy_nonpresent_pte()`, mm/memory.c; `move_ptes()`, mm/mremap.c;
//! `change_softleaf_pte()`, mm/mprotect.c; `madvise_free_pte_range()`, mm/madvise.c, 7.3.

use pinfold_contract::{Errno, PageRange, Proc};

use super::Fault;
use super::state::{Process, State};
use super::vma::{Flags, Vma};

impl State<'_> {
    /// Whether `page` of `proc` has a guard: whoever touches it gets SIGSEGV, a system call EFAULT.
    ///
    /// Source: `handle_pte_marker()`, mm/memory.c; `vm_fault_to_errno()`, include/linux/mm.h, 7.3.
    pub(super) fn is_guard(&self, proc: Proc, page: u8) -> bool {
        self.process(proc).guards.contains(&page)
    }

    /// Empties the pages of `piece`, as MADV_DONTNEED does, and gives each a guard. That makes a page table, and private
    /// anonymous memory gets an anon_vma. The whole mapping is noted as one that may have guards.
    ///
    /// Source: `madvise_guard_install()`, `is_valid_guard_vma()`, mm/madvise.c, 7.3.
    pub(super) fn install_guards(&mut self, proc: Proc, piece: &Vma) -> Result<(), Errno> {
        if piece.object.is_huge() || piece.is_locked() {
            return Err(Errno::EINVAL);
        }
        self.process_mut(proc).vmas.note_guards(piece.first);
        if piece.object.is_anonymous() {
            self.prepare_anon_vma(proc, piece.first);
        }
        for page in piece.first..piece.end {
            self.zap(proc, page);
            self.process_mut(proc).guards.insert(page);
        }
        self.process_mut(proc).has_table = true;
        Ok(())
    }

    /// Makes the guards of `piece` entries of nothing again. Other pages stay what they are, and it may be locked.
    ///
    /// Source: `madvise_guard_remove()`, `is_valid_guard_vma()`, mm/madvise.c, 7.3.
    pub(super) fn remove_guards(&mut self, proc: Proc, piece: &Vma) -> Result<(), Errno> {
        if piece.object.is_huge() {
            return Err(Errno::EINVAL);
        }
        self.process_mut(proc).guards.retain(|page| !(piece.first..piece.end).contains(page));
        Ok(())
    }

    /// Takes away what guards there are in `pages`, which are being unmapped.
    ///
    /// Source: `unmap_vmas()`, mm/memory.c, 7.3: ZAP_FLAG_DROP_MARKER.
    pub(super) fn drop_guards(&mut self, proc: Proc, pages: PageRange) {
        self.process_mut(proc).guards.retain(|page| !pages.pages().contains(page));
    }

    /// Moves the guard at `old`, if there is one, to `new`.
    ///
    /// Source: `move_ptes()`, mm/mremap.c, 7.3.
    pub(super) fn move_guard(&mut self, proc: Proc, old: u8, new: u8) {
        let guards = &mut self.process_mut(proc).guards;
        if guards.remove(&old) {
            guards.insert(new);
        }
    }

    /// Gives `child` the guards that `parent` has in `vma`, whose page table is copied.
    ///
    /// Source: `copy_nonpresent_pte()`, mm/memory.c; `copy_pte_marker()`, include/linux/mm_inline.h, 7.3.
    pub(super) fn copy_guards(&mut self, child: Proc, parent: &Process, vma: &Vma) {
        let guards = parent.guards.range(vma.first..vma.end);
        self.process_mut(child).guards.extend(guards);
    }

    /// Whether fork copies the page table of a mapping of `proc` that is neither left out nor wiped.
    ///
    /// Source: `vma_needs_copy()`, mm/memory.c, 6.1, 6.12 and 7.3; `VM_COPY_ON_FORK`, include/linux/mm.h, 7.3.
    pub(super) fn needs_copy(&self, proc: Proc, vma: &Vma) -> bool {
        let has_guard = |page| self.is_guard(proc, page);
        let may_guard = vma.anon_vma.is_none() && vma.flags.has(Flags::MAYBE_GUARD);
        let is_lost =
            may_guard && (vma.first..vma.end).any(has_guard) && self.has(Fault::GuardsLostInFork);
        vma.anon_vma.is_some() || may_guard && !is_lost
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::Signal;

    use super::*;
    use crate::model::outcomes;
    use crate::profile::Profile;

    /// How the last op of `text` ends, as a report words it.
    fn last(text: &str) -> String {
        let file = pinfold_contract::parse(&format!("# pinfold 1\n{text}"));
        let sequence = file.expect("a test says it rightly").sequence;
        let all = outcomes(Profile::newest(), &sequence);
        all.last().expect("a test has ops").expected().to_string()
    }

    const GUARDED: &str =
        "map 0..2 anon private rw\nwrite 0 8192 0x11\nadvise 0..1 guard_install\n";

    #[test]
    fn a_guard_is_a_segmentation_fault_for_the_cpu_and_efault_for_a_registration() {
        let segv = pinfold_contract::Outcome::Fault { signal: Signal::Segv, done_bytes: 0 };
        assert_eq!(last(&format!("{GUARDED}read 0 8")), segv.to_string());
        assert_eq!(last(&format!("{GUARDED}write 0 8 0x22")), segv.to_string());
        assert_eq!(last(&format!("{GUARDED}reg mr0 0..2 remote_read")), "EFAULT");
        assert_eq!(last(&format!("{GUARDED}read 1 8")), "0x11");
    }

    #[test]
    fn what_empties_pages_or_changes_rights_leaves_guards_in_place() {
        for op in
            ["advise 0..2 dontneed", "advise 0..2 free", "protect 0..2 r", "advise 0..2 pageout"]
        {
            let state = State::after(&format!("{GUARDED}{op}\n"));
            assert!(state.is_guard(Proc::P0, 0), "{op}");
        }
        for op in ["unmap 0..1", "map 0..1 anon private rw", "remap 0..1 4..5"] {
            let state = State::after(&format!("{GUARDED}{op}\n"));
            assert!(!state.is_guard(Proc::P0, 0), "{op}");
        }
        assert!(State::after(&format!("{GUARDED}remap 0..1 4..5\n")).is_guard(Proc::P0, 4));
    }

    #[test]
    fn a_child_has_the_guards_of_a_shared_file_and_none_where_it_starts_anew() {
        let child = Proc::all().nth(1).expect("there are four");
        let shared =
            "map 0..2 memfd0 shared rw\nwrite 1 8 0x11\nadvise 0..1 guard_install\nfork p1\n";
        let state = State::after(shared);
        assert!(state.is_guard(child, 0) && state.pte(child, 1).is_some());
        let wiped = State::after(&format!("{GUARDED}advise 0..2 wipeonfork\nfork p1\n"));
        assert!(!wiped.is_guard(child, 0));
    }

    #[test]
    fn guards_keep_no_mappings_apart_and_spread_to_what_they_are_merged_with() {
        let joined =
            "map 0..1 anon private rw\nadvise 0..1 guard_install\nmap 1..2 anon private rw\n";
        let state = State::after(joined);
        let vmas: Vec<&Vma> = state.process(Proc::P0).vmas.iter().collect();
        assert!(vmas.len() == 1 && vmas[0].flags.has(Flags::MAYBE_GUARD), "{vmas:?}");
    }
}
