//! Reads the `config.json` of a base or a hybrid, and writes the `config.json` of a hybrid. The file
//! describes the decoder, the layers with linear attention, and the variant of the twins in these layers.
//! [`crate`] defines bases, hybrids and twins.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::WeightDtype;
use super::model_files::ModelFiles;
use super::weight_dtype::torch_name;
use crate::config::sliding_window::{FULL_ATTENTION, LINEAR_ATTENTION};
use crate::config::{HYBRID_KEY, HYBRID_MODEL_TYPE, ModelType};
use crate::{DecoderConfig, Mask, TwinGeometry, TwinVariant};
use dtr_core::error::{Error, Result};

/// The key of the list of the layers' types, as in transformers.
const LAYER_TYPES_KEY: &str = "layer_types";

/// The keys that configure sliding windows. dtr removes these keys from the `config.json` of a hybrid,
/// because every layer of a hybrid sees all earlier tokens.
const WINDOW_KEYS: [&str; 4] =
    ["sliding_window", "use_sliding_window", "max_window_layers", "attention_chunk_size"];

/// The format number that dtr writes to a [`HybridTable`]. dtr refuses a table with a higher number.
///
/// In format 1, `model_type` and `architectures` of `config.json` were those of the base. Other software then
/// loaded the hybrid as its base, with random weights in the replaced layers.
const FORMAT: u32 = 2;

/// The table of a hybrid's `config.json` that describes its base and its twins.
#[derive(Serialize, Deserialize)]
struct HybridTable {
    format: u32,
    /// The base. `None` in format 1.
    #[serde(default)]
    base: Option<BaseTable>,
    variant: TwinVariant,
}

/// The architecture of a hybrid's base, as in the base's own `config.json`.
#[derive(Serialize, Deserialize)]
struct BaseTable {
    model_type: ModelType,
    #[serde(default)]
    architectures: Vec<String>,
}

/// A parsed `config.json`.
pub struct ConfigJson {
    /// The decoder's configuration.
    pub config: DecoderConfig,
    /// The layers with linear attention.
    pub mask: Mask,
    /// The variant of the twins in these layers. `None` if no layer is linear.
    pub variant: Option<TwinVariant>,
}

impl ConfigJson {
    /// Reads `config.json` of `directory`.
    ///
    /// # Errors
    /// Fails when the file cannot be read or names an unsupported architecture.
    pub fn read(directory: &Path) -> Result<Self> {
        let files = ModelFiles::open(directory)?;
        Self::parse(&files.required_text("config.json")?, &files.path_of("config.json"))
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let config = DecoderConfig::parse(text, path)?;
        let refuse = |problem: String| Error::environment(format!("`{}` {problem}", path.display()));
        let fields: Map<String, Value> = serde_json::from_str(text).expect("the text was parsed above");
        let mask = linear_layers(fields.get(LAYER_TYPES_KEY));
        let variant = match mask.num_replaced() {
            0 => None,
            _ => Some(parse_variant(fields.get(HYBRID_KEY), &config).map_err(refuse)?),
        };
        Ok(Self { config, mask, variant })
    }
}

/// Returns the layers with linear attention. `types` is the list of layer types, which
/// [`DecoderConfig::parse`] has checked.
fn linear_layers(types: Option<&Value>) -> Mask {
    let types = types.and_then(Value::as_array).into_iter().flatten();
    let linear = types.enumerate().filter(|(_, layer_type)| *layer_type == LINEAR_ATTENTION);
    linear.map(|(layer, _)| layer as u32).collect()
}

/// Returns the variant of the twins. An error continues a sentence that begins with the name of the file.
fn parse_variant(table: Option<&Value>, config: &DecoderConfig) -> std::result::Result<TwinVariant, String> {
    let Some(table) = table else {
        return Err(format!("has linear layers and no table `{HYBRID_KEY}` that describes them"));
    };
    if let Some(format) = table["format"].as_u64().filter(|format| *format > u64::from(FORMAT)) {
        return Err(format!(
            "has a table `{HYBRID_KEY}` of format {format}; this version of dtr reads up to {FORMAT}"
        ));
    }
    let table: HybridTable = serde_json::from_value(table.clone())
        .map_err(|cause| format!("has a table `{HYBRID_KEY}` that does not describe a variant: {cause}"))?;
    let checked =
        table.variant.check().and_then(|()| TwinGeometry::new(&table.variant.geometry, config).check(config));
    match checked {
        Ok(()) => Ok(table.variant),
        Err(error) => Err(format!("has a table `{HYBRID_KEY}` with an unsupported variant: {error}")),
    }
}

/// Returns the `config.json` of a hybrid. The text has the fields of the `config.json` in the directory
/// `base`, and marks the layers of `mask` as linear attention of `variant`. If `variant` is `None`, the text
/// describes the base. `dtype` is the dtype to which the weights are rounded.
///
/// # Errors
/// Fails when the file of the base cannot be read, or the base lacks a layer of `mask`.
pub fn hybrid_config_json(
    base: &Path,
    mask: &Mask,
    variant: Option<&TwinVariant>,
    dtype: Option<WeightDtype>,
) -> Result<String> {
    let config = ConfigJson::read(base)?.config;
    ensure_layers_exist(mask, &config)?;
    let num_layers = config.num_layers;
    let text = ModelFiles::open(base)?.required_text("config.json")?;
    let mut fields: Map<String, Value> = serde_json::from_str(&text).expect("the text was parsed above");
    let layer_type = |layer| if mask.contains(layer) { LINEAR_ATTENTION } else { FULL_ATTENTION };
    fields.insert(LAYER_TYPES_KEY.to_owned(), (0..num_layers as u32).map(layer_type).collect());
    if let Some(variant) = variant {
        describe_hybrid(&mut fields, &config, variant);
    }
    if let Some(dtype) = dtype {
        // `torch_dtype` is the name of the key in older versions of transformers.
        fields.remove("torch_dtype");
        fields.insert("dtype".to_owned(), torch_name(dtype.of_safetensors()).into());
    }
    Ok(serde_json::to_string_pretty(&fields).expect("a config is plain JSON") + "\n")
}

/// Checks that the base with this `config` has the layers of `mask`.
///
/// # Errors
/// Fails when the base lacks a layer.
pub fn ensure_layers_exist(mask: &Mask, config: &DecoderConfig) -> Result<()> {
    let num_layers = config.num_layers;
    match mask.layers().into_iter().find(|&layer| layer as usize >= num_layers) {
        None => Ok(()),
        Some(layer) => {
            Err(Error::failed(format!("cannot replace layer {layer}: the base has {num_layers} layers")))
        }
    }
}

/// Changes `fields` from the `config.json` of a base to the `config.json` of a hybrid. `config` is the parsed
/// configuration of the base.
///
/// Every size gets a value, because the defaults of transformers differ between architectures.
fn describe_hybrid(fields: &mut Map<String, Value>, config: &DecoderConfig, variant: &TwinVariant) {
    let architectures = fields.get("architectures").and_then(Value::as_array).into_iter().flatten();
    let architectures = architectures.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let base = BaseTable { model_type: config.model_type, architectures };
    let table = HybridTable { format: FORMAT, base: Some(base), variant: variant.clone() };
    fields.retain(|key, _| !WINDOW_KEYS.contains(&key.as_str()));
    let changes = json!({
        "architectures": ["DtrHybridForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_dtr.DtrHybridConfig",
            "AutoModel": "modeling_dtr.DtrHybridModel",
            "AutoModelForCausalLM": "modeling_dtr.DtrHybridForCausalLM",
        },
        "model_type": HYBRID_MODEL_TYPE,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.norm_epsilon,
        HYBRID_KEY: table,
    });
    let Value::Object(changes) = changes else { unreachable!("the macro was given an object") };
    fields.extend(changes);
}
