//! What `config.json` says of layers: which are linear, and what their blocks are.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Variant;
use crate::config::Config;
use crate::mask::Mask;
use crate::mixer::TwinConfig;
use dtr_core::error::{Error, Result};
use dtr_core::files::read_text_file;

/// The key and the two words of transformers for what mixes tokens in each layer.
const LAYER_TYPES: &str = "layer_types";
const FULL: &str = "full_attention";
const LINEAR: &str = "linear_attention";

/// The key of what transformers has no words for.
const TABLE: &str = "dtr";

/// The newest form of [`Table`], and the one that is written.
const FORMAT: u32 = 1;

/// What rebuilds the twins of a hybrid.
#[derive(Serialize, Deserialize)]
struct Table {
    format: u32,
    variant: Variant,
}

/// A `config.json` as it was read.
pub struct Written {
    /// The decoder's shape.
    pub config: Config,
    /// The layers whose attention is linear.
    pub mask: Mask,
    /// What stands in those layers; none where none is.
    pub variant: Option<Variant>,
}

impl Written {
    /// Reads `config.json` of `directory`.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("config.json");
        Self::parse(&read_text_file(&path)?, &path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let config = Config::parse(text, path)?;
        let refuse = |what: String| Error::environment(format!("`{}` {what}", path.display()));
        let fields: Map<String, Value> = serde_json::from_str(text).expect("it was parsed a line before");
        let mask = match fields.get(LAYER_TYPES) {
            None | Some(Value::Null) => Mask::none(),
            Some(types) => linear_layers(types, config.num_layers).map_err(refuse)?,
        };
        let variant = match mask.num_replaced() {
            0 => None,
            _ => Some(variant(fields.get(TABLE), &config).map_err(refuse)?),
        };
        Ok(Self { config, mask, variant })
    }
}

fn linear_layers(types: &Value, num_layers: usize) -> std::result::Result<Mask, String> {
    let types = types
        .as_array()
        .filter(|types| types.len() == num_layers)
        .ok_or_else(|| format!("does not name {num_layers} layers in `{LAYER_TYPES}`"))?;
    let mut mask = Mask::none();
    for (layer, kind) in types.iter().enumerate() {
        match kind.as_str() {
            Some(FULL) => {}
            Some(LINEAR) => mask = mask.with(layer as u32),
            _ => return Err(format!("asks for {kind} in layer {layer}, which is not served")),
        }
    }
    Ok(mask)
}

fn variant(table: Option<&Value>, config: &Config) -> std::result::Result<Variant, String> {
    let Some(table) = table else {
        return Err(format!("has linear layers and no table `{TABLE}` that says what they are"));
    };
    if let Some(format) = table["format"].as_u64().filter(|format| *format > u64::from(FORMAT)) {
        return Err(format!("has a table `{TABLE}` of format {format}, and this dtr reads up to {FORMAT}"));
    }
    let table: Table = serde_json::from_value(table.clone())
        .map_err(|cause| format!("has a table `{TABLE}` that does not describe a variant: {cause}"))?;
    let checked =
        table.variant.check().and_then(|()| TwinConfig::new(&table.variant.geometry, config).check(config));
    match checked {
        Ok(()) => Ok(table.variant),
        Err(error) => Err(format!("has a table `{TABLE}` that is not served: {error}")),
    }
}

/// The `config.json` of a hybrid: that of its base at `base`, every field as it is, with the layers of `mask`
/// said to be `variant`'s.
///
/// # Errors
/// When the base's cannot be read, or `mask` goes beyond its layers.
pub fn config_json(base: &Path, mask: &Mask, variant: Option<&Variant>) -> Result<String> {
    let num_layers = Written::read(base)?.config.num_layers;
    if let Some(layer) = mask.layers().into_iter().find(|&layer| layer as usize >= num_layers) {
        return Err(Error::failed(format!("layer {layer} is replaced, and the base has {num_layers}")));
    }
    let text = read_text_file(&base.join("config.json"))?;
    let mut fields: Map<String, Value> = serde_json::from_str(&text).expect("it was read a line before");
    let kind = |layer| if mask.contains(layer) { LINEAR } else { FULL };
    fields.insert(LAYER_TYPES.to_owned(), (0..num_layers as u32).map(kind).collect());
    if let Some(variant) = variant {
        let table = Table { format: FORMAT, variant: variant.clone() };
        fields.insert(TABLE.to_owned(), serde_json::to_value(table).expect("a variant is plain JSON"));
    }
    Ok(serde_json::to_string_pretty(&fields).expect("a config is plain JSON") + "\n")
}
