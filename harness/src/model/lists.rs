//! Scatter/gather lists: sends, gathering writes, scattering reads.
//!
//! A message moves in packets. Each packet is gathered, checked and scattered on its own, entry
//! by entry, and what was moved before a bad entry stays moved.
//!
//! Source: `copy_data()`, drivers/infiniband/sw/rxe/rxe_mr.c; `rxe_requester()` and
//! `finish_packet()`, rxe_req.c; `send_data_in()`, rxe_resp.c; `do_read()`, rxe_comp.c, 6.1 and 6.12.

use pinfold_contract::{Access, Handle, Mr, Outcome, Pd, Runs, Sges, Target, WcStatus};

use super::state::State;
use super::window::Invalidated;
use super::{Fault, Prediction};

/// Most bytes of a packet: the InfiniBand MTU that fits an Ethernet MTU of 1500.
pub(super) const PACKET_BYTES: u32 = 1024;

/// Most bytes of a message (C9-94).
const MESSAGE_BYTES: u64 = 1 << 31;

/// A send and its receive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) from: Sges,
    pub(super) to: Sges,
    pub(super) invalidate: Option<Handle>,
    pub(super) qp: Pd,
}

/// Bytes of a live MR.
#[derive(Clone, Copy, Debug)]
struct Piece {
    mr: Mr,
    offset: u32,
    len_bytes: u32,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    /// Its key names no live MR of the protection domain with the right.
    Key,
    /// Its bytes are not all in the MR.
    Range,
    /// The list ends before the message does.
    Short,
}

/// The entries of a list in one packet, up to the first bad one.
#[derive(Clone, Debug, Default)]
struct Packet {
    pieces: Vec<Piece>,
    bad: Option<Bad>,
}

/// A list cut into packets, up to the first that is bad.
#[derive(Clone, Debug)]
struct Cut {
    packets: Vec<Packet>,
    /// What is wrong with the last one.
    bad: Option<Bad>,
}

impl Cut {
    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.packets.iter().flat_map(|packet| &packet.pieces)
    }

    /// The packets before the bad one. They are on their way when it is found to be bad, and
    /// arrive: the executor lets them before it resets the queue pairs.
    fn good(&self) -> &[Packet] {
        &self.packets[..self.packets.len() - usize::from(self.bad.is_some())]
    }
}

impl State<'_> {
    /// RDMA write from a list.
    pub(super) fn gather(&mut self, from: Sges, target: Target) -> Prediction {
        let total = from.len_bytes();
        if total == 0 {
            // C9-88 for the target; an entry of no bytes has nothing to check.
            return Prediction::only(Outcome::Done);
        }
        let refused = Outcome::Completion(WcStatus::REM_ACCESS_ERR);
        if total > MESSAGE_BYTES {
            return self.too_long();
        }
        let cut = self.cut(&from, total, target.qp, Access(0));
        let granted = self.granted(target, total, Access::REMOTE_WRITE);
        let Some(bad) = cut.bad else {
            return match granted {
                Some((mr, offset)) => self.gather_all(&cut, mr, offset),
                // Nothing is written. 6.1 may find the list bad where an MR of it goes around.
                None if self.goes_around(&cut) => {
                    let local = [WcStatus::LOC_PROT_ERR, WcStatus::LOC_QP_OP_ERR];
                    Prediction::any_of(refused, local.map(Outcome::Completion).into())
                }
                None => Prediction::only(refused),
            };
        };
        let status = self.local_status(bad);
        let mut others = other_local_statuses(status);
        let races = granted.is_some_and(|(mr, offset)| self.deliver(&cut, mr, offset));
        if granted.is_none() {
            others.push(refused);
        } else if races {
            others.push(refused);
            return Prediction::unordered(Outcome::Completion(status), others);
        }
        Prediction::any_of(Outcome::Completion(status), others)
    }

    fn gather_all(&mut self, cut: &Cut, mr: Mr, offset: u32) -> Prediction {
        done_unless(self.deliver(cut, mr, offset))
    }

    /// Moves the good packets to `mr`. Says whether what that leaves depends on their order.
    fn deliver(&mut self, cut: &Cut, mr: Mr, offset: u32) -> bool {
        let good = cut.good();
        let len = |packet: &Packet| packet.pieces.iter().map(|piece| piece.len_bytes).sum::<u32>();
        let there = packets_of(mr, offset, good.iter().map(len).sum());
        self.transfer(good, &there)
    }

    /// RDMA read into a list. The remote side is asked for all the bytes first.
    pub(super) fn scatter(&mut self, target: Target, into: Sges) -> Prediction {
        let total = into.len_bytes();
        if total == 0 {
            return Prediction::only(Outcome::Done);
        }
        if total > MESSAGE_BYTES {
            return self.too_long();
        }
        let bad_list = Outcome::Completion(WcStatus::LOC_PROT_ERR);
        let Some((mr, offset)) = self.granted(target, total, Access::REMOTE_READ) else {
            let refused = Outcome::Completion(WcStatus::REM_ACCESS_ERR);
            let cut = self.cut(&into, total, target.qp, Access::LOCAL_WRITE);
            return Prediction::any_of(refused, cut.bad.map(|_| bad_list).into_iter().collect());
        };
        let cut = self.cut(&into, total, target.qp, Access::LOCAL_WRITE);
        let there = packets_of(mr, offset, u32::try_from(total).unwrap_or(u32::MAX));
        let races = self.transfer(&there, &cut.packets);
        match cut.bad {
            None => done_unless(races),
            Some(_) if self.mrs[&mr].wraps() => {
                // What is behind the end of the addresses may be refused before the list is.
                let refused = Outcome::Completion(WcStatus::REM_ACCESS_ERR);
                Prediction::unordered(bad_list, vec![refused])
            }
            Some(_) if races => Prediction::unordered(bad_list, Vec::new()),
            Some(_) => Prediction::only(bad_list),
        }
    }

    /// A send and its receive.
    pub(super) fn send(&mut self, message: &Message) -> Prediction {
        let total = message.from.len_bytes();
        if total > MESSAGE_BYTES || message.to.len_bytes() > MESSAGE_BYTES {
            return self.open_to_send(None, message.invalidate);
        }
        let from = self.cut(&message.from, total, message.qp, Access(0));
        let to = self.cut(&message.to, total, message.qp, Access::LOCAL_WRITE);
        if self.goes_around(&from) || self.goes_around(&to) {
            return self.open_to_send(not_received(&from, &to), message.invalidate);
        }
        if let Some(bad) = from.bad {
            return self.send_fails_locally(&from, &to, bad);
        }
        let races = self.transfer(from.good(), &to.packets);
        let prediction = match (to.bad, message.invalidate) {
            (Some(bad), _) => receive_fails(bad),
            (None, Some(handle)) => self.invalidate_remotely(handle, message.qp),
            (None, None) => Prediction::only(Outcome::Done),
        };
        if races {
            return Prediction::unordered(
                prediction.expected().clone(),
                prediction.others().to_vec(),
            );
        }
        prediction
    }

    /// The packets before the bad one arrive. Where one of them cannot be received, 6.1, which
    /// handles each packet before it makes the next, tells the sender that; 6.12 makes them all first.
    fn send_fails_locally(&mut self, from: &Cut, to: &Cut, bad: Bad) -> Prediction {
        let races = self.transfer(from.good(), &to.packets);
        let not_received = not_received(from, to);
        let status = self.local_status(bad);
        let responder = not_received.map(|_| WcStatus::LOC_QP_OP_ERR);
        let expected = Outcome::Completions { requester: status, responder };
        let mut others: Vec<Outcome> =
            other_local_statuses(status).into_iter().map(unreceived).collect();
        if let Some(bad) = not_received {
            let receive = receive_fails(bad);
            others.push(unreceived(Outcome::Completion(status)));
            others.push(receive.expected().clone());
            others.extend(receive.others().iter().cloned());
        }
        if races {
            return Prediction::unordered(expected, others);
        }
        Prediction::any_of(expected, others)
    }

    /// The receiver invalidates when everything has arrived. If it cannot, the bytes are there
    /// and the sender has its acknowledgement; the receive alone fails (class J).
    ///
    /// Source: `execute()` and `rxe_responder()`, drivers/infiniband/sw/rxe/rxe_resp.c, 6.1;
    /// `rxe_receiver()`, 6.12.
    fn invalidate_remotely(&mut self, handle: Handle, qp: Pd) -> Prediction {
        match self.invalidate(handle, qp) {
            Invalidated::Yes => Prediction::only(Outcome::Done),
            Invalidated::No => {
                let [refused, others @ ..] = not_invalidated();
                Prediction::any_of(refused, others.into())
            }
            Invalidated::WasFree => {
                let [refused, ..] = not_invalidated();
                Prediction::any_of(Outcome::Done, vec![refused])
            }
        }
    }

    /// Cuts the first `total` bytes of a list into packets. There is always one.
    fn cut(&self, sges: &Sges, total: u64, qp: Pd, right: Access) -> Cut {
        let mut cut = Cut { packets: Vec::new(), bad: None };
        let mut start = 0;
        while cut.bad.is_none() && (start < total || cut.packets.is_empty()) {
            let end = total.min(start + u64::from(PACKET_BYTES));
            let packet = self.packet(sges, start, end, qp, right);
            cut.bad = packet.bad;
            cut.packets.push(packet);
            start = end;
        }
        cut
    }

    /// The bytes `start..end` of a list. An entry of no bytes is not looked at. A packet that
    /// is longer than the rest of the list is refused before any of it is moved.
    fn packet(&self, sges: &Sges, start: u64, end: u64, qp: Pd, right: Access) -> Packet {
        let mut packet = Packet::default();
        if end > sges.len_bytes() {
            packet.bad = Some(Bad::Short);
            return packet;
        }
        let mut at = 0;
        for sge in sges.iter() {
            let (from, to) = (start.max(at), end.min(at + u64::from(sge.len_bytes)));
            if from < to && packet.bad.is_none() {
                let address = self.address(sge.mr, sge.offset).wrapping_add(from - at);
                match self.piece(sge.mr, address, to - from, qp, right) {
                    Ok(piece) => packet.pieces.push(piece),
                    Err(bad) => packet.bad = Some(bad),
                }
            }
            at += u64::from(sge.len_bytes);
        }
        packet
    }

    /// Source: `lookup_mr()`, drivers/infiniband/sw/rxe/rxe_mr.c, 6.1 and 6.12.
    fn piece(&self, mr: Mr, address: u64, len: u64, qp: Pd, right: Access) -> Result<Piece, Bad> {
        let state = &self.mrs[&mr];
        if !state.live || state.pd != qp || !state.access.has(right) {
            return Err(Bad::Key);
        }
        let offset = state.offset_of(address, len).ok_or(Bad::Range)?;
        Ok(Piece { mr, offset, len_bytes: u32::try_from(len).map_err(|_| Bad::Range)? })
    }

    fn gathered(&self, packet: &Packet) -> Runs {
        let mut bytes = Runs::default();
        for piece in &packet.pieces {
            bytes.append(&self.adapter_bytes(&self.mrs[&piece.mr], piece.offset, piece.len_bytes));
        }
        bytes
    }

    fn scattered(&mut self, packet: &Packet, bytes: &Runs) {
        let mut at = 0;
        let lost = usize::from(self.has(Fault::ListEntryLost) && packet.pieces.len() > 1);
        for piece in &packet.pieces[..packet.pieces.len() - lost] {
            self.adapter_store(piece.mr, piece.offset, &bytes.slice(at, at + piece.len_bytes));
            at += piece.len_bytes;
        }
    }

    /// Moves packets. Says whether what that leaves is open: where MRs overlap it makes a
    /// difference whether a packet is gathered before those in front of it have arrived, and
    /// there are MRs that go around the end of the addresses. Bytes that have no place make none.
    fn transfer(&mut self, from: &[Packet], to: &[Packet]) -> bool {
        let pairs = || from.iter().zip(to);
        let mut pieces = pairs().flat_map(|(from, to)| from.pieces.iter().chain(&to.pieces));
        let mut open = pieces.any(|piece| self.mrs[&piece.mr].wraps());
        let before: Vec<Runs> = from.iter().map(|packet| self.gathered(packet)).collect();
        for ((from, to), before) in pairs().zip(before) {
            let bytes = self.gathered(from);
            let stored = to.pieces.iter().map(|piece| piece.len_bytes).sum();
            open |= bytes.slice(0, stored) != before.slice(0, stored);
            self.scattered(to, &bytes);
        }
        open
    }

    /// Whether some of the list is in an MR whose addresses go around.
    fn goes_around(&self, cut: &Cut) -> bool {
        cut.pieces().any(|piece| self.mrs[&piece.mr].wraps())
    }

    /// The status of a list that cannot be gathered.
    fn local_status(&self, bad: Bad) -> WcStatus {
        match bad {
            Bad::Range => self.profile.local_range_status,
            Bad::Key | Bad::Short => WcStatus::LOC_QP_OP_ERR,
        }
    }

    /// No message is so long. What is said of it, and by whom, is not followed.
    fn too_long(&self) -> Prediction {
        let statuses = [
            self.profile.local_range_status,
            WcStatus::LOC_QP_OP_ERR,
            WcStatus::LOC_PROT_ERR,
            WcStatus::LOC_LEN_ERR,
            WcStatus::REM_INV_REQ_ERR,
            WcStatus::REM_ACCESS_ERR,
        ];
        let mut outcomes: Vec<Outcome> = statuses.map(Outcome::Completion).into();
        outcomes.extend([Outcome::Done, Outcome::Errno(pinfold_contract::Errno::EINVAL)]);
        Prediction::unordered(outcomes.remove(0), outcomes)
    }

    /// The same of a send, which may go over an MR whose addresses go around as well. What cannot be
    /// received fails, whatever becomes of the packets behind it.
    fn open_to_send(&self, not_received: Option<Bad>, invalidate: Option<Handle>) -> Prediction {
        let long = self.too_long();
        let sent = |outcome: &Outcome| unreceived(outcome.clone());
        let received = receive_fails(not_received.unwrap_or(Bad::Short));
        let requester = self.profile.local_range_status;
        let alone = sent(long.expected());
        let both = Outcome::Completions { requester, responder: Some(WcStatus::LOC_QP_OP_ERR) };
        let (expected, other) = if not_received.is_some() { (both, alone) } else { (alone, both) };
        let mut others: Vec<Outcome> = long.others().iter().map(sent).collect();
        others.extend([other, received.expected().clone()]);
        others.extend(received.others().iter().cloned());
        if invalidate.is_some() {
            others.extend(not_invalidated());
        }
        Prediction::unordered(expected, others)
    }
}

/// The packets that so many bytes of an MR go in.
fn packets_of(mr: Mr, offset: u32, len_bytes: u32) -> Vec<Packet> {
    let packet = |start: u32| {
        let len_bytes = PACKET_BYTES.min(len_bytes - start);
        Packet { pieces: vec![Piece { mr, offset: offset + start, len_bytes }], bad: None }
    };
    (0..len_bytes).step_by(PACKET_BYTES as usize).map(packet).collect()
}

/// The statuses that the specification gives a bad list, where rxe gives `status`.
fn other_local_statuses(status: WcStatus) -> Vec<Outcome> {
    let statuses = [WcStatus::LOC_PROT_ERR, WcStatus::LOC_QP_OP_ERR];
    statuses.into_iter().filter(|other| *other != status).map(Outcome::Completion).collect()
}

/// The outcome of a send that nobody received, from that of its work request.
fn unreceived(outcome: Outcome) -> Outcome {
    if let Outcome::Completion(requester) = outcome {
        return Outcome::Completions { requester, responder: None };
    }
    outcome
}

/// What is wrong with the packet that cannot be received, if it leaves the sender.
fn not_received(from: &Cut, to: &Cut) -> Option<Bad> {
    to.bad.filter(|_| to.packets.len() <= from.good().len())
}

/// A send whose key cannot be invalidated: as rxe says it first, then as it may be said.
fn not_invalidated() -> [Outcome; 4] {
    [
        (WcStatus::SUCCESS, WcStatus::REM_INV_REQ_ERR),
        (WcStatus::REM_INV_REQ_ERR, WcStatus::REM_INV_REQ_ERR),
        (WcStatus::REM_ACCESS_ERR, WcStatus::REM_INV_REQ_ERR),
        (WcStatus::REM_OP_ERR, WcStatus::LOC_QP_OP_ERR),
    ]
    .map(|(requester, responder)| Outcome::Completions { requester, responder: Some(responder) })
}

/// A receive that cannot take what is sent. rxe gives one pair of statuses for all of it, the
/// specification names the length and the protection.
fn receive_fails(bad: Bad) -> Prediction {
    let pair =
        |requester, responder| Outcome::Completions { requester, responder: Some(responder) };
    let expected = pair(WcStatus::REM_OP_ERR, WcStatus::LOC_QP_OP_ERR);
    let spec = match bad {
        Bad::Key | Bad::Range => pair(WcStatus::REM_OP_ERR, WcStatus::LOC_PROT_ERR),
        Bad::Short => pair(WcStatus::REM_INV_REQ_ERR, WcStatus::LOC_LEN_ERR),
    };
    Prediction::any_of(expected, vec![spec])
}

/// It worked; if it raced, nobody knows what it left, or whether it was refused half way.
fn done_unless(races: bool) -> Prediction {
    if races {
        let others = [WcStatus::REM_ACCESS_ERR, WcStatus::LOC_QP_OP_ERR, WcStatus::LOC_PROT_ERR];
        return Prediction::unordered(Outcome::Done, others.map(Outcome::Completion).into());
    }
    Prediction::only(Outcome::Done)
}
