//! Named parameters: the sources of their values, such as safetensors files, and access to the parameters of
//! a module.

mod autodiff;
mod base_tensors;
mod initializer;
mod parameters;
mod safetensors_header;
mod safetensors_reader;
mod safetensors_writer;
mod stacking;

pub use autodiff::AutodiffCopy;
pub(crate) use base_tensors::base_tensors;
pub use initializer::{Initializer, ParamSource, RandomParams};
pub use parameters::{ParamMut, Parameters, SelectedParameters, count_parameters, read_parameters, to_dtype};
pub(crate) use safetensors_header::SafetensorsHeader;
pub use safetensors_reader::SafetensorsReader;
pub(crate) use safetensors_reader::{ensure_finite, to_f32};
pub use safetensors_writer::NamedTensors;
pub(crate) use safetensors_writer::encode;
pub use stacking::{stack_layers, unstack_layers};
