//! The MRs of a sequence, by slot.

use std::io;

use pinfold_contract::{Access, MR_SLOTS, Mr, Pd, RegCall, Rereg, Sge, Span};
use rdma_sys as ffi;

use super::commands::{self, Wanted};
use super::{Domains, Keys};

/// What is known of an MR, also after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// What peers use as the address of its first byte.
    pub(crate) iova: u64,
    /// Its length in bytes.
    pub(crate) len_bytes: u64,
    /// Its keys.
    pub(crate) keys: Keys,
    /// Its protection domain.
    pub(crate) pd: Pd,
    /// The MR itself, while it lives.
    live: Option<Live>,
}

/// An MR that lives, by who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Live {
    /// The library, which knows it.
    Library(*mut ffi::ibv_mr),
    /// A command without the library: its handle.
    Command(u32),
}

// SAFETY: the library's object is used by one thread at a time: by the one that
// registers, which ends with that, and then by the one that drives.
unsafe impl Send for Region {}

/// A registration that was not done yet. Another thread may do it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration {
    domain: *mut ffi::ibv_pd,
    pd: Pd,
    span: Span,
    access: Access,
    call: RegCall,
}

// SAFETY: the domain lives as long as the process, nobody changes it, and
// libibverbs may be called from any thread.
unsafe impl Send for Registration {}

impl Registration {
    /// Does it.
    pub(crate) fn run(self) -> io::Result<Region> {
        let (address, len_bytes) = (self.span.start.address(), self.span.len_bytes);
        let iova = self.call.iova().unwrap_or(address);
        let (live, keys) = match self.call {
            RegCall::Legacy | RegCall::Iova2 { .. } => {
                let raw = self.through_library(address, len_bytes, iova)?;
                (Live::Library(raw), keys_of(raw))
            }
            RegCall::Raw { .. } => {
                // SAFETY: domain and context live as long as the process.
                let (fd, domain) =
                    unsafe { ((*(*self.domain).context).cmd_fd, (*self.domain).handle) };
                let wanted = Wanted { address, len_bytes, iova, access: self.access.0, domain };
                let (handle, keys) = commands::register(fd, wanted)?;
                (Live::Command(handle), keys)
            }
        };
        Ok(Region { iova, len_bytes, keys, pd: self.pd, live: Some(live) })
    }

    /// By the symbol `ibv_reg_mr`, or by what C's macro of that name makes of it
    /// when the access flags are not a constant: `ibv_reg_mr_iova2()`. That one
    /// drops the optional flags (bits 20 to 29) on a kernel without
    /// `IB_UVERBS_CORE_SUPPORT_OPTIONAL_MR_ACCESS`; all others go to the kernel as they are.
    fn through_library(
        self,
        address: u64,
        len_bytes: u64,
        iova: u64,
    ) -> io::Result<*mut ffi::ibv_mr> {
        let at = std::ptr::with_exposed_provenance_mut(
            usize::try_from(address).expect("64-bit addresses"),
        );
        let len = usize::try_from(len_bytes).expect("64-bit lengths");
        let access = self.access.0;
        // SAFETY: the range may be anything: the kernel checks it. What peers may
        // write to is the bounce buffer or the arena, in which no Rust object lies.
        let raw = unsafe {
            if self.call == RegCall::Legacy {
                ffi::ibv_reg_mr(self.domain, at, len, access.cast_signed())
            } else {
                ffi::ibv_reg_mr_iova2(self.domain, at, len, iova, access)
            }
        };
        if raw.is_null() { Err(io::Error::last_os_error()) } else { Ok(raw) }
    }
}

/// The slots for MRs.
#[derive(Debug)]
pub(crate) struct Regions {
    domains: Domains,
    slots: Vec<Option<Region>>,
}

impl Regions {
    /// None yet, in the protection domains `domains`.
    pub(super) fn new(domains: Domains) -> Regions {
        Regions { domains, slots: vec![None; MR_SLOTS] }
    }

    /// A registration, to be done.
    pub(crate) fn registration(
        &self,
        span: Span,
        access: Access,
        pd: Pd,
        call: RegCall,
    ) -> Registration {
        Registration { domain: self.domains[pd.index()], pd, span, access, call }
    }

    /// Puts an MR that was registered into the free slot `mr`.
    pub(crate) fn keep(&mut self, mr: Mr, region: Region) {
        self.slots[mr.index()] = Some(region);
    }

    /// Deregisters the MR of `mr`, whose slot remembers it. Nothing if there is none.
    pub(crate) fn deregister(&mut self, mr: Mr) -> Option<io::Result<()>> {
        let fd = self.fd(mr)?;
        let region = self.slots[mr.index()].as_mut()?;
        let result = match region.live? {
            // SAFETY: the MR lives, as its slot says.
            Live::Library(raw) => match unsafe { ffi::ibv_dereg_mr(raw) } {
                0 => Ok(()),
                error => Err(io::Error::from_raw_os_error(error)),
            },
            Live::Command(handle) => commands::deregister(fd, handle),
        };
        if result.is_ok() {
            region.live = None;
        }
        Some(result)
    }

    /// Changes the MR of `mr` as `what` says. Nothing if there is none.
    pub(crate) fn reregister(
        &mut self,
        mr: Mr,
        what: Rereg,
        span: Span,
        access: Access,
        pd: Pd,
    ) -> Option<io::Result<()>> {
        let fd = self.fd(mr)?;
        // SAFETY: the domain lives as long as the process.
        let domain = unsafe { (*self.domains[pd.index()]).handle };
        let region = self.slots[mr.index()].as_mut()?;
        let handle = match region.live? {
            // SAFETY: the MR lives, as its slot says.
            Live::Library(raw) => unsafe { (*raw).handle },
            Live::Command(handle) => handle,
        };
        let (address, len_bytes) = (span.start.address(), span.len_bytes);
        let wanted = Wanted { address, len_bytes, iova: address, access: access.0, domain };
        Some(commands::reregister(fd, handle, what.0, wanted).map(|keys| {
            region.keys = keys;
            region.changed(what, span, pd);
        }))
    }

    /// The descriptor of the device, if `mr` holds an MR that lives.
    fn fd(&self, mr: Mr) -> Option<i32> {
        let region = self.slots[mr.index()].filter(|region| region.live.is_some())?;
        // SAFETY: domain and context live as long as the process.
        Some(unsafe { (*(*self.domains[region.pd.index()]).context).cmd_fd })
    }

    /// Whether `mr` holds an MR that lives.
    pub(crate) fn is_taken(&self, mr: Mr) -> bool {
        self.slots[mr.index()].is_some_and(|region| region.live.is_some())
    }

    /// The MRs that live, by ascending slot.
    pub(crate) fn live(&self) -> impl Iterator<Item = (Mr, Region)> {
        (0..=u8::MAX).map(Mr).zip(&self.slots).filter_map(|(mr, slot)| {
            let region = (*slot)?;
            region.live.is_some().then_some((mr, region))
        })
    }

    /// What is known of the MR of `mr`, dead or alive. Nothing if the slot never held one.
    pub(super) fn get(&self, mr: Mr) -> Option<Region> {
        self.slots[mr.index()]
    }

    /// An entry of a scatter/gather list for the library. Nothing if its slot never held an MR.
    pub(super) fn entry(&self, sge: Sge) -> Option<ffi::ibv_sge> {
        let region = self.get(sge.mr)?;
        let addr = region.at(sge.offset);
        Some(ffi::ibv_sge { addr, length: sge.len_bytes, lkey: region.keys.local })
    }
}

impl Region {
    /// The address that peers use for the byte at `offset`.
    pub(super) fn at(&self, offset: i32) -> u64 {
        self.iova.wrapping_add_signed(i64::from(offset))
    }

    /// Takes note that the bits of `what` were changed.
    fn changed(&mut self, what: Rereg, span: Span, pd: Pd) {
        if what.has(Rereg::TRANS) {
            self.iova = span.start.address();
            self.len_bytes = span.len_bytes;
        }
        if what.has(Rereg::PD) {
            self.pd = pd;
        }
    }
}

/// The keys of an MR of the library.
fn keys_of(raw: *mut ffi::ibv_mr) -> Keys {
    // SAFETY: the MR was registered just now.
    unsafe { Keys { local: (*raw).lkey, remote: (*raw).rkey } }
}

#[cfg(test)]
pub(super) mod tests {
    use pinfold_contract::Position;

    use super::*;

    pub(in super::super) const IOVA: u64 = 0x1000;

    /// Slots with MRs of these remote keys, dead or alive, whose local keys are one more.
    pub(in super::super) fn regions(remote_keys: &[(u8, u32, bool)]) -> Regions {
        let mut regions = Regions::new([std::ptr::null_mut(); 2]);
        for &(slot, remote, lives) in remote_keys {
            regions.slots[usize::from(slot)] = Some(Region {
                iova: IOVA,
                len_bytes: 4096,
                keys: Keys { local: remote + 1, remote },
                pd: Pd::FIRST,
                live: lives.then_some(Live::Command(0)),
            });
        }
        regions
    }

    #[test]
    fn an_entry_needs_a_slot_that_once_held_an_mr() {
        let regions = regions(&[(1, 0x5678, false)]);
        let entry = regions.entry(Sge { mr: Mr(1), offset: -1, len_bytes: 0 }).unwrap();
        assert_eq!((entry.addr, entry.length, entry.lkey), (IOVA - 1, 0, 0x5679));
        assert!(regions.entry(Sge { mr: Mr(0), offset: 0, len_bytes: 8 }).is_none());
    }

    #[test]
    fn addresses_go_around_the_end() {
        let mut region = regions(&[(0, 1, true)]).get(Mr(0)).unwrap();
        region.iova = u64::MAX;
        assert_eq!(region.at(2), 1);
    }

    #[test]
    fn only_live_mrs_take_their_slot() {
        let mut regions = regions(&[(3, 1, true), (1, 2, false), (255, 3, true)]);
        assert!(regions.is_taken(Mr(3)) && !regions.is_taken(Mr(1)) && !regions.is_taken(Mr(0)));
        let live: Vec<Mr> = regions.live().map(|(mr, _)| mr).collect();
        assert_eq!(live, [Mr(3), Mr(255)]);
        assert!(regions.deregister(Mr(1)).is_none() && regions.deregister(Mr(0)).is_none());
    }

    #[test]
    fn a_reregistration_changes_what_its_bits_say() {
        let mut region = regions(&[(0, 1, true)]).get(Mr(0)).unwrap();
        let before = region;
        let span = Span { start: Position::page(2), len_bytes: 7 };
        let other = Pd::new(1).unwrap();
        region.changed(Rereg::ACCESS, span, other);
        assert_eq!(region, before);
        region.changed(Rereg::PD, span, other);
        assert_eq!(region, Region { pd: other, ..before });
        region.changed(Rereg::TRANS, span, Pd::FIRST);
        let (iova, len_bytes) = (Position::page(2).address(), 7);
        assert_eq!(region, Region { pd: other, iova, len_bytes, ..before });
    }
}
