//! What can be seen of the state from user space.

use pinfold_contract::{
    ALL_PAGES, Checkpoint, MrView, PAGE_BYTES, PageView, Proc, ProcView, RdmaCounts, Teardown,
};

use super::Fault;
use super::cpu::ReadRight;
use super::frame::{Frame, FrameId, Use};
use super::prediction::{Held, HeldFrame};
use super::state::State;

impl State<'_> {
    /// The state as a checkpoint shows it. Looking changes nothing.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let live = self.mrs.iter().filter(|(_, state)| state.live);
        let mrs = live.map(|(mr, state)| MrView { mr: *mr, bytes: self.adapter_view(state) });
        Checkpoint {
            procs: Proc::all()
                .filter(|proc| self.is_live(*proc))
                .map(|proc| self.proc_view(proc))
                .collect(),
            mrs: mrs.collect(),
            rdma: self.rdma_counts(),
            charged: self.charged_visibly(),
            pins: self.pins(),
            huge: self.huge_pool(),
        }
    }

    /// The frames under every live MR.
    pub(super) fn held(&self) -> Vec<Held> {
        let frame = |id: &FrameId| HeldFrame {
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
        live.flat_map(|proc| (0..ALL_PAGES).map(move |page| (proc, page)))
            .filter(|(proc, page)| self.read_right(*proc, *page) == ReadRight::Perhaps)
            .collect()
    }

    /// What planted faults leave of this, the last state: else nothing is left of any.
    pub(super) fn left_behind(&self) -> Teardown {
        let live_mrs = self.mrs.values().any(|mr| mr.live);
        let mut live = Proc::all().filter(|proc| self.is_live(*proc));
        let locked = live.any(|proc| self.process(proc).locked_vm > 0);
        Teardown {
            pins: i64::from(live_mrs && self.has(Fault::TeardownLeak)),
            locked_pages: i64::from(locked && self.has(Fault::LockedLeak)),
            ..Teardown::default()
        }
    }

    /// Whether an adapter may write to the zero page. Whether it did is not always followed.
    pub(super) fn zero_page_is_exposed(&self) -> bool {
        let writers = self.mrs.values().filter(|mr| mr.pinned_for_writing);
        writers.flat_map(|mr| &mr.frames).any(|frame| *frame == FrameId::ZERO)
    }

    /// Every pin of every registration: an overlap counts as often as it is registered. The zero page, which goes
    /// nowhere, is never pinned. Of a huge page each small page's worth that is registered counts.
    ///
    /// Source: `try_grab_page()`, mm/gup.c, 6.1; `try_grab_folio()`, `gup_put_folio()`, mm/gup.c, 6.1 and 6.12.
    pub(super) fn pins(&self) -> i64 {
        let held = self.mrs.values().flat_map(|mr| mr.frames.iter().zip(mr.range.pages()));
        let held = held.filter(|(frame, _)| **frame != FrameId::ZERO);
        held.map(|(_, (_, count))| i64::from(count)).sum::<i64>() + self.leaked_pins
    }

    /// What the sequence holds of the RDMA device.
    ///
    /// The resource tracker has MRs but no windows. Every MR and every window is a uobject, and
    /// each of those is one `hca_object`. A refused call changes neither.
    ///
    /// Source: `ib_uverbs_reg_mr()`, drivers/infiniband/core/uverbs_cmd.c;
    /// `alloc_begin_idr_uobject()`, drivers/infiniband/core/rdma_core.c, 6.1 and 6.12.
    fn rdma_counts(&self) -> RdmaCounts {
        let mrs = self.mrs.values().filter(|mr| mr.live).count();
        let mws = self.mws.values().filter(|mw| mw.live).count();
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        RdmaCounts { mrs: count(mrs), cgroup_objects: count(mrs + mws) + self.leaked_objects }
    }

    /// Counters as `dec_mm_counter()` and friends keep them: an anonymous frame counts in RssAnon, merged
    /// or not, a page of shmem in RssShmem, one of a disk in RssFile, the zero page nowhere. Huge pages have a counter
    /// of their own.
    ///
    /// Source: `mm_counter()`, include/linux/mm.h; `hugetlb_report_usage()`, mm/hugetlb.c, 6.1 and 6.12.
    fn proc_view(&self, proc: Proc) -> ProcView {
        let process = self.process(proc);
        let all = || process.ptes.iter().flatten().map(|id| &self.frames[*id]);
        let present = || all().filter(|frame| !frame.is_huge);
        let count = |wanted: fn(&Frame) -> bool| {
            i64::try_from(present().filter(|frame| wanted(frame)).count()).unwrap_or(i64::MAX)
        };
        ProcView {
            proc,
            rss_anon: count(|frame| matches!(frame.usage, Use::Anon { .. } | Use::Ksm)),
            rss_shmem: count(|frame| frame.usage == Use::Cache && !frame.on_disk),
            rss_file: count(|frame| frame.usage == Use::Cache && frame.on_disk),
            vm_lck: process.locked_vm,
            vm_swap: i64::try_from(process.swapped.iter().flatten().count()).unwrap_or(i64::MAX),
            pss_kib: self.pss_kib(proc),
            vm_pin: process.pinned_vm,
            huge: i64::try_from(all().filter(|frame| frame.is_huge).count()).unwrap_or(i64::MAX),
            guards: i64::try_from(process.guards.len()).unwrap_or(i64::MAX),
            pages: (0..ALL_PAGES).filter_map(|page| self.page_view(proc, page)).collect(),
        }
    }

    /// The lines `Pss:` of the mappings of the arena: each present page counts with the share that its
    /// mappings leave, in 1/4096 of a byte, and each mapping is cut to whole KiB. The zero page counts nothing, nor do
    /// huge pages.
    ///
    /// Source: `smaps_account()`, `smaps_hugetlb_range()`, `__show_smap()`, fs/proc/task_mmu.c, 6.1 and 6.12.
    fn pss_kib(&self, proc: Proc) -> i64 {
        const SHARE_SHIFT: u32 = 12;
        const KIB_SHIFT: u32 = 10;
        let share = |page: u8| -> u64 {
            let frame = self.pte(proc, page).map(|id| &self.frames[id]);
            frame.filter(|frame| frame.usage != Use::Zero).map_or(0, |frame| {
                (u64::from(PAGE_BYTES) << SHARE_SHIFT) / u64::from(frame.map_count.max(1))
            })
        };
        let vmas = self.process(proc).vmas.iter();
        let kib: u64 = vmas
            .filter(|vma| !vma.object.is_huge())
            .map(|vma| (vma.first..vma.end).map(share).sum::<u64>() >> (SHARE_SHIFT + KIB_SHIFT))
            .sum();
        i64::try_from(kib).unwrap_or(i64::MAX)
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
