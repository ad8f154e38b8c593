//! The model that a server offers: its engine, its tokenizer, and what clients ask about it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::{Engine, EngineLimits};
use dtr_core::error::Result;
use dtr_model::{ChatTemplate, LoadedModel, Tokenizer, read_eos_token_ids, read_special_tokens};

/// A model whose engine runs.
pub struct ServedModel {
    /// The name by which clients select the model.
    pub id: String,
    /// The engine.
    pub engine: Engine,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The number of tokens that the model has embeddings of.
    pub vocab_size: usize,
    /// The maximum number of tokens of a prompt and its text together.
    pub context: usize,
    /// The tokens that end a text.
    pub eos_token_ids: Vec<u32>,
    /// The special tokens that the model's files name, such as `bos_token`.
    pub special_tokens: BTreeMap<String, String>,
    /// The chat template, if the model has one.
    pub chat_template: Option<ChatTemplate>,
}

impl ServedModel {
    /// Starts the engine of the model that was read from `directory`. Clients call the model `id`.
    ///
    /// # Errors
    /// Fails when the engine cannot start, or when a file of the model is damaged.
    pub fn start(
        id: String,
        directory: &Path,
        model: LoadedModel,
        chat_template: Option<ChatTemplate>,
        limits: EngineLimits,
    ) -> Result<Self> {
        let eos_token_ids = read_eos_token_ids(directory)?;
        let special_tokens = read_special_tokens(directory)?;
        let tokenizer = model.tokenizer.clone();
        let (vocab_size, context) = (model.decoder.config.vocab_size, model.decoder.config.max_positions);
        let engine = Engine::start(model, limits)?;
        Ok(Self { id, engine, tokenizer, vocab_size, context, eos_token_ids, special_tokens, chat_template })
    }
}
