//! Outcomes, and the arguments of ops, in C.

use pinfold_contract::{
    Access, Advice, Errno, Handle, Outcome, PAGE_BYTES, Position, Prot, Seals, Span, WcStatus,
};

/// The key of something as C has it.
pub(super) fn rkey(handle: Handle) -> String {
    match handle {
        Handle::Mr(mr) => format!("{mr}.rkey"),
        Handle::Mw(mw) => format!("{mw}.rkey"),
        Handle::OldMw(mw) => format!("{mw}.old"),
    }
}

/// An advice as C has it. Those that older headers lack are numbers.
pub(super) fn advice(advice: Advice) -> String {
    match advice {
        Advice::PopulateRead => "22 /* MADV_POPULATE_READ */".to_owned(),
        Advice::PopulateWrite => "23 /* MADV_POPULATE_WRITE */".to_owned(),
        Advice::Collapse => "25 /* MADV_COLLAPSE */".to_owned(),
        Advice::GuardInstall => "102 /* MADV_GUARD_INSTALL */".to_owned(),
        Advice::GuardRemove => "103 /* MADV_GUARD_REMOVE */".to_owned(),
        Advice::DontNeed
        | Advice::Free
        | Advice::DontFork
        | Advice::DoFork
        | Advice::WipeOnFork
        | Advice::KeepOnFork
        | Advice::Mergeable
        | Advice::Unmergeable
        | Advice::Remove
        | Advice::HugePage
        | Advice::NoHugePage
        | Advice::PageOut
        | Advice::Cold => format!("MADV_{}", advice.to_string().to_uppercase()),
    }
}

/// Seals as C has them.
pub(super) fn seals(seals: Seals) -> String {
    let text = seals.to_string();
    let names: Vec<String> =
        text.split('|').map(|name| format!("F_SEAL_{}", name.to_uppercase())).collect();
    if seals.bits() == 0 { "0".to_owned() } else { names.join(" | ") }
}

/// A length of 64 bits.
pub(super) fn span_length(span: Span) -> String {
    let near = span.range().map(|range| length(range.len_bytes()));
    near.unwrap_or_else(|| format!("{:#x}ul", span.len_bytes))
}

/// An outcome as the C expression that the program compares with.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => quoted("ok"),
        Outcome::Value(runs) => quoted(&runs.to_string()),
        Outcome::Errno(errno) => format!("strerror({})", errno_name(*errno)),
        Outcome::Completion(status) => format!("ibv_wc_status_str({})", status_name(*status)),
        Outcome::Completions { requester, responder } => {
            let text = |status: &WcStatus| format!("ibv_wc_status_str({})", status_name(*status));
            let responder = responder.as_ref().map_or_else(|| quoted("nothing"), text);
            format!("both({}, {responder})", text(requester))
        }
        Outcome::Fault { signal, done_bytes: 0 } => quoted(&signal.to_string()),
        Outcome::Fault { signal, done_bytes } => {
            quoted(&format!("{signal} after {done_bytes} bytes"))
        }
        Outcome::Skipped => quoted("skipped"),
    }
}

/// `text` as a C string.
pub(super) fn quoted(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            '\n' => literal.push_str("\\n"),
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

fn errno_name(errno: Errno) -> String {
    let name = errno.to_string();
    if name.starts_with('E') { name } else { errno.0.to_string() }
}

fn status_name(status: WcStatus) -> String {
    let name = status.to_string();
    if name.starts_with("wc_status") {
        status.0.to_string()
    } else {
        format!("IBV_WC_{}", name.to_uppercase())
    }
}

/// Protection as C has it.
pub(super) fn prot(prot: Prot) -> String {
    let names = [(1, "PROT_READ"), (2, "PROT_WRITE"), (4, "PROT_EXEC")];
    let set: Vec<&str> =
        names.iter().filter(|(bit, _)| prot.bits() & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "PROT_NONE".to_owned() } else { set.join(" | ") }
}

/// Access flags as C has them. Those that older headers lack, and one that no header has, are numbers.
pub(super) fn access(access: Access) -> String {
    if access.0 == 0 {
        return "0".to_owned();
    }
    let named = |flag: u32| -> Option<String> {
        let name = Access(flag).to_string();
        let is_old = !name.starts_with("bit") && !name.starts_with("flush");
        let is_there = is_old && Access(flag) != Access::NON_COHERENT;
        is_there.then(|| format!("IBV_ACCESS_{}", name.to_uppercase()))
    };
    let flags = (0..32).map(|bit| 1_u32 << bit).filter(|flag| access.0 & flag != 0);
    let texts: Vec<String> =
        flags.map(|flag| named(flag).unwrap_or_else(|| format!("(int){flag:#x}"))).collect();
    texts.join(" | ")
}

/// Address of a byte.
pub(super) fn address(at: Position) -> String {
    match at.page_offset() {
        0 => format!("PAGE({})", page_number(at)),
        offset => format!("PAGE({}) + {offset}", page_number(at)),
    }
}

/// The number that the program has for a page: huge ones follow the small ones, and nothing lies behind these.
fn page_number(at: Position) -> u32 {
    if at.is_huge() { at.page_index() } else { at.0 / PAGE_BYTES }
}

/// Address of the byte `offset` bytes from `at`.
pub(super) fn address_from(at: Position, offset: i32) -> String {
    match offset {
        0 => address(at),
        offset if offset < 0 => format!("{} - {}", address(at), offset.unsigned_abs()),
        offset => format!("{} + {offset}", address(at)),
    }
}

/// A length, in pages where it is some.
pub(super) fn length(len_bytes: u32) -> String {
    match len_bytes {
        len if len > PAGE_BYTES && len % PAGE_BYTES == 0 => format!("{} * 4096", len / PAGE_BYTES),
        len => len.to_string(),
    }
}
