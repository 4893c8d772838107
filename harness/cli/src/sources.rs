//! `pinfold sources`: what the rules cite of the kernel's source, and what became of it in another kernel.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use pinfold_run::OwnCitations;
use serde::Serialize;

use crate::exit::Status;
use crate::output;
use crate::progress::BuildMeter;

/// List the kernel functions that Pinfold's rules cite, and what became of them in another kernel
///
/// For those who work on Pinfold: it reads the source of Pinfold, and of kernels.
#[derive(Args, Debug)]
pub(crate) struct Sources {
    /// The kernel that the rules speak of: a series, or the path of a source tree
    #[arg(long, value_name = "KERNEL", requires = "to")]
    from: Option<String>,
    /// Show what changed, moved or went away in this kernel: a series, or the path of a source tree
    #[arg(long, value_name = "KERNEL", requires = "from")]
    to: Option<String>,
    /// Check that what is cited of this kernel is there: a series, or with --tree the path of a source tree
    #[arg(long = "in", visible_alias = "tree", value_name = "KERNEL", conflicts_with = "from")]
    of: Option<String>,
    /// A checkout of Pinfold [default: the one that the current folder is in]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Sources {
    /// Ends with status 1 if something cited of the kernel of `--in` is not there.
    pub(crate) fn run(&self) -> anyhow::Result<Status> {
        let start = match &self.root {
            Some(root) => root.clone(),
            None => std::env::current_dir().context("there is no current folder")?,
        };
        let citations = OwnCitations::read(&start)?;
        let mut meter = BuildMeter::default();
        let watch = &mut |progress: &_| meter.show(progress);
        let (text, status) = match (&self.from, &self.to, &self.of) {
            (Some(from), Some(to), _) => {
                let compared = citations.compare(from, to, watch);
                meter.finish();
                (self.text("comparison", &compared?)?, Status::Clean)
            }
            (_, _, Some(tree)) => {
                let checked = citations.check(tree, watch);
                meter.finish();
                let checked = checked?;
                let is_right = checked.wrong.is_empty();
                let status = if is_right { Status::Clean } else { Status::Diverged };
                (self.text("check", &checked)?, status)
            }
            _ => (self.text("list", &citations.list())?, Status::Clean),
        };
        output::result(&text)?;
        Ok(status)
    }

    /// `found` for people, or for programs with what kind of answer it is.
    fn text<T: Serialize + std::fmt::Display>(
        &self,
        kind: &str,
        found: &T,
    ) -> anyhow::Result<String> {
        if !self.json {
            return Ok(found.to_string());
        }
        let json = serde_json::json!({ "schema": 1, kind: found });
        Ok(format!("{}\n", serde_json::to_string_pretty(&json)?))
    }
}
