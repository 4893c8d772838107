//! Plain words for ops and divergences.

use pinfold_contract::{Backing, Op, OpKind, PAGE_BYTES, PageRange, Position, Sharing};

use crate::oracle::{Divergence, Oracle};

/// What went wrong, in one line. `fact` is what the picture says of it first.
pub(super) fn title(op: Option<OpKind>, divergence: &Divergence, fact: Option<&str>) -> String {
    match (divergence.oracle, fact) {
        (Oracle::Coherence | Oracle::Frames | Oracle::Accounting, Some(fact)) => {
            let after = op.map_or("At the end".to_owned(), |op| format!("After {}", op.word()));
            format!("{after}: {}", fact.trim_end_matches('.'))
        }
        (Oracle::KernelLog | Oracle::Protection | Oracle::Outcome | Oracle::Teardown, _)
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
    match *op {
        Op::Map { proc, pages, backing, sharing, prot } => {
            let what = match backing {
                Backing::Anon => "anonymous memory".to_owned(),
                Backing::Memfd { file, page } => {
                    format!("memory file {} from page {page} on", file.index())
                }
            };
            let how = match sharing {
                Sharing::Private => "private",
                Sharing::Shared => "shared",
            };
            format!("{proc} maps {} as {how} {what}, protection {prot}", pages_text(pages))
        }
        Op::Unmap { proc, pages } => format!("{proc} unmaps {}", pages_text(pages)),
        Op::Protect { proc, pages, prot } => {
            format!("{proc} changes the protection of {} to {prot}", pages_text(pages))
        }
        Op::Write { proc, at, len_bytes, tag } => {
            format!("the CPU of {proc} writes {tag:#04x} to {}", bytes_text(at, len_bytes))
        }
        Op::Read { proc, at, len_bytes } => {
            format!("the CPU of {proc} reads {}", bytes_text(at, len_bytes))
        }
        Op::Fork { proc, child } => format!("{proc} forks: {child} is its copy"),
        Op::Exit { proc } => format!("{proc} exits"),
        Op::Limit { bytes: u64::MAX } => "RLIMIT_MEMLOCK is lifted".to_owned(),
        Op::Limit { bytes } => format!("RLIMIT_MEMLOCK becomes {bytes} bytes"),
        Op::Reg { mr, range, access } => format!(
            "p0 registers {} as {mr} with rights {access}",
            bytes_text(range.start(), range.len_bytes())
        ),
        Op::Dereg { mr } => format!("p0 deregisters {mr}"),
        Op::RemoteRead { mr, offset, len_bytes, .. } => {
            format!("the adapter reads {} of {mr} from byte {offset} on", count(len_bytes))
        }
        Op::RemoteWrite { mr, offset, len_bytes, tag, .. } => format!(
            "the adapter writes {tag:#04x} to {} of {mr} from byte {offset} on",
            count(len_bytes)
        ),
    }
}

/// Whether the adapter does it, and no process.
pub(super) fn is_remote(op: &Op) -> bool {
    match op {
        Op::RemoteRead { .. } | Op::RemoteWrite { .. } => true,
        Op::Map { .. }
        | Op::Unmap { .. }
        | Op::Protect { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::Fork { .. }
        | Op::Exit { .. }
        | Op::Limit { .. }
        | Op::Reg { .. }
        | Op::Dereg { .. } => false,
    }
}

/// `1 byte`, `8 bytes`.
fn count(len_bytes: u32) -> String {
    format!("{len_bytes} byte{}", if len_bytes == 1 { "" } else { "s" })
}

/// `page 3`, `pages 3 to 5`.
fn pages_text(pages: PageRange) -> String {
    match pages.page_count() {
        1 => format!("page {}", pages.first()),
        _ => format!("pages {} to {}", pages.first(), pages.end() - 1),
    }
}

/// `page 3`, `8 bytes of page 3 at offset 16`, `pages 3 to 5`.
fn bytes_text(at: Position, len_bytes: u32) -> String {
    let (page, offset) = (at.page_index(), at.page_offset());
    let whole = offset == 0 && len_bytes > 0 && len_bytes.is_multiple_of(PAGE_BYTES);
    match (whole, offset) {
        (true, _) if len_bytes == PAGE_BYTES => format!("page {page}"),
        (true, _) => format!("pages {page} to {}", page + len_bytes / PAGE_BYTES - 1),
        (false, 0) => format!("{} from page {page} on", count(len_bytes)),
        (false, _) => format!("{} from page {page}, offset {offset} on", count(len_bytes)),
    }
}
