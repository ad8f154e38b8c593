//! Writing safetensors: checkpoints in f32, and a base in Hugging Face layout in bf16.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::DType;
use half::bf16;
use half::slice::HalfFloatSliceExt;
use safetensors::{Dtype, tensor::TensorView};

use super::decoder::Decoder;
use super::parameters::{ParamMut, Parameters};
use super::tokenizer::Tokenizer;
use dtr_core::error::{Error, Result};
use dtr_core::files::write_bytes_atomically;

/// The metadata key of a file's note.
pub(super) const NOTE: &str = "note";

/// Named tensors ready to be written, each with its shape.
#[derive(Default)]
pub struct Tensors {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    note: Option<String>,
}

impl Tensors {
    /// All parameters of `module`.
    pub fn of(module: &mut impl Parameters) -> Self {
        let mut tensors = Self::default();
        module.visit(&mut |name, slot: ParamMut<'_>| {
            tensors.insert(
                name,
                slot.shape(),
                slot.flat().cast(DType::F32).into_data().try_to_vec().expect("they were cast to f32"),
            );
        });
        tensors
    }

    /// Adds one tensor.
    pub fn insert(&mut self, name: &str, shape: Vec<usize>, values: Vec<f32>) {
        self.tensors.insert(name.to_owned(), (shape, values));
    }

    /// Adds all tensors of `other`.
    pub fn extend(&mut self, other: Self) {
        self.tensors.extend(other.tensors);
    }

    /// Adds a note that travels in the same file, so that tensors and note are never of two times.
    pub fn note(&mut self, note: String) {
        self.note = Some(note);
    }

    /// The safetensors bytes in f32, the same for the same tensors.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.serialize(Dtype::F32)
    }

    fn serialize(&self, dtype: Dtype) -> Result<Vec<u8>> {
        let bytes: Vec<Vec<u8>> = self.tensors.values().map(|(_, values)| encode(values, dtype)).collect();
        let views = self.tensors.iter().zip(&bytes).map(|((name, (shape, _)), bytes)| {
            let view = TensorView::new(dtype, shape.clone(), bytes).expect("bytes were made from the shape");
            (name.clone(), view)
        });
        let note = self.note.iter().map(|note| (NOTE.to_owned(), note.clone())).collect();
        safetensors::serialize(views, Some(note))
            .map_err(|cause| Error::environment("cannot serialise tensors").with_source(cause))
    }
}

/// The bytes of `values` in a file: little-endian, as this machine's own.
fn encode(values: &[f32], dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::BF16 => {
            let mut halves = vec![bf16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            bytemuck::cast_slice(halves.reinterpret_cast()).to_vec()
        }
        _ => bytemuck::cast_slice(values).to_vec(),
    }
}

/// Writes tensors to `path` in f32, atomically.
pub fn save(tensors: &Tensors, path: &Path) -> Result<()> {
    write_bytes_atomically(path, &tensors.to_bytes()?)
}

/// Writes a base to `directory` in Hugging Face layout, weights in bf16.
pub fn export(decoder: &mut Decoder, tokenizer: &Tokenizer, directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(|cause| Error::io("create", directory, cause))?;
    let weights = Tensors::of(decoder).serialize(Dtype::BF16)?;
    write_bytes_atomically(&directory.join("model.safetensors"), &weights)?;
    let config = serde_json::to_string_pretty(&decoder.config.to_json()).expect("a config is plain JSON");
    write_bytes_atomically(&directory.join("config.json"), format!("{config}\n").as_bytes())?;
    write_bytes_atomically(&directory.join("tokenizer.json"), tokenizer.to_json()?.as_bytes())
}
