//! The decoder and what can stand in a layer's place.
//!
//! A base is a Llama / Qwen2 / Qwen3 style decoder with full attention ([`Decoder`]); a hybrid is
//! the base, a [`Mask`] of replaced layers, and the [`Twins`] that take their places. Shape letters
//! as in [`crate::ops`].

mod chat;
mod config;
mod decoder;
mod decoding;
mod directory;
mod ends;
mod export;
mod header;
mod hybrid;
mod import;
mod mask;
mod mixer;
mod parameters;
mod shapes;
mod siblings;
mod state;
mod stream;
mod tokenizer;
mod tree;
mod twins;

#[cfg(test)]
pub(crate) mod tests;

pub use chat::Chat;
pub use config::Config;
pub use decoder::{Decoder, LayerIo, token_tensor};
pub use decoding::Decoding;
pub use directory::{Deposit, Model};
pub use ends::end_tokens;
pub use export::{Tensors, export, save};
pub use hybrid::Hybrid;
pub use import::{Base, Checkpoint};
pub use mask::Mask;
pub use mixer::{FullAttention, Linear, Mixer, MixerState, Observed, Pass, TwinConfig};
pub use parameters::{Fill, Make, Parameters, Random, Slot, Tracked, computing_in, count_parameters};
pub use siblings::{Sibling, run_to};
pub use state::{State, StateBytes};
pub use stream::TextStream;
pub use tokenizer::Tokenizer;
pub use tree::{Tree, TreeStates};
pub use twins::Twins;
