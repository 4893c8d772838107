//! Files that libFuzzer leaves: inputs of fuzz targets.

use std::path::Path;

/// How the names of such files begin.
///
/// Source: `-artifact_prefix` and its callers, lib/fuzzer/FuzzerLoop.cpp and FuzzerDriver.cpp of compiler-rt.
const PREFIXES: [&str; 6] =
    ["crash-", "leak-", "minimized-from-", "oom-", "slow-unit-", "timeout-"];

/// Whether `path` is called as libFuzzer calls what it leaves. Such a file may be any bytes, and is the sequence that the
/// fuzz target ran.
pub(crate) fn is_artifact(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && path.extension().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_that_somebody_named_is_no_artifact() {
        let is = |name: &str| is_artifact(Path::new(name));
        assert!(is("fuzz/artifacts/rxe_agrees/crash-0a1b") && is("timeout-77"));
        assert!(!is("crash-of-mine.seq") && !is("corpus/seeds/wrong_key.seq") && !is("crash-/a"));
    }
}
