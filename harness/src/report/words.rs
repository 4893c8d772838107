//! Plain words for ops and divergences.

use pinfold_contract::{
    Arg, Backing, Chore, Key, LockScope, Op, OpKind, PageRange, Position, Sharing, Span, Target,
    page_name, print_op,
};

use crate::oracle::{Divergence, Oracle};

/// What went wrong, in one line. `fact` is what the picture says of it first.
pub(super) fn title(op: Option<OpKind>, divergence: &Divergence, fact: Option<&str>) -> String {
    match (divergence.oracle, fact) {
        (Oracle::Coherence | Oracle::Frames | Oracle::Accounting, Some(fact)) => {
            let after = op.map_or("At the end".to_owned(), |op| format!("After {}", op.word()));
            format!("{after}: {}", fact.trim_end_matches('.'))
        }
        (
            Oracle::KernelLog
            | Oracle::Protection
            | Oracle::Outcome
            | Oracle::Completion
            | Oracle::Teardown,
            _,
        )
        | (Oracle::Coherence | Oracle::Frames | Oracle::Accounting, None) => {
            bare_title(op, divergence)
        }
    }
}

/// What went wrong, where nothing is known but the divergence.
fn bare_title(op: Option<OpKind>, divergence: &Divergence) -> String {
    let Divergence { oracle, class, .. } = divergence;
    let (predicted, seen) = (short(&divergence.predicted), short(&divergence.seen));
    let after = op.map_or("At the end".to_owned(), |op| format!("After {}", op.word()));
    let what = op.map_or("The last op".to_owned(), |op| op.word().to_owned());
    match oracle {
        Oracle::KernelLog => format!("The kernel complains: {seen}"),
        Oracle::Protection => format!("{what} was let through: {seen} instead of {predicted}"),
        Oracle::Outcome => format!("{what} gave {seen} instead of {predicted}"),
        Oracle::Completion => {
            format!("The completion of {what} says {seen} instead of {predicted}")
        }
        Oracle::Coherence => match reader(class) {
            Some(reader) => format!("{after}, {reader} sees {seen} instead of {predicted}"),
            None => format!("{after}, wrong bytes are seen: {seen} instead of {predicted}"),
        },
        Oracle::Frames => {
            format!("{after}, pages are on the wrong frames: {seen} instead of {predicted}")
        }
        Oracle::Accounting => {
            format!("{after}, memory is charged wrongly: {seen} instead of {predicted}")
        }
        Oracle::Teardown => {
            format!("Something is left when all is gone: {seen} instead of {predicted}")
        }
    }
}

/// Who saw the wrong bytes, as far as the class says.
fn reader(class: &str) -> Option<&'static str> {
    let first = class.split(['-', '.']).next()?;
    [("adapter", "the adapter"), ("registrar", "the process"), ("child", "a child process")]
        .into_iter()
        .find(|(name, _)| *name == first)
        .map(|(_, words)| words)
}

/// `text` in one line of at most 70 characters.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 70;
    let line = text.lines().next().unwrap_or("");
    if line.chars().count() <= CHARS_MAX {
        return line.to_owned();
    }
    line.chars().take(CHARS_MAX - 1).chain(['…']).collect()
}

/// What an op does, for somebody who does not know the text form.
pub(super) fn gloss(op: &Op) -> String {
    if is_remote(op) {
        return gloss_remote(op);
    }
    if !op.mrs().is_empty() || !op.mws().is_empty() {
        return gloss_verbs(op);
    }
    gloss_memory(op).or_else(|| gloss_content(op)).unwrap_or_else(|| print_op(op))
}

/// Of an op that changes what is mapped, and how.
fn gloss_memory(op: &Op) -> Option<String> {
    Some(if let Op::Map { proc, pages, backing, sharing, prot, populate } = *op {
        let how = match sharing {
            Sharing::Private => "private",
            Sharing::Shared => "shared",
        };
        let what = backing_text(backing);
        let now = if populate { ", all of it at once" } else { "" };
        format!("{proc} maps {} as {how} {what}, protection {prot}{now}", pages_text(pages))
    } else if let Op::Unmap { proc, pages } = *op {
        format!("{proc} unmaps {}", pages_text(pages))
    } else if let Op::Protect { proc, pages, prot } = *op {
        format!("{proc} changes the protection of {} to {prot}", pages_text(pages))
    } else if let Op::Remap { proc, from, to } = *op {
        format!("{proc} moves the mapping of {} to {}", pages_text(from), pages_text(to))
    } else if let Op::Advise { proc, pages, advice } = *op {
        format!("{proc} gives the advice {advice} for {}", pages_text(pages))
    } else if let Op::Lock { proc, pages, onfault } = *op {
        let when = if onfault { " as they come" } else { "" };
        format!("{proc} locks {} in memory{when}", pages_text(pages))
    } else if let Op::Unlock { proc, pages } = *op {
        format!("{proc} unlocks {}", pages_text(pages))
    } else if let Op::LockAll { proc, scope } = *op {
        let what = match scope {
            LockScope::None => return Some(format!("{proc} unlocks everything")),
            LockScope::Current => "everything that is mapped",
            LockScope::Future => "everything that will be mapped",
            LockScope::Both => "everything that is and will be mapped",
        };
        format!("{proc} locks {what} in memory")
    } else if let Op::Fork { proc, child } = *op {
        format!("{proc} forks: {child} is its copy")
    } else if let Op::Exit { proc } = *op {
        format!("{proc} exits")
    } else {
        return None;
    })
}

/// Of an op that changes bytes, files, limits or the machine.
fn gloss_content(op: &Op) -> Option<String> {
    Some(if let Op::Write { proc, at, len_bytes, tag } = *op {
        format!("the CPU of {proc} writes {tag:#04x} to {}", bytes_text(at, len_bytes))
    } else if let Op::Read { proc, at, len_bytes } = *op {
        format!("the CPU of {proc} reads {}", bytes_text(at, len_bytes))
    } else if let Op::Force { proc, at, len_bytes, tag } = *op {
        let bytes = bytes_text(at, len_bytes);
        format!("{proc} writes {tag:#04x} to {bytes} as a debugger does")
    } else if let Op::FileWrite { file, at, len_bytes, tag } = *op {
        let bytes = bytes_text(at, len_bytes);
        format!("p0 writes {tag:#04x} into the file {file}: {bytes}")
    } else if let Op::Truncate { file, end } = *op {
        format!("p0 makes the file {file} {} long", count(end.0))
    } else if let Op::Punch { file, range } = *op {
        let bytes = bytes_text(range.start(), range.len_bytes());
        format!("p0 punches a hole into the file {file}: {bytes}")
    } else if let Op::Seal { file, seals } = *op {
        format!("p0 seals the file {file}: {seals}")
    } else if let Op::Limit { bytes } = *op {
        let limit = if bytes == u64::MAX {
            return Some("RLIMIT_MEMLOCK is lifted".to_owned());
        } else {
            count(bytes)
        };
        format!("RLIMIT_MEMLOCK becomes {limit}")
    } else if let Op::IpcLock { held } = *op {
        let with = if held { "with" } else { "without" };
        format!("from now on p0 registers and locks {with} CAP_IPC_LOCK")
    } else if let Op::Swap { on } = *op {
        let may = if on { "may be" } else { "are not" };
        format!("from now on pages {may} swapped out")
    } else if let Op::MemLimit { pages } = *op {
        match pages {
            Some(n) => format!("registrations may charge {n} more pages to their cgroup"),
            None => "registrations may charge any number of pages to their cgroup".to_owned(),
        }
    } else if let Op::Chore { chore } = *op {
        let what = match chore {
            Chore::KsmMerge => "the kernel merges equal pages",
            Chore::KsmUnmerge => "the kernel takes merged pages apart",
            Chore::Compact => "the kernel compacts memory",
            Chore::Reclaim => "the kernel reclaims memory",
            Chore::DropCaches => "the kernel drops its caches",
        };
        what.to_owned()
    } else {
        return None;
    })
}

fn backing_text(backing: Backing) -> String {
    match backing {
        Backing::Anon => "anonymous memory".to_owned(),
        Backing::File { file, page } => format!("file {file} from page {page} on"),
        Backing::DevZero { page } => format!("/dev/zero from page {page} on"),
        Backing::Huge => "huge pages".to_owned(),
    }
}

/// Of an op on MRs and windows.
fn gloss_verbs(op: &Op) -> String {
    if let Op::Reg { mr, span, access, .. } = *op {
        format!("p0 registers {} as {mr} with rights {access}", span_text(span))
    } else if let Op::Rereg { mr, what, span, access, pd } = *op {
        let (span, pd) = (span_text(span), pd.index());
        format!("p0 reregisters {mr} ({what}): {span}, rights {access}, protection domain {pd}")
    } else if let Op::Dereg { mr } = *op {
        format!("p0 deregisters {mr}")
    } else if let Op::AllocMw { mw, kind, pd } = *op {
        format!("p0 allocates {mw}, a window of {kind} in protection domain {}", pd.index())
    } else if let Op::DeallocMw { mw } = *op {
        format!("p0 gives {mw} back")
    } else if let Op::Bind { mw, mr, offset, len_bytes, access, .. } = *op {
        let bytes = count(len_bytes);
        format!("{mw} is bound to {bytes} of {mr} from byte {offset} on with rights {access}")
    } else if let Op::Invalidate { handle, .. } = *op {
        format!("the key of {handle} is made invalid")
    } else {
        print_op(op)
    }
}

/// Of an op that the adapter does.
fn gloss_remote(op: &Op) -> String {
    if let Op::RemoteRead { target, len_bytes } = *op {
        format!("the adapter reads {} {}", count(len_bytes), target_text(target))
    } else if let Op::RemoteWrite { target, len_bytes, tag } = *op {
        format!("the adapter writes {tag:#04x} to {} {}", count(len_bytes), target_text(target))
    } else if let Op::CompareSwap { target, expect, swap } = *op {
        let place = target_text(target);
        format!("the adapter swaps {expect:#x} for {swap:#x} in 8 bytes {place}")
    } else if let Op::FetchAdd { target, add } = *op {
        format!("the adapter adds {add:#x} to 8 bytes {}", target_text(target))
    } else if let Op::Gather { from, target } = *op {
        let bytes = count(from.len_bytes());
        format!("the adapter writes {bytes} from {from} {}", target_text(target))
    } else if let Op::Scatter { target, into } = *op {
        let bytes = count(into.len_bytes());
        format!("the adapter reads {bytes} {} into {into}", target_text(target))
    } else if let Op::Send { from, to, invalidate, .. } = *op {
        let key = invalidate.map(|key| format!(", and makes the key of {key} invalid"));
        format!("the adapter sends {from}, received in {to}{}", key.unwrap_or_default())
    } else {
        print_op(op)
    }
}

/// `of mr0 from byte 8 on`.
fn target_text(target: Target) -> String {
    let Target { mr, offset, key, .. } = target;
    let key = match key {
        Key::Own => String::new(),
        Key::Stale => ", with a wrong key".to_owned(),
        Key::Of(handle) => format!(", with the key of {handle}"),
    };
    format!("of {mr} from byte {offset} on{key}")
}

/// Whether the adapter does it, and no process.
pub(super) fn is_remote(op: &Op) -> bool {
    let mut op = *op;
    let is_send = op.kind() == OpKind::Send;
    is_send || op.args_mut().iter().any(|arg| matches!(arg, Arg::Target(_)))
}

fn span_text(span: Span) -> String {
    match span.range() {
        Some(range) => bytes_text(range.start(), range.len_bytes()),
        None => {
            format!("{} from page {} on", count(span.len_bytes), page_name(span.start.page_index()))
        }
    }
}

/// `1 byte`, `8 bytes`.
fn count(len_bytes: impl Into<u64>) -> String {
    let len_bytes = len_bytes.into();
    format!("{len_bytes} byte{}", if len_bytes == 1 { "" } else { "s" })
}

/// `page 3`, `pages 3 to 5`.
fn pages_text(pages: PageRange) -> String {
    match pages.page_count() {
        1 => format!("page {}", page_name(pages.first())),
        _ => format!("pages {} to {}", page_name(pages.first()), page_name(pages.end() - 1)),
    }
}

/// `page 3`, `8 bytes of page 3 at offset 16`, `pages 3 to 5`.
fn bytes_text(at: Position, len_bytes: u32) -> String {
    let (index, offset, page_bytes) = (at.page_index(), at.page_offset(), at.page_bytes());
    let whole = offset == 0 && len_bytes > 0 && len_bytes.is_multiple_of(page_bytes);
    let page = page_name(index);
    match (whole, offset) {
        (true, _) if len_bytes == page_bytes => format!("page {page}"),
        (true, _) => format!("pages {page} to {}", page_name(index + len_bytes / page_bytes - 1)),
        (false, 0) => format!("{} from page {page} on", count(len_bytes)),
        (false, _) => format!("{} from page {page}, offset {offset} on", count(len_bytes)),
    }
}
