//! Writes a hybrid in a format of other software, as a Hugging Face directory without Python files.

use burn::tensor::Device;
use serde_json::{Map, Value, json};

use super::config_json::{ConfigJson, ensure_layers_exist};
use super::model_files::ModelFiles;
use super::model_weights::open_model_weights;
use super::weight_dtype::torch_name;
use super::{HybridWriter, TensorSource};
use crate::portable::{EMBEDDING, HEAD, HybridTensors, express};
use crate::{DecoderConfig, PortableFormat};
use dtr_core::error::{Error, Result};

/// The keys of a base's `config.json` that the exported model keeps.
const KEPT_KEYS: [&str; 4] = ["bos_token_id", "eos_token_id", "pad_token_id", "initializer_range"];

impl HybridWriter<'_> {
    /// Returns the `config.json` and the tensors of the hybrid in `format`.
    ///
    /// # Errors
    /// Fails when the format cannot express the hybrid, or when a file of the hybrid is missing or damaged.
    pub(super) fn express(
        &self,
        files: &ModelFiles,
        format: PortableFormat,
    ) -> Result<(String, Vec<TensorSource>)> {
        let config = self.portable_config()?;
        let mut tensors = self.tensors(files)?;
        share_head(&mut tensors, &config);
        let hybrid = HybridTensors::new(&config, self.twins.1, self.mask, tensors);
        let (fields, tensors) = express(format, &hybrid)?;
        let tensors: Vec<TensorSource> = tensors.into_iter().map(|tensor| self.cast(tensor)).collect();
        let fields = complete_fields(fields, &config, &files.json_or_null("config.json")?, &tensors);
        let text = serde_json::to_string_pretty(&fields).expect("a config is plain JSON") + "\n";
        Ok((text, tensors))
    }

    /// Returns the configuration of the base, with a tied head if the base has no head of its own.
    ///
    /// # Errors
    /// Fails when the format cannot express the hybrid.
    pub(super) fn portable_config(&self) -> Result<DecoderConfig> {
        let mut config = ConfigJson::read(self.base)?.config;
        ensure_layers_exist(self.mask, &config)?;
        self.format.check(&config, self.twins.1)?;
        self.check_replaced_layers(config.num_layers)?;
        open_model_weights(self.base, &mut config, &Device::flex())?;
        Ok(config)
    }

    fn check_replaced_layers(&self, num_layers: usize) -> Result<()> {
        let name = self.format.name();
        match self.mask.num_replaced() {
            0 => Err(Error::manifest(format!("`{name}` cannot express the base itself"))
                .hint("this hybrid replaces no layer; use the files of the base")),
            all if all as usize == num_layers && self.format.needs_full_attention() => {
                Err(Error::manifest(format!("`{name}` needs a layer with full attention"))
                    .hint("this hybrid replaces all layers; export it with `--format transformers`"))
            }
            _ => Ok(()),
        }
    }
}

/// Gives the only stored weight of a tied head the name of the embedding.
pub(super) fn share_head(tensors: &mut [TensorSource], config: &DecoderConfig) {
    let has_embedding = tensors.iter().any(|tensor| tensor.name == EMBEDDING);
    let head = tensors.iter_mut().find(|tensor| tensor.name == HEAD);
    if let Some(head) = head.filter(|_| config.tied_head && !has_embedding) {
        EMBEDDING.clone_into(&mut head.name);
    }
}

/// Adds the fields that all formats have to `fields`.
fn complete_fields(
    mut fields: Map<String, Value>,
    config: &DecoderConfig,
    base: &Value,
    tensors: &[TensorSource],
) -> Map<String, Value> {
    let embedding = tensors.first().expect("every model has an embedding");
    let shared = json!({
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "max_position_embeddings": config.max_positions,
        "tie_word_embeddings": config.tied_head,
        "use_cache": true,
        "dtype": torch_name(embedding.dtype()),
    });
    let Value::Object(shared) = shared else { unreachable!("the macro was given an object") };
    fields.extend(shared);
    let kept = KEPT_KEYS.iter().filter_map(|key| Some(((*key).to_owned(), base.get(key)?.clone())));
    fields.extend(kept);
    fields
}
