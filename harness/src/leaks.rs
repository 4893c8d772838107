//! Kernel memory that is never given back, although no counter of an oracle moves.
//!
//! Sequences are repeated in two blocks of equal length. What is allocated once and kept grows in the first block alone,
//! and what comes and goes grows in neither for long; only a leak grows in both.
//!
//! Does not find what leaks less than once in two repetitions, nor memory that the kernel hands out and takes back by
//! itself, such as caches of pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pinfold_contract::{Errno, KernelMemory, Observe, OpKind, Outcome, PAGE_BYTES, Sequence};
use serde::{Deserialize, Serialize};

use crate::model::predict;
use crate::profile::Profile;

/// Memory that grew in both blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// The slab cache, or the kind of pages.
    pub what: String,
    /// Objects, or pages, that each repetition left: the lower of both blocks.
    pub objects: f64,
    /// Size of one, in bytes.
    pub object_bytes: u32,
}

impl Leak {
    /// Bytes that each repetition left.
    pub fn bytes(&self) -> f64 {
        self.objects * f64::from(self.object_bytes)
    }
}

/// `192 bytes in kmalloc-192 (1 of 192 bytes)`, of one repetition.
impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Leak { what, objects, object_bytes } = self;
        // Two digits behind the point, and none that is zero.
        let count = (objects * 100.0).round() / 100.0;
        write!(f, "{:.0} bytes in {what} ({count} of {object_bytes} bytes)", self.bytes())
    }
}

/// Fewer in a repetition are no leak: one that comes each time leaves at least one.
const OBJECTS_MIN: f64 = 0.5;

/// Caches whose objects the kernel frees only when it has thousands of them, whatever it is told: an address range that
/// vmalloc gave up (`purge_vmap_area_lazy()`, mm/vmalloc.c, 6.1, 6.12 and 7.3). Its pages are freed at once, and counted.
const FREED_LATE: [&str; 1] = ["vmap_area"];

/// Caches of kmemleak itself: its notes of the objects of others (`create_object()`, mm/kmemleak.c, 6.1, 6.12 and 7.3).
const OF_KMEMLEAK: [&str; 2] = ["kmemleak_object", "kmemleak_scan_area"];

/// Why the kernel's memory says nothing of `sequence`, if there is a reason.
pub fn says_nothing(sequence: &Sequence) -> Option<&'static str> {
    let swaps = sequence.ops.iter().any(|op| op.kind() == OpKind::Swap);
    swaps.then_some("it swaps to a RAM disk, whose pages no counter of the kernel knows")
}

/// Whether the kernel waits in `sequence` until nobody pins a file's pages, and in vain: for a fifth of a second each time
/// (`memfd_wait_for_pins()`, mm/memfd.c, 6.1, 6.12 and 7.3).
pub fn waits_for_pins(profile: &Profile, sequence: &Sequence) -> bool {
    let waited = Outcome::Errno(Errno::EBUSY);
    let ops = sequence.ops.iter().zip(predict(profile, sequence, Observe::End));
    { ops }.any(|(op, step)| op.kind() == OpKind::Seal && step.prediction.allows(&waited))
}

/// What grew in both of two blocks of `repetitions`, the most bytes first. The kernel's memory was counted before the
/// first, between them and after the second.
pub fn leaks(counted: [&KernelMemory; 3], repetitions: u32) -> Vec<Leak> {
    let mut leaks: Vec<Leak> = Vec::new();
    let tables = counted.map(amounts);
    for (what, (last, object_bytes)) in &tables[2] {
        if FREED_LATE.iter().chain(&OF_KMEMLEAK).any(|cache| cache == what) {
            continue;
        }
        // A cache that was not there before had nothing.
        let at = |index: usize| tables[index].get(what).map_or(0, |(objects, _)| *objects);
        let grown = (at(1) - at(0)).min(last - at(1));
        let objects =
            f64::from(i32::try_from(grown).unwrap_or(i32::MAX)) / f64::from(repetitions.max(1));
        if objects >= OBJECTS_MIN {
            leaks.push(Leak { what: what.clone(), objects, object_bytes: *object_bytes });
        }
    }
    leaks.sort_by(|one, other| other.bytes().total_cmp(&one.bytes()));
    leaks
}

/// Those of `leaks` that leave more with each repetition than the leak of the same memory in `base` does: growth by chance on the
/// base hides no leak of the other kernel.
pub fn beyond(mut leaks: Vec<Leak>, base: &[Leak]) -> Vec<Leak> {
    leaks.retain(|leak| {
        let of_base = base.iter().find(|other| other.what == leak.what);
        leak.objects - of_base.map_or(0.0, |other| other.objects) >= OBJECTS_MIN
    });
    leaks
}

/// How many there are of each kind of memory, and their size in bytes.
fn amounts(memory: &KernelMemory) -> BTreeMap<String, (i64, u32)> {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let slabs = { memory.slabs.iter() }
        .map(|(name, cache)| (name.clone(), (signed(cache.objects), cache.object_bytes)));
    let pages = memory.pages.iter().map(|(name, count)| (name.clone(), (*count, PAGE_BYTES)));
    let unreferenced = memory.unreferenced.iter().map(|((function, bytes), count)| {
        let what = format!("unreferenced objects of {bytes} bytes from {function}()");
        (what, (signed(*count), *bytes))
    });
    slabs.chain(pages).chain(unreferenced).collect()
}

/// Indices of few of `sequences` that together have every kind of op with every outcome that any of them has by the
/// model: error paths leak, too. Those with the most of them for their length come first.
pub fn covering(profile: &Profile, sequences: &[Sequence]) -> Vec<usize> {
    let met: Vec<BTreeSet<(OpKind, String)>> =
        sequences.iter().map(|sequence| met(profile, sequence)).collect();
    let mut covered = BTreeSet::new();
    let mut chosen = Vec::new();
    loop {
        let worth = |index: usize| {
            let new = met[index].difference(&covered).count();
            // In thousandths for each op: whole numbers have an order.
            (new * 1000).div_ceil(sequences[index].ops.len().max(1))
        };
        // Of two that are worth the same the first is taken.
        let best = (0..sequences.len()).rev().max_by_key(|&index| worth(index));
        let Some(best) = best.filter(|&index| worth(index) > 0) else { return chosen };
        covered.extend(met[best].iter().cloned());
        chosen.push(best);
    }
}

/// The kinds of op of `sequence`, each with its outcomes.
fn met(profile: &Profile, sequence: &Sequence) -> BTreeSet<(OpKind, String)> {
    let predicted = predict(profile, sequence, Observe::End);
    let ops = sequence.ops.iter().zip(predicted);
    ops.map(|(op, step)| (op.kind(), step.prediction.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{SlabCache, parse};

    use super::*;

    fn memory(objects: u64, tables: i64) -> KernelMemory {
        let cache = SlabCache { objects, object_bytes: 192 };
        KernelMemory {
            slabs: [("kmalloc-192".to_owned(), cache)].into(),
            pages: [("page tables".to_owned(), tables)].into(),
            ..KernelMemory::default()
        }
    }

    fn found(counts: [(u64, i64); 3]) -> Vec<String> {
        let [first, then, last] = counts.map(|(objects, tables)| memory(objects, tables));
        leaks([&first, &then, &last], 100).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_leak_grows_in_both_blocks() {
        let slab = "192 bytes in kmalloc-192 (1 of 192 bytes)";
        assert_eq!(found([(10, 5), (112, 5), (212, 5)]), [slab]);
        let tables = "8192 bytes in page tables (2 of 4096 bytes)";
        assert_eq!(found([(10, 5), (112, 205), (212, 405)]), [tables, slab]);
    }

    #[test]
    fn what_grows_once_or_a_little_is_none() {
        assert_eq!(found([(10, 5), (400, 105), (405, 0)]), [""; 0]);
        assert_eq!(found([(10, 5), (10, 45), (400, 85)]), [""; 0]);
    }

    #[test]
    fn what_the_kernel_frees_late_is_no_leak() {
        let named = |name: &str, objects| {
            let cache = SlabCache { objects, object_bytes: 72 };
            KernelMemory { slabs: [(name.to_owned(), cache)].into(), ..KernelMemory::default() }
        };
        let count =
            |name| leaks([&named(name, 0), &named(name, 100), &named(name, 200)], 100).len();
        assert_eq!((count("vmap_area"), count("vma")), (0, 1));
        assert_eq!(count("kmemleak_object"), 0, "it belongs to an object that is counted itself");
    }

    #[test]
    fn an_object_that_nothing_refers_to_is_named_by_who_allocated_it() {
        let counted = [3, 103, 203].map(|count| KernelMemory {
            unreferenced: [(("rxe_reg_user_mr".to_owned(), 512), count)].into(),
            ..KernelMemory::default()
        });
        let found = leaks([&counted[0], &counted[1], &counted[2]], 100);
        let wanted = "512 bytes in unreferenced objects of 512 bytes from rxe_reg_user_mr() (1 of 512 bytes)";
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [wanted]);
    }

    #[test]
    fn a_cache_that_was_not_there_had_nothing() {
        let [then, last] = [memory(150, 0), memory(300, 0)];
        let found = leaks([&KernelMemory::default(), &then, &last], 100);
        assert_eq!(found[0].to_string(), "288 bytes in kmalloc-192 (1.5 of 192 bytes)");
    }

    #[test]
    fn chance_on_the_base_hides_no_leak_of_the_same_size() {
        let of = |what: &str, objects| Leak { what: what.to_owned(), objects, object_bytes: 64 };
        let base = [of("kmalloc-64", 0.6)];
        assert_eq!(beyond(vec![of("kmalloc-64", 1.6)], &base), [of("kmalloc-64", 1.6)]);
        assert_eq!(beyond(vec![of("kmalloc-96", 1.0)], &base), [of("kmalloc-96", 1.0)]);
        assert_eq!(beyond(vec![of("kmalloc-64", 1.0)], &base), []);
    }

    #[test]
    fn few_sequences_have_everything_that_all_have() {
        let texts = [
            "map 0..1 anon private rw\n",
            "map 0..1 anon private rw\nreg mr0 0..1 remote_read\n",
            "reg mr0 0..1 remote_read\n",
            "map 0..1 anon private rw\nreg mr0 0..1 remote_read\ndereg mr0\n",
        ];
        let read = |text: &str| parse(&format!("# pinfold 1\n{text}")).unwrap().sequence;
        let all = texts.map(read);
        // The refusal and the way from map to dereg; the others add nothing.
        let mut chosen = covering(Profile::newest(), &all);
        chosen.sort_unstable();
        let met_by = |chosen: &[usize]| -> BTreeSet<_> {
            chosen.iter().flat_map(|&index| met(Profile::newest(), &all[index])).collect()
        };
        assert_eq!(met_by(&chosen), met_by(&[0, 1, 2, 3]));
        assert!(chosen.contains(&2) && chosen.contains(&3) && !chosen.contains(&1), "{chosen:?}");
    }
}
