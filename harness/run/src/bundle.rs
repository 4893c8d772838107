//! What is kept of a finding: a folder with everything needed to repeat and to understand it.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pinfold::explain::explain;
use pinfold::oracle::{Divergence, Oracle, Verdict};
use pinfold::profile::Profile;
use pinfold::signature::Signature;
use pinfold_contract::{End, Observe, Sequence, Trace, print};
use serde::{Deserialize, Serialize};

use crate::annotate::annotate;
use crate::check::{Checked, observe_name};
use crate::error::RunError;
use crate::reproduce::bundled;
use crate::shrink::Ended;

/// `finding.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Version of this form.
    pub schema: u32,
    /// Its name.
    pub signature: Signature,
    /// Which oracle saw it.
    pub oracle: Oracle,
    /// In which op of `sequence.seq`, from 0; the number of ops if after the last one.
    pub op_index: usize,
    /// What the model said.
    pub predicted: String,
    /// What the target did.
    pub seen: String,
    /// Everything about it.
    pub detail: String,
    /// Title of the entry of the known list that explains it.
    pub known: Option<String>,
    /// Why that entry is only presumed to hold for this kernel; none if it was verified.
    #[serde(default)]
    pub presumed: Option<String>,
    /// The divergence that comes before it in the same sequence, and goes on to it.
    #[serde(default)]
    pub follows: Option<Signature>,
    /// The target.
    pub target: String,
    /// `uname -r` of its kernel.
    pub kernel: String,
    /// When the state was looked at: `each` or `end`.
    pub observe: String,
    /// The rng seed of the run.
    pub rng_seed: u64,
    /// Which sequence of that rng seed it is.
    pub index: u64,
    /// How often the sequence as found was run again, and diverged again in the same way.
    pub reliability: Option<Reliability>,
    /// Ops of `minimized.seq`; of `sequence.seq` while there is none.
    pub op_count: usize,
    /// Whether `minimized.seq` is as short as can be.
    pub minimal: Option<bool>,
    /// A command line that repeats it.
    pub repeat: String,
    /// The version of Pinfold that found it.
    #[serde(default)]
    pub tool: String,
}

/// `trace.json`: what the target did, op by op. The model's side is not stored: it can be had again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredTrace {
    /// Version of this form.
    pub schema: u32,
    /// The sequence (`.seq`) that was run: `minimized.seq`, or `sequence.seq` while there is none.
    pub sequence: String,
    /// What the target did.
    pub trace: Trace,
}

impl StoredTrace {
    fn json(sequence: &Sequence, trace: &Trace) -> String {
        let stored = StoredTrace { schema: 1, sequence: print(sequence), trace: trace.clone() };
        serde_json::to_string(&stored).expect("a trace always serializes") + "\n"
    }
}

/// How often a divergence came again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reliability {
    /// Runs that diverged with the same signature.
    pub again: u32,
    /// Runs.
    pub of: u32,
}

/// Where and how a finding was made.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances<'a> {
    pub(crate) target: String,
    /// What names the target on the command line.
    pub(crate) arguments: &'a str,
    pub(crate) kernel: &'a str,
    /// The rules that it is held to.
    pub(crate) profile: &'static Profile,
    pub(crate) observe: Observe,
    pub(crate) rng_seed: u64,
    pub(crate) index: u64,
    pub(crate) known: Option<String>,
    /// Why that is only presumed.
    pub(crate) presumed: Option<String>,
    /// What comes before it.
    pub(crate) follows: Option<Signature>,
}

/// What a finding became when it was repeated and minimized.
#[derive(Debug)]
pub(crate) struct Pursued {
    pub(crate) reliability: Reliability,
    pub(crate) sequence: Sequence,
    pub(crate) ended: Ended,
    /// What the shorter sequence does.
    pub(crate) checked: Checked,
}

/// A bundle on disk.
#[derive(Debug)]
pub(crate) struct Bundle {
    folder: PathBuf,
    finding: Finding,
}

impl Bundle {
    /// Writes what is known into a folder of `out`, at once, whole or not at all. `None` if there are `bundles_max` of
    /// this signature.
    pub(crate) fn create(
        (out, bundles_max): (&Path, u32),
        sequence: &Sequence,
        checked: &Checked,
        (signature, divergence): (&Signature, &Divergence),
        circumstances: &Circumstances<'_>,
    ) -> Result<Option<Bundle>, RunError> {
        let folder = out.join("findings").join(signature.as_str());
        let write = || -> io::Result<Option<Bundle>> {
            fs::create_dir_all(&folder)?;
            let draft = tempfile::Builder::new()
                .prefix(".draft-")
                .permissions(Permissions::from_mode(0o755))
                .tempdir_in(&folder)?;
            for number in 1..=bundles_max {
                let place = folder.join(number.to_string());
                if place.exists() {
                    continue;
                }
                let repeat = repeat_line(&place.join("sequence.seq"), circumstances);
                let finding =
                    finding(signature, divergence, circumstances, sequence.ops.len(), repeat);
                fs::write(draft.path().join("sequence.seq"), print(sequence))?;
                fs::write(draft.path().join("console.txt"), console(&checked.trace))?;
                fs::write(draft.path().join("finding.json"), json(&finding))?;
                let verdict = &checked.verdict;
                let text = explain(sequence, &checked.predicted, &checked.trace, verdict);
                fs::write(draft.path().join("explain.txt"), text)?;
                let stored = StoredTrace::json(sequence, &checked.trace);
                fs::write(draft.path().join("trace.json"), stored)?;
                let program = c_program(sequence, checked, signature, circumstances);
                fs::write(draft.path().join("reproducer.c"), program)?;
                // Somebody else's bundle may have come between: a folder that is not empty is not replaced.
                if fs::rename(draft.path(), &place).is_ok() {
                    // Moved away: nothing is left to remove.
                    let _ = draft.keep();
                    return Ok(Some(Bundle { folder: place, finding }));
                }
            }
            Ok(None)
        };
        write().map_err(|source| RunError::Write { path: folder.clone(), source })
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it says.
    pub(crate) fn finding(&self) -> &Finding {
        &self.finding
    }

    /// Adds what repeating and minimizing gave. Each file is whole at any moment.
    pub(crate) fn complete(
        &mut self,
        pursued: &Pursued,
        circumstances: &Circumstances<'_>,
    ) -> Result<(), RunError> {
        let minimized = self.folder.join("minimized.seq");
        let Reliability { again, of } = pursued.reliability;
        self.finding.reliability = Some(pursued.reliability);
        self.finding.op_count = pursued.sequence.ops.len();
        self.finding.minimal = Some(pursued.ended == Ended::Minimal);
        self.finding.repeat = repeat_line(&minimized, circumstances);
        let heading = format!(
            "{}\non {}, linux {}; came again in {again} of {of} runs\n{}",
            self.finding.signature, circumstances.target, circumstances.kernel, self.finding.repeat,
        );
        let text = annotate(&pursued.sequence, &pursued.checked, &heading);
        let Checked { predicted, trace, verdict, .. } = &pursued.checked;
        let explanation = explain(&pursued.sequence, predicted, trace, verdict);
        replace(&minimized, text.as_bytes())?;
        replace(&self.folder.join("explain.txt"), explanation.as_bytes())?;
        let stored = StoredTrace::json(&pursued.sequence, trace);
        replace(&self.folder.join("trace.json"), stored.as_bytes())?;
        let program =
            c_program(&pursued.sequence, &pursued.checked, &self.finding.signature, circumstances);
        replace(&self.folder.join("reproducer.c"), program.as_bytes())?;
        replace(&self.folder.join("finding.json"), json(&self.finding).as_bytes())
    }
}

/// `reproducer.c`.
fn c_program(
    sequence: &Sequence,
    checked: &Checked,
    signature: &Signature,
    circumstances: &Circumstances<'_>,
) -> String {
    let divergence = match &checked.verdict {
        Verdict::Diverges(divergence) => Some(divergence),
        Verdict::Agrees | Verdict::Inconclusive { .. } => None,
    };
    let place = (circumstances.kernel, circumstances.target.as_str());
    bundled(sequence, circumstances.profile, signature.as_str(), place, divergence)
}

fn finding(
    signature: &Signature,
    divergence: &Divergence,
    circumstances: &Circumstances<'_>,
    op_count: usize,
    repeat: String,
) -> Finding {
    Finding {
        schema: 1,
        signature: signature.clone(),
        oracle: divergence.oracle,
        op_index: divergence.op_index,
        predicted: divergence.predicted.clone(),
        seen: divergence.seen.clone(),
        detail: divergence.detail.clone(),
        known: circumstances.known.clone(),
        presumed: circumstances.presumed.clone(),
        follows: circumstances.follows.clone(),
        target: circumstances.target.clone(),
        kernel: circumstances.kernel.to_owned(),
        observe: observe_name(circumstances.observe).to_owned(),
        rng_seed: circumstances.rng_seed,
        index: circumstances.index,
        reliability: None,
        op_count,
        minimal: None,
        repeat,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Writes `path` whole or not at all.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), RunError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".draft-")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder)?;
        file.write_all(content)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| RunError::Write { path: path.to_owned(), source })
}

fn json(finding: &Finding) -> String {
    let text = serde_json::to_string_pretty(finding).expect("strings and numbers always serialize");
    text + "\n"
}

fn repeat_line(file: &Path, circumstances: &Circumstances<'_>) -> String {
    let observe = observe_name(circumstances.observe);
    format!("pinfold replay {} {} --observe {observe}", file.display(), circumstances.arguments)
}

/// The console, op by op.
fn console(trace: &Trace) -> String {
    let mut text = String::new();
    let mut push = |place: &str, log: &str| {
        if !log.trim().is_empty() {
            text.push_str(&format!("-- {place} --\n{}\n", log.trim_end()));
        }
    };
    for (index, step) in trace.steps.iter().enumerate() {
        push(&format!("op {index}"), &step.kernel_log);
    }
    match &trace.end {
        End::Finished { kernel_log, .. } => push("after the last op", kernel_log),
        End::Hung { kernel_log } => push(&format!("op {}, hung", trace.steps.len()), kernel_log),
        End::Died { kernel_log } => push(&format!("op {}, died", trace.steps.len()), kernel_log),
    }
    text
}
