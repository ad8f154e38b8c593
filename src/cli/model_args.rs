//! The arguments of commands that run a model of a directory or of a GGUF file.

use std::path::{Path, PathBuf};

use burn::tensor::DType;
use clap::{Args, ValueEnum};

use super::DeviceArgs;
use dtr_core::error::{Error, Result};
use dtr_model::{LoadedModel, unused_tensors_note};
use dtr_ops::{is_cpu, preferred_dtype};

/// The model to run, and how to compute it.
#[derive(Args)]
pub struct ModelArgs {
    /// Directory of a base or of a hybrid that `dtr export` wrote, or a GGUF file.
    pub directory: PathBuf,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// How to compute a model.
#[derive(Args)]
pub struct ComputeArgs {
    /// Number format in which the model is computed; by default `bf16` on a GPU and `f32` on a CPU.
    #[arg(long, value_enum)]
    dtype: Option<ComputeDtype>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A number format in which a model is computed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ComputeDtype {
    /// 32-bit floating point
    F32,
    /// bfloat16, on a GPU only
    Bf16,
}

impl ModelArgs {
    /// Reads the model as [`ComputeArgs::read`] does.
    ///
    /// # Errors
    /// Fails as [`ComputeArgs::read`] does.
    pub fn read(&self) -> Result<LoadedModel> {
        self.compute.read(&self.directory)
    }
}

impl ComputeArgs {
    /// Reads the model in `directory`. Prints a note about tensors that the model does not use.
    ///
    /// # Errors
    /// Fails if the device cannot be opened or cannot compute in the number format, or if the model cannot be
    /// read.
    pub fn read(&self, directory: &Path) -> Result<LoadedModel> {
        let device = self.device.device.open_all_return_first()?;
        let dtype = match self.dtype {
            None => preferred_dtype(&device),
            Some(ComputeDtype::F32) => DType::F32,
            Some(ComputeDtype::Bf16) if is_cpu(&device) => {
                return Err(Error::manifest("cannot compute in `bf16` on a CPU")
                    .hint("leave out `--dtype`, or compute on a GPU with `--device cuda:0`"));
            }
            Some(ComputeDtype::Bf16) => DType::BF16,
        };
        let model = LoadedModel::read_with_dtype(directory, &device, dtype)?;
        if let Some(note) = unused_tensors_note(directory, &model.unused_tensors) {
            eprintln!("{note}");
        }
        Ok(model)
    }
}
