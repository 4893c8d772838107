//! What can be seen of the state from user space.

use pinfold_contract::{ARENA_PAGES, Checkpoint, MrView, PageView, Proc, ProcView};

use super::cpu::ReadRight;
use super::frame::Use;
use super::prediction::{Held, HeldFrame};
use super::state::State;

impl State<'_> {
    /// The state as a checkpoint shows it. Looking changes nothing.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let live = self.mrs.iter().filter(|(_, state)| state.live);
        let mrs = live.map(|(mr, state)| MrView {
            mr: *mr,
            bytes: Ok(self.adapter_bytes(state, 0, state.range.len_bytes())),
        });
        Checkpoint {
            procs: Proc::all()
                .filter(|proc| self.is_live(*proc))
                .map(|proc| self.proc_view(proc))
                .collect(),
            mrs: mrs.collect(),
            pins: self.pins(),
        }
    }

    /// The frames under every live MR.
    pub(super) fn held(&self) -> Vec<Held> {
        let frame = |id: &super::frame::FrameId| HeldFrame {
            frame: id.name(),
            file_or_shared: self.frames[*id].usage == Use::Cache,
            bytes: self.frames[*id].content.clone(),
        };
        let live = self.mrs.iter().filter(|(_, state)| state.live);
        live.map(|(mr, state)| Held {
            mr: *mr,
            range: state.range,
            access: state.access,
            frames: state.frames.iter().map(frame).collect(),
        })
        .collect()
    }

    /// The present pages whose mapping permits writing but not reading.
    pub(super) fn write_only(&self) -> Vec<(Proc, u8)> {
        let live = Proc::all().filter(|proc| self.is_live(*proc));
        live.flat_map(|proc| (0..ARENA_PAGES).map(move |page| (proc, page)))
            .filter(|(proc, page)| self.read_right(*proc, *page) == ReadRight::Perhaps)
            .collect()
    }

    /// Every pin of every registration: an overlap counts as often as it is registered.
    pub(super) fn pins(&self) -> i64 {
        let held: i64 =
            self.mrs.values().map(|mr| i64::try_from(mr.frames.len()).unwrap_or(i64::MAX)).sum();
        held + self.leaked_pins
    }

    /// Counters as `dec_mm_counter()` and friends keep them: an anonymous frame counts in
    /// RssAnon, a page of shmem in RssShmem, the zero page nowhere.
    ///
    /// Source: `mm_counter()`, include/linux/mm.h, 6.1 and 6.12.
    fn proc_view(&self, proc: Proc) -> ProcView {
        let pages: Vec<PageView> =
            (0..ARENA_PAGES).filter_map(|page| self.page_view(proc, page)).collect();
        let count = |wanted: fn(&PageView) -> bool| {
            i64::try_from(pages.iter().filter(|page| wanted(page)).count()).unwrap_or(i64::MAX)
        };
        ProcView {
            proc,
            rss_anon: count(|page| {
                !page.file_or_shared && page.frame != super::frame::FrameId::ZERO.name()
            }),
            rss_shmem: count(|page| page.file_or_shared),
            vm_pin: self.process(proc).pinned_vm,
            pages,
        }
    }

    fn page_view(&self, proc: Proc, page: u8) -> Option<PageView> {
        let id = self.pte(proc, page)?;
        let frame = &self.frames[id];
        Some(PageView {
            page,
            frame: id.name(),
            file_or_shared: frame.usage == Use::Cache,
            exclusively_mapped: frame.usage != Use::Zero && frame.map_count == 1,
            bytes: (self.read_right(proc, page) != ReadRight::No).then(|| frame.content.clone()),
        })
    }
}
