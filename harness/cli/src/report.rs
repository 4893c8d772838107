//! `pinfold report`: what a run found, for people.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use pinfold::report::{html, markdown};
use pinfold_run::read_report;

use crate::exit::Status;
use crate::output::{self, say};

/// Write what a run found as an HTML page and a Markdown text
#[derive(Args, Debug)]
pub(crate) struct Report {
    /// The folder of the run (--out of `pinfold fuzz`), or of one finding
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where report.html and report.md go [default: DIR]
    #[arg(short, long = "out", value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Report {
    /// Ends well when there is a report; what it says is for those who read it.
    pub(crate) fn run(&self) -> anyhow::Result<Status> {
        let out = self.out.as_ref().unwrap_or(&self.dir);
        output::result(&write(&self.dir, out)?)?;
        Ok(Status::Clean)
    }
}

/// Writes the report of the run in `dir` to `out`. Gives the paths of its files, a line each.
pub(crate) fn write(dir: &Path, out: &Path) -> anyhow::Result<String> {
    let report = read_report(dir)?;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut told = String::new();
    for (name, text) in [("report.html", html(&report)), ("report.md", markdown(&report))] {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        told.push_str(&format!("{}\n", path.display()));
    }
    for unreadable in &report.unreadable {
        say(&format!("left out of the report: {unreadable}"));
    }
    Ok(told)
}
