//! The teardown oracle: what is left when everything is gone.
//!
//! Checks that the pins, anonymous pages, pages of memory files, locked pages,
//! merged pages, huge pages and RDMA objects that a sequence took are all given back once its
//! last process has ended.
//!
//! Does not check memory of the kernel itself: one run tells a leak from nothing that
//! is kept for later ([`crate::leaks`] repeats runs). Nor does it check anything after a hang or a crash: there was no end.

use pinfold_contract::Teardown;

use super::{Finding, accounting};

/// Compares what is left with nothing.
pub(super) fn check(left: Teardown) -> Option<Finding> {
    let Teardown { pins, anon_pages, shmem_pages, locked_pages, ksm_pages, rdma, huge } = left;
    let counters = [
        ("pins", pins),
        ("anon_pages", anon_pages),
        ("shmem_pages", shmem_pages),
        ("locked_pages", locked_pages),
        ("ksm_pages", ksm_pages),
        ("rdma_mrs", rdma.mrs),
        ("rdma_objects", rdma.cgroup_objects),
        ("huge_free", huge.free),
        ("huge_reserved", huge.reserved),
    ];
    accounting::finding(
        &counters.map(|(counter, left)| accounting::Difference::of("", counter, 0, left)),
    )
}

#[cfg(test)]
mod tests {
    use pinfold_contract::RdmaCounts;

    use super::*;

    #[test]
    fn nothing_left_is_right() {
        assert_eq!(check(Teardown::default()), None);
    }

    #[test]
    fn each_thing_left_is_named() {
        let left = Teardown { pins: 3, shmem_pages: -1, ..Teardown::default() };
        let finding = check(left).unwrap();
        assert_eq!(finding.seen, "pins 3, shmem_pages -1");
        assert_eq!(finding.class, "pins.more-shmem_pages.less");
    }
    #[test]
    fn objects_of_rdma_are_left_like_pages() {
        let rdma = RdmaCounts { mrs: 0, cgroup_objects: 1 };
        let finding = check(Teardown { locked_pages: 2, rdma, ..Teardown::default() }).unwrap();
        assert_eq!(finding.class, "locked_pages.more-rdma_objects.more");
    }
}
