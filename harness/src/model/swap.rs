//! Swap: anonymous memory and shared memory that is not in memory.
//!
//! Its device is a RAM disk, on which the kernel writes and reads at once (SWP_SYNCHRONOUS_IO): what is paged out is
//! gone from memory when `madvise` returns, and who alone has it gets a fresh frame. What several have since a fork
//! comes back through the swap cache, where all find the same frame.
//!
//! Pinned pages are never swapped: `shrink_folio_list()` asks `folio_maybe_dma_pinned()`, and whoever unmaps an
//! exclusive page looks again (`try_to_unmap_one()`, mm/rmap.c). Nor is what the limited cgroup is charged for, as
//! that may have nothing in swap space (`__mem_cgroup_try_charge_swap()`, mm/memcontrol.c). Both 6.1 and 6.12.

use pinfold_contract::{ARENA_PAGES, Outcome, Proc, Sharing};

use super::Fault;
use super::frame::{FrameId, Use};
use super::state::{PteBits, State, SwapEntry};
use super::vma::Vma;
use crate::profile::{SwapExclusive, SwapSpace};

impl State<'_> {
    /// Lets pages be swapped out from now on, or no more: `memory.swap.max`.
    pub(super) fn allow_swap(&mut self, on: bool) -> Outcome {
        match self.profile.swap_space {
            SwapSpace::None => Outcome::Skipped,
            SwapSpace::RamDisk => {
                self.may_swap = on;
                Outcome::Done
            }
        }
    }

    /// Takes the anonymous frame `id`, which `page` of `proc` alone shows, out of memory. One that is in the swap
    /// cache still needs no place in swap space.
    ///
    /// Source: `shrink_folio_list()`, mm/vmscan.c; `try_to_unmap_one()`, mm/rmap.c, 6.1 and 6.12.
    pub(super) fn swap_out(&mut self, proc: Proc, page: u8, id: FrameId) {
        let frame = &self.frames[id];
        let content = frame.content.clone();
        let exclusive = frame.usage == Use::Anon { exclusive: true };
        let has_place = frame.in_swap_cache || self.may_swap && !frame.charged;
        let is_free = frame.pin_count == 0 || self.has(Fault::PinnedSwapped);
        if !has_place || !is_free || self.is_out_of_reach(id) {
            return;
        }
        // What comes back comes back as another frame. PageKsm is lost with this one.
        let stored = self.frames.add(Use::Anon { exclusive: false }, content);
        self.clear_pte(proc, page);
        self.set_swapped(proc, page, SwapEntry { frame: stored, exclusive });
        for (proc, page) in self.swap_entries_of(id) {
            self.clear_swapped(proc, page);
            self.set_swapped(proc, page, SwapEntry { frame: stored, exclusive: false });
        }
        self.ksm.forget(id);
    }

    /// Whether reclaim does not find where a frame is mapped: who shares since a fork what KSM made a merged frame in
    /// vain has an entry that nobody leads to. Of the others the places are found that KSM has looked at, and those
    /// forked from them, as long as it has not forgotten the former: that is not followed.
    ///
    /// Source: `rmap_walk_ksm()`, mm/ksm.c, 6.1 and 6.12.
    fn is_out_of_reach(&mut self, id: FrameId) -> bool {
        if self.frames[id].usage != Use::Ksm {
            return false;
        }
        let is_stable = self.is_stable(id);
        self.unclear |= is_stable;
        !is_stable
    }

    fn swap_entries_of(&self, id: FrameId) -> Vec<(Proc, u8)> {
        let live = Proc::all().filter(|proc| self.is_live(*proc));
        live.flat_map(|proc| (0..ARENA_PAGES).map(move |page| (proc, page)))
            .filter(|(proc, page)| {
                let entry = self.process(*proc).swapped[usize::from(*page)];
                entry.is_some_and(|entry| entry.frame == id)
            })
            .collect()
    }

    /// Brings back what `page` of `proc` had swapped out, if it had.
    ///
    /// 6.1 leaves the entry of a page that is read write-protected even if nobody else has the frame. KSM alone could
    /// tell, and there it does not ask (`KsmSwap::Works`).
    ///
    /// 7.3 brings every page back through the swap cache, and takes it out of there at once if no other entry needs its
    /// place.
    ///
    /// Source: `do_swap_page()`, mm/memory.c, 6.1, 6.12 and 7.3; `should_try_to_free_swap()`, mm/memory.c, 7.3.
    pub(super) fn swap_in(&mut self, proc: Proc, page: u8, vma: &Vma) {
        let Some(entry) = self.process_mut(proc).swapped[usize::from(page)].take() else { return };
        let frame = &mut self.frames[entry.frame];
        let is_last = frame.swap_entries == 1 && !frame.in_swap_cache;
        frame.swap_entries -= 1;
        let exclusive = match self.profile.swap_exclusive {
            SwapExclusive::LastEntry => {
                frame.in_swap_cache = !is_last;
                is_last
            }
            SwapExclusive::Marked => {
                frame.in_swap_cache = true;
                entry.exclusive
            }
        };
        if exclusive {
            frame.usage = Use::Anon { exclusive: true };
        }
        self.set_pte(proc, page, entry.frame);
        let writable = exclusive && vma.prot.write() && vma.sharing == Sharing::Private;
        self.set_pte_bits(proc, page, PteBits { dirty: false, writable });
        if self.profile.swap_exclusive == SwapExclusive::Marked {
            self.leave_swap_cache(entry.frame);
        }
    }

    /// Gives a child what its parent has swapped out: from then on neither has it alone.
    ///
    /// Source: `copy_nonpresent_pte()`, mm/memory.c, 6.1, 6.12 and 7.3.
    pub(super) fn copy_swap_entry(&mut self, (parent, child): (Proc, Proc), page: u8) {
        if let Some(entry) = &mut self.process_mut(parent).swapped[usize::from(page)] {
            entry.exclusive = false;
            let entry = *entry;
            self.set_swapped(child, page, entry);
        }
    }

    /// Takes the frame `id` out of the swap cache, which makes it dirty, if no entry needs its place in swap space.
    /// Says whether it is out.
    ///
    /// Source: `folio_free_swap()`, mm/swapfile.c; `delete_from_swap_cache()`, mm/swap_state.c, 6.1 and 6.12.
    pub(super) fn leave_swap_cache(&mut self, id: FrameId) -> bool {
        let frame = &mut self.frames[id];
        if frame.in_swap_cache && frame.swap_entries == 0 {
            frame.in_swap_cache = false;
            frame.marked_dirty = true;
        }
        !frame.in_swap_cache
    }

    /// Makes `page` of `proc`, where nothing is present, the swap entry `entry`.
    pub(super) fn set_swapped(&mut self, proc: Proc, page: u8, entry: SwapEntry) {
        self.frames[entry.frame].swap_entries += 1;
        self.process_mut(proc).swapped[usize::from(page)] = Some(entry);
    }

    /// Takes the swap entry at `page` of `proc` away, if there is one.
    ///
    /// Source: `free_swap_and_cache()`, mm/swapfile.c, 6.1; `free_swap_and_cache_nr()`, 6.12.
    pub(super) fn clear_swapped(&mut self, proc: Proc, page: u8) {
        if let Some(entry) = self.process_mut(proc).swapped[usize::from(page)].take() {
            self.frames[entry.frame].swap_entries -= 1;
            self.free_if_unused(entry.frame);
        }
    }

    /// A frame in the swap cache that nobody shows and nobody needs is free memory.
    pub(super) fn free_if_unused(&mut self, id: FrameId) {
        let frame = &mut self.frames[id];
        frame.in_swap_cache &= frame.map_count > 0 || frame.swap_entries > 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::profile::linux;

    const OUT: &str = "swap on\nmap 0..1 anon private rw\nwrite 0 8 0x11\nfork p1\np1 exit\nadvise 0..1 pageout\n";

    fn usage(state: &State<'_>, proc: Proc) -> Use {
        state.frames[state.pte(proc, 0).unwrap()].usage
    }

    #[test]
    fn who_alone_has_a_page_gets_it_back_as_its_own() {
        let text = format!("{OUT}read 0 8\n");
        let state = State::after_on(linux("6.12"), &text);
        assert_eq!(usage(&state, Proc::P0), Use::Anon { exclusive: true });
    }

    #[test]
    fn since_7_3_a_page_is_its_process_own_again_only_if_it_was_when_it_went() {
        let after = |text: &str| usage(&State::after_on(linux("7.3"), text), Proc::P0);
        assert_eq!(after(&format!("{OUT}read 0 8\n")), Use::Anon { exclusive: false });
        let own = "swap on\nmap 0..1 anon private rw\nwrite 0 8 0x11\nadvise 0..1 pageout\n";
        assert_eq!(after(&format!("{own}read 0 8\n")), Use::Anon { exclusive: true });
        let shared = format!("{own}fork p1\np1 exit\nread 0 8\n");
        assert_eq!(after(&shared), Use::Anon { exclusive: false });
    }

    #[test]
    fn what_several_have_comes_back_as_one_frame_until_one_writes() {
        let child = Proc::all().nth(1).unwrap();
        let state = State::after(&format!("{OUT}fork p1\nread 0 8\np1 read 0 8\n"));
        assert_eq!(state.pte(Proc::P0, 0), state.pte(child, 0));
        assert_eq!(usage(&state, child), Use::Anon { exclusive: false });
        let state = State::after(&format!("{OUT}fork p1\nwrite 0 8 0x22\np1 read 0 8\n"));
        assert_ne!(state.pte(Proc::P0, 0), state.pte(child, 0));
    }

    #[test]
    fn what_is_paged_out_once_more_leaves_the_swap_cache_for_all() {
        let child = Proc::all().nth(1).unwrap();
        let again = "fork p1\nread 0 8\nadvise 0..1 pageout\n";
        let state = State::after(&format!("{OUT}{again}"));
        assert_eq!(state.process(Proc::P0).swapped[0], state.process(child).swapped[0]);
        let state = State::after(&format!("{OUT}{again}read 0 8\np1 read 0 8\n"));
        assert_eq!(state.pte(Proc::P0, 0), state.pte(child, 0));
    }

    #[test]
    fn the_last_one_to_write_keeps_the_frame_of_the_swap_cache() {
        let state = State::after(&format!("{OUT}fork p1\np1 read 0 8\np1 exit\nwrite 0 8 0x22\n"));
        let id = state.pte(Proc::P0, 0).unwrap();
        assert!(!state.frames[id].in_swap_cache && state.frames[id].marked_dirty);
        assert_eq!(state.frames.iter().count(), State::after(OUT).frames.iter().count());
    }

    #[test]
    fn nothing_is_swapped_that_is_pinned_or_must_not_be() {
        let written = "map 0..1 anon private rw\nwrite 0 8 0x11\n";
        let page_out = "advise 0..1 pageout\n";
        for (text, stays) in [
            (format!("{written}swap on\n{page_out}"), false),
            (format!("{written}swap on\nswap off\n{page_out}"), true),
            (format!("{written}swap on\nreg mr0 0..1 local_write\n{page_out}"), true),
            (format!("{written}swap on\nfork p1\n{page_out}"), true),
            (
                format!(
                    "swap on\nmap 0..1 anon private rw\nmem_limit 9\nreg mr0 0..1 local_write\ndereg mr0\n{page_out}"
                ),
                true,
            ),
        ] {
            assert_eq!(State::after(&text).pte(Proc::P0, 0).is_some(), stays, "{text}");
        }
    }
}
