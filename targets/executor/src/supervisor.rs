//! Runs each sequence in a process of its own, and watches it.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use pinfold_contract::{
    Advice, FromGuest, HugePool, KernelMemory, Observe, Op, RdmaCounts, Sequence, Teardown,
    ToGuest, WIRE_VERSION,
};

use crate::counters::{MemInfo, Status, Totals, VmStat};
use crate::coverage::Coverage;
use crate::failure::{Doing, Failure};
use crate::own_memory::{self, OwnMemory};
use crate::process0::{Own, Told};
use crate::progress::{Progress, Stage};
use crate::resources::{self, Resources};
use crate::sys::{self, Forked, Pid};
use crate::verbs::Device;
use crate::wire::Wire;
use crate::{chores, console, kernel_memory, process0};

/// How long the set-up of a sequence may take.
const SET_UP_DEADLINE: Duration = Duration::from_secs(20);
/// How long the exit of `p0` may take beyond the deadline of an op.
const EXIT_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is looked at how far `p0` is, in the time that an op may take.
const LOOKS_PER_DEADLINE: u32 = 4;
/// How long counters may take to come back: some frees are asynchronous.
const TEARDOWN_DEADLINE: Duration = Duration::from_millis(50);
/// Heap that the supervisor may need while a sequence runs, in bytes.
const HEAP_BYTES: usize = 32 << 10;

/// One sequence, as the host wants it run.
struct Job {
    id: u64,
    sequence: Sequence,
    observe: Observe,
    op_deadline: Duration,
}

/// How the watching of a `p0` ended.
enum Watched {
    /// It has ended.
    Ended,
    /// The op of this index takes too long, or the end after the last one.
    Late { op_index: u32 },
    /// The set-up takes too long.
    LateSetUp,
}

/// Says to the host who is there.
pub(crate) fn greet(huge_pages: u8, wire: &mut Wire) -> Result<(), Failure> {
    let (kernel_release, kernel_version) = sys::kernel();
    let wire_version = WIRE_VERSION;
    wire.send(&FromGuest::Hello { wire_version, kernel_release, kernel_version, huge_pages })
}

/// Whose the machine is, and with it what its counters tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Neighbours {
    /// Nobody else runs on it.
    None,
    /// Others take and give back memory, too: what the whole machine has says nothing of a sequence.
    Some,
}

/// Runs sequences.
pub(crate) struct Supervisor {
    device: Device,
    own_memory: OwnMemory,
    vmstat: VmStat,
    meminfo: MemInfo,
    status: Status,
    resources: Rc<Resources>,
    progress: Progress,
    neighbours: Neighbours,
    /// Where the kernel was, if it says so.
    coverage: Option<Coverage>,
    /// What the machine had after the last sequence, if that left nothing behind: then it has it still.
    levels: Option<Levels>,
}

/// What the machine has, before a sequence or after it.
#[derive(Clone, Copy, Debug)]
struct Levels {
    totals: Totals,
    ksm_pages: i64,
    rdma: RdmaCounts,
    huge: HugePool,
}

impl Supervisor {
    /// On a machine that is set up: its control groups are made, and this process is on one processor. `device` is
    /// the RDMA device called `name`.
    pub(crate) fn new(
        device: Device,
        name: &'static str,
        neighbours: Neighbours,
    ) -> Result<Supervisor, Failure> {
        console::say(&format!("{name}: {}", device.describe()?));
        own_memory::inherit_text()?;
        Ok(Supervisor {
            device,
            own_memory: OwnMemory::new()?,
            vmstat: VmStat::open()?,
            meminfo: MemInfo::open()?,
            status: Status::open()?,
            resources: Rc::new(Resources::open(name)?),
            progress: Progress::new().doing("map a page for the progress of p0")?,
            neighbours,
            coverage: match neighbours {
                Neighbours::None => Coverage::open()?,
                Neighbours::Some => None,
            },
            levels: None,
        })
    }

    /// Does what the host says until it says that it is enough. There are so many huge pages.
    ///
    /// # Errors
    ///
    /// When the machine is not to be used any more.
    pub(crate) fn serve(&mut self, huge_pages: u8, wire: &mut Wire) -> Result<(), Failure> {
        greet(huge_pages, wire)?;
        while let Some(message) = wire.receive()? {
            match message {
                ToGuest::Run { id, sequence, observe, op_deadline_ms } => {
                    let op_deadline = Duration::from_millis(u64::from(op_deadline_ms));
                    let job = Job { id, sequence, observe, op_deadline };
                    if !self.run_job(&job, wire)? {
                        return Ok(());
                    }
                }
                ToGuest::Greet => greet(huge_pages, wire)?,
                ToGuest::CountKernelMemory => {
                    wire.send(&FromGuest::KernelMemory(self.kernel_memory()?))?;
                }
                ToGuest::Shutdown => return Ok(()),
            }
        }
        Ok(())
    }

    /// What the kernel holds for itself. Nothing where others run, too: it would say nothing of sequences.
    fn kernel_memory(&mut self) -> Result<KernelMemory, Failure> {
        // Caches are dropped.
        self.levels = None;
        match self.neighbours {
            Neighbours::None => kernel_memory::count(),
            Neighbours::Some => Ok(KernelMemory::default()),
        }
    }

    /// Runs one sequence. Says whether the machine can be used for another.
    fn run_job(&mut self, job: &Job, wire: &mut Wire) -> Result<bool, Failure> {
        self.own_memory.touch_absent(HEAP_BYTES)?;
        let merges = job.sequence.ops.iter().any(may_merge);
        // Before the fork: else it could be looked at too early.
        self.progress.set(Stage::SetUp);
        let before = match self.levels.take().filter(|_| !merges) {
            Some(levels) => levels,
            None => self.levels(merges)?,
        };
        self.coverage.iter_mut().try_for_each(Coverage::clear)?;
        let pid = match sys::fork().doing("fork p0")? {
            Forked::Parent(pid) => pid,
            Forked::Child => self.be_process0(job, wire),
        };
        let id = job.id;
        let answer = match self.watch(job, pid)? {
            Watched::Ended => self.close(job, pid, before)?,
            Watched::Late { op_index } => FromGuest::Hung { id, op_index },
            Watched::LateSetUp => {
                let reason = "the set-up of a sequence does not end".to_owned();
                FromGuest::Failed { id: Some(id), reason }
            }
        };
        if let Some(coverage) = &mut self.coverage {
            wire.send(&FromGuest::Edges { id, edges: coverage.seen()? })?;
        }
        wire.send(&answer)?;
        let goes_on = matches!(answer, FromGuest::Finished { .. });
        if !goes_on {
            console::say(&format!("cannot go on: {answer:?}"));
            sys::kill(-pid);
        }
        Ok(goes_on)
    }

    fn be_process0(&mut self, job: &Job, wire: &mut Wire) -> ! {
        let own = Own {
            device: self.device,
            memory: self.own_memory.clone(),
            // The supervisor asks for nothing while `p0` lives.
            resources: Rc::clone(&self.resources),
            // Only what the executor has made itself is swapped to.
            may_swap: self.neighbours == Neighbours::None,
        };
        let told = Told { wire, id: job.id, progress: &self.progress };
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.coverage.iter().try_for_each(Coverage::leave)?;
            process0::run(&job.sequence, job.observe, own, told)
        }));
        sys::exit_now(i32::from(!matches!(lived, Ok(Ok(())))));
    }

    /// Waits for the end of `p0`, and watches the time.
    fn watch(&self, job: &Job, pid: Pid) -> Result<Watched, Failure> {
        let pidfd = sys::pidfd(pid).doing("open a pidfd")?;
        let look_every = millis(job.op_deadline / LOOKS_PER_DEADLINE);
        let (mut stage, mut since) = (Stage::SetUp, Instant::now());
        loop {
            let [has_ended] =
                sys::wait_readable([pidfd.as_fd()], look_every).doing("wait for p0's end")?;
            if has_ended {
                return Ok(Watched::Ended);
            }
            let now = self.progress.stage();
            if now != stage {
                (stage, since) = (now, Instant::now());
            }
            if since.elapsed() > deadline(stage, job) {
                return Ok(match stage {
                    Stage::SetUp => Watched::LateSetUp,
                    Stage::Done(op_index) => Watched::Late { op_index },
                });
            }
        }
    }

    /// After the end of `p0`: compares the counters.
    fn close(&mut self, job: &Job, pid: Pid, before: Levels) -> Result<FromGuest, Failure> {
        let id = job.id;
        let status = sys::wait(pid).doing("reap p0")?;
        let stage = self.progress.stage();
        if status != 0 || stage != Stage::Done(op_count(job)) {
            let how = sys::describe_status(status);
            let reason = format!("p0 {how} in the middle of it: {stage:?}");
            return Ok(FromGuest::Failed { id: Some(id), reason });
        }
        sys::reap_ended();
        let merges = job.sequence.ops.iter().any(may_merge);
        if merges {
            // KSM lets go of processes that have ended only when it is told to.
            chores::unmerge()?;
        }
        Ok(FromGuest::Finished { id, teardown: self.teardown(before, merges)? })
    }

    fn teardown(&mut self, before: Levels, merges: bool) -> Result<Teardown, Failure> {
        let start = Instant::now();
        loop {
            let now = self.levels(merges)?;
            let (new, old) = (now.totals, before.totals);
            let teardown = Teardown {
                pins: new.pins - old.pins,
                anon_pages: new.anon_pages - old.anon_pages,
                shmem_pages: new.shmem_pages - old.shmem_pages,
                locked_pages: new.locked_pages - old.locked_pages,
                ksm_pages: now.ksm_pages - before.ksm_pages,
                rdma: resources::difference(now.rdma, before.rdma),
                huge: HugePool {
                    free: now.huge.free - before.huge.free,
                    reserved: now.huge.reserved - before.huge.reserved,
                },
            };
            let is_clean = teardown == Teardown::default();
            self.levels = (is_clean && !merges).then_some(now);
            if is_clean || start.elapsed() > TEARDOWN_DEADLINE {
                return Ok(teardown);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn totals(&mut self) -> Result<Totals, Failure> {
        match self.neighbours {
            Neighbours::Some => Ok(Totals::default()),
            Neighbours::None => {
                let own = self.status.charges()?.rss_anon;
                let totals = self.vmstat.totals()?;
                Ok(Totals { anon_pages: totals.anon_pages - own, ..totals })
            }
        }
    }

    /// What the machine has, without the supervisor's own anonymous pages: its heap may grow.
    fn levels(&mut self, merges: bool) -> Result<Levels, Failure> {
        sys::drain_page_lists().doing("drain lists of pages")?;
        Ok(Levels {
            totals: self.totals()?,
            ksm_pages: if merges { chores::merged_pages()? } else { 0 },
            rdma: self.resources.counts()?,
            huge: self.meminfo.huge_pool()?,
        })
    }
}

/// Whether KSM may have to do with what `op` does.
fn may_merge(op: &Op) -> bool {
    matches!(op, Op::Advise { advice: Advice::Mergeable, .. })
}

/// How long `p0` may stay where it is.
fn deadline(stage: Stage, job: &Job) -> Duration {
    match stage {
        Stage::SetUp => SET_UP_DEADLINE,
        Stage::Done(count) if count == op_count(job) => job.op_deadline + EXIT_DEADLINE,
        Stage::Done(_) => job.op_deadline,
    }
}

fn op_count(job: &Job) -> u32 {
    u32::try_from(job.sequence.ops.len()).expect("a sequence has few ops")
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
