//! Puts back what this program changes on a machine that others use, too.
//!
//! The caretaker is a child in a process group of its own, so that who kills ours spares it. When the process that started
//! it is gone, in whatever way, it ends what that left running, does its work and ends.

use std::fs;
use std::os::fd::AsFd;
use std::time::Duration;

use pinfold_contract::SETTINGS;

use crate::cgroup;
use crate::console;
use crate::failure::{Doing, Failure};
use crate::sys::{self, Forked, Pid};

/// How often and how long a control group is waited for: a process leaves it a moment after its end.
const REMOVALS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// One setting of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    path: &'static str,
    /// What it is to be; nothing where somebody else sets it.
    to: Option<&'static str>,
    /// What is written to have it as it was.
    back: String,
}

/// The settings that are to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changes(Vec<Change>);

impl Changes {
    /// Those that this kernel has and that are not yet what they are to be.
    pub(crate) fn planned() -> Changes {
        let mut changes: Vec<Change> = SETTINGS.into_iter().filter_map(planned).collect();
        let root = fs::read_to_string(cgroup::OF_ROOT).ok().and_then(|text| cgroup::undo(&text));
        changes.extend(root.map(|back| Change { path: cgroup::OF_ROOT, to: None, back }));
        Changes(changes)
    }

    /// Makes them. What cannot be set is as if the kernel lacked it.
    pub(crate) fn make(&self) {
        for Change { path, to, .. } in &self.0 {
            if let Some(to) = to {
                let _ = fs::write(path, to);
            }
        }
    }

    fn undo(&self) {
        // Each `p0` has a process group of its own. The caretaker is in none of these control groups.
        let _ = fs::write(cgroup::KILL, "1");
        // The outermost group tells another run that this one is not over: it goes last, and with its own controllers
        // given up the root can give up those that it was lent.
        let [limited, main, outermost] = cgroup::FOLDERS;
        remove(limited);
        remove(main);
        let _ = cgroup::give_up_controllers();
        for Change { path, back, .. } in &self.0 {
            if let Err(error) = fs::write(path, back) {
                console::say(&format!("cannot write {back} to {path} again: {error}"));
            }
        }
        remove(outermost);
    }
}

fn planned((path, to): (&'static str, &'static str)) -> Option<Change> {
    let back = value(&fs::read_to_string(path).ok()?);
    (back != to).then_some(Change { path, to: Some(to), back })
}

/// What a setting that reads as `text` is: the word in brackets where all there are are listed.
fn value(text: &str) -> String {
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or(text, |(word, _)| word).trim().to_owned()
}

fn remove(group: &str) {
    for _ in 0..REMOVALS {
        match fs::remove_dir(group) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(PAUSE),
            // Removed, or never made.
            Ok(()) | Err(_) => return,
        }
    }
}

/// Starts the caretaker of `changes`, which are not yet made.
pub(crate) fn start(changes: &Changes) -> Result<(), Failure> {
    let ours = sys::own_pid();
    match sys::fork().doing("fork the caretaker")? {
        Forked::Child => wait_and_undo(ours, changes),
        Forked::Parent(_) => Ok(()),
    }
}

fn wait_and_undo(of: Pid, changes: &Changes) -> ! {
    // It cannot fail for a child that was just forked.
    let _ = sys::lead_group();
    // The line to the host must not stay open here.
    sys::close(libc::STDIN_FILENO);
    // Where there is no such process any more it is gone already.
    if let Ok(ending) = sys::pidfd(of) {
        let _ = sys::wait_readable([ending.as_fd()], -1);
    }
    changes.undo();
    sys::exit_now(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_put_back_as_it_was() {
        assert_eq!(value("always [madvise] never\n"), "madvise");
        assert_eq!(value("500\n"), "500");
        assert_eq!(value("ratelimit\n"), "ratelimit");
    }

    #[test]
    fn what_is_not_there_is_not_changed() {
        assert_eq!(planned(("/nonexistent/setting", "0")), None);
    }
}
