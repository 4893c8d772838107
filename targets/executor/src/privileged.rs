//! A second thread of `p0` that keeps CAP_IPC_LOCK, which the first one gives up.
//!
//! Credentials belong to a thread. They cannot be given up and taken back: a device file serves
//! work requests and old commands only to the very credentials that opened it
//! (`ib_safe_file_access()`, include/rdma/ib.h, 6.1 and 6.12), and each change makes new ones.
//!
//! The two threads never run at the same time, so the second needs no storage of its own but a
//! stack. The stack lies in the program's data, which is there before any sequence.

use std::cell::UnsafeCell;
use std::io::{PipeReader, PipeWriter, Read, Write};

use crate::failure::{Doing, Failure};
use crate::{counters, sys};

/// Pages of it are copied by every fork, so it is small: what runs on it goes not deep.
const STACK_BYTES: usize = 16 << 10;

#[repr(align(4096))]
struct Stack(UnsafeCell<[u8; STACK_BYTES]>);

// SAFETY: nobody but the thread that runs on it uses it.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; STACK_BYTES]));

/// What the thread is to do: a function and where its data is.
#[derive(Clone, Copy)]
struct Call {
    function: unsafe fn(*mut ()),
    data: *mut (),
}

/// What the thread knows: where it hears of a call, and where it says that the call is done.
struct Thread {
    calls: PipeReader,
    done: PipeWriter,
}

/// The thread, seen from the first one.
#[derive(Debug)]
pub(crate) struct Privileged {
    calls: PipeWriter,
    done: PipeReader,
}

impl Privileged {
    /// Starts it with the credentials that this process has now. At most once in a process.
    pub(crate) fn start() -> Result<Privileged, Failure> {
        let (calls_heard, calls) = std::io::pipe().doing("make a pipe")?;
        let (done, done_said) = std::io::pipe().doing("make a pipe")?;
        // Never freed: the thread lives as long as the process.
        let thread = Box::into_raw(Box::new(Thread { calls: calls_heard, done: done_said }));
        let flags = libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM;
        // SAFETY: the end of the stack is one past its last byte.
        let top = unsafe { STACK.0.get().cast::<u8>().add(STACK_BYTES) };
        // SAFETY: the thread gets a stack that nobody else uses and data that it alone owns. It
        // shares the storage of this thread, and runs only while this one waits in `run`.
        let result = unsafe { libc::clone(live, top.cast(), flags, thread.cast()) };
        sys::check(result).doing("start a thread")?;
        Ok(Privileged { calls, done })
    }

    /// Has the thread do `call`, and waits for its result.
    pub(crate) fn run<T: Send>(&mut self, call: impl FnOnce() -> T + Send) -> Result<T, Failure> {
        let mut place = (Some(call), None);
        let function = function_of(&place);
        let call = Call { function, data: (&raw mut place).cast() };
        let address = (&raw const call).expose_provenance();
        self.calls.write_all(&address.to_ne_bytes()).doing("ask a thread")?;
        let mut done = [0];
        self.done.read_exact(&mut done).doing("wait for a thread")?;
        place.1.ok_or_else(|| Failure::State("a thread returned nothing".to_owned()))
    }
}

/// The function that does the call of a place such as `_place`, and puts the result beside it.
fn function_of<T, F: FnOnce() -> T>(_place: &(Option<F>, Option<T>)) -> unsafe fn(*mut ()) {
    perform::<T, F>
}

/// # Safety
///
/// `data` is a `(Option<F>, Option<T>)` that nobody else uses during the call.
unsafe fn perform<T, F: FnOnce() -> T>(data: *mut ()) {
    // SAFETY: the caller's promise.
    let place = unsafe { &mut *data.cast::<(Option<F>, Option<T>)>() };
    place.1 = place.0.take().map(|call| call());
}

/// What the thread does until nobody can ask it any more. Its return ends it and nothing else.
///
/// A call that succeeds does not touch `errno`, which the two threads share.
extern "C" fn live(thread: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `start` has handed it over.
    let thread = unsafe { &mut *thread.cast::<Thread>() };
    loop {
        let mut address = [0; size_of::<usize>()];
        if thread.calls.read_exact(&mut address).is_err() {
            return 0;
        }
        let at = std::ptr::with_exposed_provenance::<Call>(usize::from_ne_bytes(address));
        // SAFETY: `run` waits until this is done, and its variables live as long.
        let call = unsafe { *at };
        // SAFETY: as above, and function and data are of one another.
        unsafe { (call.function)(call.data) };
        counters::settle();
        if thread.done.write_all(&[1]).is_err() {
            return 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `test` in a process of its own: it shares storage between two threads.
    fn apart(test: impl FnOnce() -> bool) {
        match sys::fork().unwrap() {
            sys::Forked::Child => sys::exit_now(i32::from(!test())),
            sys::Forked::Parent(pid) => assert_eq!(sys::wait(pid).unwrap(), 0),
        }
    }

    #[test]
    fn calls_run_one_after_another_in_another_thread() {
        apart(|| {
            // SAFETY: takes no pointers.
            let own = || unsafe { libc::syscall(libc::SYS_gettid) };
            let mut privileged = Privileged::start().unwrap();
            let mut sum = 0;
            let others: Vec<_> = (1..=3)
                .map(|number| {
                    privileged.run(|| {
                        sum += number;
                        own()
                    })
                })
                .collect();
            sum == 6 && others.iter().all(|other| *other.as_ref().unwrap() != own())
        });
    }
}
