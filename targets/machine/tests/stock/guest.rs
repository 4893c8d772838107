//! Boots the guest beside this file in QEMU without acceleration, and gives what it said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Longest that a guest may take. Seconds.
const DEADLINE_S: &str = "300";

/// Boots `image` with `modules`, which are loaded in this order; gives the console.
pub(crate) fn boot(image: &Path, modules: &[PathBuf]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("init");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stock/guest.c");
    let compiled =
        Command::new("gcc").args(["-O2", "-static", "-o"]).arg(&program).arg(source).status();
    assert!(compiled.unwrap().success(), "the guest does not compile");
    let initramfs = folder.path().join("initramfs");
    fs::write(&initramfs, archive(&program, modules)).unwrap();
    // timeout(1) ends it even where this test is killed.
    let mut qemu = Command::new("timeout");
    qemu.args(["--signal=KILL", DEADLINE_S, "qemu-system-x86_64", "-accel", "tcg", "-M", "q35"])
        .args(["-cpu", "max", "-m", "512M", "-nodefaults", "-display", "none", "-no-reboot"])
        .args(["-serial", "stdio", "-append", "console=ttyS0 panic=-1 oops=panic"])
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(&initramfs)
        .stdin(Stdio::null());
    let output = qemu.output().unwrap();
    String::from_utf8_lossy(&output.stdout).replace('\r', "")
        + &String::from_utf8_lossy(&output.stderr)
}

/// Fails unless the guest loaded each of `modules`.
pub(crate) fn assert_all_loaded(modules: &[PathBuf], console: &str) {
    assert!(!modules.is_empty());
    for (index, module) in modules.iter().enumerate() {
        let said = format!("\nmodule {}: ok\n", name_in_guest(index, module));
        assert!(console.contains(&said), "not said: {said}{console}");
    }
}

/// Names that sort in the order of loading.
fn name_in_guest(index: usize, module: &Path) -> String {
    format!("{index:02}-{}", module.file_name().unwrap().to_str().unwrap())
}

/// A cpio archive with `init` and `modules`.
fn archive(init: &Path, modules: &[PathBuf]) -> Vec<u8> {
    const FOLDER: u32 = 0o040_755;
    const FILE: u32 = 0o100_755;
    let mut bytes = Vec::new();
    // A character device 5:1, which the kernel gives init as its console.
    add(&mut bytes, "dev", FOLDER, (0, 0), b"");
    add(&mut bytes, "dev/console", 0o020_600, (5, 1), b"");
    add(&mut bytes, "init", FILE, (0, 0), &fs::read(init).unwrap());
    add(&mut bytes, "modules", FOLDER, (0, 0), b"");
    for (index, module) in modules.iter().enumerate() {
        let name = format!("modules/{}", name_in_guest(index, module));
        add(&mut bytes, &name, FILE, (0, 0), &fs::read(module).unwrap());
    }
    add(&mut bytes, "TRAILER!!!", 0, (0, 0), b"");
    bytes
}

/// Source: Documentation/driver-api/early-userspace/buffer-format.rst.
fn add(archive: &mut Vec<u8>, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
    let number = u32::try_from(archive.len()).unwrap();
    let (length, name_length) =
        (u32::try_from(content.len()).unwrap(), u32::try_from(name.len() + 1).unwrap());
    let fields = [number, mode, 0, 0, 1, 0, length, 0, 0, device.0, device.1, name_length, 0];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
