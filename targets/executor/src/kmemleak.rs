//! Kernel objects that no pointer leads to any more, as kmemleak finds them, on a kernel with `CONFIG_DEBUG_KMEMLEAK`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::time::Duration;

use crate::failure::{Doing, Failure};
use crate::sys;

const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";

/// Younger objects are not reported: their pointers may still be in registers (`MSECS_MIN_AGE`, mm/kmemleak.c, 6.1, 6.12 and
/// 7.3).
const AGE_MIN: Duration = Duration::from_millis(5000);

/// One scan notes the checksum of an object that nothing refers to, the next reports it if that has not changed
/// (`kmemleak_scan()`, mm/kmemleak.c, 6.1, 6.12 and 7.3).
const SCANS: u32 = 2;

/// In the place of a function, where a backtrace has none.
const UNKNOWN: &str = "unknown";

/// Functions that allocate for others, or that note who does: the one that called them says what leaks.
const ALLOCATORS: [&str; 21] = [
    "__alloc",
    "__kmalloc",
    "__kmem_cache",
    "__kvmalloc",
    "__vmalloc",
    "__create_object",
    "alloc_pages",
    "create_object",
    "kasan_",
    "kmalloc",
    "kmem_cache_alloc",
    "kmemdup",
    "kmemleak_",
    "krealloc",
    "kvmalloc",
    "pcpu_alloc",
    "save_stack_trace",
    "set_track",
    "slab_",
    "stack_trace_",
    "vmalloc",
];

/// How many objects nothing refers to, by the function that allocated them and their size in bytes. Empty on a kernel without
/// kmemleak.
///
/// Takes [`AGE_MIN`] and two scans of all memory.
///
/// # Errors
///
/// If the kernel refuses a scan, or its report cannot be read.
pub(crate) fn unreferenced() -> Result<BTreeMap<(String, u32), u64>, Failure> {
    if !sys::has_debug_file(KMEMLEAK) {
        return Ok(BTreeMap::new());
    }
    std::thread::sleep(AGE_MIN);
    for _ in 0..SCANS {
        fs::write(KMEMLEAK, "scan").doing(&format!("write `scan` to {KMEMLEAK}"))?;
    }
    let report = File::open(KMEMLEAK).map(BufReader::new);
    report.and_then(counted).doing(&format!("read {KMEMLEAK}"))
}

/// Counts the objects of a report, line by line: one of thousands of objects would make the executor grow, and the heap of
/// each process after it.
///
/// An object begins with `unreferenced object 0x… (size 64):`, and its backtrace comes last.
///
/// Source: `__print_unreferenced()`, mm/kmemleak.c (7.3; `print_unreferenced()` in 6.1 and 6.12).
fn counted(report: impl BufRead) -> io::Result<BTreeMap<(String, u32), u64>> {
    let mut found = BTreeMap::new();
    let mut object = Object::default();
    for line in report.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if line.starts_with("unreferenced object") {
            std::mem::take(&mut object).count_into(&mut found);
            let size = line.split_once("(size ").and_then(|(_, rest)| rest.split_once(')'));
            object.bytes = size.and_then(|(bytes, _)| bytes.parse().ok());
        } else if line.trim_start().starts_with("backtrace") {
            object.is_in_trace = true;
        } else if object.is_in_trace && object.function.is_none() {
            object.function = function(&line).filter(|name| !is_allocator(name)).map(str::to_owned);
        }
    }
    object.count_into(&mut found);
    Ok(found)
}

/// One object, as far as it was read.
#[derive(Default)]
struct Object {
    /// Its size. `None` before the first object.
    bytes: Option<u32>,
    is_in_trace: bool,
    function: Option<String>,
}

impl Object {
    fn count_into(self, found: &mut BTreeMap<(String, u32), u64>) {
        if let Some(bytes) = self.bytes {
            let function = self.function.unwrap_or_else(|| UNKNOWN.to_owned());
            *found.entry((function, bytes)).or_insert(0) += 1;
        }
    }
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
    save_stack_trace+0x2a/0x40
    stack_trace_save+0x4b/0x60
    __kmalloc_cache_noprof+0x1a/0x20
    rxe_reg_user_mr.isra.0+0x52/0x1c0
unreferenced object (percpu) 0x0000000000000708 (size 8):
  comm \"p0\", pid 42, jiffies 4294938310
  backtrace (crc 0):
    pcpu_alloc_noprof+0x1a/0x20
";
        let wanted = [((UNKNOWN.to_owned(), 8), 1), (("rxe_reg_user_mr".to_owned(), 512), 2)];
        assert_eq!(counted(report.as_bytes()).unwrap(), wanted.into());
    }
}
