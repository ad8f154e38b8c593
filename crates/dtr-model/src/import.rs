//! Reading safetensors: a Hugging Face directory, or a file this crate wrote. Strict about names,
//! shapes and dtypes: what is missing, left over or of another shape is an error, never a guess.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use burn::tensor::{DType, Device};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::Deserialize;

use super::config::Config;
use super::decoder::Decoder;
use super::directory::{Model, Written};
use super::export::NOTE;
use super::header::Header;
use super::mask::Mask;
use super::parameters::{Initializer, ParamSource};
use super::shapes;
use super::tokenizer::Tokenizer;
use dtr_core::error::{Error, Result};
use dtr_core::files::{Digest, digest_file, read_text_file};

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

    /// Reads `config.json`, the weights and `tokenizer.json` of `directory` onto `device`, computed in f32.
    pub fn read(directory: &Path, device: &Device) -> Result<Self> {
        Self::read_in(directory, device, DType::F32)
    }

    /// The same computed in `dtype`.
    pub fn read_in(directory: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let model = Model::read_in(directory, device, dtype)?;
        refuse_hybrid(&model.mask, &model.decoder.config, directory)?;
        Ok(Self { decoder: model.decoder, tokenizer: model.tokenizer })
    }

    /// Reads `config.json` of `directory`; that of a hybrid is refused.
    pub fn config(directory: &Path) -> Result<Config> {
        let written = Written::read(directory)?;
        refuse_hybrid(&written.mask, &written.config, directory)?;
        Ok(written.config)
    }

    /// Compares the headers of the weights in `directory` with its `config.json`; no value is read.
    ///
    /// # Errors
    /// When a tensor is missing, left over, in two files, of another shape or of a dtype that is not read.
    pub fn check(directory: &Path) -> Result<()> {
        let config = Self::config(directory)?;
        let mut weights = Checkpoint::read(&weight_files(directory)?, &Device::flex())?;
        weights.forget_tied(&config);
        for (name, shape) in shapes::of_base(&config) {
            weights.take(&name, &shape)?;
        }
        weights.finish()
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

    /// Whether a file's name is one of PyTorch's own formats.
    pub fn is_pickle(name: &str) -> bool {
        let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
        matches!(ending, Some("bin" | "pt" | "pth" | "ckpt" | "pkl" | "pickle"))
    }

    /// What is said of weights in the pickle `file`.
    pub fn pickled(file: impl Display) -> Error {
        Error::environment(format!("`{file}` is a pickle, which is never read: it can hold programs"))
            .hint("convert the weights to `model.safetensors`, where you trust who made them")
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
        refuse_pickles(directory)?;
        return Err(Error::environment(format!("no weights in `{}`", directory.display()))
            .hint("a base is a directory with `config.json`, `tokenizer.json` and `model.safetensors` (or shards with an index)"));
    }
    Ok(shards_of(&index)?.iter().map(|shard| directory.join(shard)).collect())
}

/// Refuses weights that only a program can read: a pickle runs what its author wrote.
fn refuse_pickles(directory: &Path) -> Result<()> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    match entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|name| Base::is_pickle(name))
    {
        None => Ok(()),
        Some(name) => Err(Base::pickled(directory.join(name).display())),
    }
}

/// The shards that an index names, all beside it.
fn shards_of(index: &Path) -> Result<BTreeSet<String>> {
    let parsed: Index = serde_json::from_str(&read_text_file(index)?).map_err(|cause| {
        Error::environment(format!("`{}` is not a shard index", index.display())).with_source(cause)
    })?;
    let refuse = |what: String| Err(Error::environment(format!("`{}` names {what}", index.display())));
    let shards: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if shards.is_empty() {
        return refuse("no shard".to_owned());
    }
    for shard in &shards {
        let mut parts = Path::new(shard).components();
        let is_beside = matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(name)), None) if name == shard.as_str()
        );
        if !is_beside {
            return refuse(format!("a shard outside its directory: `{shard}`"));
        }
        if Base::is_pickle(shard) {
            return Err(Base::pickled(index.with_file_name(shard).display()));
        }
        if !shard.ends_with(".safetensors") {
            return refuse(format!("a shard that is no safetensors file: `{shard}`"));
        }
    }
    Ok(shards)
}

/// Tensors of one or more safetensors files, handed out by name. Values are read when they are asked for.
pub struct Checkpoint {
    tensors: BTreeMap<String, Held>,
    note: Option<String>,
    origin: String,
    device: Device,
    dtype: DType,
}

/// A tensor in a file that is kept open, so that it is read as it was when its header was.
struct Held {
    info: TensorInfo,
    start: u64,
    shard: Rc<Shard>,
}

struct Shard {
    path: PathBuf,
    content: Content,
}

enum Content {
    File(File),
    Memory(Vec<u8>),
}

impl Checkpoint {
    /// Opens `files`, whose tensors are f32, bf16 or f16, and reads their headers.
    ///
    /// # Errors
    /// When a file is not whole, a tensor is in two of them, or is of another dtype.
    pub fn read(files: &[PathBuf], device: &Device) -> Result<Self> {
        let mut checkpoint = Self::none_of(origin(files), device);
        for path in files {
            let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
            checkpoint.add(path, Content::File(file))?;
        }
        Ok(checkpoint)
    }

    /// The tensors of `bytes`, which were read from `path`, likewise.
    pub fn parse(bytes: Vec<u8>, path: &Path, device: &Device) -> Result<Self> {
        let mut checkpoint = Self::none_of(path.display().to_string(), device);
        checkpoint.add(path, Content::Memory(bytes))?;
        Ok(checkpoint)
    }

    fn none_of(origin: String, device: &Device) -> Self {
        Self { tensors: BTreeMap::new(), note: None, origin, device: device.clone(), dtype: DType::F32 }
    }

    /// The same with parameters that are computed in `dtype`.
    pub(super) fn computing_in(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    fn add(&mut self, path: &Path, content: Content) -> Result<()> {
        let mut header = match &content {
            Content::File(file) => Header::read(file, path)?,
            Content::Memory(bytes) => Header::within(&bytes[..], bytes.len() as u64, path)?,
        };
        self.note = header.notes.remove(NOTE).or(self.note.take());
        let shard = Rc::new(Shard { path: path.to_owned(), content });
        let refuse = |what: String| Error::environment(format!("`{}` holds {what}", path.display()));
        for (name, info) in header.tensors {
            if !matches!(info.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16) {
                return Err(refuse(format!("`{name}` as {:?}; F32, BF16 and F16 are read", info.dtype)));
            }
            if self.tensors.contains_key(&name) {
                return Err(refuse(format!("`{name}`, which another shard holds too")));
            }
            let start = header.start + info.data_offsets.0 as u64;
            self.tensors.insert(name, Held { info, start, shard: shard.clone() });
        }
        Ok(())
    }

    /// Forgets the head of a model whose head is its embedding: it may be stored all the same.
    pub(super) fn forget_tied(&mut self, config: &Config) {
        if config.tied_head {
            self.tensors.remove("lm_head.weight");
        }
    }

    /// The note written beside the tensors.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Takes a tensor out, which must be there in `shape`.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Held> {
        let Some(held) = self.tensors.remove(name) else {
            return Err(Error::environment(format!("`{}` lacks `{name}`", self.origin)));
        };
        if held.info.shape == shape {
            return Ok(held);
        }
        Err(Error::environment(format!(
            "`{}` holds `{name}` with shape {:?}; the model needs {shape:?}",
            held.shard.path.display(),
            held.info.shape
        )))
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

/// What a message calls the files: the one, or the folder of several.
fn origin(files: &[PathBuf]) -> String {
    let place = match files {
        [file] => Some(file.as_path()),
        files => files.first().and_then(|file| file.parent()),
    };
    place.map(|place| place.display().to_string()).unwrap_or_default()
}

impl ParamSource for Checkpoint {
    fn make(&mut self, name: &str, shape: &[usize], _: Initializer) -> Result<Vec<f32>> {
        let held = self.take(name, shape)?;
        let values = held.values().map_err(|cause| Error::io("read", &held.shard.path, cause))?;
        if values.iter().all(|value| value.is_finite()) {
            return Ok(values);
        }
        Err(Error::environment(format!(
            "`{}` holds a value in `{name}` that is not finite",
            held.shard.path.display()
        ))
        .hint("the file is damaged, or its training diverged"))
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}

impl Held {
    fn values(&self) -> std::io::Result<Vec<f32>> {
        let (start, stop) = self.info.data_offsets;
        match &self.shard.content {
            Content::File(file) => {
                let mut bytes = vec![0; stop - start];
                file.read_exact_at(&mut bytes, self.start)?;
                Ok(to_f32(self.info.dtype, &bytes))
            }
            Content::Memory(bytes) => {
                Ok(to_f32(self.info.dtype, &bytes[self.start as usize..][..stop - start]))
            }
        }
    }
}

/// Values of one of the three dtypes that are read.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    const { assert!(cfg!(target_endian = "little"), "tensors are read and written as they lie in files") }
    if dtype == Dtype::F32 {
        return bytemuck::pod_collect_to_vec(bytes);
    }
    let bits = bytemuck::pod_collect_to_vec::<u8, u16>(bytes);
    let mut values = vec![0.0; bits.len()];
    match dtype {
        Dtype::BF16 => bits.reinterpret_cast::<bf16>().convert_to_f32_slice(&mut values),
        _ => bits.reinterpret_cast::<f16>().convert_to_f32_slice(&mut values),
    }
    values
}
