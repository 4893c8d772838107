//! Ops and their outcomes in words and in C.

use pinfold_contract::{
    Access, Advice, Backing, ByteRange, Chore, Errno, File, FileKind, Handle, Key, LockScope, Op,
    Outcome, PAGE_BYTES, PageRange, Pd, Position, Prot, RegCall, Seals, Sges, Sharing, Span,
    Target, WcStatus,
};

/// What an op does, for a person. `many` says whether there are several processes to tell apart.
pub(super) fn phrase(op: Op, many: bool) -> String {
    let what = match op {
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Remap { .. }
        | Op::Advise { .. }
        | Op::Lock { .. }
        | Op::Unlock { .. }
        | Op::LockAll { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Force { .. }
        | Op::Fork { .. }
        | Op::Exit { .. } => memory_phrase(op),
        Op::FileWrite { .. }
        | Op::Truncate { .. }
        | Op::Punch { .. }
        | Op::Seal { .. }
        | Op::Limit { .. }
        | Op::IpcLock { .. }
        | Op::MemLimit { .. }
        | Op::Chore { .. } => system_phrase(op),
        Op::Reg { .. }
        | Op::Dereg { .. }
        | Op::Rereg { .. }
        | Op::AllocMw { .. }
        | Op::DeallocMw { .. }
        | Op::Bind { .. }
        | Op::Invalidate { .. }
        | Op::RemoteRead { .. }
        | Op::RemoteWrite { .. }
        | Op::CompareSwap { .. }
        | Op::FetchAdd { .. }
        | Op::Send { .. }
        | Op::Gather { .. }
        | Op::Scatter { .. } => verbs_phrase(op),
    };
    if many { format!("process {}: {what}", op.proc().index()) } else { what }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives the others elsewhere")]
fn memory_phrase(op: Op) -> String {
    match op {
        Op::Map { pages, backing, sharing, prot, populate, .. } => {
            let sharing = match sharing {
                Sharing::Private => "private",
                Sharing::Shared => "shared",
            };
            let backing = match backing {
                Backing::Anon => "anonymous memory".to_owned(),
                Backing::File { file, page } => {
                    format!("{}, from its page {page}", file_words(file))
                }
                Backing::DevZero { page } => format!("/dev/zero, from its page {page}"),
            };
            let populate = if populate { ", populated" } else { "" };
            format!("map {} ({prot}): {sharing} {backing}{populate}", page_range(pages))
        }
        Op::Unmap { pages, .. } => format!("unmap {}", page_range(pages)),
        Op::Protect { pages, prot, .. } => format!("mprotect {}: {prot}", page_range(pages)),
        Op::Remap { from, to, .. } => {
            format!("mremap {} to {}", page_range(from), page_range(to))
        }
        Op::Advise { pages, advice, .. } => format!("madvise {}: {advice}", page_range(pages)),
        Op::Lock { pages, onfault, .. } => {
            format!("mlock {}{}", page_range(pages), if onfault { ", on fault" } else { "" })
        }
        Op::Unlock { pages, .. } => format!("munlock {}", page_range(pages)),
        Op::LockAll { scope: LockScope::None, .. } => "munlockall".to_owned(),
        Op::LockAll { scope, .. } => format!("mlockall: {scope}"),
        Op::Write { at, len_bytes, tag, .. } => {
            format!("the CPU stores {tag:#04x}: {}", bytes_at(at, len_bytes))
        }
        Op::Force { at, len_bytes, tag, .. } => {
            format!("write {tag:#04x} to /proc/self/mem: {}", bytes_at(at, len_bytes))
        }
        Op::Read { at, len_bytes, .. } => format!("the CPU loads {}", bytes_at(at, len_bytes)),
        Op::Fork { child, .. } => format!("fork process {}", child.index()),
        _ => "exit".to_owned(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives the others elsewhere")]
fn system_phrase(op: Op) -> String {
    match op {
        Op::FileWrite { file, at, len_bytes, tag } => {
            format!("write {tag:#04x} to {}: {}", file_words(file), bytes_at(at, len_bytes))
        }
        Op::Truncate { file, end } => format!("truncate {} to {} bytes", file_words(file), end.0),
        Op::Punch { file, range } => {
            format!("punch a hole into {}: {}", file_words(file), byte_range(range))
        }
        Op::Seal { file, seals } => format!("seal {}: {seals}", file_words(file)),
        Op::Limit { bytes: u64::MAX } => "lift RLIMIT_MEMLOCK".to_owned(),
        Op::Limit { bytes } => format!("limit RLIMIT_MEMLOCK to {bytes} bytes"),
        Op::IpcLock { held: true } => "take CAP_IPC_LOCK".to_owned(),
        Op::IpcLock { held: false } => "drop CAP_IPC_LOCK".to_owned(),
        Op::MemLimit { pages: None } => "lift the limit of the memory cgroup".to_owned(),
        Op::MemLimit { pages: Some(count) } => {
            format!("limit registrations to {count} more pages of the memory cgroup")
        }
        Op::Chore { chore: Chore::KsmMerge } => "KSM merges equal pages".to_owned(),
        Op::Chore { chore: Chore::KsmUnmerge } => "KSM unmerges all pages".to_owned(),
        Op::Chore { chore: Chore::Compact } => "compact memory".to_owned(),
        Op::Chore { chore: Chore::Reclaim } => "reclaim memory".to_owned(),
        _ => "drop caches".to_owned(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives the others elsewhere")]
fn verbs_phrase(op: Op) -> String {
    match op {
        Op::Reg { mr, span, access, pd, call } => {
            let how = match call {
                RegCall::Legacy => ", by the old function",
                RegCall::Iova2 { .. } => "",
                RegCall::Raw { .. } => ", by a raw command",
            };
            let iova = call.iova().map(|iova| format!(", iova {iova:#x}")).unwrap_or_default();
            format!("register {mr}: {}, for {access}{}{how}{iova}", span_words(span), in_pd(pd))
        }
        Op::Dereg { mr } => format!("deregister {mr}"),
        Op::Rereg { mr, what, span, access, pd } => {
            let to = format!("{}, for {access}{}", span_words(span), in_pd(pd));
            format!("reregister {mr}, its {what}: {to}")
        }
        Op::AllocMw { mw, kind, pd } => format!("allocate {mw}, {kind}{}", in_pd(pd)),
        Op::DeallocMw { mw } => format!("deallocate {mw}"),
        Op::Bind { mw, mr, offset, len_bytes, access, qp } => {
            format!("bind {mw} to {len_bytes} bytes at {mr}{offset:+}, for {access}{}", over(qp))
        }
        Op::Invalidate { handle, qp } => format!("invalidate {}{}", key_of(handle), over(qp)),
        Op::RemoteRead { target, len_bytes } => {
            format!("RDMA read of {len_bytes} bytes at {}", target_words(target))
        }
        Op::RemoteWrite { target, len_bytes, tag } => {
            format!("RDMA write of {tag:#04x}: {len_bytes} bytes at {}", target_words(target))
        }
        Op::CompareSwap { target, expect, swap } => {
            let target = target_words(target);
            format!("atomic compare and swap of {expect:#x} for {swap:#x} at {target}")
        }
        Op::FetchAdd { target, add } => {
            format!("atomic add of {add:#x} at {}", target_words(target))
        }
        Op::Send { from, to, invalidate, qp } => {
            let invalidate = invalidate
                .map(|handle| format!(", which invalidates {}", key_of(handle)))
                .unwrap_or_default();
            format!("send {}, received in {}{invalidate}{}", list(from), list(to), over(qp))
        }
        Op::Gather { from, target } => {
            format!("RDMA write of {} at {}", list(from), target_words(target))
        }
        Op::Scatter { target, into } => {
            format!("RDMA read into {} at {}", list(into), target_words(target))
        }
        _ => String::new(),
    }
}

fn file_words(file: File) -> String {
    let index = file.index();
    match file.kind() {
        FileKind::Memfd => format!("memory file {index}"),
        FileKind::Tmpfs => "a file on a tmpfs".to_owned(),
        FileKind::Library => "a library".to_owned(),
        FileKind::Disk => "a file on a disk".to_owned(),
    }
}

fn in_pd(pd: Pd) -> &'static str {
    if pd == Pd::FIRST { "" } else { ", in the other protection domain" }
}

fn over(qp: Pd) -> &'static str {
    if qp == Pd::FIRST { "" } else { ", over the other queue pairs" }
}

fn target_words(target: Target) -> String {
    let Target { mr, offset, key, qp } = target;
    format!("{mr}{offset:+}{}{}", key_words(key), over(qp))
}

fn list(sges: Sges) -> String {
    let words: Vec<String> =
        sges.iter().map(|s| format!("{} bytes at {}{:+}", s.len_bytes, s.mr, s.offset)).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(" and ") }
}

fn span_words(span: Span) -> String {
    let far = || format!("{:#x} bytes of page {}", span.len_bytes, span.start.page_index());
    span.range().map_or_else(far, byte_range)
}

fn page_range(pages: PageRange) -> String {
    match (pages.first(), pages.end() - 1) {
        (first, last) if first == last => format!("page {first}"),
        (first, last) => format!("pages {first} to {last}"),
    }
}

fn bytes_at(at: Position, len_bytes: u32) -> String {
    format!("{len_bytes} bytes of page {}{}", at.page_index(), from_byte(at))
}

fn byte_range(range: ByteRange) -> String {
    bytes_at(range.start(), range.len_bytes())
}

fn from_byte(at: Position) -> String {
    if at.page_offset() == 0 {
        String::new()
    } else {
        format!(", from byte {} on", at.page_offset())
    }
}

fn key_words(key: Key) -> String {
    match key {
        Key::Own => String::new(),
        Key::Stale => " with a wrong key".to_owned(),
        Key::Of(handle) => format!(" with {}", key_of(handle)),
    }
}

fn key_of(handle: Handle) -> String {
    match handle {
        Handle::Mr(mr) => format!("the key of {mr}"),
        Handle::Mw(mw) => format!("the key of {mw}"),
        Handle::OldMw(mw) => format!("the old key of {mw}"),
    }
}

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

/// Access flags as C has them. Those that older headers lack are numbers.
pub(super) fn access(access: Access) -> String {
    if access.0 == 0 {
        return "0".to_owned();
    }
    let named = |flag: u32| -> Option<String> {
        let name = Access(flag).to_string();
        let is_old = !name.starts_with("bit") && !name.starts_with("flush");
        is_old.then(|| format!("IBV_ACCESS_{}", name.to_uppercase()))
    };
    let flags = (0..32).map(|bit| 1_u32 << bit).filter(|flag| access.0 & flag != 0);
    let texts: Vec<String> =
        flags.map(|flag| named(flag).unwrap_or_else(|| format!("(int){flag:#x}"))).collect();
    texts.join(" | ")
}

/// Address of a byte.
pub(super) fn address(at: Position) -> String {
    match at.page_offset() {
        0 => format!("PAGE({})", at.page_index()),
        offset => format!("PAGE({}) + {offset}", at.page_index()),
    }
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
