//! The real thing: rxe of a real kernel, as User Mode Linux.

use std::cell::RefCell;
use std::sync::LazyLock;

use pinfold::known::Known;
use pinfold_contract::{Observe, Sequence};
use pinfold_machine::{Cache, Series, Variant, kernel};
use pinfold_run::{Judgement, Target, TargetOptions, assert_agrees, embedded_known};

static KNOWN: LazyLock<Known> =
    LazyLock::new(|| embedded_known().unwrap_or_else(|error| panic!("{error}")));

thread_local! {
    /// One machine a thread, booted for the first sequence.
    static TARGET: RefCell<Target> = RefCell::new(open());
}

fn open() -> Target {
    let name = "uml:6.12".parse().expect("it is the name of a target");
    Target::open(&name, &TargetOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The real kernel does what the model allows, but for what `corpus/known.toml` explains.
///
/// Builds the kernel first where that was not done; [`rxe_kernel_is_built`] tells.
pub fn rxe_agrees(sequence: &Sequence) -> Judgement<'static> {
    TARGET.with_borrow_mut(|target| assert_agrees(target, sequence, Observe::Each, &KNOWN))
}

/// Whether the kernel of [`rxe_agrees`] is at hand.
pub fn rxe_kernel_is_built() -> bool {
    let cache = Cache::from_environment();
    cache.is_ok_and(|cache| kernel::find(&cache, Series::V6_12, &Variant::plain()).is_some())
}
