//! Properties of sequences.

mod input;
mod minimize;
mod model;
mod mutate;
mod rxe;
mod text;

pub use input::{Input, cross_inputs, cross_inputs_to, edit_input, mutate_input, mutate_input_to};
pub use minimize::minimize_keeps_what_is_wrong;
pub use model::{model_agrees, model_disagrees};
pub use mutate::mutated_text_roundtrip;
pub use rxe::{rxe_agrees, rxe_edges, rxe_kernel_is_built, rxe_profile};
pub use text::{generated_text_roundtrip, text_roundtrip};
