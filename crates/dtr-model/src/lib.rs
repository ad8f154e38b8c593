//! Decoders with full and linear attention, and everything needed to load, train, run and export them.
//!
//! A base is a Llama, Qwen2 or Qwen3 decoder with softmax attention in every layer ([`Decoder`]). A twin is a
//! linear-attention block that is trained to replace the attention of one layer ([`Twins`], one per layer). A
//! [`Hybrid`] is a base in which the layers of a [`Mask`] run their twins.
//!
//! The shape letters in names of tensors are defined in [`dtr_ops`].

#![warn(missing_docs)]

mod batch_decoder;
mod chat_template;
mod config;
mod decoder;
mod decoder_state;
mod directory;
pub mod generate;
mod gguf;
mod hybrid;
mod hybrid_batch;
mod layerwise_gradient;
mod mask;
mod mixer;
pub mod optimizer;
mod portable;
mod prefix_tree;
mod tokenizer;
mod twins;
mod weights;

pub mod testing;
#[cfg(test)]
mod tests;

pub use batch_decoder::{BatchDecoder, FilledRow, MAX_UNREAD_STEPS};
pub use chat_template::{ChatTemplate, read_special_tokens};
pub use config::{DecoderConfig, DecoderShape};
pub(crate) use decoder::token_tensor;
pub use decoder::{Decoder, MixerIo};
pub use decoder_state::{DecoderState, StateBytes};
pub use directory::{
    BaseModel, HybridWriter, LoadedModel, WeightDtype, convert_gguf, read_eos_token_ids, unused_tensors_note,
    write_base_model, write_finetuned_base,
};
pub use hybrid::Hybrid;
pub use hybrid_batch::{PartialRun, hidden_states_of_runs};
pub use layerwise_gradient::{LossAndGradient, ReduceGradient};
pub use mask::Mask;
pub use mixer::{
    AttentionStats, BlockConfig, ForwardContext, FullAttention, GdnConfig, GeometryConfig, GlaConfig,
    JetConfig, Mixer, MixerState, PortableFormat, TwinInit, TwinVariant, check_head_counts,
};
pub(crate) use mixer::{TwinGeometry, jet_generator_width};
pub use portable::{Constraint, HybridFormat};
pub use prefix_tree::{PrefixTree, PrefixTreeStates};
pub use tokenizer::{Detokenizer, Tokenizer};
pub use twins::Twins;
pub use weights::{
    AutodiffCopy, Initializer, NamedTensors, ParamMut, ParamSource, Parameters, RandomParams,
    SafetensorsReader, SelectedParameters, count_parameters, read_parameters, stack_layers, to_dtype,
    unstack_layers,
};
