//! Reads the folder of a run for its report. A run that was interrupted has a report as well.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pinfold::defects::{Defects, Entry, Running};
use pinfold::oracle::Divergence;
use pinfold::profile::{Platform, Profile};
use pinfold::report::{Evidence, FindingReport, KnownNote, RunNumbers, RunReport};
use pinfold_contract::parse;

use crate::bundle::{Finding, StoredTrace};
use crate::defects::embedded_defects;
use crate::error::RunError;
use crate::name::TargetName;
use crate::summary::{NeverSeen, Summary};
use crate::target::nearest;

/// Everything that is on disk of the run in `folder`, which may also be one bundle.
///
/// What cannot be read is left out and named in the report.
///
/// # Errors
///
/// If `folder` cannot be read, or is neither: it has no `summary.json`, no `findings` and no `finding.json`.
pub fn read_report(folder: &Path) -> Result<RunReport, RunError> {
    // A folder that is not there, or may not be read, is not one without findings.
    fs::read_dir(folder).map_err(|source| RunError::Read { path: folder.to_owned(), source })?;
    let found = |name: &str| folder.join(name).exists();
    if !found("summary.json") && !found("findings") && !found("finding.json") {
        let why = "it has no summary.json, no findings and no finding.json: it is no folder that `pinfold fuzz` made";
        let source = io::Error::new(io::ErrorKind::NotFound, why);
        return Err(RunError::Read { path: folder.to_owned(), source });
    }
    let mut reader = Reader { known: embedded_defects()?, unreadable: Vec::new() };
    let summary: Option<Summary> = match found("summary.json") {
        true => reader.json(&folder.join("summary.json")),
        false => None,
    };
    let mut findings: Vec<FindingReport> = if found("finding.json") {
        reader.signature(vec![folder.to_owned()]).into_iter().collect()
    } else {
        let folders = subfolders(&folder.join("findings"));
        folders.iter().filter_map(|folder| reader.signature(bundles(folder))).collect()
    };
    for finding in &mut findings {
        let counted = summary.iter().flat_map(|summary| &summary.findings);
        finding.count =
            counted.filter(|found| found.signature == finding.signature).map(|f| f.count).next();
    }
    findings
        .sort_by_key(|f| (f.known.is_some(), u64::MAX - f.count.unwrap_or(0), f.signature.clone()));
    let first = findings.first();
    Ok(RunReport {
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        place: folder.display().to_string(),
        target: name_of(&summary, first, |s| &s.target, |f| &f.target),
        kernel: name_of(&summary, first, |s| &s.kernel, |f| &f.kernel),
        run: summary.map(numbers),
        findings,
        unreadable: reader.unreadable,
        preface: None,
    })
}

/// What the summary says, or the first finding.
fn name_of(
    summary: &Option<Summary>,
    first: Option<&FindingReport>,
    of_summary: fn(&Summary) -> &String,
    of_finding: fn(&FindingReport) -> &String,
) -> String {
    let name = summary.as_ref().map(of_summary).or(first.map(of_finding));
    name.cloned().unwrap_or_else(|| "unknown".to_owned())
}

fn numbers(summary: Summary) -> RunNumbers {
    RunNumbers {
        rules: summary.rules,
        rng_seed: summary.rng_seed,
        seconds: summary.seconds,
        sequences: summary.sequences,
        ops: summary.ops,
        agrees: summary.agrees,
        diverges: summary.diverges,
        known: summary.known,
        presumed: summary.presumed,
        inconclusive: summary.coverage.inconclusive,
        executed_ops_median: summary.coverage.executed_ops_median,
        kinds: summary.coverage.ops,
        refusals_seen: summary.coverage.refusals_seen,
        never_seen: summary.coverage.refusals_never_seen.into_iter().map(told).collect(),
    }
}

/// The refusal, and why it was not seen.
fn told(never: NeverSeen) -> (String, Option<String>) {
    let why = never.why.zip(never.first_target);
    (
        format!("{} {}", never.op, never.name),
        why.map(|(why, first)| format!("{why}; first on {first}")),
    )
}

struct Reader {
    known: Defects,
    unreadable: Vec<String>,
}

impl Reader {
    /// The shortest of `bundles` that can be read, with the others by name.
    fn signature(&mut self, bundles: Vec<PathBuf>) -> Option<FindingReport> {
        let mut read: Vec<(PathBuf, Finding)> = Vec::new();
        for folder in bundles {
            if let Some(finding) = self.json(&folder.join("finding.json")) {
                read.push((folder, finding));
            }
        }
        let shortest = (0..read.len()).min_by_key(|index| (read[*index].1.op_count, *index))?;
        let (folder, finding) = read.remove(shortest);
        let name =
            |folder: &PathBuf| folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let others = read.iter().filter_map(|(folder, _)| name(folder)).collect();
        Some(self.finding(&folder, finding, others))
    }

    fn finding(&mut self, folder: &Path, finding: Finding, others: Vec<String>) -> FindingReport {
        let evidence = self.evidence(folder, &finding);
        let account = match &evidence {
            Some(_) => String::new(),
            None => fs::read_to_string(folder.join("explain.txt")).unwrap_or_default(),
        };
        FindingReport {
            known: self.known_note(&finding),
            signature: finding.signature,
            count: None,
            place: folder.display().to_string(),
            others,
            files: files(folder),
            target: finding.target,
            kernel: finding.kernel,
            tool: finding.tool,
            observe: finding.observe,
            rng_seed: finding.rng_seed,
            index: finding.index,
            reliability: finding.reliability.map(|r| (r.again, r.of)),
            minimal: finding.minimal,
            repeat: finding.repeat,
            recorded: Divergence {
                op_index: finding.op_index,
                oracle: finding.oracle,
                predicted: finding.predicted,
                seen: finding.seen,
                class: String::new(),
                detail: finding.detail,
            },
            evidence,
            account,
        }
    }

    fn evidence(&mut self, folder: &Path, finding: &Finding) -> Option<Evidence> {
        let path = folder.join("trace.json");
        let stored: StoredTrace = self.json(&path)?;
        match parse(&stored.sequence) {
            Ok(text) => {
                let (profile, signature) = (profile_of(finding), &finding.signature);
                let evidence = Evidence::of(profile, text.sequence, stored.trace, signature);
                if evidence.divergence.is_none() {
                    let why = format!("by the rules of today it does not show {signature}");
                    self.unreadable.push(format!("{}: {why}", path.display()));
                }
                Some(evidence)
            }
            Err(error) => {
                self.unreadable.push(format!("{}: {error}", path.display()));
                None
            }
        }
    }

    fn known_note(&self, finding: &Finding) -> Option<KnownNote> {
        let title = finding.known.clone()?;
        let platform = profile_of(finding).platform;
        let running = Running { release: &finding.kernel, platform, fixed: &[] };
        let entry = self.known.matching(&finding.signature, running).map(|it| it.entry);
        Some(KnownNote {
            title,
            presumed: finding.presumed.clone(),
            source: entry.map(|entry| entry.source.clone()).unwrap_or_default(),
            report: entry.map(Entry::report).unwrap_or_default(),
        })
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self, path: &Path) -> Option<T> {
        let read = fs::read_to_string(path).map_err(|error| error.to_string());
        match read.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string())) {
            Ok(value) => Some(value),
            Err(error) => {
                self.unreadable.push(format!("{}: {error}", path.display()));
                None
            }
        }
    }
}

/// Whose rules the target of a finding was held to.
fn profile_of(finding: &Finding) -> &'static Profile {
    match finding.target.parse() {
        Ok(TargetName::Model { profile, .. }) => profile,
        Ok(TargetName::Qemu { .. } | TargetName::QemuImage { .. } | TargetName::Local { .. }) => {
            nearest(&finding.kernel).on(Platform::X86)
        }
        Ok(TargetName::Uml { .. } | TargetName::UmlImage { .. }) | Err(_) => {
            nearest(&finding.kernel)
        }
    }
}

/// Bundles of one signature, by number. What is being written has a name that is no number.
fn bundles(folder: &Path) -> Vec<PathBuf> {
    let named = subfolders(folder).into_iter().filter_map(|folder| {
        let number: u32 = folder.file_name()?.to_str()?.parse().ok()?;
        Some((number, folder))
    });
    let mut numbered: Vec<(u32, PathBuf)> = named.collect();
    numbered.sort();
    numbered.into_iter().map(|(_, folder)| folder).collect()
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Names of what a bundle holds.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}
