//! What the whole machine is told to do, and KSM before and after.

use std::fs;
use std::time::Duration;

use pinfold_contract::Chore;

use crate::cgroup;
use crate::failure::{Doing, Failure};
use crate::sys;

const KSM: &str = "/sys/kernel/mm/ksm";

/// Scans after which all that can be merged is: the first may begin in the middle, one takes
/// checksums, one compares and merges, the next ones merge what others share, each place may have
/// to be tried twice (`replace_page()`, mm/ksm.c, 6.12, on User Mode Linux), and one is to spare.
const KSM_SCANS: i64 = 8;

/// How long is waited at a time: KSM has a thread of its own.
const PAUSE: Duration = Duration::from_millis(1);

/// After so many pauses without a whole scan there is no memory to scan (`ksmd_should_run()`, mm/ksm.c, 6.1 and 6.12).
const IDLE_PAUSES: u32 = 20;

/// Does `chore`, all of it.
pub(crate) fn perform(chore: Chore) -> Result<(), Failure> {
    match chore {
        Chore::KsmMerge => merge(),
        Chore::KsmUnmerge => unmerge(),
        Chore::Compact => set("/proc/sys/vm/compact_memory", "1"),
        Chore::Reclaim => cgroup::reclaim(),
        Chore::DropCaches => set("/proc/sys/vm/drop_caches", "3"),
    }
}

/// Pages that KSM has merged: those that stay and those that they stand for.
pub(crate) fn merged_pages() -> Result<i64, Failure> {
    Ok(ksm_number("pages_shared")? + ksm_number("pages_sharing")?)
}

/// Gives merged pages their copies back, and lets go of what has ended meanwhile.
pub(crate) fn unmerge() -> Result<(), Failure> {
    set_ksm("2")?;
    set_ksm("0")?;
    let_go()
}

fn merge() -> Result<(), Failure> {
    set_ksm("1")?;
    let result = wait_for_scans();
    set_ksm("0")?;
    result.and_then(|()| let_go())
}

/// Has ksmd's processor finish with the pages that it took out of mappings: where they were locked they wait there to be
/// counted as unlocked.
///
/// Source: `munlock_page()`, mm/mlock.c, 6.1, and `munlock_folio()`, 6.12, for `replace_page()`, mm/ksm.c.
fn let_go() -> Result<(), Failure> {
    sys::drain_page_lists_everywhere().doing("drain lists of pages of every processor")
}

fn wait_for_scans() -> Result<(), Failure> {
    let mut scans = ksm_number("full_scans")?;
    let last = scans + KSM_SCANS;
    let mut idle = 0;
    while scans < last && idle < IDLE_PAUSES {
        std::thread::sleep(PAUSE);
        let now = ksm_number("full_scans")?;
        idle = if now == scans { idle + 1 } else { 0 };
        scans = now;
    }
    Ok(())
}

fn set_ksm(run: &str) -> Result<(), Failure> {
    set(&format!("{KSM}/run"), run)
}

fn set(path: &str, value: &str) -> Result<(), Failure> {
    fs::write(path, value).doing(&format!("write {value} to {path}"))
}

fn ksm_number(name: &str) -> Result<i64, Failure> {
    let path = format!("{KSM}/{name}");
    let text = fs::read_to_string(&path).doing(&format!("read {path}"))?;
    text.trim_ascii()
        .parse()
        .map_err(|_| Failure::State(format!("{path} holds no number: {text:?}")))
}
