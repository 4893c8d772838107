//! Makes reproducers of stored sequences: what a bundle beside them knows goes into them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use pinfold::model;
use pinfold::oracle::{Divergence, Verdict};
use pinfold::profile::{Platform, Profile};
use pinfold::reproduce::{Reproduction, c_program};
use pinfold_contract::{Observe, SeqFile, Sequence, parse};

use crate::annotate::annotate;
use crate::bundle::{Finding, StoredTrace};
use crate::check::check;
use crate::name::TargetName;
use crate::replay::{ReadError, read_seq};
use crate::target::{Target, TargetOptions, nearest, without_swap};

/// The C program for the sequence in `path`.
///
/// The divergence to show is the one of the bundle that the file is in. Where there is none the program checks every
/// outcome and the final state, by the rules that `target` is held to.
///
/// # Errors
///
/// If the file cannot be read.
pub fn reproduce_c(path: &Path, target: &TargetName) -> Result<String, ReadError> {
    let file = read_seq(path)?;
    let found = beside::<Finding>(path, "finding.json");
    let profile = found.as_ref().map_or_else(|| profile_of(target), |found| nearest(&found.kernel));
    let divergence = found.as_ref().and_then(|found| shown(path, &file, profile, found));
    let title = match &found {
        Some(found) => found.signature.to_string(),
        None => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let seen_on: Vec<String> = match (&found, &divergence) {
        (Some(found), Some(_)) => vec![seen_on(&found.kernel, &found.target)],
        (Some(_) | None, _) => Vec::new(),
    };
    Ok(c_program(&Reproduction {
        sequence: &file.sequence,
        profile,
        title: &title,
        seen_on: &seen_on,
        divergence: divergence.as_ref(),
    }))
}

/// The sequence in `path` as text (`.seq`), with what is expected of each op on each kernel.
///
/// # Errors
///
/// If the file cannot be read.
pub fn reproduce_seq(path: &Path, target: &TargetName) -> Result<String, ReadError> {
    let file = read_seq(path)?;
    let profile = profile_of(target);
    let right = TargetName::Model { profile, fault: None };
    let mut model = Target::open(&right, &TargetOptions::default())?;
    let checked = check(&mut model, &file.sequence, Observe::Each)?;
    Ok(annotate(
        &file.sequence,
        &checked,
        &format!("What a right kernel does, as of Linux {}.", profile.series),
    ))
}

/// The program that a bundle gets.
pub(crate) fn bundled(
    sequence: &Sequence,
    profile: &'static Profile,
    title: &str,
    (kernel, target): (&str, &str),
    divergence: Option<&Divergence>,
) -> String {
    let seen_on = [seen_on(kernel, target)];
    c_program(&Reproduction { sequence, profile, title, seen_on: &seen_on, divergence })
}

fn seen_on(kernel: &str, target: &str) -> String {
    let machine = if target.starts_with("uml:") { " (User Mode Linux)" } else { "" };
    format!("Linux {kernel}{machine}")
}

/// What diverges in `file`, as the trace of the bundle shows it, else as its finding says of `sequence.seq`.
fn shown(path: &Path, file: &SeqFile, profile: &Profile, found: &Finding) -> Option<Divergence> {
    let stored = beside::<StoredTrace>(path, "trace.json");
    let is_of_file = |stored: &StoredTrace| {
        parse(&stored.sequence).is_ok_and(|other| other.sequence == file.sequence)
    };
    if let Some(stored) = stored.filter(is_of_file) {
        let predicted = model::predict(profile, &file.sequence, Observe::Each);
        return match found.signature.judge(&file.sequence, &predicted, &stored.trace) {
            Verdict::Diverges(divergence) => Some(divergence),
            Verdict::Agrees | Verdict::Inconclusive { .. } => None,
        };
    }
    (path.file_name()? == "sequence.seq").then(|| Divergence {
        op_index: found.op_index,
        oracle: found.oracle,
        predicted: found.predicted.clone(),
        seen: found.seen.clone(),
        class: String::new(),
        detail: found.detail.clone(),
    })
}

/// A file of the bundle that `path` is in, if there is one and it can be read.
fn beside<T: serde::de::DeserializeOwned>(path: &Path, name: &str) -> Option<T> {
    let bytes = fs::read(path.with_file_name(name)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The version of the kernel in `image`, a program for User Mode Linux. None if it gives none.
fn version_of(image: &Path) -> Option<String> {
    let output = Command::new(image).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

/// The rules that a target is held to, as far as its name tells, and the program that it names. Of a name that is no such program
/// they are those of the newest series.
pub fn profile_of(target: &TargetName) -> &'static Profile {
    match target {
        TargetName::Model { profile, .. } => profile,
        TargetName::Uml { series, .. } => Profile::nearest(*series, Platform::Uml),
        TargetName::UmlImage { image } => {
            version_of(image).map_or(Profile::newest(), |it| nearest(&it))
        }
        TargetName::Qemu { series, .. } => Profile::nearest(*series, Platform::X86),
        TargetName::QemuImage { .. } => Profile::newest().on(Platform::X86),
        TargetName::Local { .. } => without_swap(Profile::newest().on(Platform::X86)),
    }
}
