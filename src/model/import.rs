//! Reading safetensors: a Hugging Face directory, or a file this crate wrote. Strict about names,
//! shapes and dtypes: what is missing, left over or of another shape is an error, never a guess.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::Deserialize;

use super::config::Config;
use super::decoder::Decoder;
use super::directory::{Model, Written};
use super::export::NOTE;
use super::mask::Mask;
use super::parameters::{Fill, Make};
use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};
use crate::files::{Digest, digest_file, read_to_string};

/// A base read from a Hugging Face directory.
pub struct Base {
    /// The decoder with full attention.
    pub decoder: Decoder,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

impl Base {
    /// The file of unsharded weights.
    pub const WEIGHTS: &str = "model.safetensors";
    /// The file that says which shard holds which tensor.
    pub const INDEX: &str = "model.safetensors.index.json";
    /// The files that every base has beside its weights.
    pub const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
    /// The files that say more of its tokenizer and of how it is to be sampled, where it has them.
    pub const OPTIONAL: [&str; 4] =
        ["tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json"];

    /// Reads `config.json`, the weights and `tokenizer.json` of `directory` onto `device`.
    pub fn read(directory: &Path, device: &Device) -> Result<Self> {
        let model = Model::read(directory, device)?;
        refuse_hybrid(&model.mask, &model.decoder.config, directory)?;
        Ok(Self { decoder: model.decoder, tokenizer: model.tokenizer })
    }

    /// Reads `config.json` of `directory`; that of a hybrid is refused.
    pub fn config(directory: &Path) -> Result<Config> {
        let written = Written::read(directory)?;
        refuse_hybrid(&written.mask, &written.config, directory)?;
        Ok(written.config)
    }

    /// Reads `tokenizer.json` of `directory`.
    pub fn tokenizer(directory: &Path) -> Result<Tokenizer> {
        Tokenizer::read(&directory.join("tokenizer.json"))
    }

    /// Whether `directory` has all files of a base.
    pub fn is_whole(directory: &Path) -> bool {
        let has = |name: &&str| directory.join(name).is_file();
        Self::REQUIRED.iter().all(has)
            && weight_files(directory).is_ok_and(|files| files.iter().all(|file| file.is_file()))
    }

    /// The names of the shards that the index in `directory` names.
    pub fn shards(directory: &Path) -> Result<Vec<String>> {
        Ok(shards_of(&directory.join(Self::INDEX))?.into_iter().collect())
    }

    /// Digests of the files that decide what the base computes, by file name.
    pub fn digests(directory: &Path) -> Result<BTreeMap<String, Digest>> {
        let mut files = weight_files(directory)?;
        files.extend([directory.join("config.json"), directory.join("tokenizer.json")]);
        files.iter().map(|file| Ok((file_name(file), digest_file(file)?))).collect()
    }
}

/// Layers can be replaced in a base only, and only a base knows what a layer's twin has to learn.
fn refuse_hybrid(mask: &Mask, config: &Config, directory: &Path) -> Result<()> {
    match mask.num_replaced() {
        0 => Ok(()),
        replaced => Err(Error::manifest(format!(
            "`{}` holds a hybrid, not a base: {replaced} of its {} layers are linear",
            directory.display(),
            config.num_layers
        ))
        .hint("name the base that it was made from; `dtr generate` runs hybrids")),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// `model.safetensors.index.json`: which shard holds which tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The weight files of a Hugging Face directory: one file, or the shards that the index names.
pub(super) fn weight_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let single = directory.join(Base::WEIGHTS);
    let index = directory.join(Base::INDEX);
    if single.is_file() {
        return Ok(vec![single]);
    }
    if !index.is_file() {
        return Err(Error::environment(format!("no weights in `{}`", directory.display()))
            .hint("a base is a directory with `config.json`, `tokenizer.json` and `model.safetensors` (or shards with an index)"));
    }
    Ok(shards_of(&index)?.iter().map(|shard| directory.join(shard)).collect())
}

/// The shards that an index names, all beside it.
fn shards_of(index: &Path) -> Result<BTreeSet<String>> {
    let parsed: Index = serde_json::from_str(&read_to_string(index)?).map_err(|cause| {
        Error::environment(format!("`{}` is not a shard index", index.display())).because(cause)
    })?;
    let shards: BTreeSet<String> = parsed.weight_map.into_values().collect();
    for shard in &shards {
        if Path::new(shard).components().count() != 1 {
            return Err(Error::environment(format!(
                "`{}` names a shard outside its directory: `{shard}`",
                index.display()
            )));
        }
    }
    Ok(shards)
}

/// Tensors of one or more safetensors files, handed out by name.
pub struct Checkpoint {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    note: Option<String>,
    origin: String,
    device: Device,
}

impl Checkpoint {
    /// Reads all tensors of `files`, f32, bf16 or f16, as f32.
    pub fn read(files: &[PathBuf], device: &Device) -> Result<Self> {
        let origin = files.first().map(|file| file.display().to_string()).unwrap_or_default();
        let mut all = Self { tensors: BTreeMap::new(), note: None, origin, device: device.clone() };
        for file in files {
            all.add(&std::fs::read(file).map_err(|cause| Error::io("read", file, cause))?, file)?;
        }
        Ok(all)
    }

    /// The tensors and the note of `bytes`, which were read from `file`.
    pub fn parse(bytes: &[u8], file: &Path, device: &Device) -> Result<Self> {
        let origin = file.display().to_string();
        let mut all = Self { tensors: BTreeMap::new(), note: None, origin, device: device.clone() };
        all.add(bytes, file)?;
        Ok(all)
    }

    fn add(&mut self, bytes: &[u8], file: &Path) -> Result<()> {
        let refuse = |what: &str| Error::environment(format!("`{}` {what}", file.display()));
        let parsed = SafeTensors::deserialize(bytes)
            .map_err(|cause| refuse("is not a whole safetensors file").because(cause))?;
        let (_, header) = SafeTensors::read_metadata(bytes)
            .map_err(|cause| refuse("has an unreadable header").because(cause))?;
        let note = header.metadata().as_ref().and_then(|entries| entries.get(NOTE).cloned());
        self.note = note.or(self.note.take());
        for (name, view) in parsed.tensors() {
            let values = to_f32(&view).ok_or_else(|| {
                refuse(&format!("holds `{name}` as {:?}; F32, BF16 and F16 are read", view.dtype()))
            })?;
            if self.tensors.insert(name.clone(), (view.shape().to_vec(), values)).is_some() {
                return Err(refuse(&format!("holds `{name}`, which another shard holds too")));
            }
        }
        Ok(())
    }

    /// Forgets a tensor that is not needed.
    pub(super) fn drop(&mut self, name: &str) {
        self.tensors.remove(name);
    }

    /// The note written beside the tensors.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Refuses what nothing asked for.
    pub fn finish(self) -> Result<()> {
        match self.tensors.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::environment(format!(
                "`{}` holds {} tensor(s) that the model does not have, such as `{name}`",
                self.origin,
                self.tensors.len()
            ))),
        }
    }
}

impl Make for Checkpoint {
    fn make(&mut self, name: &str, shape: &[usize], _: Fill) -> Result<Vec<f32>> {
        let Some((found, values)) = self.tensors.remove(name) else {
            return Err(Error::environment(format!("`{}` lacks `{name}`", self.origin)));
        };
        if found != shape {
            return Err(Error::environment(format!(
                "`{}` holds `{name}` with shape {found:?}; the model needs {shape:?}",
                self.origin
            )));
        }
        Ok(values)
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

fn to_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    const { assert!(cfg!(target_endian = "little"), "tensors are read and written as they lie in files") }
    let bytes = view.data();
    let bits = || bytemuck::pod_collect_to_vec::<u8, u16>(bytes);
    let mut values = vec![0.0; bytes.len() / 2];
    match view.dtype() {
        Dtype::F32 => return Some(bytemuck::pod_collect_to_vec(bytes)),
        Dtype::BF16 => bits().reinterpret_cast::<bf16>().convert_to_f32_slice(&mut values),
        Dtype::F16 => bits().reinterpret_cast::<f16>().convert_to_f32_slice(&mut values),
        _ => return None,
    }
    Some(values)
}
