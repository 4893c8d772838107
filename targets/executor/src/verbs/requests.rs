//! Work requests: what a queue pair can be asked to do, and how it is asked.

use std::io;

use rdma_sys as ffi;

/// A place at the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Address of the first byte.
    pub(super) address: u64,
    /// The key that is shown there.
    pub(super) rkey: u32,
}

/// What a work request does. The list that goes with it is this side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// From there to this side.
    Read(Place),
    /// From this side to there.
    Write(Place),
    /// Puts `swap` there if `expect` is there. What was there comes to this side.
    CompareSwap {
        /// Where.
        place: Place,
        /// What has to be there.
        expect: u64,
        /// What comes there.
        swap: u64,
    },
    /// Adds to what is there. What was there comes to this side.
    FetchAdd {
        /// Where.
        place: Place,
        /// How much.
        add: u64,
    },
    /// From this side to where a receive was posted.
    Send,
    /// The same, and this key becomes invalid there.
    SendInvalidating(u32),
    /// This key becomes invalid at this side.
    Invalidate(u32),
}

impl Request {
    /// The number of its operation. Atomic ones do not go through [`post`]'s plain way.
    fn opcode(self) -> ffi::ibv_wr_opcode::Type {
        use ffi::ibv_wr_opcode as code;
        match self {
            Request::Read(_) => code::IBV_WR_RDMA_READ,
            Request::Write(_) => code::IBV_WR_RDMA_WRITE,
            Request::CompareSwap { .. } => code::IBV_WR_ATOMIC_CMP_AND_SWP,
            Request::FetchAdd { .. } => code::IBV_WR_ATOMIC_FETCH_AND_ADD,
            Request::Send => code::IBV_WR_SEND,
            Request::SendInvalidating(_) => code::IBV_WR_SEND_WITH_INV,
            Request::Invalidate(_) => code::IBV_WR_LOCAL_INV,
        }
    }

    /// The place it names, if it names one.
    fn place(self) -> Option<Place> {
        match self {
            Request::Read(place)
            | Request::Write(place)
            | Request::CompareSwap { place, .. }
            | Request::FetchAdd { place, .. } => Some(place),
            Request::Send | Request::SendInvalidating(_) | Request::Invalidate(_) => None,
        }
    }

    /// The key it makes invalid, if it does.
    fn invalidated(self) -> Option<u32> {
        match self {
            Request::SendInvalidating(key) | Request::Invalidate(key) => Some(key),
            Request::Read(_)
            | Request::Write(_)
            | Request::CompareSwap { .. }
            | Request::FetchAdd { .. }
            | Request::Send => None,
        }
    }

    /// As `ibv_post_send()` takes it.
    fn plain(self, id: u64, list: &mut [ffi::ibv_sge]) -> ffi::ibv_send_wr {
        let mut plain = empty(self.opcode(), id);
        plain.sg_list = list.as_mut_ptr();
        plain.num_sge = count(list);
        if let Some(Place { address, rkey }) = self.place() {
            plain.wr.rdma = ffi::rdma_t { remote_addr: address, rkey };
        }
        if let Some(key) = self.invalidated() {
            plain.imm_data_invalidated_rkey_union.invalidated_rkey = key;
        }
        plain
    }
}

/// A signalled request with this opcode and nothing else.
fn empty(opcode: ffi::ibv_wr_opcode::Type, id: u64) -> ffi::ibv_send_wr {
    // SAFETY: all zeroes is a valid value: null pointers and numbers.
    let mut request: ffi::ibv_send_wr = unsafe { std::mem::zeroed() };
    request.wr_id = id;
    request.opcode = opcode;
    request.send_flags = ffi::ibv_send_flags::IBV_SEND_SIGNALED.0;
    request
}

fn count(list: &[ffi::ibv_sge]) -> i32 {
    i32::try_from(list.len()).expect("a short list")
}

/// Posts `request`.
///
/// # Safety
///
/// `pair` is one of [`Pair`](super::pair::Pair) and lives. What the
/// adapter may write to is the bounce buffer, or what the sequence registered.
pub(super) unsafe fn post(
    pair: *mut ffi::ibv_qp,
    request: Request,
    id: u64,
    list: &mut [ffi::ibv_sge],
) -> io::Result<()> {
    if let Request::CompareSwap { .. } | Request::FetchAdd { .. } = request {
        // SAFETY: the caller's promise.
        return unsafe { post_atomic(pair, request, id, list) };
    }
    // SAFETY: the caller's promise.
    unsafe { post_plain(pair, request.plain(id, list)) }
}

/// # Safety
///
/// As for [`post`], for the queue pair and for what `request` points to.
unsafe fn post_plain(pair: *mut ffi::ibv_qp, mut request: ffi::ibv_send_wr) -> io::Result<()> {
    let mut bad = std::ptr::null_mut();
    // SAFETY: the caller's promise; the call copies the request.
    done(unsafe { ffi::ibv_post_send(pair, &raw mut request, &raw mut bad) })
}

/// Posts an atomic request through the calls of extended queue pairs: for rxe
/// `ibv_post_send()` itself refuses one at an address that is not a multiple of
/// eight, so that the kernel would never see it.
///
/// # Safety
///
/// As for [`post`].
unsafe fn post_atomic(
    pair: *mut ffi::ibv_qp,
    request: Request,
    id: u64,
    list: &[ffi::ibv_sge],
) -> io::Result<()> {
    // SAFETY: our queue pairs are extended ones, made with these operations.
    unsafe {
        let pair = ffi::ibv_qp_to_qp_ex(pair);
        ffi::ibv_wr_start(pair);
        (*pair).wr_id = id;
        (*pair).wr_flags = ffi::ibv_send_flags::IBV_SEND_SIGNALED.0;
        if let Request::CompareSwap { place, expect, swap } = request {
            ffi::ibv_wr_atomic_cmp_swp(pair, place.rkey, place.address, expect, swap);
        } else if let Request::FetchAdd { place, add } = request {
            ffi::ibv_wr_atomic_fetch_add(pair, place.rkey, place.address, add);
        }
        ffi::ibv_wr_set_sge_list(pair, list.len(), list.as_ptr());
        done(ffi::ibv_wr_complete(pair))
    }
}

/// What a window is to be bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    /// What the library is to take for the MR: the domain and the key of one, alive or not.
    pub(super) domain: *mut ffi::ibv_pd,
    /// Its local key.
    pub(super) lkey: u32,
    /// Address of the first byte.
    pub(super) address: u64,
    /// How many bytes.
    pub(super) len_bytes: u64,
    /// The rights of the window.
    pub(super) access: u32,
}

impl Binding {
    /// An MR that has what the library reads of one.
    fn region(self) -> ffi::ibv_mr {
        // SAFETY: all zeroes is a valid value: null pointers and numbers.
        let mut region: ffi::ibv_mr = unsafe { std::mem::zeroed() };
        region.pd = self.domain;
        region.lkey = self.lkey;
        region
    }

    fn info(self, region: &mut ffi::ibv_mr) -> ffi::ibv_mw_bind_info {
        ffi::ibv_mw_bind_info {
            mr: region,
            addr: self.address,
            length: self.len_bytes,
            mw_access_flags: self.access,
        }
    }
}

/// What C's `ibv_bind_mw()` does. When it posts the request it has already
/// given the window its next key.
///
/// The version of `rdma_sys` 0.3.0 lacks the look at the domains.
///
/// # Safety
///
/// `pair` and `window` live, and `window` is of type 1.
pub(super) unsafe fn bind_type1(
    pair: *mut ffi::ibv_qp,
    window: *mut ffi::ibv_mw,
    id: u64,
    binding: Binding,
) -> io::Result<()> {
    // SAFETY: the window lives.
    if unsafe { (*window).pd } != binding.domain {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    let mut region = binding.region();
    let send_flags = ffi::ibv_send_flags::IBV_SEND_SIGNALED.0;
    let mut wanted =
        ffi::ibv_mw_bind { wr_id: id, send_flags, bind_info: binding.info(&mut region) };
    // SAFETY: pair and window live; the call copies what it needs of the MR.
    done(unsafe { ffi::ibv_bind_mw(pair, window, &raw mut wanted) })
}

/// Posts a request that binds `window` and gives it the key `rkey`.
///
/// # Safety
///
/// `pair` and `window` live.
pub(super) unsafe fn bind_type2(
    pair: *mut ffi::ibv_qp,
    window: *mut ffi::ibv_mw,
    id: u64,
    rkey: u32,
    binding: Binding,
) -> io::Result<()> {
    let mut region = binding.region();
    let mut request = empty(ffi::ibv_wr_opcode::IBV_WR_BIND_MW, id);
    let bind_info = binding.info(&mut region);
    request.bind_mw_tso_union.bind_mw = ffi::bind_mw_t { mw: window, rkey, bind_info };
    // SAFETY: pair and window live; the call copies what it needs of the MR.
    unsafe { post_plain(pair, request) }
}

/// Posts a receive into `list`.
///
/// # Safety
///
/// As for [`post`].
pub(super) unsafe fn receive(
    pair: *mut ffi::ibv_qp,
    id: u64,
    list: &mut [ffi::ibv_sge],
) -> io::Result<()> {
    let mut request = ffi::ibv_recv_wr {
        wr_id: id,
        next: std::ptr::null_mut(),
        sg_list: list.as_mut_ptr(),
        num_sge: count(list),
    };
    let mut bad = std::ptr::null_mut();
    // SAFETY: the caller's promise; the call copies the request.
    done(unsafe { ffi::ibv_post_recv(pair, &raw mut request, &raw mut bad) })
}

/// The result of a call that returns an error number. The provider for rxe has some of them negative.
fn done(error: libc::c_int) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error.saturating_abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { address: 0x1234, rkey: 0x5678 };

    #[test]
    fn a_request_names_its_place_and_its_list() {
        let mut list = [ffi::ibv_sge { addr: 1, length: 2, lkey: 3 }; 2];
        let plain = Request::Write(PLACE).plain(7, &mut list);
        assert_eq!((plain.wr_id, plain.num_sge), (7, 2));
        assert_eq!(plain.opcode, ffi::ibv_wr_opcode::IBV_WR_RDMA_WRITE);
        // SAFETY: a write uses this part of the union.
        let place = unsafe { plain.wr.rdma };
        assert_eq!((place.remote_addr, place.rkey), (PLACE.address, PLACE.rkey));
        assert_eq!(Request::Read(PLACE).plain(7, &mut []).num_sge, 0);
    }

    #[test]
    fn a_key_to_invalidate_goes_where_immediate_data_goes() {
        for request in [Request::SendInvalidating(0xabcd), Request::Invalidate(0xabcd)] {
            let plain = request.plain(0, &mut []);
            // SAFETY: both parts of the union are such numbers.
            let key = unsafe { plain.imm_data_invalidated_rkey_union.invalidated_rkey };
            assert_eq!(key, 0xabcd, "{request:?}");
        }
        let plain = Request::Send.plain(0, &mut []);
        // SAFETY: as above.
        assert_eq!(unsafe { plain.imm_data_invalidated_rkey_union.invalidated_rkey }, 0);
    }

    #[test]
    fn an_error_may_be_negative() {
        assert!(done(0).is_ok());
        for error in [libc::EINVAL, -libc::EINVAL] {
            assert_eq!(done(error).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }
}
