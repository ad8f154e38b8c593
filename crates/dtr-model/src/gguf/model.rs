//! Reads a GGUF file like a Hugging Face directory. The tokenizer's files are made from the GGUF metadata.
//! The configuration is made from the metadata and from some of the tensors.

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use burn::tensor::Device;
use serde_json::Value;

use super::architecture::{Architecture, TensorFacts, config_json};
use super::byte_reader::ParseResult;
use super::header::{GgufHeader, TensorInfo};
use super::reader::GgufReader;
use super::tensor_names::{EMBEDDING, HEAD, ROPE_FACTORS};
use super::tensor_values::{GgufTensor, OpenFile};
use super::tokenizer::GgufTokenizer;
use crate::DecoderConfig;
use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;

/// The maximum length of the tensor [`ROPE_FACTORS`]: one value for each pair of channels of the widest
/// supported head.
const MAX_ROPE_FACTORS: usize = 1 << 11;

/// An open GGUF file with a checked header.
pub(crate) struct GgufModel {
    file: Rc<OpenFile>,
    header: GgufHeader,
    architecture: &'static Architecture,
}

impl GgufModel {
    /// Opens a file.
    ///
    /// # Errors
    /// Fails when the file cannot be read, is damaged, or has an unsupported architecture.
    pub fn open(path: &Path) -> Result<Self> {
        let io_error = |cause| Error::io("read", path, cause);
        let file = File::open(path).map_err(io_error)?;
        let num_bytes = file.metadata().map_err(io_error)?.len();
        let header =
            GgufHeader::read(BufReader::new(&file), num_bytes).map_err(|problem| refuse(path, &problem))?;
        let architecture = Architecture::find(&header.metadata).map_err(|problem| {
            refuse(path, &problem).hint("the chapter \"GGUF files\" of the manual lists the supported files")
        })?;
        Ok(Self { file: Rc::new(OpenFile { path: path.to_owned(), file }), header, architecture })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Makes the file `name` of a Hugging Face directory from the metadata, and returns its text. Returns
    /// `None` if dtr does not make a file of this name.
    ///
    /// # Errors
    /// Fails when a part of the metadata is missing or not supported.
    pub fn file_text(&self, name: &str) -> Result<Option<String>> {
        let tokenizer = GgufTokenizer { metadata: &self.header.metadata };
        let json = match name {
            "config.json" => self.config_json(),
            "tokenizer.json" => tokenizer.tokenizer_json(),
            "tokenizer_config.json" => tokenizer.tokenizer_config_json(),
            "generation_config.json" => tokenizer.generation_config_json(),
            _ => return Ok(None),
        };
        let json = json.map_err(|problem| refuse(self.path(), &problem))?;
        let text = match name {
            // Pretty printing would put each token and merge on its own line, and double the length.
            "tokenizer.json" => serde_json::to_string(&json),
            _ => serde_json::to_string_pretty(&json),
        };
        Ok(Some(text.expect("metadata are plain JSON") + "\n"))
    }

    /// Returns a reader that finds each tensor by its name in transformers. The reader places parameters on
    /// `device`.
    ///
    /// # Errors
    /// Fails when the configuration is not supported, or when a tensor is unknown or has the wrong shape.
    pub fn weights(&self, device: &Device) -> Result<GgufReader> {
        let text = self.file_text("config.json")?.expect("every file has a configuration");
        let config = DecoderConfig::parse(&text, self.path())?;
        let rows_per_interleaved_head = self.architecture.has_interleaved_rope.then_some(config.head_dim);
        let tensors = self.header.tensors.iter().filter(|info| info.name != ROPE_FACTORS);
        let tensors = tensors.map(|info| GgufTensor {
            info: info.clone(),
            file: self.file.clone(),
            rows_per_interleaved_head: rows_per_interleaved_head.filter(|_| is_rotated(&info.name)),
        });
        GgufReader::new(tensors, &config, self.path(), device)
    }

    /// Returns the digest of the header. The header holds the whole file except the values of tensors.
    ///
    /// # Errors
    /// Fails when the file cannot be read.
    pub fn header_digest(&self) -> Result<Digest> {
        let mut bytes = vec![0; self.header.num_bytes as usize];
        self.file.file.read_exact_at(&mut bytes, 0).map_err(|cause| Error::io("read", self.path(), cause))?;
        Ok(Digest::hash(&bytes))
    }

    fn config_json(&self) -> ParseResult<Value> {
        let embedding = self.find(EMBEDDING).ok_or_else(|| format!("has no tensor `{EMBEDDING}`"))?;
        let facts = TensorFacts {
            vocab_size: embedding.shape[0],
            has_tied_head: self.find(HEAD).is_none(),
            rope_factors: self.rope_factors()?,
        };
        config_json(self.architecture, &self.header.metadata, &facts)
    }

    /// Reads the tensor [`ROPE_FACTORS`], if the file has it.
    fn rope_factors(&self) -> ParseResult<Option<Vec<f32>>> {
        let Some(info) = self.find(ROPE_FACTORS) else { return Ok(None) };
        let tensor =
            GgufTensor { info: info.clone(), file: self.file.clone(), rows_per_interleaved_head: None };
        if tensor.num_values() > MAX_ROPE_FACTORS {
            return Err(format!("has {} values in `{ROPE_FACTORS}`", tensor.num_values()));
        }
        let factors = tensor.values().map_err(|cause| format!("cannot be read: {cause}"))?;
        match factors.iter().all(|factor| factor.is_finite() && *factor > 0.0) {
            true => Ok(Some(factors)),
            false => Err(format!("has a value in `{ROPE_FACTORS}` that is not a number above 0")),
        }
    }

    fn find(&self, name: &str) -> Option<&TensorInfo> {
        self.header.tensors.iter().find(|tensor| tensor.name == name)
    }
}

/// Returns whether the tensor `name` projects to queries or keys. The rotary embedding rotates queries and
/// keys.
fn is_rotated(name: &str) -> bool {
    [".attn_q.weight", ".attn_k.weight"].iter().any(|ending| name.ends_with(ending))
}

/// Returns the error for a file. `problem` is a verb phrase whose subject is the file.
fn refuse(path: &Path, problem: &str) -> Error {
    Error::environment(format!("cannot read `{0}` as GGUF: it {problem}", path.display()))
}
