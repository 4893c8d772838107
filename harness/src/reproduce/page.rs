//! The text of the file: heading, headers, functions, `main`.

use std::collections::BTreeSet;

use pinfold_contract::{
    ARENA_BASE, ARENA_PAGES, FILE_PAGES, FileKind, HUGE_PAGE_BYTES, HUGE_POOL_PAGES, LIBRARY_TAG,
    Position, Proc,
};

use super::Reproduction;
use super::body::{Body, Statement};
use super::phrase::phrase;
use super::pieces::{Piece, with_needs};
use crate::profile::{HugePages, Profile};

/// Columns that a line should have at most; a tab is eight.
const COLUMNS: usize = 80;

/// Longest text beside those that are expected.
const TEXT_SPARE_BYTES: usize = 256;

/// The whole file.
pub(super) fn page(reproduction: &Reproduction<'_>, body: &Body) -> String {
    let mut wanted = body.pieces.clone();
    let checks = if body.many { Piece::CheckShared } else { Piece::Check };
    let end = if body.many { Piece::FinishShared } else { Piece::Finish };
    wanted.extend([checks, end]);
    let pieces = with_needs(&wanted);
    let mut text = heading(reproduction, body, &pieces);
    text.push_str("#define _GNU_SOURCE\n");
    for header in headers(&pieces) {
        text.push_str(&format!("#include <{header}>\n"));
    }
    text.push_str(&definitions(reproduction.profile, body, &pieces));
    for piece in pieces.iter().filter(|piece| !piece.text().is_empty()) {
        text.push_str(&format!("\n{}", fitted(*piece, &pieces)));
    }
    text.push_str(&variables(body));
    text.push_str(&if is_watched(body) {
        watched_main(body, &pieces)
    } else {
        main(body, &pieces)
    });
    text
}

fn is_watched(body: &Body) -> bool {
    !body.afterwards.is_empty()
}

// ---- heading ----

fn heading(reproduction: &Reproduction<'_>, body: &Body, pieces: &BTreeSet<Piece>) -> String {
    let Reproduction { sequence, title, seen_on, divergence, profile } = *reproduction;
    let mut lines = vec![title.to_owned(), String::new()];
    match divergence {
        Some(divergence) => {
            let op = sequence.ops.get(divergence.op_index);
            let place = op.map_or("after the last step".to_owned(), |op| phrase(*op, body.many));
            lines.extend(wrapped("Where:    ", &place));
            lines.extend(wrapped("Expected: ", &divergence.predicted));
            lines.extend(wrapped("Actual:   ", &divergence.seen));
        }
        None => lines.extend(wrapped(
            "",
            &format!("Checks what a right kernel does (rules of Linux {}).", profile.series),
        )),
    }
    for (index, kernel) in seen_on.iter().enumerate() {
        lines.extend(wrapped(if index == 0 { "Seen on:  " } else { "          " }, kernel));
    }
    lines.push(String::new());
    let needs_device = pieces.contains(&Piece::Device);
    if needs_device {
        lines.push("Set-up, as root:".to_owned());
        lines.extend(SET_UP.iter().map(|line| format!("  {line}")));
    }
    let threads = if pieces.contains(&Piece::IpcLock) { " -pthread" } else { "" };
    let library = format!("{threads}{}", if needs_device { " -libverbs" } else { "" });
    lines.push(format!("Build: cc -O2 -Wall repro.c -o repro{library}"));
    let argument = if needs_device { " [DEVICE]" } else { "" };
    lines.push(format!("Run:   ./repro{argument}, as root"));
    if pieces.contains(&Piece::DiskFile) {
        lines.push("       DISK=FOLDER in the environment: on a disk with ext4".to_owned());
    }
    lines.push(String::new());
    lines.push(
        "Exit status: 0 the kernel is right, 1 it is wrong, 4 it cannot be told here.".to_owned(),
    );
    let mut text = "// SPDX-License-Identifier: GPL-2.0-only OR MIT\n/*\n".to_owned();
    for line in lines {
        text.push_str(format!(" * {}", line.replace("*/", "* /")).trim_end());
        text.push('\n');
    }
    text.push_str(" */\n");
    text
}

const SET_UP: [&str; 5] = [
    "modprobe rdma_rxe",
    "ip link add dummy0 type dummy",
    "ip addr add 192.0.2.1/24 dev dummy0",
    "ip link set dummy0 up",
    "rdma link add rxe0 type rxe netdev dummy0",
];

/// `text` behind `label`, in lines that fit a comment.
fn wrapped(label: &str, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = label.to_owned();
    for word in text.split_whitespace() {
        let is_first = line.len() == label.len();
        if !is_first && line.len() + 1 + word.len() > COLUMNS - 4 {
            lines.push(std::mem::replace(&mut line, " ".repeat(label.len())));
        } else if !is_first {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

fn headers(pieces: &BTreeSet<Piece>) -> BTreeSet<&'static str> {
    let wanted = pieces.iter().flat_map(|piece| piece.headers().iter().copied());
    // What the statements themselves name.
    wanted.chain(["errno.h", "sys/mman.h", "unistd.h"]).collect()
}

// ---- what stands above main ----

fn definitions(profile: &Profile, body: &Body, pieces: &BTreeSet<Piece>) -> String {
    let mut text = format!("\n#define TESTS {}\n", body.test_count);
    text.push_str("\n/* Page n of the memory that is used here, at a fixed address. */\n");
    let small = "(n) * 4096l";
    let place = if pieces.contains(&Piece::HugePool) {
        let huge = Position::page(ARENA_PAGES).0;
        text.push_str(&format!("/* Pages from {ARENA_PAGES} on are huge. */\n"));
        format!(
            "((n) < {ARENA_PAGES} ? {small} : \\\n\t\t {huge:#x} + ((n) - {ARENA_PAGES}) * {HUGE_PAGE_BYTES}l)"
        )
    } else {
        small.to_owned()
    };
    text.push_str(&format!("#define PAGE(n) ((char *){ARENA_BASE:#x}ul + {place})\n"));
    if pieces.contains(&Piece::HugePool) {
        let count = match profile.huge_pages {
            HugePages::None => 0,
            HugePages::Pool => HUGE_POOL_PAGES,
        };
        text.push_str(&format!("#define HUGE_POOL_PAGES {count}\n"));
    }
    let files = [Piece::MemoryFile, Piece::TmpfsFile, Piece::Library, Piece::DiskFile];
    if files.iter().any(|file| pieces.contains(file)) {
        text.push_str(&format!("#define FILE_PAGES {FILE_PAGES}\n"));
    }
    if pieces.contains(&Piece::Library) {
        text.push_str(&format!("#define LIBRARY_TAG {LIBRARY_TAG:#x}\n"));
    }
    if pieces.contains(&Piece::Describe) {
        let bytes = (body.text_bytes + TEXT_SPARE_BYTES).next_multiple_of(256);
        text.push_str(&format!("#define TEXT_BYTES {bytes}\n"));
    }
    text
}

/// The text of a piece, as it must be beside the others.
fn fitted(piece: Piece, pieces: &BTreeSet<Piece>) -> String {
    let has = |piece| pieces.contains(&piece);
    let text = piece.text();
    if piece == Piece::Frames && has(Piece::FinishShared) {
        text.replace("static uint64_t frame[256];", "uint64_t *frame = shared->frame;")
    } else if piece == Piece::FinishShared && !has(Piece::Frames) {
        text.replace("\tuint64_t frame[256];\n", "")
    } else if piece == Piece::Turns && has(Piece::SettleChild) {
        text.replace("/* in the child */", "settle_child();")
    } else if piece == Piece::Turns {
        text.replace("\t\t/* in the child */\n", "")
    } else {
        text.to_owned()
    }
}

fn variables(body: &Body) -> String {
    let mut text = String::new();
    if !body.mrs.is_empty() {
        let names: Vec<String> = body.mrs.iter().map(ToString::to_string).collect();
        text.push_str(&format!("\nstatic struct region {};\n", names.join(", ")));
    }
    if !body.mws.is_empty() {
        let names: Vec<String> = body.mws.iter().map(ToString::to_string).collect();
        text.push_str(&format!("\nstatic struct window {};\n", names.join(", ")));
    }
    let mut names: Vec<&str> = body.files.iter().map(|file| file.name()).collect();
    if body.pieces.contains(&Piece::ZeroFile) {
        names.push("zero");
    }
    if !names.is_empty() {
        text.push_str(&format!("\nstatic int {};\n", names.join(", ")));
    }
    if body.counts_pins {
        text.push_str("\nstatic long pins_before;\n");
    }
    for (index, step) in body.steps.iter().enumerate() {
        let name = format!("static const char *step{}(void)", index + 1);
        let step = laid_out(step, "return ".len(), COLUMNS - 9);
        text.push_str(&format!("\n{name}\n{{\n\treturn {};\n}}\n", step.replace('\n', "\n\t")));
    }
    text
}

// ---- main ----

/// Calls before the first step.
fn set_up(body: &Body, pieces: &BTreeSet<Piece>, device: &str) -> Vec<String> {
    let has = |piece| pieces.contains(&piece);
    let mut calls: Vec<String> = Vec::new();
    let mut push = |is_wanted: bool, call: &str| {
        if is_wanted {
            calls.push(call.to_owned());
        }
    };
    push(has(Piece::Settle), "touch_heap();");
    push(has(Piece::FinishShared), "prepare_turns();");
    push(has(Piece::HugePool), "fill_huge_pool();");
    push(has(Piece::Guard), "catch_faults();");
    push(has(Piece::IpcLock), "start_privileged();");
    push(has(Piece::Caps), "drop_ipc_lock();");
    push(has(Piece::OwnGroup), "enter_own_group();");
    push(has(Piece::MemLimit), "make_group();");
    push(has(Piece::Device), &format!("open_device({device});"));
    push(has(Piece::SecondPd), "second_pd();");
    push(has(Piece::Landing), "make_landing();");
    push(has(Piece::SecondLanding), "second_landing();");
    let own =
        [Piece::Landing, Piece::SecondLanding].into_iter().filter(|piece| has(*piece)).count();
    push(has(Piece::LimitReg) && own > 0, &format!("own_bytes = {own} * LANDING_BYTES;"));
    push(has(Piece::Transfer), "find_gid();");
    push(has(Piece::Transfer), "make_pair(&pair0, pd, landing_mr);");
    push(has(Piece::SecondPair), "make_pair(&pair1, pd1, landing_mr1);");
    push(has(Piece::Transfer), "test_loopback();");
    for file in &body.files {
        let (name, function) = (file.name(), file_function(file.kind()));
        push(true, &format!("{name} = {function}{name}\");"));
    }
    push(has(Piece::ZeroFile), "zero = zero_file();");
    push(has(Piece::Settle), "settle();");
    push(body.counts_pins, "pins_before = pins();");
    calls
}

/// The call that opens a file, up to its name.
fn file_function(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Memfd => "memory_file(\"",
        FileKind::Tmpfs => "tmpfs_file(\"/dev/shm/",
        FileKind::Library => "library_file(\"/dev/shm/",
        FileKind::Disk => "disk_file(\"",
    }
}

fn main(body: &Body, pieces: &BTreeSet<Piece>) -> String {
    let mut text = format!("\n{}", beginning(pieces));
    text.push_str("\tdprintf(1, \"KTAP version 1\\n1..%d\\n\", TESTS);\n");
    if pieces.contains(&Piece::FinishShared) {
        text.push_str("\tshare();\n");
    }
    push_calls(&mut text, &set_up(body, pieces, "argc > 1 ? argv[1] : NULL"));
    text.push_str(&steps(body));
    text.push_str("}\n");
    text
}

fn beginning(pieces: &BTreeSet<Piece>) -> &'static str {
    if pieces.contains(&Piece::Device) {
        "int main(int argc, char **argv)\n{\n"
    } else {
        "int main(void)\n{\n"
    }
}

/// A program whose work is done in a process of its own, so that another can look at what is left.
fn watched_main(body: &Body, pieces: &BTreeSet<Piece>) -> String {
    let has_device = pieces.contains(&Piece::Device);
    let (parameter, argument) =
        if has_device { ("const char *device", "argc > 1 ? argv[1] : NULL") } else { ("void", "") };
    let mut text = format!("\nstatic void work({parameter})\n{{\n");
    push_calls(&mut text, &set_up(body, pieces, "device"));
    text.push_str(&steps(body));
    text.push_str(&format!("}}\n\n{}", beginning(pieces)));
    for total in &body.totals {
        text.push_str(&format!("\tlong {total}_at_start;\n"));
    }
    text.push_str("\tpid_t worker;\n\n\tdprintf(1, \"KTAP version 1\\n1..%d\\n\", TESTS);\n");
    if pieces.contains(&Piece::FinishShared) {
        text.push_str("\tshare();\n");
    }
    if pieces.contains(&Piece::KernelLog) {
        text.push_str("\topen_kernel_log();\n");
    }
    for total in &body.totals {
        text.push_str(&format!("\t{total}_at_start = {total}();\n"));
    }
    text.push_str(&format!("\tworker = fork();\n\tif (worker == 0)\n\t\twork({argument});\n"));
    text.push_str("\twait_for(worker, \"it comes to an end\");\n");
    text.push_str(&format!("\tnumber = TESTS - {};\n", body.afterwards.len()));
    for statement in &body.afterwards {
        text.push_str(&rendered(statement, 1));
    }
    text.push_str("\tfinish(RIGHT);\n}\n");
    text
}

fn push_calls(text: &mut String, calls: &[String]) {
    for call in calls {
        text.push_str(&format!("\t{call}\n"));
    }
    if !calls.is_empty() {
        text.push('\n');
    }
}

/// The steps, each in its process, and the end.
fn steps(body: &Body) -> String {
    let mut text = String::new();
    let mut left = body.statements.iter().peekable();
    while let Some(statement) = left.next() {
        let mut turn = vec![statement];
        let Some(proc) = actor(statement, &mut left.clone()) else {
            text.push_str(&rendered(statement, 1));
            continue;
        };
        if !body.many {
            text.push_str(&rendered(statement, 1));
            continue;
        }
        while let Some(next) = left.peek() {
            // A new process goes on behind the block, not inside it.
            let is_fork = matches!(turn.last(), Some(Statement::Fork(..)));
            if is_fork || actor(next, &mut left.clone().skip(1).peekable()) != Some(proc) {
                break;
            }
            turn.extend(left.next());
        }
        let is_block = turn.len() > 1;
        text.push_str(&format!(
            "\tif (turn({})){}\n",
            proc.index(),
            if is_block { " {" } else { "" }
        ));
        turn.iter().for_each(|statement| text.push_str(&rendered(statement, 2)));
        text.push_str(if is_block { "\t}\n" } else { "" });
    }
    if body.many {
        text.push_str("\tif (turn(0))\n\t\tfinish(RIGHT);\n\tfor (;;)\n\t\tpause();\n");
    } else {
        text.push_str("\tfinish(RIGHT);\n");
    }
    text
}

/// Who runs a statement; of a comment, who runs the next one.
fn actor<'a>(
    statement: &Statement,
    rest: &mut impl Iterator<Item = &'a Statement>,
) -> Option<Proc> {
    match statement {
        Statement::Call(proc, ..) | Statement::Fork(proc, _) => Some(*proc),
        Statement::Leave(_) => None,
        Statement::Comment(_) => match rest.next()? {
            Statement::Call(proc, ..) | Statement::Fork(proc, _) => Some(*proc),
            Statement::Leave(_) | Statement::Comment(_) => None,
        },
    }
}

fn rendered(statement: &Statement, depth: usize) -> String {
    let tabs = "\t".repeat(depth);
    match statement {
        Statement::Comment(comment) => {
            let lines = wrapped("", comment);
            if let [line] = lines.as_slice()
                && line.len() + 8 * depth + 6 <= COLUMNS
            {
                return format!("{tabs}/* {line} */\n");
            }
            let body: String = lines.iter().map(|line| format!("{tabs} * {line}\n")).collect();
            format!("{tabs}/*\n{body}{tabs} */\n")
        }
        Statement::Leave(proc) => format!("{tabs}leave({});\n", proc.index()),
        Statement::Call(_, function, arguments) => call(function, arguments, depth),
        Statement::Fork(_, arguments) => call("check", arguments, depth),
    }
}

/// A call on as few lines as fit.
fn call(function: &str, arguments: &[String], depth: usize) -> String {
    let room = COLUMNS - 8 * depth;
    let tabs = "\t".repeat(depth);
    let text = laid_out(&format!("{function}({})", arguments.join(", ")), 0, room - 1);
    text.lines().map(|line| format!("{tabs}{line}")).collect::<Vec<_>>().join("\n") + ";\n"
}

/// `expression`, which begins at `column`, on as few lines as fit `room`. A call is broken between its arguments.
fn laid_out(expression: &str, column: usize, room: usize) -> String {
    let parts = parts(expression);
    let Some((head, arguments, tail)) = parts else { return expression.to_owned() };
    if column + expression.chars().count() <= room {
        return expression.to_owned();
    }
    let indent = column + head.chars().count();
    let mut text = head.to_owned();
    let mut at = indent;
    for (index, argument) in arguments.iter().enumerate() {
        let is_last = index + 1 == arguments.len();
        let end = if is_last { tail } else { "," };
        let width = argument.chars().count() + end.chars().count();
        if index > 0 && at + 1 + width <= room {
            text.push(' ');
            at += 1;
        } else if index > 0 {
            text.push_str(&format!("\n{}", " ".repeat(indent)));
            at = indent;
        }
        let laid = laid_out(argument, at, room.saturating_sub(end.chars().count()));
        at = laid.lines().last().map_or(0, |line| {
            let before = if laid.contains('\n') { 0 } else { at };
            before + line.chars().count()
        });
        text.push_str(&laid);
        text.push_str(end);
        at += end.chars().count();
    }
    text
}

/// A call in its parts: up to the opening parenthesis, the arguments, and what follows the last one.
fn parts(expression: &str) -> Option<(&str, Vec<&str>, &str)> {
    let open = expression.find('(').filter(|open| !expression[..*open].contains('"'))?;
    let (mut depth, mut is_in_string, mut is_escaped) = (0, false, false);
    let (mut arguments, mut start) = (Vec::new(), open + 1);
    for (at, c) in expression.char_indices().skip(open) {
        let was_escaped = std::mem::take(&mut is_escaped);
        match c {
            '\\' if is_in_string => is_escaped = !was_escaped,
            '"' if !was_escaped => is_in_string = !is_in_string,
            '(' if !is_in_string => depth += 1,
            ',' if !is_in_string && depth == 1 => {
                arguments.push(expression[start..at].trim());
                start = at + 1;
            }
            ')' if !is_in_string && depth == 1 => {
                arguments.push(expression[start..at].trim());
                return Some((&expression[..=open], arguments, &expression[at..]));
            }
            ')' if !is_in_string => depth -= 1,
            _ => {}
        }
    }
    None
}
