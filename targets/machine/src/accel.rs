//! What runs a guest of QEMU: KVM where it really runs one, else QEMU's own translation.
//!
//! A `/dev/kvm` that opens proves nothing, and a guest that only writes to a port proves little: on a host without nested
//! virtualization that one was seen to run, while the firmware hung halfway and used up a CPU. So a guest has to come up
//! by the firmware, enter long mode and be woken by its timer before a machine is given to KVM.

mod guest;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, CacheError};
use crate::keeper::{self, Orders};
use crate::kernel::hex_digest;

/// The device of KVM.
const DEVICE: &str = "/dev/kvm";

/// Longest that the guest of the probe may take. Where KVM works it takes less than half a second.
const PROBE_DEADLINE: Duration = Duration::from_secs(3);

/// Longest that the system may take to end a killed process.
const KILL_DEADLINE: Duration = Duration::from_secs(2);

/// What the guest of the probe gives `isa-debug-exit` at its end.
const SAID: i32 = 0x2a;

/// The status that QEMU then ends with. Source: `debug_exit_write()`, hw/misc/debugexit.c of QEMU.
const SAID_STATUS: i32 = SAID << 1 | 1;

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accel {
    /// The processor, through KVM.
    Kvm,
    /// QEMU, which translates them.
    Tcg,
}

impl Accel {
    /// What QEMU calls it.
    pub fn name(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the user wants to run guests with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccelWish {
    /// KVM where it runs a guest, else TCG.
    #[default]
    Auto,
    /// This one, unasked.
    Only(Accel),
}

/// An accelerator that there is not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no accelerator {name:?}: choose auto, kvm or tcg")]
pub struct AccelError {
    /// What was asked for.
    pub name: String,
}

impl FromStr for AccelWish {
    type Err = AccelError;

    fn from_str(text: &str) -> Result<AccelWish, AccelError> {
        match text {
            "auto" => Ok(AccelWish::Auto),
            "kvm" => Ok(AccelWish::Only(Accel::Kvm)),
            "tcg" => Ok(AccelWish::Only(Accel::Tcg)),
            _ => Err(AccelError { name: text.to_owned() }),
        }
    }
}

/// What guests are run with, and why. Displays as one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// What they are run with.
    pub accel: Accel,
    /// Why, as a phrase.
    pub reason: String,
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accelerator: {}, since {}", self.accel, self.reason)
    }
}

/// What `wish` comes to here, with the program `qemu`. Only [`AccelWish::Auto`] is looked into.
///
/// # Errors
///
/// If the cache cannot be used.
pub fn decide(cache: &Cache, qemu: &Path, wish: AccelWish) -> Result<Probed, CacheError> {
    match wish {
        AccelWish::Auto => probe(cache, qemu),
        AccelWish::Only(accel) => Ok(Probed { accel, reason: "it was asked for".to_owned() }),
    }
}

/// Finds out whether KVM runs a guest of the program `qemu`. Takes up to three seconds once; the answer is kept until
/// the host is booted again, or QEMU or the device changes.
///
/// # Errors
///
/// If the cache cannot be used.
pub fn probe(cache: &Cache, qemu: &Path) -> Result<Probed, CacheError> {
    if let Err(error) = File::options().read(true).write(true).open(DEVICE) {
        // Not kept: a user may be given the device at any time.
        return Ok(Probed { accel: Accel::Tcg, reason: unopened(&error) });
    }
    let place = place(cache, qemu);
    if let Some(known) = remembered(&place) {
        return Ok(known);
    }
    // Two at a time would take each other's time.
    let _lock = cache.lock("accel", || {})?;
    if let Some(known) = remembered(&place) {
        return Ok(known);
    }
    let found = judge(run(cache, qemu, Accel::Kvm, PROBE_DEADLINE)?);
    cache.publish_file(&place, &serde_json::to_vec(&found).unwrap_or_default())?;
    Ok(found)
}

/// Notes that a kernel did not come up under KVM, though a guest of a few instructions had run: from now on, until the host is
/// booted again, it is TCG. Gives that.
///
/// # Errors
///
/// If the cache cannot be used.
pub fn distrust(cache: &Cache, qemu: &Path) -> Result<Probed, CacheError> {
    let reason = format!("no kernel came up under {DEVICE}, though a guest ran and ended");
    let found = Probed { accel: Accel::Tcg, reason };
    cache.publish_file(&place(cache, qemu), &serde_json::to_vec(&found).unwrap_or_default())?;
    Ok(found)
}

/// Whether `accel` runs a guest of the program `qemu` within `deadline`. Asks the cache for nothing but room.
///
/// # Errors
///
/// If the cache cannot be used.
pub fn runs(
    cache: &Cache,
    qemu: &Path,
    accel: Accel,
    deadline: Duration,
) -> Result<bool, CacheError> {
    Ok(run(cache, qemu, accel, deadline)? == Fate::Ran)
}

/// What is known already, without a guest; `None` if a guest would have to be run to know.
pub fn known(cache: &Cache, qemu: &Path) -> Option<Probed> {
    match File::options().read(true).write(true).open(DEVICE) {
        Ok(_) => remembered(&place(cache, qemu)),
        Err(error) => Some(Probed { accel: Accel::Tcg, reason: unopened(&error) }),
    }
}

/// Where the answer for this boot, this QEMU and this device is kept.
fn place(cache: &Cache, qemu: &Path) -> PathBuf {
    let name = hex_digest(&["accel 1", &boot(), &identity(qemu), &identity(Path::new(DEVICE))]);
    cache.root().join("accel").join(&name[..16])
}

fn remembered(place: &Path) -> Option<Probed> {
    serde_json::from_slice(&fs::read(place).ok()?).ok()
}

fn unopened(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        return format!("there is no {DEVICE}");
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return format!("this user may not open {DEVICE} (the group kvm may)");
    }
    format!("{DEVICE} does not open ({error})")
}

/// What this boot of the host is called.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// Tells one file from another, and one content of it from another.
fn identity(path: &Path) -> String {
    let facts = |data: fs::Metadata| {
        [data.dev(), data.ino(), data.rdev(), data.size()]
            .map(|number| number.to_string())
            .join(" ")
            + &format!(" {} {}", data.mtime(), data.ctime())
    };
    format!("{} {}", path.display(), path.metadata().map(facts).unwrap_or_default())
}

/// What became of the guest of the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It ran and ended itself.
    Ran,
    /// QEMU ended without it, in this way.
    Refused(ExitStatus),
    /// It did not end in time, and was killed.
    Hung(Duration),
    /// QEMU did not start.
    NotStarted,
}

fn judge(fate: Fate) -> Probed {
    let tcg = |reason: String| Probed { accel: Accel::Tcg, reason };
    match fate {
        Fate::Ran => {
            Probed { accel: Accel::Kvm, reason: format!("a guest of {DEVICE} ran and ended") }
        }
        Fate::Refused(status) => {
            tcg(format!("{DEVICE} opens and QEMU gave its guest up ({status})"))
        }
        Fate::Hung(deadline) => {
            tcg(format!("{DEVICE} opens and its guest did not run within {} s", deadline.as_secs()))
        }
        Fate::NotStarted => tcg("QEMU did not start to try anything else".to_owned()),
    }
}

/// Runs the guest of the probe and leaves nothing of it.
fn run(cache: &Cache, qemu: &Path, accel: Accel, deadline: Duration) -> Result<Fate, CacheError> {
    let scratch = cache.scratch()?;
    let file = scratch.path().join("guest");
    fs::write(&file, guest::IMAGE).map_err(CacheError::io("write", &file))?;
    let (theirs, lifeline) = io::pipe().map_err(CacheError::io("make a pipe for", qemu))?;
    let mut command = Command::new(qemu);
    command
        .args(["-accel", accel.name(), "-M", "q35", "-m", "16M", "-nodefaults", "-display", "none"])
        .args(["-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-kernel"])
        .arg(&file)
        .arg0("pinfold-accelerator-probe")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let orders =
        Orders { lifeline: theirs.into(), inherited: Vec::new(), cpu: None, litter: Vec::new() };
    keeper::keep(&mut command, orders);
    let Ok(mut child) = command.spawn() else { return Ok(Fate::NotStarted) };
    // The command holds the other end of the lifeline, too.
    drop(command);
    let status = ended_within(&mut child, deadline);
    drop(lifeline);
    Ok(match status {
        Some(status) if status.code() == Some(SAID_STATUS) => Fate::Ran,
        Some(status) => Fate::Refused(status),
        None => {
            // A process that even SIGKILL does not end is not waited for: the keeper does that.
            let _ = ended_within(&mut child, KILL_DEADLINE);
            Fate::Hung(deadline)
        }
    })
}

fn ended_within(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    let since = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            _ if since.elapsed() >= deadline => return None,
            _ => thread::sleep(LOOK_EVERY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_accelerator_is_wished_for_by_name() {
        assert_eq!("auto".parse(), Ok(AccelWish::Auto));
        assert_eq!("kvm".parse(), Ok(AccelWish::Only(Accel::Kvm)));
        assert_eq!("tcg".parse(), Ok(AccelWish::Only(Accel::Tcg)));
        let error = "xen".parse::<AccelWish>().unwrap_err().to_string();
        assert_eq!(error, "no accelerator \"xen\": choose auto, kvm or tcg");
    }

    #[test]
    fn what_was_asked_for_is_taken_and_nothing_is_tried() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path().join("cache"));
        let found = decide(&cache, Path::new("/nonexistent"), AccelWish::Only(Accel::Tcg)).unwrap();
        assert_eq!(found.to_string(), "accelerator: tcg, since it was asked for");
        assert!(!cache.root().exists());
    }

    #[test]
    fn only_a_guest_that_ran_and_ended_speaks_for_kvm() {
        assert_eq!(judge(Fate::Ran).accel, Accel::Kvm);
        let hung = judge(Fate::Hung(Duration::from_secs(3)));
        let line = "accelerator: tcg, since /dev/kvm opens and its guest did not run within 3 s";
        assert_eq!(hung.to_string(), line);
        assert_eq!(judge(Fate::NotStarted).accel, Accel::Tcg);
        assert_eq!(judge(Fate::Refused(ExitStatus::default())).accel, Accel::Tcg);
    }

    /// A program that takes the place of QEMU.
    fn script(folder: &tempfile::TempDir, text: &str) -> PathBuf {
        let file = folder.path().join("qemu");
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    #[test]
    fn a_guest_that_hangs_is_gone_with_its_children_when_the_deadline_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let pids = folder.path().join("pids");
        let text = format!("sleep 1000 & echo $! $$ > {}; wait", pids.display());
        let deadline = Duration::from_millis(500);
        let since = Instant::now();
        let fate = run(&cache, &script(&folder, &text), Accel::Kvm, deadline).unwrap();
        assert_eq!(fate, Fate::Hung(deadline));
        assert!(since.elapsed() < deadline + KILL_DEADLINE);
        let pids = fs::read_to_string(pids).unwrap();
        assert_eq!(pids.split_whitespace().count(), 2);
        for pid in pids.split_whitespace() {
            assert!(!Path::new("/proc").join(pid).exists(), "{pid} is left");
        }
    }

    #[test]
    fn a_qemu_that_gives_up_or_is_not_there_is_told_from_one_that_ran() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let fate = |text: &str| {
            run(&cache, &script(&folder, text), Accel::Kvm, Duration::from_secs(20)).unwrap()
        };
        assert_eq!(fate(&format!("exit {SAID_STATUS}")), Fate::Ran);
        assert!(matches!(fate("exit 1"), Fate::Refused(status) if status.code() == Some(1)));
        let nowhere = Path::new("/nonexistent/qemu");
        assert_eq!(run(&cache, nowhere, Accel::Kvm, PROBE_DEADLINE).unwrap(), Fate::NotStarted);
    }

    #[test]
    fn an_answer_is_remembered_and_another_qemu_is_asked_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let count = folder.path().join("count");
        let text = format!("echo x >> {}; exit {SAID_STATUS}", count.display());
        let qemu = script(&folder, &text);
        if File::options().read(true).write(true).open(DEVICE).is_err() {
            assert_eq!(probe(&cache, &qemu).unwrap().accel, Accel::Tcg);
            assert!(!count.exists(), "a device that does not open needs no guest");
            return;
        }
        assert_eq!(known(&cache, &qemu), None);
        let first = probe(&cache, &qemu).unwrap();
        assert_eq!((first.accel, known(&cache, &qemu)), (Accel::Kvm, Some(first.clone())));
        assert_eq!(probe(&cache, &qemu).unwrap(), first);
        assert_eq!(fs::read_to_string(&count).unwrap(), "x\n");
        let other = script(&folder, &format!("{text} # other"));
        assert_eq!(known(&cache, &other), None);
    }
}
