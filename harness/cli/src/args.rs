//! Flags that several subcommands have.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pinfold::known::Known;
use pinfold_contract::Observe;
use pinfold_run::{
    AccelWish, Prepared, Rules, RunError, TargetName, TargetOptions, default_target,
    embedded_known, prepare, prepare_default, read_known,
};

use crate::output::say;
use crate::progress::BuildMeter;

/// Which target, and what it is made of.
#[derive(Args, Debug)]
pub(crate) struct TargetArgs {
    /// uml:SERIES, with +kasan, +debug or +kcov; uml:PATH; qemu:SERIES; qemu:PATH, a bzImage; local, local:DEVICE, the
    /// kernel of this machine; model:SERIES, model:SERIES+FAULT. `pinfold series` lists the series
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
    /// Its name alone.
    pub(crate) fn name(&self) -> Result<TargetName, RunError> {
        Ok(self.target.clone().unwrap_or_else(default_target).parse()?)
    }

    /// What it is made of.
    pub(crate) fn options(&self) -> TargetOptions {
        let (kernel_src, executor) = (self.kernel_src.clone(), self.executor.clone());
        let (modules, accel, rules) = (self.modules.clone(), self.accel, self.rules);
        let yes_run_on_this_kernel = self.yes_run_on_this_kernel;
        TargetOptions { kernel_src, modules, accel, executor, rules, yes_run_on_this_kernel }
    }

    /// Builds what the target needs, with progress.
    pub(crate) fn prepare(&self) -> Result<Prepared, RunError> {
        let name = self.name()?;
        let options = self.options();
        let mut meter = BuildMeter::default();
        let watch = &mut |progress: &_| meter.show(progress);
        let prepared = match self.target {
            Some(_) => prepare(&name, &options, watch),
            None => prepare_default(&options, watch),
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
pub(crate) struct KnownArgs {
    /// Read the known divergences from this file [default: those of this version]
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
}

impl KnownArgs {
    pub(crate) fn read(&self) -> Result<Known, RunError> {
        match &self.known {
            Some(path) => read_known(path),
            None => embedded_known(),
        }
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
