//! Control groups: what the processes of a sequence hold, and how much memory they may.
//!
//! Two groups with processes lie below one without: `pinfold/main`, in which the executor and
//! with it every sequence lives, and `pinfold/limited`, in which `p0` is while it registers
//! under a limit. What `pinfold` counts is what both do.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use pinfold_contract::{CGROUP, CGROUP_MOUNT, PAGE_BYTES};

use crate::failure::{Doing, Failure};
use crate::memory_stat::{self, MemoryStat};
use crate::sys;

const MAIN: &str = "/sys/fs/cgroup/pinfold/main";
const LIMITED: &str = "/sys/fs/cgroup/pinfold/limited";

/// Room for what is read at once, in bytes.
const BUFFER_BYTES: usize = 1 << 10;

/// How often reclaim is asked for: each time it goes on until it finds nothing more.
const RECLAIMS: u32 = 3;

/// The groups, in the order in which they can be removed.
pub(crate) const FOLDERS: [&str; 3] = [LIMITED, MAIN, CGROUP];

/// Where all processes of the groups are killed.
pub(crate) const KILL: &str = "/sys/fs/cgroup/pinfold/cgroup.kill";

/// What all groups below the root are to have.
const CONTROLLERS: [&str; 2] = ["memory", "rdma"];

/// Where the root says which controllers the groups below it have.
pub(crate) const OF_ROOT: &str = "/sys/fs/cgroup/cgroup.subtree_control";

/// What takes those controllers from the groups below the root again that they did not have when `text` was read there.
pub(crate) fn undo(text: &str) -> Option<String> {
    let had = |name: &&str| text.split_ascii_whitespace().any(|other| other == *name);
    let added: Vec<String> =
        CONTROLLERS.iter().filter(|name| !had(name)).map(|name| format!("-{name}")).collect();
    (!added.is_empty()).then(|| added.join(" "))
}

/// Makes the groups, and puts this process in the first of them: its descendants are there from the start.
pub(crate) fn make() -> Result<(), Failure> {
    for group in [CGROUP, MAIN, LIMITED] {
        fs::create_dir_all(group).doing(&format!("make the control group {group}"))?;
    }
    for group in [CGROUP_MOUNT, CGROUP] {
        write(&format!("{group}/cgroup.subtree_control"), "+memory +rdma")?;
    }
    for group in [MAIN, LIMITED] {
        let path = format!("{group}/memory.swap.max");
        // Without CONFIG_SWAP there is no such file, and nothing to swap to.
        if fs::exists(&path).unwrap_or(false) {
            write(&path, "0")?;
        }
    }
    write(&format!("{MAIN}/cgroup.procs"), "0")?;
    memory_stat::find_out(MAIN)
}

/// Takes the controllers from the groups below the outermost one, which are gone by then.
pub(crate) fn give_up_controllers() -> Result<(), Failure> {
    write(&format!("{CGROUP}/cgroup.subtree_control"), "-memory -rdma")
}

fn write(path: &str, value: &str) -> Result<(), Failure> {
    fs::write(path, value).doing(&format!("write {value} to {path}"))
}

/// Reclaims what can be reclaimed of the memory that sequences are charged for, but for what
/// they were charged for under a limit.
///
/// All files are written to their disks first: whether reclaim has a page written that it finds
/// dirty, and when, nobody can tell (`shrink_folio_list()`, mm/vmscan.c, 6.1 and 6.12).
pub(crate) fn reclaim() -> Result<(), Failure> {
    sys::write_files_back();
    let file = open(MAIN, "memory.reclaim")?;
    for _ in 0..RECLAIMS {
        match file.write_at(b"1G", 0) {
            // There is less than that.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            result => drop(result.doing("reclaim memory")?),
        }
    }
    Ok(())
}

/// Opens a file of `group`.
pub(crate) fn open(group: &str, name: &str) -> Result<File, Failure> {
    let path = format!("{group}/{name}");
    let writes = !matches!(name, "rdma.current" | "memory.stat" | "cpu.stat");
    File::options().read(!writes).write(writes).open(&path).doing(&format!("open {path}"))
}

/// The objects of RDMA that all sequences hold.
#[derive(Debug)]
pub(crate) struct RdmaObjects {
    current: File,
}

impl RdmaObjects {
    /// Opens the counter.
    pub(crate) fn open() -> Result<RdmaObjects, Failure> {
        Ok(RdmaObjects { current: open(CGROUP, "rdma.current")? })
    }

    /// How many there are of `device`.
    pub(crate) fn count(&self, device: &str) -> Result<i64, Failure> {
        let mut buffer = [0; BUFFER_BYTES];
        let len = self.current.read_at(&mut buffer, 0).doing("read rdma.current")?;
        objects(&buffer[..len], device)
            .ok_or_else(|| Failure::State(format!("rdma.current does not tell of {device}")))
    }
}

/// The objects of `device` in the text of `rdma.current`: a line a device, such as
/// `rxe0 hca_handle=1 hca_object=9`.
fn objects(current: &[u8], device: &str) -> Option<i64> {
    let lines = std::str::from_utf8(current).ok()?.lines();
    let counts = lines.filter_map(|line| line.strip_prefix(device)?.strip_prefix(' ')).next()?;
    counts
        .split_ascii_whitespace()
        .find_map(|count| count.strip_prefix("hca_object="))?
        .parse()
        .ok()
}

/// What the processes of sequences may have in swap space: nothing or anything. What they have there stays.
#[derive(Debug)]
pub(crate) struct SwapLimit {
    max: File,
    is_lifted: bool,
}

impl SwapLimit {
    /// As it is at the start of a sequence: nothing more.
    pub(crate) fn open() -> Result<SwapLimit, Failure> {
        Ok(SwapLimit { max: open(MAIN, "memory.swap.max")?, is_lifted: false })
    }

    /// Lifts it, or has nothing more swapped out.
    pub(crate) fn lift(&mut self, lifted: bool) -> Result<(), Failure> {
        let value: &[u8] = if lifted { b"max" } else { b"0" };
        self.max.write_at(value, 0).doing("set memory.swap.max")?;
        self.is_lifted = lifted;
        Ok(())
    }

    /// Whether it is lifted.
    pub(crate) fn is_lifted(&self) -> bool {
        self.is_lifted
    }
}

/// The group in which `p0` registers under a limit.
#[derive(Debug)]
pub(crate) struct Limited {
    members: File,
    main_members: File,
    max: File,
    stat: MemoryStat,
}

impl Limited {
    /// As it is at the start of a sequence: without a limit.
    pub(crate) fn open() -> Result<Limited, Failure> {
        let limited = Limited {
            members: open(LIMITED, "cgroup.procs")?,
            main_members: open(MAIN, "cgroup.procs")?,
            max: open(LIMITED, "memory.max")?,
            stat: MemoryStat::open(LIMITED)?,
        };
        limited.limit(None)?;
        Ok(limited)
    }

    /// Lets so many more pages be charged than there are now; any number if it is nothing.
    ///
    /// What the group has in store for a processor is given back if it is above the limit, and
    /// else it is used up before more is charged (`memory_max_write()` and `try_charge_memcg()`,
    /// mm/memcontrol.c, 6.1 and 6.12), so the limit is exact.
    pub(crate) fn limit(&self, more_pages: Option<u16>) -> Result<(), Failure> {
        let value = match more_pages {
            None => "max".to_owned(),
            Some(more) => {
                ((self.charged_pages()? + i64::from(more)) * i64::from(PAGE_BYTES)).to_string()
            }
        };
        self.max.write_at(value.as_bytes(), 0).doing("limit a control group").map(drop)
    }

    /// Moves this process into the group.
    pub(crate) fn enter(&self) -> Result<(), Failure> {
        self.members.write_at(b"0", 0).doing("enter a control group").map(drop)
    }

    /// Moves this process back to where it was.
    pub(crate) fn leave(&self) -> Result<(), Failure> {
        self.main_members.write_at(b"0", 0).doing("leave a control group").map(drop)
    }

    /// Pages that are charged to the group.
    pub(crate) fn charged_pages(&self) -> Result<i64, Failure> {
        self.stat.charged_pages()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_those_of_the_device() {
        let current = b"rxe00 hca_handle=5 hca_object=7 \nrxe0 hca_handle=1 hca_object=19 \n";
        assert_eq!(objects(current, "rxe0"), Some(19));
        assert_eq!(objects(current, "rxe"), None);
        assert_eq!(objects(b"", "rxe0"), None);
    }

    #[test]
    fn only_what_was_added_to_the_root_is_taken_away() {
        assert_eq!(undo("cpu io memory pids\n").as_deref(), Some("-rdma"));
        assert_eq!(undo("\n").as_deref(), Some("-memory -rdma"));
        assert_eq!(undo("rdma memory"), None);
    }
}
