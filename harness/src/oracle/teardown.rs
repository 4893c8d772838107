//! The teardown oracle: what is left when everything is gone.
//!
//! Checks that the pins, anonymous pages and pages of memory files that a
//! sequence took are all given back once its last process has ended.
//!
//! Does not check memory of the kernel itself, which only a leak detector in the
//! kernel can attribute, and nothing after a hang or a crash: there was no end.

use pinfold_contract::Teardown;

use super::{Finding, accounting};

/// Compares what is left with nothing.
pub(super) fn check(left: Teardown) -> Option<Finding> {
    let Teardown { pins, anon_pages, shmem_pages } = left;
    accounting::finding(&[
        accounting::Difference::of("", "pins", 0, pins),
        accounting::Difference::of("", "anon_pages", 0, anon_pages),
        accounting::Difference::of("", "shmem_pages", 0, shmem_pages),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_left_is_right() {
        assert_eq!(check(Teardown::default()), None);
    }

    #[test]
    fn each_thing_left_is_named() {
        let left = Teardown { pins: 3, anon_pages: 0, shmem_pages: -1 };
        let finding = check(left).unwrap();
        assert_eq!(finding.seen, "pins 3, shmem_pages -1");
        assert_eq!(finding.class, "pins.more-shmem_pages.less");
    }
}
