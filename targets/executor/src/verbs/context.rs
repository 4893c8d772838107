//! Calls through the extended context of libibverbs.
//!
//! `rdma_sys` 0.3.0 takes a context for an old one unless its marker is
//! `u32::MAX`, while C marks it with `UINTPTR_MAX` (`verbs_get_ctx()`,
//! infiniband/verbs.h). On 64-bit its extended calls therefore never reach the
//! driver. This module does what C does.

use std::io;
use std::mem::{offset_of, size_of};

use rdma_sys as ffi;

/// What marks an extended context: `__VERBS_ABI_IS_EXTENDED`.
const EXTENDED: usize = usize::MAX;

/// The extended context around `context`, unless it is an old one.
///
/// # Safety
///
/// `context` points to a context that lives, and if marked as extended it is part of an extended one.
unsafe fn extended(context: *mut ffi::ibv_context) -> Option<*mut ffi::verbs_context> {
    // SAFETY: the caller's promise.
    let marker = unsafe { (*context).abi_compat };
    // SAFETY: a marked context is the field `context` of an extended one.
    (marker.addr() == EXTENDED)
        .then(|| unsafe { context.byte_sub(offset_of!(ffi::verbs_context, context)).cast() })
}

/// Attributes of an open device, the extended ones too. Those that the kernel does not know are zero.
///
/// # Safety
///
/// `context` is an open device.
pub(super) unsafe fn query_device(
    context: *mut ffi::ibv_context,
) -> io::Result<ffi::ibv_device_attr_ex> {
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut attributes: ffi::ibv_device_attr_ex = unsafe { std::mem::zeroed() };
    // The structure ends with its oldest field, so its size says which are there.
    let needed = size_of::<ffi::verbs_context>() - offset_of!(ffi::verbs_context, query_device_ex);
    // SAFETY: the caller's promise.
    let call = unsafe { extended(context) }
        // SAFETY: an extended context lives as long as its inner one.
        .filter(|&whole| unsafe { (*whole).sz } >= needed)
        // SAFETY: as above, and its size says that it has this field.
        .and_then(|whole| unsafe { (*whole).query_device_ex });
    let Some(call) = call else { return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)) };
    let len = size_of::<ffi::ibv_device_attr_ex>();
    // SAFETY: `attributes` has `len` bytes and outlives the call; no input is passed.
    match unsafe { call(context, std::ptr::null(), &raw mut attributes, len) } {
        0 => Ok(attributes),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Makes an extended queue pair, as C's `ibv_create_qp_ex()` does.
///
/// # Safety
///
/// `context` is an open device, and what `wanted` points to is of it and lives.
pub(super) unsafe fn create_queue_pair(
    context: *mut ffi::ibv_context,
    wanted: &mut ffi::ibv_qp_init_attr_ex,
) -> io::Result<*mut ffi::ibv_qp> {
    let needed = size_of::<ffi::verbs_context>() - offset_of!(ffi::verbs_context, create_qp_ex);
    // SAFETY: the caller's promise.
    let call = unsafe { extended(context) }
        // SAFETY: an extended context lives as long as its inner one.
        .filter(|&whole| unsafe { (*whole).sz } >= needed)
        // SAFETY: as above, and its size says that it has this field.
        .and_then(|whole| unsafe { (*whole).create_qp_ex });
    let Some(call) = call else { return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)) };
    // SAFETY: the caller's promise; `wanted` outlives the call.
    let pair = unsafe { call(context, wanted) };
    if pair.is_null() { Err(io::Error::last_os_error()) } else { Ok(pair) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_MR_SIZE: u64 = 4242;

    unsafe extern "C" fn answer(
        _: *mut ffi::ibv_context,
        _: *const ffi::ibv_query_device_ex_input,
        attributes: *mut ffi::ibv_device_attr_ex,
        _: usize,
    ) -> libc::c_int {
        // SAFETY: the callers of this test pass a structure that lives.
        unsafe { (*attributes).device_cap_flags_ex = MAX_MR_SIZE };
        0
    }

    unsafe extern "C" fn advise(
        _: *mut ffi::ibv_pd,
        _: ffi::ibv_advise_mr_advice,
        _: u32,
        _: *mut ffi::ibv_sge,
        _: u32,
    ) -> libc::c_int {
        4242
    }

    unsafe extern "C" fn create(
        _: *mut ffi::ibv_context,
        wanted: *mut ffi::ibv_qp_init_attr_ex,
    ) -> *mut ffi::ibv_qp {
        // SAFETY: the callers of this test pass a structure that lives.
        let ops = unsafe { (*wanted).send_ops_flags };
        std::ptr::without_provenance_mut(usize::try_from(ops).unwrap())
    }

    fn driver(marker: usize) -> Box<ffi::verbs_context> {
        // SAFETY: all zeroes is a valid value: null pointers and absent functions.
        let mut whole: Box<ffi::verbs_context> = Box::new(unsafe { std::mem::zeroed() });
        whole.sz = size_of::<ffi::verbs_context>();
        whole.context.abi_compat = std::ptr::without_provenance_mut(marker);
        whole.query_device_ex = Some(answer);
        whole.advise_mr = Some(advise);
        whole.create_qp_ex = Some(create);
        whole
    }

    /// The context inside `whole`, from a pointer that may reach all of it.
    fn inner(whole: &mut ffi::verbs_context) -> *mut ffi::ibv_context {
        let at = std::ptr::from_mut(whole);
        // SAFETY: `at` points to a whole structure.
        unsafe { &raw mut (*at).context }
    }

    #[test]
    fn an_extended_context_is_found_by_the_marker_of_c() {
        let mut whole = driver(usize::MAX);
        // SAFETY: the context is part of an extended one.
        let attributes = unsafe { query_device(inner(&mut whole)) }.ok().unwrap();
        assert_eq!(attributes.device_cap_flags_ex, MAX_MR_SIZE);
    }

    #[test]
    fn a_queue_pair_is_made_by_the_driver() {
        let mut whole = driver(usize::MAX);
        // SAFETY: all zeroes is a valid value: null pointers and numbers.
        let mut wanted: ffi::ibv_qp_init_attr_ex = unsafe { std::mem::zeroed() };
        wanted.send_ops_flags = 0x40;
        // SAFETY: the context is part of an extended one; the mock driver follows no pointer.
        let pair = unsafe { create_queue_pair(inner(&mut whole), &mut wanted) }.unwrap();
        assert_eq!(pair.addr(), 0x40);
    }

    #[test]
    fn an_old_context_and_an_old_driver_are_told_apart() {
        let mut old = driver(0);
        // SAFETY: the context is not marked.
        let error = unsafe { query_device(inner(&mut old)) }.map(drop).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
        let mut short = driver(usize::MAX);
        short.sz = 8;
        // SAFETY: the context is part of an extended one.
        let error = unsafe { query_device(inner(&mut short)) }.map(drop).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
    }

    // FIXME: rdma-sys 0.3.0 looks for the marker u32::MAX. When this fails it has
    // been mended, and this module can go.
    #[test]
    fn rdma_sys_does_not_find_an_extended_context() {
        let mut whole = driver(usize::MAX);
        // SAFETY: all zeroes is a valid value of this plain structure.
        let mut domain: ffi::ibv_pd = unsafe { std::mem::zeroed() };
        domain.context = inner(&mut whole);
        let none = std::ptr::null_mut();
        // SAFETY: the mock driver uses none of its arguments.
        let result = unsafe { ffi::ibv_advise_mr(&raw mut domain, 0, 0, none, 0) };
        assert_eq!(result, libc::EOPNOTSUPP);
    }
}
