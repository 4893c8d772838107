//! What a sequence did on a target, op by op.

use serde::{Deserialize, Serialize};

use crate::{Completion, Mr, Outcome, Proc, Runs, WcStatus};

/// Everything that was observed of one sequence.
///
/// A target makes one, and so does the model of what it predicts: the oracles
/// compare the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// One a finished op, in order. Shorter than the sequence when `end` is not [`End::Finished`].
    pub steps: Vec<Step>,
    /// How it ended.
    pub end: End,
}

/// What was observed of one op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What the op did.
    pub outcome: Outcome,
    /// What its work completions contain, if it had any.
    #[serde(default)]
    pub completions: Vec<Completion>,
    /// The state after it, where it was looked at.
    pub checkpoint: Option<Checkpoint>,
    /// What the kernel logged while it ran. Always empty in what the model predicts.
    pub kernel_log: String,
}

/// How the run of a sequence ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Every op was done and everything was given back.
    Finished {
        /// What was left behind.
        teardown: Teardown,
        /// What the kernel logged after the last op.
        kernel_log: String,
    },
    /// The op after the last step did not finish in its time.
    Hung {
        /// What the kernel logged while it ran.
        kernel_log: String,
    },
    /// The kernel died in the op after the last step.
    Died {
        /// What the kernel logged while it ran.
        kernel_log: String,
    },
}

/// The state of everything that can be seen from user space, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Each live process, by ascending slot.
    pub procs: Vec<ProcView>,
    /// Each live MR, by ascending slot.
    pub mrs: Vec<MrView>,
    /// Resources of the RDMA device that the sequence holds, without the executor's own.
    pub rdma: RdmaCounts,
    /// Pages that are charged to the memory cgroup in which `p0` registers:
    /// `anon` and `file` of its `memory.stat`. 0 until there is a [`MemLimit`](crate::Op::MemLimit).
    pub charged: i64,
    /// Pages pinned system-wide since the sequence began, without the bounce buffer:
    /// `nr_foll_pin_acquired - nr_foll_pin_released` of `/proc/vmstat`.
    pub pins: i64,
    /// The machine's pool of huge pages. Nothing where the kernel has none.
    #[serde(default)]
    pub huge: HugePool,
}

/// Counters of the machine's pool of huge pages, in huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HugePool {
    /// `HugePages_Free` of `/proc/meminfo`: in nobody's use, promised or not.
    pub free: i64,
    /// `HugePages_Rsvd` of `/proc/meminfo`: promised to a mapping and not used yet.
    pub reserved: i64,
}

/// How many objects of RDMA there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdmaCounts {
    /// MRs, as the resource tracker counts them (`RDMA_NLDEV_CMD_RES_GET`).
    pub mrs: i64,
    /// `hca_object` of the rdma cgroup: protection domains, queues, MRs, windows.
    pub cgroup_objects: i64,
}

/// What one process sees and is charged for. The executor's own share is taken off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcView {
    /// Which process.
    pub proc: Proc,
    /// `RssAnon` of `/proc/PID/status`, in pages.
    pub rss_anon: i64,
    /// `RssShmem` of `/proc/PID/status`, in pages.
    pub rss_shmem: i64,
    /// `RssFile` of `/proc/PID/status`, in pages: of a disk file.
    pub rss_file: i64,
    /// `VmLck` of `/proc/PID/status`, in pages.
    pub vm_lck: i64,
    /// `VmSwap` of `/proc/PID/status`, in pages.
    pub vm_swap: i64,
    /// `Pss` of the mappings of the arena in `/proc/PID/smaps`, in KiB, each rounded down.
    pub pss_kib: i64,
    /// `VmPin` of `/proc/PID/status`, in pages.
    pub vm_pin: i64,
    /// The pages of the arena that are present, ascending.
    pub pages: Vec<PageView>,
    /// `HugetlbPages` of `/proc/PID/status`, in huge pages. They are no part of the resident set.
    #[serde(default)]
    pub huge: i64,
    /// Pages of the arena with a guard (`MADV_GUARD_INSTALL`): bit 58 of `/proc/PID/pagemap`.
    #[serde(default)]
    pub guards: i64,
}

impl ProcView {
    /// A process that has nothing.
    pub fn empty(proc: Proc) -> ProcView {
        ProcView {
            proc,
            rss_anon: 0,
            rss_shmem: 0,
            rss_file: 0,
            vm_lck: 0,
            vm_swap: 0,
            pss_kib: 0,
            vm_pin: 0,
            pages: Vec::new(),
            huge: 0,
            guards: 0,
        }
    }
}

/// One present page of the arena, as one process sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageView {
    /// Page of the arena.
    pub page: u8,
    /// The frame behind it: its page frame number on a kernel, any name in the
    /// model. Only equality means something.
    pub frame: u64,
    /// Bit 61 of pagemap: file page or shared anonymous memory.
    pub file_or_shared: bool,
    /// Bit 56 of pagemap: no other page table entry maps this frame.
    pub exclusively_mapped: bool,
    /// All its bytes, unless the process may not read them.
    pub bytes: Option<Runs>,
}

/// One MR as the adapter sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MrView {
    /// Which MR.
    pub mr: Mr,
    /// Its bytes, gathered through its lkey; or why they could not be.
    pub bytes: Result<Runs, WcStatus>,
}

/// What is left after the last process of a sequence is gone, against before
/// the first one was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teardown {
    /// Pins that were not given back, in pages, the bounce buffer's included.
    pub pins: i64,
    /// `nr_anon_pages` of `/proc/vmstat`: pages still mapped.
    pub anon_pages: i64,
    /// `nr_shmem` of `/proc/vmstat`: pages still in a memory file or shared mapping.
    pub shmem_pages: i64,
    /// `nr_mlock` of `/proc/vmstat`: pages still locked.
    pub locked_pages: i64,
    /// `pages_shared` and `pages_sharing` of KSM together: pages still merged.
    pub ksm_pages: i64,
    /// Objects of RDMA that are still there.
    pub rdma: RdmaCounts,
    /// Huge pages that did not come back to the pool, as fewer free ones, and promises that were not taken back.
    #[serde(default)]
    pub huge: HugePool,
}
