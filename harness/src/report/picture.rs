//! The picture of one side: pages, the frames behind them, the MRs that hold them.
//!
//! Both sides have their rows in the same places, so that what differs is seen
//! without reading. Every shape that means something has words beside it.

use maud::{Markup, html};
use pinfold_contract::{Proc, Runs, page_name};

use super::Side;
use super::comparison::{Comparison, FrameCell, FrameKind, PageCell, PageRow, PartCell, PartRow};
use crate::explain::{ZERO, bytes_text};

const WIDTH: i32 = 430;
const PAGE_WIDTH: i32 = 104;
const FRAME_X: i32 = 152;
const FRAME_WIDTH: i32 = 132;
const MR_X: i32 = 332;
const MR_WIDTH: i32 = WIDTH - MR_X;
const BOX: i32 = 40;
const ROW: i32 = 52;
const HEAD: i32 = 24;
const TOP: i32 = 26;

/// Where each row of the picture is, the same on both sides.
struct Layout {
    pages: Vec<i32>,
    parts: Vec<i32>,
    frames: Vec<i32>,
    height: i32,
}

/// One side of `comparison`.
pub(super) fn picture(comparison: &Comparison, side: Side) -> Markup {
    let layout = layout(comparison);
    let label = format!("Pages, frames and MRs in the {}", side.name());
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (layout.height) } role="img" aria-label=(label) {
            (text(0, 14, "column", "pages"))
            (text(FRAME_X, 14, "column", "frames"))
            (text(MR_X, 14, "column", "memory regions"))
            (lines(comparison, side, &layout))
            @for (row, y) in comparison.pages.iter().zip(&layout.pages) { (page(row, side, *y)) }
            @for (y, proc) in heads(&layout.pages, comparison.pages.iter().map(|r| r.proc)) {
                (text(0, y, "head", &proc_text(proc)))
            }
            @for (row, y) in comparison.frames.iter().zip(&layout.frames) {
                @if let Some(cell) = row.cells.of(side) { (frame(&row.name, cell, *y)) }
            }
            @for (row, y) in comparison.parts.iter().zip(&layout.parts) { (part(row, side, *y)) }
            @for (y, mr) in heads(&layout.parts, comparison.parts.iter().map(|r| r.mr)) {
                (text(MR_X, y, "head", &mr.to_string()))
            }
            @if comparison.pages.is_empty() { (text(0, TOP + 30, "note", "none present")) }
            @if comparison.parts.is_empty() { (text(MR_X, TOP + 30, "note", "none")) }
        }
    }
}

/// What the shapes mean.
pub(super) fn legend() -> Markup {
    let line = |class: &str| {
        html! { svg class="key" viewBox="0 0 34 12" aria-hidden="true" {
            path class=(class) d="M1 6 H33" {}
        } }
    };
    let strip = |byte: u8| {
        html! { svg class="key" viewBox="0 0 34 12" aria-hidden="true" {
            (content_strip(&Runs::uniform(1, byte), 1, 3, 32))
        } }
    };
    html! {
        ul.legend {
            li { (line("link")) "a page shows this frame, or an MR pins it" }
            li { (line("link inferred")) "inferred: no kernel tells which frames an MR pins; this is the \
                 frame the page had right after the registration, if its bytes fit" }
            li { (line("was")) "the frame this page had before (when it was registered, or before this op)" }
            li { (line("link hot")) "the two pictures differ here" }
            li { svg class="key" viewBox="0 0 34 12" aria-hidden="true" {
                rect class="pin" x="15" y="0" width="4" height="12" {}
            } "pinned by an MR" }
            li { (strip(0x22)) "what a frame holds, a colour a value" }
            li { (strip(0)) "zeros" }
        }
    }
}

fn layout(comparison: &Comparison) -> Layout {
    let (pages, left) = places(comparison.pages.iter().map(|row| row.proc));
    let (parts, right) = places(comparison.parts.iter().map(|row| row.mr));
    let frames: Vec<i32> =
        (0..).take(comparison.frames.len()).map(|i| TOP + HEAD + i * ROW).collect();
    let middle = frames.last().map_or(TOP, |y| y + ROW);
    Layout { pages, parts, frames, height: left.max(right).max(middle).max(TOP + ROW) }
}

/// Where rows go that have a heading for each group; and where they end.
fn places<T: PartialEq>(groups: impl Iterator<Item = T>) -> (Vec<i32>, i32) {
    let (mut y, mut last, mut places) = (TOP, None, Vec::new());
    for group in groups {
        if last.as_ref() != Some(&group) {
            y += HEAD;
            last = Some(group);
        }
        places.push(y);
        y += ROW;
    }
    (places, y)
}

/// The heading of each group, and where it goes.
fn heads<T: PartialEq + Copy>(places: &[i32], groups: impl Iterator<Item = T>) -> Vec<(i32, T)> {
    let mut heads: Vec<(i32, T)> = Vec::new();
    for (y, group) in places.iter().zip(groups) {
        if heads.last().map(|(_, last)| *last) != Some(group) {
            heads.push((y - 7, group));
        }
    }
    heads
}

fn proc_text(proc: Proc) -> String {
    if proc == Proc::P0 { "p0, registers".to_owned() } else { format!("{proc}, a child") }
}

fn lines(comparison: &Comparison, side: Side, layout: &Layout) -> Markup {
    let frame_y = |name: &str| {
        let at = comparison.frames.iter().position(|row| row.name == name)?;
        Some(layout.frames[at] + BOX / 2)
    };
    let curve = |(x1, y1): (i32, i32), (x2, y2): (i32, i32)| {
        let bend = (x1 + x2) / 2;
        format!("M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}")
    };
    let page_line = |y: i32, frame: &str, class: String, shift: i32| {
        let from = (PAGE_WIDTH, y + BOX / 2 + shift);
        frame_y(frame)
            .map(|to| html! { path class=(class) d=(curve(from, (FRAME_X, to + shift))) {} })
    };
    html! {
        @for (row, y) in comparison.pages.iter().zip(&layout.pages) {
            @if let Some(cell) = row.cells.of(side) {
                @if let Some(was) = &cell.was_on {
                    (page_line(*y, was, hot("was", row.differs()), 8).unwrap_or_default())
                }
                (page_line(*y, &cell.frame, hot("link", row.differs()), 0).unwrap_or_default())
            }
        }
        @for (row, y) in comparison.parts.iter().zip(&layout.parts) {
            @if let Some(to) = held(row, side).and_then(frame_y) {
                path class=(hot(link_class(side), row.differs()))
                    d=(curve((MR_X, y + BOX / 2), (FRAME_X + FRAME_WIDTH, to))) {}
            }
        }
    }
}

fn held(row: &PartRow, side: Side) -> Option<&str> {
    row.cells.of(side).as_ref()?.frame.as_deref()
}

fn link_class(side: Side) -> &'static str {
    match side {
        Side::Model => "link",
        Side::Target => "link inferred",
    }
}

fn hot(class: &str, is_hot: bool) -> String {
    if is_hot { format!("{class} hot") } else { class.to_owned() }
}

fn page(row: &PageRow, side: Side, y: i32) -> Markup {
    let cell: Option<&PageCell> = row.cells.of(side).as_ref();
    let class = if cell.is_some() { "box" } else { "box absent" };
    let second = match cell {
        None => "not present".to_owned(),
        Some(PageCell { was_on: Some(was), .. }) if was == ZERO => "left the zero page".to_owned(),
        Some(PageCell { was_on: Some(was), .. }) => format!("left frame {was}"),
        Some(PageCell { bytes: None, .. }) => "not readable".to_owned(),
        Some(_) => String::new(),
    };
    let middle = if second.is_empty() { y + 25 } else { y + 17 };
    html! {
        rect class=(hot(class, row.differs())) x="0.5" y=(y) width=(PAGE_WIDTH) height=(BOX) rx="3" {}
        (text(9, middle, "label", &format!("page {}", page_name(row.page))))
        @if !second.is_empty() { (text(9, y + 32, &hot("small", row.differs()), &second)) }
    }
}

fn frame(name: &str, cell: &FrameCell, y: i32) -> Markup {
    let what = match cell.kind {
        FrameKind::Zero => "the kernel's zero page",
        FrameKind::Anonymous => "anonymous",
        FrameKind::File => "file or shared",
        FrameKind::Unseen if cell.pin_count > 0 => "only an MR has it",
        FrameKind::Unseen => "gone",
    };
    let class = match cell.kind {
        FrameKind::Zero => "box zero",
        FrameKind::Anonymous | FrameKind::File => "box",
        FrameKind::Unseen => "box absent",
    };
    let pinned = match (cell.pin_count, cell.kind) {
        (0, _) => String::new(),
        (_, FrameKind::Zero | FrameKind::Unseen) => String::new(),
        (1, _) => ", pinned".to_owned(),
        (count, _) => format!(", pinned ×{count}"),
    };
    html! {
        rect class=(class) x=(FRAME_X) y=(y) width=(FRAME_WIDTH) height=(BOX) rx="3" {}
        @if cell.pin_count > 0 {
            rect class="pin" x=(FRAME_X + FRAME_WIDTH - 4) y=(y) width="4" height=(BOX) {}
        }
        (text(FRAME_X + 9, y + 18, "name", name))
        @if let Some(bytes) = &cell.bytes {
            (text(FRAME_X + 36, y + 17, "bytes", &short_bytes(bytes)))
            (content_strip(bytes, FRAME_X + 9, y + BOX - 7, FRAME_WIDTH - 22))
        }
        (text(FRAME_X + 9, y + 29, "small", &format!("{what}{pinned}")))
    }
}

fn part(row: &PartRow, side: Side, y: i32) -> Markup {
    let cell: Option<&PartCell> = row.cells.of(side).as_ref();
    let class = if cell.is_some() { "box" } else { "box absent" };
    let bytes = cell.map(|cell| cell.bytes.as_ref());
    html! {
        rect class=(hot(class, row.differs())) x=(MR_X) y=(y) width=(MR_WIDTH - 1) height=(BOX) rx="3" {}
        (text(MR_X + 9, y + 14, "small", &format!("page {}, reads", page_name(row.page))))
        @match bytes {
            None => { (text(MR_X + 9, y + 29, "small", "not there")) }
            Some(Err(status)) => { (text(MR_X + 9, y + 29, "bytes", &status.to_string())) }
            Some(Ok(runs)) => {
                (text(MR_X + 9, y + 28, "bytes", &short_bytes(runs)))
                (content_strip(runs, MR_X + 9, y + BOX - 7, MR_WIDTH - 20))
            }
        }
    }
}

/// Bytes in the room of a box.
fn short_bytes(runs: &Runs) -> String {
    let mut values = runs.iter();
    match (values.next(), values.next(), values.next()) {
        (None, _, _) => "no bytes".to_owned(),
        (Some(_), None, _) => bytes_text(runs),
        (Some((_, a)), Some((_, b)), None) => format!("{a:#04x} {b:#04x}"),
        (Some((_, a)), Some((_, b)), Some(_)) => format!("{a:#04x} {b:#04x}…"),
    }
}

/// The bytes as a bar, each run as long as its share; a short one is never invisible.
fn content_strip(runs: &Runs, x: i32, y: i32, width: i32) -> Markup {
    const RUNS_MAX: usize = 16;
    let shown: Vec<(u32, u8)> = runs.iter().take(RUNS_MAX).collect();
    let total: u32 = shown.iter().map(|(len, _)| len).sum();
    let share = |len: u32| {
        let share = i64::from(len) * i64::from(width) / i64::from(total.max(1));
        i32::try_from(share).unwrap_or(width).max(5)
    };
    let mut at = 0;
    let mut bars = Vec::new();
    for (index, (len, byte)) in shown.iter().enumerate() {
        let room = width - at;
        let wide = if index + 1 == shown.len() { room } else { share(*len).min(room) };
        bars.push((x + at, wide.max(0), *byte));
        at += wide;
    }
    html! {
        @for (x, width, byte) in bars {
            @if byte == 0 {
                rect class="zeros" x=(x) y=(y) width=(width) height="4" {}
            } @else {
                rect class="tag" style=(colour(byte)) x=(x) y=(y) width=(width) height="4" {}
            }
        }
    }
}

/// The colour of a byte value. Neighbours are far apart.
fn colour(byte: u8) -> String {
    format!("fill:hsl({} 60% 50%)", u32::from(byte) * 137 % 360)
}

fn text(x: i32, y: i32, class: &str, content: &str) -> Markup {
    html! { text x=(x) y=(y) class=(class) { (content) } }
}
