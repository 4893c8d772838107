//! Which features one sequence has.

use pinfold_contract::{File, OpKind};

use crate::draw::Draw;

/// What is switched on.
pub(super) struct Swarm {
    off: Vec<OpKind>,
    /// Files that may be mapped.
    pub(super) files: Vec<File>,
    pub(super) shared: bool,
    pub(super) populate: bool,
    pub(super) dev_zero: bool,
    pub(super) odd_access: bool,
    pub(super) odd_prots: bool,
    pub(super) odd_spans: bool,
    pub(super) wrong_keys: bool,
    pub(super) motifs: bool,
    /// Both protection domains.
    pub(super) pds: bool,
    /// Other ways to register, and other iovas.
    pub(super) reg_calls: bool,
    /// Children act as often as their parent.
    pub(super) busy_children: bool,
    /// Merging of equal pages.
    pub(super) ksm: bool,
    /// The chores that have nothing to do with merging.
    pub(super) chores: bool,
    /// Many MRs and a long sequence.
    pub(super) crowd: bool,
}

/// Classic kinds that can be switched off, each in one sequence of how many. The
/// other classic ones are what every sequence is made of.
const OPTIONAL: [(OpKind, u32); 9] = [
    (OpKind::Unmap, 3),
    (OpKind::Protect, 3),
    (OpKind::Read, 3),
    (OpKind::Fork, 3),
    (OpKind::Exit, 4),
    (OpKind::Limit, 2),
    (OpKind::Dereg, 4),
    (OpKind::RemoteRead, 6),
    (OpKind::RemoteWrite, 4),
];

/// Kinds that go together, each group in how many of 52 sequences that have more
/// than the classic kinds.
const GROUPS: [(&[OpKind], u32); 13] = [
    (&[OpKind::Remap], 24),
    (&[OpKind::Advise], 36),
    (&[OpKind::Lock, OpKind::Unlock, OpKind::LockAll], 24),
    (&[OpKind::IpcLock], 20),
    (&[OpKind::Force], 20),
    (&[OpKind::FileWrite], 20),
    (&[OpKind::Truncate, OpKind::Punch], 26),
    (&[OpKind::Rereg], 20),
    (&[OpKind::AllocMw, OpKind::DeallocMw, OpKind::Bind, OpKind::Invalidate], 24),
    (&[OpKind::CompareSwap, OpKind::FetchAdd], 20),
    (&[OpKind::Send, OpKind::Gather, OpKind::Scatter], 20),
    // Slow: an executor waits for what it changes.
    (&[OpKind::Seal], 4),
    (&[OpKind::MemLimit], 4),
];

impl Swarm {
    pub(super) fn draw(draw: &mut Draw) -> Swarm {
        let is_classic = draw.one_in(3);
        let is_off = OPTIONAL.iter().filter(|(_, count)| draw.one_in(*count));
        let mut off: Vec<OpKind> = is_off.map(|(kind, _)| *kind).collect();
        for (kinds, count) in GROUPS {
            if draw.below_u32(52) >= count || is_classic {
                off.extend(kinds);
            }
        }
        // A merge takes longer than all else in a sequence together.
        let ksm = draw.one_in(28) && !is_classic;
        let chores = draw.one_in(26) && !is_classic;
        if !ksm && !chores {
            off.push(OpKind::Chore);
        }
        Swarm {
            off,
            files: files(draw),
            shared: !draw.one_in(3),
            populate: draw.one_in(3),
            dev_zero: draw.one_in(6),
            odd_access: draw.one_in(3),
            odd_prots: draw.one_in(3),
            odd_spans: draw.one_in(4),
            wrong_keys: draw.one_in(2),
            motifs: !draw.one_in(3),
            pds: draw.one_in(4),
            reg_calls: draw.one_in(3),
            busy_children: draw.one_in(4),
            ksm,
            chores,
            crowd: draw.one_in(50),
        }
    }

    pub(super) fn has(&self, kind: OpKind) -> bool {
        !self.off.contains(&kind)
    }
}

/// No file in every third sequence, else mostly the memory files, often others.
fn files(draw: &mut Draw) -> Vec<File> {
    if draw.one_in(3) {
        return Vec::new();
    }
    let mut files: Vec<File> =
        File::all().filter(|file| draw.one_in(if file.index() < 2 { 2 } else { 3 })).collect();
    if files.is_empty() {
        files.extend(File::all().take(2));
    }
    files
}
