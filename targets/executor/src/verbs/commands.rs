//! Commands of uverbs without the library: what it does not pass on, or does in another way.

use std::io;
use std::mem::size_of;
use std::os::fd::RawFd;

use super::Keys;

/// `IB_USER_VERBS_CMD_REG_MR`.
pub(super) const REG_MR: u32 = 9;
/// `IB_USER_VERBS_CMD_REREG_MR`.
pub(super) const REREG_MR: u32 = 11;
/// `IB_USER_VERBS_CMD_DEREG_MR`.
pub(super) const DEREG_MR: u32 = 13;

/// `RDMA_VERBS_IOCTL`.
pub(super) const VERBS_IOCTL: u32 = 0xc018_1b01;
/// `UVERBS_OBJECT_DEVICE`.
pub(super) const OBJECT_DEVICE: u16 = 0;
/// `UVERBS_METHOD_INVOKE_WRITE`.
pub(super) const METHOD_INVOKE_WRITE: u16 = 0;
/// `UVERBS_ATTR_CORE_IN`.
pub(super) const ATTR_CORE_IN: u16 = 0;
/// `UVERBS_ATTR_CORE_OUT`.
pub(super) const ATTR_CORE_OUT: u16 = 1;
/// `UVERBS_ATTR_WRITE_CMD`.
pub(super) const ATTR_WRITE_CMD: u16 = 2;
/// `UVERBS_ATTR_F_MANDATORY`.
pub(super) const MANDATORY: u16 = 1;
/// `RDMA_DRIVER_RXE`.
pub(super) const DRIVER_RXE: u32 = 14;

/// `struct ib_uverbs_ioctl_hdr`.
#[repr(C)]
pub(super) struct Header {
    pub(super) length: u16,
    pub(super) object_id: u16,
    pub(super) method_id: u16,
    pub(super) num_attrs: u16,
    pub(super) reserved1: u64,
    pub(super) driver_id: u32,
    pub(super) reserved2: u32,
}

/// `struct ib_uverbs_attr`.
#[repr(C)]
pub(super) struct Attribute {
    pub(super) attr_id: u16,
    pub(super) len: u16,
    pub(super) flags: u16,
    pub(super) reserved: u16,
    pub(super) data: u64,
}

/// An `ioctl` that invokes a command that is otherwise written.
#[repr(C)]
struct Invocation {
    header: Header,
    attributes: [Attribute; 3],
}

/// `struct ib_uverbs_cmd_hdr`.
#[repr(C)]
pub(super) struct CommandHeader {
    pub(super) command: u32,
    pub(super) in_words: u16,
    pub(super) out_words: u16,
}

/// `struct ib_uverbs_reg_mr`.
#[repr(C)]
pub(super) struct RegMr {
    pub(super) response: u64,
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) hca_va: u64,
    pub(super) pd_handle: u32,
    pub(super) access_flags: u32,
}

/// `struct ib_uverbs_reg_mr_resp`.
#[repr(C)]
#[derive(Default)]
pub(super) struct RegMrResponse {
    pub(super) mr_handle: u32,
    pub(super) lkey: u32,
    pub(super) rkey: u32,
}

/// `struct ib_uverbs_rereg_mr`.
#[repr(C)]
pub(super) struct ReregMr {
    pub(super) response: u64,
    pub(super) mr_handle: u32,
    pub(super) flags: u32,
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) hca_va: u64,
    pub(super) pd_handle: u32,
    pub(super) access_flags: u32,
}

/// `struct ib_uverbs_rereg_mr_resp`.
#[repr(C, align(8))]
#[derive(Default)]
pub(super) struct ReregMrResponse {
    pub(super) lkey: u32,
    pub(super) rkey: u32,
}

/// `struct ib_uverbs_dereg_mr`.
#[repr(C)]
pub(super) struct DeregMr {
    pub(super) mr_handle: u32,
}

/// A command as it is written: its header and its arguments.
#[repr(C)]
struct Written<T> {
    header: CommandHeader,
    arguments: T,
}

/// What an MR is to be of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Address of the first byte.
    pub(super) address: u64,
    /// How many bytes.
    pub(super) len_bytes: u64,
    /// What peers are to use as the address of the first byte.
    pub(super) iova: u64,
    /// The rights.
    pub(super) access: u32,
    /// Handle of the protection domain.
    pub(super) domain: u32,
}

/// Registers an MR on the open device `fd`. Returns its handle and its keys.
///
/// By `ioctl`, as the library does it too: a command that is written wants the
/// credentials of who opened the device, which a thread with a capability lacks.
pub(super) fn register(fd: RawFd, wanted: Wanted) -> io::Result<(u32, Keys)> {
    let mut response = RegMrResponse::default();
    let arguments = RegMr {
        response: address_of(&raw mut response),
        start: wanted.address,
        length: wanted.len_bytes,
        hca_va: wanted.iova,
        pd_handle: wanted.domain,
        access_flags: wanted.access,
    };
    let mut invocation = invocation(REG_MR, &arguments, &mut response);
    // SAFETY: the invocation points to arguments and response, which outlive the
    // call. What is registered may be anything: the kernel checks it.
    let result = unsafe { libc::ioctl(fd, VERBS_IOCTL.into(), &raw mut invocation) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((response.mr_handle, Keys { local: response.lkey, remote: response.rkey }))
}

/// Changes what the bits `what` say of the MR `handle`. Returns its keys.
pub(super) fn reregister(fd: RawFd, handle: u32, what: u32, wanted: Wanted) -> io::Result<Keys> {
    let mut response = ReregMrResponse::default();
    let arguments = ReregMr {
        response: address_of(&raw mut response),
        mr_handle: handle,
        flags: what,
        start: wanted.address,
        length: wanted.len_bytes,
        hca_va: wanted.iova,
        pd_handle: wanted.domain,
        access_flags: wanted.access,
    };
    write(fd, &written(REREG_MR, arguments, size_of::<ReregMrResponse>()))?;
    Ok(Keys { local: response.lkey, remote: response.rkey })
}

/// Deregisters the MR `handle`.
pub(super) fn deregister(fd: RawFd, handle: u32) -> io::Result<()> {
    write(fd, &written(DEREG_MR, DeregMr { mr_handle: handle }, 0))
}

fn invocation<I, O>(command: u32, arguments: &I, response: &mut O) -> Invocation {
    let attribute = |attr_id, len: usize, data| Attribute {
        attr_id,
        len: u16::try_from(len).expect("a short structure"),
        flags: MANDATORY,
        reserved: 0,
        data,
    };
    Invocation {
        header: Header {
            length: u16::try_from(size_of::<Invocation>()).expect("a short structure"),
            object_id: OBJECT_DEVICE,
            method_id: METHOD_INVOKE_WRITE,
            num_attrs: 3,
            reserved1: 0,
            driver_id: DRIVER_RXE,
            reserved2: 0,
        },
        attributes: [
            attribute(ATTR_CORE_IN, size_of::<I>(), address_of(std::ptr::from_ref(arguments))),
            attribute(ATTR_CORE_OUT, size_of::<O>(), address_of(std::ptr::from_mut(response))),
            attribute(ATTR_WRITE_CMD, size_of::<u64>(), command.into()),
        ],
    }
}

fn written<T>(command: u32, arguments: T, response_bytes: usize) -> Written<T> {
    let words = |bytes: usize| u16::try_from(bytes / 4).expect("a short structure");
    Written {
        header: CommandHeader {
            command,
            in_words: words(size_of::<CommandHeader>() + size_of::<T>()),
            out_words: words(response_bytes),
        },
        arguments,
    }
}

fn write<T>(fd: RawFd, command: &Written<T>) -> io::Result<()> {
    // The compiler may have put padding at the end, which is no part of the command.
    let len_bytes = usize::from(command.header.in_words) * 4;
    // SAFETY: the command has at least so many bytes, and what it points to outlives the call.
    let result = unsafe { libc::write(fd, std::ptr::from_ref(command).cast(), len_bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn address_of<T>(at: *const T) -> u64 {
    at.expose_provenance() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_command_says_how_long_it_is() {
        let command = written(DEREG_MR, DeregMr { mr_handle: 5 }, 0);
        assert_eq!((command.header.in_words, command.header.out_words), (3, 0));
        let response = size_of::<ReregMrResponse>();
        let arguments = ReregMr {
            response: 0,
            mr_handle: 0,
            flags: 0,
            start: 0,
            length: 0,
            hca_va: 0,
            pd_handle: 0,
            access_flags: 0,
        };
        let command = written(REREG_MR, arguments, response);
        assert_eq!((command.header.in_words, command.header.out_words), (14, 2));
        assert_eq!(std::mem::offset_of!(Written<ReregMr>, arguments), 8);
        assert_eq!(std::mem::offset_of!(Written<DeregMr>, arguments), 8);
    }

    #[test]
    fn an_invocation_has_its_attributes_behind_its_header() {
        let mut response = RegMrResponse::default();
        let made = invocation(REG_MR, &DeregMr { mr_handle: 5 }, &mut response);
        assert_eq!(usize::from(made.header.length), 24 + 3 * 16);
        assert_eq!(std::mem::offset_of!(Invocation, attributes), 24);
        let lens: Vec<u16> = made.attributes.iter().map(|attribute| attribute.len).collect();
        assert_eq!(lens, [4, 12, 8]);
        assert_eq!(made.attributes[2].data, u64::from(REG_MR));
    }

    #[test]
    fn errors_of_the_kernel_are_passed_on() {
        let error = deregister(-1, 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
}
