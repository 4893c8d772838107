//! What the kernel says of where it was while a sequence ran.

use pinfold_contract::{Edge, PackedEdge};

use crate::calls::Calls;
use crate::edges::Edges;
use crate::failure::{Doing, Failure};

/// Who says it.
#[derive(Debug)]
pub(crate) enum Coverage {
    /// A kernel that notes which block followed which.
    Edges(Edges),
    /// ftrace.
    Calls(Calls),
}

impl Coverage {
    /// What this kernel has, if anything, and if it is wanted.
    pub(crate) fn open() -> Result<Option<Coverage>, Failure> {
        if let Some(edges) = Edges::open()? {
            return Ok(Some(Coverage::Edges(edges)));
        }
        Ok(Calls::open()?.map(Coverage::Calls))
    }

    /// Forgets what was.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        match self {
            Coverage::Edges(edges) => {
                edges.clear();
                Ok(())
            }
            Coverage::Calls(calls) => calls.clear().doing("clear the trace"),
        }
    }

    /// Which way it went since.
    pub(crate) fn seen(&mut self) -> Result<Vec<PackedEdge>, Failure> {
        let edges = match self {
            Coverage::Edges(edges) => edges.seen()?,
            Coverage::Calls(calls) => {
                let numbers = calls.seen().doing("read the trace")?;
                numbers.into_iter().map(|to| Edge { from: 0, to }).collect()
            }
        };
        Ok(PackedEdge::pack(&edges))
    }

    /// Leaves it to the parent: for `p0` and its children, whose memory is counted.
    pub(crate) fn leave(&self) -> Result<(), Failure> {
        match self {
            Coverage::Edges(edges) => edges.leave().doing("unmap the table of edges"),
            Coverage::Calls(_) => Ok(()),
        }
    }
}
