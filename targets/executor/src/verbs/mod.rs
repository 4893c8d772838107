//! Real verbs, through `rdma-sys`.

mod commands;
mod completions;
mod context;
mod device;
#[cfg(test)]
mod layout;
mod pair;
mod regions;
mod requests;
mod windows;

pub(crate) use device::Device;
pub(crate) use regions::{Region, Regions, Registration};

use std::io;

use pinfold_contract::{
    Access, Arg, Completion, Handle, Key, KeyName, MR_SLOTS, MW_SLOTS, Mr, Mw, MwKind, Op, Outcome,
    PD_COUNT, Pd, Runs, Sequence, Sges, Target, WcStatus,
};
use rdma_sys as ffi;

use crate::child::{errno, outcome};
use crate::failure::{Doing, Failure};
use crate::memory::Buffer;
use crate::runs;
use pair::{Exchange, Pair};
use requests::{Binding, Place, Request};
use windows::{Windows, next_key};

/// What the bounce buffer holds before an RDMA read: what no read has brought.
const SENTINEL: u8 = 0xee;

/// Bytes of an atomic op.
const ATOMIC_BYTES: u32 = 8;

/// The protection domains, by number.
type Domains = [*mut ffi::ibv_pd; PD_COUNT as usize];

/// What a protection domain has of its own.
#[derive(Debug)]
struct Lane {
    /// Two queue pairs, where the sequence names them.
    pair: Option<Pair>,
    /// Keys of the bounce buffer.
    bounce: Keys,
}

impl Lane {
    /// The queue pairs.
    fn pair(&mut self) -> Result<&mut Pair, Failure> {
        let missing = || Failure::State("queue pairs that the sequence does not name".to_owned());
        self.pair.as_mut().ok_or_else(missing)
    }

    /// Executes a request.
    ///
    /// A read of many packets that fails in its midst leaves the queue pair, reset or
    /// not, where only the next packet of an answer or an answer of one packet may
    /// follow. So after one that failed there is such an answer.
    ///
    /// Source: `check_ack()` and `complete_wqe()`, rxe_comp.c, `rxe_qp_reset()`,
    /// rxe_qp.c, 6.1 and 6.12: the latter does not touch `comp.opcode`.
    fn execute(
        &mut self,
        request: Request,
        list: &mut [ffi::ibv_sge],
        bounce: u64,
    ) -> Result<WcStatus, Failure> {
        let status = self.pair()?.execute(request, list)?;
        let completed_count = self.pair()?.completed_count();
        if status != WcStatus::SUCCESS
            && let Request::Read(_) = request
        {
            let place = Place { address: bounce, rkey: self.bounce.remote };
            let entry = ffi::ibv_sge { addr: bounce, length: 1, lkey: self.bounce.local };
            let again = self.pair()?.execute(Request::Read(place), &mut [entry])?;
            if again != WcStatus::SUCCESS {
                return Err(Failure::State(format!("the bounce buffer cannot be read: {again}")));
            }
            self.pair()?.forget_completed_behind(completed_count);
        }
        Ok(status)
    }
}

/// The verbs objects of `p0`: they live until it exits, and its exit frees them.
#[derive(Debug)]
pub(crate) struct Rdma {
    domains: Domains,
    lanes: Vec<Lane>,
    regions: Regions,
    windows: Windows,
    bounce: Buffer,
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
    /// Opens `device`. In each protection domain it registers `bounce`, and connects two queue
    /// pairs if `sequence` names it. Whether there are any cannot be seen by who does not.
    pub(crate) fn open(
        device: Device,
        bounce: Buffer,
        sequence: &Sequence,
    ) -> Result<Rdma, Failure> {
        let context = device.open()?;
        let mut domains: Domains = [std::ptr::null_mut(); PD_COUNT as usize];
        let mut lanes = Vec::with_capacity(domains.len());
        for (domain, is_named) in domains.iter_mut().zip(named(sequence)) {
            // SAFETY: `context` is an open device.
            *domain = unsafe { ffi::ibv_alloc_pd(context) };
            if domain.is_null() {
                return Err(io::Error::last_os_error()).doing("allocate a protection domain");
            }
            let connect = || Pair::connect(context, *domain, device.route());
            let pair = is_named.then(connect).transpose()?;
            let bounce = register_bounce(*domain, &bounce).doing("register the bounce buffer")?;
            lanes.push(Lane { pair, bounce });
        }
        let regions = Regions::new(domains);
        Ok(Rdma { domains, lanes, regions, windows: Windows::new(), bounce })
    }

    /// The MRs of the sequence.
    pub(crate) fn regions(&mut self) -> &mut Regions {
        &mut self.regions
    }

    /// Allocates a window.
    pub(crate) fn allocate_window(&mut self, mw: Mw, kind: MwKind, pd: Pd) -> Outcome {
        if self.windows.is_taken(mw) {
            return Outcome::Skipped;
        }
        outcome(self.windows.allocate(mw, kind, self.domains[pd.index()]))
    }

    /// Frees a window.
    pub(crate) fn free_window(&mut self, mw: Mw) -> Outcome {
        self.windows.free(mw).map_or(Outcome::Skipped, outcome)
    }

    /// Binds a window, at the side of the queue pairs of `qp` that responds.
    pub(crate) fn bind(
        &mut self,
        mw: Mw,
        (mr, offset, len_bytes): (Mr, i32, u32),
        access: Access,
        qp: Pd,
    ) -> Result<Outcome, Failure> {
        let (Some((window, raw)), Some(region)) = (self.windows.live(mw), self.regions.get(mr))
        else {
            return Ok(Outcome::Skipped);
        };
        let binding = Binding {
            domain: self.domains[region.pd.index()],
            lkey: region.keys.local,
            address: region.at(offset),
            len_bytes: len_bytes.into(),
            access: access.0,
        };
        let pair = self.lanes[qp.index()].pair()?;
        let next = next_key(window.key);
        // SAFETY: the window lives, and the slot knows its type.
        let ended = unsafe {
            match window.kind {
                MwKind::Type1 => pair.bind_type1(raw, binding)?,
                MwKind::Type2 => pair.bind_type2(raw, next, binding)?,
            }
        };
        let is_bound = matches!(ended, Ok(WcStatus::SUCCESS));
        self.windows.settle(mw, is_bound.then_some(next));
        Ok(match ended {
            Ok(status) => completed(status),
            Err(error) => Outcome::Errno(errno(&error)),
        })
    }

    /// Makes a key invalid, at the side of the queue pairs of `qp` that responds.
    pub(crate) fn invalidate(&mut self, handle: Handle, qp: Pd) -> Result<Outcome, Failure> {
        let Some(rkey) = self.key(handle) else { return Ok(Outcome::Skipped) };
        Ok(completed(self.lanes[qp.index()].pair()?.invalidate(rkey)?))
    }

    /// RDMA read of `len_bytes` bytes.
    pub(crate) fn read(&mut self, target: Target, len_bytes: u32) -> Result<Outcome, Failure> {
        self.fetch(target, len_bytes, Request::Read)
    }

    /// RDMA write of `tag` to `len_bytes` bytes.
    pub(crate) fn write(
        &mut self,
        target: Target,
        len_bytes: u32,
        tag: u8,
    ) -> Result<Outcome, Failure> {
        let Some(place) = self.place(target) else { return Ok(Outcome::Skipped) };
        self.room(len_bytes)?.fill(tag);
        self.execute(target.qp, Request::Write(place), len_bytes).map(completed)
    }

    /// Atomic compare-and-swap.
    pub(crate) fn compare_swap(
        &mut self,
        target: Target,
        expect: u64,
        swap: u64,
    ) -> Result<Outcome, Failure> {
        let request = |place| Request::CompareSwap { place, expect, swap };
        self.fetch(target, ATOMIC_BYTES, request)
    }

    /// Atomic fetch-and-add.
    pub(crate) fn fetch_add(&mut self, target: Target, add: u64) -> Result<Outcome, Failure> {
        self.fetch(target, ATOMIC_BYTES, |place| Request::FetchAdd { place, add })
    }

    /// A send from the side that requests, received at the one that responds.
    pub(crate) fn send(
        &mut self,
        from: Sges,
        to: Sges,
        invalidate: Option<Handle>,
        qp: Pd,
    ) -> Result<Outcome, Failure> {
        let request = match invalidate {
            None => Some(Request::Send),
            Some(handle) => self.key(handle).map(Request::SendInvalidating),
        };
        let (Some(request), Some(mut from), Some(mut to)) =
            (request, self.list(from), self.list(to))
        else {
            return Ok(Outcome::Skipped);
        };
        let pair = self.lanes[qp.index()].pair()?;
        let Exchange { requester, responder } = pair.exchange(request, &mut from, &mut to)?;
        Ok(match (requester, responder) {
            (WcStatus::SUCCESS, Some(WcStatus::SUCCESS)) => Outcome::Done,
            _ => Outcome::Completions { requester, responder },
        })
    }

    /// RDMA write from a list.
    pub(crate) fn gather(&mut self, from: Sges, target: Target) -> Result<Outcome, Failure> {
        self.listed(from, target, Request::Write)
    }

    /// RDMA read into a list.
    pub(crate) fn scatter(&mut self, target: Target, into: Sges) -> Result<Outcome, Failure> {
        self.listed(into, target, Request::Read)
    }

    /// What the completions contain that came since this was asked last. `op` is what they came of.
    pub(crate) fn take_completions(&mut self, op: Op) -> Vec<Completion> {
        let Rdma { lanes, regions, windows, .. } = self;
        let asked = invalidated_by(op);
        let name = |rkey| name_of(rkey, asked, regions, windows);
        let pairs = lanes.iter_mut().filter_map(|lane| lane.pair.as_mut());
        let polled = pairs.flat_map(Pair::take_completed);
        polled.map(|polled| polled.completion(name)).collect()
    }

    /// The bytes of an MR as the adapter sees them, written from its local key to
    /// the bounce buffer. That needs no right of the MR, and touches no page table.
    pub(crate) fn look(&mut self, region: Region) -> Result<Result<Runs, WcStatus>, Failure> {
        let mut bytes = Runs::default();
        let mut done = 0;
        // Huge pages are longer than the buffer.
        loop {
            let left = region.len_bytes - done;
            let part = left.min(self.bounce.bytes().len() as u64);
            let address = region.iova.wrapping_add(done);
            let status =
                self.look_at(region, address, u32::try_from(part).expect("a part of it"))?;
            if status != WcStatus::SUCCESS {
                return Ok(Err(status));
            }
            let part_len = usize::try_from(part).expect("64-bit lengths");
            runs::append(&mut bytes, &self.bounce.bytes()[..part_len]);
            done += part;
            if done == region.len_bytes {
                return Ok(Ok(bytes));
            }
        }
    }

    /// Brings so many bytes of an MR to the bounce buffer.
    fn look_at(&mut self, region: Region, addr: u64, len_bytes: u32) -> Result<WcStatus, Failure> {
        self.room(len_bytes)?.fill(SENTINEL);
        let lane = &mut self.lanes[region.pd.index()];
        let place = Place { address: self.bounce.address(), rkey: lane.bounce.remote };
        let entry = ffi::ibv_sge { addr, length: len_bytes, lkey: region.keys.local };
        let bounce = place.address;
        lane.execute(Request::Write(place), &mut listed_unless_empty(entry), bounce)
    }

    /// Does what `request` says of the place, and returns the bytes that came into the bounce buffer.
    fn fetch(
        &mut self,
        target: Target,
        len_bytes: u32,
        request: impl FnOnce(Place) -> Request,
    ) -> Result<Outcome, Failure> {
        let Some(place) = self.place(target) else { return Ok(Outcome::Skipped) };
        self.room(len_bytes)?.fill(SENTINEL);
        Ok(match self.execute(target.qp, request(place), len_bytes)? {
            WcStatus::SUCCESS => Outcome::Value(runs::of(self.room(len_bytes)?)),
            status => Outcome::Completion(status),
        })
    }

    /// Executes a request whose side here is the first bytes of the bounce buffer.
    fn execute(&mut self, qp: Pd, request: Request, len_bytes: u32) -> Result<WcStatus, Failure> {
        let lane = &mut self.lanes[qp.index()];
        let (addr, lkey) = (self.bounce.address(), lane.bounce.local);
        let entry = ffi::ibv_sge { addr, length: len_bytes, lkey };
        lane.execute(request, &mut listed_unless_empty(entry), addr)
    }

    /// Executes a request whose side here is a list of the sequence.
    fn listed(
        &mut self,
        list: Sges,
        target: Target,
        request: impl FnOnce(Place) -> Request,
    ) -> Result<Outcome, Failure> {
        let (Some(mut list), Some(place)) = (self.list(list), self.place(target)) else {
            return Ok(Outcome::Skipped);
        };
        let bounce = self.bounce.address();
        let lane = &mut self.lanes[target.qp.index()];
        lane.execute(request(place), &mut list, bounce).map(completed)
    }

    /// Address and key of a remote op, of things dead or alive. Nothing if some slot never held anything.
    fn place(&self, target: Target) -> Option<Place> {
        place(&self.regions, &self.windows, target)
    }

    fn key(&self, handle: Handle) -> Option<u32> {
        key(&self.regions, &self.windows, handle)
    }

    /// The list for the library, entry by entry. Nothing if some slot never held an MR.
    fn list(&self, sges: Sges) -> Option<Vec<ffi::ibv_sge>> {
        sges.iter().map(|sge| self.regions.entry(sge)).collect()
    }

    /// The first `len_bytes` bytes of the bounce buffer.
    fn room(&mut self, len_bytes: u32) -> Result<&mut [u8], Failure> {
        self.bounce
            .bytes_mut()
            .get_mut(..len_bytes as usize)
            .ok_or_else(|| Failure::State(format!("{len_bytes} bytes are more than the arena has")))
    }
}

/// Which protection domains `sequence` names. An op that names none means the first.
fn named(sequence: &Sequence) -> [bool; PD_COUNT as usize] {
    let mut named = [false; PD_COUNT as usize];
    named[Pd::FIRST.index()] = true;
    for mut op in sequence.ops.iter().copied() {
        for arg in op.args_mut() {
            if let Arg::Pd(pd) | Arg::Target(Target { qp: pd, .. }) = arg {
                named[pd.index()] = true;
            }
        }
    }
    named
}

/// Registers the executor's own buffer, which takes no slot.
fn register_bounce(domain: *mut ffi::ibv_pd, bounce: &Buffer) -> io::Result<Keys> {
    let rights = Access::LOCAL_WRITE.with(Access::REMOTE_WRITE).with(Access::REMOTE_READ);
    let (address, len) = (bounce.address(), bounce.bytes().len());
    let at =
        std::ptr::with_exposed_provenance_mut(usize::try_from(address).expect("64-bit addresses"));
    // SAFETY: the domain lives; the buffer does as long as the process.
    let raw = unsafe { ffi::ibv_reg_mr_iova2(domain, at, len, address, rights.0) };
    if raw.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the MR was registered just now.
    Ok(unsafe { Keys { local: (*raw).lkey, remote: (*raw).rkey } })
}

/// A list of this entry, or of none if it has no bytes.
fn listed_unless_empty(entry: ffi::ibv_sge) -> Vec<ffi::ibv_sge> {
    if entry.length > 0 { vec![entry] } else { Vec::new() }
}

fn place(regions: &Regions, windows: &Windows, target: Target) -> Option<Place> {
    let region = regions.get(target.mr)?;
    let rkey = match target.key {
        Key::Own => region.keys.remote,
        Key::Stale => region.keys.remote ^ 0xff,
        Key::Of(handle) => key(regions, windows, handle)?,
    };
    Some(Place { address: region.at(target.offset), rkey })
}

fn key(regions: &Regions, windows: &Windows, handle: Handle) -> Option<u32> {
    match handle {
        Handle::Mr(mr) => Some(regions.get(mr)?.keys.remote),
        Handle::Mw(mw) => windows.key(mw),
        Handle::OldMw(mw) => windows.old_key(mw),
    }
}

/// Whose key `op` asks the other side to make invalid.
fn invalidated_by(op: Op) -> Option<Handle> {
    if let Op::Send { invalidate, .. } = op { invalidate } else { None }
}

/// Which key `rkey` is. A key that a dead MR had may be that of another one now: what was `asked` for goes first.
fn name_of(rkey: u32, asked: Option<Handle>, regions: &Regions, windows: &Windows) -> KeyName {
    let mrs = (0..MR_SLOTS).filter_map(|slot| u8::try_from(slot).ok()).map(|mr| Handle::Mr(Mr(mr)));
    let mws = || (0..MW_SLOTS).filter_map(Mw::new);
    let all = asked.into_iter().chain(mws().map(Handle::Mw)).chain(mrs);
    let mut all = all.chain(mws().map(Handle::OldMw));
    let found = all.find(|handle| key(regions, windows, *handle) == Some(rkey));
    found.map_or(KeyName::Unknown, KeyName::Of)
}

fn completed(status: WcStatus) -> Outcome {
    match status {
        WcStatus::SUCCESS => Outcome::Done,
        status => Outcome::Completion(status),
    }
}

#[cfg(test)]
mod tests {
    use super::regions::tests::{IOVA, regions};
    use super::windows::tests::windows;
    use super::*;

    fn target(mr: u8, offset: i32, key: Key) -> Target {
        Target { offset, key, ..Target::of(Mr(mr)) }
    }

    fn at(address: u64, rkey: u32) -> Option<Place> {
        Some(Place { address, rkey })
    }

    #[test]
    fn a_remote_op_needs_a_slot_that_once_held_an_mr() {
        let regions = regions(&[(0, 0x1234, true), (1, 0x5678, false)]);
        let place = |target| place(&regions, &Windows::new(), target);
        let of = |mr| Key::Of(Handle::Mr(Mr(mr)));
        assert_eq!(place(target(0, 8, Key::Own)), at(IOVA + 8, 0x1234));
        assert_eq!(place(target(1, -1, Key::Own)), at(IOVA - 1, 0x5678));
        assert_eq!(place(target(0, 0, of(1))), at(IOVA, 0x5678));
        assert_eq!(place(target(0, 0, of(2))), None);
        assert_eq!(place(target(2, 0, of(0))), None);
    }

    #[test]
    fn a_stale_key_differs_in_its_low_byte() {
        let regions = regions(&[(0, 0x1234, true), (1, 0, true)]);
        let place = |target| place(&regions, &Windows::new(), target);
        assert_eq!(place(target(0, 0, Key::Stale)), at(IOVA, 0x12cb));
        assert_eq!(place(target(1, 0, Key::Stale)), at(IOVA, 0xff));
    }

    #[test]
    fn a_window_shows_its_newest_key_or_the_one_before() {
        let regions = regions(&[(0, 0x1234, true)]);
        let windows = windows(&[(0, 0x9902, Some(0x9901)), (1, 0x8800, None)]);
        let (bound, unbound) = (Mw::new(0).unwrap(), Mw::new(1).unwrap());
        let place = |handle| place(&regions, &windows, target(0, 0, Key::Of(handle)));
        assert_eq!(place(Handle::Mw(bound)), at(IOVA, 0x9902));
        assert_eq!(place(Handle::OldMw(bound)), at(IOVA, 0x9901));
        assert_eq!(place(Handle::Mw(unbound)), at(IOVA, 0x8800));
        assert_eq!(place(Handle::OldMw(unbound)), None);
        assert_eq!(place(Handle::Mw(Mw::new(2).unwrap())), None);
    }

    #[test]
    fn an_empty_bounce_has_no_entry() {
        let entry = |length| ffi::ibv_sge { addr: 0, length, lkey: 0 };
        assert!(listed_unless_empty(entry(0)).is_empty());
        assert_eq!(listed_unless_empty(entry(1)).len(), 1);
    }
}
