//! The programs of the host that a step needs, looked for before it starts and named all at once.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A program, and the Debian package that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name on the search path.
    pub program: &'static str,
    /// The package to install.
    pub package: &'static str,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

/// What building a kernel needs.
pub const BUILD: &[Tool] = &[
    tool("gcc", "gcc"),
    tool("ld", "binutils"),
    tool("make", "make"),
    tool("flex", "flex"),
    tool("bison", "bison"),
    tool("bc", "bc"),
    tool("perl", "perl"),
];

/// What fetching and unpacking a Debian source package needs.
pub const SOURCE: &[Tool] =
    &[tool("apt-get", "apt"), tool("dpkg-deb", "dpkg"), tool("tar", "tar"), tool("xz", "xz-utils")];

/// What running a kernel in QEMU needs.
pub const QEMU: &[Tool] = &[tool("qemu-system-x86_64", "qemu-system-x86")];

/// What building modules of a stock kernel needs, beside the compiler that the kernel was built with.
pub const MODULES: &[Tool] =
    &[tool("make", "make"), tool("strip", "binutils"), tool("grep", "grep")];

/// What reading a commit needs.
pub const GIT: &[Tool] = &[tool("git", "git")];

/// The C library's headers, which the user half of User Mode Linux is compiled against.
pub const LIBC_HEADER: &str = "/usr/include/stdio.h";

/// Programs that are not there. Never empty.
#[derive(Debug, thiserror::Error)]
#[error("{} missing: run `{}`", names.join(", "), install_line(packages))]
pub struct MissingTools {
    /// What was looked for and not found.
    pub names: Vec<String>,
    /// The packages that bring them.
    pub packages: Vec<String>,
}

/// The command that installs `packages` on Debian.
pub fn install_line(packages: &[String]) -> String {
    format!("apt-get install {}", packages.join(" "))
}

/// Looks for all of `tools` on the search path, and for each of `headers` (path, package) in the file system.
///
/// # Errors
///
/// All that are missing, at once, with the packages that bring them.
pub fn require(tools: &[Tool], headers: &[(&str, &str)]) -> Result<(), MissingTools> {
    missing(tools, headers, env::var_os("PATH").unwrap_or_default().as_os_str())
}

/// Where `program` is on the search path of this process.
pub fn find(program: &str) -> Option<PathBuf> {
    find_in(program, env::var_os("PATH").unwrap_or_default().as_os_str())
}

/// The C compiler to build kernels with: gcc 12 where it is installed, as Debian's own kernels are built with it.
pub fn compiler() -> &'static str {
    if find("gcc-12").is_some() { "gcc-12" } else { "gcc" }
}

fn missing(tools: &[Tool], headers: &[(&str, &str)], path: &OsStr) -> Result<(), MissingTools> {
    let absent_tools = tools.iter().filter(|tool| find_in(tool.program, path).is_none());
    let absent_headers = headers.iter().filter(|(header, _)| !Path::new(header).exists());
    let absent: Vec<(&str, &str)> = absent_tools
        .map(|tool| (tool.program, tool.package))
        .chain(absent_headers.copied())
        .collect();
    if absent.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<String> = absent.iter().map(|(_, package)| (*package).into()).collect();
    packages.dedup();
    Err(MissingTools { names: absent.iter().map(|(name, _)| (*name).into()).collect(), packages })
}

fn find_in(program: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(program)).find(|file| is_executable(file))
}

/// Whether `file` is a regular file with an execute bit.
pub fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_missing_tools_are_named_at_once_with_one_install_line() {
        let error = missing(BUILD, &[("/nonexistent.h", "libc6-dev")], OsStr::new("/nonexistent"))
            .unwrap_err()
            .to_string();
        for word in
            ["flex", "bison", "/nonexistent.h", "apt-get install gcc binutils make", "libc6-dev"]
        {
            assert!(error.contains(word), "{word} not in: {error}");
        }
    }

    #[test]
    fn a_file_without_execute_bit_is_no_tool() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("flex"), "").unwrap();
        assert_eq!(find_in("flex", folder.path().as_os_str()), None);
    }
}
