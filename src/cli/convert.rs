//! `dtr convert FILE.gguf DIR`: writes a GGUF file as a Hugging Face directory.

use std::path::PathBuf;

use clap::Args;

use super::print_json;
use dtr_core::error::Result;
use dtr_model::convert_gguf;

/// Write a GGUF file as a Hugging Face directory, with `config.json`, `tokenizer.json` and safetensors files.
///
/// No value changes: a quantised tensor becomes F32, and tensors in F32, F16 and BF16 keep their dtype.
#[derive(Args)]
pub struct ConvertCommand {
    /// GGUF file of a model.
    file: PathBuf,
    /// Directory to create.
    directory: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl ConvertCommand {
    pub(super) fn run(self) -> Result<u8> {
        convert_gguf(&self.file, &self.directory)?;
        match self.json {
            true => print_json(&serde_json::json!({ "directory": self.directory })),
            false => println!("{}", self.directory.display()),
        }
        Ok(0)
    }
}
