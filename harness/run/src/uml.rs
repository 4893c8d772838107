//! User Mode Linux as a target: kernel, executor and initramfs at hand, and machines made of them.

use std::io;
use std::path::{Path, PathBuf};

use pinfold_machine::{
    Cache, CacheError, Ending, ExecutorError, InitramfsError, Kernel, KernelError, KernelRequest,
    Machine, MachineError, MachineOptions, Progress, SourceError, executor, initramfs, kernel,
    tools,
};

use crate::error::RunError;
use crate::guest::{Boot, Guest};
use crate::link::Stream;

/// Why there is no machine to boot.
#[derive(Debug, thiserror::Error)]
pub enum UmlError {
    /// No folder for what is built.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// No kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// No executor.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// No initramfs.
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    /// The host cannot run one.
    #[error(transparent)]
    Machine(#[from] MachineError),
}

impl UmlError {
    /// Whether a file or folder that was named on the command line is not what it should be.
    pub(crate) fn is_of_the_command_line(&self) -> bool {
        matches!(
            self,
            UmlError::Kernel(KernelError::Source(
                SourceError::NotATree { .. } | SourceError::NotClean { .. }
            )) | UmlError::Executor(ExecutorError::NotAProgram { .. })
                | UmlError::Initramfs(InitramfsError::NotStatic { .. })
                | UmlError::Machine(MachineError::NoImage { .. })
        )
    }
}

/// What machines are made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// Where the rest of an initramfs comes from.
    pub(crate) cache: Cache,
    pub(crate) image: PathBuf,
    pub(crate) executor: PathBuf,
    pub(crate) initramfs: PathBuf,
}

impl Parts {
    /// Brings together what is needed to boot `image`, which somebody else built.
    pub(crate) fn of_image(
        cache: &Cache,
        image: &Path,
        executor: Option<&Path>,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<Parts, UmlError> {
        if !tools::is_executable(image) {
            return Err(MachineError::NoImage { image: image.to_owned() }.into());
        }
        let executor = executor::provide(cache, executor, watch)?;
        let initramfs = initramfs::provide(cache, &executor)?;
        Ok(Parts { cache: cache.clone(), image: image.to_owned(), executor, initramfs })
    }

    /// Builds the kernel that `request` asks for, if it is not there yet, and brings together what is needed to boot it.
    pub(crate) fn of_request(
        cache: &Cache,
        request: &KernelRequest,
        executor: Option<&Path>,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<(Parts, Kernel), UmlError> {
        // First what takes less time: a wrong executor must not cost a kernel build.
        let executor = executor::provide(cache, executor, watch)?;
        let initramfs = initramfs::provide(cache, &executor)?;
        let kernel = kernel::provide(cache, request, watch)?;
        Ok((
            Parts { cache: cache.clone(), image: kernel.image.clone(), executor, initramfs },
            kernel,
        ))
    }
}

/// Boots machines of the same parts, all on one CPU.
#[derive(Debug)]
pub(crate) struct UmlBoot {
    pub(crate) parts: Parts,
    pub(crate) cpu: Option<usize>,
}

impl Boot for UmlBoot {
    fn boot(&mut self) -> Result<Box<dyn Guest>, RunError> {
        let options = MachineOptions {
            cpu: self.cpu,
            ..MachineOptions::new(&self.parts.image, &self.parts.initramfs)
        };
        let machine = Machine::boot(&options).map_err(UmlError::Machine)?;
        Ok(Box::new(UmlGuest(machine)))
    }
}

#[derive(Debug)]
pub(crate) struct UmlGuest(pub(crate) Machine);

impl Guest for UmlGuest {
    fn wire(&mut self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.0.wire()?))
    }

    fn drain_console(&mut self) -> String {
        self.0.drain_console()
    }

    fn ending(&mut self) -> Option<Ending> {
        self.0.ending()
    }
}
