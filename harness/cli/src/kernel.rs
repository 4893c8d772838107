//! `pinfold kernel`: builds and finds the kernels that targets boot.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use pinfold_run::{
    PatchInput, build_kernel, built_kernels, default_series, find_kernel, read_patch,
};

use crate::exit::Status;
use crate::output;
use crate::progress::BuildMeter;

/// Build, list and find kernels
#[derive(Args, Debug)]
pub(crate) struct Kernel {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Build a kernel, if it is not built yet, and print its path
    Build {
        /// A series, with +kasan, +debug, +kcov or +fixed
        #[arg(value_name = "KERNEL", default_value_t = default_series())]
        kernel: String,
        /// Build from this source tree
        #[arg(long, value_name = "DIR")]
        kernel_src: Option<PathBuf>,
        /// Apply this patch first; may be given several times, in the order in which they apply. - is standard input
        #[arg(long, value_name = "FILE")]
        patch: Vec<PathBuf>,
    },
    /// List the kernels that are built
    List,
    /// Print the path of a kernel that is built
    Path {
        /// A series, with +kasan, +debug or +kcov
        #[arg(value_name = "KERNEL", default_value_t = default_series())]
        kernel: String,
    },
}

impl Kernel {
    pub(crate) fn run(&self) -> anyhow::Result<Status> {
        match &self.command {
            Command::Build { kernel, kernel_src, patch } => {
                let patches: Vec<PatchInput> =
                    patch.iter().map(|file| read_patch(file)).collect::<Result<_, _>>()?;
                let mut meter = BuildMeter::default();
                let watch = &mut |progress: &_| meter.show(progress);
                let built = build_kernel(kernel, kernel_src.clone(), &patches, watch);
                meter.finish();
                output::result(&format!("{}\n", built?.display()))?;
            }
            Command::List => output::result(&list()?)?,
            Command::Path { kernel } => match find_kernel(kernel)? {
                Some(found) => output::result(&format!("{}\n", found.image.display()))?,
                None => anyhow::bail!(
                    "kernel {kernel} is not built: run `pinfold kernel build {kernel}`"
                ),
            },
        }
        Ok(Status::Clean)
    }
}

fn list() -> anyhow::Result<String> {
    let mut text = String::new();
    for kernel in built_kernels()? {
        let origin = match (&kernel.package_version, &kernel.tree) {
            (Some(version), _) => format!("Debian {version}"),
            (None, Some(tree)) => tree.display().to_string(),
            (None, None) => String::new(),
        };
        let variant = kernel.variant.to_string();
        writeln!(
            text,
            "{:16} {variant:14} {:5} MiB  {:12}  {origin}\n    {}",
            kernel.version,
            kernel.size_bytes >> 20,
            kernel.sha256.get(..12).unwrap_or_default(),
            kernel.image.display()
        )?;
    }
    Ok(text)
}
