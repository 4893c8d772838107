//! What the kernel holds for itself, while no sequence runs: objects of slab caches, and pages of other kinds.
//!
//! The kernel frees much of it late: after a grace period of RCU, by work, or when a processor's own list is full. So
//! everything that can be emptied is emptied before anything is counted.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use pinfold_contract::{KernelMemory, PAGE_BYTES, SlabCache};

use crate::counters::{self, number};
use crate::failure::{Doing, Failure};
use crate::{kmemleak, sys};

const CACHES: &str = "/sys/kernel/slab";

/// Rounds of emptying: what the first round has freed after a grace period goes to lists that the next one empties.
const ROUNDS: u32 = 3;

/// Callbacks of RCU and work of the kernel run meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// Counts it.
pub(crate) fn count() -> Result<KernelMemory, Failure> {
    for _ in 0..ROUNDS {
        empty()?;
    }
    let vmstat = counters::collected_vmstat()?;
    let read = |path: &str| fs::read_to_string(path).doing(&format!("read {path}"));
    let (meminfo, zoneinfo) = (read("/proc/meminfo")?, read("/proc/zoneinfo")?);
    // Absent without CONFIG_SLUB_DEBUG.
    let slabinfo = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
    let slabs = slabs(&slabinfo);
    let missing = || Failure::State("/proc/vmstat or /proc/meminfo lacks a counter".to_owned());
    let pages = pages(&vmstat, meminfo.as_bytes(), &zoneinfo, slabs.pages).ok_or_else(missing)?;
    // Last: what a scan allocates is not counted.
    let unreferenced = kmemleak::unreferenced()?;
    Ok(KernelMemory { slabs: slabs.caches, pages, unreferenced })
}

/// Has the kernel free what it frees late.
fn empty() -> Result<(), Failure> {
    sys::wait_for_rcu().doing("wait for RCU")?;
    std::thread::sleep(PAUSE);
    // Inodes and dentries, and what kfree_rcu() has put off: its shrinker frees that (`kfree_rcu_shrink_scan()`,
    // kernel/rcu/tree.c, 6.1 and 6.12, and mm/slab_common.c, 7.3).
    fs::write("/proc/sys/vm/drop_caches", "2").doing("drop caches")?;
    sys::drain_page_lists().doing("drain lists of pages")?;
    shrink_caches();
    Ok(())
}

/// Empties the lists that each processor has of each cache, so that `/proc/slabinfo` counts no free object as allocated
/// (`__kmem_cache_shrink()`, mm/slub.c, 6.1, 6.12 and 7.3).
fn shrink_caches() {
    let Ok(caches) = fs::read_dir(CACHES) else { return };
    for cache in caches.flatten() {
        // The others are names for one of these.
        if cache.file_type().is_ok_and(|kind| kind.is_dir()) {
            // A cache may go away meanwhile.
            let _ = fs::write(cache.path().join("shrink"), "1");
        }
    }
}

/// What `/proc/slabinfo` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Slabs {
    caches: BTreeMap<String, SlabCache>,
    /// Pages of all of them.
    pages: i64,
}

/// Reads lines such as `kmalloc-192 420 420 192 21 1 : tunables 0 0 0 : slabdata 20 20 0`.
///
/// Source: `cache_show()`, mm/slab_common.c (6.1, 6.12 and 7.3).
fn slabs(slabinfo: &str) -> Slabs {
    let mut slabs = Slabs::default();
    for line in slabinfo.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, objects, _, object_bytes, _, slab_pages, ..] = words[..] else { continue };
        let (Ok(objects), Ok(object_bytes)) = (objects.parse::<u64>(), object_bytes.parse()) else {
            continue;
        };
        let slab_count = words.iter().nth_back(1).and_then(|count| count.parse::<i64>().ok());
        slabs.pages += slab_count.unwrap_or(0) * slab_pages.parse().unwrap_or(0);
        let cache =
            slabs.caches.entry(name.to_owned()).or_insert(SlabCache { objects: 0, object_bytes });
        cache.objects += objects;
    }
    slabs
}

/// Pages that no slab cache has. `slab_pages` are those of slab caches.
///
/// *Unaccounted* are those that no counter of the kernel knows: allocated page by page, by `alloc_page()` for example. A
/// thread's stack is one of vmalloc, too, where the kernel maps stacks so: such a stack counts twice, and takes as much
/// from what is unaccounted.
fn pages(
    vmstat: &[u8],
    meminfo: &[u8],
    zoneinfo: &str,
    slab_pages: i64,
) -> Option<BTreeMap<String, i64>> {
    let of_vmstat = |name: &str| number(vmstat, format!("{name} ").as_bytes());
    let of_meminfo = |name: &[u8]| Some(number(meminfo, name)? * 1024 / i64::from(PAGE_BYTES));
    // A read of a processor's list takes none from it.
    let listed: i64 = zoneinfo
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("count:")?.trim().parse::<i64>().ok())
        .sum();
    let slab = of_vmstat("nr_slab_reclaimable")? + of_vmstat("nr_slab_unreclaimable")?;
    let (tables, stacks) = (of_vmstat("nr_page_table_pages")?, of_meminfo(b"KernelStack:")?);
    let (vmalloc, per_cpu) = (of_meminfo(b"VmallocUsed:")?, of_meminfo(b"Percpu:")?);
    let known = of_vmstat("nr_free_pages")?
        + listed
        + of_vmstat("nr_file_pages")?
        + of_vmstat("nr_anon_pages")?
        + (slab + tables + stacks + vmalloc + per_cpu);
    let unaccounted = of_meminfo(b"MemTotal:")? - known;
    let pages = [
        ("page tables", tables),
        ("kernel stacks", stacks),
        ("vmalloc", vmalloc),
        ("per-CPU memory", per_cpu),
        ("large kmalloc", slab - slab_pages),
        ("unaccounted pages", unaccounted),
    ];
    Some(pages.map(|(name, count)| (name.to_owned(), count)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_of_one_name_are_one_and_headings_are_none() {
        let slabinfo = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize>\n\
            kmalloc-192          410    420    192   21    1 : tunables    0    0    0 : slabdata     20     20      0\n\
            dma                    1      8    512    8    1 : tunables    0    0    0 : slabdata      1      1      0\n\
            dma                    2      8    512    8    2 : tunables    0    0    0 : slabdata      1      1      0\n";
        let found = slabs(slabinfo);
        assert_eq!(found.pages, 23);
        let of = |name: &str| (found.caches[name].objects, found.caches[name].object_bytes);
        assert_eq!((of("kmalloc-192"), of("dma")), ((410, 192), (3, 512)));
        assert_eq!(found.caches.len(), 2);
    }

    #[test]
    fn a_page_that_no_counter_knows_is_unaccounted() {
        let vmstat =
            b"nr_free_pages 100\nnr_slab_reclaimable 3\nnr_slab_unreclaimable 7\nnr_anon_pages 5\n\
            nr_page_table_pages 4\nnr_file_pages 20\n";
        let meminfo =
            b"MemTotal:  640 kB\nKernelStack:  16 kB\nVmallocUsed:  8 kB\nPercpu:  4 kB\n";
        let zoneinfo =
            "  pagesets\n    cpu: 0\n              count:    6\n              high:  9\n";
        let found = pages(vmstat, meminfo, zoneinfo, 8).unwrap();
        let known = 100 + 6 + 10 + 5 + 4 + 20 + 4 + 2 + 1;
        assert_eq!(found["unaccounted pages"], 160 - known);
        assert_eq!((found["large kmalloc"], found["page tables"]), (2, 4));
        assert_eq!(pages(b"nr_free_pages 1\n", meminfo, zoneinfo, 8), None);
    }
}
