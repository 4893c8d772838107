//! Kernel objects that no pointer leads to any more, as kmemleak finds them, on a kernel with `CONFIG_DEBUG_KMEMLEAK`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::failure::{Doing, Failure};
use crate::sys;

const DEBUGFS: &str = "/sys/kernel/debug";
const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";

/// Younger objects are not reported: their pointers may still be in registers (`MSECS_MIN_AGE`, mm/kmemleak.c, 6.1, 6.12 and
/// 7.3).
const AGE_MIN: Duration = Duration::from_millis(5000);

/// One scan notes the checksum of an object that nothing refers to, the next reports it if that has not changed
/// (`kmemleak_scan()`, mm/kmemleak.c, 6.1, 6.12 and 7.3).
const SCANS: u32 = 2;

/// Functions that allocate for others: the one that called them says what leaks.
const ALLOCATORS: [&str; 16] = [
    "__alloc",
    "__kmalloc",
    "__kmem_cache",
    "__kvmalloc",
    "__vmalloc",
    "alloc_pages",
    "kasan_",
    "kmalloc",
    "kmem_cache_alloc",
    "kmemdup",
    "kmemleak_",
    "krealloc",
    "kvmalloc",
    "pcpu_alloc",
    "slab_",
    "vmalloc",
];

/// How many objects nothing refers to, by the function that allocated them and their size in bytes. Empty on a kernel without
/// kmemleak.
///
/// Takes [`AGE_MIN`] and two scans of all memory.
///
/// # Errors
///
/// If the kernel refuses a scan.
pub(crate) fn unreferenced() -> Result<BTreeMap<(String, u32), u64>, Failure> {
    if fs::exists(DEBUGFS).unwrap_or(false) {
        // It may be mounted already; the file tells.
        let _ = sys::mount(c"debugfs", None, c"/sys/kernel/debug");
    }
    if !fs::exists(KMEMLEAK).unwrap_or(false) {
        return Ok(BTreeMap::new());
    }
    std::thread::sleep(AGE_MIN);
    for _ in 0..SCANS {
        fs::write(KMEMLEAK, "scan").doing(&format!("write `scan` to {KMEMLEAK}"))?;
    }
    let report = fs::read(KMEMLEAK).doing(&format!("read {KMEMLEAK}"))?;
    Ok(parsed(&String::from_utf8_lossy(&report)))
}

/// Reads reports that begin with `unreferenced object 0x… (size 64):` and have a backtrace.
///
/// Source: `__print_unreferenced()`, mm/kmemleak.c (7.3; `print_unreferenced()` in 6.1 and 6.12).
fn parsed(report: &str) -> BTreeMap<(String, u32), u64> {
    let mut found = BTreeMap::new();
    for object in report.split("unreferenced object").skip(1) {
        let size = object.split_once("(size ").and_then(|(_, rest)| rest.split_once(')'));
        let Some(bytes) = size.and_then(|(bytes, _)| bytes.parse().ok()) else { continue };
        let trace = object.split_once("backtrace").map_or("", |(_, trace)| trace);
        let function = trace.lines().filter_map(function).find(|name| !is_allocator(name));
        *found.entry((function.unwrap_or("an unknown function").to_owned(), bytes)).or_insert(0) +=
            1;
    }
    found
}

/// The function of a line of a backtrace: `    [<00000000f3>] rxe_reg_user_mr+0x52/0x1c0` or without the address.
fn function(line: &str) -> Option<&str> {
    let (name, _) = line.trim().rsplit(' ').next()?.split_once("+0x")?;
    // Compilers split functions: `rxe_get_mr.isra.0`.
    name.split('.').next()
}

fn is_allocator(function: &str) -> bool {
    ALLOCATORS.iter().any(|prefix| function.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted_by_who_asked_for_them_and_by_size() {
        let report = "\
unreferenced object 0x0000000062a51a00 (size 512):
  comm \"p0\", pid 41, jiffies 4294938210 (age 12.340s)
  hex dump (first 32 bytes):
    00 00 00 00 00 00 00 00 28 1a a5 62 00 00 00 00  ........(..b....
  backtrace:
    [<0000000060123456>] __kmalloc+0x7a/0x100
    [<0000000060234567>] rxe_reg_user_mr+0x52/0x1c0
    [<0000000060345678>] ib_uverbs_reg_mr+0x16a/0x2e0
unreferenced object 0x0000000062a51c00 (size 512):
  comm \"p0\", pid 42, jiffies 4294938310
  backtrace (crc 1c9d8a1f):
    __kmalloc_cache_noprof+0x1a/0x20
    rxe_reg_user_mr.isra.0+0x52/0x1c0
unreferenced object (percpu) 0x0000000000000708 (size 8):
  comm \"p0\", pid 42, jiffies 4294938310
  backtrace (crc 0):
    pcpu_alloc_noprof+0x1a/0x20
";
        let wanted =
            [(("an unknown function".to_owned(), 8), 1), (("rxe_reg_user_mr".to_owned(), 512), 2)];
        assert_eq!(parsed(report), wanted.into());
    }
}
