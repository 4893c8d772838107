//! What the executor sets in the kernel that it runs on, and what it makes there.

/// Settings that keep the kernel from moving, merging or writing back pages by itself, those with which it merges all it
/// can when it is told to, and the one by which its log takes all that the executor writes. Path and value; a kernel that
/// lacks one lacks what it is about.
pub const SETTINGS: [(&str, &str); 12] = [
    ("/proc/sys/vm/compaction_proactiveness", "0"),
    ("/proc/sys/vm/dirty_writeback_centisecs", "0"),
    // A limit that was reached is told of without a list of all processes.
    ("/proc/sys/vm/oom_dump_tasks", "0"),
    ("/proc/sys/kernel/numa_balancing", "0"),
    // HUGE_POOL_PAGES.
    ("/proc/sys/vm/nr_hugepages", "6"),
    ("/proc/sys/kernel/printk_devkmsg", "on"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "never"),
    ("/sys/kernel/mm/ksm/run", "0"),
    ("/sys/kernel/mm/ksm/sleep_millisecs", "0"),
    ("/sys/kernel/mm/ksm/pages_to_scan", "4096"),
    ("/sys/kernel/mm/ksm/use_zero_pages", "0"),
    // Passes over pages that were often scanned in vain.
    ("/sys/kernel/mm/ksm/smart_scan", "0"),
];

/// Where control groups are mounted.
pub const CGROUP_MOUNT: &str = "/sys/fs/cgroup";

/// The control group that all processes of sequences are below.
pub const CGROUP: &str = "/sys/fs/cgroup/pinfold";
