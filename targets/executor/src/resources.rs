//! What the resource tracker and the rdma control group count of an RDMA device.

use std::io;

use pinfold_contract::RdmaCounts;

use crate::cgroup::RdmaObjects;
use crate::failure::{Doing, Failure};
use crate::netlink::{self, Socket};

/// `RDMA_NL_NLDEV << 10 | RDMA_NLDEV_CMD_RES_GET` of rdma/rdma_netlink.h.
const RES_GET: u16 = 5 << 10 | 9;
const DEVICE_INDEX: u16 = 1;
const DEVICE_NAME: u16 = 2;
const SUMMARY: u16 = 15;
const SUMMARY_ENTRY: u16 = 16;
const ENTRY_NAME: u16 = 17;
const ENTRY_COUNT: u16 = 18;

/// Indices among which the device is looked for.
const DEVICES_MAX: u32 = 16;

/// Room for an answer, in bytes.
const ANSWER_BYTES: usize = 1 << 10;

/// The counters of one device.
#[derive(Debug)]
pub(crate) struct Resources {
    device: &'static str,
    socket: Socket,
    question: Vec<u8>,
    objects: RdmaObjects,
}

impl Resources {
    /// Those of `device`.
    pub(crate) fn open(device: &'static str) -> Result<Resources, Failure> {
        let socket = Socket::open(libc::NETLINK_RDMA).doing("open a netlink socket")?;
        let mut answer = [0; ANSWER_BYTES];
        let question = (0..DEVICES_MAX).map(question).find(|question| {
            let len = socket.ask(question, &mut answer);
            len.is_ok_and(|len| name(&answer[..len]) == Some(device.as_bytes()))
        });
        let question = question
            .ok_or_else(|| Failure::State(format!("the resource tracker has no {device}")))?;
        Ok(Resources { device, socket, question, objects: RdmaObjects::open()? })
    }

    /// What there is now.
    pub(crate) fn counts(&self) -> Result<RdmaCounts, Failure> {
        let mut answer = [0; ANSWER_BYTES];
        let len = self.socket.ask(&self.question, &mut answer).doing("count RDMA resources")?;
        let mrs = count(&answer[..len], b"mr")
            .ok_or_else(|| io::Error::other("no count of MRs"))
            .doing("count RDMA resources")?;
        Ok(RdmaCounts { mrs, cgroup_objects: self.objects.count(self.device)? })
    }
}

/// What is more in `now` than in `before`.
pub(crate) fn difference(now: RdmaCounts, before: RdmaCounts) -> RdmaCounts {
    RdmaCounts {
        mrs: now.mrs - before.mrs,
        cgroup_objects: now.cgroup_objects - before.cgroup_objects,
    }
}

fn question(index: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    netlink::push_attribute(&mut payload, DEVICE_INDEX, &index.to_ne_bytes());
    netlink::message(RES_GET, netlink::FLAG_REQUEST, &payload)
}

/// The device that an answer is about.
fn name(answer: &[u8]) -> Option<&[u8]> {
    let mut attributes = netlink::attributes(netlink::payload(answer, RES_GET)?);
    attributes.find(|(kind, _)| *kind == DEVICE_NAME)?.1.strip_suffix(&[0])
}

/// How many resources of the kind `wanted` there are.
fn count(answer: &[u8], wanted: &[u8]) -> Option<i64> {
    let mut attributes = netlink::attributes(netlink::payload(answer, RES_GET)?);
    let summary = attributes.find(|(kind, _)| *kind == SUMMARY)?.1;
    let entries = netlink::attributes(summary).filter(|(kind, _)| *kind == SUMMARY_ENTRY);
    entries.into_iter().find_map(|(_, entry)| {
        let part = |kind| netlink::attributes(entry).find(|(k, _)| *k == kind).map(|(_, v)| v);
        let number = part(ENTRY_COUNT)?;
        (part(ENTRY_NAME)?.strip_suffix(&[0])? == wanted)
            .then(|| i64::from_ne_bytes(number.try_into().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8], count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        netlink::push_attribute(&mut bytes, ENTRY_NAME, name);
        netlink::push_attribute(&mut bytes, ENTRY_COUNT, &count.to_ne_bytes());
        bytes
    }

    #[test]
    fn the_answer_names_the_device_and_counts_each_kind() {
        let mut summary = Vec::new();
        netlink::push_attribute(&mut summary, SUMMARY_ENTRY, &entry(b"pd\0", 3));
        netlink::push_attribute(&mut summary, SUMMARY_ENTRY, &entry(b"mr\0", 7));
        let mut payload = Vec::new();
        netlink::push_attribute(&mut payload, DEVICE_INDEX, &0u32.to_ne_bytes());
        netlink::push_attribute(&mut payload, DEVICE_NAME, b"rxe0\0");
        netlink::push_attribute(&mut payload, SUMMARY, &summary);
        let answer = netlink::message(RES_GET, 0, &payload);
        assert_eq!(name(&answer), Some(b"rxe0".as_slice()));
        assert_eq!(count(&answer, b"mr"), Some(7));
        assert_eq!(count(&answer, b"qp"), None);
        assert_eq!(count(&answer[..20], b"mr"), None);
    }
}
