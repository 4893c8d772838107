//! Brings a system under test up: kernel source, kernel build, initramfs, boot, console, and a sure death.
//!
//! Nothing here knows what is said over the wire: a [`Machine`] boots a kernel with an initramfs, hands out a byte
//! stream to the guest and the text of its console, and is gone, with all its host processes, when it is dropped.
//!
//! There are two ways to run a kernel: [`uml`], as an ordinary program, and [`qemu`], which runs those that others built.
//! [`local`] takes the one that runs already.

pub mod accel;
pub mod apt;
pub mod cache;
pub mod config;
pub mod diff;
pub mod disk;
pub mod doctor;
pub mod executor;
pub mod git;
pub mod initramfs;
mod kconfig;
mod keeper;
pub mod kernel;
pub mod local;
pub mod machine;
pub mod module_tree;
pub mod modules;
pub mod package;
pub mod progress;
pub mod qemu;
mod qmp;
pub mod rebuild;
pub mod run;
pub mod saved;
pub mod source;
pub mod stock;
pub mod tools;
pub mod uml;
pub mod wire;
pub mod workshop;

pub use accel::{Accel, AccelWish, Probed};
pub use apt::AptError;
pub use cache::{Cache, CacheError};
pub use config::{Variant, VariantError};
pub use diff::{ApplyError, DiffError, Patch};
pub use doctor::Finding;
pub use executor::ExecutorError;
pub use git::GitError;
pub use initramfs::InitramfsError;
pub use kernel::{Kernel, KernelError, KernelRequest};
pub use machine::{Ending, Machine, MachineError};
pub use module_tree::ModuleTreeError;
pub use package::PackageError;
pub use progress::{Activity, Progress};
pub use qemu::QemuOptions;
pub use rebuild::{BuiltIn, ModuleWorkshop, RebuildError, Rebuilt, StockModule};
pub use source::{KernelSource, SourceError};
pub use stock::{StockError, StockKernel};
pub use uml::UmlOptions;
pub use wire::Wire;
pub use workshop::{BuildTimes, Patched, Traced, Workshop};
