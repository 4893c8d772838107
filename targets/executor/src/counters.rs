//! Counters of the kernel, in pages.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use pinfold_contract::{HUGE_PAGE_BYTES, HugePool, PAGE_BYTES};

use crate::failure::{Doing, Failure};
use crate::sys;

/// Room for what is read at once, in bytes.
const BUFFER_BYTES: usize = 4 << 10;

/// How many huge pages the machine has. Only a kernel that knows them has this file.
pub(crate) const HUGE_POOL: &str = "/proc/sys/vm/nr_hugepages";

/// Has the kernel collect what each processor counts for itself.
const REFRESH: &str = "/proc/sys/vm/stat_refresh";

/// What one process is charged for, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charges {
    /// `RssAnon`.
    pub(crate) rss_anon: i64,
    /// `RssShmem`.
    pub(crate) rss_shmem: i64,
    /// `RssFile`.
    pub(crate) rss_file: i64,
    /// `VmLck`.
    pub(crate) vm_lck: i64,
    /// `VmSwap`.
    pub(crate) vm_swap: i64,
    /// `VmPin`.
    pub(crate) vm_pin: i64,
    /// `HugetlbPages`, in huge pages.
    pub(crate) huge: i64,
}

/// A page that is read only to be dropped; zero where nothing is put off.
static SETTLING_PAGE: AtomicUsize = AtomicUsize::new(0);

/// Whether this kernel is for several processors. Where it is not, its counters are always exact
/// (`vm_table`, kernel/sysctl.c, 6.12: only then is there this file).
pub(crate) fn are_many_processors() -> bool {
    fs::exists(REFRESH).unwrap_or(false)
}

/// Readies what [`settle`] needs, for this process and its descendants.
pub(crate) fn ready_to_settle() -> Result<(), Failure> {
    if are_many_processors() {
        SETTLING_PAGE.store(sys::map_zeroes().doing("map a page")?, Ordering::Relaxed);
    }
    Ok(())
}

/// Adds to the charges of this process what this thread has caused and keeps for itself.
///
/// Linux 6.1 counts the pages that a thread's faults bring in with the thread at first (`add_mm_counter_fast()`,
/// mm/memory.c, 6.1, where `SPLIT_RSS_COUNTING` is defined: on kernels for several processors), and adds them to those of
/// the process after 64 faults, or when the thread takes entries out of a page table (`add_mm_rss_vec()`, ditto). 6.12
/// counts for each processor, and adds them all when somebody reads (`task_mem()`, fs/proc/task_mmu.c).
pub(crate) fn settle() {
    let page = SETTLING_PAGE.load(Ordering::Relaxed);
    if page != 0 {
        sys::touch_and_drop(page);
    }
}

/// `/proc/self/status` of the process that opened it.
#[derive(Debug)]
pub(crate) struct Status {
    file: File,
    buffer: Vec<u8>,
}

impl Status {
    /// Of this process. A descendant must open its own.
    pub(crate) fn open() -> Result<Status, Failure> {
        Ok(Status { file: open_status()?, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Turns from the process that opened it to this one, its descendant.
    pub(crate) fn reopen(&mut self) -> Result<(), Failure> {
        self.file = open_status()?;
        Ok(())
    }

    /// Reads it.
    pub(crate) fn charges(&mut self) -> Result<Charges, Failure> {
        settle();
        let len = self.file.read_at(&mut self.buffer, 0).doing("read /proc/self/status")?;
        charges(&self.buffer[..len])
            .ok_or_else(|| Failure::State("/proc/self/status lacks a counter".to_owned()))
    }
}

fn open_status() -> Result<File, Failure> {
    File::open("/proc/self/status").doing("open /proc/self/status")
}

fn charges(status: &[u8]) -> Option<Charges> {
    let pages = |name| Some(number(status, name)? * 1024 / i64::from(PAGE_BYTES));
    Some(Charges {
        vm_pin: pages(b"VmPin:")?,
        rss_anon: pages(b"RssAnon:")?,
        rss_shmem: pages(b"RssShmem:")?,
        rss_file: pages(b"RssFile:")?,
        vm_lck: pages(b"VmLck:")?,
        // Absent where the kernel knows no swap.
        vm_swap: pages(b"VmSwap:").unwrap_or(0),
        // Absent where it knows no huge pages.
        huge: pages(b"HugetlbPages:").unwrap_or(0) * i64::from(PAGE_BYTES)
            / i64::from(HUGE_PAGE_BYTES),
    })
}

/// What the whole machine has, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// `nr_foll_pin_acquired - nr_foll_pin_released`.
    pub(crate) pins: i64,
    /// `nr_anon_pages`.
    pub(crate) anon_pages: i64,
    /// `nr_shmem`.
    pub(crate) shmem_pages: i64,
    /// `nr_mlock`.
    pub(crate) locked_pages: i64,
}

/// `/proc/vmstat`.
#[derive(Debug)]
pub(crate) struct VmStat {
    file: File,
    /// Collects what each CPU keeps for itself. Absent where there is one.
    refresh: Option<File>,
    buffer: Vec<u8>,
}

impl VmStat {
    /// Opens it.
    pub(crate) fn open() -> Result<VmStat, Failure> {
        let file = File::open("/proc/vmstat").doing("open /proc/vmstat")?;
        let refresh = File::options().write(true).open(REFRESH).ok();
        Ok(VmStat { file, refresh, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Reads it.
    pub(crate) fn totals(&mut self) -> Result<Totals, Failure> {
        if let Some(refresh) = &self.refresh {
            let _ = refresh.write_at(b"1", 0);
        }
        // The counters wanted stand in the first part, and the kernel writes no more than is asked for.
        let len = self.file.read_at(&mut self.buffer, 0).doing("read /proc/vmstat")?;
        totals(&self.buffer[..len])
            .ok_or_else(|| Failure::State("/proc/vmstat lacks a counter".to_owned()))
    }
}

/// All of `/proc/vmstat`, with what each processor counts for itself.
pub(crate) fn collected_vmstat() -> Result<Vec<u8>, Failure> {
    // Absent where there is one processor.
    let _ = fs::write(REFRESH, "1");
    fs::read("/proc/vmstat").doing("read /proc/vmstat")
}

fn totals(vmstat: &[u8]) -> Option<Totals> {
    Some(Totals {
        pins: number(vmstat, b"nr_foll_pin_acquired ")? - number(vmstat, b"nr_foll_pin_released ")?,
        anon_pages: number(vmstat, b"nr_anon_pages ")?,
        shmem_pages: number(vmstat, b"nr_shmem ")?,
        locked_pages: number(vmstat, b"nr_mlock ")?,
    })
}

/// `/proc/meminfo`, for the pool of huge pages. Absent where the kernel has none: then the pool has nothing.
#[derive(Debug)]
pub(crate) struct MemInfo {
    file: Option<File>,
    buffer: Vec<u8>,
}

impl MemInfo {
    /// Opens it.
    pub(crate) fn open() -> Result<MemInfo, Failure> {
        let has_pool = fs::exists(HUGE_POOL).unwrap_or(false);
        let file = has_pool.then(|| File::open("/proc/meminfo")).transpose();
        Ok(MemInfo { file: file.doing("open /proc/meminfo")?, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Reads it.
    pub(crate) fn huge_pool(&mut self) -> Result<HugePool, Failure> {
        let Some(file) = &self.file else { return Ok(HugePool::default()) };
        let len = file.read_at(&mut self.buffer, 0).doing("read /proc/meminfo")?;
        huge_pool(&self.buffer[..len])
            .ok_or_else(|| Failure::State("/proc/meminfo lacks a counter".to_owned()))
    }
}

fn huge_pool(meminfo: &[u8]) -> Option<HugePool> {
    // The kernel counts without a sign, and below zero goes around.
    let count = |name| Some(unsigned(meminfo, name)?.cast_signed());
    Some(HugePool { free: count(b"HugePages_Free:")?, reserved: count(b"HugePages_Rsvd:")? })
}

/// The number in the line that begins with `name`.
pub(crate) fn number(lines: &[u8], name: &[u8]) -> Option<i64> {
    i64::try_from(unsigned(lines, name)?).ok()
}

/// The number in the line that begins with `name`.
fn unsigned(lines: &[u8], name: &[u8]) -> Option<u64> {
    let line = lines.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name))?;
    let digits = line.trim_ascii_start().split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_are_in_pages() {
        let status = b"Name:\tx\nVmLck:\t      8 kB\nVmPin:\t     256 kB\nRssAnon:\t      12 kB\n\
            RssFile:\t      20 kB\nRssShmem:\t       0 kB\nVmSwap:\t      4 kB\n\
            HugetlbPages:\t    4096 kB\n";
        let want = Charges {
            rss_anon: 3,
            rss_shmem: 0,
            rss_file: 5,
            vm_lck: 2,
            vm_swap: 1,
            vm_pin: 64,
            huge: 2,
        };
        assert_eq!(charges(status), Some(want));
        assert_eq!(charges(b"VmPin:\t 4 kB\n"), None);
    }

    #[test]
    fn promises_may_be_below_zero() {
        let meminfo = b"HugePages_Total:       6\nHugePages_Free:        5\n\
            HugePages_Rsvd:    18446744073709551615\nHugePages_Surp:        0\n";
        assert_eq!(huge_pool(meminfo), Some(HugePool { free: 5, reserved: -1 }));
        assert_eq!(huge_pool(b"HugePages_Free: 1\n"), None);
    }

    #[test]
    fn pins_are_a_difference() {
        let vmstat = b"nr_mlock 3\nnr_anon_pages 7\nnr_shmem 5\nnr_shmem_hugepages 9\n\
            nr_foll_pin_acquired 100\nnr_foll_pin_released 36\n";
        let want = Totals { pins: 64, anon_pages: 7, shmem_pages: 5, locked_pages: 3 };
        assert_eq!(totals(vmstat), Some(want));
    }
}
