//! A target that is ready to run sequences.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pinfold::defects::Running;
use pinfold::designs::Pair;
use pinfold::model::{self, Fault};
use pinfold::probe::{self, Fitted};
use pinfold::profile::{Platform, Profile, SwapSpace};
use pinfold_contract::{Edge, KernelMemory, Observe, Sequence, Series, Trace};
use pinfold_machine::accel::AccelWish;
use pinfold_machine::config::Feature;
use pinfold_machine::{Cache, KernelRequest, KernelSource, Progress, StockKernel, Variant};

use crate::blocks::BlockMap;
use crate::error::RunError;
use crate::fixes::{self, three_numbers};
use crate::guest::{Boot, Deadlines, GuestTarget};
use crate::local::{self, LocalBoot, LocalParts};
use crate::name::{TargetName, all_series};
use crate::parts::{Parts, PartsBoot, PartsError, Way};

/// What can be said about a target beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetOptions {
    /// Build the kernel from this tree, not from the packaged source of the series.
    pub kernel_src: Option<PathBuf>,
    /// The modules of a kernel that somebody built: its folder lib/modules/RELEASE. `None` looks beside the image.
    pub modules: Option<PathBuf>,
    /// What QEMU runs its guests with.
    pub accel: AccelWish,
    /// The executor: a static program. `None` takes the one that belongs to this version of Pinfold.
    pub executor: Option<PathBuf>,
    /// Which rules it is held to. `None` takes those of its series.
    pub rules: Option<Rules>,
    /// The folder of the defects whose fixes go into a kernel of `+fixed`. `None` takes those of this version of Pinfold.
    pub defects: Option<PathBuf>,
    /// That the kernel of this machine may be used, and damaged.
    pub yes_run_on_this_kernel: bool,
}

/// Rules that a kernel is held to, other than those of its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Those that probes find.
    Probed,
    /// Those of a design over a GUP.
    Of(Pair),
}

/// `probed`, or `DESIGN/GUP`.
impl FromStr for Rules {
    type Err = UnknownRules;

    fn from_str(text: &str) -> Result<Rules, UnknownRules> {
        if text == "probed" {
            return Ok(Rules::Probed);
        }
        Pair::from_name(text).map(Rules::Of).ok_or_else(|| UnknownRules { text: text.to_owned() })
    }
}

/// As it is read.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rules::Probed => f.write_str("probed"),
            Rules::Of(pair) => pair.fmt(f),
        }
    }
}

/// These are no rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no rules {text:?}: probed, or a design over a GUP, such as as-corrected/2013; see `pinfold designs`"
)]
pub struct UnknownRules {
    text: String,
}

/// A target of which everything is built and nothing is running.
#[derive(Clone, Debug)]
pub struct Prepared {
    name: TargetName,
    arguments: String,
    rules: Option<Rules>,
    kind: PreparedKind,
    note: Option<String>,
    deadlines: Deadlines,
    /// Slugs of the defects whose fix is in its kernel.
    fixed: Vec<String>,
    /// The version of its kernel, where that does not say it.
    version: Option<String>,
}

/// Tells the executor to have ftrace note which functions call which.
const NOTE_CALLS: &str = "pinfold.calls=1";

#[derive(Clone, Debug)]
enum PreparedKind {
    Model { profile: &'static Profile, fault: Option<Fault> },
    Machine { parts: Parts, expected: Expected },
    Local { parts: LocalParts },
}

/// Which kernel must come up, and which rules it is held to.
#[derive(Clone, Debug)]
enum Expected {
    /// One of this series.
    Series(&'static Profile),
    /// Any; the rules are those of its series, or are found out where no series is its own.
    Any,
    /// Any, held to the rules of another kernel, which are called so.
    Rules(&'static Profile, String),
}

/// Builds whatever `name` needs and is not there yet. Calls `watch` about once a second while that takes time.
///
/// # Errors
///
/// If an option does not fit the target, or something it needs cannot be had.
pub fn prepare(
    name: &TargetName,
    options: &TargetOptions,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Prepared, RunError> {
    if let Some(option) = useless(name, options) {
        return Err(RunError::Option { target: name.to_string(), option });
    }
    let executor = options.executor.as_deref();
    let cache = || Cache::from_environment().map_err(PartsError::Cache);
    let machine = |parts, expected| PreparedKind::Machine { parts, expected };
    let (mut fixed, mut version) = (Vec::new(), None);
    let (kind, note) = match name {
        TargetName::Model { profile, fault } => {
            (PreparedKind::Model { profile, fault: *fault }, None)
        }
        TargetName::Local { device } => {
            let has_consent = options.yes_run_on_this_kernel;
            let parts = LocalParts::of(device.as_deref(), has_consent, executor, watch)?;
            let note = Some(parts.note());
            (PreparedKind::Local { parts }, note)
        }
        TargetName::UmlImage { image } => {
            let parts = Parts::of_image(&cache()?, image, executor, watch)?;
            (machine(parts, Expected::Any), None)
        }
        TargetName::Qemu { series, .. } => {
            let made = StockMachine::of(&cache()?, name, *series, options, watch)?;
            (fixed, version) = (made.fixed, Some(made.version));
            let profile = of_series(*series, Platform::X86);
            (machine(made.parts, Expected::Series(profile)), Some(made.note))
        }
        TargetName::QemuImage { image } => {
            let modules = options.modules.as_deref();
            let (parts, probed) =
                Parts::of_bzimage(&cache()?, image, modules, options.accel, executor, watch)?;
            (machine(parts, Expected::Any), Some(probed.to_string()))
        }
        TargetName::Uml { series, variant, is_fixed } => {
            let source = match &options.kernel_src {
                Some(tree) => KernelSource::Tree(tree.clone()),
                None => KernelSource::Debian(*series),
            };
            let request = KernelRequest::new(source, variant.clone());
            let (mut parts, kernel) = Parts::of_request(&cache()?, &request, executor, watch)?;
            let mut of_fixes = None;
            if *is_fixed {
                let defects = (&fixes::wanted(options)?, &*kernel.version);
                let (image, fixes) = fixes::build(&cache()?, &request, defects, watch)?;
                parts.image = image;
                (fixed, of_fixes) = (fixes.slugs(), Some(fixes.note()));
            }
            let (expected, note) = match &options.kernel_src {
                Some(tree) => {
                    let profile = nearest(&kernel.version);
                    let (tree, version, series) = (tree.display(), &kernel.version, profile.series);
                    let note = format!(
                        "{tree} is linux {version}: it is held to the rules of {series}, the nearest there are"
                    );
                    (Expected::Any, Some(note))
                }
                None => (Expected::Series(of_series(*series, Platform::Uml)), None),
            };
            (machine(parts, expected), joined(note, of_fixes))
        }
    };
    let deadlines = Deadlines::DEFAULT;
    let (arguments, rules) = (arguments(name, options), options.rules);
    Ok(Prepared { name: name.clone(), arguments, rules, kind, note, deadlines, fixed, version })
}

/// Two notes in one line.
fn joined(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        (one, other) => one.or(other),
    }
}

/// What machines with Debian's own kernel are made of.
struct StockMachine {
    parts: Parts,
    note: String,
    version: String,
    fixed: Vec<String>,
}

impl StockMachine {
    fn of(
        cache: &Cache,
        name: &TargetName,
        series: Series,
        options: &TargetOptions,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<StockMachine, RunError> {
        let executor = options.executor.as_deref();
        let (mut parts, probed, kernel) =
            Parts::of_series(cache, series, options.accel, executor, watch)?;
        let (mut note, mut fixed) = (probed.to_string(), Vec::new());
        if let TargetName::Qemu { is_fixed: true, .. } = name {
            let defects = fixes::wanted(options)?;
            let (kernel, fixes) = fixes::build_in_modules(cache, series, &defects, watch)?;
            parts = parts.with_modules(kernel.modules)?;
            (note, fixed) = (format!("{note}; {}", fixes.note()), fixes.slugs());
        }
        if let TargetName::Qemu { is_traced: true, .. } = name {
            parts.arguments.push(NOTE_CALLS.to_owned());
        }
        Ok(StockMachine { parts, note, version: fixes::version_of(&kernel), fixed })
    }
}

/// Prepares the target that is taken where none is named: the newest series that has rules and whose kernel is here or
/// can be had. [`Prepared::note`] says which series gave way to it.
///
/// # Errors
///
/// As [`prepare`], of the oldest series where the archive has the source of none.
pub fn prepare_default(
    options: &TargetOptions,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Prepared, RunError> {
    let (prepared, why) = on_the_newest(&mut |name| prepare(name, options, watch))?;
    Ok(prepared.taken_since(why))
}

/// Tries `attempt` on the newest series that has rules, and on the next one where the archive has no source of it. With the
/// result comes a line that says which series gave way, if any did.
///
/// # Errors
///
/// Those of `attempt`; of the oldest series where the archive has the source of none.
pub(crate) fn on_the_newest<T>(
    attempt: &mut dyn FnMut(&TargetName) -> Result<T, RunError>,
) -> Result<(T, Option<String>), RunError> {
    let mut missing: Vec<String> = Vec::new();
    let mut series = all_series().into_iter().peekable();
    loop {
        let next = series.next().unwrap_or(Profile::newest().series);
        let name = TargetName::Uml { series: next, variant: Variant::plain(), is_fixed: false };
        match attempt(&name) {
            Err(RunError::Parts(error)) if error.lacks_a_package() && series.peek().is_some() => {
                missing.push(next.to_string());
            }
            other => {
                let why = format!(
                    "the archive has no source of {}: {name} is taken",
                    missing.join(" and ")
                );
                return other.map(|found| (found, (!missing.is_empty()).then_some(why)));
            }
        }
    }
}

/// An option that says nothing to the target `name`.
fn useless(name: &TargetName, options: &TargetOptions) -> Option<&'static str> {
    let (is_model, is_built_here, has_modules, is_qemu) = match name {
        TargetName::Model { .. } => (true, false, false, false),
        TargetName::Uml { .. } => (false, true, false, false),
        TargetName::UmlImage { .. } => (false, false, false, false),
        TargetName::Qemu { .. } => (false, false, false, true),
        TargetName::QemuImage { .. } => (false, false, true, true),
        TargetName::Local { .. } => (false, false, false, false),
    };
    let is_local = matches!(name, TargetName::Local { .. });
    let given = [
        (options.kernel_src.is_some() && !is_built_here, "--kernel-src"),
        (options.modules.is_some() && !has_modules, "--modules"),
        (options.accel != AccelWish::Auto && !is_qemu, "--accel"),
        (options.executor.is_some() && is_model, "--executor"),
        (options.yes_run_on_this_kernel && !is_local, "--yes-run-on-this-kernel"),
        (options.rules == Some(Rules::Probed) && is_model, "--rules probed"),
    ];
    given.into_iter().find(|(is_useless, _)| *is_useless).map(|(_, option)| option)
}

/// What names the same target on the command line.
fn arguments(name: &TargetName, options: &TargetOptions) -> String {
    let path = |option: &str, path: &Option<PathBuf>| {
        path.as_ref().map_or(String::new(), |path| format!(" {option} {}", path.display()))
    };
    let kernel_src = path("--kernel-src", &options.kernel_src);
    let modules = path("--modules", &options.modules);
    let executor = path("--executor", &options.executor);
    let rules = options.rules.map_or(String::new(), |rules| format!(" --rules {rules}"));
    let accel = match options.accel {
        AccelWish::Auto => String::new(),
        AccelWish::Only(accel) => format!(" --accel {accel}"),
    };
    let is_fixed = matches!(
        name,
        TargetName::Uml { is_fixed: true, .. } | TargetName::Qemu { is_fixed: true, .. }
    );
    let defects = match is_fixed {
        true => path("--defects", &options.defects),
        false => String::new(),
    };
    let consent = if options.yes_run_on_this_kernel { " --yes-run-on-this-kernel" } else { "" };
    format!("--target {name}{kernel_src}{modules}{accel}{executor}{rules}{defects}{consent}")
}

impl Prepared {
    /// The same, and its note begins with why it was taken, if that needs a word.
    fn taken_since(mut self, why: Option<String>) -> Prepared {
        let Some(why) = why else { return self };
        self.note = Some(self.note.map_or(why.clone(), |note| format!("{why}; {note}")));
        self
    }

    /// Its name.
    pub fn name(&self) -> &TargetName {
        &self.name
    }

    /// What a person should know about it, in one line.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The kernel in `image` on machines that are otherwise like those of this target, which it is. For the model, which
    /// has no machines, this target itself.
    pub(crate) fn with_image(&self, image: PathBuf) -> Prepared {
        let PreparedKind::Machine { parts, .. } = &self.kind else { return self.clone() };
        let name = TargetName::UmlImage { image: image.clone() };
        let arguments = arguments(&name, &TargetOptions::default());
        let parts = Parts { image, ..parts.clone() };
        let kind = PreparedKind::Machine { parts, expected: Expected::Any };
        Prepared { name, arguments, kind, note: None, ..self.clone() }
    }

    /// This target, whose machines load the modules of `kernel` in the place of their own. For the model, which has no
    /// machines, this target itself.
    ///
    /// # Errors
    ///
    /// If the cache cannot be written to.
    pub(crate) fn with_modules(&self, kernel: &StockKernel) -> Result<Prepared, RunError> {
        let PreparedKind::Machine { parts, .. } = &self.kind else { return Ok(self.clone()) };
        let tree = kernel.module_tree(&parts.cache).map_err(PartsError::from)?;
        let name = TargetName::QemuImage { image: kernel.image.clone() };
        let options = TargetOptions { modules: Some(tree), ..TargetOptions::default() };
        let arguments = arguments(&name, &options);
        let parts = parts.with_modules(kernel.modules.clone())?;
        let kind = PreparedKind::Machine { parts, expected: Expected::Any };
        Ok(Prepared { name, arguments, kind, note: None, ..self.clone() })
    }

    /// This target, whose kernel has the fixes of these defects.
    pub(crate) fn with_fixes(self, fixed: Vec<String>) -> Prepared {
        Prepared { fixed, ..self }
    }

    /// This target, whose machines note when they come by `probes`: see [`Target::edges`], of which an end is the number of
    /// one. Their list is in an initramfs in `folder`. For the model, which has no machines, this target itself.
    ///
    /// # Errors
    ///
    /// If `folder` cannot be written to.
    pub(crate) fn with_probes(
        &self,
        probes: &[String],
        folder: &Path,
    ) -> Result<Prepared, RunError> {
        let PreparedKind::Machine { parts, expected } = &self.kind else { return Ok(self.clone()) };
        let parts = parts.with_file("probes", &probes.join("\n"), folder)?;
        let kind = PreparedKind::Machine { parts, expected: expected.clone() };
        Ok(Prepared { kind, ..self.clone() })
    }

    /// This target, held to the rules that `other` is held to, and given `boot` to come up.
    pub(crate) fn held_as(mut self, other: &Target, boot: Duration) -> Prepared {
        if let PreparedKind::Machine { parts, expected } = &mut self.kind {
            // Of two machines in QEMU one may be restored and the other booted.
            if parts.way == Way::Uml {
                self.deadlines.boot = boot;
            }
            *expected = Expected::Rules(other.profile, other.rules.clone());
        }
        self
    }

    /// This target, held to `profile` whatever its kernel is. A model, and the kernel of this machine, are held to their own.
    pub(crate) fn held_to(mut self, profile: &'static Profile) -> Prepared {
        if let PreparedKind::Machine { expected, .. } = &mut self.kind {
            *expected = Expected::Rules(profile, profile.series.to_string());
        }
        self
    }

    /// What its machines are made of, if it is one.
    pub(crate) fn parts(&self) -> Option<&Parts> {
        match &self.kind {
            PreparedKind::Model { .. } | PreparedKind::Local { .. } => None,
            PreparedKind::Machine { parts, .. } => Some(parts),
        }
    }

    /// Whether its kernel notes which of its blocks run.
    pub fn notes_blocks(&self) -> bool {
        matches!(&self.name, TargetName::Uml { variant, .. } if variant.has(Feature::Kcov))
    }

    /// Its blocks, with their lines.
    ///
    /// # Errors
    ///
    /// If its kernel notes none, or its image cannot be read.
    pub fn block_map(&self) -> Result<BlockMap, RunError> {
        match self.parts() {
            Some(parts) if self.notes_blocks() => Ok(BlockMap::of(&parts.image)?),
            _ => Err(RunError::NotesNoBlocks { target: self.name.to_string() }),
        }
    }

    /// The program that its kernel is, if it is a machine.
    pub fn image(&self) -> Option<&Path> {
        self.parts().map(|parts| &*parts.image)
    }

    /// Whether all of its jobs would run on one kernel.
    pub fn is_one_kernel(&self) -> bool {
        matches!(self.kind, PreparedKind::Local { .. })
    }

    /// Brings it up, pinned to `cpu` where it is a machine. Gives up when `stop` is set, then and in each later run.
    ///
    /// # Errors
    ///
    /// If it does not come up, or something else comes up.
    pub fn open(&self, cpu: Option<usize>, stop: Arc<AtomicBool>) -> Result<Target, RunError> {
        match &self.kind {
            PreparedKind::Model { profile, fault } => {
                let (profile, rules) = self.rules_given().unwrap_or_else(|| own_rules(profile));
                let kernel_release = format!("model-{}", profile.series);
                let profile = fault.map_or(profile, |fault| fault.shown_on(profile));
                let kind = Kind::Model { fault: *fault };
                Ok(self.target((profile, rules), kernel_release, kind))
            }
            PreparedKind::Machine { parts, expected } => {
                let boot = PartsBoot::new(parts.clone(), cpu);
                self.open_guest(Box::new(boot), expected, parts.platform(), stop)
            }
            PreparedKind::Local { parts } => {
                let boot = LocalBoot::new(parts.clone(), cpu);
                let target =
                    self.open_guest(Box::new(boot), &Expected::Any, local::platform(), stop);
                target.map(Target::without_swap)
            }
        }
    }

    fn open_guest(
        &self,
        boot: Box<dyn Boot>,
        expected: &Expected,
        platform: Platform,
        stop: Arc<AtomicBool>,
    ) -> Result<Target, RunError> {
        let mut guest = GuestTarget::new(boot, self.deadlines, stop);
        let kernel_release = guest.kernel_release()?;
        let nearest = expected.profile_of(&kernel_release, platform)?;
        let is_probed = self.rules == Some(Rules::Probed) || !has_profile(&kernel_release);
        let (profile, rules) = match (self.rules_given(), expected) {
            (Some(given), _) => given,
            (None, Expected::Rules(profile, rules)) => (*profile, rules.clone()),
            (None, Expected::Series(_) | Expected::Any) if is_probed => {
                rules_of(nearest, &mut guest)?
            }
            (None, Expected::Series(_) | Expected::Any) => own_rules(nearest),
        };
        Ok(self.target((profile, rules), kernel_release, Kind::Guest(Box::new(guest))))
    }

    fn target(
        &self,
        (profile, rules): (&'static Profile, String),
        kernel_release: String,
        kind: Kind,
    ) -> Target {
        let version =
            self.version.clone().unwrap_or_else(|| three_numbers(&kernel_release).to_owned());
        let (name, arguments) = (self.name.clone(), self.arguments.clone());
        let fixed = self.fixed.clone();
        Target { name, arguments, profile, rules, kernel_release, version, fixed, kind }
    }
}

impl Prepared {
    /// The rules of a design, if it is held to these. As a model, it follows them.
    fn rules_given(&self) -> Option<(&'static Profile, String)> {
        match self.rules? {
            Rules::Probed => None,
            // One a target that is opened, which is to say: few, and for as long as the program runs.
            Rules::Of(pair) => Some((Box::leak(Box::new(pair.profile())), pair.to_string())),
        }
    }
}

/// The same rules without swap space, for a kernel that others use.
pub(crate) fn without_swap(profile: &Profile) -> &'static Profile {
    // One a target that is opened.
    Box::leak(Box::new(Profile { swap_space: SwapSpace::None, ..*profile }))
}

/// The rules of a series.
fn own_rules(profile: &'static Profile) -> (&'static Profile, String) {
    (profile, profile.series.to_string())
}

impl Expected {
    fn profile_of(
        &self,
        kernel_release: &str,
        platform: Platform,
    ) -> Result<&'static Profile, RunError> {
        match self {
            Expected::Any => Ok(nearest(kernel_release).on(platform)),
            Expected::Rules(profile, _) => Ok(profile),
            Expected::Series(profile)
                if Series::of_release(kernel_release) == Some(profile.series) =>
            {
                Ok(profile)
            }
            Expected::Series(profile) => Err(RunError::OtherKernel {
                expected: profile.series.to_string(),
                found: kernel_release.to_owned(),
            }),
        }
    }
}

/// A target that runs sequences.
#[derive(Debug)]
pub struct Target {
    name: TargetName,
    arguments: String,
    profile: &'static Profile,
    rules: String,
    kernel_release: String,
    version: String,
    fixed: Vec<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Model { fault: Option<Fault> },
    Guest(Box<GuestTarget>),
}

impl Target {
    /// Prepares and opens `name` in one go, not pinned, for whoever needs one target and shows no progress.
    ///
    /// # Errors
    ///
    /// As [`prepare`] and [`Prepared::open`].
    pub fn open(name: &TargetName, options: &TargetOptions) -> Result<Target, RunError> {
        let cpu = crate::cpu::allowed().first().copied();
        prepare(name, options, &mut |_| {})?.open(cpu, Arc::default())
    }

    /// Its name.
    pub fn name(&self) -> &TargetName {
        &self.name
    }

    /// What names it on the command line: `--target uml:6.12 --kernel-src DIR`.
    pub fn arguments(&self) -> &str {
        &self.arguments
    }

    /// From now on it is held to what probes found, as a kernel of `series`: expectations speak of series.
    pub(crate) fn hold_to(&mut self, series: Series, fitted: &Fitted) {
        // One a kernel that is adopted.
        self.profile = Box::leak(Box::new(Profile { series, ..fitted.profile }));
        self.rules = fitted.describe();
    }

    /// The rules it is held to.
    pub fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// Whose rules these are, in one line: `6.12`, or `6.12; as 6.1: tracked_write_pin` for a kernel
    /// that was probed, because no series is its own.
    pub fn rules(&self) -> &str {
        &self.rules
    }

    /// `uname -r` of its kernel. The model's is `model-6.12`, of which no divergence is known.
    pub fn kernel_release(&self) -> &str {
        &self.kernel_release
    }

    /// The version of its kernel: three numbers, where a kernel has them. Debian's 6.1 calls itself 6.1.0.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The key for looking up known defects.
    pub fn running(&self) -> Running<'_> {
        let platform = self.profile.platform;
        Running { release: &self.version, platform, fixed: &self.fixed }
    }

    /// Runs `sequence`; boots a machine for it where the last one is not fit any more.
    ///
    /// # Errors
    ///
    /// If there is no trace, by a fault of ours. That a kernel hangs or dies is in the trace.
    pub fn run(&mut self, sequence: &Sequence, observe: Observe) -> Result<Trace, RunError> {
        match &mut self.kind {
            Kind::Model { fault } => Ok(model::perform(self.profile, *fault, sequence, observe)),
            Kind::Guest(guest) => guest.run(sequence, observe),
        }
    }

    /// The same without swap space: sequences do not use that of others.
    fn without_swap(mut self) -> Target {
        self.profile = without_swap(self.profile);
        self
    }

    /// Which way the kernel went in the last sequence, ascending: of a kernel of the variant `+kcov` from which block to
    /// which; of a stock kernel with `+ftrace` numbers of calls, which are feedback and name nothing. Else nothing.
    pub fn edges(&self) -> &[Edge] {
        match &self.kind {
            Kind::Model { .. } => &[],
            Kind::Guest(guest) => guest.edges(),
        }
    }

    /// What the kernel holds for itself while no sequence runs, and on which machine of this target that is. None of the
    /// model, which holds nothing, and of a kernel that others use as well.
    ///
    /// # Errors
    ///
    /// If the target fails.
    pub(crate) fn kernel_memory(&mut self) -> Result<Option<(u64, KernelMemory)>, RunError> {
        let counted = match &mut self.kind {
            Kind::Model { .. } => return Ok(None),
            Kind::Guest(guest) => guest.kernel_memory()?,
        };
        Ok((!counted.1.slabs.is_empty()).then_some(counted))
    }

    /// Has the next run begin on a fresh machine, for a kernel that is damaged.
    pub fn retire(&mut self) {
        match &mut self.kind {
            Kind::Model { .. } => {}
            Kind::Guest(guest) => guest.retire(),
        }
    }
}

/// Whether there is a profile of the very series of `release`. Such a kernel is not probed: a patch that changes
/// one of its rules is to be found out, and not to be made a rule.
fn has_profile(release: &str) -> bool {
    Series::of_release(release).is_some_and(|series| Profile::of(series, Platform::Uml).is_some())
}

/// Finds the rules of a kernel out, beginning with the `nearest`.
fn rules_of(
    nearest: &'static Profile,
    guest: &mut GuestTarget,
) -> Result<(&'static Profile, String), RunError> {
    let fitted = probe::fit(nearest, |sequence| guest.run(sequence, Observe::Each))?;
    let rules = fitted.describe();
    // One a target that is opened, which is to say: few, and for as long as the program runs.
    Ok((Box::leak(Box::new(fitted.profile)), rules))
}

/// The rules of the series nearest to `release`; those of the first where it tells nothing.
pub(crate) fn nearest(release: &str) -> &'static Profile {
    let series = Series::of_release(release);
    series.map_or(Profile::newest(), |series| Profile::nearest(series, Platform::Uml))
}

/// The rules of a series that was read by [`TargetName`], which takes none without.
fn of_series(series: Series, platform: Platform) -> &'static Profile {
    Profile::of(series, platform).expect("a target names a series that has rules")
}

#[cfg(test)]
mod tests {
    use pinfold_machine::accel::Accel;
    use pinfold_machine::{PackageError, SourceError};

    use super::*;

    #[test]
    fn a_target_can_be_named_again_with_all_that_made_it() {
        let name: TargetName = "uml:6.12".parse().unwrap();
        let options = TargetOptions {
            kernel_src: Some("tree".into()),
            modules: None,
            accel: AccelWish::Only(Accel::Tcg),
            executor: None,
            rules: Some("as-corrected/2013".parse().unwrap()),
            defects: Some("defects".into()),
            yes_run_on_this_kernel: false,
        };
        let arguments_of_it =
            "--target uml:6.12 --kernel-src tree --accel tcg --rules as-corrected/2013";
        assert_eq!(arguments(&name, &options), arguments_of_it);
        assert_eq!(arguments(&name, &TargetOptions::default()), "--target uml:6.12");
        let fixed = "uml:6.12+fixed".parse().unwrap();
        let options = TargetOptions { defects: Some("mine".into()), ..TargetOptions::default() };
        assert_eq!(arguments(&fixed, &options), "--target uml:6.12+fixed --defects mine");
    }

    #[test]
    fn that_this_kernel_may_be_used_says_something_to_no_other_target() {
        let options = TargetOptions { yes_run_on_this_kernel: true, ..TargetOptions::default() };
        for name in ["uml:6.12", "qemu:6.1", "model:6.12"] {
            let found = useless(&name.parse().unwrap(), &options);
            assert_eq!(found, Some("--yes-run-on-this-kernel"), "{name}");
        }
        let local = "local:rxe0".parse().unwrap();
        assert_eq!(useless(&local, &options), None);
        let arguments_of_it = "--target local:rxe0 --yes-run-on-this-kernel";
        assert_eq!(arguments(&local, &options), arguments_of_it);
    }

    fn unlisted() -> RunError {
        let (wanted, archives) = ("linux-source".to_owned(), "the mirror".to_owned());
        let error = PackageError::Unlisted { wanted, archives, available: Vec::new() };
        RunError::Parts(PartsError::Kernel(SourceError::Archive(error).into()))
    }

    #[test]
    fn a_series_that_the_archive_lacks_gives_way_and_is_named() {
        let all: Vec<String> = all_series().iter().map(|series| format!("uml:{series}")).collect();
        let lacking = |count: usize| {
            let mut tried = Vec::new();
            let result = on_the_newest(&mut |name| {
                tried.push(name.to_string());
                if tried.len() > count { Ok(()) } else { Err(unlisted()) }
            });
            assert_eq!(tried, all[..=count.min(all.len() - 1)]);
            result
        };
        assert_eq!(lacking(0).unwrap().1, None);
        let why = lacking(2).unwrap().1.unwrap();
        let series = all_series();
        let gone = format!("no source of {} and {}: {} is taken", series[0], series[1], all[2]);
        assert!(why.contains(&gone), "{why}");
        assert!(lacking(all.len()).is_err());
        let model = prepare(&"model:6.1".parse().unwrap(), &TargetOptions::default(), &mut |_| {});
        assert_eq!(model.unwrap().taken_since(Some(why.clone())).note(), Some(why.as_str()));
    }

    #[test]
    fn another_error_lets_no_series_give_way() {
        let mut count = 0;
        let result = on_the_newest::<()>(&mut |_| {
            count += 1;
            Err(RunError::Interrupted)
        });
        assert!(result.is_err() && count == 1);
    }

    #[test]
    fn the_nearest_rules_are_those_of_the_nearest_series() {
        let check =
            |release: &str, series: &str| assert_eq!(nearest(release).series.to_string(), series);
        check("6.12.117", "6.12");
        check("6.1.172+", "6.1");
        check("6.2.0", "6.1");
        check("6.9.0-rc1", "6.12");
        check("5.10.3", "6.1");
        for release in ["99.0.0", "nonsense"] {
            check(release, &Profile::newest().series.to_string());
        }
    }

    #[test]
    fn a_kernel_of_another_series_is_refused() {
        let expected = Expected::Series(of_series(Series::new(6, 1), Platform::Uml));
        assert_eq!(
            expected.profile_of("6.1.172", Platform::Uml).unwrap().series,
            Series::new(6, 1)
        );
        let error = expected.profile_of("6.12.117", Platform::Uml).unwrap_err().to_string();
        assert!(error.contains("6.12.117, not 6.1"), "{error}");
    }

    #[test]
    fn options_of_a_machine_are_refused_for_the_model() {
        let options =
            TargetOptions { kernel_src: Some("/usr/src".into()), ..TargetOptions::default() };
        let name = "model:6.12".parse().unwrap();
        let error = prepare(&name, &options, &mut |_| {}).unwrap_err();
        assert_eq!(error.blame(), crate::Blame::Input);
        assert!(error.to_string().contains("--kernel-src"), "{error}");
    }
}
