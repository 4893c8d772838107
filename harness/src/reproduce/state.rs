//! What the program checks of the state.

use std::collections::BTreeMap;

use pinfold_contract::{Checkpoint, MrView, PageView, Proc, ProcView, Runs, page_bytes, page_name};

use super::body::{Body, IfNot, is_of_the_op};
use super::pieces::Piece;
use super::words;
use crate::model::PredictedStep;
use crate::oracle::{Divergence, Oracle};

/// Lines of `/proc/self/status`: name in an oracle's words, name there, and what the program itself has.
const CHARGES: [(&str, &str, &str); 3] = [
    ("vm_pin", "VmPin", "own_pin"),
    ("rss_anon", "RssAnon", "own_anon"),
    ("rss_shmem", "RssShmem", "own_shmem"),
];

/// Adds what shows `divergence` after the op in which it is.
pub(super) fn show(body: &mut Body, divergence: &Divergence, predicted: &[PredictedStep]) {
    if is_of_the_op(divergence.oracle) {
        if divergence.class == "hung" {
            waits(body);
        }
        return;
    }
    if divergence.oracle == Oracle::Teardown {
        let named = |name: &str| divergence.predicted.contains(name);
        if named("pins") {
            // Two MRs of the program's own over the same memory: the leak may need no op.
            body.pieces.insert(Piece::SecondLanding);
        }
        return left(body, named);
    }
    let step = predicted.get(divergence.op_index).or(predicted.last());
    let Some(step) = step else { return };
    let Some(checkpoint) = &step.checkpoint else { return };
    match divergence.oracle {
        // Known as bytes of an op: its own test has shown them.
        Oracle::Coherence if divergence.detail.contains(" reads:") => {}
        Oracle::Coherence => bytes(body, checkpoint, &step.write_only),
        Oracle::Frames => frames(body, checkpoint, noted_frames(divergence, predicted)),
        Oracle::Accounting => {
            let named = |name: &str| divergence.predicted.contains(name);
            charges(body, checkpoint, named);
            sums(body, checkpoint, named);
            if named("charged") {
                charged(body, checkpoint);
            }
            if named("pins") {
                pins(body, checkpoint);
            }
        }
        Oracle::KernelLog => kernel_log(body),
        Oracle::Teardown | Oracle::Outcome | Oracle::Completion | Oracle::Protection => {
            unreachable!("returned above")
        }
    }
}

/// Adds everything that can be seen after the last op.
pub(super) fn show_all(body: &mut Body, predicted: &[PredictedStep]) {
    let Some(step) = predicted.last() else { return };
    let Some(checkpoint) = &step.checkpoint else { return };
    // First what looking at bytes could change.
    frames(body, checkpoint, FrameNames::default());
    charges(body, checkpoint, |_| true);
    sums(body, checkpoint, |_| true);
    charged(body, checkpoint);
    pins(body, checkpoint);
    bytes(body, checkpoint, &step.write_only);
    kernel_log(body);
    left(body, |name| name == "pins");
}

/// The process that does the work is watched by another.
fn waits(body: &mut Body) {
    body.pieces.insert(Piece::WaitFor);
    body.check_afterwards(
        "it comes to an end",
        &words::quoted("it ends"),
        &words::quoted("it ends"),
    );
}

// ---- bytes ----

fn bytes(body: &mut Body, checkpoint: &Checkpoint, write_only: &[(Proc, u8)]) {
    for view in &checkpoint.mrs {
        mr_bytes(body, view);
    }
    for view in &checkpoint.procs {
        let unsure = |page: u8| write_only.contains(&(view.proc, page));
        let readable = view.pages.iter().filter(|page| !unsure(page.page));
        for (first, count, runs) in stretches(readable) {
            let pages = if count == 1 {
                format!("page {}", page_name(first))
            } else {
                format!("pages {} to {}", page_name(first), page_name(first + count - 1))
            };
            let what = format!("bytes of {pages} as {} sees them", name(body, view.proc));
            let got = format!(
                "load(PAGE({first}), {})",
                words::length(u32::from(count) * page_bytes(first))
            );
            body.pieces.insert(Piece::Load);
            body.check(view.proc, IfNot::Wrong, &what, &got, &words::quoted(&runs.to_string()));
        }
    }
}

fn mr_bytes(body: &mut Body, view: &MrView) {
    let mr = view.mr;
    let want = match &view.bytes {
        Ok(runs) => words::quoted(&runs.to_string()),
        Err(status) => words::outcome(&pinfold_contract::Outcome::Completion(*status)),
    };
    let Some(region) = body.region(mr) else { return };
    let len_bytes = region.range.len_bytes();
    let (start, pair) = (body.address(mr, 0), body.pair(region.pd));
    body.pieces.insert(Piece::Gather);
    let got = format!("gather({pair}, &{mr}, {start}, {})", words::length(len_bytes));
    let what = format!("bytes of {mr} as the adapter sees them");
    body.check(Proc::P0, IfNot::Wrong, &what, &got, &want);
}

/// Neighbouring pages whose bytes are known, as first page, count and bytes.
fn stretches<'a>(pages: impl Iterator<Item = &'a PageView>) -> Vec<(u8, u8, Runs)> {
    let mut found: Vec<(u8, u8, Runs)> = Vec::new();
    for page in pages {
        let Some(bytes) = &page.bytes else { continue };
        match found.last_mut() {
            Some((first, count, runs))
                if *first + *count == page.page && page_bytes(*first) == page_bytes(page.page) =>
            {
                *count += 1;
                runs.append(bytes);
            }
            Some(_) | None => found.push((page.page, 1, bytes.clone())),
        }
    }
    found
}

fn name(body: &Body, proc: Proc) -> String {
    if body.many { format!("process {}", proc.index()) } else { "the CPU".to_owned() }
}

// ---- frames ----

/// The numbers that the program gives to frames, in the order in which it meets them.
#[derive(Clone, Debug, Default)]
struct FrameNames(BTreeMap<u64, usize>);

impl FrameNames {
    fn number(&mut self, frame: u64) -> usize {
        let next = self.0.len() + 1;
        *self.0.entry(frame).or_insert(next)
    }
}

fn frames(body: &mut Body, checkpoint: &Checkpoint, mut names: FrameNames) {
    body.comment("The same number is the same frame, in all processes and at all times.");
    for view in &checkpoint.procs {
        let want = frames_text(view, &mut names);
        let what = format!(
            "frames of {}",
            if body.many { name(body, view.proc) } else { "the pages".to_owned() }
        );
        body.pieces.insert(Piece::ListFrames);
        body.check(view.proc, IfNot::Wrong, &what, "frames()", &words::quoted(&want));
    }
}

fn frames_text(view: &ProcView, names: &mut FrameNames) -> String {
    let mut text = |page: &PageView| {
        let kind = if page.file_or_shared { "file" } else { "anon" };
        let mapped = if page.exclusively_mapped { "once" } else { "shared" };
        format!("{}: frame {} {kind} {mapped}", page.page, names.number(page.frame))
    };
    let pages: Vec<String> = view.pages.iter().map(&mut text).collect();
    if pages.is_empty() { "none".to_owned() } else { pages.join(", ") }
}

/// After which op, in which process and on which page to note a frame that must still be the same where `divergence`
/// is shown.
pub(super) fn frames_to_note(
    divergence: Option<&Divergence>,
    predicted: &[PredictedStep],
) -> Vec<(usize, Proc, u8)> {
    let Some(divergence) = divergence.filter(|d| d.oracle == Oracle::Frames) else {
        return Vec::new();
    };
    let mut wanted = frames_in_view(predicted, divergence.op_index);
    let mut notes = Vec::new();
    for (index, step) in predicted.iter().enumerate().take(divergence.op_index) {
        let Some(checkpoint) = &step.checkpoint else { continue };
        let places = checkpoint
            .procs
            .iter()
            .flat_map(|view| view.pages.iter().map(move |page| (view.proc, page)));
        for (proc, page) in places {
            if let Some(place) = wanted.iter().position(|frame| *frame == page.frame) {
                wanted.remove(place);
                notes.push((index, proc, page.page));
            }
        }
    }
    notes
}

fn frames_in_view(predicted: &[PredictedStep], op_index: usize) -> Vec<u64> {
    let checkpoint = predicted.get(op_index).and_then(|step| step.checkpoint.as_ref());
    let procs = checkpoint.iter().flat_map(|checkpoint| &checkpoint.procs);
    let mut frames: Vec<u64> =
        procs.flat_map(|view| view.pages.iter().map(|page| page.frame)).collect();
    frames.sort_unstable();
    frames.dedup();
    frames
}

/// The names that frames have when all notes are made.
fn noted_frames(divergence: &Divergence, predicted: &[PredictedStep]) -> FrameNames {
    let mut names = FrameNames::default();
    for (index, proc, page) in frames_to_note(Some(divergence), predicted) {
        let views = predicted[index].checkpoint.iter().flat_map(|checkpoint| &checkpoint.procs);
        let pages = views.filter(|view| view.proc == proc).flat_map(|view| &view.pages);
        pages.filter(|view| view.page == page).for_each(|view| {
            names.number(view.frame);
        });
    }
    names
}

// ---- counters ----

fn charges(body: &mut Body, checkpoint: &Checkpoint, wanted: impl Fn(&str) -> bool) {
    for view in &checkpoint.procs {
        let values = [view.vm_pin, view.rss_anon, view.rss_shmem];
        for ((word, line, own), value) in CHARGES.into_iter().zip(values) {
            if !wanted(word) {
                continue;
            }
            body.pieces.extend([Piece::Settle, Piece::InPages]);
            if body.many {
                body.pieces.insert(Piece::SettleChild);
                if word == "vm_pin" {
                    // A child that inherits the charge inherits that of the program's own MR too, which may be all there is.
                    body.pieces.insert(Piece::Landing);
                }
            }
            let whose = if body.many {
                format!(" of process {}", view.proc.index())
            } else {
                String::new()
            };
            let got = format!("in_pages(status_line(\"{line}:\") - {own})");
            let want = words::quoted(&format!("{value} pages"));
            body.check(view.proc, IfNot::Wrong, &format!("{line}{whose}"), &got, &want);
        }
    }
}

/// What is charged for or counted in the mappings of the arena alone: name in an oracle's words, in words, and in C.
const SUMS: [(&str, &str, &str); 3] = [
    (
        "rss_file",
        "pages of the disk's file that are mapped",
        "in_pages((smaps(INSIDE, \"Rss:\", \"/disk0\") - smaps(INSIDE, \"Anonymous:\", \"/disk0\")) / 4)",
    ),
    // What is charged is no sum over mappings: a kernel can count one twice. The program's own may be locked as well.
    (
        "vm_lck",
        "locked pages",
        "in_pages(status_line(\"VmLck:\") - smaps(OUTSIDE, \"Size:\", \" lo\") / 4)",
    ),
    ("pss", "proportional share", "in_kib(smaps(INSIDE, \"Pss:\", \"\"))"),
];

/// What `/proc/PID/smaps` tells: the program's own memory has no part in it.
fn sums(body: &mut Body, checkpoint: &Checkpoint, wanted: impl Fn(&str) -> bool) {
    for view in &checkpoint.procs {
        let values = [
            format!("{} pages", view.rss_file),
            format!("{} pages", view.vm_lck),
            format!("{} KiB", view.pss_kib),
        ];
        for ((word, what, got), value) in SUMS.into_iter().zip(values) {
            if !wanted(word) {
                continue;
            }
            body.pieces.insert(Piece::Smaps);
            if word == "vm_lck" {
                body.pieces.insert(Piece::Status);
            }
            body.pieces.insert(if word == "pss" { Piece::InKib } else { Piece::InPages });
            let what = format!("{what}, of {}", name(body, view.proc));
            body.check(view.proc, IfNot::Wrong, &what, got, &words::quoted(&value));
        }
    }
}

/// Pages that are charged to the memory cgroup, where the program has one.
fn charged(body: &mut Body, checkpoint: &Checkpoint) {
    if body.pieces.contains(&Piece::MemLimit) {
        body.pieces.insert(Piece::InPages);
        let want = words::quoted(&format!("{} pages", checkpoint.charged));
        let what = "pages that are charged to the memory cgroup";
        body.check(Proc::P0, IfNot::Wrong, what, "in_pages(charged())", &want);
    }
}

fn pins(body: &mut Body, checkpoint: &Checkpoint) {
    body.pieces.insert(Piece::Pins);
    body.counts_pins = true;
    let want = words::quoted(&format!("{} pages", checkpoint.pins));
    body.check(
        Proc::P0,
        IfNot::Wrong,
        "pages that are pinned",
        "in_pages(pins() - pins_before)",
        &want,
    );
}

fn left(body: &mut Body, wanted: impl Fn(&str) -> bool) {
    let counters: [(&str, &'static str, Piece, &str); 4] = [
        ("pins", "pins", Piece::Pins, "pinned pages"),
        ("anon_pages", "anon_pages", Piece::AnonPages, "anonymous pages"),
        ("shmem_pages", "shmem_pages", Piece::ShmemPages, "pages of memory files"),
        ("locked_pages", "locked_pages", Piece::LockedPages, "locked pages"),
    ];
    for (word, function, piece, what) in counters {
        if wanted(word) {
            body.pieces.extend([piece, Piece::Left, Piece::WaitFor]);
            body.totals.push(function);
            let got = format!("left({function}, {function}_at_start)");
            body.check_afterwards(
                &format!("{what} that are left behind"),
                &got,
                &words::quoted("0 pages"),
            );
        }
    }
}

fn kernel_log(body: &mut Body) {
    body.pieces.extend([Piece::KernelLog, Piece::WaitFor]);
    body.check_afterwards("the kernel log", "kernel_log()", &words::quoted("silent"));
}
