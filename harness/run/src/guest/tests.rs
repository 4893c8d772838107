//! The driver against a peer that plays the executor, well or badly.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use pinfold_contract::{FrameReader, Op, Outcome, Proc, Teardown, WIRE_VERSION, encode_frame};

use super::*;

/// What the peer does when it is told to run something. Ends with its thread, which closes the connection.
type Play = fn(&mut Peer, u64, &Sequence);

/// The console and the life of a fake machine.
#[derive(Debug, Default)]
struct Shared {
    console: Mutex<String>,
    status: Mutex<Option<Ending>>,
}

/// The guest's end.
struct Peer {
    stream: UnixStream,
    shared: Arc<Shared>,
}

impl Peer {
    fn say(&mut self, message: &FromGuest) {
        let _ = self.stream.write_all(&encode_frame(message));
    }

    fn print(&self, text: &str) {
        self.shared.console.lock().unwrap().push_str(text);
    }

    fn step(&mut self, id: u64, op_index: u32) {
        self.say(&FromGuest::Step {
            id,
            op_index,
            outcome: Outcome::Done,
            completions: Vec::new(),
            checkpoint: None,
        });
    }

    fn die(&self, status: Ending) {
        *self.shared.status.lock().unwrap() = Some(status);
    }

    /// Answers `Run`s until the host is gone.
    fn serve(mut self, play: Play) {
        let mut reader = FrameReader::default();
        let mut buffer = [0; 4096];
        loop {
            match reader.pop::<ToGuest>() {
                Ok(Some(ToGuest::Run { id, sequence, .. })) => {
                    play(&mut self, id, &sequence);
                    if self.shared.status.lock().unwrap().is_some() {
                        return;
                    }
                }
                Ok(None) => match self.stream.read(&mut buffer) {
                    Ok(count) if count > 0 => reader.push(&buffer[..count]),
                    Ok(_) | Err(_) => return,
                },
                Ok(Some(ToGuest::Greet)) => self.say(&hello()),
                Ok(Some(ToGuest::CountKernelMemory | ToGuest::Shutdown)) | Err(_) => return,
            }
        }
    }
}

fn hello() -> FromGuest {
    FromGuest::Hello {
        wire_version: WIRE_VERSION,
        kernel_release: "6.12.117".to_owned(),
        kernel_version: "#1".to_owned(),
        huge_pages: 0,
    }
}

#[derive(Debug)]
struct FakeGuest {
    wire: Option<UnixStream>,
    shared: Arc<Shared>,
    is_restored: bool,
}

impl Guest for FakeGuest {
    fn wire(&mut self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.wire.take().unwrap()))
    }

    fn drain_console(&mut self) -> String {
        std::mem::take(&mut *self.shared.console.lock().unwrap())
    }

    fn ending(&mut self) -> Option<Ending> {
        *self.shared.status.lock().unwrap()
    }

    fn is_restored(&self) -> bool {
        self.is_restored
    }
}

/// How a fake machine comes up.
#[derive(Clone, Copy, Debug)]
enum Start {
    Hello,
    Silence,
    Death,
    OtherVersion,
    Noise,
    /// Restored, and greets when it is asked to.
    Restored,
    /// Restored, and dead. Without it machines are booted.
    BadState,
}

#[derive(Debug)]
struct FakeBoot {
    start: Start,
    play: Play,
    boot_count: Arc<AtomicU32>,
}

impl Boot for FakeBoot {
    fn boot(&mut self) -> Result<Box<dyn Guest>, RunError> {
        self.boot_count.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let shared = Arc::new(Shared::default());
        let mut peer = Peer { stream: theirs, shared: Arc::clone(&shared) };
        let (start, play) = (self.start, self.play);
        peer.print("Linux version 6.12.117\n");
        thread::spawn(move || {
            match start {
                Start::Hello => peer.say(&hello()),
                Start::Silence | Start::Restored => {}
                Start::Death => peer.die(Ending::Panicked),
                Start::BadState => {
                    peer.die(Ending::Status(1));
                    return;
                }
                Start::OtherVersion => {
                    let mut frame = encode_frame(&hello());
                    frame[2] ^= 1;
                    let _ = peer.stream.write_all(&frame);
                }
                Start::Noise => drop(peer.stream.write_all(b"pinfold login: ")),
            }
            peer.serve(play);
        });
        let is_restored = matches!(start, Start::Restored | Start::BadState);
        Ok(Box::new(FakeGuest { wire: Some(ours), shared, is_restored }))
    }

    fn distrust(&mut self) {
        self.start = Start::Hello;
    }
}

const SHORT: Deadlines = Deadlines {
    boot: Duration::from_secs(10),
    op: Duration::from_millis(500),
    slack: Duration::from_millis(500),
    last_words: Duration::from_millis(100),
};

fn target(start: Start, play: Play) -> (GuestTarget, Arc<AtomicU32>) {
    let boot_count = Arc::new(AtomicU32::new(0));
    let boot = FakeBoot { start, play, boot_count: Arc::clone(&boot_count) };
    (GuestTarget::new(Box::new(boot), SHORT, Arc::default()), boot_count)
}

fn three_ops() -> Sequence {
    Sequence { ops: vec![Op::Exit { proc: Proc::P0 }; 3] }
}

fn run(play: Play) -> (Result<Trace, RunError>, u32) {
    let (mut target, boot_count) = target(Start::Hello, play);
    let result = target.run(&three_ops(), Observe::End);
    // Whatever happened: a target can be used again.
    let _ = target.run(&Sequence::default(), Observe::End);
    (result, boot_count.load(Ordering::Relaxed))
}

fn finish(peer: &mut Peer, id: u64, sequence: &Sequence) {
    for op_index in 0..u32::try_from(sequence.ops.len()).unwrap() {
        peer.print(&format!("pinfold: op {op_index}\nin {op_index}\n"));
        peer.step(id, op_index);
        thread::sleep(Duration::from_millis(10));
    }
    peer.print(&format!("pinfold: op {}\nthe end\n", sequence.ops.len()));
    peer.say(&FromGuest::Finished { id, teardown: Teardown::default() });
}

#[test]
fn each_op_has_the_console_text_of_its_time_and_the_machine_is_used_again() {
    let (result, boot_count) = run(finish);
    let trace = result.unwrap();
    let logs: Vec<&str> = trace.steps.iter().map(|step| step.kernel_log.as_str()).collect();
    assert_eq!(logs, ["in 0\n", "in 1\n", "in 2\n"]);
    let End::Finished { kernel_log, .. } = trace.end else { panic!("{:?}", trace.end) };
    assert_eq!(kernel_log, "the end\n");
    assert_eq!(boot_count, 1);
}

#[test]
fn a_machine_that_dies_is_a_trace_with_its_last_words() {
    let (result, boot_count) = run(|peer, id, _| {
        peer.step(id, 0);
        thread::sleep(Duration::from_millis(20));
        peer.print("pinfold: op 1\nKernel panic - not syncing: Kernel mode fault\n");
        peer.die(Ending::Panicked);
    });
    let trace = result.unwrap();
    assert_eq!(trace.steps.len(), 1);
    let End::Died { kernel_log } = trace.end else { panic!("{:?}", trace.end) };
    assert!(kernel_log.contains("Kernel mode fault"), "{kernel_log}");
    assert_eq!(boot_count, 2);
}

#[test]
fn an_executor_that_panics_is_no_dead_kernel() {
    let (result, boot_count) = run(|peer, _, _| {
        peer.print("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00006500\n");
        peer.die(Ending::Panicked);
    });
    let error = result.unwrap_err();
    assert!(matches!(&error, RunError::Executor { reason, .. } if reason == "it panicked"));
    assert_eq!(error.reach(), crate::Reach::Run);
    assert_eq!(boot_count, 2);
}

#[test]
fn a_host_that_loses_a_process_of_user_mode_linux_is_no_finding() {
    let finishes: Play = |peer, id, _| {
        peer.print("Unexpectedly lost MM child! Affected tasks will segfault.\n");
        (0..3).for_each(|op_index| peer.step(id, op_index));
        peer.say(&FromGuest::Finished { id, teardown: Teardown::default() });
    };
    let dies: Play = |peer, id, _| {
        peer.step(id, 0);
        peer.print("Unexpectedly lost MM child! Affected tasks will segfault.\n");
        peer.print("Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n");
        peer.die(Ending::Panicked);
    };
    for play in [finishes, dies] {
        let (result, boot_count) = run(play);
        let error = result.unwrap_err();
        assert!(error.to_string().contains("the host ended a process"), "{error}");
        assert_eq!(error.reach(), crate::Reach::Run);
        assert_eq!(boot_count, 2);
    }
}

#[test]
fn a_machine_killed_from_outside_is_no_dead_kernel() {
    let (result, boot_count) = run(|peer, _, _| peer.die(Ending::Killed));
    let error = result.unwrap_err();
    assert!(error.to_string().contains("killed from outside"), "{error}");
    assert_eq!((error.reach(), boot_count), (crate::Reach::Run, 2));
}

#[test]
fn a_connection_closed_by_a_living_kernel_is_a_fault_of_ours() {
    let (result, _) = run(|peer, _, _| {
        peer.stream.shutdown(std::net::Shutdown::Both).unwrap();
    });
    let error = result.unwrap_err();
    assert!(error.to_string().contains("its kernel runs on"), "{error}");
}

#[test]
fn an_op_that_hangs_is_found_by_the_executor_or_else_by_the_host() {
    let says_so: Play = |peer, id, _| {
        peer.step(id, 0);
        thread::sleep(Duration::from_millis(20));
        peer.print("pinfold: op 1\nINFO: task hung\n");
        peer.say(&FromGuest::Hung { id, op_index: 1 });
    };
    let is_silent: Play = |peer, id, _| {
        peer.step(id, 0);
        thread::sleep(Duration::from_millis(20));
        peer.print("pinfold: op 1\nINFO: task hung\n");
    };
    for play in [says_so, is_silent] {
        let (result, boot_count) = run(play);
        let trace = result.unwrap();
        assert_eq!(trace.steps.len(), 1);
        let End::Hung { kernel_log } = trace.end else { panic!("{:?}", trace.end) };
        assert!(kernel_log.contains("task hung"), "{kernel_log}");
        assert_eq!(boot_count, 2);
    }
}

#[test]
fn a_failure_of_the_executor_is_an_error_of_one_run() {
    let (result, boot_count) = run(|peer, id, _| {
        peer.say(&FromGuest::Failed { id: Some(id), reason: "no queue pair".to_owned() });
    });
    let error = result.unwrap_err();
    assert!(error.to_string().contains("no queue pair"), "{error}");
    assert_eq!(error.reach(), crate::Reach::Run);
    assert_eq!(boot_count, 2);
}

/// Machines of a fake boot that are processes of our own kernel.
#[derive(Debug)]
struct OnOurKernel<T>(T);

impl Boot for OnOurKernel<FakeBoot> {
    fn boot(&mut self) -> Result<Box<dyn Guest>, RunError> {
        Ok(Box::new(OnOurKernel(self.0.boot()?)))
    }
}

impl Guest for OnOurKernel<Box<dyn Guest>> {
    fn wire(&mut self) -> io::Result<Box<dyn Stream>> {
        self.0.wire()
    }

    fn drain_console(&mut self) -> String {
        self.0.drain_console()
    }

    fn ending(&mut self) -> Option<Ending> {
        self.0.ending()
    }

    fn is_on_our_kernel(&self) -> bool {
        true
    }
}

fn run_on_our_kernel(play: Play) -> Result<Trace, RunError> {
    let boot = FakeBoot { start: Start::Hello, play, boot_count: Arc::default() };
    let stop = Arc::default();
    let mut target = GuestTarget::new(Box::new(OnOurKernel(boot)), SHORT, stop);
    target.run(&three_ops(), Observe::Each)
}

#[test]
fn an_oops_of_our_own_kernel_is_its_death_though_it_goes_on() {
    let ends: [Play; 2] = [
        |peer, id, _| {
            peer.print("BUG: kernel NULL pointer dereference, address: 0000000000000008\n");
            peer.say(&FromGuest::Failed { id: Some(id), reason: "p0 was killed".to_owned() });
        },
        |peer, _, _| {
            peer.print("BUG: kernel NULL pointer dereference, address: 0000000000000008\n");
            peer.die(Ending::Killed);
        },
    ];
    for end in ends {
        let trace = run_on_our_kernel(end).unwrap();
        assert!(matches!(trace.end, End::Died { .. }), "{trace:?}");
    }
}

#[test]
fn an_executor_that_dies_alone_leaves_our_own_kernel_alive() {
    let error = run_on_our_kernel(|peer, _, _| peer.die(Ending::Status(1))).unwrap_err();
    assert!(error.to_string().contains("exit status 1"), "{error}");
    assert_eq!(error.reach(), crate::Reach::Run);
}

#[test]
fn answers_that_do_not_fit_are_never_a_trace() {
    let another_run: Play = |peer, id, _| peer.step(id + 1, 0);
    let skips_an_op: Play = |peer, id, _| peer.step(id, 1);
    let too_early: Play =
        |peer, id, _| peer.say(&FromGuest::Finished { id, teardown: Teardown::default() });
    for play in [another_run, skips_an_op, too_early] {
        let (result, boot_count) = run(play);
        let error = result.unwrap_err();
        assert!(matches!(error, RunError::Executor { .. }), "{error}");
        assert_eq!(boot_count, 2);
    }
    let garbage: Play = |peer, _, _| drop(peer.stream.write_all(b"Segmentation fault"));
    let error = run(garbage).0.unwrap_err();
    assert!(matches!(error, RunError::Link { source: LinkError::Wire(_), .. }), "{error}");
}

#[test]
fn a_machine_that_does_not_come_up_is_tried_again_and_then_given_up() {
    for (start, reason) in [
        (Start::Silence, "said nothing"),
        (Start::Death, "it ended with a panic of the kernel"),
        (Start::Noise, "out of step"),
    ] {
        let (mut target, boot_count) = target(start, finish);
        target.deadlines.boot = Duration::from_millis(300);
        let error = target.run(&three_ops(), Observe::End).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(reason) && text.contains("Linux version 6.12.117"), "{text}");
        assert_eq!(error.reach(), crate::Reach::Target);
        assert_eq!(boot_count.load(Ordering::Relaxed), BOOT_ATTEMPTS);
    }
}

#[test]
fn a_restored_machine_is_asked_to_greet() {
    let (mut target, boot_count) = target(Start::Restored, finish);
    assert_eq!(target.kernel_release().unwrap(), "6.12.117");
    target.run(&three_ops(), Observe::End).unwrap();
    assert_eq!(boot_count.load(Ordering::Relaxed), 1);
}

#[test]
fn where_a_restored_machine_does_not_come_up_one_is_booted() {
    let (mut target, boot_count) = target(Start::BadState, finish);
    target.run(&three_ops(), Observe::End).unwrap();
    assert_eq!(boot_count.load(Ordering::Relaxed), 2);
}

#[test]
fn an_executor_of_another_version_is_not_tried_twice() {
    let (mut target, boot_count) = target(Start::OtherVersion, finish);
    let error = target.kernel_release().unwrap_err();
    assert!(matches!(&error, RunError::Hello(LinkError::Wire(WireError::Version { .. }))));
    assert_eq!(boot_count.load(Ordering::Relaxed), 1);
}

#[test]
fn whoever_stops_does_not_wait_for_a_boot_or_an_op() {
    let hangs: Play = |_, _, _| {};
    for start in [Start::Hello, Start::Silence] {
        let (mut target, _) = target(start, hangs);
        target.deadlines = Deadlines::DEFAULT;
        let stop = Arc::clone(&target.stop);
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            stop.store(true, Ordering::Relaxed);
        });
        let since = Instant::now();
        let error = target.run(&three_ops(), Observe::End).unwrap_err();
        assert!(matches!(error, RunError::Interrupted), "{error}");
        assert!(since.elapsed() < Duration::from_secs(5));
    }
}
