//! Faults that can be planted in the model when it plays the target.

use std::fmt;

/// A bug put into the model on purpose, to show that an oracle sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A read-only registration pins the zero page and private file pages as they are.
    StaleReadOnlyPin,
    /// Fork shares pinned pages with the child instead of copying them.
    ForkSharesPinned,
    /// A CPU write to a page shared after fork copies it even when nobody else has it any more.
    CopyOfSolePage,
    /// Deregistration leaves its pages in VmPin.
    VmPinKept,
    /// Deregistration leaves one page pinned until the process ends.
    PinLeak,
    /// Leaving pages pinned for good when a process exits with a live MR.
    TeardownLeak,
    /// RLIMIT_MEMLOCK is not looked at.
    LimitIgnored,
    /// A remote write needs no REMOTE_WRITE.
    WriteRightIgnored,
    /// A remote read past the end of an MR by up to a page is let through.
    RangeOffByOne,
    /// A wrong key with the right index is accepted.
    KeyIgnored,
    /// A writable registration of memory that the process may not write is accepted.
    WritableOverReadOnly,
    /// A remote write of more than a page loses its last byte.
    ShortRemoteWrite,
    /// Registering a page twice logs a warning.
    WarnOnOverlap,
}

impl Fault {
    /// Every fault, with the name it has on the command line.
    pub const ALL: [(Fault, &'static str); 13] = [
        (Fault::StaleReadOnlyPin, "stale_read_only_pin"),
        (Fault::ForkSharesPinned, "fork_shares_pinned"),
        (Fault::CopyOfSolePage, "copy_of_sole_page"),
        (Fault::VmPinKept, "vm_pin_kept"),
        (Fault::PinLeak, "pin_leak"),
        (Fault::TeardownLeak, "teardown_leak"),
        (Fault::LimitIgnored, "limit_ignored"),
        (Fault::WriteRightIgnored, "write_right_ignored"),
        (Fault::RangeOffByOne, "range_off_by_one"),
        (Fault::KeyIgnored, "key_ignored"),
        (Fault::WritableOverReadOnly, "writable_over_read_only"),
        (Fault::ShortRemoteWrite, "short_remote_write"),
        (Fault::WarnOnOverlap, "warn_on_overlap"),
    ];

    /// The fault with this name.
    pub fn from_name(name: &str) -> Option<Fault> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(fault, _)| *fault)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(fault, _)| *fault == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
