//! KSM: which pages it merges, and into which frame.
//!
//! A scan goes from place to place (a page of a process) and keeps two trees:
//! the stable one of merged frames, and the unstable one of places that it met
//! in this scan and found alone. It is modelled scan by scan, since the frame
//! that is kept, and what a pinned page does to those after it, come from the order.
//!
//! Assumes `use_zero_pages` and `smart_scan` off, and fewer than 256 places.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use pinfold_contract::{Proc, Runs};

use super::Fault;
use super::fault::Touch;
use super::frame::{Frame, FrameId, Use};
use super::state::{PteBits, State};
use super::vma::Vma;
use crate::profile::{KsmSearch, KsmSwap};

/// Scans of one merge. The first takes the checksums of what changed, one finds the pairs, the next ones what else a
/// process shares with a page that was merged, and each place may have to be tried twice.
const SCANS: u8 = 7;

/// One page of one process.
type Place = (Proc, u8);

/// What KSM remembers from scan to scan.
#[derive(Clone, Debug, Default)]
pub(super) struct Ksm {
    /// The processes it looks at, in the order in which they came (`ksm_mm_head`).
    procs: Vec<Proc>,
    /// The frames of the stable tree, as long as they are mapped.
    stable: Vec<FrameId>,
    /// The places that it met in its last scan (`rmap_item`).
    items: BTreeMap<Place, Item>,
}

/// What it knows of one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    /// What the place held when its checksum was last taken (`oldchecksum`).
    content: Option<Runs>,
    /// The merged frame in whose list of sharers the place stands, shown there or not any more (`head`).
    sharer_of: Option<FrameId>,
}

impl Item {
    /// The merged frame in whose list of sharers the place stands.
    pub(super) fn sharer_of(&self) -> Option<FrameId> {
        self.sharer_of
    }

    /// What the place held when its checksum was last taken.
    pub(super) fn content(&self) -> Option<&Runs> {
        self.content.as_ref()
    }
}

impl Ksm {
    /// The processes it looks at, the frames of the stable tree, and the places that it met.
    pub(super) fn known(&self) -> (&[Proc], &[FrameId], &BTreeMap<Place, Item>) {
        (&self.procs, &self.stable, &self.items)
    }

    /// A frame of the stable tree is no more.
    pub(super) fn forget(&mut self, id: FrameId) {
        self.stable.retain(|other| *other != id);
        for item in self.items.values_mut().filter(|item| item.sharer_of == Some(id)) {
            item.sharer_of = None;
        }
    }

    /// Forgets the places of `proc` in `pages`, which a scan passed by.
    ///
    /// Source: `get_next_rmap_item()` and `remove_trailing_rmap_items()`, mm/ksm.c, 6.1 and 6.12.
    fn pass_by(&mut self, proc: Proc, pages: impl RangeBounds<u8>) {
        self.items.retain(|(owner, page), _| *owner != proc || !pages.contains(page));
    }

    fn item(&mut self, place: Place) -> &mut Item {
        self.items.entry(place).or_default()
    }

    /// Whether another place may be merged into the frame `id`: not where nobody stands in its list of sharers, since it is
    /// to be freed soon.
    ///
    /// Source: `__is_page_sharing_candidate()`, mm/ksm.c, 6.1 and 6.12.
    fn is_candidate(&self, id: FrameId) -> bool {
        self.items.values().any(|item| item.sharer_of == Some(id))
    }
}

impl State<'_> {
    /// A process asked for merging with MADV_MERGEABLE.
    ///
    /// Source: `ksm_madvise()`, `__ksm_enter()`, mm/ksm.c, 6.1 and 6.12.
    pub(super) fn ksm_enter(&mut self, proc: Proc) {
        if !self.ksm.procs.contains(&proc) {
            self.ksm.procs.push(proc);
        }
    }

    /// A process that KSM looks at has a child.
    ///
    /// Source: `ksm_fork()`, include/linux/ksm.h, 6.1 and 6.12.
    pub(super) fn ksm_fork(&mut self, parent: Proc, child: Proc) {
        self.ksm_exit(child);
        if self.ksm.procs.contains(&parent) {
            self.ksm.procs.push(child);
        }
    }

    /// A process is gone.
    pub(super) fn ksm_exit(&mut self, proc: Proc) {
        self.ksm.procs.retain(|other| *other != proc);
        self.ksm.pass_by(proc, ..);
    }

    /// Merges all that can be merged.
    ///
    /// Source: `ksm_do_scan()`, mm/ksm.c, 6.1 and 6.12.
    pub(super) fn ksm_merge(&mut self) {
        for _ in 0..SCANS {
            self.ksm_scan();
        }
        // A process without anything to merge is forgotten until it asks again.
        let kept: Vec<Proc> =
            self.ksm.procs.iter().copied().filter(|proc| self.asks_for_merging(*proc)).collect();
        self.ksm.procs = kept;
    }

    /// Meets each place that shows anonymous memory, in order, and forgets those that do not any more.
    ///
    /// Source: `scan_get_next_rmap_item()`, mm/ksm.c, 6.1 and 6.12.
    fn ksm_scan(&mut self) {
        let places = self.ksm_places();
        let mut unstable = Vec::new();
        for proc in self.ksm.procs.clone() {
            let mut next = 0;
            for &(_, page) in places.iter().filter(|(owner, _)| *owner == proc) {
                if self.is_anonymous((proc, page)) {
                    self.ksm.pass_by(proc, next..page);
                    next = page + 1;
                    self.ksm_look_at((proc, page), &mut unstable);
                }
            }
            self.ksm.pass_by(proc, next..);
        }
    }

    fn is_anonymous(&self, (proc, page): Place) -> bool {
        self.pte(proc, page).is_some_and(|id| match self.frames[id].usage {
            Use::Anon { .. } | Use::Ksm => true,
            Use::Zero | Use::Cache => false,
        })
    }

    /// Gives every place its own copy back, the last one too.
    ///
    /// Source: `unmerge_and_remove_all_rmap_items()`, `break_ksm()`, mm/ksm.c, 6.1 and 6.12.
    pub(super) fn ksm_unmerge(&mut self) {
        // Who reads what the swap cache has of a merged frame gets a copy, if nobody has mapped it by now:
        // `remove_stable_node()`, `ksm_might_need_to_copy()`, mm/ksm.c, 6.1 and 6.12.
        let in_cache = |frame: &Frame| frame.usage == Use::Ksm && frame.in_swap_cache;
        self.unclear |= self.frames.iter().any(|(_, frame)| in_cache(frame));
        for place in self.ksm_places() {
            self.break_ksm(place);
        }
        self.ksm.stable.clear();
        self.ksm.items.clear();
    }

    /// Gives one place its own copy back, if it shows a merged frame.
    pub(super) fn break_ksm(&mut self, (proc, page): Place) {
        let merged = self.pte(proc, page).is_some_and(|id| self.frames[id].usage == Use::Ksm);
        if merged {
            // No registration is under way, so no cgroup refuses the copy.
            let copied = self.touch(proc, page, Touch::Unshare);
            debug_assert!(copied.is_ok(), "the page is present");
        }
    }

    /// Every page of a mapping that asked for merging and was ever written, in the order of a scan.
    ///
    /// Source: `scan_get_next_rmap_item()`, mm/ksm.c, 6.1 and 6.12.
    fn ksm_places(&mut self) -> Vec<Place> {
        for proc in Proc::all() {
            if self.is_live(proc) && self.asks_for_merging(proc) {
                self.ksm_enter(proc);
            }
        }
        let mut places = Vec::new();
        for &proc in self.ksm.procs.iter().filter(|proc| self.is_live(**proc)) {
            let vmas = self.process(proc).vmas.iter();
            for vma in vmas.filter(|vma| vma.is_mergeable() && vma.anon_vma.is_some()) {
                places.extend((vma.first..vma.end).map(|page| (proc, page)));
            }
        }
        places
    }

    fn asks_for_merging(&self, proc: Proc) -> bool {
        self.is_live(proc) && self.process(proc).vmas.iter().any(Vma::is_mergeable)
    }

    /// Source: `cmp_and_merge_page()`, mm/ksm.c, 6.1 and 6.12.
    fn ksm_look_at(&mut self, place: Place, unstable: &mut Vec<Place>) {
        let Some(id) = self.pte(place.0, place.1) else { return };
        if self.is_stable(id) {
            self.ksm.item(place).sharer_of = Some(id);
            return;
        }
        let leaves_first = match self.profile.ksm_search {
            KsmSearch::BeforeItLeaves => false,
            KsmSearch::OnceItLeft => true,
        };
        if leaves_first {
            self.ksm.item(place).sharer_of = None;
            if self.has_changed(place, id) {
                return;
            }
        }
        let kept = self.ksm_find(id);
        self.ksm.item(place).sharer_of = None;
        if let Some(kept) = kept {
            if self.ksm_swap(place, id, kept) {
                self.ksm.item(place).sharer_of = Some(kept);
            }
            return;
        }
        if !leaves_first && self.has_changed(place, id) {
            return;
        }
        let twin = |other: &FrameId| self.frames[*other].content == self.frames[id].content;
        let met = unstable
            .iter()
            .position(|place| self.pte(place.0, place.1).is_some_and(|other| twin(&other)));
        let Some(index) = met else {
            unstable.push(place);
            return;
        };
        let other = unstable[index];
        if self.ksm_merge_two(place, id, other) {
            for sharer in [place, other] {
                self.ksm.item(sharer).sharer_of = Some(id);
            }
            unstable.remove(index);
        }
    }

    /// Whether `place`, which shows `id`, holds something else than when its checksum was last taken. It is taken anew.
    fn has_changed(&mut self, place: Place, id: FrameId) -> bool {
        let now = Some(self.frames[id].content.clone());
        let item = self.ksm.item(place);
        let is_new = item.content != now;
        item.content = now;
        is_new
    }

    /// The merged frame into which `id` is to be merged.
    ///
    /// Source: `stable_tree_search()`, mm/ksm.c, 6.1 and 6.12.
    fn ksm_find(&self, id: FrameId) -> Option<FrameId> {
        let is_twin = |other: &FrameId| self.frames[*other].content == self.frames[id].content;
        let mut stable = self.ksm.stable.iter().copied().filter(|other| self.is_stable(*other));
        stable.find(|other| is_twin(other) && self.ksm.is_candidate(*other))
    }

    /// Makes the frame `id`, seen at `place`, a merged one and puts it at `other`, too. If `other` is
    /// pinned, what was made of `id` is undone by copying it.
    ///
    /// Source: `try_to_merge_two_pages()`, `write_protect_page()`, `break_cow()`, mm/ksm.c, 6.1 and 6.12.
    fn ksm_merge_two(&mut self, place: Place, id: FrameId, other: Place) -> bool {
        let Some(theirs) = self.pte(other.0, other.1) else { return false };
        // A page that two processes share since a fork has nothing to be merged with.
        if theirs == id || !self.ksm_may_take(id) {
            return false;
        }
        self.ksm_write_protect(place, id);
        let frame = &mut self.frames[id];
        frame.usage = Use::Ksm;
        frame.lazyfree = false;
        frame.marked_dirty = true;
        if !self.ksm_swap(other, theirs, id) {
            self.break_ksm(place);
            return false;
        }
        self.ksm.stable.push(id);
        true
    }

    /// Makes `place`, which shows `old`, show the merged frame `kept`, unless `old` is pinned. Where the
    /// entry of the place is write-protected but not yet clean, some kernels fail the first time.
    ///
    /// Source: `write_protect_page()` and `replace_page()`, mm/ksm.c, 6.1 and 6.12.
    fn ksm_swap(&mut self, place: Place, old: FrameId, kept: FrameId) -> bool {
        if !self.ksm_may_take(old) {
            return false;
        }
        let bits = self.pte_bits(place.0, place.1);
        let exclusive = self.frames[old].usage == Use::Anon { exclusive: true };
        let is_touched = !bits.writable && (bits.dirty || exclusive);
        self.ksm_write_protect(place, old);
        let works = match self.profile.ksm_swap {
            KsmSwap::Works => true,
            KsmSwap::FailsOnce => !is_touched,
        };
        if works {
            self.set_pte(place.0, place.1, kept);
        }
        works
    }

    /// Nothing that is pinned, and no frame that was made a merged one in vain: whoever shares that since a
    /// fork keeps it, as it has no anon_vma any more.
    ///
    /// Source: `write_protect_page()`, mm/ksm.c; `page_address_in_vma()`, mm/rmap.c, 6.1 and 6.12.
    fn ksm_may_take(&self, id: FrameId) -> bool {
        let free = self.frames[id].pin_count == 0 || self.has(Fault::PinnedMerged);
        free && self.frames[id].usage != Use::Ksm
    }

    /// Source: `write_protect_page()`, mm/ksm.c, 6.1 and 6.12.
    fn ksm_write_protect(&mut self, (proc, page): Place, id: FrameId) {
        let was_dirty = self.pte_bits(proc, page).dirty;
        let frame = &mut self.frames[id];
        frame.marked_dirty |= was_dirty;
        if let Use::Anon { .. } = frame.usage {
            frame.usage = Use::Anon { exclusive: false };
        }
        self.set_pte_bits(proc, page, PteBits::default());
    }

    pub(super) fn is_stable(&self, id: FrameId) -> bool {
        let frame = &self.frames[id];
        (frame.map_count > 0 || frame.in_swap_cache) && self.ksm.stable.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::profile::Profile;

    /// The state after `text`, where `---` stands for asking for merging everywhere.
    fn after(text: &str) -> State<'static> {
        State::after(&text.replace("---", "advise 0..3 mergeable"))
    }

    fn frames(state: &State<'_>, pages: std::ops::Range<u8>) -> Vec<FrameId> {
        pages.map(|page| state.pte(Proc::P0, page).unwrap()).collect()
    }

    #[test]
    fn the_second_of_a_pair_is_kept() {
        let text = "map 0..3 anon private rw\nwrite 0 12288 0x11\n---\n";
        let before = frames(&after(text), 0..3);
        let state = after(&format!("{text}chore ksm_merge\n"));
        assert_eq!(frames(&state, 0..3), [before[1]; 3]);
        assert_eq!(state.frames[before[1]].map_count, 3);
    }

    #[test]
    fn a_write_to_a_merged_page_copies_it_even_for_the_last_one() {
        let text = "map 0..2 anon private rw\nwrite 0 8192 0x11\n---\nchore ksm_merge\n";
        let merged = frames(&after(text), 0..2);
        let state = after(&format!("{text}write 0 1 0x22\nwrite 1 1 0x22\n"));
        let now = frames(&state, 0..2);
        assert!(now.iter().all(|frame| *frame != merged[0]));
        assert_ne!(now[0], now[1]);
    }

    #[test]
    fn what_a_fork_shares_is_no_pair() {
        let state =
            after("map 0..1 anon private rw\nwrite 0 1 0x11\n---\nfork p1\nchore ksm_merge\n");
        let frame = frames(&state, 0..1)[0];
        assert_eq!(state.frames[frame].usage, Use::Anon { exclusive: false });
    }

    #[test]
    fn a_pinned_page_that_comes_first_keeps_the_others_apart() {
        let text = "map 0..3 anon private rw\nwrite 0 12288 0x11\n---\nreg mr0 0..1 local_write\n";
        let before = frames(&after(text), 0..3);
        let now = frames(&after(&format!("{text}chore ksm_merge\n")), 0..3);
        assert_eq!(now[0], before[0]);
        assert!(now[1] != before[1] && now[2] != before[2] && now[1] != now[2]);
    }

    #[test]
    fn a_pinned_page_that_comes_last_is_left_out() {
        let text = "map 0..3 anon private rw\nwrite 0 12288 0x11\n---\nreg mr0 2..3 local_write\n";
        let before = frames(&after(text), 0..3);
        let now = frames(&after(&format!("{text}chore ksm_merge\n")), 0..3);
        assert_eq!(now, [before[1], before[1], before[2]]);
    }

    #[test]
    fn a_merged_page_that_no_sharer_shows_any_more_takes_no_other_from_6_12_on() {
        // p1, which asked for no merging, still shows the merged frame.
        let text = "map 0..2 anon private rw\nwrite 0 8192 0x11\nfork p1\n---\nchore ksm_merge\n\
                    write 0 8 0x22\nwrite 1 8 0x11\nchore ksm_merge\n";
        let is_merged = |series: &str, text: &str| {
            let state = State::after_on(
                Profile::of_series(series).unwrap(),
                &text.replace("---", "advise 0..2 mergeable"),
            );
            state.frames[frames(&state, 1..2)[0]].usage == Use::Ksm
        };
        assert!(is_merged("6.1", text));
        assert!(!is_merged("7.3", text));
        let one_stays = text.replace("write 0 8 0x22\n", "");
        assert!(is_merged("7.3", &one_stays));
    }

    #[test]
    fn unmerging_gives_each_place_a_frame_of_its_own() {
        let state = after(
            "map 0..2 anon private rw\nwrite 0 8192 0x11\n---\nchore ksm_merge\nchore ksm_unmerge\n",
        );
        let now = frames(&state, 0..2);
        assert_ne!(now[0], now[1]);
        assert!(now.iter().all(|id| state.frames[*id].usage == Use::Anon { exclusive: true }));
    }
}
