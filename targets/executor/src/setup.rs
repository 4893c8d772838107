//! Makes a bare kernel into a system with an RDMA device.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use pinfold_contract::{HUGE_POOL_PAGES, PAGE_BYTES, SETTINGS};

use crate::counters::HUGE_POOL;
use crate::failure::{Doing, Failure};
use crate::{cgroup, netlink, sys};

/// Name of the RDMA device.
pub(crate) const RDMA_DEVICE: &str = "rxe0";
/// Address of the network device under it.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Where a tmpfs is mounted for the files of sequences.
pub(crate) const TMPFS: &str = "/tmp";

const NET_DEVICE: &str = "dummy0";

/// Kernel modules, under names that sort in the order in which they are to be loaded.
const MODULE_FOLDER: &str = "/modules";

/// A whole ext4 file system, which the host has put into the initramfs.
const DISK_IMAGE: &str = "/disk.img";
const DISK_DEVICE: &str = "/dev/ram0";
const READ_AHEAD: &str = "/sys/block/ram0/queue/read_ahead_kb";

/// The disk that pages are swapped to.
const SWAP_DEVICE: &CStr = c"/dev/ram1";
/// Where the kernel says what it swaps to.
const SWAPS: &str = "/proc/swaps";
/// Length of that disk in pages.
const SWAP_PAGES: u32 = 1024;
/// What is swapped in brings no neighbours along.
const SWAP_READ_AHEAD: (&str, &str) = ("/proc/sys/vm/page-cluster", "0");

/// Has the kernel say no more that it drops caches, which it never does again.
const DROP_QUIETLY: (&str, &str) = ("/proc/sys/vm/drop_caches", "4");

/// Mounts what the executor reads and sets: `/proc`, `/sys` and `/dev`; a tmpfs for it and one
/// for programs; and the control groups.
pub(crate) fn mount_all() -> Result<(), Failure> {
    for (kind, place) in [
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"devtmpfs", c"/dev"),
        (c"tmpfs", c"/dev/shm"),
        (c"tmpfs", c"/tmp"),
        (c"cgroup2", c"/sys/fs/cgroup"),
    ] {
        mount(kind, None, place)?;
    }
    for (path, value) in SETTINGS.into_iter().chain([DROP_QUIETLY]) {
        // A kernel that lacks the setting lacks what it would turn off.
        let _ = fs::write(path, value);
    }
    Ok(())
}

/// Fills the pool of huge pages, if the kernel knows them. Says how many there are.
pub(crate) fn fill_huge_pool() -> Result<u8, Failure> {
    if !fs::exists(HUGE_POOL).unwrap_or(false) {
        return Ok(0);
    }
    let doing = format!("set {HUGE_POOL}");
    fs::write(HUGE_POOL, HUGE_POOL_PAGES.to_string()).doing(&doing)?;
    let got = fs::read_to_string(HUGE_POOL).doing(&doing)?;
    if got.trim() == HUGE_POOL_PAGES.to_string() {
        return Ok(HUGE_POOL_PAGES);
    }
    let got = got.trim();
    Err(Failure::State(format!("{got} huge pages of {HUGE_POOL_PAGES} could be had")))
}

/// Loads the kernel modules that the host has put into the initramfs, if any.
pub(crate) fn load_modules() -> Result<(), Failure> {
    let Ok(folder) = fs::read_dir(MODULE_FOLDER) else { return Ok(()) };
    let mut paths = Vec::new();
    for entry in folder {
        paths.push(entry.doing(&format!("read {MODULE_FOLDER}"))?.path());
    }
    paths.sort();
    for path in paths {
        let name = path.display();
        let file = File::open(&path).doing(&format!("open {name}"))?;
        sys::load_module(&file, parameters(&path)).doing(&format!("load {name}"))?;
        // Nobody needs it again, and memory is scarce.
        fs::remove_file(&path).doing(&format!("remove {name}"))?;
    }
    Ok(())
}

/// What the module in the file `path`, called `NUMBER-NAME.ko`, is told.
fn parameters(path: &Path) -> &'static CStr {
    let name = path.file_stem().and_then(OsStr::to_str).and_then(|name| name.split_once('-'));
    match name {
        // As KERNEL_ARGUMENTS of targets/machine has them for a kernel that has it built in: a disk, and one to swap to.
        Some((_, "brd")) => c"rd_nr=2 rd_size=4096",
        _ => c"",
    }
}

fn mount(kind: &CStr, device: Option<&CStr>, place: &CStr) -> Result<(), Failure> {
    let path = place.to_str().expect("ASCII");
    fs::create_dir_all(path).doing(&format!("make {path}"))?;
    match sys::mount(kind, device, place) {
        // Mounted already.
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(()),
        result => result.doing(&format!("mount {path}")),
    }
}

/// Puts the disk's image onto a RAM disk, and mounts it.
pub(crate) fn mount_disk() -> Result<(), Failure> {
    let doing = format!("copy {DISK_IMAGE} to {DISK_DEVICE}");
    copy_image().doing(&doing)?;
    // What reads a page reads no other.
    fs::write(READ_AHEAD, "0").doing(&format!("write 0 to {READ_AHEAD}"))?;
    mount(c"ext4", Some(c"/dev/ram0"), c"/disk")
}

fn copy_image() -> io::Result<()> {
    let mut disk = File::options().write(true).open(DISK_DEVICE)?;
    io::copy(&mut File::open(DISK_IMAGE)?, &mut disk)?;
    disk.sync_all()?;
    // Nobody needs it again, and memory is scarce.
    fs::remove_file(DISK_IMAGE)
}

/// Makes swap space of a RAM disk: what is written there is there at once. Nothing goes there before a control group may
/// have something there.
pub(crate) fn make_swap() -> Result<(), Failure> {
    let (path, value) = SWAP_READ_AHEAD;
    fs::write(path, value).doing(&format!("write {value} to {path}"))?;
    if fs::read_to_string(SWAPS).is_ok_and(|swaps| swaps.contains("/dev/ram1")) {
        return Ok(());
    }
    let device = SWAP_DEVICE.to_str().expect("ASCII");
    let disk = File::options().write(true).open(device);
    let written = disk.and_then(|mut disk| disk.write_all(&swap_header()));
    written.doing(&format!("make {device} swap space"))?;
    sys::swap_on(SWAP_DEVICE).doing(&format!("swap to {device}, which takes CONFIG_SWAP"))
}

/// The first page of swap space: `union swap_header`, include/linux/swap.h, version 1.
fn swap_header() -> [u8; PAGE_BYTES as usize] {
    const VERSION_AT: usize = 1024;
    const LAST_PAGE_AT: usize = VERSION_AT + 4;
    const MAGIC: &[u8] = b"SWAPSPACE2";
    let mut page = [0; PAGE_BYTES as usize];
    page[VERSION_AT..LAST_PAGE_AT].copy_from_slice(&1u32.to_ne_bytes());
    page[LAST_PAGE_AT..LAST_PAGE_AT + 4].copy_from_slice(&(SWAP_PAGES - 1).to_ne_bytes());
    let end = page.len();
    page[end - MAGIC.len()..].copy_from_slice(MAGIC);
    page
}

/// Gives the executor and all its descendants their control groups, and their exemption from
/// the killer that comes when memory runs out.
pub(crate) fn take_control() -> Result<(), Failure> {
    be_spared()?;
    cgroup::make()
}

/// Exempts this process and its descendants from the killer that comes when memory runs out: a
/// limit is to refuse, not to kill.
pub(crate) fn be_spared() -> Result<(), Failure> {
    fs::write("/proc/self/oom_score_adj", "-1000").doing("write /proc/self/oom_score_adj")
}

/// Mounts a tmpfs at [`TMPFS`] that only this process and its descendants see.
pub(crate) fn mount_own_tmpfs() -> Result<(), Failure> {
    sys::leave_mounts_of_others().doing("take leave of the mounts of others")?;
    sys::mount(c"tmpfs", None, c"/tmp").doing("mount a tmpfs")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_told_parameters_by_its_name() {
        assert_eq!(parameters(Path::new("/modules/007-brd.ko")), c"rd_nr=2 rd_size=4096");
        assert_eq!(parameters(Path::new("/modules/007-ext4.ko")), c"");
        assert_eq!(parameters(Path::new("/modules/brd.ko")), c"");
    }
}
