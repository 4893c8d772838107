//! The memory windows of a sequence, by slot.

use std::io;

use pinfold_contract::{MW_SLOTS, Mw, MwKind};
use rdma_sys as ffi;

/// What is known of a window, also after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Which type.
    pub(super) kind: MwKind,
    /// Its newest key.
    pub(super) key: u32,
    /// The key before that, if there was one.
    pub(super) old_key: Option<u32>,
    /// The window itself, while it lives.
    raw: Option<*mut ffi::ibv_mw>,
}

/// The slots for windows.
#[derive(Debug)]
pub(super) struct Windows {
    slots: [Option<Window>; MW_SLOTS as usize],
}

impl Windows {
    /// None yet.
    pub(super) fn new() -> Windows {
        Windows { slots: [None; MW_SLOTS as usize] }
    }

    /// Whether `mw` holds a window that lives.
    pub(super) fn is_taken(&self, mw: Mw) -> bool {
        self.live(mw).is_some()
    }

    /// Allocates a window in the free slot `mw`, of the protection domain `domain`.
    pub(super) fn allocate(
        &mut self,
        mw: Mw,
        kind: MwKind,
        domain: *mut ffi::ibv_pd,
    ) -> io::Result<()> {
        let number = match kind {
            MwKind::Type1 => ffi::ibv_mw_type::IBV_MW_TYPE_1,
            MwKind::Type2 => ffi::ibv_mw_type::IBV_MW_TYPE_2,
        };
        // SAFETY: the protection domain lives until the process ends.
        let raw = unsafe { ffi::ibv_alloc_mw(domain, number) };
        let raw = raw.filter(|raw| !raw.is_null()).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the window was made just now.
        let key = unsafe { (*raw).rkey };
        self.slots[mw.index()] = Some(Window { kind, key, old_key: None, raw: Some(raw) });
        Ok(())
    }

    /// Frees the window of `mw`, whose slot remembers it. Nothing if there is none.
    pub(super) fn free(&mut self, mw: Mw) -> Option<io::Result<()>> {
        let window = self.slots[mw.index()].as_mut()?;
        let raw = window.raw?;
        // SAFETY: the window lives, as its slot says.
        Some(match unsafe { ffi::ibv_dealloc_mw(raw) } {
            0 => {
                window.raw = None;
                Ok(())
            }
            error => Err(io::Error::from_raw_os_error(error.saturating_abs())),
        })
    }

    /// The window that lives in `mw`, with what it is for the library.
    pub(super) fn live(&self, mw: Mw) -> Option<(Window, *mut ffi::ibv_mw)> {
        let window = self.slots[mw.index()]?;
        Some((window, window.raw?))
    }

    /// The newest key of `mw`, dead or alive. Nothing if the slot never held a window.
    pub(super) fn key(&self, mw: Mw) -> Option<u32> {
        Some(self.slots[mw.index()]?.key)
    }

    /// The key before that. Nothing if there was none.
    pub(super) fn old_key(&self, mw: Mw) -> Option<u32> {
        self.slots[mw.index()]?.old_key
    }

    /// Takes note that the window of `mw` was bound and has the key `bound` now, or
    /// that it could not be bound. The library has its key from here: it goes on to
    /// the next one before a window is bound, and keeps that if it never is.
    pub(super) fn settle(&mut self, mw: Mw, bound: Option<u32>) {
        let Some(window) = &mut self.slots[mw.index()] else { return };
        if let Some(key) = bound {
            window.old_key = Some(window.key);
            window.key = key;
        }
        if let Some(raw) = window.raw {
            // SAFETY: the window lives, as its slot says.
            unsafe { (*raw).rkey = window.key };
        }
    }
}

/// The key after `key`: C's `ibv_inc_rkey()`. That of `rdma_sys` 0.3.0 overflows at the last key of all.
pub(super) fn next_key(key: u32) -> u32 {
    (key & !0xff) | (key.wrapping_add(1) & 0xff)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Slots with dead windows of these keys, the newest and the one before.
    pub(in super::super) fn windows(keys: &[(u8, u32, Option<u32>)]) -> Windows {
        let mut windows = Windows::new();
        for &(index, key, old_key) in keys {
            let window = Window { kind: MwKind::Type2, key, old_key, raw: None };
            windows.slots[usize::from(index)] = Some(window);
        }
        windows
    }

    fn slot(index: u8) -> Mw {
        Mw::new(index).unwrap()
    }

    #[test]
    fn the_next_key_stays_with_its_window() {
        assert_eq!(next_key(0x1234), 0x1235);
        assert_eq!(next_key(0x12ff), 0x1200);
        assert_eq!(next_key(u32::MAX), 0xffff_ff00);
    }

    #[test]
    fn a_window_that_is_bound_remembers_the_key_before() {
        // SAFETY: all zeroes is a valid value: null pointers and numbers.
        let mut inner: ffi::ibv_mw = unsafe { std::mem::zeroed() };
        let raw = &raw mut inner;
        let mut windows = Windows::new();
        let window = Window { kind: MwKind::Type1, key: 0x101, old_key: None, raw: Some(raw) };
        windows.slots[3] = Some(window);
        // SAFETY: `inner` lives.
        unsafe { (*raw).rkey = 0x102 };
        windows.settle(slot(3), None);
        assert_eq!((windows.key(slot(3)), windows.old_key(slot(3))), (Some(0x101), None));
        // SAFETY: as above.
        assert_eq!(unsafe { (*raw).rkey }, 0x101, "what the library did is undone");
        windows.settle(slot(3), Some(0x102));
        assert_eq!((windows.key(slot(3)), windows.old_key(slot(3))), (Some(0x102), Some(0x101)));
        // SAFETY: as above.
        assert_eq!(unsafe { (*raw).rkey }, 0x102);
    }

    #[test]
    fn a_dead_window_keeps_its_keys_and_frees_its_slot() {
        let mut windows = windows(&[(0, 2, Some(1))]);
        assert!(!windows.is_taken(slot(0)) && windows.free(slot(0)).is_none());
        assert_eq!((windows.key(slot(0)), windows.old_key(slot(0))), (Some(2), Some(1)));
        assert_eq!((windows.key(slot(1)), windows.old_key(slot(1))), (None, None));
    }
}
