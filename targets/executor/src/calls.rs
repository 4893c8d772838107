//! Which functions of the kernel called which: what ftrace saw, of a kernel that has it and was told to (`pinfold.calls`).
//!
//! Any kernel of a distribution has ftrace, on any processor, and no kernel has to be built for it. It tells less than
//! blocks do: a function that goes another way inside is the same call.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use pinfold_contract::PAGE_BYTES;

use crate::failure::{Doing, Failure};
use crate::sys;
use crate::wire::parameter;

/// On the kernel's command line, where calls are wanted.
const CALLS_PARAMETER: &str = "pinfold.calls=";

const TRACEFS: &str = "/sys/kernel/tracing";

/// All functions of the code under test, which is modules where ftrace is.
const MODULES: [&str; 3] = ["*:mod:ib_core", "*:mod:ib_uverbs", "*:mod:rdma_rxe"];

/// What registered memory meets in `mm`. No name is in every kernel: one that is missing is passed over.
const FUNCTIONS: [&str; 12] = [
    "__gup_longterm_locked",
    "pin_user_pages*",
    "unpin_user_page*",
    "faultin_page",
    "handle_mm_fault",
    "do_wp_page",
    "wp_page_copy",
    "copy_page_range",
    "change_protection*",
    "move_page_tables",
    "madvise_*",
    "unmap_page_range",
];

/// For one sequence; what comes first goes where it does not fit.
const BUFFER_KIB: &str = "4096";

const PAGE: usize = PAGE_BYTES as usize;

/// Calls are told by so many bits.
const BITS: u32 = 16;
const WORDS: usize = 1 << (BITS - 6);

/// The tracer.
#[derive(Debug)]
pub(crate) struct Calls {
    folder: PathBuf,
    /// A bit for each number.
    numbers: Box<[u64; WORDS]>,
    /// Of the ring buffer.
    page: Box<[u8; PAGE]>,
}

impl Calls {
    /// Sets ftrace up, if that is wanted.
    pub(crate) fn open() -> Result<Option<Calls>, Failure> {
        let command_line = fs::read_to_string("/proc/cmdline").doing("read /proc/cmdline")?;
        if parameter(&command_line, CALLS_PARAMETER).is_none() {
            return Ok(None);
        }
        // Mounted already: what counts is whether the files are there.
        let _ = sys::mount(c"tracefs", None, c"/sys/kernel/tracing");
        let folder = PathBuf::from(TRACEFS);
        let calls = Calls { folder, numbers: Box::new([0; WORDS]), page: Box::new([0; PAGE]) };
        calls.set_up().doing("have ftrace note calls")?;
        Ok(Some(calls))
    }

    fn set_up(&self) -> io::Result<()> {
        self.tell("tracing_on", "0")?;
        self.tell("buffer_size_kb", BUFFER_KIB)?;
        for functions in MODULES {
            self.tell("set_ftrace_filter", functions)?;
        }
        for functions in FUNCTIONS {
            let _ = self.tell("set_ftrace_filter", functions);
        }
        self.tell("current_tracer", "function")
    }

    /// Forgets what was called, and listens from now on.
    pub(crate) fn clear(&self) -> io::Result<()> {
        self.tell("tracing_on", "0")?;
        OpenOptions::new().write(true).truncate(true).open(self.path("trace"))?;
        self.tell("tracing_on", "1")
    }

    /// The numbers of the calls since, ascending.
    ///
    /// Page by page into one bitmap: the heap must not grow, since `p0` is charged for what it has of it.
    pub(crate) fn seen(&mut self) -> io::Result<Vec<u32>> {
        self.tell("tracing_on", "0")?;
        let options = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).clone();
        let mut pages = options.open(self.path("per_cpu/cpu0/trace_pipe_raw"))?;
        self.numbers.fill(0);
        loop {
            let len = match pages.read(&mut *self.page) {
                Ok(0) => break,
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            for number in Events::of(&self.page[..len]).filter_map(number) {
                self.numbers[number as usize / 64] |= 1 << (number % 64);
            }
        }
        Ok(bits(self.numbers.iter().copied()))
    }

    /// Appends: filters add up.
    fn tell(&self, file: &str, words: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.path(file))?;
        file.write_all(format!("{words}\n").as_bytes())
    }

    fn path(&self, file: &str) -> PathBuf {
        Path::join(&self.folder, file)
    }
}

/// The events in a page of the ring buffer: the data of each.
///
/// Source: `struct buffer_data_page`, `rb_event_data_length()`, kernel/trace/ring_buffer.c; include/linux/ring_buffer.h, 6.1
/// and 6.12.
struct Events<'p>(&'p [u8]);

impl<'p> Events<'p> {
    /// Behind a time there is how many bytes there are, with flags above.
    fn of(page: &'p [u8]) -> Events<'p> {
        let committed = word(page, 8).map_or(0, |word| word as usize & 0xf_ffff);
        let data = page.get(16..).unwrap_or_default();
        Events(&data[..committed.min(data.len())])
    }
}

impl<'p> Iterator for Events<'p> {
    type Item = &'p [u8];

    fn next(&mut self) -> Option<&'p [u8]> {
        let head = word(self.0, 0)?;
        let (kind, delta) = (head & 31, head >> 5);
        // How long the head is, and the data behind it.
        let (skip, len) = match kind {
            0 => (8, (word(self.0, 4)? as usize).checked_sub(4)?),
            1..=28 => (4, kind as usize * 4),
            // The rest of the page is empty, or an event was taken back.
            29 if delta == 0 => return None,
            29 => (4, word(self.0, 4)? as usize),
            // A time that does not fit.
            _ => (8, 0),
        };
        let (event, rest) = self.0.get(skip..)?.split_at_checked(len)?;
        self.0 = rest;
        Some(if kind <= 28 { event } else { &[] })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// `TRACE_FN`, kernel/trace/trace.h, 6.1 and 6.12.
const CALL: u32 = 1;

/// The number of an event, if it is a call: of where in its page the function begins, and to where in its page it returns.
/// In which page is up to where the module was loaded, which another boot does elsewhere.
///
/// Source: `struct ftrace_entry`, kernel/trace/trace_entries.h, 6.1 and 6.12.
fn number(event: &[u8]) -> Option<u32> {
    let (kind, function, site) = (word(event, 0)? & 0xffff, word(event, 8)?, word(event, 16)?);
    let both = (function & 0xfff) << 12 | site & 0xfff;
    // The multiplier of Fibonacci hashing spreads what is alike; the upper bits are the number.
    (kind == CALL).then(|| both.wrapping_mul(0x9e37_79b9) >> (32 - BITS))
}

/// The numbers of the bits that are set, ascending.
fn bits(words: impl IntoIterator<Item = u64>) -> Vec<u32> {
    let mut found = Vec::new();
    for (first, mut word) in (0..).step_by(64).zip(words) {
        while word != 0 {
            found.push(first + word.trailing_zeros());
            word &= word - 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_lowest_of_the_first_word() {
        assert_eq!(bits([0b1001, 0, 1 << 63]), [0, 3, 191]);
        assert_eq!(bits([0, 0]), []);
    }

    fn call(function: u64, site: u64) -> Vec<u8> {
        let head = 24_u32 / 4;
        let common = [1_u16.to_le_bytes().as_slice(), &[0; 6]].concat();
        let words = [function.to_le_bytes(), site.to_le_bytes()].concat();
        [head.to_le_bytes().as_slice(), &common, &words].concat()
    }

    fn page(events: &[Vec<u8>]) -> Vec<u8> {
        let data = events.concat();
        let committed = data.len() as u64 | 1 << 31;
        [&7_u64.to_le_bytes(), &committed.to_le_bytes(), data.as_slice(), &[0xff; 40]].concat()
    }

    fn numbers(events: &[Vec<u8>]) -> Vec<u32> {
        Events::of(&page(events)).filter_map(number).collect()
    }

    #[test]
    fn a_call_is_told_by_function_and_site_wherever_the_module_is() {
        let one = numbers(&[call(0xffff_ffff_c012_3450, 0xffff_ffff_c045_6789)]);
        assert_eq!(one, numbers(&[call(0xffff_ffff_c099_9450, 0xffff_ffff_c011_1789)]));
        assert_ne!(one, numbers(&[call(0xffff_ffff_c012_3460, 0xffff_ffff_c045_6789)]));
        assert_ne!(one, numbers(&[call(0xffff_ffff_c012_3450, 0xffff_ffff_c045_678a)]));
        assert!(one.len() == 1 && one[0] < 1 << BITS);
    }

    #[test]
    fn what_is_no_call_is_passed_over_and_what_is_cut_off_ends_the_page() {
        let time = [30_u32.to_le_bytes(), [9; 4]].concat();
        let taken_back = [(29_u32 | 5 << 5).to_le_bytes(), 8_u32.to_le_bytes(), [3; 4]].concat();
        let long = [0_u32.to_le_bytes(), 12_u32.to_le_bytes(), [2; 4], [2; 4]].concat();
        let all = [call(0x10, 1), time, taken_back, long, call(0x20, 2)];
        assert_eq!(numbers(&all), numbers(&[call(0x10, 1), call(0x20, 2)]));
        let whole = page(&all);
        for len in 0..whole.len() {
            assert!(Events::of(&whole[..len]).count() <= all.len());
        }
        assert_eq!(numbers(&[vec![29, 0, 0, 0], call(0x10, 1)]), []);
    }
}
