//! The model that a server offers: its engine, its tokenizer, and what clients ask about it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::{Engine, EngineLimits};
use dtr_core::error::Result;
use dtr_core::files::Digest;
use dtr_model::{BaseModel, ChatTemplate, LoadedModel, Tokenizer, read_eos_token_ids, read_special_tokens};

/// The number of hex digits of the fingerprint that clients get.
const FINGERPRINT_DIGITS: usize = 16;

/// A model whose engine runs.
pub struct ServedModel {
    /// The name by which clients select the model.
    pub id: String,
    /// The first digits of a digest of the model's files.
    pub fingerprint: String,
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
        let digests = serde_json::to_vec(&BaseModel::compute_digests(directory)?);
        let mut fingerprint = Digest::hash(&digests.expect("digests are texts")).to_string();
        fingerprint.truncate(FINGERPRINT_DIGITS);
        let eos_token_ids = read_eos_token_ids(directory)?;
        let special_tokens = read_special_tokens(directory)?;
        let tokenizer = model.tokenizer.clone();
        let (vocab_size, context) = (model.decoder.config.vocab_size, model.decoder.config.max_positions);
        let engine = Engine::start(model, limits)?;
        Ok(Self {
            id,
            fingerprint,
            engine,
            tokenizer,
            vocab_size,
            context,
            eos_token_ids,
            special_tokens,
            chat_template,
        })
    }
}
