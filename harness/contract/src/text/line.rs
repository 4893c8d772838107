//! Reading one line: an op and its arguments.

use super::words::Words;
use super::{ParseError, word};
use crate::{Op, OpKind, Proc};

/// The op of a line; nothing if it has none.
pub(super) fn parse_line(line: &str) -> Result<Option<Op>, ParseError> {
    let mut words = Words::of(line);
    if words.is_last() {
        return Ok(None);
    }
    let proc = match words.rest.peek().and_then(|(_, word)| word::proc(word)) {
        Some(proc) => {
            words.rest.next();
            proc
        }
        None => Proc::P0,
    };
    let column = words.rest.peek().map_or(0, |(byte, _)| *byte);
    let names = OpKind::ALL.map(OpKind::word).join(", ");
    let kind = words.take(&format!("an op ({names})"), OpKind::from_word)?;
    let op = arguments(kind, proc, &mut words)?;
    if op.proc() != proc {
        return Err(words.error(column, format!("`{kind}` is done by p0 alone")));
    }
    words.end(Some(op))
}

#[expect(clippy::too_many_lines, reason = "the grammar, one op after the other")]
fn arguments(kind: OpKind, proc: Proc, words: &mut Words<'_>) -> Result<Op, ParseError> {
    Ok(match kind {
        OpKind::Map => Op::Map {
            proc,
            pages: words.pages()?,
            backing: words.backing()?,
            sharing: words.sharing()?,
            prot: words.prot()?,
            populate: words.switch("populate"),
        },
        OpKind::Unmap => Op::Unmap { proc, pages: words.pages()? },
        OpKind::Protect => Op::Protect { proc, pages: words.pages()?, prot: words.prot()? },
        OpKind::Write => {
            let at = words.position()?;
            let (len_bytes, tag) = words.len_and_tag()?;
            Op::Write { proc, at, len_bytes, tag }
        }
        OpKind::Read => Op::Read { proc, at: words.position()?, len_bytes: words.len()? },
        OpKind::Fork => Op::Fork { proc, child: words.take("a process (p0 to p3)", word::proc)? },
        OpKind::Exit => Op::Exit { proc },
        OpKind::Limit => {
            let what = "a number of bytes of at most 64 bits, or `unlimited`";
            Op::Limit { bytes: words.take(what, word::limit)? }
        }
        OpKind::Reg => Op::Reg {
            mr: words.mr()?,
            span: words.span()?,
            access: words.access()?,
            pd: words.pd("pd=")?,
            call: words.call()?,
        },
        OpKind::Dereg => Op::Dereg { mr: words.mr()? },
        OpKind::RemoteRead => {
            let place = words.place()?;
            let len_bytes = words.len()?;
            Op::RemoteRead { target: words.target(place)?, len_bytes }
        }
        OpKind::RemoteWrite => {
            let place = words.place()?;
            let (len_bytes, tag) = (words.len()?, words.tag()?);
            Op::RemoteWrite { target: words.target(place)?, len_bytes, tag }
        }
        OpKind::Remap => Op::Remap { proc, from: words.pages()?, to: words.pages()? },
        OpKind::Advise => Op::Advise { proc, pages: words.pages()?, advice: words.advice()? },
        OpKind::Lock => Op::Lock { proc, pages: words.pages()?, onfault: words.switch("onfault") },
        OpKind::Unlock => Op::Unlock { proc, pages: words.pages()? },
        OpKind::LockAll => Op::LockAll { proc, scope: words.scope()? },
        OpKind::Force => {
            let at = words.position()?;
            let (len_bytes, tag) = words.len_and_tag()?;
            Op::Force { proc, at, len_bytes, tag }
        }
        OpKind::FileWrite => {
            let (file, at) = (words.file()?, words.file_position()?);
            let (len_bytes, tag) = words.len_and_tag()?;
            Op::FileWrite { file, at, len_bytes, tag }
        }
        OpKind::Truncate => Op::Truncate { file: words.file()?, end: words.file_position()? },
        OpKind::Punch => Op::Punch { file: words.file()?, range: words.file_range()? },
        OpKind::Seal => Op::Seal { file: words.file()?, seals: words.seals()? },
        OpKind::IpcLock => Op::IpcLock { held: words.take("on or off", word::switch)? },
        OpKind::Swap => Op::Swap { on: words.take("on or off", word::switch)? },
        OpKind::MemLimit => Op::MemLimit {
            pages: words
                .take("a number of pages (up to 65535) or `unlimited`", word::page_count)?,
        },
        OpKind::Chore => Op::Chore { chore: words.chore()? },
        OpKind::Rereg => Op::Rereg {
            mr: words.mr()?,
            what: words.rereg()?,
            span: words.span()?,
            access: words.access()?,
            pd: words.pd("pd=")?,
        },
        OpKind::AllocMw => {
            Op::AllocMw { mw: words.mw()?, kind: words.mw_kind()?, pd: words.pd("pd=")? }
        }
        OpKind::DeallocMw => Op::DeallocMw { mw: words.mw()? },
        OpKind::Bind => {
            let mw = words.mw()?;
            let (mr, offset) = words.place()?;
            let (len_bytes, access) = (words.len()?, words.access()?);
            Op::Bind { mw, mr, offset, len_bytes, access, qp: words.pd("qp=")? }
        }
        OpKind::Invalidate => Op::Invalidate { handle: words.handle()?, qp: words.pd("qp=")? },
        OpKind::CompareSwap => {
            let place = words.place()?;
            let (expect, swap) = (words.number()?, words.number()?);
            Op::CompareSwap { target: words.target(place)?, expect, swap }
        }
        OpKind::FetchAdd => {
            let place = words.place()?;
            let add = words.number()?;
            Op::FetchAdd { target: words.target(place)?, add }
        }
        OpKind::Send => {
            let (from, to) = (words.sges()?, words.sges()?);
            let what = "a key to invalidate (inv=mr0, inv=mw0, inv=old_mw0)";
            let invalidate = words.option("inv=", what, word::handle)?;
            Op::Send { from, to, invalidate, qp: words.pd("qp=")? }
        }
        OpKind::Gather => {
            let from = words.sges()?;
            let place = words.place()?;
            Op::Gather { from, target: words.target(place)? }
        }
        OpKind::Scatter => {
            let place = words.place()?;
            let into = words.sges()?;
            Op::Scatter { target: words.target(place)?, into }
        }
    })
}
