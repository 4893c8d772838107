//! The role of one process among those of a machine in use: makes nothing that others see but what it takes back.
//!
//! It is told the name of an RDMA device, which is there, and talks over the socket that is its standard input. What it
//! changes is noted first by a caretaker, a process that outlives it, however it ends, and puts it back.

use pinfold_contract::{CGROUP, FromGuest};

use crate::caretaker::Changes;
use crate::failure::{Doing, Failure};
use crate::supervisor::{Neighbours, Supervisor};
use crate::verbs::Device;
use crate::wire::Wire;
use crate::{caretaker, cgroup, counters, cpu, own_memory, setup, sys};

/// Runs what the host says with the RDMA device `name`, and ends this process.
pub(crate) fn be(name: &'static str) -> ! {
    let is_well = crate::tell(&std::panic::catch_unwind(|| run(name)));
    sys::exit_now(i32::from(!is_well));
}

fn run(name: &'static str) -> Result<(), Failure> {
    own_memory::settle();
    let mut wire = Wire::of_standard_input()?;
    let result = supervisor(name).and_then(|mut supervisor| {
        let huge_pages = setup::fill_huge_pool()?;
        supervisor.serve(huge_pages, &mut wire)
    });
    if let Err(failure) = &result {
        wire.send(&FromGuest::Failed { id: None, reason: failure.reason() })?;
    }
    result
}

fn supervisor(name: &'static str) -> Result<Supervisor, Failure> {
    if std::fs::exists(CGROUP).unwrap_or(false) {
        let what = format!("{CGROUP} is there: another run uses this kernel, or left that behind");
        return Err(Failure::State(what));
    }
    let changes = Changes::planned();
    caretaker::start(&changes)?;
    changes.make();
    // What sequences leave without a parent comes to this process, as it would to PID 1.
    sys::become_subreaper().doing("adopt orphans")?;
    sys::have_no_huge_pages().doing("do without transparent huge pages")?;
    setup::mount_own_tmpfs()?;
    cpu::guard().doing("catch faults")?;
    counters::ready_to_settle()?;
    let device = Device::find(name, None)?;
    setup::be_spared()?;
    cgroup::make()?;
    Supervisor::new(device, name, Neighbours::Some)
}
