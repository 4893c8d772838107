//! The arguments of an op, one by one.

use crate::{
    Access, Advice, Backing, ByteRange, Chore, File, Handle, Key, LockScope, Mr, Mw, MwKind,
    PageRange, Pd, Position, Proc, Prot, RegCall, Rereg, Seals, Sges, Sharing, Span, Target,
};

/// One argument of an op, by what it means. Made by [`Op::args_mut`](crate::Op::args_mut).
#[derive(Debug)]
pub enum Arg<'a> {
    /// The process that acts.
    Proc(&'a mut Proc),
    /// The slot for a child.
    Child(&'a mut Proc),
    /// Pages of the arena.
    Pages(&'a mut PageRange),
    /// First byte in the arena, and how many bytes.
    Bytes(&'a mut Position, &'a mut u32),
    /// Bytes of the arena that are registered.
    Span(&'a mut Span),
    /// First byte in a file, and how many bytes.
    FileBytes(&'a mut Position, &'a mut u32),
    /// Length of a file.
    FileEnd(&'a mut Position),
    /// Bytes of a file.
    FileRange(&'a mut ByteRange),
    /// A file.
    File(&'a mut File),
    /// What is mapped.
    Backing(&'a mut Backing),
    /// Private or shared.
    Sharing(&'a mut Sharing),
    /// A protection.
    Prot(&'a mut Prot),
    /// An advice.
    Advice(&'a mut Advice),
    /// What `mlockall` is about.
    LockScope(&'a mut LockScope),
    /// Seals.
    Seals(&'a mut Seals),
    /// A chore of the machine.
    Chore(&'a mut Chore),
    /// Something that is on or off; off is the simple case.
    Switch(&'a mut bool),
    /// The value of bytes that are written.
    Tag(&'a mut u8),
    /// A limit in bytes.
    Limit(&'a mut u64),
    /// A number of pages, or no limit.
    PageCount(&'a mut Option<u16>),
    /// An operand of an atomic op.
    Number(&'a mut u64),
    /// An MR.
    Mr(&'a mut Mr),
    /// Access flags.
    Access(&'a mut Access),
    /// A protection domain, or its queue pairs.
    Pd(&'a mut Pd),
    /// The way a registration takes.
    RegCall(&'a mut RegCall),
    /// What a reregistration changes.
    Rereg(&'a mut Rereg),
    /// Where a remote op goes.
    Target(&'a mut Target),
    /// How many bytes of an MR.
    Len(&'a mut u32),
    /// Where in an MR.
    Offset(&'a mut i32),
    /// A window.
    Mw(&'a mut Mw),
    /// The type of a window.
    MwKind(&'a mut MwKind),
    /// A key to invalidate.
    Handle(&'a mut Handle),
    /// A key to invalidate with a send, or none.
    Invalidate(&'a mut Option<Handle>),
    /// A scatter/gather list.
    Sges(&'a mut Sges),
}

impl Arg<'_> {
    /// Calls `visit` with each MR in this argument.
    pub fn for_each_mr(self, mut visit: impl FnMut(&mut Mr)) {
        if let Arg::Target(target) = self {
            visit(&mut target.mr);
            if let Key::Of(Handle::Mr(mr)) = &mut target.key {
                visit(mr);
            }
        } else if let Arg::Sges(sges) = self {
            sges.iter_mut().for_each(|sge| visit(&mut sge.mr));
        } else if let Arg::Mr(mr)
        | Arg::Handle(Handle::Mr(mr))
        | Arg::Invalidate(Some(Handle::Mr(mr))) = self
        {
            visit(mr);
        }
    }

    /// Calls `visit` with each window in this argument.
    pub fn for_each_mw(self, mut visit: impl FnMut(&mut Mw)) {
        if let Arg::Mw(mw)
        | Arg::Target(Target { key: Key::Of(Handle::Mw(mw) | Handle::OldMw(mw)), .. })
        | Arg::Handle(Handle::Mw(mw) | Handle::OldMw(mw))
        | Arg::Invalidate(Some(Handle::Mw(mw) | Handle::OldMw(mw))) = self
        {
            visit(mw);
        }
    }

    /// The pages of the arena that this argument names.
    pub(crate) fn pages(self) -> Vec<u32> {
        if let Arg::Pages(pages) = self {
            pages.pages().map(u32::from).collect()
        } else if let Arg::Bytes(at, len) = self {
            touched(*at, u64::from(*len))
        } else if let Arg::Span(span) = self {
            touched(span.start, span.len_bytes)
        } else {
            Vec::new()
        }
    }
}

/// The pages of so many bytes, at least one; of a span that goes on for ever, those in reach.
fn touched(at: Position, len_bytes: u64) -> Vec<u32> {
    let end = u64::from(at.0).saturating_add(len_bytes);
    let mut pages = vec![at.page_index()];
    let mut next = at.page_end();
    while u64::from(next.0) < end && next.is_near() {
        pages.push(next.page_index());
        next = next.page_end();
    }
    pages
}
