//! Reads a manifest: layers of files and `--set` strings become one checked [`Manifest`].
//!
//! The only user of figment, which lays the layers on one another and drives serde over the result.
//! Nothing of the environment is read.

use std::path::Path;

use figment::error::Kind;
use figment::value::{Dict, Map, Value as Merged};
use figment::{Figment, Metadata, Profile, Provider};

use super::diagnostics::Complaint;
use super::include::gather;
use super::node::{Node, Value, steps};
use super::spans::Sources;
use super::{Manifest, ranges, references};
use dtr_core::error::{Error, Result};

/// A manifest and the texts that say it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the texts say, all defaults filled in.
    pub manifest: Manifest,
    sources: Sources,
}

/// Loads and checks the experiment at `path`, with `sets` of the form `path=TOML` over it.
///
/// Relative paths in it come out relative to the working directory, as `path` itself is.
pub fn load(path: &Path, sets: &[String]) -> Result<Loaded> {
    let loaded = Loaded::resolve(gather(path, sets)?)?;
    references::check(&loaded)?;
    Ok(loaded)
}

impl Loaded {
    /// The texts, for errors that underline a token of them.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The manifest with further values set, each by its dotted key: a point of the sweep's axes.
    ///
    /// Where a value stands in the sweep's list, errors underline it there.
    pub fn with(&self, overrides: &[(String, toml::Value)]) -> Result<Manifest> {
        let mut sources = self.sources.clone();
        for (key, value) in overrides {
            let layer = override_layer(key, value, &mut sources)?;
            sources.push(layer)?;
        }
        Ok(Self::resolve(sources)?.manifest)
    }

    fn resolve(sources: Sources) -> Result<Self> {
        let layers = sources.layers().iter().map(Layer);
        let figment = layers.fold(Figment::new(), |lower, layer| lower.merge(layer));
        let manifest =
            figment.extract().map_err(|error| complaint(error.kind).explain(&error.path, &sources))?;
        ranges::check(&manifest, &sources)?;
        Ok(Self { manifest, sources })
    }
}

/// A layer that sets the value at `key`, with the place in the sweep's axes that asks for it.
fn override_layer(key: &str, value: &toml::Value, sources: &mut Sources) -> Result<Node> {
    let path = steps(key).ok_or_else(|| Error::manifest(format!("`{key}` is not a dotted key")))?;
    if let Some(Node { key: Some(span), value: Value::List(list), .. }) =
        sources.find(&["sweep", "axes", key])
        && let Some(node) = list.iter().find(|node| is_same(&node.to_toml(), value))
    {
        return Ok(Node::nested(&path, span, node.clone()));
    }
    let file = sources.add_file("override", format!("{key} = {value}"), Path::new(""));
    sources.parse(file)
}

/// Whether two values are written the same, as `nan` and `nan` are.
fn is_same(one: &toml::Value, other: &toml::Value) -> bool {
    one == other || one.to_string() == other.to_string()
}

/// One layer, as figment takes it.
struct Layer<'a>(&'a Node);

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("manifest")
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        let table = merged(self.0).into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(table))
    }
}

fn merged(node: &Node) -> Merged {
    match &node.value {
        Value::Table(table) => {
            Merged::from(table.iter().map(|(key, node)| (key.clone(), merged(node))).collect::<Dict>())
        }
        Value::List(list) => Merged::from(list.iter().map(merged).collect::<Vec<_>>()),
        Value::String(text) => Merged::from(text.as_str()),
        Value::Integer(number) => Merged::from(*number),
        Value::Float(number) => Merged::from(*number),
        Value::Boolean(truth) => Merged::from(*truth),
    }
}

fn complaint(kind: Kind) -> Complaint {
    match kind {
        Kind::UnknownField(_, known) => Complaint::UnknownKey { known },
        Kind::MissingField(key) => Complaint::MissingKey(key.into_owned()),
        Kind::InvalidType(_, wanted) | Kind::InvalidValue(_, wanted) => Complaint::WrongValue { wanted },
        other => Complaint::Other(other.to_string()),
    }
}
