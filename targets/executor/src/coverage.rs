//! What the kernel says of where it was while a sequence ran.

use pinfold_contract::{Edge, PackedEdge};

use crate::calls::Calls;
use crate::edges::Edges;
use crate::failure::{Doing, Failure};
use crate::probes::Probes;

/// Who says it.
#[derive(Debug)]
pub(crate) enum Coverage {
    /// A kernel that notes which block followed which.
    Edges(Edges),
    /// ftrace.
    Calls(Calls),
    /// Probes at a few places.
    Probes(Probes),
}

impl Coverage {
    /// What this kernel has, if anything, and if it is wanted.
    pub(crate) fn open() -> Result<Option<Coverage>, Failure> {
        if let Some(edges) = Edges::open()? {
            return Ok(Some(Coverage::Edges(edges)));
        }
        if let Some(probes) = Probes::open()? {
            return Ok(Some(Coverage::Probes(probes)));
        }
        Ok(Calls::open()?.map(Coverage::Calls))
    }

    /// Forgets what was.
    pub(crate) fn clear(&mut self) -> Result<(), Failure> {
        match self {
            Coverage::Edges(edges) => {
                edges.clear();
                Ok(())
            }
            Coverage::Calls(calls) => calls.clear().doing("clear the trace"),
            Coverage::Probes(probes) => probes.clear().doing("read the probes"),
        }
    }

    /// Which way it went since.
    pub(crate) fn seen(&mut self) -> Result<Vec<PackedEdge>, Failure> {
        let edges = match self {
            Coverage::Edges(edges) => edges.seen()?,
            Coverage::Calls(calls) => alone(calls.seen().doing("read the trace")?),
            Coverage::Probes(probes) => alone(probes.seen().doing("read the probes")?),
        };
        Ok(PackedEdge::pack(&edges))
    }

    /// Leaves it to the parent: for `p0` and its children, whose memory is counted.
    pub(crate) fn leave(&self) -> Result<(), Failure> {
        match self {
            Coverage::Edges(edges) => edges.leave().doing("unmap the table of edges"),
            Coverage::Calls(_) | Coverage::Probes(_) => Ok(()),
        }
    }
}

/// `numbers` as edges that come from nowhere.
fn alone(numbers: Vec<u32>) -> Vec<Edge> {
    numbers.into_iter().map(|to| Edge { from: 0, to }).collect()
}
