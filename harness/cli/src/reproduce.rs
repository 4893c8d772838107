//! `pinfold reproduce`: makes of a stored sequence a program in C, and runs it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use pinfold_contract::ProgramEnd;
use pinfold_run::{
    Linking, ProgramRun, RunEnd, allowed_cpus, compile_c, reproduce_c, reproduce_seq, run_program,
};

use crate::args::TargetArgs;
use crate::exit::Status;
use crate::output::{self, say};
use crate::signals::Signals;

/// Make a program in C of a sequence (.seq), or run such a program on a kernel
#[derive(Args, Debug)]
pub(crate) struct Reproduce {
    /// The sequence; with --run also a program (.c)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// c: one file that needs libibverbs alone; seq: the sequence with what is expected of each op
    #[arg(long, value_enum, default_value = "c")]
    lang: Lang,
    /// Where it goes [default: standard output, or nowhere with --run]
    #[arg(short, long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compile the program and run it on the target; ends with its status: 0 right, 1 wrong, 4 cannot tell
    #[arg(long)]
    run: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Lang {
    C,
    Seq,
}

impl Reproduce {
    pub(crate) fn run(&self, signals: &Signals) -> anyhow::Result<Status> {
        let text = if self.is_c() {
            std::fs::read_to_string(&self.file)
                .with_context(|| format!("cannot read {}", self.file.display()))?
        } else {
            let target = self.target.name()?;
            match self.lang {
                Lang::C => reproduce_c(&self.file, &target)?,
                Lang::Seq => reproduce_seq(&self.file, &target)?,
            }
        };
        match &self.out {
            Some(path) => std::fs::write(path, &text)
                .with_context(|| format!("cannot write {}", path.display()))?,
            None if self.run => {}
            None => output::result(&text)?,
        }
        if !self.run {
            return Ok(Status::Clean);
        }
        anyhow::ensure!(
            self.lang == Lang::C,
            "only a program in C can be run: leave out --lang seq"
        );
        self.compile_and_run(&text, signals)
    }

    fn is_c(&self) -> bool {
        self.file.extension().is_some_and(|extension| extension == "c")
    }

    fn compile_and_run(&self, text: &str, signals: &Signals) -> anyhow::Result<Status> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let source = folder.path().join("repro.c");
        let program: &Path = &folder.path().join("repro");
        std::fs::write(&source, text).context("cannot write the program")?;
        compile_c(&source, program, Linking::Static)?;
        let prepared = self.target.prepare(None)?;
        let cpu = allowed_cpus().first().copied();
        let run = run_program(&prepared, program, cpu, &signals.stop_well())?;
        output::result(&run.output)?;
        Ok(status(&run))
    }
}

fn status(run: &ProgramRun) -> Status {
    let kernel = &run.kernel_release;
    match run.end {
        RunEnd::Program(ProgramEnd::Exited(0)) => Status::Clean,
        RunEnd::Program(ProgramEnd::Exited(1)) => Status::Diverged,
        RunEnd::Program(ProgramEnd::Exited(4)) => Status::Capability,
        RunEnd::Program(ProgramEnd::Exited(_) | ProgramEnd::Killed(_)) => {
            say(&format!("linux {kernel}: the program ended with {:?}", run.end));
            Status::Environment
        }
        RunEnd::KernelDied | RunEnd::Hung => {
            let how =
                if run.end == RunEnd::Hung { "it did not come back" } else { "the kernel died" };
            say(&format!("linux {kernel}: {how}; its console:\n{}", run.console.trim_end()));
            Status::Diverged
        }
    }
}
