//! The MRs of a sequence, by slot.

use std::io;

use pinfold_contract::{Access, ByteRange, Key, MR_SLOTS, Mr};
use rdma_sys as ffi;

use super::Keys;
use crate::memory::Buffer;

/// What is known of an MR, also after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// Address of its first byte.
    pub(crate) address: u64,
    /// Its length in bytes.
    pub(crate) len_bytes: u32,
    /// Its keys.
    pub(crate) keys: Keys,
    /// The MR itself, while it lives.
    raw: Option<*mut ffi::ibv_mr>,
}

/// The slots for MRs.
#[derive(Debug)]
pub(crate) struct Regions {
    domain: *mut ffi::ibv_pd,
    slots: Vec<Option<Region>>,
}

impl Regions {
    /// None yet, in the protection domain `domain`.
    pub(super) fn new(domain: *mut ffi::ibv_pd) -> Regions {
        Regions { domain, slots: vec![None; MR_SLOTS] }
    }

    /// Registers the executor's own buffer, which takes no slot.
    pub(super) fn register_bounce(&self, bounce: &Buffer) -> io::Result<Keys> {
        let rights = Access::LOCAL_WRITE.with(Access::REMOTE_WRITE).with(Access::REMOTE_READ);
        let raw = self.register_raw(bounce.address(), bounce.bytes().len(), rights)?;
        Ok(keys_of(raw))
    }

    /// Registers `range` in the free slot `mr`.
    pub(crate) fn register(&mut self, mr: Mr, range: ByteRange, access: Access) -> io::Result<()> {
        let (address, len_bytes) = (range.start().address(), range.len_bytes());
        let raw = self.register_raw(address, len_bytes as usize, access)?;
        self.slots[mr.index()] =
            Some(Region { address, len_bytes, keys: keys_of(raw), raw: Some(raw) });
        Ok(())
    }

    /// What C's `ibv_reg_mr()` does when the access flags are not a constant:
    /// `ibv_reg_mr_iova2()` with the virtual address as the one that peers use.
    /// It drops the optional flags (bits 20 to 29) on a kernel without
    /// `IB_UVERBS_CORE_SUPPORT_OPTIONAL_MR_ACCESS`; all others go to the kernel as they are.
    fn register_raw(
        &self,
        address: u64,
        len_bytes: usize,
        access: Access,
    ) -> io::Result<*mut ffi::ibv_mr> {
        let at = std::ptr::with_exposed_provenance_mut(
            usize::try_from(address).expect("64-bit addresses"),
        );
        // SAFETY: the range may be anything: the kernel checks it. What peers may
        // write to is the bounce buffer or the arena, in which no Rust object lies.
        let raw = unsafe { ffi::ibv_reg_mr_iova2(self.domain, at, len_bytes, address, access.0) };
        if raw.is_null() { Err(io::Error::last_os_error()) } else { Ok(raw) }
    }

    /// Deregisters the MR of `mr`, whose slot remembers it. Nothing if there is none.
    pub(crate) fn deregister(&mut self, mr: Mr) -> Option<io::Result<()>> {
        let region = self.slots[mr.index()].as_mut()?;
        let raw = region.raw?;
        // SAFETY: the MR lives, as its slot says.
        Some(match unsafe { ffi::ibv_dereg_mr(raw) } {
            0 => {
                region.raw = None;
                Ok(())
            }
            error => Err(io::Error::from_raw_os_error(error)),
        })
    }

    /// Whether `mr` holds an MR that lives.
    pub(crate) fn is_taken(&self, mr: Mr) -> bool {
        self.slots[mr.index()].is_some_and(|region| region.raw.is_some())
    }

    /// The MRs that live, by ascending slot.
    pub(crate) fn live(&self) -> impl Iterator<Item = (Mr, Region)> {
        (0..=u8::MAX).map(Mr).zip(&self.slots).filter_map(|(mr, slot)| {
            let region = (*slot)?;
            region.raw.is_some().then_some((mr, region))
        })
    }

    /// Address and key of a remote op on `mr`, dead or alive. Nothing if a slot never held an MR.
    pub(crate) fn target(&self, mr: Mr, offset: i32, key: Key) -> Option<(u64, u32)> {
        let region = self.slots[mr.index()]?;
        let rkey = match key {
            Key::Own => region.keys.remote,
            Key::Stale => region.keys.remote ^ 0xff,
            Key::Of(other) => self.slots[other.index()]?.keys.remote,
        };
        Some((region.address.wrapping_add_signed(i64::from(offset)), rkey))
    }
}

fn keys_of(raw: *mut ffi::ibv_mr) -> Keys {
    // SAFETY: the MR was registered just now.
    unsafe { Keys { local: (*raw).lkey, remote: (*raw).rkey } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: u64 = 0x1000;

    fn regions(remote_keys: &[(u8, u32, bool)]) -> Regions {
        let mut regions = Regions::new(std::ptr::null_mut());
        for &(slot, remote, lives) in remote_keys {
            regions.slots[usize::from(slot)] = Some(Region {
                address: ADDRESS,
                len_bytes: 4096,
                keys: Keys { local: 1, remote },
                raw: lives.then_some(std::ptr::dangling_mut()),
            });
        }
        regions
    }

    #[test]
    fn a_remote_op_needs_a_slot_that_once_held_an_mr() {
        let regions = regions(&[(0, 0x1234, true), (1, 0x5678, false)]);
        assert_eq!(regions.target(Mr(0), 8, Key::Own), Some((ADDRESS + 8, 0x1234)));
        assert_eq!(regions.target(Mr(1), -1, Key::Own), Some((ADDRESS - 1, 0x5678)));
        assert_eq!(regions.target(Mr(0), 0, Key::Of(Mr(1))), Some((ADDRESS, 0x5678)));
        assert_eq!(regions.target(Mr(0), 0, Key::Of(Mr(2))), None);
        assert_eq!(regions.target(Mr(2), 0, Key::Of(Mr(0))), None);
    }

    #[test]
    fn a_stale_key_differs_in_its_low_byte() {
        let regions = regions(&[(0, 0x1234, true), (1, 0, true)]);
        assert_eq!(regions.target(Mr(0), 0, Key::Stale), Some((ADDRESS, 0x12cb)));
        assert_eq!(regions.target(Mr(1), 0, Key::Stale), Some((ADDRESS, 0xff)));
    }

    #[test]
    fn only_live_mrs_take_their_slot() {
        let mut regions = regions(&[(3, 1, true), (1, 2, false), (255, 3, true)]);
        assert!(regions.is_taken(Mr(3)) && !regions.is_taken(Mr(1)) && !regions.is_taken(Mr(0)));
        let live: Vec<Mr> = regions.live().map(|(mr, _)| mr).collect();
        assert_eq!(live, [Mr(3), Mr(255)]);
        assert!(regions.deregister(Mr(1)).is_none() && regions.deregister(Mr(0)).is_none());
    }
}
