//! Ops and their outcomes in words and in C.

use pinfold_contract::{
    Access, Backing, ByteRange, Errno, File, Key, Op, Outcome, PAGE_BYTES, PageRange, Position,
    Prot, Sharing, WcStatus,
};

/// What an op does, for a person. `many` says whether there are several processes to tell apart.
pub(super) fn phrase(op: Op, many: bool) -> String {
    let what = match op {
        Op::Map { pages, backing, sharing, prot, .. } => {
            let sharing = match sharing {
                Sharing::Private => "private",
                Sharing::Shared => "shared",
            };
            let backing = match backing {
                Backing::Anon => "anonymous memory".to_owned(),
                Backing::Memfd { file, page } => {
                    format!("memory file {}, from its page {page}", file.index())
                }
            };
            format!("map {} ({prot}): {sharing} {backing}", page_range(pages))
        }
        Op::Unmap { pages, .. } => format!("unmap {}", page_range(pages)),
        Op::Protect { pages, prot, .. } => format!("mprotect {}: {prot}", page_range(pages)),
        Op::Write { at, len_bytes, tag, .. } => {
            format!("the CPU stores {tag:#04x}: {}", bytes_at(at, len_bytes))
        }
        Op::Read { at, len_bytes, .. } => format!("the CPU loads {}", bytes_at(at, len_bytes)),
        Op::Fork { child, .. } => format!("fork process {}", child.index()),
        Op::Exit { .. } => "exit".to_owned(),
        Op::Limit { bytes: u64::MAX } => "lift RLIMIT_MEMLOCK".to_owned(),
        Op::Limit { bytes } => format!("limit RLIMIT_MEMLOCK to {bytes} bytes"),
        Op::Reg { mr, range, access } => {
            format!("register {mr}: {}, for {access}", byte_range(range))
        }
        Op::Dereg { mr } => format!("deregister {mr}"),
        Op::RemoteRead { mr, offset, len_bytes, key } => {
            format!("RDMA read of {len_bytes} bytes at {mr}{offset:+}{}", key_words(key))
        }
        Op::RemoteWrite { mr, offset, len_bytes, tag, key } => {
            format!(
                "RDMA write of {tag:#04x}: {len_bytes} bytes at {mr}{offset:+}{}",
                key_words(key)
            )
        }
    };
    if many { format!("process {}: {what}", op.proc().index()) } else { what }
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
        Key::Of(mr) => format!(" with the key of {mr}"),
    }
}

/// An outcome as the C expression that the program compares with.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => quoted("ok"),
        Outcome::Value(runs) => quoted(&runs.to_string()),
        Outcome::Errno(errno) => format!("strerror({})", errno_name(*errno)),
        Outcome::Completion(status) => format!("ibv_wc_status_str({})", status_name(*status)),
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

/// The variable of a memory file.
pub(super) fn file(file: File) -> String {
    format!("memfd{}", file.index())
}
