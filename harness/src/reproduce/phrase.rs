//! Ops in words.

use pinfold_contract::{
    Access, Backing, ByteRange, Chore, File, FileKind, Handle, Key, LockScope, Mr, Op, PageRange,
    Pd, Position, Prot, RegCall, Rereg, Sges, Sharing, Span, Target, page_name,
};

/// What an op does, for a person. `many` says whether there are several processes to tell apart.
pub(super) fn phrase(op: Op, many: bool) -> String {
    let what = what(op);
    if many { format!("process {}: {what}", op.proc().index()) } else { what }
}

fn what(op: Op) -> String {
    match op {
        Op::Map { pages, backing, sharing, prot, populate, .. } => {
            map(pages, backing, (sharing, prot), populate)
        }
        Op::Unmap { pages, .. } => format!("unmap {}", page_range(pages)),
        Op::Protect { pages, prot, .. } => format!("mprotect {}: {prot}", page_range(pages)),
        Op::Write { at, len_bytes, tag, .. } => {
            format!("the CPU stores {tag:#04x}: {}", bytes_at(at, len_bytes))
        }
        Op::Read { at, len_bytes, .. } => format!("the CPU loads {}", bytes_at(at, len_bytes)),
        Op::Fork { child, .. } => format!("fork process {}", child.index()),
        Op::Exit { .. } => "exit".to_owned(),
        Op::Limit { bytes } => limit(bytes),
        Op::Reg { mr, span, access, pd, call } => reg(mr, span, access, pd, call),
        Op::Dereg { mr } => format!("deregister {mr}"),
        Op::RemoteRead { target, len_bytes } => {
            format!("RDMA read of {len_bytes} bytes at {}", target_words(target))
        }
        Op::RemoteWrite { target, len_bytes, tag } => {
            format!("RDMA write of {tag:#04x}: {len_bytes} bytes at {}", target_words(target))
        }
        Op::Remap { from, to, .. } => format!("mremap {} to {}", page_range(from), page_range(to)),
        Op::Advise { pages, advice, .. } => format!("madvise {}: {advice}", page_range(pages)),
        Op::Lock { pages, onfault, .. } => {
            format!("mlock {}{}", page_range(pages), if onfault { ", on fault" } else { "" })
        }
        Op::Unlock { pages, .. } => format!("munlock {}", page_range(pages)),
        Op::LockAll { scope, .. } => lock_all(scope),
        Op::Force { at, len_bytes, tag, .. } => {
            format!("write {tag:#04x} to /proc/self/mem: {}", bytes_at(at, len_bytes))
        }
        Op::FileWrite { file, at, len_bytes, tag } => {
            format!("write {tag:#04x} to {}: {}", file_words(file), bytes_at(at, len_bytes))
        }
        Op::Truncate { file, end } => format!("truncate {} to {} bytes", file_words(file), end.0),
        Op::Punch { file, range } => {
            format!("punch a hole into {}: {}", file_words(file), byte_range(range))
        }
        Op::Seal { file, seals } => format!("seal {}: {seals}", file_words(file)),
        Op::IpcLock { held } => format!("{} CAP_IPC_LOCK", if held { "take" } else { "drop" }),
        Op::Swap { on } => {
            format!("{} pages be swapped out", if on { "let" } else { "no longer let" })
        }
        Op::MemLimit { pages } => mem_limit(pages),
        Op::Chore { chore } => chore_words(chore).to_owned(),
        Op::Rereg { mr, what, span, access, pd } => rereg(mr, what, span, access, pd),
        Op::AllocMw { mw, kind, pd } => format!("allocate {mw}, {kind}{}", in_pd(pd)),
        Op::DeallocMw { mw } => format!("deallocate {mw}"),
        Op::Bind { mw, mr, offset, len_bytes, access, qp } => {
            format!("bind {mw} to {len_bytes} bytes at {mr}{offset:+}, for {access}{}", over(qp))
        }
        Op::Invalidate { handle, qp } => format!("invalidate {}{}", key_of(handle), over(qp)),
        Op::CompareSwap { target, expect, swap } => {
            let target = target_words(target);
            format!("atomic compare and swap of {expect:#x} for {swap:#x} at {target}")
        }
        Op::FetchAdd { target, add } => {
            format!("atomic add of {add:#x} at {}", target_words(target))
        }
        Op::Send { from, to, invalidate, qp } => send(from, to, invalidate, qp),
        Op::Gather { from, target } => {
            format!("RDMA write of {} at {}", list(from), target_words(target))
        }
        Op::Scatter { target, into } => {
            format!("RDMA read into {} at {}", list(into), target_words(target))
        }
    }
}

fn map(
    pages: PageRange,
    backing: Backing,
    (sharing, prot): (Sharing, Prot),
    populate: bool,
) -> String {
    let sharing = match sharing {
        Sharing::Private => "private",
        Sharing::Shared => "shared",
    };
    let backing = match backing {
        Backing::Anon => "anonymous memory".to_owned(),
        Backing::File { file, page } => format!("{}, from its page {page}", file_words(file)),
        Backing::DevZero { page } => format!("/dev/zero, from its page {page}"),
        Backing::Huge => "huge pages".to_owned(),
    };
    let populate = if populate { ", populated" } else { "" };
    format!("map {} ({prot}): {sharing} {backing}{populate}", page_range(pages))
}

fn limit(bytes: u64) -> String {
    match bytes {
        u64::MAX => "lift RLIMIT_MEMLOCK".to_owned(),
        bytes => format!("limit RLIMIT_MEMLOCK to {bytes} bytes"),
    }
}

fn reg(mr: Mr, span: Span, access: Access, pd: Pd, call: RegCall) -> String {
    let how = match call {
        RegCall::Legacy => ", by the old function",
        RegCall::Iova2 { .. } => "",
        RegCall::Raw { .. } => ", by a raw command",
    };
    let iova = call.iova().map(|iova| format!(", iova {iova:#x}")).unwrap_or_default();
    format!("register {mr}: {}, for {access}{}{how}{iova}", span_words(span), in_pd(pd))
}

fn rereg(mr: Mr, what: Rereg, span: Span, access: Access, pd: Pd) -> String {
    let to = format!("{}, for {access}{}", span_words(span), in_pd(pd));
    format!("reregister {mr}, its {what}: {to}")
}

fn lock_all(scope: LockScope) -> String {
    if scope == LockScope::None { "munlockall".to_owned() } else { format!("mlockall: {scope}") }
}

fn mem_limit(pages: Option<u16>) -> String {
    pages.map_or_else(
        || "lift the limit of the memory cgroup".to_owned(),
        |count| format!("limit registrations to {count} more pages of the memory cgroup"),
    )
}

fn chore_words(chore: Chore) -> &'static str {
    match chore {
        Chore::KsmMerge => "KSM merges equal pages",
        Chore::KsmUnmerge => "KSM unmerges all pages",
        Chore::Compact => "compact memory",
        Chore::Reclaim => "reclaim memory",
        Chore::DropCaches => "drop caches",
    }
}

fn send(from: Sges, to: Sges, invalidate: Option<Handle>, qp: Pd) -> String {
    let invalidate = invalidate
        .map(|handle| format!(", which invalidates {}", key_of(handle)))
        .unwrap_or_default();
    format!("send {}, received in {}{invalidate}{}", list(from), list(to), over(qp))
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
    let far =
        || format!("{:#x} bytes of page {}", span.len_bytes, page_name(span.start.page_index()));
    span.range().map_or_else(far, byte_range)
}

fn page_range(pages: PageRange) -> String {
    match (pages.first(), pages.end() - 1) {
        (first, last) if first == last => format!("page {}", page_name(first)),
        (first, last) => format!("pages {} to {}", page_name(first), page_name(last)),
    }
}

fn bytes_at(at: Position, len_bytes: u32) -> String {
    format!("{len_bytes} bytes of page {}{}", page_name(at.page_index()), from_byte(at))
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
