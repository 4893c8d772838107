//! Writing one op as its line.

use crate::{
    ARENA_PAGES, Backing, ByteRange, Key, Mr, Op, PageRange, Pd, Position, Proc, RegCall, Sharing,
    Span, Target,
};

/// Writes one op as its line, without the line's end.
pub fn print_op(op: &Op) -> String {
    let proc = op.proc();
    let actor = if proc == Proc::P0 { String::new() } else { format!("{proc} ") };
    format!("{actor}{}{}", op.kind(), arguments(op))
}

fn arguments(op: &Op) -> String {
    match *op {
        Op::Map { pages: p, backing: b, sharing, prot, populate, .. } => {
            let sharing = match sharing {
                Sharing::Private => "private",
                Sharing::Shared => "shared",
            };
            let populate = if populate { " populate" } else { "" };
            format!(" {} {} {sharing} {prot}{populate}", pages(p), backing(b))
        }
        Op::Unmap { pages: p, .. } | Op::Unlock { pages: p, .. } => format!(" {}", pages(p)),
        Op::Protect { pages: p, prot, .. } => format!(" {} {prot}", pages(p)),
        Op::Write { at, len_bytes, tag, .. } | Op::Force { at, len_bytes, tag, .. } => {
            format!(" {} {len_bytes} {tag:#04x}", position(at))
        }
        Op::Read { at, len_bytes, .. } => format!(" {} {len_bytes}", position(at)),
        Op::Fork { child, .. } => format!(" {child}"),
        Op::Exit { .. } => String::new(),
        Op::Limit { bytes: u64::MAX } | Op::MemLimit { pages: None } => " unlimited".to_owned(),
        Op::Limit { bytes } => format!(" {bytes}"),
        Op::MemLimit { pages: Some(count) } => format!(" {count}"),
        Op::Reg { mr, span: s, access, pd, call: c } => {
            format!(" {mr} {} {access}{}{}", span(s), domain("pd", pd), call(c))
        }
        Op::Dereg { mr } => format!(" {mr}"),
        Op::RemoteRead { target: t, len_bytes } => {
            format!(" {} {len_bytes}{}", place(t.mr, t.offset), options(t))
        }
        Op::RemoteWrite { target: t, len_bytes, tag } => {
            format!(" {} {len_bytes} {tag:#04x}{}", place(t.mr, t.offset), options(t))
        }
        Op::Remap { from, to, .. } => format!(" {} {}", pages(from), pages(to)),
        Op::Advise { pages: p, advice, .. } => format!(" {} {advice}", pages(p)),
        Op::Lock { pages: p, onfault, .. } => {
            format!(" {}{}", pages(p), if onfault { " onfault" } else { "" })
        }
        Op::LockAll { scope, .. } => format!(" {scope}"),
        Op::FileWrite { file, at, len_bytes, tag } => {
            format!(" {file} {} {len_bytes} {tag:#04x}", position(at))
        }
        Op::Truncate { file, end } => format!(" {file} {}", position(end)),
        Op::Punch { file, range } => format!(" {file} {}", byte_range(range)),
        Op::Seal { file, seals } => format!(" {file} {seals}"),
        Op::IpcLock { held: on } | Op::Swap { on } => format!(" {}", if on { "on" } else { "off" }),
        Op::Chore { chore } => format!(" {chore}"),
        Op::Rereg { mr, what, span: s, access, pd } => {
            format!(" {mr} {what} {} {access}{}", span(s), domain("pd", pd))
        }
        Op::AllocMw { mw, kind, pd } => format!(" {mw} {kind}{}", domain("pd", pd)),
        Op::DeallocMw { mw } => format!(" {mw}"),
        Op::Bind { mw, mr, offset, len_bytes, access, qp } => {
            format!(" {mw} {} {len_bytes} {access}{}", place(mr, offset), domain("qp", qp))
        }
        Op::Invalidate { handle, qp } => format!(" {handle}{}", domain("qp", qp)),
        Op::CompareSwap { target: t, expect, swap } => {
            format!(" {} {expect:#x} {swap:#x}{}", place(t.mr, t.offset), options(t))
        }
        Op::FetchAdd { target: t, add } => {
            format!(" {} {add:#x}{}", place(t.mr, t.offset), options(t))
        }
        Op::Send { from, to, invalidate, qp } => {
            let invalidate = invalidate.map(|handle| format!(" inv={handle}")).unwrap_or_default();
            format!(" {from} {to}{invalidate}{}", domain("qp", qp))
        }
        Op::Gather { from, target: t } => {
            format!(" {from} {}{}", place(t.mr, t.offset), options(t))
        }
        Op::Scatter { target: t, into } => {
            format!(" {} {into}{}", place(t.mr, t.offset), options(t))
        }
    }
}

fn pages(pages: PageRange) -> String {
    if let Some(first) = pages.first().checked_sub(ARENA_PAGES) {
        return format!("h{first}..h{}", pages.end() - ARENA_PAGES);
    }
    format!("{}..{}", pages.first(), pages.end())
}

fn position(position: Position) -> String {
    match position.place() {
        (kind, page, 0) => format!("{kind}{page}"),
        (kind, page, offset) => format!("{kind}{page}+{offset}"),
    }
}

fn byte_range(range: ByteRange) -> String {
    format!("{}..{}", position(range.start()), position(range.end()))
}

fn span(span: Span) -> String {
    let far = || format!("{}..+{:#x}", position(span.start), span.len_bytes);
    span.range().map_or_else(far, byte_range)
}

fn backing(backing: Backing) -> String {
    let (name, page) = match backing {
        Backing::Anon => ("anon", 0),
        Backing::File { file, page } => (file.name(), page),
        Backing::DevZero { page } => ("zero", page),
        Backing::Huge => ("huge", 0),
    };
    if page == 0 { name.to_owned() } else { format!("{name}+{page}") }
}

fn place(mr: Mr, offset: i32) -> String {
    format!("{mr}{offset:+}")
}

fn options(target: Target) -> String {
    let key = match target.key {
        Key::Own => String::new(),
        Key::Stale => " key=stale".to_owned(),
        Key::Of(handle) => format!(" key={handle}"),
    };
    key + &domain("qp", target.qp)
}

fn domain(name: &str, pd: Pd) -> String {
    if pd == Pd::FIRST { String::new() } else { format!(" {name}={}", pd.index()) }
}

fn call(call: RegCall) -> String {
    let via = match call {
        RegCall::Legacy => " via=legacy",
        RegCall::Iova2 { .. } => "",
        RegCall::Raw { .. } => " via=raw",
    };
    let iova = call.iova().map(|iova| format!(" iova={iova:#x}")).unwrap_or_default();
    format!("{via}{iova}")
}
