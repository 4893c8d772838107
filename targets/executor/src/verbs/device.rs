//! The RDMA device: finding it, waiting for it, opening it.

use std::ffi::CStr;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use rdma_sys as ffi;

use super::context;
use crate::failure::{Doing, Failure};

/// rxe has one port.
pub(super) const PORT: u8 = 1;

/// How long the port may take to come up.
const PORT_DEADLINE: Duration = Duration::from_secs(20);

/// How one queue pair reaches the other: the address of the port itself.
#[derive(Clone, Copy)]
pub(super) struct Route {
    /// The address, as a RoCE v2 GID.
    pub(super) gid: ffi::ibv_gid,
    /// Its place in the port's table.
    pub(super) gid_index: u8,
    /// `ibv_mtu` of the port.
    pub(super) mtu: u32,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gid index {}, mtu {}", self.gid_index, self.mtu)
    }
}

/// An RDMA device whose port is up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    raw: *mut ffi::ibv_device,
    route: Route,
}

impl Device {
    /// Finds the device `name` and waits until its port is up and has the GID of `address`, or of any address of IPv4.
    pub(crate) fn find(name: &str, address: Option<Ipv4Addr>) -> Result<Device, Failure> {
        let raw = find(name)?;
        let context = open(raw)?;
        let route = wait_for_route(context, name, address);
        // SAFETY: `context` is open, and nothing was made in it.
        unsafe { ffi::ibv_close_device(context) };
        Ok(Device { raw, route: route? })
    }

    /// Opens it.
    pub(super) fn open(self) -> Result<*mut ffi::ibv_context, Failure> {
        open(self.raw)
    }

    /// How its queue pairs reach each other.
    pub(super) fn route(self) -> Route {
        self.route
    }

    /// What it can do, for a person.
    pub(crate) fn describe(self) -> Result<String, Failure> {
        let context = self.open()?;
        // SAFETY: `context` is an open device.
        let attributes = unsafe { context::query_device(context) };
        // SAFETY: `context` is open, and nothing was made in it.
        unsafe { ffi::ibv_close_device(context) };
        let attributes = attributes.doing("query the RDMA device")?;
        Ok(format!(
            "max_mr {}, on-demand paging {:#x}, {:?}",
            attributes.orig_attr.max_mr, attributes.odp_caps.general_caps, self.route
        ))
    }
}

/// Takes the providers that are linked in. libibverbs otherwise loads them from files.
fn register_providers() {
    #[cfg(static_providers)]
    {
        unsafe extern "C" {
            static verbs_provider_rxe: [u8; 0];
            fn ibv_static_providers(unused: *mut libc::c_void, ...);
        }
        let end = std::ptr::null::<u8>();
        // SAFETY: a list of providers that ends with a null pointer, as libibverbs wants it.
        unsafe {
            ibv_static_providers(
                std::ptr::null_mut(),
                (&raw const verbs_provider_rxe).cast::<u8>(),
                end,
            );
        }
    }
}

fn find(name: &str) -> Result<*mut ffi::ibv_device, Failure> {
    register_providers();
    let mut count = 0;
    // SAFETY: `count` outlives the call. The list is never freed: the device is used until the end.
    let list = unsafe { ffi::ibv_get_device_list(&raw mut count) };
    if list.is_null() {
        return Err(io::Error::last_os_error()).doing("list RDMA devices");
    }
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the list has so many entries.
    let devices = unsafe { std::slice::from_raw_parts(list, count) };
    devices
        .iter()
        .copied()
        .find(|&device| {
            // SAFETY: a device of the list has a name that ends with a zero byte.
            unsafe { CStr::from_ptr(ffi::ibv_get_device_name(device)) }.to_bytes()
                == name.as_bytes()
        })
        .ok_or_else(|| Failure::State(format!("there is no RDMA device {name} among {count}")))
}

fn open(device: *mut ffi::ibv_device) -> Result<*mut ffi::ibv_context, Failure> {
    // SAFETY: `device` is of a list that was not freed.
    let context = unsafe { ffi::ibv_open_device(device) };
    if context.is_null() {
        return Err(io::Error::last_os_error()).doing("open the RDMA device");
    }
    Ok(context)
}

fn wait_for_route(
    context: *mut ffi::ibv_context,
    name: &str,
    address: Option<Ipv4Addr>,
) -> Result<Route, Failure> {
    let start = Instant::now();
    loop {
        let port = query_port(context).doing("query the RDMA port")?;
        let active = port.state == ffi::ibv_port_state::IBV_PORT_ACTIVE;
        let gids = u8::try_from(port.gid_tbl_len).unwrap_or(u8::MAX);
        let entry = (0..gids).find_map(|index| Some((index, gid(context, name, index, address)?)));
        match entry {
            Some((gid_index, gid)) if active => {
                return Ok(Route { gid, gid_index, mtu: port.active_mtu });
            }
            _ if start.elapsed() > PORT_DEADLINE => {
                let state = port.state;
                return Err(Failure::State(format!(
                    "the RDMA port stays in state {state}, or has no RoCE v2 address of IPv4"
                )));
            }
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn query_port(context: *mut ffi::ibv_context) -> io::Result<ffi::ibv_port_attr> {
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut port: ffi::ibv_port_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the library writes the older, shorter form of `port`, which begins in the same way.
    match unsafe { ffi::ibv_query_port(context, PORT, (&raw mut port).cast()) } {
        0 => Ok(port),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Entry `index` of the port's table, if it is the RoCE v2 GID of `address`, or of any address of IPv4.
fn gid(
    context: *mut ffi::ibv_context,
    name: &str,
    index: u8,
    address: Option<Ipv4Addr>,
) -> Option<ffi::ibv_gid> {
    let mut gid = ffi::ibv_gid { raw: [0; 16] };
    // SAFETY: `gid` outlives the call.
    if unsafe { ffi::ibv_query_gid(context, PORT, i32::from(index), &raw mut gid) } != 0 {
        return None;
    }
    // SAFETY: every value of the union is sixteen bytes.
    let found = Ipv6Addr::from(unsafe { gid.raw }).to_ipv4_mapped()?;
    if address.is_some_and(|address| address != found) {
        return None;
    }
    let kind = format!("/sys/class/infiniband/{name}/ports/{PORT}/gid_attrs/types/{index}");
    let kind = std::fs::read_to_string(kind).ok()?;
    (kind.trim_ascii() == "RoCE v2").then_some(gid)
}
