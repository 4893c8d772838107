//! What must hold for every sequence, one function a property.
//!
//! A property panics where it does not hold. The bolero tests of this crate and the cargo-fuzz targets of `fuzz/` call
//! the same functions, so that what one engine finds the other repeats. Nothing here knows an engine.

mod input;
mod minimize;
mod model;
mod mutate;
mod rxe;
mod text;
mod wire;

pub use input::{Input, cross_inputs, edit_input, mutate_input};
pub use minimize::minimize_keeps_what_is_wrong;
pub use model::model_agrees;
pub use mutate::mutated_text_roundtrip;
pub use rxe::{rxe_agrees, rxe_kernel_is_built};
pub use text::{generated_text_roundtrip, text_roundtrip};
pub use wire::wire_is_robust;
