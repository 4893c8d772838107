//! Entries of `/proc/PID/pagemap`.
//!
//! Source: `Documentation/admin-guide/mm/pagemap.rst`, 6.1, 6.12 and 7.3.

/// Size of an entry, in bytes.
pub(crate) const ENTRY_BYTES: usize = 8;

/// What is known of one page of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(u64);

impl Entry {
    /// Reads an entry as the kernel writes it.
    pub(crate) fn from_bytes(bytes: [u8; ENTRY_BYTES]) -> Entry {
        Entry(u64::from_ne_bytes(bytes))
    }

    /// Bit 63: the page is in memory.
    pub(crate) fn present(self) -> bool {
        self.0 & 1 << 63 != 0
    }

    /// Bit 61: a page of a file or of shared anonymous memory.
    pub(crate) fn file_or_shared(self) -> bool {
        self.0 & 1 << 61 != 0
    }

    /// Bit 58: a guard, which is never present, and has bit 62 as a page in swap space has. Zero in kernels without guards.
    pub(crate) fn guard(self) -> bool {
        self.0 & 1 << 58 != 0
    }

    /// Bit 56: no other page table entry maps it.
    pub(crate) fn exclusively_mapped(self) -> bool {
        self.0 & 1 << 56 != 0
    }

    /// Bits 0 to 54: the page frame number. Zero without CAP_SYS_ADMIN.
    pub(crate) fn frame(self) -> u64 {
        self.0 & ((1 << 55) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_where_the_kernel_puts_them() {
        let entry = Entry::from_bytes(0xa100_0000_0001_2345_u64.to_ne_bytes());
        assert!(entry.present() && entry.file_or_shared() && entry.exclusively_mapped());
        assert_eq!(entry.frame(), 0x12345);
        let absent = Entry::from_bytes(0x4080_0000_0000_0001_u64.to_ne_bytes());
        assert!(!absent.present() && !absent.file_or_shared() && !absent.exclusively_mapped());
        assert_eq!(absent.frame(), 1);
        let guard = Entry::from_bytes(0x4400_0000_0000_0000_u64.to_ne_bytes());
        assert!(guard.guard() && !guard.present() && !absent.guard() && !entry.guard());
    }
}
