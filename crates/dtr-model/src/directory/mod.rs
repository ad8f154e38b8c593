//! Models as Hugging Face directories (`config.json`, `tokenizer.json` and safetensors files) or GGUF files.
//! [`crate`] defines bases, hybrids and twins.
//!
//! Every function with a parameter for the directory of a base also accepts the path of a GGUF file.
//!
//! The directory of a hybrid is a copy of its base's directory with two changes. In the weights, the
//! attention of replaced layers is left out, and their twins are added as `model.layers.N.linear_attn`. In
//! `config.json`, `layer_types` marks the replaced layers as `linear_attention`, and the table `dtr` holds
//! the variant of the twins.

mod base_model;
mod config_json;
mod convert;
mod eos_tokens;
mod hybrid_writer;
mod loaded_model;
pub(crate) mod model_files;
mod model_weights;
mod reader_version;
mod tensor_copy;
mod weight_files;

#[cfg(test)]
mod tests;

pub use base_model::{BaseModel, write_base_model};
use config_json::ConfigJson;
pub use convert::convert_gguf;
pub use eos_tokens::read_eos_token_ids;
pub use hybrid_writer::HybridWriter;
pub use loaded_model::LoadedModel;
pub use model_weights::unused_tensors_note;
