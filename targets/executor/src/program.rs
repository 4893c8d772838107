//! Runs a program of the initramfs instead of sequences, such as a reproducer.

use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};

use pinfold_contract::{PROGRAM_OUTPUT_BYTES_MAX, ProgramEnd};

use crate::failure::{Doing, Failure};
use crate::sys::{self, Forked};

/// Runs the program that `words` names, its path and its arguments with commas between, and gives how it ended and what
/// it printed.
pub(crate) fn run(words: &str) -> Result<(ProgramEnd, String), Failure> {
    let words: Result<Vec<CString>, _> = words.split(',').map(CString::new).collect();
    let words =
        words.map_err(|_| Failure::State("a word of the program's has a zero byte".to_owned()))?;
    let (mut reader, writer) = std::io::pipe().doing("make a pipe")?;
    let pid = match sys::fork().doing("fork the program")? {
        Forked::Parent(pid) => pid,
        Forked::Child => become_program(&words, &OwnedFd::from(writer)),
    };
    drop(writer);
    let mut output = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = reader.read(&mut chunk).doing("read what the program prints")?;
        if count == 0 {
            break;
        }
        // What is too much is read all the same, or the program would wait for ever.
        let room = PROGRAM_OUTPUT_BYTES_MAX - output.len();
        output.extend_from_slice(&chunk[..count.min(room)]);
    }
    let status = sys::wait(pid).doing("wait for the program")?;
    Ok((end(status), String::from_utf8_lossy(&output).into_owned()))
}

fn end(status: i32) -> ProgramEnd {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    if libc::WIFEXITED(status) {
        ProgramEnd::Exited(byte(libc::WEXITSTATUS(status)))
    } else {
        ProgramEnd::Killed(byte(libc::WTERMSIG(status)))
    }
}

/// Replaces this process. If it cannot, it ends with 127, as in a shell.
fn become_program(words: &[CString], output: &OwnedFd) -> ! {
    for fd in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: takes no pointers; the two standard descriptors belong to nobody in this process.
        unsafe { libc::dup2(output.as_raw_fd(), fd) };
    }
    let end = std::iter::once(std::ptr::null());
    let arguments: Vec<_> = words.iter().map(|word| word.as_ptr()).chain(end).collect();
    // Where a reproducer puts its file on a disk.
    let environment = [c"DISK=/disk".as_ptr(), std::ptr::null()];
    // SAFETY: the words end with a zero byte, both lists with a null pointer, and all outlive the call. There is a
    // first word, though it may be empty.
    unsafe { libc::execve(arguments[0], arguments.as_ptr(), environment.as_ptr()) };
    sys::exit_now(127);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gives_its_output_and_its_end() {
        let (end, output) = run("/bin/true").unwrap();
        assert_eq!((end, output.as_str()), (ProgramEnd::Exited(0), ""));
        assert_eq!(run("/bin/false").unwrap().0, ProgramEnd::Exited(1));
        assert_eq!(run("/nonexistent").unwrap().0, ProgramEnd::Exited(127));
        assert_eq!(run("/bin/echo,-n,a b,c").unwrap().1, "a b c");
        assert!(!run("/usr/bin/env").unwrap().1.contains("PATH="), "it gets no environment");
        let (end, output) = run("/bin/uname").unwrap();
        assert_eq!((end, output.as_str()), (ProgramEnd::Exited(0), "Linux\n"));
    }
}
