//! Netlink: messages, and those that make devices.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const HEADER_BYTES: usize = 16;
const MESSAGE_ERROR: u16 = 2;
/// A message that wants an answer.
pub(crate) const FLAG_REQUEST: u16 = 1;
const FLAG_ACK: u16 = 4;
const FLAG_EXCLUSIVE: u16 = 0x200;
const FLAG_CREATE: u16 = 0x400;

/// `RDMA_NL_NLDEV << 10 | RDMA_NLDEV_CMD_NEWLINK` of rdma/rdma_netlink.h.
const RDMA_NEW_LINK: u16 = 5 << 10 | 3;
const RDMA_DEVICE_NAME: u16 = 2;
const RDMA_NET_DEVICE_NAME: u16 = 51;
const RDMA_LINK_TYPE: u16 = 65;

const NET_NEW_LINK: u16 = 16;
const NET_NAME: u16 = 3;
const NET_LINK_INFO: u16 = 18;
const NET_INFO_KIND: u16 = 1;
/// Size of `struct ifinfomsg`, in bytes. All of it may be zero.
const NET_HEADER_BYTES: usize = 16;

/// Puts the RDMA device `name` of `kind` on the network device `net_device`.
pub(crate) fn add_rdma_link(name: &str, kind: &str, net_device: &str) -> io::Result<()> {
    request(libc::NETLINK_RDMA, &rdma_link_message(name, kind, net_device))
}

/// Makes the network device `name` of `kind`.
pub(crate) fn add_net_device(name: &str, kind: &str) -> io::Result<()> {
    request(libc::NETLINK_ROUTE, &net_device_message(name, kind))
}

fn rdma_link_message(name: &str, kind: &str, net_device: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    push_text(&mut payload, RDMA_DEVICE_NAME, name);
    push_text(&mut payload, RDMA_LINK_TYPE, kind);
    push_text(&mut payload, RDMA_NET_DEVICE_NAME, net_device);
    message(RDMA_NEW_LINK, FLAG_REQUEST | FLAG_ACK, &payload)
}

fn net_device_message(name: &str, kind: &str) -> Vec<u8> {
    let mut payload = vec![0; NET_HEADER_BYTES];
    push_text(&mut payload, NET_NAME, name);
    let mut info = Vec::new();
    push_text(&mut info, NET_INFO_KIND, kind);
    push_attribute(&mut payload, NET_LINK_INFO, &info);
    message(NET_NEW_LINK, FLAG_REQUEST | FLAG_ACK | FLAG_CREATE | FLAG_EXCLUSIVE, &payload)
}

/// A message of `kind`.
pub(crate) fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER_BYTES + payload.len()).expect("messages are short");
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&len.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&1u32.to_ne_bytes()); // sequence number
    bytes.extend_from_slice(&0u32.to_ne_bytes()); // port: the kernel chooses
    bytes.extend_from_slice(payload);
    bytes
}

fn push_text(payload: &mut Vec<u8>, kind: u16, text: &str) {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    push_attribute(payload, kind, &bytes);
}

/// Appends an attribute of `kind`.
pub(crate) fn push_attribute(payload: &mut Vec<u8>, kind: u16, bytes: &[u8]) {
    let len = u16::try_from(4 + bytes.len()).expect("attributes are short");
    payload.extend_from_slice(&len.to_ne_bytes());
    payload.extend_from_slice(&kind.to_ne_bytes());
    payload.extend_from_slice(bytes);
    payload.resize(payload.len().next_multiple_of(4), 0);
}

/// What is in `answer`, if it is one message of `kind`.
pub(crate) fn payload(answer: &[u8], kind: u16) -> Option<&[u8]> {
    let len = u32::from_ne_bytes(answer.get(..4)?.try_into().ok()?) as usize;
    let is_of_kind = answer.get(4..6)? == kind.to_ne_bytes();
    answer.get(HEADER_BYTES..len).filter(|_| is_of_kind)
}

/// Kind and bytes of each attribute, as far as they are whole.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// The bit that marks an attribute of attributes (`NLA_F_NESTED`).
    const NESTED: u16 = 1 << 15;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & !NESTED;
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A socket to the kernel.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Of `protocol`.
    pub(crate) fn open(protocol: libc::c_int) -> io::Result<Socket> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just made this descriptor, and nobody else owns it.
        Ok(Socket(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sends a message and gives the length of what the kernel answers.
    pub(crate) fn ask(&self, message: &[u8], answer: &mut [u8]) -> io::Result<usize> {
        let fd = self.0.as_raw_fd();
        // SAFETY: `message` has so many bytes and outlives the call.
        if unsafe { libc::send(fd, message.as_ptr().cast(), message.len(), 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `answer` has so many bytes and outlives the call.
        let len = unsafe { libc::recv(fd, answer.as_mut_ptr().cast(), answer.len(), 0) };
        usize::try_from(len).map_err(|_| io::Error::last_os_error())
    }
}

/// Sends a message and waits for the kernel's verdict on it.
fn request(protocol: libc::c_int, message: &[u8]) -> io::Result<()> {
    let mut answer = [0u8; 1024];
    let len = Socket::open(protocol)?.ask(message, &mut answer)?;
    verdict(&answer[..len])
}

fn verdict(answer: &[u8]) -> io::Result<()> {
    let field = |at: usize| Some(i32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let is_verdict = answer.get(4..6) == Some(&MESSAGE_ERROR.to_ne_bytes());
    match field(HEADER_BYTES) {
        Some(0) if is_verdict => Ok(()),
        Some(error) if is_verdict => Err(io::Error::from_raw_os_error(-error)),
        Some(_) | None => Err(io::Error::other("netlink answered something else")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rdma_link_is_asked_for_as_iproute2_does() {
        let bytes = rdma_link_message("rxe0", "rxe", "dummy0");
        #[rustfmt::skip]
        let want = [
            52, 0, 0, 0, 3, 20, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0,
            9, 0, 2, 0, b'r', b'x', b'e', b'0', 0, 0, 0, 0,
            8, 0, 65, 0, b'r', b'x', b'e', 0,
            11, 0, 51, 0, b'd', b'u', b'm', b'm', b'y', b'0', 0, 0,
        ];
        assert_eq!(bytes[4..], want[4..]);
        assert_eq!(bytes.len(), want.len());
        assert_eq!(usize::from(bytes[0]), want.len());
    }

    #[test]
    fn a_network_device_is_nested_in_its_link_info() {
        let bytes = net_device_message("dummy0", "dummy");
        let info = [16, 0, 18, 0, 10, 0, 1, 0, b'd', b'u', b'm', b'm', b'y', 0, 0, 0];
        assert!(bytes.ends_with(&info));
        assert_eq!(usize::from(bytes[0]), bytes.len());
    }

    #[test]
    fn a_refusal_is_an_errno() {
        let mut answer = [0u8; 36];
        answer[4..6].copy_from_slice(&MESSAGE_ERROR.to_ne_bytes());
        assert!(verdict(&answer).is_ok());
        answer[16..20].copy_from_slice(&(-libc::EEXIST).to_ne_bytes());
        assert_eq!(verdict(&answer).unwrap_err().raw_os_error(), Some(libc::EEXIST));
        assert!(verdict(&answer[..10]).is_err());
    }
}
