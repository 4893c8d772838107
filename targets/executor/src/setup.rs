//! Makes a bare kernel into a system with an RDMA device.

use std::ffi::CString;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::failure::{Doing, Failure};
use crate::{netlink, sys};

/// Name of the RDMA device.
pub(crate) const RDMA_DEVICE: &str = "rxe0";
/// Address of the network device under it.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

const NET_DEVICE: &str = "dummy0";

/// Settings that keep the kernel from moving or merging pages by itself. Those a
/// kernel does not know are left out.
const QUIET: [(&str, &str); 4] = [
    ("/proc/sys/vm/compaction_proactiveness", "0"),
    ("/proc/sys/kernel/numa_balancing", "0"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "never"),
    ("/sys/kernel/mm/ksm/run", "0"),
];

/// Mounts what the executor reads and sets: `/proc`, `/sys` and `/dev`.
pub(crate) fn mount_all() -> Result<(), Failure> {
    for (kind, place) in [(c"proc", c"/proc"), (c"sysfs", c"/sys"), (c"devtmpfs", c"/dev")] {
        let path = place.to_str().expect("ASCII");
        fs::create_dir_all(path).doing(&format!("make {path}"))?;
        match sys::mount(kind, place) {
            // Mounted already.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            result => result.doing(&format!("mount {path}"))?,
        }
    }
    for (path, value) in QUIET {
        // A kernel that lacks the setting lacks what it would turn off.
        let _ = fs::write(path, value);
    }
    Ok(())
}

/// Brings the network up and puts the RDMA device on it.
pub(crate) fn make_rdma_device() -> Result<(), Failure> {
    bring_up("lo", None).doing("bring lo up")?;
    if !fs::exists(format!("/sys/class/net/{NET_DEVICE}")).unwrap_or(false) {
        netlink::add_net_device(NET_DEVICE, "dummy").doing(&format!("make {NET_DEVICE}"))?;
    }
    bring_up(NET_DEVICE, Some(ADDRESS)).doing(&format!("bring {NET_DEVICE} up"))?;
    match netlink::add_rdma_link(RDMA_DEVICE, "rxe", NET_DEVICE) {
        // There already.
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        result => result.doing(&format!("add {RDMA_DEVICE}")),
    }
}

/// Gives `device` an address and turns it on.
fn bring_up(device: &str, address: Option<Ipv4Addr>) -> io::Result<()> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made this descriptor, and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut request = request_for(device);
    if let Some(address) = address {
        let bytes = socket_address(address);
        // SAFETY: a `sockaddr_in` is a kind of `sockaddr`, of the same size.
        request.ifr_ifru.ifru_addr =
            unsafe { std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(bytes) };
        control(&socket, libc::SIOCSIFADDR, &mut request)?;
    }
    let mut request = request_for(device);
    control(&socket, libc::SIOCGIFFLAGS, &mut request)?;
    let up = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).expect("two low bits");
    // SAFETY: the call above has filled in the flags.
    request.ifr_ifru.ifru_flags = unsafe { request.ifr_ifru.ifru_flags } | up;
    control(&socket, libc::SIOCSIFFLAGS, &mut request)
}

fn request_for(device: &str) -> libc::ifreq {
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = CString::new(device).expect("no zero byte in a name");
    for (to, &from) in request.ifr_name.iter_mut().zip(name.as_bytes_with_nul()) {
        *to = from.cast_signed();
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: u16::try_from(libc::AF_INET).expect("a small number"),
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    }
}

fn control(socket: &OwnedFd, what: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: these requests read and write one `ifreq`, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), what, std::ptr::from_mut(request)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
