//! `pinfold defects`: which kernels have which defect, and what is seen of them on one.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use pinfold_run::{
    TargetName, allowed_cpus, defects_folder, read_defects, record, verify, write_lists,
};

use crate::args::{DefectsArgs, TargetArgs};
use crate::exit::Status;
use crate::output::{self, say};
use crate::signals::Signals;

/// Which kernels have which defect, and which fix cures it
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Defects {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    defects: DefectsArgs,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Write the lists in README.md and corpus/defects/README.md of the checkout of Pinfold that this folder is in
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    Verify(Verify),
}

/// Run what shows each defect on a target, and keep in defect.toml what was seen
#[derive(Args, Debug)]
struct Verify {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    defects: DefectsArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Defects {
    pub(crate) fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        match &self.command {
            Some(Command::Verify(verify)) => return verify.run(signals),
            None if self.markdown => {
                let written = write_lists(&here()?)?;
                for path in &written {
                    say(&format!("written: {}", path.display()));
                }
                if written.is_empty() {
                    say("both lists are up to date");
                }
            }
            None if self.json => {
                let table = self.defects.read()?.table();
                output::result(&format!("{}\n", serde_json::to_string(&table)?))?;
            }
            None => output::result(&self.defects.read()?.table().to_string())?,
        }
        Ok(Status::Clean)
    }
}

impl Verify {
    /// Diverged: a case that was verified on this series is not seen, or one that a fix should cure is.
    fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        let folder = self.folder()?;
        let defects = read_defects(&folder)?;
        let prepared = self.target.prepare(Some(&folder))?;
        let mut target = prepared.open(allowed_cpus().first().copied(), signals.stop_well())?;
        let verification = verify(&mut target, &defects, &folder, &mut |case| {
            if !self.json {
                say(&case.to_string());
            }
        })?;
        if self.is_packaged(target.name()) {
            let platform = target.running().platform;
            for it in record(&verification, &defects, &folder, platform)? {
                say(&format!(
                    "{}: case {}: {} has {} now",
                    it.file.display(),
                    it.index + 1,
                    it.field,
                    it.release
                ));
            }
        } else {
            say("nothing is kept in defect.toml: others do not have this kernel");
        }
        let text = match self.json {
            true => serde_json::to_string(&verification)?,
            false => verification.to_string(),
        };
        output::result(&format!("{text}\n"))?;
        Ok(if verification.is_wrong() { Status::Diverged } else { Status::Clean })
    }

    /// The folder that was named, or that of this checkout: what is seen is written there.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        match self.defects.folder() {
            Some(folder) => Ok(folder.to_owned()),
            None => defects_folder(&here()?)
                .context("name the folder of the defects with --defects DIR"),
        }
    }

    /// Whether others have the same kernel: what was seen of it is of use to them.
    fn is_packaged(&self, name: &TargetName) -> bool {
        matches!(name, TargetName::Uml { .. } | TargetName::Qemu { .. })
            && self.target.options(None).kernel_src.is_none()
    }
}

fn here() -> anyhow::Result<PathBuf> {
    Ok(Path::new(&env::current_dir().context("there is no current folder")?).to_owned())
}
