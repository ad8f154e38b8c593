//! The decoder and what can stand in a layer's place.
//!
//! A base is a Llama / Qwen2 / Qwen3 style decoder with full attention ([`Decoder`]); a hybrid is
//! the base, a [`Mask`] of replaced layers, and the [`Twins`] that take their places. Shape letters
//! as in [`dtr_ops`].

#![warn(missing_docs)]

mod chat;
mod config;
mod decoder;
mod decoding;
mod directory;
mod end_tokens;
mod export;
pub mod generate;
mod header;
mod hybrid;
mod import;
mod mask;
mod mixer;
pub mod optim;
mod parameters;
mod partial_run;
mod prefix_tree;
mod shapes;
mod state;
mod stream;
mod tokenizer;
mod twins;

pub mod testing;
#[cfg(test)]
mod tests;

pub use chat::Chat;
pub use config::{Architecture, Config};
pub use decoder::{Decoder, LayerIo, token_tensor};
pub use decoding::Decoding;
pub use directory::{HybridWriter, Model};
pub use end_tokens::end_tokens;
pub use export::{Tensors, export, save};
pub use hybrid::Hybrid;
pub use import::{Base, Checkpoint};
pub use mask::Mask;
pub use mixer::{
    Block, FullAttention, GdnConfig, Geometry, GlaConfig, Init, JetConfig, Linear, Mixer, MixerState,
    Observed, Pass, TwinConfig, Variant,
};
pub use parameters::{
    Initializer, ParamMut, ParamSource, Parameters, Random, Tracked, computing_in, count_parameters,
};
pub use partial_run::{PartialRun, run_to};
pub use prefix_tree::{PrefixTree, PrefixTreeStates};
pub use state::{State, StateBytes};
pub use stream::TextStream;
pub use tokenizer::Tokenizer;
pub use twins::Twins;
