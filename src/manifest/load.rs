//! Loads a manifest: merges its layers and checks the result.
//!
//! The crate figment merges the layers and deserializes the result. Only this file uses figment. Environment
//! variables are not read.

use std::path::Path;

use figment::error::Kind;
use figment::value::{Dict, Map, Value as FigmentValue};
use figment::{Figment, Metadata, Profile, Provider};

use super::diagnostics::DeserializeError;
use super::dotted_key::parse_dotted_key;
use super::include::read_manifest_layers;
use super::paths::PathStyle;
use super::source_map::SourceMap;
use super::spanned_value::{Content, SpannedValue};
use super::{Manifest, ranges, sweep_checks};
use dtr_core::error::{Error, Result};

/// A manifest and the texts from which it was loaded.
#[derive(Clone, Debug)]
pub struct LoadedManifest {
    /// The manifest, with all defaults filled in.
    pub manifest: Manifest,
    source_map: SourceMap,
}

/// Loads and checks the manifest at `path`. `sets` are `--set` strings of the form `KEY=VALUE`. These strings
/// override values of the manifest.
///
/// Relative paths in a manifest file start from the file's folder. In the loaded manifest, these paths start
/// from the working directory.
///
/// # Errors
/// Fails when a file cannot be read, or when the manifest is invalid. The error underlines the invalid token.
pub fn load_manifest(path: &Path, sets: &[String]) -> Result<LoadedManifest> {
    let loaded = LoadedManifest::merge(read_manifest_layers(path, sets, PathStyle::Local)?)?;
    sweep_checks::check_names_and_sweep(&loaded)?;
    Ok(loaded)
}

/// Loads the manifest at `path` as [`load_manifest`] does, but with paths relative to the folder of the
/// manifest. Does not check the experiment's name and the sweep.
///
/// Two copies of an experiment have equal portable manifests, wherever the copies are. The paths cannot be
/// used to read files. Paths in `sets` stay as they are.
///
/// # Errors
/// Fails when a file cannot be read, or when a value is invalid. The error underlines the invalid token.
pub fn load_portable_manifest(path: &Path, sets: &[String]) -> Result<Manifest> {
    Ok(LoadedManifest::merge(read_manifest_layers(path, sets, PathStyle::Portable)?)?.manifest)
}

impl LoadedManifest {
    /// Returns the texts of the manifest. Errors underline tokens of these texts.
    pub fn source_map(&self) -> &SourceMap {
        &self.source_map
    }

    /// Returns the manifest with some values overridden. Each override is the dotted key of a sweep axis and
    /// one value of this axis.
    ///
    /// # Errors
    /// Fails when a value makes the manifest invalid. The error underlines the value in the list of the axis.
    pub fn with_overrides(&self, overrides: &[(String, toml::Value)]) -> Result<Manifest> {
        let mut sources = self.source_map.clone();
        for (key, value) in overrides {
            let layer = override_layer(key, value, &mut sources)?;
            sources.push_layer(layer)?;
        }
        Ok(Self::merge(sources)?.manifest)
    }

    fn merge(source_map: SourceMap) -> Result<Self> {
        let layers = source_map.layers().iter().map(Layer);
        let figment = layers.fold(Figment::new(), |lower, layer| lower.merge(layer));
        let manifest = figment
            .extract()
            .map_err(|error| deserialize_error(error.kind).into_error(&error.path, &source_map))?;
        ranges::check(&manifest, &source_map)?;
        Ok(Self { manifest, source_map })
    }
}

/// Builds a manifest layer that sets `key` to `value`. If the axis `key` lists the value, the layer's spans
/// point into the axis's list.
fn override_layer(key: &str, value: &toml::Value, sources: &mut SourceMap) -> Result<SpannedValue> {
    let path =
        parse_dotted_key(key).ok_or_else(|| Error::manifest(format!("`{key}` is not a dotted key")))?;
    if let Some(SpannedValue { key_span: Some(span), content: Content::List(list), .. }) =
        sources.find(&["sweep", "axes", key])
        && let Some(listed) = list.iter().find(|listed| is_same(&listed.to_toml(), value))
    {
        return Ok(SpannedValue::wrap_in_tables(&path, span, listed.clone()));
    }
    let file = sources.add_file("override", format!("{key} = {value}"), Path::new(""));
    sources.parse(file)
}

/// Returns whether two values are equal. Unlike `==`, treats two `nan` as equal.
fn is_same(one: &toml::Value, other: &toml::Value) -> bool {
    one == other || one.to_string() == other.to_string()
}

/// A layer of the manifest as a data source for figment.
struct Layer<'a>(&'a SpannedValue);

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("manifest")
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        let table = to_figment(self.0).into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(table))
    }
}

fn to_figment(value: &SpannedValue) -> FigmentValue {
    match &value.content {
        Content::Table(table) => FigmentValue::from(
            table.iter().map(|(key, value)| (key.clone(), to_figment(value))).collect::<Dict>(),
        ),
        Content::List(list) => FigmentValue::from(list.iter().map(to_figment).collect::<Vec<_>>()),
        Content::String(text) => FigmentValue::from(text.as_str()),
        Content::Integer(number) => FigmentValue::from(*number),
        Content::Float(number) => FigmentValue::from(*number),
        Content::Boolean(value) => FigmentValue::from(*value),
    }
}

fn deserialize_error(kind: Kind) -> DeserializeError {
    match kind {
        Kind::UnknownField(_, known) => DeserializeError::UnknownKey { known },
        Kind::MissingField(key) => DeserializeError::MissingKey(key.into_owned()),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            DeserializeError::WrongValue { expected }
        }
        other => DeserializeError::Other(other.to_string()),
    }
}
