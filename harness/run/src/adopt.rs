//! Adopts a kernel that has no rules yet: finds them out, writes the draft of its series file, and says what is left to
//! be explained.
//!
//! Begin with [`adopt`]. What it tells a person is in `adopt/text.rs`; the draft itself is made by [`pinfold::draft`].

mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pinfold::defects::{Defects, Running, ShownBy};
use pinfold::draft;
use pinfold::probe::{self, Fitted};
use pinfold::profile::{Platform, Profile};
use pinfold::signature::Signature;
use pinfold_contract::{Observe, SeqFile, Sequence, Series};
use pinfold_machine::{Cache, Kernel, KernelRequest, KernelSource, Progress, Variant, workshop};

use crate::bundle::replace;
use crate::check::{Checked, Judgement, check};
use crate::error::{Reach, RunError};
use crate::guest::in_full;
use crate::name::{TargetName, all_series};
use crate::parts::PartsError;
use crate::replay::{
    Account, ReadError, ReplayConclusion, ReplayCounts, ReplayOptions, read_seq, replay,
};
use crate::sources::{Comparison, OwnCitations, checkout};
use crate::target::{Target, TargetOptions, prepare};

/// What is replayed, folder by folder of the corpus.
const FOLDERS: [&str; 4] = ["seeds", "litmus", "scenarios", "regress"];

/// How often a known divergence may fail to show before it is said not to be seen.
const TRIES: u32 = 3;

/// What is adopted, and where things are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptOptions {
    /// A series that Debian has the source of, or the path of a kernel tree.
    pub kernel: String,
    /// A folder in a checkout of Pinfold.
    pub start: PathBuf,
    /// Where the draft and the reports go; none is `out/adopt-SERIES`.
    pub out: Option<PathBuf>,
}

/// What was found out of a kernel.
#[derive(Debug)]
pub struct Adoption {
    /// What its Makefile says.
    pub version: String,
    /// Its series.
    pub series: Series,
    /// The image that was run.
    pub image: PathBuf,
    /// The series before it, over which the draft is a delta.
    pub before: &'static Profile,
    /// Its rules.
    pub fitted: Fitted,
    /// The draft of its series file.
    pub draft: PathBuf,
    /// What was replayed, folder by folder.
    pub replays: Vec<Replays>,
    /// Each known divergence.
    pub defects: Vec<Defect>,
    /// What became of the functions that are cited of the series before; or why nobody knows.
    pub citations: Result<Comparison, String>,
    /// Where all of this is kept.
    pub out: PathBuf,
}

/// The sequences of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replays {
    /// The folder, below the corpus.
    pub folder: &'static str,
    /// Its sequences.
    pub counts: ReplayCounts,
    /// What is to be said of single ones.
    pub unsettled: Vec<Unsettled>,
}

/// Something that did not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// The sequence, a path from the root of the repository.
    pub file: String,
    /// What happened, in one line.
    pub what: String,
    /// How it stands.
    pub standing: UnsettledKind,
}

/// How something that did not agree stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsettledKind {
    /// Nothing explains it.
    Unexplained,
    /// It has the signature of a known divergence, of this title.
    Known(String),
    /// An expectation beside an op was not met.
    Unmet,
    /// It could not be judged.
    Inconclusive,
}

/// A known divergence on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// What it is.
    pub title: String,
    /// What shows it, a path from the root of the repository.
    pub shown_by: String,
    /// How it is called on the kernels that have it, on this platform.
    pub signatures: Vec<Signature>,
    /// Whether this kernel has it.
    pub state: DefectState,
}

/// Whether a kernel has a known divergence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefectState {
    /// It was seen.
    Seen,
    /// The kernel did what the model says, each time.
    NotSeen,
    /// Something else was seen: its signature.
    Other(Signature),
    /// It could not be judged.
    Inconclusive(String),
    /// It was not looked for.
    NotLookedFor(String),
}

/// Adopts the kernel of `options`. Calls `watch` about once a second while it is built, and `tell` at each step.
///
/// # Errors
///
/// If the kernel cannot be had, built or booted, there is no series before it, or a file of the corpus or of the output
/// cannot be read or written. That citations cannot be compared is no error: it stands in what is given.
pub fn adopt(
    options: &AdoptOptions,
    known: &Defects,
    stop: Arc<AtomicBool>,
    watch: &mut dyn FnMut(&Progress),
    tell: &mut dyn FnMut(&str),
) -> Result<Adoption, ReadError> {
    // All files first: a wrong one must not be found after minutes of building.
    let root = checkout(&options.start)?;
    let mut folders = Vec::new();
    for folder in FOLDERS {
        folders.push((folder, read_folder(root, folder)?));
    }
    let defects = cases_of(root, known, Platform::Uml)?;
    let citations = OwnCitations::read(root)?;

    tell("building the kernel, if it is not built yet");
    let kernel = build(&options.kernel, watch)?;
    let (series, before) = place(&kernel.version)?;
    if all_series().contains(&series) {
        tell(&format!(
            "{series} has rules already: this compares them with a draft, and replaces nothing"
        ));
    }
    let mut target = boot(&kernel, before, stop)?;
    tell(&format!("{} came up: probing it", target.kernel_release()));
    let fitted = probe::fit(before, |sequence| target.run(sequence, Observe::Each))?;
    let out = options.out.clone().unwrap_or_else(|| format!("out/adopt-{series}").into());
    let draft = out.join(draft::file_name(series));
    let file = draft::series_file(series, &kernel.version, before, &fitted);
    replace(&draft, file.as_bytes())?;
    target.hold_to(series, &fitted);

    let mut replays = Vec::new();
    for (folder, files) in &folders {
        tell(&format!("replaying {} sequences of corpus/{folder}", files.len()));
        replays.push(replay_folder(&mut target, folder, files, known)?);
    }
    tell(&format!("looking for {} known divergences", defects.len()));
    let defects = look_for(&mut target, defects)?;
    tell("comparing what is cited");
    let before_it = before.series.to_string();
    let citations = citations.compare(&before_it, &options.kernel, watch);
    let citations = citations.map_err(|error| in_full(&error));
    let (version, image) = (kernel.version, kernel.image);
    let adoption = Adoption {
        version,
        series,
        image,
        before,
        fitted,
        draft,
        replays,
        defects,
        citations,
        out,
    };
    adoption.keep()?;
    Ok(adoption)
}

/// Builds a kernel of the plain variant. One of a series is the one that the target `uml:SERIES` boots.
fn build(kernel: &str, watch: &mut dyn FnMut(&Progress)) -> Result<Kernel, RunError> {
    let path = PathBuf::from(kernel);
    let source = if path.is_dir() {
        KernelSource::Tree(path)
    } else {
        let series = kernel.parse().map_err(|_| RunError::NoTree {
            name: kernel.to_owned(),
            series: "any of which Debian has a linux-source package".to_owned(),
        })?;
        KernelSource::Debian(series)
    };
    let cache = Cache::from_environment().map_err(PartsError::Cache)?;
    let request = KernelRequest::new(source, Variant::default());
    Ok(workshop::provide(&cache, &request, watch).map_err(PartsError::Kernel)?)
}

/// The series of `version`, and the rules of the newest one before it.
fn place(version: &str) -> Result<(Series, &'static Profile), RunError> {
    let all = Profile::all();
    let oldest = all.last().map_or(Profile::newest().series, |profile| profile.series);
    let nothing = || RunError::NothingBefore { version: version.to_owned(), oldest };
    let series = Series::of_release(version).ok_or_else(nothing)?;
    let before = all.iter().find(|profile| profile.series < series).ok_or_else(nothing)?;
    Ok((series, before))
}

fn boot(
    kernel: &Kernel,
    before: &'static Profile,
    stop: Arc<AtomicBool>,
) -> Result<Target, RunError> {
    let name = TargetName::UmlImage { image: kernel.image.clone() };
    let prepared = prepare(&name, &TargetOptions::default(), &mut |_| {})?;
    prepared.held_to(before).open(crate::cpu::allowed().first().copied(), stop)
}

/// Every sequence below `folder` of the corpus with its path from `root`, by name.
fn read_folder(root: &Path, folder: &str) -> Result<Vec<(String, SeqFile)>, ReadError> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), RunError> {
        let failed = |source| RunError::Read { path: folder.to_owned(), source };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                walk(&path, found)?;
            } else if path.extension().is_some_and(|end| end == "seq") {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut paths = Vec::new();
    walk(&root.join("corpus").join(folder), &mut paths)?;
    paths.sort();
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        Ok((name, read_seq(&path)?))
    };
    paths.into_iter().map(named).collect()
}

/// Each known divergence once, with its sequence, if one shows it. Entries of other platforms give no signature.
fn cases_of(
    root: &Path,
    known: &Defects,
    platform: Platform,
) -> Result<Vec<(Defect, Option<Sequence>)>, ReadError> {
    let mut defects: Vec<(Defect, Option<Sequence>)> = Vec::new();
    for entry in known.entries() {
        let shown_by = entry.path();
        let place = defects.iter().position(|(defect, _)| defect.shown_by == shown_by);
        let place = match place {
            Some(place) => place,
            None => {
                let sequence = match &entry.shown_by {
                    ShownBy::Sequence(_) => Some(read_seq(&root.join(&shown_by))?.sequence),
                    ShownBy::Program(_) => None,
                };
                let defect = Defect {
                    title: entry.title.clone(),
                    shown_by,
                    signatures: Vec::new(),
                    state: DefectState::NotSeen,
                };
                defects.push((defect, sequence));
                defects.len() - 1
            }
        };
        if entry.platform.is_none_or(|own| own == platform)
            && let Some((defect, _)) = defects.get_mut(place)
            && !defect.signatures.contains(&entry.signature)
        {
            defect.signatures.push(entry.signature.clone());
        }
    }
    Ok(defects)
}

fn replay_folder(
    target: &mut Target,
    folder: &'static str,
    files: &[(String, SeqFile)],
    known: &Defects,
) -> Result<Replays, RunError> {
    let options = ReplayOptions { repeat: 1, observe: Observe::Each, account: Account::Skip };
    let (mut counts, mut unsettled) = (ReplayCounts::default(), Vec::new());
    for (file, seq) in files {
        let replayed = replay(target, seq, &options, known)?;
        counts.add(replayed.counts());
        let mut push = |what: String, standing: UnsettledKind| {
            unsettled.push(Unsettled { file: file.clone(), what, standing });
        };
        for judgement in &replayed.judgements {
            match standing(judgement, known) {
                None => {}
                Some(standing) => push(judgement.to_string(), standing),
            }
        }
        replayed.unmet.iter().for_each(|unmet| push(unmet.to_string(), UnsettledKind::Unmet));
    }
    Ok(Replays { folder, counts, unsettled })
}

/// How what is judged stands on a kernel of which the known list says nothing: it is known if it has the signature of
/// what other kernels do.
fn standing(judgement: &Judgement<'_>, known: &Defects) -> Option<UnsettledKind> {
    match judgement {
        Judgement::Agrees => None,
        Judgement::Inconclusive { .. } => Some(UnsettledKind::Inconclusive),
        Judgement::Known { entry, .. } => Some(UnsettledKind::Known(entry.title.clone())),
        Judgement::Diverges { signature, .. } => {
            let entry = known.entries().find(|entry| {
                entry.signature == *signature
                    && entry.platform.is_none_or(|own| own == Platform::Uml)
            });
            let known = |title: &String| UnsettledKind::Known(title.clone());
            Some(entry.map_or(UnsettledKind::Unexplained, |entry| known(&entry.title)))
        }
    }
}

fn look_for(
    target: &mut Target,
    defects: Vec<(Defect, Option<Sequence>)>,
) -> Result<Vec<Defect>, RunError> {
    let mut looked_for = Vec::new();
    for (mut defect, sequence) in defects {
        defect.state = match sequence {
            Some(sequence) => state(target, &sequence, &defect.signatures)?,
            None => DefectState::NotLookedFor("a C program shows it".to_owned()),
        };
        looked_for.push(defect);
    }
    Ok(looked_for)
}

fn state(
    target: &mut Target,
    sequence: &Sequence,
    signatures: &[Signature],
) -> Result<DefectState, RunError> {
    if signatures.is_empty() {
        let why = format!("no kernel has it on {}", Platform::Uml.name());
        return Ok(DefectState::NotLookedFor(why));
    }
    let mut state = DefectState::NotSeen;
    for _ in 0..TRIES {
        state = match check(target, sequence, Observe::Each) {
            Ok(checked) => seen(sequence, &checked, signatures),
            Err(error) => match error.reach() {
                Reach::Run => DefectState::Inconclusive(in_full(&error)),
                Reach::Target => return Err(error),
            },
        };
        if state != DefectState::NotSeen {
            break;
        }
    }
    Ok(state)
}

fn seen(sequence: &Sequence, checked: &Checked, signatures: &[Signature]) -> DefectState {
    let nothing = Defects::default();
    let running = Running { release: "", platform: Platform::Uml, fixed: &[] };
    match Judgement::of(sequence, &checked.verdict, &nothing, running) {
        Judgement::Agrees => DefectState::NotSeen,
        Judgement::Inconclusive { reason } => DefectState::Inconclusive(reason.to_string()),
        Judgement::Known { signature, .. } | Judgement::Diverges { signature, .. } => {
            let shows = |wanted: &Signature| checked.clone().showing(sequence, wanted).is_some();
            match signatures.iter().any(shows) {
                true => DefectState::Seen,
                false => DefectState::Other(signature),
            }
        }
    }
}

impl Adoption {
    /// What follows from it. Diverged: something is left to be explained.
    pub fn conclusion(&self) -> ReplayConclusion {
        let mut runs = ReplayCounts::default();
        self.replays.iter().for_each(|replays| runs.add(replays.counts));
        let is_open = |unsettled: &Unsettled| {
            matches!(unsettled.standing, UnsettledKind::Unexplained | UnsettledKind::Unmet)
        };
        let is_unknown = |defect: &Defect| matches!(defect.state, DefectState::Other(_));
        let is_unsure = |defect: &Defect| matches!(defect.state, DefectState::Inconclusive(_));
        if self.replays.iter().flat_map(|replays| &replays.unsettled).any(is_open)
            || self.defects.iter().any(is_unknown)
            || draft::without_a_value(&self.fitted.fits).next().is_some()
        {
            ReplayConclusion::Diverged
        } else if runs.unsure * 2 > runs.runs
            || self.defects.iter().any(is_unsure)
            || self.citations.is_err()
        {
            ReplayConclusion::Unsure
        } else {
            ReplayConclusion::Clean
        }
    }

    /// Writes the reports beside the draft.
    fn keep(&self) -> Result<(), RunError> {
        replace(&self.out.join("summary.txt"), self.to_string().as_bytes())?;
        let citations = match &self.citations {
            Ok(comparison) => comparison.to_string(),
            Err(error) => format!("not compared: {error}\n"),
        };
        replace(&self.out.join("citations.txt"), citations.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defects::embedded_defects;

    fn root() -> PathBuf {
        checkout(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap().to_owned()
    }

    fn target(name: &str) -> Target {
        Target::open(&name.parse().unwrap(), &TargetOptions::default()).unwrap()
    }

    /// Nothing of `corpus` but regressions, on the model, which has none of the known divergences.
    fn adopted(name: &str) -> Adoption {
        let known = embedded_defects().unwrap();
        let mut target = target(name);
        let before = target.profile();
        let fitted = probe::fit(before, |s| target.run(s, Observe::Each)).unwrap();
        let files = read_folder(&root(), "regress").unwrap();
        let replays = vec![replay_folder(&mut target, "regress", &files, &known).unwrap()];
        let citations = Err("no tree".to_owned());
        Adoption {
            version: "99.0.1".to_owned(),
            series: Series::new(99, 0),
            image: PathBuf::new(),
            before,
            fitted,
            draft: PathBuf::new(),
            replays,
            defects: Vec::new(),
            citations,
            out: PathBuf::new(),
        }
    }

    #[test]
    fn a_kernel_is_a_delta_over_the_newest_series_before_it() {
        let (series, before) = place("99.1.2").unwrap();
        assert_eq!((series, before), (Series::new(99, 1), Profile::newest()));
        let (_, before) = place(&format!("{}.1", Profile::newest().series)).unwrap();
        assert_eq!(before.series, all_series()[1]);
        let oldest = all_series().pop().unwrap();
        for version in [format!("{oldest}.1"), "nonsense".to_owned()] {
            let error = place(&version).unwrap_err();
            assert_eq!(error.blame(), crate::Blame::Input);
            assert!(error.to_string().contains(&version), "{error}");
        }
    }

    #[test]
    fn every_known_divergence_is_looked_for_once_or_has_no_signature_here() {
        let known = embedded_defects().unwrap();
        let defects = cases_of(&root(), &known, Platform::Uml).unwrap();
        for entry in known.entries() {
            let path = entry.path();
            let of = |(defect, _): &&(Defect, Option<Sequence>)| defect.shown_by == path;
            let found: Vec<_> = defects.iter().filter(of).collect();
            assert_eq!(found.len(), 1, "{path}");
            let is_here = entry.platform.is_none_or(|own| own == Platform::Uml);
            let is_listed = found[0].0.signatures.contains(&entry.signature);
            assert!(is_listed || !is_here, "{}", entry.signature);
        }
    }

    #[test]
    fn a_defect_is_seen_or_not_or_something_else_is_or_nothing_was_looked_for() {
        let newest = Profile::newest().series;
        let known = embedded_defects().unwrap();
        let signatures = [known.entries().next().unwrap().signature.clone()];
        let text = "# pinfold 1\nmap 0..2 anon private rw\nreg mr0 0..1 remote_read\nread_remote mr0+4089 8\n";
        let sequence = pinfold_contract::parse(text).unwrap().sequence;
        let on = |name: String, signatures: &[Signature]| {
            state(&mut target(&name), &sequence, signatures).unwrap()
        };
        assert_eq!(on(format!("model:{newest}"), &signatures), DefectState::NotSeen);
        assert!(matches!(on(format!("model:{newest}"), &[]), DefectState::NotLookedFor(_)));
        let wrong = format!("model:{newest}+range_off_by_one");
        let DefectState::Other(signature) = on(wrong.clone(), &signatures) else {
            panic!("the model reads beyond the MR")
        };
        assert_eq!(on(wrong, &[signature]), DefectState::Seen);
    }

    #[test]
    fn a_kernel_that_does_something_unexplained_is_not_settled_and_says_what() {
        let newest = Profile::newest().series;
        let right = adopted(&format!("model:{newest}"));
        // Nobody knows what became of the citations, and all else is in order.
        assert_eq!(right.conclusion(), ReplayConclusion::Unsure);
        assert!(right.to_string().contains("not compared: no tree"), "{right}");
        let wrong = adopted(&format!("model:{newest}+range_off_by_one"));
        let wrong_defect = Adoption {
            defects: vec![Defect {
                title: "T".to_owned(),
                shown_by: "s.seq".to_owned(),
                signatures: Vec::new(),
                state: DefectState::Inconclusive("it hung".to_owned()),
            }],
            ..right
        };
        assert!(wrong_defect.to_string().contains("inconclusive: T (s.seq): it hung"));
        assert_eq!(wrong.conclusion(), ReplayConclusion::Diverged);
        assert!(wrong.to_string().contains("unexplained: corpus/regress/"), "{wrong}");
    }
}
