//! The coherence oracle: which bytes the adapter and the processes see.
//!
//! Checks every byte that an op read, every byte of every MR as the adapter
//! gathers it, and every byte of every page that is present on both sides, each
//! against the model. Where CPU and adapter rightly differ (an MR whose pages
//! were unmapped keeps the old ones) the model says so, and nothing is excused here.
//!
//! Does not check that a page of a mapping which permits writing but not reading
//! can or cannot be read: processors differ, and so do moments on User Mode Linux.
//! Does not check pages that only one side has (the frames oracle does), pages
//! whose process may not read them (looking would change them or needs another
//! way in), and bytes of memory files that nobody maps.

use std::collections::BTreeSet;

use pinfold_contract::{
    Arg, Backing, Checkpoint, FILE_PAGES, FileKind, LIBRARY_TAG, Mr, MrView, Op, Outcome, PageView,
    Proc, Runs, Sequence, WcStatus, page_name,
};

use super::{Finding, who};
use crate::model::Prediction;

/// The values that were written in a sequence up to an op.
pub(super) struct Tags(BTreeSet<u8>);

impl Tags {
    /// What the ops up to `op_index` write, and what the library's file holds if one of them maps it.
    pub(super) fn up_to(sequence: &Sequence, op_index: usize) -> Tags {
        let mut tags = BTreeSet::new();
        for op in sequence.ops.iter().take(op_index + 1) {
            tags.extend(op.tag());
            tags.extend(operand_bytes(*op));
            if maps_library(*op) {
                tags.extend((0..FILE_PAGES).map(|page| LIBRARY_TAG + page));
            }
        }
        Tags(tags)
    }

    /// A name for the kind of byte, at a place where two sides differ.
    fn name(&self, byte: Option<u8>) -> &'static str {
        match byte {
            None => "end",
            Some(0) => "zero",
            Some(byte) if self.0.contains(&byte) => "tag",
            Some(_) => "alien",
        }
    }
}

/// Each byte of the numbers that an atomic op works with.
fn operand_bytes(mut op: Op) -> Vec<u8> {
    let numbers = op.args_mut().into_iter();
    let numbers =
        numbers.filter_map(|arg| if let Arg::Number(number) = arg { Some(*number) } else { None });
    numbers.flat_map(u64::to_le_bytes).collect()
}

fn maps_library(mut op: Op) -> bool {
    op.args_mut().into_iter().any(|arg| {
        matches!(arg, Arg::Backing(Backing::File { file, .. }) if file.kind() == FileKind::Library)
    })
}

/// Compares the bytes that `op` read.
pub(super) fn check_value(
    op: Op,
    prediction: &Prediction,
    seen: &Outcome,
    tags: &Tags,
) -> Option<Finding> {
    let (Outcome::Value(predicted), Outcome::Value(value)) = (prediction.expected(), seen) else {
        return None;
    };
    if prediction.allows(seen) {
        return None;
    }
    // What reads through a key is the adapter, whoever asked it to.
    let reader = if op.mrs().is_empty() { who(op.proc()) } else { "adapter" };
    Some(bytes_differ(reader, &format!("{reader} reads"), predicted, value, tags))
}

/// Compares the bytes of every MR, then of every page of every process.
pub(super) fn check_state(
    predicted: &Checkpoint,
    seen: &Checkpoint,
    write_only: &[(Proc, u8)],
    tags: &Tags,
) -> Option<Finding> {
    let unsure = |proc, a: &PageView, b: &PageView| {
        b.bytes.is_none() && write_only.contains(&(proc, a.page))
    };
    let mrs = || predicted.mrs.iter().zip(&seen.mrs);
    let mrs_that = |is_lost| {
        let wanted = mrs().filter(move |(a, b)| lost_its_status(a, b) == is_lost);
        wanted.filter_map(|(a, b)| mr_differs(a, b, tags))
    };
    // What can be outlived comes last.
    let mut findings = who_is_there(predicted, seen)
        .into_iter()
        .chain(mrs_that(false))
        .chain(
            pages_of_both(predicted, seen)
                .filter(|(proc, a, b)| !unsure(*proc, a, b))
                .filter_map(|(proc, a, b)| page_differs(proc, a, b, tags)),
        )
        .chain(mrs_that(true));
    let mut first = findings.next()?;
    for next in findings {
        first.detail.push('\n');
        first.detail.push_str(&next.detail);
    }
    Some(first)
}

/// Whether the look at `mr` had to be refused, and is told as one that was flushed.
pub(super) fn is_flushed(predicted: &Checkpoint, seen: &Checkpoint, mr: Mr) -> bool {
    let mut pairs = predicted.mrs.iter().zip(&seen.mrs);
    pairs.any(|(a, b)| a.mr == mr && lost_its_status(a, b))
}

fn lost_its_status(predicted: &MrView, seen: &MrView) -> bool {
    let flush = Err(WcStatus::WR_FLUSH_ERR);
    predicted.mr == seen.mr
        && predicted.bytes.is_err()
        && predicted.bytes != flush
        && seen.bytes == flush
}

/// The lists of MRs and processes themselves.
fn who_is_there(predicted: &Checkpoint, seen: &Checkpoint) -> Option<Finding> {
    let names = |checkpoint: &Checkpoint| {
        let procs = checkpoint.procs.iter().map(|view| view.proc.to_string());
        let mrs = checkpoint.mrs.iter().map(|view| view.mr.to_string());
        procs.chain(mrs).collect::<Vec<_>>().join(" ")
    };
    let (predicted, seen) = (names(predicted), names(seen));
    (predicted != seen).then(|| Finding {
        detail: format!("predicted live {predicted}, seen {seen}"),
        predicted,
        seen,
        mr: None,
        class: "live".to_owned(),
    })
}

/// The pages that both sides have and see differently.
pub(super) fn pages_that_differ<'a>(
    predicted: &'a Checkpoint,
    seen: &'a Checkpoint,
) -> impl Iterator<Item = (Proc, u8)> + 'a {
    pages_of_both(predicted, seen)
        .filter(|(_, a, b)| a.bytes != b.bytes)
        .map(|(proc, a, _)| (proc, a.page))
}

fn pages_of_both<'a>(
    predicted: &'a Checkpoint,
    seen: &'a Checkpoint,
) -> impl Iterator<Item = (Proc, &'a PageView, &'a PageView)> {
    predicted.procs.iter().flat_map(move |a| {
        let b = seen.procs.iter().find(|b| b.proc == a.proc);
        a.pages.iter().filter_map(move |page| {
            let other = b?.pages.iter().find(|other| other.page == page.page)?;
            Some((a.proc, page, other))
        })
    })
}

fn mr_differs(predicted: &MrView, seen: &MrView, tags: &Tags) -> Option<Finding> {
    if predicted.bytes == seen.bytes {
        return None;
    }
    let whose = format!("adapter sees {}:", predicted.mr);
    match (&predicted.bytes, &seen.bytes) {
        (Ok(a), Ok(b)) => {
            let finding = bytes_differ("adapter", &whose, a, b, tags);
            Some(Finding { mr: Some(predicted.mr), ..finding })
        }
        (a, b) => {
            let class = |bytes: &Result<Runs, _>| match bytes {
                Ok(_) => "bytes".to_owned(),
                Err(status) => format!("{status}"),
            };
            let text = |bytes: &Result<Runs, _>| match bytes {
                Ok(runs) => runs.to_string(),
                Err(status) => format!("{status}"),
            };
            Some(Finding {
                predicted: text(a),
                seen: text(b),
                mr: Some(predicted.mr),
                class: format!("adapter-{}-{}", class(a), class(b)),
                detail: format!("{whose} predicted {}, seen {}", text(a), text(b)),
            })
        }
    }
}

fn page_differs(proc: Proc, predicted: &PageView, seen: &PageView, tags: &Tags) -> Option<Finding> {
    if predicted.bytes == seen.bytes {
        return None;
    }
    let whose = format!("{proc} sees page {}:", page_name(predicted.page));
    match (&predicted.bytes, &seen.bytes) {
        (Some(a), Some(b)) => Some(bytes_differ(who(proc), &whose, a, b, tags)),
        (a, _) => {
            let (predicted, seen) =
                if a.is_some() { ("readable", "unreadable") } else { ("unreadable", "readable") };
            Some(Finding {
                predicted: predicted.to_owned(),
                seen: seen.to_owned(),
                mr: None,
                class: format!("{}-{predicted}-{seen}", who(proc)),
                detail: format!("{whose} predicted {predicted}, seen {seen}"),
            })
        }
    }
}

fn bytes_differ(reader: &str, whose: &str, predicted: &Runs, seen: &Runs, tags: &Tags) -> Finding {
    let (offset, a, b) = first_difference(predicted, seen);
    Finding {
        predicted: predicted.to_string(),
        seen: seen.to_string(),
        mr: None,
        class: format!("{reader}-{}-{}", tags.name(a), tags.name(b)),
        detail: format!("{whose} predicted {predicted}, seen {seen}, from byte {offset} on"),
    }
}

/// Where two byte strings first differ, and what stands there on either side.
fn first_difference(a: &Runs, b: &Runs) -> (u32, Option<u8>, Option<u8>) {
    let mut ends: Vec<u32> = Vec::new();
    for runs in [a, b] {
        let mut at = 0;
        ends.push(0);
        ends.extend(runs.iter().map(|(len, _)| {
            at += len;
            at
        }));
    }
    // Both strings are constant between two neighbours of these places.
    ends.sort_unstable();
    let byte_at = |runs: &Runs, at| runs.slice(at, at + 1).iter().next().map(|(_, byte)| byte);
    let pairs = ends.into_iter().map(|at| (at, byte_at(a, at), byte_at(b, at)));
    let mut differing = pairs.filter(|(_, a, b)| a != b);
    differing.next().unwrap_or((a.len_bytes(), None, None))
}
