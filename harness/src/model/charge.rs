//! The memory cgroup in which `p0` registers: what is charged to it, and when it is full.
//!
//! Only registrations charge it, and only once a sequence has named a limit.
//! What was charged stays charged until the frame is free memory again,
//! whoever has it by then: charges do not move with a process.
//!
//! Source: `charge_memcg()` and `try_charge_memcg()`, mm/memcontrol.c, 6.1 and 6.12.

use pinfold_contract::{Outcome, Runs};

use super::Fault;
use super::fault::NoMemoryBehind;
use super::frame::{FrameId, Use};
use super::state::State;

/// The state of that cgroup.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Charge {
    /// Whether there was a limit yet, so that registrations are made in the cgroup.
    named: bool,
    /// Whether a registration is being made in it.
    charging: bool,
    /// Its `memory.max`, in pages; nothing for no limit.
    limit_pages: Option<usize>,
    /// Whether a frame was refused since somebody asked.
    refused: bool,
    /// Whether the limit was reached since somebody asked.
    reached: bool,
}

impl State<'_> {
    /// Sets how many pages more may be charged than its `memory.stat` shows now. What only a pin holds
    /// is not shown, and leaves less. If more is charged than that already, it gives up what it can.
    ///
    /// Source: `memory_max_write()`, mm/memcontrol.c, 6.1 and 6.12.
    pub(super) fn limit_memory(&mut self, pages: Option<u16>) -> Outcome {
        self.charge.named = true;
        let shown = usize::try_from(self.charged_visibly()).unwrap_or(0);
        self.charge.limit_pages = pages.map(|pages| shown + usize::from(pages));
        if self.charge.limit_pages.is_some_and(|limit| self.charged_now() > limit) {
            self.reclaim_at_limit();
        }
        Outcome::Done
    }

    /// Begins or ends a registration of `p0`: what it allocates is charged, once there was a limit.
    pub(super) fn set_charging(&mut self, charging: bool) {
        self.charge.charging = charging && self.charge.named;
        self.charge.refused = false;
    }

    /// Whether the limit was reached since this was last asked.
    pub(super) fn take_limit_reached(&mut self) -> bool {
        std::mem::take(&mut self.charge.reached)
    }

    /// Whether the cgroup refused a page since [`State::set_charging`]: the registration fails with ENOMEM.
    pub(super) fn charge_was_refused(&self) -> bool {
        self.charge.refused
    }

    /// `anon` and `file` of its `memory.stat`, in pages: an anonymous frame counts while it is
    /// mapped, a page of a file while it is cached. A frame that only a pin holds counts in neither.
    ///
    /// Source: `page_remove_rmap()`, mm/rmap.c, 6.1; `__folio_remove_rmap()`, ditto, 6.12;
    /// `filemap_unaccount_folio()`, mm/filemap.c, 6.1 and 6.12.
    pub(super) fn charged_visibly(&self) -> i64 {
        let charged = self.frames.iter().filter(|(_, frame)| frame.charged);
        let seen = charged.filter(|(_, frame)| match frame.usage {
            Use::Anon { .. } | Use::Ksm => frame.map_count > 0,
            Use::Cache => frame.cached,
            Use::Zero => false,
        });
        i64::try_from(seen.count()).unwrap_or(i64::MAX)
    }

    /// Its `memory.current`, in pages: pinned frames count too.
    fn charged_now(&self) -> usize {
        self.frames.iter().filter(|(_, frame)| frame.charged && frame.is_held()).count()
    }

    /// A new frame that nothing maps yet, or that there may be none. `reserved` pages
    /// were charged just before, for frames that nobody has yet.
    pub(super) fn new_frame(
        &mut self,
        usage: Use,
        content: Runs,
        reserved: usize,
    ) -> Result<FrameId, NoMemoryBehind> {
        if self.charge.charging && self.is_full(reserved) {
            self.reclaim_at_limit();
            if self.is_full(reserved) {
                self.charge.refused = true;
                return Err(NoMemoryBehind::OverLimit);
            }
        }
        let id = self.frames.add(usage, content);
        let free = usage == Use::Cache && self.has(Fault::CacheUncharged);
        self.frames[id].charged = self.charge.charging && !free;
        Ok(id)
    }

    /// A full cgroup gives up what costs nothing before it refuses, but no page that still waits to be
    /// put onto a list, and a page that was read just now is left alone at first.
    ///
    /// Source: `try_charge_memcg()`, mm/memcontrol.c; `shrink_inactive_list()`, mm/vmscan.c;
    /// `folio_add_lru()`, mm/swap.c, 6.1 and 6.12.
    fn reclaim_at_limit(&mut self) {
        self.charge.reached = true;
        self.unclear |= !self.reclaimable(true).is_empty();
        self.reclaim_frames(true);
    }

    fn is_full(&self, reserved: usize) -> bool {
        let limit = self.charge.limit_pages;
        limit.is_some_and(|limit| self.charged_now() + reserved >= limit)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use pinfold_contract::Proc;

    use super::super::fault::Touch;
    use super::*;

    /// Touches pages as a registration would, and says how many it got.
    fn touched(state: &mut State<'_>, pages: std::ops::Range<u8>) -> usize {
        state.set_charging(true);
        let got = pages.take_while(|page| state.touch(Proc::P0, *page, Touch::Write).is_ok());
        let count = got.count();
        state.charge.charging = false;
        count
    }

    #[test]
    fn pages_are_refused_at_the_limit_and_those_before_stay() {
        let mut state = State::after("map 0..4 anon private rw\nwrite 3 1 0x11\nmem_limit 2\n");
        assert_eq!(touched(&mut state, 0..4), 2);
        assert!(state.charge_was_refused());
        assert_eq!(state.charged_visibly(), 2);
        assert_eq!(touched(&mut state, 3..4), 1, "what was there before costs nothing");
    }

    #[test]
    fn a_private_copy_of_a_hole_takes_two_pages_or_none() {
        let mut state = State::after("map 0..1 memfd0 private rw\nmem_limit 1\n");
        assert_eq!(touched(&mut state, 0..1), 0);
        assert_eq!(state.charged_visibly(), 0);
        state.limit_memory(Some(2));
        assert_eq!(touched(&mut state, 0..1), 1);
        assert_eq!(state.charged_visibly(), 2);
    }

    #[test]
    fn a_charge_ends_with_the_frame() {
        let mut state = State::after("map 0..2 anon private rw\nmem_limit 2\n");
        assert_eq!(touched(&mut state, 0..2), 2);
        state.clear_pte(Proc::P0, 0);
        assert_eq!(state.charged_visibly(), 1);
        assert_eq!(touched(&mut state, 0..1), 1);
    }

    #[test]
    fn nothing_is_charged_before_there_is_a_limit() {
        let mut state = State::after("map 0..1 anon private rw\n");
        assert_eq!(touched(&mut state, 0..1), 1);
        assert_eq!(state.charged_visibly(), 0);
    }
}
