//! `/proc/self/smaps`: what the kernel says of each mapping.
//!
//! The kernel walks the page tables of a mapping when its lines are read, so nothing is read beyond what is asked.

use std::fs::File;
use std::io::Read;

use pinfold_contract::{ARENA_BASE, ARENA_PAGES, PAGE_BYTES};

use crate::failure::{Doing, Failure};

/// First address beyond the arena.
const ARENA_END: u64 = ARENA_BASE + ARENA_PAGES as u64 * PAGE_BYTES as u64;

/// Room for what is read at once: as much as the kernel gives.
const BUFFER_BYTES: usize = 4 << 10;

/// `Pss` of the mappings of the arena, in KiB, each rounded down.
pub(crate) fn arena_pss_kib() -> Result<i64, Failure> {
    let mut pss = Pss::default();
    for_each_line(|line| pss.take(line))?;
    Ok(pss.kib)
}

/// Pages of the executor's own mappings that count as locked.
pub(crate) fn own_locked_pages() -> Result<i64, Failure> {
    let mut locked = OwnLocked::default();
    for_each_line(|line| {
        locked.take(line);
        true
    })?;
    Ok(locked.pages)
}

/// Calls `visit` with each line until it wants no more.
fn for_each_line(mut visit: impl FnMut(&[u8]) -> bool) -> Result<(), Failure> {
    let mut file = File::open("/proc/self/smaps").doing("open /proc/self/smaps")?;
    // On the stack, which is there anyway.
    let mut buffer = [0; BUFFER_BYTES];
    let mut kept = 0;
    loop {
        let count = file.read(&mut buffer[kept..]).doing("read /proc/self/smaps")?;
        if count == 0 {
            return Ok(());
        }
        let end = kept + count;
        let mut start = 0;
        while let Some(len) = buffer[start..end].iter().position(|&byte| byte == b'\n') {
            if !visit(&buffer[start..start + len]) {
                return Ok(());
            }
            start += len + 1;
        }
        buffer.copy_within(start..end, 0);
        kept = end - start;
    }
}

#[derive(Debug, Default)]
struct Pss {
    kib: i64,
    inside: bool,
}

impl Pss {
    /// Says whether more lines matter.
    fn take(&mut self, line: &[u8]) -> bool {
        if let Some((start, _)) = addresses(line) {
            self.inside = (ARENA_BASE..ARENA_END).contains(&start);
            return start < ARENA_END;
        }
        if self.inside
            && let Some(rest) = line.strip_prefix(b"Pss:")
        {
            self.kib += number(rest).unwrap_or(0);
        }
        true
    }
}

#[derive(Debug, Default)]
struct OwnLocked {
    pages: i64,
    current: i64,
}

impl OwnLocked {
    fn take(&mut self, line: &[u8]) {
        if let Some((start, end)) = addresses(line) {
            let is_own = !(ARENA_BASE..ARENA_END).contains(&start);
            let pages = if is_own { (end - start) / u64::from(PAGE_BYTES) } else { 0 };
            self.current = i64::try_from(pages).expect("fewer pages than addresses");
        } else if let Some(flags) = line.strip_prefix(b"VmFlags:")
            && flags.split(|&byte| byte == b' ').any(|flag| flag == b"lo")
        {
            self.pages += self.current;
        }
    }
}

/// First address and that behind the last one, in the line that begins a mapping.
fn addresses(line: &[u8]) -> Option<(u64, u64)> {
    // Every other line begins with the name of a counter, in upper case.
    if !matches!(line.first(), Some(b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let range = std::str::from_utf8(line.split(|&byte| byte == b' ').next()?).ok()?;
    let (start, end) = range.split_once('-')?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

fn number(text: &[u8]) -> Option<i64> {
    let digits = text.trim_ascii_start().split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
00400000-00402000 r-xp 00000000 00:02 19    /init
Pss:                  8 kB
VmFlags: rd ex mr mw me lo
1000000000-1000004000 rw-p 00000000 00:00 0
Rss:                 16 kB
Pss:                  7 kB
Pss_Dirty:            5 kB
VmFlags: rd wr mr mw me lo ac
1000010000-1000011000 rw-s 00000000 00:01 7    /memfd:memfd (deleted)
Pss:                  4 kB
VmFlags: rd wr sh mr mw me ms
ffff000000-ffff003000 rw-p 00000000 00:00 0    [heap]
Pss:                 12 kB
VmFlags: rd wr mr mw me lo lf ac
fffff00000-fffff01000 r-xp 00000000 00:00 0    [vdso]
VmFlags: rd ex mr mw me de
";

    #[test]
    fn pss_is_that_of_the_arena_alone() {
        let mut pss = Pss::default();
        let taken = SMAPS.lines().take_while(|line| pss.take(line.as_bytes())).count();
        assert_eq!(pss.kib, 11);
        assert_eq!(taken, 11, "nothing beyond the arena is wanted");
    }

    #[test]
    fn own_mappings_that_are_locked_count_whole() {
        let mut locked = OwnLocked::default();
        SMAPS.lines().for_each(|line| locked.take(line.as_bytes()));
        assert_eq!(locked.pages, 5);
    }

    #[test]
    fn this_process_can_be_read() {
        assert_eq!(arena_pss_kib().unwrap(), 0);
        assert!(own_locked_pages().is_ok());
    }
}
