//! What can go wrong with our own machinery, and whose affair it is.

use std::io;
use std::path::PathBuf;

use pinfold::defects::DefectsError;
use pinfold_contract::Series;
use pinfold_machine::{ApplyError, DiffError, GitError, KernelError, RebuildError};

use crate::blocks::BlocksError;
use crate::link::LinkError;
use crate::local::LocalError;
use crate::name::NameError;
use crate::parts::PartsError;

/// Why a sequence has no trace, or a campaign no summary.
///
/// These are faults of the harness, the machine or the environment. What a target answered is an
/// [`Outcome`](pinfold_contract::Outcome), and a disagreement is a [`Verdict`](pinfold::oracle::Verdict): neither is
/// ever a `RunError`.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The target's name is no target's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A target that cannot have what was asked for with it.
    #[error("{option} says nothing to target {target}: leave it out, or choose a target uml:...")]
    Option {
        /// The target.
        target: String,
        /// What was asked for.
        option: &'static str,
    },
    /// This machine's own kernel is not used.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The lines that ran are wanted of a kernel that says nothing of them.
    #[error(
        "the kernel of {target} does not note which of its blocks run: take one of the variant +kcov, as uml:SERIES+kcov"
    )]
    NotesNoBlocks {
        /// The target.
        target: String,
    },
    /// The memory of a kernel is wanted that does not say what it holds.
    #[error(
        "{target} does not say which memory its kernel holds: take a machine (uml:SERIES or qemu:SERIES) whose kernel has \
         /proc/slabinfo (CONFIG_SLUB_DEBUG)"
    )]
    CountsNoMemory {
        /// The target.
        target: String,
    },
    /// The blocks of a kernel are not known.
    #[error(transparent)]
    Blocks(#[from] BlocksError),
    /// There is no machine to boot.
    #[error(transparent)]
    Parts(#[from] PartsError),
    /// The machine does not come up.
    #[error(
        "the machine did not come up in {attempt_count} attempts ({reason}); the end of its console:\n{console}"
    )]
    Boot {
        /// How often it was tried.
        attempt_count: u32,
        /// What happened the last time.
        reason: String,
        /// The last lines of its console, the last time.
        console: String,
    },
    /// The kernel that came up is not the one asked for.
    #[error(
        "the kernel that booted calls itself {found}, not {expected}: name it by its path (uml:PATH) or its tree \
         (--kernel-src DIR)"
    )]
    OtherKernel {
        /// The series asked for.
        expected: String,
        /// What `uname -r` says.
        found: String,
    },
    /// Host and executor do not understand each other from the start.
    #[error("cannot understand the executor")]
    Hello(#[source] LinkError),
    /// The executor failed inside a run.
    #[error("the executor failed: {reason}{}", after(console))]
    Executor {
        /// Why.
        reason: String,
        /// What the console said.
        console: String,
    },
    /// The connection failed inside a run.
    #[error("lost the executor{}", after(console))]
    Link {
        /// How.
        #[source]
        source: LinkError,
        /// What the console said.
        console: String,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A file that we wanted to read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file that we wanted to write.
    #[error("cannot write {path}: choose another folder with --out")]
    Write {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder of defects has one that is none.
    #[error("{}/{wrong}", folder.display())]
    Defects {
        /// The folder of all of them.
        folder: PathBuf,
        /// What is wrong in it.
        wrong: DefectsError,
    },
    /// The description of a defect is not what it was when it was read.
    #[error("{file} was changed meanwhile: run this again")]
    DefectChanged {
        /// Which file.
        file: PathBuf,
    },
    /// A document has no place for the list of defects.
    #[error("{file} has no marks around its list of defects: restore them from git")]
    NoList {
        /// Which file.
        file: PathBuf,
    },
    /// The plan of a campaign, or the folder of one, is not what it should be.
    #[error("{path}: {reason}")]
    Plan {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An input is no patch.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// A patch does not fit the kernel.
    #[error("{source} (linux {version})")]
    Apply {
        /// What does not fit.
        source: Box<ApplyError>,
        /// The kernel's version.
        version: String,
    },
    /// The patches change nothing.
    #[error("{patches} leave linux {version} as it is: there is nothing to compare")]
    NothingPatched {
        /// The patches.
        patches: String,
        /// The kernel's version.
        version: String,
    },
    /// A kernel with patches does not build.
    #[error("linux with {patches} does not build")]
    DoesNotBuild {
        /// The patches.
        patches: String,
        /// What the compiler said.
        #[source]
        source: Box<KernelError>,
    },
    /// Modules with patches cannot be made.
    #[error("the modules with {patches} cannot be built")]
    ModulesDoNotBuild {
        /// The patches.
        patches: String,
        /// What the compiler said, or why it was not asked.
        #[source]
        source: Box<RebuildError>,
    },
    /// Modules of a stock kernel cannot be built here.
    #[error(transparent)]
    Modules {
        /// Why not.
        source: Box<RebuildError>,
    },
    /// There is no such commit.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A reproducer does not compile.
    #[error("{source_file} does not compile: {reason}")]
    Compile {
        /// The C file.
        source_file: PathBuf,
        /// What the compiler said, or why there is none.
        reason: String,
    },
    /// Pinfold's own source is not there.
    #[error(
        "{folder} is in no checkout of Pinfold, whose source holds the citations: change into one, or name it with --root"
    )]
    NoCheckout {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// No kernel tree has this name.
    #[error(
        "{name:?} is neither the folder of a kernel tree nor a series that has a source package ({series})"
    )]
    NoTree {
        /// What was named.
        name: String,
        /// The series there are.
        series: String,
    },
    /// A series file says what changed since the series before it, and there is none.
    #[error(
        "linux {version} is not newer than {oldest}, the oldest series that has rules: name a newer kernel"
    )]
    NothingBefore {
        /// The kernel's version.
        version: String,
        /// The oldest series.
        oldest: Series,
    },
    /// A sequence that was to be minimized does not diverge.
    #[error("{file} does not diverge on {target} ({verdict}): there is nothing to minimize")]
    NothingToMinimize {
        /// The file.
        file: String,
        /// The target.
        target: String,
        /// What it does instead.
        verdict: String,
    },
}

/// The end of a console, behind a reason.
fn after(console: &str) -> String {
    if console.trim().is_empty() {
        return String::new();
    }
    format!("; the end of its console:\n{console}\n")
}

/// Whose affair an error is; each has its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The command line or an input file is wrong.
    Input,
    /// Our machinery or the environment failed.
    Environment,
    /// The target lacks what was asked for.
    Capability,
    /// The user stopped it.
    User,
}

/// How far an error reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This run has no trace; another may.
    Run,
    /// No run will have one.
    Target,
}

impl RunError {
    /// Whose affair it is.
    pub fn blame(&self) -> Blame {
        match self {
            RunError::Local(error) => error.blame(),
            RunError::Name(NameError::Unknown { .. })
            | RunError::Option { .. }
            | RunError::Read { .. }
            | RunError::Defects { .. }
            | RunError::DefectChanged { .. }
            | RunError::NoList { .. }
            | RunError::Plan { .. }
            | RunError::Diff(_)
            | RunError::Apply { .. }
            | RunError::NothingPatched { .. }
            | RunError::ModulesDoNotBuild { .. }
            | RunError::NoCheckout { .. }
            | RunError::NoTree { .. }
            | RunError::NothingBefore { .. }
            | RunError::NothingToMinimize { .. } => Blame::Input,
            RunError::DoesNotBuild { source, .. } => match **source {
                KernelError::Configure { .. }
                | KernelError::LostOptions { .. }
                | KernelError::NotEnabled { .. }
                | KernelError::Unpatched { .. }
                | KernelError::Compile { .. } => Blame::Input,
                KernelError::Tools(_)
                | KernelError::Source(_)
                | KernelError::Cache(_)
                | KernelError::Compiler { .. } => Blame::Environment,
            },
            RunError::Git(GitError::NoCommit { .. }) => Blame::Input,
            RunError::Git(_) => Blame::Environment,
            RunError::Parts(error) if error.is_of_the_command_line() => Blame::Input,
            RunError::Blocks(_)
            | RunError::Parts(_)
            | RunError::Boot { .. }
            | RunError::OtherKernel { .. }
            | RunError::Hello(_)
            | RunError::Executor { .. }
            | RunError::Link { .. }
            | RunError::Compile { .. }
            | RunError::Modules { .. }
            | RunError::Write { .. } => Blame::Environment,
            RunError::NotesNoBlocks { .. } | RunError::CountsNoMemory { .. } => Blame::Capability,
            RunError::Interrupted => Blame::User,
        }
    }

    /// Whether a patch reaches code that is built in, where only modules are made.
    pub fn is_built_in(&self) -> bool {
        matches!(self, RunError::ModulesDoNotBuild { source, .. } if matches!(**source, RebuildError::BuiltIn(_)))
    }

    /// Whether other runs on the same target can still have a trace.
    pub fn reach(&self) -> Reach {
        match self {
            RunError::Executor { .. } | RunError::Link { .. } => Reach::Run,
            RunError::Name(_)
            | RunError::Option { .. }
            | RunError::Local(_)
            | RunError::NotesNoBlocks { .. }
            | RunError::CountsNoMemory { .. }
            | RunError::Blocks(_)
            | RunError::Parts(_)
            | RunError::Boot { .. }
            | RunError::OtherKernel { .. }
            | RunError::Hello(_)
            | RunError::Interrupted
            | RunError::Read { .. }
            | RunError::Write { .. }
            | RunError::Defects { .. }
            | RunError::DefectChanged { .. }
            | RunError::NoList { .. }
            | RunError::Plan { .. }
            | RunError::Compile { .. }
            | RunError::Diff(_)
            | RunError::Apply { .. }
            | RunError::NothingPatched { .. }
            | RunError::DoesNotBuild { .. }
            | RunError::ModulesDoNotBuild { .. }
            | RunError::Modules { .. }
            | RunError::Git(_)
            | RunError::NoCheckout { .. }
            | RunError::NoTree { .. }
            | RunError::NothingBefore { .. }
            | RunError::NothingToMinimize { .. } => Reach::Target,
        }
    }
}
