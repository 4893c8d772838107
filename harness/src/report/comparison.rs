//! Pages, frames and MRs at one op, model beside kernel, in rows that both share.
//!
//! A kernel does not tell which frames an MR pins. What is said of that is
//! inferred: the frame that the page showed right after the registration, as
//! long as what it holds is what the adapter reads.

use std::collections::BTreeSet;

use pinfold_contract::{
    Checkpoint, Mr, MrView, Op, Outcome, PageView, Position, Proc, Rereg, Runs, WcStatus,
};

use super::{Evidence, Pair, Side};
use crate::explain::{Named, Names, ZERO};
use crate::model::Held;

/// One moment of both sides.
#[derive(Clone, Debug, Default)]
pub(super) struct Comparison {
    /// By process and page.
    pub(super) pages: Vec<PageRow>,
    /// In the order in which pages and MRs show them.
    pub(super) frames: Vec<FrameRow>,
    /// By MR and page.
    pub(super) parts: Vec<PartRow>,
    /// After which op each side is shown; none if it was not looked at.
    pub(super) at: Pair<Option<usize>>,
    /// Rows left out because both sides agree on them and there are many.
    pub(super) left_out: usize,
}

/// One page of one process.
#[derive(Clone, Debug)]
pub(super) struct PageRow {
    pub(super) proc: Proc,
    pub(super) page: u8,
    /// Nothing where the page is not present.
    pub(super) cells: Pair<Option<PageCell>>,
}

/// What a present page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageCell {
    /// The frame.
    pub(super) frame: String,
    /// Another frame that it showed before: when it was registered, else before this op.
    pub(super) was_on: Option<String>,
    pub(super) bytes: Option<Runs>,
}

/// One frame.
#[derive(Clone, Debug)]
pub(super) struct FrameRow {
    pub(super) name: String,
    pub(super) cells: Pair<Option<FrameCell>>,
}

/// What a frame is on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameCell {
    pub(super) kind: FrameKind,
    /// What it holds, as far as anyone sees it.
    pub(super) bytes: Option<Runs>,
    /// Pages that show it.
    pub(super) mapped_count: usize,
    /// MR pages that pin it; inferred on the kernel's side.
    pub(super) pin_count: usize,
}

/// What a frame is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    Zero,
    Anonymous,
    File,
    /// No page shows it.
    Unseen,
}

/// One page of one MR.
#[derive(Clone, Debug)]
pub(super) struct PartRow {
    pub(super) mr: Mr,
    /// The page of the arena that was registered.
    pub(super) page: u32,
    /// Nothing where the MR is not there.
    pub(super) cells: Pair<Option<PartCell>>,
}

/// What an MR has at one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartCell {
    /// What the adapter reads there.
    pub(super) bytes: Result<Runs, WcStatus>,
    /// The frame under it, as far as known.
    pub(super) frame: Option<String>,
}

/// Rows that both sides agree on and that are shown all the same.
const PLAIN_ROWS_MAX: usize = 8;
/// Rows at most.
const ROWS_MAX: usize = 40;

impl PageRow {
    pub(super) fn differs(&self) -> bool {
        match (&self.cells.model, &self.cells.target) {
            (Some(a), Some(b)) => a.frame != b.frame || a.bytes != b.bytes,
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        }
    }

    fn is_plain(&self) -> bool {
        let moved = |cell: &Option<PageCell>| cell.as_ref().is_some_and(|c| c.was_on.is_some());
        !self.differs() && !moved(&self.cells.model) && !moved(&self.cells.target)
    }
}

impl PartRow {
    pub(super) fn differs(&self) -> bool {
        match (&self.cells.model, &self.cells.target) {
            (Some(a), Some(b)) => a.bytes != b.bytes,
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        }
    }
}

/// What is known of one look at both sides.
struct Look<'a> {
    op_index: usize,
    named: Named,
    held: &'a [Held],
    model: Option<&'a Checkpoint>,
    target: Option<&'a Checkpoint>,
}

impl<'a> Look<'a> {
    fn side(&self, side: Side) -> Option<&'a Checkpoint> {
        match side {
            Side::Model => self.model,
            Side::Target => self.target,
        }
    }

    fn name(&self, side: Side, frame: u64) -> &str {
        match side {
            Side::Model => self.named.model(frame),
            Side::Target => self.named.target(frame),
        }
    }

    /// The frame that a page of the registering process shows.
    fn frame_of(&self, side: Side, proc: Proc, page: u8) -> Option<&str> {
        let view = self.side(side)?.procs.iter().find(|view| view.proc == proc)?;
        let page = view.pages.iter().find(|other| other.page == page)?;
        Some(self.name(side, page.frame))
    }
}

/// Both sides after op `op_index`, or after the last op before it that was looked at.
pub(super) fn compare(evidence: &Evidence, op_index: usize) -> Comparison {
    let looks = looks(evidence, op_index);
    let last = |side| looks.iter().rev().find(|look| look.side(side).is_some());
    let shown = Pair { model: last(Side::Model), target: last(Side::Target) };
    let mut comparison = Comparison::default();
    comparison.at.model = shown.model.map(|look| look.op_index);
    comparison.at.target = shown.target.map(|look| look.op_index);
    comparison.parts = part_rows(evidence, &looks, &shown);
    comparison.pages = page_rows(evidence, &looks, &shown);
    comparison.thin_out();
    comparison.frames = frame_rows(&comparison, &shown);
    comparison
}

fn looks(evidence: &Evidence, op_index: usize) -> Vec<Look<'_>> {
    let mut names = Names::default();
    let mut looks = Vec::new();
    for (index, step) in evidence.predicted.iter().enumerate().take(op_index + 1) {
        let model = step.checkpoint.as_ref();
        let target = evidence.trace.steps.get(index).and_then(|step| step.checkpoint.as_ref());
        let named = names.of(model, &step.held, target);
        looks.push(Look { op_index: index, named, held: &step.held, model, target });
    }
    looks
}

/// The `reg` that made `mr` what it is after the op of `until`.
fn registered(evidence: &Evidence, side: Side, mr: Mr, until: usize) -> Option<(usize, u32, u32)> {
    let ops = evidence.sequence.ops.iter().enumerate().take(until + 1).rev();
    ops.filter_map(|(index, op)| {
        let (Op::Reg { mr: slot, span, .. } | Op::Rereg { mr: slot, span, .. }) = op else {
            return None;
        };
        let keeps = matches!(op, Op::Rereg { what, .. } if !what.has(Rereg::TRANS));
        Some((index, span.range().filter(|_| *slot == mr && !keeps)?))
    })
    .find(|(index, _)| {
        let outcome = match side {
            Side::Model => evidence.predicted.get(*index).map(|step| step.prediction.expected()),
            Side::Target => evidence.trace.steps.get(*index).map(|step| &step.outcome),
        };
        outcome == Some(&Outcome::Done)
    })
    .map(|(index, range)| (index, range.start().0, range.end().0))
}

fn part_rows(
    evidence: &Evidence,
    looks: &[Look<'_>],
    shown: &Pair<Option<&Look<'_>>>,
) -> Vec<PartRow> {
    let mut rows: Vec<PartRow> = Vec::new();
    for side in Side::BOTH {
        let Some(look) = *shown.of(side) else { continue };
        let views = look.side(side).map_or(&[][..], |checkpoint| &checkpoint.mrs);
        for view in views {
            for (page, cell) in parts_of(evidence, looks, look, side, view) {
                let at = rows.iter().position(|row| row.mr == view.mr && row.page == page);
                let at = at.unwrap_or_else(|| {
                    rows.push(PartRow { mr: view.mr, page, cells: Pair::default() });
                    rows.len() - 1
                });
                match side {
                    Side::Model => rows[at].cells.model = Some(cell),
                    Side::Target => rows[at].cells.target = Some(cell),
                }
            }
        }
    }
    rows.sort_by_key(|row| (row.mr, row.page));
    rows
}

/// Each page of one MR on one side.
fn parts_of(
    evidence: &Evidence,
    looks: &[Look<'_>],
    look: &Look<'_>,
    side: Side,
    view: &MrView,
) -> Vec<(u32, PartCell)> {
    let Some((reg_index, start, end)) = registered(evidence, side, view.mr, look.op_index) else {
        return Vec::new();
    };
    let held = look.held.iter().find(|held| held.mr == view.mr);
    let page_bytes = Position(start).page_bytes();
    let first = start / page_bytes;
    let parts = (first..end.div_ceil(page_bytes).max(first)).map(|nth| {
        let base = nth * page_bytes;
        let page = Position(base).page_index();
        let (from, to) = (start.max(base), end.min(base + page_bytes));
        let slice = |runs: &Runs| runs.slice(from - start, to - start);
        let bytes = view.bytes.as_ref().map(slice).map_err(|status| *status);
        let frame = match side {
            Side::Model => held
                .and_then(|held| held.frames.get((nth - first) as usize))
                .map(|frame| look.named.model(frame.frame).to_owned()),
            Side::Target => {
                inferred(looks, look, reg_index, page, (from - base, to - base), &bytes)
            }
        };
        (page, PartCell { bytes, frame })
    });
    parts.collect()
}

/// The frame that the kernel's MR most likely has under `page`.
fn inferred(
    looks: &[Look<'_>],
    now: &Look<'_>,
    reg_index: usize,
    page: u32,
    (from, to): (u32, u32),
    bytes: &Result<Runs, WcStatus>,
) -> Option<String> {
    let page = u8::try_from(page).ok()?;
    let then = looks.get(reg_index)?.frame_of(Side::Target, Proc::P0, page)?;
    let target = now.target?;
    let all = target.procs.iter().flat_map(|view| &view.pages);
    let mut same = all.filter(|other| now.named.target(other.frame) == then);
    let contradicts = |other: &PageView| match (&other.bytes, bytes) {
        (Some(content), Ok(bytes)) => content.slice(from, to) != *bytes,
        (None, _) | (Some(_), Err(_)) => false,
    };
    (!same.any(contradicts)).then(|| then.to_owned())
}

fn page_rows(
    evidence: &Evidence,
    looks: &[Look<'_>],
    shown: &Pair<Option<&Look<'_>>>,
) -> Vec<PageRow> {
    let mut places: BTreeSet<(Proc, u8)> = BTreeSet::new();
    for side in Side::BOTH {
        let checkpoint = shown.of(side).and_then(|look| look.side(side));
        for view in checkpoint.into_iter().flat_map(|checkpoint| &checkpoint.procs) {
            places.extend(view.pages.iter().map(|page| (view.proc, page.page)));
        }
    }
    let row = |(proc, page)| {
        let cell = |side: Side| {
            let look = (*shown.of(side))?;
            page_cell(evidence, looks, look, side, (proc, page))
        };
        let cells = Pair { model: cell(Side::Model), target: cell(Side::Target) };
        PageRow { proc, page, cells }
    };
    places.into_iter().map(row).collect()
}

fn page_cell(
    evidence: &Evidence,
    looks: &[Look<'_>],
    look: &Look<'_>,
    side: Side,
    (proc, page): (Proc, u8),
) -> Option<PageCell> {
    let view = look.side(side)?.procs.iter().find(|view| view.proc == proc)?;
    let view = view.pages.iter().find(|view| view.page == page)?;
    let frame = look.name(side, view.frame).to_owned();
    let covers = |mr: &MrView| {
        let (index, start, end) = registered(evidence, side, mr.mr, look.op_index)?;
        let base = Position::page(page);
        (proc == Proc::P0 && start < base.page_end().0 && base.0 < end).then_some(index)
    };
    let since = look.side(side)?.mrs.iter().filter_map(covers).min();
    let since = since.filter(|index| *index < look.op_index);
    let before = match since {
        Some(index) => looks.get(index),
        None => looks.iter().rev().find(|l| l.op_index < look.op_index && l.side(side).is_some()),
    };
    let before = before.and_then(|before| before.frame_of(side, proc, page));
    let was_on = before.filter(|before| *before != frame).map(str::to_owned);
    Some(PageCell { frame, was_on, bytes: view.bytes.clone() })
}

/// Every frame that a page or an MR has or had, with what is known of it.
fn frame_rows(comparison: &Comparison, shown: &Pair<Option<&Look<'_>>>) -> Vec<FrameRow> {
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &String| {
        if !names.contains(name) {
            names.push(name.clone());
        }
    };
    for side in Side::BOTH {
        for cell in comparison.pages.iter().filter_map(|row| row.cells.of(side).as_ref()) {
            cell.was_on.iter().for_each(&mut add);
            add(&cell.frame);
        }
        for cell in comparison.parts.iter().filter_map(|row| row.cells.of(side).as_ref()) {
            cell.frame.iter().for_each(&mut add);
        }
    }
    let row = |name: String| {
        let cell = |side| frame_cell(comparison, *shown.of(side), side, &name);
        let cells = Pair { model: cell(Side::Model), target: cell(Side::Target) };
        FrameRow { name, cells }
    };
    names.into_iter().map(row).collect()
}

fn frame_cell(
    comparison: &Comparison,
    look: Option<&Look<'_>>,
    side: Side,
    name: &str,
) -> Option<FrameCell> {
    let look = look?;
    let procs = look.side(side).map_or(&[][..], |checkpoint| &checkpoint.procs);
    let pages = || {
        let all = procs.iter().flat_map(|view| &view.pages);
        all.filter(|page| look.name(side, page.frame) == name)
    };
    let parts = || {
        let cells = comparison.parts.iter().filter_map(move |row| row.cells.of(side).as_ref());
        cells.filter(|cell| cell.frame.as_deref() == Some(name))
    };
    let was = |row: &PageRow| {
        row.cells.of(side).as_ref().is_some_and(|cell| cell.was_on.as_deref() == Some(name))
    };
    let kind = match pages().next() {
        _ if name == ZERO => FrameKind::Zero,
        Some(page) if page.file_or_shared => FrameKind::File,
        Some(_) => FrameKind::Anonymous,
        None => FrameKind::Unseen,
    };
    let (mapped_count, pin_count) = (pages().count(), parts().count());
    if mapped_count + pin_count == 0 && !comparison.pages.iter().any(was) {
        return None;
    }
    let held = look.held.iter().flat_map(|held| &held.frames);
    let held = held.filter(|frame| side == Side::Model && look.named.model(frame.frame) == name);
    let bytes = pages()
        .find_map(|page| page.bytes.clone())
        .or_else(|| held.map(|frame| frame.bytes.clone()).next())
        .or_else(|| parts().find_map(|part| part.bytes.clone().ok()));
    Some(FrameCell { kind, bytes, mapped_count, pin_count })
}

impl Comparison {
    /// Leaves out rows beyond what can be taken in, first those that say nothing.
    fn thin_out(&mut self) {
        let before = self.pages.len() + self.parts.len();
        let mut plain_count = 0;
        self.pages.retain(|row| {
            plain_count += usize::from(row.is_plain());
            !row.is_plain() || plain_count <= PLAIN_ROWS_MAX
        });
        let mut plain_count = 0;
        self.parts.retain(|row| {
            plain_count += usize::from(!row.differs());
            row.differs() || plain_count <= PLAIN_ROWS_MAX
        });
        self.pages.truncate(ROWS_MAX);
        self.parts.truncate(ROWS_MAX);
        self.left_out = before - self.pages.len() - self.parts.len();
    }
}
