//! Memory that the kernel holds for itself, as its own counters say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a kernel at rest holds for itself: no sequence runs, and what is freed late has been freed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelMemory {
    /// Allocated objects of each slab cache, by its name. Source: `/proc/slabinfo`, which a kernel without
    /// `CONFIG_SLUB_DEBUG` lacks.
    pub slabs: BTreeMap<String, SlabCache>,
    /// Pages of each other kind, by what they are for. Source: `/proc/vmstat`, `/proc/meminfo` and `/proc/zoneinfo`.
    pub pages: BTreeMap<String, i64>,
    /// Objects that no pointer leads to any more, by the function that allocated them and their size in bytes: how many.
    /// Source: `/sys/kernel/debug/kmemleak`, of a kernel with `CONFIG_DEBUG_KMEMLEAK`. A kernel without it has none here.
    pub unreferenced: BTreeMap<(String, u32), u64>,
}

/// One slab cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlabCache {
    /// Objects that are allocated.
    pub objects: u64,
    /// Size of one, in bytes.
    pub object_bytes: u32,
}
