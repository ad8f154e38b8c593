//! Reads the `config.json` of a base or a hybrid, and writes the `config.json` of a hybrid. The file
//! describes the decoder, the layers with linear attention, and the variant of the twins in these layers.
//! [`crate`] defines bases, hybrids and twins.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::model_files::ModelFiles;
use crate::config::sliding_window::{FULL_ATTENTION, LINEAR_ATTENTION};
use crate::{DecoderConfig, Mask, TwinGeometry, TwinVariant};
use dtr_core::error::{Error, Result};

/// The key of the list of the layers' types, as in transformers.
const LAYER_TYPES_KEY: &str = "layer_types";

/// The key of the [`HybridTable`] in `config.json`.
const HYBRID_KEY: &str = "dtr";

/// The format number that dtr writes to a [`HybridTable`]. dtr refuses a table with a higher number.
const FORMAT: u32 = 1;

/// The table of a hybrid's `config.json` that describes its twins.
#[derive(Serialize, Deserialize)]
struct HybridTable {
    format: u32,
    variant: TwinVariant,
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

/// Returns the `config.json` of a hybrid. The text has all fields of the `config.json` in the directory
/// `base`, and marks the layers of `mask` as linear attention of `variant`.
///
/// # Errors
/// Fails when the file of the base cannot be read, or the base lacks a layer of `mask`.
pub fn hybrid_config_json(base: &Path, mask: &Mask, variant: Option<&TwinVariant>) -> Result<String> {
    let num_layers = ConfigJson::read(base)?.config.num_layers;
    if let Some(layer) = mask.layers().into_iter().find(|&layer| layer as usize >= num_layers) {
        return Err(Error::failed(format!("cannot replace layer {layer}: the base has {num_layers} layers")));
    }
    let text = ModelFiles::open(base)?.required_text("config.json")?;
    let mut fields: Map<String, Value> = serde_json::from_str(&text).expect("the text was parsed above");
    let layer_type = |layer| if mask.contains(layer) { LINEAR_ATTENTION } else { FULL_ATTENTION };
    fields.insert(LAYER_TYPES_KEY.to_owned(), (0..num_layers as u32).map(layer_type).collect());
    if let Some(variant) = variant {
        let table = HybridTable { format: FORMAT, variant: variant.clone() };
        fields.insert(HYBRID_KEY.to_owned(), serde_json::to_value(table).expect("a variant is plain JSON"));
    }
    Ok(serde_json::to_string_pretty(&fields).expect("a config is plain JSON") + "\n")
}
