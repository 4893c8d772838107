//! Replays a sequence on the model and on a target, and gives the verdict.
//!
//! This is the one place where the pure library and the machines meet. A target is opened by its name, [`check`] runs
//! one sequence on both sides and compares, [`fuzz`] does so by the thousand and keeps what it finds.

mod adopt;
mod annotate;
mod artifact;
pub mod blocks;
mod bundle;
mod campaign;
mod check;
mod compile;
mod console;
mod cpu;
mod cross_check;
mod defects;
mod doctor;
mod error;
mod fixes;
mod fuzz;
mod guest;
mod kernel;
mod leaks;
mod link;
mod list;
mod local;
mod minimize;
mod name;
mod parts;
mod patch;
mod program;
pub mod reached;
mod regress;
mod replay;
mod report;
mod reproduce;
mod scope;
mod shrink;
pub mod sources;
mod stored;
mod summary;
mod target;
mod verify;

pub use adopt::{
    AdoptOptions, Adoption, Defect, DefectState, Replays, Unsettled, UnsettledKind, adopt,
};
pub use annotate::annotate;
pub use bundle::{Finding, Reliability, StoredTrace};
pub use campaign::{
    CampaignEvent, CampaignOptions, Plan, PlannedLooks, Shard, TargetSum, Unit, campaign,
    read_plan, to_markdown as campaign_markdown,
};
pub use check::{
    Checked, Judgement, assert_agrees, check, check_and_judge, check_closely, observe_name,
};
pub use compile::{Linking, compile_c};
pub use cpu::{allowed as allowed_cpus, own as own_cpu};
pub use defects::{embedded_defects, read_defects};
pub use doctor::examine_host;
pub use error::{Blame, Reach, RunError};
pub use fuzz::{
    BUNDLES_MAX_DEFAULT, Budget, Causes, Event, Found, FuzzOptions, LedgerUse, Looks, Progress,
    Special, fuzz,
};
pub use kernel::{build_kernel, built_kernels, find_kernel};
pub use leaks::{
    FoundLeak, LEAK_REPETITIONS_DEFAULT, LeakReport, LeftOut, Named, find_leaks, leak_sequences,
};
pub use link::LinkError;
pub use list::{defects_folder, outdated_lists, write_lists};
pub use local::LocalError;
pub use minimize::{MinimizeOptions, Minimized, minimize_sequence};
pub use name::{
    NameError, TargetName, all_series, default_series, default_target, long_term_series, targets,
};
pub use parts::PartsError;
pub use patch::{
    Change, Duel, LeakUse, NotBuilt, PURSUE_FOR_DEFAULT, PatchEvent, PatchInput, PatchOptions,
    PatchReport, PatchVerdict, Reach as PatchReach, StoredUse, Timing, duel, patch,
    patch_on_the_newest, read_patch,
};
pub use program::{ProgramRun, RunEnd, run_program};
pub use regress::Entry;
pub use replay::{
    Account, ReadError, ReplayConclusion, ReplayCounts, ReplayOptions, Replayed, SeqError, Side,
    Unmet, read_counted, read_seq, replay,
};
pub use report::read_report;
pub use reproduce::{profile_of, reproduce_c, reproduce_seq};
pub use scope::short_sequences;
pub use shrink::{Ended, Memory, ShrinkLimits, Shrunk, Wanted, shrink};
pub use sources::OwnCitations;
pub use summary::{Conclusion, Coverage, FoundSignature, Summary, VACUITY_SEQUENCES_MIN};
pub use target::{Prepared, Rules, Target, TargetOptions, UnknownRules, prepare, prepare_default};
pub use verify::{Case, Expected, Recorded, Seen, Verification, record, verify};

pub use pinfold_machine::accel::{Accel, AccelWish};
pub use pinfold_machine::doctor::State as HostState;
pub use pinfold_machine::{Finding as HostFinding, Kernel, Progress as BuildProgress};
