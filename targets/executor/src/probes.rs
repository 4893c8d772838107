//! Which of a few instructions of a stock kernel ran: probes that the host names in the file [`LIST`] of the initramfs, one a
//! line, as `rdma_rxe:rxe_reg_user_mr+0x1a`. Number `i` is the one in line `i`, from 0.
//!
//! Source: Documentation/trace/kprobetrace.rst, 6.1 and 7.3.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::console;
use crate::failure::{Doing, Failure};
use crate::sys;

/// Where the host puts the list, if it has one.
const LIST: &str = "/probes";

const TRACEFS: &str = "/sys/kernel/tracing";

/// What all of our probes are below.
const GROUP: &str = "pinfold";

/// The probes, and how often each was hit when a sequence began.
#[derive(Debug)]
pub(crate) struct Probes {
    before: Vec<u64>,
}

impl Probes {
    /// Sets them, if there are any.
    pub(crate) fn open() -> Result<Option<Probes>, Failure> {
        let Ok(list) = fs::read_to_string(LIST) else { return Ok(None) };
        // Mounted already: what counts is whether the files are there.
        let _ = sys::mount(c"tracefs", None, c"/sys/kernel/tracing");
        let mut count = 0;
        for (number, place) in list.lines().enumerate() {
            count = number + 1;
            // The kernel refuses some places, such as those that it patches itself.
            if let Err(error) = tell("kprobe_events", &format!("p:{GROUP}/p{number} {place}")) {
                console::say(&format!("no probe at {place}: {error}"));
            }
        }
        tell(&format!("events/{GROUP}/enable"), "1").doing("enable the probes")?;
        Ok(Some(Probes { before: vec![0; count] }))
    }

    /// Forgets what ran.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.before = self.hits()?;
        Ok(())
    }

    /// The numbers of those that were hit since, ascending.
    pub(crate) fn seen(&self) -> io::Result<Vec<u32>> {
        let hits = self.hits()?;
        let pairs = (0..).zip(hits.iter().zip(&self.before));
        Ok(pairs.filter(|(_, (now, before))| now > before).map(|(number, _)| number).collect())
    }

    fn hits(&self) -> io::Result<Vec<u64>> {
        let text = fs::read_to_string(Path::new(TRACEFS).join("kprobe_profile"))?;
        let mut hits = vec![0; self.before.len()];
        for (number, count) in text.lines().filter_map(profile) {
            if let Some(place) = hits.get_mut(number) {
                *place = count;
            }
        }
        Ok(hits)
    }
}

/// Number and hits of a probe in a line of `kprobe_profile`.
///
/// Source: `probes_profile_seq_show()`, kernel/trace/trace_kprobe.c, 6.1 and 7.3.
fn profile(line: &str) -> Option<(usize, u64)> {
    let mut words = line.split_whitespace();
    let number = words.next()?.strip_prefix('p')?.parse().ok()?;
    Some((number, words.next()?.parse().ok()?))
}

/// Appends: what is there stays.
fn tell(file: &str, words: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).open(Path::new(TRACEFS).join(file))?;
    file.write_all(format!("{words}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_profile_has_number_and_hits() {
        assert_eq!(
            profile("  p12                                     345              0"),
            Some((12, 345))
        );
        assert_eq!(profile("  other                                   345              0"), None);
        assert_eq!(profile(""), None);
    }
}
