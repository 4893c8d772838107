//! Runs a program of the host with its output in a log file, and tells what went wrong from the log.
//!
//! A compiler must not go on in a build folder whose lock died with us, so the program is told to end when we do.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::keeper;

/// A program that could not be run, or said it failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error("cannot run {program}: check that it is installed and on PATH")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its log cannot be written.
    #[error("cannot write the log {log}: make its folder writable")]
    Log {
        /// The log file.
        log: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ran and failed.
    #[error("{program} failed ({status}):\n{tail}\nthe whole output is in {log}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The lines of the log that matter.
        tail: String,
        /// The log file.
        log: PathBuf,
    },
}

impl RunError {
    /// The same, with files below `folder` named from there on.
    pub(crate) fn with_names_below(self, folder: &Path) -> RunError {
        let place = format!("{}/", folder.display());
        match self {
            RunError::Failed { program, status, tail, log } => {
                RunError::Failed { program, status, tail: tail.replace(&place, ""), log }
            }
            RunError::Start { .. } | RunError::Log { .. } => self,
        }
    }
}

/// How often a running program is looked at, and the shortest time between two signs of progress.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// How many lines of a failed program's output an error shows.
const TAIL_LINES: usize = 12;

/// Runs `command` to its end with its output appended to `log`.
///
/// Calls `report` a few times a second with what was printed since the last call.
///
/// # Errors
///
/// If the program does not start, its log cannot be written, or it ends with another status than 0.
pub fn logged(
    command: &mut Command,
    log: &Path,
    report: &mut dyn FnMut(&str),
) -> Result<(), RunError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let start_error = |source| RunError::Start { program: program.clone(), source };
    let log_error = |source| RunError::Log { log: log.to_owned(), source };
    let output = File::options().create(true).append(true).open(log).map_err(log_error)?;
    let mut reader = File::open(log).map_err(log_error)?;
    let start = fs::metadata(log).map_err(log_error)?.len();
    skip(&mut reader, start).map_err(log_error)?;
    keeper::end_with_us(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(log_error)?)
        .stderr(output)
        .spawn()
        .map_err(start_error)?;
    let mut reported = Instant::now();
    let mut everything = String::new();
    let status = loop {
        let ended = child.try_wait().map_err(start_error)?;
        if ended.is_some() || reported.elapsed() >= REPORT_EVERY {
            let news = read_lossy(&mut reader).map_err(log_error)?;
            report(&news);
            everything.push_str(&news);
            reported = Instant::now();
        }
        match ended {
            Some(status) => break status,
            None => thread::sleep(LOOK_EVERY),
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(RunError::Failed { program, status, tail: relevant(&everything), log: log.to_owned() })
}

fn skip(file: &mut File, length_bytes: u64) -> io::Result<()> {
    io::Seek::seek(file, io::SeekFrom::Start(length_bytes)).map(drop)
}

fn read_lossy(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The lines of a failed program's output that a person looks for: its errors with a few lines after each (compilers
/// show the source there), else simply the last lines.
fn relevant(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let is_said = |line: &str| line.contains("error:") || line.contains("undefined reference");
    // What make adds to the words of a compiler helps nobody.
    let is_said_by_make = |line: &str| line.contains("*** ");
    let are_words = lines.iter().any(|line| is_said(line));
    let is_error = |line: &str| if are_words { is_said(line) } else { is_said_by_make(line) };
    let mut chosen: BTreeSet<usize> = BTreeSet::new();
    for (index, _) in lines.iter().enumerate().filter(|(_, line)| is_error(line)) {
        chosen.extend(index..lines.len().min(index + 3));
    }
    if chosen.is_empty() {
        chosen.extend(lines.len().saturating_sub(TAIL_LINES)..lines.len());
    }
    chosen.iter().take(TAIL_LINES).map(|&index| lines[index]).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_leaves_its_error_lines_and_the_log_path_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let script = "echo '  CC mm/a.o'; echo 'mm/a.c:1: error: no such thing'; exit 3";
        let error = logged(Command::new("sh").args(["-c", script]), &log, &mut |_| {}).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("mm/a.c:1: error: no such thing"), "{text}");
        assert!(!text.contains("CC mm/a.o"), "{text}");
        assert!(
            text.contains(&log.display().to_string()) && text.contains("exit status: 3"),
            "{text}"
        );
    }

    #[test]
    fn what_make_adds_to_the_compilers_words_is_left_out() {
        let output = "  CC a.o\na.c:1: error: no\n  1 | x\n    | ^\nmake[1]: *** [a.o] Error 1\nmake: *** [.] Error 2\n";
        assert_eq!(relevant(output), "a.c:1: error: no\n  1 | x\n    | ^");
        assert_eq!(relevant("say\nmake: *** no rule\n"), "make: *** no rule");
    }

    #[test]
    fn a_failure_without_error_lines_shows_the_last_lines() {
        let many: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let shown = relevant(&many);
        assert!(shown.starts_with("line 88\n") && shown.ends_with("line 99"), "{shown}");
    }

    #[test]
    fn the_log_grows_and_only_the_news_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        for word in ["one", "two"] {
            let mut seen = String::new();
            logged(Command::new("echo").arg(word), &log, &mut |news| seen.push_str(news)).unwrap();
            assert_eq!(seen, format!("{word}\n"));
        }
        assert_eq!(fs::read_to_string(&log).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_program_ends_with_the_thread_that_waits_for_it() {
        let mut sleeper = Command::new("sleep");
        sleeper.arg("1000");
        keeper::end_with_us(&mut sleeper);
        let spawned = thread::spawn(move || sleeper.spawn()).join().unwrap();
        let mut child = spawned.unwrap();
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGTERM));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            logged(&mut Command::new("no-such-program"), &folder.path().join("log"), &mut |_| {})
                .unwrap_err()
                .to_string();
        assert!(error.contains("no-such-program") && error.contains("installed"), "{error}");
    }
}
