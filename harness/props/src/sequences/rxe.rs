//! The real thing: rxe of a real kernel, as User Mode Linux.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use pinfold::defects::Defects;
use pinfold::features::features;
use pinfold::profile::Profile;
use pinfold_contract::{Edge, Observe, Sequence};
use pinfold_machine::{Cache, Variant, kernel};
use pinfold_run::reached::Reached;
use pinfold_run::{
    Judgement, RunError, Target, TargetOptions, assert_agrees, default_target, embedded_defects,
    own_cpu, prepare,
};

static KNOWN: LazyLock<Defects> =
    LazyLock::new(|| embedded_defects().unwrap_or_else(|error| panic!("{error}")));

thread_local! {
    /// One machine a thread, booted for the first sequence.
    static RXE: RefCell<Rxe> = RefCell::new(Rxe::open());
}

/// The target, and what was reached in it, if that is to be kept.
struct Rxe {
    target: Target,
    reached: Option<Reached>,
}

impl Rxe {
    /// The target that `PINFOLD_TARGET` names, or the default. Where its kernel notes its blocks, `PINFOLD_REACHED` names
    /// the file for a table of what was reached, and when.
    fn open() -> Rxe {
        let name = std::env::var("PINFOLD_TARGET").unwrap_or_else(|_| default_target());
        let opened = || -> Result<Rxe, RunError> {
            let prepared = prepare(&name.parse()?, &TargetOptions::default(), &mut |_| {})?;
            let table = std::env::var_os("PINFOLD_REACHED").map(PathBuf::from);
            let wanted = table.filter(|_| prepared.notes_blocks());
            let table = wanted.and_then(|table| Some((prepared.image()?.to_owned(), table)));
            let reached = table.map(|(image, table)| Reached::new(&image, &table)).transpose()?;
            let target = prepared.open(own_cpu(), Arc::default())?;
            Ok(Rxe { target, reached })
        };
        opened().unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// The real kernel does what the model allows, but for what `corpus/defects` explains.
///
/// Builds the kernel first where that was not done; [`rxe_kernel_is_built`] tells.
pub fn rxe_agrees(sequence: &Sequence) -> Judgement<'static> {
    RXE.with_borrow_mut(|Rxe { target, reached }| {
        let judgement = assert_agrees(target, sequence, Observe::Each, &KNOWN);
        if let Some(reached) = reached {
            let features = features(target.profile(), sequence);
            reached.note(target.edges(), features).unwrap_or_else(|error| panic!("{error}"));
        }
        judgement
    })
}

/// Which way the kernel went for the last sequence of [`rxe_agrees`] on this thread: see
/// [`Target::edges`](pinfold_run::Target::edges).
pub fn rxe_edges() -> Vec<Edge> {
    RXE.with_borrow(|rxe| rxe.target.edges().to_owned())
}

/// The rules that the target of [`rxe_agrees`] is held to.
pub fn rxe_profile() -> &'static Profile {
    RXE.with_borrow(|rxe| rxe.target.profile())
}

/// Whether the kernel of [`rxe_agrees`] is at hand.
pub fn rxe_kernel_is_built() -> bool {
    let cache = Cache::from_environment();
    cache.is_ok_and(|cache| {
        kernel::find(&cache, Profile::newest().series, &Variant::plain()).is_some()
    })
}
