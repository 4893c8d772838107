//! Compiles what User Mode Linux is started with (`src/xstate.c`), with the C compiler that Rust links with.

#![allow(clippy::print_stdout, reason = "cargo reads it")]

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/xstate.c");
    println!("cargo::rerun-if-env-changed=CC");
    let folder = env::var_os("OUT_DIR").expect("cargo says where it goes");
    let library = PathBuf::from(folder).join("xstate.so");
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"];
    let status = Command::new(&compiler).args(flags).arg(library).arg("src/xstate.c").status();
    let compiled = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    assert!(
        compiled,
        "{} does not compile src/xstate.c ({status:?}): install gcc",
        compiler.display()
    );
}
