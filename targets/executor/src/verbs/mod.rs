//! Real verbs, through `rdma-sys`.

mod context;
mod device;
#[cfg(test)]
mod layout;
mod pair;
mod regions;

pub(crate) use device::Device;
pub(crate) use regions::Regions;

use std::io;

use pinfold_contract::{Outcome, Runs, WcStatus};
use rdma_sys as ffi;

use crate::failure::{Doing, Failure};
use crate::memory::Buffer;
use crate::runs;
use pair::{Pair, Verb, Work};

/// What the bounce buffer holds before an RDMA read: what no read has brought.
const SENTINEL: u8 = 0xee;

/// The verbs objects of `p0`: they live until it exits, and its exit frees them.
#[derive(Debug)]
pub(crate) struct Rdma {
    pair: Pair,
    regions: Regions,
    bounce: Buffer,
    bounce_key: Keys,
}

/// The two keys of an MR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// For work requests of this side.
    pub(crate) local: u32,
    /// For those of the peer.
    pub(crate) remote: u32,
}

impl Rdma {
    /// Opens `device`, connects two queue pairs and registers `bounce`.
    pub(crate) fn open(device: Device, bounce: Buffer) -> Result<Rdma, Failure> {
        let context = device.open()?;
        // SAFETY: `context` is an open device.
        let domain = unsafe { ffi::ibv_alloc_pd(context) };
        if domain.is_null() {
            return Err(io::Error::last_os_error()).doing("allocate a protection domain");
        }
        let pair = Pair::connect(context, domain, device.route())?;
        let regions = Regions::new(domain);
        let bounce_key = regions.register_bounce(&bounce).doing("register the bounce buffer")?;
        Ok(Rdma { pair, regions, bounce, bounce_key })
    }

    /// The MRs of the sequence.
    pub(crate) fn regions(&mut self) -> &mut Regions {
        &mut self.regions
    }

    /// RDMA read of `len_bytes` bytes at `address` with `rkey`.
    pub(crate) fn read(
        &mut self,
        address: u64,
        rkey: u32,
        len_bytes: u32,
    ) -> Result<Outcome, Failure> {
        self.room(len_bytes)?.fill(SENTINEL);
        let local_key = self.bounce_key.local;
        let work =
            Work { local: self.bounce.address(), local_key, remote: address, rkey, len_bytes };
        Ok(match self.pair.execute(Verb::Read, work)? {
            WcStatus::SUCCESS => Outcome::Value(runs::of(self.room(len_bytes)?)),
            status => Outcome::Completion(status),
        })
    }

    /// RDMA write of `tag` to `len_bytes` bytes at `address` with `rkey`.
    pub(crate) fn write(
        &mut self,
        address: u64,
        rkey: u32,
        len_bytes: u32,
        tag: u8,
    ) -> Result<Outcome, Failure> {
        self.room(len_bytes)?.fill(tag);
        let local_key = self.bounce_key.local;
        let work =
            Work { local: self.bounce.address(), local_key, remote: address, rkey, len_bytes };
        Ok(match self.pair.execute(Verb::Write, work)? {
            WcStatus::SUCCESS => Outcome::Done,
            status => Outcome::Completion(status),
        })
    }

    /// The bytes of an MR as the adapter sees them, gathered through its local
    /// key. That needs no right of the MR, and touches no page table.
    pub(crate) fn gather(
        &mut self,
        address: u64,
        lkey: u32,
        len_bytes: u32,
    ) -> Result<Result<Runs, WcStatus>, Failure> {
        self.room(len_bytes)?.fill(SENTINEL);
        let (remote, rkey) = (self.bounce.address(), self.bounce_key.remote);
        let work = Work { local: address, local_key: lkey, remote, rkey, len_bytes };
        Ok(match self.pair.execute(Verb::Write, work)? {
            WcStatus::SUCCESS => Ok(runs::of(self.room(len_bytes)?)),
            status => Err(status),
        })
    }

    /// The first `len_bytes` bytes of the bounce buffer.
    fn room(&mut self, len_bytes: u32) -> Result<&mut [u8], Failure> {
        self.bounce
            .bytes_mut()
            .get_mut(..len_bytes as usize)
            .ok_or_else(|| Failure::State(format!("{len_bytes} bytes are more than the arena has")))
    }
}
