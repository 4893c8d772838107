//! What must hold for every sequence, one function a property.
//!
//! A property panics where it does not hold. The bolero tests of this crate and the cargo-fuzz targets of `fuzz/` call
//! the same functions, so that what one engine finds the other repeats. Nothing here knows an engine.
//!
//! Without the feature `sequences` only the wire is left, which needs neither the model nor machines, and so is built
//! with a sanitizer in little time.

#[cfg(feature = "sequences")]
mod sequences;
mod wire;

#[cfg(feature = "sequences")]
pub use sequences::*;
pub use wire::wire_is_robust;
