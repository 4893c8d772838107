//! What machines are made of: kernel, executor and initramfs at hand, and machines booted from them.

use std::io;
use std::path::{Path, PathBuf};

use pinfold::profile;
use pinfold_contract::Series;
use pinfold_machine::accel::{self, Accel, AccelWish, Probed};
use pinfold_machine::qemu;
use pinfold_machine::saved::Place;
use pinfold_machine::source::Freshness;
use pinfold_machine::{
    Cache, CacheError, Ending, ExecutorError, InitramfsError, Kernel, KernelError, KernelRequest,
    Machine, MachineError, ModuleTreeError, PackageError, Progress, QemuOptions, SourceError,
    StockError, StockKernel, UmlOptions, executor, initramfs, stock, tools, uml, workshop,
};

use crate::error::RunError;
use crate::guest::{Boot, Guest};
use crate::link::Stream;

/// Why there is no machine to boot.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// No folder for what is built.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// No kernel that we build.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// No kernel that others built.
    #[error(transparent)]
    Stock(Box<StockError>),
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

impl From<StockError> for PartsError {
    fn from(error: StockError) -> PartsError {
        PartsError::Stock(Box::new(error))
    }
}

impl PartsError {
    /// Whether the archive has no package of the kernel that was asked for.
    pub(crate) fn lacks_a_package(&self) -> bool {
        let PartsError::Kernel(KernelError::Source(SourceError::Archive(error))) = self else {
            return false;
        };
        matches!(error, PackageError::Unlisted { .. })
    }

    /// Whether a file or folder that was named on the command line is not what it should be.
    pub(crate) fn is_of_the_command_line(&self) -> bool {
        match self {
            PartsError::Kernel(KernelError::Source(error)) => {
                matches!(error, SourceError::NotATree { .. } | SourceError::NotClean { .. })
            }
            PartsError::Executor(error) => matches!(error, ExecutorError::NotAProgram { .. }),
            PartsError::Initramfs(error) => matches!(error, InitramfsError::NotStatic { .. }),
            PartsError::Machine(error) => {
                matches!(error, MachineError::NoImage { .. } | MachineError::NoKernel { .. })
            }
            PartsError::Stock(error) => match &**error {
                StockError::NotAnImage { .. } => true,
                StockError::Modules(error) => {
                    !matches!(error, ModuleTreeError::Tools(_) | ModuleTreeError::Cache(_))
                }
                StockError::Package(_) | StockError::Cache(_) | StockError::Content { .. } => false,
            },
            PartsError::Kernel(error) => matches!(error, KernelError::NotEnabled { .. }),
            PartsError::Cache(_) => false,
        }
    }
}

/// How a kernel is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the program that it is.
    Uml,
    /// In QEMU.
    Qemu(Accel),
}

/// What machines are made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// Where the rest of an initramfs comes from.
    pub(crate) cache: Cache,
    pub(crate) way: Way,
    pub(crate) image: PathBuf,
    /// What the executor loads first, in this order.
    pub(crate) modules: Vec<PathBuf>,
    pub(crate) executor: PathBuf,
    pub(crate) initramfs: PathBuf,
    /// For the kernel's command line.
    pub(crate) arguments: Vec<String>,
    /// Whether the accelerator was found by a probe: then it is another one where no kernel comes up with it.
    pub(crate) accel_is_a_guess: bool,
}

impl Parts {
    /// Brings together what is needed to boot the User Mode Linux `image`, which somebody else built.
    pub(crate) fn of_image(
        cache: &Cache,
        image: &Path,
        executor: Option<&Path>,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<Parts, PartsError> {
        if !tools::is_executable(image) {
            return Err(MachineError::NoImage { image: image.to_owned() }.into());
        }
        let executor = executor::provide(cache, executor, watch)?;
        Parts::of(cache, Way::Uml, image.to_owned(), Vec::new(), executor)
    }

    /// Builds the kernel that `request` asks for, if it is not there yet, and brings together what is needed to boot it.
    pub(crate) fn of_request(
        cache: &Cache,
        request: &KernelRequest,
        executor: Option<&Path>,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<(Parts, Kernel), PartsError> {
        // First what takes less time: a wrong executor must not cost a kernel build.
        let executor = executor::provide(cache, executor, watch)?;
        let initramfs = initramfs::provide(cache, &executor, &[])?;
        let kernel = workshop::provide(cache, request, watch)?;
        let (cache, image) = (cache.clone(), kernel.image.clone());
        let (modules, arguments) = (Vec::new(), Vec::new());
        let way = Way::Uml;
        let accel_is_a_guess = false;
        let parts =
            Parts { cache, way, image, modules, executor, initramfs, arguments, accel_is_a_guess };
        Ok((parts, kernel))
    }

    /// Fetches Debian's kernel of `series`, if it is not there yet, and brings together what is needed to boot it.
    pub(crate) fn of_series(
        cache: &Cache,
        series: Series,
        wish: AccelWish,
        executor: Option<&Path>,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<(Parts, Probed, StockKernel), PartsError> {
        let probed = accelerator(cache, wish)?;
        let executor = executor::provide(cache, executor, watch)?;
        let kernel = stock::provide(cache, series, Freshness::Cached, watch)?;
        let parts = Parts::of_stock(cache, kernel.clone(), probed.accel, executor)?;
        Ok((Parts { accel_is_a_guess: wish == AccelWish::Auto, ..parts }, probed, kernel))
    }

    /// Brings together what is needed to boot the bzImage `image`, whose modules are in `module_tree`, or else beside it.
    pub(crate) fn of_bzimage(
        cache: &Cache,
        image: &Path,
        module_tree: Option<&Path>,
        wish: AccelWish,
        executor: Option<&Path>,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<(Parts, Probed), PartsError> {
        let probed = accelerator(cache, wish)?;
        let beside = stock::module_tree_beside(image, &stock::release_of(image)?);
        let kernel = stock::of_path(cache, image, module_tree.or(beside.as_deref()))?;
        let executor = executor::provide(cache, executor, watch)?;
        let parts = Parts::of_stock(cache, kernel, probed.accel, executor)?;
        Ok((Parts { accel_is_a_guess: wish == AccelWish::Auto, ..parts }, probed))
    }

    fn of_stock(
        cache: &Cache,
        kernel: StockKernel,
        accel: Accel,
        executor: PathBuf,
    ) -> Result<Parts, PartsError> {
        Parts::of(cache, Way::Qemu(accel), kernel.image, kernel.modules, executor)
    }

    fn of(
        cache: &Cache,
        way: Way,
        image: PathBuf,
        modules: Vec<PathBuf>,
        executor: PathBuf,
    ) -> Result<Parts, PartsError> {
        let initramfs = initramfs::provide(cache, &executor, &modules)?;
        let (cache, arguments) = (cache.clone(), Vec::new());
        let accel_is_a_guess = false;
        Ok(Parts { cache, way, image, modules, executor, initramfs, arguments, accel_is_a_guess })
    }

    /// The same with `modules` in the place of its own.
    pub(crate) fn with_modules(&self, modules: Vec<PathBuf>) -> Result<Parts, PartsError> {
        let Parts { cache, way, image, executor, arguments, accel_is_a_guess, .. } = self.clone();
        let parts = Parts::of(&cache, way, image, modules, executor)?;
        Ok(Parts { arguments, accel_is_a_guess, ..parts })
    }

    /// The same with an initramfs in `folder`, which has a file `name` with `text` in it as well.
    pub(crate) fn with_file(
        &self,
        name: &str,
        text: &str,
        folder: &Path,
    ) -> Result<Parts, PartsError> {
        let place = folder.join("initramfs.cpio");
        let files = vec![(name.to_owned(), text.as_bytes().to_vec())];
        initramfs::write_with_files(&self.cache, (&self.executor, &self.modules), files, &place)?;
        Ok(Parts { initramfs: place, ..self.clone() })
    }

    /// What its kernel runs on, as its rules have it.
    pub(crate) fn platform(&self) -> profile::Platform {
        match self.way {
            Way::Uml => profile::Platform::Uml,
            Way::Qemu(_) => profile::Platform::X86,
        }
    }

    /// Starts a machine of these parts, pinned to `cpu`, with `more` arguments for its kernel.
    pub(crate) fn boot(
        &self,
        cpu: Option<usize>,
        more: Vec<String>,
    ) -> Result<MachineGuest, PartsError> {
        let arguments = [self.arguments.clone(), more].concat();
        let machine = match self.way {
            Way::Uml => {
                let options = UmlOptions::new(&self.image, &self.initramfs);
                uml::boot(&UmlOptions { cpu, arguments, ..options })
            }
            Way::Qemu(accel) => {
                qemu::boot(&QemuOptions { cpu, arguments, ..self.qemu_options(accel) })
            }
        };
        Ok(MachineGuest { machine: machine?, is_restored: false, place: None })
    }

    fn qemu_options(&self, accel: Accel) -> QemuOptions {
        let arguments = self.arguments.clone();
        QemuOptions { accel, arguments, ..QemuOptions::new(&self.image, &self.initramfs) }
    }

    /// Where machines of these parts are saved, if they are of QEMU.
    fn place(&self) -> Option<Place> {
        match self.way {
            Way::Uml => None,
            // Without a place each machine is booted, which says what is wrong with its files.
            Way::Qemu(accel) => Place::of(&self.cache, &self.qemu_options(accel)).ok(),
        }
    }
}

/// What QEMU runs its guests with here.
fn accelerator(cache: &Cache, wish: AccelWish) -> Result<Probed, PartsError> {
    tools::require(tools::QEMU, &[]).map_err(MachineError::NoQemu)?;
    Ok(accel::decide(cache, &program(), wish)?)
}

fn program() -> PathBuf {
    tools::find(qemu::PROGRAM).unwrap_or_else(|| PathBuf::from(qemu::PROGRAM))
}

/// Brings up machines of the same parts, all on one CPU. The first one of QEMU that comes up is saved, and the others go
/// on from there: a machine that a sequence killed is replaced in a fraction of the time of a boot.
#[derive(Debug)]
pub(crate) struct PartsBoot {
    parts: Parts,
    cpu: Option<usize>,
    place: Option<Place>,
}

impl PartsBoot {
    pub(crate) fn new(parts: Parts, cpu: Option<usize>) -> PartsBoot {
        let place = parts.place();
        PartsBoot { parts, cpu, place }
    }
}

impl Boot for PartsBoot {
    fn boot(&mut self) -> Result<Box<dyn Guest>, RunError> {
        let incoming = self.place.as_mut().and_then(Place::find);
        let guest = match (incoming, self.parts.way) {
            (Some(incoming), Way::Qemu(accel)) => {
                let (cpu, incoming) = (self.cpu, Some(incoming));
                let options = QemuOptions { cpu, incoming, ..self.parts.qemu_options(accel) };
                let machine = qemu::boot(&options).map_err(PartsError::from)?;
                MachineGuest { machine, is_restored: true, place: None }
            }
            (_, Way::Uml) | (None, Way::Qemu(_)) => {
                let booted = self.parts.boot(self.cpu, Vec::new())?;
                MachineGuest { place: self.place.clone(), ..booted }
            }
        };
        Ok(Box::new(guest))
    }

    fn failed(&mut self) -> Result<(), RunError> {
        if self.parts.way == Way::Qemu(Accel::Kvm) && self.parts.accel_is_a_guess {
            let found = accel::distrust(&self.parts.cache, &program()).map_err(PartsError::from)?;
            self.parts.way = Way::Qemu(found.accel);
            self.place = self.parts.place();
        }
        Ok(())
    }

    fn distrust(&mut self) {
        if let Some(place) = self.place.take() {
            place.forget();
        }
    }
}

#[derive(Debug)]
pub(crate) struct MachineGuest {
    machine: Machine,
    is_restored: bool,
    /// Where it is to be saved when it has come up.
    place: Option<Place>,
}

impl Guest for MachineGuest {
    fn wire(&mut self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.machine.wire()?))
    }

    fn drain_console(&mut self) -> String {
        self.machine.drain_console()
    }

    fn ending(&mut self) -> Option<Ending> {
        self.machine.ending()
    }

    fn is_restored(&self) -> bool {
        self.is_restored
    }

    fn came_up(&mut self) {
        if let Some(place) = self.place.take() {
            // Where there is no room for it the next machine is booted, as this one was.
            let _ = place.save(&mut self.machine);
        }
    }
}
