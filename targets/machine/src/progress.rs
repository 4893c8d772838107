//! What a long step is doing, for whoever draws it.

use std::fmt;
use std::time::{Duration, Instant};

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Another process is making the same thing.
    WaitingForLock,
    /// A package is being downloaded.
    Downloading,
    /// A package is being unpacked.
    Unpacking,
    /// Sources or objects are being copied.
    Copying,
    /// The kernel is being configured.
    Configuring,
    /// The kernel is being compiled.
    Compiling,
    /// The kernel is being linked.
    Linking,
}

/// One sign of life, given a few times a second while a step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is going on.
    pub activity: Activity,
    /// What it is done to, for example `linux 6.12.117+kasan`.
    pub subject: String,
    /// Time since the step began.
    pub elapsed: Duration,
    /// Object files made so far; 0 outside of compiling.
    pub object_count: usize,
    /// About how many object files there will be, where that is known.
    pub object_estimate: Option<usize>,
}

impl Progress {
    /// Of a step that began at `since` and counts no object files yet.
    pub(crate) fn of(activity: Activity, subject: impl Into<String>, since: Instant) -> Progress {
        Progress {
            activity,
            subject: subject.into(),
            elapsed: since.elapsed(),
            object_count: 0,
            object_estimate: None,
        }
    }
}

/// Who is told of the progress.
pub type Watcher<'a> = dyn FnMut(&Progress) + 'a;

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.activity {
            Activity::WaitingForLock => "waiting for another process that makes",
            Activity::Downloading => "downloading",
            Activity::Unpacking => "unpacking",
            Activity::Copying => "copying the sources and objects of",
            Activity::Configuring => "configuring",
            Activity::Compiling => "compiling",
            Activity::Linking => "linking",
        };
        write!(f, "{verb} {}", self.subject)?;
        match self.object_estimate {
            Some(estimate) => write!(f, ", {} of about {estimate} files", self.object_count)?,
            None if self.object_count > 0 => write!(f, ", {} files", self.object_count)?,
            None => {}
        }
        write!(f, ", {} s", self.elapsed.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_as_a_phrase() {
        let mut progress = Progress {
            activity: Activity::Compiling,
            subject: "linux 6.12.117".into(),
            elapsed: Duration::from_millis(61_900),
            object_count: 120,
            object_estimate: Some(800),
        };
        assert_eq!(progress.to_string(), "compiling linux 6.12.117, 120 of about 800 files, 61 s");
        progress.object_estimate = None;
        progress.activity = Activity::Unpacking;
        progress.object_count = 0;
        assert_eq!(progress.to_string(), "unpacking linux 6.12.117, 61 s");
    }
}
