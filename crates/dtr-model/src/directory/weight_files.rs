//! The weight files of a Hugging Face directory: one safetensors file, or shards with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::BaseModel;
use dtr_core::error::{Error, Result};
use dtr_core::files::read_text_file;

/// The name of the weight file of a model without shards.
pub(super) const WEIGHTS_FILE: &str = "model.safetensors";

/// The name of the file that lists the shards of a model.
pub(super) const INDEX_FILE: &str = "model.safetensors.index.json";

/// The content of `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    /// The name of the file that holds each tensor, by the name of the tensor.
    weight_map: BTreeMap<String, String>,
}

/// Returns the paths of the weight files of `directory`. Does not check whether the shards in an index exist.
///
/// # Errors
/// Fails when there is neither a weight file nor an index. Fails when the index names a file that is not a
/// safetensors file in `directory`.
pub(super) fn weight_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let single = directory.join(WEIGHTS_FILE);
    let index = directory.join(INDEX_FILE);
    if single.is_file() {
        return Ok(vec![single]);
    }
    if !index.is_file() {
        refuse_pickles(directory)?;
        return Err(Error::environment(format!("`{}` has no weights", directory.display()))
            .hint("name a directory that holds `config.json`, `tokenizer.json` and `model.safetensors`"));
    }
    Ok(shard_names(&index)?.iter().map(|shard| directory.join(shard)).collect())
}

/// Returns an error if `directory` has pickled weights, because reading a pickle can run code of its author.
fn refuse_pickles(directory: &Path) -> Result<()> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    match names.find(|name| is_pickle(name)) {
        None => Ok(()),
        Some(name) => Err(BaseModel::pickle_error(directory.join(name).display())),
    }
}

/// Returns whether a file name has an extension of PyTorch's pickle files.
pub(super) fn is_pickle(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("bin" | "pt" | "pth" | "ckpt" | "pkl" | "pickle"))
}

/// Returns the names of the shards that the file `index` lists.
///
/// # Errors
/// Fails when `index` cannot be read, lists no shard, or names a file that is not a safetensors file in the
/// same directory.
pub(super) fn shard_names(index: &Path) -> Result<BTreeSet<String>> {
    let parsed: Index = serde_json::from_str(&read_text_file(index)?).map_err(|cause| {
        Error::environment(format!("`{}` is not a shard index", index.display())).with_source(cause)
    })?;
    let refuse = |what: String| Err(Error::environment(format!("`{}` names {what}", index.display())));
    let shards: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if shards.is_empty() {
        return refuse("no shard".to_owned());
    }
    for shard in &shards {
        let mut components = Path::new(shard).components();
        let is_file_name = matches!(
            (components.next(), components.next()),
            (Some(Component::Normal(name)), None) if name == shard.as_str()
        );
        if !is_file_name {
            return refuse(format!("a shard outside its directory: `{shard}`"));
        }
        if is_pickle(shard) {
            return Err(BaseModel::pickle_error(index.with_file_name(shard).display()));
        }
        if !shard.ends_with(".safetensors") {
            return refuse(format!("a shard that is not a safetensors file: `{shard}`"));
        }
    }
    Ok(shards)
}
