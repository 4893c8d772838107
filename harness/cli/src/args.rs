//! Flags that several subcommands have.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use pinfold::defects::Defects;
use pinfold_contract::Observe;
use pinfold_run::{
    AccelWish, Prepared, Rules, RunError, TargetName, TargetOptions, default_target,
    embedded_defects, prepare, prepare_default, read_defects,
};

use crate::output::say;
use crate::progress::BuildMeter;

/// Which target, and what it is made of.
#[derive(Args, Debug)]
pub(crate) struct TargetArgs {
    /// uml:SERIES, with +kasan, +debug, +kcov or +fixed; uml:PATH; qemu:SERIES, with +fixed; qemu:PATH, a bzImage; local,
    /// local:DEVICE, the kernel of this machine; model:SERIES, model:SERIES+FAULT. `pinfold series` lists the series
    /// [default: uml of the newest series whose kernel can be had]
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Build the kernel from this source tree
    #[arg(long, value_name = "DIR")]
    kernel_src: Option<PathBuf>,
    /// The modules of the bzImage, its folder lib/modules/RELEASE [default: looked for beside it]
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// What QEMU runs its guests with: kvm, tcg, or auto, which is kvm where it was seen to run a guest
    #[arg(long, value_name = "ACCEL", default_value = "auto")]
    accel: AccelWish,
    /// Run this program in the guest: a static pinfold-executor [default: built when needed]
    #[arg(long, value_name = "PATH")]
    executor: Option<PathBuf>,
    /// Hold it to these rules: probed, or DESIGN/GUP, such as as-corrected/2013 [default: those of its series]
    #[arg(long, value_name = "RULES")]
    rules: Option<Rules>,
    /// With the target local: this machine's own kernel may be used, and damaged. Without it you are told what is touched
    #[arg(long)]
    yes_run_on_this_kernel: bool,
}

impl TargetArgs {
    /// Whether it was named on the command line.
    pub(crate) fn is_named(&self) -> bool {
        self.target.is_some()
    }

    /// Its name alone.
    pub(crate) fn name(&self) -> Result<TargetName, RunError> {
        Ok(self.target.clone().unwrap_or_else(default_target).parse()?)
    }

    /// What it is made of. A kernel of `+fixed` has the fixes of `defects`.
    pub(crate) fn options(&self, defects: Option<&Path>) -> TargetOptions {
        let (kernel_src, executor) = (self.kernel_src.clone(), self.executor.clone());
        let (modules, accel, rules) = (self.modules.clone(), self.accel, self.rules);
        let yes_run_on_this_kernel = self.yes_run_on_this_kernel;
        let defects = defects.map(Path::to_owned);
        TargetOptions {
            kernel_src,
            modules,
            accel,
            executor,
            rules,
            defects,
            yes_run_on_this_kernel,
        }
    }

    /// Builds what the target needs, with progress. A kernel of `+fixed` has the fixes of `defects`.
    pub(crate) fn prepare(&self, defects: Option<&Path>) -> Result<Prepared, RunError> {
        let name = self.name()?;
        let options = self.options(defects);
        let mut meter = BuildMeter::default();
        let watch = &mut |progress: &_| meter.show(progress);
        let prepared = match self.is_named() {
            true => prepare(&name, &options, watch),
            false => prepare_default(&options, watch),
        };
        meter.finish();
        let prepared = prepared?;
        if let Some(note) = prepared.note() {
            say(note);
        }
        Ok(prepared)
    }
}

/// What is known.
#[derive(Args, Debug)]
pub(crate) struct DefectsArgs {
    /// Read the known defects from this folder, each of which is a folder in it [default: those of this version]
    #[arg(long, value_name = "DIR")]
    defects: Option<PathBuf>,
    /// The name that --defects had
    #[arg(long, value_name = "DIR", hide = true, conflicts_with = "defects")]
    known: Option<PathBuf>,
}

impl DefectsArgs {
    /// The folder that was named.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.defects.as_deref().or(self.known.as_deref())
    }

    pub(crate) fn read(&self) -> Result<Defects, RunError> {
        if self.known.is_some() {
            say("--known is called --defects now, and takes a folder");
        }
        self.folder().map_or_else(embedded_defects, read_defects)
    }
}

/// When the state is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObserveArg {
    /// After each op
    Each,
    /// After the last op
    End,
}

impl From<ObserveArg> for Observe {
    fn from(arg: ObserveArg) -> Observe {
        match arg {
            ObserveArg::Each => Observe::Each,
            ObserveArg::End => Observe::End,
        }
    }
}
