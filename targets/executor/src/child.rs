//! A process of a sequence: what each of them, `p0` too, does by itself.

use std::io;
use std::os::unix::net::UnixStream;

use pinfold_contract::{
    Backing, Errno, Op, Outcome, PAGE_BYTES, PROC_SLOTS, PageRange, Proc, ProcView, Prot, Sharing,
};

use crate::counters::Charges;
use crate::cpu;
use crate::failure::{Doing, Failure};
use crate::files::{self, Files, Page};
use crate::memory::{self, Shown};
use crate::observe::Observer;
use crate::own_memory::OwnMemory;
use crate::protocol::{Channel, Command, Reply};
use crate::smaps;
use crate::sys::{self, Forked};

/// The ends of the socket pairs over which descendants are driven, by slot.
///
/// All are made before the first `fork`, so that any process can bear any other.
#[derive(Debug)]
pub(crate) struct ChildEnds([Option<UnixStream>; PROC_SLOTS as usize]);

/// The socket pair of each slot but that of `p0`: the driving ends, and those of the driven.
pub(crate) fn socket_pairs()
-> Result<([Option<UnixStream>; PROC_SLOTS as usize], ChildEnds), Failure> {
    let mut driving = [const { None }; PROC_SLOTS as usize];
    let mut driven = [const { None }; PROC_SLOTS as usize];
    for proc in Proc::all().filter(|&proc| proc != Proc::P0) {
        let (near, far) = UnixStream::pair().doing("make a socket pair")?;
        driving[proc.index()] = Some(near);
        driven[proc.index()] = Some(far);
    }
    Ok((driving, ChildEnds(driven)))
}

/// A process of a sequence, from inside.
#[derive(Debug)]
pub(crate) struct Process {
    proc: Proc,
    files: Files,
    ends: ChildEnds,
    observer: Observer,
    own: Charges,
    own_memory: OwnMemory,
    page: Box<Page>,
}

impl Process {
    /// `p0`, whose own share is not known yet.
    pub(crate) fn first(
        files: Files,
        ends: ChildEnds,
        own_memory: OwnMemory,
    ) -> Result<Process, Failure> {
        Ok(Process {
            proc: Proc::P0,
            files,
            ends,
            observer: Observer::open()?,
            own: Charges::default(),
            own_memory,
            page: Box::new([0; PAGE_BYTES as usize]),
        })
    }

    /// Takes what `p0` is charged for now as the executor's own share, in which
    /// are `heap_bytes` bytes of heap for the sequence.
    pub(crate) fn settle(&mut self, heap_bytes: usize) -> Result<(), Failure> {
        self.own_memory.touch_absent(heap_bytes)?;
        self.own_memory.bring_in_vdso();
        self.own = self.observer.charges()?;
        Ok(())
    }

    /// Writes to every page of the executor that a fork has left shared, so that no later
    /// write has to copy one.
    pub(crate) fn unshare(&self) {
        self.own_memory.unshare();
    }

    /// Does an op on memory or, as `p0`, on a file.
    pub(crate) fn act(&mut self, op: Op) -> Result<Outcome, Failure> {
        let page = &mut self.page;
        Ok(match op {
            Op::Map { pages, backing, sharing, prot, populate, .. } => {
                self.map(pages, backing, (sharing, prot), populate)?
            }
            Op::Unmap { pages, .. } => outcome(memory::unmap(pages)),
            Op::Protect { pages, prot, .. } => outcome(memory::protect(pages, prot)),
            Op::Remap { from, to, .. } => outcome(memory::remap(from, to)),
            Op::Advise { pages, advice, .. } => outcome(memory::advise(pages, advice)),
            Op::Lock { pages, onfault, .. } => outcome(memory::lock(pages, onfault)),
            Op::Unlock { pages, .. } => outcome(memory::unlock(pages)),
            Op::LockAll { scope, .. } => {
                let result = memory::lock_all(scope);
                self.own.vm_lck = smaps::own_locked_pages()?;
                outcome(result)
            }
            Op::Write { at, len_bytes, tag, .. } => {
                // SAFETY: no Rust object lies in the 8 GiB from the start of the arena on.
                match unsafe { cpu::fill(at.address(), len_bytes, tag) } {
                    Ok(()) => Outcome::Done,
                    Err(fault) => fault.into(),
                }
            }
            Op::Read { at, len_bytes, .. } => match cpu::read(at.address(), len_bytes, page) {
                Ok(value) => Outcome::Value(value),
                Err(fault) => fault.into(),
            },
            Op::Force { at, len_bytes, tag, .. } => {
                outcome(files::force(at.address(), (len_bytes, tag), page)?)
            }
            Op::FileWrite { file, at, len_bytes, tag } => {
                outcome(self.files.write(file, at, (len_bytes, tag), page)?)
            }
            Op::Truncate { file, end } => outcome(self.files.truncate(file, end)?),
            Op::Punch { file, range } => outcome(self.files.punch(file, range)?),
            Op::Seal { file, seals } => outcome(self.files.seal(file, seals)?),
            Op::Fork { .. }
            | Op::Exit { .. }
            | Op::Limit { .. }
            | Op::IpcLock { .. }
            | Op::MemLimit { .. }
            | Op::Swap { .. }
            | Op::Chore { .. }
            | Op::Reg { .. }
            | Op::Dereg { .. }
            | Op::Rereg { .. }
            | Op::AllocMw { .. }
            | Op::DeallocMw { .. }
            | Op::Bind { .. }
            | Op::Invalidate { .. }
            | Op::RemoteRead { .. }
            | Op::RemoteWrite { .. }
            | Op::CompareSwap { .. }
            | Op::FetchAdd { .. }
            | Op::Send { .. }
            | Op::Gather { .. }
            | Op::Scatter { .. } => {
                return Err(Failure::State(format!("{:?} is no op on memory", op.kind())));
            }
        })
    }

    fn map(
        &self,
        pages: PageRange,
        backing: Backing,
        (sharing, prot): (Sharing, Prot),
        populate: bool,
    ) -> Result<Outcome, Failure> {
        let file = self.files.mapped(backing)?;
        let huge = backing == Backing::Huge;
        Ok(outcome(memory::map(pages, Shown { file, huge, sharing, prot, populate })))
    }

    /// Looks at this process.
    pub(crate) fn observe(&mut self) -> Result<ProcView, Failure> {
        self.own_memory.check(self.observer.pagemap())?;
        self.observer.view(self.proc, self.own)
    }

    /// Forks this process. The child is to go on with [`Process::live_as`].
    pub(crate) fn fork(&mut self) -> Result<Forked, Errno> {
        sys::reap_ended();
        sys::fork().map_err(|error| errno(&error))
    }

    /// Obeys as `proc`, forked just now, until told to exit.
    pub(crate) fn live_as(&mut self, proc: Proc) -> ! {
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut channel = None;
            if let Err(failure) = self.obey(proc, &mut channel)
                && let Some(mut channel) = channel
            {
                // If the driver cannot be told, it sees this process end.
                let _ = channel.send(&Reply::Failed(failure.reason()));
            }
        }));
        sys::exit_now(i32::from(lived.is_err()));
    }

    fn obey(&mut self, proc: Proc, place: &mut Option<Channel<UnixStream>>) -> Result<(), Failure> {
        let mut channel = self.become_process(proc, place)?;
        while let Some(command) = channel.receive()? {
            let reply = match command {
                Command::Act(op) => Reply::Outcome(self.act(op)?),
                Command::Fork(child) => match self.fork() {
                    Ok(Forked::Parent(pid)) => Reply::Forked(Ok(pid)),
                    Ok(Forked::Child) => {
                        // Not by recursion, or stack and heap would grow from generation to generation.
                        channel = self.become_process(child, place)?;
                        continue;
                    }
                    Err(errno) => Reply::Forked(Err(errno)),
                },
                Command::Observe => Reply::View(self.observe()?),
                Command::Exit => {
                    channel.send(&Reply::Exiting)?;
                    sys::exit_now(0);
                }
            };
            channel.send(&reply)?;
        }
        Ok(())
    }

    /// Takes the part of `proc`, and puts its channel to the driver in `place`.
    fn become_process<'a>(
        &mut self,
        proc: Proc,
        place: &'a mut Option<Channel<UnixStream>>,
    ) -> Result<&'a mut Channel<UnixStream>, Failure> {
        self.proc = proc;
        // A descendant has the executor's private pages, its text among them, and the pages
        // of queues, which are mapped for good (`VM_MIXEDMAP`). Pages of other shared mappings
        // are not copied, and pins and locks are not inherited.
        self.own = Charges { rss_shmem: 0, vm_pin: 0, vm_lck: 0, ..self.own };
        self.own_memory.bring_in_vdso();
        // A copy: a descendant of this process may bear another `proc` after its end.
        let end = self.ends.0[proc.index()].as_ref().map(UnixStream::try_clone);
        let Some(end) = end else {
            return Err(Failure::State(format!("{proc} is not driven")));
        };
        // The old one goes first, so that the new one takes its memory.
        *place = None;
        let channel = place.insert(Channel::new(end.doing("copy a descriptor")?));
        self.observer.reopen()?;
        Ok(channel)
    }
}

/// What a call that returns nothing did.
pub(crate) fn outcome(result: io::Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Errno(errno(&error)),
    }
}

/// The number of a system call's error.
pub(crate) fn errno(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().expect("the error of a system call"))
}
