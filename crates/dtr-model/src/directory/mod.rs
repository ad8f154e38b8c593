//! A base or a hybrid as a Hugging Face directory.
//!
//! A hybrid's directory is its base's, with the attention of replaced layers gone and their twins below
//! `model.layers.N.linear_attn`. `layer_types` in `config.json` says which layers these are, in the words
//! of transformers, and the table `dtr` what their blocks are.

mod pieces;
mod read;
mod write;
mod written;

#[cfg(test)]
mod tests;

pub use read::Model;
pub use write::HybridWriter;
pub(super) use written::Written;
