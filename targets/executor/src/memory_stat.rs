//! `memory.stat` of a control group as it is now.
//!
//! Each processor keeps its share of these counters for a while. Up to 6.12 a read of `cpu.stat` adds up the shares of all
//! counters (`cgroup_base_stat_cputime_show()`, kernel/cgroup/rstat.c, 6.1 and 6.12). In 7.3 that concerns the
//! times alone, and `memory.stat` itself adds up only after a number of changes in the group or in one below it
//! (`memcg_vmstats_needs_flush()`, mm/memcontrol.c, 7.3). There this process makes as many changes, in its own group,
//! and reads the group above both.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use pinfold_contract::{CGROUP, PAGE_BYTES};

use crate::cgroup;
use crate::counters;
use crate::failure::{Doing, Failure};
use crate::sys;

/// Room for what is read at once, in bytes. What is wanted stands in the first lines.
const BUFFER_BYTES: usize = 1 << 10;

/// Changes after which a processor reports its share (`MEMCG_CHARGE_BATCH`, include/linux/memcontrol.h).
const BATCH: usize = 64;

/// How often the detection must see the same, so that no regular sum of the kernel is taken for that of `cpu.stat`.
const TRIES: usize = 3;

/// Pages that the detection takes for a moment. Each changes several counters, and all together far fewer than [`BATCH`].
const TRIED_PAGES: usize = 2;

static PAGE: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];

/// Whether reading `cpu.stat` adds up the counters of memory too.
static CPU_STAT_ADDS_UP: OnceLock<bool> = OnceLock::new();

/// Finds out how the counters of this kernel are added up. This process is in `group` by then.
pub(crate) fn find_out(group: &str) -> Result<(), Failure> {
    let stat = MemoryStat::open(group)?;
    let mut adds_up = true;
    for _ in 0..TRIES {
        stat.read_cpu()?;
        let before = stat.pages()?;
        let taken = take_pages(TRIED_PAGES)?;
        stat.read_cpu()?;
        adds_up &= stat.pages()? > before;
        drop(taken);
    }
    CPU_STAT_ADDS_UP.get_or_init(|| adds_up);
    Ok(())
}

/// A file of `count` pages in memory, and not memory of this program: its heap is to stay as it is.
fn take_pages(count: usize) -> Result<File, Failure> {
    let bytes = count * PAGE_BYTES as usize;
    let mut file = sys::memory_file(c"pinfold-taken", bytes as u64).doing("make a memory file")?;
    for _ in 0..count {
        file.write_all(&PAGE).doing("write a memory file")?;
    }
    Ok(file)
}

/// The counters of one group.
#[derive(Debug)]
pub(crate) struct MemoryStat {
    memory: File,
    memory_above: File,
    cpu: File,
}

impl MemoryStat {
    /// Of a group below [`CGROUP`].
    pub(crate) fn open(group: &str) -> Result<MemoryStat, Failure> {
        Ok(MemoryStat {
            memory: cgroup::open(group, "memory.stat")?,
            memory_above: cgroup::open(CGROUP, "memory.stat")?,
            cpu: cgroup::open(group, "cpu.stat")?,
        })
    }

    /// Pages of anonymous memory and of files that are charged to the group.
    pub(crate) fn charged_pages(&self) -> Result<i64, Failure> {
        if CPU_STAT_ADDS_UP.get().copied().unwrap_or(true) {
            self.read_cpu()?;
        } else {
            make_changes()?;
            self.memory_above.read_at(&mut [0; BUFFER_BYTES], 0).doing("read memory.stat")?;
        }
        self.pages()
    }

    fn read_cpu(&self) -> Result<(), Failure> {
        self.cpu.read_at(&mut [0; BUFFER_BYTES], 0).doing("read cpu.stat").map(drop)
    }

    fn pages(&self) -> Result<i64, Failure> {
        let mut buffer = [0; BUFFER_BYTES];
        let len = self.memory.read_at(&mut buffer, 0).doing("read memory.stat")?;
        charged_pages(&buffer[..len])
            .ok_or_else(|| Failure::State("memory.stat lacks a counter".to_owned()))
    }
}

/// Has this processor report: charges the group of this process for pages of a file, and gives them back. Each changes two
/// counters when it comes and when it goes.
///
/// Source: `shmem_update_stats()`, mm/shmem.c; `memcg_rstat_updated()`,
/// mm/memcontrol.c, 7.3.
fn make_changes() -> Result<(), Failure> {
    take_pages(BATCH * (sys::processor_count() + 1) / 2).map(drop)
}

fn charged_pages(stat: &[u8]) -> Option<i64> {
    let bytes = counters::number(stat, b"anon ")? + counters::number(stat, b"file ")?;
    Some(bytes / i64::from(PAGE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_memory_and_files_are_charged() {
        let stat = b"anon 8192\nfile 4096\nkernel 999\nfile_mapped 4096\n";
        assert_eq!(charged_pages(stat), Some(3));
        assert_eq!(charged_pages(b"anon 8192\n"), None);
    }
}
