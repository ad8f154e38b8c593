//! Models as Hugging Face directories (`config.json`, `tokenizer.json` and safetensors files) or GGUF files.
//! [`crate`] defines bases, hybrids and twins.
//!
//! Every function with a parameter for the directory of a base also accepts the path of a GGUF file.
//!
//! The directory of a hybrid differs from the directory of its base in three ways. In the weights, the
//! attention of replaced layers is left out, and their twins are added as `model.layers.N.linear_attn`. In
//! `config.json`, `layer_types` marks the replaced layers as `linear_attention`, the table `dtr` holds the
//! variant of the twins, and `architectures`, `auto_map` and `model_type` name the classes of a hybrid.
//! Python files with these classes are added.

mod base_model;
mod config_json;
mod convert;
mod eos_tokens;
mod finetuned_base;
mod gguf_export;
mod hybrid_writer;
mod loaded_model;
pub(crate) mod model_files;
mod model_weights;
mod portable_writer;
mod reader_version;
mod tensor_copy;
mod tensor_segment;
mod tensor_source;
mod weight_dtype;
mod weight_files;

#[cfg(test)]
mod tests;

pub use base_model::{BaseModel, write_base_model};
use config_json::ConfigJson;
pub use convert::convert_gguf;
pub use eos_tokens::read_eos_token_ids;
pub use finetuned_base::write_finetuned_base;
pub use hybrid_writer::HybridWriter;
pub use loaded_model::LoadedModel;
pub use model_weights::unused_tensors_note;
pub(crate) use tensor_segment::{ElementMap, Segment};
pub(crate) use tensor_source::TensorSource;
pub use weight_dtype::WeightDtype;
